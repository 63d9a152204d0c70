"""Which prototypes of middle stages to leave out: by the class's own maps at their places.

    OMP_NUM_THREADS=1 python -m benchmarks.prototype_scores [NAME ...] [--count 60] [--gallery 16]
        [--seed choose report] [--photos FOLDER] [--keep FILE]

The head scores prototypes of the last stage; of the stages before it all are kept. Here each of
them is scored by the class at the places of the gallery that it stands for: those that are more
like it than like any other prototype of its stage. z_k = mean over these places of

    probability  the class by the head on the last map there, which every bank has
    gradient     LayerCAM's map of that stage, of the class
    refined CAM  the refined map of CAM, of the class

A prototype of the class is kept if z_k is at least the mean over all places, one of the context if
it is at most that; the best one stays in any case. Galleries are drawn scenes before backgrounds of
training, or photographs; a case is a scene of one thing, each of two things, or a mosaic of four
photographs of classes with a gallery. Average precision, best IoU, recall at 30 % of the maximum
and, of two, the share of heat on the thing that was asked for: of the fused and refined map of
LPCAM, means with a 95 % interval, and the paired gain over keeping all.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cases import SEEDS, Case, scenes
from benchmarks.defaults import mean_and_interval
from benchmarks.denoising import mosaics
from benchmarks.kept import Figures, Kept
from benchmarks.prototypes import Galleries, photo_galleries, scene_galleries
from camviz import Backbone, Engine, PrototypeBank
from camviz.defaults import FUSED, REFINED
from camviz.engine.explanation import Explanation
from camviz.maps import localization
from camviz.maps.refine import average

ALL = "all"
SCORES = ("probability", "gradient", "refined CAM")
FIGURES = ("best IoU", "AP", "recall .3", "share of two")
DRAWN = "scenes"  # how the names of networks for drawings begin

Banks = dict[str, dict[str | int, PrototypeBank]]  # by score, by class


def make_banks(engine: Engine, backbone: Backbone, galleries: Galleries) -> Banks:
    """The bank of each class with all prototypes, and without those of a low score."""
    banks: Banks = {ALL: {}, **{score: {} for score in SCORES}}
    for target, pictures in galleries.items():
        bank = engine.build_prototypes(pictures, backbone, target)
        banks[ALL][target] = bank
        middle = [name for name, held in bank.stages.items() if held.scoring != "head"]
        banks["probability"][target] = _by_probability(bank, middle)
        rated = _rate(engine, backbone, target, bank, pictures, middle)
        for score in SCORES[1:]:
            kept = bank
            for stage in middle:
                kept = filter_stage(kept, stage, *rated[score, stage])
            banks[score][target] = kept
    return banks


def _by_probability(bank: PrototypeBank, middle: list[str]) -> PrototypeBank:
    for stage in middle:
        rows = bank.stage(stage).prototypes
        scores = np.array([np.nan if row.score is None else row.score for row in rows])
        if not np.isnan(scores).any():
            sizes = np.array([row.size for row in rows])
            bank = filter_stage(bank, stage, scores, float((scores * sizes).sum() / sizes.sum()))
    return bank


def filter_stage(bank: PrototypeBank, stage: str, scores: np.ndarray, mean: float) -> PrototypeBank:
    """The bank without the prototypes of a stage that a score speaks against.

    scores: one a prototype; mean: of all places. Prototypes without a place have NaN and are kept.
    """
    rows = bank.stage(stage).prototypes
    own = [index for index, row in enumerate(rows) if row.kind == "foreground"]
    best = max(own, key=lambda index: np.nan_to_num(scores[index], nan=-1.0))
    for index, row in enumerate(rows):
        against = scores[index] < mean if row.kind == "foreground" else scores[index] > mean
        if against and index != best:
            bank = bank.keep(stage, index, False)
    return bank


def _rate(
    engine: Engine,
    backbone: Backbone,
    target: str | int,
    bank: PrototypeBank,
    pictures: list[Any],
    middle: list[str],
) -> dict[tuple[str, str], tuple[np.ndarray, float]]:
    """(score, stage) -> the score of each prototype, and the mean over all places."""
    members = defaultdict[str, list[np.ndarray]](list)
    heats = defaultdict[tuple[str, str], list[np.ndarray]](list)
    for picture in pictures:
        explain = partial(engine.explain, picture, backbone, target=target)
        x = explain(method="lpcam", prototypes=bank, rivals="none", stages=middle)
        gradient = explain(method="layer_cam", stages=middle, refine="none")
        refined = explain(method="cam")
        for stage in middle:
            members[stage].append(x.cosines[stage].argmax(axis=0).ravel())
            heats["gradient", stage].append(gradient.grid(stage)[0].ravel())
            heats["refined CAM", stage].append(_on_stage(refined, x, stage).ravel())
    rated = {}
    for (score, stage), values in heats.items():
        heat, member = np.concatenate(values), np.concatenate(members[stage])
        count = len(bank.stage(stage).prototypes)
        places = np.bincount(member, minlength=count)
        total = np.bincount(member, weights=heat, minlength=count)
        scores = np.where(places > 0, total / np.maximum(places, 1), np.nan)
        rated[score, stage] = scores, float(heat.mean())
    return rated


def _on_stage(y: Explanation, x: Explanation, stage: str) -> np.ndarray:
    """The refined map of one explanation on the grid of a stage of another."""
    heat, placement = y.grid(REFINED)
    rows, columns = x.raw[stage].shape
    onto = x.placements[stage]
    return average(torch.from_numpy(heat), placement, (rows, columns), onto).numpy()


def rows_of(engine: Engine, backbone: Backbone, banks: Banks, case: Case) -> Figures:
    """The figures of each way to leave prototypes out, on one case."""
    found: Figures = {}
    for score, held in banks.items():
        x = engine.explain(
            np.asarray(case.picture), backbone, method="lpcam", prototypes=held[case.target]
        )
        for of in (FUSED, REFINED):
            found[f"{score}, {of}"] = figures_of(x.heat(of), case)
    return found


def figures_of(heat: np.ndarray, case: Case) -> list[float]:
    """Those of `FIGURES`."""
    return [
        localization.best_iou(heat, case.truth)[0],
        localization.average_precision(heat, case.truth),
        localization.precision_recall_at(heat, case.truth, 0.3)[1],
        localization.asked_share(heat, case.truth, [case.others]),
    ]


def photo_mosaics(
    backbone: Backbone, folder: Path, galleries: Galleries, seed: int, count: int
) -> Iterator[Case]:
    """Mosaics of four photographs, of which one of a class with a gallery is explained."""
    half = 0 if seed == SEEDS["choose"] else 1
    for index, (picture, target, truth) in mosaics(folder, backbone, 2 * count, 1, galleries):
        if index % 2 == half:
            yield Case(picture, target, truth, ~truth)


def table(
    engine: Engine,
    name: str,
    photos: Path | None,
    seeds: list[int],
    count: int,
    gallery: int,
    kept: Kept,
) -> None:
    """Print what each score does to the maps of one network."""
    backbone = engine.backbone(name)
    drawn = backbone.name.startswith(DRAWN)
    if not drawn and photos is None:
        print(f"\n{backbone.display_name}: not trained on scenes; give --photos FOLDER")
        return
    galleries = scene_galleries(gallery) if drawn else photo_galleries(backbone, photos, gallery)
    banks = make_banks(engine, backbone, galleries)
    for score, held in banks.items():
        stages = [stage for bank in held.values() for stage in bank.stages.values()]
        kept_of = [row.kept for stage in stages for row in stage.prototypes]
        print(f"{score}: {np.mean(kept_of):.0%} of the prototypes", flush=True)
    for seed in seeds:
        kinds = {"mosaics": photo_mosaics(backbone, photos, galleries, seed, count)}
        if drawn:
            two = scenes(seed, count // 2, two=True)
            kinds = {"scenes": scenes(seed, count), "two things": two}
        for kind, given in kinds.items():
            found: dict[str, list[list[float]]] = defaultdict(list)
            for number, case in enumerate(given):
                key = (backbone.name, kind, seed, gallery, number)
                figures = kept.get(key, partial(rows_of, engine, backbone, banks, case))
                for row, values in figures.items():
                    found[row].append(values)
            arrays = {row: np.array(values) for row, values in found.items()}
            _print(backbone, kind, seed, arrays)


def _print(backbone: Backbone, kind: str, seed: int, found: dict[str, np.ndarray]) -> None:
    print(f"\n{backbone.display_name}, {kind}: {len(next(iter(found.values())))}, seed {seed}")
    print(f"| prototypes, map | {' | '.join(FIGURES)} | gain in AP |")
    print("| --- |" + " --- |" * (len(FIGURES) + 1))
    for row, values in found.items():
        cells = [mean_and_interval(column) for column in values.T]
        of = row.rpartition(", ")[2]
        gain = mean_and_interval(values[:, 1] - found[f"{ALL}, {of}"][:, 1], signed=True)
        print(f"| {row} | {' | '.join(cells)} | {gain} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["scenes-resnet", "scenes-convnext"])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--gallery", type=int, default=16)
    parser.add_argument("--seed", choices=SEEDS, nargs="*", default=list(SEEDS))
    parser.add_argument("--photos", type=Path, metavar="FOLDER")
    parser.add_argument("--keep", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine, kept = Engine(), Kept(arguments.keep)
    for name in arguments.names:
        table(
            engine,
            name,
            arguments.photos,
            [SEEDS[seed] for seed in arguments.seed],
            arguments.count,
            arguments.gallery,
            kept,
        )
