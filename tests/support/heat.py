"""Heat maps and masks for tests: smooth noise, squares, and figures the slow way."""

import cv2
import numpy as np


def smooth_noise(height=24, width=31, seed=0, kind=np.float32):
    noise = np.random.default_rng(seed).normal(size=(height, width))
    heat = cv2.GaussianBlur(noise, (0, 0), 2).clip(min=0)
    return (heat / heat.max()).astype(kind)


def square(shape=(24, 31), top=5, left=8, bottom=15, right=20):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def slow_iou(a, b):
    cells = [(bool(x), bool(y)) for x, y in zip(a.ravel(), b.ravel(), strict=True)]
    return sum(x and y for x, y in cells) / sum(x or y for x, y in cells)


def slow_spearman(a, b):
    """The correlation of ranks, each counted one by one: how many are less, and half the equals."""

    def places(values):
        return [sum(x < v for x in values) + (sum(x == v for x in values) - 1) / 2 for v in values]

    return float(np.corrcoef(places(list(a)), places(list(b)))[0, 1])
