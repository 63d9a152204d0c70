"""Pixels that are missing, filled in from their neighbours: ROAD's noisy linear imputation.

    filled = impute(image, missing)          # (B, C, h, w): the picture without each of B masks

Every missing pixel becomes the weighted mean of its eight neighbours, missing ones among them:

    x_i = sum_j w_ij x_j / sum_j w_ij,   w = 1/6 beside and above, 1/12 at a corner, 0 elsewhere

and has a little noise added, so that a network cannot tell from a smooth place that something was
taken away there. That is a linear system, symmetric and positive definite as long as one pixel is
known. It is solved by conjugate gradients, from the solution at half the resolution on.

Rong, Leemann, Borisov, Kasneci and Kasneci, "A Consistent and Efficient Evaluation Strategy for
Attribution Methods", ICML 2022, https://arxiv.org/abs/2202.00449
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

Pause = Callable[[], object]

NOISE = 0.01  # standard deviation, in units of the prepared picture

_SMALLEST = 4  # pixels a side: no picture is halved further
_TINY = float(np.finfo(np.float32).tiny)
_WEIGHTS = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.float32) / 12
# Of the largest known value, what the equations may be off (root mean square).
_TOLERANCE = 3e-6


def impute(
    image: Tensor,
    missing: Tensor,
    *,
    noise: float = NOISE,
    seed: int = 0,
    pause: Pause | None = None,
) -> Tensor:
    """The picture with its missing pixels filled in, once for each mask: (B, C, h, w).

    image: (1, C, h, w) or (C, h, w). missing: bool (B, h, w); raises ValueError where no pixel is
    known. noise: its standard deviation; the same field of it, which follows from the seed, lies on
    the missing pixels of every mask. Solved to within about a tenth of that noise. pause: called
    between iterations.
    """
    image = image.reshape(-1, *image.shape[-2:])
    if missing.dtype != torch.bool or missing.ndim != 3 or missing.shape[1:] != image.shape[1:]:
        raise ValueError(
            f"missing is bool, one (h, w) a mask, for a picture of {tuple(image.shape)}; it is "
            f"{missing.dtype} of {tuple(missing.shape)}"
        )
    if bool(missing.flatten(1).all(dim=1).any()):
        raise ValueError("no pixel is known, so that there is nothing to fill in from")
    pixels = image.detach().float().cpu().numpy()
    unknown = missing.cpu().numpy().astype(np.float32)
    solved = np.stack([_solve(pixels * (1 - mask), mask, pause) for mask in unknown])
    field = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed)).to(image)
    filled = torch.from_numpy(solved).to(image) + noise * field
    return torch.where(missing[:, None], filled, image)


def _solve(known: np.ndarray, unknown: np.ndarray, pause: Pause | None) -> np.ndarray:
    """What the unknown pixels are, 0 elsewhere: (C, h, w), all arrays in float32.

    known: (C, h, w), 0 where it is not; unknown: (h, w), 1 or 0.
    """
    start = unknown * _coarse_solution(known, unknown, pause)
    return np.stack(
        [_iterate(*planes, unknown, pause) for planes in zip(start, known, strict=True)]
    )


def _iterate(
    values: np.ndarray, known: np.ndarray, unknown: np.ndarray, pause: Pause | None
) -> np.ndarray:
    """The solution of one channel by conjugate gradients, from `values` on: (h, w).

    Arrays are written again and again: they are small enough for the nearest cache.
    """
    degree = unknown * _around(np.ones_like(unknown))
    rest = unknown * _around(known + values) - degree * values
    direction, size = rest.copy(), _dot(rest, rest)
    enough = (_TOLERANCE * float(np.abs(known).max())) ** 2 * _dot(unknown, unknown)
    around, scaled = np.empty_like(rest), np.empty_like(rest)
    for _ in range(known.size):
        if size <= enough:
            break
        if pause is not None:
            pause()
        _around(direction, out=around)
        around *= unknown
        along = np.multiply(degree, direction, out=scaled)
        along -= around
        step = size / max(_dot(direction, along), _TINY)
        values += np.multiply(direction, np.float32(step), out=around)
        along *= np.float32(step)
        rest -= along
        before, size = size, _dot(rest, rest)
        direction *= np.float32(size / max(before, _TINY))
        direction += rest
    return values


def _coarse_solution(known: np.ndarray, unknown: np.ndarray, pause: Pause | None) -> np.ndarray:
    """The solution of the picture at half the size, drawn at its own; the mean of a tiny one.

    It has all that is smooth, for which conjugate gradients would take many steps.
    """
    height, width = unknown.shape
    share = 1 - unknown
    if min(height, width) <= _SMALLEST:
        return (known.sum(axis=(1, 2)) / share.sum())[:, None, None]
    part = _halved(share)
    missing = (part == 0).astype(np.float32)
    halved = _halved(known) / np.maximum(part, _TINY)
    solved = halved + _solve(halved, missing, pause)
    return np.stack([cv2.resize(plane, (width, height)) for plane in solved])


def _halved(values: np.ndarray) -> np.ndarray:
    """The sums of two by two pixels, zeros beyond the border: (..., ceil(h / 2), ceil(w / 2))."""
    *front, height, width = values.shape
    pad = [(0, 0)] * len(front) + [(0, height % 2), (0, width % 2)]
    values = np.pad(values, pad)
    return values.reshape(*front, values.shape[-2] // 2, 2, -1, 2).sum(axis=(-3, -1))


def _around(values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The weighted sum of the eight neighbours; beyond the border there are none."""
    return cv2.filter2D(values, -1, _WEIGHTS, dst=out, borderType=cv2.BORDER_CONSTANT)


def _dot(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.vdot(one, other))
