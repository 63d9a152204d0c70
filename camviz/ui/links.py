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

from camviz.defaults import STORY_KEYS, VIEWER_SETTINGS
from camviz.engine.option import Option, option_table
from camviz.engine.options import AUTO, MAX_GAMMA, Auto, Options
from camviz.errors import ImageError, MethodError, RequestError
from camviz.examples import example, examples
from camviz.maps.cover import COVERS
from camviz.maps.runs import read_mask
from camviz.ui import choices
from camviz.ui.given import read_number, read_whole
from camviz.ui.hosting.entrance import CUT
from camviz.ui.state import DEFAULT, NOBODY, TOP, Controls, Covering, Round

UPLOAD, NO_PICTURE, UNTRAINED = "upload", "none", "untrained"
MAX_TRUNCATION = 0.99
MOST_STAGES = 32
MOST_PARTS = 32
MOST_KEYS, MOST_PROBLEMS = 100, 8
GAMES = {"where": "Guess first", "which": "Which one made it?"}
MOST_SEED, MOST_ROUND, USUAL_ROUND = 9999, 20, 10  # numbers of a round, and pictures of one
MOST_MASK = 2500  # characters of a mask in a link; some servers cut off addresses beyond 4,000

# Options that `Controls` hold outside of their `options`, in their own way.
_OWN = ("versus", "gamma", "truncation")
_PAGE = ("tab", "present")  # what the browser alone reads: the open view, and the projector
# What belongs to gradio, to Spaces or to nobody.
_FOREIGN = ("__", "utm_", "deep_link", "logs")


@dataclass(frozen=True)
class Link:
    """What a link names, each None if it does not; classes and stages are not looked up yet.

    `options`: the options of `Options` by name, as far as they are named. `cover`: what of the
    picture is covered. `round`: the round of a guessing game that is played.
    """

    backbone: str | None = None
    untrained: bool | None = None
    example: str | None = None
    target: str | None = None
    versus: str | None = None
    gamma: float | None = None
    truncation: float | Auto | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    cover: Covering = field(default_factory=Covering)
    round: Round | None = None


def read(query: Mapping[str, str], options: type[Options] = Options) -> tuple[Link, list[str]]:
    """What a link names, and a sentence for every part of it that cannot be used."""
    readers: dict[str, tuple[str, Callable[[str], Any]]] = {
        "backbone": ("backbone", _backbone),
        "weights": ("untrained", _untrained),
        "example": ("example", _example),
        "class": ("target", _word),
        "versus": ("versus", _word),
        "gamma": ("gamma", _gamma),
        "truncation": ("truncation", _truncation),
    }
    cover_readers: dict[str, tuple[str, Callable[[str], Any]]] = {
        "cover": ("kind", _cover),
        "covered": ("painted", _mask),
        "hottest": ("hottest", _percent),
        "others": ("others", _yes),
        "without": ("parts", _parts),
    }
    round_readers: dict[str, tuple[str, Callable[[str], Any]]] = {
        "game": ("game", _game),
        "seed": ("seed", _seed),
        "count": ("count", _count),
    }
    table = page_options(options)
    found: dict[str, Any] = {}
    named: dict[str, Any] = {}
    covering: dict[str, Any] = {}
    playing: dict[str, Any] = {}
    problems = []
    for key, text in list(query.items())[:MOST_KEYS]:
        if key == CUT:
            problems.append("this link was too long, so nothing of it is set")
            continue
        if key in (*VIEWER_SETTINGS, *STORY_KEYS, *_PAGE) or key.startswith(_FOREIGN):
            continue
        try:
            if key in table:
                named[key] = _option(table[key], str(text))
            elif key in readers:
                name, reader = readers[key]
                found[name] = reader(str(text))
            elif key in cover_readers:
                name, reader = cover_readers[key]
                covering[name] = reader(str(text))
            elif key in round_readers:
                name, reader = round_readers[key]
                playing[name] = reader(str(text))
            else:
                raise ValueError("unknown parameter")
        except (ValueError, ImageError, MethodError, RequestError) as error:
            problems.append(f"{_short(key)}={_short(text)} ({error})")
    if len(problems) > MOST_PROBLEMS:
        rest = len(problems) - MOST_PROBLEMS
        problems = [*problems[:MOST_PROBLEMS], f"and {rest} more parts of it"]
    cover = Covering(**covering)
    return Link(**found, options=named, cover=cover, round=_round(playing)), problems


