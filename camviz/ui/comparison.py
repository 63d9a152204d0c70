"""Several backbones on one picture: classes matched by name, and how far their maps agree.

A map has no unit that two networks share, so maps are compared as shares of their own maximum, on
the picture itself. Nothing here imports gradio.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from camviz.engine.explanation import Explanation
from camviz.maps.boxes import mask_at
from camviz.maps.localization import iou
from camviz.network.backbone import Backbone
from camviz.ui import html
from camviz.ui.viewer import MapPanel, rasterize

RASTER = 256  # pixels of the longer side, on which maps are compared
CUT = 0.2  # of the maximum, from which a place counts as looked at: CAM's own rule
BEST = 3  # classes of each backbone in the table
# The r and the IoU from which two maps are at the same place, and either from which they are so in
# part: words for figures that stand beside them.
SAME_PLACE, IN_PART = (0.7, 0.5), (0.4, 0.25)


@dataclass(frozen=True)
class Agreement:
    """How far two maps of one picture agree.

    r: Pearson's, over all pixels; None where a map is the same everywhere. iou: of the places at
    or above `CUT` of each map's maximum.
    """

    r: float | None
    iou: float

    @property
    def same(self) -> bool:
        return self.r is not None and self.r >= SAME_PLACE[0] and self.iou >= SAME_PLACE[1]

    @property
    def words(self) -> str:
        if self.same:
            return "look at the same place"
        if (self.r is not None and self.r >= IN_PART[0]) or self.iou >= IN_PART[1]:
            return "look at partly the same place"
        return "look at different places"

    @property
    def figures(self) -> str:
        return f"{correlation_words(self.r)}, IoU {self.iou:.2f}"


def correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Pearson's r of the same pixels of two maps; None where a map is the same everywhere."""
    if any(not each.size or each.std() <= 1e-6 for each in (one, other)):
        return None
    return float(np.corrcoef(one, other)[0, 1])


def correlation_words(r: float | None) -> str:
    """ "r = −0.36"."""
    return "r unknown" if r is None else f"r = {html.number(r, '.2f')}"


def agreement(one: MapPanel, other: MapPanel) -> Agreement:
    """How far two maps agree, where the picture was visible to both networks."""
    (a, visible_a), (b, visible_b) = rasterize(one, RASTER), rasterize(other, RASTER)
    both = visible_a & visible_b
    r = correlation(a[both], b[both])
    empty = not (a.any() and b.any())
    return Agreement(r, 0.0 if empty else iou(mask_at(a, CUT) & both, mask_at(b, CUT) & both))


# -- Classes -------------------------------------------------------------------------------------


def counterpart(one: Backbone, index: int | None, other: Backbone) -> int | None:
    """The class of the same name in another network: by label, else by synonym; None: unknown.

    None, too, if either has no classes.
    """
    if index is None:
        return None
    if one.labels == other.labels:
        return index
    label = one.labels[index].casefold()
    exact = [i for i, name in enumerate(other.labels) if name.casefold() == label]
    names = {label, *(name.casefold() for name in one.synonyms[index])}
    found = exact or [
        i for i, known in enumerate(other.synonyms) if names & {name.casefold() for name in known}
    ]
    return found[0] if len(found) == 1 else None


def align_classes(explanations: Mapping[str, Explanation]) -> list[dict[str, int]]:
    """The rows of the table: the index of one class in every backbone that has it.

    The best classes of each backbone and those explained, the most probable anywhere first.
    """
    rows: list[dict[str, int]] = []
    for name, x in explanations.items():
        best = [index for index, *_ in x.predictions[:BEST]]
        for index in dict.fromkeys([] if x.target is None else [x.target, *best]):
            if any(row.get(name) == index for row in rows):
                continue
            row = {}
            for other, y in explanations.items():
                found = index if other == name else counterpart(x.backbone, index, y.backbone)
                if found is not None:
                    row[other] = found
            rows.append(row)
    shares = _shares(explanations)
    return sorted(rows, key=lambda row: -max(shares[name][index] for name, index in row.items()))


@dataclass(frozen=True)
class Cell:
    """A class in one backbone: its probability, and whether it is the class explained."""

    share: float
    explained: bool


def class_table(
    explanations: Mapping[str, Explanation],
) -> list[tuple[str, list[Cell | None]]]:
    """(label, a cell per backbone) of each class; None where a backbone has no such class."""
    shares = _shares(explanations)
    table = []
    for row in align_classes(explanations):
        name, index = next(iter(row.items()))
        cells = [
            Cell(shares[each][row[each]], row[each] == x.target) if each in row else None
            for each, x in explanations.items()
        ]
        table.append((explanations[name].backbone.labels[index], cells))
    return table


def explained_names(explanations: Mapping[str, Explanation]) -> dict[str, str]:
    """backbone -> the class that it explains, by the name that it has in `class_table`.

    "" of a network without classes.
    """
    names: dict[str, str] = {}
    for row in align_classes(explanations):
        first, index = next(iter(row.items()))
        label = explanations[first].backbone.labels[index]
        names |= {each: label for each, i in row.items() if i == explanations[each].target}
    return {name: names.get(name, "") for name in explanations}


def class_remarks(explanations: Mapping[str, Explanation]) -> list[str]:
    """Where the classes explained are not of one name, and which networks are not sure.

    And which have no classes.
    """
    free = [name for name, x in explanations.items() if x.target is None]
    remarks = [f"{name} knows no classes: its map shows what stands out to it." for name in free]
    able = [(name, x) for name, x in explanations.items() if x.target is not None]
    if not able:
        return remarks
    (first_name, first), *others = able
    for name, x in others:
        if counterpart(first.backbone, first.target, x.backbone) is None:
            remarks.append(
                f"{name} does not know “{first.label}”; explained is what it says first, "
                f"“{x.label}”."
            )
        elif x.label.casefold() != first.label.casefold():
            remarks.append(
                f"Explained are “{first.label}” of {first_name} and “{x.label}” of {name}."
            )
    return remarks + [
        f"{name} is not sure: this may be none of the {len(x.backbone.labels)} things it knows."
        for name, x in explanations.items()
        if not x.is_confident
    ]


def _shares(explanations: Mapping[str, Explanation]) -> dict[str, dict[int, float]]:
    """backbone -> class index -> probability."""
    return {name: {index: p for index, _, p in x.predictions} for name, x in explanations.items()}
