"""Many pictures: pictures per second against the bare network and other libraries; memory; scaling.

    python -m benchmarks.bulk speed --backbone resnet50 --weights random
    python -m benchmarks.bulk others --methods layer_cam grad_cam xgrad_cam
    python -m benchmarks.bulk memory --count 5000
    python -m benchmarks.bulk workers --count 400

speed: maps of all stages by `explain_many`, and whole rows of a run, against forward and backward
passes of the same network in the same batches, which are the limit. others: one picture after the
other through pytorch-grad-cam and torch-cam (pip install grad-cam torchcam). What is compared is
run in turn, `--repeat` times; seconds of this process's CPU are counted beside those of the clock.
The least of each is shown, and in brackets the median over the rounds of its ratio to the first.
Linux only.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.memory import resident
from camviz import Engine, draw_scenes, load_backbone, open_picture
from camviz.bulk.job import Job
from camviz.bulk.run import RunWriter
from camviz.bulk.sources import open_source
from camviz.bulk.work import run_job
from camviz.network.backbone import Backbone

import torch  # isort: skip  after camviz

DRAWN = 64  # different scenes; further pictures are these again


def draw(folder: Path, count: int, side: int) -> list[Path]:
    """So many JPEG files in a folder."""
    scenes = [Image.fromarray(scene.image) for scene in draw_scenes(min(count, DRAWN), seed=3)]
    paths = [folder / f"{number:06d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        scenes[number % DRAWN].resize((side, side)).save(path, quality=90)
    return paths


def seconds(work: Callable[[], object]) -> np.ndarray:
    """Of the clock, and of the CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return np.array([time.perf_counter() - wall, time.process_time() - cpu])


def compare(kinds: dict[str, Callable[[], object]], count: int, repeat: int) -> None:
    """Print pictures per second of each kind, and their ratio to the first; run in turn."""
    took: dict[str, list[np.ndarray]] = {name: [] for name in kinds}
    for _ in range(repeat):
        for name, work in kinds.items():
            took[name].append(seconds(work))
    first = np.array(took[next(iter(kinds))])
    for name, times in took.items():
        wall, cpu = np.min(times, axis=0)
        wall_share, cpu_share = np.median(first / np.array(times), axis=0)
        print(
            f"{name:32} {count / wall:8.2f} a second ({wall_share:5.2f}), "
            f"{cpu / count * 1e3:8.1f} ms of CPU ({cpu_share:5.2f})",
            flush=True,
        )


def bare(backbone: Backbone, batch: torch.Tensor, passes: int) -> Callable[[], None]:
    """Forward and backward passes of a batch, down to the shallowest stage that is explained."""
    model = backbone.model.eval().requires_grad_(False)
    modules = dict(model.named_modules())
    taps = [backbone.stage(name).activation for name in backbone.default_stages]

    stored: list[torch.Tensor] = []

    def cut(module: object, inputs: object, output: torch.Tensor) -> torch.Tensor:
        stored.append(output if output.requires_grad else output.detach().requires_grad_())
        return stored[-1]

    def run() -> None:
        handles = [modules[tap.module].register_forward_hook(cut) for tap in taps]
        for _ in range(passes):
            stored.clear()
            scores = model(batch)
            top = scores.argmax(1, keepdim=True)
            torch.autograd.grad(scores.gather(1, top).sum(), stored)
        for handle in handles:
            handle.remove()

    return run


def measure_speed(arguments: argparse.Namespace, paths: Sequence[Path]) -> None:
    engine = Engine()
    backbone = engine.backbone(arguments.backbone, arguments.weights)
    job = Job(
        str(paths[0].parent), arguments.backbone, arguments.weights, batch=arguments.batch,
        options={"method": "layer_cam"},
    )  # fmt: skip
    _, height, width = backbone.input_size
    batch = torch.randn(arguments.batch, 3, height, width, device=backbone.device)
    passes = len(paths) // arguments.batch

    def explained() -> None:
        for x in engine.explain_many(paths, backbone, method="layer_cam", batch=arguments.batch):
            assert x.normalized

    configuration, geometry = job.configuration(backbone), job.geometry(engine, backbone)
    items = list(open_source(job.source).items())

    def written() -> None:
        with (
            tempfile.TemporaryDirectory() as out,
            RunWriter(Path(out) / "run", configuration, geometry) as writer,
        ):
            for rows in job.rows(engine, backbone, items):
                assert isinstance(rows, tuple)
                writer.add(*rows)

    engine.explain(paths[0], backbone)
    kinds = {"bare passes": bare(backbone, batch, passes), "explain_many": explained}
    compare(kinds | {"a run, written": written}, passes * arguments.batch, arguments.repeat)


