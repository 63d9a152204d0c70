"""Maps on their picture as the viewer draws them, from the settings in the address bar.

    look = Look.read(query)
    pictures = draw_rows(rows, canvas, look, truth)  # name -> what draws it

The arithmetic is that of assets/web/viewer/paint.js: a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import cv2
import numpy as np

from camviz.defaults import (
    MAX_THRESHOLD,
    VIEWER_CHOICES,
    VIEWER_SETTINGS,
    usual_threshold,
)
from camviz.engine.drawing import draw
from camviz.engine.explanation import Explanation
from camviz.engine.export import Canvas, Drawing
from camviz.maps import render
from camviz.maps.strips import strips
from camviz.methods import METHODS

TRUE_OUTLINE = (61, 242, 224)
_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Look:
    """How maps are drawn: the settings of the viewer, of the same names."""

    view: str
    opacity: float
    blend: str
    threshold: float
    colors: str
    scale: str
    boxes: str
    contours: bool
    signed: bool
    outline: str

    @classmethod
    def read(cls, query: str = "") -> "Look":
        """The settings in a query; what no setting can be is ignored, as the viewer does."""
        given = {key: values[-1] for key, values in parse_qs(query.lstrip("?")).items()}
        names = [each.name for each in fields(cls)]
        return cls(**{name: _setting(name, given.get(name)) for name in names})

    @property
    def cut(self) -> float | None:
        """The share of the maximum at which boxes and contours are drawn; None: each map's own."""
        return self.threshold or None


def _setting(name: str, text: str | None) -> Any:
    usual = VIEWER_SETTINGS[name]
    if text is None:
        return usual
    if isinstance(usual, bool):
        return text == "1"
    if isinstance(usual, float):
        try:
            value = round(float(text), 2)
        except ValueError:
            return usual
        most = MAX_THRESHOLD if name == "threshold" else 1.0
        return min(value, most) if 0 <= value <= 1 else usual
    allowed = render.COLOR_MAPS if name == "colors" else VIEWER_CHOICES.get(name, (text,))
    return text if text in allowed else usual


@dataclass(frozen=True)
class _Map:
    """A map of a row. `lowest`: the largest magnitude below zero that can be shown, 0 for none."""

    x: Explanation
    of: str
    signed: bool
    lowest: float

    @property
    def is_stage(self) -> bool:
        return self.of in self.x.raw

    @property
    def peak(self) -> float:
        if not self.is_stage:
            return float(self.x.grid(self.of)[0].any())
        return float(self.x.raw[self.of].clip(min=0).max())

    @property
    def own_top(self) -> float:
        """The largest magnitude that is drawn of it; 0: it is empty."""
        return max(self.peak, self.lowest) if self.signed else self.peak


def draw_rows(
    rows: Mapping[str, Explanation], canvas: Canvas, look: Look, truth: np.ndarray | None = None
) -> dict[str, Drawing]:
    """What draws each map of each row, by "ROW_STAGE". truth: the mask that is outlined.

    Maps that look the same have the same drawing: a denoised row of which nothing was taken away.
    """
    made = {f"{key}_{each.of}": each for key, x in rows.items() for each in _maps_of(x, look)}
    drawings: dict[str, Drawing] = {}
    drawn: list[tuple[_Painter, Drawing]] = []
    for name, each in made.items():
        tops = [each.own_top]
        if look.scale == "same" and each.is_stage:
            unit = each.x.request.method
            tops += [o.own_top for o in made.values() if o.is_stage and o.x.request.method == unit]
        painter = _Painter(each, max(tops) or 1.0, canvas)
        same = next((drawing for other, drawing in drawn if painter.draws_as(other)), None)
        drawings[name] = same or partial(painter.paint, look, truth)
        drawn.append((painter, drawings[name]))
    return drawings


def _maps_of(x: Explanation, look: Look) -> list[_Map]:
    """The maps of a row; all of them have two signs if one has something below zero."""
    method = METHODS[x.request.method]
    below = {n: float(-raw.min()) if method.signed else 0.0 for n, raw in x.raw.items()}
    lowest = {name: value if value > _TINY else 0.0 for name, value in below.items()}
    signed = look.signed and any(lowest.values())
    return [
        _Map(x, name, signed, lowest.get(name, 0.0) if signed else 0.0)
        for name in (*x.stages, *x.maps_of_all)
    ]


