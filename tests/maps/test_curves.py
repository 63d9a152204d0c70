"""Localisation at every threshold: against one threshold after the other, and pixel by pixel."""

import numpy as np
import pytest

from camviz.maps.boxes import wsol_boxes
from camviz.maps.curves import (
    WSOL_THRESHOLDS,
    area_below,
    box_curves,
    box_iou,
    level_edges,
    min_max,
    pixel_counts,
    precision_recall,
    seed_counts,
    wsol_box,
    wsol_mask,
)
from camviz.maps.localization import (
    average_precision,
    confusion_matrix,
    pixel_average_precision,
    seed_labels,
)
from tests.support.heat import smooth_noise, square

BOX = (8, 5, 20, 15)  # of `square`


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_boxes_at_all_thresholds_are_those_at_each(row, seed):
    heat = smooth_noise(seed=seed)
    boxes = np.array([BOX, (0, 0, 6, 6)])
    slow = [
        max(
            float(box_iou(box, true, inclusive=True)[0, 0])
            for box in wsol_boxes(heat, threshold, multi=bool(row))
            for true in boxes
        )
        for threshold in WSOL_THRESHOLDS
    ]
    assert box_curves(heat, boxes)[row].tolist() == slow
    assert len(set(slow)) > 5  # or nothing was compared


def test_boxes_of_an_empty_map_and_of_the_truth_itself():
    assert box_curves(np.zeros((24, 31), np.float32), BOX).max() <= 1 / 100
    assert (box_curves(square().astype(np.float32), BOX) == 1).all()


def test_pixels_by_level_one_by_one():
    heat = np.round(smooth_noise() * 20) / np.float32(20)
    ignored = np.zeros(heat.shape, bool)
    ignored[:, 12:15] = True
    counts = pixel_counts(heat, square(), ignored=ignored, step=0.1)
    edges = level_edges(0.1)
    slow = np.zeros((2, len(edges)), int)
    for value, true, out in zip(heat.ravel(), square().ravel(), ignored.ravel(), strict=True):
        if not out:
            slow[0 if true else 1, max(i for i, edge in enumerate(edges) if value >= edge)] += 1
    assert counts.tolist() == slow.tolist()
    assert counts.sum() == (~ignored).sum() and counts[:, -1].sum() == (heat == 1).sum()


@pytest.mark.parametrize("step", [0.01, 0.001, 0.3, 0.07])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pixels_at_the_edge_of_a_level_and_beside_it(step, dtype):
    edges = level_edges(step)
    at = edges.astype(dtype)
    beside = np.concatenate([at, np.nextafter(at, dtype(0)), np.nextafter(at, dtype(1))])
    counts = pixel_counts(beside[None], np.ones((1, beside.size), bool), step=step)
    level = np.searchsorted(edges, beside, side="right") - 1
    assert counts[0].tolist() == np.bincount(level, minlength=len(edges)).tolist()


def test_precision_and_recall_against_masks():
    heat, truth = smooth_noise(seed=4), square()
    precision, recall = precision_recall(pixel_counts(heat, truth, step=0.1))
    for edge, p, r in zip(level_edges(0.1)[::-1], precision, recall, strict=True):
        mask = heat >= edge
        hits = np.count_nonzero(mask & truth)
        assert p == pytest.approx(hits / mask.sum()) and r == pytest.approx(hits / truth.sum())


def test_counts_add_up_to_the_figure_of_the_set():
    heats = [smooth_noise(seed=seed) for seed in range(3)]
    truths = [square(), square(left=2), np.zeros((24, 31), bool)]
    summed = sum(pixel_counts(h, t, step=0.001) for h, t in zip(heats, truths, strict=True))
    assert area_below(summed) == pixel_average_precision(heats, truths)
    assert area_below(np.stack([summed, 2 * summed])) == pytest.approx([area_below(summed)] * 2)
    # fine levels: the average precision of a map by itself
    fine = area_below(pixel_counts(heats[0], truths[0], step=0.0001))
    assert fine == pytest.approx(average_precision(heats[0], truths[0]), abs=2e-3)


def test_area_of_the_truth_of_a_constant_map_and_of_nothing():
    truth = square()
    assert area_below(pixel_counts(truth.astype(np.float32), truth)) == 1
    even = area_below(pixel_counts(np.full(truth.shape, 0.5, np.float32), truth))
    assert even == pytest.approx(truth.mean())
    assert area_below(pixel_counts(smooth_noise(), np.zeros_like(truth))) == 0


@pytest.mark.parametrize("classes", [1, 3])
def test_seeds_at_all_thresholds_are_those_at_each(classes):
    heats = np.stack([smooth_noise(seed=seed) for seed in range(classes)])
    random = np.random.default_rng(0)
    labels = random.integers(-1, classes + 1, heats.shape[1:])
    thresholds = (0.5, 0.0, 0.31, 0.99)  # in any order
    for count, threshold in zip(seed_counts(heats, labels, thresholds), thresholds, strict=True):
        given = seed_labels(heats, threshold)
        slow = confusion_matrix(given, labels, classes + 1, ignore=-1)
        assert count.tolist() == slow.tolist()
        assert threshold == 0.99 or np.count_nonzero(count) > 2


def test_scaling_as_the_protocol_does():
    heat = min_max(smooth_noise() * 0.3 + 0.1)
    assert heat.min() == 0 and heat.max() == 1 and heat.dtype == np.float32
    assert not min_max(np.full((4, 4), 0.3)).any()
    assert wsol_box((100, 50, 299, 200), (200, 400)).tolist() == [56, 56, 167, 224]
    mask = np.zeros((448, 448), bool)
    mask[100:200, 60:80] = True
    assert np.argwhere(wsol_mask(mask))[[0, -1]].tolist() == [[50, 30], [99, 39]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: pixel_counts(np.full((2, 2), 1.5), np.ones((2, 2), bool)), r"in \[0, 1\]"),
        (lambda: pixel_counts(np.ones((2, 2)), np.ones((2, 3), bool)), "shapes differ"),
        (lambda: seed_counts(np.ones((1, 2, 2)), np.full((2, 2), 3), [0.2]), "from 0 to 1, not"),
    ],
)
def test_what_cannot_be_counted(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
