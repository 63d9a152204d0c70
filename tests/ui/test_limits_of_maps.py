"""The view Honest limits: its links are read, and what it says of their states is so."""

import re
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest

from camviz.engine.faithfulness import RANDOM
from camviz.errors import BackboneError
from camviz.ui import covering, links, service
from camviz.ui.compute import engine
from camviz.ui.learn import map_limits
from camviz.ui.learn.map_limits import SECTIONS, Point, alike, controls_of, found_of, on_thing
from camviz.ui.state import DEFAULT, Controls, Task
from camviz.ui.tabs import limits_of_maps, models
from camviz.ui.tabs.table import TABS

POINTS = {point.title: point for section in SECTIONS for point in section.points}


def state(title):
    """The controls that the example of a point sets."""
    return controls_of(POINTS[title])


def percents(text):
    return [int(found) for found in re.findall(r"(\d+)%", text)]


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_every_link_is_read_without_a_complaint(point):
    query = dict(parse_qsl(point.address[1:]))
    assert query == dict(point.query) and point.address[0] == "?"
    assert links.read(query)[1] == []
    assert query.get("tab", "compare") in {tab.ID for tab in TABS}
    found = state(point.title)
    assert found.backbone.name == query["backbone"]
    assert (found.picture is None) == ("example" not in query)
    if found.picture is not None:
        service.explain(found)  # whatever class it names is there
    assert 2 <= len(re.findall(r"[.!?](?: |$)", point.says)) <= 3


def test_another_class_is_another_map_or_much_the_same():
    x = service.explain(state("It answers one question about one class"))
    first = service.explain(replace(state("It answers one question about one class"), target=""))
    assert (x.label, first.label) == ("ram", "fire engine")
    assert on_thing(x)[0] > 1.5 * on_thing(first, "ram")[0]
    found = percents(found_of(POINTS["It answers one question about one class"]))
    assert found == [round(100 * on_thing(each, "ram")[0]) for each in (x, first)]


def test_the_tower_is_told_wrongly():
    x = service.explain(state("It does not say that the answer is right"))
    assert not any("eiffel" in label.casefold() for label in x.backbone.labels)
    assert f"“{x.label}”" in found_of(POINTS["It does not say that the answer is right"])


def test_most_heat_lies_outside_of_the_boat():
    x = service.explain(state("It does not outline the thing"))
    inside, area = on_thing(x)
    assert inside < 0.3 and x.label == "rowing boat"
    found = percents(found_of(POINTS["It does not outline the thing"]))
    assert found == [round(100 * (1 - inside)), round(100 * area)]


def test_methods_layers_and_networks_disagree():
    pair = [service.explain(state("The method"), method=m).fused for m in ("layer_cam", "grad_cam")]
    assert alike(*pair) < 0.6
    assert f"{alike(*pair):.2f}" in found_of(POINTS["The method"])
    x = service.explain(state("The layer"))
    assert alike(x.maps[x.stages[0]], x.maps[x.stages[-1]]) < 0.5
    said = found_of(POINTS["The network"])
    assert said.count("windmill") == 2, "both give the same answer"
    assert float(re.search(r"is (0\.\d\d)", said)[1]) < 0.7
    assert models.suggest_backbones(state("The network")) == [map_limits.OTHER_SCENES]


def test_an_untrained_network_has_a_map_as_pretty():
    title = "A network that learned nothing has maps, too"
    x = service.explain(state(title))
    inside, area = on_thing(x)
    assert not x.backbone.weights.trained
    assert inside > 3 * area, "more than three times what chance would have"
    assert percents(found_of(POINTS[title]))[:2] == [round(100 * inside), round(100 * area)]


def test_a_map_of_random_weights_is_much_the_same():
    found = engine().sanity(service.explain(state("What stays the same was never learned")))
    assert found.chance > 0.6
    assert f"{found.chance:.2f}" in found_of(POINTS["What stays the same was never learned"])


def test_the_score_falls_sooner_than_by_a_random_map():
    x = service.explain(state("How fast the score falls"))
    found = engine().faithfulness(x, metrics=("deletion",), beside=(RANDOM,)).figures
    assert found["fused"]["deletion"] < 0.5 * found[RANDOM]["deletion"]


def test_without_its_horns_it_is_no_ram():
    controls = state("Cover it")
    found = covering.covered(controls, service.explain(controls))
    (bar,) = [bar for bar in found.bars if bar.explained]
    assert bar.before > 0.8 and bar.after < 0.1
    assert f"{bar.before:.1%} to {bar.after:.1%}" in found_of(POINTS["Cover it"])


def test_a_rival_draws_the_map_onto_the_thing():
    usual, against = percents(found_of(POINTS["Compare it with another class"]))
    assert against > usual


def test_the_view_has_every_point_its_figures_and_its_link(shown):
    page = str(shown(limits_of_maps, Controls())["points"])
    for point in POINTS.values():
        assert point.title in page and point.tries in page
        assert (
            f'href="{point.address.replace("&", "&amp;")}" target="_blank" rel="noopener"' in page
        )
    assert page.count("cv-limits-found") == sum(
        point.found is not None for point in POINTS.values()
    )


def test_what_is_not_here_has_no_link(monkeypatch, session):
    gone = Point("Gone", "It is gone.", "Try", {"backbone": "no-such-network"})
    assert not gone.is_here and found_of(gone) == ""

    def fail(controls):
        raise BackboneError("not here")

    broken = replace(POINTS["Cover it"], title="Broken", found=fail)
    section = map_limits.Section("One", (gone, broken))
    monkeypatch.setattr(map_limits, "SECTIONS", (section,))
    monkeypatch.setattr(limits_of_maps, "SECTIONS", (section,))
    first, update = limits_of_maps.show(session, DEFAULT, Task())
    assert "Gone" in first.tab["points"], "the points stand there before any figure"
    page = str(update.tab["points"])
    assert "is not on this server" in page and page.count("<a ") == 1
