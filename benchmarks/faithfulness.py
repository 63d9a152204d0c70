"""Faithfulness of maps: what measuring it costs, and what it says of drawn scenes.

    OMP_NUM_THREADS=1 python -m benchmarks.faithfulness cost [scenes-resnet ...] [--rounds 5]
    OMP_NUM_THREADS=1 python -m benchmarks.faithfulness wait [scenes-resnet ...] [--rounds 5]
    OMP_NUM_THREADS=1 python -m benchmarks.faithfulness scenes [scenes-resnet ...] [--scenes 40]

"cost": insertion and deletion of one map in 28 steps each, in units of 58 forward passes of the
same network on as many pictures at once; both in CPU seconds of this process, interleaved, the
median of the rounds' ratios. "wait": how long a visitor waits who opens the view on a bundled
picture that is explained already: for the curves and figures of its map, and until all maps beside
it are measured too; the seconds that pass, the median of all drawn pictures, and the longest, which
is infinite where the view waits for a press.
"scenes": the mean of every figure over scenes with one thing, and of
how many of them the map is better than a random one, with 95 % intervals from the scenes drawn
again with replacement.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmarks.speed import seconds_of
from camviz import Engine, draw_scenes, open_picture
from camviz.engine.faithfulness import RANDOM
from camviz.examples import example, examples
from camviz.maps.faithfulness import STEPS
from camviz.maps.metrics import METRICS
from camviz.network.tail import score_pictures
from camviz.ui import service
from camviz.ui.compute import engine as page_engine
from camviz.ui.on_request import AT_ONCE
from camviz.ui.state import BackboneChoice, Controls, Session, Task
from camviz.ui.tabs import faithfulness

BUNDLED = ("scenes-resnet", "scenes-convnext", "scenes-vit")
BUDGET = 1.25  # of 58 forward passes
BATCH = 8  # pictures, as camviz.maps.faithfulness has it
SEED = 41  # of scenes that nothing was chosen on
RESAMPLES = 1000


def cost(names: Sequence[str], rounds: int) -> None:
    passes = 2 * (STEPS + 1)
    for name in names:
        engine = Engine("cpu")
        backbone = engine.backbone(name)
        picture = open_picture(example("a-ram").path)
        x = engine.explain(picture, backbone)
        image, _ = backbone.prepare(picture)
        score = score_pictures(backbone)
        batches = [image.repeat(len(part), 1, 1, 1) for part in torch.arange(passes).split(BATCH)]

        def plain(batches: list[torch.Tensor] = batches, score: Callable = score) -> None:
            for batch in batches:
                score(batch)

        def both(engine: Engine = engine, x: object = x) -> None:
            trace, _ = engine._traces.get(x.backbone, x.picture, x.request.fit, ())
            for key in [key for key in trace._memo if key[0] == "faithfulness"]:
                del trace._memo[key]  # or nothing is measured again
            engine.faithfulness(x, metrics=["deletion", "insertion"], beside=())

        plain(), both()
        ratios, seconds = [], []
        for _ in range(rounds):
            unit, ours = seconds_of(plain), seconds_of(both)
            ratios.append(ours / unit)
            seconds.append(ours)
        ratio = statistics.median(ratios)
        verdict = "within" if ratio <= BUDGET else "ABOVE"
        print(
            f"{name}: {ratio:.2f} times {passes} forward passes ({min(ratios):.2f} to "
            f"{max(ratios):.2f}; {statistics.median(seconds):.2f} s), {verdict} {BUDGET}"
        )


def wait(names: Sequence[str], rounds: int) -> None:
    drawn = [each for each in examples() if each.scene is not None]
    for name in names:
        first, whole = [], []
        for shown in drawn * rounds:
            controls = Controls(picture=str(shown.path), backbone=BackboneChoice(name))
            x = service.explain(controls)
            page_engine()._traces.drop(x.backbone, x.picture, x.request.fit)  # and its figures
            service.explain(controls)
            session = Session()
            start = time.perf_counter()
            seconds = [
                time.perf_counter() - start
                for update in faithfulness.show(session, controls, Task())
                if update.tab["curves"] is not None
            ]
            first.append(seconds[0] if seconds else math.inf)
            whole.append(seconds[-1] if seconds else math.inf)
        verdict = "within" if max(first) <= AT_ONCE else "ABOVE"
        own, every = (
            f"{statistics.median(each):.2f} s, at most {max(each):.2f}" for each in (first, whole)
        )
        print(
            f"{name}, {len(drawn)} pictures: its figures after {own} ({verdict} {AT_ONCE:g}), "
            f"all after {every}"
        )


def interval(values: np.ndarray) -> str:
    """The mean and half the width of its 95 % interval."""
    draws = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
    return f"{values.mean():.3f} ± {(high - low) / 2:.3f}"


def scenes(names: Sequence[str], count: int) -> None:
    drawn = [scene for scene in draw_scenes(4 * count, seed=SEED) if len(scene.objects) == 1]
    for name in names:
        engine = Engine("cpu")
        backbone = engine.backbone(name)
        found: dict[str, dict[str, list[float]]] = {}
        for scene in drawn[:count]:
            x = engine.explain(scene.image, backbone, target=scene.objects[0].label)
            for of, figures in engine.faithfulness(x).figures.items():
                for metric, value in figures.items():
                    found.setdefault(metric, {}).setdefault(of, []).append(value)
        maps = list(found["deletion"])
        print(f"\n{name}, {len(drawn[:count])} scenes\n")
        print("| figure |", " | ".join(maps), "| better than random |")
        print("| --- |", " | ".join("---" for _ in maps), "| --- |")
        for metric, values in found.items():
            arrow = "↑" if METRICS[metric].better == "higher" else "↓"
            own, random = np.array(values[maps[0]]), np.array(values[RANDOM])
            better = own > random if METRICS[metric].better == "higher" else own < random
            cells = " | ".join(interval(np.array(values[of])) for of in maps)
            print(f"| {METRICS[metric].label} {arrow} | {cells} | {better.mean():.0%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("cost", "wait", "scenes"))
    parser.add_argument("networks", nargs="*", default=BUNDLED)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scenes", type=int, default=40)
    given = parser.parse_args()
    if given.what == "cost":
        cost(given.networks, given.rounds)
    elif given.what == "wait":
        wait(given.networks, given.rounds)
    else:
        scenes(given.networks, given.scenes)


if __name__ == "__main__":
    main()
