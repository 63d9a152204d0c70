"""camviz.boxes: masks, connected parts and the boxes of two published protocols."""

import cv2
import numpy as np
import pytest

from camviz.errors import MethodError
from camviz.maps.boxes import (
    MASKS,
    Box,
    area_mask,
    as_heat,
    boxes_at,
    hysteresis_mask,
    layercam_loc_box,
    mask_at,
    otsu_mask,
    wsol_boxes,
)


def drawn(text):
    """A map from a picture of digits: 7 stands for 0.7, a dot for 0, # for 1."""
    values = {".": 0.0, "#": 1.0}
    rows = [[values.get(c, int(c) / 10 if c.isdigit() else 0) for c in row] for row in text.split()]
    return np.array(rows, np.float32)


def smooth_noise(height=40, width=50, seed=0):
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    heat = cv2.GaussianBlur(noise, (0, 0), 3).clip(min=0)
    return heat / heat.max()


def parts_by_flood(mask):
    """Connected parts as sets of (y, x), by walking over the eight neighbours."""
    left = set(zip(*np.nonzero(mask), strict=True))
    parts = []
    while left:
        part, border = set(), [left.pop()]
        while border:
            y, x = border.pop()
            part.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            border += near
        parts.append(part)
    return parts


def boxes_by_flood(heat, threshold):
    found = []
    for part in parts_by_flood(heat >= threshold * heat.max()):
        y, x = np.array(sorted(part)).T
        warmth = float(heat[y, x].astype(np.float64).sum())
        found.append((-len(part), -warmth, y.min(), x.min(), x.max() + 1, y.max() + 1))
    return [(x0, y0, x1, y1, -n, -warmth) for n, warmth, y0, x0, x1, y1 in sorted(found)]


class TestMaskAt:
    def test_by_hand(self):
        heat = np.array([[0.0, 0.19, 0.2], [0.5, 1.0, -3.0]])
        assert mask_at(heat, 0.2).tolist() == [[False, False, True], [True, True, False]]
        assert mask_at(heat, 1.0).tolist() == [[False, False, False], [False, True, False]]
        assert mask_at(heat, 0.0).tolist() == [[True, True, True], [True, True, False]]

    def test_the_threshold_is_of_the_maximum_not_of_the_pixels(self):
        heat = np.concatenate([np.full(90, 0.19), np.linspace(0.3, 1, 10)]).reshape(10, 10)
        assert mask_at(heat).sum() == 10

    @pytest.mark.parametrize("scale", [1e-12, 1.0, 3e7])
    @pytest.mark.parametrize("kind", [np.float32, np.float64])
    def test_scale_does_not_matter(self, scale, kind):
        heat = smooth_noise().astype(kind)
        assert np.array_equal(mask_at(heat * kind(scale), 0.31), mask_at(heat, 0.31))

    def test_a_value_exactly_at_the_threshold_counts(self):
        # In float32 0.7 is a little less than 0.7; the comparison must not notice.
        for tenth in range(11):
            assert mask_at(np.array([[tenth / 10, 1]], np.float32), tenth / 10).all()

    @pytest.mark.parametrize("value", [0.0, -1.0])
    def test_without_a_positive_value_nothing_is_mask(self, value):
        for mask in MASKS.values():
            assert not mask(np.full((4, 5), value)).any()

    def test_constant_map_is_all_mask(self):
        heat = np.full((4, 5), 0.3)
        assert mask_at(heat).all() and otsu_mask(heat).all() and hysteresis_mask(heat).all()
        assert area_mask(heat, 1.0).all()

    @pytest.mark.parametrize("name", MASKS)
    @pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
    def test_every_mask_has_the_peak_and_the_right_shape(self, name, kind):
        heat = smooth_noise().astype(kind)
        mask = MASKS[name](heat)
        assert mask.shape == heat.shape and mask.dtype == bool
        assert mask.flat[heat.argmax()] and 0 < mask.sum() < heat.size

    def test_integers_and_bools_are_maps_too(self):
        assert mask_at(np.array([[10, 50, 255]], np.uint8)).tolist() == [[False, False, True]]
        assert mask_at([[False, True]]).tolist() == [[False, True]]

    @pytest.mark.parametrize("threshold", [-0.1, 1.1, np.nan])
    def test_bad_threshold(self, threshold):
        with pytest.raises(MethodError, match="lies in"):
            mask_at(np.eye(3), threshold)
        with pytest.raises(MethodError, match="lies in"):
            area_mask(np.eye(3), threshold)


