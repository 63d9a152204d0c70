"""What was measured of each picture, kept in a folder, so that a run goes on where it stopped.

DIR/benchmark.json               what is measured: another configuration is refused here
DIR/records/NETWORK/000012.npz   the figures of one picture, written as a whole or not at all
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camviz.errors import OutputError
from camviz.files import output_folder

_LONGEST = 100  # characters of a network's name in that of a file


@dataclass(frozen=True, eq=False)
class Record:
    """Figures of one picture.

    rows: the maps measured, as text.  labels: the things asked for, or the parts of one.  values:
    arrays by name; their axes are described where they are made, in `measure` of each measure.
    """

    rows: tuple[str, ...]
    labels: tuple[str, ...]
    values: Mapping[str, np.ndarray]

    def save(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        with part.open("wb") as out:
            held: dict[str, Any] = {**self.values}
            held |= {"_rows": np.array(self.rows), "_labels": np.array(self.labels)}
            np.savez_compressed(out, **held)
        part.replace(file)

    @classmethod
    def load(cls, file: Path) -> "Record":
        with np.load(file, allow_pickle=False) as held:
            values = {name: held[name] for name in held.files if not name.startswith("_")}
            return cls(tuple(held["_rows"].tolist()), tuple(held["_labels"].tolist()), values)


class Folder:
    """The folder of a run."""

    def __init__(self, path: "str | os.PathLike[str]", configuration: Mapping[str, Any]) -> None:
        """Take a folder that is new, empty or holds a run of the same configuration.

        Raises `OutputError` for any other: figures of two configurations are never mixed.
        """
        self.path = output_folder(path)
        file = self.path / "benchmark.json"
        wanted = json.loads(json.dumps(configuration))
        if file.is_file():
            self._check(file, wanted)
            return
        if self.path.is_dir() and any(self.path.iterdir()):
            raise OutputError(
                f"'{self.path}' holds something else than a benchmark; give a new or empty folder"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
        file.write_text(text, encoding="utf-8", errors="backslashreplace")

    def _check(self, file: Path, wanted: Mapping[str, Any]) -> None:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            differs = "; ".join(_differences(found, wanted))
        except (ValueError, AttributeError):
            raise OutputError(f"'{file}' cannot be read; give another folder") from None
        if differs:
            raise OutputError(
                f"'{self.path}' holds another benchmark, {_digest(found)}, and this one is "
                f"{_digest(wanted)}: they differ in {differs}; give another folder, or what that "
                "one was made with"
            )

    def file(self, backbone: str, index: int) -> Path:
        """Where the record of a picture is, or will be."""
        return self.path / "records" / name_of_file(backbone) / f"{index:06d}.npz"

    def count(self, backbone: str, count: int) -> int:
        """How many of so many pictures were measured with a network."""
        return sum(self.file(backbone, index).is_file() for index in range(count))

    def records(self, backbone: str, count: int) -> Iterator[Record]:
        """What is there of a network, in the order of the pictures."""
        for index in range(count):
            if (file := self.file(backbone, index)).is_file():
                yield Record.load(file)


def name_of_file(backbone: str) -> str:
    """The name of a network as that of a file or folder: no two networks have the same.

    Where it has other characters, or too many, some digits of its SHA-256 are behind it.
    """
    name = re.sub(r"[^\w.-]+", "_", backbone)[:_LONGEST]
    if name == backbone and name.strip("."):
        return name
    digest = hashlib.sha256(backbone.encode(errors="surrogatepass")).hexdigest()
    return f"{name}-{digest[:8]}"


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """What differs, each in words: down to the single value where there are tables in tables."""
    for key in sorted({**found, **wanted}):
        there, now = found.get(key), wanted.get(key)
        if isinstance(there, dict) and isinstance(now, dict):
            yield from (f"{key}, {each}" for each in _differences(there, now))
        elif there != now:
            yield f"{key} {_short(there)} there, {_short(now)} now"


def _digest(configuration: Mapping[str, Any]) -> str:
    """What a configuration is told by: some digits of its SHA-256."""
    text = json.dumps(configuration, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
