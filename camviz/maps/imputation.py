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

import torch
import torch.nn.functional as F
from torch import Tensor

NOISE = 0.01  # standard deviation, in units of the prepared picture

_SMALLEST = 4  # pixels a side: no picture is halved further
_TINY = torch.finfo(torch.float32).tiny
# Of the largest known value, what the equations may be off (root mean square).
_TOLERANCE = 3e-6


def impute(image: Tensor, missing: Tensor, *, noise: float = NOISE, seed: int = 0) -> Tensor:
    """The picture with its missing pixels filled in, once for each mask: (B, C, h, w).

    image: (1, C, h, w) or (C, h, w). missing: bool (B, h, w); raises ValueError where no pixel is
    known. noise: its standard deviation; the same field of it, which follows from the seed, lies on
    the missing pixels of every mask. Solved to within about a tenth of that noise.
    """
    image = image.reshape(-1, *image.shape[-2:])
    if missing.dtype != torch.bool or missing.ndim != 3 or missing.shape[1:] != image.shape[1:]:
        raise ValueError(
            f"missing is bool, one (h, w) a mask, for a picture of {tuple(image.shape)}; it is "
            f"{missing.dtype} of {tuple(missing.shape)}"
        )
    if bool(missing.flatten(1).all(dim=1).any()):
        raise ValueError("no pixel is known, so that there is nothing to fill in from")
    unknown = missing[:, None].to(image)
    known = image * (1 - unknown)
    # One after the other: each ends when it is solved, and is small enough for the nearest cache.
    pairs = zip(known.split(1), unknown.split(1), strict=True)
    solved = torch.cat([_solve(*pair) for pair in pairs])
    field = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed)).to(image)
    return known + unknown * (solved + noise * field)


def _solve(known: Tensor, unknown: Tensor) -> Tensor:
    """What the unknown pixels are, 0 elsewhere, by conjugate gradients.

    They start from the solution at half the resolution, which has all that is smooth.
    known: (1, C, h, w), 0 where it is not; unknown: (1, 1, h, w), 1 or 0.
    """
    degree = _around(torch.ones_like(unknown[:1]))

    def apply(values: Tensor) -> Tensor:
        return unknown * (degree * values - _around(values))

    values = unknown * _coarse_solution(known, unknown)
    rest = unknown * (_around(known + values) - degree * values)
    direction, size = rest.clone(), _dot(rest, rest)
    enough = (_TOLERANCE * float(known.abs().max())) ** 2 * _dot(unknown, unknown)
    for _ in range(known[0, 0].numel()):
        if bool((size <= enough).all()):
            break
        along = apply(direction)
        step = size / _dot(direction, along).clamp_min(_TINY)
        values = values + step * direction
        rest = rest - step * along
        before, size = size, _dot(rest, rest)
        direction = rest + size / before.clamp_min(_TINY) * direction
    return values


def _coarse_solution(known: Tensor, unknown: Tensor) -> Tensor:
    """The solution of the picture at half the size, drawn at its own; the mean of a tiny one."""
    height, width = known.shape[2:]
    share = 1 - unknown
    if min(height, width) <= _SMALLEST:
        return known.sum(dim=(2, 3), keepdim=True) / share.sum(dim=(2, 3), keepdim=True)
    part = F.avg_pool2d(share, 2, ceil_mode=True)
    halved = F.avg_pool2d(known, 2, ceil_mode=True) / part.clamp_min(_TINY)
    missing = (part == 0).to(known)
    solved = halved * (1 - missing) + _solve(halved * (1 - missing), missing)
    return F.interpolate(solved, size=(height, width), mode="bilinear", align_corners=False)


def _around(values: Tensor) -> Tensor:
    """The weighted sum of the eight neighbours; beyond the border there are none.

    (1 2 1; 2 4 2; 1 2 1) / 12 is (1 2 1) along both axes, and holds the pixel itself with 4 / 12.
    """
    tripled = values
    for axis in (2, 3):
        summed = 2 * tripled
        length = values.shape[axis] - 1
        summed.narrow(axis, 1, length).add_(tripled.narrow(axis, 0, length))
        summed.narrow(axis, 0, length).add_(tripled.narrow(axis, 1, length))
        tripled = summed
    return (tripled - 4 * values) / 12


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """The product of two fields of each mask and channel: (B, C, 1, 1)."""
    return (one * other).sum(dim=(2, 3), keepdim=True)
