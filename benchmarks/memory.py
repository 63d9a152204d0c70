"""Memory that an engine holds after several large networks, against what it counts.

    python -m benchmarks.memory
    python -m benchmarks.memory --limit 400 --given

Eight ViT-B are explained in turn, or others (--names). --limit: the engine's bound on networks, in
MB. --given: networks that the caller makes and drops, instead of names. Linux only.
"""

import argparse
import ctypes
import gc
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from camviz import Engine, wrap_backbone

import timm  # isort: skip  after camviz
import torch  # isort: skip

NAMES = (
    "vit_base_patch16_224", "deit_base_patch16_224", "vit_base_patch32_224",
    "deit3_base_patch16_224", "vit_base_patch16_clip_224", "vit_base_patch32_clip_224",
    "vit_base_patch8_224", "beit_base_patch16_224",
)  # fmt: skip


def resident() -> float:
    """The memory of this process that is in use, in MB."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free already is not counted
    rows = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(rows["VmRSS"].split()[0]) / 1024


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--limit", type=float, default=2048)
    parser.add_argument("--given", action="store_true")
    arguments = parser.parse_args()
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
