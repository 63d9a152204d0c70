"""Data sets of the Hugging Face hub, and folders in its form, one picture after the other.

Needs the package `datasets`. They are streamed: nothing is kept on the disk.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from camviz.bulk.item import Item, label_among
from camviz.errors import DataError, one_line
from camviz.files import user_path
from camviz.images import MAX_BYTES


@dataclass(frozen=True)
class HubSource:
    """A split of a data set, as `hf:ORG/NAME:SPLIT`, or `hf:FOLDER:SPLIT` of one on this machine.

    Its first column of pictures is read; a class label is the name of the class.
    """

    name: str
    dataset: str
    split: str

    @classmethod
    def parse(cls, text: str) -> "HubSource":
        """Raises `DataError` for a name without a split, and without the package `datasets`."""
        dataset, _, split = text.partition(":")[2].rpartition(":")
        if not dataset or not split:
            raise DataError(f"'{text}' names no split; give hf:ORG/NAME:SPLIT, such as :train")
        try:
            import_module("datasets")
        except ImportError:
            raise DataError(
                f"'{text}' is read by the package datasets, which is not installed; "
                'pip install "camviz[hf]"'
            ) from None
        folder = user_path(dataset)
        return cls(text, str(folder) if folder.is_dir() else dataset, split)

    @property
    def count(self) -> int | None:
        splits = self._stream.info.splits or {}
        return splits[self.split].num_examples or None if self.split in splits else None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._features)

    def items(self) -> Iterator[Item]:
        picture, names = self._picture, self._class_names
        rows = iter(
            self._stream.cast_column(picture, import_module("datasets").Image(decode=False))
        )
        for number in itertools.count():
            try:
                row = next(rows, None)
            except Exception as error:  # whatever the network and its libraries raise
                raise self._unreadable(error) from None
            if row is None:
                return
            held = row.pop(picture) or {}
            columns = {name: _class_name(value, names.get(name)) for name, value in row.items()}
            label = label_among(columns) or next(
                (str(columns[name]) for name in names if columns.get(name) is not None), None
            )
            key = f"{self.split}/{number:09d}"
            yield Item(key, key, self._held(held), columns, label)

    def _held(self, picture: Mapping[str, Any]) -> str | bytes:
        """The file of a picture on this machine, or its bytes, from wherever they are."""
        path, data = picture.get("path"), picture.get("bytes")
        if data or not path:
            return data or b""
        if Path(path).is_file():
            return str(path)
        try:
            with import_module("datasets.utils.file_utils").xopen(path, "rb") as opened:
                return opened.read(MAX_BYTES + 1)
        except Exception as error:
            raise self._unreadable(error) from None

    @cached_property
    def _stream(self) -> Any:
        try:
            return import_module("datasets").load_dataset(
                self.dataset, split=self.split, streaming=True
            )
        except Exception as error:
            raise self._unreadable(error) from None

    @cached_property
    def _features(self) -> dict[str, Any]:
        features = self._stream.features
        if features is None:
            try:
                features = self._stream._resolve_features().features
            except Exception as error:
                raise self._unreadable(error) from None
        return dict(features)

    @property
    def _picture(self) -> str:
        """The column that has the pictures."""
        kind = import_module("datasets").Image
        for name, feature in self._features.items():
            if isinstance(feature, kind):
                return name
        raise DataError(
            f"'{self.name}' has no column of pictures; its columns: {', '.join(self.columns)}"
        )

    @property
    def _class_names(self) -> dict[str, list[str]]:
        """By column of class labels, their names."""
        kind = import_module("datasets").ClassLabel
        features = self._features.items()
        return {name: each.names for name, each in features if isinstance(each, kind)}

    def _unreadable(self, error: Exception) -> DataError:
        return DataError(
            f"'{self.name}' cannot be read ({one_line(error)[:160]}); is its name right, and can "
            "the hub be reached? A folder that was downloaded will do: hf:FOLDER:SPLIT"
        )


def _class_name(value: Any, names: list[str] | None) -> Any:
    """The name of a class label; -1 is no label."""
    if names is None or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None
