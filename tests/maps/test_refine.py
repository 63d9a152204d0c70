"""Refinement: against a slow reference in float64, identities, planted pictures, bounds."""

import pickle

import pytest
import torch

from camviz.maps.fusion import Placement, normalize
from camviz.maps.refine import MOST_CELLS, Affinity, Refinement, average, refine
from tests.support.tensors import noise64


def affinity_of(*stages, side=64.0, seed=0):
    """Features of these (channels, rows, columns), each over the same pixels."""
    features = [noise64(shape, seed + i).float() for i, shape in enumerate(stages)]
    return Affinity([(f, Placement((side / f.shape[1], side / f.shape[2]))) for f in features])


def map_of(rows, columns, side=64.0, seed=9):
    heat = normalize(noise64((rows, columns), seed) + 0.5).float()
    return heat, Placement((side / rows, side / columns))


# -- The slow reference: every sentence of the docstring as loops, in float64 ----------------------


def slow_read(heat, placement, y, x):
    """A map (h, w) at one input pixel, bilinear and clamped."""
    cells = []
    for axis, at in ((0, y), (1, x)):
        stride, offset, count = placement.stride[axis], placement.offset[axis], heat.shape[axis]
        place = min(max((at - (stride - 1) / 2 - offset) / stride, 0.0), count - 1.0)
        low = min(int(place), max(count - 2, 0))
        cells.append([(low, 1 - (place - low)), (min(low + 1, count - 1), place - low)])
    return sum(a * b * float(heat[i, j]) for i, a in cells[0] for j, b in cells[1])


def slow_average(heat, placement, sides, onto):
    made = torch.zeros(sides, dtype=torch.float64)
    points = [max(1, round(onto.stride[a] / placement.stride[a])) for a in (0, 1)]
    for i in range(sides[0]):
        for j in range(sides[1]):
            values = []
            for p in range(points[0]):
                for q in range(points[1]):
                    y, x = (
                        onto.stride[a] * (cell + (k + 0.5) / points[a]) - 0.5 + onto.offset[a]
                        for a, cell, k in ((0, i, p), (1, j, q))
                    )
                    values.append(slow_read(heat, placement, y, x))
            made[i, j] = sum(values) / len(values)
    return made


def slow_refine(heat, placement, features, grid, power, steps, keep=0.0):
    sides, onto = grid
    parts = []
    for tensor, at in features:
        tensor = tensor.double()
        unit = tensor / tensor.norm(dim=0, keepdim=True)
        parts.append(torch.stack([slow_average(c, at, sides, onto) for c in unit]))
    f = torch.cat(parts).flatten(1).T
    f = f / f.norm(dim=1, keepdim=True)
    count = len(f)
    matrix = torch.zeros(count, count, dtype=torch.float64)
    for i in range(count):
        for j in range(count):
            matrix[i, j] = max(0.0, float(f[i] @ f[j])) ** power
        matrix[i] /= matrix[i].sum()
    m = slow_average(heat.double(), placement, sides, onto).flatten()
    r = m
    for _ in range(steps):
        r = matrix @ r
    r = (r - r.min()) * m**keep
    return (r / r.max()).reshape(sides)


CASES = {
    "one stage": ([(3, 6, 8)], (6, 8)),
    "a finer map": ([(3, 4, 4)], (8, 8)),
    "a coarser map": ([(3, 8, 8)], (2, 4)),
    "three stages": ([(2, 8, 8), (3, 4, 4), (5, 2, 2)], (8, 8)),
    "grids that do not nest": ([(4, 7, 7), (3, 5, 3)], (9, 4)),
}


@pytest.mark.parametrize(
    "how", [(8, 1), (8, 3), (3, 2), (2.5, 1), (8, 3, 0.2), (4, 1, 1), (2, 2, 2.5)], ids=str
)
@pytest.mark.parametrize("stages, grid", CASES.values(), ids=CASES)
def test_it_is_the_slow_reference(stages, grid, how):
    affinity, (heat, placement) = affinity_of(*stages), map_of(*grid)
    found, onto = refine(heat, placement, affinity, Refinement(*how))
    assert onto == affinity.grid[1]
    wanted = slow_refine(heat, placement, affinity.features, affinity.grid, *how)
    assert torch.allclose(found.double(), wanted, atol=2e-5)


