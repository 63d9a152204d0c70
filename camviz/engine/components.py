"""The features of a stage as colours: their first three principal components on the picture."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import Tensor

from camviz.engine.drawing import draw
from camviz.fit import Fit
from camviz.images import Picture
from camviz.maps.fusion import Placement
from camviz.methods.activation import principal_components

# Percentiles between which a component is stretched over the range of a colour.
LOW, HIGH = 1, 99


@dataclass(frozen=True, eq=False)
class Components:
    """The three directions in which the features of a stage differ most over a picture.

    `raw`: float32 (3, h, w) at the stage's own resolution; see
    `camviz.methods.activation.principal_components`. `shares`: of the variance of the features
    that lies along each. Places of one colour look alike to the network; colours have no meaning of
    their own.
    """

    stage: str
    raw: np.ndarray = field(repr=False)
    shares: tuple[float, float, float]
    placement: Placement
    picture: Picture
    fit: Fit

    @cached_property
    def cells(self) -> np.ndarray:
        """uint8 (h, w, 3): each component from its 1st to its 99th percentile as 0 to 255.

        A component of one value everywhere is 127.5, rounded down.
        """
        low, high = np.percentile(self.raw, (LOW, HIGH), axis=(1, 2), keepdims=True)
        span = high - low
        flat = span <= np.finfo(np.float32).tiny
        shown = np.where(flat, 0.5, (self.raw - low) / np.where(flat, 1, span)).clip(0, 1)
        return np.moveaxis(shown * 255, 0, 2).astype(np.uint8)

    @cached_property
    def colors(self) -> np.ndarray:
        """uint8 (H, W, 3): the colours where they look on the picture.

        Black where a crop did not show the picture to the network.
        """
        channels = np.ascontiguousarray(np.moveaxis(self.cells, 2, 0), dtype=np.float32)
        drawn = [draw(channel, self.placement, self.fit) for channel in channels]
        return np.stack(drawn, axis=2).round().clip(0, 255).astype(np.uint8)


def principal_parts(features: Tensor) -> tuple[np.ndarray, tuple[float, float, float]]:
    """`Components.raw` and `Components.shares` of the features of one picture, (1, C, h, w)."""
    raw = principal_components(features)[0].cpu()
    along = raw.double().square().sum(dim=(1, 2))
    spread = features.double() - features.double().mean(dim=(2, 3), keepdim=True)
    variance = float(spread.square().sum())
    first, second, third = (float(part) / variance if variance else 0.0 for part in along)
    return raw.numpy(), (first, second, third)
