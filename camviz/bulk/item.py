"""One picture of a source: its key, where it is, and what the source says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camviz.errors import DataError, ImageError
from camviz.images import MAX_BYTES

_LABELS = ("label", "class", "cls")


@dataclass(frozen=True)
class Item:
    """A picture of a source.

    key: unique in the source. path: how it is named in a run, never with what is above the source.
    held: the file that has it, or its bytes. columns: by name what a table says of it. label: its
    class, if the source gives one. span: offset and size of it in the file, of a shard.
    """

    key: str
    path: str
    held: str | bytes = field(repr=False)
    columns: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None
    span: tuple[int, int] | None = None

    def read(self) -> str | bytes:
        """What `open_picture` opens: a path or bytes. Raises `ImageError`."""
        if self.span is None or isinstance(self.held, bytes):
            return self.held
        offset, size = self.span
        if size > MAX_BYTES:
            raise ImageError(f"'{self.path}' is {size} bytes; at most {MAX_BYTES} are read")
        try:
            with Path(self.held).open("rb") as shard:
                shard.seek(offset)
                return shard.read(size)
        except OSError as error:
            raise ImageError(f"'{self.path}' cannot be read: {error}") from None

    def target(self, rule: str) -> int | str | None:
        """The class to be explained: None for the top prediction.

        rule: "top", "label", or a column. Raises `DataError` where the picture has none.
        """
        if rule == "top":
            return None
        found = self.label if rule == "label" else self.columns.get(rule)
        if found is None or found == "":
            raise DataError(f"'{self.path}' has no {rule} to be explained for")
        return found if isinstance(found, int) else str(found)


def label_among(columns: Mapping[str, Any]) -> str | None:
    """The label that columns give, if they do."""
    found = next((columns[name] for name in _LABELS if columns.get(name) not in (None, "")), None)
    return None if found is None else str(found)
