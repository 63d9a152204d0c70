"""Links that reopen a view: what the address bar says of an `Ask`, and back.

    ?backbone=scenes-resnet&example=two-boats&class=sailing+boat&stages=layer3,layer4

Only what differs from the default is said, but for the backbone and the picture, whose defaults
may differ elsewhere. Names only: an upload never goes into a link, which says so (`upload`).
What the viewer keeps for itself (colours, threshold, ...) is read and written in the browser.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

from camviz.engine.explanation import PlacementKind
from camviz.errors import ImageError
from camviz.examples import example, examples
from camviz.images import FIT_MODES
from camviz.maps.fusion import FUSIONS
from camviz.network.stages import TapKind
from camviz.ui.choices import available, stage_methods
from camviz.ui.viewer import SETTINGS

UPLOAD, NO_PICTURE, UNTRAINED = "upload", "none", "untrained"
MAX_TRUNCATION = 0.99

# What belongs to gradio, to Spaces or to nobody.
_NOT_OURS = ("__", "utm_", "deep_link", "logs")


@dataclass(frozen=True)
class Named:
    """What a link names, each None if it does not; classes and stages are still mere words."""

    backbone: str | None = None
    untrained: bool | None = None
    example: str | None = None
    target: str | None = None
    versus: str | None = None
    stages: tuple[str, ...] | None = None
    method: str | None = None
    truncation: float | None = None
    fuse: str | None = None
    tap: str | None = None
    fit: str | None = None
    placement: str | None = None

    def settings(self) -> dict[str, Any]:
        """Whatever is named, but for the example, by the fields of an `Ask`."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {k: v for k, v in found.items() if v is not None and k != "example"}


# Key in a link -> field. `tab` is the page's own.
_KEYS = {"class": "target", "weights": "untrained"} | {
    field.name: field.name for field in fields(Named) if field.name not in ("target", "untrained")
}


def read(query: Mapping[str, str]) -> tuple[Named, tuple[str, ...]]:
    """What a link names, and a sentence for everything in it that cannot be used."""
    found: dict[str, Any] = {}
    wrong = []
    for key, text in query.items():
        if key in SETTINGS or key == "tab" or key.startswith(_NOT_OURS):
            continue
        try:
            if key not in _KEYS:
                raise ValueError("nothing here is called so")
            found[_KEYS[key]] = _READERS.get(key, _word)(str(text))
        except (ValueError, ImageError) as error:
            wrong.append(f"{_short(key)}={_short(text)} ({error})")
    return Named(**found), tuple(wrong)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def _word(text: str) -> str:
    if not text.strip() or len(text) > 200:
        raise ValueError("a name is expected")
    return text.strip()


def _choice(*choices: str) -> Any:
    def read_choice(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)} is expected")
        return text

    return read_choice


def _backbone(text: str) -> str:
    if text not in available():
        raise ValueError("no such backbone is offered here")
    return text


def _untrained(text: str) -> bool:
    if text != UNTRAINED:
        raise ValueError(f"only '{UNTRAINED}' can be asked for")
    return True


def _example(text: str) -> str:
    return text if text in (UPLOAD, NO_PICTURE) else example(text).name


def _stages(text: str) -> tuple[str, ...]:
    names = tuple(_word(name) for name in text.split(","))
    if len(names) > 32:
        raise ValueError("at most 32 stages are shown")
    return names


def _method(text: str) -> str:
    return str(_choice(*stage_methods())(text))


def _truncation(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("a number is expected") from None
    if not 0 <= value <= MAX_TRUNCATION:
        raise ValueError(f"a number from 0 to {MAX_TRUNCATION} is expected")
    return value


_READERS: dict[str, Any] = {
    "backbone": _backbone,
    "weights": _untrained,
    "example": _example,
    "stages": _stages,
    "method": _method,
    "truncation": _truncation,
    "fuse": _choice(*FUSIONS),
    "tap": _choice(*get_args(TapKind)),
    "fit": _choice(*FIT_MODES),
    "placement": _choice(*get_args(PlacementKind)),
}


def write(settings: Mapping[str, Any], default: Mapping[str, Any], picture: str) -> dict[str, str]:
    """The link to a view, by key. Both mappings go by the fields of `Named`.

    picture: the name of an example, `UPLOAD` or `NO_PICTURE`.
    """
    said = {"backbone": str(settings["backbone"]), "example": picture}
    for key, field in _KEYS.items():
        value = settings.get(field)
        if key in said or value is None or value == default.get(field):
            continue
        if field == "untrained":
            value = UNTRAINED
        elif field == "stages":
            value = ",".join(value)
        said[key] = f"{value:g}" if isinstance(value, float) else str(value)
    return said


def example_of(digest: str) -> str | None:
    """The name of the example with these pixels, if it is one."""
    return _digests().get(digest)


_known: dict[str, str] = {}


def _digests() -> dict[str, str]:
    if not _known:
        _known.update({row.open().digest: row.name for row in examples()})
    return _known
