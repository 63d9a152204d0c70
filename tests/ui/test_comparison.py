"""Two backbones on one picture: classes matched by name, and how far maps agree."""

from dataclasses import replace

import numpy as np
import pytest

import camviz
from camviz.examples import example
from camviz.maps import localization
from camviz.maps.boxes import mask_at
from camviz.ui.comparison import (
    BEST,
    Agreement,
    agreement,
    align_classes,
    class_table,
    counterpart,
    explained_names,
)
from camviz.ui.service import explain
from camviz.ui.tabs import models
from camviz.ui.viewer import MapPanel

RAM = str(example("a-ram").path)
SCENES, CONVNEXT, PHOTOS = "scenes-resnet", "scenes-convnext", "photos-resnet"


@pytest.fixture
def explanations(controls_of):
    """explanations(*names): of the ram, by backbone."""

    def get(*names):
        return {name: explain(controls_of(RAM, name, untrained=False)) for name in names}

    return get


# -- Classes -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def named():
    """named(*labels): an untrained network with these classes; "a/b": label and synonym."""
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


def test_the_table_has_a_class_of_one_name_in_one_line(explanations):
    rows = align_classes(explanations(SCENES, CONVNEXT))
    assert rows[0] == {SCENES: 1, CONVNEXT: 1}, "the most probable first"
    assert len({row[SCENES] for row in rows}) == len(rows)
    table = class_table(explanations(SCENES, PHOTOS))
    cells = [cell for _, row in table for cell in row]
    assert cells.count(None) == 2 * BEST
    assert [cell.explained for cell in cells if cell].count(True) == 2


def test_a_class_has_one_name_in_the_table_and_above_the_maps(named, photo):
    engine = camviz.Engine("cpu")
    found = {
        "one": engine.explain(photo, named("ram", "ewer/pitcher", "zebra"), target=1),
        "other": engine.explain(photo, named("pitcher/ewer", "church", "zebra"), target=0),
    }
    assert explained_names(found) == {"one": "ewer", "other": "ewer"}
    assert "ewer" in [label for label, _ in class_table(found)]
    panels = models.rows_of(found, None)["fused"].panels
    assert [panel.facts for panel in panels.values()] == [("“ewer”",), ("“ewer”",)]
    assert "Different classes" not in models.present(found, None)["heading"]
    found["other"] = engine.explain(photo, found["other"].backbone, target=2)
    heading = models.present(found, None)["heading"]
    assert "Different classes are explained: “ewer” by one, “zebra” by other" in heading


def test_the_table_holds_each_probability(explanations):
    found = explanations(SCENES, CONVNEXT)
    for label, cells in class_table(found):
        for x, cell in zip(found.values(), cells, strict=True):
            assert cell.share == next(p for _, name, p in x.predictions if name == label)


# -- Agreement -----------------------------------------------------------------------------------


def test_agreement_is_that_of_the_fused_maps(explanations):
    x, y = explanations(SCENES, PHOTOS).values()
    found = agreement(MapPanel(x), MapPanel(y))
    r = np.corrcoef(x.fused.ravel(), y.fused.ravel())[0, 1]
    iou = localization.iou(mask_at(x.fused, 0.2), mask_at(y.fused, 0.2))
    assert found.r == pytest.approx(r, abs=0.01) and found.iou == pytest.approx(iou, abs=0.01)


def test_a_map_agrees_with_itself_and_an_empty_one_with_none(explanations):
    (x,) = explanations(SCENES).values()
    assert agreement(MapPanel(x), MapPanel(x)) == Agreement(pytest.approx(1), 1)
    empty = replace(x, raw={name: -np.abs(raw) for name, raw in x.raw.items()})
    assert agreement(MapPanel(x), MapPanel(empty)) == Agreement(None, 0)


def test_only_what_both_were_shown_is_compared(photo, tiny):
    engine, backbone = camviz.Engine("cpu"), tiny("test_resnet")
    x, y = (engine.explain(photo, backbone, target=3, fit=fit) for fit in ("stretch", "crop"))
    assert not y.fit.shows_all
    found = agreement(MapPanel(x), MapPanel(y))
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
