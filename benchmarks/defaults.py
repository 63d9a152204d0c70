"""What is true of maps by default: fusion, truncation, tap, stages, method and refinement.

    OMP_NUM_THREADS=1 python -m benchmarks.defaults [NAME ...] [--photos FOLDER] [--count 100]
        [--seed choose|report] [--kind KIND ...] [--all] [--rows ROW ...] [--against ROW]
        [--keep FILE]

For every network the settings that could be a default, on pictures whose truth is known
(`benchmarks.cases`): drawn scenes of one thing and of two for networks trained on scenes; mosaics
of four photographs, and things cut out of photographs and pasted into others, for the rest (FOLDER
with list.csv, as the training takes it). Each map plain and refined.

IoU at 20 % of the maximum, best IoU over all thresholds, average precision, pointing game (15
pixels), share of energy inside: means with a 95 % interval of the average precision, and its paired
gain over the row `--against`: the geometric mean of plain LayerCAM maps, which was the default
before. Of two things
also the share of heat on the one that was asked for, of that on both (.5: blind to the class).
Rows that end in "tap output" are of the layers as they are put out, for networks whose layers are
explained elsewhere (MobileNetV2, EfficientNet); those that begin with "against" are of the margin
over other classes, for the default method. `--all` prints every row, not the dozen best and those
that are named in docs/figures.md; `--rows` computes only those, "taps", "contrasts" and "views"
standing for all of a kind. `--keep FILE` keeps the figures of each picture, so that a measurement
that was stopped goes on.
"""

import argparse
from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cases import SEEDS, Case, mosaics, pasted, scenes
from benchmarks.kept import Figures, Kept
from camviz import FUSIONS, Backbone, Engine
from camviz.defaults import FUSED, NEAREST, REFINED
from camviz.engine.families import default_stages, family_of
from camviz.errors import CamvizError
from camviz.maps.localization import measure
from camviz.network.bundled import bundled_names
from camviz.network.weights import default_backbone

FIGURES = ("iou", "best_iou", "ap", "pointing", "energy_inside")
FORMER = "product"
GRADIENT = ("layer_cam_elementwise", "grad_cam", "xgrad_cam", "hires_cam")
ATTENTION = ("gae", "daam", "attn_lrp", "rollout")
DEFAULT_FUSION, AT_OUTPUT = "stretched_mean", "tap output"
# The likeliest other class, and the same where it has a probability of `LIKELY` at least.
NEXT, NEXT_IF_LIKELY = "next", "next if likely"
LIKELY = 0.05
MARGINS: dict[str, dict[str, Any]] = {
    "against the next class, gamma .6": {"versus": NEXT, "gamma": 0.6},
    "against the next class": {"versus": NEXT},
    "against the next class, if likely": {"versus": NEXT_IF_LIKELY},
    "against the three nearest": {"versus": NEAREST},
}
KINDS = ("scenes", "two things", "mosaics", "pasted")


def settings(backbone: Backbone) -> dict[str, dict[str, Any]]:
    """Row -> options of `explain`."""
    rows: dict[str, dict[str, Any]] = {"default": {}}
    for fuse in FUSIONS:
        rows[fuse] = {"fuse": fuse}
        rows[f"{fuse}, q .5"] = {"fuse": fuse, "truncation": 0.5}
        rows[f"{fuse}, q .9"] = {"fuse": fuse, "truncation": 0.9}
        rows[f"{fuse}, q auto"] = {"fuse": fuse, "truncation": "auto"}
    stages = backbone.default_stages
    rows["without the finest"] = {"stages": stages[1:]}
    rows["last two stages"] = {"stages": stages[-2:]}
    rows["last stage"] = {"stages": stages[-1:]}
    for views in ("flip", "paper"):
        rows[f"views {views}"] = {"views": views}
        for method in ("cam", "lpcam"):
            rows[f"{method}, views {views}"] = {"method": method, "views": views}
    for method in (*GRADIENT, "cam", "lpcam"):
        rows[method] = {"method": method}
    if any(stage.activation != stage.output for stage in default_stages(backbone)):
        for row in (*FUSIONS, *(f"{DEFAULT_FUSION}, q {q}" for q in (".5", ".9", "auto"))):
            rows[f"{row}, {AT_OUTPUT}"] = {**rows[row], "tap": "output"}
        for row in ("without the finest", "last two stages", "last stage", *GRADIENT):
            rows[f"{row}, {AT_OUTPUT}"] = {**rows[row], "tap": "output"}
    usual = family_of(backbone).method
    for row, margin in MARGINS.items():
        rows[row] = {"method": usual, **margin}
    for method in ATTENTION:
        rows[method] = {"method": method}
        rows[f"{method}, mean of the blocks"] = {"method": method, "fuse": "mean"}
    rows["recipro_cam"] = {"method": "recipro_cam"}
    rows["lpcam, stretched_mean"] = {"method": "lpcam", "fuse": "stretched_mean"}
    rows["lpcam, no rivals"] = {"method": "lpcam", "rivals": "none"}
    for row, options in rows.items():
        if row != "default":
            options.setdefault("method", "layer_cam")
    return rows


