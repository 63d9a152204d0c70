"""Maps as pictures: colour, overlay, contours, boxes.

All functions take and return arrays: heat (H, W) in [0, 1], pictures uint8 (H, W, 3) RGB. Colour
maps are matplotlib's tables; nothing is plotted and no state is kept.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from matplotlib import colormaps

from camviz.defaults import COLORS, HOT, OPACITY
from camviz.maps.strips import strips

# Perceptually uniform and readable for colour-blind people first; the last two by name only.
COLOR_MAPS = ("viridis", "inferno", "magma", "cividis", "gray", "turbo", "jet")
DIVERGING = "PuOr_r"


def color_table(name: str = COLORS) -> np.ndarray:
    """The 256 colours of a map, uint8 (256, 3). Raises ValueError for an unknown name."""
    if name not in COLOR_MAPS and name != DIVERGING:
        raise ValueError(f"unknown colour map '{name}'; colour maps: {', '.join(COLOR_MAPS)}")
    return (colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def colorize(heat: np.ndarray, name: str = COLORS) -> np.ndarray:
    """Heat as colours, uint8 (H, W, 3); values are clipped to [0, 1]."""
    return color_table(name)[_levels(heat)]


def _levels(heat: np.ndarray) -> np.ndarray:
    return (np.clip(heat, 0, 1) * 255).round().astype(np.uint8)


def colorize_signed(values: np.ndarray) -> np.ndarray:
    """A signed map on a diverging scale, zero in the middle: for and against."""
    peak = np.abs(values).max()
    return colorize(values / peak / 2 + 0.5 if peak > 0 else np.full_like(values, 0.5), DIVERGING)


def overlay(
    pixels: np.ndarray,
    heat: np.ndarray,
    *,
    name: str = COLORS,
    opacity: float = OPACITY,
    visible: np.ndarray | None = None,
) -> np.ndarray:
    """The picture under the coloured map; hatched grey, without a map, where `visible` is False.

    Made strip by strip: besides the result, memory for a few million pixels is needed.
    """
    return overlay_strips(pixels, lambda rows: heat[rows], name, opacity, visible)


def heat_opacity(opacity: float, signed: bool) -> np.ndarray:
    """Opacity that follows the heat: one for each of the 256 levels of a colour scale, (256,).

    It grows from 0 with the heat, and is full from `HOT` on: `opacity * min(1, heat / HOT)`.
    signed: the scale has zero in its middle, and the heat of a level is its distance from there.
    """
    level = np.arange(256)
    heat = np.abs(level - 128) / 127.5 if signed else level / 255
    found: np.ndarray = opacity * np.minimum(1, heat / HOT)
    return found


def overlay_strips(
    pixels: np.ndarray,
    heat: Callable[[slice], np.ndarray],
    name: str = COLORS,
    opacity: float | np.ndarray = OPACITY,
    visible: np.ndarray | None = None,
) -> np.ndarray:
    """`overlay` of a map that is drawn as it is needed: heat(rows) gives some rows of it.

    opacity: one for all places, or one for each of the 256 levels of the colour scale.
    """
    drawn = np.empty_like(pixels)
    hidden = visible is not None and not visible.all()
    share = np.broadcast_to(opacity, 256)[:, None]
    mixed = (1 - share) * np.arange(256)[:, None, None] + share * color_table(name)
    # For each value of the picture, level of the map, and channel: what is shown.
    table = mixed.round().astype(np.uint8)
    for rows in strips(*pixels.shape[:2]):
        levels = _levels(heat(rows))
        for channel in range(3):
            # One index into the channel's table is a third faster than two.
            flat = pixels[rows, :, channel].astype(np.uint16) << 8 | levels
            drawn[rows, :, channel] = np.ascontiguousarray(table[..., channel]).ravel()[flat]
        if hidden:
            assert visible is not None
            places = np.add.outer(np.arange(rows.start, rows.stop), np.arange(pixels.shape[1]))
            stripes = np.where(places // 6 % 2, 0.75, 0.45)[..., None]
            grey = (pixels[rows].mean(axis=2, keepdims=True) * stripes).round().astype(np.uint8)
            np.copyto(drawn[rows], grey, where=~visible[rows, :, None])
    return drawn


def draw_boxes(
    pixels: np.ndarray,
    boxes: Sequence[tuple[int, int, int, int]],
    color: tuple[int, int, int] = (255, 255, 255),
    *,
    in_place: bool = False,
) -> np.ndarray:
    """Half-open boxes as white frames with a dark edge, legible on any ground."""
    drawn = pixels if in_place else pixels.copy(order="C")
    width = max(1, round(min(pixels.shape[:2]) / 240))
    for x0, y0, x1, y1 in boxes:
        for tint, stroke in (((20, 20, 20), width + 2), (color, width)):
            cv2.rectangle(drawn, (x0, y0), (x1 - 1, y1 - 1), tint, stroke, cv2.LINE_AA)
    return drawn


def draw_contour(
    pixels: np.ndarray, mask: np.ndarray, color: tuple[int, int, int] = (255, 255, 255)
) -> np.ndarray:
    """The outline of a mask on a picture."""
    drawn = np.ascontiguousarray(pixels).copy()
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(min(pixels.shape[:2]) / 160))
    for tint, stroke in (((20, 20, 20), width + 2), (color, width)):
        cv2.drawContours(drawn, contours, -1, tint, stroke, cv2.LINE_AA)
    return drawn


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], gap: int = 6) -> np.ndarray:
    """Equally large pictures in rows, on white."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    sheet = np.full(
        (len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8
    )
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            y, x = i * (height + gap), j * (width + gap)
            sheet[y : y + height, x : x + width] = picture
    return sheet
