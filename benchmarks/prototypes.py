"""Localisation by prototype maps, and their cost.

    OMP_NUM_THREADS=1 python -m benchmarks.prototypes [--count 500] [--gallery 32] [NAME]
    OMP_NUM_THREADS=1 python -m benchmarks.prototypes NAME --photos FOLDER [--gallery 12]
    OMP_NUM_THREADS=1 python -m benchmarks.prototypes --speed [resnet50]

Galleries are scenes before training backgrounds, the pictures judged stand before others; each
holds one thing, and the class drawn is the one explained. All classes come in pairs that differ
in one part; "special" rows are of those that have the part, whose CAM likes the part best.
Figures are means over scenes: IoU, recall and precision at 30 % of the maximum, recall at the
threshold where precision is one half, best IoU, average precision, pointing game (15 px), share
of energy inside; then the standard error of the difference in IoU and AP from CAM's.

--photos: the same on mosaics of four photographs of four classes, where the truth is the quarter
that shows the class (benchmarks.denoising has them). Galleries are training photographs that the
network is certain of; the classes are those with enough of them.

--speed, with random weights: building at one stage against the forwards alone, a query against
one forward and backward pass, in CPU seconds, medians over interleaved rounds.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.denoising import classify_photographs, mosaics
from camviz import Backbone, Engine, Picture, PrototypeBank, load_backbone, open_picture
from camviz.maps import localization
from camviz.network.target import Target
from camviz.network.trace import trace
from camviz.prototypes.bank import PAPER_TAU, TAU
from camviz.scenes import HELD_OUT_BACKGROUNDS, SCENE_CLASSES, TRAIN_BACKGROUNDS, draw_scene

GALLERY_SEED, SEED = 77, 2026
FIGURES = ("IoU .3", "recall .3", "prec. .3", "recall p½", "best IoU", "AP", "pointing", "energy")

Maps = Callable[[np.ndarray, str | int], np.ndarray]
Galleries = dict[str | int, list[Any]]  # pictures of each class
Case = tuple[np.ndarray, str | int, np.ndarray, bool]  # picture, class, where; has the telling part


def figures(heat: np.ndarray, truth: np.ndarray) -> list[float]:
    precision, recall = localization.precision_recall_at(heat, truth, 0.3)
    return [
        localization.iou_at(heat, truth, 0.3),
        recall,
        precision,
        recall_at_half(heat, truth),
        localization.best_iou(heat, truth)[0],
        localization.average_precision(heat, truth),
        float(localization.pointing_hit(heat, truth)),
        localization.energy_inside(heat, truth),
    ]


def recall_at_half(heat: np.ndarray, truth: np.ndarray) -> float:
    """The most of the object that any threshold covers while half of what it marks is object."""
    order = np.argsort(-heat, axis=None, kind="stable")
    hits = np.cumsum(truth.ravel()[order])
    good = np.flatnonzero(hits >= 0.5 * np.arange(1, hits.size + 1))
    return float(hits[good[-1]] / hits[-1]) if good.size else 0.0


def scene_galleries(gallery: int) -> Galleries:
    """Scenes before backgrounds of training."""
    return {
        label: [
            draw_scene(
                GALLERY_SEED, i, label=label, backgrounds=TRAIN_BACKGROUNDS, two_objects=0.0
            ).image
            for i in range(gallery)
        ]
        for label in SCENE_CLASSES
    }


def held_out_scenes(count: int) -> Iterator[Case]:
    for index in range(count):
        scene = draw_scene(SEED, index, backgrounds=HELD_OUT_BACKGROUNDS, two_objects=0.0)
        thing = scene.objects[0]
        yield scene.image, thing.label, thing.mask, thing.telling is not None


def photo_galleries(backbone: Backbone, folder: Path, gallery: int) -> Galleries:
    """Photographs of training, of every class with enough of them that was held out, too."""
    held_out = classify_photographs(folder, backbone)
    known = classify_photographs(folder, backbone, "train", 2400)
    return {
        target: pictures[:gallery]
        for target, pictures in known.items()
        if len(pictures) >= gallery and target in held_out
    }


def rows(engine: Engine, name: str, galleries: Galleries) -> dict[str, Maps]:
    """Named ways to make a map of (picture, class)."""
    last = engine.backbone(name).default_stages[-1]

    def banks(**options: object) -> dict[str | int, PrototypeBank]:
        return {
            label: engine.build_prototypes(pictures, name, label, **options)
            for label, pictures in galleries.items()
        }

    def plain(method: str) -> Maps:
        return lambda image, label: engine.explain(image, name, target=label, method=method).fused

    def local(held: dict[str | int, PrototypeBank], **options: object) -> Maps:
        return lambda image, label: (
            engine.explain(image, name, method="lpcam", prototypes=held[label], **options).fused
        )

    def from_picture(**options: object) -> Maps:
        return lambda image, label: (
            engine.explain(
                image, name, target=label, method="lpcam", prototypes="picture", **options
            ).fused
        )

    found = {"CAM": plain("cam"), "LayerCAM, fused": plain("layer_cam")}
    papers = banks(tau=PAPER_TAU, stages=[last])
    found[f"LPCAM, the paper's: {last}, tau 0.1"] = local(papers)
    every = list(engine.backbone(name).default_stages)
    for tau in (0.1, 0.25, 0.4):
        held = banks(tau=tau)
        for fusion in ("product", "mean"):
            found[f"fused, {fusion}, tau {tau}"] = local(held, fuse=fusion)
        if tau == TAU:
            for stage in every:
                found[f"{stage}, tau {tau}"] = local(held, stages=[stage])
            found[f"fused, all stages, product, tau {tau}"] = local(held, stages=every)
            found[f"fused, nearest prototype, tau {tau}"] = local(held, aggregate="max")
    found["picture alone, fused"] = from_picture()
    found[f"picture alone, {last}"] = from_picture(stages=[last])
    return found


def table(name: str, photos: Path | None, count: int, gallery: int) -> None:
    engine = Engine()
    backbone = engine.backbone(name)
    cases: Iterable[Case]
    if photos is None:
        galleries, cases, what = scene_galleries(gallery), held_out_scenes(count), "held-out scenes"
    else:
        galleries = photo_galleries(backbone, photos, gallery)
        labels = ", ".join(backbone.labels[target] for target in galleries)
        what = f"mosaics with one of {len(galleries)} classes ({labels})"
        numbered = mosaics(photos, backbone, count, 1, galleries)
        cases = ((np.asarray(image), label, mask, False) for _, (image, label, mask) in numbered)
    ways = rows(engine, name, galleries)
    found: dict[str, list[list[float]]] = defaultdict(list)
    special = []
    for image, label, mask, telling in cases:
        special.append(telling)
        for way, heat in ways.items():
            found[way].append(figures(heat(image, label), mask))
    print(f"\n{backbone.name}, {count} {what}, galleries of {gallery}")
    print(f"| map | {' | '.join(FIGURES)} | ± IoU | ± AP |")
    print("| --- |" + " --- |" * (len(FIGURES) + 2))
    base = np.array(found["CAM"])
    for way, values in found.items():
        every = np.array(values)
        spread = (every - base).std(axis=0) / count**0.5
        _print(way, every.mean(axis=0), spread)
    chosen = np.array(special)
    if not chosen.any():
        return
    for way, values in found.items():
        every = np.array(values)[chosen]
        spread = (every - base[chosen]).std(axis=0) / chosen.sum() ** 0.5
        _print(f"special: {way}", every.mean(axis=0), spread)


def _print(way: str, means: np.ndarray, spread: np.ndarray) -> None:
    cells = " | ".join(f"{value:.3f}" for value in means)
    print(f"| {way} | {cells} | {spread[0]:.3f} | {spread[5]:.3f} |", flush=True)


def speed(name: str, rounds: int) -> None:
    backbone = load_backbone(name, weights="random")
    size = (32, *backbone.input_size[1:], 3)
    pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    pictures = [open_picture(one) for one in pixels]
    last = backbone.default_stages[-1]
    engine = Engine()
    one, full = (
        engine.build_prototypes(pictures, backbone, 1, stages=stages) for stages in ([last], None)
    )
    taps = [backbone.stage(stage).activation for stage in backbone.default_stages]
    image, _ = backbone.prepare(pictures[0])
    engine.explain(pictures[0], backbone)

    def query(bank: PrototypeBank) -> None:
        engine.explain(pictures[0], backbone, method="lpcam", prototypes=bank)

    cases: dict[str, Callable[[], object]] = {
        "32 forwards": lambda: [forward(backbone, picture) for picture in pictures],
        "bank, last stage": lambda: Engine().build_prototypes(pictures, backbone, 1, stages=[last]),
        "bank, every stage": lambda: Engine().build_prototypes(pictures, backbone, 1),
        "forward and backward": lambda: trace(backbone, image, taps).gradients(Target(1)),
        "query, last stage": lambda: query(one),
        "query, coarser stages": lambda: query(full),
    }
    taken: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for case, run in cases.items():
            start = time.process_time()
            run()
            taken[case].append(time.process_time() - start)
    middle = {case: statistics.median(values) for case, values in taken.items()}
    for case, seconds in middle.items():
        against = "32 forwards" if case.startswith("bank") else "forward and backward"
        print(f"{name} {case:22} {seconds:8.4f} s  {seconds / middle[against]:.3f} of {against}")


def forward(backbone: Backbone, picture: Picture) -> None:
    image, _ = backbone.prepare(picture)
    with torch.inference_mode():
        backbone.model(image)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--gallery", type=int, default=32)
    parser.add_argument("--photos", type=Path, metavar="FOLDER")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.speed:
        speed(options.name or "resnet50", options.rounds)
    else:
        table(options.name or "scenes-resnet", options.photos, options.count, options.gallery)
