"""A job on a Ray cluster: the rows of one process, made by an actor for each device.

    run_on_ray(job, "/shared/birds", workers=8)       # a cluster by RAY_ADDRESS, else a local one

Source and run are on a file system that all machines see at the same place. What is written is
noted by Ray's own checkpoints, in RUN/.checkpoint, and not made again; a task whose machine is lost
is done elsewhere. Needs the extra `ray` (pip install "camviz[ray]").
"""

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, islice
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray
import torch
from ray.data.checkpoint import CheckpointConfig
from ray.data.datasource import FilenameProvider

from camviz.bulk.item import Item
from camviz.bulk.job import Failure, Job
from camviz.bulk.run import PART, PART_ROWS, Run
from camviz.bulk.schema import ERRORS, ROWS, id_of, storable
from camviz.bulk.sources import open_source
from camviz.bulk.work import Progress, begin
from camviz.bulk.writers import Writers
from camviz.engine.engine import Engine
from camviz.errors import DataError
from camviz.files import user_path
from camviz.network.settings import Settings
from camviz.terminal import set_threads

# Names in a run's folder: what is to be done, what Ray has done, what failed, and Ray's parts.
_LISTING, _CHECKPOINT, _FAILED, _RAY_PART = ".listing", ".checkpoint", ".failed", f"{PART}ray-"
_LISTED = pa.schema(
    [("id", pa.string()), ("key", pa.binary()), ("path", pa.string()), ("held", pa.binary()),
     ("offset", pa.int64()), ("size", pa.int64()), ("label", pa.string()), ("columns", pa.string())]
)  # fmt: skip
_LISTED_ROWS = 4096  # to a file of the listing, which is read by one task


def run_on_ray(job: Job, out: "str | os.PathLike[str]", *, workers: int | None = None) -> Progress:
    """Explain every picture of a source that the run lacks; returns what was done.

    workers: actors, each with a network, see `actors_for`; None: one for each GPU of the cluster,
    at least one. Ray shows its own progress. Raises a `CamvizError` as `begin` does, and
    `DataError` for a source without files (hf:) and for several methods.
    """
    if job.methods:
        raise DataError(
            "a cluster makes the maps of one method at a time; give one of "
            f"{', '.join(job.methods)}, each with a folder of its own, or run it without Ray"
        )
    writers, *_, of = begin(job, out)
    folder, before, start = writers.path.resolve(), len(writers.done), time.monotonic()
    with _cluster():
        if _list(job, folder, _done_elsewhere(folder)):
            _explain(_anywhere(job), folder, workers)
    failed = _gather_failures(writers)
    done = writers.count() - before + failed
    return Progress(done, failed, before, of, time.monotonic() - start)


def _done_elsewhere(folder: Path) -> set[str]:
    """The ids in parts that were written without Ray.

    Those in Ray's own parts are in its checkpoints, by which it leaves them out itself.
    """
    return {
        id
        for part in Run.open(folder).parts
        if not part.name.startswith(_RAY_PART)
        for id in pq.read_table(part, columns=["id"])["id"].to_pylist()
    }


@contextmanager
def _cluster() -> Iterator[None]:
    """A Ray cluster: the one of RAY_ADDRESS or of this process, else one on this machine."""
    if ray.is_initialized():
        yield
        return
    ray.init(log_to_driver=False, configure_logging=False, include_dashboard=False)
    try:
        yield
    finally:
        ray.shutdown()


def _list(job: Job, folder: Path, done: set[str]) -> int:
    """Write down what is to be done, in files that Ray's tasks read; returns how many pictures."""
    listing = folder / _LISTING
    listing.mkdir(exist_ok=True)
    for old in listing.glob("*.parquet"):
        old.unlink()
    seen: set[bytes] = set()

    def rows() -> Iterator[dict[str, Any]]:
        for item in islice(open_source(job.source, job.target).items(), job.limit):
            id = id_of(item.key)
            if id not in done and (short := bytes.fromhex(id[:32])) not in seen:
                seen.add(short)
                yield _listed(id, item)

    rest = rows()
    for number in count():
        some = list(islice(rest, _LISTED_ROWS))
        if not some:
            return len(seen)
        table = pa.Table.from_pylist(some, schema=_LISTED)
        pq.write_table(table, listing / f"{number:06d}.parquet")
    raise AssertionError("counting has no end")


