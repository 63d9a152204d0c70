"""How far a map should be spread: power, steps and keep of the refined map, on drawn scenes.

    OMP_NUM_THREADS=1 python -m benchmarks.refinement [NAME ...] [--count 80]
        [--seed choose|report] [--photos FOLDER]

Every setting on the same traces of the default method, for every network: best IoU over all
thresholds and average precision on pictures of one thing (drawn scenes; mosaics of photographs for
networks that were not trained on scenes), and on scenes of two things the share of heat on the one
that was asked for, of that on both. The first row is the fused map, the one marked * the default.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch

from benchmarks.cases import SEEDS, Case, mosaics, scenes
from benchmarks.defaults import figures_of, mean_and_interval
from camviz import Backbone, Engine
from camviz.engine.families import family_of
from camviz.maps.refine import Refinement, refine
from camviz.network.bundled import bundled_names
from camviz.network.weights import default_backbone

SETTINGS = [
    Refinement(power, steps, keep)
    for power, steps, keep in product((8,), (2, 3), (0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.5, 1))
]
DRAWN = "scenes"  # how the names of networks for drawings begin
BEST_IOU, AP, SHARE = 1, 2, 5  # places in `figures_of`


def rows_of(
    engine: Engine, backbone: Backbone, cases: Iterator[Case]
) -> dict[Refinement | None, np.ndarray]:
    """Setting -> (cases, figures); None: of the fused map."""
    found: dict[Refinement | None, list[list[float]]] = defaultdict(list)
    for case in cases:
        x = engine.explain(np.asarray(case.picture), backbone, target=case.target)
        grid, placement = x.fused_grid
        found[None].append(figures_of(x.fused, case))
        for how in SETTINGS:
            heat, onto = refine(torch.from_numpy(grid), placement, x.affinity, how)
            found[how].append(figures_of(x.on_picture(heat.numpy(), onto), case))
    return {how: np.array(rows) for how, rows in found.items()}


def table(engine: Engine, backbone: Backbone, photos: Path | None, seed: int, count: int) -> None:
    """Print every setting of one network."""
    drawn = backbone.name.startswith(DRAWN)
    if not drawn and photos is None:
        print(f"\n{backbone.name}: not trained on scenes; give --photos FOLDER")
        return
    one = rows_of(
        engine,
        backbone,
        scenes(seed, count) if drawn else mosaics(photos, backbone, seed, count),
    )
    two = rows_of(engine, backbone, scenes(seed, count, two=True)) if drawn else {}
    usual = family_of(backbone).refinement
    print(f"\n{backbone.display_name}: {count} pictures of one thing, seed {seed}")
    print("| power, steps, keep | best IoU | AP | share of two |")
    print("| --- | --- | --- | --- |")
    for how, values in one.items():
        name = "fused" if how is None else f"{how.power:g}, {how.steps}, {how.keep:g}"
        share = mean_and_interval(two[how][:, SHARE]) if two else ""
        print(
            f"| {name}{' *' if how == usual else ''} | {mean_and_interval(values[:, BEST_IOU])} | "
            f"{mean_and_interval(values[:, AP])} | {share} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--seed", choices=SEEDS, default="choose")
    parser.add_argument("--photos", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine = Engine()
    for name in arguments.names or [*bundled_names(), default_backbone()]:
        table(
            engine,
            engine.backbone(name),
            arguments.photos,
            SEEDS[arguments.seed],
            arguments.count,
        )
