"""Figures of sets of pictures: MaxBoxAcc, PxAP, seeds."""

import cv2
import numpy as np
import pytest

from camviz.maps.boxes import wsol_boxes
from camviz.maps.curves import WSOL_THRESHOLDS, box_iou
from camviz.maps.localization import (
    average_precision,
    confusion_matrix,
    max_box_acc,
    max_box_acc_v2,
    pixel_average_precision,
    seed_labels,
    seed_miou,
)
from tests.support.heat import slow_iou, smooth_noise, square


def hinting(seed):
    """A map that is half noise and half a blurred, shifted `square()`; its maximum is 1."""
    shifted = np.roll(square(), (seed % 3 - 1, 2 * seed - 6), (0, 1)).astype(np.float32)
    heat = smooth_noise(seed=seed) + cv2.GaussianBlur(shifted, (0, 0), 1.5)
    return heat / heat.max()


class TestBoxIou:
    BOXES = np.array([[0, 0, 4, 3], [2, 1, 6, 5], [5, 5, 9, 9], [0, 0, 9, 9], [3, 3, 3, 3]])

    @staticmethod
    def mask(box, extra):
        x0, y0, x1, y1 = box
        mask = np.zeros((12, 12), bool)
        mask[y0 : y1 + extra, x0 : x1 + extra] = True
        return mask

    @pytest.mark.parametrize("inclusive", [False, True])
    def test_against_masks(self, inclusive):
        table = box_iou(self.BOXES, self.BOXES[:4], inclusive=inclusive)
        assert table.shape == (5, 4)
        for i, a in enumerate(self.BOXES):
            for j, b in enumerate(self.BOXES[:4]):
                expected = slow_iou(self.mask(a, inclusive), self.mask(b, inclusive))
                assert table[i, j] == pytest.approx(expected)

    def test_empty_boxes_and_single_ones(self):
        assert box_iou([3, 3, 3, 3], [3, 3, 3, 3]).tolist() == [[0.0]]
        assert box_iou([5, 5, 2, 2], [0, 0, 9, 9]).tolist() == [[0.0]]
        assert box_iou([0, 0, 2, 2], [1, 0, 3, 2]).tolist() == [[pytest.approx(1 / 3)]]


class TestMaxBoxAcc:
    @staticmethod
    def slow_inclusive(a, b):
        def cells(box):
            x0, y0, x1, y1 = box
            return {(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)}

        return len(cells(a) & cells(b)) / len(cells(a) | cells(b))

    def test_a_map_that_is_the_box(self):
        heats, boxes = [], []
        for left, top in [(3, 4), (0, 0), (9, 2)]:
            heats.append(square((20, 30), top, left, top + 8, left + 12) * 1.0)
            boxes.append([left, top, left + 12, top + 8])
        assert max_box_acc(heats, boxes) == (1.0, 0.0)
        assert max_box_acc(heats, boxes, iou=1.0) == (1.0, 0.0)
        assert max_box_acc_v2(heats, boxes) == 1.0

    def test_one_threshold_for_the_whole_set(self):
        # The first map is right only above 0.5, the second only below: half the set at best.
        truth, wide = square((20, 20), 8, 8, 12, 12), square((20, 20), 2, 2, 18, 18)
        first = 0.4 * wide + 0.6 * truth
        second = 0.4 * truth
        second[1, 1], second[0:3, 0:3] = 1.0, 1.0
        second[8:12, 8:12] = 0.4
        boxes = [[8, 8, 12, 12]] * 2
        alone = [max_box_acc([heat], boxes[:1])[0] for heat in (first, second)]
        assert alone == [1.0, 1.0]
        assert max_box_acc([first, second], boxes) == (0.5, 0.0)
        assert max_box_acc([first, first], boxes) == (1.0, pytest.approx(0.4))

    def test_only_the_second_version_looks_at_every_contour(self):
        heat = (square((20, 20), 1, 1, 12, 12) | square((20, 20), 14, 14, 18, 18)) * 1.0
        small = [[14, 14, 18, 18]]
        assert max_box_acc([heat], [small])[0] == 0.0
        assert max_box_acc_v2([heat], [small]) == 1.0

    @pytest.mark.parametrize("multi", [False, True])
    def test_against_loops(self, multi):
        thresholds = [0.0, 0.2, 0.45, 0.7]
        heats = [hinting(seed) for seed in range(7)]
        boxes = [[[3, 3, 15, 14], [12, 8, 30, 23]], *([[8, 5, 20, 15]] for _ in range(6))]
        table = {}
        for wanted in (0.3, 0.5, 0.7):
            for t in thresholds:
                right = 0
                for heat, truth in zip(heats, boxes, strict=True):
                    ours = wsol_boxes(heat, t, multi)
                    right += any(self.slow_inclusive(a, b) >= wanted for a in ours for b in truth)
                table[wanted, t] = right / 7
        best = {w: max(table[w, t] for t in thresholds) for w in (0.3, 0.5, 0.7)}
        assert 0 < best[0.7] < best[0.3]
        if multi:
            score = max_box_acc_v2(heats, boxes, thresholds=thresholds)
            assert score == pytest.approx(sum(best.values()) / 3)
        else:
            for wanted, accuracy in best.items():
                found, at = max_box_acc(heats, boxes, iou=wanted, thresholds=thresholds)
                assert found == pytest.approx(accuracy) == table[wanted, at]

    def test_grid_is_the_protocols(self):
        assert len(WSOL_THRESHOLDS) == 100
        assert tuple(np.arange(0, 1, 0.01)) == WSOL_THRESHOLDS

    def test_sets_must_match(self):
        for function in (max_box_acc, max_box_acc_v2, pixel_average_precision):
            with pytest.raises(ValueError, match="1 maps, 0 truths"):
                function([np.eye(3)], [])
            with pytest.raises(ValueError, match="0 maps"):
                function([], [])


