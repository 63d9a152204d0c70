"""Reading of maps cell by cell, the slow way."""

import math
from functools import partial

import torch

tensor, zeros, ones = (
    partial(make, dtype=torch.float64) for make in (torch.tensor, torch.zeros, torch.ones)
)


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
