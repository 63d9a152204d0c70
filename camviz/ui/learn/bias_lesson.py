"""Make the bias yourself: a lesson in three steps, every figure of which is computed when it is
shown.

    found = take_step(1, task)      # taught from three churches on a meadow, three houses in snow
    take_step(2, task)              # the same head, and a house on a meadow
    take_step(3, task)              # the head taught from two pictures more, the same house

The scenes are drawn by rule from fixed seeds, so that everybody sees the same, and the truth of
each is known to the pixel. Which kinds, backdrops and seeds: docs/teach_it.md, "How the lesson was
chosen". Nothing here imports gradio.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from camviz.engine.cache import LRUCache
from camviz.engine.explanation import Explanation
from camviz.engine.teaching import Taught
from camviz.images import Picture, open_picture
from camviz.maps.localization import energy_inside
from camviz.network.backbone import Backbone
from camviz.network.packaged import DEFAULT_PACKAGED
from camviz.scenes import Scene, draw_scene
from camviz.ui.compute import engine
from camviz.ui.state import Task

BACKBONE = DEFAULT_PACKAGED
BACKDROPS = {"church": "meadow", "house": "snow"}  # as they go together at first
IN_WORDS = {"meadow": "on the meadow", "snow": "in the snow"}
SEED = 1
TAUGHT = (0, 1, 2)  # scenes of each kind that it is taught from
MENDED = (20,)  # the same with the backdrops swapped: one of each kind
SHOWN = ("house", 12)  # the scene that is explained
TRIED = tuple(range(10, 16))  # scenes of each kind that it is tried on, the backdrops swapped
STEPS = (1, 2, 3)


@dataclass(frozen=True)
class Example:
    """A drawn scene: what is in it, before which backdrop, and its number."""

    label: str
    backdrop: str
    index: int

    @property
    def scene(self) -> Scene:
        return _scene(self)

    @property
    def picture(self) -> Picture:
        return _picture(self)

    @property
    def words(self) -> str:
        """ "church on the meadow"."""
        return f"{self.label} {IN_WORDS[self.backdrop]}"


@dataclass(frozen=True, eq=False)
class Step:
    """What is found in a step.

    taught_from: the scenes; example: the one that is explained, x: by CAM for the answer. share:
    the probability of what it really is. on_thing: the share of the map's heat that lies on the
    thing; area: the share of the picture that it covers, which is what a map without meaning would
    have. right, tried: scenes with swapped backdrops.
    """

    number: int
    taught_from: tuple[Example, ...]
    example: Example
    x: Explanation
    share: float
    on_thing: float
    area: float
    right: int
    tried: int

    @property
    def is_right(self) -> bool:
        return self.x.label == self.example.label


_steps: LRUCache[Step] = LRUCache(2 * len(STEPS))


def swapped(label: str) -> str:
    """The backdrop of the other kind."""
    return next(backdrop for other, backdrop in BACKDROPS.items() if other != label)


def examples_of(number: int) -> tuple[Example, ...]:
    """The scenes that the head of a step is taught from."""
    usual = [Example(label, of, i) for label, of in BACKDROPS.items() for i in TAUGHT]
    mended = [Example(label, swapped(label), i) for label in BACKDROPS for i in MENDED]
    return (*usual, *mended) if number == 3 else tuple(usual)


def take_step(number: int, task: Task) -> Step:
    """What is found in a step, 1 to 3. Raises a `CamvizError` if the network cannot be had."""
    backbone = engine().backbone(BACKBONE)
    key = (backbone.fingerprint, number)
    return _steps.get(key) or _steps.put(key, _take(number, backbone, task))


def _take(number: int, backbone: Backbone, task: Task) -> Step:
    examples = examples_of(number)
    taught = _teach(backbone, examples, task)
    label, index = SHOWN
    example = Example(label, BACKDROPS[label] if number == 1 else swapped(label), index)
    x = engine().explain(
        example.picture, taught.backbone, method="cam", refine="none", placement="plain"
    )
    mask = example.scene.mask(label)
    right, tried = _try_out(taught, task)
    return Step(
        number=number,
        taught_from=examples,
        example=example,
        x=x,
        share=next(share for _, name, share in x.predictions if name == label),
        on_thing=energy_inside(x.fused, mask),
        area=float(mask.mean()),
        right=right,
        tried=tried,
    )


def _teach(backbone: Backbone, examples: Sequence[Example], task: Task) -> Taught:
    pictures: dict[str, list[Picture]] = {label: [] for label in BACKDROPS}
    for example in examples:
        pictures[example.label].append(example.picture)
    return engine().teach(pictures, backbone, progress=task.report)


def _try_out(taught: Taught, task: Task) -> tuple[int, int]:
    """(right, tried) of scenes that it was not taught from, with their backdrops swapped."""
    right = tried = 0
    for number, label in enumerate(BACKDROPS):
        task.label = "Trying it on scenes that it has not seen …"
        task.report(number, len(BACKDROPS))
        pictures = [Example(label, swapped(label), index).picture for index in TRIED]
        predicted = engine().logits(pictures, taught.backbone).argmax(axis=1)
        right += int((predicted == taught.backbone.target(label)).sum())
        tried += len(pictures)
    return right, tried


@lru_cache(maxsize=64)
def _scene(example: Example) -> Scene:
    return draw_scene(
        SEED, example.index, label=example.label, backgrounds=(example.backdrop,), two_objects=0
    )


@lru_cache(maxsize=64)
def _picture(example: Example) -> Picture:
    return open_picture(_scene(example).image)
