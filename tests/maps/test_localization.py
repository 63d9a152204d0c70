"""Localisation: every figure against a slow, obvious second implementation or by hand."""

import math

import numpy as np
import pytest

from camviz.maps.boxes import mask_at
from camviz.maps.localization import (
    asked_share,
    average_precision,
    best_iou,
    energy_inside,
    hottest,
    hottest_shared,
    iou,
    iou_at,
    loc_score,
    measure,
    pointing_hit,
    precision_recall_at,
    recall_at_precision,
)
from tests.support.heat import slow_iou, smooth_noise, square

SINGLE = (
    iou_at,
    best_iou,
    precision_recall_at,
    average_precision,
    pointing_hit,
    energy_inside,
    measure,
)


class TestIou:
    def test_by_hand(self):
        a = np.array([[1, 1, 0], [1, 1, 0]], bool)
        b = np.array([[0, 1, 1], [0, 1, 1]], bool)
        assert iou(a, b) == iou(b, a) == pytest.approx(2 / 6)
        assert iou(a, a) == 1 and iou(a, ~a) == 0
        assert iou(a, b.astype(np.uint8) * 255) == pytest.approx(2 / 6)

    def test_empty_masks(self):
        nothing = np.zeros((2, 3), bool)
        assert iou(nothing, nothing) == 1.0
        assert iou(nothing, ~nothing) == 0.0

    def test_at_a_threshold(self):
        heat, truth = np.array([[1.0, 0.5, 0.2, 0.1]]), np.array([[1, 1, 0, 1]], bool)
        assert iou_at(heat, truth) == pytest.approx(2 / 4)
        assert iou_at(heat, truth, 0.5) == pytest.approx(2 / 3)
        assert iou_at(heat, truth, 0.0) == pytest.approx(3 / 4)
        assert iou_at(0 * heat, truth) == 0.0


@pytest.mark.parametrize("levels", [4, None])
def test_single_precision_is_ranked_as_double_is(levels):
    heat = np.random.default_rng(0).normal(size=(24, 31)).astype(np.float32)  # of both signs
    if levels:  # ties, and zeros of both signs
        heat = np.round(heat * levels) / np.float32(levels)
        heat[::2] *= -1
    assert average_precision(heat, square()) == average_precision(heat.astype(float), square())
    assert best_iou(heat, square()) == best_iou(heat.astype(float), square())


class TestBestIou:
    @pytest.mark.parametrize("kind", [np.float32, np.float64])
    @pytest.mark.parametrize("levels", [3, 7, None])
    def test_against_every_value(self, kind, levels):
        for seed in range(6):
            heat = smooth_noise(seed=seed, kind=kind) * kind(0.37)
            if levels:  # ties
                heat = np.round(heat * levels) / kind(levels)
            best, threshold = best_iou(heat, square())
            values = [v for v in np.unique(heat) if v >= 0]
            assert best == pytest.approx(max(slow_iou(heat >= v, square()) for v in values))
            assert iou_at(heat, square(), threshold) == best

    def test_beats_a_grid(self):
        heat = smooth_noise()
        best, _ = best_iou(heat, square())
        assert best >= max(iou_at(heat, square(), t) for t in np.linspace(0, 1, 101))

    def test_perfect_map_and_highest_threshold(self):
        truth = square()
        assert best_iou(truth * 0.3, truth) == (1.0, 1.0)
        graded = np.where(truth, np.linspace(0.6, 0.8, truth.size).reshape(truth.shape), 0.1)
        best, threshold = best_iou(graded, truth)
        assert best == 1.0 and threshold == pytest.approx(graded[truth].min() / graded.max())

    def test_of_equally_good_thresholds_the_highest(self):
        heat, truth = np.array([[4.0, 3.0, 2.0, 1.0]]), np.array([[1, 0, 0, 1]], bool)
        assert best_iou(heat, truth) == (0.5, 1.0)  # one of two, and two of four

    def test_constant_and_empty_maps(self):
        truth = square()
        assert best_iou(np.full(truth.shape, 0.2), truth) == (truth.mean(), 1.0)
        assert best_iou(np.zeros(truth.shape), truth) == (0.0, 0.0)
        assert best_iou(np.full(truth.shape, -1.0), truth) == (0.0, 0.0)

    def test_thresholds_end_at_zero(self):
        heat, truth = np.array([[1.0, 0.0, -1.0]]), np.array([[1, 1, 1]], bool)
        assert best_iou(heat, truth) == (pytest.approx(2 / 3), 0.0)

    def test_quotients_that_round_up(self):
        # v / peak * peak is above v for many pairs; the pixel must be found nevertheless.
        for peak in np.random.default_rng(0).random(300) + 1:
            for value in (0.1, 0.7 * peak, np.nextafter(peak, 0)):
                heat, truth = np.array([[peak, value, 0.0]]), np.array([[1, 1, 0]], bool)
                best, threshold = best_iou(heat, truth)
                assert best == iou_at(heat, truth, threshold) == 1.0


