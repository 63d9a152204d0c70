"""The denoised row of Look: who chooses its level, and what was taken out of its maps."""

import base64
import re
from types import SimpleNamespace

import numpy as np
import pytest

from camviz.engine.truncation import LEVEL
from camviz.methods import METHODS, denoise
from camviz.ui import actions, service
from camviz.ui.events import take
from camviz.ui.layers import layer_in_words, layer_name
from camviz.ui.state import AUTO, DEFAULT
from camviz.ui.tabs import compare
from camviz.ui.viewer import payload

RESNET, NFNET, VIT = (f"test_{name}.r160_in1k" for name in ("resnet", "nfnet", "vit"))
# What is chosen for `photo`, by network.
CHOSEN = {RESNET: 0.0, NFNET: 0.9}


@pytest.fixture
def open_on(visit, controls_of, photo_file):
    """open_on(network, **options): the page as it opens on `photo`."""

    def get(name, **options):
        return visit.open(controls_of(photo_file, name).with_options(**options))

    return get


def touch(view, action, name, value):
    """Do what a control does in the browser, which shows what it was set to from then on."""
    take(view.session, action, (value,), {name: value}, view.session.updates)
    return view.answer()


def tick(view, on, level=None):
    """Tick the box; level: what the slider shows, None for what was sent last."""
    level = view.session.mirror["truncation"] if level is None else level
    shown = {"automatic": on, "truncation": level}
    take(view.session, actions.set_automatic, (on, level), shown, view.session.updates)
    return view.answer()


def row_of(view):
    return service.row(view.controls, "denoised")


def sentence_of(view):
    return re.sub(r"<.*?>", "", view.tab["denoising"])


def sent(view):
    """What was sent to the controls of the row with the last answer."""
    names = ("automatic", "truncation", "truncation_mode")
    return {n: v for update in view.updates for n, v in update.tab.items() if n in names}


# -- Who chooses the level -----------------------------------------------------------------------


def test_it_is_chosen_for_the_picture_until_somebody_chooses(open_on):
    assert DEFAULT.truncation == AUTO
    for name, level in CHOSEN.items():
        view = open_on(name)
        assert sent(view) == {
            "automatic": True, "truncation": level, "truncation_mode": "threshold",
        }  # fmt: skip
        assert row_of(view).request.truncation == level
        assert sentence_of(view).startswith(f"Chosen: {'level 0.9' if level else 'none'}. ")
        assert "truncation" not in view.link


@pytest.mark.parametrize("name", CHOSEN)
def test_without_the_tick_the_level_that_is_shown_stays(open_on, name):
    view = open_on(name)
    before = [panel["data"] for panel in view.row("denoised")["panels"]]
    view = tick(view, False)
    assert view.controls.truncation == CHOSEN[name] and view.controls.truncation != AUTO
    assert sent(view) == {}, "the browser shows all of it"
    assert view.link["truncation"] == f"{CHOSEN[name]:g}"
    assert [panel["data"] for panel in view.row("denoised")["panels"]] == before
    assert "Chosen" not in sentence_of(view)
    view = tick(view, True)
    assert view.controls.truncation == AUTO and "truncation" not in view.link
    assert sent(view) == {} and sentence_of(view).startswith("Chosen: ")


def test_the_level_that_stays_is_the_sliders_whatever_else_was_forgotten(open_on):
    """Behind a notice nothing is known of what the browser shows."""
    view = open_on(RESNET)
    view.session.mirror.clear()
    view = tick(view, False, CHOSEN[RESNET])
    assert view.controls.truncation == 0.0


@pytest.mark.parametrize("level", [None, "much", 1.5])
def test_a_level_that_is_none_is_said_to_be_none(open_on, level):
    view = open_on(RESNET)
    take(view.session, actions.set_automatic, (False, level), {}, view.session.updates)
    assert view.controls.truncation == AUTO and "Truncation is a number" in view.session.notice


def test_the_level_that_stays_is_that_of_the_last_answer(open_on, write):
    """Not that of the picture before, nor the last one that was set by hand."""
    view = open_on(NFNET)
    assert view.tab["truncation"] == 0.9
    view = touch(view, actions.set_truncation, "truncation", 0.35)
    view = tick(view, True)
    assert sent(view) == {"truncation": 0.9}, "it moves back to what is chosen"
    view = view.options(method="hires_cam")
    view = view.change(target=service.load(view.controls.backbone).labels[3])
    assert sent(view) == {"truncation": 0.0} and row_of(view).truncation_choice.level == 0
    view = tick(view, False)
    assert view.controls.truncation == 0.0


