"""Models without a browser: several backbones side by side, and what cannot be had."""

import json
from dataclasses import replace

import pytest

from camviz.errors import WeightsError
from camviz.examples import example
from camviz.turns import Stopped
from camviz.ui import choices, service
from camviz.ui.comparison import agreement
from camviz.ui.service import explain
from camviz.ui.state import Task
from camviz.ui.tabs import models
from camviz.ui.tabs.models import OWN, suggest_backbones
from camviz.ui.viewer import MapPanel

RAM = str(example("a-ram").path)
SCENES, PHOTOS = "scenes-resnet", "photos-resnet"


@pytest.fixture
def ram(controls_of):
    return controls_of(RAM, SCENES, untrained=False)


@pytest.fixture
def tab_of(shown):
    """tab_of(controls, others, **settings): the parts of the tab; None: none were chosen yet."""

    def get(controls, others=(PHOTOS,), **settings):
        others = None if others is None else list(others)
        return shown(models, controls, others=others, **settings)

    return get


def panels(tab, row=0):
    """The maps of a row, and what stands in the place of one, by key."""
    found = tab["maps"].rows[row]
    return {panel.key: panel for panel in (*found.panels, *found.absent)}


# -- Side by side --------------------------------------------------------------------------------


def test_a_row_a_depth_and_a_column_a_backbone(ram, tab_of):
    tab = tab_of(ram)
    assert [row.key for row in tab["maps"].rows] == ["fused", "coarse", "fine"]
    for row in range(3):
        assert list(panels(tab, row)) == [SCENES, PHOTOS, "difference"]
    coarse, fine = panels(tab, 1), panels(tab, 2)
    assert coarse[SCENES].grid == (4, 4) and fine[SCENES].grid == (32, 32)


def test_one_scale_whatever_the_units_of_a_network(ram, tab_of):
    for panel in panels(tab_of(ram), 1).values():
        assert panel.unit is None
        assert panel.ends is not None or panel.peak == 1


def test_every_network_reads_the_picture_in_its_own_size(ram, tab_of):
    found = panels(tab_of(ram))
    assert found[SCENES].scene.input == (128, 128)
    assert found[PHOTOS].scene.input == (160, 160)


def test_the_first_is_always_the_one_on_the_left(ram, tab_of):
    assert list(panels(tab_of(ram, [SCENES, PHOTOS]))) == [SCENES, PHOTOS, "difference"]
    alone = tab_of(ram, [SCENES])
    assert list(panels(alone)) == [SCENES] and "One backbone alone" in alone["heading"]
    assert list(panels(tab_of(ram, []))) == [SCENES]


def test_one_to_begin_with_is_here_already_and_knows_the_domain(ram, tab_of):
    tab = tab_of(ram, None)
    (chosen,) = tab["others"].value
    assert chosen in panels(tab)
    assert (choices.lookup(chosen).label, chosen) in tab["others"].choices
    assert choices.lookup(chosen).source == "bundled"
    cheetah = replace(ram, picture=str(example("cheetah").path))
    assert suggest_backbones(cheetah) == ["tf_efficientnet_lite0.in1k"]
    assert "others" not in tab_of(ram)


def test_without_a_picture_a_sentence(ram, tab_of):
    tab = tab_of(replace(ram, picture=None))
    assert "Give a picture" in tab["maps"].rows[0].reason


def test_a_method_of_one_stage_has_one_row(ram, tab_of):
    (row,) = tab_of(ram.with_options(method="cam"))["maps"].rows
    assert row.title == "The only layer" and len(row.panels) == 3


# -- Classes -------------------------------------------------------------------------------------


def test_same_class_where_both_know_it(ram, tab_of):
    tab = tab_of(replace(ram, target="sheep"), ["scenes-convnext"])
    assert "“sheep”" in panels(tab)["scenes-convnext"].facts
    assert "does not know" not in tab["table"]


def test_where_one_does_not_know_the_class_it_is_said(ram, tab_of, on_backbone):
    tab = tab_of(ram)
    own = explain(on_backbone(ram, PHOTOS))
    assert f"“{own.label}”" in panels(tab)[PHOTOS].facts
    assert f"{PHOTOS} does not know “ram”" in tab["table"]
    assert f"{PHOTOS} is not sure" in tab["table"]


def test_each_its_own_first_guess(ram, tab_of, on_backbone):
    tab = tab_of(replace(ram, target="sheep"), ["scenes-convnext"], explained=OWN)
    own = explain(on_backbone(ram, "scenes-convnext"))
    assert panels(tab)["scenes-convnext"].facts[0] == f"“{own.label}”" != "“sheep”"
    assert "Explained are “sheep” of scenes-resnet" in tab["table"]


