"""Guess first: where a visitor thinks that a network looks, held against its map.

    score = score_guess(x.fused, guess, truth)         # figures of one guess
    for number in range(size_of(round, choice)):       # the pictures of a round
        puzzle = puzzle_of(round, choice, number)

A round is decided by its seed, its length and the network alone. For a network of drawn scenes its
pictures are drawn by the seed, so that it is known where things are; for any other they are
photographs. Nothing here imports gradio.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from camviz.engine.explanation import Explanation
from camviz.errors import RequestError
from camviz.examples import Example, examples
from camviz.images import Picture, open_picture
from camviz.maps.localization import hottest, iou, pointing_hit
from camviz.maps.runs import read_mask, resize_mask
from camviz.scenes import HELD_OUT_BACKGROUNDS, TRAIN_BACKGROUNDS, draw_scene
from camviz.ui import choices, service
from camviz.ui.compute import engine
from camviz.ui.state import BackboneChoice, Controls, Round

MOST_MARKED = 0.3  # of a picture: whoever marks all of it guesses nothing
SEEDS = 500_000  # added to a round's seed: no scene of it was trained on or is an example
SIDE = 384  # pixels of a drawn scene
TWO_THINGS = 0.35  # share of the scenes with two things in them


# -- The pictures of a round ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Puzzle:
    """A picture of a round. truth: label -> bool (H, W), the pixels of each thing; {}: not known.

    explained: the explanation of what the network says first; no part of it leaves the server
    before the guess.
    """

    picture: Picture
    truth: Mapping[str, np.ndarray]
    explained: Explanation


def is_drawn(choice: BackboneChoice) -> bool:
    """Whether a network knows the classes of drawn scenes."""
    return (choice.name or "").startswith(choices.DRAWN)


def size_of(played: Round, choice: BackboneChoice) -> int:
    """How many pictures a round really has: there are few photographs."""
    return played.count if is_drawn(choice) else min(played.count, len(photographs()))


def puzzle_of(played: Round, choice: BackboneChoice, number: int) -> Puzzle:
    """A picture of a round, by its number from 0. Raises a `CamvizError` if it has no map."""
    if is_drawn(choice):
        picture, truth = scene(played.seed, number)
    else:
        picture, truth = photograph(played.seed, number).open(), {}
    return Puzzle(picture, truth, engine().explain(picture, service.load(choice)))


def own_puzzle(controls: Controls) -> Puzzle:
    """The visitor's own picture, as *Look* explains it."""
    x = service.explain(controls)
    return Puzzle(x.picture, service.truth_of(x) or {}, x)


@lru_cache(maxsize=32)
def scene(seed: int, number: int) -> tuple[Picture, Mapping[str, np.ndarray]]:
    """A drawn scene of a round and the truth of it."""
    drawn = draw_scene(
        SEEDS + seed,
        number,
        size=SIDE,
        backgrounds=TRAIN_BACKGROUNDS + HELD_OUT_BACKGROUNDS,
        two_objects=TWO_THINGS,
    )
    return open_picture(drawn.image), {thing.label: thing.mask for thing in drawn.objects}


def photographs() -> list[Example]:
    """The photographs that are there."""
    return [row for row in examples() if row.scene is None]


def photograph(seed: int, number: int) -> Example:
    """A photograph of a round, in an order of the seed's own."""
    rows = photographs()
    return rows[int(np.random.default_rng(seed).permutation(len(rows))[number])]


# -- A guess and its score -----------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """How a guess and a map agree. iou: of the guess and the map's hottest pixels, as many as the
    guess has; hit: whether the map's highest point lies in the guess; area: share of the picture
    that was marked. truth_iou, map_iou: of the guess, and of those hottest pixels, with the thing;
    None where the truth is not known. thing: which that is.
    """

    label: str
    probability: float
    area: float
    iou: float
    hit: bool
    truth_iou: float | None = None
    map_iou: float | None = None
    thing: str = ""

    @property
    def points(self) -> int:
        """The IoU in per cent."""
        return round(100 * self.iou)

    @property
    def chance(self) -> float:
        """About the IoU of a guess of this size that was thrown anywhere: s / (2 - s).

        Of two sets of share s of the picture, one of them random, s s lies in both.
        """
        return self.area / (2 - self.area)


def read_guess(text: str, height: int, width: int) -> np.ndarray:
    """A guess as a browser writes it (`write_mask`), bool (H, W) of the picture.

    Raises `RequestError` for what is no mask, for an empty one, and for one of more than
    `MOST_MARKED` of the picture.
    """
    try:
        mask = resize_mask(read_mask(text), height, width)
    except ValueError as error:
        raise RequestError(f"this guess cannot be read: {error}") from None
    if not mask.any():
        raise RequestError("nothing is marked yet; mark where you think it looked")
    if mask.mean() > 1.05 * MOST_MARKED:  # the raster of a browser is coarser than the picture
        raise RequestError(
            f"{mask.mean():.0%} of the picture is marked, and {MOST_MARKED:.0%} is the most: mark "
            "only what matters most"
        )
    return mask


def hottest_like(heat: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """The hottest pixels of a map, as many as a guess has, fewer where fewer are above 0."""
    return hottest(heat, np.count_nonzero(guess) / guess.size)


def thing_of(puzzle: Puzzle) -> tuple[str, np.ndarray | None]:
    """(name, mask) of what the map should be on: the thing of the class, else all there are."""
    label = puzzle.explained.label
    if not puzzle.truth:
        return "", None
    if label in puzzle.truth:
        return label, puzzle.truth[label]
    names, masks = list(puzzle.truth), list(puzzle.truth.values())
    return " and ".join(names), np.logical_or.reduce(masks)


def score_guess(puzzle: Puzzle, guess: np.ndarray) -> Score:
    """Every figure of one guess."""
    x = puzzle.explained
    hot = hottest_like(x.fused, guess)
    thing, truth = thing_of(puzzle)
    shares = {index: share for index, _, share in x.predictions}
    return Score(
        label=x.label,
        probability=float(shares[x.target]) if x.target is not None else 0.0,
        area=float(guess.mean()),
        iou=iou(guess, hot),
        hit=pointing_hit(x.fused, guess, tolerance=0),
        truth_iou=None if truth is None else iou(guess, truth),
        map_iou=None if truth is None else iou(hot, truth),
        thing=thing,
    )


@lru_cache(maxsize=1000)
def scored(played: Round, choice: BackboneChoice, number: int, painted: str) -> Score:
    """The score of a guess in a round; the last ones are held."""
    puzzle = puzzle_of(played, choice, number)
    return score_guess(puzzle, read_guess(painted, puzzle.picture.height, puzzle.picture.width))


@dataclass(frozen=True)
class Total:
    """What a round came to. The figures with truth are means over the pictures that have it."""

    scores: tuple[Score, ...] = field(default=())

    @property
    def points(self) -> int:
        return sum(score.points for score in self.scores)

    @property
    def hits(self) -> int:
        return sum(score.hit for score in self.scores)

    @property
    def iou(self) -> float:
        return _mean([score.iou for score in self.scores])

    @property
    def chance(self) -> float:
        return _mean([score.chance for score in self.scores])

    @property
    def truth_iou(self) -> float | None:
        found = [score.truth_iou for score in self.scores if score.truth_iou is not None]
        return _mean(found) if found else None

    @property
    def map_iou(self) -> float | None:
        found = [score.map_iou for score in self.scores if score.map_iou is not None]
        return _mean(found) if found else None


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
