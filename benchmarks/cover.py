"""The cost of covering part of a picture, in units of one forward and backward pass.

    OMP_NUM_THREADS=1 python -m benchmarks.cover [resnet50 convnext_tiny vit_small_patch16_224]

The unit is that of `benchmarks.speed`. Each case covers another part than the one before, so that
nothing is found in a cache. `engine.logits` is what follows the brush; how often it can be asked in
a second is told for the bundled networks, on one thread; and for them, what it takes to take a part
out by a press.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks.speed import seconds_of, unit
from camviz import Backbone, Engine, load_backbone, open_picture
from camviz.examples import example, examples
from camviz.maps.cover import COVERS
from camviz.maps.runs import write_mask
from camviz.ui import covering, service
from camviz.ui.state import BackboneChoice, Controls, Covering

BUDGET = 1.2
LEAST = 5  # questions a second, while the brush moves
BUNDLED = ("scenes-resnet", "scenes-convnext", "scenes-vit")


def masks(height: int, width: int) -> Iterator[np.ndarray]:
    """Ever other rectangles of a tenth of the picture or more."""
    rng = np.random.default_rng(0)
    while True:
        top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
        mask = np.zeros((height, width), bool)
        mask[top : top + height // 2, left : left + width // 3] = True
        yield mask


def cases(backbone: Backbone, pixels: np.ndarray) -> dict[str, Callable[[], object]]:
    engine = Engine("cpu")
    x = engine.explain(pixels, backbone)
    given = masks(*pixels.shape[:2])
    other = np.ascontiguousarray(pixels[::-1])
    found: dict[str, Callable[[], object]] = {
        f"covered with {kind}, maps and fused": lambda kind=kind: (  # type: ignore[misc]
            engine.cover(x, next(given), kind, other).fused
        )
        for kind in COVERS
    }
    shown = open_picture(pixels)
    return {**found, "score alone": lambda: engine.logits([shown], backbone)}


def measure(name: str, rounds: int) -> None:
    backbone = load_backbone(name, weights="random", device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (*backbone.input_size[1:], 3), np.uint8)
    image, _ = backbone.prepare(open_picture(pixels))
    timed = cases(backbone, pixels)
    ratios: dict[str, list[float]] = {case: [] for case in timed}
    for case in timed.values():
        case()
    for _ in range(rounds):
        one = statistics.median(seconds_of(lambda: unit(backbone, image)) for _ in range(3))
        for case, run in timed.items():
            ratios[case].append(seconds_of(run) / one)  # type: ignore[arg-type]
    print(f"\n{name}, {rounds} rounds")
    for case, values in ratios.items():
        middle = statistics.median(values)
        verdict = "ok" if middle <= BUDGET else "OVER"
        print(f"  {case:40} {middle:6.3f}  at most {BUDGET}: {verdict}", flush=True)


def measure_glances(name: str, rounds: int) -> None:
    controls = Controls(picture=str(example("a-ram").path), backbone=BackboneChoice(name))
    service.explain(controls)
    given = masks(224, 224)
    for kind in COVERS:
        texts = [write_mask(next(given)) for _ in range(rounds + 1)]
        covering.glance(controls, Covering(kind, texts.pop()))
        spent = [
            seconds_of(partial(covering.glance, controls, Covering(kind, text))) for text in texts
        ]
        rate = 1 / statistics.median(spent)
        print(f"  {name:16} {kind:12} {rate:5.0f} a second  {'ok' if rate >= LEAST else 'SLOW'}")


def measure_parts(name: str) -> None:
    """Seconds that a press on a part takes: the covered picture, and the scene drawn without it."""
    covers, draws = [], []
    for drawn in examples():
        if drawn.scene is None:
            continue
        controls = Controls(picture=str(drawn.path), backbone=BackboneChoice(name))
        x = service.explain(controls)
        for part in covering.parts_of(x.picture):
            taken = Covering(parts=(part,))
            shown = replace(controls, cover=taken)
            covers.append(seconds_of(partial(covering.covered, shown, x)))
            draws.append(
                seconds_of(partial(covering.counterfactual, taken, x))
            )  # explained already
    print(
        f"  {name:16} {len(covers)} parts: {statistics.median(covers):.2f} s, at most "
        f"{max(covers):.2f}; of which drawing the scene {statistics.median(draws):.2f} s"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", default=["resnet50", "convnext_tiny", "vit_small_patch16_224"]
    )
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names:
        measure(name, options.rounds)
    print("\nwhile the brush moves, in seconds of CPU")
    for name in BUNDLED:
        measure_glances(name, options.rounds)
    print("\na part is taken out by a press, in seconds of CPU")
    for name in BUNDLED:
        measure_parts(name)
