"""How well every map of a picture locates what is asked for: one record a picture, a table a set.

Definitions, each with its source, stand in `camviz.maps.localization` and `camviz.maps.curves`.
What the WSOL protocol defines (MaxBoxAcc, PxAP) is measured on maps drawn at 224 x 224 and scaled
from their least to their greatest value, as it demands; all else on the picture's own pixels.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import cv2
import numpy as np

from camviz.benchmark.cases import Case, Dataset, Thing, box_mask
from camviz.benchmark.intervals import Resampled
from camviz.benchmark.records import Record
from camviz.benchmark.rows import Maps, Row, baseline_maps, find_target, rows_of
from camviz.defaults import usual_threshold
from camviz.engine.drawing import draw
from camviz.fit import Fit
from camviz.maps import curves, localization
from camviz.maps.curves import WSOL_SIZE, WSOL_THRESHOLDS
from camviz.maps.fusion import Placement

SEED_THRESHOLDS = tuple(np.arange(0, 1, 0.05).round(2).tolist())
BOX_IOUS = (0.3, 0.5, 0.7)

# Figures of one map of one thing, in the order in which a record holds them.
SINGLE = (
    "iou", "best_iou", "precision", "recall", "ap", "pointing", "energy", "energy_box", "share",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A column of the table: what it is called, and what it means in one line.

    All are better when greater.
    """

    title: str
    meaning: str


FIGURES = {
    "max_box_acc": Figure("MaxBoxAcc", "boxes with IoU .5 at the set's best threshold"),
    "max_box_acc_v2": Figure("MaxBoxAccV2", "the same, any contour, mean of IoU .3, .5 and .7"),
    "pxap": Figure("PxAP", "average precision of all pixels of the set together"),
    "iou": Figure("IoU", "of the map cut at 20 % of its maximum, a refined one at 50 %"),
    "best_iou": Figure("best IoU", "of the map cut at each picture's best threshold"),
    "precision": Figure("precision", "share of the cut map that is thing"),
    "recall": Figure("recall", "share of the thing that the cut map covers"),
    "ap": Figure("AP", "average precision of a picture's pixels"),
    "seed_miou": Figure("seed mIoU", "of classes and background, at the set's best threshold"),
    "pointing": Figure("pointing", "peak at most 15 pixels off, mean over classes"),
    "energy": Figure("energy", "share of the heat on the thing"),
    "energy_box": Figure("in box", "share of the heat in its boxes: the energy pointing game"),
    "share": Figure("on asked", "of two things: share of their heat on the one asked for"),
}


@dataclass(frozen=True)
class Location:
    """What `camviz benchmark` measures of every picture of a data set.

    names: the network's class by the data set's label, where they differ.
    """

    data: Dataset
    names: Mapping[str, str]
    kind: ClassVar[str] = "location"

    @property
    def configuration(self) -> dict[str, Any]:
        return {"classes": dict(self.names)}

    def measure(self, maps: Maps, index: int) -> Callable[[], Record]:
        """Explain a case; what is returned draws and measures its maps, in any process."""
        case = self.data.case(index)
        grids: dict[Row, list[_Grid]] = {}
        for thing in case.things:
            target = find_target(maps.backbone, thing.label, self.names)
            for setting, x in maps.explain(case.picture, target):
                for row, name in rows_of(setting, x).items():
                    grids.setdefault(row, []).append(_Grid(*x.grid(name), x.fit))
        whole = {row: each for row, each in grids.items() if len(each) == len(case.things)}
        return partial(_measure_grids, case, whole, (index, 7))


Drawn = tuple[np.ndarray, np.ndarray]  # a map on the picture, and on the protocol's grid


@dataclass(frozen=True, eq=False)
class _Grid:
    """A map at its own resolution, and where it is drawn."""

    heat: np.ndarray
    placement: Placement
    fit: Fit

    def drawn(self) -> Drawn:
        heat = draw(self.heat, self.placement, self.fit)
        if heat.shape == WSOL_SIZE:
            return heat, heat
        return heat, draw(self.heat, self.placement, self.fit.scaled_to(*WSOL_SIZE))


def _measure_grids(case: Case, grids: Mapping[Row, Sequence[_Grid]], seed: Sequence[int]) -> Record:
    """The record of a picture, of which one row is drawn at a time, and of maps without network."""

    def rows() -> Iterator[tuple[Row, Sequence[Drawn]]]:
        for row, each in grids.items():
            yield row, [grid.drawn() for grid in each]
        plain = baseline_maps(case.picture.height, case.picture.width, seed)
        for row, heat in plain.items():
            yield row, [(heat, _on_wsol_grid(heat))] * len(case.things)

    return measure_case(case, rows())


