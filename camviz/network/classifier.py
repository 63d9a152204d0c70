"""A linear classifier of kinds, in plain values: what takes the place of a network's own."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Classifier:
    """Logits W z + b of z = (p - m) / ||p - m||, p the pooled features of a network.

    kinds: the names of its classes. mean (C,), weights (K, C), offsets (K,): m, W and b, float32.
    pictures: from how many it was taught. Arrays, so that another process can be sent them.
    """

    kinds: tuple[str, ...]
    mean: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    pictures: int
