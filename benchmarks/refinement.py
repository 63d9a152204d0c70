"""How far a map should be spread, and by which features: the refined map on drawn scenes.

    OMP_NUM_THREADS=1 python -m benchmarks.refinement [NAME ...] [--count 80]
        [--seed choose|report] [--photos FOLDER] [--method NAME] [--keep FILE] [--all]

Every setting on the same traces of the default method, or of another, for every network: best IoU
over all thresholds and average precision on pictures of one thing (drawn scenes; mosaics of
photographs for networks that were not trained on scenes), and on scenes of two things the share of
heat on the one that was asked for, of that on both; means with a 95 % interval. The first row is
the fused map, the one marked * the default.

A setting is the features that say what looks alike, the power of their cosine, how many steps the
map is spread, and the power of the map by which the result is weighted. Features are read at

    coarse       the stages of at most 1,024 cells, which is the default; the last of them alone,
                 the last two, all but the last, all stages
    output       the same stages as they are put out, where that is not where they are explained
    hidden       what the last block of each coarse stage puts out inside, after its activation
    blocks       all blocks of a transformer, not only those that are stages
    values       the values of the attention of these blocks, and `attended`, what it put out

Unless `--all` is given, of each kind of features the best setting is printed, by average precision,
and of the default features all of them. `--keep FILE` keeps the figures of each picture, so that a
measurement that was stopped goes on.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import chain, product
from pathlib import Path

import numpy as np
import torch

from benchmarks.cases import SEEDS, Case, mosaics, scenes
from benchmarks.defaults import figures_of, mean_and_interval
from benchmarks.kept import Figures, Kept
from camviz import Backbone, Engine, open_picture
from camviz.engine.families import (
    blocks_of,
    default_stages,
    family_of,
    feature_stages,
    refinement_of,
)
from camviz.engine.options import AUTO
from camviz.maps.fusion import Placement
from camviz.maps.refine import Affinity, Refinement, refine
from camviz.network.attention import output_tap, values_tap
from camviz.network.bundled import bundled_names
from camviz.network.placement import plain_placement
from camviz.network.taps import Tap
from camviz.network.trace import trace
from camviz.network.weights import default_backbone

DRAWN = "scenes"  # how the names of networks for drawings begin
PLAIN, USUAL = "fused", "coarse"
SPREADS = ((8, 1), (4, 3), (8, 3), (16, 3))  # power and steps, of all features
KEEPS = (0, 0.1, 0.25, 0.35, 0.5)  # of the default features
BEST_IOU, AP, SHARE = 1, 2, 5  # places in `figures_of`


def features_of(backbone: Backbone) -> dict[str, list[Tap]]:
    """Name -> where features are read; no two names are of the same taps."""
    stages, coarse = default_stages(backbone), feature_stages(backbone)
    blocks = blocks_of(backbone)
    found = {USUAL: [stage.activation for stage in coarse]}
    found["last"] = [coarse[-1].activation]
    found["last two"] = [stage.activation for stage in coarse[-2:]]
    found["all but the last"] = [stage.activation for stage in coarse[:-1]]
    found["all stages"] = [stage.activation for stage in stages]
    found["output"] = [stage.output for stage in coarse]
    found["hidden"] = [backbone.stage(name).output for name in _hidden(backbone)]
    found["blocks"] = [backbone.stage(block.name).output for block in blocks]
    found["values"] = [values_tap(block) for block in blocks]
    found["attended"] = [output_tap(block) for block in blocks]
    different: dict[tuple[Tap, ...], str] = {}
    for name, taps in found.items():
        if taps:
            different.setdefault(tuple(taps), name)
    return {name: list(taps) for taps, name in different.items()}


def _hidden(backbone: Backbone) -> list[str]:
    """The last activation function inside each coarse stage that has a block with one."""
    names = [name for name, _ in backbone.model.named_modules() if name.endswith(".mlp.act")]
    inside = [
        [name for name in names if name.startswith(f"{stage.name}.")]
        for stage in feature_stages(backbone)
    ]
    return [each[-1] for each in inside if each]


def settings(backbone: Backbone, method: str) -> dict[str, tuple[str, Refinement]]:
    """Row -> features and how they are used."""
    usual = usual_refinement(backbone, method)
    chosen = [(USUAL, Refinement(8, steps, keep)) for steps, keep in product((2, 3), KEEPS)]
    for features, (power, steps) in product(features_of(backbone), SPREADS):
        chosen.append((features, Refinement(power, steps, usual.keep)))
    return {_row(*each): each for each in [(USUAL, usual), *chosen]}


def usual_refinement(backbone: Backbone, method: str) -> Refinement:
    """The default of a network and a method."""
    return refinement_of(backbone, family_of(backbone).method if method == AUTO else method)


def _row(features: str, how: Refinement) -> str:
    return f"{features}, {how.power:g}, {how.steps}, {how.keep:g}"


def affinities_of(backbone: Backbone, case: Case) -> dict[str, Affinity]:
    """Name of features -> what looks alike by them."""
    features = features_of(backbone)
    image, _ = backbone.prepare(open_picture(np.asarray(case.picture)))
    recorded = trace(backbone, image, list(dict.fromkeys(chain(*features.values()))))
    at = {
        tap: block
        for block in blocks_of(backbone)
        for tap in (values_tap(block), output_tap(block))
    }

    def read(tap: Tap) -> tuple[torch.Tensor, Placement]:
        tensor = recorded.activations[tap.address]
        if tap not in at:
            return tensor[0], plain_placement(tap, backbone.input_size)
        like = backbone.stage(at[tap].name).output  # tokens of heads, as places of channels
        maps = like.layout.to_nchw(tensor.transpose(1, 2).flatten(2))
        return maps[0], plain_placement(like, backbone.input_size)

    return {name: Affinity([read(tap) for tap in taps]) for name, taps in features.items()}


def rows_of(engine: Engine, backbone: Backbone, method: str, case: Case) -> Figures:
    """The figures of each setting, and of the fused map, on one case."""
    x = engine.explain(
        np.asarray(case.picture), backbone, target=case.target, method=method, refine="none"
    )
    grid, placement = x.fused_grid
    affinities = affinities_of(backbone, case)
    found = {PLAIN: figures_of(x.fused, case)}
    for row, (features, how) in settings(backbone, method).items():
        heat, onto = refine(torch.from_numpy(grid), placement, affinities[features], how)
        found[row] = figures_of(x.on_picture(heat.numpy(), onto), case)
    return found


def measure(
    engine: Engine,
    backbone: Backbone,
    method: str,
    kind: str,
    seed: int,
    cases: Iterator[Case],
    kept: Kept,
) -> dict[str, np.ndarray]:
    """Row -> (cases, figures)."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    for number, case in enumerate(cases):
        key = (backbone.name, method, kind, seed, number)
        for row, figures in kept.get(key, partial(rows_of, engine, backbone, method, case)).items():
            found[row].append(figures)
    return {row: np.array(rows) for row, rows in found.items()}


