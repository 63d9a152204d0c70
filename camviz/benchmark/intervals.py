"""Intervals by resampling pictures: the bootstrap.

    resampled = Resampled.draw(pictures=100)
    resampled.interval(weighted means, (B,))     # (value, low, high)

A resample draws as many pictures as there are, with replacement; what a figure would be on it is
found from weights, how often each picture was drawn. Things in one picture are drawn together. The
first row of weights is the set itself, so that one formula gives the figure and its interval. All
rows of a table share the resamples, and so does a difference of two of them, which is paired.

Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 1979 (percentiles).
"""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Resampled:
    """weights: float64 (1 + B, pictures); the first row is all ones."""

    weights: np.ndarray

    @classmethod
    def draw(cls, pictures: int, resamples: int = RESAMPLES, seed: int = 0) -> "Resampled":
        random = np.random.default_rng(seed)
        drawn = random.multinomial(pictures, np.full(pictures, 1 / pictures), resamples)
        return cls(np.concatenate([np.ones((1, pictures)), drawn]))

    def of(self, pictures: np.ndarray) -> np.ndarray:
        """Weights of things, (1 + B, things), from the number of the picture that each is in."""
        return self.weights[:, pictures]

    def interval(self, values: np.ndarray) -> tuple[float, float, float]:
        """The figure and its 95 % interval, from its value by every row of weights, (1 + B,)."""
        drawn = values[1:][np.isfinite(values[1:])]
        if not (np.isfinite(values[0]) and drawn.size):
            return np.nan, np.nan, np.nan
        low, high = np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
        return float(values[0]), float(low), float(high)

    def mean(self, values: np.ndarray) -> tuple[float, float, float]:
        """The mean of one value a picture, and its interval."""
        return self.interval(self.weights @ values / self.weights.sum(axis=1))