class _Painter:
    """Draws one map on the picture, strip by strip. top: the largest magnitude on its scale."""

    def __init__(self, each: _Map, top: float, canvas: Canvas) -> None:
        self.each, self.top, self.canvas = each, top, canvas
        self.heat, self.placement = each.x.grid(each.of)
        self.against = None
        if each.lowest:
            self.against = -each.x.raw[each.of].clip(max=0) / each.lowest

    def draws_as(self, other: "_Painter") -> bool:
        """Whether another one draws the very same picture."""
        return (
            self.each.of == other.each.of
            and (self.top, self.each.signed) == (other.top, other.each.signed)
            and (self.each.peak, self.each.lowest) == (other.each.peak, other.each.lowest)
            and self.placement == other.placement
            and np.array_equal(self.heat, other.heat)
            and np.array_equal(self.against, other.against)  # type: ignore[arg-type]  # or None
        )

    def shares(self, rows: slice) -> np.ndarray:
        """The positive part as shares of its maximum."""
        return draw(self.heat, self.placement, self.canvas.fit, rows)

    def values(self, rows: slice) -> np.ndarray:
        """What the colours show, 1 the end of the scale."""
        found = self.shares(rows) * (self.each.peak / self.top)
        if self.against is None:
            return found
        below = draw(self.against, self.placement, self.canvas.fit, rows)
        return found - below * (self.each.lowest / self.top)

    def paint(self, look: Look, truth: np.ndarray | None) -> np.ndarray:
        """The picture with the map, and the lines above it, uint8 (H, W, 3)."""
        each, pixels = self.each, self.canvas.pixels
        parts = list(strips(*pixels.shape[:2]))
        visible = None if self.canvas.fit.shows_all else self.canvas.fit.visible_mask()
        view = look.view if each.own_top else "picture"
        drawn = render.overlay_strips(
            pixels,
            lambda rows: (self.values(rows) + 1) / 2 if each.signed else self.values(rows),
            render.DIVERGING if each.signed else look.colors,
            self._opacity(look, view),
            visible,
        )
        highest = 0.0
        if look.threshold or look.contours:
            highest = max(float(self.shares(rows).max()) for rows in parts)
        if look.threshold:
            # Of what is drawn: the highest pixel, or the largest magnitude of either sign.
            size = each.own_top if each.signed else highest * each.peak
            for rows in parts:
                bare = np.abs(self.values(rows)) < look.threshold * size / self.top
                if visible is not None:
                    bare &= visible[rows]
                drawn[rows][bare] = 0 if view == "map" else pixels[rows][bare]
        if look.contours and highest:
            cut = look.threshold or usual_threshold(each.of)
            inside = [self.shares(rows) >= cut * highest for rows in parts]
            drawn = render.draw_contour(drawn, np.concatenate(inside))
        if truth is not None:
            drawn = render.draw_contour(drawn, _resized(truth, drawn.shape[:2]), TRUE_OUTLINE)
        return render.draw_boxes(drawn, self._boxes(look), in_place=True)

    def _opacity(self, look: Look, view: str) -> float | np.ndarray:
        if view != "overlay":
            return 1.0 if view == "map" else 0.0
        if look.blend == "even":
            return look.opacity
        return render.heat_opacity(look.opacity, self.each.signed)

    def _boxes(self, look: Look) -> list[tuple[int, int, int, int]]:
        """The boxes that are drawn, in pixels of what is saved."""
        if look.boxes == "none":
            return []
        height, width = self.canvas.pixels.shape[:2]
        picture = self.each.x.picture
        down, across = height / picture.height, width / picture.width
        found = self.each.x.boxes(look.cut, of=self.each.of, multi=look.boxes == "all")
        return [
            (round(x0 * across), round(y0 * down), round(x1 * across), round(y1 * down))
            for x0, y0, x1, y1 in (box.xyxy for box in found[: None if look.boxes == "all" else 1])
        ]


def _resized(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if mask.shape == shape:
        return mask
    small = cv2.resize(mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)
    return small >= 0.5
