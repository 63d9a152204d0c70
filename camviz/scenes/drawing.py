"""Shapes, shading and texture for pictures drawn by rule; numpy and cv2 only.

A thing is drawn on a `Sprite`, in its own coordinates: x to the right, y *up*, feet on y = 0, about
one unit long. The sprite has scale, turn, mirror and light, and beside the picture a table of which
named part owns each pixel. That is what makes the masks exact: they are not cut out of the picture
afterwards, they are painted by the same strokes.

    sprite = Sprite(reach=(-0.5, 0.0, 0.5, 1.0), unit=80.0, light=Light())
    sprite.fill("body", [oval(0.0, 0.4, 0.4, 0.3)], color=rgb("#c8a05a"), volume=0.5)
    sprite.stroke("tail", [curve([(-0.4, 0.5), (-0.5, 0.7)], closed=False)], 0.05, color=...)
    sprite.alpha     # (h, w) coverage in [0, 1]
    sprite.owner     # (h, w) index into sprite.parts, -1 where the coverage is below one half

Coverage is drawn as bits on a grid four times as fine and averaged, so edges are anti-aliased and
one half of coverage means one half of the pixel.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from zlib import crc32

import cv2
import numpy as np
from numpy.random import Generator

FINE = 4  # sub-pixels along one side of a pixel: 16 levels of coverage
TILE = 512  # side of the noise tiles, in tile pixels
_SHIFT = 4  # cv2 draws with 1/16 of a sub-pixel

Points = np.ndarray  # (n, 2), x right and y up
Outline = Points | Sequence[tuple[float, float]] | str  # the text as in an SVG path: "0,0 0.5,1"
Color = np.ndarray  # float32 (3,), RGB in [0, 1]


def rgb(code: str) -> Color:
    """`"#c8a05a"` as float32 (3,) in [0, 1]."""
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255


def mix(first: Color, second: Color, share: float) -> Color:
    """`first` with `share` of `second` in it."""
    return first + np.float32(share) * (second - first)


def pick(rng: Generator, palette: Sequence[str], wobble: float = 0.05) -> Color:
    """A colour of the palette, slightly off, so that no two things are dyed alike."""
    color = rgb(palette[int(rng.integers(len(palette)))])
    bright = 1 + rng.uniform(-1.6, 1.6) * wobble
    tinted = color * bright + rng.uniform(-wobble, wobble, 3) * 0.5
    return np.clip(tinted, 0.02, 0.98).astype(np.float32)


@dataclass(frozen=True)
class Light:
    """Where the light comes from and what it does to colours.

    `x`, `y`: unit vector towards the light, y up. `tint`: how much each channel gains in the light
    and loses in the shade; red more than blue makes light warm and shade cool.
    """

    x: float = -0.6
    y: float = 0.8
    tint: tuple[float, float, float] = (1.08, 1.0, 0.86)


@cache
def _read(text: str) -> Points:
    points = np.array([pair.split(",") for pair in text.split()], np.float64)
    points.setflags(write=False)
    return points


def coordinates(outline: Outline) -> Points:
    """The points of an outline however written: `coordinates("0,0 0.5,1").shape == (2, 2)`."""
    return _read(outline) if isinstance(outline, str) else np.asarray(outline, np.float64)


def curve(points: Outline, closed: bool = True, steps: int = 7) -> Points:
    """A smooth line through all points (Catmull-Rom), `steps` segments between two of them."""
    knots = coordinates(points)
    if closed:
        before, start, end, after = (np.roll(knots, k, axis=0) for k in (1, 0, -1, -2))
    else:
        padded = np.concatenate([knots[:1], knots, knots[-1:]])
        before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (p[:, None, :] for p in (before, start, end, after))
    smooth = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    line = smooth.reshape(-1, 2)
    return line if closed else np.concatenate([line, knots[-1:]])


def oval(
    x: float, y: float, width: float, height: float, angle: float = 0.0, n: int = 28
) -> Points:
    """An ellipse with half-axes `width` and `height`, turned by `angle` radians."""
    return place(_circle(n) * (width, height), (x, y), angle)


@cache
def _circle(n: int) -> Points:
    turn = np.linspace(0, 2 * math.pi, n, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], 1)


def fluffy(points: Points, bumps: int, depth: float) -> Points:
    """A closed outline with round bumps along it: fleece, foliage, clouds."""
    closed = np.concatenate([points, points[:1]])
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    along = np.linspace(0, length[-1], bumps * 8, endpoint=False)
    even = np.stack([np.interp(along, length, closed[:, k]) for k in (0, 1)], 1)
    tangent = np.roll(even, -1, axis=0) - np.roll(even, 1, axis=0)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], 1)
    normal /= np.maximum(np.hypot(*normal.T)[:, None], 1e-9)
    # |sin| touches zero in a cusp between two bumps, as between two tufts
    bump = np.abs(np.sin(np.linspace(0, bumps * math.pi, bumps * 8, endpoint=False)))
    return even + depth * (bump[:, None] - 0.5) * normal


def ribbon(middle: Outline, widths: Sequence[float]) -> Points:
    """The outline of a limb: a smooth line through its middle, of a given width at each knot."""
    line = curve(middle, closed=False)
    knots = np.linspace(0, len(line) - 1, len(widths))
    half = np.interp(np.arange(len(line)), knots, widths)[:, None] / 2
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    across /= np.maximum(np.hypot(*across.T)[:, None], 1e-9)
    return np.concatenate([line + half * across, (line - half * across)[::-1]])


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Points:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)


def place(
    points: Outline, origin: tuple[float, float], angle: float = 0.0, scale: float = 1.0
) -> Points:
    """The points turned about (0, 0), scaled, then moved to `origin`."""
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return coordinates(points) @ np.array([[cos, sin], [-sin, cos]]) + np.asarray(origin)


@cache
def noise_tile(rough: float) -> np.ndarray:
    """Seamless fractal noise, float32 (TILE, TILE), zero mean, unit deviation, read-only.

    The amplitude falls as 1 / frequency**(1 / rough): small `rough` gives clouds, large one sand.
    """
    frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None])
    frequency[0, 0] = np.inf
    white = np.random.default_rng(int(rough * 1000)).standard_normal((TILE, TILE))
    tile = np.fft.irfft2(np.fft.rfft2(white) / frequency ** (1 / rough), (TILE, TILE))
    tile = ((tile - tile.mean()) / tile.std()).astype(np.float32)
    tile.setflags(write=False)
    return tile


def texture(
    rng: Generator,
    size: int,
    rough: float,
    span: tuple[float, float] = (224, 224),
    angle: float = 0.0,
) -> np.ndarray:
    """Noise for a whole picture, float32 (size, size), which holds `span` tile pixels of it.

    A wide span across and a narrow one down makes the noise tall, as in a forest.
    """
    cos, sin = math.cos(angle) / size, math.sin(angle) / size
    off_x, off_y = rng.uniform(0, TILE, 2)
    matrix = np.array(
        [[span[0] * cos, -span[0] * sin, off_x], [span[1] * sin, span[1] * cos, off_y]]
    )
    return cv2.warpAffine(
        noise_tile(rough),
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )


def floor(
    rng: Generator,
    tile: np.ndarray,
    size: int,
    horizon: float,
    span: tuple[float, float] = (300, 300),
) -> np.ndarray:
    """A tile laid flat, in perspective, float32 (size, size); rows above `horizon` idle.

    `span`: tile pixels across the lower edge, and how quickly they follow one another in depth.
    """
    lift = 0.12 * size  # keeps the vanishing line above the horizon: no infinitely fine texture
    vanish = horizon * size - lift
    across = span[0] * (size - vanish) / size
    off_x, off_y = rng.uniform(0, tile.shape[1]), rng.uniform(0, tile.shape[0])
    matrix = np.array(
        [
            [across, off_x, -across * size / 2 - off_x * vanish],
            [0, off_y, -span[1] * size - off_y * vanish],
            [0, 1, -vanish],
        ]
    )
    return cv2.warpPerspective(
        tile,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )


@dataclass(frozen=True)
class Patch:
    """Coverage of one painted shape: `cover` float32 (h, w), its corner at column x and row y."""

    x: int
    y: int
    cover: np.ndarray


class Sprite:
    """One thing: premultiplied colour (h, w, 3), coverage (h, w) and the owner of every pixel.

    `reach` is the local box (x0, y0, x1, y1) that holds everything that will be drawn; `unit` the
    pixels of one local unit. `foot` is where the local origin lies, in sprite pixels (x, y).
    `without`: parts that are not painted; all else is painted as if they were.
    """

    def __init__(
        self,
        reach: tuple[float, float, float, float],
        unit: float,
        *,
        light: Light,
        mirror: bool = False,
        angle: float = 0.0,
        grain_at: int = 0,
        without: Collection[str] = (),
    ) -> None:
        side = -1.0 if mirror else 1.0
        cos, sin = unit * math.cos(angle), unit * math.sin(angle)
        # local (x right, y up) -> pixels (x right, y down)
        self._matrix = np.array([[side * cos, -side * sin], [-sin, -cos]])
        corners = rectangle(*reach) @ self._matrix
        low = np.floor(corners.min(0)) - 2
        width, height = (np.ceil(corners.max(0)) + 2 - low).astype(int).tolist()
        self.foot = -low
        self.unit = unit
        self.light = light
        self._tint = np.array(light.tint, np.float32)
        self.color = np.zeros((height, width, 3), np.float32)
        self.alpha = np.zeros((height, width), np.float32)
        self.owner = np.full((height, width), -1, np.int8)
        self.parts: list[str] = []
        self._grain_at = grain_at
        self._without = frozenset(without)
        self._strokes: dict[str, int] = {}  # painted so far, per part

    def fill(
        self,
        part: str,
        outlines: Iterable[Outline],
        *,
        color: Color,
        volume: float = 0.3,
        grain: float = 0.04,
        gloss: float = 0.0,
        inside: Patch | None = None,
    ) -> Patch | None:
        """Paint closed outlines as `part`, together as one shape.

        volume: how round it looks (edges towards the light brighter, away from it darker).
        grain: deviation of the fine texture.  gloss: strength of the highlight.
        inside: paint only within this earlier patch and never beyond what is painted already, as a
        stripe on a hide: coverage of the thing does not change.
        """
        return self._paint(part, self._cover(outlines), 0.0, color, volume, grain, gloss, inside)

    def stroke(
        self,
        part: str,
        lines: Iterable[Outline],
        width: float | tuple[float, float],
        *,
        color: Color,
        volume: float = 0.3,
        grain: float = 0.04,
        gloss: float = 0.0,
        inside: Patch | None = None,
    ) -> Patch | None:
        """Paint lines with round ends as `part`, see `fill`; two widths: from first to last point.

        Never thinner than 1.2 pixels: a finer line would be visible and yet own no pixel.
        """
        ends = width if isinstance(width, tuple) else (width, width)
        widths = (max(1.2, ends[0] * self.unit), max(1.2, ends[1] * self.unit))
        patch = self._cover(lines, widths)
        return self._paint(part, patch, max(widths), color, volume, grain, gloss, inside)

    def area(self, outline: Outline) -> Patch | None:
        """A patch to paint `inside`, without painting anything itself."""
        return self._cover([outline])

    def _cover(
        self, outlines: Iterable[Outline], widths: tuple[float, float] | None = None
    ) -> Patch | None:
        """Coverage of shapes, or of lines of these widths, on the smallest patch with them all."""
        shapes = [coordinates(outline) for outline in outlines]
        pixels = np.concatenate(shapes) @ self._matrix + self.foot
        margin = 0.0 if widths is None else max(widths) / 2 + 1
        limits = self.alpha.shape[::-1]
        low = np.clip(np.floor(pixels.min(0) - margin), 0, limits).astype(int)
        high = np.clip(np.ceil(pixels.max(0) + margin) + 1, 0, limits).astype(int)
        width, height = (high - low).tolist()
        if width <= 0 or height <= 0:
            return None
        bits = np.zeros((height * FINE, width * FINE), np.uint8)
        # cv2 counts from the centre of a (sub-)pixel, coordinates here from its corner
        fixed = np.round(((pixels - low) * FINE - 0.5) * (1 << _SHIFT)).astype(np.int32)
        pieces = np.split(fixed, np.cumsum([len(shape) for shape in shapes])[:-1])
        if widths is None:
            for piece in pieces:  # one by one: together, cv2 would cut out what two have in common
                cv2.fillPoly(bits, [piece], 255, cv2.LINE_8, _SHIFT)
        elif widths[0] == widths[1]:
            cv2.polylines(bits, pieces, False, 255, round(widths[0] * FINE), cv2.LINE_8, _SHIFT)
        else:
            for piece in pieces:
                thick = np.linspace(*widths, len(piece)) * FINE
                ends = piece.tolist()
                for start, end, thickness in zip(ends, ends[1:], thick.tolist(), strict=False):
                    cv2.line(bits, start, end, 255, max(1, round(thickness)), cv2.LINE_8, _SHIFT)
        cover = cv2.resize(bits, (width, height), interpolation=cv2.INTER_AREA)
        return Patch(int(low[0]), int(low[1]), cover.astype(np.float32) * np.float32(1 / 255))

    def _paint(
        self,
        part: str,
        patch: Patch | None,
        thick: float,
        color: Color,
        volume: float,
        grain: float,
        gloss: float,
        inside: Patch | None,
    ) -> Patch | None:
        """Lay a patch over what is there; `thick` is the width of a line, 0 for an outline."""
        if patch is None or part in self._without:
            return patch
        cover = patch.cover
        if inside is not None:
            cover = cover * _window(inside, patch)
        height, width = cover.shape
        rows, cols = slice(patch.y, patch.y + height), slice(patch.x, patch.x + width)

        tone = self._grain(part, height, width) * np.float32(grain)
        if volume or gloss:
            lit = _relief(patch.cover, self.light, thick or min(height, width))
            tone += np.float32(volume) * lit
        paint = color * (1 + tone[..., None] * self._tint)
        if gloss:
            paint += np.float32(gloss) * np.maximum(lit - 0.18, 0)[..., None]

        if part not in self.parts:
            self.parts.append(part)
        share = cover[..., None]
        alpha, owner = self.alpha[rows, cols], self.owner[rows, cols]
        if inside is None:
            self.color[rows, cols] += share * (paint - self.color[rows, cols])
            alpha += cover * (1 - alpha)
            # A pixel belongs to the last part that covers half of it. Two parts that meet may only
            # together cover a half: then the later one has it. So owner >= 0 <=> alpha >= 1/2.
            mine = (cover >= 0.5) | ((owner < 0) & (alpha >= 0.5))
        else:
            self.color[rows, cols] += share * (paint * alpha[..., None] - self.color[rows, cols])
            mine = (cover >= 0.5) & (owner >= 0)
        owner[mine] = self.parts.index(part)
        return patch

    def _grain(self, part: str, height: int, width: int) -> np.ndarray:
        """A piece of fine noise; which one depends on this part alone.

        So a thing without its telling part has the very same skin as the thing with it.
        """
        count = self._strokes[part] = self._strokes.get(part, 0) + 1
        at = self._grain_at + crc32(part.encode()) + 7919 * count
        tile = noise_tile(1.2)
        y, x = at // TILE % max(1, TILE - height), at % max(1, TILE - width)
        crop = tile[y : y + height, x : x + width]
        if crop.shape != (height, width):  # a sprite larger than the tile
            crop = np.resize(crop, (height, width))
        return crop

    def settle(self, ambient: Color, depth: float = 0.16) -> None:
        """Take on the light of the place, and darken towards the ground, which gets least sky."""
        height = len(self.alpha)
        up = np.clip((self.foot[1] - np.arange(height)) / max(self.foot[1], 1), 0, 1)
        shade = (1 - depth * (1 - up) ** 1.6).astype(np.float32)
        self.color *= shade[:, None, None] * ambient


def _window(source: Patch, target: Patch) -> np.ndarray:
    """The coverage of `source` on the pixels of `target`, zero elsewhere."""
    height, width = target.cover.shape
    out = np.zeros((height, width), np.float32)
    dy, dx = source.y - target.y, source.x - target.x
    y0, y1 = max(0, dy), min(height, dy + source.cover.shape[0])
    x0, x1 = max(0, dx), min(width, dx + source.cover.shape[1])
    if y0 < y1 and x0 < x1:
        out[y0:y1, x0:x1] = source.cover[y0 - dy : y1 - dy, x0 - dx : x1 - dx]
    return out


def _relief(cover: np.ndarray, light: Light, thick: float) -> np.ndarray:
    """How much a pillow of this outline faces the light: about -0.5 (away) to 0.5 (towards).

    Of two windows shifted towards the light and away from it, the one outside the shape has less.
    """
    side = max(3, int(0.62 * thick)) | 1
    half = side // 2
    dx, dy = round(0.9 * half * light.x), round(-0.9 * half * light.y)
    border = cv2.BORDER_CONSTANT
    near = cv2.blur(cover, (side, side), anchor=(half - dx, half - dy), borderType=border)
    far = cv2.blur(cover, (side, side), anchor=(half + dx, half + dy), borderType=border)
    return far - near
