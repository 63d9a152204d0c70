"""Localisation by the maps on held-out scenes with exact masks, for every bundled backbone.

    OMP_NUM_THREADS=1 python -m benchmarks.against_truth [--count 500]
        [--vary checkerboard|tap|method] [NAME ...]

Each scene holds one thing, before a background that was never trained on; the class that is
drawn is the one explained, whether or not the network names it. Figures are means over scenes
with the standard error of the mean: IoU at 20 % of the maximum, best IoU over all thresholds,
average precision, pointing game (15 px), share of energy inside.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch

from camviz import Engine, Explanation
from camviz.errors import MethodError
from camviz.maps.fusion import FUSIONS
from camviz.maps.localization import measure
from camviz.network.bundled import bundled_names
from camviz.scenes import HELD_OUT_BACKGROUNDS, Scene, draw_scene

SEED = 2026
FIGURES = ("iou", "best_iou", "ap", "pointing", "energy_inside")


def rows(engine: Engine, name: str, scene: Scene, vary: str) -> Iterator[tuple[str, np.ndarray]]:
    """Named maps of one scene."""
    thing = scene.objects[0]

    def explain(**options: object) -> Explanation:
        return engine.explain(scene.image, name, target=thing.label, **options)

    if vary == "method":
        for method in ("cam", "grad_cam"):
            try:
                last = explain(method=method)
            except MethodError:
                continue
            yield f"{method} {last.stages[-1]}", last.maps[last.stages[-1]]
        for fusion in FUSIONS:
            x = explain(fuse=fusion)
            if fusion == "product":
                yield from ((f"layer_cam {stage}", heat) for stage, heat in x.maps.items())
            yield f"layer_cam fused, {fusion}", x.fused
    else:
        choices = {"checkerboard": ("keep", "auto", "smooth"), "tap": ("output", "activation")}[
            vary
        ]
        for choice in choices:
            x = explain(**{vary: choice})
            for stage, heat in x.maps.items():
                yield f"{stage}, {choice}", heat
            yield f"fused, {choice}", x.fused


def table(name: str, count: int, vary: str) -> None:
    engine = Engine()
    found: dict[str, list[list[float]]] = defaultdict(list)
    right = 0
    for index in range(count):
        scene = draw_scene(SEED, index, backgrounds=HELD_OUT_BACKGROUNDS, two_objects=0.0)
        truth = scene.objects[0]
        for row, heat in rows(engine, name, scene, vary):
            figures = measure(heat, truth.mask)
            found[row].append([figures[figure] for figure in FIGURES])
        right += engine.explain(scene.image, name).label == truth.label
    print(f"\n{name}, {count} held-out scenes, {right / count:.1%} named right")
    print(f"| map | {' | '.join(FIGURES)} |")
    print("| --- |" + " --- |" * len(FIGURES))
    for row, values in found.items():
        means, errors = np.mean(values, axis=0), np.std(values, axis=0) / len(values) ** 0.5
        cells = " | ".join(f"{m:.3f} ± {e:.3f}" for m, e in zip(means, errors, strict=True))
        print(f"| {row} | {cells} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--vary", default="method", choices=("method", "checkerboard", "tap"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    scenes_only = [name for name in bundled_names() if name.startswith("scenes")]
    for name in options.names or scenes_only:
        table(name, options.count, options.vary)
