"""A run: a folder with the maps of many pictures by one network in one configuration.

    RUN/run.json          what was asked of what network; the SHA-256 of it is the run's name.
                          Beside it the format, and the versions of camviz that wrote to the run
    RUN/part-*.parquet    the pictures, `PART_ROWS` to a file (`camviz.bulk.schema.ROWS`)
    RUN/errors.parquet    those of which there are no maps, and why

    run = Run.open("out/birds")
    for row in run.rows(): run.heat(row)          # float32 (H, W), in [0, 1]
    with RunWriter("out/birds", configuration, geometry) as writer: writer.add(row)

A part is written under a temporary name, flushed to the disk and renamed: it is there as a whole
or not at all.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from camviz.bulk.schema import ERRORS, ROWS, VERSION, map_in, storable
from camviz.defaults import FUSED, usual_threshold
from camviz.engine.drawing import draw
from camviz.engine.explanation import Explanation
from camviz.errors import DataError, OutputError, StageError
from camviz.files import output_folder, user_path
from camviz.fit import Fit
from camviz.maps.boxes import Box, boxes_at
from camviz.maps.fusion import Placement
from camviz.version import version_of

PART_ROWS = 512
CONFIGURATION, ERROR_FILE, PART = "run.json", "errors.parquet", "part-"
# Bytes of a file's name that are not UTF-8 are written as JSON escapes them: "\\udcff".
_NO_TEXT = "backslashreplace"


@dataclass(frozen=True)
class Geometry:
    """Where the maps of a run look: by map, "fused" and "refined" among them, its placement.

    stages: their names, in the order of every row. input_size: (h, w) of the network. labels: of
    all its classes.
    """

    input_size: tuple[int, int]
    stages: tuple[str, ...]
    placements: Mapping[str, Placement]
    labels: tuple[str, ...]

    @classmethod
    def of(cls, x: Explanation) -> "Geometry":
        """That of all pictures which are explained as this one was."""
        placements = {name: x.grid(name)[1] for name in (*x.stages, *x.maps_of_all)}
        return cls(x.fit.input_size, x.stages, placements, tuple(x.backbone.labels))

    def to_json(self) -> dict[str, Any]:
        return {
            "input_size": list(self.input_size),
            "stages": list(self.stages),
            "placements": {
                name: {"stride": list(each.stride), "offset": list(each.offset)}
                for name, each in self.placements.items()
            },
            "labels": list(self.labels),
        }

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> "Geometry":
        placements = {
            name: Placement(tuple(each["stride"]), tuple(each["offset"]))
            for name, each in held["placements"].items()
        }
        height, width = held["input_size"]
        return cls((height, width), tuple(held["stages"]), placements, tuple(held["labels"]))


def name_of(configuration: Mapping[str, Any]) -> str:
    """The name of a run: the SHA-256 of its configuration, in hex."""
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors=_NO_TEXT)).hexdigest()


class Run:
    """A run that was begun, to be read; see `Run.open`."""

    def __init__(
        self,
        path: Path,
        configuration: Mapping[str, Any],
        geometry: Geometry,
        written_by: Sequence[str] = (),
    ) -> None:
        """written_by: versions of camviz, the first one first; () if that was not noted yet."""
        self.path = path
        self.configuration = configuration
        self.geometry = geometry
        self.written_by = tuple(written_by)
        self._last: tuple[Path, pa.Table] | None = None  # the part that was read last

    @classmethod
    def open(cls, path: "str | os.PathLike[str]") -> "Run":
        """The run in a folder. Raises `DataError` if there is none, or it cannot be read."""
        folder = user_path(path)
        file = folder / CONFIGURATION
        if not file.is_file():
            raise DataError(_no_run(folder))
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
            if held["version"] > VERSION:
                raise DataError(
                    f"'{folder}' was written by a later camviz (format {held['version']}; this one "
                    f"reads {VERSION})"
                )
            geometry = Geometry.from_json(held["geometry"])
            return cls(folder, held["configuration"], geometry, held.get("camviz", ()))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"'{file}' cannot be read: it is damaged or no run of camviz") from None

    @property
    def name(self) -> str:
        return name_of(self.configuration)

    @property
    def parts(self) -> list[Path]:
        """Its files, in the order in which they were written."""
        return sorted(self.path.glob(f"{PART}*.parquet"))

    def __len__(self) -> int:
        return sum(_metadata(part).num_rows for part in self.parts)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All pictures as one table; columns: of `ROWS`, all if None. Maps are large: name some."""
        wanted = ROWS if columns is None else pa.schema([ROWS.field(name) for name in columns])
        tables = [_read(part, wanted.names) for part in self.parts]
        return pa.concat_tables(tables) if tables else wanted.empty_table()

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Every picture, one part in memory at a time."""
        for part in self.parts:
            table = _read(part, columns)
            for batch in table.to_batches(max_chunksize=64):
                yield from batch.to_pylist()

    @cached_property
    def _places(self) -> dict[str, tuple[Path, int]]:
        """id -> its part, and its row in it."""
        return {
            each: (part, number)
            for part in self.parts
            for number, each in enumerate(_read(part, ["id"])["id"].to_pylist())
        }

    def row(self, id: str) -> dict[str, Any]:
        """One picture. Raises `DataError` if the run has none of that id."""
        if id not in self._places:
            raise DataError(f"the run in '{self.path}' has no picture '{id}'")
        part, number = self._places[id]
        last = self._last
        if last is None or last[0] != part:
            last = self._last = part, _read(part, None)
        found: dict[str, Any] = last[1].slice(number, 1).to_pylist()[0]
        return found

    def some(self, ids: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Several pictures by id, some columns of them, every part read once.

        What the run has not is left out.
        """
        wanted: dict[Path, list[int]] = {}
        for id in ids:
            if id in self._places:
                part, number = self._places[id]
                wanted.setdefault(part, []).append(number)
        names = list(dict.fromkeys(["id", *columns]))
        return {
            row["id"]: row
            for part, numbers in wanted.items()
            for row in _read(part, names).take(numbers).to_pylist()
        }

    def errors(self) -> list[dict[str, Any]]:
        """The pictures of which there are no maps: id, path and error of each."""
        file = self.path / ERROR_FILE
        return _read(file, None, ERRORS).to_pylist() if file.is_file() else []

    # -- What is made of a row --

    def fit(self, row: Mapping[str, Any]) -> Fit:
        """The geometry between a picture and what the network was shown."""
        mode = str(self.configuration["options"]["fit"])
        size = (row["height"], row["width"])
        return Fit(mode, size, self.geometry.input_size, tuple(row["rect"]))

    def heat(
        self, row: Mapping[str, Any], of: str = FUSED, size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """A map drawn on the picture, float32 (H, W), in [0, 1].

        of: a stage, "fused" or "refined". size: (H, W) to draw at; None: as it was opened. Raises
        `StageError` if there is no such map.
        """
        heat = map_in(row, of)
        if heat is None or of not in self.geometry.placements:
            names = ", ".join(self.geometry.placements)
            raise StageError(f"the run has no map of '{of}'; maps: {names}")
        fit = self.fit(row)
        fit = fit if size is None else fit.scaled_to(*size)
        return draw(heat, self.geometry.placements[of], fit)

    def boxes(
        self, row: Mapping[str, Any], threshold: float | None = None, of: str = FUSED
    ) -> list[Box]:
        """Boxes around what is at or above a share of the maximum, largest first, as of `heat`.

        In pixels of the picture as it was opened; `Cut` has them in those of its file.
        """
        cut = usual_threshold(of) if threshold is None else threshold
        return boxes_at(self.heat(row, of), cut, multi=True)


class RunWriter:
    """Adds pictures to a run, in a folder that is new, empty or holds the same run.

    `done`: the ids that are there already; `add` and `fail` what is new. Leaving the `with` block
    writes what was added, also after an error or Ctrl-C. What failed in an earlier run stays noted
    until there are maps of it.
    """

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        configuration: Mapping[str, Any],
        geometry: Geometry,
        part_rows: int = PART_ROWS,
        *,
        keeps_errors: bool = True,
    ) -> None:
        """keeps_errors: whether it writes what failed; of several writers at once one does.

        Raises `OutputError` for a folder of another run, naming both, or of something else."""
        self.path = output_folder(path)
        self._part_rows = part_rows
        self._keeps_errors = keeps_errors
        self._rows: list[dict[str, Any]] = []
        self._begin(json.loads(json.dumps(configuration)), geometry)
        self._run = Run(self.path, configuration, geometry)
        self._parts = self._run.parts  # of which the ids are in `done`
        self.done = _ids_in(self._parts)
        self._count = len(self._parts)
        failed = self._run.errors() if keeps_errors else []
        self._failed = {row["id"]: row for row in failed if row["id"] not in self.done}

    def _begin(self, configuration: dict[str, Any], geometry: Geometry) -> None:
        """Write what the run is, where it is new, and the version that goes on with it."""
        there = check_folder(self.path, configuration)
        wrote, this = [] if there is None else list(there.written_by), version_of("camviz")
        if there is not None and (this in wrote or not self._keeps_errors):
            return
        self.path.mkdir(parents=True, exist_ok=True)
        held = {
            "version": VERSION,
            "camviz": [*wrote, this],
            "name": name_of(configuration),
            "configuration": configuration if there is None else there.configuration,
            "geometry": (geometry if there is None else there.geometry).to_json(),
        }
        text = json.dumps(held, indent=1, ensure_ascii=False) + "\n"
        _replace(
            self.path / CONFIGURATION, lambda part: part.write_bytes(text.encode(errors=_NO_TEXT))
        )

    def add(self, row: dict[str, Any]) -> None:
        """A picture with its maps; one that is there already is left out."""
        if row["id"] in self.done:
            return
        self.done.add(row["id"])
        self._failed.pop(row["id"], None)
        self._rows.append(row)
        if len(self._rows) >= self._part_rows:
            self.flush()

    def fail(self, id: str, path: str, error: str) -> None:
        """A picture of which there are no maps, and why."""
        if id not in self.done:
            self._failed[id] = {"id": id, "path": storable(path), "error": storable(error)}

    def flush(self) -> None:
        """Write what was added since the last part."""
        if self._rows:
            table = pa.Table.from_pylist(self._rows, schema=ROWS)
            ids = "".join(row["id"] for row in self._rows)
            digest = hashlib.sha256(ids.encode()).hexdigest()[:12]
            name = f"{PART}{self._count:06d}-{digest}.parquet"
            _write(self.path / name, table)
            self._count += 1
            self._rows = []
        if self._keeps_errors:
            self._write_errors()

    def _write_errors(self) -> None:
        file = self.path / ERROR_FILE
        if self._failed:
            _write(file, pa.Table.from_pylist(list(self._failed.values()), schema=ERRORS))
        elif file.is_file():
            file.unlink()

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._failed:  # of some others may have written maps
            for id in _ids_in(set(self._run.parts) - set(self._parts)):
                self._failed.pop(id, None)
        self.flush()