def measure_others(arguments: argparse.Namespace, paths: Sequence[Path]) -> None:
    import pytorch_grad_cam
    import torchcam.methods

    theirs = {
        "layer_cam": ("LayerCAM", "LayerCAM"),
        "grad_cam": ("GradCAM", "GradCAM"),
        "xgrad_cam": ("XGradCAM", "XGradCAM"),
        "grad_cam_pp": ("GradCAMPlusPlus", "GradCAMpp"),
    }
    engine = Engine()
    backbone = engine.backbone(arguments.backbone, arguments.weights)
    plain = load_backbone(arguments.backbone, arguments.weights).model.eval()
    plain.requires_grad_(True)
    stages = [backbone.stage(name).activation.module for name in backbone.default_stages]
    modules = dict(plain.named_modules())
    rows = [{"method": method, "refine": "none"} for method in arguments.methods]

    def ours() -> None:
        for found in engine.explain_many(paths, backbone, rows=rows, batch=arguments.batch):
            assert all(x.normalized for x in found)

    def grad_cam() -> None:
        for method in arguments.methods:
            kind = getattr(pytorch_grad_cam, theirs[method][0])
            for stage in stages:  # of several layers it gives their mean alone
                with kind(plain, [modules[stage]]) as cam:
                    for path in paths:
                        cam(_prepared(backbone, path), None)  # None: the top prediction

    def torch_cam() -> None:
        for method in arguments.methods:
            kind = getattr(torchcam.methods, theirs[method][1])
            with kind(plain, target_layer=stages) as cam:
                for path in paths:
                    scores = plain(_prepared(backbone, path).requires_grad_())
                    cam(int(scores[0].argmax()), scores)

    ours()
    compare(
        {"camviz": ours, "torch-cam": torch_cam, "pytorch-grad-cam": grad_cam},
        len(paths), arguments.repeat,
    )  # fmt: skip


def _prepared(backbone: Backbone, path: Path) -> torch.Tensor:
    return backbone.prepare(open_picture(path))[0]


def measure_memory(arguments: argparse.Namespace, paths: Sequence[Path]) -> None:
    job = Job(str(paths[0].parent), arguments.backbone, arguments.weights, batch=arguments.batch)
    step = max(len(paths) // 10, 1)

    def tell(progress: object) -> None:
        done = progress.done  # type: ignore[attr-defined]
        if done % step == 0:
            print(f"{done:6} pictures: {resident():6.0f} MB", flush=True)

    with tempfile.TemporaryDirectory() as out:
        run_job(job, Path(out) / "run", tell=tell)


def measure_workers(arguments: argparse.Namespace, paths: Sequence[Path]) -> None:
    job = Job(str(paths[0].parent), arguments.backbone, arguments.weights, batch=arguments.batch)
    for workers in (1, 2):
        told: list[float] = []
        with tempfile.TemporaryDirectory() as out:
            run_job(
                job, Path(out) / "run", workers=workers,
                tell=lambda _, told=told: told.append(time.perf_counter()),
            )  # fmt: skip
        middle = told[len(told) // 4 : -len(told) // 4]  # all of them have begun, none has ended
        rate = (len(middle) - 1) / (middle[-1] - middle[0])
        print(f"{workers} workers: {rate:.1f} a second once all run", flush=True)


MEASURES = {
    "speed": measure_speed, "others": measure_others, "memory": measure_memory,
    "workers": measure_workers,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--backbone", default="scenes-resnet")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=["layer_cam"])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        MEASURES[arguments.what](arguments, draw(Path(folder), arguments.count, arguments.side))


if __name__ == "__main__":
    main()
