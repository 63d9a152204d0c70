"""Why the first row is not LayerCAM on some networks, and the way to LayerCAM and back."""

import re

import pytest

from camviz.ui.state import AUTO
from camviz.ui.tabs import compare

RESNET, VIT = (f"test_{name}.r160_in1k" for name in ("resnet", "vit"))


@pytest.fixture
def open_on(visit, controls_of, photo_file):
    def get(name, **options):
        return visit.open(controls_of(photo_file, name).with_options(**options))

    return get


def said(view):
    return re.sub(r"<.*?>", "", view.tab["why"])


def test_a_transformer_is_explained_by_its_own_method_and_says_why(open_on):
    view = open_on(VIT)
    row = view.row("layercam")
    assert row["title"] == "Hierarchical DAAM" and row["holds"] == compare.WHY
    assert said(view).startswith("This is DAAM and not LayerCAM because test_vit")
    assert len(re.findall(r"\.(?= |$)", said(view))) == 1, "one sentence"
    assert view.tab["other_method"] == "Show LayerCAM"


def test_layercam_is_one_click_away_and_so_is_the_way_back(open_on):
    view = open_on(VIT)
    view.do(compare._choose_other_method)
    assert view.row("layercam")["title"] == "Hierarchical LayerCAM"
    assert view.controls.options.method == view.frame["method"] == "layer_cam"
    assert said(view).startswith("This is LayerCAM, as chosen.") and "DAAM comes closer" in said(
        view
    )
    assert view.tab["other_method"] == "Back to DAAM"
    view.do(compare._choose_other_method)
    assert view.row("layercam")["title"] == "Hierarchical DAAM"
    assert view.controls.options.method == AUTO


def test_where_layercam_is_the_default_nothing_is_said(open_on):
    for view in (open_on(RESNET), open_on(RESNET, method="layer_cam")):
        assert view.tab["why"] == "" and view.row("layercam")["holds"] is None


@pytest.mark.parametrize("method", ["gae", "grad_cam"])
def test_another_method_was_chosen_knowingly(open_on, method):
    view = open_on(VIT, method=method)
    assert view.tab["why"] == "" and view.row("layercam")["holds"] is None


def test_columns_are_blocks_coarse_to_fine(open_on):
    view = open_on(VIT)
    panels = view.row("layercam")["panels"]
    names = [panel["module"] for panel in panels if panel["module"]]
    assert names == sorted(names, key=lambda name: -int(name.split(".")[1])) and len(names) > 1


def test_the_denoised_row_is_of_a_method_with_a_gradient_to_denoise(open_on):
    assert "panels" in open_on(VIT).row("denoised")
    view = open_on(VIT, method="daam")
    assert "uses no gradient of a layer" in view.row("denoised")["reason"]


def test_the_method_of_a_transformer_is_left_out_on_another_network(open_on, controls_of):
    view = open_on(VIT, method="gae")
    view.change(backbone=controls_of(None, RESNET).backbone)
    assert view.controls.options.method == AUTO
    assert "GAE does not exist" in view.frame["notice"] and "left out" in view.frame["notice"]
