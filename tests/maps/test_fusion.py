"""Fusion: normalise, place, resample, fuse; by hand, against torch and against loops."""

import math
from itertools import permutations

import pytest
import torch

from camviz.maps.fusion import (
    FUSIONS,
    Placement,
    arithmetic_mean,
    fuse,
    geometric_mean,
    keep,
    maximum,
    normalize,
    resample,
    scale_shallow,
    signed_mean,
)
from tests.support.reading import ones, slow_read, tensor, zeros
from tests.support.tensors import close, close64, noise64, same

TINY = torch.finfo(torch.float32).tiny


def stages(*grids, seed=0, size=(64.0, 96.0), offsets=None):
    """Normalised maps of these grids, from shallow to deep, and where they look."""
    maps = [normalize(noise64(grid, seed + i) + 0.5) for i, grid in enumerate(grids)]
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


def slow_from_minimum(heat):
    values = [v for row in heat.tolist() for v in row]
    low, high = min(values), max(values)
    if high == low:
        return heat
    return tensor([[(v - low) / (high - low) for v in row] for row in heat.tolist()])


def slow_fuse(maps, placements, mode):
    sizes = [heat.shape[0] * heat.shape[1] for heat in maps]
    finest = sizes.index(max(sizes))
    height, width = maps[finest].shape
    filled = [i for i in range(len(maps)) if max(v for row in maps[i].tolist() for v in row) > 0]
    if not filled:
        return zeros(height, width)
    scaled = list(enumerate(maps))
    if mode == "max_tanh":
        scaled = slow_scaled(maps)
    elif mode in ("refine_cam", "stretched_mean"):
        scaled = [(i, slow_from_minimum(heat)) for i, heat in scaled]
    scaled = [(i, heat) for i, heat in scaled if i in filled]
    fused = zeros(height, width)
    if not scaled:
        return fused
    for i, y in enumerate(placements[finest].centres(0, height).tolist()):
        for j, x in enumerate(placements[finest].centres(1, width).tolist()):
            values = [slow_read(heat, placements[k], y, x) for k, heat in scaled]
            if mode == "refine_cam":
                fused[i, j] = math.prod(values)
            elif mode == "product":
                fused[i, j] = math.prod(values) ** (1 / len(values))
            elif mode in ("mean", "stretched_mean"):
                fused[i, j] = sum(values) / len(values)
            elif mode in ("deepest", "shallowest"):
                fused[i, j] = values[-1 if mode == "deepest" else 0]
            else:
                fused[i, j] = max(values)
    if mode == "stretched_mean":
        fused = slow_from_minimum(fused)
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


# Fusions for which the order of the stages matters.
ORDERED = ("max_tanh", "deepest", "shallowest")