class TestPrecisionAndRecall:
    def test_by_hand(self):
        heat, truth = np.array([[1.0, 0.5, 0.3, 0.1]]), np.array([[1, 0, 0, 1]], bool)
        assert precision_recall_at(heat, truth) == (pytest.approx(1 / 3), 0.5)
        assert precision_recall_at(heat, truth, 1.0) == (1.0, 0.5)
        assert precision_recall_at(heat, truth, 0.0) == (0.5, 1.0)

    def test_empty_map(self):
        assert precision_recall_at(np.zeros((24, 31)), square()) == (0.0, 0.0)


class TestAveragePrecision:
    @staticmethod
    def slow(heat, truth):
        total, before = 0.0, 0.0
        for value in sorted(set(heat.ravel().tolist()), reverse=True):
            chosen = heat >= value
            recall = (chosen & truth).sum() / truth.sum()
            total += (recall - before) * (chosen & truth).sum() / chosen.sum()
            before = recall
        return total

    @pytest.mark.parametrize("levels", [2, 9, None])
    def test_against_the_definition(self, levels):
        for seed in range(4):
            heat = smooth_noise(seed=seed)
            if levels:
                heat = np.round(heat * levels) / levels
            assert average_precision(heat, square()) == pytest.approx(self.slow(heat, square()))

    def test_by_hand(self):
        heat, truth = np.array([[0.9, 0.8, 0.8, 0.1]]), np.array([[1, 0, 1, 1]], bool)
        # one of one; then two of three; then three of four
        expected = 1 / 3 * (1 / 1 + 2 / 3 + 3 / 4)
        assert average_precision(heat, truth) == pytest.approx(expected)

    @pytest.mark.parametrize("value", [0.0, 0.7, -2.0])
    def test_constant_map_gives_the_share_of_true_pixels(self, value):
        assert average_precision(np.full((24, 31), value), square()) == square().mean()

    def test_order_within_ties_does_not_matter(self):
        heat = np.round(smooth_noise() * 4)
        turned = average_precision(heat[::-1, ::-1], square()[::-1, ::-1])
        assert turned == average_precision(heat, square())

    def test_perfect_and_opposite(self):
        truth = square()
        assert average_precision(truth * 1.0, truth) == 1.0
        assert average_precision(-1.0 * truth, truth) == truth.mean()

    def test_only_the_ranking_counts(self):
        heat = smooth_noise(kind=np.float64)
        expected = average_precision(heat, square())
        for stretched in (heat**3, 5 * heat - 9, np.exp(heat)):
            assert average_precision(stretched, square()) == pytest.approx(expected)


