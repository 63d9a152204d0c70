"""The view Faithfulness without a browser: what is measured at once, what is asked for, and what
is said of it.
"""

import base64
import io
import json
import re
from dataclasses import fields, replace
from html import escape, unescape

import numpy as np
import pytest
from PIL import Image

from camviz import wrap_backbone
from camviz.engine.faithfulness import GAUSSIAN, RANDOM
from camviz.examples import example
from camviz.maps.metrics import METRICS
from camviz.resources import WEB
from camviz.turns import Stopped
from camviz.ui import html, on_request, service
from camviz.ui.answer import answer
from camviz.ui.compute import engine
from camviz.ui.events import take
from camviz.ui.state import BackboneChoice, Controls, Selection, Task
from camviz.ui.tabs import faithfulness
from camviz.ui.viewer import Curves, curves_of
from camviz.ui.viewer.curves import CurveLine
from tests.support.networks import untrained

MODULE = WEB / "curves" / "plot.js"


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """On a busy machine a network takes longer than a visitor would wait unasked."""
    monkeypatch.setattr(on_request, "AT_ONCE", 3600.0)


@pytest.fixture
def controls(controls_of, write, request):
    """A picture of which the page's engine has measured nothing: it is one for all tests."""
    return controls_of(write("new.png", sum(map(ord, request.node.name))))


@pytest.fixture
def ram(fresh):
    return Controls(picture=str(example("a-ram").path), backbone=BackboneChoice("scenes-resnet"))


def text_of(html):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def pixels(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))


# --- what is shown ---


def test_the_map_comes_first_and_then_the_others(session, controls):
    updates = list(faithfulness.show(session, controls, Task()))
    names = [[line.name for line in update.tab["curves"].lines] for update in updates]
    assert names == [
        ["This map"],
        ["This map", "Refined", "Random", "Centred Gaussian"],
    ]
    assert "better than random" not in updates[0].tab["heading"]
    assert all(update.tab["start"] == "" for update in updates)
    again = list(faithfulness.show(session, controls, Task()))
    assert len(again) == 1 and again[0].tab == updates[-1].tab, "it is all known now"


def test_the_table_has_the_engines_figures(shown, controls):
    page = shown(faithfulness, controls)
    x = service.explain(controls)
    figures = engine().faithfulness(x).figures
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", page["table"], re.S)
    assert len(rows) == len(METRICS)
    for row, (key, metric) in zip(rows, METRICS.items(), strict=True):
        said = text_of(row)
        assert metric.label in said and metric.meaning in said
        assert ("↑" if metric.better == "higher" else "↓") in row
        assert f"{metric.better} is better" in row
        cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
        assert cells == [faithfulness.in_words(key, each[key]) for each in figures.values()]
    assert faithfulness.in_words("increase", 1.0) == "yes"
    assert faithfulness.in_words("road", -0.1234) == "−0.123"


def test_the_best_of_a_row_is_marked():
    def best(key, *values):
        row = faithfulness.row_of(key, dict(zip(faithfulness.NAMES, values, strict=True)))
        return [marked for _, marked in row.cells]

    assert best("deletion", 0.1, 0.2, 0.3, 0.05) == [False, False, False, True]
    assert best("insertion", 0.1, 0.2, 0.2, 0.05) == [False, True, True, False]
    assert best("increase", 1.0, 1.0, 1.0, 1.0) == [False] * 4
    assert best("average_drop", 0.00001, 0.0, 0.5, 0.5) == [True, True, False, False]
    # A map that does not depend on the picture is coherent by its nature.
    assert best("coherency", 0.8, 0.9, 1.0, 1.0) == [False, True, False, False]
    assert best("adcc", 0.8, 0.7, 0.9, 0.9) == [True, False, False, False]


def test_the_verdict_is_of_three_tests():
    def said(deletion, insertion, road):
        own = {"deletion": deletion, "insertion": insertion, "road": road}
        return faithfulness.verdict(
            {"fused": own, RANDOM: {"deletion": 0.5, "insertion": 0.5, "road": 0.0}}
        )

    assert said(0.1, 0.9, 0.2) == "all three"
    assert said(0.1, 0.4, 0.2) == "two of three"
    assert said(0.5, 0.9, 0.0) == "one of three", "equal is not better"
    assert said(0.6, 0.4, -0.2) == "none of the three"


def test_what_is_said_is_what_was_measured(shown, ram):
    page = shown(faithfulness, ram)
    figures = engine().faithfulness(service.explain(ram)).figures
    text = text_of(page["heading"])
    assert text.startswith("Does the map show what ram depends on?")
    assert "This map is better than random blobs in all three" in text
    for name in ("deletion", "insertion"):
        own, random = figures["fused"][name], figures[RANDOM][name]
        assert f"{name} {own:.2f} against {random:.2f}" in text
    assert "untrained" not in text
    assert "probabilities of ram" in page["table"]


def test_untrained_networks_are_marked(shown, controls):
    assert "untrained" in shown(faithfulness, controls)["heading"]


# --- what the browser gets ---


def test_every_step_can_be_composed_of_what_is_sent(controls):
    found = engine().faithfulness(service.explain(controls))
    value = curves_of(found, faithfulness.NAMES, "my ram.png")
    assert value.name == "my-ram" and value.size == found.picture.shape[1::-1]
    assert np.array_equal(pixels(value.picture), found.picture)
    assert np.array_equal(pixels(value.blurred), found.blurred)
    for line in value.lines:
        heat = found.heats[line.key]
        changed = pixels(line.changed)
        assert changed.shape == heat.shape
        for step in (0, 1, 14, 28):
            count = round(value.shares[step] * heat.size)
            assert np.count_nonzero(changed <= step) == count
        # The hottest pixels come first.
        assert heat[changed == 1].min() >= heat[changed == 2].max()
        assert line.deletion == pytest.approx(found.measured[line.key].curves["deletion"].scores)
        assert line.figures == pytest.approx(found.figures[line.key])
    assert len(json.dumps(value.to_json())) < 400_000