class TestBadMaps:
    @pytest.mark.parametrize(
        ("heat", "words"),
        [
            (np.zeros(4), r"not \(4,\)"),
            (np.zeros((1, 4, 4)), r"not \(1, 4, 4\)"),
            (np.zeros((0, 4)), r"not \(0, 4\)"),
            (np.array([[1j]]), "complex"),
            (np.array([["a"]]), "real numbers"),
            (np.array([[0.0, np.nan]]), "NaN"),
            (np.array([[0.0, np.inf]]), "NaN or infinite"),
        ],
    )
    @pytest.mark.parametrize("function", [as_heat, boxes_at, layercam_loc_box, *MASKS.values()])
    def test_refused(self, function, heat, words):
        with pytest.raises(ValueError, match=words):
            function(heat)


class TestAsHeat:
    def test_floats_stay_what_they_are_and_others_become_floats(self):
        for kind in (np.float32, np.float64):
            heat = np.ones((2, 3), kind)
            assert as_heat(heat) is heat
        for kind in (np.float16, np.uint8, bool):
            assert as_heat(np.ones((2, 3), kind)).dtype == np.float32


class TestOtsu:
    def test_against_trying_every_cut(self):
        for seed in range(5):
            heat = smooth_noise(seed=seed)
            levels = np.rint(heat / heat.max() * 255).astype(int)

            def between(cut, levels=levels):
                low, high = levels[levels <= cut], levels[levels > cut]
                return low.size * high.size * (low.mean() - high.mean()) ** 2

            best = max(range(levels.min(), levels.max()), key=between)
            assert np.array_equal(otsu_mask(heat), levels > best)

    def test_two_groups_are_told_apart(self):
        heat = np.where(np.arange(100).reshape(10, 10) < 30, 0.9, 0.4) * 1e-9
        assert np.array_equal(otsu_mask(heat), heat > 0.5e-9)

    def test_negative_values_are_as_cold_as_zero(self):
        heat = np.array([[-1000.0, 0.0, 0.1, 0.9, 1.0]])
        assert otsu_mask(heat).tolist() == [[False, False, False, True, True]]


class TestArea:
    @pytest.mark.parametrize("fraction", [0.0, 0.013, 0.2, 0.5, 1.0])
    def test_counts_pixels(self, fraction):
        heat = np.random.default_rng(0).random((13, 17)) + 0.1
        mask = area_mask(heat, fraction)
        assert mask.sum() == round(fraction * heat.size)
        if 0 < mask.sum() < heat.size:
            assert heat[mask].min() > heat[~mask].max()

    def test_ties_fall_in_reading_order(self):
        assert np.flatnonzero(area_mask(drawn("5555 5#55"), 0.5)).tolist() == [0, 1, 2, 5]
        heat = np.random.default_rng(0).integers(1, 4, (30, 30))
        ranked = sorted(range(900), key=lambda i: (-heat.flat[i], i))
        assert np.flatnonzero(area_mask(heat, 0.5)).tolist() == sorted(ranked[:450])

    def test_cold_pixels_never_belong(self):
        heat = np.array([[0.0, 0.0, 0.1, 1.0, -1.0]])
        assert area_mask(heat, 0.8).tolist() == [[False, False, True, True, False]]


class TestHysteresis:
    def test_by_hand(self):
        heat = drawn("33....3 .6..44. ......# 4......")
        # From the peak one walks over its neighbours >= 0.4, diagonals included.
        assert np.argwhere(hysteresis_mask(heat, 0.4, 0.7)).tolist() == [[1, 4], [1, 5], [2, 6]]
        # At 0.6 the left part is strong enough too, and 0.3 belongs to it.
        mask = hysteresis_mask(heat, 0.3, 0.6)
        assert mask.sum() == 3 + 4 and not mask[3, 0]

    def test_against_flood(self):
        for seed in range(5):
            heat = smooth_noise(seed=seed)
            expected = np.zeros(heat.shape, bool)
            for part in parts_by_flood(heat >= 0.2):
                if any(heat[y, x] >= 0.6 for y, x in part):
                    expected[tuple(np.array(list(part)).T)] = True
            assert np.array_equal(hysteresis_mask(heat, 0.2, 0.6), expected)
            assert expected.sum() < mask_at(heat, 0.2).sum()

    def test_high_one_keeps_what_touches_the_peak(self):
        heat = drawn("99..#8 99..88")
        assert np.array_equal(np.flatnonzero(hysteresis_mask(heat, 0.2, 1.0)), [4, 5, 10, 11])

    def test_low_above_high(self):
        with pytest.raises(ValueError, match="above high"):
            hysteresis_mask(np.eye(3), 0.6, 0.5)


