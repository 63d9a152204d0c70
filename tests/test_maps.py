"""camviz.maps: normalise, place, resample, fuse; by hand, against torch and against loops."""

import math
from functools import partial
from itertools import permutations

import pytest
import torch
import torch.nn.functional as F

from camviz.maps.fusion import (
    FUSIONS,
    Placement,
    arithmetic_mean,
    fuse,
    geometric_mean,
    is_empty,
    keep,
    maximum,
    normalize,
    resample,
    scale_shallow,
)

TINY = torch.finfo(torch.float32).tiny


def close(actual, expected, tolerance=1e-12):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


tensor, zeros, ones = (
    partial(make, dtype=torch.float64) for make in (torch.tensor, torch.zeros, torch.ones)
)


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


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
            raw = noise(*shape, seed=seed, dtype=dtype)
            peak = max(max(value, 0.0) for row in raw.tolist() for value in row)
            expected = [[max(v, 0.0) / peak if peak else 0.0 for v in row] for row in raw.tolist()]
            close(normalize(raw).double(), tensor(expected), 1e-7)

    def test_the_maximum_is_exactly_one_and_once_is_enough(self):
        for dtype in (torch.float32, torch.float64):
            for seed in range(50):
                raw = noise(3, 5, seed=seed, dtype=dtype) * 10.0 ** (seed - 25)
                heat = normalize(raw)
                assert heat.max() == 1 and heat.min() >= 0
                same(normalize(heat), heat)

    def test_has_no_epsilon(self):
        raw = noise(6, 5, dtype=torch.float32)
        for scale in (1e-30, 1e-12, 1e-8, 1e12, 1e30):
            close(normalize(raw * scale), normalize(raw), 1e-6)
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
        for raw in (noise(3, 4), -noise(3, 4).abs(), normalize(noise(3, 4))):
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
            close(centres + centres.flip(0), torch.full_like(centres, size - 1.0))