class TestPointing:
    @pytest.mark.parametrize("tolerance", [0, 1, 2.5, 5, 15])
    def test_against_a_loop(self, tolerance):
        for seed in range(20):
            heat = smooth_noise(seed=seed)
            y, x = np.unravel_index(heat.argmax(), heat.shape)
            truth = square(top=9, left=12, bottom=12, right=14)
            hit = truth[y, x] or any(
                (v - y) ** 2 + (u - x) ** 2 < tolerance**2 for v, u in np.argwhere(truth)
            )
            assert pointing_hit(heat, truth, tolerance) == hit

    def test_tolerance_is_strict_and_round(self):
        heat = np.zeros((40, 40))
        heat[20, 20] = 1
        truth = np.zeros((40, 40), bool)
        truth[20, 35] = True
        assert not pointing_hit(heat, truth, 15) and pointing_hit(heat, truth, 15.1)
        truth = np.zeros((40, 40), bool)
        truth[31, 31] = True  # 11 and 11 away: 15.6
        assert not pointing_hit(heat, truth)
        truth[30, 30] = True  # 14.1
        assert pointing_hit(heat, truth)

    def test_tolerance_zero_asks_for_the_pixel(self):
        heat = np.zeros((5, 5))
        heat[2, 2] = 1
        assert pointing_hit(heat, heat > 0, 0)
        assert not pointing_hit(heat, heat == 0, 0)

    def test_a_plateau_points_at_its_centroid(self):
        heat = np.zeros((9, 9))
        heat[4, 1] = heat[4, 7] = 1
        centre = np.zeros((9, 9), bool)
        centre[4, 4] = True
        assert pointing_hit(heat, centre, 0) and not pointing_hit(heat, heat > 0, 0)
        assert pointing_hit(np.full((9, 9), 0.5), centre, 0)
        bend = np.array([[0, 1, 1], [0, 0, 1]])  # centroid (1/3, 5/3)
        assert pointing_hit(bend, [[0, 0, 1], [0, 0, 0]], 0)

    def test_empty_map_misses(self):
        everywhere = np.ones((9, 9), bool)
        assert not pointing_hit(np.zeros((9, 9)), everywhere)
        assert not pointing_hit(np.full((9, 9), -1.0), everywhere)


class TestEnergy:
    def test_by_hand(self):
        heat = np.array([[1.0, 2.0], [5.0, -7.0]])
        assert energy_inside(heat, [[True, False], [True, True]]) == pytest.approx(6 / 8)

    def test_constant_map_gives_the_share_of_the_picture(self):
        assert energy_inside(np.full((24, 31), 0.3), square()) == pytest.approx(square().mean())

    def test_rows_are_rows(self):
        # The official code takes x for the row; only a mask that is not square tells.
        heat = np.zeros((10, 20))
        heat[2, 15] = 1
        assert energy_inside(heat, square((10, 20), 0, 12, 4, 20)) == 1.0

    def test_nothing(self):
        assert energy_inside(np.zeros((24, 31)), square()) == 0.0
        assert energy_inside(np.full((24, 31), -1.0), square()) == 0.0
        assert energy_inside(np.ones((24, 31)), ~np.ones((24, 31), bool)) == 0.0

    def test_parts_add_up(self):
        heat, truth = smooth_noise(), square()
        assert energy_inside(heat, truth) + energy_inside(heat, ~truth) == pytest.approx(1.0)


class TestLocScore:
    @pytest.mark.parametrize("delta", [0.0, 0.25, 0.5])
    def test_against_counting(self, delta):
        heat = smooth_noise(seed=3, kind=np.float64) * 3 + 2
        x0, y0, x1, y1 = 8, 5, 20, 15
        scaled = (heat - heat.min()) / (heat.max() - heat.min())
        inside = outside = 0
        for y in range(24):
            for x in range(31):
                if scaled[y, x] > delta:
                    within = x0 <= x < x1 and y0 <= y < y1
                    inside, outside = inside + within, outside + (not within)
        assert inside and outside
        expected = inside / ((x1 - x0) * (y1 - y0) + outside)
        assert loc_score(heat, (x0, y0, x1, y1), delta) == pytest.approx(expected)

    def test_perfect_constant_and_strict(self):
        heat = square() * 1.0
        score = loc_score(heat, (8, 5, 20, 15), 0.5)
        assert score == 1.0 and type(score) is float
        assert loc_score(np.full((24, 31), 0.4), (8, 5, 20, 15), 0.0) == 0.0
        assert loc_score(np.array([[0.0, 0.5, 1.0]]), (0, 0, 3, 1), 0.5) == pytest.approx(1 / 3)

    @pytest.mark.parametrize("box", [(0, 0, 32, 5), (0, 0, 5, 25), (-1, 0, 5, 5), (5, 5, 5, 9)])
    def test_impossible_boxes(self, box):
        with pytest.raises(ValueError, match="leaves the 31 x 24 picture"):
            loc_score(smooth_noise(), box, 0.25)