class TestBoxesAt:
    def test_ring_is_one_box(self):
        heat = np.zeros((9, 10))
        heat[2:7, 3:9] = 1
        heat[3:6, 4:8] = 0
        (box,) = boxes_at(heat)
        assert box == Box(3, 2, 9, 7, area_fraction=(30 - 12) / 90, heat_fraction=1.0)
        assert box.xyxy == (3, 2, 9, 7)

    def test_line_beats_a_square_of_fewer_pixels(self):
        # The polygon through a line has no area; its 30 pixels are nevertheless more than 25.
        heat = np.zeros((20, 40))
        heat[2, 5:35] = 1
        heat[8:13, 5:10] = 1
        assert [box.xyxy for box in boxes_at(heat)] == [(5, 2, 35, 3), (5, 8, 10, 13)]

    def test_two_blobs_and_their_fractions(self):
        heat = drawn("88...... 88..#... ....##..")
        large, small = boxes_at(heat, 0.5)
        assert large.xyxy == (0, 0, 2, 2) and small.xyxy == (4, 1, 6, 3)
        assert large.area_fraction == 4 / 24 and small.area_fraction == 3 / 24
        assert large.heat_fraction == pytest.approx(3.2 / 6.2)
        assert small.heat_fraction == pytest.approx(3 / 6.2)
        (only,) = boxes_at(heat, 0.9)
        assert only.xyxy == (4, 1, 6, 3)

    def test_heat_fraction_is_of_all_positive_heat(self):
        heat = np.array([[1.0, 0.0, 0.1, 0.0, -5.0]])
        (box,) = boxes_at(heat, 0.5)
        assert box.heat_fraction == pytest.approx(1 / 1.1)

    def test_diagonal_neighbours_belong_together(self):
        assert [box.xyxy for box in boxes_at(np.eye(5))] == [(0, 0, 5, 5)]

    def test_ties_go_to_heat_then_up_then_left(self):
        assert [b.xyxy for b in boxes_at(drawn("9..# ...."), 0.5)] == [(3, 0, 4, 1), (0, 0, 1, 1)]
        corners = boxes_at(drawn("..#.. ..... #.#.#"))
        assert [b.xyxy[:2] for b in corners] == [(2, 0), (0, 2), (2, 2), (4, 2)]

    def test_border_and_single_pixels(self):
        heat = np.zeros((6, 8))
        heat[5, 7] = heat[0, 0] = 1
        assert [box.xyxy for box in boxes_at(heat)] == [(0, 0, 1, 1), (7, 5, 8, 6)]
        assert boxes_at(np.full((1, 1), 0.1)) == [Box(0, 0, 1, 1, 1.0, 1.0)]

    def test_constant_map_is_one_box_and_empty_map_none(self):
        assert boxes_at(np.full((4, 6), 2.0)) == [Box(0, 0, 6, 4, 1.0, 1.0)]
        assert boxes_at(np.zeros((4, 6))) == []
        assert boxes_at(np.full((4, 6), -1.0), multi=True) == []

    @pytest.mark.parametrize("threshold", [0.05, 0.2, 0.6])
    def test_against_flood(self, threshold):
        for seed in range(6):
            heat = smooth_noise(seed=seed)
            expected = boxes_by_flood(heat, threshold)
            boxes = boxes_at(heat, threshold)
            assert len(boxes) > 1
            assert [box.xyxy for box in boxes] == [e[:4] for e in expected]
            assert [b.area_fraction for b in boxes] == [e[4] / heat.size for e in expected]
            total = heat.astype(np.float64).sum()
            warmth = [e[5] / total for e in expected]
            assert [b.heat_fraction for b in boxes] == pytest.approx(warmth)

    def test_multi_keeps_what_is_large_and_warm_enough(self):
        heat = np.zeros((20, 20))
        heat[0:4, 0:5] = 1.0  # 20 pixels, heat 20
        heat[10:12, 0:2] = 0.5  # exactly 1 % of the picture and 10 % of the largest's heat
        heat[10, 10:13] = 1.0  # warm, but 3 pixels are less than 1 %
        heat[15:17, 10:12] = 0.49  # 4 pixels, heat just below 2
        kept = boxes_at(heat, 0.2, multi=True)
        assert [box.xyxy for box in kept] == [(0, 0, 5, 4), (0, 10, 2, 12)]
        assert len(boxes_at(heat, 0.2)) == 4

    def test_multi_may_drop_even_the_largest(self):
        heat = np.zeros((20, 20))
        heat[3, 3] = 1
        assert len(boxes_at(heat)) == 1 and boxes_at(heat, multi=True) == []


