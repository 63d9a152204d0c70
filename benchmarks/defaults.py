"""What is true of maps by default: fusion, truncation, tap, stages, method and refinement.

    OMP_NUM_THREADS=1 python -m benchmarks.defaults [NAME ...] [--photos FOLDER] [--count 100]
        [--seed choose|report] [--kind KIND ...] [--all] [--rows ROW ...]

For every network the settings that could be a default, on pictures whose truth is known
(`benchmarks.cases`): drawn scenes of one thing and of two for networks trained on scenes; mosaics
of four photographs, and things cut out of photographs and pasted into others, for the rest (FOLDER
with list.csv, as the training takes it). Each map plain and refined.

IoU at 20 % of the maximum, best IoU over all thresholds, average precision, pointing game (15
pixels), share of energy inside: means with a 95 % interval of the average precision, and its paired
gain over the geometric mean of plain LayerCAM maps, which was the default before. Of two things
also the share of heat on the one that was asked for, of that on both (.5: blind to the class).
`--all` prints every row, not the dozen best and those that are named in docs/figures.md; `--rows`
computes only those.
"""

import argparse
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cases import SEEDS, Case, mosaics, pasted, scenes
from camviz import FUSIONS, Backbone, Engine
from camviz.defaults import FUSED, REFINED
from camviz.errors import CamvizError
from camviz.maps.localization import measure
from camviz.network.bundled import bundled_names
from camviz.network.weights import default_backbone

FIGURES = ("iou", "best_iou", "ap", "pointing", "energy_inside")
FORMER = "product"
ATTENTION = ("gae", "daam", "attn_lrp", "rollout")
KINDS = ("scenes", "two things", "mosaics", "pasted")


def settings(backbone: Backbone) -> dict[str, dict[str, Any]]:
    """Row -> options of `explain`."""
    rows: dict[str, dict[str, Any]] = {"default": {}}
    for fuse in FUSIONS:
        rows[fuse] = {"fuse": fuse}
        rows[f"{fuse}, q .5"] = {"fuse": fuse, "truncation": 0.5}
        rows[f"{fuse}, q .9"] = {"fuse": fuse, "truncation": 0.9}
        rows[f"{fuse}, q auto"] = {"fuse": fuse, "truncation": "auto"}
    rows["tap output"] = {"tap": "output"}
    stages = backbone.default_stages
    rows["without the finest"] = {"stages": stages[1:]}
    rows["last two stages"] = {"stages": stages[-2:]}
    rows["last stage"] = {"stages": stages[-1:]}
    rows["views flip"] = {"views": "flip"}
    rows["views paper"] = {"views": "paper"}
    rows["against the next class"] = {"versus": "next"}
    for method in ("layer_cam_elementwise", "grad_cam", "xgrad_cam", "hires_cam", "cam", "lpcam"):
        rows[method] = {"method": method}
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


def maps_of(
    engine: Engine, backbone: Backbone, case: Case, only: Collection[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """Every row's fused and refined map of one case; only: of these rows and the former default."""
    pixels = np.asarray(case.picture)
    for row, options in settings(backbone).items():
        if only and row not in (*only, FORMER):
            continue
        if options.get("versus") == "next":
            best = engine.predict(pixels, backbone)
            target = backbone.target(case.target)
            options = {"versus": next(index for index, *_ in best if index != target)}
        try:
            x = engine.explain(pixels, backbone, target=case.target, **options)
        except CamvizError:  # a method that this network cannot have
            continue
        yield row, x.heat(FUSED)
        yield f"{row}, refined", x.heat(REFINED)


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
    given: Iterator[Case],
    *,
    every: bool,
    only: Collection[str],
) -> None:
    """Print the rows of one network on one kind of pictures, best first."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    for case in given:
        for row, heat in maps_of(engine, backbone, case, only):
            found[row].append(figures_of(heat, case))
    values = {row: np.array(rows) for row, rows in found.items()}
    count = len(values[FORMER])
    two = kind == "two things"
    print(f"\n{backbone.name}, {kind}: {count}")
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
            gain = mean_and_interval(array[:, 2] - values[FORMER][:, 2], signed=True)
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
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine = Engine()
    for name in arguments.names or [*bundled_names(), default_backbone()]:
        backbone = engine.backbone(name)
        usual = KINDS[:2] if name.startswith("scenes") else KINDS[2:]
        for kind in arguments.kind or usual:
            of = {"seed": SEEDS[arguments.seed], "count": arguments.count}
            table(
                engine,
                backbone,
                kind,
                cases(kind, engine, backbone, arguments.photos, **of),
                every=arguments.all or bool(arguments.rows),
                only=arguments.rows,
            )
