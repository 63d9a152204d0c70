"""What a taught head may be: files of heads come from anywhere, and names from anybody."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from camviz.errors import TeachingError, quote
from camviz.files import legible

if TYPE_CHECKING:
    from camviz.teaching.head import TaughtHead

LEAST_KINDS, MOST_KINDS = 2, 50
MOST_PICTURES = 500  # of all kinds: each is left out once, and a classifier made of the others
MOST_CHANNELS = 100_000
LONGEST = 60  # characters of a kind's name
LONGEST_WORD = 1000  # of any other
MOST_SIDE = 100_000


def check_kinds(kinds: Sequence[str], counts: Sequence[int]) -> tuple[str, ...]:
    """The names of kinds as they are kept. Raises `TeachingError` for names or counts that will
    not do.
    """
    names = tuple(name_of(kind) for kind in kinds)
    if not LEAST_KINDS <= len(names) <= MOST_KINDS:
        raise TeachingError(
            f"a classifier tells {LEAST_KINDS} to {MOST_KINDS} kinds apart, not {len(names)}; "
            "give pictures of each"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TeachingError(f"two kinds are called '{twice}'; give each a name of its own")
    for name, count in zip(names, counts, strict=True):
        if not count:
            raise TeachingError(
                f"there is no picture of '{name}'; give one or more, three are good"
            )
    if sum(counts) > MOST_PICTURES:
        raise TeachingError(
            f"{sum(counts)} pictures are too many: a head is taught from {MOST_PICTURES} at most"
        )
    return names


def name_of(kind: Any) -> str:
    """A kind's name on one line. Raises `TeachingError` for none, and for one that is too long."""
    text = " ".join(legible(kind).split()) if isinstance(kind, str) else ""
    if not text or len(text) > LONGEST:
        raise TeachingError(
            f"a kind has a name of 1 to {LONGEST} characters, not {quote(kind)}; give it one"
        )
    return text


def check_head(head: "TaughtHead") -> None:
    """Raise ValueError with everything in a head that cannot be."""
    wrong = list(dict.fromkeys(_wrong(head)))
    if wrong:
        raise ValueError(", ".join(wrong))


def _wrong(head: "TaughtHead") -> Iterator[str]:
    words = (head.backbone, head.digest, head.fit, head.normalisation)
    if not all(isinstance(word, str) and len(word) <= LONGEST_WORD for word in words):
        yield "a name"
    counted = all(_is_whole(count, 1, MOST_PICTURES) for count in head.counts)
    if not counted or len(head.counts) != len(head.kinds):
        yield "counts"
    else:
        try:
            if check_kinds(head.kinds, head.counts) != head.kinds:
                yield "kinds"
        except TeachingError as error:
            yield str(error)
    for name in ("penalty", "scale"):
        if not _is_positive(getattr(head, name)):
            yield name
    sides = head.input_size
    if len(sides) != 3 or not all(_is_whole(side, 1, MOST_SIDE) for side in sides):
        yield "input_size"
    if not (_is_whole(head.tried, 0, MOST_PICTURES) and _is_whole(head.right, 0, head.tried)):
        yield "how many were right"
    kinds, channels = head.weights.shape
    fits = kinds == len(head.kinds) == len(head.offsets) and channels == len(head.mean)
    tensors = (head.mean, head.weights, head.offsets)
    if not fits or not all(bool(torch.isfinite(each).all()) for each in tensors):
        yield "numbers"


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_positive(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 < value < 1e9