@pytest.mark.parametrize("name", CHOSEN)
@pytest.mark.parametrize("level", [0, 0.35, 0.9, 0.99])
def test_moving_the_slider_chooses(open_on, name, level):
    view = touch(open_on(name), actions.set_truncation, "truncation", level)
    assert view.controls.truncation == level
    assert sent(view) == {"automatic": False}, "the slider stands there already"
    x = row_of(view)
    assert x.request.truncation == level and x.truncation_choice is None
    assert view.link["truncation"] == f"{level:g}"
    again = view.answer()
    assert sent(again) == {}


@pytest.mark.parametrize("level", [-0.01, 0.991, 1, "much", None, float("nan")])
def test_a_level_that_cannot_be_changes_nothing(open_on, level):
    view = touch(open_on(NFNET), actions.set_truncation, "truncation", level)
    assert view.controls.truncation == AUTO and "truncation" not in view.link
    assert "Truncation is a number" in view.frame["notice"]
    assert sent(view.options(fuse="mean")) == {
        "automatic": True, "truncation": 0.9, "truncation_mode": "threshold",
    }, "the slider may stand elsewhere"  # fmt: skip


def test_another_mode_has_the_usual_level(open_on):
    view = open_on(RESNET)
    assert view.tab["truncation"] == 0.0
    for mode, words in (
        ("cap", "Level 0.9, as usual: "),
        ("rectify", "These maps hold 100% of "),
        ("remove", "These maps show what speaks against "),
    ):
        view = touch(view, actions.set_option("truncation_mode"), "truncation_mode", mode)
        assert view.controls.options.truncation_mode == view.link["truncation_mode"] == mode
        assert sentence_of(view).startswith(words) and "truncation" not in view.link
        assert view.tab["truncation"] == 0.9 and row_of(view).request.truncation_mode == mode
    assert sent(view) == {}
    plain = service.row(view.controls, "layercam")
    assert plain.request.truncation == 0 and not plain.plain, "the other rows know of no mode"
    view = touch(view, actions.set_option("truncation_mode"), "truncation_mode", "threshold")
    assert sent(view) == {"truncation": 0.0} and "truncation_mode" not in view.link
    view = view.do(actions.set_option("truncation_mode"), "cut")
    assert view.controls.options.truncation_mode == "threshold"
    assert "Unknown truncation mode" in view.frame["notice"]


def test_what_a_link_says_is_shown(visit, photo_file):
    query = {"backbone": NFNET, "weights": "untrained", "truncation_mode": "rectify"}
    for given, automatic, level in ((None, True, 0.9), ("auto", True, 0.9), ("0.2", False, 0.2)):
        visit.session.__init__()
        more = {} if given is None else {"truncation": given}
        actions.open_link(visit.session, {**query, **more}, photo_file)
        view = visit.answer()
        assert sent(view) == {
            "automatic": automatic, "truncation": level, "truncation_mode": "rectify",
        }  # fmt: skip
        assert view.link.get("truncation") == (None if automatic else "0.2")


def test_without_a_picture_the_controls_are_right(open_on):
    view = open_on(NFNET, truncation_mode="cap").change(picture=None)
    view = view.change(truncation=0.5)
    assert sent(view) == {"automatic": False} and view.tab["denoising"] == ""
    view = open_on(NFNET, method="eigen_cam")
    assert sent(view) == {"automatic": True, "truncation_mode": "threshold"}
    view = tick(view, False, LEVEL)
    assert view.controls.truncation == LEVEL


# -- What was taken out --------------------------------------------------------------------------


def rows_of(view):
    return [row["key"] for row in view.tab["maps"].to_json()["rows"]]


WITH = ["layercam", "denoised", "removed", "prototypes"]
WITHOUT = ["layercam", "denoised", "prototypes"]


def test_it_is_shown_only_where_something_was(open_on):
    assert rows_of(open_on(NFNET)) == WITH
    view = open_on(RESNET)
    assert rows_of(view) == WITHOUT
    assert rows_of(touch(view, actions.set_truncation, "truncation", 0.5)) == WITH
    assert rows_of(touch(view, actions.set_truncation, "truncation", 0)) == WITHOUT
    view.do(actions.set_truncation, 0.9)
    assert rows_of(view.options(stages=("layer4",))) == WITHOUT
    assert rows_of(view.options(stages=("layer2", "layer4"))) == WITH
    assert view.panels("removed") == ["layer2"]
    assert rows_of(view.options(stages=None, method="eigen_cam")) == WITHOUT
    assert rows_of(view.change(picture=None)) == ["layercam"]