def slow_read(heat, placement, y, x):
    """One place of a map, read at one input pixel."""
    near = []
    for axis, position in ((0, y), (1, x)):
        stride, offset, last = placement.stride[axis], placement.offset[axis], heat.shape[axis] - 1
        cell = (position - (stride - 1) / 2 - offset) / stride
        cell = min(max(cell, 0), last)
        low = math.floor(cell)
        near.append([(low, 1 - (cell - low)), (min(low + 1, last), cell - low)])
    return sum(v * h * heat[i, j].item() for i, v in near[0] for j, h in near[1])


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
        heat = noise(*grid)
        placement = Placement((size[0] / grid[0], size[1] / grid[1]))
        drawn = resample(heat, placement, pixels(size[0]), pixels(size[1]))
        expected = F.interpolate(heat[None, None], size, mode="bilinear", align_corners=False)
        close(drawn, expected[0, 0])

    @pytest.mark.parametrize("grid", [(1, 1), (1, 4), (4, 1), (2, 2), (5, 3)])
    @pytest.mark.parametrize("offset", [(0, 0), (-15.5, 15.5), (3.25, -40.0), (1000.0, 0.1)])
    def test_against_loops(self, grid, offset):
        heat, placement = noise(*grid), Placement((32.0, 299 / 35), offset)
        rows = tensor([-20.0, 0, 15.5, 16, 31, 47.5, 90, 500])
        columns = tensor([-3.0, 0, 3.77, 10.123, 25, 60])
        drawn = resample(heat, placement, rows, columns)
        close(drawn, slow_resample(heat, placement, rows.tolist(), columns.tolist()))

    @pytest.mark.parametrize("stride", [1.0, 4.0, 32.0, 299 / 35])
    @pytest.mark.parametrize("offset", [0.0, -15.5, 15.5, 0.3])
    def test_a_ramp_stays_a_ramp(self, stride, offset):
        """A map that holds its own cells' centres gives every pixel its own coordinate."""
        placement = Placement((stride, stride), (offset, 0.0))
        centres = placement.centres(0, 6)
        at = torch.linspace(centres[0] - 2 * stride, centres[-1] + 2 * stride, 50).double()
        drawn = resample(centres[:, None].expand(6, 3), placement, at, pixels(4))
        close(drawn, at.clamp(centres[0], centres[-1])[:, None].expand(50, 4), 1e-11)
        swapped = Placement((stride, stride), (0.0, offset))
        close(resample(centres.expand(3, 6), swapped, pixels(4), at), drawn.T, 1e-11)

    def test_by_hand(self):
        heat = tensor([[0.0, 4.0, 8.0]])
        row = pixels(1)
        plain, shifted = Placement((4.0, 4.0)), Placement((4.0, 4.0), (0.0, -1.5))
        at = tensor([0.0, 1, 2, 3, 4, 5, 6])
        # Plain centres: 1.5, 5.5, 9.5. Shifted: 0, 4, 8.
        same(resample(heat, plain, row, at)[0], (at - 1.5).clamp(min=0))
        same(resample(heat, shifted, row, at)[0], at)

    def test_clamps_at_the_border(self):
        heat, placement = noise(3, 4), Placement((8.0, 8.0), (2.0, -2.0))
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
        heat, placement = noise(4, 6), Placement((stride, 16.0), (0.4, -3.0))
        drawn = resample(heat, placement, placement.centres(0, 4), placement.centres(1, 6))
        close(drawn, heat)

    def test_commutes_with_flips(self):
        heat, placement = noise(5, 7), Placement((6.4, 4.0))
        rows, columns = pixels(32), pixels(28)
        close(
            resample(heat.flip(0, 1), placement, rows, columns),
            resample(heat, placement, rows, columns).flip(0, 1),
        )

    def test_an_offset_is_a_shift(self):
        heat = noise(5, 7)
        here, there = Placement((4.0, 4.0)), Placement((4.0, 4.0), (3.0, -2.5))
        close(
            resample(heat, there, pixels(20) + 3.0, pixels(28) - 2.5),
            resample(heat, here, pixels(20), pixels(28)),
        )

    def test_keeps_the_range_and_the_type(self):
        for dtype in (torch.float32, torch.float64):
            heat = normalize(noise(7, 7, dtype=dtype))
            drawn = resample(heat, Placement((32.0, 32.0)), pixels(224), pixels(224))
            assert drawn.dtype == dtype
            assert drawn.min() >= 0 and drawn.max() <= 1 + 1e-6

    def test_nothing_asked_nothing_given(self):
        assert resample(noise(3, 3), Placement((2.0, 2.0)), pixels(0), pixels(4)).shape == (0, 4)

    def test_leaves_its_input_alone(self):
        heat, rows = noise(3, 3), pixels(5)
        before = heat.clone(), rows.clone()
        resample(heat, Placement((2.0, 2.0)), rows, rows)
        same(heat, before[0])
        same(rows, before[1])


def stages(*grids, seed=0, size=(64.0, 96.0), offsets=None):
    """Normalised maps of these grids, from shallow to deep, and where they look."""
    maps = [normalize(noise(*grid, seed=seed + i) + 0.5) for i, grid in enumerate(grids)]
    offsets = offsets or [(0.0, 0.0)] * len(grids)
    placements = [
        Placement((size[0] / grid[0], size[1] / grid[1]), offset)
        for grid, offset in zip(grids, offsets, strict=True)
    ]
    return maps, placements


def slow_scaled(maps):
    """tanh for the shallow stages; the first of five or more has no say: (index, map) pairs."""
    count = len(maps)
    shallow = range(0, count - 1) if count <= 4 else range(1, count - 2)
    deep = range(count - 1, count) if count <= 4 else range(count - 2, count)
    tanh = [
        (i, tensor([[math.tanh(2 * v) for v in row] for row in maps[i].tolist()])) for i in shallow
    ]
    return tanh + [(i, maps[i]) for i in deep]


def slow_fuse(maps, placements, mode):
    sizes = [heat.shape[0] * heat.shape[1] for heat in maps]
    finest = sizes.index(max(sizes))
    height, width = maps[finest].shape
    seen = [i for i in range(len(maps)) if max(v for row in maps[i].tolist() for v in row) > 0]
    if not seen:
        return zeros(height, width)
    chosen = [maps[i] for i in seen]
    scaled = slow_scaled(chosen) if mode == "max_tanh" else list(enumerate(chosen))
    fused = zeros(height, width)
    for i, y in enumerate(placements[finest].centres(0, height).tolist()):
        for j, x in enumerate(placements[finest].centres(1, width).tolist()):
            values = [slow_read(heat, placements[seen[k]], y, x) for k, heat in scaled]
            if mode == "product":
                fused[i, j] = math.prod(values) ** (1 / len(values))
            elif mode == "mean":
                fused[i, j] = sum(values) / len(values)
            else:
                fused[i, j] = max(values)
    peak = fused.max().item()
    return fused / peak if peak > 0 else fused


