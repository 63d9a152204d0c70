"""Tensors with a description in one .safetensors file, whose header is read before any tensor is.

    read_header(Path("bank.safetensors"), most=10**6)   # {"vectors": TensorRow("F32", (24, 64))}

A file may come from anywhere. The format: eight bytes with the length of a JSON header, that
header, the bytes of all tensors. See https://github.com/huggingface/safetensors#format. What the
header says of offsets is checked by the library, which refuses gaps and overlaps; here the header
is bounded before it is parsed.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from camviz.errors import CamvizError, one_line

# Bytes of an element; dtypes that networks and prototypes are not stored in are none of them.
_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "U16": 2, "U32": 4, "U64": 8, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
_LENGTH = 8
_MOST_DIMENSIONS = 16


@dataclass(frozen=True)
class TensorRow:
    """What a header says of a tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * _BYTES[self.dtype]


def read_header(file: Path, most: int) -> Mapping[str, TensorRow]:
    """The tensors of a file by name. most: bytes that the header may have.

    Raises ValueError, which says what is wrong: a header longer than that or than the file, one
    that is no table of tensors, tensors that are larger than the file.
    """
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(_LENGTH), "little")
        if size < _LENGTH or length > size - _LENGTH:
            raise ValueError("it is cut short, or no such file at all")
        if length > most:
            raise ValueError(f"its header has {length:,} bytes, and {most:,} are the most")
        try:
            table = json.loads(opened.read(length))
        except (ValueError, RecursionError):
            raise ValueError("its header cannot be read") from None
    if not isinstance(table, dict):
        raise ValueError("its header is no table of tensors")
    rows = {name: _row(name, row) for name, row in table.items() if name != "__metadata__"}
    if sum(row.nbytes for row in rows.values()) > size - _LENGTH - length:
        raise ValueError("it is cut short: its tensors are larger than it is")
    return rows


def _row(name: str, row: object) -> TensorRow:
    dtype, shape = (row.get("dtype"), row.get("shape")) if isinstance(row, dict) else (None, None)
    named = isinstance(dtype, str) and dtype in _BYTES
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS or not named:
        raise ValueError(f"its header says nothing that can be of the tensor '{name[:40]}'")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"the tensor '{name[:40]}' has no such shape")
    return TensorRow(str(dtype), tuple(shape))


def write_described(
    path: Path,
    key: str,
    description: Mapping[str, Any],
    tensors: dict[str, Tensor],
    refuse: Callable[[str], CamvizError],
) -> None:
    """Write tensors to a file, and beside them a description as JSON under a key of its header.

    Raises what refuse(why) gives if that cannot be done.
    """
    text = json.dumps(description, ensure_ascii=False, separators=(",", ":"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path, {key: text})
    except (OSError, SafetensorError) as error:
        raise refuse(one_line(error)) from error


def read_described(
    path: Path,
    key: str,
    most: int,
    choose: Callable[[Mapping[str, TensorRow]], Iterable[str]],
    refuse: Callable[[str], CamvizError],
) -> tuple[str | None, dict[str, Tensor]]:
    """The description of a file, as text, None if it has none; and the tensors that are chosen.

    most: bytes of its header. choose: names some of the tensors that the header speaks of; it may
    raise ValueError. Raises what refuse(why) gives for what is no such file, or damaged.
    """
    try:
        rows = read_header(path, most)
        with safe_open(path, "pt") as archive:
            header = (archive.metadata() or {}).get(key)
            return header, {name: archive.get_tensor(name) for name in choose(rows)}
    except (OSError, SafetensorError, ValueError) as error:
        why = f"'{path.name}' is not a .safetensors file, or damaged ({one_line(error)})"
        raise refuse(why) from error


@contextmanager
def reading_description(of: str, refuse: Callable[[str], CamvizError]) -> Iterator[None]:
    """Turn whatever a wrong description makes the code within raise into what refuse(why) gives.

    of: what is described, and in which file.
    """
    try:
        yield
    except (
        ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError, OverflowError
    ) as error:  # fmt: skip
        why = f"the description of {of} is damaged ({type(error).__name__}: {one_line(error)})"
        raise refuse(why) from error
