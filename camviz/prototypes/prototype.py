"""One prototype, where it comes from, and all of one stage: what a bank is made of."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor

Kind = Literal["foreground", "context"]
BankSource = Literal["gallery", "bundled", "picture"]
# The origin of a prototype's score z: the head on its centre, as in the paper; the head on the
# places it was made of, at the last map; or none at all.
Scoring = Literal["head", "places", "none"]
MEMBERS = 4  # kept of each prototype
THUMBNAIL = 40  # pixels, square
MOST_PICTURES, MOST_CLUSTERS = 64, 64


@dataclass(frozen=True)
class Member:
    """A place that a prototype is made of: a cell of one picture.

    picture: its position in `PrototypeBank.pictures`. cell: (row, column). box: half-open xyxy in
    pixels of that picture. similarity: its cosine to the prototype.
    """

    picture: int
    cell: tuple[int, int]
    box: tuple[int, int, int, int]
    similarity: float


@dataclass(frozen=True)
class Prototype:
    """One direction in a stage's feature space, and its origin.

    score: z, the class's probability by the classifier, in [0, 1]; None without a score. size: the
    number of places it stands for. kept: whether the map uses it. members: the places
    nearest to it, from different pictures as far as there are.
    """

    kind: Kind
    size: int
    score: float | None
    kept: bool
    name: str = ""
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, eq=False)
class StagePrototypes:
    """The prototypes of one stage: `vectors` (n, C), raw-scale cluster means, one per prototype.

    relaxed: no foreground prototype scored above the bound, so that the best one was taken.
    thumbnails: uint8 (n, MEMBERS, THUMBNAIL, THUMBNAIL, 3), or None.
    """

    vectors: Tensor = field(repr=False)
    prototypes: tuple[Prototype, ...]
    scoring: Scoring
    relaxed: bool = False
    thumbnails: np.ndarray | None = field(default=None, repr=False)

    def kept(self, kind: Kind) -> Tensor:
        """(k, C): the prototypes of a kind that the map uses."""
        return self.vectors[[p.kind == kind and p.kept for p in self.prototypes]]
