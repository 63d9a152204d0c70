"""The runs that one job writes: one, or one for each of its methods, made of the same passes.

    with Writers("out/birds", job, engine, backbone) as writers:
        for rows in job.rows(engine, backbone, items): writers.add(rows)

Several lie in folders of the methods' names, out/birds/layer_cam, and each is what a job of that
method alone writes: exports and views read it as such.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from camviz.bulk.job import Job
from camviz.bulk.run import CONFIGURATION, Run, RunWriter, check_folder, runs_below
from camviz.engine.engine import Engine
from camviz.errors import OutputError
from camviz.files import output_folder
from camviz.network.backbone import Backbone


class Writers(ExitStack):
    """A `RunWriter` for each run of a job, used as one."""

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        job: Job,
        engine: Engine,
        backbone: Backbone,
        *,
        keeps_errors: bool = True,
    ) -> None:
        """keeps_errors: as of `RunWriter`.

        Raises a `CamvizError` for an option that is none, and `OutputError` for a folder of another
        run, or of something else; nothing is written then.
        """
        super().__init__()
        self.path = output_folder(path)
        if job.methods:
            _check_shared(self.path)
        begun = [
            (self.path / place, run.configuration(backbone), run.geometry(engine, backbone))
            for place, run in job.runs.items()
        ]
        for folder, configuration, _ in begun:
            check_folder(folder, configuration)
        self._writers = [
            self.enter_context(RunWriter(*each, keeps_errors=keeps_errors)) for each in begun
        ]

    @property
    def folders(self) -> list[Path]:
        return [writer.path for writer in self._writers]

    @property
    def done(self) -> set[str]:
        """The ids of the pictures that every run has."""
        first, *others = (writer.done for writer in self._writers)
        return first.intersection(*others) if others else first

    def count(self) -> int:
        """How many pictures every run has by now, whoever wrote them."""
        if len(self._writers) == 1:
            return len(Run.open(self.folders[0]))
        ids = [Run.open(folder).table(["id"])["id"].to_pylist() for folder in self.folders]
        return len(set(ids[0]).intersection(*ids[1:]))

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """A picture: its row in each run."""
        for writer, row in zip(self._writers, rows, strict=True):
            writer.add(row)

    def fail(self, id: str, path: str, error: str) -> None:
        """A picture of which there are no maps, and why."""
        for writer in self._writers:
            writer.fail(id, path, error)


def _check_shared(path: Path) -> None:
    """Raise `OutputError` for a folder that holds anything but runs in folders of their own."""
    if (path / CONFIGURATION).is_file():
        raise OutputError(
            f"'{path}' holds the run of one method; several have a folder each: give another one"
        )
    if path.is_dir():
        known = runs_below(path)
        for each in path.iterdir():
            if each not in known and not (each.is_dir() and not any(each.iterdir())):
                raise OutputError(
                    f"'{path}' holds something else than runs; give a new or empty folder"
                )