def agree(heat, maps, placements, mode, tolerance=1e-12):
    """With the twin. The root is steep at 0 (1e-16 becomes 1e-3), so products are compared."""
    count = sum(bool((one > 0).any()) for one in maps) if mode == "product" else 1
    close64(heat.double() ** count, slow_fuse(maps, placements, mode) ** count, tolerance)


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
        close64(fused, heat)
        assert placement == placements[0]

    def test_ignores_the_units_of_every_stage(self, mode):  # T-F-2
        _, placements = stages(*GRIDS["five"])
        raw = [noise64(grid, i) for i, grid in enumerate(GRIDS["five"])]
        units = (1e-12, 3.0, 1e-3, 1e9, 0.2)
        fused, _ = fuse([normalize(one) for one in raw], placements, mode)
        scaled = [normalize(unit * one) for unit, one in zip(units, raw, strict=True)]
        close64(fuse(scaled, placements, mode)[0], fused)

    @pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
    def test_lies_between_nothing_and_one(self, mode, grids):  # T-F-3
        heat, _ = fuse(*stages(*grids), mode)
        assert heat.shape == max(grids, key=math.prod)
        assert heat.min() >= 0 and heat.max() == 1

    @pytest.mark.parametrize("grids", [GRIDS["two"], GRIDS["four"], GRIDS["five"]], ids=str)
    def test_an_empty_stage_changes_nothing(self, mode, grids):  # T-F-4
        if mode == "max_tanh":
            pytest.skip("how many stages there are decides which are deep: see TestMaximumOfTanh")
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
        (scaled,) = FUSIONS[mode].scale(maps[1:])
        wanted = FUSIONS[mode].combine([resample(scaled, placements[1], rows, columns)])
        close64(fused, normalize(wanted))

    def test_nothing_seen_is_nothing_shown(self, mode):
        _, placements = stages((2, 3), (8, 12), (4, 6))
        empty = [zeros(2, 3), zeros(8, 12), zeros(4, 6)]
        fused, placement = fuse(empty, placements, mode)
        same(fused, zeros(8, 12))
        assert placement == placements[1]

    def test_a_constant_stays_constant(self, mode):
        _, placements = stages(*GRIDS["five"])
        close64(
            fuse([ones(grid) for grid in GRIDS["five"]], placements, mode)[0],
            ones(9, 12),
        )

    def test_commutes_with_flips(self, mode):
        maps, placements = stages(*GRIDS["four"])
        fused, _ = fuse(maps, placements, mode)
        close64(fuse([heat.flip(0, 1) for heat in maps], placements, mode)[0], fused.flip(0, 1))

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
        for heat in maps:
            heat[2, 2] = math.nan
        with pytest.raises(ValueError, match="not finite"):
            fuse(maps, placements, mode)


class TestOrder:
    @pytest.mark.parametrize("mode", [mode for mode in FUSIONS if mode not in ORDERED])
    def test_stages_may_come_in_any_order(self, mode):  # T-F-5
        maps, placements = stages(*GRIDS["four"])
        fused, _ = fuse(maps, placements, mode)
        for order in permutations(range(4)):
            close64(fuse([maps[i] for i in order], [placements[i] for i in order], mode)[0], fused)

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
        close64(fuse(*shuffled, "max_tanh")[0], fuse(maps, placements, "max_tanh")[0])

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
        maps = [normalize(noise64((2, 3), i)) for i in range(count)]
        scaled = scale_shallow(maps)
        assert len(scaled) == count and scaled[:left_out] == [None] * left_out
        for heat, expected in zip(scaled[left_out:-deep], maps[left_out:-deep], strict=True):
            close64(heat, torch.tanh(2 * expected))
        for heat, expected in zip(scaled[-deep:], maps[-deep:], strict=True):
            same(heat, expected)

    @pytest.mark.parametrize("empty", range(5))
    def test_a_stage_that_is_empty_changes_nothing_about_the_others(self, empty):
        """Once, with one of five empty, the first one counted, and the fourth was a shallow one."""
        maps, placements = stages(*GRIDS["five"])
        scaled = scale_shallow(maps)
        maps[empty] = torch.zeros_like(maps[empty])
        rest = [
            resample(heat, placements[i], placements[0].centres(0, 9), placements[0].centres(1, 12))
            for i, heat in enumerate(scaled)
            if heat is not None and i != empty
        ]
        wanted = normalize(torch.stack(rest).amax(dim=0))
        close64(fuse(maps, placements, "max_tanh")[0], wanted)

    def test_where_only_the_stage_that_does_not_count_is_full_nothing_is_shown(self):
        maps, placements = stages(*GRIDS["five"])
        maps[1:] = [torch.zeros_like(heat) for heat in maps[1:]]
        same(fuse(maps, placements, "max_tanh")[0], zeros(9, 12))

    def test_a_steep_scale_shows_the_support_and_a_flat_one_nothing(self):  # T-F-6
        maps = [normalize(noise64((4, 5), i)) for i in range(3)]
        for heat, steep, flat in zip(
            maps[:2], scale_shallow(maps, 1e9)[:2], scale_shallow(maps, 1e-9)[:2], strict=True
        ):
            same(steep, (heat > 0).double())
            assert flat.max() < 1e-8
        close64(maximum(scale_shallow(maps, 1e-9)), maps[2], 1e-8)

    def test_by_hand(self):
        shallow, deep = tensor([[0.2, 1.0]]), tensor([[1.0, 0.3]])
        fused, _ = fuse([shallow, deep], [Placement((1.0, 1.0))] * 2, "max_tanh")
        close64(fused, tensor([[1.0, math.tanh(2)]]))

    def test_scales_before_it_resamples(self):
        """Half-way between 0 and 1, tanh of the mean is 0.76 and the mean of the tanh 0.48."""
        shallow, deep = tensor([[0.0, 1.0]]), tensor([[1.0, 0.0, 0.0]])
        placements = [Placement((1.0, 2.0), (0.0, 0.5)), Placement((1.0, 1.0))]  # 1 and 3; 0, 1, 2
        fused, _ = fuse([shallow, deep], placements, "max_tanh")
        close64(fused, tensor([[1.0, 0.0, math.tanh(2) / 2]]))