def test_offsets_move_features_and_map():
    features = noise64((3, 4, 4), 1).float()
    affinity = Affinity(
        [(features, Placement((16.0, 16.0), (5.0, -3.0))), (features, Placement((16.0, 16.0)))]
    )
    heat = map_of(8, 8)[0]
    placement = Placement((8.0, 8.0), (2.0, 1.0))
    found, onto = refine(heat, placement, affinity, Refinement(4, 1))
    assert onto.offset == (5.0, -3.0)
    wanted = slow_refine(heat, placement, affinity.features, affinity.grid, 4, 1)
    assert torch.allclose(found.double(), wanted, atol=2e-5)


# -- Identities ------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1, 2, 7.5, 8, 16, 64])
def test_every_row_of_the_matrix_sums_to_one(power):
    matrix = affinity_of((5, 9, 7), (2, 3, 3)).transition(power)
    assert (matrix >= 0).all()
    assert torch.allclose(matrix.sum(dim=1), torch.ones(63), atol=1e-5)


@pytest.mark.parametrize("keep", [0, 0.2])
@pytest.mark.parametrize("value", [1.0, 0.25, 1e-30])
def test_a_constant_map_stays_constant(value, keep):
    heat = torch.full((8, 8), value)
    found, _ = refine(heat, Placement((8.0, 8.0)), affinity_of((4, 8, 8)), Refinement(8, 3, keep))
    assert torch.allclose(found, torch.ones(8, 8), atol=1e-5)


def test_an_empty_map_stays_empty():
    found, _ = refine(
        torch.zeros(4, 4), Placement((16.0, 16.0)), affinity_of((4, 8, 8)), Refinement()
    )
    assert found.shape == (8, 8) and not found.any()


def test_a_picture_of_one_cell():
    found, _ = refine(
        torch.ones(1, 1), Placement((64.0, 64.0)), affinity_of((4, 1, 1)), Refinement()
    )
    assert found.tolist() == [[1.0]]
    found, _ = refine(map_of(4, 4)[0], map_of(4, 4)[1], affinity_of((4, 1, 1)), Refinement())
    assert found.tolist() == [[1.0]]


def test_the_range_is_from_0_to_1():
    found, _ = refine(*map_of(8, 8), affinity_of((4, 8, 8)), Refinement())
    assert found.min() == 0 and found.max() == 1


def test_cells_in_another_order_give_the_same_map_in_that_order():
    """Positions have no part in it: only features and map."""
    features, heat = noise64((6, 1, 40), 3).float(), map_of(1, 40)[0]
    placement = Placement((64.0, 1.6))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    one, _ = refine(heat, placement, Affinity([(features, placement)]), Refinement(8, 2))
    moved = Affinity([(features[:, :, order], placement)])
    other, _ = refine(heat[:, order], placement, moved, Refinement(8, 2))
    assert torch.allclose(one[:, order], other, atol=1e-5)


def test_features_in_another_scale_or_order_of_channels_change_nothing():
    affinity, (heat, placement) = affinity_of((6, 8, 8), (3, 4, 4)), map_of(8, 8)
    (first, at), (second, below) = affinity.features
    scaled = Affinity([(first.flip(0) * 1e4, at), (second * 1e-6, below)])
    one, other = (refine(heat, placement, each, Refinement())[0] for each in (affinity, scaled))
    assert torch.allclose(one, other, atol=1e-5)


# -- What it is for --------------------------------------------------------------------------------


def two_regions():
    """Features of a left and a right half that have nothing in common."""
    features = torch.zeros(2, 8, 8)
    features[0, :, :4] = 1
    features[1, :, 4:] = 1
    return Affinity([(features, Placement((8.0, 8.0)))])


def test_a_spot_spreads_over_its_region_and_no_further():
    heat = torch.zeros(8, 8)
    heat[2, 1] = 1
    found, _ = refine(heat, Placement((8.0, 8.0)), two_regions(), Refinement(8, 1))
    assert torch.equal(found[:, :4], torch.ones(8, 4))
    assert not found[:, 4:].any()