class TestPixelAveragePrecision:
    def test_perfect_and_constant(self):
        truths = [square(), ~square()]
        assert pixel_average_precision([t * 1.0 for t in truths], truths) == 1.0
        for value in (0.0, 0.4, 1.0):
            heats = [np.full((24, 31), value)] * 3
            rate = square().mean()
            assert pixel_average_precision(heats, [square()] * 3) == pytest.approx(rate)

    def test_pixels_of_all_pictures_are_pooled(self):
        heats = [hinting(seed) for seed in range(4)]
        truths = [square(left=5 * seed) for seed in range(4)]
        pooled = average_precision(np.concatenate(heats), np.concatenate(truths))
        found = pixel_average_precision(heats, truths, step=1e-4)
        assert found == pytest.approx(pooled, abs=1e-3)
        mean = np.mean([average_precision(h, t) for h, t in zip(heats, truths, strict=True)])
        assert abs(pooled - mean) > 0.01  # and that is another number

    def test_against_thresholds_one_by_one(self):
        heats = [smooth_noise(seed=s, kind=np.float64) for s in range(3)]
        truths = [square(), square(top=0), square(right=31)]
        ignored = [square(left=0, right=5), square(top=20), np.zeros((24, 31), bool)]
        heat = np.concatenate(heats)[~np.concatenate(ignored)]
        truth = np.concatenate(truths)[~np.concatenate(ignored)]
        expected, before = 0.0, 0.0
        for t in np.append(np.arange(0, 1, 0.1), 1.0)[::-1]:
            hits = (truth & (heat >= t)).sum()
            recall = hits / truth.sum()
            expected += (recall - before) * hits / max((heat >= t).sum(), 1)
            before = recall
        found = pixel_average_precision(heats, truths, ignored=ignored, step=0.1)
        assert found == pytest.approx(expected)
        assert found != pytest.approx(pixel_average_precision(heats, truths, step=0.1))

    def test_one_is_a_threshold_of_its_own(self):
        assert pixel_average_precision([[[1.0, 0.95]]], [[[1, 0]]], step=0.1) == 1.0
        assert pixel_average_precision([[[0.99, 0.95]]], [[[1, 0]]], step=0.1) == 0.5

    def test_bad_sets(self):
        nothing = np.zeros((24, 31), bool)
        with pytest.raises(ValueError, match="no picture has a true pixel"):
            pixel_average_precision([smooth_noise()], [nothing])
        assert pixel_average_precision([smooth_noise()] * 2, [nothing, square()]) > 0
        with pytest.raises(ValueError, match=r"maps in \[0, 1\]"):
            pixel_average_precision([smooth_noise() * 2], [square()])


class TestSeeds:
    def test_labels_by_hand(self):
        heats = np.array([[[0.9, 0.2, 0.3, 0.5]], [[0.1, 0.1, 0.4, 0.5]]])
        assert seed_labels(heats, 0.3).tolist() == [[1, 0, 2, 1]]
        assert seed_labels(heats, 0.4).tolist() == [[1, 0, 0, 1]]  # a tie is background

    def test_confusion_by_hand(self):
        truth, predicted = [[0, 0, 1, 2, 255]], [[0, 1, 1, 0, 2]]
        assert confusion_matrix(predicted, truth, 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]

    def test_confusion_counts_every_pixel_of_a_set_once(self):
        rng = np.random.default_rng(0)
        pairs = [rng.integers(0, 4, (2, 9, 11)) for _ in range(3)]
        total = sum(confusion_matrix(p, t, 4) for p, t in pairs)
        for c in range(4):
            for d in range(4):
                assert total[c, d] == sum(((t == c) & (p == d)).sum() for p, t in pairs)
        ious = [
            sum(((t == c) & (p == c)).sum() for p, t in pairs)
            / sum(((t == c) | (p == c)).sum() for p, t in pairs)
            for c in range(4)
        ]
        assert seed_miou(total) == pytest.approx(np.mean(ious))

    def test_labels_out_of_range(self):
        for predicted, truth in (([[3]], [[0]]), ([[0]], [[-1]])):
            with pytest.raises(ValueError, match="labels run from 0 to 2"):
                confusion_matrix(predicted, truth, 3)
        with pytest.raises(ValueError, match="shapes differ"):
            confusion_matrix([[0, 1]], [[0]], 3)

    def test_absent_classes_are_left_out(self):
        assert seed_miou(np.diag([5, 0, 3])) == 1.0
        assert seed_miou([[2, 1, 0], [1, 2, 0], [0, 0, 0]]) == pytest.approx(0.5)
        assert confusion_matrix([[1]], [[255]], 2).tolist() == [[0, 0], [0, 0]]
        with pytest.raises(ValueError, match="no pixel"):
            seed_miou(np.zeros((3, 3)))
