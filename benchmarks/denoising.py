"""The gain from truncating the gradient, on pictures whose truth is known.

    OMP_NUM_THREADS=1 python -m benchmarks.denoising [NAME ...] [--count 1000] [--rules]
    OMP_NUM_THREADS=1 python -m benchmarks.denoising NAME --photos FOLDER [--count 200] [--rules]

**Scenes**: each holds one drawn thing with its exact mask, before a background that was never
trained on; the class that is drawn is the one explained. Share of energy inside the thing, IoU at
20 % of the maximum, average precision.

**Photographs** (a folder with list.csv, as the training takes it): there are no masks, but a mosaic
of four pictures of four classes has a truth of its own: for each class, its own quarter. The
pictures are held-out ones that the network classifies with more than 80 % probability. Share of
energy inside the quarter (chance: 25 %), and whether the maximum lies there.
After Boehle et al., "Convolutional Dynamic Alignment Networks", CVPR 2021.

For every stage and fusion: plain LayerCAM and truncation at several q (RefineCAM's product of plain
stages is the row "fused, product", plain). q is chosen on the even half (`choose`) and reported on
the odd half (`report`): means with a 95 % interval, and paired gains over plain. `--rules`
compares other rules than the mirrored threshold, on the even half.
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from camviz import Backbone, Engine
from camviz.images import open_picture
from camviz.maps.localization import measure
from camviz.network.bundled import bundled_names
from camviz.scenes import HELD_OUT_BACKGROUNDS, draw_scene

SEED = 2027
SIDE = 224  # of a quarter, in pixels
CERTAIN = 0.8
FIGURES = ("energy_inside", "iou", "ap")
QUARTER = ("energy_inside", "pointing")
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
FUSIONS = ("product", "mean", "max_tanh")
RULES: dict[str, dict[str, Any]] = {
    "mirror .9": {"truncation": 0.9},
    "self .8": {"truncation": 0.8, "calibration": "self"},
    "self .9": {"truncation": 0.9, "calibration": "self"},
    "self .95": {"truncation": 0.95, "calibration": "self"},
    "0.1 of max": {"truncation": 0.1, "calibration": "relmax"},
    "cap .9": {"truncation": 0.9, "truncation_mode": "cap"},
    "remove": {"truncation": 0.9, "truncation_mode": "remove"},
}


Case = tuple[Image.Image, str | int, np.ndarray]  # a picture, a class, and where it is


def scenes(count: int, step: int) -> Iterator[tuple[int, Case]]:
    """One scene after the other, numbered."""
    for index in range(0, count, step):
        scene = draw_scene(SEED, index, backgrounds=HELD_OUT_BACKGROUNDS, two_objects=0.0)
        thing = scene.objects[0]
        yield index, (Image.fromarray(np.asarray(scene.image)), thing.label, thing.mask)


def mosaics(
    folder: Path, backbone: Backbone, count: int, step: int, first_of: Collection[int] = ()
) -> Iterator[tuple[int, Case]]:
    """Four photographs of four classes, and one of the classes, numbered.

    first_of: the classes that the explained one is chosen from, if not from all.
    """
    known = classify_photographs(folder, backbone)
    for index in range(0, count, step):
        random = np.random.default_rng([SEED, index])
        classes = random.choice(sorted(known), 4, replace=False)
        if first_of:
            first = random.choice(sorted(first_of))
            classes = [first, *(which for which in classes if which != first)][:4]
        whole = Image.new("RGB", (2 * SIDE, 2 * SIDE))
        for place, which in enumerate(classes):
            picture = known[which][random.integers(len(known[which]))]
            whole.paste(picture, (SIDE * (place % 2), SIDE * (place // 2)))
        truth = np.zeros((2 * SIDE, 2 * SIDE), bool)
        truth[:SIDE, :SIDE] = True  # the first of the four
        yield index, (whole, int(classes[0]), truth)


def classify_photographs(
    folder: Path, backbone: Backbone, split: str = "test", most: int = 600
) -> dict[int, list[Image.Image]]:
    """Photographs of a split, so many at most, by the class that the network is certain of."""
    with (folder / "list.csv").open() as lines:
        files = [row["file"] for row in csv.DictReader(lines) if row["split"] == split]
    known = defaultdict(list)
    for file in np.random.default_rng(SEED).permutation(files)[:most]:
        picture = Image.open(folder / file).convert("RGB").resize((SIDE, SIDE))
        image, _ = backbone.prepare(open_picture(picture), "stretch")
        with torch.inference_mode():
            best = backbone.model(image).softmax(1)[0].max(0)
        if best.values > CERTAIN:
            known[int(best.indices)].append(picture)
    return known


def maps_of(engine: Engine, backbone: Backbone, case: Case, rules: bool) -> Iterator[Any]:
    """((stage or fusion, row), map) for one case."""
    picture, target, _ = case
    rows: dict[str, dict[str, Any]] = {"plain": {}}
    rows |= RULES if rules else {f"q {q}": {"truncation": q} for q in LEVELS}
    for row, options in rows.items():
        for fusion in FUSIONS:
            x = engine.explain(picture, backbone, target=target, fuse=fusion, **options)
            if fusion == FUSIONS[0]:
                for stage in x.stages:
                    if row == "plain" or stage in x.request.truncated:
                        yield (stage, row), x.maps[stage]
            yield (f"fused, {fusion}", row), x.fused
    if rules:
        x = engine.explain(picture, backbone, target=target, method="hires_cam")
        for stage in x.stages:
            yield (stage, "HiRes-CAM"), x.maps[stage]


def table(name: str, photos: Path | None, count: int, rules: bool) -> None:
    engine = Engine()
    backbone = engine.backbone(name)
    step = 2 if rules else 1
    cases = scenes(count, step) if photos is None else mosaics(photos, backbone, count, step)
    columns = FIGURES if photos is None else QUARTER
    halves: tuple[dict[Any, list[Any]], ...] = (defaultdict(list), defaultdict(list))
    for index, case in cases:
        for key, heat in maps_of(engine, backbone, case, rules):
            figures = measure(heat, case[2])
            halves[index % 2][key].append([figures[column] for column in columns])
    for half, found in zip(("choose", "report"), halves, strict=True):
        if not found:
            continue
        pictures = "scenes" if photos is None else "mosaics"
        print(f"\n{backbone.name}, {len(next(iter(found.values())))} {pictures} to {half}")
        print(f"| map | rule | {' | '.join(columns)} | {' gain | '.join(columns)} gain |")
        print("| --- | --- |" + " --- |" * (2 * len(columns)))
        for where in dict.fromkeys(where for where, _ in found):
            plain = np.array(found[where, "plain"])
            for (place, row), values in found.items():
                if place == where:
                    cells = _cells(np.array(values)) + _cells(np.array(values) - plain)
                    print(f"| {where} | {row} | {' | '.join(cells)} |", flush=True)


def _cells(values: np.ndarray) -> list[str]:
    means, errors = values.mean(0), 1.96 * values.std(0, ddof=1) / len(values) ** 0.5
    return [f"{m:.3f} ± {e:.3f}" for m, e in zip(means, errors, strict=True)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--photos", type=Path, metavar="FOLDER")
    parser.add_argument("--rules", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names or [n for n in bundled_names() if n.startswith("scenes")]:
        table(name, options.photos, options.count, options.rules)
