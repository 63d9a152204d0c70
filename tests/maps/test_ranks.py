"""Rank correlation, against counting and by hand."""

import numpy as np
import pytest

from camviz.maps.ranks import rank_correlation, ranks


def counted(values):
    """The rank of each value: how many are less, and the middle of those that equal it."""
    flat = [float(value) for value in np.ravel(values)]
    return [
        sum(other < value for other in flat) + (sum(other == value for other in flat) + 1) / 2
        for value in flat
    ]


def slow_correlation(one, other):
    """Pearson's correlation of the counted ranks, term by term."""
    first, second = counted(one), counted(other)
    mean = (len(first) + 1) / 2
    above = sum((a - mean) * (b - mean) for a, b in zip(first, second, strict=True))
    left = sum((a - mean) ** 2 for a in first)
    right = sum((b - mean) ** 2 for b in second)
    return above / (left * right) ** 0.5


def test_spearman_by_hand():
    assert rank_correlation([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) == pytest.approx(0.8207826817)


@pytest.mark.parametrize("seed", range(4))
def test_ranks_and_correlation_are_those_of_counting(seed):
    random = np.random.default_rng(seed)
    one = random.integers(-3, 4, (6, 7)).astype(np.float32)  # many are equal
    other = np.maximum(random.normal(size=(6, 7)), 0).astype(np.float32)  # half of them zero
    assert ranks(one).tolist() == counted(one)
    assert rank_correlation(one, other) == pytest.approx(slow_correlation(one, other), abs=1e-12)


def test_only_the_order_counts():
    heat = np.random.default_rng(0).random((5, 5))
    other = np.random.default_rng(1).random((5, 5))
    assert rank_correlation(heat, np.exp(9 * heat)) == pytest.approx(1)
    assert rank_correlation(heat, -heat) == pytest.approx(-1)
    assert rank_correlation(heat**3, other) == pytest.approx(rank_correlation(heat, other))


def test_a_flat_map_has_no_order():
    heat = np.random.default_rng(0).random((3, 4))
    assert rank_correlation(heat, np.zeros((3, 4))) is None
    assert rank_correlation(np.ones((3, 4)), heat) is None
    assert rank_correlation(np.ones((1, 1)), np.ones((1, 1))) is None


def test_maps_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 4\) and \(4, 3\)"):
        rank_correlation(np.ones((3, 4)), np.ones((4, 3)))