def _on_wsol_grid(heat: np.ndarray) -> np.ndarray:
    return heat if heat.shape == WSOL_SIZE else cv2.resize(heat, WSOL_SIZE[::-1])


def measure_case(case: Case, rows: Iterable[tuple[Row, Sequence[Drawn]]]) -> Record:
    """The record of a picture: for every row the map of each of its things, in their order."""
    truths = [_Truth.of(case, thing) for thing in case.things]
    labels = case.labels if case.exact else None
    names, single, boxes, pixels, seeds = [], [], [], [], []
    for row, pairs in rows:
        names.append(str(row))
        threshold = usual_threshold(row.map)
        single.append(
            [measure_thing(heat, case, number, threshold) for number, (heat, _) in enumerate(pairs)]
        )
        scaled = [curves.min_max(small) for _, small in pairs]
        each = list(zip(scaled, truths, strict=True))
        boxes.append([curves.box_curves(heat, truth.boxes) for heat, truth in each])
        pixels.append(
            [curves.pixel_counts(heat, truth.mask, ignored=truth.ignored) for heat, truth in each]
        )
        if labels is not None:
            heats = np.stack([heat for heat, _ in pairs])
            seeds.append(curves.seed_counts(heats, labels, SEED_THRESHOLDS))
    return Record(
        rows=tuple(names),
        labels=tuple(thing.label for thing in case.things),
        values={
            "single": np.array(single, np.float32),
            "boxes": np.array(boxes, np.float32),
            "pixels": np.array(pixels, np.int32),
            **({"seeds": np.array(seeds, np.int32)} if seeds else {}),
        },
    )


@dataclass(frozen=True, eq=False)
class _Truth:
    """The truth of a thing on the protocol's grid."""

    mask: np.ndarray
    boxes: np.ndarray
    ignored: np.ndarray | None

    @classmethod
    def of(cls, case: Case, thing: Thing) -> "_Truth":
        size = thing.mask.shape
        if size == WSOL_SIZE:
            return cls(thing.mask, thing.boxes, case.ignored)
        ignored = None if case.ignored is None else curves.wsol_mask(case.ignored)
        boxes = np.array([curves.wsol_box(box, size) for box in thing.boxes])
        return cls(curves.wsol_mask(thing.mask), boxes, ignored)


def measure_thing(heat: np.ndarray, case: Case, number: int, threshold: float) -> list[float]:
    """The figures of `SINGLE` of one map of things[number]; share is NaN where it stands alone."""
    thing = case.things[number]
    counted = heat[None].reshape(1, -1), thing.mask.reshape(1, -1)
    if case.ignored is not None:
        kept = ~case.ignored
        counted = heat[kept][None], thing.mask[kept][None]
    found = localization.measure(*counted, threshold=threshold)
    found["pointing"] = float(localization.pointing_hit(heat, thing.mask))
    found["energy"] = found["energy_inside"]
    in_boxes = box_mask(thing.boxes, *heat.shape)
    found["energy_box"] = localization.energy_inside(heat, in_boxes)
    found["share"] = localization.asked_share(
        heat, thing.mask, [other.mask for other in case.things if other is not thing]
    )
    return [found[name] for name in SINGLE]


def summarize(
    records: Sequence[Record], row: str, resampled: Resampled
) -> dict[str, tuple[float, float, float]]:
    """Figure -> (value, low, high) of one row of a set; NaN where the set does not define it."""
    held = [(record, record.rows.index(row)) for record in records]
    pictures = np.repeat(np.arange(len(held)), [len(record.labels) for record, _ in held])
    weights = resampled.of(pictures)
    labels = [label for record, _ in held for label in record.labels]

    def collected(name: str) -> np.ndarray:
        return np.concatenate([record.values[name][at] for record, at in held])

    single, boxes = collected("single"), collected("boxes")
    found: dict[str, Any] = {}
    for number, name in enumerate(SINGLE):
        found[name] = weighted_mean(weights, single[:, number])
    found["pointing"] = mean_over_classes(weights, single[:, SINGLE.index("pointing")], labels)
    accuracy = {
        iou: [weights @ (boxes[:, kind] >= iou) / weights.sum(axis=1)[:, None] for kind in (0, 1)]
        for iou in BOX_IOUS
    }
    found["max_box_acc"] = _at_best(accuracy[0.5][0])
    found["max_box_acc_v2"] = np.mean([_at_best(accuracy[iou][1]) for iou in BOX_IOUS], axis=0)
    pixels = collected("pixels").astype(np.float64)
    summed = np.tensordot(weights, pixels, axes=1)
    found["pxap"] = curves.area_below(summed)
    if all("seeds" in record.values for record, _ in held):
        found["seed_miou"] = seed_mious(held, resampled.weights)
    return {
        name: resampled.interval(found[name]) if name in found else (np.nan,) * 3
        for name in FIGURES
    }