class TestMeasure:
    def test_gives_what_the_functions_give(self):
        heat, truth = smooth_noise(), square()
        parts = {"head": square(bottom=9), "hidden": np.zeros((24, 31), bool)}
        figures = measure(heat, truth, threshold=0.3, parts=parts)
        precision, recall = precision_recall_at(heat, truth, 0.3)
        best, threshold = best_iou(heat, truth)
        assert figures == {
            "iou": iou_at(heat, truth, 0.3),
            "precision": precision,
            "recall": recall,
            "best_iou": best,
            "best_threshold": threshold,
            "ap": average_precision(heat, truth),
            "pointing": float(pointing_hit(heat, truth)),
            "energy_inside": energy_inside(heat, truth),
            "energy:head": energy_inside(heat, parts["head"]),
            "energy:hidden": 0.0,
        }
        assert all(type(value) is float for value in figures.values())

    def test_perfect_map(self):
        figures = measure(square() * 7.0, square())
        assert set(figures.values()) == {1.0}

    def test_empty_map(self):
        figures = measure(np.zeros((24, 31)), square())
        assert figures.pop("ap") == square().mean()
        assert set(figures.values()) == {0.0}

    def test_constant_map(self):
        figures = measure(np.full((24, 31), 0.1), square())
        rate = pytest.approx(square().mean())
        for name in ("iou", "precision", "best_iou", "ap", "energy_inside"):
            assert figures[name] == rate
        assert figures["recall"] == figures["pointing"] == 1.0

    def test_scale_does_not_matter(self):
        expected = measure(smooth_noise(), square())
        assert measure(smooth_noise() * np.float32(2**-40), square()) == pytest.approx(expected)

    def test_a_single_pixel(self):
        assert set(measure([[0.3]], [[True]]).values()) == {1.0}


class TestBadInput:
    @pytest.mark.parametrize("function", SINGLE)
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_heat_that_is_no_number(self, function, bad):
        heat = smooth_noise()
        heat[3, 4] = bad
        with pytest.raises(ValueError, match="NaN or infinite"):
            function(heat, square())

    @pytest.mark.parametrize("function", SINGLE)
    def test_shapes(self, function):
        with pytest.raises(ValueError, match="shapes differ"):
            function(smooth_noise(), square((24, 30)))
        with pytest.raises(ValueError, match=r"shape \(H, W\)"):
            function(smooth_noise()[None], square())

    @pytest.mark.parametrize("function", [f for f in SINGLE if f is not energy_inside])
    def test_nothing_to_find(self, function):
        with pytest.raises(ValueError, match="truth mask is empty"):
            function(smooth_noise(), np.zeros((24, 31), bool))

    def test_masks_of_another_shape(self):
        with pytest.raises(ValueError, match="a mask is bool"):
            iou(square()[None], square()[None])

    @pytest.mark.parametrize("function", SINGLE)
    def test_soft_truth(self, function):
        with pytest.raises(ValueError, match="a mask is bool"):
            function(smooth_noise(), smooth_noise())

    def test_arguments_are_left_alone(self):
        heat, truth = smooth_noise() - 0.2, square()
        measure(heat, truth, parts={"all": truth})
        assert np.array_equal(heat, smooth_noise() - 0.2) and np.array_equal(truth, square())
        assert mask_at(heat).any()


# --- the hottest pixels ---


