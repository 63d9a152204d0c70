"""All pictures of a run at once: what is known of each in figures, and its map at 14 x 14.

    found = open_collection(run)
    found.figures["doubt"]                   # float32 (N,)
    groups_of(found, label="ram")            # its maps by likeness: `camviz.bulk.groups`

The maps of thousands of pictures fit into memory so; nothing of the pictures themselves is read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from camviz.bulk.run import Run
from camviz.defaults import FUSED
from camviz.errors import DataError
from camviz.maps.ranks import rank_correlation

SIDE = 14  # cells of the maps that are held
_FINE = 4  # times as many are drawn for their means


@dataclass(frozen=True)
class Figure:
    """What pictures are sorted by: what it is called, and what it means. All lie in [0, 1]."""

    title: str
    meaning: str


FIGURES = {
    "doubt": Figure("doubt", "1 less the probability of the best class"),
    "outside": Figure("heat outside the boxes", "share of the heat that lies in no box of the map"),
    "removed": Figure("removed by denoising", "share of the evidence, mean over the layers"),
    "disagreement": Figure(
        "disagreement", "half of 1 less the rank correlation with the map of the other run"
    ),
}


@dataclass(frozen=True, eq=False)
class Collection:
    """The pictures of a run in its order.

    labels: what was explained, `answers`: the best class, `truths`: what the source says, "" where
    nothing is known. figures: float32 (N,) by the names of `FIGURES`, NaN where there is none.
    maps: uint8 (N, 14, 14), the fused map on the picture, each cell its mean, 255 for the maximum.
    whole: how many pictures the run has.
    """

    run: Run
    ids: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[str, ...]
    answers: tuple[str, ...]
    truths: tuple[str, ...]
    figures: Mapping[str, np.ndarray]
    maps: np.ndarray = field(repr=False)
    whole: int

    def __len__(self) -> int:
        return len(self.ids)

    def places(self, label: str | None) -> np.ndarray:
        """The numbers of the pictures that were explained for a class; None: of all."""
        chosen = [label is None or each == label for each in self.labels]
        return np.flatnonzero(chosen)


def open_collection(run: Run, most: int | None = None) -> Collection:
    """The first `most` pictures of a run; None: all. Raises `DataError` if there are none."""
    columns = [
        "id", "path", "width", "height", "rect", "truth", "top", "label", "removed", "boxes",
        "fused",
    ]  # fmt: skip
    held: list[tuple[Any, ...]] = []
    maps = []
    for row in run.rows(columns):
        if most is not None and len(held) >= most:
            break
        best: dict[str, Any] = row["top"][0] if row["top"] else {"label": "", "share": np.nan}
        inside = sum(box["heat"] for box in row["boxes"] if box["of"] == FUSED)
        held.append((
            row["id"], row["path"], row["label"] or "", best["label"], row["truth"] or "",
            1 - best["share"], 1 - inside if any(row["fused"]["map"]) else np.nan,
            np.nan if row["removed"] is None else row["removed"],
        ))  # fmt: skip
        maps.append(small_map(run, row))
    if not held:
        raise DataError(f"the run in '{run.path}' holds no picture yet")
    ids, paths, labels, answers, truths, doubt, outside, removed = zip(*held, strict=True)
    figures = {
        "doubt": _share(doubt),
        "outside": _share(outside),
        "removed": _share(removed),
    }
    return Collection(
        run, ids, paths, labels, answers, truths, figures, np.stack(maps), max(len(run), len(ids))
    )


def small_map(run: Run, row: Mapping[str, Any]) -> np.ndarray:
    """The fused map of a row at 14 x 14 on the picture: the mean of each cell, as bytes."""
    fine = SIDE * _FINE
    heat = run.heat(row, FUSED, (fine, fine)).reshape(SIDE, _FINE, SIDE, _FINE)
    return np.rint(heat.mean(axis=(1, 3)) * 255).astype(np.uint8)


def disagreement(one: Collection, other: Collection) -> np.ndarray:
    """(1 - ρ) / 2 of the maps of the same picture in two runs; NaN where the other has it not.

    ρ: Spearman's rank correlation over the cells: 0 is the same order of places, .5 none in common,
    1 the opposite. Pictures are the same if their ids are, or else their paths where both runs have
    them once.
    """
    by_id = {id: number for number, id in enumerate(other.ids)}
    by_path = {path: number for number, path in enumerate(other.paths)}
    here, there = Counter(one.paths), Counter(other.paths)
    found = np.full(len(one), np.nan, np.float32)
    for number, (id, path) in enumerate(zip(one.ids, one.paths, strict=True)):
        once = here[path] == there[path] == 1
        place = by_id.get(id, by_path[path] if once else -1)
        if place >= 0:
            rho = rank_correlation(one.maps[number], other.maps[place])
            found[number] = np.nan if rho is None else (1 - rho) / 2
    return found


def _share(values: Sequence[float]) -> np.ndarray:
    return np.clip(np.array(values, np.float32), 0, 1)