def weighted_mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(B,): the mean by every row of weights, (B, N), of those of N values that are numbers."""
    there = np.isfinite(values)
    total = weights[:, there].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return weights[:, there] @ values[there].astype(np.float64) / total


def mean_over_classes(weights: np.ndarray, values: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """(B,): the mean of each class, averaged over the classes that a resample holds.

    Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016 (pointing game).
    """
    classes = np.array([[label == each for each in dict.fromkeys(labels)] for label in labels])
    total = weights @ classes
    hits = weights @ (classes * values[:, None].astype(np.float64))
    with np.errstate(invalid="ignore"):
        return np.nanmean(hits / total, axis=1)


def _at_best(values: np.ndarray) -> np.ndarray:
    """(B,): values by threshold, (B, T), at the threshold that is best for the set, its first row.

    A threshold chosen anew for every resample would raise them all, and the interval with them.
    """
    return values[:, int(np.argmax(values[0]))]


def seed_mious(held: Sequence[tuple[Record, int]], weights: np.ndarray) -> np.ndarray:
    """(B,): mIoU by every row of weights, (B, pictures), at the set's best threshold."""
    mious = seed_curve(held)
    hits, true, given = class_tally(held, int(np.argmax(mious)))
    return mean_iou(*(weights @ each for each in (hits, true, given)))


def seed_curve(held: Sequence[tuple[Record, int]]) -> np.ndarray:
    """mIoU of classes and background of a set, by `SEED_THRESHOLDS`."""
    place = _places(held)
    summed = np.zeros((3, len(SEED_THRESHOLDS), len(place)))
    for record, at in held:
        summed[:, :, _classes_of(record, place)] += _tally(record.values["seeds"][at])
    return mean_iou(*summed)


def mean_iou(hits: np.ndarray, true: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(...): the mean IoU over classes, (..., C), of pixels that are summed over a set.

    A class that is neither there nor given has no IoU; see `localization.seed_miou`.
    """
    unions = true + given - hits
    ious = np.divide(hits, unions, out=np.full(hits.shape, np.nan), where=unions > 0)
    return np.nanmean(ious, axis=-1)


def class_tally(
    held: Sequence[tuple[Record, int]], threshold: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, true and given pixels of every class, background first, (pictures, C) each.

    threshold: its number among those at which the seeds of the records were counted.
    """
    place = _places(held)
    tally = np.zeros((3, len(held), len(place)))
    for picture, (record, at) in enumerate(held):
        classes = _classes_of(record, place)
        tally[:, picture, classes] = _tally(record.values["seeds"][at][threshold])
    return tally[0], tally[1], tally[2]


def _places(held: Sequence[tuple[Record, int]]) -> dict[str, int]:
    """Class -> its place among those of a set; "", the background, comes first."""
    names = ["", *dict.fromkeys(label for record, _ in held for label in record.labels)]
    return {name: number for number, name in enumerate(names)}


def _classes_of(record: Record, place: Mapping[str, int]) -> list[int]:
    """The classes of a picture's confusion, in its order."""
    return [0, *(place[label] for label in record.labels)]


def _tally(counts: np.ndarray) -> np.ndarray:
    """Hits, true and given pixels, (3, ..., K + 1), of confusions (..., K + 1, K + 1)."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return np.stack([hits, counts.sum(axis=-1), counts.sum(axis=-2)])


@dataclass(frozen=True, eq=False)
class Curves:
    """Figures of one row of a set by threshold, (T,) each, thresholds rising.

    precision, recall: of all pixels together, at or above the threshold.  box_acc: boxes with IoU
    .5, of the largest contour.  seed_miou: by `SEED_THRESHOLDS`, NaN between them.
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    box_acc: np.ndarray
    seed_miou: np.ndarray


def curves_of(records: Sequence[Record], row: str) -> Curves:
    """The curves of one row of a set."""
    held = [(record, record.rows.index(row)) for record in records]
    pixels = sum(record.values["pixels"][at].sum(axis=0) for record, at in held)
    precision, recall = (each[::-1][:-1] for each in curves.precision_recall(pixels))
    boxes = np.concatenate([record.values["boxes"][at][:, 0] for record, at in held])
    thresholds = np.array(WSOL_THRESHOLDS)
    seeds = np.full(len(thresholds), np.nan)
    if all("seeds" in record.values for record, _ in held):
        places = np.searchsorted(thresholds + 1e-9, SEED_THRESHOLDS)
        seeds[places] = seed_curve(held)
    return Curves(thresholds, precision, recall, (boxes >= 0.5).mean(axis=0), seeds)
