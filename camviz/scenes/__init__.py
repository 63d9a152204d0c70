"""Pictures drawn by rule, in which the truth is known to the pixel.

    for scene in draw_scenes(16, seed=0):
        scene.image                     # uint8 (224, 224, 3), RGB
        scene.labels                    # ("ram",)
        scene.mask("ram")               # bool (224, 224), the visible pixels of the ram
        scene.objects[0].parts["horns"] # bool (224, 224), those of its horns

The classes come in pairs that share a body and differ in one *telling part*: a ram is a sheep with
horns. Both members of a pair are drawn by the same function, from the same random numbers, in the
same place; the part is drawn from numbers of its own. So `draw_scene(seed, i, label="sheep")` and
`draw_scene(seed, i, label="ram")` are one picture without and with horns. Any other part can be
left out, too: `draw_scene(seed, i, without={"ram": ["legs"]})` is what the picture would be had the
ram no legs, its shadow included. It is the situation in
which a class activation map shows the part, and the question is whether it shows the whole.

Independent of the class: background, place, scale, pose, colour, light, clutter. Room is kept for
the part whether or not it is there, so that neither place nor scale gives the answer away.

To add a pair: one function `_thing(sprite, rng, extra)` that draws the plain thing, and the part
when `extra` (random numbers for the part) is given, and one row in `THINGS`, both in `things`.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from camviz.scenes.backdrops import AMBIENT, BACKDROPS
from camviz.scenes.drawing import TILE, Color, Light, Sprite, mix, rgb
from camviz.scenes.things import CLUTTER, THINGS

SCENE_CLASSES: tuple[str, ...] = tuple(name for row in THINGS for name in (row.plain, row.special))
"""Class names; the position is the class index. Even: plain, odd: its special sister."""

PAIRS: tuple[tuple[str, str, str], ...] = tuple((p.plain, p.special, p.telling) for p in THINGS)
"""(plain, special, telling part)"""

HELD_OUT_BACKGROUNDS: tuple[str, ...] = ("desert", "dusk", "square")
"""Never trained on: other textures and other colours."""

TRAIN_BACKGROUNDS: tuple[str, ...] = tuple(b for b in BACKDROPS if b not in HELD_OUT_BACKGROUNDS)

MOST_HIDDEN = 0.4  # of a thing's pixels, by what stands in front
LEAST_TELLING = 0.003  # of the picture's pixels: the telling part that must stay visible
SMALLEST, LARGEST = 48, 1024  # sizes of a picture


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One thing in a scene. All masks are bool (H, W), of *visible* pixels, and read-only.

    mask: pixels of which the thing covers at least half, less those that something in front covers.
    parts: the same for each named part. They are disjoint and their union is `mask`.
    telling: the part that makes it this class rather than its plain sister, None for the sister.
    box: half-open xyxy in pixels, tight around `mask`.
    """

    label: str
    index: int
    mask: np.ndarray
    parts: dict[str, np.ndarray]
    telling: str | None
    box: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and its truth. `image` is uint8 (H, W, 3), RGB, read-only.

    shadow: bool (H, W), where a thing darkens what lies around it (before anything is painted over
    it). A shadow is evidence of the thing too, and belongs to no mask.
    """

    image: np.ndarray
    objects: tuple[SceneObject, ...]
    background: str
    seed: int
    index: int
    shadow: np.ndarray

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(thing.label for thing in self.objects)

    def mask(self, label: str) -> np.ndarray:
        """The visible pixels of the thing called `label`; none if the scene does not hold it."""
        for thing in self.objects:
            if thing.label == label:
                return thing.mask
        return _read_only(np.zeros(self.image.shape[:2], bool))


def draw_scenes(
    count: int,
    seed: int,
    size: int = 224,
    *,
    backgrounds: Sequence[str] | None = None,
    two_objects: float = 0.2,
) -> list[Scene]:
    """`count` scenes; the i-th is `draw_scene(seed, i, ...)`.

    Every run of `len(SCENE_CLASSES)` scenes that starts at a multiple of it shows each class once,
    and every class meets each background equally often. `backgrounds`: TRAIN_BACKGROUNDS if None.
    """
    _check(count=count, seed=seed, index=0, size=size, two_objects=two_objects)
    _families(backgrounds)
    return [
        draw_scene(seed, index, size=size, backgrounds=backgrounds, two_objects=two_objects)
        for index in range(count)
    ]


def draw_scene(
    seed: int,
    index: int,
    *,
    size: int = 224,
    backgrounds: Sequence[str] | None = None,
    two_objects: float = 0.2,
    label: str | None = None,
    objects: bool = True,
    without: Mapping[str, Collection[str]] | None = None,
) -> Scene:
    """Scene `index` of `seed`, alone.

    two_objects: share of scenes with a second thing of another class, which may hide some of it.
    label: draw this class instead of the one whose turn it is; all else stays the same.
    objects=False: the same picture before the things and their shadows were painted in.
    without: parts that are not drawn, by the thing's class: what they hid is seen, what is painted
    on them (stripes on a hide) and their shadow are gone. Nothing is moved. A thing must keep a
    part. Raises `ValueError` for what is not there.
    """
    _check(count=0, seed=seed, index=index, size=size, two_objects=two_objects)
    plan = _plan(seed, index, size, _families(backgrounds), two_objects, label)
    for name, parts in (without or {}).items():
        _leave_out(plan.order, name, parts)
    picture = plan.backdrop
    shown = [item for item in plan.order if objects or item.index is None]
    shadow = np.zeros((size, size), bool)
    for item in shown:
        dark = _cast_shadow(item, plan.light, size)
        picture *= 1 - dark[..., None] * np.array((0.5, 0.46, 0.38), np.float32)
        if item.index is not None:
            shadow |= dark > 0
    for item in shown:
        _lay(picture, item)
    return Scene(
        image=_read_only(plan.grade(picture)),
        objects=_truth(plan.order, size) if objects else (),
        background=plan.background,
        seed=seed,
        index=index,
        shadow=_read_only(shadow),
    )


def _leave_out(order: "list[_Item]", label: str, parts: Collection[str]) -> None:
    """Draw the thing of a class again where it stands, without some of its parts."""
    names = {SCENE_CLASSES[item.index]: item for item in order if item.index is not None}
    if label not in names:
        raise ValueError(f"the scene holds no {label!r}; it holds {', '.join(names)}")
    item = names[label]
    parts = (parts,) if isinstance(parts, str) else parts
    for part in parts:
        if part not in item.sprite.parts:
            raise ValueError(f"a {label} has no {part!r}; it has {', '.join(item.sprite.parts)}")
    if set(parts) >= set(item.sprite.parts):
        raise ValueError(f"nothing would be left of the {label}; objects=False draws none")
    item.sprite = item.draw_without(parts)


def _check(count: int, seed: int, index: int, size: int, two_objects: float) -> None:
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must not be negative, got {seed} and {index}")
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size must be {SMALLEST} to {LARGEST} pixels, got {size}")
    if not 0 <= two_objects <= 1:
        raise ValueError(f"two_objects is a share of scenes, 0 to 1, got {two_objects}")


def _families(backgrounds: Sequence[str] | None) -> tuple[str, ...]:
    names = TRAIN_BACKGROUNDS if backgrounds is None else tuple(backgrounds)
    if not names:
        raise ValueError("no backgrounds given; TRAIN_BACKGROUNDS and HELD_OUT_BACKGROUNDS are two")
    for name in names:
        if name not in BACKDROPS:
            raise ValueError(f"unknown background {name!r}; there are {', '.join(BACKDROPS)}")
    return names


@dataclass(frozen=True)
class _Plan:
    """All that makes a scene, before it is put together; `order` is from back to front."""

    background: str
    backdrop: np.ndarray
    light: Light
    grade: Callable[[np.ndarray], np.ndarray]
    order: "list[_Item]"


def _plan(
    seed: int,
    index: int,
    size: int,
    backgrounds: tuple[str, ...],
    two_objects: float,
    label: str | None,
) -> _Plan:
    turn, background = _schedule(seed, index, backgrounds)
    if label is None:
        first = turn
    elif label in SCENE_CLASSES:
        first = SCENE_CLASSES.index(label)
    else:
        raise ValueError(f"unknown class {label!r}; there are {', '.join(SCENE_CLASSES)}")

    # One stream of random numbers per concern: drawing from one never shifts another.
    streams = (np.random.default_rng([seed, index, concern]) for concern in range(1, 6))
    for_light, for_backdrop, for_things, for_clutter, for_second = streams
    light, grade = _draw_light(for_light)
    backdrop, horizon = BACKDROPS[background](for_backdrop, size)

    classes = [first]
    if for_second.random() < two_objects:
        # counted from the class whose turn it is: `label` must not change the companion
        other = (turn + 1 + int(for_second.integers(len(SCENE_CLASSES) - 1))) % len(SCENE_CLASSES)
        classes.append(other if other != first else turn)
    stage = _Stage(size, light, horizon, rgb(AMBIENT.get(background, "#ffffff")))
    things = _place_things(stage, classes, for_things, [seed, index])
    clutter = _place_clutter(stage, things, for_clutter)
    order = sorted(things + clutter, key=lambda item: item.depth)
    return _Plan(background, backdrop, light, grade, order)


def _schedule(seed: int, index: int, backgrounds: tuple[str, ...]) -> tuple[int, str]:
    """Class and background of a scene: a Latin square, shuffled anew for every seed.

    In each block of as many scenes as classes every class has one turn. Over as many blocks as
    backgrounds every class stands once before each background.
    """
    block, position = divmod(index, len(SCENE_CLASSES))
    turn = int(np.random.default_rng([seed, block, 11]).permutation(len(SCENE_CLASSES))[position])
    cycle, step = divmod(block, len(backgrounds))
    rng = np.random.default_rng([seed, cycle, 12])
    shift = rng.integers(len(backgrounds), size=len(SCENE_CLASSES))
    names = rng.permutation(len(backgrounds))
    return turn, backgrounds[names[(step + shift[turn]) % len(backgrounds)]]


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


def _draw_light(rng: Generator) -> tuple[Light, Callable[[np.ndarray], np.ndarray]]:
    """Light for the things, and the grading that gives the whole picture its hour and weather."""
    x = rng.uniform(-0.85, 0.85)
    warm = rng.uniform(-0.6, 1.0)
    light = Light(x, math.sqrt(1 - x * x), (1.0 + 0.1 * warm, 1.0, 1.0 - 0.16 * warm))
    color = np.array((1 + 0.07 * warm, 1 + 0.01 * warm, 1 - 0.09 * warm), np.float32)
    color *= rng.uniform(0.87, 1.09)
    haze = max(0.0, rng.uniform(-0.12, 0.15))
    veil = np.float32(haze) * mix(rgb("#cfd8e0"), rgb("#f3dcbc"), max(0.0, warm))

    def grade(picture: np.ndarray) -> np.ndarray:
        shown = picture * (color * (1 - haze)) + veil
        return (np.clip(shown, 0, 1) * 255 + 0.5).astype(np.uint8)

    return light, grade


@dataclass(frozen=True)
class _Stage:
    """The surroundings of everything placed: picture size, light, where the ground begins.

    `ambient`: what the surroundings leave of each channel, so that a thing belongs where it stands.
    """

    size: int
    light: Light
    horizon: float
    ambient: Color


@dataclass
class _Item:
    """A sprite and where it stands: `x`, `y` its corner in the picture, `depth` its ground line."""

    sprite: Sprite
    x: int
    y: int
    depth: float
    index: int | None  # of the class; None for clutter
    draw_without: "Callable[[Collection[str]], Sprite]"  # the same sprite without some parts
    window: tuple[slice, slice] = field(init=False)  # what of the picture it covers
    crop: tuple[slice, slice] = field(init=False)  # which pixels of the sprite that shows

    def move_to(self, size: int, x: int, y: int) -> None:
        height, width = self.sprite.alpha.shape
        self.x, self.y = x, y
        x0, x1 = min(max(0, x), size), max(0, min(size, x + width))
        y0, y1 = min(max(0, y), size), max(0, min(size, y + height))
        x1, y1 = max(x0, x1), max(y0, y1)
        self.window = slice(y0, y1), slice(x0, x1)
        self.crop = slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)

    @property
    def owner(self) -> np.ndarray:
        return self.sprite.owner[self.crop]


def _set(
    stage: _Stage,
    draw: "Callable[[Collection[str]], Sprite]",
    x: float,
    y: float,
    index: int | None,
) -> _Item:
    """Put the foot of a sprite at (x, y), in shares of the picture; draw: without some parts."""
    sprite = draw(())
    item = _Item(sprite, 0, 0, y, index, draw)
    left, top = x * stage.size - sprite.foot[0], y * stage.size - sprite.foot[1]
    item.move_to(stage.size, round(left), round(top))
    return item


def _place_things(stage: _Stage, classes: list[int], rng: Generator, key: list[int]) -> list[_Item]:
    """Scale, pose and place of the one or two things, so that their reach lies in the picture."""
    several = len(classes) > 1
    middle = rng.uniform(0.26, 0.34) if several else 0.5
    swap = rng.random() < 0.5
    items: list[_Item] = []
    for order, index in enumerate(classes):
        pair = THINGS[index // 2]
        mirror, angle = bool(rng.random() < 0.5), float(rng.normal(0, 0.035))
        x0, y0, x1, y1 = pair.reach
        tilted = abs(math.sin(angle))
        width = (x1 - x0) + tilted * (y1 - y0)
        height = y1 + tilted * max(-x0, x1)
        room = 0.52 if several else 0.97
        largest = min(room / width, 0.9 / height, math.sqrt((0.12 if several else 0.3) / pair.area))
        smallest = min(math.sqrt(0.05 / pair.area), largest)
        # even in length, not in area: large things are not rarer than small ones
        unit = smallest + (largest - smallest) * rng.random()
        lowest = 0.975 - tilted * max(-x0, x1) * unit + y0 * unit
        highest = max(stage.horizon + 0.05, height * unit + 0.015)
        y = rng.uniform(min(highest, lowest), lowest)
        if several:
            side = middle if (order == 0) != swap else 1 - middle
            x = side + rng.normal(0, 0.05)
        else:
            x = rng.random()
        left = (x1 if mirror else -x0) + tilted * y1
        right = (-x0 if mirror else x1) + tilted * y1
        margin = 0.012
        low, high = left * unit + margin, 1 - right * unit - margin
        x = min(max(x, low), max(low, high)) if several else low + x * max(0.0, high - low)

        draw = partial(
            _draw_thing,
            stage,
            index,
            [[*key, 20 + order], [*key, 30 + order]],
            unit=unit * stage.size,
            mirror=mirror,
            angle=angle,
            grain_at=int(rng.integers(TILE * TILE)),
        )
        items.append(_set(stage, draw, x, y, index))
    if several:
        _part(items, stage.size)
    return items


def _draw_thing(
    stage: _Stage, index: int, keys: list[list[int]], without: Collection[str], **how: Any
) -> Sprite:
    """The thing of a class; keys: of the random numbers for its body and for its telling part."""
    pair = THINGS[index // 2]
    sprite = Sprite(pair.reach, light=stage.light, without=without, **how)
    body, extra = (np.random.default_rng(key) for key in keys)
    pair.draw(sprite, body, extra if index % 2 else None)
    sprite.settle(stage.ambient)
    return sprite


def _part(items: list[_Item], size: int) -> None:
    """Move two things apart, a little at a time, until neither hides too much of the other."""
    back, front = sorted(items, key=lambda item: item.depth)
    left, right = sorted(items, key=lambda item: item.x)
    while not _tolerable(back, [front], size):
        step = max(1, size // 32)
        left_x = max(0, left.x - step)
        right_x = min(size - right.sprite.alpha.shape[1], right.x + step)
        if (left_x, right_x) == (left.x, right.x):
            break  # both at the edge: as far apart as can be
        left.move_to(size, left_x, left.y)
        right.move_to(size, right_x, right.y)


def _tolerable(thing: _Item, before: list[_Item], size: int) -> bool:
    """Whether `thing` may stand behind these: most of it and half its telling part stay visible.

    Of the telling part at least 0.3 % of the picture.
    """
    visible = thing.owner >= 0
    total = np.count_nonzero(visible)
    hidden = np.zeros((size, size), bool)
    for item in before:
        hidden[item.window] |= item.owner >= 0
    visible &= ~hidden[thing.window]
    if np.count_nonzero(visible) < (1 - MOST_HIDDEN) * total:
        return False
    for name in _telling_names(thing):
        part = thing.owner == thing.sprite.parts.index(name)
        left = np.count_nonzero(part & visible)
        if left < 0.5 * np.count_nonzero(part) or left < LEAST_TELLING * size * size:
            return False
    return True


def _telling_names(thing: _Item) -> list[str]:
    if thing.index is None or thing.index % 2 == 0:
        return []
    return [THINGS[thing.index // 2].telling]


def _place_clutter(stage: _Stage, things: list[_Item], rng: Generator) -> list[_Item]:
    """Things without a name: behind, beside and, in a third of the pictures, before the named ones.

    One that would hide too much is left out.
    """
    plans = []
    for _ in range(rng.integers(0, 4)):
        plans.append(
            (rng.random(), rng.uniform(stage.horizon + 0.03, 0.98), rng.uniform(0.1, 0.22))
        )
    if rng.random() < 0.35:
        target = things[int(rng.integers(len(things)))]
        cols = target.window[1]
        x = rng.uniform(cols.start, cols.stop) / stage.size
        y = min(1.04, target.depth + rng.uniform(0.01, 0.07))
        plans.append((x, y, rng.uniform(0.16, 0.3)))
    items: list[_Item] = []
    for x, y, scale in plans:
        draw, reach = CLUTTER[int(rng.integers(len(CLUTTER)))]
        sprite = Sprite(
            reach,
            scale * (0.6 + 0.6 * y) * stage.size,
            light=stage.light,
            mirror=bool(rng.random() < 0.5),
            angle=float(rng.normal(0, 0.05)),
            grain_at=int(rng.integers(TILE * TILE)),
        )
        draw(sprite, np.random.default_rng(rng.integers(1 << 62)))
        sprite.settle(stage.ambient)
        item = _set(stage, partial(_whole, sprite), x, y, None)
        if all(
            item.depth < thing.depth
            or _tolerable(
                thing,
                [other for other in [*things, *items, item] if other.depth > thing.depth],
                stage.size,
            )
            for thing in things
        ):
            items.append(item)
    return items


def _whole(sprite: Sprite, without: Collection[str]) -> Sprite:
    """What has no named parts is always drawn whole."""
    return sprite


def _cast_shadow(item: _Item, light: Light, size: int) -> np.ndarray:
    """How dark the ground gets, float32 (size, size) in [0, 1]: the sprite, laid down."""
    foot_x, foot_y = item.x + item.sprite.foot[0], item.y + item.sprite.foot[1]
    lean, flat = 0.75 * light.x / max(light.y, 0.5), 0.2
    local_x, local_y = item.sprite.foot
    # sprite (x, y) -> picture: heights lie down, away from the light and a little to the back
    matrix = np.array(
        [[1, lean, foot_x - local_x - lean * local_y], [0, flat, foot_y - flat * local_y]]
    )
    dark = cv2.warpAffine(item.sprite.alpha, matrix, (size, size))
    soft = max(3, round(item.sprite.unit * 0.05)) | 1
    return cv2.blur(dark, (soft, soft))


def _lay(picture: np.ndarray, item: _Item) -> None:
    below = picture[item.window]
    below *= 1 - item.sprite.alpha[item.crop][..., None]
    below += item.sprite.color[item.crop]


def _truth(order: list[_Item], size: int) -> tuple[SceneObject, ...]:
    """Masks of what is left to see of each thing; `order` is from back to front."""
    objects = []
    hidden = np.zeros((size, size), bool)
    for item in reversed(order):
        solid = item.owner >= 0
        if item.index is not None:
            owner = np.full((size, size), -1, np.int8)
            owner[item.window] = np.where(hidden[item.window], -1, item.owner)
            mask = owner >= 0
            rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
            telling = THINGS[item.index // 2].telling if item.index % 2 else None
            objects.append(
                SceneObject(
                    label=SCENE_CLASSES[item.index],
                    index=item.index,
                    mask=_read_only(mask),
                    parts={
                        name: _read_only(owner == number)
                        for number, name in enumerate(item.sprite.parts)
                    },
                    telling=telling if telling in item.sprite.parts else None,
                    box=(int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1),
                )
            )
        hidden[item.window] |= solid
    return tuple(objects[::-1])
