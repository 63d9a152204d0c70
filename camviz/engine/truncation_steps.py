"""What a cut through the gradient of a stage leaves of its map, at many levels of the cut.

    found = engine.truncation_steps(x, "layer1")
    found.cuts[18].raw == engine.explain(..., truncation=found.cuts[18].level).raw["layer1"]

The cut is that of `camviz.methods.denoise`: positive values of the gradient below tau become 0, and
tau is read off its negative half.
"""

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from camviz.engine.explanation import Explanation
from camviz.engine.steps import check_steps, gradient_read
from camviz.errors import MethodError
from camviz.methods import METHODS, denoise

LEVELS = (*(step / 20 for step in range(20)), 0.99)  # 0 is no cut at all
MODE = "threshold"  # the truncation that is a cut
BINS = 40  # of the histogram
_RANGE = 0.99  # the share of all magnitudes that its axis holds


@dataclass(frozen=True, eq=False)
class Cut:
    """One position of the cut.

    `level`: the truncation, a share; `tau`: the value that it stands for. `kept`: the share of the
    positive values of the gradient that reach tau. `removed`: the share of the map's positive sum
    that is gone; below 0 where it grew. None of a map without any. `raw`: the map, (h, w), before
    any ReLU.
    """

    level: float
    tau: float
    kept: float
    removed: float | None
    raw: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class TruncationSteps:
    """The gradient of a stage, and its map at every level of `LEVELS`.

    `edges`: of the bins of magnitudes, (bins + 1,). `positive`, `negative`: how many values of the
    gradient lie in each, (bins,), of either sign; the last bin holds all that is greater, too.
    """

    stage: str
    edges: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    cuts: tuple[Cut, ...]

    @property
    def positives(self) -> int:
        """How many values of the gradient are above 0."""
        return int(self.positive.sum())

    @property
    def negatives(self) -> int:
        """How many are below 0."""
        return int(self.negative.sum())

    def nearest(self, level: float) -> int:
        """The cut whose level is nearest to one."""
        return int(np.abs(np.array([cut.level for cut in self.cuts]) - level).argmin())


def check_truncation_steps(x: Explanation, stage: str) -> None:
    """Raise a `CamvizError` for a method that reads no gradient of a stage, or another mode."""
    if not METHODS[x.request.method].truncates:
        raise MethodError(
            f"{METHODS[x.request.method].label} reads no gradient of a layer, so there is nothing "
            "to truncate; LayerCAM does"
        )
    if x.request.truncation and x.request.truncation_mode != MODE:
        raise MethodError(
            f"the gradient of these maps was truncated by '{x.request.truncation_mode}', and only "
            f"'{MODE}' is shown cut by cut; explain the picture with truncation_mode='{MODE}'"
        )
    check_steps(x, stage)


def truncation_steps(
    x: Explanation, stage: str, activations: Tensor, gradient: Tensor
) -> TruncationSteps:
    """Cut the gradient of a stage at every level. activations, gradient: (1, C, h, w)."""
    function, calibration = METHODS[x.request.method].function, x.request.calibration
    gradient = gradient_read(x, stage, gradient, truncated=False)
    plain = function(activations=activations, gradients=gradient)[0]
    mass, positives = float(plain.relu().sum()), int((gradient > 0).sum())
    cuts = [Cut(0.0, 0.0, 1.0, 0.0 if mass > 0 else None, plain.cpu().numpy())]
    taus = denoise.noise_thresholds(gradient, LEVELS[1:], calibration)
    for level, tau in zip(LEVELS[1:], taus, strict=True):
        cut = denoise.truncate_at(gradient, tau[None])
        raw = function(activations=activations, gradients=cut)[0]
        reaching = np.count_nonzero(cut.cpu().numpy() > 0)
        kept = reaching / positives if positives else 0.0
        removed = 1 - float(raw.relu().sum()) / mass if mass > 0 else None
        cuts.append(Cut(level, float(tau), kept, removed, raw.cpu().numpy()))
    edges, positive, negative = histogram(gradient)
    return TruncationSteps(stage, edges, positive, negative, tuple(cuts))


def histogram(values: Tensor, bins: int = BINS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(edges, how many positive, how many negative) by magnitude; zeros are in neither.

    The axis ends where it holds 99 % of the magnitudes above 0; what lies beyond is in the last
    bin.
    """
    flat = values.flatten().cpu().numpy()
    positive, negative = flat[flat > 0], -flat[flat < 0]
    sizes = np.concatenate([positive, negative])
    end = 1.0
    if len(sizes):
        rank = max(1, round(_RANGE * len(sizes))) - 1
        end = float(np.partition(sizes, rank)[rank])
    edges = np.linspace(0, end, bins + 1)

    def count(magnitudes: np.ndarray) -> np.ndarray:
        places = np.minimum((magnitudes * np.float32(bins / end)).astype(int), bins - 1)
        return np.bincount(places, minlength=bins)

    return edges, count(positive), count(negative)
