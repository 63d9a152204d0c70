"""Whether contrast with another class shows what tells the two apart.

    OMP_NUM_THREADS=1 python -m benchmarks.contrast [NAME ...] [--count 80] [--seed choose|report]

Drawn scenes come in pairs that differ in one telling part: a ram is a sheep with horns. Of each
scene of a special class the map of that class alone, against its plain sister (for several gamma),
and against the three nearest classes. The figure is a ratio of densities,

    mean heat on the pixels of the telling part / mean heat on the other pixels of the thing

1 where a map does not tell the part from the rest; a ratio above `HIGHEST`, of a map with next to
nothing on the rest, counts as that. Means with a 95 % interval, medians, the paired gain over the
class alone, how often the peak is on the part, and in how many scenes the sister is one of the
nearest. Maps are fused, without refinement; `--fuse` takes another fusion than the default.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.cases import SEEDS
from benchmarks.defaults import mean_and_interval
from camviz import Backbone, Engine
from camviz.methods import METHODS
from camviz.network.bundled import bundled_names
from camviz.scenes import PAIRS, SceneObject, draw_scene

SISTERS = {special: plain for plain, special, _ in PAIRS}
METHODS_SHOWN = ("layer_cam", "hires_cam")
ALONE, NEAREST = "alone", "against the three nearest"
HIGHEST = 20.0


def contrasts(label: str) -> dict[str, dict[str, Any]]:
    """Row -> options of `explain`."""
    sister = SISTERS[label]
    against = {f"against its sister, gamma {g:g}": g for g in (0.6, 1.0, 2.0)}
    rows: dict[str, dict[str, Any]] = {ALONE: {}}
    rows |= {row: {"versus": sister, "gamma": gamma} for row, gamma in against.items()}
    return rows | {NEAREST: {"versus": "nearest"}}


def special_scenes(seed: int, count: int) -> Iterator[tuple[np.ndarray, SceneObject]]:
    """Scenes of one thing that has a telling part."""
    index = 0
    while count:
        scene = draw_scene(seed, index, two_objects=0.0)
        thing = scene.objects[0]
        if thing.telling is not None:
            yield scene.image, thing
            count -= 1
        index += 1


def figures_of(heat: np.ndarray, thing: SceneObject) -> tuple[float, bool]:
    """The ratio of densities, and whether the peak is on the telling part."""
    assert thing.telling is not None
    part = thing.parts[thing.telling]
    on_part, on_rest = float(heat[part].mean()), float(heat[thing.mask & ~part].mean())
    ratio = on_part / on_rest if on_rest else HIGHEST if on_part else 1.0
    return min(ratio, HIGHEST), bool(part.flat[heat.argmax()])


def table(engine: Engine, backbone: Backbone, seed: int, count: int, fuse: str) -> None:
    """Print the rows of one network."""
    found: dict[tuple[str, str], list[tuple[float, bool]]] = defaultdict(list)
    with_sister = 0
    for pixels, thing in special_scenes(seed, count):
        sister = backbone.target(SISTERS[thing.label])
        for method in METHODS_SHOWN:
            for row, options in contrasts(thing.label).items():
                x = engine.explain(
                    pixels, backbone, target=thing.label, method=method, fuse=fuse,
                    refine="none", **options,
                )  # fmt: skip
                found[method, row].append(figures_of(x.fused, thing))
        with_sister += sister in x.request.references  # of the last row: the nearest
    print(f"\n{backbone.name}: {count} scenes, seed {seed}, fusion {fuse}")
    print("| map | density on the part | median | gain | peak on the part |")
    print("| --- | --- | --- | --- | --- |")
    for (method, row), values in found.items():
        ratios, peaks = np.array(values, float).T
        gain = ratios - np.array(found[method, ALONE], float)[:, 0]
        print(
            f"| {METHODS[method].label} {row} | {mean_and_interval(ratios)} | "
            f"{np.median(ratios):.2f} | {mean_and_interval(gain, signed=True)} | "
            f"{peaks.mean():.2f} |",
            flush=True,
        )
    print(f"The sister is one of the three nearest in {with_sister} of {count} scenes.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--seed", choices=SEEDS, default="report")
    parser.add_argument("--fuse", default="auto")
    arguments = parser.parse_args()
    engine = Engine()
    drawn = [name for name in bundled_names() if name.startswith("scenes")]
    for name in arguments.names or drawn:
        backbone = engine.backbone(name)
        table(engine, backbone, SEEDS[arguments.seed], arguments.count, arguments.fuse)
