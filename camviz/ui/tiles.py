"""A map on a small picture, in two layers: the browser sets how much one covers the other."""

import numpy as np

from camviz.engine.drawing import draw
from camviz.engine.explanation import Explanation
from camviz.maps import render
from camviz.maps.fusion import Placement
from camviz.ui import html

SIDE = 320  # pixels of a tile's longer side
QUALITY = 82  # of its WebP files


def map_tile(x: Explanation, heat: np.ndarray, placement: Placement) -> tuple[str, str]:
    """The layers of a map at its own resolution, (h, w) in [0, 1], on the picture of x."""
    small = html.thumbnail(x.picture.pixels, SIDE)
    fit = x.fit.scaled_to(*small.shape[:2])
    return tile_layers(small, draw(heat, placement, fit), fit.visible_mask())


def tile_layers(small: np.ndarray, level: np.ndarray, visible: np.ndarray) -> tuple[str, str]:
    """The picture, hatched where it was not shown, and apart from it its coloured map: data URLs.

    small: uint8 (h, w, 3). level: (h, w) in [0, 1]; opacity follows it. visible: bool (h, w).
    """
    shown = None if visible.all() else visible
    ground = render.overlay(small, level, opacity=0, visible=shown)
    alpha = render.heat_opacity(255.0, signed=False)[(level * 255).round().astype(np.uint8)]
    if shown is not None:
        alpha = np.where(shown, alpha, 0)
    colors = np.dstack([render.colorize(level), alpha.round().astype(np.uint8)])
    return html.data_url(ground, QUALITY), html.data_url(colors, QUALITY)