class TestWsol:
    def test_box_is_one_pixel_wide_of_the_last(self):
        heat = np.zeros((20, 30))
        heat[4:9, 6:16] = 1
        assert wsol_boxes(heat, 0.5).tolist() == [[6, 4, 16, 9]]  # last pixels are 15 and 8

    def test_clipped_to_the_last_pixel(self):
        assert wsol_boxes(np.ones((20, 30)), 0.5).tolist() == [[0, 0, 29, 19]]

    def test_strictly_above_a_truncated_level(self):
        # 0.5 * 255 = 127.5 is level 127, and 0.5 of the maximum is cut at level 127 as well.
        heat = np.zeros((9, 9))
        heat[2, 2], heat[6, 6] = 1, 0.5
        assert len(wsol_boxes(heat, 0.5, multi=True)) == 1
        heat[6, 6] = 128 / 255 + 1e-6
        assert len(wsol_boxes(heat, 0.5, multi=True)) == 2

    def test_threshold_is_of_the_highest_level(self):
        heat = np.zeros((9, 9))
        heat[2:5, 2:5] = 0.4
        assert wsol_boxes(heat, 0.9).tolist() == [[2, 2, 5, 5]]

    def test_contour_area_decides_and_holes_are_contours(self):
        heat = np.zeros((30, 50))
        heat[1, 2:42] = 1  # 40 pixels, but a polygon without area
        heat[10:14, 2:6] = 1  # 16 pixels, area 9
        heat[15:24, 20:29] = 1
        heat[17:22, 22:27] = 0  # a ring, that is, two contours
        assert wsol_boxes(heat, 0.5).tolist() == [[20, 15, 29, 24]]
        everything = sorted(wsol_boxes(heat, 0.5, multi=True).tolist())
        assert everything == [[2, 1, 42, 2], [2, 10, 6, 14], [20, 15, 29, 24], [21, 16, 28, 23]]

    def test_against_the_protocol_step_by_step(self):
        for seed in range(5):
            heat = smooth_noise(seed=seed)
            for threshold in (0.0, 0.15, 0.5, 0.8):
                grey = (heat * 255).astype(np.uint8)[..., None]
                cut = int(threshold * np.max(grey))
                _, binary = cv2.threshold(grey, cut, 255, cv2.THRESH_BINARY)
                found = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
                expected = []
                for contour in found:
                    x, y, w, h = cv2.boundingRect(contour)
                    expected.append([x, y, min(x + w, 49), min(y + h, 39)])
                largest = int(np.argmax([cv2.contourArea(contour) for contour in found]))
                assert wsol_boxes(heat, threshold, multi=True).tolist() == expected
                assert wsol_boxes(heat, threshold).tolist() == [expected[largest]]

    def test_nothing_above_gives_the_empty_box(self):
        assert wsol_boxes(np.zeros((5, 5)), 0.2).tolist() == [[0, 0, 0, 0]]
        assert wsol_boxes(np.ones((5, 5)), 1.0, multi=True).tolist() == [[0, 0, 0, 0]]

    @pytest.mark.parametrize("heat", [np.full((3, 3), 1.01), np.full((3, 3), -0.01)])
    def test_maps_off_the_scale(self, heat):
        for boxes in (wsol_boxes, layercam_loc_box):
            with pytest.raises(ValueError, match=r"maps in \[0, 1\]"):
                boxes(heat, 0.2)


class TestLayerCamLocalization:
    def test_widest_rectangle_wins(self):
        heat = np.zeros((30, 50))
        heat[1, 2:42] = 1  # 40 x 1
        heat[10:14, 2:6] = 1  # 4 x 4
        assert layercam_loc_box(heat).tolist() == [2, 1, 42, 2]
        heat[5:28, 44:46] = 1  # 2 x 23
        assert layercam_loc_box(heat).tolist() == [44, 5, 46, 28]

    def test_half_open_up_to_the_border(self):
        assert layercam_loc_box(np.ones((5, 7))).tolist() == [0, 0, 7, 5]

    def test_threshold_is_absolute(self):
        # 0.15 * 255 = 38.25: level 38 is out, level 39 is in, whatever the maximum.
        heat = np.zeros((5, 7))
        heat[2:4, 2:4] = 38.5 / 255
        assert layercam_loc_box(heat).tolist() == [0, 0, 1, 1]
        heat[2:4, 2:4] = 39.5 / 255
        assert layercam_loc_box(heat).tolist() == [2, 2, 4, 4]

    def test_nothing_above(self):
        assert layercam_loc_box(np.zeros((5, 7))).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("threshold", [float("nan"), 2, -0.1, "a", None])
def test_a_threshold_is_a_share(threshold):
    with pytest.raises(MethodError, match=r"lies in \[0, 1\], not at"):
        boxes_at(np.ones((4, 4), np.float32), threshold)
