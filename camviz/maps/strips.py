"""Large arrays part by part, so that what is computed on the way stays small."""

from collections.abc import Iterator

_PIXELS = 2**20


def strips(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture in parts of about a million pixels."""
    step = max(1, _PIXELS // width)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))