GRIDS = {
    "one": [(3, 5)],
    "two": [(6, 5), (3, 4)],
    "same grid": [(4, 4), (4, 4), (4, 4)],
    "four": [(8, 12), (4, 6), (2, 3), (1, 2)],
    "five": [(9, 12), (8, 12), (4, 6), (2, 3), (2, 3)],
    "six": [(9, 12), (8, 12), (4, 6), (4, 4), (2, 3), (1, 1)],
    "coarse first": [(2, 3), (4, 6), (8, 12)],
    "finest in the middle": [(1, 1), (2, 3), (7, 9), (3, 2), (1, 5)],
}


def agree(heat, maps, placements, mode, tolerance=1e-12):
    """With the twin. The root is steep at 0 (1e-16 becomes 1e-3), so products are compared."""
    count = sum(bool((one > 0).any()) for one in maps) if mode == "product" else 1
    close(heat.double() ** count, slow_fuse(maps, placements, mode) ** count, tolerance)


@pytest.mark.parametrize("mode", FUSIONS)
class TestFuse:
    @pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
    def test_against_loops(self, mode, grids):
        for seed in range(3):
            maps, placements = stages(*grids, seed=10 * seed)
            heat, _ = fuse(maps, placements, mode)
            agree(heat, maps, placements, mode)

    @pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
    def test_against_loops_where_the_stages_look_elsewhere(self, mode, grids):
        offsets = [(3.5 * i - 4, 2.0 - i) for i in range(len(grids))]
        maps, placements = stages(*grids, offsets=offsets)
        heat, placement = fuse(maps, placements, mode)
        agree(heat, maps, placements, mode)
        assert placement == placements[max(range(len(maps)), key=lambda i: maps[i].numel())]

    @pytest.mark.parametrize("empty", [[0], [1], [4], [0, 4], [1, 2, 3], [0, 1, 2, 3]])
    def test_against_loops_with_empty_stages(self, mode, empty):
        maps, placements = stages(*GRIDS["five"])
        for i in empty:
            maps[i] = torch.zeros_like(maps[i])
        agree(fuse(maps, placements, mode)[0], maps, placements, mode)

    def test_one_stage_is_itself(self, mode):  # T-F-1
        (heat,), placements = stages((5, 7), offsets=[(1.0, -2.0)])
        fused, placement = fuse([heat], placements, mode)
        close(fused, heat)
        assert placement == placements[0]

    def test_ignores_the_units_of_every_stage(self, mode):  # T-F-2
        _, placements = stages(*GRIDS["five"])
        raw = [noise(*grid, seed=i) for i, grid in enumerate(GRIDS["five"])]
        units = (1e-12, 3.0, 1e-3, 1e9, 0.2)
        fused, _ = fuse([normalize(one) for one in raw], placements, mode)
        scaled = [normalize(unit * one) for unit, one in zip(units, raw, strict=True)]
        close(fuse(scaled, placements, mode)[0], fused)

    @pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
    def test_lies_between_nothing_and_one(self, mode, grids):  # T-F-3
        heat, _ = fuse(*stages(*grids), mode)
        assert heat.shape == max(grids, key=math.prod)
        assert heat.min() >= 0 and heat.max() == 1

    @pytest.mark.parametrize("grids", [GRIDS["two"], GRIDS["four"], GRIDS["five"]], ids=str)
    def test_an_empty_stage_changes_nothing(self, mode, grids):  # T-F-4
        maps, placements = stages(*grids)
        fused, placement = fuse(maps, placements, mode)
        for at in range(len(maps) + 1):
            empty, elsewhere = zeros(2, 2), Placement((32.0, 48.0), (5.0, 5.0))
            wider = [*maps[:at], empty, *maps[at:]]
            places = [*placements[:at], elsewhere, *placements[at:]]
            heat, target = fuse(wider, places, mode)
            same(heat, fused)
            assert target == placement

    def test_an_empty_stage_still_counts_for_the_grid(self, mode):
        maps, placements = stages((8, 12), (2, 3))
        fused, placement = fuse([zeros(8, 12), maps[1]], placements, mode)
        assert placement == placements[0]
        rows, columns = placement.centres(0, 8), placement.centres(1, 12)
        close(fused, normalize(resample(maps[1], placements[1], rows, columns)))

    def test_nothing_seen_is_nothing_shown(self, mode):
        _, placements = stages((2, 3), (8, 12), (4, 6))
        empty = [zeros(2, 3), zeros(8, 12), zeros(4, 6)]
        fused, placement = fuse(empty, placements, mode)
        same(fused, zeros(8, 12))
        assert placement == placements[1]

    def test_a_constant_stays_constant(self, mode):
        _, placements = stages(*GRIDS["five"])
        close(
            fuse([ones(grid) for grid in GRIDS["five"]], placements, mode)[0],
            ones(9, 12),
        )

    def test_commutes_with_flips(self, mode):
        maps, placements = stages(*GRIDS["four"])
        fused, _ = fuse(maps, placements, mode)
        close(fuse([heat.flip(0, 1) for heat in maps], placements, mode)[0], fused.flip(0, 1))

    def test_keeps_the_type_and_its_input(self, mode):
        for dtype in (torch.float32, torch.float64):
            maps, placements = stages(*GRIDS["five"])
            maps = [heat.to(dtype) for heat in maps]
            before = [heat.clone() for heat in maps]
            heat, _ = fuse(maps, placements, mode)
            assert heat.dtype == dtype
            agree(heat, maps, placements, mode, 1e-5)
            for one, other in zip(maps, before, strict=True):
                same(one, other)

    def test_values_that_are_no_numbers_are_refused(self, mode):
        maps, placements = stages((4, 4), (4, 4))
        maps[1][2, 2] = math.nan
        with pytest.raises(ValueError, match="not finite"):
            fuse(maps, placements, mode)


