"""The seeds that the maps of a run give, against the truth of a data set: mIoU, class by class.

    scored = score_seeds(Run.open("out/voc"), open_dataset("voc:VOC2012"), {})
    scored.maps["fused"].miou, scored.maps["fused"].threshold, scored.maps["fused"].classes

A seed gives each pixel of a picture to the one of its classes whose map is hottest, or to
background where none exceeds a threshold, the same for the whole set. Pixels of all pictures are
counted together, and the IoU of every class, background included, is averaged, as VOC does:
Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010. That the classes of a
picture are known, and the threshold is the best of the set, is how the papers compare seeds: Ahn
and Kwak, "Learning Pixel-level Semantic Affinity with Image-level Supervision for Weakly
Supervised Semantic Segmentation", CVPR 2018.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from camviz.benchmark.cases import Case, Dataset
from camviz.benchmark.intervals import Resampled
from camviz.benchmark.location import class_tally, mean_iou
from camviz.benchmark.records import Record
from camviz.benchmark.tables import (
    Interval,
    csv_number,
    csv_text,
    markdown_table,
    measured,
    plus_minus,
)
from camviz.bulk.run import Run
from camviz.errors import CamvizError, DataError, one_line
from camviz.files import output_folder
from camviz.maps import curves

THRESHOLDS = tuple(np.arange(0, 1, 0.01).round(2).tolist())
BACKGROUND = "background"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class Seeds:
    """The seeds of one map: mIoU with its interval at the best threshold, and IoU by class there.

    curve: mIoU by `THRESHOLDS`. classes: background first; a class that is neither there nor given
    has NaN.
    """

    miou: Interval
    threshold: float
    classes: Mapping[str, float]
    curve: np.ndarray


@dataclass(frozen=True, eq=False)
class Scored:
    """What was found of a run: its maps by name, of so many pictures, and why others failed."""

    maps: Mapping[str, Seeds]
    pictures: int
    failures: Mapping[str, str]


def score_seeds(
    run: Run, data: Dataset, names: Mapping[str, str], progress: Progress | None = None
) -> Scored:
    """Compare a run's maps with a data set whose masks are exact.

    names: the network's class, a label or an index, by the label of the data set, for those that
    are called otherwise. A picture of which the run lacks a class is left out, and named. Raises
    `DataError` where no picture is left.
    """
    found = _Found(run, names)
    records, failures = [], {}
    for index, name in enumerate(data.names):
        try:
            records.append(_measure(found, data.case(index)))
        except CamvizError as error:
            failures[name] = one_line(error)
        if progress is not None:
            progress(index + 1, len(data.names), name)
    if not records:
        first = next(iter(failures.values()))
        raise DataError(f"no picture of the data could be measured with the run: {first}")
    rows = records[0].rows
    return Scored({row: _summarize(records, row) for row in rows}, len(records), failures)


class _Found:
    """The rows of a run, by the picture and the class that a data set calls them."""

    def __init__(self, run: Run, names: Mapping[str, str]) -> None:
        self.run = run
        self._names = names
        self._ids: dict[tuple[str, str], str] = {}
        table = run.table(["id", "path", "target", "label"]).to_pylist()
        for row in table:
            for path in {_key(row["path"]), PurePosixPath(row["path"]).stem}:
                for target in (row["label"], str(row["target"])):
                    self._ids.setdefault((path, target), row["id"])

    def row(self, case: Case, label: str) -> dict[str, Any]:
        wanted = self._names.get(label, label)
        for path in (_key(case.name), PurePosixPath(case.name).stem):
            if (id := self._ids.get((path, wanted))) is not None:
                return self.run.row(id)
        raise DataError(f"the run has no map of '{wanted}' in '{case.name}'")


def _key(path: str) -> str:
    """A path without its suffix, as a data set names its pictures."""
    return str(PurePosixPath(path).with_suffix("")) if PurePosixPath(path).name else path


def _measure(found: _Found, case: Case) -> Record:
    if not case.exact:
        raise DataError("the data has boxes only; seeds are compared with masks")
    rows = [found.row(case, thing.label) for thing in case.things]
    size = case.picture.height, case.picture.width
    for row in rows:
        if (row["height"], row["width"]) != size:
            raise DataError(
                f"'{case.name}' has {size[1]} x {size[0]} pixels, in the run {row['width']} x "
                f"{row['height']}"
            )
    maps = [of for of in found.run.geometry.placements if all(_has(row, of) for row in rows)]
    counts = [
        curves.seed_counts(
            np.stack([found.run.heat(row, of) for row in rows]), case.labels, THRESHOLDS
        )
        for of in maps
    ]
    labels = tuple(thing.label for thing in case.things)
    return Record(tuple(maps), labels, {"seeds": np.array(counts, np.int32)})


def _has(row: Mapping[str, Any], of: str) -> bool:
    return of not in row or row[of] is not None


def _summarize(records: Sequence[Record], row: str) -> Seeds:
    held = [(record, record.rows.index(row)) for record in records if row in record.rows]
    tallies = [class_tally(held, number) for number in range(len(THRESHOLDS))]
    curve = np.array([float(mean_iou(*(each.sum(axis=0) for each in tally))) for tally in tallies])
    best = int(np.argmax(curve))
    weights = Resampled.draw(len(held))
    mious = mean_iou(*(weights.weights @ each for each in tallies[best]))
    hits, true, given = (each.sum(axis=0) for each in tallies[best])
    labels = dict.fromkeys(label for record, _ in held for label in record.labels)
    unions = true + given - hits
    ious = np.divide(hits, unions, out=np.full(hits.shape, np.nan), where=unions > 0)
    classes = dict(zip((BACKGROUND, *labels), ious.tolist(), strict=True))
    return Seeds(weights.interval(mious), THRESHOLDS[best], classes, curve)


# -- Tables --------------------------------------------------------------------------------------


def write_seeds(scored: Scored, folder: str | Path) -> Path:
    """Write seeds.md, seeds.csv and failures.csv into a folder; returns the first."""
    out = output_folder(folder)
    out.mkdir(parents=True, exist_ok=True)
    table = out / "seeds.md"
    table.write_text(seeds_markdown(scored), encoding="utf-8")
    (out / "seeds.csv").write_text(seeds_csv(scored), encoding="utf-8")
    (out / "failures.csv").write_text(
        csv_text([["name", "reason"], *map(list, scored.failures.items())]), encoding="utf-8"
    )
    return table


def seeds_markdown(scored: Scored) -> str:
    """Two tables: the mIoU of every map, and the IoU of every class."""
    order = sorted(scored.maps, key=lambda name: -scored.maps[name].miou[0])
    whole = [
        [name, plus_minus(scored.maps[name].miou), f"{scored.maps[name].threshold:.2f}"]
        for name in order
    ]
    classes = sorted(next(iter(scored.maps.values())).classes, key=lambda name: name != BACKGROUND)
    by_class = [
        [label, *(_cell(scored.maps[name].classes.get(label, math.nan)) for name in order)]
        for label in classes
    ]
    return (
        f"# Seeds of {scored.pictures} pictures\n\nMean IoU of classes and background, ± half of "
        "the 95 % interval (bootstrap over pictures), at the threshold that is best for the set.\n"
        f"\n{markdown_table(['map', 'mIoU', 'threshold'], whole)}\n\n"
        f"{markdown_table(['class', *order], by_class)}\n"
    )


def seeds_csv(scored: Scored) -> str:
    """map, threshold, class, iou: "mean" for the mIoU."""
    lines = [["map", "threshold", "class", "iou"]]
    for name, seeds in scored.maps.items():
        for label, iou in {"mean": seeds.miou[0], **seeds.classes}.items():
            lines.append([name, f"{seeds.threshold:.2f}", label, csv_number(iou)])
    return csv_text(lines)


def _cell(iou: float) -> str:
    return measured(iou) if math.isfinite(iou) else ""
