"""Which one made it? Two maps of one picture, of two networks or of two classes of one.

    pair = pair_at(round, choice, place)      # None: there is no further pair in this round
    pair.right                                # whether the map on the right is the one in question

A pair stands in a round only if its maps differ measurably: their rank correlation is below
`MOST_ALIKE`. Pictures whose maps are more alike are passed over. Photographs show one thing each,
and maps of all classes of one are alike, so that networks for photographs have no such round.
Nothing here imports gradio.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from camviz.images import Picture
from camviz.maps.localization import energy_inside
from camviz.maps.ranks import rank_correlation
from camviz.ui import service
from camviz.ui.compute import engine
from camviz.ui.learn.guessing import is_drawn, scene
from camviz.ui.state import BackboneChoice, Round

MOST_ALIKE = 0.75  # rank correlation from which on two maps are too much alike to be told apart
EVERY = 4  # pixels: maps are compared at each fourth of a row and of a column
TRIED = 4  # pictures that are looked through, for each of a round
NETWORKS = ("scenes-resnet", "scenes-convnext", "scenes-vit")


@dataclass(frozen=True, eq=False)
class Made:
    """A map and what made it: a network, or a class of one. cells: those of its finest stage."""

    by: str
    heat: np.ndarray
    cells: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two maps of one picture, left and right; maker: of the one in question.

    kind: "networks", of one class `label`, or "classes", of one network. alike: their rank
    correlation. number: of the picture. truth: label -> bool (H, W), the pixels of each thing.
    """

    kind: str
    number: int
    picture: Picture
    maps: tuple[Made, Made]
    maker: str
    label: str
    alike: float
    truth: dict[str, np.ndarray]

    @property
    def right(self) -> bool:
        """Whether the map in question stands on the right."""
        return self.maps[1].by == self.maker


@lru_cache(maxsize=24)
def pair_at(played: Round, choice: BackboneChoice, place: int) -> Pair | None:
    """The pair at a place of a round, from 0; None: no picture is left for it."""
    if not is_drawn(choice):
        return None
    first = 0
    if place:
        before = pair_at(played, choice, place - 1)
        if before is None:
            return None
        first = before.number + 1
    for number in range(first, TRIED * played.count):
        pair = next(_candidates(played, choice, number), None)
        if pair is not None:
            return pair
    return None


def _candidates(played: Round, choice: BackboneChoice, number: int) -> Iterator[Pair]:
    """The pairs of one picture that differ enough: of the things in it, then of networks."""
    rng = np.random.default_rng((played.seed, number))
    picture, truth = scene(played.seed, number)
    masks = dict(truth)
    if len(masks) > 1:
        yield from _of_classes(choice, number, picture, masks, rng)
    label = next(iter(masks))
    mine = _made(str(choice.name), picture, choice, label)
    for name in rng.permutation([name for name in NETWORKS if name != choice.name]):
        other = _made(str(name), picture, BackboneChoice(str(name)), label)
        yield from _pair("networks", number, picture, (mine, other), label, masks, rng)


def _of_classes(
    choice: BackboneChoice,
    number: int,
    picture: Picture,
    truth: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> Iterator[Pair]:
    """Two classes of one network, whose things are both there."""
    first, second = list(truth)[:2]
    maps = (_made(first, picture, choice, first), _made(second, picture, choice, second))
    yield from _pair("classes", number, picture, maps, first, truth, rng)


def _made(by: str, picture: Picture, choice: BackboneChoice, label: str) -> Made:
    x = engine().explain(picture, service.load(choice), target=label)
    height, width = max((raw.shape for raw in x.raw.values()), key=lambda shape: shape[0])
    return Made(by, x.fused, (height, width))


def _pair(
    kind: str,
    number: int,
    picture: Picture,
    maps: tuple[Made, Made],
    label: str,
    truth: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> Iterator[Pair]:
    """The two as a pair in a random order, if they differ enough."""
    alike = likeness(maps[0].heat, maps[1].heat)
    if alike is None or alike >= MOST_ALIKE:
        return
    maker = maps[int(rng.integers(2)) if kind == "classes" else 0].by
    if rng.integers(2):
        maps = (maps[1], maps[0])
    yield Pair(kind, number, picture, maps, maker, label, alike, truth)


def likeness(one: np.ndarray, other: np.ndarray) -> float | None:
    """The rank correlation of two maps, read at every fourth pixel; None if one is flat."""
    return rank_correlation(one[::EVERY, ::EVERY], other[::EVERY, ::EVERY])


# -- What gives it away --------------------------------------------------------------------------


def half_area(heat: np.ndarray) -> float:
    """The least share of a map's places that holds half of its heat: small for a sharp map."""
    values = np.sort(heat.ravel().astype(np.float64))[::-1]
    total = values.sum()
    if total <= 0:
        return 0.0
    return float(np.searchsorted(np.cumsum(values), total / 2) + 1) / values.size


def clue_of(pair: Pair) -> str:
    """What tells the two maps apart, in a sentence with figures of these very maps."""
    one, two = pair.maps[::-1] if pair.right else pair.maps
    if pair.kind == "networks":
        return f"{_spread(one, two)}{_cells(one, two)}"
    mine, its = (energy_inside(made.heat, pair.truth[one.by]) for made in (one, two))
    return (
        f"{mine:.0%} of the heat for {one.by} lies on the {one.by}; of the heat for {two.by} "
        f"{its:.0%} does."
    )


def _spread(one: Made, two: Made) -> str:
    mine, its = half_area(one.heat), half_area(two.heat)
    how = "sharper" if mine < its else "broader"
    return (
        f"The map of {one.by} is the {how} one: half of its heat lies on {mine:.1%} of the "
        f"picture, that of {two.by} on {its:.1%}."
    )


def _cells(one: Made, two: Made) -> str:
    """How fine the finest layers are, where that differs."""
    if one.cells == two.cells:
        return ""
    texts = [f"{made.cells[0]} × {made.cells[1]}" for made in (one, two)]
    return f" Its finest layer has {texts[0]} cells, that of {two.by} {texts[1]}."
