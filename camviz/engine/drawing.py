"""Maps drawn where they look on a picture."""

import numpy as np
import torch

from camviz.engine.cache import LRUCache
from camviz.fit import Fit
from camviz.maps.fusion import Placement, cells_at, interpolation

# Bytes: both axes of eight stages of a usual picture, of the longest one both of two.
_HELD = 32 * 2**20


def draw(heat: np.ndarray, placement: Placement, fit: Fit, part: slice = slice(None)) -> np.ndarray:
    """A map at its own resolution, (h, w), drawn where it looks on the picture, (H, W).

    0 where a crop did not show the picture to the network. part: some rows of the picture only.
    """
    height, width = fit.picture_size
    rows = range(height)[part]
    down = _weights(placement, 0, heat.shape[0], rows, fit.extent(0), fit.input_size[0])
    across = _weights(placement, 1, heat.shape[1], range(width), fit.extent(1), fit.input_size[1])
    with torch.autocast("cpu", enabled=False):
        drawn = (down @ torch.from_numpy(heat) @ across.T).numpy()
    return drawn if fit.shows_all else drawn * fit.visible_mask(part)


def brightest(heat: np.ndarray, placement: Placement, fit: Fit) -> tuple[int, int] | None:
    """(x, y) of the picture's first pixel with the highest value; None for an empty map.

    Between the centres of cells a map is linear along each axis, so that it is highest at a pixel
    next to a centre, or at the edge of what was shown: no other is computed.
    """
    places, weights = [], []
    for axis, seen in enumerate(fit.visible_axes):
        extent, size = fit.extent(axis), fit.input_size[axis]
        shown = np.flatnonzero(seen)
        positions = _positions(torch.from_numpy(shown), extent, size)
        cell = cells_at(positions, placement, axis, heat.shape[axis]).floor().numpy()
        turns = np.flatnonzero(np.diff(cell)) + 1
        ends = np.unique(np.concatenate([[0], turns - 1, turns, [len(shown) - 1]]))
        places.append(shown[ends])
        weights.append(interpolation(positions[ends], placement, axis, heat.shape[axis]).float())
    drawn = (weights[0] @ torch.from_numpy(heat) @ weights[1].T).numpy()
    if drawn.max() <= 0:
        return None
    row, column = np.unravel_index(int(drawn.argmax()), drawn.shape)
    return int(places[1][column]), int(places[0][row])


_held: LRUCache[torch.Tensor] = LRUCache(_HELD, lambda weights: weights.nbytes)


def _weights(
    placement: Placement,
    axis: int,
    count: int,
    pixels: range,
    extent: tuple[float, float],
    size: int,
) -> torch.Tensor:
    """(len(pixels), count): the share of each of `count` cells in some pixels of a picture.

    extent: the part of the picture along this axis that the network's `size` pixels show. Those
    used last are held.
    """
    key = (placement, axis, count, pixels, extent, size)
    found = _held.get(key)
    if found is None:
        positions = _positions(torch.tensor(pixels), extent, size)
        found = _held.put(key, interpolation(positions, placement, axis, count).float())
    return found


def _positions(pixels: torch.Tensor, extent: tuple[float, float], size: int) -> torch.Tensor:
    """Where pixels of the picture lie in the network's input, along one axis."""
    first, last = extent
    return (pixels + 0.5 - first) / (last - first) * size - 0.5
