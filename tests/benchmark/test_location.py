"""What is measured of a picture and of a set, against one map after the other."""

import numpy as np
import pytest

from camviz.benchmark.cases import Case, Thing, box_around
from camviz.benchmark.intervals import Resampled
from camviz.benchmark.location import (
    BOX_IOUS,
    FIGURES,
    SEED_THRESHOLDS,
    SINGLE,
    curves_of,
    measure_case,
    summarize,
)
from camviz.benchmark.rows import Row
from camviz.images import open_picture
from camviz.maps import curves, localization
from tests.support.heat import smooth_noise

SIZE = (224, 224)
ROW, EMPTY = Row("layer_cam", "", "fused"), Row("cam", "", "refined")


def thing(label, top, left, height, width):
    mask = np.zeros(SIZE, bool)
    mask[top : top + height, left : left + width] = True
    return Thing(label, mask, box_around(mask))


def a_case(number):
    things = (thing("ram", 20 + 9 * number, 30, 70, 60), thing("slug", 150, 120, 40, 80))
    ignored = np.zeros(SIZE, bool)
    ignored[:, :8] = number == 1
    picture = open_picture(np.full((*SIZE, 3), number, np.uint8))
    return Case(f"{number}", picture, things[: 1 + number % 2], True, ignored if number else None)


def heats_of(case, seed):
    """A map near each thing, at its greatest 1; one is misled by something larger and hotter."""
    found = []
    for number, each in enumerate(case.things):
        heat = smooth_noise(*SIZE, seed=10 * seed + number) + 0.5 * each.mask
        if seed == 2:
            heat = 0.3 * heat + 0.6 * each.mask
            heat[120:220, 10:140] += 0.8
        found.append((heat / heat.max()).astype(np.float32))
    return found


@pytest.fixture(scope="module")
def measured():
    cases = [a_case(number) for number in range(3)]
    heats = [heats_of(case, number) for number, case in enumerate(cases)]
    records = [
        measure_case(
            case,
            [
                (ROW, [(heat, heat) for heat in own]),
                (EMPTY, [(0 * heat, 0 * heat) for heat in own]),
            ],
        )
        for case, own in zip(cases, heats, strict=True)
    ]
    return cases, heats, records


def each_thing(cases, heats):
    for case, own in zip(cases, heats, strict=True):
        for number, heat in enumerate(own):
            yield case, case.things[number], heat


def summary(records, row=ROW):
    return summarize(records, str(row), Resampled.draw(len(records)))


def test_single_figures_are_means_of_what_one_map_has(measured):
    cases, heats, records = measured
    slow = {name: [] for name in SINGLE}
    for case, one, heat in each_thing(cases, heats):
        kept = np.ones(SIZE, bool) if case.ignored is None else ~case.ignored
        flat = heat[kept][None], one.mask[kept][None]
        slow["iou"].append(localization.iou_at(*flat))
        slow["best_iou"].append(localization.best_iou(*flat)[0])
        slow["precision"].append(localization.precision_recall_at(*flat)[0])
        slow["recall"].append(localization.precision_recall_at(*flat)[1])
        slow["ap"].append(localization.average_precision(*flat))
        slow["energy"].append(heat[kept & one.mask].sum() / heat[kept].sum())
        x0, y0, x1, y1 = one.boxes[0]
        slow["energy_box"].append(heat[y0:y1, x0:x1].sum() / heat.sum())
        for other in case.things:
            if other is not one:
                on, off = heat[one.mask].sum(), heat[other.mask].sum()
                slow["share"].append(on / (on + off))
    found = summary(records)
    for name in SINGLE:
        if name != "pointing":
            assert found[name][0] == pytest.approx(np.mean(slow[name]), rel=1e-5), name
            assert found[name][1] <= found[name][0] <= found[name][2]


def test_pointing_is_a_mean_over_classes(measured):
    cases, heats, records = measured
    hits = {"ram": [], "slug": []}
    for _, one, heat in each_thing(cases, heats):
        hits[one.label].append(localization.pointing_hit(heat, one.mask))
    slow = np.mean([np.mean(each) for each in hits.values()])
    assert summary(records)["pointing"][0] == pytest.approx(slow)
    assert slow != pytest.approx(np.mean([*hits["ram"], *hits["slug"]]))


