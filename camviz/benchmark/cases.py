"""Pictures whose truth is known, one at a time.

A case is a picture and the things asked for in it, each with the pixels or at least the boxes it
lies in. Where cases come from stands in `camviz.benchmark.datasets`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from camviz.images import Picture


@dataclass(frozen=True, eq=False)
class Thing:
    """Something that is in a picture, and asked for.

    label: its class, in the words of the data set.  mask: bool (H, W), its pixels, or all pixels
    of its boxes where nothing else is known.  boxes: int (K, 4), half-open xyxy in pixels, at least
    one: a class of which several stand in a picture has several.
    """

    label: str
    mask: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True, eq=False)
class Case:
    """A picture and what is in it.

    name: unique in its data set.  exact: masks are drawn to the pixel, not filled boxes.
    ignored: bool (H, W), pixels that count neither way; None: all count.
    """

    name: str
    picture: Picture
    things: tuple[Thing, ...]
    exact: bool = True
    ignored: np.ndarray | None = None

    @property
    def labels(self) -> np.ndarray:
        """int (H, W): 0 where nothing is, k + 1 at things[k], -1 where pixels do not count."""
        labels = np.zeros((self.picture.height, self.picture.width), np.int64)
        for number, thing in enumerate(self.things, 1):
            labels[thing.mask] = number
        if self.ignored is not None:
            labels[self.ignored] = -1
        return labels


class Listing(Protocol):
    """Pictures by number.

    name: of the kind of data.  identity: what changes if its pictures or their order do.  names: of
    all pictures, in order.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def names(self) -> Sequence[str]: ...


class Dataset(Listing, Protocol):
    """Cases by number."""

    def case(self, index: int) -> Case:
        """A case. Raises a `CamvizError` that says why it cannot be had."""


def box_around(mask: np.ndarray) -> np.ndarray:
    """The tight box of a mask that is not empty: int (1, 4), half-open xyxy."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]])


def box_mask(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """bool (H, W): every pixel that lies in one of the boxes."""
    mask = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask
