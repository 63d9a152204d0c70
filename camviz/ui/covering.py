"""A picture with part of it covered: what is covered, what the network says then, what follows.

    found = covered(controls, x)         # before and after, and the scene drawn without it
    found.conclusion.sentences           # what to conclude, in words
    glance(controls, covering)           # the probabilities alone, while the brush moves

Nothing here imports gradio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from PIL import Image

from camviz.engine.covering import cover_picture
from camviz.engine.explanation import Explanation
from camviz.errors import ImageError, MethodError
from camviz.examples import Example, example
from camviz.images import Picture, open_picture
from camviz.maps.cover import COVERS, check_mask, grown
from camviz.maps.localization import hottest
from camviz.maps.runs import read_mask, resize_mask, write_mask
from camviz.network.outputs import ranked
from camviz.scenes import draw_scene
from camviz.ui import html, links, service
from camviz.ui.compute import engine
from camviz.ui.state import Controls, Covering

RASTER = 224  # pixels of the longer side of a painted mask
GLANCED_AT = 320  # the same of the picture that is scored while the brush moves
EDGE = 1 / 192  # of the longer side: how far around a part its edge shows
ROWS = 3  # classes that are best before, and as many that are best after
MATTERS = 0.05  # of a probability: what changes less did hardly count
MOSTLY = 0.5  # of the picture: from here on the question is whether the rest is enough
BACKGROUND = (3, 5)  # seed and index of the scene whose background is laid over


# -- What is covered -----------------------------------------------------------------------------


def raster_of(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the raster on which a picture of this size is painted."""
    scale = min(1.0, RASTER / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def drawn_example(digest: str) -> Example | None:
    """The drawn example whose pixels have this digest, if there is one."""
    name = links.example_of(digest)
    found = None if name is None else example(name)
    return None if found is None or found.scene is None else found


def parts_of(picture: Picture) -> dict[str, np.ndarray]:
    """ "ram/horns" -> bool (H, W), of what is seen of the parts of a drawn scene."""
    return _parts_of(picture.digest)


@lru_cache(maxsize=16)
def _parts_of(digest: str) -> dict[str, np.ndarray]:
    drawn = drawn_example(digest)
    return {
        f"{thing.label}/{name}": mask
        for thing in (drawn.truth if drawn else ())
        for name, mask in thing.parts.items()
        if mask.any()
    }


def names_of(part: str) -> tuple[str, str]:
    """The thing and the part of "ram/horns"."""
    thing, _, name = part.partition("/")
    return thing, name


def check_covering(covering: Covering) -> Covering:
    """What a browser sent, or `MethodError` if it is nothing that can be covered."""
    if covering.kind not in COVERS:
        raise MethodError(f"no cover is called {covering.kind!r}; covers: {', '.join(COVERS)}")
    if covering.hottest is not None and not 1 <= covering.hottest <= 99:
        raise MethodError("the hottest part is 1 to 99 per cent of the picture")
    if covering.painted:
        try:
            read_mask(covering.painted)
        except ValueError as error:
            raise MethodError(f"what was painted cannot be read: {error}") from None
    return covering


def painted_mask(covering: Covering, height: int, width: int) -> np.ndarray:
    """What was painted, on a picture of this size."""
    if not covering.painted:
        return np.zeros((height, width), bool)
    return resize_mask(read_mask(covering.painted), height, width)


def own_mask(covering: Covering, x: Explanation) -> np.ndarray:
    """What was painted, and what is taken from the map: bool, of the picture's size."""
    mask = painted_mask(covering, x.picture.height, x.picture.width)
    if covering.hottest is not None:
        taken = hottest(x.fused, covering.hottest / 100)
        mask = mask | (~taken if covering.others and taken.any() else taken)
    return mask


def taken_out(covering: Covering, picture: Picture) -> np.ndarray:
    """The parts that are taken out, with their soft edges, where nothing else of it is covered."""
    parts = parts_of(picture)
    mask = np.zeros((picture.height, picture.width), bool)
    for name in covering.parts:
        if name in parts:
            mask |= parts[name]
    reach = round(EDGE * max(mask.shape))
    return grown(mask, reach) if mask.any() else mask


def mask_of(covering: Covering, x: Explanation) -> np.ndarray:
    """Everything that is covered, bool (H, W) of the picture."""
    return own_mask(covering, x) | taken_out(covering, x.picture)


def raster_text(mask: np.ndarray) -> str:
    """A mask of the picture's size on the raster of what is painted, as text; "" for nothing."""
    if not mask.any():
        return ""
    return write_mask(resize_mask(mask, *raster_of(*mask.shape)))


@lru_cache(maxsize=1)
def background() -> Picture:
    """A drawn place without any thing in it, for the cover of that name."""
    seed, index = BACKGROUND
    return open_picture(draw_scene(seed, index, size=384, objects=False).image)


def _background_for(kind: str) -> Picture | None:
    return background() if kind == "background" else None


# -- What the network says then ------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """A class before and after: probabilities, or values."""

    label: str
    before: float
    after: float
    explained: bool

    @property
    def arrow(self) -> str:
        """Which way it went, as far as people would say that it did."""
        before, after = html.percent(self.before), html.percent(self.after)
        return "→" if before == after else "↗" if self.after > self.before else "↘"

    def to_json(self) -> dict[str, object]:
        return {
            "label": self.label,
            "before": float(html.bar(self.before)),
            "after": float(html.bar(self.after)),
            "explained": self.explained,
            "arrow": self.arrow,
            "texts": [html.percent(self.before), html.percent(self.after)],
        }


Ranked = Sequence[tuple[int, str, float]]


def bars_of(before: Ranked, after: Ranked, target: int | None) -> tuple[Bar, ...]:
    """The best classes before and after, and the one explained, in their order before."""
    then = {index: share for index, _, share in after}
    best = {index for index, *_ in (*before[:ROWS], *after[:ROWS])} | {target}
    return tuple(
        Bar(label, share, then[index], index == target)
        for index, label, share in before
        if index in best
    )


@dataclass(frozen=True)
class Covered:
    """A picture before and after part of it was covered.

    mask: bool (H, W), what is covered. real: the explanation of the scene drawn without the parts
    that were taken out; None where nobody can draw it, or where something else is covered, too.
    """

    covering: Covering
    before: Explanation
    after: Explanation
    mask: np.ndarray
    real: Explanation | None

    @cached_property
    def bars(self) -> tuple[Bar, ...]:
        return bars_of(self.before.predictions, self.after.predictions, self.before.target)

    @property
    def share(self) -> float:
        """How much of the picture is covered."""
        return float(self.mask.mean())

    @property
    def logits(self) -> tuple[float, float] | None:
        """The target's logit before and after; None of a network without classes."""
        target = self.before.target
        if target is None:
            return None
        return float(self.before.logits[target]), float(self.after.logits[target])

    @cached_property
    def conclusion(self) -> "Conclusion":
        return conclude(self)


def covered(controls: Controls, x: Explanation) -> Covered | None:
    """What becomes of an explanation once what the controls cover is covered; None for nothing."""
    covering = controls.cover
    mask = mask_of(covering, x)
    if not mask.any():
        return None
    after = engine().cover(x, mask, covering.kind, _background_for(covering.kind))
    return Covered(covering, x, after, mask, counterfactual(covering, x))


def counterfactual(covering: Covering, x: Explanation) -> Explanation | None:
    """The explanation of the same scene drawn without the parts that were taken out."""
    drawn = drawn_example(x.picture.digest)
    known = [name for name in covering.parts if name in parts_of(x.picture)]
    if drawn is None or not known or covering.painted or covering.hottest is not None:
        return None
    parts: dict[str, list[str]] = {}
    for thing, part in map(names_of, known):
        parts.setdefault(thing, []).append(part)
    try:
        real = drawn.without(parts)
    except ImageError:  # nothing would be left of one thing, and another stays
        return None
    return engine().explain(real, x.backbone, target=x.target, **x.options)


def glance(controls: Controls, covering: Covering) -> tuple[tuple[Bar, ...], float | None]:
    """(bars, the target's logit) of the covered picture, from one pass of which nothing is kept.

    What is painted stands for what was taken from the map, too. The picture is at most `GLANCED_AT`
    pixels long, so that figures may differ from the final ones in their last digits.
    """
    if controls.picture is None:
        return (), None
    backbone = service.load(controls.backbone)
    if not backbone.has_classes:
        return (), None
    fit = controls.options.fit
    picture = _small(controls.picture)
    size = (picture.height, picture.width)
    mask = painted_mask(covering, *size)
    whole = service.picture_at(controls.picture)
    mask = mask | resize_mask(taken_out(covering, whole), *size)
    check_mask(mask, size)
    shown = cover_picture(picture, mask, covering.kind, _background_for(covering.kind))
    logits = engine().logits([shown], backbone, fit)[0]
    before = engine().predict(whole, backbone, fit=fit)
    target = backbone.target(controls.target) if controls.target else before[0][0]
    after = ranked(logits, backbone.labels, backbone.output)
    return bars_of(before, after, target), float(logits[target])


@lru_cache(maxsize=8)
def _small(path: str) -> Picture:
    """A picture at the size at which it is scored while the brush moves."""
    picture = service.picture_at(path)
    if max(picture.height, picture.width) <= GLANCED_AT or picture.channels is not None:
        return picture
    image = Image.fromarray(picture.pixels)
    image.thumbnail((GLANCED_AT, GLANCED_AT), reducing_gap=2.0)
    return open_picture(np.asarray(image))


# -- What follows --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Conclusion:
    """What to conclude: one sentence that matters, and those that qualify it.

    logit: how far the explained class's fell or rose, which the page says beside its bars; "" where
    there is none.
    """

    headline: str
    logit: str
    details: tuple[str, ...]


CAUTION = (
    "The network was trained on no picture like this, so part of the change may come from the "
    "cover itself. Try other covers: what holds under all of them can be believed."
)


def conclude(found: Covered) -> Conclusion:
    """What the figures of a covered picture say, in sentences."""
    return Conclusion(_headline(found), _logit(found), _details(found))


def _headline(found: Covered) -> str:
    x, y = found.before, found.after
    if x.target is None:
        return _alike(x, y)
    share = {index: p for index, _, p in x.predictions}[x.target]
    now = {index: p for index, _, p in y.predictions}[x.target]
    if x.backbone.output == "value":
        way = "raises" if now < share else "lowers"
        if html.percent(now) == html.percent(share):
            return f"{x.label} stays at {html.percent(now)}: {_what(found)} hardly counts."
        return (
            f"{x.label} goes from {html.percent(share)} to {html.percent(now)}: "
            f"{_what(found)} {way} it."
        )
    what, were = _what(found), "were" if _several(found) else "was"
    first, top, p = y.predictions[0]
    if x.target != x.predictions[0][0]:
        went = f"{x.label} goes from {html.percent(share)} to {html.percent(now)}"
        if abs(now - share) < MATTERS:
            return f"{went}: {what} hardly counted for it."
        return f"{went}: {what} spoke {'for' if now < share else 'against'} it."
    barely = f"It still says {x.label}, but less than half as surely, {html.percent(now)}"
    if found.share > MOSTLY:
        if first == x.target and now < share / 2:
            return f"{barely}: what is left is not all that counts."
        if first == x.target:
            return f"It still says {x.label}, {html.percent(now)}: what is left is enough."
        return (
            f"From what is left it says {top}, {html.percent(p)}: that is not enough for {x.label}."
        )
    if first != x.target:
        return (
            f"Without {what} it says {top}, {html.percent(p)}: for {x.label}, {what} {were} needed."
        )
    if now > share + MATTERS:
        return f"It says {x.label} more surely, {html.percent(now)}: {what} spoke against it."
    if now > share - MATTERS:
        return f"It still says {x.label}, {html.percent(now)}: {what} {were} not needed."
    if now < share / 2:
        return f"{barely}: {what} counted much."
    return f"It still says {x.label}, {html.percent(now)}: {what} counted, and the rest is enough."


def _alike(x: Explanation, y: Explanation) -> str:
    """Of a network without classes: how alike its features are before and after."""
    one, other = x.logits.astype(np.float64), y.logits.astype(np.float64)
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    cosine = float(one @ other) / size if size else 0.0
    return (
        f"This network knows no classes, so no probability can change. Its features before and "
        f"after are alike by {cosine:.2f} (cosine; 1 is the same)."
    )


def _what(found: Covered) -> str:
    """What is covered, in words."""
    names = [names_of(name)[1] for name in _known_parts(found)]
    if not names or found.covering.painted or found.covering.hottest is not None:
        return "what is covered"
    *others, last = dict.fromkeys(names)
    return f"the {', '.join(others)} and {last}" if others else f"the {last}"


def _known_parts(found: Covered) -> list[str]:
    known: Mapping[str, np.ndarray] = parts_of(found.before.picture)
    return [name for name in found.covering.parts if name in known]


def _several(found: Covered) -> bool:
    """Whether what is covered takes a plural."""
    what = _what(found)
    return what != "what is covered" and (" and " in what or what.endswith("s"))


def _details(found: Covered) -> tuple[str, ...]:
    covers = f"{found.share:.1%} of the picture is covered."
    return tuple(filter(None, (covers, _reality(found))))


def _logit(found: Covered) -> str:
    pair = found.logits
    if pair is None or found.before.backbone.output == "value":
        return ""
    change = html.number(pair[1] - pair[0], "+.2f")
    texts = [html.number(value, ".2f") for value in pair]
    label = found.before.label
    return f"The logit of {label} goes from {texts[0]} to {texts[1]} ({change})."


def _reality(found: Covered) -> str:
    """Whether the scene drawn without the parts tells the same."""
    z, y = found.real, found.after
    if z is None or z.target is None or z.backbone.output == "value":
        return ""
    first, label, share = z.predictions[0]
    drawn = f"Drawn without {_what(found)} it says {label}, {html.percent(share)}"
    if first == y.predictions[0][0]:
        return f"{drawn}: covering tells the truth here."
    return f"{drawn}: covering misleads here, for the network was trained on no patch like that."
