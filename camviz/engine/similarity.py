"""Similarity of every place of a picture to one place, at one stage."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from camviz.engine.drawing import draw
from camviz.errors import MethodError
from camviz.fit import Fit
from camviz.images import Picture
from camviz.maps.fusion import Placement


@dataclass(frozen=True, eq=False)
class SimilarityMap:
    """The cosine of the features at every place to those at one place, at one stage.

    `raw`: float32 (h, w) at the stage's own resolution, in [-1, 1]; `map` the same drawn on
    `picture`, (H, W). `point`: (x, y) in pixels of the picture in which the place was chosen,
    `cell` the (row, column) of the stage that looks there.
    """

    stage: str
    raw: np.ndarray = field(repr=False)
    placement: Placement
    point: tuple[float, float]
    cell: tuple[int, int]
    picture: Picture
    fit: Fit

    @cached_property
    def map(self) -> np.ndarray:
        return draw(self.raw, self.placement, self.fit)


def cell_at(
    fit: Fit, placement: Placement, point: tuple[float, float], grid: tuple[int, int]
) -> tuple[int, int]:
    """The cell that looks nearest to a point (x, y) of the picture: (row, column).

    Raises `MethodError` if the network was not shown the point.
    """
    height, width = fit.picture_size
    across, down = point
    inside = 0 <= across < width and 0 <= down < height
    if not inside or not fit.visible_mask()[int(down), int(across)]:
        raise MethodError(
            f"the network was not shown the point ({across:g}, {down:g}); the picture is "
            f"{width} x {height} pixels, and fit is '{fit.mode}'"
        )
    x0, y0, x1, y1 = fit.rect
    rows, columns = fit.input_size
    place = ((down - y0) / (y1 - y0) * rows - 0.5, (across - x0) / (x1 - x0) * columns - 0.5)
    row, column = (
        int((placement.centres(axis, grid[axis]) - place[axis]).abs().argmin()) for axis in (0, 1)
    )
    return row, column
