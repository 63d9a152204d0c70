"""What one visitor waits for while another one has something long computed.

    python -m benchmarks.fairness

In seconds, of an interaction whose answer is cached (another method of a traced picture): median
and 95th percentile, alone and beside each long job; and of the first answer of another network,
alone and beside it. Afterwards the job is given up: for how long it still computes. Times depend
on the machine; their ratios, less so.
"""

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

import numpy as np

from camviz import Engine
from camviz.turns import Stopped, steps_at_once, stoppable

import torch  # isort: skip  after camviz

NETWORK, OTHER = "scenes-resnet", "test_convnext"
LARGE = "vit_base_patch16_224"
METHODS = ("layer_cam", "grad_cam", "hires_cam", "xgrad_cam", "grad_cam_pp")
Job = Callable[[Engine], object]


def photos(count: int) -> list[np.ndarray]:
    """So many pictures of noise, no two alike."""
    draw = np.random.default_rng(1)
    return [draw.integers(0, 255, (300, 400, 3)).astype(np.uint8) for _ in range(count)]


def many_networks(engine: Engine) -> None:
    """Explain 32 pictures by four networks each."""
    names = ("scenes-resnet", "scenes-convnext", "scenes-vit", "test_vit")
    for photo in photos(32):
        for name in names:
            engine.explain(photo, name, weights="random" if name == "test_vit" else "auto")


JOBS: dict[str, Job] = {
    "prototypes of 32 pictures": lambda engine: engine.build_prototypes(photos(32), NETWORK, 0),
    "four networks, 32 pictures": many_networks,
    "a large untrained network": lambda engine: engine.explain(
        photos(1)[0], LARGE, weights="random"
    ),
    "Score-CAM": lambda engine: engine.explain(photos(1)[0], "scenes-vit", method="score_cam"),
    "faithfulness": lambda engine: engine.faithfulness(engine.explain(photos(1)[0], NETWORK)),
    "sanity": lambda engine: engine.sanity(engine.explain(photos(1)[0], NETWORK)),
}


@contextmanager
def beside(job: Job) -> Iterator[list[float]]:
    """A job goes on within the block, again and again; then for how long it still computes."""
    over, ended = threading.Event(), []

    def check() -> None:
        if over.is_set():
            raise Stopped

    def work() -> None:
        try:
            with stoppable(check):
                while True:
                    job(Engine("cpu"))
        except Stopped:
            ended.append(time.perf_counter())

    thread = threading.Thread(target=work)
    thread.start()
    found: list[float] = []
    time.sleep(0.5)
    try:
        yield found
    finally:
        given_up = time.perf_counter()
        over.set()
        thread.join()
        found.append(ended[0] - given_up)


def interactions(engine: Engine, photo: np.ndarray, seconds: float) -> np.ndarray:
    """How long each of many cached answers takes."""
    taken, end = [], time.perf_counter() + seconds
    methods = cycle(METHODS)
    while time.perf_counter() < end:
        begun = time.perf_counter()
        x = engine.explain(photo, NETWORK, method=next(methods))
        x.fused  # noqa: B018
        taken.append(time.perf_counter() - begun)
        time.sleep(0.02)
    return np.array(taken)


def first_answer(photo: np.ndarray) -> float:
    """How long another network takes that nobody has loaded."""
    begun = time.perf_counter()
    Engine("cpu").explain(photo, OTHER, weights="random")
    return time.perf_counter() - begun


def report(name: str, taken: np.ndarray, first: float, ended: float | None = None) -> None:
    milliseconds = 1000 * np.percentile(taken, [50, 95])
    stopped = "" if ended is None else f", computes {ended:.2f} s after it is given up"
    print(
        f"{name:28} cached: median {milliseconds[0]:5.1f} ms, 95 % {milliseconds[1]:5.1f} ms; "
        f"first answer of another network {first:5.2f} s{stopped}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="beside each job")
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=JOBS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    [photo] = photos(1)
    engine = Engine("cpu")
    for method in METHODS:
        engine.explain(photo, NETWORK, method=method)
    print(f"{steps_at_once()} step at once")
    first_answer(photo)
    report("alone", interactions(engine, photo, arguments.seconds), first_answer(photo))
    for name in arguments.jobs:
        with beside(JOBS[name]) as ended:
            taken, first = interactions(engine, photo, arguments.seconds), first_answer(photo)
        report(name, taken, first, ended[0])


if __name__ == "__main__":
    main()
