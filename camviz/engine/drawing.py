"""Maps drawn where they look on a picture."""

from functools import lru_cache

import numpy as np
import torch

from camviz.fit import Fit
from camviz.maps.fusion import Placement, interpolation


def draw(heat: np.ndarray, placement: Placement, fit: Fit, part: slice = slice(None)) -> np.ndarray:
    """A map at its own resolution, (h, w), drawn where it looks on the picture, (H, W).

    0 where a crop did not show the picture to the network. part: some rows of the picture only.
    """
    x0, y0, x1, y1 = fit.rect
    height, width = fit.picture_size
    rows = range(height)[part]
    down = _weights(placement, 0, heat.shape[0], rows, (y0, y1), fit.input_size[0])
    across = _weights(placement, 1, heat.shape[1], range(width), (x0, x1), fit.input_size[1])
    with torch.autocast("cpu", enabled=False):
        drawn = (down @ torch.from_numpy(heat) @ across.T).numpy()
    return drawn if fit.shows_all else drawn * fit.visible_mask()[part]


@lru_cache(maxsize=16)  # both axes of eight stages, whatever is drawn there
def _weights(
    placement: Placement,
    axis: int,
    count: int,
    pixels: range,
    extent: tuple[float, float],
    size: int,
) -> torch.Tensor:
    """(len(pixels), count): the share of each of `count` cells in some pixels of a picture.

    extent: the part of the picture along this axis that the network's `size` pixels show.
    """
    first, last = extent
    positions = (torch.tensor(pixels) + 0.5 - first) / (last - first) * size - 0.5
    return interpolation(positions, placement, axis, count).float()
