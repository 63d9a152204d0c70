"""The things that scenes show, in pairs that differ in one part, and clutter of no class.

A thing is drawn in local units, standing on y = 0 and about one unit wide, facing right. Its
function gets random numbers for itself and, if its telling part is to be drawn, others for that.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from camviz.scenes.drawing import (
    Color,
    Outline,
    Patch,
    Sprite,
    curve,
    fluffy,
    mix,
    oval,
    pick,
    place,
    rectangle,
    rgb,
    ribbon,
)


def _eye(sprite: Sprite, x: float, y: float, radius: float) -> None:
    sprite.fill("head", [oval(x, y, radius, radius * 1.1)], color=rgb("#1d1613"), volume=0, grain=0)
    spark = oval(x + 0.3 * radius, y + 0.35 * radius, 0.38 * radius, 0.38 * radius, n=10)
    sprite.fill("head", [spark], color=rgb("#ffffff"), volume=0, grain=0)


def _legs(
    sprite: Sprite,
    hips: Sequence[tuple[float, float]],
    swings: np.ndarray,
    width: tuple[float, float],
    color: Color,
    hoof: Color,
    lift: float = 0.0,
) -> None:
    """Legs from the hips to the ground; `swing` moves knee and foot, `lift` raises far feet."""
    height = hips[0][1]
    feet = [(x + swing, lift) for (x, _), swing in zip(hips, swings, strict=True)]
    paths = [
        curve([hip, (hip[0] + 0.75 * swing + 0.02, 0.48 * height), (x, lift + 0.02)], closed=False)
        for hip, (x, _), swing in zip(hips, feet, swings, strict=True)
    ]
    sprite.stroke("legs", paths, width, color=color, volume=0.4)
    half = 0.62 * width[1]
    hooves = [
        np.array(
            [
                (x - half, lift),
                (x + 1.5 * half, lift),
                (x + half, lift + 0.07),
                (x - half, lift + 0.07),
            ]
        )
        for x, _ in feet
    ]
    sprite.fill("legs", hooves, color=hoof, volume=0.2)


def _sheep(sprite: Sprite, rng: Generator, extra: Generator | None) -> None:
    """Sheep; with `extra` a ram: one curled horn."""
    wool = pick(rng, ("#efe6d3", "#f6f1e6", "#d9cbb2", "#b9a58a", "#8d7a68", "#6b5d55"))
    face = pick(rng, ("#3a302c", "#5b4a3f", "#e6d3b8", "#c9a987", "#2b2625"))
    swings = rng.uniform(-0.07, 0.07, 4)
    long = rng.uniform(0.92, 1.08)
    dark = mix(face, rgb("#201a20"), 0.45)
    hoof = rgb("#231d1b")
    _legs(sprite, [(-0.2, 0.34), (0.27, 0.34)], swings[:2], (0.09, 0.065), dark, hoof, 0.035)
    _legs(sprite, [(-0.29, 0.34), (0.17, 0.34)], swings[2:], (0.1, 0.07), face, hoof)
    sprite.fill(
        "body", [fluffy(oval(-0.45 * long, 0.6, 0.09, 0.12), 6, 0.03)], color=wool, volume=0.4
    )
    fleece = fluffy(oval(-0.03, 0.55, 0.43 * long, 0.28), int(rng.integers(14, 18)), 0.045)
    body = sprite.fill("body", [fleece], color=wool, volume=0.75, grain=0.05)
    _curls(sprite, rng, wool, body, long)

    if rng.random() < 0.25:  # grazing
        nod, head = rng.uniform(-0.9, -0.6), (0.44 * long, 0.42 + 0.08 * rng.random())
    else:
        nod, head = rng.uniform(-0.5, 0.25), (0.4 * long, 0.74 + 0.06 * rng.random())

    def at(points: Outline) -> np.ndarray:
        return place(points, head, nod)

    sprite.fill(
        "body",
        [fluffy(oval(head[0] - 0.08, head[1] - 0.1, 0.16, 0.19), 9, 0.03)],
        color=wool,
        volume=0.5,
    )
    sprite.fill(
        "head", [at(curve("-0.08,0.1 -0.2,0.04 -0.22,-0.03 -0.1,0"))], color=dark, volume=0.4
    )
    skull = "-0.1,0.08 0.02,0.12 0.13,0.06 0.27,-0.06 0.29,-0.14 0.2,-0.18 0.04,-0.13 -0.08,-0.06"
    sprite.fill("head", [at(curve(skull))], color=face, volume=0.6)
    sprite.fill("head", [at(oval(0.265, -0.1, 0.018, 0.012))], color=dark, volume=0)
    x, y = at([(0.09, 0.02)])[0]
    _eye(sprite, x, y, 0.026)
    sprite.fill(
        "body", [at(fluffy(oval(-0.03, 0.11, 0.11, 0.07), 6, 0.03))], color=wool, volume=0.5
    )
    if extra is not None:
        horn = pick(extra, ("#c9ac7c", "#b8976a", "#d8c49b", "#9c8060"))
        turn = np.linspace(1.5, 1.5 + extra.uniform(5.6, 6.8), 26)
        radius = np.linspace(0.215, 0.085, 26) * extra.uniform(0.95, 1.1)
        spiral = np.stack([-0.07 + radius * np.cos(turn), 0.0 + radius * np.sin(turn)], 1)
        sprite.stroke(
            "horns", [at(spiral)], (0.135, 0.045), color=mix(horn, rgb("#3a2c20"), 0.55), volume=0
        )
        coil = sprite.stroke(
            "horns", [at(spiral)], (0.115, 0.03), color=horn, volume=0.8, gloss=0.3
        )
        rings = [
            np.array(
                [
                    spiral[k] * 1.0 + 0.07 * np.array([math.cos(turn[k]), math.sin(turn[k])]) * s
                    for s in (-1, 1)
                ]
            )
            for k in range(1, 24, 2)
        ]
        sprite.stroke(
            "horns",
            [at(ring) for ring in rings],
            0.012,
            color=mix(horn, rgb("#3a2c20"), 0.6),
            inside=coil,
        )


def _curls(sprite: Sprite, rng: Generator, wool: Color, body: Patch | None, long: float) -> None:
    """Locks of wool, evenly strewn: a light arc over a dark one."""
    arc = np.linspace(0.3, 3.3, 6)
    lights, shades = [], []
    for k in range(26):
        reach, angle = (
            0.88 * math.sqrt((k + 0.5) / 26),
            2.4 * k + rng.normal(0, 0.25),
        )  # a sunflower
        x, y = -0.03 + 0.41 * long * reach * math.cos(angle), 0.55 + 0.26 * reach * math.sin(angle)
        radius = rng.uniform(0.028, 0.044)
        lock = np.stack([x + radius * np.cos(arc), y + radius * np.sin(arc)], 1)
        lights.append(lock)
        shades.append(lock + np.array((0.006, -0.012)))
    glow = mix(wool, rgb("#ffffff"), 0.08 + 0.35 * float(wool.mean()))
    sprite.stroke("body", shades, 0.013, color=wool * np.float32(0.76), volume=0, inside=body)
    sprite.stroke("body", lights, 0.013, color=glow, volume=0, inside=body)


def _horse(sprite: Sprite, rng: Generator, extra: Generator | None) -> None:
    """Horse; with `extra` a zebra: the same hide with stripes."""
    hide = pick(rng, ("#f1ebe0", "#e4d6bd", "#d9bd92", "#cfcac4", "#c79a68", "#b9b2ab"))
    mane = pick(rng, ("#4a3a30", "#2e2725", "#7a5a3e", "#efe3c8", "#5e5550"))
    hoof = rgb("#2a2321")
    swings = rng.uniform(-0.12, 0.12, 4)
    far = mix(hide, rgb("#3a3040"), 0.34)
    neck_turn = rng.uniform(-1.5, -1.2) if rng.random() < 0.25 else rng.uniform(-0.6, 0.2)
    nod = -0.62 + rng.uniform(-0.3, 0.2) - 0.35 * neck_turn
    root = (0.26, 0.8)

    def at(points: Outline) -> np.ndarray:
        return place(points, root, neck_turn)

    poll = tuple(at([(0.25, 0.52)])[0])

    def to_head(points: Outline) -> np.ndarray:
        return place(points, poll, nod + neck_turn)

    _horse_legs(sprite, (-0.29, 0.28), swings[:2], far, hoof, 0.035)
    tail = [
        (-0.48, 0.9),
        (-0.6, 0.84),
        (-0.65 + rng.uniform(-0.05, 0.05), 0.6),
        (-0.6 + rng.uniform(-0.06, 0.08), 0.34),
    ]
    sprite.fill("tail", [ribbon(tail, (0.05, 0.1, 0.13, 0.02))], color=mane, volume=0.6)
    _horse_legs(sprite, (-0.36, 0.22), swings[2:], hide, hoof, 0.0)
    torso = curve(
        "0.38,0.74 0.32,0.92 0.16,0.97 -0.08,0.92 -0.3,0.97 -0.45,0.92 "
        "-0.51,0.76 -0.45,0.6 -0.2,0.56 0.05,0.52 0.26,0.56"
    )
    neck = at(
        curve(
            "-0.12,0.15 0.05,0.36 0.16,0.55 0.28,0.58 0.32,0.44 0.25,0.24 "
            "0.16,0 0.02,-0.18 -0.1,-0.06"
        )
    )
    sprite.fill(
        "body", [torso, neck], color=hide, volume=0.55, grain=0.025
    )  # one skin, one shading
    ink = rgb("#000000")
    if extra is not None:
        ink = pick(extra, ("#231d1c", "#33291f", "#1b1a22"))
        _hide_stripes(sprite, extra, torso, neck, at, swings[2:], ink)
    ears = [
        to_head([(-0.06, 0.03), (-0.05, 0.2), (0.03, 0.06)]),
        to_head([(0.0, 0.05), (0.04, 0.2), (0.07, 0.05)]),
    ]
    sprite.fill("head", ears, color=far, volume=0.3)
    skull = curve(
        "-0.1,0.02 0.02,0.1 0.16,0.075 0.33,0.04 0.42,0 0.42,-0.08 "
        "0.35,-0.11 0.2,-0.1 0.08,-0.15 -0.06,-0.12"
    )
    face = sprite.fill("head", [to_head(skull)], color=hide, volume=0.5)
    muzzle = curve("0.33,0.06 0.44,0.01 0.44,-0.1 0.33,-0.13")
    sprite.fill(
        "head", [to_head(muzzle)], color=mix(mane, rgb("#4a4040"), 0.6), volume=0.4, inside=face
    )
    if extra is not None:
        bars = [
            to_head([(x, 0.12), (x - 0.03, -0.02), (x + 0.02, -0.16)]) for x in (0.13, 0.2, 0.27)
        ]
        sprite.stroke("stripes", bars, 0.03, color=ink, inside=face)
    x, y = to_head([(0.08, 0.03)])[0]
    _eye(sprite, x, y, 0.025)
    sprite.fill("head", [to_head(oval(0.385, -0.02, 0.016, 0.011))], color=rgb("#1d1613"), volume=0)
    crest = at("-0.13,0.14 0.03,0.38 0.14,0.56 0.25,0.62")
    sprite.fill("mane", [ribbon(crest, (0.05, 0.15, 0.15, 0.08))], color=mane, volume=0.6)
    forelock = to_head(curve([(-0.03, 0.12), (0.08, 0.12), (0.06, 0.02)]))
    sprite.fill("mane", [forelock], color=mane, volume=0.3)


def _horse_legs(
    sprite: Sprite,
    hips: tuple[float, float],
    swings: np.ndarray,
    color: Color,
    hoof: Color,
    lift: float,
) -> None:
    """A hind leg with its hock and a fore leg with its knee."""
    (hind, fore), (back, front) = hips, swings.tolist()
    paths = (
        [
            (hind - 0.02, 0.78),
            (hind + 0.03 + 0.4 * back, 0.54),
            (hind - 0.09 + 0.8 * back, 0.33),
            (hind - 0.05 + back, 0.03 + lift),
        ],
        [
            (fore, 0.74),
            (fore + 0.02 + 0.4 * front, 0.52),
            (fore + 0.03 + 0.8 * front, 0.33),
            (fore + front, 0.03 + lift),
        ],
    )
    widths = ((0.24, 0.19, 0.085, 0.065), (0.18, 0.12, 0.085, 0.065))
    limbs = [ribbon(path, width) for path, width in zip(paths, widths, strict=True)]
    sprite.fill("legs", limbs, color=color, volume=0.5)
    hooves = []
    for path in paths:
        x, y = path[-1][0], lift
        hooves.append(
            [(x - 0.045, y), (x + 0.065, y), (x + 0.035, y + 0.075), (x - 0.035, y + 0.075)]
        )
    sprite.fill("legs", hooves, color=hoof, volume=0.2)


def _hide_stripes(
    sprite: Sprite,
    rng: Generator,
    torso: np.ndarray,
    neck: np.ndarray,
    at: Callable[[Outline], np.ndarray],
    swings: np.ndarray,
    ink: Color,
) -> None:
    """Stripes of a zebra: bars around barrel and neck, rings around the near legs."""
    width, shift = rng.uniform(0.045, 0.06), rng.uniform(0, 0.03)
    bars = []
    for x in np.arange(-0.47, 0.2, 0.1) + shift:
        bend = 0.1 * math.copysign(abs(x) ** 0.8, x) + rng.uniform(-0.015, 0.015)
        bars.append(
            curve(
                [(x - bend, 1.05), (x, 0.8), (x + bend, 0.55), (x + 1.2 * bend, 0.45)], closed=False
            )
        )
    sprite.stroke("stripes", bars, (width * 1.2, width * 0.7), color=ink, inside=sprite.area(torso))
    collar = [
        at([(-0.26 + 0.34 * t, 0.24 + 0.38 * t), (0.2 + 0.18 * t, -0.1 + 0.5 * t)])
        for t in np.arange(0.06, 1.0, 0.16)
    ]
    sprite.stroke("stripes", collar, (0.06, 0.045), color=ink, inside=sprite.area(neck))
    rings = []
    for hip, swing, offset in ((-0.36, swings[0], -0.07), (0.22, swings[1], 0.02)):
        for y in (0.16, 0.24, 0.32, 0.4, 0.48):
            x = hip + offset * min(1, 1.6 * (0.6 - y)) + swing * min(1, 1.6 * (0.66 - y))
            rings.append([(x - 0.11, y - 0.01), (x + 0.11, y + 0.015)])
    # only where the near legs are: not on the far ones, not on the belly
    sprite.stroke(
        "stripes",
        rings,
        0.036,
        color=ink,
        volume=0,
        inside=sprite.area(rectangle(-0.6, 0.1, 0.45, 0.53)),
    )


def _slug(sprite: Sprite, rng: Generator, extra: Generator | None) -> None:
    """Slug; with `extra` a snail: a shell on its back."""
    skin = pick(rng, ("#c98d4e", "#a8794f", "#8f8a5c", "#d8b477", "#7c6a5c", "#b5654a", "#9aa06a"))
    neck = rng.uniform(-0.07, 0.1)
    hump = rng.uniform(-0.02, 0.03)
    feelers = rng.uniform(-0.08, 0.08, 2)
    dark = mix(skin, rgb("#2b1d22"), 0.4)
    tips = []
    for k, lean in enumerate(feelers):
        foot, tip = (0.56 + 0.07 * k, 0.5 + neck), (0.54 + 0.17 * k + lean, 0.83 + neck - 0.04 * k)
        shade = dark if k == 0 else skin
        stalk = curve([foot, ((foot[0] + tip[0]) / 2 + 0.02, 0.68 + neck), tip], closed=False)
        sprite.stroke("feelers", [stalk], (0.055, 0.032), color=shade, volume=0.4)
        tips.append((tip, shade))
    body = curve(
        [
            (-0.74, 0.015),
            (-0.5, 0.14),
            (-0.2, 0.28 + hump),
            (0.1, 0.31 + hump),
            (0.32, 0.34),
            (0.47, 0.5 + neck),
            (0.6, 0.57 + neck),
            (0.71, 0.5 + neck),
            (0.72, 0.38 + neck),
            (0.64, 0.22),
            (0.66, 0.07),
            (0.6, 0.005),
            (0.0, 0.0),
            (-0.5, 0.0),
        ]
    )
    hide = sprite.fill("body", [body], color=skin, volume=0.8, grain=0.1, gloss=0.25)
    sole = curve("-0.74,0.01 -0.4,0.07 0.2,0.09 0.68,0.07 0.6,0 0,-0.02 -0.5,-0.01")
    sprite.fill("body", [sole], color=mix(skin, rgb("#f0dcb0"), 0.4), volume=0.3, inside=hide)
    spots = [
        oval(rng.uniform(-0.55, 0.5), rng.uniform(0.1, 0.34), 0.022, 0.014, n=10) for _ in range(22)
    ]
    sprite.fill("body", spots, color=dark, volume=0, inside=hide)
    mantle = curve(
        [
            (-0.12, 0.26 + hump),
            (0.05, 0.37 + hump),
            (0.3, 0.36),
            (0.36, 0.26),
            (0.2, 0.16),
            (-0.02, 0.17),
        ]
    )
    sprite.fill("body", [mantle], color=mix(skin, dark, 0.35), volume=0.6, grain=0.12, inside=hide)
    for (x, y), shade in tips:
        sprite.fill(
            "feelers",
            [oval(x, y, 0.038, 0.038, n=16)],
            color=mix(shade, rgb("#fff0d0"), 0.25),
            volume=0.4,
        )
        sprite.fill(
            "feelers",
            [oval(x + 0.012, y + 0.006, 0.018, 0.018, n=10)],
            color=rgb("#1a1414"),
            volume=0,
            grain=0,
        )
    sprite.stroke(
        "feelers", [[(0.69, 0.43 + neck), (0.8, 0.38 + neck)]], 0.035, color=skin, volume=0.3
    )
    smile = curve([(0.71, 0.36 + neck), (0.65, 0.32 + neck), (0.58, 0.35 + neck)], closed=False)
    sprite.stroke("body", [smile], 0.014, color=dark, volume=0, inside=hide)
    if extra is not None:
        shell = pick(extra, ("#b5763f", "#d9a866", "#8c5a3c", "#c98a5a", "#a8684f", "#cdb48a"))
        band = mix(shell, rgb("#3a1f18"), 0.62)
        x, y, radius = -0.1, 0.46, extra.uniform(0.36, 0.4)
        lip = curve(
            [(x + 0.05, y - radius * 0.8), (x + 0.3, 0.24), (x + 0.42, 0.34), (x + 0.32, 0.5)]
        )
        sprite.fill("shell", [lip], color=mix(shell, rgb("#fff0d8"), 0.3), volume=0.4)
        dome = sprite.fill(
            "shell",
            [oval(x, y, radius, radius * 0.96)],
            color=shell,
            volume=0.95,
            grain=0.06,
            gloss=0.5,
        )
        turn = np.linspace(-0.6, -0.6 + 5.2 * math.pi, 70)
        winding = radius * np.linspace(1.0, 0.06, 70) ** 1.15
        spiral = np.stack([x + winding * np.cos(turn), y + winding * 0.96 * np.sin(turn)], 1)
        sprite.stroke("shell", [spiral], (0.06, 0.022), color=band, volume=0.3, inside=dome)
        sprite.stroke(
            "shell",
            [spiral * 0.97 + (x * 0.03 - 0.012, y * 0.03 + 0.016)],
            (0.025, 0.01),
            color=mix(shell, rgb("#fff4dc"), 0.6),
            volume=0,
            inside=dome,
        )


def _boat(sprite: Sprite, rng: Generator, extra: Generator | None) -> None:
    """Rowing boat; with `extra` a sailing boat: mast and sail."""
    paint = pick(rng, ("#a4512f", "#2f6f8f", "#e9e2d0", "#7a4a2b", "#c23b30", "#3d7a56", "#d9a441"))
    trim = pick(rng, ("#f3ead6", "#5a3a24", "#2d3f55", "#d8b070"))
    wood = pick(rng, ("#8a5a34", "#a87444", "#6e4a30"))
    sheer = rng.uniform(0.3, 0.38)
    bow, stern = rng.uniform(0.5, 0.58), rng.uniform(0.42, 0.48)
    near = [
        (-0.66, stern),
        (-0.35, sheer + 0.02),
        (0.05, sheer - 0.02),
        (0.42, sheer + 0.05),
        (0.76, bow),
    ]
    far = [
        (0.76, bow),
        (0.45, sheer + 0.17),
        (0.05, sheer + 0.11),
        (-0.35, sheer + 0.13),
        (-0.66, stern),
    ]
    rim_near, rim_far = curve(near, closed=False), curve(far, closed=False)
    well = sprite.fill(
        "hull", [np.concatenate([rim_near, rim_far])], color=wood * np.float32(0.62), volume=0.3
    )
    benches = [np.array([(x, sheer - 0.1), (x + 0.05, sheer + 0.16)]) for x in (-0.32, 0.02, 0.36)]
    sprite.stroke(
        "hull", benches, 0.075, color=mix(wood, rgb("#ffe2b0"), 0.3), volume=0.2, inside=well
    )
    sprite.stroke("hull", [rim_far], 0.03, color=trim * np.float32(0.85), volume=0.2)
    if extra is not None:
        _sail(sprite, extra, sheer)
    keel = [
        (0.76, bow),
        (0.7, 0.3),
        (0.52, 0.05),
        (0.2, 0.0),
        (-0.3, 0.0),
        (-0.54, 0.05),
        (-0.66, stern),
    ]
    side = np.concatenate([rim_near, curve(keel, closed=False)])
    hull = sprite.fill("hull", [side], color=paint, volume=0.6, grain=0.04)
    for share, shade in ((0.36, 0.75), (0.68, 0.7)):
        low = rim_near * (1, 1 - share) + (0, 0.0)
        sprite.stroke("hull", [low], 0.014, color=paint * np.float32(shade), volume=0, inside=hull)
    water_line = curve("-0.7,0.1 0,0.07 0.8,0.12 0.8,-0.1 -0.7,-0.1")
    sprite.fill(
        "hull", [water_line], color=mix(paint, rgb("#2a2a38"), 0.5), volume=0.2, inside=hull
    )
    sprite.stroke("hull", [rim_near], 0.04, color=trim, volume=0.4)
    slope = rng.uniform(0.8, 1.15)
    lock = (rng.uniform(-0.12, 0.1), sheer + 0.01)
    blade = (lock[0] - 0.5 * math.cos(slope), max(0.03, lock[1] - 0.5 * math.sin(slope)))
    grip = (lock[0] + 0.26 * math.cos(slope), lock[1] + 0.26 * math.sin(slope))
    sprite.stroke("oar", [[grip, blade]], 0.034, color=mix(wood, rgb("#f5dcae"), 0.5), volume=0.4)
    flat = place(oval(0, 0, 0.12, 0.045), blade, math.atan2(lock[1] - blade[1], lock[0] - blade[0]))
    sprite.fill("oar", [flat], color=mix(wood, rgb("#f5dcae"), 0.6), volume=0.4)


def _sail(sprite: Sprite, rng: Generator, sheer: float) -> None:
    cloth = pick(rng, ("#f7f1e1", "#f2e6c8", "#c9603f", "#e8b96a", "#f4f4f2", "#b5483a", "#6f93ad"))
    top, foot = rng.uniform(1.5, 1.62), sheer + rng.uniform(0.2, 0.26)
    mast = 0.12
    sprite.stroke(
        "sail",
        [[(mast, sheer - 0.06), (mast, top)]],
        (0.045, 0.03),
        color=rgb("#5d4028"),
        volume=0.5,
    )
    sprite.stroke(
        "sail",
        [[(mast, foot - 0.02), (-0.58, foot - 0.03)]],
        0.03,
        color=rgb("#5d4028"),
        volume=0.3,
    )
    belly = rng.uniform(0.04, 0.1)
    main = np.concatenate(
        [
            curve([(mast - 0.03, top - 0.04), (-0.26 - belly, 0.95), (-0.6, foot)], closed=False),
            curve([(-0.6, foot), (-0.25, foot + 0.03), (mast - 0.03, foot)], closed=False),
        ]
    )
    sheet = sprite.fill("sail", [main], color=cloth, volume=0.45, grain=0.03)
    jib = np.concatenate(
        [
            curve(
                [(mast + 0.05, top - 0.2), (0.45 + 0.5 * belly, 0.95), (0.7, foot)], closed=False
            ),
            curve([(0.7, foot), (0.4, foot + 0.07), (mast + 0.06, foot + 0.03)], closed=False),
        ]
    )
    sprite.fill("sail", [jib], color=mix(cloth, rgb("#ffffff"), 0.25), volume=0.45, grain=0.03)
    seams = [
        np.array([(-0.75, y), (mast, y + 0.05)]) for y in (foot + 0.22, foot + 0.44, foot + 0.66)
    ]
    sprite.stroke("sail", seams, 0.012, color=cloth * np.float32(0.78), volume=0, inside=sheet)
    flutter = curve([(mast, top), (mast, top + 0.09), (mast - 0.16, top + 0.05)], closed=False)
    sprite.fill("sail", [flutter], color=pick(rng, ("#c23b30", "#2f6f8f", "#e0b23c")), volume=0)


def _lorry(sprite: Sprite, rng: Generator, extra: Generator | None) -> None:
    """Lorry; with `extra` a fire engine: a ladder on the roof. Both may be red."""
    paint = pick(rng, ("#c8281f", "#c8281f", "#d9432b", "#2f66a8", "#e0a92f", "#2f7d57", "#e8e4da"))
    second = (
        paint if rng.random() < 0.5 else pick(rng, ("#e8e4da", "#c8281f", "#d8c089", "#7c8792"))
    )
    roof = rng.uniform(0.8, 0.88)
    nose = rng.uniform(0.66, 0.74)
    axles = (-0.5, 0.44) if rng.random() < 0.5 else (-0.6, -0.3, 0.44)
    sprite.fill("body", [rectangle(-0.76, 0.15, 0.68, 0.27)], color=rgb("#3a3b40"), volume=0.2)
    box = sprite.fill(
        "body", [rectangle(-0.8, 0.24, 0.2, roof)], color=second, volume=0.22, grain=0.03
    )
    stripe = pick(rng, ("#f2ead8", "#e0b23c", "#34465c", "#c8281f"))
    level = rng.uniform(0.34, 0.46)
    sprite.fill(
        "body", [rectangle(-0.8, level, 0.2, level + 0.07)], color=stripe, volume=0, inside=box
    )
    slats = [np.array([(x, 0.24), (x, roof)]) for x in (-0.6, -0.4, -0.2, 0.0)]
    sprite.stroke("body", slats, 0.012, color=second * np.float32(0.74), volume=0, inside=box)
    sprite.fill(
        "body",
        [rectangle(-0.8, roof - 0.045, 0.2, roof)],
        color=mix(second, rgb("#ffffff"), 0.35),
        volume=0,
        inside=box,
    )
    cab_shape = curve(
        [
            (0.23, 0.2),
            (0.23, 0.8),
            (0.28, 0.84),
            (0.5, 0.83),
            (0.58, 0.78),
            (nose, 0.52),
            (nose + 0.03, 0.46),
            (nose + 0.03, 0.2),
        ],
        steps=3,
    )
    cab = sprite.fill("cab", [cab_shape], color=paint, volume=0.4, gloss=0.3)
    glass = mix(rgb("#2d4253"), rgb("#a9c7d8"), rng.uniform(0.2, 0.6))
    panes = [
        np.array([(0.29, 0.5), (0.29, 0.75), (0.45, 0.75), (0.45, 0.5)]),
        np.array([(0.49, 0.5), (0.49, 0.75), (0.55, 0.74), (nose - 0.04, 0.5)]),
    ]
    window = sprite.fill("cab", panes, color=glass, volume=0, grain=0.02)
    sprite.stroke(
        "cab",
        [[(0.33, 0.48), (0.43, 0.78)], [(0.53, 0.48), (0.6, 0.74)]],
        0.03,
        color=mix(glass, rgb("#ffffff"), 0.5),
        volume=0,
        grain=0,
        inside=window,
    )
    sprite.stroke(
        "cab",
        [[(0.47, 0.22), (0.47, 0.78)]],
        0.014,
        color=paint * np.float32(0.65),
        volume=0,
        inside=cab,
    )
    sprite.stroke("cab", [[(0.37, 0.43), (0.43, 0.43)]], 0.022, color=rgb("#d8d8d4"), volume=0)
    sprite.fill(
        "cab", [rectangle(nose - 0.02, 0.16, nose + 0.06, 0.25)], color=rgb("#b9bcc0"), volume=0.3
    )
    sprite.fill(
        "cab", [oval(nose, 0.34, 0.035, 0.045)], color=rgb("#fff3c4"), volume=0.2, gloss=0.3
    )
    arches = [oval(x, 0.17, 0.19, 0.19) for x in axles]
    whole = sprite.area(rectangle(-0.8, 0.16, 0.75, 0.5))
    sprite.fill("wheels", arches, color=rgb("#26262a"), volume=0, inside=whole)
    sprite.fill(
        "wheels", [oval(x, 0.15, 0.15, 0.15) for x in axles], color=rgb("#2b2a2c"), volume=0.25
    )
    sprite.fill(
        "wheels", [oval(x, 0.15, 0.075, 0.075) for x in axles], color=rgb("#b8b8b4"), volume=0.5
    )
    sprite.fill(
        "wheels", [oval(x, 0.15, 0.025, 0.025) for x in axles], color=rgb("#5a5a5c"), volume=0
    )
    if extra is not None:
        _ladder(sprite, extra, roof)


def _ladder(sprite: Sprite, rng: Generator, roof: float) -> None:
    metal = pick(rng, ("#d9dcdd", "#e8e4da", "#c9b98a", "#e0c050", "#aeb6bb"))
    slope, length, gauge = rng.uniform(0.05, 0.2), rng.uniform(1.3, 1.45), 0.15
    pivot = (-0.74, roof + 0.05)
    sprite.fill(
        "ladder",
        [rectangle(-0.72, roof - 0.02, -0.5, roof + 0.1)],
        color=rgb("#6a6e74"),
        volume=0.4,
    )

    def at(points: Outline) -> np.ndarray:
        return place(points, pivot, slope)

    prop = float(at([(0.95, 0.0)])[0][1])
    sprite.stroke(
        "ladder", [[(0.2, roof - 0.02), (0.2, prop)]], 0.04, color=rgb("#6a6e74"), volume=0.3
    )
    rungs = [at([(x, 0), (x, gauge)]) for x in np.linspace(0.06, length - 0.05, 13)]
    rails = [at([(0, 0), (length, 0)]), at([(0, gauge), (length, gauge)])]
    shade = metal * np.float32(0.62)
    sprite.stroke(
        "ladder", [rail - np.array((0.0, 0.014)) for rail in rails], 0.042, color=shade, volume=0
    )
    sprite.stroke("ladder", rungs, 0.034, color=metal * np.float32(0.85), volume=0.2)
    sprite.stroke("ladder", rails, 0.04, color=metal, volume=0.4)


def _house(sprite: Sprite, rng: Generator, extra: Generator | None) -> None:
    """House; with `extra` a church: a steeple with a cross at its front."""
    wall = pick(rng, ("#f0e4cc", "#e8d3a8", "#d9b08c", "#cfcabf", "#e6e8e4", "#c98f70", "#b9c4c4"))
    tiles = pick(rng, ("#a8452f", "#8a3a2c", "#5c5f6b", "#7a5a48", "#c0613a", "#4a5560"))
    frame = pick(rng, ("#fbf6ea", "#5a4030", "#3f5a4a", "#7a3a30"))
    eave, ridge = rng.uniform(0.46, 0.54), rng.uniform(0.84, 0.96)
    side = wall * np.float32(0.76)
    gable = np.array(
        [(0.3, 0.0), (0.68, 0.03), (0.68, eave + 0.01), (0.5, ridge - 0.03), (0.3, eave)]
    )
    sprite.fill("walls", [gable], color=side, volume=0.1, grain=0.06)
    front = sprite.fill(
        "walls", [rectangle(-0.6, 0.0, 0.32, eave + 0.03)], color=wall, volume=0.12, grain=0.06
    )
    sprite.fill(
        "walls",
        [rectangle(-0.6, 0.0, 0.32, 0.07)],
        color=mix(wall, rgb("#6a5f58"), 0.55),
        volume=0,
        grain=0.1,
        inside=front,
    )
    roof_shape = np.array([(-0.68, eave - 0.03), (0.35, eave - 0.03), (0.53, ridge), (-0.5, ridge)])
    sprite.fill(
        "roof",
        [
            [
                (0.35, eave - 0.03),
                (0.4, eave - 0.05),
                (0.52, ridge - 0.09),
                (0.66, eave - 0.01),
                (0.74, eave - 0.03),
                (0.53, ridge),
            ]
        ],
        color=tiles * np.float32(0.7),
        volume=0,
    )
    roof = sprite.fill("roof", [roof_shape], color=tiles, volume=0.2, grain=0.1)
    rows = [np.array([(-0.7, y), (0.6, y)]) for y in np.linspace(eave, ridge, 8)[1:-1]]
    sprite.stroke("roof", rows, 0.014, color=tiles * np.float32(0.72), volume=0, inside=roof)
    sprite.stroke(
        "roof",
        [[(-0.5, ridge), (0.53, ridge)]],
        0.03,
        color=mix(tiles, rgb("#ffffff"), 0.2),
        volume=0.3,
    )
    pointed = rng.random() < 0.5
    xs = (-0.2, 0.02) if rng.random() < 0.5 else (-0.22, -0.06, 0.1)
    glass = mix(rgb("#33485c"), rgb("#ffd98a"), float(rng.random() < 0.3) * 0.8)

    def opening(x: float, y: float, half: float, height: float) -> np.ndarray:
        if not pointed:
            return rectangle(x - half, y, x + half, y + height)
        return np.array(
            [
                (x - half, y),
                (x + half, y),
                (x + half, y + 0.7 * height),
                (x + 0.6 * half, y + 0.9 * height),
                (x, y + height),
                (x - 0.6 * half, y + 0.9 * height),
                (x - half, y + 0.7 * height),
            ]
        )

    holes = [(x, 0.2, 0.055, 0.19) for x in xs] + [(0.5, 0.22, 0.045, 0.2)]
    sprite.fill(
        "walls",
        [opening(x, y - 0.018, half + 0.02, high + 0.036) for x, y, half, high in holes],
        color=frame,
        volume=0,
        grain=0,
    )
    sprite.fill("walls", [opening(*hole) for hole in holes], color=glass, volume=0.1, grain=0)
    bars = [np.array([(x, y), (x, y + high)]) for x, y, _, high in holes] + [
        np.array([(x - half, y + 0.1), (x + half, y + 0.1)]) for x, y, half, _ in holes
    ]
    sprite.stroke("walls", bars, 0.012, color=frame, volume=0, grain=0)
    sprite.fill("walls", [opening(0.22, 0.0, 0.075, 0.3)], color=frame, volume=0, grain=0)
    sprite.fill(
        "walls",
        [opening(0.22, 0.0, 0.056, 0.275)],
        color=pick(rng, ("#6e3f2a", "#34566b", "#4a5a3a")),
        volume=0.2,
    )
    if extra is not None:
        _steeple(sprite, extra, wall, tiles)


def _steeple(sprite: Sprite, rng: Generator, wall: Color, tiles: Color) -> None:
    x, half = -0.48, 0.17
    top, tip = rng.uniform(1.08, 1.18), rng.uniform(1.62, 1.74)
    stone = mix(wall, rgb("#fff8e8"), 0.2)
    sprite.fill(
        "steeple",
        [rectangle(x + half - 0.02, 0.0, x + half + 0.07, top)],
        color=stone * np.float32(0.72),
        volume=0,
        grain=0.06,
    )
    tower = sprite.fill(
        "steeple", [rectangle(x - half, 0.0, x + half, top)], color=stone, volume=0.15, grain=0.07
    )
    bands = [np.array([(x - half, y), (x + half, y)]) for y in (0.07, 0.52, 0.8)]
    sprite.stroke("steeple", bands, 0.02, color=stone * np.float32(0.78), volume=0, inside=tower)
    arch = curve(
        [(x - 0.055, 0.84), (x + 0.055, 0.84), (x + 0.055, 0.97), (x, 1.04), (x - 0.055, 0.97)],
        steps=3,
    )
    sprite.fill("steeple", [arch], color=rgb("#2c2a30"), volume=0)
    sprite.fill("steeple", [oval(x, 0.66, 0.065, 0.065)], color=rgb("#f6efdc"), volume=0)
    sprite.stroke(
        "steeple",
        [[(x, 0.66), (x, 0.705)], [(x, 0.66), (x + 0.03, 0.65)]],
        0.012,
        color=rgb("#2c2a30"),
        volume=0,
    )
    spire = np.array([(x - half - 0.05, top - 0.01), (x + half + 0.1, top - 0.01), (x + 0.02, tip)])
    sprite.fill("steeple", [spire], color=tiles * np.float32(0.95), volume=0.5, grain=0.08)
    sprite.fill(
        "steeple",
        [np.array([(x + half - 0.02, top - 0.01), (x + half + 0.1, top - 0.01), (x + 0.02, tip)])],
        color=tiles * np.float32(0.66),
        volume=0,
    )
    gold = rgb("#d9b04a")
    sprite.stroke(
        "steeple",
        [
            [(x + 0.02, tip - 0.02), (x + 0.02, tip + 0.17)],
            [(x - 0.045, tip + 0.1), (x + 0.085, tip + 0.1)],
        ],
        0.03,
        color=gold,
        volume=0.2,
    )


def _bucket(sprite: Sprite, rng: Generator, extra: Generator | None) -> None:
    """Bucket; with `extra` a watering can: a spout with a rose."""
    paint = pick(rng, ("#9aa4a8", "#4f8a5c", "#c8452f", "#3f77a8", "#e0b23c", "#b7bdb9", "#7a9a4a"))
    wide, narrow, tall = rng.uniform(0.34, 0.4), rng.uniform(0.25, 0.33), rng.uniform(0.66, 0.78)
    bail = tall + rng.uniform(0.3, 0.42)
    lean = rng.uniform(-0.08, 0.08)
    metal = mix(rgb("#6f7478"), paint, 0.25)
    back = curve(
        [
            (-wide, tall),
            (-0.8 * wide + lean, tall + 0.75 * (bail - tall)),
            (lean, bail),
            (0.8 * wide + lean, tall + 0.75 * (bail - tall)),
            (wide, tall),
        ],
        closed=False,
    )
    sprite.stroke("handle", [back], 0.04, color=metal, volume=0.6)
    grip = back[len(back) // 2 - 4 : len(back) // 2 + 5]
    sprite.stroke("handle", [grip], 0.075, color=rgb("#8a5a34"), volume=0.6)
    if extra is not None:
        _spout(sprite, extra, paint, narrow)
    bottom = [
        (narrow * math.cos(t), 0.055 + 0.055 * math.sin(t))
        for t in np.linspace(2 * math.pi, math.pi, 9)
    ]
    wall_shape = np.array([(wide, tall), *bottom, (-wide, tall)])
    wall = sprite.fill("body", [wall_shape], color=paint, volume=0.75, grain=0.03, gloss=0.35)
    hoops = []
    for y in (0.13, 0.5 * tall, 0.56 * tall):
        half = narrow + (wide - narrow) * y / tall
        hoops.append(
            curve(
                [
                    (-half, y + 0.01),
                    (-0.5 * half, y - 0.03),
                    (0.0, y - 0.045),
                    (0.5 * half, y - 0.03),
                    (half, y + 0.01),
                ],
                closed=False,
            )
        )
    sprite.stroke(
        "body",
        [hoop - np.array((0.0, 0.012)) for hoop in hoops],
        0.026,
        color=paint * np.float32(0.62),
        volume=0,
        inside=wall,
    )
    sprite.stroke(
        "body", hoops, 0.018, color=mix(paint, rgb("#ffffff"), 0.4), volume=0, inside=wall
    )
    sprite.fill(
        "body",
        [oval(0, tall, wide + 0.02, 0.1)],
        color=mix(paint, rgb("#ffffff"), 0.35),
        volume=0.3,
    )
    mouth = sprite.fill(
        "body",
        [oval(0, tall + 0.004, wide - 0.025, 0.078)],
        color=paint * np.float32(0.36),
        volume=0,
    )
    sprite.fill(
        "body",
        [oval(0.05, tall - 0.06, wide - 0.02, 0.08)],
        color=paint * np.float32(0.55),
        volume=0,
        inside=mouth,
    )
    sprite.fill(
        "handle",
        [oval(-wide + 0.01, tall - 0.03, 0.04, 0.045), oval(wide - 0.01, tall - 0.03, 0.04, 0.045)],
        color=metal,
        volume=0.4,
    )


def _spout(sprite: Sprite, rng: Generator, paint: Color, narrow: float) -> None:
    rise = rng.uniform(0.75, 0.95)
    start, end = (narrow - 0.08, 0.2), (0.82, rise)
    pipe = curve([start, (0.46, 0.3), (0.68, 0.5 * rise + 0.2), end], closed=False)
    sprite.stroke(
        "spout", [pipe], (0.19, 0.1), color=paint * np.float32(0.95), volume=0.8, gloss=0.4
    )
    steep = math.atan2(end[1] - (0.5 * rise + 0.2), end[0] - 0.68)
    cone = place("-0.02,0.045 0.13,0.17 0.13,-0.17 -0.02,-0.045", end, steep)
    sprite.fill("spout", [cone], color=paint, volume=0.6)
    face = place(oval(0.13, 0, 0.05, 0.17), end, steep)
    sprite.fill("spout", [face], color=mix(paint, rgb("#f8e8c0"), 0.45), volume=0.2)
    dots = [
        place(oval(0.13 + x, y, 0.012, 0.018, n=8), end, steep)
        for x, y in ((0, 0), (0, 0.09), (0, -0.09), (0.02, 0.045), (-0.02, -0.045))
    ]
    sprite.fill("spout", dots, color=paint * np.float32(0.4), volume=0)


def _tower(sprite: Sprite, rng: Generator, extra: Generator | None) -> None:
    """Tower; with `extra` a windmill: four sails."""
    wall = pick(rng, ("#f0e6d2", "#e2cfa8", "#c9b79c", "#d8d8d2", "#b98a6a", "#efece4"))
    cap = pick(rng, ("#6a4632", "#8a3a2c", "#4a5560", "#a8613a", "#3f5a4a"))
    base, neck, tall = rng.uniform(0.3, 0.36), rng.uniform(0.19, 0.24), rng.uniform(1.0, 1.12)
    tip = tall + rng.uniform(0.28, 0.38)
    bottom = [
        (base * math.cos(t), 0.03 + 0.03 * math.sin(t))
        for t in np.linspace(2 * math.pi, math.pi, 9)
    ]
    shaft = sprite.fill(
        "tower",
        [np.array([(neck, tall), *bottom, (-neck, tall)])],
        color=wall,
        volume=0.7,
        grain=0.06,
    )
    stones = []
    for _ in range(16):
        x, y = rng.uniform(-0.26, 0.26), rng.uniform(0.08, tall - 0.1)
        stones.append(np.array([(x, y), (x + 0.06, y)]))
    sprite.stroke("tower", stones, 0.022, color=wall * np.float32(0.84), volume=0, inside=shaft)
    ring = 0.42 * tall
    half = base + (neck - base) * ring / tall
    sprite.stroke(
        "tower",
        [curve([(-half, ring), (0, ring - 0.03), (half, ring)], closed=False)],
        0.03,
        color=mix(wall, rgb("#5a4a40"), 0.55),
        volume=0.2,
        inside=shaft,
    )
    door = curve("-0.08,0 0.08,0 0.08,0.2 0,0.27 -0.08,0.2", steps=3)
    sprite.fill(
        "tower",
        [place(door, (0.0, 0.005), 0, 1.25)],
        color=mix(wall, rgb("#5a4a40"), 0.5),
        volume=0,
    )
    sprite.fill(
        "tower", [door], color=pick(rng, ("#6e3f2a", "#34566b", "#4a5a3a", "#7a2f28")), volume=0.2
    )
    panes = [
        rectangle(x - 0.04, y, x + 0.04, y + 0.1)
        for x, y in ((0.1, 0.56 * tall), (-0.09, 0.7 * tall))
    ]
    sprite.fill(
        "tower",
        [
            rectangle(x - 0.055, y - 0.015, x + 0.055, y + 0.115)
            for x, y in ((0.1, 0.56 * tall), (-0.09, 0.7 * tall))
        ],
        color=rgb("#f4ecd8"),
        volume=0,
    )
    sprite.fill("tower", panes, color=rgb("#39495a"), volume=0)
    dome = rng.random() < 0.5
    eaves = neck + 0.05
    hat = (
        curve(
            [
                (-eaves, tall - 0.01),
                (-0.7 * eaves, tall + 0.62 * (tip - tall)),
                (0, tip),
                (0.7 * eaves, tall + 0.62 * (tip - tall)),
                (eaves, tall - 0.01),
            ],
            closed=False,
        )
        if dome
        else np.array([(-eaves, tall - 0.02), (0.0, tip), (eaves, tall - 0.02)])
    )
    sprite.fill("cap", [hat], color=cap, volume=0.7, grain=0.06)
    sprite.stroke(
        "cap",
        [[(-eaves, tall - 0.01), (eaves, tall - 0.01)]],
        0.04,
        color=cap * np.float32(0.7),
        volume=0.2,
    )
    if extra is not None:
        _mill_sails(sprite, extra, (0.0, tall + 0.06))


def _mill_sails(sprite: Sprite, rng: Generator, hub: tuple[float, float]) -> None:
    wood = pick(rng, ("#5d4028", "#7a5636", "#3f3028"))
    cloth = pick(rng, ("#f5eedc", "#efe0bd", "#e9e9e4", "#d9a07a", "#c9583f"))
    turn, long = rng.uniform(0, math.pi / 2), rng.uniform(0.72, 0.8)
    quarter = [turn + k * math.pi / 2 for k in range(4)]
    panels = [place(rectangle(0.2, 0.015, long, 0.17), hub, angle) for angle in quarter]
    sprite.fill("sails", panels, color=cloth, volume=0.15, grain=0.03)
    laths = []
    for angle in quarter:
        laths += [place([(x, 0.0), (x, 0.175)], hub, angle) for x in np.linspace(0.2, long, 6)]
        laths.append(place([(0.2, 0.175), (long, 0.175)], hub, angle))
        laths.append(place([(0.2, 0.095), (long, 0.095)], hub, angle))
    sprite.stroke("sails", laths, 0.016, color=wood, volume=0)
    spars = [place([(0, 0), (long + 0.02, 0)], hub, angle) for angle in quarter]
    sprite.stroke("sails", spars, 0.045, color=wood, volume=0.5)
    sprite.fill("sails", [oval(*hub, 0.06, 0.06)], color=mix(wood, rgb("#d9b070"), 0.3), volume=0.5)


def _rock(sprite: Sprite, rng: Generator) -> None:
    stone = pick(rng, ("#8d8a84", "#a39a8a", "#6f6a68", "#9a8570"))
    angles = np.linspace(math.pi, 0, 7)
    radii = rng.uniform(0.8, 1.1, 7)
    top = [
        (0.5 * r * math.cos(a), 0.42 * r * math.sin(a)) for a, r in zip(angles, radii, strict=True)
    ]
    rock = sprite.fill(
        "rock", [curve([*top, (0.3, -0.03), (-0.3, -0.03)])], color=stone, volume=0.8, grain=0.12
    )
    facet = [(0.06, 0.36), (0.4, 0.1), (0.25, -0.1), (0.02, 0.05)]
    sprite.fill(
        "rock", [facet], color=stone * np.float32(0.78), volume=0.2, grain=0.12, inside=rock
    )


def _bush(sprite: Sprite, rng: Generator) -> None:
    green = pick(rng, ("#4f7a3a", "#6a8f42", "#3d6648", "#8a9a4a", "#7a6a3a"))
    for shade, lift in ((0.62, 0.0), (0.85, 0.06), (1.1, 0.14)):
        lumps = []
        for _ in range(5):
            x = rng.uniform(-0.3, 0.3) * (1.1 - lift * 2)
            lumps.append(fluffy(oval(x, 0.16 + lift + rng.uniform(0, 0.06), 0.2, 0.17), 9, 0.04))
        sprite.fill("bush", lumps, color=green * np.float32(shade), volume=0.4, grain=0.14)


def _post(sprite: Sprite, rng: Generator) -> None:
    """A post, now and then a striped one: stripes alone make no zebra."""
    wood = pick(rng, ("#7a5a3e", "#8f8478", "#5f4a3a", "#c9b79c"))
    post = sprite.stroke(
        "post",
        [[(0, 0.0), (rng.uniform(-0.04, 0.04), 0.95)]],
        0.12,
        color=wood,
        volume=0.6,
        grain=0.1,
    )
    if rng.random() < 0.4:
        ink = pick(rng, ("#231d1c", "#c23b30", "#34465c"))
        bands = [np.array([(-0.1, y), (0.1, y + 0.05)]) for y in np.linspace(0.08, 0.85, 5)]
        sprite.stroke("post", bands, 0.07, color=ink, inside=post)


def _fence(sprite: Sprite, rng: Generator) -> None:
    wood = pick(rng, ("#8a6a4a", "#b9a890", "#6a5648", "#e6e0d2"))
    rails = [np.array([(-0.7, y), (0.7, y + rng.uniform(-0.03, 0.03))]) for y in (0.16, 0.34)]
    sprite.stroke("fence", rails, 0.055, color=wood * np.float32(0.88), volume=0.4, grain=0.1)
    posts = [np.array([(x, 0.0), (x, 0.46)]) for x in (-0.55, 0.0, 0.55)]
    sprite.stroke("fence", posts, 0.075, color=wood, volume=0.5, grain=0.1)


def _ball(sprite: Sprite, rng: Generator) -> None:
    color = pick(rng, ("#c8452f", "#3f77a8", "#e0b23c", "#efe8da", "#5a8a5c"))
    ball = sprite.fill("ball", [oval(0, 0.25, 0.25, 0.25)], color=color, volume=0.9, gloss=0.5)
    band = [np.array([(-0.3, 0.2 + rng.uniform(-0.1, 0.1)), (0.3, 0.3)])]
    sprite.stroke(
        "ball",
        band,
        0.13,
        color=pick(rng, ("#f7f1e1", "#34465c", "#d9a441")),
        volume=0.6,
        inside=ball,
    )


def _crate(sprite: Sprite, rng: Generator) -> None:
    wood = pick(rng, ("#b58a5a", "#9a7046", "#c9a876"))
    sprite.fill(
        "crate",
        [np.array([(0.22, 0), (0.38, 0.06), (0.38, 0.46), (0.22, 0.44)])],
        color=wood * np.float32(0.66),
        volume=0,
    )
    sprite.fill("crate", [rectangle(-0.3, 0, 0.23, 0.44)], color=wood, volume=0.15, grain=0.1)
    boards = [np.array([(-0.3, y), (0.23, y)]) for y in (0.11, 0.22, 0.33)]
    sprite.stroke("crate", boards, 0.014, color=wood * np.float32(0.6), volume=0)
    sprite.stroke(
        "crate", [[(-0.28, 0.02), (0.21, 0.42)]], 0.06, color=wood * np.float32(1.08), volume=0.2
    )


def _tuft(sprite: Sprite, rng: Generator) -> None:
    green = pick(rng, ("#5f8a3a", "#8a9a4a", "#3f6a3a", "#b5a45a", "#7a8f6a"))
    for shade in (0.7, 1.0, 1.2):
        blades = []
        for _ in range(7):
            x, lean, high = rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), rng.uniform(0.25, 0.5)
            blades.append(
                curve(
                    [(x, -0.02), (x + 0.3 * lean, 0.6 * high), (x + lean, high)],
                    closed=False,
                    steps=4,
                )
            )
        sprite.stroke("tuft", blades, (0.045, 0.012), color=green * np.float32(shade), volume=0)


def _pennant(sprite: Sprite, rng: Generator) -> None:
    """A little tent of cloth: a triangle alone makes no sail."""
    cloth = pick(rng, ("#e8d9b8", "#c9603f", "#6f93ad", "#d9a441"))
    sprite.fill(
        "tent",
        [np.array([(0.1, 0.52), (0.45, 0.0), (0.2, -0.01)])],
        color=cloth * np.float32(0.65),
        volume=0,
    )
    sprite.fill(
        "tent", [np.array([(0.1, 0.52), (-0.4, 0.0), (0.2, -0.02)])], color=cloth, volume=0.3
    )
    sprite.fill(
        "tent",
        [np.array([(0.09, 0.4), (-0.1, 0.0), (0.04, -0.01)])],
        color=cloth * np.float32(0.42),
        volume=0,
    )


@dataclass(frozen=True)
class Pair:
    """A plain thing and its special sister. `reach`: the box that holds both, in local units.

    `area`: of the plain one in square units, roughly; it sets how large the pair is drawn.
    """

    plain: str
    special: str
    telling: str
    draw: Callable[[Sprite, Generator, Generator | None], None]
    reach: tuple[float, float, float, float]
    area: float


THINGS = (
    Pair("sheep", "ram", "horns", _sheep, (-0.6, 0.0, 0.76, 1.1), 0.5),
    Pair("horse", "zebra", "stripes", _horse, (-0.74, 0.0, 1.05, 1.62), 0.7),
    Pair("slug", "snail", "shell", _slug, (-0.76, -0.02, 0.86, 0.98), 0.4),
    Pair("rowing boat", "sailing boat", "sail", _boat, (-0.78, -0.02, 0.82, 1.74), 0.6),
    Pair("lorry", "fire engine", "ladder", _lorry, (-0.84, 0.0, 0.82, 1.4), 0.9),
    Pair("house", "church", "steeple", _house, (-0.72, 0.0, 0.8, 1.94), 0.9),
    Pair("bucket", "watering can", "spout", _bucket, (-0.46, 0.0, 1.14, 1.22), 0.5),
    Pair("tower", "windmill", "sails", _tower, (-0.86, 0.0, 0.86, 2.0), 0.65),
)

CLUTTER: tuple[
    tuple[Callable[[Sprite, Generator], None], tuple[float, float, float, float]], ...
] = (
    (_rock, (-0.58, -0.05, 0.58, 0.5)),
    (_bush, (-0.6, -0.05, 0.6, 0.62)),
    (_post, (-0.16, -0.06, 0.16, 1.05)),
    (_fence, (-0.76, 0.0, 0.76, 0.52)),
    (_ball, (-0.28, 0.0, 0.28, 0.52)),
    (_crate, (-0.34, 0.0, 0.42, 0.5)),
    (_tuft, (-0.45, -0.05, 0.45, 0.55)),
    (_pennant, (-0.45, -0.04, 0.5, 0.56)),
)
