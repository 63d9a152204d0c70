"""From a raw map to the one that is shown: normalise, fuse, place on the picture.

One order everywhere: ReLU, divide by the maximum at the stage's own resolution, fuse on the
finest grid, up-sample once. Raw maps here are (H, W); nothing is modified in place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

# A map whose maximum is below the smallest normal number holds nothing that could be divided.
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Placement:
    """Where the cells of a grid are centred, in pixels of the network's input, (y, x) each.

    Cell i is centred on stride * i + (stride - 1) / 2 + offset. Offset 0 is what every plain
    up-sampling assumes; in networks with strided, padded convolutions it is another.
    """

    stride: tuple[float, float]
    offset: tuple[float, float] = (0.0, 0.0)

    def centres(self, axis: int, count: int) -> Tensor:
        """The input pixel that each of `count` cells is centred on, along one axis."""
        stride, offset = self.stride[axis], self.offset[axis]
        return torch.arange(count, dtype=torch.float64) * stride + (stride - 1) / 2 + offset


def normalize(raw: Tensor) -> Tensor:
    """The positive part of a map over its maximum; an empty map stays zero.

        n = relu(M) / max(relu(M)),   0 if that maximum is below the smallest normal number

    No epsilon: gradients may be as small as 1e-8, and a fixed epsilon would flatten them. No
    minimum is subtracted: a floor is part of the map. Raises ValueError if a value is
    not finite.
    """
    if not torch.isfinite(raw).all():
        raise ValueError("the map holds values that are not finite numbers")
    positive = raw.relu()
    peak = positive.max()
    return positive / peak if peak > _TINY else torch.zeros_like(positive)


def is_empty(heat: Tensor) -> bool:
    """True for a map without positive evidence: it has no scale and no place."""
    return not bool((heat > _TINY).any())


def resample(heat: Tensor, placement: Placement, rows: Tensor, columns: Tensor) -> Tensor:
    """The values of a map at given input pixels, bilinearly, clamped at the border.

    heat: (..., H, W). rows, columns: input-pixel coordinates, the centre of pixel i being i.
    Returns (..., len(rows), len(columns)). With offset 0 and the pixels of the input itself this is
    bilinear interpolation with align_corners=False.
    """
    down = interpolation(rows, placement, 0, heat.shape[-2])
    return _weighted(heat, down, interpolation(columns, placement, 1, heat.shape[-1]))


def _weighted(heat: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """The values of a map, (..., H, W), in shares of its rows and of its columns."""
    with torch.autocast(heat.device.type, enabled=False):
        return down.to(heat) @ heat @ across.to(heat).T


def interpolation(positions: Tensor, placement: Placement, axis: int, count: int) -> Tensor:
    """(len(positions), count): the two bilinear weights of each position, in its row.

    count: the cells of the map along this axis, 0 for rows and 1 for columns.
    """
    cells = cells_at(positions, placement, axis, count)
    low = cells.floor().long().clamp(max=max(count - 2, 0))
    share = (cells - low).unsqueeze(1)
    weights = torch.zeros(len(positions), count, dtype=torch.float64)
    weights.scatter_(1, low.unsqueeze(1), 1 - share)
    if count > 1:
        weights.scatter_(1, (low + 1).unsqueeze(1), share)
    return weights


def cells_at(positions: Tensor, placement: Placement, axis: int, count: int) -> Tensor:
    """Where positions lie on a grid of `count` cells, the centre of cell i being i; float64.

    Clamped to [0, count - 1].
    """
    centre = placement.centres(axis, 1)[0]
    return ((positions.double() - centre) / placement.stride[axis]).clamp(0, count - 1)


# What is made of the maps of all stages before they are combined; None: a stage has no part in it.
Scaled = list[Tensor | None]


def geometric_mean(maps: Sequence[Tensor]) -> Tensor:
    """The geometric mean over stages: high where all of them are.

        F = (n_1 * ... * n_L)^(1/L)

    The root of `product` keeps the scale of one map, so that thresholds mean the same for any
    number of stages.
    """
    # Logarithms, because the product of five small numbers underflows; log(0) = -inf gives 0.
    return torch.stack(list(maps)).double().log().mean(dim=0).exp().to(maps[0])


def product(maps: Sequence[Tensor]) -> Tensor:
    """The product over stages, over its maximum.

        F = n_1 * ... * n_L

    RefineCAM's, https://arxiv.org/abs/2605.14641
    """
    logarithm = torch.stack(list(maps)).double().log().sum(dim=0)
    highest = logarithm.max()
    nothing = highest == -torch.inf  # which is not to be subtracted from itself
    return (logarithm - (0 if nothing else highest)).exp().to(maps[0])


def arithmetic_mean(maps: Sequence[Tensor]) -> Tensor:
    """The mean over stages: F = (n_1 + ... + n_L) / L."""
    return torch.stack(list(maps)).mean(dim=0)


def stretched_mean(maps: Sequence[Tensor]) -> Tensor:
    """The mean over stages from its minimum on.

        F = m - min m,  m = (n_1 + ... + n_L) / L

    A floor that is the same everywhere says nothing, and it draws boxes larger than things are.
    """
    mean = arithmetic_mean(maps)
    low = mean.min()
    return mean - low if mean.max() > low else mean


def maximum(maps: Sequence[Tensor]) -> Tensor:
    """The maximum over stages: F = max_l n_l."""
    return torch.stack(list(maps)).amax(dim=0)


def deepest(maps: Sequence[Tensor]) -> Tensor:
    """The deepest map alone: F = n_L."""
    return maps[-1]


def shallowest(maps: Sequence[Tensor]) -> Tensor:
    """The shallowest map alone: F = n_1."""
    return maps[0]


def scale_shallow(maps: Sequence[Tensor], gamma: float = 2.0) -> Scaled:
    """LayerCAM's scaling of shallow stages, whose few high values hide the rest.

        t_l = tanh(gamma * n_l) for shallow l,  n_l for the deep ones

    Maps run from shallow to deep. Shallow: all but the last of up to four stages, all but the
    last two of five or more; the first of five or more is left out, since it does not distinguish
    classes (the paper's table X, as quoted by a re-implementation). How many stages there are
    decides, whether or not some of their maps are empty. No published code does exactly this.
    """
    deep = 1 if len(maps) <= 4 else 2
    first_deep = len(maps) - deep
    scaled: Scaled = [
        torch.tanh(gamma * heat) if index < first_deep else heat for index, heat in enumerate(maps)
    ]
    return scaled if len(maps) <= 4 else [None, *scaled[1:]]


def from_minimum(maps: Sequence[Tensor]) -> Scaled:
    """Each map from its minimum on: (n - min n) / (max n - min n); a constant one as it is."""
    scaled: Scaled = []
    for heat in maps:
        low, high = heat.min(), heat.max()
        scaled.append((heat - low) / (high - low) if high > low else heat)
    return scaled


def keep(maps: Sequence[Tensor]) -> Scaled:
    """No scaling."""
    return list(maps)


@dataclass(frozen=True)
class Fusion:
    """A way to make one map of several: `scale` at each stage's own grid, `combine` on one.

    `summary` and `formula` are what the page shows of `combine`: one sentence, and the formula
    typeset. `short`: its name at the head of a column.
    """

    label: str
    short: str
    scale: Callable[[Sequence[Tensor]], Scaled]
    combine: Callable[[Sequence[Tensor]], Tensor]
    paper: str
    summary: str
    formula: str


FUSIONS: dict[str, Fusion] = {
    "stretched_mean": Fusion(
        "Mean of stretched maps",
        "Stretched",
        from_minimum,
        stretched_mean,
        "camviz",
        "What the layers say on average, each from its lowest value to its highest.",
        "F = m − min m,  m = (n_1 + … + n_L) / L",
    ),
    "product": Fusion(
        "Geometric mean",
        "Geometric",
        keep,
        geometric_mean,
        "camviz; the root of RefineCAM's product",
        "What all layers agree on.",
        "F = (n_1 · … · n_L)^(1/L)",
    ),
    "mean": Fusion(
        "Arithmetic mean",
        "Mean",
        keep,
        arithmetic_mean,
        "camviz",
        "What the layers say on average.",
        "F = (n_1 + … + n_L) / L",
    ),
    "max_tanh": Fusion(
        "Maximum, weak maps raised",
        "Maximum",
        scale_shallow,
        maximum,
        "after LayerCAM, TIP 2021, eq. 9",
        "What any layer saw; the maps of fine layers are raised first (tanh).",
        "F = max_l n_l",
    ),
    "refine_cam": Fusion(
        "Product",
        "Product",
        from_minimum,
        product,
        "RefineCAM, 2026",
        "What all layers agree on, and only where they agree strongly.",
        "F = n_1 · … · n_L",
    ),
    "deepest": Fusion(
        "Deepest map",
        "Deepest",
        keep,
        deepest,
        "attention methods, whose maps add up from block to block",
        "The map of the deepest layer, which holds what came before.",
        "F = n_L",
    ),
    "shallowest": Fusion(
        "Shallowest map",
        "Shallowest",
        keep,
        shallowest,
        "relevance, which is passed on from the answer to the picture",
        "The map of the shallowest layer, at which what comes after has arrived.",
        "F = n_1",
    ),
}


def fuse(
    maps: Sequence[Tensor], placements: Sequence[Placement], mode: str = "product"
) -> tuple[Tensor, Placement]:
    """One map of several stages, on the finest grid, and the placement of that grid.

    maps: normalised, (H_l, W_l), from shallow to deep. Empty ones are left out, so that they
    cannot make the product zero. Zeros on the finest grid if nothing is left. The result is
    normalised. Scaling precedes up-sampling, so that a stage's maximum is exact.

    With a leading axis, (n, H_l, W_l), the n maps of a stage share one scale, here and in
    `normalize`: that of the largest of them.
    """
    finest = _finest(maps)
    target = placements[finest]
    full = [i for i, heat in enumerate(maps) if not is_empty(heat)]
    if not full:
        return torch.zeros_like(maps[finest]), target
    aligned = [
        _aligned(heat, placements[i], target, maps[finest])
        for i, heat in enumerate(FUSIONS[mode].scale(maps))
        if heat is not None and i in full
    ]
    if not aligned:
        return torch.zeros_like(maps[finest]), target
    return normalize(FUSIONS[mode].combine(aligned)), target


def signed_mean(raw: Sequence[Tensor], placements: Sequence[Placement]) -> tuple[Tensor, Placement]:
    """One map with two signs of several stages, on the finest grid, and its placement.

        F = m / max |m|,  m = mean_l (M_l / max |M_l|)

    raw: before any ReLU, (H_l, W_l). Stages that are zero everywhere are left out; zeros if all
    are. The map of -M_l is -F.
    """
    finest = _finest(raw)
    target = placements[finest]
    scaled = [
        _aligned(heat / peak, placement, target, raw[finest])
        for heat, placement in zip(raw, placements, strict=True)
        if (peak := heat.abs().max()) > _TINY
    ]
    mean = arithmetic_mean(scaled) if scaled else torch.zeros_like(raw[finest])
    peak = mean.abs().max()
    return mean / peak if peak > _TINY else torch.zeros_like(mean), target


def _finest(maps: Sequence[Tensor]) -> int:
    """The index of the map with most cells."""
    return max(range(len(maps)), key=lambda i: maps[i].numel())


def _aligned(heat: Tensor, placement: Placement, target: Placement, like: Tensor) -> Tensor:
    """A map on the grid of another one, which is placed at `target`."""
    if heat.shape == like.shape and placement == target:
        return heat
    down, across = (
        _alignment(placement, heat.shape[axis - 2], target, like.shape[axis - 2], axis)
        for axis in (0, 1)
    )
    return _weighted(heat, down, across)


# Dozens of small tensors are made on the way, for grids that are the same in every picture.
@lru_cache(maxsize=256)
def _alignment(
    placement: Placement, count: int, target: Placement, wanted: int, axis: int
) -> Tensor:
    """`interpolation` of `count` cells at the centres of `wanted` others, along one axis."""
    return interpolation(target.centres(axis, wanted), placement, axis, count)
