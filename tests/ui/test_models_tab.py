"""Models without a browser: classes matched by name, how far maps agree, and what cannot be had."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest

import camviz
from camviz.examples import example
from camviz.maps import localization
from camviz.maps.boxes import mask_at
from camviz.ui import choices, compare_tab, models_tab
from camviz.ui.compare_tab import Ask, explain
from camviz.ui.models_tab import OWN, SAME, Agreement, agreement, aligned, counterpart, show
from camviz.ui.viewer import Shown

pytestmark = pytest.mark.usefixtures("fresh")

RAM = str(example("a-ram").path)
SCENES, PHOTOS = "scenes-resnet", "photos-resnet"


@pytest.fixture
def ask():
    return Ask(RAM, SCENES, backbone=SCENES)


def seen(ask, others=(PHOTOS,), which=SAME, pair=None):
    *_, last = show(ask, None if others is None else list(others), which, pair)
    return last.tab


def panels(tab, row=0):
    return {panel["key"]: panel for panel in tab["models maps"]["rows"][row]["panels"]}


# -- Side by side --------------------------------------------------------------------------------


def test_a_row_a_depth_and_a_column_a_backbone(ask):
    tab = seen(ask)
    assert [row["key"] for row in tab["models maps"]["rows"]] == ["fused", "coarse", "fine"]
    for row in range(3):
        assert list(panels(tab, row)) == [SCENES, PHOTOS, "difference"]
    coarse, fine = panels(tab, 1), panels(tab, 2)
    assert coarse[SCENES]["grid"] == [4, 4] and fine[SCENES]["grid"] == [32, 32]


def test_one_scale_whatever_the_units_of_a_network(ask):
    for panel in panels(seen(ask), 1).values():
        assert panel["unit"] is None
        assert panel.get("diverging") or panel["peak"] == 1


def test_every_network_reads_the_picture_in_its_own_size(ask):
    found = panels(seen(ask))
    assert "scene" not in found[SCENES]
    assert found[PHOTOS]["scene"]["input"] == [160, 160]


def test_the_first_is_always_the_one_on_the_left(ask):
    assert list(panels(seen(ask, [SCENES, PHOTOS]))) == [SCENES, PHOTOS, "difference"]
    alone = seen(ask, [SCENES])
    assert list(panels(alone)) == [SCENES] and "One backbone alone" in alone["models said"]
    assert list(panels(seen(ask, []))) == [SCENES]


def test_one_to_begin_with_is_here_already_and_knows_the_domain(ask):
    tab = seen(ask, None)
    (chosen,) = tab["models with"]["value"]
    assert chosen in panels(tab) and tab["models chosen"] == [chosen]
    assert choices.lookup(chosen).source == "bundled"
    cheetah = replace(ask, picture=str(example("cheetah").path))
    assert models_tab.second(cheetah) == [PHOTOS]
    assert "models with" not in seen(ask)


def test_without_a_picture_a_sentence(ask):
    tab = seen(replace(ask, picture=None))
    assert "Give a picture" in tab["models maps"]["rows"][0]["said"]


def test_a_method_of_one_stage_has_one_row(ask):
    (row,) = seen(replace(ask, method="cam"))["models maps"]["rows"]
    assert row["title"] == "The only layer" and len(row["panels"]) == 3


# -- Classes -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def named():
    """named(*labels): an untrained network that knows these classes; "a/b": label and synonym."""
    import timm

    def make(*labels):
        model = timm.create_model("test_resnet", num_classes=len(labels))
        backbone = camviz.wrap_backbone(model, labels=[label.split("/")[0] for label in labels])
        return replace(backbone, synonyms=tuple(tuple(label.split("/")) for label in labels))

    return make


def test_classes_are_matched_by_name_and_by_synonym(named):
    one, other = named("ram", "Church", "lorry/truck"), named("truck", "church", "zebra")
    assert [counterpart(one, index, other) for index in range(3)] == [None, 1, 0]
    assert [counterpart(other, index, one) for index in range(3)] == [2, 1, None]
    assert counterpart(one, 2, one) == 2


def test_an_ambiguous_name_is_no_match(named):
    one, other = named("crane", "ram"), named("bird/crane", "machine/crane")
    assert counterpart(one, 0, other) is None


def test_same_class_where_both_know_it(ask):
    asked = replace(ask, target="sheep")
    tab = seen(asked, ["scenes-convnext"])
    assert "“sheep”" in panels(tab)["scenes-convnext"]["facts"]
    assert "does not know" not in tab["models table"]


def test_where_one_does_not_know_the_class_it_is_said(ask):
    tab = seen(ask)
    own = explain(replace(ask, backbone=PHOTOS))
    assert f"“{own.label}”" in panels(tab)[PHOTOS]["facts"]
    assert f"{PHOTOS} does not know “ram”" in tab["models table"]
    assert f"{PHOTOS} is not sure" in tab["models table"]


def test_each_its_own_first_guess(ask):
    tab = seen(replace(ask, target="sheep"), ["scenes-convnext"], OWN)
    own = explain(replace(ask, backbone="scenes-convnext"))
    assert panels(tab)["scenes-convnext"]["facts"][0] == f"“{own.label}”" != "“sheep”"
    assert "Explained are “sheep” of scenes-resnet" in tab["models table"]


def test_the_table_has_a_class_of_one_name_in_one_line(ask):
    there = {name: explain(replace(ask, backbone=name)) for name in (SCENES, "scenes-convnext")}
    rows = aligned(there)
    assert rows[0] == {SCENES: 1, "scenes-convnext": 1}, "the most probable first"
    assert len({row[SCENES] for row in rows}) == len(rows)
    text = models_tab._table(
        {SCENES: there[SCENES], PHOTOS: explain(replace(ask, backbone=PHOTOS))}
    )
    assert text.count("not known") == 2 * models_tab.BEST


# -- Agreement -----------------------------------------------------------------------------------


def test_agreement_is_that_of_the_fused_maps(ask):
    x, y = explain(ask), explain(replace(ask, backbone=PHOTOS))
    found = agreement(Shown(x), Shown(y))
    r = np.corrcoef(x.fused.ravel(), y.fused.ravel())[0, 1]
    iou = localization.iou(mask_at(x.fused, 0.2), mask_at(y.fused, 0.2))
    assert found.r == pytest.approx(r, abs=0.01) and found.iou == pytest.approx(iou, abs=0.01)
    assert found.figures in seen(ask)["models said"]


def test_a_map_agrees_with_itself_and_an_empty_one_with_none(ask):
    x = explain(ask)
    assert agreement(Shown(x), Shown(x)) == Agreement(pytest.approx(1), 1)
    empty = replace(x, raw={name: -np.abs(raw) for name, raw in x.raw.items()})
    assert agreement(Shown(x), Shown(empty)) == Agreement(None, 0)


def test_only_what_both_were_shown_is_compared(photo, tiny):
    engine, backbone = camviz.Engine("cpu"), tiny("test_resnet")
    x, y = (engine.explain(photo, backbone, target=3, fit=fit) for fit in ("stretch", "crop"))
    assert not y.fit.shows_all
    found = agreement(Shown(x), Shown(y))
    r = np.corrcoef(x.fused[y.visible], y.fused[y.visible])[0, 1]
    assert found.r == pytest.approx(r, abs=0.01)


@pytest.mark.parametrize(
    ("r", "iou", "words"),
    [
        (0.91, 0.74, "the same place"),
        (0.9, 0.3, "partly the same place"),
        (0.1, 0.3, "partly the same place"),
        (0.1, 0.1, "different places"),
        (None, 0.0, "different places"),
    ],
)
def test_words(r, iou, words):
    assert Agreement(r, iou).words == f"look at {words}"


def test_figures():
    assert Agreement(-0.5, 0.25).figures == "r = −0.50, IoU 0.25"
    assert Agreement(None, 0).figures == "r unknown, IoU 0.00"


def test_difference_of_a_chosen_pair(ask):
    others = [PHOTOS, "scenes-convnext"]
    tab = seen(ask, others)
    assert panels(tab)["difference"]["name"] == f"{SCENES} − {PHOTOS}"
    assert tab["models pair"]["visible"] and len(tab["models pair"]["choices"]) == 3
    tab = seen(ask, others, pair=f"{SCENES}|scenes-convnext")
    panel = panels(tab)["difference"]
    assert panel["name"] == f"{SCENES} − scenes-convnext" and panel["diverging"]
    assert panel["ends"] == ["scenes-convnext", SCENES]
    assert not seen(ask)["models pair"]["visible"], "of one pair there is nothing to choose"


# -- What cannot be had --------------------------------------------------------------------------


def test_one_that_cannot_be_had_is_a_sentence_and_the_others_stay(ask, monkeypatch):
    monkeypatch.setattr("camviz.network.hub.hub_reachable", lambda *_: False)
    tab = seen(ask, ["resnet50.a1_in1k", PHOTOS, "local-dir:/etc"])
    found = panels(tab)
    assert "hub cannot be reached." in found["resnet50.a1_in1k"]["said"]
    assert "Give" not in found["resnet50.a1_in1k"]["said"]
    assert "choose one from the list" in found["local-dir:/etc"]["said"]
    assert found[PHOTOS]["data"] and found["difference"]["name"] == f"{SCENES} − {PHOTOS}"
    assert "resnet50.a1_in1k" not in panels(tab, 1), "it is said once"


def test_untrained_ones_are_marked(ask):
    tab = seen(replace(ask, untrained=True))
    assert panels(tab)[SCENES]["marks"] == {
        "untrained": f"{SCENES} is untrained: its maps mean nothing."
    }
    assert "scenes-resnet untrained: maps mean nothing" in tab["models said"]
    assert not panels(tab)[PHOTOS]["marks"]


def test_what_takes_long_says_how_far_it_is_and_can_be_stopped(ask, monkeypatch):
    stopped = threading.Event()

    def slow(asked, name, first, report):
        try:
            for done in range(1, 10_000):
                report(done * 1000, 10_000_000)
                threading.Event().wait(0.005)
        finally:
            stopped.set()

    monkeypatch.setattr(models_tab, "found_by", slow)
    monkeypatch.setattr(models_tab, "SOON", 0.02)
    steps = show(ask, [PHOTOS], SAME, None)
    said = [next(steps).progress for _ in range(5)]
    assert f"Downloading {PHOTOS}: 0 of 10 MB" in said[-1] and 'value="0.0' in said[-1]
    steps.close()
    assert stopped.wait(5), "whoever leaves ends the download"


def test_what_is_sent_is_small(ask):
    maps = seen(ask, [PHOTOS, "scenes-convnext"])["models maps"]
    text = json.dumps(maps, allow_nan=False)
    assert len(text) - len(maps["picture"]["src"]) < 150_000


def test_nothing_is_named_that_is_not_on_offer(ask):
    tab = seen(ask, ["<b>x</b>"])
    assert "choose one from the list" in panels(tab)["<b>x</b>"]["said"]
    assert "<b>" not in tab["models said"] + tab["models table"]
    assert compare_tab.network(ask).name == SCENES