def test_boxes_and_pixels_are_those_of_the_protocol(measured):
    cases, heats, records = measured
    every = list(each_thing(cases, heats))
    scaled = [curves.min_max(heat) for *_, heat in every]
    boxes = [one.boxes for _, one, _ in every]
    found = summary(records)
    assert found["max_box_acc"][0] == localization.max_box_acc(scaled, boxes)[0]
    assert (records[2].values["boxes"][0, 0, 1] > records[2].values["boxes"][0, 0, 0]).any()
    v2 = localization.max_box_acc_v2(scaled, boxes, ious=BOX_IOUS)
    assert found["max_box_acc_v2"][0] == pytest.approx(v2)
    ignored = [np.zeros(SIZE, bool) if c.ignored is None else c.ignored for c, *_ in every]
    truths = [one.mask for _, one, _ in every]
    slow = localization.pixel_average_precision(scaled, truths, ignored=ignored, step=0.01)
    assert found["pxap"][0] == pytest.approx(slow)


def test_seeds_are_those_of_the_best_threshold_of_the_set(measured):
    cases, heats, records = measured
    names = ["", "ram", "slug"]
    slow = []
    for threshold in SEED_THRESHOLDS:
        confusion = np.zeros((3, 3), int)
        for case, own in zip(cases, heats, strict=True):
            places = np.array([0, *(names.index(each.label) for each in case.things)])
            given = places[localization.seed_labels(np.stack(own), threshold)]
            truth = np.where(case.labels >= 0, places[case.labels], 255)
            confusion += localization.confusion_matrix(given, truth, 3)
        slow.append(localization.seed_miou(confusion))
    found = summary(records)
    assert found["seed_miou"][0] == pytest.approx(max(slow))
    assert found["seed_miou"][1] < found["seed_miou"][0] < found["seed_miou"][2]
    drawn = curves_of(records, str(ROW))
    there = np.isfinite(drawn.seed_miou)
    assert drawn.thresholds[there] == pytest.approx(np.array(SEED_THRESHOLDS))
    assert drawn.seed_miou[there] == pytest.approx(np.array(slow))


def test_curves_against_masks(measured):
    cases, heats, records = measured
    drawn = curves_of(records, str(ROW))
    for place in (5, 30, 77):
        hits = chosen = true = 0
        for case, one, heat in each_thing(cases, heats):
            kept = np.ones(SIZE, bool) if case.ignored is None else ~case.ignored
            mask = (curves.min_max(heat) >= drawn.thresholds[place]) & kept
            hits += np.count_nonzero(mask & one.mask)
            chosen += np.count_nonzero(mask)
            true += np.count_nonzero(one.mask & kept)
        assert drawn.precision[place] == pytest.approx(hits / chosen)
        assert drawn.recall[place] == pytest.approx(hits / true)


def test_an_empty_map_finds_nothing(measured):
    *_, records = measured
    found = summary(records, EMPTY)
    assert all(found[name][0] == 0 for name in ("iou", "best_iou", "pointing", "energy"))
    assert found["max_box_acc"][0] == 0 and np.isnan(found["share"][0])
    assert 0 < found["seed_miou"][0] < 0.4  # background alone
    assert set(found) == set(FIGURES)


def test_boxes_alone_have_no_seeds(measured):
    case = a_case(1)
    boxes = Case(case.name, case.picture, case.things, exact=False)
    pairs = [(heat, heat) for heat in heats_of(case, 1)]
    record = measure_case(boxes, [(ROW, pairs)])
    assert "seeds" not in record.values
    assert np.isnan(summary([record])["seed_miou"][0]) and summary([record])["ap"][0] > 0


def test_a_picture_of_another_size_is_compared_at_224():
    mask = np.zeros((100, 150), bool)
    mask[20:60, 30:90] = True
    case = Case("wide", open_picture(np.zeros((100, 150, 3), np.uint8)),
                (Thing("ram", mask, box_around(mask)),))  # fmt: skip
    on_grid = curves.wsol_mask(mask).astype(np.float32)
    record = measure_case(case, [(ROW, [(mask.astype(np.float32), on_grid)])])
    found = summary([record])
    assert record.values["boxes"][0, 0].max() > 0.95
    assert found["pxap"][0] == 1 and found["best_iou"][0] == 1 and found["max_box_acc"][0] == 1
