"""Whether truncation chosen for the picture ("auto") loses nothing on scenes and gains on mosaics.

    OMP_NUM_THREADS=1 python -m benchmarks.truncation [NAME ...] [--photos FOLDER] [--count 100]
        [--seed choose|report]

The fused map of a truncated gradient less that of the plain one, on the same pictures: IoU at 20 %,
average precision and share of energy inside, means with a 95 % interval; how often "auto" took the
noise out; and how much of the gain in energy of q = .9 it keeps. Drawn scenes before backgrounds
that were trained on and before others, for networks trained on scenes; mosaics of photographs and
pasted photographs for the rest (`benchmarks.cases`).
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.cases import SEEDS, Case, mosaics, pasted, scenes
from benchmarks.defaults import mean_and_interval
from camviz import Backbone, Engine
from camviz.maps.localization import average_precision, energy_inside, iou_at
from camviz.network.bundled import bundled_names
from camviz.network.weights import default_backbone
from camviz.scenes import HELD_OUT_BACKGROUNDS

LEVELS: tuple[float | str, ...] = (0.5, 0.9, "auto")


def compare(engine: Engine, backbone: Backbone, kind: str, cases: Iterator[Case]) -> None:
    """Print what each level changes, of one network on one kind of pictures."""
    found: dict[float | str, list[list[float]]] = defaultdict(list)
    taken = []
    for case in cases:
        pixels = np.asarray(case.picture)
        plain = None
        for level in (0.0, *LEVELS):
            x = engine.explain(pixels, backbone, target=case.target, truncation=level)
            figures = [
                iou_at(x.fused, case.truth),
                average_precision(x.fused, case.truth),
                energy_inside(x.fused, case.truth),
            ]
            plain = plain or figures
            found[level].append(np.subtract(figures, plain).tolist())
            if level == "auto":
                taken.append(x.request.truncation > 0)
    full = np.mean(found[0.9], axis=0)[2]
    for level in LEVELS:
        values = np.array(found[level])
        cells = [mean_and_interval(values[:, i], signed=True) for i in range(3)]
        kept = f"{values[:, 2].mean() / full:.0%}" if level == "auto" and full > 0 else ""
        often = f"{np.mean(taken):.0%}" if level == "auto" else ""
        line = f"| {backbone.name} | {kind}, {len(values)} | {level} | {' | '.join(cells)} |"
        print(f"{line} {kept} | {often} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--photos", type=Path, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", choices=SEEDS, default="report")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seed, count, photos = SEEDS[arguments.seed], arguments.count, arguments.photos
    engine = Engine()
    print("| network | pictures | q | IoU at 20 % | average precision | energy | kept | taken |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments.names or [*bundled_names(), default_backbone()]:
        backbone = engine.backbone(name)
        if name.startswith("scenes"):
            compare(engine, backbone, "scenes", scenes(seed, count))
            elsewhere = scenes(seed, count, backgrounds=HELD_OUT_BACKGROUNDS)
            compare(engine, backbone, "scenes elsewhere", elsewhere)
        elif photos is not None:
            compare(engine, backbone, "mosaics", mosaics(photos, backbone, seed, count))
            compare(engine, backbone, "pasted", pasted(photos, engine, backbone, seed, count))
