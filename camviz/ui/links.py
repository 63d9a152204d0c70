"""Links that reopen a view: what the address bar says of `Controls`, and back.

    ?backbone=scenes-resnet&example=two-boats&class=sailing+boat&stages=layer3,layer4

Only what differs from the default is written, but for the backbone and the picture, whose defaults
may differ elsewhere. Names only: an upload never goes into a link, which says so (`upload`). Every
option with `page=True` has a key of its own name. What the viewer keeps for itself (colours,
threshold, ...) is read and written in the browser.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from camviz.defaults import VIEWER_SETTINGS
from camviz.engine.options import AUTO, Auto, Option, Options, option_table
from camviz.errors import ImageError, MethodError
from camviz.examples import example, examples
from camviz.ui import choices
from camviz.ui.state import DEFAULT, NOBODY, TOP, Controls

UPLOAD, NO_PICTURE, UNTRAINED = "upload", "none", "untrained"
MAX_TRUNCATION = 0.99
MOST_STAGES = 32

# Options that `Controls` hold outside of their `options`, in their own way.
_OWN = ("versus", "truncation")
# What belongs to gradio, to Spaces or to nobody.
_FOREIGN = ("__", "utm_", "deep_link", "logs")


@dataclass(frozen=True)
class Link:
    """What a link names, each None if it does not; classes and stages are not looked up yet.

    `options`: the options of `Options` by name, as far as they are named.
    """

    backbone: str | None = None
    untrained: bool | None = None
    example: str | None = None
    target: str | None = None
    versus: str | None = None
    truncation: float | Auto | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def read(query: Mapping[str, str], options: type[Options] = Options) -> tuple[Link, list[str]]:
    """What a link names, and a sentence for every part of it that cannot be used."""
    readers: dict[str, tuple[str, Callable[[str], Any]]] = {
        "backbone": ("backbone", _backbone),
        "weights": ("untrained", _untrained),
        "example": ("example", _example),
        "class": ("target", _word),
        "versus": ("versus", _word),
        "truncation": ("truncation", _truncation),
    }
    table = page_options(options)
    found: dict[str, Any] = {}
    named: dict[str, Any] = {}
    problems = []
    for key, text in query.items():
        if key in VIEWER_SETTINGS or key == "tab" or key.startswith(_FOREIGN):
            continue
        try:
            if key in table:
                named[key] = _option(table[key], str(text))
            elif key in readers:
                name, reader = readers[key]
                found[name] = reader(str(text))
            else:
                raise ValueError("unknown parameter")
        except (ValueError, ImageError, MethodError) as error:
            problems.append(f"{_short(key)}={_short(text)} ({error})")
    return Link(**found, options=named), problems


def write(controls: Controls, picture: str) -> dict[str, str]:
    """The query parameters of a view. picture: an example's name, `UPLOAD` or `NO_PICTURE`."""
    link = {"backbone": str(controls.backbone.name), "example": picture}
    if controls.backbone.untrained:
        link["weights"] = UNTRAINED
    if controls.target != TOP:
        link["class"] = controls.target
    if controls.versus != NOBODY:
        link["versus"] = controls.versus
    if controls.truncation != AUTO:
        link["truncation"] = f"{controls.truncation:g}"
    for name, row in page_options(type(controls.options)).items():
        value = getattr(controls.options, name)
        if value is not None and value != getattr(DEFAULT.options, name, row.default):
            link[name] = row.write(value)
    return link


def page_options(options: type[Options] = Options) -> dict[str, Option]:
    """The options that links hold under their own names."""
    return {n: row for n, row in option_table(options).items() if row.page and n not in _OWN}


def example_of(digest: str) -> str | None:
    """The name of the example with these pixels, if it is one."""
    if not _examples:
        _examples.update({row.open().digest: row.name for row in examples()})
    return _examples.get(digest)


_examples: dict[str, str] = {}


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def _word(text: str) -> str:
    if not text.strip() or len(text) > 200:
        raise ValueError("a name is expected")
    return text.strip()


def _option(row: Option, text: str) -> Any:
    value = row.parse(_word(text) if not row.many else text)
    if row.many:
        names = tuple(_word(name) for name in text.split(","))
        if len(names) > MOST_STAGES:
            raise ValueError(f"at most {MOST_STAGES} {row.label} are shown")
        return names
    allowed = row.values
    if row.name == "method":
        allowed = {name: method.label for name, method in choices.stage_methods().items()}
    if allowed is not None and value not in allowed:
        raise ValueError(f"one of {', '.join(allowed)} is expected")
    return value


def _backbone(text: str) -> str:
    name = choices.named(text)
    if name is None:
        raise ValueError("no such backbone is offered here")
    return name


def _untrained(text: str) -> bool:
    if text != UNTRAINED:
        raise ValueError(f"only '{UNTRAINED}' can be asked for")
    return True


def _example(text: str) -> str:
    return text if text in (UPLOAD, NO_PICTURE) else example(text).name


def _truncation(text: str) -> float | Auto:
    if text == AUTO:
        return AUTO
    value = float(text)
    if not 0 <= value <= MAX_TRUNCATION:
        raise ValueError(f"a number from 0 to {MAX_TRUNCATION}, or {AUTO}, is expected")
    return value
