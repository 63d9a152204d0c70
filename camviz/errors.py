"""Every error that camviz raises on purpose.

    CamvizError
    ├── ImageError           a picture that cannot be opened, or is not one
    ├── BackboneError        an architecture or label table that does not exist or does not fit
    │   └── WeightsError     the architecture is fine, its weights cannot be had
    ├── StageError           a stage or module that does not exist or carries no map
    ├── TargetError          a class that the backbone does not have, or an ambiguous name
    ├── MethodError          a method, fusion or option that does not exist or does not apply here
    ├── PrototypeError       prototypes that cannot be built, or belong to another backbone
    ├── OutputError          a place that results cannot be written to
    └── SpaceError           a Spacefile or a Space that is not in order

A message has three parts: what was wrong, what was given and what would do. Whatever is not a
`CamvizError` is a defect of camviz, never of the person using it.
"""

from collections.abc import Sequence


class CamvizError(Exception):
    """The person in front of the page or the shell can mend this."""


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
        return f"{self.message}. {' '.join(self.remedies)}" if self.remedies else self.message


class StageError(CamvizError):
    """No such stage or module, or it carries no map."""


class TargetError(CamvizError):
    """No such class, or a name that fits several."""


class MethodError(CamvizError):
    """No such method, fusion or option, or it is not defined for this backbone."""


class PrototypeError(CamvizError):
    """Prototypes cannot be built, or belong to another backbone or other weights."""


class OutputError(CamvizError):
    """Results cannot be written to the place that was given."""


class SpaceError(CamvizError):
    """The Spacefile or the Space is not in order."""


def one_line(error: object) -> str:
    """The text of an error on one line of at most 300 characters, to be quoted in a message."""
    return " ".join(str(error).split())[:300]
