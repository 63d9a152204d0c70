"""What one visitor waits for while another one has something long computed.

    python -m benchmarks.fairness

An interaction whose answer is cached (another method of a traced picture): median and 95th
percentile, alone and beside each long job; and the first answer of another network, alone and
beside it. Both are measured by turns, so that the figures of a ratio are of the same moments of a
machine. Each time the job is given up: for how long it still computes.

Waiting for a core that another process has is none of the job's doing: run it where nothing else
does, or with precedence (`chrt --rr 1 python -m benchmarks.fairness`).
"""

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

import numpy as np

from camviz import Engine
from camviz.network.giving_way import give_way_between_modules
from camviz.turns import ANSWER, Stopped, quick, steps_at_once, stoppable
from camviz.ui.server.serve import keep_for_good

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


def interactions(engine: Engine, photo: np.ndarray, seconds: float) -> list[float]:
    """How long each of many cached answers takes, in seconds."""
    taken, end = [], time.perf_counter() + seconds
    methods = cycle(METHODS)
    while time.perf_counter() < end:
        begun = time.perf_counter()
        with quick(lasting=ANSWER):  # as the page does
            x = engine.explain(photo, NETWORK, method=next(methods))
            x.fused  # noqa: B018
        taken.append(time.perf_counter() - begun)
        time.sleep(0.02)
    return taken


def first_answer(photo: np.ndarray) -> float:
    """How long another network takes that nobody has loaded, in seconds."""
    begun = time.perf_counter()
    with quick(lasting=ANSWER):  # as the page does
        Engine("cpu").explain(photo, OTHER, weights="random")
    return time.perf_counter() - begun


def measure(name: str, engine: Engine, photo: np.ndarray, rounds: int, seconds: float) -> None:
    """Print what is waited for alone and beside a job."""
    alone: list[float] = []
    together: list[float] = []
    firsts: tuple[list[float], list[float]] = ([], [])
    ended = 0.0
    for _ in range(rounds):
        alone += interactions(engine, photo, seconds)
        firsts[0].append(first_answer(photo))
        with beside(JOBS[name]) as still:
            together += interactions(engine, photo, seconds)
            firsts[1].append(first_answer(photo))
        ended = max(ended, *still)
    (median, high), (median_beside, high_beside) = (
        1000 * np.percentile(taken, [50, 95]) for taken in (alone, together)
    )
    first, first_beside = map(np.median, firsts)
    print(
        f"{name:26} cached: median {median:.1f} -> {median_beside:.1f} ms, 95 % {high:.1f} -> "
        f"{high_beside:.1f} ms ({high_beside / high:.2f}); first answer of another network "
        f"{first:.2f} -> {first_beside:.2f} s ({first_beside / first:.2f}); "
        f"computes {ended:.2f} s at most after it is given up",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="alone and beside each job")
    parser.add_argument("--seconds", type=float, default=1, help="of interactions, each time")
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=JOBS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    [photo] = photos(1)
    engine = Engine("cpu")
    for method in METHODS:
        engine.explain(photo, NETWORK, method=method)
    first_answer(photo)
    give_way_between_modules()  # as a server does
    keep_for_good()  # so, too
    print(f"{steps_at_once()} step at once; alone -> beside each job")
    for name in arguments.jobs:
        measure(name, engine, photo, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
