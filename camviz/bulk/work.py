"""Doing a job: in this process, or by several of them on this machine, each with its own network.

    done = run_job(job, "out/birds", workers=2, tell=print)

A picture that the run has is not explained again. A process that is killed loses what it had in
memory, a part at most, and another one takes its place.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Container, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from camviz.bulk.item import Item
from camviz.bulk.job import Failure, Job
from camviz.bulk.schema import id_of
from camviz.bulk.sources import check_column, open_source
from camviz.bulk.writers import Writers
from camviz.engine.engine import Engine
from camviz.errors import CamvizError, DataError
from camviz.terminal import set_threads
from camviz.turns import Stopped

_RESTARTS = 3  # of a worker that was killed
_PATIENCE = 60.0  # seconds that workers have to write what they hold


@dataclass(frozen=True)
class Progress:
    """How far a job is: `done` in this run of it, `failed` among these, `before` it.

    count: of the source, None if that is not known. seconds: since the first picture was taken.
    """

    done: int
    failed: int
    before: int
    count: int | None
    seconds: float

    @property
    def rate(self) -> float:
        """Pictures per second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds that the rest takes at that rate; None if they cannot be told."""
        if self.count is None or not self.rate:
            return None
        return max(self.count - self.before - self.done, 0) / self.rate


Tell = Callable[[Progress], object]


@dataclass(frozen=True)
class Share:
    """Which pictures of a source are one worker's: those whose id says `number`, of so many."""

    number: int = 0
    of: int = 1

    def items(self, job: Job, done: Container[str]) -> Iterator[Item]:
        """Those pictures that are not done."""
        for item in islice(open_source(job.source, job.target).items(), job.limit):
            id = id_of(item.key)
            if int(id[:8], 16) % self.of == self.number and id not in done:
                yield item


def begin(job: Job, out: "str | os.PathLike[str]") -> tuple[Writers, Engine, Any, int | None]:
    """The runs in a folder, begun or opened again; engine, network, and pictures of the source.

    Raises a `CamvizError` for a source, network or option that is none, and `OutputError` for the
    folder of another run.
    """
    source = open_source(job.source, job.target)
    check_column(source, job.target)
    count = source.count
    if job.limit is not None:
        count = job.limit if count is None else min(count, job.limit)
    engine = Engine()
    backbone = job.load(engine)
    return Writers(out, job, engine, backbone), engine, backbone, count


def run_job(
    job: Job,
    out: "str | os.PathLike[str]",
    *,
    workers: int = 1,
    tell: Tell = lambda _: None,
) -> Progress:
    """Explain every picture of a source that the run lacks; returns what was done.

    Whatever ends the work, Ctrl-C among it, what was done is kept. Raises a `CamvizError` as
    `begin` does.
    """
    writers, engine, backbone, count = begin(job, out)
    before, start = len(writers.done), time.monotonic()
    done, failed = 0, set[str]()
    progress = Progress(0, 0, before, count, 0.0)
    with (
        writers,
        closing(
            job.rows(engine, backbone, Share().items(job, writers.done))
            if workers == 1
            else _rows_of_workers(job, writers, workers)
        ) as found,
    ):
        for rows in found:
            if isinstance(rows, Failure):
                if rows.id not in failed:
                    writers.fail(rows.id, rows.path, rows.error)
                failed.add(rows.id)
            elif rows is not None:
                writers.add(rows)
            done += 1
            progress = Progress(done, len(failed), before, count, time.monotonic() - start)
            tell(progress)
    return replace(progress, done=writers.count() - before + len(failed))


# -- Several processes ---------------------------------------------------------------------------


def _rows_of_workers(
    job: Job, writers: Writers, workers: int
) -> "Generator[Failure | None, None, None]":
    """What workers tell: a failure, or None for a picture whose rows they write themselves.

    Raises the `CamvizError` that ended one of them, and `DataError` if they are killed again and
    again.
    """
    team = _Team(job, writers.path, workers)
    try:
        yield from team.told()
    finally:
        team.dismiss()
        for folder in writers.folders:
            for left in folder.glob(".part-*.tmp"):  # by one that was killed
                left.unlink(missing_ok=True)


class _Team:
    """Workers on one job, each with a line of its own to this process."""

    def __init__(self, job: Job, out: Path, workers: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._stop = self._context.Event()
        self._arguments = job, out
        self._workers = workers
        self._restarts = 0
        self._running: dict[Connection, tuple[int, BaseProcess]] = {}
        try:
            for number in range(workers):
                self._start(number)
        except BaseException:  # Ctrl-C: those that were started already end first
            self.dismiss()
            raise

    def _start(self, number: int) -> None:
        mine, theirs = self._context.Pipe(duplex=False)
        share = Share(number, self._workers)
        process = self._context.Process(
            target=_work, args=(*self._arguments, share, theirs, self._stop, os.getpid())
        )
        with _interrupts_held():
            process.start()
            theirs.close()
            self._running[mine] = number, process

    def told(self) -> "Iterator[Failure | None]":
        """What workers tell, until all have ended; one that was killed is replaced."""
        while self._running:
            for line in wait(list(self._running)):
                assert isinstance(line, Connection)
                try:
                    message = line.recv()
                except (EOFError, OSError):
                    self._ended(line)
                    continue
                if isinstance(message, CamvizError):
                    raise message
                yield message

    def _ended(self, line: Connection) -> None:
        number, process = self._running.pop(line)
        line.close()
        process.join()
        if process.exitcode == 0:
            return
        self._restarts += 1
        if self._restarts > _RESTARTS * self._workers:
            raise DataError(
                f"workers ended {self._restarts} times, the last one with exit code "
                f"{process.exitcode}; is there memory enough for {self._workers}? The same command "
                "goes on from here"
            )
        self._start(number)

    def dismiss(self) -> None:
        """Let workers write what they hold; those that do not end then are ended."""
        self._stop.set()
        end = time.monotonic() + _PATIENCE
        while self._running and time.monotonic() < end:
            for line in wait(list(self._running), timeout=1):
                assert isinstance(line, Connection)
                try:
                    line.recv()  # or it could wait for room in the pipe
                except (EOFError, OSError):
                    del self._running[line]
        for _, process in self._running.values():
            process.terminate()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C takes effect after this block, and never in processes that are started in it.

    A terminal interrupts all processes of a command; workers are told by the first one to stop.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or not hasattr(signal, "pthread_sigmask"):  # as on Windows
        yield
        return
    resource_tracker.ensure_running()  # or it would be started in the block, and end the mask
    held: list[int] = []
    # The mask is what a process inherits; other threads of this one do not have it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if held:
        signal.raise_signal(signal.SIGINT)


def _work(job: Job, out: Path, share: Share, line: Connection, stop: Any, parent: int) -> None:
    """One worker: explains its share of the pictures, and writes parts of its own."""
    set_threads()

    def check() -> None:
        if stop.is_set() or os.getppid() != parent:
            raise Stopped  # the first process said so, or is no more

    def items(done: Container[str]) -> Iterator[Item]:
        for item in share.items(job, done):
            check()  # also while the first pictures are under way, which may take long
            yield item

    try:
        check()
        engine = Engine()
        backbone = job.load(engine)
        with (
            Writers(out, job, engine, backbone, keeps_errors=False) as writers,
            closing(job.rows(engine, backbone, items(writers.done))) as found,
        ):
            for rows in found:
                if not isinstance(rows, Failure):
                    writers.add(rows)
                check()
                line.send(rows if isinstance(rows, Failure) else None)
    except Stopped:
        return
    except CamvizError as error:
        line.send(error)
