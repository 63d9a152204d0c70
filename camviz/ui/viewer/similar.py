"""Maps that say the same as one before them, found by correlation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from camviz.engine.explanation import Explanation
from camviz.maps.fusion import resample
from camviz.ui.layers import map_in_words
from camviz.ui.state import Unavailable
from camviz.ui.viewer.panels import Heat, MapPanel, MapRow, panels_of

NEAR = 0.98  # from this correlation on, two maps say nearly the same
SAME = 0.9999
_POINTS = 48  # a side, at which maps are compared


@dataclass(frozen=True)
class Similarity:
    """That a map says the same as an earlier one, or nearly so.

    of: what the earlier map is called; `counterpart`: it is the map of the same column in another
    row, which `of` names. r: Pearson's correlation.
    """

    kind: Literal["same", "near"]
    of: str
    r: float = field(compare=False)
    counterpart: bool = False

    @property
    def sentence(self) -> str:
        """For below the map."""
        where = f"in {self.of}" if self.counterpart else self.of
        if self.kind == "same":
            return f"Same map as {where}."
        return f"Nearly the same map as {where} (r = {self.r:.3f})."

    @property
    def tag(self) -> str:
        """For beside the title of a row, all of whose maps are alike in this way."""
        return f"The same maps as {self.of}"


def find_similar(
    rows: Mapping[str, Explanation | MapRow | Unavailable], titles: Mapping[str, str]
) -> dict[tuple[str, str], Similarity]:
    """(row, panel) -> the earlier map that says nearly the same.

    Compared by Pearson's r at points that cover the network's input evenly; a map that is the
    same everywhere is compared with none, and maps of other networks than the row's are not alike.
    titles: of the rows.
    """
    found: dict[tuple[str, str], Similarity] = {}
    earlier: list[tuple[str, str, MapPanel, np.ndarray]] = []
    for key, row in rows.items():
        for name, panel in _comparable(row):
            points = _standardize(panel.heat, panel.x.fit.input_size)
            if points is None:
                continue
            scores = [float(points @ each) for *_, each in earlier]
            # Of several that say the same, the one of the same column in another row is named.
            best = max(
                range(len(scores)),
                key=lambda i: (
                    min(scores[i], SAME),
                    earlier[i][0] != key and earlier[i][1] == name,
                    -i,
                ),
                default=-1,
            )
            if scores and scores[best] > NEAR:
                of_row, of_panel, other, _ = earlier[best]
                counterpart = of_row != key and of_panel == name
                of = titles[of_row] if counterpart else _words(other)
                if of_row != key and not counterpart:
                    of = f"{of} in {titles[of_row]}"
                kind: Literal["same", "near"] = "same" if scores[best] > SAME else "near"
                found[key, name] = Similarity(kind, of, scores[best], counterpart)
            earlier.append((key, name, panel, points))
    return found


def _words(panel: MapPanel) -> str:
    """What a map is called within a sentence."""
    if panel.stage is None:
        return panel.name or f"the {panel.of} map"
    return panel.name or map_in_words(panel.x, panel.stage)


def _comparable(
    row: Explanation | MapRow | Unavailable,
) -> Iterator[tuple[str, MapPanel]]:
    """(key, map) of the maps of a row."""
    if isinstance(row, Explanation):
        row = MapRow("", row, panels_of(row))
    if not isinstance(row, MapRow) or not isinstance(row.of, Explanation):
        return
    for name, panel in row.panels.items():
        if isinstance(panel, MapPanel) and panel.x.backbone is row.of.backbone:
            yield name, panel


def _standardize(heat: Heat, input_size: tuple[int, int]) -> np.ndarray | None:
    """A map at evenly spread points, without its mean and of length 1; None if it is constant."""
    rows, columns = ((torch.arange(_POINTS) + 0.5) / _POINTS * side - 0.5 for side in input_size)
    values = torch.from_numpy(heat.values)
    points = resample(values, heat.placement, rows, columns).double().numpy().ravel()
    points -= points.mean()
    length = float(np.linalg.norm(points))
    return points / length if length > 1e-6 else None
