"""Stages at any module by name, and the recording of taps."""

from copy import deepcopy

import pytest
import torch

from camviz import load_backbone
from camviz.errors import StageError
from camviz.network.layouts import Layout
from camviz.network.modules import derive_stage
from camviz.network.taps import Tap, record_taps
from tests.support.outputs import by_hand, named, outputs_of
from tests.support.tensors import noise
from tests.support.toys import SIZE, Nested, Toy, Twice, explore


def test_only_what_lies_behind_the_shallowest_tap_is_recorded():
    model = Toy().eval().requires_grad_(False)
    taps = [Tap("b", Layout("NCHW", (8, 8)), 8), Tap("c", Layout("NCHW", (4, 4)), 10)]
    stored = {}
    with record_taps(model, taps, stored):
        output = model(noise((1, *SIZE)))
    shallow, deep = (stored[tap.address] for tap in taps)
    assert shallow.is_leaf and shallow.requires_grad  # cut off from what lies before
    assert not deep.is_leaf and output.requires_grad


def test_only_the_tapped_call_is_recorded():
    model = Twice().eval().requires_grad_(False)
    tap = Tap("block", Layout("NCHW", (4, 4)), 10, call=1)
    stored = {}
    with record_taps(model, [tap], stored):
        model(noise((1, *SIZE)))
    assert list(stored) == [("block", 1, ())]


@pytest.mark.parametrize(
    ("network", "module", "expected"),
    [
        ("test_vit", "blocks.2.attn", ("NLC+1", 64, (10, 10))),
        ("test_vit", "blocks.2.mlp.act", ("NLC+1", 192, (10, 10))),
        ("test_vit", "norm", ("NLC+1", 64, (10, 10))),
        ("test_vit", "patch_embed.proj", ("NCHW", 64, (10, 10))),
        ("test_mambaout", "stages.1.blocks.0.norm", ("NHWC", 32, (20, 20))),
        ("test_mambaout", "stages.0.blocks.0.conv", ("NCHW", 16, (40, 40))),
        ("test_mambaout", "stem.conv1", ("NCHW", 8, (80, 80))),
        ("test_resnet", "maxpool", ("NCHW", 32, (40, 40))),
        ("test_resnet", "conv1.0", ("NCHW", 16, (80, 80))),
        ("test_resnet", "layer4.0.bn1", ("NCHW", None, None)),
        ("test_resnet", "layer3", ("NCHW", 192, (10, 10))),
    ],
)
def test_any_module_can_be_asked_for(tiny, network, module, expected):
    backbone = tiny(network)
    stage = derive_stage(backbone.model, module, backbone.stages, backbone.input_size)
    image = noise((1, *backbone.input_size), 9)
    raw = outputs_of(backbone.model, [module], image)[module][-1]
    kind, channels, grid = expected
    assert stage.name == stage.output.module == module and stage.activation == stage.output
    assert str(stage.layout) == kind
    assert stage.channels == (channels or raw.shape[1])
    assert stage.grid == (grid or tuple(raw.shape[2:]))
    assert stage.reduction == 160 / stage.grid[0]
    assert torch.equal(stage.layout.to_nchw(raw), by_hand(raw, stage.layout))


def test_the_last_of_several_calls_counts():
    model, found = explore(Twice)
    assert derive_stage(model, "block", found.stages, SIZE).output.call == 2


def test_nested_outputs_of_a_module_are_looked_through():
    model, found = explore(Nested)
    stage = derive_stage(model, "a", found.stages, SIZE)
    assert stage.output.path == (1,) and stage.grid == (16, 16)


@pytest.mark.parametrize(
    ("network", "module", "words"),
    [
        ("test_resnet", "layer5", ["unknown", "'layer5'", "layer1, layer2, layer3, layer4"]),
        ("test_resnet", "", ["unknown", "stages: "]),
        ("test_vit", "norm1", ["unknown", "modules like it: blocks.0.norm1"]),
        ("test_vit", "head", ["'head' carries no map", "(1, 1000)", "10x10"]),
        ("test_resnet", "global_pool.pool", ["carries no map", "(1, 96, 1, 1)", "80x80, 40x40"]),
        ("test_vit", "blocks.0.attn.attn_drop", ["attn_drop' does not run"]),
        ("test_vit", "blocks.0.attn.q_norm", ["carries no map", "(1, 2, 101, 32)"]),
    ],
)
def test_what_is_no_map_is_refused_with_the_reason(tiny, network, module, words):
    backbone = tiny(network)
    with pytest.raises(StageError) as caught:
        derive_stage(backbone.model, module, backbone.stages, backbone.input_size)
    for word in words:
        assert word in str(caught.value)


def test_windows_are_not_mistaken_for_the_picture():
    """Swin's attention sees 7 x 7 windows, as many tokens as its last stage has cells."""
    backbone = load_backbone(
        "swin_tiny_patch4_window7_224",
        "random",
        "cpu",
        embed_dim=8,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 1, 1),
    )
    assert {str(stage.layout) for stage in backbone.stages} == {"NHWC"}
    with pytest.raises(StageError, match="carries no map"):
        backbone.stage("layers.0.blocks.0.attn")


def test_looking_at_a_module_changes_nothing(unchanged, tiny):
    backbone = tiny("test_resnet")
    model = deepcopy(backbone.model).train()  # batch norm learns from what it sees in this mode
    with unchanged(model):
        derive_stage(model, "layer2.0", backbone.stages, backbone.input_size)


def test_a_stage_gives_the_tap_that_is_asked_for(tiny):
    stage = named(tiny("test_efficientnet").stages)["blocks.2"]
    assert stage.tap("output").module == "blocks.2"
    assert stage.tap("activation").module == stage.activation.module != "blocks.2"
