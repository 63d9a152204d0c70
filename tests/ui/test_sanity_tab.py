"""The view Sanity without a browser: what is shown, asked and said, and the files."""

import base64
import csv
import io
import re
from dataclasses import fields, replace
from html import unescape
from xml.etree import ElementTree

import numpy as np
import pytest

from camviz.examples import example
from camviz.resources import WEB
from camviz.turns import Stopped
from camviz.ui import on_request, sanity_plot, service
from camviz.ui.compute import engine
from camviz.ui.state import BackboneChoice, Controls, Selection, Task
from camviz.ui.tabs import sanity
from camviz.ui.viewer import Steps

RAM = str(example("a-ram").path)


@pytest.fixture
def scene(fresh):
    return Controls(picture=RAM, backbone=BackboneChoice("scenes-resnet"))


@pytest.fixture
def quick(monkeypatch):
    """Nothing takes so long that it waits for a click."""
    monkeypatch.setattr(on_request, "AT_ONCE", 1e9)


@pytest.fixture
def slow(monkeypatch):
    """Everything waits for a click."""
    monkeypatch.setattr(on_request, "AT_ONCE", -1.0)


def text_of(markup):
    return " ".join(unescape(re.sub(r"<[^>]+>", "", str(markup))).split())


def test_strip_slider_and_plot_show_the_same_cascade(shown, scene, quick):
    page = shown(sanity, scene)
    x = service.explain(scene)
    found = engine().sanity(x)
    (row,) = page["maps"].rows
    names = ["network as it is", *(f"+ {step.name}" for step in found.random)]
    assert [panel.name for panel in row.panels] == names
    slider = Steps(**page["slider"])
    assert list(slider.labels) == names
    data = np.frombuffer(base64.b64decode(slider.data), np.uint8).reshape(-1, *slider.grid)
    heats = np.stack([step.heat for step in found.steps])
    assert np.abs(data / 255 - heats).max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(data[0], np.rint(x.fused_grid[0] * 255)), "the first is the map shown"
    assert row.panels[1].facts[-1] == f"rank correlation {found.steps[1].rank:.2f}"
    assert slider.follows == sanity.VIEWER and slider.marks == sanity.PLOT
    svg = re.search(r"<svg.*</svg>", str(page["plot"]), re.S)[0]
    marks = ElementTree.fromstring(svg).findall(".//*[@data-step]")
    assert [mark.get("data-step") for mark in marks] == [str(i) for i in range(len(names))]


def test_dots_stand_where_the_correlations_are(shown, scene, quick):
    found = engine().sanity(service.explain(scene))
    plot = sanity_plot.plot_of(found)
    ticks = {tick.text: tick.x for tick in plot.ticks}
    assert ticks["−1"] == plot.left and ticks["0"] == (plot.left + ticks["1"]) / 2
    for point, step in zip(plot.points, found.steps, strict=True):
        wanted = ticks["−1"] + (step.rank + 1) / 2 * (ticks["1"] - ticks["−1"])
        assert point.x == pytest.approx(wanted, abs=0.06)
    assert [p.y for p in plot.points] == sorted({p.y for p in plot.points})
    assert plot.points[-1].y < plot.bottom < plot.height and ticks["1"] < plot.width
    gone = replace(found, steps=(*found.steps[:-1], replace(found.steps[-1], rank=None)))
    assert sanity_plot.plot_of(gone).points[-1].x is None
    assert "conv1 none" in sanity_plot.alt_of(gone)


def test_files_hold_every_figure(shown, scene, quick):
    page = shown(sanity, scene)
    found = engine().sanity(service.explain(scene))
    files = dict(re.findall(r'download="[^"]*\.(\w+)" href="data:[^,]*,([^"]*)"', page["plot"]))
    table = list(csv.DictReader(io.StringIO(base64.b64decode(files["csv"]).decode())))
    assert [row["block"] for row in table] == [step.name for step in found.steps]
    for row, step in zip(table, found.steps, strict=True):
        assert float(row["rank"]) == pytest.approx(step.rank, abs=1e-6)
        assert float(row["signed"]) == pytest.approx(step.signed, abs=1e-6)
        assert row["says"] == step.label and float(row["share"]) == pytest.approx(step.share)
        assert tuple(row["modules"].split()) == step.modules
    drawn = ElementTree.fromstring(base64.b64decode(files["svg"]))
    assert drawn.tag.endswith("svg") and drawn.get("width") and "var(" not in files["svg"]
    assert drawn.get("aria-label") == sanity_plot.alt_of(found)


