"""Pixels for tests."""

import numpy as np


def random_pixels(height, width, channels=3, seed=0):
    """uint8 (height, width, channels) of uniform noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