def cases(kind: str, engine: Engine, backbone: Backbone, photos: Path | None, **of: int) -> Any:
    """The cases of a kind; of: seed and count."""
    if kind in ("scenes", "two things"):
        return scenes(**of, two=kind == "two things")
    assert photos is not None, f"{kind} are made of photographs: give --photos FOLDER"
    if kind == "mosaics":
        return mosaics(photos, backbone, **of)
    return pasted(photos, engine, backbone, **of)


def chosen(backbone: Backbone, names: Collection[str], against: str) -> dict[str, dict[str, Any]]:
    """The rows of these names, and the one that they are compared with; all of them if none is."""
    rows = settings(backbone)
    if not names:
        return rows
    wanted = {against, *names}
    if "taps" in names:
        wanted |= {row for row in rows if row.endswith(AT_OUTPUT)}
        wanted |= {row.removesuffix(f", {AT_OUTPUT}") for row in wanted}
    if "views" in names:
        wanted |= {"default", "cam", "lpcam", *(row for row in rows if "views " in row)}
    if "contrasts" in names:
        wanted |= {"default", *MARGINS}
    return {row: options for row, options in rows.items() if row in wanted}


def rows_of(
    engine: Engine, backbone: Backbone, case: Case, row: str, options: dict[str, Any]
) -> Figures:
    """The figures of a row's fused and refined map; none for a method that cannot be had."""
    pixels = np.asarray(case.picture)
    if options.get("versus") in (NEXT, NEXT_IF_LIKELY):
        target = backbone.target(case.target)
        others = (row for row in engine.predict(pixels, backbone) if row[0] != target)
        rival, _, probability = next(others)
        contrasts = options["versus"] == NEXT or probability >= LIKELY
        options = {**options, "versus": rival if contrasts else None}
    try:
        x = engine.explain(pixels, backbone, target=case.target, **options)
    except CamvizError:
        return {}
    maps = {row: x.heat(FUSED), f"{row}, refined": x.heat(REFINED)}
    return {name: figures_of(heat, case) for name, heat in maps.items()}


def figures_of(heat: np.ndarray, case: Case) -> list[float]:
    """The figures of one map, those of `FIGURES` and the share of heat on what was asked for."""
    found = measure(heat, case.truth)
    asked, other = float(heat[case.truth].sum()), float(heat[case.others].sum())
    share = asked / (asked + other) if asked + other > 0 else 0.5
    return [*(found[name] for name in FIGURES), share]


def table(
    engine: Engine,
    backbone: Backbone,
    kind: str,
    seed: int,
    given: Iterator[Case],
    kept: Kept,
    *,
    every: bool,
    only: Collection[str],
    against: str,
) -> None:
    """Print the rows of one network on one kind of pictures, best first."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    rows = chosen(backbone, only, against)
    for number, case in enumerate(given):
        for row, options in rows.items():
            key = (backbone.name, kind, seed, number, row)
            figures = kept.get(key, partial(rows_of, engine, backbone, case, row, options))
            for name, values in figures.items():
                found[name].append(values)
    values = {row: np.array(rows) for row, rows in found.items()}
    base = values[against][:, FIGURES.index("ap")]
    count = len(base)
    two = kind == "two things"
    print(f"\n{backbone.display_name}, {kind}: {count}, seed {seed}; gain over {against}")
    print(f"| map | {' | '.join((*FIGURES, *(['share'] if two else [])))} | ap gain |")
    print("| --- |" + " --- |" * (len(FIGURES) + 1 + two))
    order = sorted(values, key=lambda row: -values[row][:, FIGURES.index("ap")].mean())
    named = {row for row in order if row.split(",")[0] in FUSIONS} | {
        "default",
        "grad_cam",
        "lpcam",
        *ATTENTION,
    }
    for place, row in enumerate(order):
        if every or place < 12 or row in named:
            array = values[row]
            means = [f"{mean:.3f}" for mean in array[:, : len(FIGURES)].mean(axis=0)]
            means[2] = mean_and_interval(array[:, 2])
            share = [mean_and_interval(array[:, -1])] if two else []
            gain = mean_and_interval(array[:, 2] - base, signed=True)
            print(f"| {row} | {' | '.join((*means, *share))} | {gain} |", flush=True)


def mean_and_interval(values: np.ndarray, *, signed: bool = False) -> str:
    """ "+.012 ± .003": a mean and its 95 % interval."""
    interval = 1.96 * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():{'+' if signed else ''}.3f} ± {interval:.3f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--photos", type=Path, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", choices=SEEDS, default="report")
    parser.add_argument("--kind", choices=KINDS, nargs="*")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--rows", nargs="*", default=(), metavar="ROW")
    parser.add_argument("--against", default=FORMER, metavar="ROW")
    parser.add_argument("--keep", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine, kept = Engine(), Kept(arguments.keep)
    for name in arguments.names or [*bundled_names(), default_backbone()]:
        backbone = engine.backbone(name)
        usual = KINDS[:2] if name.startswith("scenes") else KINDS[2:]
        for kind in arguments.kind or usual:
            of = {"seed": SEEDS[arguments.seed], "count": arguments.count}
            table(
                engine,
                backbone,
                kind,
                of["seed"],
                cases(kind, engine, backbone, arguments.photos, **of),
                kept,
                every=arguments.all or bool(arguments.rows),
                only=arguments.rows,
                against=arguments.against,
            )
