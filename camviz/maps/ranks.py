"""Rank correlation: whether two maps, or two rows of numbers, put the same things first."""

import numpy as np
from numpy.typing import ArrayLike


def ranks(values: ArrayLike) -> np.ndarray:
    """The rank of each value of an array, (n,), from 1; equal values share their mean rank."""
    _, which, counts = np.unique(
        np.asarray(values).ravel(), return_inverse=True, return_counts=True
    )
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[which]


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float | None:
    """Spearman's rank correlation of two arrays of one shape; None if one of them is flat.

    ρ = cov(r_1, r_2) / (σ(r_1) σ(r_2)),  r: the ranks of the values, equal ones at their mean.

    C. Spearman, "The Proof and Measurement of Association between Two Things", 1904. Raises
    ValueError for arrays of two shapes.
    """
    if np.shape(one) != np.shape(other):
        raise ValueError(f"arrays of {np.shape(one)} and {np.shape(other)} cannot be compared")
    first, second = (found - found.mean() for found in (ranks(one), ranks(other)))
    length = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / length if length else None