def values_of(panel):
    """A panel's values in true units, and half a step of them."""
    shape = panel["grid"]

    def share(key):
        data = panel[key] and np.frombuffer(base64.b64decode(panel[key]), np.uint8)
        return np.zeros(shape) if data is None else data.reshape(shape) / 255

    values = share("data") * panel["peak"] - share("against") * panel["lowest"]
    return values, max(panel["peak"], panel["lowest"]) * (0.5 / 255 + 1e-6)


CASES = [
    (NFNET, {}, AUTO),
    (NFNET, {"fit": "crop", "tap": "output"}, 0.6),
    (RESNET, {"stages": ("layer4", "layer2.0.conv1", "layer1")}, 0.9),
    (RESNET, {"method": "grad_cam", "truncation_mode": "cap"}, 0.9),
    (RESNET, {"method": "hires_cam", "truncation_mode": "remove"}, AUTO),
    (VIT, {"method": "hires_cam"}, AUTO),
]


@pytest.mark.parametrize(("name", "options", "level"), CASES, ids=str)
def test_it_is_the_plain_map_less_the_denoised_one(open_on, name, options, level):
    view = open_on(name, **options).change(truncation=level)
    x, plain = row_of(view), service.row(view.controls, "layercam")
    row = view.row("removed")
    truncated = [stage for stage in x.stages if stage in x.request.truncated]
    assert truncated == list(x.stages[:-1])
    assert [panel["key"] for panel in row["panels"]] == truncated[::-1], "coarse to fine"
    for panel in row["panels"]:
        stage = panel["key"]
        before, after = (np.maximum(each.raw[stage], 0) for each in (plain, x))
        values, step = values_of(panel)
        assert np.abs(values - (before - after)).max() <= step
        assert panel["peak"] == pytest.approx((before - after).max().clip(0), rel=1e-6)
        assert panel["lowest"] == pytest.approx((after - before).max().clip(0), rel=1e-6)
        placement = x.placements[stage]
        assert (panel["stride"], panel["offset"]) == (placement.stride, placement.offset)
        # On the scale of the plain map, so that both may be held side by side.
        assert panel["top"] == pytest.approx(before.max(), rel=1e-6)
        assert panel["unit"] == x.request.method and panel["ends"] == ("added", "taken")
        (twin,) = [p for p in view.row("layercam")["panels"] if p["key"] == stage]
        for what in ("name", "module", "unit", "scene", "grid", "label", "network", "last"):
            assert panel[what] == twin[what], what
        assert panel["name"] == layer_name(x.backbone, stage, x.notes[stage].grid)
        layer = layer_in_words(x.backbone, stage)
        assert panel["alt"] == f"What was taken out of the map of {layer} for {x.label}"


def test_what_was_added_is_below_zero(open_on):
    """Of LayerCAM after a ReLU nothing can be; of a map that subtracts it can."""
    for panel in open_on(RESNET).change(truncation=0.9).row("removed")["panels"]:
        assert panel["peak"] > 0 == panel["lowest"] and panel["against"] is None
    view = open_on(VIT, method="hires_cam")
    for panel in view.row("removed")["panels"]:
        assert panel["lowest"] > 0 and panel["against"] is not None
        assert values_of(panel)[0].min() == pytest.approx(-panel["lowest"])
    assert any(p["lowest"] > p["top"] for p in view.row("removed")["panels"]), "beyond the scale"


def test_it_says_what_it_is(open_on):
    view = open_on(NFNET)
    row = view.row("removed")
    assert (row["title"], row["method"], row["paper"]) == (
        "Taken out", METHODS["layer_cam"].label, denoise.SOURCE,
    )  # fmt: skip
    assert row["words"]["summary"].startswith("The plain maps less the denoised ones")
    assert row["words"]["formula"] == "D = ReLU(M) − ReLU(M_denoised)"
    assert row["reason"] is row["holds"] is row["tag"] is None and row["absent"] == ()
    assert view.row("denoised")["holds"] == compare.SLIDER
    hires = row_of(open_on(VIT, method="hires_cam"))
    alone = payload({"removed": compare._removed(hires)})
    assert any(panel.against for panel in alone.rows[0].panels)
    assert not alone.has_signs, "it has two signs by itself, whatever is set"
    assert all(not panel["remarks"] for panel in row["panels"])


def test_it_waits_for_no_prototypes(open_on, monkeypatch):
    view = open_on(NFNET)
    monkeypatch.setattr(compare, "PATIENCE", 0)
    monkeypatch.setattr(compare, "wait", lambda *_: SimpleNamespace(done=()))
    first, second = view.options(fuse="mean").updates[:2]
    for update in (first, second):
        assert [row.key for row in update.tab["maps"].rows] == WITH
    assert first.tab["maps"].rows[-1].reason == compare.COMING
    assert first.tab["maps"].rows[2] == second.tab["maps"].rows[2]
