"""Where many pictures come from: a folder, a table with paths, tar shards, a Hugging Face data set.

    source = open_source("photos/")                   # or birds.csv, shards-{0000..0099}.tar
    for item in source.items(): open_picture(item.read())

Every source gives its pictures in the same order each time, each under a key of its own.
"""

import csv
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product, takewhile
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from camviz.bulk.hub_source import HubSource
from camviz.bulk.item import Item, label_among
from camviz.errors import DataError
from camviz.files import user_path

SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif",
    ".npy",
)  # fmt: skip
# Names of the column that has the paths of a table, the first of them that there is.
PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "picture")
_HUB = "hf:"
_MOST_BRACES = 100_000  # shards that one pattern may name


class Source(Protocol):
    """Pictures in an order. name: as it was given. columns: their names, None if each has its own.

    count: how many there are; None if that takes reading all of it.
    """

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...] | None: ...
    @property
    def count(self) -> int | None: ...

    def items(self) -> Iterator[Item]: ...


def open_source(given: "str | os.PathLike[str]", target: str = "top") -> Source:
    """The source of that name. Raises `DataError` for what is none, or is not there.

    target: "top", "label" or a column, as of `Item.target`.
    """
    text = os.fspath(given)
    if text.startswith(_HUB):
        return HubSource.parse(text)
    if text.lower().endswith(".tar"):
        return Shards(text, tuple(user_path(each) for each in expand_braces(text)))
    path = user_path(text)
    if path.is_dir():
        return Folder(text, path)
    if path.suffix.lower() in (".csv", ".parquet"):
        if not path.is_file():
            raise DataError(f"there is no file '{path}'")
        return Table(text, path, target)
    raise DataError(
        f"'{text}' is no source of pictures: give a folder, a CSV or Parquet file with a column of "
        f"paths, tar shards (shards-{{0000..0099}}.tar) or {_HUB}ORG/NAME:SPLIT"
    )


def expand_braces(text: str) -> list[str]:
    """Every name that a pattern stands for, as a shell has it: {0000..0099} and {a,b}."""
    parts = re.split(r"\{([^{}]*)\}", text)
    choices = [[part] if number % 2 == 0 else _choices(part) for number, part in enumerate(parts)]
    total = 1
    for each in choices:
        total *= len(each)
    if total > _MOST_BRACES:
        raise DataError(f"'{text}' names {total} shards; at most {_MOST_BRACES} are read at once")
    return ["".join(each) for each in product(*choices)]


def _choices(within: str) -> list[str]:
    """What stands between two braces, each."""
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", within)
    if numbers is None:
        return within.split(",") if "," in within else [f"{{{within}}}"]
    first, last = (int(each) for each in numbers.groups())
    if last < first or last - first >= _MOST_BRACES:
        raise DataError(f"'{{{within}}}' is no range of shards; give the smaller number first")
    return [str(number).zfill(len(numbers[1])) for number in range(first, last + 1)]


@dataclass(frozen=True)
class Folder:
    """Every picture below a folder, in the order of the names; the subfolder is the label."""

    name: str
    folder: Path
    columns: tuple[str, ...] = ()

    @cached_property
    def count(self) -> int:
        found = sum(1 for _ in self._paths())
        if not found:
            raise DataError(f"there is no picture in '{self.folder}' ({', '.join(SUFFIXES)})")
        return found

    def items(self) -> Iterator[Item]:
        for path in self._paths():
            key = path.relative_to(self.folder).as_posix()
            label = None if path.parent == self.folder else path.parent.name
            yield Item(key, key, str(path), label=label)

    def _paths(self) -> Iterator[Path]:
        for folder, below, names in os.walk(self.folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith(".") and name.lower().endswith(SUFFIXES):
                    yield Path(folder, name)


@dataclass(frozen=True)
class Table:
    """The pictures that a CSV or Parquet file names, in the order of its rows.

    Paths are relative to the file. The column `label`, or `class`, is the label. A picture that is
    named twice is one, but for each of the classes that `target` has for it: then it has a key of
    its own with each.
    """

    name: str
    file: Path
    target: str = "top"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        if self._is_parquet:
            names = tuple(_parquet(self.file).schema_arrow.names)
        else:
            names = tuple(next(self._csv(), ()))
        if not set(PATH_COLUMNS) & set(names):
            raise DataError(
                f"'{self.file.name}' has no column of paths ({', '.join(PATH_COLUMNS)}); "
                f"its columns: {', '.join(names) or 'none'}"
            )
        return names

    @cached_property
    def count(self) -> int:
        if self._is_parquet:
            return int(_parquet(self.file).metadata.num_rows)
        return sum(1 for row in self._csv() if row) - 1

    def items(self) -> Iterator[Item]:
        column = next(name for name in PATH_COLUMNS if name in self.columns)
        for row in self._rows():
            path = str(row[column] or "").strip()
            label = label_among(row)
            asked = {"top": None, "label": label}.get(self.target, row.get(self.target))
            key = path if asked in (None, "") else f"{path}\t{asked}"
            yield Item(key, path, str(self.file.parent / path), row, label)

    @property
    def _is_parquet(self) -> bool:
        return self.file.suffix.lower() == ".parquet"

    def _rows(self) -> Iterator[dict[str, Any]]:
        if self._is_parquet:
            for batch in _parquet(self.file).iter_batches(batch_size=1024):
                yield from batch.to_pylist()
            return
        lines = self._csv()
        names = next(lines)
        for number, row in enumerate(lines, 2):
            if row and len(row) != len(names):
                raise DataError(
                    f"'{self.file.name}': row {number} has {len(row)} values, and there are "
                    f"{len(names)} columns"
                )
            if row:
                yield dict(zip(names, row, strict=True))

    def _csv(self) -> Iterator[list[str]]:
        try:
            with self.file.open(newline="", encoding="utf-8-sig") as lines:
                yield from csv.reader(lines)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"cannot read '{self.file}': {error}") from None


