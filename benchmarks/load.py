"""How a server bears many visitors: what they wait for, and what is left of them.

    OMP_NUM_THREADS=1 python -m benchmarks.load [--visitors 32] [--requests 128] [--sessions 200]

Serves app.py on this machine in a process of its own, and says over HTTP what programs and pages
say. In this order: requests one after the other; the same by many visitors at once, each of whom
must get what the first one got; clients that go at any moment, and what the server does then;
posts whose answer nobody comes for; pages that are opened and closed. Printed are p50 and p95 in
seconds, and of the server its processor time, memory and files before and after.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from camviz.examples import example
from tests.support.server import served
from tests.support.visitors import Visitor, explain, open_stream, post_explain, upload

PICTURES = ("a-ram", "a-zebra", "a-windmill", "two-boats", "a-church-at-sea", "a-dark-sheep")
NETWORKS = ("scenes-resnet", "scenes-convnext", "scenes-vit")
TARGETS = ("", "zebra", "rowing boat")
METHODS = ("layer_cam", "hires_cam", "grad_cam", "eigen_cam", "layer_cam_elementwise")
LONG = {"backbone": "tf_efficientnet_lite0.in1k", "method": "score_cam"}
TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """The server: what it used, has in memory and keeps on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid = next(
            int(each.name)
            for each in Path("/proc").iterdir()
            if each.name.isdigit() and str(folder) in _environment(each)
        )

    @property
    def seconds(self) -> float:
        """Processor time used so far."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / TICKS

    @property
    def megabytes(self) -> float:
        """Memory in use."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    @property
    def files(self) -> tuple[int, float]:
        """(files on disk, their megabytes), the log left out."""
        sizes = [
            Path(top, name).stat().st_size
            for top, _, names in os.walk(self.folder)
            for name in names
            if name != "log.txt"
        ]
        return len(sizes), sum(sizes) / 1e6

    def until_idle(self) -> float:
        """Seconds until it does next to nothing for a tenth of a second."""
        begun = time.perf_counter()
        while True:
            before = self.seconds
            time.sleep(0.1)
            if self.seconds - before < 0.03:
                return time.perf_counter() - begun - 0.1

    def __str__(self) -> str:
        number, size = self.files
        return f"{self.megabytes:.0f} MB in memory, {number} files of {size:.1f} MB"


def _environment(process: Path) -> str:
    try:
        return (process / "environ").read_text()
    except OSError:
        return ""


def timed(act: Callable[..., Any], *values: Any) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = act(*values)
    return time.perf_counter() - begun, result


def spread(times: Sequence[float]) -> str:
    """p50 and p95."""
    p95 = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
    return f"p50 {statistics.median(times):.2f} s, p95 {p95:.2f} s"


def measure(url: str, server: Process, visitors: int, requests: int, sessions: int) -> None:
    """Everything, printed as it comes."""
    paths = {name: upload(url, str(example(name).path)) for name in PICTURES}
    every = list(product(PICTURES, NETWORKS, TARGETS, METHODS))
    random.Random(0).shuffle(every)
    chosen = every[:requests]

    def ask(request: tuple[str, ...]) -> Any:
        picture, network, target, method = request
        target = target if network.startswith("scenes") else ""
        return explain(url, paths[picture], backbone=network, target=target, method=method)

    ask(chosen[0])
    print(f"at the start: {server}")
    alone = {request: timed(ask, request) for request in chosen}
    print(f"{requests} requests alone: {spread([seconds for seconds, _ in alone.values()])}")
    begun = time.perf_counter()
    with ThreadPoolExecutor(visitors) as pool:
        found = list(pool.map(lambda request: timed(ask, request), chosen))
    wall = time.perf_counter() - begun
    print(f"{visitors} visitors at once: {spread([s for s, _ in found])}; {wall:.1f} s in all")
    wrong = sum(
        not same(answer, alone[request][1])
        for request, (_, answer) in zip(chosen, found, strict=True)
    )
    print(f"answers that differ from those alone: {wrong} of {requests}")

    chance = random.Random(1)

    def leave(picture: str) -> None:
        with closing(open_stream(url, post_explain(url, paths[picture], **LONG))):
            time.sleep(chance.uniform(0, 2))

    with ThreadPoolExecutor(visitors) as pool:
        list(pool.map(leave, PICTURES * 3))
    print(f"18 clients that left: idle {server.until_idle():.1f} s after the last")
    for _ in range(5):
        post_explain(url, paths["a-ram"], **LONG)
    seconds, answer = timed(ask, chosen[0])
    right = same(answer, alone[chosen[0]][1])
    print(f"behind 5 posts whose answer nobody comes for: {seconds:.2f} s, the same: {right}")

    def visit(number: int) -> None:
        page = Visitor(url, "example=a-ram&backbone=scenes-resnet")
        page.open()
        page.give(upload(url, os.urandom(100_000)))
        page.close()

    print(f"before the pages: {server}")
    for part in range(4):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(visit, range(sessions // 4)))
        time.sleep(12)  # a little longer than a session is kept here
        print(f"{sessions * (part + 1) // 4} pages opened and closed: {server}")
    seconds, answer = timed(ask, chosen[0])
    print(f"then: {seconds:.2f} s, the same: {same(answer, alone[chosen[0]][1])}")


def same(one: Any, other: Any) -> bool:
    """Whether two answers have the same target and, bit for bit, the same maps."""
    maps, others = one[1], other[1]
    equal = maps.keys() == others.keys() and one[0]["target"] == other[0]["target"]
    return equal and all(np.array_equal(values, others[name]) for name, values in maps.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visitors", type=int, default=32)
    parser.add_argument("--requests", type=int, default=128)
    parser.add_argument("--sessions", type=int, default=200)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), quiet=False, CAMVIZ_SESSION_MINUTES="0.1") as url,
    ):
        measure(url, Process(Path(folder)), given.visitors, given.requests, given.sessions)


if __name__ == "__main__":
    main()