class TestStretchedMean:
    def test_by_hand(self):
        maps = [tensor([[0.2, 0.6, 1.0]]), tensor([[1.0, 0.5, 0.5]])]  # (0 .5 1), (1 0 0)
        fused, _ = fuse(maps, [Placement((1.0, 1.0))] * 2, "stretched_mean")
        close64(fused, tensor([[1.0, 0.0, 1.0]]))  # (.5 .25 .5) from its minimum

    def test_a_floor_changes_nothing(self):
        maps, placements = stages((5, 6), (5, 6), (5, 6))
        raised = [(heat + 0.5) / 1.5 for heat in maps]
        fused, _ = fuse(maps, placements, "stretched_mean")
        close64(fuse(raised, placements, "stretched_mean")[0], fused)


class TestProductOfRefineCAM:
    def test_by_hand(self):
        maps = [tensor([[0.2, 0.6, 1.0]]), tensor([[1.0, 0.5, 0.5]])]
        fused, _ = fuse(maps, [Placement((1.0, 1.0))] * 2, "refine_cam")
        same(fused, tensor([[0.0, 0.0, 0.0]]))  # (0 .5 1) times (1 0 0)
        maps[1] = tensor([[0.0, 0.5, 1.0]])
        close64(fuse(maps, [Placement((1.0, 1.0))] * 2, "refine_cam")[0], tensor([[0, 0.25, 1.0]]))

    def test_the_root_of_it_is_the_geometric_mean_where_every_minimum_is_0(self):
        maps, placements = stages((5, 6), (5, 6), (5, 6))
        maps = [torch.where(heat == heat.min(), 0, heat) for heat in maps]
        fused, _ = fuse(maps, placements, "refine_cam")
        close64(fused, fuse(maps, placements, "product")[0] ** 3)

    def test_small_numbers_do_not_underflow(self):
        low = tensor([[1.0, 0.0, 1e-30]]).float()
        high = tensor([[1e-30, 0.0, 1.0]]).float()
        fused, _ = fuse([low, low, high, high], [Placement((1.0, 1.0))] * 4, "refine_cam")
        assert fused.tolist() == [[1.0, 0.0, 1.0]]


class TestProduct:
    def test_by_hand(self):
        maps = [tensor([[1.0, 0.25, 0.0]]), tensor([[0.25, 1.0, 1.0]])]
        maps.append(tensor([[0.5, 0.5, 1.0]]))
        close64(geometric_mean(maps), tensor([[0.5, 0.5, 0.0]]))

    def test_keeps_the_scale_of_one_map(self):
        heat = normalize(noise64((3, 4)))
        for count in (1, 2, 5):
            close64(geometric_mean([heat] * count), heat)

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
        close64(fused, expected, 1e-4 if dtype == torch.float32 else 1e-10)


