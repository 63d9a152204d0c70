"""What a map is added up from, channel by channel: the arithmetic of a method, laid open.

    found = engine.steps(x, "layer3")
    found.raw                     # x.raw["layer3"], the sum over all channels
    found.channels, found.contributions, found.share

Nothing is computed anew: activations and gradient are those of the trace from which the map was
made. A method that is a sum over channels gives the part of each when it is given that channel
alone, so that no formula is written twice:

    M = sum_k C_k,   C_k = f(A_k, g_k)
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camviz.engine.explanation import Explanation
from camviz.errors import MethodError, StageError
from camviz.fit import fit_picture, to_grey
from camviz.methods import METHODS, denoise
from camviz.methods.gradient import smooth_checkerboard

# Methods whose map is a sum over channels, each of which needs to be given its own alone.
SUMS = (
    "layer_cam", "layer_cam_elementwise", "grad_cam", "grad_cam_pp", "xgrad_cam", "hires_cam",
    "cam",
)  # fmt: skip
# Those of them that give a channel one weight for all places.
ONE_WEIGHT = ("grad_cam", "grad_cam_pp", "xgrad_cam", "cam")
CHANNELS = 8  # that are shown of a stage


@dataclass(frozen=True, eq=False)
class ChannelSteps:
    """How the map of a stage is added up, for the channels that add most to it.

    `channels`: their numbers, (n,), the one that adds most first. `activations`, `gradients`: A_k
    and g_k as the method reads them, (n, h, w); a gradient that was smoothed or truncated is so
    here. CAM reads none: None. `means`: the mean of each gradient over all places, (n,), the weight
    of Grad-CAM. `weights`: of a method with one weight a channel, (n,), else None.
    `contributions`: C_k, (n, h, w). `totals`: the sum of each C_k over all places, of every channel
    of the stage, (C,). `raw`: M, the sum over all of them, (h, w), before any ReLU.
    """

    stage: str
    method: str
    channels: np.ndarray
    activations: np.ndarray = field(repr=False)
    gradients: np.ndarray | None = field(repr=False)
    means: np.ndarray | None
    weights: np.ndarray | None
    contributions: np.ndarray = field(repr=False)
    totals: np.ndarray = field(repr=False)
    raw: np.ndarray = field(repr=False)

    @property
    def count(self) -> int:
        """How many channels the stage has."""
        return len(self.totals)

    @property
    def share(self) -> float | None:
        """Which share of all that channels add is added by those shown.

            sum_shown ReLU(c_k) / sum_k ReLU(c_k),   c_k = sum_hw C_k

        None if none of them adds anything.
        """
        positive = np.maximum(self.totals.astype(np.float64), 0)
        whole = float(positive.sum())
        return float(positive[self.channels].sum()) / whole if whole > 0 else None

    @property
    def negative_share(self) -> float:
        """Which share of the map the ReLU removes: sum ReLU(-M) / sum |M|; 0 of an empty one."""
        size = float(np.abs(self.raw).sum(dtype=np.float64))
        return float(np.maximum(-self.raw, 0).sum(dtype=np.float64)) / size if size > 0 else 0.0

    @property
    def negative_cells(self) -> int:
        """How many cells of the map are below 0."""
        return int((self.raw < 0).sum())


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """The picture as the network is given it.

    `pixels`: uint8 (h, w, 3). `lowest`, `highest`: of the numbers that these become when the mean
    is taken off and the rest divided by the standard deviation.
    """

    pixels: np.ndarray = field(repr=False)
    lowest: float
    highest: float


def check_steps(x: Explanation, stage: str) -> None:
    """Raise a `CamvizError` for a map that is no sum over channels, or that there is not."""
    method = METHODS[x.request.method]
    if x.request.method not in SUMS:
        names = ", ".join(METHODS[name].label for name in SUMS)
        raise MethodError(
            f"the map of {method.label} is not added up channel by channel; those of {names} are"
        )
    if x.request.views != "one":
        raise MethodError("the maps of several views were averaged; take views 'one'")
    if stage not in x.raw:
        raise StageError(f"there is no map of '{stage}'; maps: {', '.join(x.stages)}")


def gradient_read(
    x: Explanation, stage: str, gradient: Tensor, *, truncated: bool = True
) -> Tensor:
    """The gradient of a stage, (1, C, h, w), as the method of an explanation reads it.

    Smoothed where the map's note says so; truncated where the map is, unless that is left out.
    """
    request = x.request
    if x.notes[stage].smoothed:
        gradient = smooth_checkerboard(gradient)
    if truncated and stage in request.truncated:
        return denoise.truncate(
            gradient, request.truncation, request.truncation_mode, request.calibration
        )
    return gradient


def contributions_of(method: str, activations: Tensor, **given: Tensor) -> Tensor:
    """C_k of every channel, (C, h, w): what the method makes of that channel alone.

    activations: (1, C, h, w). given: the method's other arguments, (1, C, ...) each.
    """
    arguments: dict[str, Any] = {"activations": activations, "features": activations, **given}
    needed = {name: arguments[name].transpose(0, 1) for name in METHODS[method].needs}
    return METHODS[method].function(**needed)


def channel_steps(
    x: Explanation,
    stage: str,
    activations: Tensor,
    gradient: Tensor | None,
    head: Tensor | None,
    count: int = CHANNELS,
) -> ChannelSteps:
    """Lay open the map of a stage.

    activations, gradient: (1, C, h, w), as they were recorded; head: (1, C), the classifier's
    weights, for CAM. count: of channels that are kept, at most.
    """
    method = x.request.method
    given: dict[str, Tensor] = {}
    if gradient is not None:
        gradient = given["gradients"] = gradient_read(x, stage, gradient)
    if head is not None:
        given["weights"] = head
    parts = contributions_of(method, activations, **given)
    totals = parts.sum(dim=(1, 2))
    best = totals.argsort(descending=True, stable=True)[:count]
    shown = activations[0, best]
    weights = None
    if method in ONE_WEIGHT:
        # C_k = w_k A_k, so that w_k is the length of C_k along A_k; 0 of a channel that is 0.
        size = shown.square().sum(dim=(1, 2))
        along = (parts[best] * shown).sum(dim=(1, 2))
        weights = torch.where(size > 0, along / size.clamp_min(torch.finfo(size.dtype).tiny), 0)
    return ChannelSteps(
        stage=stage,
        method=method,
        channels=best.cpu().numpy(),
        activations=_array(shown),
        gradients=None if gradient is None else _array(gradient[0, best]),
        means=None if gradient is None else _array(gradient[0, best].mean(dim=(1, 2))),
        weights=None if weights is None else _array(weights),
        contributions=_array(parts[best]),
        totals=_array(totals),
        raw=x.raw[stage],
    )


def network_input(x: Explanation) -> NetworkInput:
    """The picture of an explanation as its network was given it; nothing is run."""
    backbone = x.backbone
    pixels, _ = fit_picture(
        x.picture,
        backbone.input_size[1:],
        mode=x.request.fit,
        interpolation=backbone.interpolation,
        crop_pct=backbone.crop_pct,
        crop_mode=backbone.crop_mode,
        mean=backbone.mean,
    )
    if backbone.input_size[0] == 1:
        pixels = to_grey(pixels).repeat(3, axis=2)
    tensor, _ = backbone.prepare(x.picture, x.request.fit)
    return NetworkInput(pixels, float(tensor.min()), float(tensor.max()))


def _array(values: Tensor) -> np.ndarray:
    return values.detach().float().cpu().numpy()
