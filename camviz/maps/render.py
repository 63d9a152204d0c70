"""Maps as pictures: colour, overlay, contours, boxes.

All functions take and return arrays: heat (H, W) in [0, 1], pictures uint8 (H, W, 3) RGB. Colour
maps are matplotlib's tables; nothing is plotted and no state is kept.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib import colormaps

from camviz.defaults import COLORS, OPACITY

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
    levels = (np.clip(heat, 0, 1) * 255).round().astype(np.uint8)
    return color_table(name)[levels]


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
    """The picture under the coloured map; hatched grey, without a map, where `visible` is False."""
    mixed = (1 - opacity) * pixels + opacity * colorize(heat, name)
    if visible is not None and not visible.all():
        rows, columns = np.indices(visible.shape)
        stripes = np.where((rows + columns) // 6 % 2, 0.75, 0.45)[..., None]
        grey = pixels.mean(axis=2, keepdims=True) * stripes
        mixed = np.where(visible[..., None], mixed, grey)
    return mixed.round().astype(np.uint8)


def draw_boxes(
    pixels: np.ndarray,
    boxes: Sequence[tuple[int, int, int, int]],
    color: tuple[int, int, int] = (255, 255, 255),
) -> np.ndarray:
    """Half-open boxes as white frames with a dark edge, legible on any ground."""
    drawn = np.ascontiguousarray(pixels).copy()
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
