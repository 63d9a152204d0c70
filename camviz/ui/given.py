"""What programs and browsers send: every value is read here before anything is done with it.

    read_number("threshold", "0.5", 0, 1)     # 0.5
    read_number("threshold", "much", 0, 1)    # RequestError: threshold is a number from 0 to 1, ...

A reader takes the name of an argument and what was sent for it, and returns a plain value of its
kind and range, or raises `RequestError` with a sentence that names the argument.
"""

import math
from collections.abc import Sequence
from typing import Any

from camviz.errors import RequestError, quote

LONGEST_TEXT = 1000  # characters; names of classes, several with commas between them
LONGEST_NAME = 200  # of one thing in a list
MOST_NAMES = 1000  # in one list; how many layers are explained at once, CAMVIZ_LAYERS says
LONGEST_PLAIN = 100_000  # characters; what is painted on a picture is the longest
LARGEST = 2**53  # the whole numbers up to it are exact in JSON


def read_text(name: str, value: Any, most: int = LONGEST_TEXT) -> str:
    """A text of at most so many characters; numbers are taken as they are written."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return str(value)
    if not isinstance(value, str):
        raise RequestError(f"{name} is a text, not {quote(value)}")
    if len(value) > most:
        raise RequestError(
            f"{name} is a text of at most {most:,} characters, and {len(value):,} were given"
        )
    return value


def read_number(
    name: str, value: Any, least: float = -math.inf, most: float = math.inf, *, whole: bool = False
) -> float:
    """A finite number in a range, both ends included, or a text that stands for one."""
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise TypeError
        if isinstance(value, str) and len(value) > LONGEST_NAME:
            raise ValueError
        number = float(value)
        if not (math.isfinite(number) and least <= number <= most):
            raise ValueError
        if whole and number != int(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        kind = f"a {'whole ' if whole else ''}number{_range(least, most)}"
        raise RequestError(f"{name} is {kind}, not {quote(value)}") from None
    return number


def read_whole(name: str, value: Any, least: int = 0, most: int = LARGEST) -> int:
    """A whole number in a range, both ends included."""
    return int(read_number(name, value, least, most, whole=True))


def read_switch(name: str, value: Any) -> bool:
    """True or false; 1 and 0 stand for them."""
    if value not in (True, False) or not isinstance(value, (bool, int)):
        raise RequestError(f"{name} is true or false, not {quote(value)}")
    return bool(value)


def read_names(name: str, value: Any, most: int = MOST_NAMES) -> tuple[str, ...]:
    """Names in a list, or a single one by itself."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, (list, tuple)):
        raise RequestError(f"{name} is a list of names, not {quote(value)}")
    if len(given) > most:
        raise RequestError(f"{name} has {len(given):,} names, and {most} are the most")
    return tuple(read_text(f"each of {name}", one, LONGEST_NAME) for one in given)


def read_list(name: str, value: Any, of: str, most: int) -> Sequence[Any]:
    """A list of at most so many things. of: what these are called, "pictures"."""
    if not isinstance(value, (list, tuple)):
        raise RequestError(f"{name} is a list of {of}, not {quote(value)}")
    if not value:
        raise RequestError(f"no {of} were given for {name}; give from 1 to {most}")
    if len(value) > most:
        raise RequestError(f"{len(value):,} {of} were given for {name}; {most} are the most")
    return value


def read_place(name: str, value: Any, width: int, height: int) -> tuple[float, float]:
    """A pixel (x, y) of a picture of that size."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise RequestError(f"{name} is a pair of numbers, not {quote(value)}")
    x, y = value
    return read_number(name, x, 0, width - 1), read_number(name, y, 0, height - 1)


def read_plain(name: str, value: Any, most: int = LONGEST_PLAIN) -> Any:
    """A plain value: nothing, a truth value, a finite number, a text, or a few of them by name or
    in a list, which hold no further ones.
    """
    if isinstance(value, dict) and len(value) <= MOST_NAMES:
        return {
            read_text(name, key, LONGEST_NAME): _items(name, v, most) for key, v in value.items()
        }
    return _items(name, value, most)


def _items(name: str, value: Any, most: int) -> Any:
    if isinstance(value, (list, tuple)) and len(value) <= MOST_NAMES:
        return [_single(name, one, LONGEST_NAME) for one in value]
    return _single(name, value, most)


def _single(name: str, value: Any, most: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        read_number(name, value, -LARGEST, LARGEST)
        return value
    return read_text(name, value, most)


def _range(least: float, most: float) -> str:
    low = "" if least == -math.inf else f" from {least:g}"
    return low + ("" if most in (math.inf, LARGEST) else f" to {most:g}")
