"""Shallow gradients without their noise: the positive gradient is truncated.

    from camviz.methods.denoise import truncate
    heat = layer_cam(activations, truncate(gradients, 0.9))

**Source.** Dong et al., arXiv 2308.02118, which appeared as "Truncated and integrated class
activation maps for weakly supervised defect detection", Measurement Science and Technology, 2025:
shallow layers mix fine detail of the target with considerable noise, which is filtered "by
truncating the positive gradient" of any CAM (the journal's abstract: "cutting off positive
gradients"). Only the abstracts are open to us, and neither gives a threshold: the operator here is
our reading of that phrase.

**Theory.** Near the input a gradient is a sum over very many paths, g = m + xi: a part m that
belongs to the class, and noise xi, as often positive as negative. A rectified gradient keeps half
of the noise, E[relu(xi)] = s / sqrt(2 pi) for normal xi of deviation s, so LayerCAM adds a floor
proportional to the activation energy: every edge lights up, whatever it belongs to. A threshold
tau leaves exp(-tau^2 / 2 s^2) of that floor and all of what is well above it. What is noise need
not be guessed: negative gradients show it with the other sign, hence the mirror calibration,
tau = the q-quantile of their magnitudes.

**Why q = 0.9.** For photographs. In mosaics of four the share of a shallow map's energy in the
right one rises steadily with q, by a third or more of itself at 0.9 (MobileNetV2: .40 to .55 at
stride 4, .41 to .58 at 8, .40 to .60 at 16), and its maximum lies there as often as before. Clean
drawings have little noise and would not decide: a ResNet's energy inside the thing rises up to 0.8,
its average precision falls from 0.5 on, and alone it would be left as it is; a ConvNeXt gains at
stride 4 and loses at 16; a ViT gains in energy and in precision up to 0.9. Beyond 0.95 all of them
lose coverage fast. A soft threshold, the other calibrations and q by stage gave no better trade
(benchmarks/denoising.py).

Everything is per sample and per layer, over all C * H * W entries; gradients are (N, C, H, W).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Mode = Literal["threshold", "rectify", "cap", "remove"]
Calibration = Literal["mirror", "self", "relmax"]
MODES: tuple[Mode, ...] = get_args(Mode)
CALIBRATIONS: tuple[Calibration, ...] = get_args(Calibration)

# Stands wherever a denoised map is shown.
SOURCE = "our reading of Dong et al., 2025, arXiv 2308.02118"

# However noisy a gradient is, this share of its positive entries survives a mirrored threshold.
_SURVIVORS = 0.01
_MANY = 65536  # entries, from which on a sample pays


def truncate(
    gradients: Tensor, q: float, mode: Mode = "threshold", calibration: Calibration = "mirror"
) -> Tensor:
    """Gradients, (N, C, H, W), with their positive part truncated.

        threshold: g * [g >= tau, g > 0]     rectify: relu(g)
        cap:       min(relu(g), tau)         remove:  relu(-g)

    tau is `noise_threshold(gradients, q, mode, calibration)`. `threshold` is the default: it takes
    away the small positive entries that noise explains. `rectify` is LayerCAM's own, `cap` limits
    the largest, `remove` keeps the evidence against the class: the other readings of the phrase,
    to compare with. It is >= and not >, so that the constant channels of a pooled layer, which all
    tie, are not deleted together.
    """
    return truncate_at(gradients, noise_threshold(gradients, q, mode, calibration), mode)


def truncate_at(gradients: Tensor, tau: Tensor, mode: Mode = "threshold") -> Tensor:
    """`truncate` at a threshold, (N,), that was computed before."""
    if mode == "rectify":
        return gradients.relu()
    if mode == "remove":
        return (-gradients).relu()
    if mode == "cap":
        return torch.minimum(gradients.relu(), tau.view(-1, 1, 1, 1))
    return torch.stack([_at_least(*pair) for pair in zip(gradients, tau, strict=True)])


def _at_least(values: Tensor, tau: Tensor, inplace: bool = False) -> Tensor:
    # `F.threshold` is ten times as fast as `where`, but it keeps what is greater: the number next
    # below tau makes that "at least tau".
    least = torch.nextafter(tau, tau.new_tensor(-torch.inf)) if tau > 0 else tau.new_zeros(())
    return F.threshold(values, float(least), 0.0, inplace)


def noise_threshold(
    gradients: Tensor, q: float, mode: Mode = "threshold", calibration: Calibration = "mirror"
) -> Tensor:
    """tau per sample, (N,): the least positive gradient that is more than noise.

        mirror: min(Q_q(|g|, g < 0), Q_0.99(g > 0))   0 if nothing is negative
        self:   Q_q(g > 0)                            relmax: q * max(g)

    Q_q is the exact k-th value, k = round(q * (n - 1)) + 1: `torch.quantile` refuses more than
    2^24 entries, and a sample of them would not commute with a flip. The second term of the mirror
    leaves 1 % of the positive entries, however noisy the layer. Without a positive entry: 0. All
    three scale with the gradient. `cap` is always calibrated on the positive entries; `rectify`
    and `remove` have no threshold: 0. q in [0, 1].
    """
    if mode in ("rectify", "remove"):
        return gradients.new_zeros(len(gradients))
    calibration = "self" if mode == "cap" else calibration
    return torch.stack([_threshold(one, q, calibration) for one in gradients.flatten(1)])


def noise_thresholds(
    gradient: Tensor, levels: Sequence[float], calibration: Calibration = "mirror"
) -> Tensor:
    """tau at many levels, (levels,), of one sample, (1, C, H, W): as `noise_threshold` of each.

    All entries are put in order once, which is quicker from a few levels on.
    """
    ordered = gradient.flatten().cpu().clone().numpy()
    ordered.sort()  # several times as fast as torch's
    entries = torch.from_numpy(ordered)
    positive, negative = _signs(entries)
    before = len(entries) - positive

    def at(q: float) -> Tensor:
        if positive == 0 or (calibration == "mirror" and negative == 0):
            return entries.new_zeros(())
        if calibration == "relmax":
            return q * entries[-1]
        if calibration == "self":
            return entries[before + _rank(q, positive) - 1]
        most = entries[before + _rank(1 - _SURVIVORS, positive) - 1]
        return torch.minimum(-entries[negative - _rank(q, negative)], most)

    return torch.stack([at(q) for q in levels])


def _threshold(entries: Tensor, q: float, calibration: Calibration) -> Tensor:
    zero = entries.new_zeros(())
    positive, negative = _signs(entries)
    if positive == 0:
        return zero
    if calibration == "relmax":
        return q * entries.max()
    # The positive entries are the last of all in order, the negative ones the first: a rank among
    # them is a rank among all, and nothing need be copied out.
    before = len(entries) - positive
    if calibration == "self":
        return _order_statistic(entries, before + _rank(q, positive))
    if negative == 0:
        return zero
    tau = -_order_statistic(entries, negative + 1 - _rank(q, negative))
    most = _rank(1 - _SURVIVORS, positive)
    if _reaching(entries, tau) > positive - most:  # that entry reaches tau: no need to find it
        return tau
    return _order_statistic(entries, before + most)


def _rank(q: float, count: int) -> int:
    return round(q * (count - 1)) + 1


# Entries are counted by their signs: several times as fast as by comparing them.


def _signs(values: Tensor) -> tuple[int, int]:
    """How many are positive, and how many negative."""
    signs = values.sign()
    more = _sum(signs)
    all_of_them = _sum(signs.abs_())
    return (all_of_them + more) // 2, (all_of_them - more) // 2


def _reaching(values: Tensor, tau: Tensor) -> int:
    """How many are at least tau, which is positive."""
    return _sum(_at_least(values, tau).sign_())


def _sum(signs: Tensor) -> int:
    # A sum of so many ones is exact in single precision.
    return sum(int(part.sum(dtype=torch.float32)) for part in signs.flatten().split(2**23))


def _order_statistic(entries: Tensor, rank: int) -> Tensor:
    """The entry of that rank, 1 the smallest: exact, and several times as fast as `kthvalue`.

    A sample gives a bound below (or above) which it lies but for bad luck; only the entries there
    are put in order, or all of them after bad luck.
    """
    count, step = len(entries), 61
    if count >= _MANY:
        sample = entries[::step]
        middle, share = rank / step, rank / count
        margin = 6 * (len(sample) * share * (1 - share)) ** 0.5 + 2  # six deviations, and a bit
        if 2 * rank <= count:
            bound = torch.kthvalue(sample, min(len(sample), int(middle + margin) + 1)).values
            few, rest = entries[entries <= bound], 0
        else:
            bound = torch.kthvalue(sample, max(1, int(middle - margin))).values
            few = entries[entries >= bound]
            rest = count - len(few)
        if rest < rank <= rest + len(few):
            return torch.kthvalue(few, rank - rest).values
    return torch.kthvalue(entries, rank).values


@dataclass(frozen=True)
class NoiseReport:
    """How much of one gradient a threshold leaves: of its positive part, and of its noise.

    `kept`: share of the positive entries that reach it. `noise`: share of the noise floor, measured
    on the negative entries, which are noise with the other sign: sum |A g| [-g >= tau] over
    sum |A g|, both over g < 0. `expected`: the same for normal noise of their deviation s,
    exp(-tau^2 / 2 s^2). Both None where nothing is negative.
    """

    kept: float
    noise: float | None
    expected: float | None


def noise_report(activations: Tensor, gradients: Tensor, tau: Tensor) -> NoiseReport:
    """How much of signal and noise a threshold, (1,), leaves in one sample, (1, C, H, W)."""
    positive, negative = _signs(gradients)
    kept = _reaching(gradients, tau[0]) if tau > 0 else positive
    share = kept / positive if positive else 0.0
    mirrored = gradients.neg().relu_()
    squares = _dot(mirrored, mirrored)
    if squares == 0:
        return NoiseReport(share, None, None)
    size = activations if activations.min() >= 0 else activations.abs()
    total = _dot(mirrored, size)
    expected = math.exp(-(float(tau) ** 2) * negative / (2 * squares))
    noise = _dot(_at_least(mirrored, tau[0], inplace=True), size) / total if total > 0 else None
    return NoiseReport(share, noise, expected)


def _dot(one: Tensor, other: Tensor) -> float:
    return float(torch.dot(one.flatten(), other.flatten()))
