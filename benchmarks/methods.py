"""What each method costs, in units of one forward and one backward pass of the same network.

    OMP_NUM_THREADS=1 python -m benchmarks.methods [resnet50 vit_small_patch16_224] [--rounds 5]

"cold": from a picture that the network has not seen to the fused map, at the method's default
stages. "kept trace": the same when LayerCAM's maps of the picture are there already. Beside them
pytorch-grad-cam, where it is installed (`pip install grad-cam`) and has the method, from the
picture to its map of the same module. What takes more than 20 units is run once. Unit and way of
timing are those of `benchmarks.speed`. Random weights: speed does not depend on them.
"""

import argparse
import random
import statistics
import warnings
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch

from benchmarks.speed import seconds_of, unit
from camviz import METHODS, Backbone, Engine, load_backbone, open_picture
from camviz.engine.plan import exists

# By network: what a method may cost, and how it is run.
BUDGETS = {
    "resnet50": {("recipro_cam", "kept trace"): 0.2, ("ablation_cam", "kept trace"): 2.0},
    "vit_small_patch16_224": {
        ("gae", "cold"): 1.1,
        ("daam", "cold"): 1.1,
        ("attn_lrp", "cold"): 2.1,
    },
}
# Names in pytorch-grad-cam.
PEER = {
    "layer_cam": "LayerCAM",
    "layer_cam_elementwise": "GradCAMElementWise",
    "grad_cam": "GradCAM",
    "grad_cam_pp": "GradCAMPlusPlus",
    "xgrad_cam": "XGradCAM",
    "hires_cam": "HiResCAM",
    "eigen_cam": "EigenCAM",
    "score_cam": "ScoreCAM",
    "ablation_cam": "AblationCAM",
}
# It runs the whole network for each channel, which takes hundreds of units.
SLOW_PEERS = ("score_cam", "ablation_cam")

Case = tuple[str, str]  # the method, and how it is run


def peer_of(name: str, backbone: Backbone, image: torch.Tensor) -> Callable[[], Any] | None:
    """pytorch-grad-cam's map of the deepest stage; None where it has none."""
    if name not in PEER:
        return None
    try:
        import pytorch_grad_cam
    except ImportError:
        return None
    module = backbone.model.get_submodule(backbone.default_stages[-1])
    kind = getattr(pytorch_grad_cam, PEER[name])
    tokens = backbone.stage(backbone.default_stages[-1]).layout.prefix
    height, width = backbone.stage(backbone.default_stages[-1]).grid

    def to_maps(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim == 4:
            return tensor
        return tensor[:, tokens:].transpose(1, 2).unflatten(2, (height, width))

    def run() -> None:
        with kind(model=backbone.model, target_layers=[module], reshape_transform=to_maps) as cam:
            if name == "ablation_cam":
                cam.batch_size = 32
            # The weights are frozen, which saves it their gradients.
            cam(input_tensor=image.clone().requires_grad_(), targets=None)

    return run


def cases_of(
    backbone: Backbone, pixels: np.ndarray, peers: Collection[str]
) -> dict[Case, Callable[[], float]]:
    """What is timed: each case runs once and gives its seconds of CPU."""
    image, _ = backbone.prepare(open_picture(pixels))
    found: dict[Case, Callable[[], float]] = {}
    for name, method in METHODS.items():
        if method.uses_prototypes or not exists(method, backbone):
            continue

        def explained(engine: Engine, name: str = name) -> float:
            return seconds_of(lambda: engine.explain(pixels, backbone, method=name).fused.sum())

        def kept(explained: Callable[[Engine], float] = explained) -> float:
            engine = Engine()
            engine.explain(pixels, backbone, method="layer_cam")
            return explained(engine)

        found[name, "cold"] = lambda explained=explained: explained(Engine())
        found[name, "kept trace"] = kept
        other = peer_of(name, backbone, image) if name in peers else None
        if other is not None:
            found[name, "pytorch-grad-cam"] = lambda other=other: seconds_of(other)
    return found


def measure(name: str, rounds: int, peers: Collection[str]) -> None:
    backbone = load_backbone(name, weights="random")
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (*backbone.input_size[1:], 3), dtype=np.uint8)
    image, _ = backbone.prepare(open_picture(pixels))
    cases = cases_of(backbone, pixels, peers)
    ratios: dict[Case, list[float]] = {case: [] for case in cases}
    order = random.Random(0)
    unit(backbone, image)
    for _ in range(rounds):
        shuffled = list(cases)
        order.shuffle(shuffled)
        for case in shuffled:
            if ratios[case] and ratios[case][0] > 20:
                continue
            before = seconds_of(lambda: unit(backbone, image))
            seconds = cases[case]()
            after = seconds_of(lambda: unit(backbone, image))
            ratios[case].append(2 * seconds / (before + after))
    hows = ("cold", "kept trace", *(("pytorch-grad-cam",) if peers else ()))
    print(f"\n{name}, {rounds} rounds\n\n| method | {' | '.join(hows)} | budget |")
    print("| --- " * (len(hows) + 2) + "|")
    for method in dict.fromkeys(method for method, _ in cases):
        medians = {
            how: statistics.median(ratios[method, how]) for how in hows if (method, how) in ratios
        }
        cells = [f"{medians[how]:.2f}" if how in medians else "" for how in hows]
        limits = BUDGETS.get(name, {}).items()
        budgets = [(how, limit) for (owner, how), limit in limits if owner == method]
        said = "; ".join(
            f"{how} at most {limit}: {'ok' if medians[how] <= limit else 'OVER'}"
            for how, limit in budgets
        )
        print(f"| {METHODS[method].label} | {' | '.join(cells)} | {said} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["resnet50", "vit_small_patch16_224"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--peers",
        choices=["none", "quick", "all"],
        default="quick",
        help="methods of pytorch-grad-cam: all, or those that take no pass a channel",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    slow = () if options.peers == "all" else SLOW_PEERS
    peers = () if options.peers == "none" else [name for name in PEER if name not in slow]
    for name in options.names:
        measure(name, options.rounds, peers)
