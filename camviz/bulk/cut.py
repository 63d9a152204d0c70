"""The maps of a run, cut at a threshold: what lies where, in the words of data sets.

    cut = Cut(run, of="refined", threshold=0.5)
    cut.classes                      # the names of all classes, each once
    for part in cut.parts(row): part.box, part.mask

Nothing of it is kept in the run: another threshold is another `Cut` of the same maps. Sizes, boxes
and masks are those of a picture's file, as other tools read it, also where it was decoded at half
its size (`camviz.images`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from camviz.bulk.run import Run
from camviz.defaults import FUSED, usual_threshold
from camviz.maps.boxes import Box, boxes_at, mask_at

THING = "object"  # what is said of a network that knows no classes


@dataclass(frozen=True, eq=False)
class Part:
    """A connected part of a cut map: its box, and its pixels, bool (H, W) of the whole picture."""

    box: Box
    mask: np.ndarray


@dataclass(frozen=True)
class Cut:
    """A run, which of its maps is cut, and where: at a share of its maximum; None: the usual."""

    run: Run
    of: str = FUSED
    threshold: float | None = None

    @property
    def level(self) -> float:
        return usual_threshold(self.of) if self.threshold is None else self.threshold

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes of the network in its order. A name that several have gets their number."""
        labels = self.run.geometry.labels or (THING,)
        count = Counter(labels)
        return tuple(
            f"{label} ({index})" if count[label] > 1 else label
            for index, label in enumerate(labels)
        )

    def index(self, row: Mapping[str, Any]) -> int:
        """The place in `classes` of what was explained."""
        return row["target"] or 0

    def name(self, row: Mapping[str, Any]) -> str:
        """The name of what was explained, one of `classes`."""
        return self.classes[self.index(row)]

    def size(self, row: Mapping[str, Any]) -> tuple[int, int]:
        """(H, W) of the picture's file, upright."""
        return (
            row.get("own_height") or row["height"],
            row.get("own_width") or row["width"],
        )

    def boxes(self, row: Mapping[str, Any]) -> list[Box]:
        """Boxes around what counts as an object of its own, the largest first; half-open."""
        return [self._own_box(row, box) for box in self.run.boxes(row, self.threshold, self.of)]

    def parts(self, row: Mapping[str, Any]) -> list[Part]:
        """The same with their pixels."""
        heat = self.run.heat(row, self.of)
        boxes = boxes_at(heat, self.level, multi=True)
        mask = mask_at(heat, self.level).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        found = {}
        for number, (x, y, width, height, pixels) in enumerate(stats.tolist()):
            found[(x, y, x + width, y + height), pixels] = number
        return [
            Part(
                self._own_box(row, box),
                self._own_pixels(
                    row, labels == found[box.xyxy, round(box.area_fraction * mask.size)]
                ),
            )
            for box in boxes
        ]

    def seed(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """The class of every pixel of a picture: int (H, W), k + 1 for `classes[k]`, 0 for none.

        rows: all of the picture, one for each of its classes. A pixel is given to the class whose
        map, over its maximum, is hottest there, or to none where no map exceeds the threshold: the
        seed of weakly supervised segmentation. Ahn and Kwak, "Learning Pixel-level Semantic
        Affinity with Image-level Supervision for Weakly Supervised Semantic Segmentation", CVPR
        2018; the threshold is the background's score there.
        """
        hottest: np.ndarray | None = None
        for row in rows:
            heat = self.run.heat(row, self.of)
            if hottest is None:
                hottest = np.full(heat.shape, self.level, heat.dtype)
                classes = np.zeros(heat.shape, np.int64)
            above = heat > hottest
            hottest[above], classes[above] = heat[above], self.index(row) + 1
        return self._own_pixels(rows[0], classes)

    def _reduction(self, row: Mapping[str, Any]) -> int:
        """By what the sides of the picture's file were divided when it was opened."""
        return round(self.size(row)[1] / row["width"])

    def _own_box(self, row: Mapping[str, Any], box: Box) -> Box:
        """A box in pixels of the picture's file."""
        times, (height, width) = self._reduction(row), self.size(row)
        return replace(
            box,
            x0=times * box.x0,
            y0=times * box.y0,
            x1=min(times * box.x1, width),
            y1=min(times * box.y1, height),
        )

    def _own_pixels(self, row: Mapping[str, Any], values: np.ndarray) -> np.ndarray:
        """An array of the picture as it was opened, each value at all pixels of its file there."""
        times, (height, width) = self._reduction(row), self.size(row)
        if times == 1:
            return values
        return values.repeat(times, axis=0).repeat(times, axis=1)[:height, :width]