def _listed(id: str, item: Item) -> dict[str, Any]:
    if isinstance(item.held, bytes):
        raise DataError(
            f"'{item.path}' is no file of its own, and pictures are read on other machines; write "
            "the data set as tar shards or files first, or run it without Ray"
        )
    offset, size = item.span or (None, None)
    return {
        "id": id,
        "key": os.fsencode(item.key),  # names of files, which need not be text
        "path": storable(item.path),
        "held": os.fsencode(Path(item.held).resolve()),
        "offset": offset,
        "size": size,
        "label": None if item.label is None else json.dumps(item.label),
        "columns": json.dumps(dict(item.columns), default=str),
    }


def _item(row: Mapping[str, Any]) -> Item:
    span = None if row["offset"] is None else (row["offset"], row["size"])
    label = None if row["label"] is None else json.loads(row["label"])
    key, held = os.fsdecode(row["key"]), os.fsdecode(row["held"])
    return Item(key, row["path"], held, json.loads(row["columns"]), label, span)


def _anywhere(job: Job) -> Job:
    """The same job, whatever folder it is done in: files are named by their whole paths."""
    weights = user_path(job.weights)
    return replace(
        job,
        weights=str(weights.resolve()) if weights.is_file() else job.weights,
        settings=Settings(**job.settings).given,
    )


def actors_for(workers: int | None, cpus: float, gpus: float) -> dict[str, Any]:
    """What `map_batches` takes for an actor on each device of a cluster: how many, and their share.

    workers: None for one on each GPU, or one where there are none. More of them than GPUs share
    these evenly, so that every one of them finds its place. Actors take no CPU where they would
    take all of them: what reads the listing and writes parts would wait for one for ever.
    """
    actors = workers or max(int(gpus), 1)
    return {
        "concurrency": actors,
        "num_cpus": 1 if cpus > actors else 0,
        "num_gpus": 1 / ceil(actors / int(gpus)) if gpus >= 1 else 0,
        "scheduling_strategy": "SPREAD",
    }


def _explain(job: Job, folder: Path, workers: int | None) -> None:
    context = ray.data.DataContext.get_current()
    kept = context.checkpoint_config
    context.checkpoint_config = CheckpointConfig(
        id_column="id",
        checkpoint_path=str(folder / _CHECKPOINT),
        delete_checkpoint_on_success=False,
    )
    there = ray.cluster_resources()
    try:
        data = ray.data.read_parquet(str(folder / _LISTING), schema=_LISTED).map_batches(
            _Actor,
            fn_constructor_args=(job, str(folder)),
            batch_size=4 * job.batch,
            batch_format="pyarrow",
            **actors_for(workers, there.get("CPU", 0), there.get("GPU", 0)),
        )
        data.write_parquet(
            str(folder),
            filename_provider=_Names(),
            min_rows_per_file=PART_ROWS,
            compression="zstd",
        )
    finally:
        context.checkpoint_config = kept


class _Names(FilenameProvider):  # type: ignore[misc]
    """Names Ray's parts."""

    def get_filename_for_task(self, write_uuid: str, task_index: int) -> str:
        return f"{_RAY_PART}{write_uuid}-{task_index:06d}.parquet"

    def get_filename_for_block(
        self, block: Any, write_uuid: str, task_index: int, block_index: int
    ) -> str:
        return f"{_RAY_PART}{write_uuid}-{task_index:06d}-{block_index:06d}.parquet"


class _Actor:
    """Explains batches of the listing, with a network that is loaded once."""

    def __init__(self, job: Job, folder: str) -> None:
        set_threads()
        self._job = job
        self._failed = Path(folder, _FAILED)
        self._engine = Engine("cuda" if torch.cuda.is_available() else "cpu")
        self._backbone = job.load(self._engine)

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows: list[dict[str, Any]] = []
        failures: list[Failure] = []
        for found in self._job.rows(self._engine, self._backbone, map(_item, batch.to_pylist())):
            if isinstance(found, Failure):
                failures.append(found)
            else:
                rows.extend(found)
        if failures:
            self._failed.mkdir(exist_ok=True)
            noted = [{**vars(each), "error": storable(each.error)} for each in failures]
            table = pa.Table.from_pylist(noted, schema=ERRORS)
            pq.write_table(table, self._failed / f"{uuid.uuid4().hex}.parquet")
        return pa.Table.from_pylist(rows, schema=ROWS)


def _gather_failures(writers: Writers) -> int:
    """Note what failed in the run, each picture once; returns how many."""
    files = sorted((writers.path / _FAILED).glob("*.parquet"))
    found = {row["id"]: row for file in files for row in pq.read_table(file).to_pylist()}
    with writers:  # which leave out what has maps by now
        for row in found.values():
            writers.fail(**row)
    for file in files:
        file.unlink()
    return len(found.keys() & {row["id"] for row in Run.open(writers.path).errors()})
