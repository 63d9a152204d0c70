"""The backgrounds of scenes: eleven families of places, independent of the class.

Each function returns a picture, float32 (size, size, 3) in [0, 1], and how far down the ground
begins, as a share of the height.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

import cv2
import numpy as np
from numpy.random import Generator

from camviz.scenes.drawing import (
    TILE,
    Color,
    Outline,
    floor,
    mix,
    noise_tile,
    pick,
    rgb,
    texture,
)


def _fade(size: int, stops: Sequence[tuple[float, Color]]) -> np.ndarray:
    """Float32 (size, size, 3): from top to bottom each colour at its share of the height."""
    rows = (np.arange(size) + 0.5) / size
    at = [stop for stop, _ in stops]
    column = np.stack([np.interp(rows, at, [color[c] for _, color in stops]) for c in range(3)], 1)
    return np.repeat(column[:, None].astype(np.float32), size, axis=1)


def _blend(picture: np.ndarray, share: np.ndarray, color: Color) -> None:
    """Mix a colour into the picture by a share per pixel, float32 (rows, W) of the lowest rows."""
    rows = picture[len(picture) - len(share) :]
    rows += share[..., None] * (color - rows)


def _sky(
    rng: Generator, size: int, high: Color, low: Color, horizon: float, clouds: float
) -> np.ndarray:
    """A sky above `horizon`, paler towards it, with clouds lit from above."""
    picture = _fade(size, [(0, high), (horizon, low), (1, low)])
    if clouds > 0:
        field = texture(rng, size, 0.62, (rng.uniform(120, 200), rng.uniform(260, 420)))
        field += 0.22 * texture(rng, size, 1.1, (160, 260))
        amount = np.clip((field - 1.15 + 1.1 * clouds) * 0.8, 0, 1)
        # the light comes from above: a cloud is white where it grows denser downwards
        step = max(1, size // 24)
        above = np.concatenate([field[:1].repeat(step, 0), field[:-step]])
        shade = np.clip(0.1 + 0.3 * (above - field) + 0.16 * amount, 0, 0.42)
        puff = mix(rgb("#ffffff"), low, 0.12) * (1 - shade[..., None] * rgb("#a89a86"))
        picture += (amount * 0.94)[..., None] * (puff - picture)
    return picture


def _ridge(rng: Generator, size: int, level: float, height: float, jag: float) -> np.ndarray:
    """Share of each pixel below a skyline, float32 (size, size), anti-aliased."""
    row = (
        noise_tile(0.62)[rng.integers(TILE)] * (1 - jag) + noise_tile(1.0)[rng.integers(TILE)] * jag
    )
    start = rng.integers(TILE)
    x = start + np.linspace(0, 180, size)
    line = np.interp(x % TILE, np.arange(TILE), row)
    edge = (level - height * line.astype(np.float32)) * size
    return _below(edge)


def _ground(
    picture: np.ndarray,
    rng: Generator,
    horizon: float,
    far: Color,
    near: Color,
    *,
    rough: float = 1.2,
    contrast: float = 0.1,
    span: tuple[float, float] = (220, 220),
) -> np.ndarray:
    """Ground from the horizon down, in perspective; returns its noise, (size, size)."""
    size = len(picture)
    noise = floor(rng, noise_tile(rough), size, horizon, span)
    top = int(horizon * size)
    deep = np.linspace(0, 1, size - top, dtype=np.float32)[:, None]
    # far away the texture is finer than a pixel: let it fade
    noise[top:] *= 0.35 + 0.65 * deep
    base = _fade(size, [(horizon, far), (min(1.0, horizon + 0.45), mix(far, near, 0.8)), (1, near)])
    base *= 1 + np.float32(contrast) * noise[..., None]
    edge = np.clip(np.arange(size, dtype=np.float32) + 0.5 - horizon * size, 0, 1)[:, None]
    picture += edge[..., None] * (base - picture)
    return noise


def _blades(
    picture: np.ndarray, rng: Generator, top: float, colors: Sequence[Color], count: int
) -> None:
    """Blades of grass, larger towards the viewer."""
    size = len(picture)
    for color in colors:
        mask = np.zeros((size, size), np.uint8)
        y = top + (1.02 - top) * rng.random(count) ** 0.7
        x = rng.random(count)
        high = (0.012 + 0.05 * (y - top) / (1 - top)) * rng.uniform(0.6, 1.4, count)
        lean = rng.normal(0, 0.35, count) * high
        line = np.stack(
            [
                np.stack([x, y], 1),
                np.stack([x + lean * 0.3, y - high * 0.6], 1),
                np.stack([x + lean, y - high], 1),
            ],
            1,
        )
        cv2.polylines(
            mask, list((line * size * 16).astype(np.int32)), False, 200, 1, cv2.LINE_AA, 4
        )
        _blend(picture, mask * np.float32(0.8 / 255), color)


def _polygons(size: int, shapes: Sequence[Outline]) -> np.ndarray:
    """Coverage of polygons given in shares of the picture, y down: float32 (size, size)."""
    mask = np.zeros((size, size), np.uint8)
    for shape in shapes:
        fixed = (np.asarray(shape) * size * 16).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, 4)
    return mask * np.float32(1 / 255)


def _dots(
    picture: np.ndarray, rng: Generator, top: float, color: Color, count: int, radius: float
) -> None:
    size = len(picture)
    mask = np.zeros((size, size), np.uint8)
    for _ in range(count):
        y = top + (1 - top) * rng.random()
        r = max(0.6, radius * size * (0.35 + 0.9 * (y - top) / (1 - top)))
        centre = (int(rng.random() * size * 16), int(y * size * 16))
        cv2.circle(mask, centre, int(r * 16), 255, -1, cv2.LINE_AA, 4)
    _blend(picture, mask * np.float32(0.95 / 255), color)


def _birds(picture: np.ndarray, rng: Generator, horizon: float) -> None:
    size = len(picture)
    mask = np.zeros((size, size), np.uint8)
    lines = []
    x0, y0 = rng.random(), rng.uniform(0.05, 0.7) * horizon
    for _ in range(rng.integers(0, 6)):
        x, y, w = x0 + rng.normal(0, 0.08), y0 + rng.normal(0, 0.03), rng.uniform(0.012, 0.024)
        wing = [
            (x - w, y - 0.3 * w),
            (x - 0.45 * w, y - 0.55 * w),
            (x, y),
            (x + 0.45 * w, y - 0.55 * w),
            (x + w, y - 0.3 * w),
        ]
        lines.append((np.array(wing) * size * 16).astype(np.int32))
    if lines:
        cv2.polylines(mask, lines, False, 210, 1, cv2.LINE_AA, 4)
        _blend(picture, mask * np.float32(1 / 255), rgb("#3a3f4a"))


def _meadow(rng: Generator, size: int) -> tuple[np.ndarray, float]:
    horizon = rng.uniform(0.3, 0.48)
    high = pick(rng, ("#5f9fd6", "#7db4e0", "#8fb3cf", "#6a9ac4"))
    picture = _sky(rng, size, high, mix(high, rgb("#f4f0e2"), 0.7), horizon, rng.uniform(0.2, 0.8))
    green = pick(rng, ("#7fa348", "#8fae55", "#6f9a4e", "#a3ab5a"))
    for step, level in enumerate((0.1, 0.05)):
        hill = mix(mix(green, rgb("#4f7a6a"), 0.4), rgb("#b9cfdc"), 0.6 - 0.3 * step)
        _blend(picture, _ridge(rng, size, horizon - level, 0.025, 0.1 + 0.3 * step), hill)
    _ground(
        picture,
        rng,
        horizon,
        mix(green, rgb("#d3dca0"), 0.35),
        mix(green, rgb("#2f5a2a"), 0.4),
        contrast=0.13,
        span=(200, 260),
    )
    _blades(
        picture,
        rng,
        horizon + 0.06,
        (mix(green, rgb("#24491f"), 0.6), mix(green, rgb("#e0e890"), 0.45)),
        240,
    )
    for _ in range(2):
        _dots(
            picture,
            rng,
            horizon + 0.08,
            pick(rng, ("#f7f3e8", "#f0cf4a", "#d8607a", "#b08ad0", "#e8783a")),
            int(rng.integers(0, 36)),
            0.006,
        )
    _birds(picture, rng, horizon)
    return picture, horizon


def _sea(rng: Generator, size: int) -> tuple[np.ndarray, float]:
    horizon = rng.uniform(0.3, 0.48)
    high = pick(rng, ("#6aa8d8", "#8fb9d9", "#a9bccb", "#7fb0c9"))
    low = mix(high, rgb("#f7efe0"), 0.7)
    picture = _sky(rng, size, high, low, horizon, rng.uniform(0.1, 0.8))
    if rng.random() < 0.6:
        _blend(
            picture, _ridge(rng, size, horizon - 0.015, 0.022, 0.2), mix(high, rgb("#5a7286"), 0.55)
        )
    water = pick(rng, ("#2f7f98", "#3a76a8", "#4a8f94", "#35688c", "#5a8fa0"))
    noise = _ground(
        picture,
        rng,
        horizon,
        mix(water, low, 0.55),
        mix(water, rgb("#16384f"), 0.45),
        rough=0.9,
        contrast=0.1,
        span=(110, 480),
    )
    crest = np.clip(noise - 1.05, 0, 1) * 0.7
    crest[: int(horizon * size) + 1] = 0
    _blend(picture, crest, rgb("#eaf6f6"))
    _birds(picture, rng, horizon)
    return picture, horizon


def _street(rng: Generator, size: int) -> tuple[np.ndarray, float]:
    horizon = rng.uniform(0.4, 0.5)
    picture = _sky(rng, size, rgb("#a9c3d8"), rgb("#e6e6e0"), horizon, 0.3)
    kerb, x = int(horizon * size), int(-0.1 * size)
    plaster = 1 + 0.04 * texture(rng, size, 1.2)[..., None]
    while x < size:
        width = int(rng.uniform(0.2, 0.36) * size)
        top = int(rng.uniform(-0.1, 0.14) * size)
        wall = mix(
            pick(rng, ("#c9a58a", "#d8c3a0", "#b5897a", "#a9a59c", "#c4b7a4", "#9fb0b4")),
            rgb("#d5d9dc"),
            0.15,
        )
        left, right = max(0, x), min(size, x + width)
        picture[max(0, top) : kerb, left:right] = wall
        glass = mix(rgb("#4a5a6a"), rgb("#b9cad6"), rng.uniform(0.1, 0.7))
        columns, step = int(rng.integers(2, 4)), int(0.125 * size)
        for y in range(top + int(0.035 * size), kerb - int(0.09 * size), step):
            for column in range(columns):
                cx = x + int((column + 0.5) * width / columns)
                w, h = max(1, int(0.022 * size)), int(0.07 * size)
                pane = (slice(max(0, y), max(0, y + h)), slice(max(0, cx - w), max(0, cx + w)))
                frame = (
                    slice(max(0, y - 1), max(0, y + h + 1)),
                    slice(max(0, cx - w - 1), max(0, cx + w + 1)),
                )
                picture[frame] = wall * np.float32(0.8)
                picture[pane] = glass
        shop = pick(rng, ("#6a4a40", "#3f5a54", "#54586a", "#8a7a60"))
        picture[kerb - int(0.06 * size) : kerb, left:right] = shop
        x += width
    picture[:kerb] *= plaster[:kerb]
    picture[:kerb] = cv2.GaussianBlur(picture[:kerb], (0, 0), max(0.4, 0.0035 * size))
    tar = pick(rng, ("#77777a", "#6a6c72", "#85807a"))
    _ground(
        picture,
        rng,
        horizon,
        mix(tar, rgb("#b9b6b0"), 0.3),
        tar * np.float32(0.82),
        rough=2.0,
        contrast=0.055,
    )
    pavement = horizon + 0.075
    rows = slice(kerb, int(pavement * size))
    picture[rows] = mix(rgb("#b5b0a6"), tar, 0.2) * (
        1 + 0.05 * texture(rng, size, 2.0)[rows, :, None]
    )
    picture[int(pavement * size) : int((pavement + 0.014) * size)] = rgb("#d3cfc6")
    dash = floor(rng, _dash_tile(), size, horizon, (200, 1))
    line = pavement + rng.uniform(0.15, 0.3)
    band = slice(int(line * size), int((line + 0.022) * size))
    picture[band] += 0.7 * (dash[band] > 0.5)[..., None] * (rgb("#e9e6da") - picture[band])
    return picture, pavement


@cache
def _dash_tile() -> np.ndarray:
    """Dashes of a lane line, side by side; the depth does not matter."""
    dashes = (np.arange(TILE) % 64 < 34).astype(np.float32)
    return np.repeat(dashes[None], TILE, axis=0)


def _beach(rng: Generator, size: int) -> tuple[np.ndarray, float]:
    horizon = rng.uniform(0.26, 0.36)
    high = pick(rng, ("#7fc0e6", "#6ab0dc", "#a3c8dc"))
    picture = _sky(rng, size, high, mix(high, rgb("#fdf4e0"), 0.75), horizon, rng.uniform(0.1, 0.6))
    water = pick(rng, ("#3fa0a8", "#4a9ac0", "#5fb0b0"))
    _ground(
        picture,
        rng,
        horizon,
        mix(water, rgb("#2f5f8a"), 0.4),
        mix(water, rgb("#d5f0e6"), 0.5),
        rough=0.9,
        contrast=0.07,
        span=(110, 480),
    )
    shore = horizon + rng.uniform(0.09, 0.16)
    sand = pick(rng, ("#e6cf9f", "#dcc08c", "#ecdcb8", "#d8b98a"))
    _blend(picture, _ridge(rng, size, shore - 0.018, 0.01, 0.0), rgb("#f4faf6"))
    strand = picture.copy()
    _ground(
        strand, rng, shore - 0.05, mix(sand, rgb("#a08560"), 0.35), sand, rough=1.6, contrast=0.06
    )
    ripple = np.sin(floor(rng, noise_tile(0.55), size, shore - 0.05, (60, 160)) * 22) * 0.025
    strand *= 1 + ripple[..., None]
    picture += _ridge(rng, size, shore, 0.01, 0.0)[..., None] * (strand - picture)
    _dots(
        picture,
        rng,
        shore + 0.08,
        pick(rng, ("#f7efe0", "#a08870", "#c9866a")),
        int(rng.integers(4, 22)),
        0.005,
    )
    _birds(picture, rng, horizon)
    return picture, shore


def _forest(rng: Generator, size: int) -> tuple[np.ndarray, float]:
    horizon = rng.uniform(0.42, 0.52)
    deep = pick(rng, ("#35563f", "#4a6040", "#2f4a44", "#5a5f3a"))
    glade = mix(deep, rgb("#e6ebb0"), 0.6)
    leaves = texture(rng, size, 0.85, (260, 260))
    sparse = texture(rng, size, 0.85, (330, 330), 0.6)
    picture = _fade(size, [(0, mix(deep, glade, 0.25)), (horizon, glade), (1, deep)])
    picture *= (1 + 0.1 * leaves)[..., None]
    for layer in range(3):
        near = layer / 2
        trunks: list[Outline] = []
        lit: list[Outline] = []  # their sides towards the light
        for _ in range(int(rng.integers(4, 8))):
            x, w = rng.random(), rng.uniform(0.01, 0.018) * (1 + layer)
            lean, foot = rng.normal(0, 0.025), horizon + 0.012 + 0.015 * layer
            for shapes, left in ((trunks, -w), (lit, 0.1 * w)):
                crown = [(x + 0.6 * w + lean, -0.05), (x + 0.6 * left + lean, -0.05)]
                shapes.append([(x + left, foot), (x + w, foot), *crown])
        bark = mix(
            pick(rng, ("#5a4638", "#6a5a4a", "#4a4440", "#8a8478")), glade, 0.6 - 0.42 * near
        )
        _blend(picture, _polygons(size, trunks), bark * np.float32(0.82))
        _blend(picture, 0.6 * _polygons(size, lit), mix(bark, rgb("#ffe8c0"), 0.22))
        # foliage before this row of trunks, thinner towards the ground
        drop = np.linspace(0, 4.4 - 0.8 * near, size, dtype=np.float32)[:, None]
        field = (leaves, sparse, -leaves)[layer]
        foliage = np.clip((field + 0.75 - drop) * 3, 0, 1)
        bright = 1 + 0.3 * (sparse, leaves, sparse)[layer]
        leaf = mix(mix(deep, rgb("#a9bf5a"), 0.45 - 0.3 * near), glade, 0.35 - 0.3 * near)
        picture += foliage[..., None] * (leaf * bright[..., None] - picture)
    litter = pick(rng, ("#7a6a44", "#8a7048", "#6a7a44", "#93794a"))
    _ground(
        picture,
        rng,
        horizon,
        mix(litter, deep, 0.45),
        litter,
        rough=1.7,
        contrast=0.17,
        span=(170, 200),
    )
    # patches of sun on the floor
    pools = np.clip(floor(rng, noise_tile(0.62), size, horizon, (150, 200)) - 0.3, 0, 1) * 0.28
    pools[: int(horizon * size) + 1] = 0
    _blend(picture, pools, rgb("#f0e0a0"))
    for code in ("#b5793a", "#5a4a30", "#c9a85a"):
        _dots(picture, rng, horizon + 0.05, rgb(code), 26, 0.006)
    _blades(picture, rng, horizon, (mix(deep, rgb("#7a9a4a"), 0.6),), 120)
    return picture, horizon


def _snow(rng: Generator, size: int) -> tuple[np.ndarray, float]:
    horizon = rng.uniform(0.34, 0.5)
    high = pick(rng, ("#9fb8d0", "#b9c9d8", "#86a8cc", "#c9cdd4"))
    picture = _sky(rng, size, high, mix(high, rgb("#fbf3ea"), 0.7), horizon, rng.uniform(0.0, 0.6))
    _blend(picture, _ridge(rng, size, horizon - 0.08, 0.05, 0.3), mix(high, rgb("#e9eef4"), 0.6))
    firs: list[Outline] = []
    for _ in range(int(rng.integers(8, 26))):
        x, h = rng.random(), rng.uniform(0.05, 0.12)
        for tier in range(3):
            y, half = horizon - h * (0.3 + 0.25 * tier) + 0.03, h * (0.24 - 0.06 * tier)
            firs.append([(x - half, y), (x + half, y), (x, y - 0.5 * h)])
    _blend(picture, _polygons(size, firs), mix(rgb("#3f5a5f"), high, 0.35))
    white = pick(rng, ("#f2f4f8", "#eaf0f6", "#f6f2ee"), 0.02)
    _ground(
        picture,
        rng,
        horizon,
        mix(white, rgb("#c3d3e6"), 0.4),
        white * np.float32(0.95),
        rough=0.75,
        contrast=0.045,
        span=(130, 150),
    )
    _dots(picture, rng, 0.0, rgb("#ffffff"), int(rng.integers(0, 60)), 0.004)
    return picture, horizon


def _open_sky(rng: Generator, size: int) -> tuple[np.ndarray, float]:
    horizon = rng.uniform(0.74, 0.82)
    high = pick(rng, ("#3f86cc", "#5a9ad8", "#7aa0c4", "#6ab0d8"))
    picture = _sky(rng, size, high, mix(high, rgb("#fbf6ea"), 0.75), horizon, rng.uniform(0.5, 1.1))
    grass = pick(rng, ("#8fa35a", "#a9a468", "#7f9a62", "#b5a878"))
    crest = _ridge(rng, size, horizon, 0.012, 0.05)
    noise = 1 + 0.13 * texture(rng, size, 1.5, (220, 420))
    hill = _fade(
        size, [(horizon, mix(grass, rgb("#f0ecc0"), 0.3)), (1, mix(grass, rgb("#3a4a2a"), 0.35))]
    )
    picture += crest[..., None] * (hill * noise[..., None] - picture)
    _blades(
        picture,
        rng,
        horizon + 0.01,
        (mix(grass, rgb("#4a5a2a"), 0.5), mix(grass, rgb("#f4f0b0"), 0.5)),
        130,
    )
    _birds(picture, rng, horizon)
    return picture, horizon


def _table(rng: Generator, size: int) -> tuple[np.ndarray, float]:
    horizon = rng.uniform(0.46, 0.6)
    paper = pick(rng, ("#c9d3c0", "#e0cfb0", "#b5c3cf", "#d8b9a8", "#c4b9cf", "#e6e0d0"))
    picture = _fade(size, [(0, paper), (1, paper * np.float32(0.9))])
    pattern = rng.integers(3)
    if pattern == 0:
        stripes = np.sin(np.linspace(0, rng.uniform(40, 80), size)) > 0
        picture *= np.where(stripes, 0.94, 1.0).astype(np.float32)[None, :, None]
    elif pattern == 1:
        step, mask = rng.uniform(0.07, 0.11), np.zeros((size, size), np.uint8)
        for row in range(int(1 / step) + 1):
            for column in range(int(1 / step) + 2):
                centre = np.array([(column + 0.5 * (row % 2)) * step, row * step]) * size * 16
                cv2.circle(
                    mask,
                    centre.astype(int).tolist(),
                    int(0.16 * step * size * 16),
                    255,
                    -1,
                    cv2.LINE_AA,
                    4,
                )
        _blend(picture, mask * np.float32(0.5 / 255), mix(paper, rgb("#7a4a50"), 0.5))
    picture *= (1 + 0.025 * texture(rng, size, 1.0))[..., None]
    glow = np.linspace(-1, 1, size, dtype=np.float32) * rng.uniform(-0.12, 0.12)
    picture *= (1 + glow)[None, :, None]
    wood = pick(rng, ("#a8703f", "#c49a62", "#7f5334", "#b58a64", "#d3b58a"))
    grain = floor(rng, noise_tile(0.9), size, horizon - 0.3, (380, 40))
    ground = _fade(size, [(horizon, mix(wood, rgb("#f6e6c8"), 0.25)), (1, wood * np.float32(0.85))])
    ground *= (1 + 0.09 * np.sin(3.0 * grain) + 0.03 * grain)[..., None]
    boards = floor(rng, _board_tile(), size, horizon - 0.3, (330, 1))
    ground *= (1 - 0.4 * boards)[..., None]
    top = int(horizon * size)
    picture[top:] = ground[top:]
    lip = slice(top, top + max(1, size // 110))
    picture[lip] = mix(wood, rgb("#fff2d8"), 0.5)
    picture[top - max(1, size // 40) : top] *= 0.86
    return picture, horizon


@cache
def _board_tile() -> np.ndarray:
    """Gaps between boards that run away from the viewer."""
    gaps = (np.arange(TILE) % 64 < 1.5).astype(np.float32)
    return np.repeat(gaps[None], TILE, axis=0)


def _desert(rng: Generator, size: int) -> tuple[np.ndarray, float]:
    horizon = rng.uniform(0.36, 0.48)
    high = pick(rng, ("#e2a06c", "#d9b98a", "#c99a86", "#dcb08c"))
    picture = _fade(size, [(0, high), (horizon, rgb("#fdeccb")), (1, rgb("#fdeccb"))])
    veil = np.clip(texture(rng, size, 0.62, (110, 620)) - 0.2, 0, 1) * 0.35
    _blend(picture, veil, rgb("#fff6e2"))
    for step, level in enumerate((0.1, 0.05)):
        stone = mix(pick(rng, ("#b5623f", "#9a5a4a", "#c07a4a")), rgb("#f2d4ac"), 0.6 - 0.3 * step)
        # flat tops and steep sides: a sum of soft steps
        noise = noise_tile(0.62)[int(rng.integers(TILE))]
        mesa = np.tanh(7 * (noise - 0.35)) + 0.6 * np.tanh(7 * (noise - 1.1)) + 0.06 * noise
        x = (int(rng.integers(TILE)) + np.linspace(0, 150, size)) % TILE
        edge = (horizon - level * (0.45 + 0.5 * np.interp(x, np.arange(TILE), mesa))) * size
        _blend(picture, _below(edge), stone)
    sand = pick(rng, ("#d98f4f", "#c97a44", "#e0a566", "#cf8a5f"))
    for step in range(2):
        dune = mix(sand, rgb("#f6d9a8"), 0.55 - 0.25 * step)
        _blend(picture, _ridge(rng, size, horizon - 0.012 + 0.006 * step, 0.012, 0.0), dune)
    _ground(picture, rng, horizon, mix(sand, rgb("#f6d9a8"), 0.45), sand, rough=1.1, contrast=0.04)
    wind = np.sin(floor(rng, noise_tile(0.5), size, horizon, (90, 210)) * 26)
    slope = np.clip(floor(rng, noise_tile(0.5), size, horizon, (60, 130)), -1.5, 1.5)
    deep = np.clip((np.arange(size) / size - horizon) * 3, 0, 1).astype(np.float32)[:, None]
    picture *= (1 + (0.075 * wind + 0.07 * slope) * deep)[..., None]
    return picture, horizon


def _below(edge: np.ndarray) -> np.ndarray:
    """Share of each pixel below a line, float32 (size, size); `edge`: its height per column."""
    rows = np.arange(len(edge), dtype=np.float32)[:, None] + 0.5
    return np.clip(rows - edge[None].astype(np.float32), 0, 1)


def _dusk(rng: Generator, size: int) -> tuple[np.ndarray, float]:
    horizon = rng.uniform(0.44, 0.54)
    high = pick(rng, ("#4a3f78", "#5a4a86", "#35406e", "#6a4a7a"))
    glow = pick(rng, ("#f0935a", "#f2b06a", "#e8707a", "#f4c98a"))
    picture = _fade(
        size,
        [(0, high), (0.6 * horizon, mix(high, rgb("#d86a7a"), 0.55)), (horizon, glow), (1, glow)],
    )
    sun = (rng.uniform(0.1, 0.9), horizon - rng.uniform(0.03, 0.14))
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size
    far = np.hypot(grid[None] - np.float32(sun[0]), grid[:, None] - np.float32(sun[1]))
    _blend(
        picture,
        np.clip((0.05 - far) * size * 0.5, 0, 1) * 0.9 + 0.45 * np.exp(-((far / 0.2) ** 2)),
        rgb("#ffe6b0"),
    )
    streak = np.clip(texture(rng, size, 0.7, (90, 520)) - 0.5, 0, 1) * 0.55
    _blend(picture, streak, mix(glow, rgb("#a8587a"), 0.5))
    for step in range(4):
        shade = mix(mix(high, glow, 0.62 - 0.16 * step), rgb("#2a2440"), 0.12 + 0.16 * step)
        _blend(picture, _ridge(rng, size, horizon - 0.1 + 0.03 * step, 0.03, 0.3), shade)
    field = pick(rng, ("#6a5080", "#75588a", "#5a4a70", "#7f5f7f"))
    _ground(
        picture,
        rng,
        horizon,
        mix(field, glow, 0.35),
        field * np.float32(0.8),
        rough=1.4,
        contrast=0.1,
    )
    rows = floor(rng, _row_tile(), size, horizon, (420, 1))
    picture[int(horizon * size) :] *= (1 + 0.16 * rows[int(horizon * size) :])[..., None]
    return picture, horizon


@cache
def _row_tile() -> np.ndarray:
    """Furrows that run away from the viewer, as in a field of lavender."""
    return np.repeat(
        np.sin(np.arange(TILE) * (2 * math.pi / 32)).astype(np.float32)[None], TILE, axis=0
    )


def _square(rng: Generator, size: int) -> tuple[np.ndarray, float]:
    horizon = rng.uniform(0.4, 0.5)
    plaster = pick(rng, ("#d8a06a", "#c9705a", "#e0c080", "#b58a9a", "#a8b08a"))
    picture = _fade(size, [(0, plaster), (horizon, plaster * np.float32(0.88)), (1, plaster)])
    stain = texture(rng, size, 0.8, (200, 130))
    picture *= (1 + 0.05 * stain + 0.03 * texture(rng, size, 2.0))[..., None]
    bricks = np.clip((stain - 1.1) * 6, 0, 1)  # where the plaster has come off
    y, x = np.mgrid[0:size, 0:size] / np.float32(size)
    course = np.floor(y / 0.026)
    joint = ((y / 0.026) % 1 < 0.16) | ((x / 0.06 + 0.5 * (course % 2)) % 1 < 0.07)
    _blend(picture, bricks, mix(plaster, rgb("#8a4a3a"), 0.7))
    _blend(picture, bricks * joint, rgb("#cfc0aa"))
    arches: dict[float, list[np.ndarray]] = {0.115: [], 0.09: []}  # by half-width: frame, opening
    for x in np.arange(rng.uniform(-0.2, 0.1), 1.1, rng.uniform(0.34, 0.46)):
        turn = np.linspace(0, math.pi, 16)
        for half, shapes in arches.items():
            vault = np.stack([x - half * np.cos(turn), horizon - 0.27 - half * np.sin(turn)], 1)
            shapes.append(np.concatenate([[(x - half, horizon)], vault, [(x + half, horizon)]]))
    frames, openings = (_polygons(size, shapes) for shapes in arches.values())
    _blend(picture, frames, rgb("#d9cdb8"))
    _blend(picture, openings, mix(plaster, rgb("#2f2a3a"), 0.75))
    tone = pick(rng, ("#8f8a84", "#9a8f80", "#7f828a", "#a0907f"))
    _ground(picture, rng, horizon, mix(tone, rgb("#c9bfae"), 0.3), tone, rough=1.6, contrast=0.04)
    top = int(horizon * size)
    stones = floor(rng, _cobble_tile(), size, horizon, (250, 190))[top:]
    picture[top:] *= (0.62 + 0.46 * stones)[..., None]
    return picture, horizon


@cache
def _cobble_tile() -> np.ndarray:
    """Rounded stones, each of its own brightness, with dark joints; seamless."""
    y, x = np.mgrid[0:TILE, 0:TILE].astype(np.float32) / 32
    row = np.floor(y)
    shifted = x + 0.5 * (row % 2)
    u, v = shifted % 1 - 0.5, y % 1 - 0.5
    dome = np.clip(1.25 - 8.8 * (np.abs(u) ** 3 + np.abs(v) ** 3), 0, 1)
    tones = np.random.default_rng(5).uniform(0.72, 1.12, (16, 16)).astype(np.float32)
    return dome * tones[row.astype(int) % 16, np.floor(shifted).astype(int) % 16]


BACKDROPS: dict[str, Callable[[Generator, int], tuple[np.ndarray, float]]] = {
    "meadow": _meadow,
    "sea": _sea,
    "street": _street,
    "beach": _beach,
    "forest": _forest,
    "snow": _snow,
    "sky": _open_sky,
    "table": _table,
    "desert": _desert,
    "dusk": _dusk,
    "square": _square,
}

AMBIENT = {"forest": "#ecf0d8", "dusk": "#e6c8cc", "desert": "#fff4e4", "snow": "#f4f8ff"}
