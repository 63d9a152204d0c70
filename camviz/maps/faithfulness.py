"""Faithfulness: whether a map shows what the score of a class depends on, for one picture.

    deletion(heat, image, score_fn, target).area         # one figure
    road(heat, image, score_fn, target).score            # another; all: `camviz.maps.metrics`

Pure functions of a map, a prepared picture and a function that scores pictures, never of a network.
A heat map is (h, w), in [0, 1] and of the picture's own size; the picture is (1, C, h, w), and
score_fn gives (B, classes) of pictures (B, C, h, w). Scores are probabilities; `target` is the
index of the class that the map explains. NaN, infinite heat and a map of another size are
ValueErrors.

"Removed" is said of pixels that are 0 in the prepared picture, which is the mean colour of the
data that the network was trained on. Pixels are ranked from the hottest on; of equally hot ones,
the first in reading order comes first, so that the order is the same at every run.

What is scored is made in chunks, and memory is bounded whatever the number of steps. Before each
chunk `progress(pictures done, pictures in all)` is called; what it raises ends the work.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from camviz.maps.imputation import Pause, impute

ScoreFn = Callable[[Tensor], Tensor]
Progress = Callable[[int, int], None]
# What heavy work of a moment is done within; it may give what is called in its midst.
Turn = Callable[[], AbstractContextManager[Pause | None]]

STEPS = 28  # of insertion and deletion, as in RISE's own evaluation of 224 x 224 pixels
ROAD_SHARES = (0.2, 0.4, 0.6, 0.8)  # of the pixels, that are taken out

_MOST_PICTURES = 8  # that are scored at once
# RISE's blurred picture: a kernel of 11 pixels with a deviation of 5, of 224 a side.
_BLUR_RADIUS, _BLUR_DEVIATION = 5 / 224, 5 / 224


@dataclass(frozen=True, eq=False)
class Curve:
    """The score of a class while more and more pixels are changed.

    `shares`: of the pixels that are changed, rising, (n,); `scores`: (n,), one for each.
    """

    shares: np.ndarray
    scores: np.ndarray

    @property
    def area(self) -> float:
        """The area below the curve by the trapezoid rule, over the range of its shares.

            AUC = sum_i (a_i - a_(i-1)) (p_i + p_(i-1)) / 2 / (a_n - a_0)

        For steps of one size this is RISE's (sum p - (p_0 + p_n) / 2) / n.
        """
        widths = np.diff(self.shares)
        return float(widths @ (self.scores[1:] + self.scores[:-1]) / 2 / widths.sum())


@dataclass(frozen=True)
class Confidence:
    """The score of a class for a picture, and for the picture times its map."""

    whole: float
    through: float

    @property
    def drop(self) -> float:
        """Average drop of one picture, in [0, 1]; lower is better.

            AD = max(0, Y - O) / Y,   Y = p_c(x),  O = p_c(x * M);   0 where Y is 0

        The mean over pictures, times 100, is the figure of Chattopadhay et al., "Grad-CAM++:
        Generalized Gradient-Based Visual Explanations for Deep Convolutional Networks", WACV 2018,
        https://arxiv.org/abs/1710.11063 . A map that is 1 everywhere has the best value.
        """
        return max(0.0, self.whole - self.through) / self.whole if self.whole else 0.0

    @property
    def rises(self) -> bool:
        """Increase in confidence of one picture: whether Y < O; true is better.

        The share of pictures for which it is true, times 100, is the figure of the same paper.
        """
        return self.whole < self.through


@dataclass(frozen=True, eq=False)
class Road:
    """The score of a class with its hottest, and with its coldest, pixels taken out and filled in.

    `hottest` (most relevant first, MoRF) and `coldest` (least relevant first, LeRF) are curves
    over the same shares.
    """

    hottest: Curve
    coldest: Curve

    @property
    def score(self) -> float:
        """mean_a (LeRF(a) - MoRF(a)) / 2, in [-1/2, 1/2]; higher is better.

        The combined figure of pytorch-grad-cam, https://github.com/jacobgil/pytorch-grad-cam .
        """
        return float((self.coldest.scores - self.hottest.scores).mean() / 2)


# -- Insertion and deletion ----------------------------------------------------------------------


def deletion(
    heat: Tensor,
    image: Tensor,
    score_fn: ScoreFn,
    target: int,
    *,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> Curve:
    """Deletion: the score while pixels are removed, the hottest first; a lower area is better.

        x_i = x, with 0 for the k_i hottest pixels;   k_i = round(i h w / steps), i = 0 .. steps

    In [0, 1]. It begins at p_c(x) and ends at p_c(0). Substrate: 0, the mean colour. It depends on
    the order of the pixels alone. steps + 1 pictures are scored.

    Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box
    Models", BMVC 2018, https://arxiv.org/abs/1806.07421 ; there 1,792 of 224 x 224 pixels a step.
    """
    _check(heat, image)
    changed = torch.zeros_like(image)
    return _exchanged(heat, image, changed, score_fn, target, steps, progress)


def insertion(
    heat: Tensor,
    image: Tensor,
    score_fn: ScoreFn,
    target: int,
    *,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> Curve:
    """Insertion: the score while a blurred picture becomes sharp, the hottest pixels first.

        x_i = blur(x), with x at the k_i hottest pixels;   k_i = round(i h w / steps)

    In [0, 1], a higher area is better. It begins at p_c(blur(x)) and ends at p_c(x). Substrate:
    `blurred`. It depends on the order of the pixels alone. steps + 1 pictures are scored. Source:
    as `deletion`.
    """
    _check(heat, image)
    return _exchanged(heat, blurred(image), image, score_fn, target, steps, progress)


def steps_of(heat: Tensor, steps: int = STEPS) -> Tensor:
    """At which step of `steps` each pixel of a map is changed, 1 for the hottest: long (h, w)."""
    return 1 + torch.bucketize(ranks(heat), _counts(heat.numel(), steps)[1:], right=True)


def ranks(heat: Tensor) -> Tensor:
    """The place of each pixel among all of a map, 0 for the hottest: long (h, w)."""
    order = heat.flatten().argsort(descending=True, stable=True)
    found = torch.empty_like(order)
    found[order] = torch.arange(len(order), device=order.device)
    return found.reshape(heat.shape)


def blurred(image: Tensor) -> Tensor:
    """The picture of which `insertion` begins: RISE's blur, along both axes.

        k(j) = sum over folds of exp(-d^2 / (2 s^2)),  j = -r .. r;   r = s = 5 of 224 pixels

    As in RISE's code: what the Gaussian has beyond r pixels is folded back, so that the kernel is
    nearly flat, and beyond the border there is 0. r is rounded, and 1 at least.
    """
    channels = image.shape[1]
    for axis in (2, 3):
        side = image.shape[axis]
        radius = max(1, round(side * _BLUR_RADIUS))
        kernel = _folded_gaussian(radius, side * _BLUR_DEVIATION).to(image)
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        padding = (radius, 0) if axis == 2 else (0, radius)
        weights = kernel.reshape(shape).repeat(channels, 1, 1, 1)
        image = F.conv2d(image, weights, padding=padding, groups=channels)
    return image


def _folded_gaussian(radius: int, deviation: float) -> Tensor:
    """A Gaussian of 4 deviations, folded back at the ends of 2 radius + 1 places; its sum is 1."""
    reach, width = int(4 * deviation + 0.5), 2 * radius + 1
    distances = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (distances.double() / deviation) ** 2)
    places = (distances + radius) % (2 * width)
    places = torch.where(places < width, places, 2 * width - 1 - places)
    return torch.zeros(width, dtype=torch.float64).index_add_(0, places, weights / weights.sum())


def _exchanged(
    heat: Tensor,
    before: Tensor,
    after: Tensor,
    score_fn: ScoreFn,
    target: int,
    steps: int,
    progress: Progress | None,
) -> Curve:
    """The curve from one picture to another, whose hottest pixels come first."""
    pixels = heat.numel()
    if not 1 <= steps <= pixels:
        raise ValueError(f"steps are from 1 to the {pixels} pixels of the map, not {steps}")
    rank = ranks(heat.to(before.device))
    counts = _counts(pixels, steps).to(before.device)

    def picture(numbers: Tensor) -> Tensor:
        return torch.where((rank < counts[numbers, None, None])[:, None], after, before)

    scores = _scored(steps + 1, picture, score_fn, target, progress)
    return Curve(counts.cpu().double().numpy() / pixels, scores)


def _counts(pixels: int, steps: int) -> Tensor:
    """How many pixels are changed at each step, (steps + 1,)."""
    return (torch.arange(steps + 1, dtype=torch.float64) * pixels / steps).round().long()


# -- The picture times its map -------------------------------------------------------------------


def confidence(heat: Tensor, image: Tensor, score_fn: ScoreFn, target: int) -> Confidence:
    """What average drop and increase in confidence follow from; two pictures are scored."""
    pictures = torch.cat([image, multiplied(heat, image)])
    whole, through = score_fn(pictures)[:, target].cpu().double().tolist()
    return Confidence(whole, through)


def multiplied(heat: Tensor, image: Tensor) -> Tensor:
    """x * M: the prepared picture, faded to the mean colour where the map is low: (1, C, h, w)."""
    _check(heat, image)
    return image * heat.to(image)


def complexity(heat: Tensor) -> float:
    """How much of the picture a map lights: mean |M|, in [0, 1]; lower is better.

    The L1 norm of Poppi et al. (see `adcc`) over the number of pixels. It depends on how the map
    is normalised: here, its positive part over its maximum.
    """
    return float(heat.double().abs().mean())


def coherency(heat: Tensor, again: Tensor) -> float:
    """How like a map is to the map of the picture times that map, in [0, 1]; higher is better.

        Coh = (1 + r) / 2,   r = Pearson's correlation of M(x) and M(x * M(x))

    0 if one of them is the same everywhere. Source: as `adcc`.
    """
    if heat.shape != again.shape:
        raise ValueError(f"the maps are {tuple(heat.shape)} and {tuple(again.shape)}")
    one, other = (map_.double().flatten() - map_.double().mean() for map_ in (heat, again))
    size = one.norm() * other.norm()
    flat = min(float(one.norm()), float(other.norm())) <= 1e-12 * len(one) ** 0.5
    return 0.0 if flat else float((1 + (one @ other / size).clamp(-1, 1)) / 2)


def adcc(coherency: float, complexity: float, drop: float) -> float:
    """Average DCC: the harmonic mean of what is good, in [0, 1]; higher is better.

        ADCC = 3 / (1 / Coh + 1 / (1 - Com) + 1 / (1 - AD));   0 if one of the three terms is 0

    Poppi, Cornia, Baraldi and Cucchiara, "Revisiting The Evaluation of Class Activation Mapping
    for Explainability: A Novel Metric and Experimental Analysis", CVPRW 2021,
    https://arxiv.org/abs/2104.10252
    """
    terms = (coherency, 1 - complexity, 1 - drop)
    return 3 / sum(1 / term for term in terms) if min(terms) > 0 else 0.0


# -- Remove and debias ---------------------------------------------------------------------------


def road(
    heat: Tensor,
    image: Tensor,
    score_fn: ScoreFn,
    target: int,
    *,
    shares: Sequence[float] = ROAD_SHARES,
    seed: int = 0,
    progress: Progress | None = None,
    turn: Turn = nullcontext,
) -> Road:
    """ROAD: the score with the hottest, and with the coldest, pixels filled in from the others.

        MoRF(a) = p_c(x without its round(a h w) hottest pixels), LeRF(a) the same of the coldest

    Missing pixels are filled in by `camviz.maps.imputation.impute`, whose noise follows from the
    seed. shares: between 0 and 1, rising. Pixels are taken by rank, exactly as many as a share
    says; thresholds at percentiles, as in the authors' and other code, take more or fewer where
    values are equal. Two pictures a share are scored. Each is filled in within a `turn()`. Source:
    see `camviz.maps.imputation`.
    """
    _check(heat, image)
    pixels = heat.numel()
    counts = [round(share * pixels) for share in shares]
    if not counts or min(counts) < 1 or max(counts) >= pixels or list(shares) != sorted(shares):
        raise ValueError(f"shares rise and leave pixels on both sides; they are {tuple(shares)}")
    rank = ranks(heat.to(image.device))
    masks = torch.stack([rank < k for k in counts] + [rank >= pixels - k for k in counts])

    def fill(mask: Tensor) -> Tensor:
        with turn() as pause:
            return impute(image, mask[None], seed=seed, pause=pause)

    def picture(numbers: Tensor) -> Tensor:
        return torch.cat([fill(mask) for mask in masks[numbers]])

    scores = _scored(len(masks), picture, score_fn, target, progress)
    exact = np.array(counts) / pixels
    return Road(Curve(exact, scores[: len(counts)]), Curve(exact, scores[len(counts) :]))


# -- Scores and checks ---------------------------------------------------------------------------


def _scored(
    count: int,
    picture: Callable[[Tensor], Tensor],
    score_fn: ScoreFn,
    target: int,
    progress: Progress | None,
) -> np.ndarray:
    """The score of the class for so many pictures, which are made a few at a time: (count,)."""
    rows = []
    for numbers in torch.arange(count).split(_MOST_PICTURES):
        if progress is not None:
            progress(int(numbers[0]), count)
        rows.append(score_fn(picture(numbers))[:, target].cpu().double())
    return torch.cat(rows).numpy()


def _check(heat: Tensor, image: Tensor) -> None:
    """Raise ValueError for a map that is none of this picture."""
    if image.ndim != 4 or len(image) != 1 or heat.shape != image.shape[2:]:
        raise ValueError(
            f"a map of {tuple(heat.shape)} does not fit a picture of {tuple(image.shape)}; give "
            "(h, w) and (1, C, h, w)"
        )
    if not bool(torch.isfinite(heat).all()):
        raise ValueError("the map holds values that are not finite numbers")