def check_folder(path: Path, configuration: Mapping[str, Any]) -> Run | None:
    """The run in a folder that may be gone on with in this configuration; None: there is none yet.

    Raises `OutputError` for a folder of another run, naming both, or of something else.
    """
    if (path / CONFIGURATION).is_file():
        there = Run.open(path)
        if there.name != name_of(configuration):
            raise OutputError(_other(there, configuration))
        return there
    if path.is_dir() and any(path.iterdir()):
        raise OutputError(f"'{path}' holds something else than a run; give a new or empty folder")
    return None


def runs_below(folder: Path) -> list[Path]:
    """The folders of the runs of several methods, which were made together, by their names."""
    return sorted(file.parent for file in folder.glob(f"*/{CONFIGURATION}"))


def runs_in(folder: Path) -> list[Path]:
    """The folder of a run itself, or those of several methods below it."""
    return [folder] if (folder / CONFIGURATION).is_file() else runs_below(folder) or [folder]


def _no_run(folder: Path) -> str:
    """What is said of a folder without a run of its own."""
    inner = runs_below(folder)
    if not inner:
        return f"'{folder}' holds no run: there is no {CONFIGURATION} in it"
    names = ", ".join(each.name for each in inner)
    return f"'{folder}' holds a run for each of {names}; give one of them, such as '{inner[0]}'"


