"""What a network is told besides its weights: how pictures reach it, and what its outputs are.

    Settings(mean=0.5, input_size=256, labels="classes.txt")    # checked, in plain values

Each is None where the network's own configuration decides. This module loads no torch.
"""

import json
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

from camviz.errors import BackboneError, one_line
from camviz.files import user_path

OutputKind = Literal["softmax", "sigmoid", "value", "features"]
OUTPUT_KINDS: tuple[OutputKind, ...] = get_args(OutputKind)
_MOST_BYTES = 20_000_000  # of a file of labels; one of 20,000 names has half a million
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")

# A sequence, {index: name}, {name: index}, a file, or "A,B,C".
Labels: TypeAlias = Iterable[str] | Mapping[Any, Any] | str | Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of `wrap_backbone` and `load_backbone` about pictures and outputs.

    mean, std: one number a channel, or one for all. interpolation, crop_pct: of the transform.
    input_size: a side, (height, width) or (channels, height, width). labels: a name for each
    class, in the order of the logits; {index: name} or {name: index}; a file with a name on each
    line or one of these as JSON; or "A,B,C". output: what the head gives, "softmax" (classes that
    exclude each other), "sigmoid" (a probability each), "value" (numbers that are none) or
    "features" (no classes at all: pooled features, or an embedding of them).

    Raises `BackboneError` for a value that is none of these.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    crop_pct: float | None = None
    input_size: tuple[int, ...] | None = None
    labels: tuple[str, ...] | None = None
    output: OutputKind | None = None

    def __post_init__(self) -> None:
        for name, read in _READERS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, read(name, value))

    @property
    def given(self) -> dict[str, Any]:
        """Those that are not None."""
        return {name: value for name, value in vars(self).items() if value is not None}


def split_settings(arguments: dict[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """Settings, and the arguments that are none."""
    names = {each.name for each in fields(Settings)}
    return (
        Settings(**{name: value for name, value in arguments.items() if name in names}),
        {name: value for name, value in arguments.items() if name not in names},
    )


def read_labels(given: Labels) -> tuple[str, ...]:
    """One name a class, in the order of the logits; see `Settings`."""
    if isinstance(given, (str, Path)):
        given = _labels_in_text(given)
    if isinstance(given, Mapping):
        return _labels_by_index(given)
    if hasattr(given, "tolist"):  # an array, a tensor, a column of a table
        given = given.tolist()
    if isinstance(given, str):
        return read_labels(given)
    if isinstance(given, (set, frozenset)):
        raise BackboneError("labels are given as a set, which has no order; give a list")
    if isinstance(given, Iterable) and not hasattr(given, "shape"):
        given = given if isinstance(given, bytes) else list(given)
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        raise BackboneError(
            f"labels are a list of names, {{index: name}} or a file, not {_shown(given)}"
        )
    return _names(given)


def _names(given: Iterable[Any]) -> tuple[str, ...]:
    """Each as text. Raises `BackboneError` for what is no name."""
    names = []
    for label in given:
        none = label is None or label != label  # NaN stands for a missing name in tables
        if none or isinstance(label, (list, tuple, dict, bytes)) or not str(label).strip():
            raise BackboneError(f"a label is a name, not {_shown(label)}")
        names.append(str(label))
    return tuple(names)


def _labels_in_text(text: str | Path) -> Any:
    """What a file of labels holds, or names between commas."""
    file = user_path(text)
    try:
        there = file.is_file()
    except (OSError, ValueError):  # too long for a name, or with a character that none has
        there = False
    if not there:
        if isinstance(text, str) and "," in text:
            return [part.strip() for part in text.split(",")]
        raise BackboneError(
            f"there is no file of labels {_shown(str(text))}; give a file with one name a line, a "
            "list or names between commas"
        )
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES / 1e6:g} MB")
        content = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise BackboneError(f"labels cannot be read from '{file.name}': {error}") from error
    if content.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BackboneError(f"'{file.name}' is not JSON: {one_line(error)}") from error
    return [line.strip() for line in content.splitlines() if line.strip()]


def _labels_by_index(given: Mapping[Any, Any]) -> tuple[str, ...]:
    """Names in order from {index: name} or {name: index}; an index may be a number in text."""
    by_index = [(_index(key), name) for key, name in given.items()]
    by_name = [(_index(value), name) for name, value in given.items()]
    whole = [rows for rows in (by_index, by_name) if None not in dict(rows)]
    if not whole:
        raise BackboneError(
            "labels in a dict are {index: name} or {name: index}, and here neither side holds "
            f"whole numbers only: {_shown(dict(list(given.items())[:2]))}"
        )
    # Names may be numbers, too: the side that counts from 0 is the index.
    pairs = min(whole, key=lambda rows: {index for index, _ in rows} != set(range(len(rows))))
    names = dict(pairs)
    missing = [index for index in range(len(pairs)) if index not in names]
    if missing:
        raise BackboneError(
            f"labels in a dict need the indices 0 to {len(pairs) - 1}, and {missing[0]} has no name"
        )
    return _names(names[index] for index in range(len(pairs)))


def _index(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value) if value.strip().isdecimal() else None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _read_labels(name: str, value: Any) -> tuple[str, ...]:
    return read_labels(value)


def _read_numbers(name: str, value: Any) -> tuple[float, ...]:
    """One finite number a channel; positive for `std`."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if hasattr(value, "tolist"):
        value = value.tolist()
    try:
        numbers = tuple(float(v) for v in (value if isinstance(value, Sequence) else (value,)))
    except (TypeError, ValueError):
        numbers = ()
    good = numbers and all(math.isfinite(v) and (v > 0 or name != "std") for v in numbers)
    if not good:
        wanted = "a positive number" if name == "std" else "a number"
        raise BackboneError(
            f"{name} is {wanted} for each channel, on the scale 0 to 1, such as 0.5,0.5,0.5; not "
            f"{_shown(value)}"
        )
    return numbers


def _read_interpolation(name: str, value: Any) -> str:
    if value not in INTERPOLATIONS:
        raise BackboneError(
            f"unknown interpolation {_shown(value)}; choices: {', '.join(INTERPOLATIONS)}"
        )
    return str(value)


def _read_fraction(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number <= 1:
        raise BackboneError(f"{name} is above 0 and at most 1, such as 0.875; not {_shown(value)}")
    return number


def _read_size(name: str, value: Any) -> tuple[int, ...]:
    """(height, width) or (channels, height, width)."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        value = [_index(part) for part in value.replace("x", ",").split(",")]
    sides = [_index(side) for side in (value if isinstance(value, Sequence) else (value,))]
    whole = [side for side in sides if side is not None and side > 0]
    if len(whole) != len(sides) or len(whole) not in (1, 2, 3):
        raise BackboneError(
            "input_size is a side in pixels, (height, width) or (channels, height, width), such "
            f"as 224 or (3, 224, 224); not {_shown(value)}"
        )
    return (whole[0], whole[0]) if len(whole) == 1 else tuple(whole)


def _read_output(name: str, value: Any) -> OutputKind:
    if value not in OUTPUT_KINDS:
        raise BackboneError(f"unknown output {_shown(value)}; choices: {', '.join(OUTPUT_KINDS)}")
    return cast(OutputKind, value)


def _shown(value: Any) -> str:
    return " ".join(repr(value).split())[:80]


_READERS = {
    "mean": _read_numbers,
    "std": _read_numbers,
    "interpolation": _read_interpolation,
    "crop_pct": _read_fraction,
    "input_size": _read_size,
    "labels": _read_labels,
    "output": _read_output,
}
