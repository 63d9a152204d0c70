"""Methods x stages without a browser: every method of one trace, and what sets a map apart."""

from dataclasses import replace
from html import escape

import numpy as np
import pytest

from camviz.examples import example
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.ui import compare_tab, methods_tab
from camviz.ui.compare_tab import Ask, explain
from camviz.ui.methods_tab import PAPER, USUAL, marked, matrix, show
from camviz.ui.viewer import Row

pytestmark = pytest.mark.usefixtures("fresh")

RESNET = "test_resnet.r160_in1k"
VIT = "test_vit.r160_in1k"


@pytest.fixture
def ask(asking, photo_file):
    return asking(photo_file)


def seen(ask):
    """The rows of the last view, by key."""
    *_, last = show(ask)
    return {row["key"]: row for row in last.tab["methods maps"]["rows"]}


def test_rows_are_all_methods_and_columns_stages_and_fusions(ask):
    rows = seen(ask)
    assert list(rows) == list(METHODS)
    every = [*reversed(ask.stages), *FUSIONS]
    for name, row in rows.items():
        keys = [panel["key"] for panel in row["panels"]]
        assert keys == ([ask.stages[-1]] if name == "cam" else every), name
        assert row["title"] == METHODS[name].label


def test_every_cell_is_the_engines_own(ask):
    rows = matrix(ask, explain(ask))
    for method in ("layer_cam", "grad_cam_pp", "eigen_cam"):
        for fuse in FUSIONS:
            x = explain(ask, method=method, fuse=fuse)
            cell = rows[method].panels[fuse].x
            assert np.array_equal(cell.fused_grid[0], x.fused_grid[0])
            assert all(np.array_equal(cell.raw[name], x.raw[name]) for name in x.stages)


def test_the_network_is_not_asked_again(ask, monkeypatch):
    list(compare_tab.show(ask))
    explain(ask, method="cam")  # reads the weights off the head, once

    def never(*given, **named):
        raise AssertionError("the network was asked again")

    monkeypatch.setattr("camviz.engine.work.run_trace", never)
    monkeypatch.setattr("torch.autograd.grad", never)
    hook = compare_tab.network(ask).model.register_forward_pre_hook(never)
    try:
        assert all("panels" in row for row in seen(ask).values())
    finally:
        hook.remove()


def test_what_cannot_be_had_is_a_sentence_and_the_others_stay(asking, photo_file):
    rows = seen(asking(photo_file, VIT))
    assert rows["cam"]["said"].startswith("CAM is not defined for test_vit")
    assert rows["cam"]["title"] == "CAM" and rows["cam"]["said"].endswith(".")
    assert all("panels" in row for name, row in rows.items() if name != "cam")


def test_prototypes_are_not_waited_for(ask, monkeypatch):
    import threading

    given = threading.Event()
    monkeypatch.setattr(compare_tab, "PATIENCE", 0.01)
    monkeypatch.setattr(methods_tab, "_likeness", lambda *_: given.wait(20) and "here")
    steps = show(ask)
    rows = {row["key"]: row for row in next(steps).tab["methods maps"]["rows"]}
    assert rows["lpcam"]["said"] == compare_tab.COMING and "panels" in rows["layer_cam"]
    given.set()
    (last,) = steps
    assert last.tab.keys() == {"methods maps"}
    assert last.tab["methods maps"]["rows"][-1]["said"] == "here"


def test_other_classes_and_layers_are_followed(ask):
    backbone = compare_tab.network(ask)
    asked = replace(ask, target=backbone.labels[3], stages=ask.stages[-2:])
    first, *_ = show(asked)
    assert f"<em>{escape(backbone.labels[3])}</em>" in first.tab["methods said"]
    rows = first.tab["methods maps"]["rows"]
    assert [p["key"] for p in rows[0]["panels"]] == [*reversed(asked.stages), *FUSIONS]


def test_without_a_picture_a_sentence(ask):
    (view,) = show(replace(ask, picture=None))
    assert "Give a picture" in view.tab["methods maps"]["rows"][0]["said"]


# -- What is marked ------------------------------------------------------------------------------


def marks(ask, method, **changes):
    return {
        key: list(words) for key, words in marked(explain(ask, method=method, **changes)).items()
    }


def test_the_papers_setting_and_the_default_are_marked(ask):
    assert marks(ask, "layer_cam") == {"max_tanh": [PAPER], "product": [USUAL]}
    for method in ("grad_cam", "grad_cam_pp", "xgrad_cam", "hires_cam", "eigen_cam", "cam"):
        assert marks(ask, method) == {ask.stages[-1]: [PAPER]}, method


def test_nothing_is_marked_that_is_not_exactly_so(ask):
    some = replace(ask, stages=ask.stages[:2])
    assert marks(some, "layer_cam") == {} and marks(some, "grad_cam") == {}
    assert marks(ask, "layer_cam", tap="output") == {"max_tanh": [PAPER]}
    assert marks(ask, "lpcam") == {}, "prototypes of one picture alone are not the paper's"


def test_prototypes_learned_as_the_paper_did_are_marked(ask):
    last = ask.stages[-1]
    x = explain(ask, method="lpcam")
    scoring = replace(x.bank.stages[last], scoring="head")
    bank = replace(x.bank, stages={last: scoring}, source="gallery", split="cam", tau=0.1)
    assert list(marked(replace(x, bank=bank))) == [last]
    assert marked(replace(x, bank=replace(bank, tau=0.4))) == {}


def test_marks_say_why(ask):
    rows = seen(ask)
    (panel,) = [p for p in rows["layer_cam"]["panels"] if p["key"] == "max_tanh"]
    assert "LayerCAM, TIP 2021" in panel["marks"][PAPER] and panel["marks"][PAPER] in panel["notes"]
    assert isinstance(matrix(ask, explain(ask))["grad_cam"], Row)


def test_a_row_of_the_same_maps_says_so_once():
    asked = Ask(str(example("a-ram").path), "scenes-resnet", backbone="scenes-resnet")
    row = seen(asked)["layer_cam_elementwise"]
    assert row["tag"] == "The same maps as LayerCAM"
    assert not any(panel["remarks"] for panel in row["panels"])