@pytest.mark.parametrize("method", ["cam", "layer_cam"])
def test_what_is_concluded_is_what_was_computed(shown, scene, quick, method):
    chosen = scene.with_options(method=method)
    page = shown(sanity, chosen)
    found = engine().sanity(service.explain(chosen))
    text = text_of(page["heading"])
    head = {
        "learned": "This map depends on what was learned",
        "unclear": "It is not settled whether this map was learned",
        "picture": "This map shows the picture",
    }
    assert text.startswith(head[found.verdict])
    assert f"drawn 4 times, it is {sanity_plot.rank_text(found.chance)} on average" in text
    changed = found.changed_at
    assert sanity_plot.rank_text(changed.rank) in text
    at_once = changed is found.steps[1]
    assert ("as soon as the classifier is random" in text) == at_once
    assert at_once == (method == "cam")
    if not at_once:
        assert f"until {changed.name} is random, too" in text
    assert "of ram each time" in text and "Draw other weights" in text


def test_what_takes_long_waits_for_a_click(shown, session, scene, slow, merged):
    page = shown(sanity, scene)
    assert page["slider"] is None and page["maps"].rows == ()
    assert "Make it random" in page["heading"]
    session.change(scene)
    sanity.begin(session, Selection("go"))
    assert len(merged(sanity.show(session, scene, Task())).tab["maps"].rows[0].panels) > 3
    other = replace(scene, target="sheep")
    assert "Make it random" in merged(sanity.show(session, other, Task())).tab["heading"]


def test_the_price_is_named(scene):
    x = service.explain(scene)
    assert "Make it random (about 12 s)" in sanity._asks(x, 12.3)
    assert "not known yet" in sanity._asks(x, None) and "(" not in text_of(sanity._asks(x, None))


def test_other_weights_are_drawn_on_request(shown, session, scene, quick, merged):
    first = shown(sanity, scene)["slider"]
    session.change(scene)
    sanity.begin(session, Selection("again"))
    second = merged(sanity.show(session, scene, Task())).tab["slider"]
    assert second["data"] != first["data"]
    size = len(base64.b64decode(first["data"])) // len(first["labels"]) * 4 // 3
    assert second["data"][: size - 4] == first["data"][: size - 4], "the trained map is the same"


def test_stop_ends_it(session, scene, quick):
    class Impatient(Task):
        def report(self, done, total, *rest):
            if self.label == sanity.LABEL and done == 2:
                self.cancel()
            super().report(done, total, *rest)

    with pytest.raises(Stopped):
        list(sanity.show(session, replace(scene, target="church"), Impatient()))


def test_several_views_are_not_averaged_here(shown, scene, quick):
    page = shown(sanity, scene.with_options(views="flip"))
    assert "here the picture is shown as it is" in page["heading"]
    assert page["slider"] == shown(sanity, scene)["slider"]


def test_an_untrained_network_is_told(shown, controls, quick):
    page = shown(sanity, controls)
    assert "its weights are random already" in page["heading"]


def test_without_classes_the_head_is_not_called_a_classifier(controls, quick, monkeypatch):
    from camviz import Engine, wrap_backbone
    from tests.support.networks import untrained

    backbone = wrap_backbone(untrained("test_resnet", num_classes=0), device="cpu")
    own = Engine("cpu")
    x = own.explain(RAM, backbone)
    found = own.sanity(x)
    page = sanity.cascade(x, found)
    assert "classifier" not in page["heading"] and "from its last layers" in page["heading"]
    assert "It now says" not in page["plot"] and "It says" not in page["slider"]["texts"][1]


def test_prototypes_and_no_picture_have_a_sentence(shown, scene):
    page = shown(sanity, scene.with_options(method="lpcam"))
    assert "prototypes" in page["maps"].rows[0].reason and page["slider"] is None
    page = shown(sanity, replace(scene, picture=None))
    assert page["maps"].rows[0].reason == sanity.NO_PICTURE


def test_each_step_in_words(scene):
    found = engine().sanity(service.explain(scene))
    first, step = found.steps[:2]
    assert sanity.describe(first).startswith("The network as it is. It says ram")
    for rank, words in ((0.8, "looks the same (0.80)"), (0.5, "somewhat like"), (-0.2, "(−0.20)")):
        assert words in sanity.describe(replace(step, rank=rank))
    assert "Nothing is left" in sanity.describe(replace(step, rank=None))


def test_the_browser_reads_what_is_sent():
    source = (WEB / "sanity" / "map-slider.js").read_text(encoding="utf-8")
    block = re.search(r"@typedef \{object\} Steps\n(.*?)\*/", source, re.S)[1]
    assert re.findall(r"@property \{.*\} (\w+)", block) == [each.name for each in fields(Steps)]
