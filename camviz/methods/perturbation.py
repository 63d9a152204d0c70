"""Maps from what becomes of the class scores when a map or the picture is changed.

    def score_fn(maps): ...                       # (B, C, H, W) -> (B, classes)
    heat = recipro_cam(activations, score_fn)     # (classes, H, W)

No gradient is read but by Group-CAM. A method is given a function that scores changed maps or
changed pictures, never a network, and gives the raw maps of all classes that the function scores,
by the same passes. Each of `activations`, `gradients` and `image` is of one picture.

What is scored is made in chunks, so that memory is bounded whatever the number of passes. Before
each chunk `progress(passes done, passes in all)` is called; what it raises ends the work. A
score_fn may write into what it is given. Scores may be of any kind; those of the papers are
probabilities, and logits for Ablation-CAM.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ScoreFn = Callable[[Tensor], Tensor]
Progress = Callable[[int, int], None]

CHANNELS = 64  # of Score-CAM: at most so many are tried
GROUPS = 32  # of Group-CAM, as in its paper

_MOST_BYTES, _MOST_MAPS, _MOST_PICTURES = 2**25, 64, 8  # of what is scored at once
# Of a score, a difference so small is what the order of additions changes; in units of rounding.
_ROUNDING = 8
_MASKED = 0.7  # of Group-CAM: this share of the cells is left out of each group's mask
_BLUR, _DEVIATION = 51 / 224, 50 / 224  # width and deviation, as shares of the picture's side


def recipro_cam(
    activations: Tensor, score_fn: ScoreFn, *, progress: Progress | None = None
) -> Tensor:
    """Recipro-CAM: the class score of the neighbourhood of each place alone.

        M = p_c(f(A * G_ij)) at cell (i, j),  G_ij = (1 2 1; 2 4 2; 1 2 1)/4 around it, else 0

    f: what follows the map. activations: (1, C, H, W); score_fn: of maps like it, one pass a cell.
    Where all cells give the same scores (nothing depends on the map), M is 0. (classes, H, W).

    Byun and Lee, "Recipro-CAM: Fast gradient-free visual explanations for convolutional neural
    networks", 2022, https://arxiv.org/abs/2209.14074
    """
    height, width = activations.shape[2:]

    def score(cells: Tensor) -> Tensor:
        return score_fn(activations * _neighbourhoods(cells, activations))

    scores = _streamed(height * width, _batch(activations), score, activations, progress)
    maps = scores.T.reshape(-1, height, width)
    spread = maps.amax(dim=(1, 2), keepdim=True) - maps.amin(dim=(1, 2), keepdim=True)
    size = maps.abs().amax(dim=(1, 2), keepdim=True)
    same = (spread <= _rounding(maps) * size) & (height * width > 1)
    return torch.where(same, 0, maps)


def ablation_cam(
    activations: Tensor, score_fn: ScoreFn, *, progress: Progress | None = None
) -> Tensor:
    """Ablation-CAM: a channel counts as much as the score falls without it.

        w_k = y - y_k,  y_k: the score with A_k = 0;   M = sum_k w_k * A_k

    activations: (1, C, H, W); score_fn: of maps like it, one pass a channel and one more.
    Deviation: the paper divides w_k by y, which for y > 0 is one factor for all, and for y < 0
    turns the map around. Where an average is pooled into a linear head, w_k = W_ck mean_hw(A_k),
    which is not CAM's weight. (classes, H, W).

    Desai and Ramaswamy, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via
    Gradient-free Localization", WACV 2020
    """
    return _weighted(ablation_weights(activations, score_fn, progress=progress), activations[0])


def ablation_weights(
    activations: Tensor, score_fn: ScoreFn, *, progress: Progress | None = None
) -> Tensor:
    """The weight of each channel for every class by `ablation_cam`, (C, classes)."""
    channels = activations.shape[1]

    def score(numbers: Tensor) -> Tensor:
        """Of the whole map, number 0, and without one channel, numbers 1 to C."""
        maps = room[: len(numbers)].copy_(activations)
        left_out = (numbers > 0).nonzero()[:, 0]
        maps[left_out, numbers[left_out] - 1] = 0
        return score_fn(maps).clone()

    batch = _batch(activations)
    room = activations.new_empty(batch, *activations.shape[1:])  # new memory is slow to be had
    scores = _streamed(channels + 1, batch, score, activations, progress)
    weights = scores[:1] - scores[1:]
    least = _rounding(scores) * scores[:1].abs().amax(dim=1, keepdim=True)
    return torch.where(weights.abs() <= least, 0, weights)


def score_cam(
    activations: Tensor,
    image: Tensor,
    score_fn: ScoreFn,
    *,
    channels: int = CHANNELS,
    progress: Progress | None = None,
) -> Tensor:
    """Score-CAM: a channel counts as much as the class is seen through it.

        w_k = p_c(x * H_k),  H_k = A_k on the picture, from 0 to 1;   M = sum_k w_k * A_k

    activations: (1, C, H, W); image: x, the prepared picture, (1, 3, h, w); score_fn: of pictures
    like it, one pass a channel. channels: at most so many, those of the largest
    mean|A_k| * std(A_k); the paper takes all. A channel that is the same everywhere is no mask, and
    counts nothing. As in the authors' code p_c itself is the weight: the paper's softmax over
    channels makes all weights nearly equal. (classes, H, W).

    Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
    Networks", CVPRW 2020, https://arxiv.org/abs/1910.01279
    """
    chosen = activations[0, strongest_channels(activations, channels)]
    if not len(chosen):  # nothing but how many classes there are need be scored
        return _weighted(score_fn(image.clone())[:0], chosen)

    def score(numbers: Tensor) -> Tensor:
        return score_fn(image * _masks(chosen[numbers], image))

    return _weighted(_streamed(len(chosen), _MOST_PICTURES, score, activations, progress), chosen)


def strongest_channels(activations: Tensor, most: int) -> Tensor:
    """Which channels Score-CAM takes, at most so many, in order: (channels,)."""
    maps = activations[0].flatten(1)
    strength = maps.abs().mean(dim=1) * maps.std(dim=1, unbiased=False)
    same = maps.amax(dim=1) <= maps.amin(dim=1)
    strength = torch.where(same, -1, strength)
    return strength.topk(min(most, int((~same).sum()))).indices.sort().values


def group_cam(
    activations: Tensor,
    gradients: Tensor,
    image: Tensor,
    score_fn: ScoreFn,
    *,
    groups: int = GROUPS,
    progress: Progress | None = None,
) -> Tensor:
    """Group-CAM: groups of channels, as masks over the picture before a blurred one.

        w_n = ReLU(p_c(x * H_n + b * (1 - H_n)) - p_c(b));   M = sum_n w_n * H_n

    H_n: ReLU(sum_k mean_hw(g_k) * A_k) over the channels of group n, of which the 30 % strongest
    cells are kept, from 0 to 1; b: the picture blurred. activations, gradients: (1, C, H, W);
    image: x, (1, 3, h, w); score_fn: of pictures like it, one pass a group and one for b. Groups
    are of channels that follow each other; there are fewer if there are fewer channels. A group
    without any positive cell is no mask. The gradients are of one class, so that the maps of
    other classes are by its masks. Deviation: the authors' code has the ReLU around the sum over
    groups. (classes, H, W).

    Zhang et al., "Group-CAM: Group Score-Weighted Visual Explanations for Deep Convolutional
    Networks", 2021, https://arxiv.org/abs/2103.13859
    """
    masks = group_masks(activations, gradients, groups)
    shown = torch.cat([masks.new_zeros(1, *masks.shape[1:]), masks])  # the background first
    background = _blurred(image)

    def score(numbers: Tensor) -> Tensor:
        share = _on_picture(shown[numbers, None], image)
        return score_fn(image * share + background * (1 - share))

    scores = _streamed(len(shown), _MOST_PICTURES, score, activations, progress)
    return _weighted((scores[1:] - scores[:1]).relu(), masks)


def group_masks(activations: Tensor, gradients: Tensor, groups: int) -> Tensor:
    """The masks H_n of `group_cam`, (N, H, W), in [0, 1], without those that are empty."""
    weighted = gradients.mean(dim=(2, 3), keepdim=True) * activations
    sums = torch.cat([part.sum(dim=1) for part in weighted.chunk(groups, dim=1)]).relu()
    level = sums.flatten(1).quantile(_MASKED, dim=1)[:, None, None]
    sums = torch.where(sums <= level, 0, sums)
    peaks = sums.amax(dim=(1, 2))
    empty = peaks <= 0
    return (sums / torch.where(empty, 1, peaks)[:, None, None])[~empty]


def _weighted(weights: Tensor, maps: Tensor) -> Tensor:
    """Sums of maps, (K, H, W), by the weights of each class, (K, classes): (classes, H, W)."""
    return torch.einsum("kc,khw->chw", weights.to(maps), maps)


def _streamed(
    count: int,
    batch: int,
    score: Callable[[Tensor], Tensor],
    like: Tensor,
    progress: Progress | None,
) -> Tensor:
    """The scores of so many variants, (count, classes), made and scored a batch at a time."""
    rows = []
    for numbers in torch.arange(count, device=like.device).split(batch):
        if progress is not None:
            progress(int(numbers[0]), count)
        rows.append(score(numbers))
    return torch.cat(rows)


def _batch(activations: Tensor) -> int:
    """How many maps like this one are scored at once."""
    size = activations.numel() * activations.element_size()
    return max(1, min(_MOST_MAPS, _MOST_BYTES // size))


def _neighbourhoods(cells: Tensor, like: Tensor) -> Tensor:
    """G around each of these cells, counted row by row: (B, 1, H, W)."""
    height, width = like.shape[2:]
    centres = F.one_hot(cells, height * width).to(like).reshape(-1, 1, height, width)
    side = like.new_tensor([1.0, 2.0, 1.0])
    return F.conv2d(centres, (side[:, None] * side / 4)[None, None], padding=1)


def _masks(maps: Tensor, image: Tensor) -> Tensor:
    """Maps, (B, H, W), on the picture, each from its minimum to its maximum: (B, 1, h, w)."""
    shown = _on_picture(maps[:, None], image)
    low, high = (of(shown, dim=(2, 3), keepdim=True) for of in (torch.amin, torch.amax))
    return (shown - low) / torch.where(high > low, high - low, 1)


def _on_picture(maps: Tensor, image: Tensor) -> Tensor:
    return F.interpolate(maps, size=image.shape[2:], mode="bilinear", align_corners=False)


def _blurred(image: Tensor) -> Tensor:
    """The picture behind a Gaussian blur as wide as Group-CAM's: 51 of 224 pixels."""
    for axis in (2, 3):
        side = image.shape[axis]
        radius = min(max(round(side * _BLUR) // 2, 1), side - 1)
        places = torch.arange(-radius, radius + 1).to(image)
        kernel = torch.exp(-0.5 * (places / (side * _DEVIATION)) ** 2)
        shape: list[Any] = [1, 1, 1, 1]
        shape[axis] = -1
        weights = (kernel / kernel.sum()).reshape(shape).repeat(image.shape[1], 1, 1, 1)
        padding = [radius, radius, 0, 0] if axis == 3 else [0, 0, radius, radius]
        padded = F.pad(image, padding, mode="reflect")
        image = F.conv2d(padded, weights, groups=image.shape[1])
    return image


def _rounding(scores: Tensor) -> float:
    return _ROUNDING * torch.finfo(scores.dtype).eps