def test_the_greater_the_power_the_less_goes_to_what_is_half_alike():
    features = torch.ones(2, 1, 3)
    features[:, 0, 0], features[:, 0, 1] = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])
    features[:, 0, 2] = torch.tensor([0.0, 1.0])
    affinity = Affinity([(features, Placement((64.0, 64 / 3)))])
    shares = [float(affinity.transition(power)[0, 1]) for power in (1, 2, 8, 32)]
    assert shares == sorted(shares, reverse=True) and shares[-1] < 1e-4
    assert shares[1] == pytest.approx(1 / 3)  # cos 45° squared is 1/2, beside 1 and 0


def test_a_place_without_features_keeps_what_it_has():
    """Its row is not zero: it is like itself alone."""
    features = torch.ones(3, 4, 4)
    features[:, 0, 0] = 0
    heat = torch.full((4, 4), 0.25)
    heat[0, 0] = 1
    found, _ = refine(
        heat, Placement((16.0, 16.0)), Affinity([(features, Placement((16.0, 16.0)))]), Refinement()
    )
    assert found[0, 0] == 1 and not found.flatten()[1:].any()


def test_the_more_is_kept_the_less_goes_to_another_place_that_is_alike():
    """Two of three columns are alike, and the map is on the first of them."""
    features = torch.ones(2, 1, 3)
    features[:, 0, 1] = torch.tensor([1.0, -1.0])
    affinity = Affinity([(features, Placement((64.0, 64 / 3)))])
    heat = torch.tensor([[1.0, 0.0, 0.25]])
    found = [
        refine(heat, Placement((64.0, 64 / 3)), affinity, Refinement(8, 1, keep))[0]
        for keep in (0, 0.5, 1, 2)
    ]
    wanted = torch.tensor([[1, 0, last] for last in (1, 0.5, 0.25, 0.0625)])
    assert torch.cat(found) == pytest.approx(wanted, abs=1e-5)


# -- Grids and memory ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stages, sides",
    [
        ([(2, 32, 32), (2, 16, 16)], (32, 32)),  # the finest that is small enough
        ([(2, 56, 56), (2, 28, 28), (2, 14, 14)], (28, 28)),
        ([(2, 37, 37)], (32, 32)),  # none is: one that is
        ([(2, 1, 3000)], (1, 1024)),
        ([(2, 3000, 1)], (1024, 1)),
        ([(2, 20, 300)], (8, 123)),
    ],
)
def test_the_grid_is_never_too_large(stages, sides):
    affinity = affinity_of(*stages)
    (height, width), placement = affinity.grid
    assert (height, width) == sides and height * width <= MOST_CELLS
    assert placement.stride[0] * height == pytest.approx(64)
    assert placement.stride[1] * width == pytest.approx(64)


def test_memory_is_bounded_however_fine_the_features_are():
    affinity = affinity_of((4, 56, 56), (8, 28, 28))
    assert affinity.nbytes == 0
    refine(*map_of(112, 112), affinity, Refinement())
    assert affinity.nbytes == (28 * 28) ** 2 * 4 <= MOST_CELLS**2 * 4
    assert affinity.transition(8).numel() <= MOST_CELLS**2


def test_averaging_of_a_finer_map_is_the_mean_of_its_cells():
    heat = noise64((6, 8), 2)
    found = average(heat, Placement((8.0, 8.0)), (3, 2), Placement((16.0, 32.0)))
    assert torch.allclose(found, heat.reshape(3, 2, 2, 4).mean(dim=(1, 3)))


def test_a_copy_holds_features_and_no_matrix():
    affinity = affinity_of((4, 8, 8))
    before, _ = refine(*map_of(8, 8), affinity, Refinement())
    copy = pickle.loads(pickle.dumps(affinity))
    assert copy.nbytes == 0 < affinity.nbytes
    after, _ = refine(*map_of(8, 8), copy, Refinement())
    assert torch.equal(before, after)


def test_nothing_is_changed_in_place():
    affinity, (heat, placement) = affinity_of((4, 8, 8)), map_of(8, 8)
    kept = affinity.cosines.clone()
    copy = heat.clone()
    refine(heat, placement, affinity, Refinement(8, 2))
    refine(heat, placement, affinity, Refinement(3, 1))
    assert torch.equal(affinity.cosines, kept) and torch.equal(heat, copy)


def test_without_features_there_is_no_affinity():
    with pytest.raises(ValueError, match="at least one stage"):
        Affinity([])
