"""How evidence is spoken of: classes are spoken for, values are raised, features are neither."""

from dataclasses import dataclass, replace

from camviz.network.settings import OutputKind


@dataclass(frozen=True)
class Wording:
    """What is said of evidence with two signs, by what a network gives.

    score: the number explained. favours: what speaks for it. opposes: what speaks against it,
    behind that, and opposes_alone by itself. pair, both: the two together. nothing: of an empty
    map. every: whatever is explained. ends: of a scale with two signs, the low and the high one.
    """

    score: str
    favours: str
    opposes: str
    opposes_alone: str
    pair: str
    both: str
    nothing: str
    every: str
    ends: tuple[str, str]


_OF_CLASSES = Wording(
    "the class score",
    "speaks for the class",
    "speaks against it",
    "speaks against the class",
    "speaks for the class and against it",
    "For and against",
    "nothing here speaks for this class",
    "class",
    ("against", "for"),
)
_OF_VALUES = Wording(
    "the value",
    "raises the value",
    "lowers it",
    "lowers the value",
    "raises the value and what lowers it",
    "What raises the value and what lowers it",
    "nothing here raises the value",
    "value",
    ("lowers it", "raises it"),
)
_OF_FEATURES = replace(_OF_CLASSES, nothing="its features are the same everywhere")


def wording(output: OutputKind) -> Wording:
    """How evidence of a network of this output is spoken of."""
    return {"value": _OF_VALUES, "features": _OF_FEATURES}.get(output, _OF_CLASSES)