def slow_hottest(heat, share, visible):
    cells = [
        (-heat[y][x], y, x) for y in range(len(heat)) for x in range(len(heat[0])) if visible[y][x]
    ]
    best = sorted(cells)[: round(share * len(cells))]
    return {(y, x) for value, y, x in best if value < 0}


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 1.0])
def test_the_hottest_pixels_and_how_many_are_shared_by_counting(share):
    random = np.random.default_rng(3)
    a, b = random.integers(0, 6, (2, 7, 9)).astype(np.float32)
    visible = random.random((7, 9)) < 0.8
    for seen in (visible, None):
        everywhere = np.ones((7, 9), bool) if seen is None else seen
        one, other = (slow_hottest(heat.tolist(), share, everywhere) for heat in (a, b))
        found = hottest(a, share, seen)
        assert {tuple(place) for place in np.argwhere(found).tolist()} == one
        wanted = 2 * len(one & other) / (len(one) + len(other))
        assert hottest_shared(a, b, share, seen) == pytest.approx(wanted)
    assert hottest_shared(a, a, share) == 1.0


def test_equally_hot_pixels_come_in_reading_order():
    heat = np.zeros((4, 5))
    heat[1] = 0.5
    assert np.flatnonzero(hottest(heat, 0.15)).tolist() == [5, 6, 7]
    assert hottest(heat, 0.9).sum() == 5
    many = np.tile(np.arange(1, 5), 100).reshape(20, 20)
    assert np.flatnonzero(hottest(many, 0.05)).tolist() == list(range(3, 80, 4))
    assert not hottest(np.zeros((3, 3)), 0.5).any() and not hottest(heat, 0.01).any()


@pytest.mark.parametrize("share", [0, -0.1, 1.1, math.nan])
def test_a_share_is_a_share(share):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        hottest(np.ones((3, 3)), share)


def test_what_is_not_hot_is_not_among_the_hottest():
    heat = np.zeros((5, 5))
    heat[0, :2] = 1, 2
    assert hottest(heat, 0.2).sum() == 2
    assert hottest_shared(heat, np.zeros((5, 5))) == 0.0 == hottest_shared(-heat, heat)
    left, right = np.tile(np.arange(10.0), (4, 1)), np.tile(np.arange(10.0)[::-1], (4, 1))
    assert hottest_shared(left, right) == 0.0
    random = np.random.default_rng(0).random((2, 200, 200))
    assert hottest_shared(*random) == pytest.approx(0.2, abs=0.01), "by chance, a fifth of a fifth"


class TestRecallAtPrecision:
    @pytest.mark.parametrize("precision", [0.5, 0.8])
    def test_against_every_threshold(self, precision):
        for seed in range(4):
            heat = np.round(smooth_noise(seed=seed) * 30)
            slow = 0.0
            for value in np.unique(heat):
                mask = heat >= value
                hits = np.count_nonzero(mask & square())
                if hits / mask.sum() >= precision:
                    slow = max(slow, hits / square().sum())
            assert recall_at_precision(heat, square(), precision) == pytest.approx(slow)

    def test_the_truth_itself_and_its_opposite(self):
        assert recall_at_precision(square() * 1.0, square()) == 1.0
        assert recall_at_precision(1.0 - square(), square()) == 0.0

    def test_just_as_pure_is_pure_enough(self):
        heat, truth = np.array([[4.0, 3.0, 2.0, 1.0]]), np.array([[1, 0, 0, 1]], bool)
        assert recall_at_precision(heat, truth) == 1.0


class TestAskedShare:
    def test_by_hand(self):
        heat = np.array([[4.0, 2.0, 1.0, -3.0]])
        asked, other = np.array([[1, 0, 0, 0]], bool), np.array([[0, 1, 0, 1]], bool)
        assert asked_share(heat, asked, [other]) == pytest.approx(4 / 6)
        assert asked_share(heat, other, [asked]) == pytest.approx(2 / 6)
        both = np.array([[1, 1, 0, 0]], bool)  # a pixel of both counts as asked for
        assert asked_share(heat, asked, [both, other]) == pytest.approx(4 / 6)

    def test_alone_or_without_heat(self):
        assert np.isnan(asked_share(np.ones((1, 2)), np.array([[1, 0]]), []))
        assert np.isnan(asked_share(np.zeros((1, 2)), np.array([[1, 0]]), [np.array([[0, 1]])]))
