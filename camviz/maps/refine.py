"""Refinement: a map spread over the places whose features are alike.

    affinity = Affinity([(activations, placement), ...])
    heat, placement = refine(fused, placement, affinity, Refinement(power=8, steps=1))

The features of a network say which places look alike to it. Spread over those, a map follows the
outline of a thing: it shows which thing, and no longer what exactly counted. Weighted by the map
that was spread, it stays on the thing that was asked for where another one looks alike. Nothing is
learned, and the network is not run again:

    f_i = the L2-normalised features of each stage at place i, concatenated, L2-normalised again
    A_ij = max(0, f_i . f_j)^power,  each row divided by its sum
    s = A^steps m
    r = (s - min s) * m^keep,  divided by its maximum

m is the map, averaged over the cells of one grid that all features are brought to. The rectified
cosine of several stages is that of SEAM's pixel correlation module (Wang et al., CVPR 2020,
https://arxiv.org/abs/2004.04581), power and steps those of AffinityNet's random walk (Ahn and
Kwak, CVPR 2018, https://arxiv.org/abs/1803.10464); both train what is read off here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor

from camviz.maps.fusion import Placement, interpolation, normalize

# The matrix has the square of this many entries, 4 MB in single precision.
MOST_CELLS = 1024
_STRIP = 112  # rows of the matrix that are computed at once
_TINY = torch.finfo(torch.float32).tiny

# A grid of cells and where they look.
Grid = tuple[tuple[int, int], Placement]


@dataclass(frozen=True)
class Refinement:
    """How a map is spread: `power` of the cosine between places, `steps` from place to place.

    `keep`: the power of the map itself by which the spread one is weighted; 0: by nothing. Power 8,
    as here, and 3 steps, as families of networks have (`camviz.engine.families`), on the stages of
    at most `MOST_CELLS` cells were chosen by `python -m benchmarks.refinement` on drawn scenes of
    one seed and reported on another (docs/figures.md): of the settings that put no smaller share of
    the heat on the thing that was asked for than the map had before, those of the best average
    precision. One step is what is cheapest for a map whose network is not known.
    """

    power: float = 8.0
    steps: int = 1
    keep: float = 0.0


@dataclass(eq=False)
class Affinity:
    """How much alike the places of a picture are to a network.

    features: of each stage (C, h, w), and where its cells look. The matrix is computed when it is
    first read and kept.
    """

    features: Sequence[tuple[Tensor, Placement]]

    def __post_init__(self) -> None:
        if not self.features:
            raise ValueError("an affinity needs the features of at least one stage")

    def __getstate__(self) -> dict[str, Any]:
        """The features alone, on the CPU, whatever the device they are on."""
        return {"features": [(tensor.cpu(), placement) for tensor, placement in self.features]}

    @cached_property
    def grid(self) -> Grid:
        """The finest grid of the stages that has at most `MOST_CELLS` cells.

        If none has, one of at most so many, on which the cells of the coarsest are averaged.
        """
        few = [pair for pair in self.features if pair[0][0].numel() <= MOST_CELLS]
        if few:
            tensor, placement = max(few, key=lambda pair: pair[0][0].numel())
            height, width = tensor.shape[1:]
            return (height, width), placement
        tensor, placement = min(self.features, key=lambda pair: pair[0][0].numel())
        height, width = tensor.shape[1:]
        shrink = (MOST_CELLS / (height * width)) ** 0.5
        rows = min(max(1, int(height * shrink)), MOST_CELLS)
        sides = rows, min(max(1, int(width * shrink)), MOST_CELLS // rows)
        return sides, coarser(placement, (height, width), sides)

    @cached_property
    def cosines(self) -> Tensor:
        """(n, n): the cosine between the features of any two places of `grid`, n = rows * columns.

        A place without features is like itself alone.
        """
        first, *others = self.features
        products = _products(*first, self.grid)
        for pair in others:
            products.add_(_products(*pair, self.grid))
        lengths = products.diagonal().clamp_min(0).sqrt()
        scale = torch.where(lengths > 0, 1 / lengths, torch.zeros_like(lengths))
        cosines = products.mul_(scale[:, None]).mul_(scale)
        cosines.fill_diagonal_(1)
        return cosines

    @property
    def nbytes(self) -> int:
        """Bytes of the matrix, if it was computed; the features are those of the trace."""
        return self.cosines.nbytes if "cosines" in vars(self) else 0

    def transition(self, power: float) -> Tensor:
        """(n, n): A, each row of which sums to 1."""
        weights = _power(self.cosines.clamp_min(0), power)
        return weights.div_(weights.sum(dim=1, keepdim=True))


def refine(
    heat: Tensor, placement: Placement, affinity: Affinity, how: Refinement
) -> tuple[Tensor, Placement]:
    """A normalised map (h, w) spread over what is alike, on the affinity's grid.

    In [0, 1], the least value 0 and the largest 1. An empty map stays empty, and one that is the
    same everywhere stays so: there is nothing to stretch.
    """
    sides, target = affinity.grid
    m = average(heat, placement, sides, target).flatten().to(affinity.cosines)
    matrix = affinity.transition(how.power)
    spread = m
    with torch.autocast(m.device.type, enabled=False):
        for _ in range(how.steps):
            spread = matrix @ spread
    low, high = spread.min(), spread.max()
    # Rounding apart, a constant map stays constant: its range is no contrast.
    if high - low <= 1e-5 * high or high <= _TINY:
        return normalize(spread.reshape(sides)), target
    weighted = (spread - low) / (high - low) * m**how.keep
    return normalize(weighted.reshape(sides)), target


def average(heat: Tensor, placement: Placement, sides: tuple[int, int], onto: Placement) -> Tensor:
    """A map (..., h, w) on another grid: averaged where that is coarser, else bilinear.

    Each new cell is the mean of the map at points spread evenly over it, one for each cell of the
    map that it spans along an axis.
    """
    down, across = _averaging(tuple(heat.shape[-2:]), placement, sides, onto)
    with torch.autocast(heat.device.type, enabled=False):
        return down.to(heat) @ heat @ across.to(heat).T


def coarser(placement: Placement, sides: tuple[int, int], fewer: tuple[int, int]) -> Placement:
    """The placement of a grid of fewer cells over the same pixels."""
    down, across = placement.stride
    stride = (down * sides[0] / fewer[0], across * sides[1] / fewer[1])
    return replace(placement, stride=stride)


@lru_cache(maxsize=64)
def _averaging(
    shape: tuple[int, ...], placement: Placement, sides: tuple[int, ...], onto: Placement
) -> tuple[Tensor, Tensor]:
    """(sides[0], h) and (sides[1], w): the share of each cell of a map in each new one."""
    matrices = []
    for axis, (count, side) in enumerate(zip(shape, sides, strict=True)):
        points = max(1, round(onto.stride[axis] / placement.stride[axis]))
        within = ((torch.arange(points) + 0.5) / points - 0.5).double() * onto.stride[axis]
        positions = (onto.centres(axis, side)[:, None] + within).flatten()
        weights = interpolation(positions, placement, axis, count)
        matrices.append(weights.reshape(side, points, count).mean(dim=1))
    return matrices[0], matrices[1]


def _products(tensor: Tensor, placement: Placement, grid: Grid) -> Tensor:
    """(n, n): products of one stage's normalised features between any two places of a grid."""
    sides, onto = grid
    shape = tuple(tensor.shape[1:])
    features = tensor / torch.linalg.vector_norm(tensor, dim=0).clamp_min(_TINY)
    with torch.autocast(tensor.device.type, enabled=False):
        if shape == sides and placement == onto:
            return _gram(features.flatten(1))
        if shape[0] * shape[1] > sides[0] * sides[1]:
            return _gram(average(features, placement, sides, onto).flatten(1))
        # Resampling is linear: of coarse stages the few products are resampled, not the features.
        weights = _averaging(shape, placement, sides, onto)
        half = _resample(_gram(features.flatten(1)), shape, *weights)
        return _resample(half.T.contiguous(), shape, *weights)


def _resample(cells: Tensor, shape: tuple[int, ...], down: Tensor, across: Tensor) -> Tensor:
    """(h * w, n) on another grid: (rows * columns, n)."""
    height, width = shape
    rows = (down.to(cells) @ cells.reshape(height, -1)).reshape(len(down), width, -1)
    return (across.to(cells) @ rows).flatten(0, 1)


def _gram(features: Tensor) -> Tensor:
    """(n, n): features.T @ features, every product once and not once for each half."""
    count = features.shape[1]
    products = features.new_empty(count, count)
    for start in range(0, count, _STRIP):
        end = start + _STRIP
        products[start:end, start:] = features[:, start:end].T @ features[:, start:]
        products[end:, start:end] = products[start:end, end:].T
    return products


def _power(values: Tensor, power: float) -> Tensor:
    """Values, which are changed, to a power; whole powers of two by squaring."""
    doublings = power
    count = 0
    while doublings > 1 and doublings % 2 == 0:
        doublings, count = doublings / 2, count + 1
    if doublings != 1:
        return values.pow_(power)
    for _ in range(count):
        values.square_()
    return values