def _parquet(file: Path) -> Any:
    try:
        return pq.ParquetFile(file)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read '{file}': {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class Shards:
    """Tar files in the layout of webdataset: files of one name, up to its first dot, are a sample.

    A picture's class is in .cls or .label, further columns in .json. Nothing is unpacked: a picture
    is read from its place in the shard. Of several pictures in a sample the one whose whole suffix
    is that of a picture is taken: 1.png, and not 1.depth.png. Keys begin with the name of the
    shard, or, where two shards in different folders have one name, with the path of each below the
    folder that holds all of them.
    """

    name: str
    shards: tuple[Path, ...] = field(repr=False)
    columns: None = None
    count: None = None

    def __post_init__(self) -> None:
        missing = [path for path in self.shards if not path.is_file()]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(self.shards)} shards are not there, such as '{missing[0]}'"
            )

    def items(self) -> Iterator[Item]:
        for shard, name in zip(self.shards, _names_of(self.shards), strict=True):
            try:
                with tarfile.open(shard, "r:") as opened:
                    for key, members in _samples(opened):
                        yield from _items(opened, shard, name, key, members)
            except (OSError, tarfile.TarError) as error:
                raise DataError(f"cannot read the shard '{shard}': {error}") from None


def _names_of(shards: Sequence[Path]) -> list[str]:
    """What each shard is called in keys and paths: one name for one file, and for no other."""
    if len({shard.name for shard in shards}) == len(set(shards)):
        return [shard.name for shard in shards]
    parts = [shard.absolute().parts for shard in shards]
    folders = zip(*(each[:-1] for each in parts), strict=False)  # to the shortest path
    shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, folders))
    return ["/".join(each[shared:]) for each in parts]


_Members = Mapping[str, tarfile.TarInfo]


def _samples(opened: tarfile.TarFile) -> Iterator[tuple[str, _Members]]:
    """Key and files, by suffix, of each sample: those that follow each other under one name."""
    key, members = "", dict[str, tarfile.TarInfo]()
    for member in opened:
        opened.members = []  # type: ignore[attr-defined]  # or every header would be kept
        folder, _, name = member.name.rpartition("/")
        stem, dot, suffix = name.partition(".")
        if not member.isreg() or not stem or not dot:
            continue
        this = f"{folder}/{stem}" if folder else stem
        if this != key and members:
            yield key, members
            members = {}
        key = this
        members[f".{suffix.lower()}"] = member
    if members:
        yield key, members
    rest = Path(str(opened.name)).stat().st_size - opened.offset
    if 0 < rest < tarfile.BLOCKSIZE:  # tarfile takes a header that is cut off for the end
        raise tarfile.ReadError("it is cut off")


def _items(
    opened: tarfile.TarFile, shard: Path, name: str, key: str, members: _Members
) -> Iterator[Item]:
    """The picture of a sample, if it has one. name: of the shard, as of `_names_of`."""
    pictures = [each for each in members if each.endswith(SUFFIXES)]
    if not pictures:
        return
    suffix = next((each for each in pictures if each in SUFFIXES), pictures[0])
    columns: dict[str, Any] = {}
    for kind in (".json", ".cls", ".label"):
        if kind in members:
            columns |= _columns(opened, members[kind], kind)
    where = members[suffix]
    span = (where.offset_data, where.size)
    yield Item(
        f"{name}/{key}", f"{name}/{key}{suffix}", str(shard), columns, label_among(columns), span
    )


def _columns(opened: tarfile.TarFile, member: tarfile.TarInfo, kind: str) -> dict[str, Any]:
    held = opened.extractfile(member)
    assert held is not None, "only regular files are listed"
    text = held.read().decode("utf-8", "replace").strip()
    if kind != ".json":
        return {"label": text}
    try:
        found = json.loads(text)
    except ValueError:
        raise DataError(f"'{member.name}' in '{opened.name!s}' is no JSON") from None
    return found if isinstance(found, dict) else {}


def check_column(source: Source, rule: str) -> None:
    """Raise `DataError` if a source is known to have no column of the name of a target rule."""
    if rule in ("top", "label") or source.columns is None or rule in source.columns:
        return
    has = f"its columns: {', '.join(source.columns)}" if source.columns else "it has no columns"
    raise DataError(
        f"'{source.name}' has no column '{rule}' to take targets from; {has}. The target is 'top', "
        "'label' or a column"
    )