def test_the_table_has_the_best_classes_of_both(ram, tab_of):
    table = tab_of(ram)["table"]
    assert table.count("not known") == 2 * 3
    assert f'<th scope="col">{SCENES}<small>' in table and '<th scope="row">ram</th>' in table
    assert table.count('class="cv-explained"') == 2 and "--share:" in table


# -- Agreement -----------------------------------------------------------------------------------


def test_the_heading_says_how_far_two_agree(ram, tab_of, on_backbone):
    found = agreement(MapPanel(explain(ram)), MapPanel(explain(on_backbone(ram, PHOTOS))))
    heading = tab_of(ram)["heading"]
    assert found.figures in heading and found.words in heading
    assert "at least 20% of its maximum" in heading


def test_difference_of_a_chosen_pair(ram, tab_of):
    others = [PHOTOS, "scenes-convnext"]
    tab = tab_of(ram, others)
    assert panels(tab)["difference"].name == f"{SCENES} − {PHOTOS}"
    assert tab["pair"].visible and len(tab["pair"].choices) == 3
    assert tab["heading"].count("<li>") == 3
    tab = tab_of(ram, others, pair=f"{SCENES}|scenes-convnext")
    panel = panels(tab)["difference"]
    assert panel.name == f"{SCENES} − scenes-convnext"
    assert panel.ends == ("scenes-convnext", SCENES)
    assert tab["pair"].value == f"{SCENES}|scenes-convnext"
    assert not tab_of(ram)["pair"].visible, "of one pair there is nothing to choose"


# -- What cannot be had --------------------------------------------------------------------------


def test_one_that_cannot_be_had_is_a_sentence_and_the_others_stay(ram, tab_of, monkeypatch):
    monkeypatch.setattr("camviz.network.hub.hub_reachable", lambda *_: False)
    tab = tab_of(ram, ["resnet50.a1_in1k", PHOTOS, "local-dir:/etc"])
    found = panels(tab)
    assert "hub cannot be reached." in found["resnet50.a1_in1k"].reason
    assert "Give" not in found["resnet50.a1_in1k"].reason
    assert "choose one from the list" in found["local-dir:/etc"].reason
    assert found[PHOTOS].data and found["difference"].name == f"{SCENES} − {PHOTOS}"
    assert "resnet50.a1_in1k" not in panels(tab, 1), "the reason stands there once"


def test_untrained_ones_are_marked(ram, tab_of, on_backbone):
    tab = tab_of(on_backbone(ram, SCENES, untrained=True))
    assert panels(tab)[SCENES].marks == {
        "untrained": f"{SCENES} is untrained: its maps mean nothing."
    }
    assert "scenes-resnet untrained: maps mean nothing" in tab["heading"]
    assert not panels(tab)[PHOTOS].marks


def test_a_download_says_how_far_it_is_and_can_be_stopped(ram, session, monkeypatch):
    labels = []

    def slow(name, report):
        for done in range(10):
            report(done * 1_000_000, 10_000_000)
            labels.append((session.answering.label, session.answering.share))
            if done == 3:
                session.touch()  # anything was changed

    monkeypatch.setattr(models, "download", slow)
    choice = next(c for c in choices.available().values() if c.source == "hub")
    session.set(models.ID, "others", [PHOTOS, choice.name])
    session.answering = Task()
    with pytest.raises(Stopped):
        list(models.show(session, ram, session.answering))
    assert labels[1] == (f"Downloading {choice.name}: 1 of 10 MB", 0.1) and len(labels) == 4


def test_weights_that_are_on_the_hub_only_are_downloaded_first(ram, tab_of, monkeypatch):
    names = []

    def fail(name, report):
        names.append(name)
        report(1, 2)
        raise WeightsError("the disk is full")

    monkeypatch.setattr(models, "download", fail)
    choice = next(c for c in choices.available().values() if c.source == "hub")
    tab = tab_of(ram, [choice.name])
    assert names == [choice.load]
    assert panels(tab)[choice.name].reason == "The disk is full."


def test_what_is_sent_is_small(ram, tab_of):
    maps = tab_of(ram, [PHOTOS, "scenes-convnext"])["maps"]
    text = json.dumps(maps.to_json(), allow_nan=False)
    assert len(text) - len(maps.picture.src) < 150_000


def test_nothing_is_named_that_is_not_on_offer(ram, tab_of):
    tab = tab_of(ram, ["<b>x</b>"])
    assert "choose one from the list" in panels(tab)["<b>x</b>"].reason
    assert "<b>" not in tab["heading"] + tab["table"]
    assert service.load(ram.backbone).name == SCENES
