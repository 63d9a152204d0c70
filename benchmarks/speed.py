"""The cost of an explanation, in units of one forward and backward pass of the same network.

    OMP_NUM_THREADS=1 python -m benchmarks.speed [resnet50 convnext_tiny vit_small_patch16_224]

The unit is a forward pass and a backward pass to the output of the first convolution, weights
frozen. Everything is timed in CPU seconds of this process, interleaved in shuffled rounds, each
case divided by the unit of its own round; the medians are printed with their quartiles. Random
weights: speed does not depend on them.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from camviz import Backbone, Engine, load_backbone, open_picture
from camviz.maps.refine import Affinity

METHODS_TIMED = ("layer_cam", "grad_cam", "grad_cam_pp", "xgrad_cam", "hires_cam")
BUDGETS = {
    "5 methods x 4 stages, cold": 1.05,
    "5 methods x 4 stages, kept trace": 0.12,
    "one more class": 0.5,
    "one more class to compare with": 0.5,
    "truncate 4 stages, kept trace": 0.08,
    "refined map, the first of a picture": 0.05,
}


def unit(backbone: Backbone, image: torch.Tensor) -> None:
    """One forward and one backward pass, to the stem, by hand."""
    stem = next(m for m in backbone.model.modules() if isinstance(m, nn.Conv2d))
    kept = []

    def cut(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()

    handle = stem.register_forward_hook(cut)
    try:
        logits = backbone.model(image)
    finally:
        handle.remove()
    torch.autograd.grad(logits[0].max(), kept)


def cases(backbone: Backbone, pixels: np.ndarray) -> dict[str, Callable[[], None]]:
    image, _ = backbone.prepare(open_picture(pixels))
    kept = Engine()
    classes = iter(range(10**6))
    levels = iter(np.linspace(0.5, 0.99, 10**4))

    def five_by_four(engine: Engine) -> None:
        for method in METHODS_TIMED:
            x = engine.explain(pixels, backbone, method=method)
            for heat in x.maps.values():
                heat.sum()

    def fused(engine: Engine) -> None:
        engine.explain(pixels, backbone).fused.sum()

    def another_class() -> None:
        count = len(backbone.labels)
        kept.explain(pixels, backbone, target=next(classes) % count)

    last = len(backbone.labels) - 1
    references = iter(range(last - 3, 0, -1))  # none that is a class of `another_class`

    def another_reference() -> None:
        """The margin of one class over three, one of which is new."""
        new = next(references)
        versus = [new, new + 1, new + 2]
        kept.explain(pixels, backbone, target=last, versus=versus, gamma=0.6)

    def truncated(q: float) -> None:
        stages = list(backbone.default_stages)
        kept.explain(pixels, backbone, truncation=q, truncated=stages)

    explained = kept.explain(pixels, backbone)

    def refined(matrix: bool) -> None:
        """The refined map alone; matrix: with what is computed once for a picture."""
        known = explained.affinity
        assert known is not None
        affinity = Affinity(known.features) if matrix else known
        assert replace(explained, affinity=affinity).refined_grid

    five_by_four(kept)
    return {
        "unit": lambda: unit(backbone, image),
        "plain forward": lambda: _forward(backbone, image),
        "LayerCAM x 4 stages and fused, cold": lambda: (
            Engine().explain(pixels, backbone).fused.sum()
        ),
        "5 methods x 4 stages, cold": lambda: five_by_four(Engine()),
        "5 methods x 4 stages, kept trace": lambda: five_by_four(kept),
        "LayerCAM x 4 stages and fused, kept trace": lambda: fused(kept),
        "truncate 4 stages, kept trace": lambda: truncated(float(next(levels))),
        "the same level again": lambda: truncated(0.9),
        "one more class": another_class,
        "one more class to compare with": another_reference,
        "refined map, the first of a picture": lambda: refined(True),
        "refined map, a further one": lambda: refined(False),
    }


def _forward(backbone: Backbone, image: torch.Tensor) -> None:
    with torch.inference_mode():
        backbone.model(image)


def measure(name: str, rounds: int) -> None:
    backbone = load_backbone(name, weights="random")
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (*backbone.input_size[1:], 3), dtype=np.uint8)
    timed = cases(backbone, pixels)
    ratios: dict[str, list[float]] = {case: [] for case in timed if case != "unit"}
    units = []
    order = random.Random(0)
    for case in timed.values():
        case()
    for _ in range(rounds):
        names = list(ratios)
        order.shuffle(names)
        here = [seconds_of(timed["unit"]) for _ in range(2)]
        seconds = {case: seconds_of(timed[case]) for case in names}
        here += [seconds_of(timed["unit"]) for _ in range(2)]
        one = statistics.median(here)
        units.append(one)
        for case, value in seconds.items():
            ratios[case].append(value / one)
    print(f"\n{name}: unit {statistics.median(units) * 1e3:.0f} ms of CPU, {rounds} rounds")
    for case, values in ratios.items():
        low, middle, high = statistics.quantiles(values, n=4)
        budget = BUDGETS.get(case)
        verdict = (
            "" if budget is None else f"  at most {budget}: {'ok' if middle <= budget else 'OVER'}"
        )
        print(f"  {case:40} {middle:6.3f}  [{low:.3f}, {high:.3f}]{verdict}", flush=True)


def seconds_of(case: Callable[[], object]) -> float:
    """Seconds of CPU that a case takes."""
    start = time.process_time()
    case()
    return time.process_time() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", default=["resnet50", "convnext_tiny", "vit_small_patch16_224"]
    )
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names:
        measure(name, options.rounds)
