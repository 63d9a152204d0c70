"""Methods x stages without a browser: every method of one trace, and what sets a map apart."""

import threading
from dataclasses import replace
from html import escape

import numpy as np
import pytest

from camviz.examples import example
from camviz.methods import METHODS
from camviz.ui import service
from camviz.ui.features import FEATURES
from camviz.ui.service import explain, stages_of
from camviz.ui.state import Task, Unavailable
from camviz.ui.tabs import methods
from camviz.ui.tabs.methods import COLUMNS, PAPER, USUAL, marks_of, matrix
from camviz.ui.viewer import MapRow

VIT = "test_vit.r160_in1k"
HEADS = ["Stretched", "Geometric", "Maximum", "Refined"]  # of the columns behind the stages


SCORING = [name for name, row in METHODS.items() if row.scoring is not None]


@pytest.fixture
def rows(shown, monkeypatch):
    """rows(controls): the rows of the matrix, by key, on a machine that is fast enough for all."""
    monkeypatch.setattr(service, "AT_ONCE", 1e9)
    return lambda controls: {row.key: row for row in shown(methods, controls)["maps"].rows}


def test_rows_are_all_methods_and_columns_stages_and_fusions(controls, rows):
    found = rows(controls)
    first, *others = [name for name, row in METHODS.items() if not row.uses_attention]
    assert list(found) == [first, methods.AGAINST, *others, FEATURES]
    colors = found.pop(FEATURES)
    assert [panel.key for panel in colors.panels] == [*reversed(stages_of(controls))]
    assert all(panel.colors and not panel.peak for panel in colors.panels)
    against = found.pop(methods.AGAINST)
    assert against.title == "LayerCAM, against" and "against the class" in against.words.summary
    stages = stages_of(controls)
    every = [*reversed(stages), *COLUMNS]
    assert [panel.name for panel in against.panels[len(stages) :]] == HEADS[:-1]
    assert [panel.key for panel in against.panels] == every, "it has no refined map"
    for name, row in found.items():
        keys = [panel.key for panel in row.panels]
        one = name == "cam" or METHODS[name].scoring is not None
        assert keys == [*([stages[-1]] if one else every), "refined"], name
        heads = [panel.name for panel in row.panels if panel.last]
        assert heads == (HEADS[-1:] if one else HEADS), name
        assert row.title == METHODS[name].label


def test_every_cell_is_the_engines_own(controls):
    found = matrix(controls, explain(controls))
    for method in ("layer_cam", "grad_cam_pp", "eigen_cam"):
        for fuse in COLUMNS:
            x = explain(controls, method=method, fuse=fuse)
            cell = found[method].panels[fuse].x
            assert np.array_equal(cell.fused_grid[0], x.fused_grid[0])
            assert all(np.array_equal(cell.raw[name], x.raw[name]) for name in x.stages)
        refined = found[method].panels["refined"].x.refined_grid[0]
        assert np.array_equal(refined, explain(controls, method=method).refined_grid[0])


def test_what_layercam_leaves_out_is_a_row_of_its_own(controls):
    """LayerCAM less what speaks against the class is HiRes-CAM, place by place."""
    plain = replace(controls, target="great white shark").with_options(checkerboard="keep")
    x, signed = explain(plain), explain(plain, method="hires_cam")
    against = matrix(plain, x)[methods.AGAINST].panels
    assert any((signed.raw[name] < 0).any() for name in signed.stages)
    for name in x.stages:
        assert (against[name].map.raw >= 0).all()
        left = x.raw[name] - against[name].map.raw
        assert np.allclose(left, signed.raw[name], atol=1e-5 * np.abs(x.raw[name]).max()), name
    for fuse in COLUMNS:
        assert against[fuse].map.raw.max() <= 1 + 1e-6
    assert [name for name in against if name not in x.stages] == list(COLUMNS)
    assert not any(panel.warnings for name, panel in against.items() if panel.map.raw.any())


def test_the_network_runs_once(controls, rows, monkeypatch):
    service.rows(controls)
    for method in ("cam", *SCORING):  # reads the weights off the head, or scores changes, once
        explain(controls, method=method)

    def never(*given, **named):
        raise AssertionError("the network ran again")

    monkeypatch.setattr("camviz.engine.work.run_trace", never)
    monkeypatch.setattr("torch.autograd.grad", never)
    hook = service.load(controls.backbone).model.register_forward_pre_hook(never)
    try:
        assert all(row.panels for row in rows(controls).values())
    finally:
        hook.remove()


def test_methods_that_a_network_cannot_have_are_left_out(controls_of, photo_file, rows):
    found = rows(controls_of(photo_file, VIT))
    assert set(METHODS) - set(found) == {"cam"}
    assert all(row.panels for row in found.values())


def test_what_cannot_be_had_of_these_layers_is_a_sentence_and_the_others_stay(
    controls_of, photo_file, rows
):
    found = rows(controls_of(photo_file, VIT).with_options(stages=("patch_embed",)))
    assert found["gae"].reason.startswith("GAE exists at blocks that attend, and 'patch_embed'")
    assert found["gae"].title == "GAE" and found["gae"].reason.endswith(".")
    assert found["layer_cam"].panels and found["hires_cam"].panels