class TestOrder:
    @pytest.mark.parametrize("mode", ["product", "mean"])
    def test_stages_may_come_in_any_order(self, mode):  # T-F-5
        maps, placements = stages(*GRIDS["four"])
        fused, _ = fuse(maps, placements, mode)
        for order in permutations(range(4)):
            close(fuse([maps[i] for i in order], [placements[i] for i in order], mode)[0], fused)

    @pytest.mark.parametrize(
        ("grids", "order"),
        [
            ("four", (2, 0, 1, 3)),
            ("five", (0, 2, 1, 3, 4)),
            ("five", (0, 1, 2, 4, 3)),
            ("six", (0, 3, 1, 2, 5, 4)),
        ],
    )
    def test_shallow_and_deep_ones_among_themselves_may(self, grids, order):  # T-F-5
        maps, placements = stages(*GRIDS[grids])
        shuffled = [maps[i] for i in order], [placements[i] for i in order]
        close(fuse(*shuffled, "max_tanh")[0], fuse(maps, placements, "max_tanh")[0])

    def test_a_deep_stage_is_not_a_shallow_one(self):
        maps, placements = stages(*GRIDS["four"])
        order = (3, 1, 2, 0)
        swapped = fuse([maps[i] for i in order], [placements[i] for i in order], "max_tanh")[0]
        assert (swapped - fuse(maps, placements, "max_tanh")[0]).abs().max() > 0.01


