"""Goes through the pictures of a benchmark, one network after the other.

The network runs here; the figures of the maps are measured in other processes meanwhile, which need
no network. One trace of a picture feeds all methods and stages.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from camviz.benchmark.cases import Listing
from camviz.benchmark.records import Folder, Record
from camviz.benchmark.rows import Maps, Setting
from camviz.engine.engine import Engine
from camviz.errors import BackboneError, CamvizError, DataError, one_line
from camviz.network.backbone import Backbone
from camviz.preprocessing import outputs_of, preprocessing_of

Progress = Callable[[int, int, str], None]
_FEW = 24  # pictures, which are measured before a process has started
_FORMAT = 1  # of records: raised when a figure is defined otherwise


class Measure(Protocol):
    """What is measured of each picture of `data`. configuration: what else figures depend on."""

    kind: ClassVar[str]

    @property
    def data(self) -> Listing: ...

    @property
    def configuration(self) -> dict[str, Any]: ...

    def measure(self, maps: Maps, index: int) -> Callable[[], Record]:
        """Run the network on a case; what is returned measures the maps, in any process."""


@dataclass(frozen=True)
class Failure:
    """A picture that could not be measured, or a method that a network cannot have."""

    backbone: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.backbone}, {self.name}: {self.reason}"


@dataclass
class Run:
    """A benchmark: what is measured of which pictures with which networks, and where it is kept.

    jobs: processes that measure beside this one, which runs the network; 0: it measures too.
    """

    engine: Engine
    backbones: Sequence[Backbone]
    settings: Sequence[Setting]
    measure: Measure
    out: str | Path
    jobs: int = 0
    failures: list[Failure] = field(default_factory=list)

    def __post_init__(self) -> None:
        known: dict[str, Backbone] = {}
        for each in self.backbones:
            if known.setdefault(each.name, each) is not each:
                raise BackboneError(
                    f"two networks are called '{each.name}', and what is measured is kept by name; "
                    "give each a name of its own, or each network once"
                )
        self.folder = Folder(self.out, self.configuration)

    @property
    def data(self) -> Listing:
        return self.measure.data

    @property
    def configuration(self) -> dict[str, Any]:
        """All that the figures depend on."""
        return {
            "format": _FORMAT,
            "measure": self.measure.kind,
            "data": self.data.name,
            "pictures": len(self.data.names),
            "identity": self.data.identity,
            "backbones": {each.name: each.digest for each in self.backbones},
            "preprocessing": {each.name: preprocessing_of(each) for each in self.backbones},
            "outputs": {each.name: outputs_of(each) for each in self.backbones},
            "methods": [[each.method, each.text] for each in self.settings],
            **self.measure.configuration,
        }

    def go(
        self, progress: Progress | None = None, tell: Callable[[Failure], None] | None = None
    ) -> None:
        """Measure what was not measured before.

        progress(pictures done, of, in words) is called after each, of all networks together; what
        it raises ends the run, which goes on there when it is started again. tell: called with
        whatever fails, when it does. A picture that failed in an earlier run is tried again.
        """
        total, done = len(self.backbones) * len(self.data.names), 0
        left = total - sum(self.count(backbone) for backbone in self.backbones)
        with _measuring(self.jobs if left > _FEW else 0) as measure:
            for backbone in self.backbones:
                maps = Maps(self.engine, backbone, self.settings)
                for index, name in enumerate(self.data.names):
                    file = self.folder.file(backbone.name, index)
                    if not file.is_file():
                        refused = len(maps.refused)
                        try:
                            measure(self.measure.measure(maps, index), file)
                        except CamvizError as error:
                            self._fail(backbone, name, error, tell)
                        for setting, reason in list(maps.refused.items())[refused:]:
                            self._fail(backbone, str(setting), reason, tell)
                    done += 1
                    if progress is not None:
                        progress(done, total, f"{backbone.display_name}, {name}")

    def _fail(
        self,
        backbone: Backbone,
        name: str,
        reason: object,
        tell: Callable[[Failure], None] | None,
    ) -> None:
        failure = Failure(backbone.name, name, one_line(reason))
        self.failures.append(failure)
        if tell is not None:
            tell(failure)

    def count(self, backbone: Backbone) -> int:
        """How many pictures were measured with a network."""
        return self.folder.count(backbone.name, len(self.data.names))

    def records(self, backbone: Backbone) -> list[Record]:
        """What was measured with a network."""
        return list(self.folder.records(backbone.name, len(self.data.names)))


@contextmanager
def _measuring(jobs: int) -> Iterator[Callable[[Callable[[], Record], Path], None]]:
    """measure(finish, file): save what `finish` returns, in one of so many processes, or here.

    Twice as many wait at most. What is begun is saved when the block ends, however it ends.
    """
    if jobs == 0:
        yield _save
        return
    waiting: deque[Future[None]] = deque()

    def measure(finish: Callable[[], Record], file: Path) -> None:
        while len(waiting) > 2 * jobs:
            waiting.popleft().result()
        waiting.append(pool.submit(_save, finish, file))

    spawn = multiprocessing.get_context("spawn")  # torch's threads do not outlive a fork
    try:
        with ProcessPoolExecutor(jobs, spawn, _ignore_interrupts) as pool:
            yield measure
        for future in waiting:
            future.result()
    except BrokenProcessPool:
        raise DataError(
            "a process that measures maps was killed, for want of memory perhaps; what was measured"
            " is kept, and the same command goes on from there; --jobs 0 measures without processes"
        ) from None


def _ignore_interrupts() -> None:
    """Ctrl-C reaches all processes of a command; the first one ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _save(finish: Callable[[], Record], file: Path) -> None:
    finish().save(file)
