"""Every error that camviz raises on purpose.

    CamvizError
    ├── ImageError           a picture that cannot be opened, or is not one
    ├── BackboneError        an architecture or label table that does not exist or does not fit
    │   ├── WeightsError     the architecture is fine, its weights cannot be had
    │   └── TooLargeError    it needs more memory than there is for one network
    ├── StageError           a stage or module that does not exist or carries no map
    ├── TargetError          a class that the backbone does not have, or an ambiguous name
    ├── MethodError          a method, fusion or option that does not exist or does not apply here
    ├── PrototypeError       prototypes that cannot be built, or belong to another backbone
    ├── TeachingError        a classifier that cannot be taught, or belongs to another backbone
    ├── DataError            a data set that is not there, or not laid out as it should be
    ├── LimitError           more than this server grants one visitor, or all of them
    │   └── RateError        the same, too often in a minute
    ├── RequestError         a value from a program or a browser that is none of its kind or range
    ├── OutputError          a place that results cannot be written to
    └── SpaceError           a Spacefile or a Space that is not in order

A message has three parts: what was wrong, what was given and what would do. Whatever is not a
`CamvizError` is a defect of camviz, never of the person using it. However long what was given is,
the message is not: `shorten` cuts it.
"""

import reprlib
from collections.abc import Sequence

LONGEST = 1500  # characters of a message
QUOTED = 80  # characters of a value that a message quotes


class CamvizError(Exception):
    """The person in front of the page or the shell can mend this."""

    def __str__(self) -> str:
        return shorten(super().__str__())


class ImageError(CamvizError):
    """A picture cannot be opened, is too large, or is not a picture."""


class BackboneError(CamvizError):
    """No such architecture, or it is not a classifier."""


class WeightsError(BackboneError):
    """The architecture exists; its weights are not at hand and cannot be fetched.

    message: what was wrong and what was given. remedies: what would do instead, each a whole
    sentence. As text the error is "message. Remedy one. Remedy two."
    """

    def __init__(self, message: str, remedies: Sequence[str] = ()) -> None:
        super().__init__(message, tuple(remedies))  # unpickling calls it with these two
        self.message = message
        self.remedies = tuple(remedies)

    def __str__(self) -> str:
        whole = f"{self.message}. {' '.join(self.remedies)}" if self.remedies else self.message
        return shorten(whole)


class TooLargeError(BackboneError):
    """A network needs more memory than one network may have here."""


class StageError(CamvizError):
    """No such stage or module, or it carries no map."""


class TargetError(CamvizError):
    """No such class, or a name that fits several."""


class MethodError(CamvizError):
    """No such method, fusion or option, or it is not defined for this backbone."""


class PrototypeError(CamvizError):
    """Prototypes cannot be built, or belong to another backbone or other weights."""


class TeachingError(CamvizError):
    """A classifier cannot be taught, or its file is none or belongs to another backbone."""


class DataError(CamvizError):
    """A data set is not there, or not laid out as it should be."""


class LimitError(CamvizError):
    """More than this server grants: on disk, in time, or in a minute."""


class RateError(LimitError):
    """Too often in a minute; later it may be done."""


class OutputError(CamvizError):
    """Results cannot be written to the place that was given."""


class RequestError(CamvizError):
    """A value that a program or a browser sent is not of the kind or range that is taken."""


class SpaceError(CamvizError):
    """The Spacefile or the Space is not in order."""


def shorten(text: str, most: int = LONGEST) -> str:
    """A text of at most so many characters: its middle is left out, for messages begin with what
    was wrong and end with what would do.
    """
    if len(text) <= most:
        return text
    head = most // 3
    return f"{text[:head]} … {text[len(text) - (most - head - 3) :]}"


def quote(value: object) -> str:
    """A value of any kind as a message quotes it: a text between quotes, others as Python writes
    them, cut short.
    """
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= QUOTED else f"'{value[:QUOTED]}…'"
    try:
        return _short.repr(value)
    except ValueError:  # a number of thousands of digits
        return "a number too large"


_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother, _short.maxlong = 3, QUOTED, QUOTED, 40


def one_line(error: object) -> str:
    """The text of an error on one line of at most 300 characters, to be quoted in a message."""
    return " ".join(str(error).split())[:300]