def table(
    engine: Engine,
    backbone: Backbone,
    method: str,
    photos: Path | None,
    seed: int,
    count: int,
    kept: Kept,
    *,
    every: bool,
) -> None:
    """Print the settings of one network."""
    drawn = backbone.name.startswith(DRAWN)
    if not drawn and photos is None:
        print(f"\n{backbone.display_name}: not trained on scenes; give --photos FOLDER")
        return
    if drawn:
        one = measure(engine, backbone, method, "scenes", seed, scenes(seed, count), kept)
        cases = scenes(seed, count, two=True)
        two = measure(engine, backbone, method, "two things", seed, cases, kept)
    else:
        cases = mosaics(photos, backbone, seed, count)
        one, two = measure(engine, backbone, method, "mosaics", seed, cases, kept), {}
    usual = _row(USUAL, usual_refinement(backbone, method))
    print(f"\n{backbone.display_name}: {count} pictures of one thing, seed {seed}")
    print("| features, power, steps, keep | best IoU | AP | gain in AP | share of two |")
    print("| --- | --- | --- | --- | --- |")
    for row in one if every else _best(one):
        share = mean_and_interval(two[row][:, SHARE]) if two else ""
        gain = mean_and_interval(one[row][:, AP] - one[usual][:, AP], signed=True)
        print(
            f"| {row}{' *' if row == usual else ''} | {mean_and_interval(one[row][:, BEST_IOU])} | "
            f"{mean_and_interval(one[row][:, AP])} | {'' if row == usual else gain} | {share} |",
            flush=True,
        )


def _best(found: dict[str, np.ndarray]) -> list[str]:
    """The rows of the default features, and of all others the one of the best precision each."""
    rows = [row for row in found if row.split(",")[0] in (PLAIN, USUAL)]
    others = dict.fromkeys(row.split(",")[0] for row in found if row not in rows)
    for features in others:
        of = [row for row in found if row.split(",")[0] == features]
        rows.append(max(of, key=lambda row: found[row][:, AP].mean()))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--seed", choices=SEEDS, default="choose")
    parser.add_argument("--photos", type=Path, metavar="FOLDER")
    parser.add_argument("--method", default=AUTO, metavar="NAME")
    parser.add_argument("--keep", type=Path, metavar="FILE")
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine, kept = Engine(), Kept(arguments.keep)
    for name in arguments.names or [*bundled_names(), default_backbone()]:
        table(
            engine,
            engine.backbone(name),
            arguments.method,
            arguments.photos,
            SEEDS[arguments.seed],
            arguments.count,
            kept,
            every=arguments.all,
        )
