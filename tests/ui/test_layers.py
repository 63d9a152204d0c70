"""What a layer is called on the page."""

from types import SimpleNamespace

import pytest

from camviz.ui.layers import (
    TIMES,
    layer_choice,
    layer_in_words,
    layer_name,
    map_in_words,
    map_name,
    place_of,
)
from camviz.ui.service import explain


@pytest.fixture
def backbone():
    grids = {"stem": (112, 112), "layer1": (56, 56), "layer2": (7, 9), "layer1.0.conv": (28, 28)}
    return SimpleNamespace(
        default_stages=("layer1", "layer2"), stage=lambda name: SimpleNamespace(grid=grids[name])
    )


def test_default_stages_are_counted_from_the_picture_on(backbone):
    assert layer_name(backbone, "layer1") == f"Stage 1 of 2, 56{TIMES}56"
    assert layer_name(backbone, "layer2") == f"Stage 2 of 2, 7{TIMES}9"
    assert layer_name(backbone, "layer2", (3, 4)) == f"Stage 2 of 2, 3{TIMES}4"


@pytest.mark.parametrize(("name", "cells"), [("stem", 112), ("layer1.0.conv", 28)])
def test_any_other_layer_is_called_by_its_cells(backbone, name, cells):
    assert layer_name(backbone, name) == f"Layer, {cells}{TIMES}{cells}"


def test_its_module_stands_beside(backbone):
    assert layer_choice(backbone, "layer1") == f"Stage 1 of 2, 56{TIMES}56\nlayer1"
    assert layer_in_words(backbone, "layer1") == f"stage 1 of 2, 56{TIMES}56 (layer1)"


def test_stages_of_a_network_are_counted_in_its_own_order(tiny):
    network = tiny("test_resnet")
    names = [layer_name(network, name) for name in network.default_stages]
    assert [name.split(",")[0] for name in names] == [f"Stage {i} of 4" for i in (1, 2, 3, 4)]


def test_a_block_stands_where_the_default_stage_in_it_does(controls_of, photo_file):
    """Where methods of attention have a map; other methods have one of either."""
    controls = controls_of(photo_file, "test_vit.r160_in1k")
    x, y = (explain(controls, method=name) for name in ("daam", "layer_cam"))
    block, stage = x.stages[-1], y.stages[-1]
    assert stage.startswith(f"{block}.")
    assert place_of(x, block) == stage and place_of(y, stage) == stage
    assert map_name(x, block) == layer_name(x.backbone, stage)
    assert map_in_words(x, block) == layer_in_words(x.backbone, stage).replace(stage, block)
    both = explain(controls, method="layer_cam", stages=(block, stage))
    assert [place_of(both, name) for name in both.stages] == [*both.stages]
    assert map_name(both, block).startswith("Layer")