def test_both_sides_have_the_same_keys():
    text = MODULE.read_text(encoding="utf-8")
    for kind in (Curves, CurveLine):
        block = re.search(rf"@typedef \{{object\}} {kind.__name__}\n(.*?)\*/", text, re.S)[1]
        found = re.findall(r"@property \{.*?\} (\w+)", block)
        assert found == [one.name for one in fields(kind)]


# --- what takes long ---


@pytest.fixture
def priced(monkeypatch):
    """Sets what the engine says that measuring takes."""

    def set_price(own, everything):
        monkeypatch.setattr(
            engine(), "faithfulness_price",
            lambda x, beside=None: own if beside == () else everything,
        )  # fmt: skip

    return set_price


def test_what_takes_long_is_not_begun(shown, controls, priced, monkeypatch):
    monkeypatch.setattr(engine(), "faithfulness", lambda *_, **__: pytest.fail("it was begun"))
    priced(on_request.AT_ONCE + 0.1, 18.2)
    page = shown(faithfulness, controls)
    assert page["curves"] is None and page["table"] == ""
    assert 'data-label="measure">Measure it, about 18 s</button>' in page["start"]
    assert "Does the map show" in page["heading"]
    priced(None, None)
    assert ">Measure it</button>" in shown(faithfulness, controls)["start"]


def test_what_takes_a_moment_is_measured_at_once(shown, controls, priced):
    priced(on_request.AT_ONCE, 8.0)
    assert len(shown(faithfulness, controls)["curves"].lines) == 4


@pytest.fixture
def asked(visit, controls, priced):
    """The page with the view open, whose button was just pressed: measuring always takes long."""
    priced(on_request.AT_ONCE + 1, on_request.AT_ONCE + 20)
    visit.tabs = (faithfulness,)
    visit.open(controls)
    visit.session.open_tab(faithfulness.ID)
    assert visit.answer().tab["curves"] is None and visit.tab["start"]
    take(visit.session, faithfulness.begin, Selection("measure"))
    return visit


@pytest.mark.long
def test_a_press_measures_the_map_and_then_the_others(asked, monkeypatch):
    """It is no matter that the price is the same behind it, as where little is kept."""
    shown = asked.answer()
    updates = [update.tab for update in shown.updates if update.tab]
    assert [len(tab["curves"].lines) for tab in updates] == [1, 4]
    assert shown.tab["start"] == ""
    monkeypatch.undo()
    assert engine().faithfulness_price(service.explain(shown.controls)) == 0


def test_another_class_ends_it_and_waits_for_a_press_of_its_own(asked):
    session = asked.session
    steps = answer(session, session.begin_answer(), asked.tabs)
    while not next(steps).tab:
        pass
    session.change(replace(session.controls, target="tennis ball"))
    with pytest.raises(Stopped):
        list(steps)
    shown = asked.answer()
    assert shown.tab["curves"] is None and "tennis ball" in shown.tab["heading"]
    assert "Measure it" in shown.tab["start"]


def test_stop_ends_it_and_keeps_what_is_whole(session, controls):
    task = Task()
    steps = faithfulness.show(session, controls, task)
    next(steps)
    task.cancel()
    with pytest.raises(Stopped):
        next(steps)
    x = service.explain(controls)
    assert engine().faithfulness_price(x, beside=()) == 0 < engine().faithfulness_price(x)


# --- what cannot be measured ---


def test_a_sentence_where_there_is_nothing_to_test(shown, controls):
    page = shown(faithfulness, replace(controls, picture=None))
    assert page["heading"] == f"<p>{faithfulness.NO_PICTURE}</p>" and page["curves"] is None


@pytest.fixture
def with_network(monkeypatch):
    """with_network(network): the page explains by it, whatever is chosen."""

    def use(network):
        monkeypatch.setattr(service, "load", lambda choice: network)

    return use


def test_a_network_without_classes_is_a_sentence(shown, controls, with_network):
    with_network(wrap_backbone(untrained(num_classes=0)))
    page = shown(faithfulness, controls)
    assert "knows no classes" in page["heading"] and page["table"] == page["start"] == ""


def test_values_are_spoken_of_as_values(shown, controls, with_network):
    with_network(wrap_backbone(untrained(num_classes=2), output="value", labels=["age", "size"]))
    page = shown(faithfulness, replace(controls, target="age"))
    assert "values of age" in page["table"] and "which this network does not give" in page["table"]
    assert "Average drop</span>" not in page["table"] and page["curves"].unit == "value"
    assert set(page["curves"].lines[-1].figures) == {
        "deletion", "insertion", "complexity", "coherency", "road"
    }  # fmt: skip
    assert page["curves"].lines[-1].key == GAUSSIAN


def test_claims_about_maps_stand_below_with_their_figures():
    """Every figure of the file is on the page, and a claim that fails says so."""
    told = json.loads(faithfulness.CLAIMS.read_text())
    page = faithfulness.claims()
    for claim in told["claims"]:
        assert escape(claim["question"]) in page and escape(claim["sentence"]) in page
        for network in claim["answers"]:
            for each in network["differences"]:
                assert f"<td>{html.signed(each['gain'])}</td>" in page
                assert f"<td>{html.signed(each['low'])} to {html.signed(each['high'])}</td>" in page
            if not network["differences"]:
                assert escape(network["reason"]) in page
    assert f"{told['pictures']} drawn scenes" in page and "No for" in page