class TestMaximumOfTanh:
    @pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
    def test_shows_all_that_the_deepest_stage_saw(self, grids):  # T-F-3
        maps, placements = stages(*grids)
        fused, target = fuse(maps, placements, "max_tanh")
        rows, columns = target.centres(0, len(fused)), target.centres(1, fused.shape[1])
        assert (fused >= resample(maps[-1], placements[-1], rows, columns) - 1e-12).all()

    @pytest.mark.parametrize(
        ("count", "left_out", "deep"), [(1, 0, 1), (2, 0, 1), (4, 0, 1), (5, 1, 2), (6, 1, 2)]
    )
    def test_which_stages_are_shallow(self, count, left_out, deep):
        maps = [normalize(noise(2, 3, seed=i)) for i in range(count)]
        scaled = scale_shallow(maps)
        assert len(scaled) == count - left_out
        for heat, expected in zip(scaled[:-deep], maps[left_out:-deep], strict=True):
            close(heat, torch.tanh(2 * expected))
        for heat, expected in zip(scaled[-deep:], maps[-deep:], strict=True):
            same(heat, expected)

    def test_a_steep_scale_shows_the_support_and_a_flat_one_nothing(self):  # T-F-6
        maps = [normalize(noise(4, 5, seed=i)) for i in range(3)]
        for heat, steep, flat in zip(
            maps[:2], scale_shallow(maps, 1e9)[:2], scale_shallow(maps, 1e-9)[:2], strict=True
        ):
            same(steep, (heat > 0).double())
            assert flat.max() < 1e-8
        close(maximum(scale_shallow(maps, 1e-9)), maps[2], 1e-8)

    def test_by_hand(self):
        shallow, deep = tensor([[0.2, 1.0]]), tensor([[1.0, 0.3]])
        fused, _ = fuse([shallow, deep], [Placement((1.0, 1.0))] * 2, "max_tanh")
        close(fused, tensor([[1.0, math.tanh(2)]]))

    def test_scales_before_it_resamples(self):
        """Half-way between 0 and 1, tanh of the mean is 0.76 and the mean of the tanh 0.48."""
        shallow, deep = tensor([[0.0, 1.0]]), tensor([[1.0, 0.0, 0.0]])
        placements = [Placement((1.0, 2.0), (0.0, 0.5)), Placement((1.0, 1.0))]  # 1 and 3; 0, 1, 2
        fused, _ = fuse([shallow, deep], placements, "max_tanh")
        close(fused, tensor([[1.0, 0.0, math.tanh(2) / 2]]))


class TestProduct:
    def test_by_hand(self):
        maps = [tensor([[1.0, 0.25, 0.0]]), tensor([[0.25, 1.0, 1.0]])]
        maps.append(tensor([[0.5, 0.5, 1.0]]))
        close(geometric_mean(maps), tensor([[0.5, 0.5, 0.0]]))

    def test_keeps_the_scale_of_one_map(self):
        heat = normalize(noise(3, 4))
        for count in (1, 2, 5):
            close(geometric_mean([heat] * count), heat)

    def test_one_stage_that_saw_nothing_there_decides(self):
        maps, placements = stages((4, 4), (4, 4), (4, 4))
        fused, _ = fuse(maps, placements, "product")
        nothing = (torch.stack(maps) == 0).any(dim=0)
        assert nothing.any() and not nothing.all()
        assert (fused[nothing] == 0).all() and (fused[~nothing] > 0).all()

    def test_stages_that_agree_on_nothing_leave_nothing(self):
        maps = [tensor([[1.0, 0.0]]), tensor([[0.0, 1.0]])]
        same(fuse(maps, [Placement((1.0, 1.0))] * 2, "product")[0], zeros(1, 2))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("count", [2, 5, 9])
    def test_does_not_underflow(self, dtype, count):
        """Every stage is certain of another place and nearly blind to the rest."""
        maps = [torch.full((1, count + 1), 1e-30, dtype=dtype) for _ in range(count)]
        for i, heat in enumerate(maps):
            heat[0, i] = 1
        assert count == 2 or math.prod(float(heat[0, -1]) for heat in maps) < TINY
        fused, _ = fuse(maps, [Placement((1.0, 1.0))] * count, "product")
        expected = ones(1, count + 1, dtype=dtype)
        expected[0, -1] = 1e-30 ** (1 / count)
        close(fused, expected, 1e-4 if dtype == torch.float32 else 1e-10)


def test_mean_and_maximum_by_hand():
    maps = [tensor([[1.0, 0.25]]), tensor([[0.0, 0.75]])]
    same(arithmetic_mean(maps), tensor([[0.5, 0.5]]))
    same(maximum(maps), tensor([[1.0, 0.75]]))
    for heat, kept in zip(maps, keep(maps), strict=True):
        same(kept, heat)
