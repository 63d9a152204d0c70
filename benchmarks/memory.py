"""Memory that an engine takes: after several large networks, and over many explanations.

    python -m benchmarks.memory
    python -m benchmarks.memory --limit 400 --given
    python -m benchmarks.memory --budget 512 --count 1000 --plot docs/memory.svg

Eight ViT-B are explained in turn, and what is held then stands against what is counted; or others
(--names). --limit: the engine's bound on networks, in MB. --given: networks that the caller makes
and drops, instead of names.

--budget: so many explanations (--count) over ten networks instead, by an engine that may take so
many MB: what this process takes after each, as it is, without any help. --plot: where the curve is
written, as SVG. Linux only.
"""

import argparse
import gc
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from camviz import Engine, wrap_backbone
from camviz.engine import memory

import timm  # isort: skip  after camviz
import torch  # isort: skip

NAMES = (
    "vit_base_patch16_224", "deit_base_patch16_224", "vit_base_patch32_224",
    "deit3_base_patch16_224", "vit_base_patch16_clip_224", "vit_base_patch32_clip_224",
    "vit_base_patch8_224", "beit_base_patch16_224",
)  # fmt: skip
MANY = (
    "resnet18", "resnet34", "resnet50", "mobilenetv3_large_100", "efficientnet_b0",
    "convnext_atto", "convnext_pico", "vit_tiny_patch16_224", "deit_small_patch16_224",
    "swin_tiny_patch4_window7_224",
)  # fmt: skip
_VISIT, _CLASSES = 10, 4  # explanations with a network, and of a picture


def resident() -> float:
    """The memory of this process that is in use, in MB."""
    gc.collect()
    memory.trim()  # what is free already is not counted
    return taken()


def counted(engine: Engine) -> tuple[float, float]:
    """What an engine counts, in MB: of networks, and of traces."""
    networks = sum(backbone.nbytes for backbone, _ in engine._backbones._held.values())
    traces = sum(trace.nbytes for trace, _ in engine._traces._traces.values())
    return networks / 2**20, traces / 2**20


def explain_in_turn(names: Sequence[str], limit: int, *, given: bool) -> Iterator[list[float]]:
    """After each network, in MB: its size, what this process has grown, and what is counted.

    limit: the bytes of networks that the engine holds. given: see above.
    """
    torch.set_num_threads(1)
    photo = np.random.default_rng(0).integers(0, 255, (300, 400, 3)).astype(np.uint8)
    engine = Engine("cpu", backbone_bytes=limit)
    Engine("cpu").explain(photo, "test_vit", weights="random")  # loads what is loaded late
    start = resident()
    for name in names:
        if given:
            backbone = wrap_backbone(timm.create_model(name), device="cpu")
        else:
            backbone = engine.backbone(name, "random")
        engine.explain(photo, backbone, target=3)
        size = backbone.nbytes / 2**20
        del backbone
        yield [size, resident() - start, *counted(engine)]


def explain_many(names: Sequence[str], count: int, budget: int) -> Iterator[tuple[str, float]]:
    """After each of many explanations: the network, and what this process has grown, in MB.

    budget: of the engine, in bytes. A visitor stays with a network for some pictures and classes;
    which network is next, which method, and in how many views, is drawn.
    """
    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    Engine("cpu").explain(_photo(draw), "test_vit", weights="random")  # loads what is loaded late
    start = taken()
    engine = Engine("cpu", memory=budget)
    for number in range(count):
        if number % _VISIT == 0:
            name = str(draw.choice(names))
        if number % _VISIT % _CLASSES == 0:
            photo = _photo(draw)
        method = str(draw.choice(["auto", "grad_cam", "grad_cam_pp"], p=[0.8, 0.1, 0.1]))
        views = str(draw.choice(["one", "flip"], p=[0.9, 0.1]))
        x = engine.explain(
            photo, name, weights="random", target=int(draw.integers(1000)), method=method,
            views=views,
        )  # fmt: skip
        x.fused, x.refined  # noqa: B018
        yield name, taken() - start


def taken() -> float:
    """The memory that this process takes, in MB, as it is."""
    return (memory.resident() or 0) / 2**20


def _photo(draw: np.random.Generator) -> np.ndarray:
    return draw.integers(0, 255, (300, 400, 3)).astype(np.uint8)


def plot(grown: Sequence[float], budget: float) -> str:
    """What was taken after each explanation, beside the budget, both in MB; SVG."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "camviz", "font.size": 9}):
        figure = Figure(figsize=(7, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(range(1, len(grown) + 1), grown, linewidth=1)
        axes.axhline(budget, color="0.5", linestyle="--", linewidth=1)
        axes.annotate("budget", (len(grown), budget), ha="right", va="bottom", color="0.4")
        axes.set(xlim=(0, len(grown)), ylim=(0, 1.25 * max(budget, *grown)))
        axes.set(xlabel="explanations", ylabel="MB more than at start")
        axes.grid(alpha=0.3)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        return text.getvalue()


def watch(count: int, budget: int, file: str | None) -> None:
    """Print, and plot, what `explain_many` finds; budget: in MB."""
    grown = []
    for number, (name, now) in enumerate(explain_many(MANY, count, budget * 2**20), 1):
        grown.append(now)
        if number % _VISIT == 0:
            print(f"{number:4} {name:28} {now:6.0f} MB, most {max(grown):6.0f} MB", flush=True)
    parts = np.array_split(np.array(grown), 5)
    fifths = ", ".join(f"{part.mean():.0f} ({part.max():.0f})" for part in parts)
    print(f"of {budget} MB, mean (most) of each fifth: {fifths} MB")
    if file is not None:
        Path(file).write_text(plot(grown, budget))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--limit", type=float, default=2048)
    parser.add_argument("--given", action="store_true")
    parser.add_argument("--budget", type=int, help="see above")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--plot", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.budget is not None:
        watch(arguments.count, arguments.budget, arguments.plot)
        return
    limit = int(arguments.limit * 2**20)
    rows = explain_in_turn(arguments.names, limit, given=arguments.given)
    for name, (size, grown, networks, traces) in zip(arguments.names, rows, strict=True):
        print(
            f"{name:28} {size:5.0f} MB; held {grown:6.0f} MB more than at start, counted "
            f"{networks:6.0f} of networks + {traces:5.0f} of traces = {networks + traces:6.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
