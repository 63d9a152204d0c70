"""Normalising, placing and resampling of maps."""

import math

import pytest
import torch
import torch.nn.functional as F

from camviz.maps.fusion import (
    Placement,
    is_empty,
    normalize,
    resample,
)
from tests.support.reading import slow_read, tensor
from tests.support.tensors import close64, noise64, same

TINY = torch.finfo(torch.float32).tiny


def pixels(count):
    return torch.arange(count, dtype=torch.float64)


class TestNormalize:
    def test_by_hand(self):
        raw = torch.tensor([[-4.0, 0.0], [1.0, 2.0]])
        same(normalize(raw), torch.tensor([[0.0, 0.0], [0.5, 1.0]]))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 4)])
    def test_against_loops(self, shape, dtype):
        for seed in range(10):
            raw = noise64(shape, seed, dtype)
            peak = max(max(value, 0.0) for row in raw.tolist() for value in row)
            expected = [[max(v, 0.0) / peak if peak else 0.0 for v in row] for row in raw.tolist()]
            close64(normalize(raw).double(), tensor(expected), 1e-7)

    def test_the_maximum_is_exactly_one_and_once_is_enough(self):
        for dtype in (torch.float32, torch.float64):
            for seed in range(50):
                raw = noise64((3, 5), seed, dtype) * 10.0 ** (seed - 25)
                heat = normalize(raw)
                assert heat.max() == 1 and heat.min() >= 0
                same(normalize(heat), heat)

    def test_has_no_epsilon(self):
        raw = noise64((6, 5), dtype=torch.float32)
        for scale in (1e-30, 1e-12, 1e-8, 1e12, 1e30):
            close64(normalize(raw * scale), normalize(raw), 1e-6)
        for power in (-100, -40, 40, 100):
            same(normalize(raw * 2.0**power), normalize(raw))

    def test_keeps_the_floor(self):
        same(normalize(torch.tensor([[2.0, 2.0, 4.0]])), torch.tensor([[0.5, 0.5, 1.0]]))
        same(normalize(torch.full((3, 4), 0.2)), torch.ones(3, 4))

    @pytest.mark.parametrize("value", [0.0, -1.0, -1e-30, TINY, 1e-45])
    def test_without_positive_evidence_it_stays_zero(self, value):
        same(normalize(torch.full((2, 3), value)), torch.zeros(2, 3))

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_refuses_what_is_not_a_number(self, value):
        raw = torch.ones(2, 3)
        raw[1, 2] = value
        with pytest.raises(ValueError, match="not finite"):
            normalize(raw)

    def test_leaves_its_input_alone(self):
        for raw in (noise64((3, 4)), -noise64((3, 4)).abs(), normalize(noise64((3, 4)))):
            before = raw.clone()
            assert normalize(raw).data_ptr() != raw.data_ptr()
            same(raw, before)


class TestIsEmpty:
    @pytest.mark.parametrize("value", [0.0, -1.0, -1e30, TINY, 1e-45])
    def test_without_positive_evidence(self, value):
        assert is_empty(torch.full((2, 3), value))

    @pytest.mark.parametrize("value", [1.0, 1e-30, 1.5 * TINY])
    def test_one_positive_place_is_enough(self, value):
        heat = torch.full((2, 3), -5.0)
        heat[1, 1] = value
        assert not is_empty(heat)

    def test_is_what_normalize_leaves_zero(self):
        for value in (0.0, -1.0, 1e-45, TINY, 1.01 * TINY, 1e-30, 1.0):
            raw = torch.tensor([[value, -2.0]])
            assert is_empty(raw) == is_empty(normalize(raw)) == (not normalize(raw).any())


class TestPlacement:
    @pytest.mark.parametrize(
        ("stride", "offset", "expected"),
        [
            (1, 0, [0, 1, 2]),
            (2, 0, [0.5, 2.5, 4.5]),
            (32, 0, [15.5, 47.5, 79.5]),
            (32, -15.5, [0, 32, 64]),  # five symmetric 3x3 convolutions of stride 2
            (32, 15.5, [31, 63, 95]),  # the same with TensorFlow's padding
            (2.5, 1, [1.75, 4.25, 6.75]),
            (0.5, 0, [-0.25, 0.25, 0.75]),
        ],
    )
    def test_centres_by_hand(self, stride, offset, expected):
        expected = tensor(expected)
        down = Placement((stride, 7.0), (offset, 99.0))
        across = Placement((7.0, stride), (99.0, offset))
        same(down.centres(0, 3), expected)
        same(across.centres(1, 3), expected)

    def test_the_default_is_plain(self):
        assert Placement((4.0, 8.0)) == Placement((4.0, 8.0), (0.0, 0.0))

    def test_plain_cells_cover_the_input_evenly(self):
        for size, count in ((224, 7), (299, 35), (13, 5)):
            centres = Placement((size / count,) * 2).centres(0, count)
            close64(centres + centres.flip(0), torch.full_like(centres, size - 1.0))


def slow_resample(heat, placement, rows, columns):
    values = [[slow_read(heat, placement, y, x) for x in columns] for y in rows]
    return tensor(values).view(len(rows), len(columns))