def test_what_takes_long_is_not_started_by_itself(controls, rows, monkeypatch):
    """A sentence says how long; what was chosen on the left was computed, and is shown."""
    seconds = {"score_cam": 18.4, "group_cam": 200.0, "recipro_cam": 0.49, "ablation_cam": None}
    monkeypatch.setattr(service, "AT_ONCE", 0.5)
    monkeypatch.setattr(service, "price", lambda controls, method: seconds[method])
    monkeypatch.setattr(
        "camviz.engine.scoring.score_pictures", lambda *_: pytest.fail("it was started")
    )
    found = rows(controls)
    assert found["score_cam"].reason == (
        "Score-CAM takes about 18 s on this picture. Choose it under Method, and its "
        "maps are here too."
    )
    assert "about 3 min" in found["group_cam"].reason
    assert found["recipro_cam"].panels and found["ablation_cam"].panels
    monkeypatch.undo()
    chosen = controls.with_options(method="score_cam")
    explain(chosen)
    monkeypatch.setattr(service, "price", lambda controls, method: seconds[method])
    assert rows(chosen)["score_cam"].panels and rows(chosen)["group_cam"].reason


def test_score_cam_of_some_channels_is_not_the_papers(controls):
    assert marks(controls, "recipro_cam") == {stages_of(controls)[-1]: [PAPER]}
    channels = service.load(controls.backbone).stage(stages_of(controls)[-1]).channels
    assert marks(controls, "score_cam", channels=channels - 1) == {}
    assert marks(controls, "score_cam", channels=channels) == {stages_of(controls)[-1]: [PAPER]}


def test_prototypes_are_not_waited_for(controls, session, monkeypatch):
    given = threading.Event()
    here = Unavailable("here")
    monkeypatch.setattr(service, "PATIENCE", 0.01)
    monkeypatch.setattr(methods, "prototype_row", lambda *_: given.wait(20) and here)
    updates = methods.show(session, controls, Task())
    found = {row.key: row for row in next(updates).tab["maps"].rows}
    assert found["lpcam"].reason == service.COMING and found["layer_cam"].panels
    given.set()
    (last,) = updates
    assert last.tab.keys() == {"maps"}
    assert {row.key: row.reason for row in last.tab["maps"].rows}["lpcam"] == "here"


def test_other_classes_and_layers_are_followed(controls, session):
    label = service.load(controls.backbone).labels[3]
    chosen = replace(controls, target=label).with_options(stages=stages_of(controls)[-2:])
    first, *_ = methods.show(session, chosen, Task())
    assert f"<em>{escape(label)}</em>" in first.tab["heading"]
    keys = [panel.key for panel in first.tab["maps"].rows[0].panels]
    assert keys == [*reversed(stages_of(chosen)), *COLUMNS, "refined"]


def test_the_heading_names_the_rival_and_the_network(controls, shown):
    labels = service.load(controls.backbone).labels
    heading = shown(methods, replace(controls, target=labels[3], versus=labels[5]))["heading"]
    assert f"<em>{escape(labels[3])}</em> rather than <em>{escape(labels[5])}</em>" in heading
    assert f"one look of {controls.backbone.name} at the picture" in heading
    assert "Score-CAM and Group-CAM, which look again" in heading


def test_without_a_picture_a_sentence(controls, session):
    (update,) = methods.show(session, replace(controls, picture=None), Task())
    assert "Give a picture" in update.tab["maps"].rows[0].reason


# -- What is marked ------------------------------------------------------------------------------


def marks(controls, method, **changes):
    found = marks_of(explain(controls, method=method, **changes))
    return {key: list(words) for key, words in found.items()}


def test_the_papers_setting_and_the_default_are_marked(controls):
    assert marks(controls, "layer_cam") == {"max_tanh": [PAPER], "stretched_mean": [USUAL]}
    for method in ("grad_cam", "grad_cam_pp", "xgrad_cam", "hires_cam", "eigen_cam", "cam"):
        assert marks(controls, method) == {stages_of(controls)[-1]: [PAPER]}, method


def test_nothing_is_marked_that_is_not_exactly_so(controls):
    some = controls.with_options(stages=stages_of(controls)[:2])
    assert marks(some, "layer_cam") == {} and marks(some, "grad_cam") == {}
    assert marks(controls, "layer_cam", tap="output") == {"max_tanh": [PAPER]}
    assert marks(controls, "lpcam") == {}, "prototypes of one picture alone are not the paper's"


def test_prototypes_built_as_the_paper_did_are_marked(controls):
    last = stages_of(controls)[-1]
    x = explain(controls, method="lpcam")
    scoring = replace(x.bank.stages[last], scoring="head")
    bank = replace(x.bank, stages={last: scoring}, source="gallery", split="cam", tau=0.1)
    assert list(marks_of(replace(x, bank=bank))) == [last]
    assert marks_of(replace(x, bank=replace(bank, tau=0.4))) == {}


def test_marks_say_why(controls, rows):
    (panel,) = [p for p in rows(controls)["layer_cam"].panels if p.key == "max_tanh"]
    assert "LayerCAM, TIP 2021" in panel.marks[PAPER] and panel.marks[PAPER] in panel.notes
    assert isinstance(matrix(controls, explain(controls))["grad_cam"], MapRow)


def test_a_row_of_the_same_maps_says_so_once(controls_of, rows):
    ram = controls_of(str(example("a-ram").path), "scenes-resnet", untrained=False)
    row = rows(ram)["layer_cam_elementwise"]
    assert row.tag == "The same maps as LayerCAM"
    assert not any(panel.remarks for panel in row.panels)