def test_mean_and_maximum_by_hand():
    maps = [tensor([[1.0, 0.25]]), tensor([[0.0, 0.75]])]
    same(arithmetic_mean(maps), tensor([[0.5, 0.5]]))
    same(maximum(maps), tensor([[1.0, 0.75]]))
    for heat, kept in zip(maps, keep(maps), strict=True):
        same(kept, heat)


# --- several maps on one scale, and with two signs ---


def read_all(heat, placement, rows, columns):
    return tensor(
        [[slow_read(heat, placement, y, x) for x in columns.tolist()] for y in rows.tolist()]
    )


@pytest.mark.parametrize("mode", FUSIONS)
def test_maps_of_several_classes_share_one_scale(mode):
    """By hand: every minimum and maximum is that of all classes together."""
    grids = [(6, 9), (4, 5), (2, 3)]
    raw = [noise64((3, *grid), i) + 0.4 for i, grid in enumerate(grids)]
    _, placements = stages(*grids)
    found, placement = fuse([normalize(heat) for heat in raw], placements, mode)
    assert found.shape == (3, 6, 9) and float(found.max()) == 1.0 and placement == placements[0]

    positive = [heat.clamp(min=0) / max(float(one.max()) for one in heat) for heat in raw]
    if FUSIONS[mode].scale.__name__ == "from_minimum":
        lows = [min(float(one.min()) for one in heat) for heat in positive]
        positive = [
            (heat - low) / (1 - low) for heat, low in zip(positive, lows, strict=True)
        ]  # fmt: skip
    elif mode == "max_tanh":
        positive = [torch.tanh(2 * heat) for heat in positive[:-1]] + positive[-1:]
    rows, columns = (placements[0].centres(axis, grids[0][axis]) for axis in (0, 1))
    fused = []
    for one in range(3):
        maps = [
            read_all(heat[one], placements[i], rows, columns) for i, heat in enumerate(positive)
        ]
        if mode in ("deepest", "shallowest"):
            fused.append(maps[-1 if mode == "deepest" else 0])
        elif mode in ("product", "refine_cam"):
            total = maps[0] * maps[1] * maps[2]
            fused.append(total ** (1 / 3) if mode == "product" else total)
        elif mode == "max_tanh":
            fused.append(torch.maximum(torch.maximum(maps[0], maps[1]), maps[2]))
        else:
            fused.append((maps[0] + maps[1] + maps[2]) / 3)
    if mode == "stretched_mean":
        low = min(float(heat.min()) for heat in fused)
        fused = [heat - low for heat in fused]
    highest = max(float(heat.max()) for heat in fused)
    for one in range(3):
        # The root of a product that is 0 but for rounding is not.
        close(found[one], fused[one] / highest, 1e-5 if mode == "product" else 1e-12)
    faintest = min(range(3), key=lambda one: float(fused[one].max()))
    single, _ = fuse([normalize(heat[faintest]) for heat in raw], placements, mode)
    assert not torch.allclose(single, found[faintest]), "its own scale is another one"


def test_a_signed_mean_by_hand_and_with_the_other_sign():
    _, placements = stages((4, 6), (2, 3))
    raw = [noise64((4, 6), 1), noise64((2, 3), 2)]
    found, placement = signed_mean(raw, placements)
    rows, columns = placements[0].centres(0, 4), placements[0].centres(1, 6)
    peak = max(abs(value) for row in raw[1].tolist() for value in row)
    coarse = read_all(raw[1] / peak, placements[1], rows, columns)
    mean = (raw[0] / float(raw[0].abs().max()) + coarse) / 2
    close64(found, mean / float(mean.abs().max()))
    assert placement == placements[0] and found.min() < 0 < found.max()
    close64(signed_mean([-heat for heat in raw], placements)[0], -found)
    alone, _ = signed_mean([raw[0], torch.zeros(2, 3, dtype=torch.float64)], placements)
    close64(alone, raw[0] / float(raw[0].abs().max()))
    nothing, _ = signed_mean([torch.zeros(4, 6), torch.zeros(2, 3)], placements)
    assert nothing.shape == (4, 6) and not nothing.any()