class TestResample:
    @pytest.mark.parametrize(
        ("grid", "size"),
        [
            ((7, 7), (224, 224)),
            ((7, 5), (224, 160)),
            ((35, 35), (299, 299)),
            ((8, 10), (299, 320)),
            ((3, 4), (10, 7)),
            ((1, 5), (13, 17)),
            ((1, 1), (6, 5)),
            ((6, 9), (6, 9)),
        ],
    )
    def test_is_plain_bilinear_interpolation(self, grid, size):
        heat = noise64(grid)
        placement = Placement((size[0] / grid[0], size[1] / grid[1]))
        drawn = resample(heat, placement, pixels(size[0]), pixels(size[1]))
        expected = F.interpolate(heat[None, None], size, mode="bilinear", align_corners=False)
        close64(drawn, expected[0, 0])

    @pytest.mark.parametrize("grid", [(1, 1), (1, 4), (4, 1), (2, 2), (5, 3)])
    @pytest.mark.parametrize("offset", [(0, 0), (-15.5, 15.5), (3.25, -40.0), (1000.0, 0.1)])
    def test_against_loops(self, grid, offset):
        heat, placement = noise64(grid), Placement((32.0, 299 / 35), offset)
        rows = tensor([-20.0, 0, 15.5, 16, 31, 47.5, 90, 500])
        columns = tensor([-3.0, 0, 3.77, 10.123, 25, 60])
        drawn = resample(heat, placement, rows, columns)
        close64(drawn, slow_resample(heat, placement, rows.tolist(), columns.tolist()))

    @pytest.mark.parametrize("stride", [1.0, 4.0, 32.0, 299 / 35])
    @pytest.mark.parametrize("offset", [0.0, -15.5, 15.5, 0.3])
    def test_a_ramp_stays_a_ramp(self, stride, offset):
        """A map that holds its own cells' centres gives every pixel its own coordinate."""
        placement = Placement((stride, stride), (offset, 0.0))
        centres = placement.centres(0, 6)
        at = torch.linspace(centres[0] - 2 * stride, centres[-1] + 2 * stride, 50).double()
        drawn = resample(centres[:, None].expand(6, 3), placement, at, pixels(4))
        close64(drawn, at.clamp(centres[0], centres[-1])[:, None].expand(50, 4), 1e-11)
        swapped = Placement((stride, stride), (0.0, offset))
        close64(resample(centres.expand(3, 6), swapped, pixels(4), at), drawn.T, 1e-11)

    def test_by_hand(self):
        heat = tensor([[0.0, 4.0, 8.0]])
        row = pixels(1)
        plain, shifted = Placement((4.0, 4.0)), Placement((4.0, 4.0), (0.0, -1.5))
        at = tensor([0.0, 1, 2, 3, 4, 5, 6])
        # Plain centres: 1.5, 5.5, 9.5. Shifted: 0, 4, 8.
        same(resample(heat, plain, row, at)[0], (at - 1.5).clamp(min=0))
        same(resample(heat, shifted, row, at)[0], at)

    def test_clamps_at_the_border(self):
        heat, placement = noise64((3, 4)), Placement((8.0, 8.0), (2.0, -2.0))
        far = tensor([-1e6, 1e6])
        same(resample(heat, placement, far, far), heat[[0, -1]][:, [0, -1]])

    def test_a_single_cell_is_everywhere(self):
        heat = tensor([[0.7]])
        same(
            resample(heat, Placement((224.0, 1.0), (5.0, -5.0)), pixels(9), pixels(3)),
            torch.full((9, 3), 0.7, dtype=torch.float64),
        )

    @pytest.mark.parametrize("stride", [2.0, 299 / 35])
    def test_at_its_own_centres_it_is_itself(self, stride):
        heat, placement = noise64((4, 6)), Placement((stride, 16.0), (0.4, -3.0))
        drawn = resample(heat, placement, placement.centres(0, 4), placement.centres(1, 6))
        close64(drawn, heat)

    def test_commutes_with_flips(self):
        heat, placement = noise64((5, 7)), Placement((6.4, 4.0))
        rows, columns = pixels(32), pixels(28)
        close64(
            resample(heat.flip(0, 1), placement, rows, columns),
            resample(heat, placement, rows, columns).flip(0, 1),
        )

    def test_an_offset_is_a_shift(self):
        heat = noise64((5, 7))
        here, there = Placement((4.0, 4.0)), Placement((4.0, 4.0), (3.0, -2.5))
        close64(
            resample(heat, there, pixels(20) + 3.0, pixels(28) - 2.5),
            resample(heat, here, pixels(20), pixels(28)),
        )

    def test_keeps_the_range_and_the_type(self):
        for dtype in (torch.float32, torch.float64):
            heat = normalize(noise64((7, 7), dtype=dtype))
            drawn = resample(heat, Placement((32.0, 32.0)), pixels(224), pixels(224))
            assert drawn.dtype == dtype
            assert drawn.min() >= 0 and drawn.max() <= 1 + 1e-6

    def test_nothing_asked_nothing_given(self):
        assert resample(noise64((3, 3)), Placement((2.0, 2.0)), pixels(0), pixels(4)).shape == (
            0,
            4,
        )

    def test_leaves_its_input_alone(self):
        heat, rows = noise64((3, 3)), pixels(5)
        before = heat.clone(), rows.clone()
        resample(heat, Placement((2.0, 2.0)), rows, rows)
        same(heat, before[0])
        same(rows, before[1])