def _round(given: Mapping[str, Any]) -> Round | None:
    """The round that a link names; one without a seed is none."""
    usual = {"game": "where", "count": USUAL_ROUND}
    return Round(**{**usual, **given}) if "seed" in given else None


def write_round(played: Round | None) -> dict[str, str]:
    """The query parameters of a round of a guessing game."""
    if played is None:
        return {}
    return {"game": played.game, "seed": str(played.seed), "count": str(played.count)}


def write(controls: Controls, picture: str) -> dict[str, str]:
    """The query parameters of a view. picture: an example's name, `UPLOAD` or `NO_PICTURE`."""
    link = {"backbone": str(controls.backbone.name), "example": picture}
    if controls.backbone.untrained:
        link["weights"] = UNTRAINED
    if controls.target != TOP:
        link["class"] = controls.target
    if controls.versus != NOBODY:
        link["versus"] = controls.versus
        if controls.gamma != DEFAULT.gamma:
            link["gamma"] = f"{controls.gamma:g}"
    if controls.truncation != AUTO:
        link["truncation"] = f"{controls.truncation:g}"
    for name, row in page_options(type(controls.options)).items():
        value = getattr(controls.options, name)
        if value is not None and value != getattr(DEFAULT.options, name, row.default):
            link[name] = row.write(value)
    return link | _write_cover(controls.cover)


def _write_cover(cover: Covering) -> dict[str, str]:
    """What of the picture is covered; a mask only if it fits into a link (`fits`)."""
    link = {} if cover.kind == Covering().kind or cover.is_empty else {"cover": cover.kind}
    if cover.painted and fits(cover):
        link["covered"] = cover.painted
    if cover.hottest is not None:
        link |= {"hottest": str(cover.hottest)} | ({"others": "1"} if cover.others else {})
    if cover.parts:
        link["without"] = ",".join(cover.parts)
    return link


def fits(cover: Covering) -> bool:
    """Whether what is painted can stand in a link."""
    return len(cover.painted) <= MOST_MASK


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


def _cover(text: str) -> str:
    if text not in COVERS:
        raise ValueError(f"one of {', '.join(COVERS)} is expected")
    return text


def _mask(text: str) -> str:
    if len(text) > MOST_MASK:
        raise ValueError("a mask this long is none that a link holds")
    read_mask(text)
    return text


def _percent(text: str) -> int:
    return read_whole("hottest", text, 1, 99)


def _game(text: str) -> str:
    if text not in GAMES:
        raise ValueError(f"one of {', '.join(GAMES)} is expected")
    return text


def _seed(text: str) -> int:
    return read_whole("seed", text, 0, MOST_SEED)


def _count(text: str) -> int:
    return read_whole("count", text, 1, MOST_ROUND)


def _yes(text: str) -> bool:
    if text != "1":
        raise ValueError("only 1 can be asked for")
    return True


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(_word(name) for name in text.split(","))
    if len(names) > MOST_PARTS or any("/" not in name for name in names):
        raise ValueError(f"at most {MOST_PARTS} parts, as in ram/horns, are expected")
    return names


def _gamma(text: str) -> float:
    value = read_number("gamma", text, 0, MAX_GAMMA)
    if not value:
        raise ValueError(f"a number above 0, at most {MAX_GAMMA:g}, is expected")
    return value


def _truncation(text: str) -> float | Auto:
    if text == AUTO:
        return AUTO
    return read_number("truncation", text, 0, MAX_TRUNCATION)