def _ids_in(parts: Iterable[Path]) -> set[str]:
    """The ids of all pictures in some files of a run."""
    return {id for part in parts for id in _read(part, ["id"])["id"].to_pylist()}


def _other(there: Run, wanted: Mapping[str, Any]) -> str:
    """What is said of a folder that holds another run."""
    found = there.configuration
    keys = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
    differs = ", ".join(sorted(keys)) or "the order of its values"
    return (
        f"'{there.path}' holds another run, {there.name}, and this one is {name_of(wanted)}: they "
        f"differ in {differs}; give another folder, or what that one was made with"
    )


def _metadata(file: Path) -> Any:
    try:
        return pq.read_metadata(file)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(file, error) from None


def _read(file: Path, columns: Sequence[str] | None, schema: pa.Schema = ROWS) -> pa.Table:
    """Some columns of a file, all of the schema if None; one that it lacks is null in every row."""
    names = schema.names if columns is None else list(columns)
    try:
        with pq.ParquetFile(file) as held:
            there = set(held.schema_arrow.names)
            table = held.read([name for name in names if name in there])
    except (OSError, pa.ArrowException) as error:
        raise _damaged(file, error) from None
    for name in names:
        if name not in there:  # written before there was such a column
            field = schema.field(name)
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(names)


def _damaged(file: Path, error: Exception) -> DataError:
    first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return DataError(f"'{file}' cannot be read ({first}); remove it and run again")


def _write(file: Path, table: pa.Table) -> None:
    _replace(file, lambda part: pq.write_table(table, part, compression="zstd"))


def _replace(file: Path, write: Any) -> None:
    """Have a file written under a temporary name, flush it to the disk, then give it its name."""
    part = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        write(part)
        with part.open("rb+") as held:
            os.fsync(held.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
