"""Compare: one picture, three families of maps side by side. From an `Ask` to a `View`.

What the page is held against:

    A newcomer, in the first ten seconds, sees a picture, what the network says it is, and three
    rows of maps of that picture, each row with one plain sentence; nothing had to be clicked.
    The brightest spot explains itself: the same place in every panel, coarse to fine.
    A dozen thumbnails invite the next click; nothing that can be clicked needs a manual.
    A teacher clicks two classes in front of a class and everybody sees the maps move at once,
    asks "why this and not that?" with one more click, and drags the noise away from the shallow
    maps; a panel fills the beamer, the link on the board reopens exactly this view.
    A researcher has one click away: any timm network or module, the method, the tensor that is
    read, the raw numbers (zip, HTTP), and what is known to be wrong with each map.
    Nobody meets an empty page, a traceback, or a control that does not say what it is for.

Plain values and HTML; nothing here knows gradio. Work takes an `Ask`, yields a `View` whenever
there is something new to show, and raises a `CamvizError` for whatever the visitor can mend.
"""

import base64
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from html import escape
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from camviz.engine.explanation import Explanation, PlacementKind
from camviz.errors import (
    BackboneError,
    CamvizError,
    ImageError,
    MethodError,
    PrototypeError,
    StageError,
)
from camviz.examples import Example, example
from camviz.images import Picture, open_picture
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.network.backbone import Backbone
from camviz.network.hub import needs_download
from camviz.network.stages import TapKind
from camviz.prototypes.bank import CLUSTERS, PrototypeBank, StagePrototypes
from camviz.ui import links, viewer
from camviz.ui.choices import (
    DRAWN,
    default_choice,
    discreet,
    lookup,
    modules,
    photograph_backbone,
    suitable_backbone,
)
from camviz.ui.compute import engine

TOP, NOBODY = "", "-"  # no class is called so
EXPLAINED = [("top prediction", TOP)]
COMPARED = [("not compared", NOBODY)]
BARS = 5
THUMBNAIL = 112  # pixels of an example's side
PATIENCE = 0.1  # seconds that the other rows wait for the prototypes
COMING = "Looking for what this picture's places have in common …"
ROWS = ("layercam", "denoised", "prototypes")
TRUNCATION = 0.9  # of the denoised row, before anybody touches it


@dataclass(frozen=True)
class Ask:
    """What the controls say, in the order in which they are handed over.

    `backbone` and `untrained` are what is loaded, `wanted` and `raw` what their controls say;
    `shown` is the digest of the picture last explained, `answered` what the page now answers.
    `bank`: a visitor's own prototypes. `pictures`: all that were given, when there are several.
    """

    picture: str | None
    wanted: str | None
    raw: bool = False
    backbone: str | None = None
    untrained: bool = False
    target: str = TOP
    versus: str = NOBODY
    stages: tuple[str, ...] = ()
    method: str = "layer_cam"
    truncation: float = TRUNCATION
    fuse: str = "product"
    tap: TapKind = "activation"
    fit: str = "stretch"
    placement: PlacementKind = "plain"
    bank: PrototypeBank | None = None
    shown: str | None = None
    answered: "Ask | None" = None
    pictures: tuple[str, ...] = ()

    @property
    def question(self) -> "Ask":
        """What the three rows depend on, and nothing else."""
        return replace(self, wanted=None, raw=False, shown=None, answered=None, pictures=())


@dataclass(frozen=True)
class Menu:
    """The (label, value) pairs of a control, and what is chosen."""

    choices: list[tuple[str, str]]
    value: str | list[str]


@dataclass(frozen=True)
class View:
    """What has become new on the page; None: it stays as it is.

    `maps` is what the viewer draws. The menus change with the backbone; what is chosen in them is
    held apart, by the names of an `Ask`. `tab`: the same for the parts of another tab, by name.
    `strip`: the thumbnails of several pictures. `progress`: how far work has come that goes on.
    """

    notice: str | None = ""
    verdict: str | None = None
    maps: dict[str, Any] | None = None
    bars: str | None = None
    network: str | None = None
    denoising: str | None = None
    learned: str | None = None
    menus: dict[str, Menu] | None = None
    held: dict[str, Any] | None = None
    picture: str | None = None
    tab: dict[str, Any] | None = None
    strip: str | None = None
    progress: str | None = None


DEFAULT = Ask(None, None)
WAIT = '<p class="cv-lead">Looking at the picture …</p>'


def nothing(ask: Ask) -> View:
    """The page without a picture."""
    said = "Give a picture, and the maps of it are shown here."
    return View(
        verdict="<h2>No picture yet</h2><p>Upload one, paste it, or click an example.</p>",
        maps=viewer.payload({"layercam": said}, link=link_of(ask)),
        bars='<p class="cv-fine">What the network says of a picture stands here.</p>',
        denoising="",
        learned="",
        held={"shown": None, "answered": None},
    )


@lru_cache(maxsize=4)
def opened(path: str) -> Picture:
    return open_picture(path)  # gradio names an upload after its content


# -- What may be asked ---------------------------------------------------------------------------


def new_backbone(ask: Ask) -> Iterator[View]:
    """Another backbone: its own default stages; the classes stay if this one knows them too.

    If it cannot be had, everything stays with the one before, and so does the menu.
    """
    ask = replace(ask, backbone=ask.wanted, untrained=ask.raw)
    backbone = network(ask)
    stages = tuple(backbone.default_stages)
    known = set(backbone.labels)
    ask = replace(
        ask,
        stages=stages,
        target=ask.target if ask.target in known else TOP,
        versus=ask.versus if ask.versus in known else NOBODY,
        bank=None,  # prototypes are features of one network
    )
    ask, missing = _answerable(ask)
    notice = notice_html(f"{sentence(missing)} It was left out.") if missing else ""
    yield from _with_menus(ask, backbone, notice)


def _answerable(ask: Ask) -> tuple[Ask, CamvizError | None]:
    """The same, without a rival or a method that the network cannot bear, and why that went."""
    if ask.picture is None or (ask.versus, ask.method) == (NOBODY, DEFAULT.method):
        return ask, None
    first = None
    alone, plain = replace(ask, versus=NOBODY), replace(ask, method=DEFAULT.method)
    for tried in (ask, alone, plain, replace(alone, method=DEFAULT.method)):
        try:
            explain(tried)
            return tried, first
        except (ImageError, BackboneError):
            raise
        except CamvizError as error:
            first = first or error
    assert first is not None
    raise first


def _with_menus(ask: Ask, backbone: Backbone, notice: str = "") -> Iterator[View]:
    """A view of the picture, and every menu that a backbone brings with it."""
    classes = [(label, label) for label in backbone.labels]
    stages = [s.name for s in backbone.stages]
    ticked = [name for name in ask.stages if name in stages]
    others = [name for name in ask.stages if name not in stages]
    menus = {
        "stages": Menu(
            [(_stage_label(s.name, s.grid), s.name) for s in reversed(backbone.stages)], ticked
        ),
        "modules": Menu([(name, name) for name in modules(backbone) if name not in stages], others),
        "target": Menu([*EXPLAINED, *classes], ask.target),
        "versus": Menu([*COMPARED, *classes], ask.versus),
    }
    held = {
        field.name: getattr(ask, field.name)
        for field in fields(Ask)
        if field.name in ("backbone", "untrained", "target", "versus", "stages", "bank", "method")
    }
    about = View(notice, network=lookup(ask.backbone).note, menus=menus, held=held)
    if ask.picture is None:
        empty = nothing(ask)
        yield replace(empty, **_said(about), held={**held, **(empty.held or {})})
        return
    for view in show(ask):
        yield replace(view, **_said(about), held={**held, **(view.held or {})})
        about = View(notice)


def _said(view: View) -> dict[str, Any]:
    """What a view says anything about."""
    found = {field.name: getattr(view, field.name) for field in fields(View)}
    return {name: value for name, value in found.items() if value is not None and name != "held"}


def new_picture(ask: Ask, keep: bool = False) -> Iterator[View]:
    """Another picture: whatever the network sees in it is explained; keep: the class asked for.

    The page may tell of a picture that it was told to show: that is no other picture.
    """
    if ask.picture is None:
        if ask.shown is not None:
            yield nothing(ask)
        return
    if opened(ask.picture).digest == ask.shown:
        return
    if not keep:
        ask = replace(ask, target=TOP, versus=NOBODY)
    held = {"target": ask.target, "versus": ask.versus}
    menus = {name: Menu([], value) for name, value in held.items()}
    if ask.backbone is None:  # the one wanted at first could not be had
        if ask.wanted is not None:
            yield from new_backbone(ask)
        return
    fitting = fitting_backbone(ask)
    if fitting != ask.backbone:
        asked = replace(ask, wanted=fitting, raw=False)
        for view in new_backbone(asked):
            yield replace(view, held={**(view.held or {}), "wanted": fitting, "raw": False})
        return
    for view in show(ask):
        yield replace(view, menus=menus, held={**held, **(view.held or {})})


def fitting_backbone(ask: Ask) -> str | None:
    """The backbone of an ask, or one that may know what a new picture shows.

    A photograph leaves the default for drawings; a visitor who chose one for drawings keeps it.
    """
    name = links.example_of(opened(ask.picture or "").digest)
    if name is not None:
        return suitable_backbone(example(name), ask.backbone)
    drawn = (ask.backbone or "").startswith(DRAWN)
    return photograph_backbone() if drawn and ask.backbone == default_choice() else ask.backbone


def new_example(ask: Ask, name: str) -> Iterator[View]:
    """An example: its picture, and a backbone that knows what it shows."""
    picked = example(name)
    ask = replace(ask, picture=str(picked.path), target=TOP, versus=NOBODY, shown=None)
    picture: str | None = ask.picture
    for view in new_picture(ask):
        yield replace(view, picture=picture)
        picture = None


def same_picture(ask: Ask) -> Iterator[View]:
    """Anything else changed: the network need not look again.

    Gradio tells of a choice in a menu twice, and of a menu that was only looked at.
    """
    if ask.question == ask.answered:
        yield View()
    elif ask.picture is not None:
        yield from show(ask)


def chosen_class(ask: Ask, target: str | None = None, versus: str | None = None) -> Iterator[View]:
    """A class to be explained, or to be told from; the one of both again: not told apart."""
    target = target or ask.target
    versus = ask.versus if versus is None else versus
    explained = target
    if versus != NOBODY and target == TOP and ask.picture is not None:
        explained = explain(replace(ask, target=TOP, versus=NOBODY)).label
    if versus == explained:
        versus = NOBODY
    changed = {"target": target, "versus": versus}
    menus = {name: Menu([], value) for name, value in changed.items()}
    for view in same_picture(replace(ask, target=target, versus=versus)):
        yield replace(view, menus=menus, held={**changed, **(view.held or {})})


def chosen_stages(ask: Ask, stages: list[str], named: list[str]) -> Iterator[View]:
    """Stages were ticked, or modules named."""
    wanted = (*stages, *named)
    held = {"stages": wanted}
    if not wanted:
        ticked = [name for name in ask.stages if name not in named]
        yield View(
            notice_html("No layer is ticked; tick at least one and the maps follow."),
            menus={"stages": Menu([], ticked)},
        )
        return
    for view in same_picture(replace(ask, stages=wanted)):
        yield replace(view, held={**held, **(view.held or {})})


def new_bank(
    ask: Ask,
    files: list[str],
    report: Callable[[int, int, str], None],
    clusters: int = CLUSTERS,
) -> Iterator[View]:
    """Prototypes of the class that is explained, learned from pictures of it."""
    if not files:
        raise PrototypeError("no pictures were given; add some of the class that is explained")
    backbone = network(ask)
    target: int | str = ask.target
    if ask.target == TOP:
        if ask.picture is None:
            raise PrototypeError("no class is chosen; choose the one that the pictures show")
        target = explain(ask, versus=None).target
    bank = engine().build_prototypes(
        files,
        backbone,
        target,
        clusters,
        tap=ask.tap,
        fit=ask.fit,
        stages=ask.stages or None,
        progress=report,
    )
    told = f"Learned what “{bank.label}” looks like from {len(bank.pictures)} pictures."
    if bank.skipped:
        left = "; ".join(f"{name}: {reason}" for name, reason in bank.skipped)
        told += f" Left out: {left}."
    notice: str | None = said_html(told)
    for view in same_picture(replace(ask, bank=bank)):
        yield replace(view, notice=notice, held={**(view.held or {}), "bank": bank})
        notice = None


def own_bank(ask: Ask) -> Iterator[View]:
    """A visitor's own prototypes are forgotten."""
    for view in same_picture(replace(ask, bank=None)):
        yield replace(view, held={**(view.held or {}), "bank": None})


def reopened(ask: Ask, wrong: tuple[str, ...] = ()) -> Iterator[View]:
    """A view that a link describes: what cannot be had or is not known is named and left out."""
    ask = replace(ask, backbone=ask.wanted, untrained=ask.raw)
    complaints, actions = list(wrong), dict[str, str]()
    choice = lookup(ask.wanted)
    usual = default_choice()
    if choice.source == "hub" and not ask.raw and needs_download(choice.load) and usual:
        complaints.append(f"{choice.name} is not on this machine")
        actions[f"backbone:{choice.name}"] = f"Download {choice.name}{choice.megabytes}"
        ask = replace(DEFAULT, picture=ask.picture, wanted=usual, backbone=usual)
    backbone = network(ask)
    words = {"target": TOP, "versus": NOBODY}
    for name, otherwise in words.items():
        if (word := getattr(ask, name)) != otherwise:
            try:
                words[name] = backbone.labels[backbone.target(word)]
            except CamvizError as error:
                complaints.append(str(error))
    stages = []
    for name in ask.stages:
        try:
            stages.append(backbone.stage(name).name)
        except StageError:
            complaints.append(f"stages={name} ({discreet(backbone.name)} has no such layer)")
    ask = replace(
        ask,
        target=words["target"],
        versus=words["versus"],
        stages=tuple(stages) or tuple(backbone.default_stages),
    )
    ask, missing = _answerable(ask)
    if missing is not None:
        complaints.append(discreet(str(missing)))
    notice = ""
    if complaints:
        notice = notice_html(
            f"Part of the link could not be used and was left out: {'; '.join(complaints)}.",
            actions,
        )
    for view in _with_menus(ask, backbone, notice):
        yield replace(
            view, held={**(view.held or {}), "wanted": ask.backbone, "raw": ask.untrained}
        )


# -- Asking the engine ---------------------------------------------------------------------------


def network(ask: Ask) -> Backbone:
    """The backbone of an ask, loaded."""
    choice = lookup(ask.backbone)
    try:
        return engine().backbone(choice.load, "random" if ask.untrained else "auto")
    except BackboneError as error:
        raise type(error)(discreet(str(error))) from error


def explain(ask: Ask, **changes: Any) -> Explanation:
    """Ask the engine; raises a `CamvizError` for whatever the visitor can mend."""
    backbone = network(ask)
    if ask.picture is None:
        raise MethodError("there is no picture yet; give one")
    method = changes.get("method", ask.method)
    return engine().explain(
        opened(ask.picture),
        backbone,
        **{
            "target": None if ask.target == TOP else backbone.target(ask.target),
            "versus": None if ask.versus == NOBODY else backbone.target(ask.versus),
            "method": method,
            # CAM exists at one stage only, and the engine knows at which
            "stages": None if METHODS[method].uses_head else ask.stages or None,
            "fuse": ask.fuse,
            "tap": ask.tap,
            "fit": ask.fit,
            "placement": ask.placement,
            **changes,
        },
    )


Row = Explanation | str


def rows_of(ask: Ask) -> dict[str, Row]:
    """The three rows; a sentence in place of one that cannot be had."""
    return {key: row_of(ask, key) for key in ROWS}


def row_of(ask: Ask, key: str) -> Row:
    """One of the three rows, or a sentence in its place."""
    if key == "denoised":
        return _denoised(ask)
    plain = explain(ask)
    return plain if key == "layercam" else _prototypes(ask, plain.target)


def _prototypes(ask: Ask, target: int) -> Row:
    """The third row: by the visitor's own prototypes of this class, else by those at hand."""
    try:
        return likeness(ask, target)
    except (PrototypeError, MethodError, StageError) as error:
        return sentence(error)


def likeness(ask: Ask, target: int, **changes: Any) -> Explanation:
    """Where the picture is like the prototypes of a class: a visitor's own, else those at hand.

    Those at hand are the engine's choice, for this picture and these layers; what a visitor kept,
    dropped or named is carried over to whichever of them are the very same. Of a backbone's usual
    layers the engine takes those that are coarse enough; of layers chosen by hand, every one.
    """
    usual = ask.stages == network(ask).default_stages
    stages = None if usual else ask.stages or None
    changes = {"target": target, "versus": None, "method": "lpcam", "stages": stages, **changes}
    held = ask.bank if ask.bank is not None and ask.bank.target == target else None
    if held is not None and held.source == "gallery":
        return explain(ask, **changes, prototypes=held)
    x = explain(ask, **changes)
    if held is None or x.bank is None:
        return x
    ready = x.bank.stages
    touched = {name: _touched(stage, held.stages.get(name)) for name, stage in ready.items()}
    if all(touched[name] is ready[name] for name in touched):
        return x
    return explain(ask, **changes, prototypes=replace(x.bank, stages=touched))


def _touched(stage: StagePrototypes, held: StagePrototypes | None) -> StagePrototypes:
    """A stage as a visitor left it, if these are the prototypes that were worked on."""
    same = held is not None and held.vectors.shape == stage.vectors.shape
    if held is None or not same or not bool((held.vectors == stage.vectors).all()):
        return stage
    return replace(stage, prototypes=held.prototypes)


def _denoised(ask: Ask) -> Row:
    method = METHODS[ask.method]
    if not method.uses_gradients:
        return f"{method.label} uses no gradient, so there is no noise of it to take away."
    try:
        return explain(ask, truncation=ask.truncation)
    except (MethodError, StageError) as error:
        return sentence(error)


def sentence(error: Exception) -> str:
    """What went wrong, as the page says it."""
    text = discreet(str(error))
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def show(ask: Ask) -> Iterator[View]:
    """The three rows of a picture, and everything said about them.

    Prototypes that must be made first take their time: the two other rows do not wait for them.
    """
    x = explain(ask)
    made = aside().submit(_prototypes, ask, x.target)
    rows: dict[str, Row] = {"layercam": x, "denoised": _denoised(ask), "prototypes": COMING}
    view = View(
        verdict=verdict_html(x),
        bars=_bars(x),
        denoising=_denoising(rows["denoised"]),
        held={"shown": x.picture.digest, "answered": None},
    )
    truth, link = truth_of(x), link_of(ask, x)
    if not wait([made], PATIENCE).done:
        yield replace(view, maps=viewer.payload(rows, truth=truth, link=link))
        view = View(None)
    rows["prototypes"] = made.result()
    yield replace(
        view,
        maps=viewer.payload(rows, truth=truth, link=link),
        learned=_learned(rows["prototypes"], ask),
        held={**(view.held or {}), "answered": ask.question},
    )


@lru_cache(maxsize=1)
def aside() -> ThreadPoolExecutor:
    """Where prototypes are made while the other rows are already looked at."""
    return ThreadPoolExecutor(4, thread_name_prefix="prototypes")


def truth_of(x: Explanation) -> dict[str, np.ndarray] | None:
    """What is known to be in an example, the explained class first."""
    name = links.example_of(x.picture.digest)
    if name is None:
        return None
    objects = sorted(example(name).truth, key=lambda thing: thing.label != x.label)
    return {thing.label: thing.mask for thing in objects} or None


def link_of(ask: Ask, x: Explanation | None = None) -> dict[str, str]:
    """What the address bar says of an ask."""
    picture = links.NO_PICTURE
    if x is not None:
        picture = links.example_of(x.picture.digest) or links.UPLOAD
    default = {field.name: getattr(DEFAULT, field.name) for field in fields(Ask)}
    if ask.backbone is not None:
        default["stages"] = network(ask).default_stages
    settings = {field.name: getattr(ask, field.name) for field in fields(Ask)}
    return links.write(settings, default, picture)


# -- From an explanation to HTML -----------------------------------------------------------------


def notice_html(sentence: str, actions: dict[str, str] | None = None) -> str:
    """The one place where something that went wrong is said. actions: value -> label."""
    buttons = "".join(
        f'<button type="button" data-label="{escape(value)}">{escape(label)}</button>'
        for value, label in (actions or {}).items()
    )
    return f'<div class="cv-notice" role="alert"><p>{escape(sentence)}</p>{buttons}</div>'


def said_html(sentence: str) -> str:
    """Something that went right and is worth a word."""
    return f'<div class="cv-said" role="status"><p>{escape(sentence)}</p></div>'


def progress_html(doing: str, done: float | None = None) -> str:
    """How far work has come, in words and as a share of 1, and a way to stop it."""
    value = "" if done is None else f'value="{done:.3f}"'
    return (
        f'<div class="cv-progress" role="status"><span>{doing}</span><progress {value} max="1">'
        '</progress><button type="button" data-label="stop">Stop</button></div>'
    )


def verdict_html(x: Explanation) -> str:
    probability = next(p for index, _, p in x.predictions if index == x.target)
    label = f"<em>{escape(x.label)}</em>"
    if x.request.versus is not None:
        other = escape(x.backbone.labels[x.request.versus])
        said = f"What speaks for {label} rather than <em>{other}</em>"
    elif x.target == x.predictions[0][0]:
        said = f"It says {label}, {_percent(probability)}. This is where it looked."
    else:
        said = f"Where it would see {label} ({_percent(probability)})"
    return f"<h2>{said}</h2>{_badges(x)}<p>{_how(x)}</p>"


def _badges(x: Explanation) -> str:
    """What to know before anything else: no training, or a picture of something unknown."""
    warnings = []
    if not x.backbone.weights.trained:
        warnings.append("untrained: maps mean nothing")
    elif x.backbone.name.startswith(DRAWN) and not _drawn(x):
        warnings.append("made for drawn scenes: of any other picture it knows little")
    elif not x.is_confident:
        warnings.append(
            f"not sure: this may be none of the {len(x.backbone.labels)} things it knows"
        )
    if not x.fit.shows_all:
        warnings.append("the hatched part was not shown to the network")
    return "".join(f'<p class="cv-badge" role="note">{warning}</p>' for warning in warnings)


def _drawn(x: Explanation) -> bool:
    """Whether the picture is one of the examples that were drawn."""
    name = links.example_of(x.picture.digest)
    return name is not None and example(name).backbones == DRAWN


def _how(x: Explanation) -> str:
    """What was computed, in words, after whom, and whether it is a paper's own setting."""
    method, fusion = METHODS[x.request.method], FUSIONS[x.request.fuse]
    said = f"<strong>{method.label}</strong> ({method.paper})"
    if len(x.stages) > 1:
        said += f" at {len(x.stages)} layers of {escape(discreet(x.backbone.name))}, "
        said += f"fused by {fusion.label.lower()} ({fusion.paper})"
        if method.label in fusion.paper:
            said += f": the setting of the {method.label} paper"
    else:
        said += f" at {escape(x.stages[0])} of {escape(discreet(x.backbone.name))}"
    if method.uses_head:
        said += ", the map that enters the classifier, the only place where it is defined"
    return f"{said}."


def _bars(x: Explanation) -> str:
    """The best classes as buttons, the explained one and its rival always among them."""
    asked = {x.target, x.request.versus}
    ranked = list(enumerate(x.predictions))
    shown = ranked[:BARS] + [row for row in ranked[BARS:] if row[1][0] in asked]
    rows = "".join(_bar(x, rank, *prediction) for rank, prediction in shown)
    return f'<ol class="cv-bars">{rows}</ol>'


def _bar(x: Explanation, rank: int, index: int, label: str, share: float) -> str:
    name = escape(label)
    explained, rival = index == x.target, index == x.request.versus
    place = "" if rank < BARS else f"{rank + 1}. "
    return (
        f'<li><button type="button" class="cv-bar" data-index="{index}" data-label="{name}" '
        f'aria-pressed="{_truth_word(explained)}" title="Show where {name} is" '
        f'style="--share:{share:.4f}"><span>{place}{name}</span>'
        f" <span>{_percent(share)}</span></button>"
        f'<button type="button" class="cv-rival" data-index="{index}" data-label="{name}" '
        f'data-rival="1" aria-pressed="{_truth_word(rival)}" {"disabled" if explained else ""} '
        f'title="Compare with {name}" aria-label="Compare with {name}">vs</button></li>'
    )


def _truth_word(value: bool) -> str:
    return "true" if value else "false"


def _denoising(row: Row) -> str:
    """What truncation took away, of the maps and of the noise, in figures."""
    if isinstance(row, str):
        return f'<p class="cv-fine">{escape(row)}</p>'
    found = [n.denoising for n in row.notes.values() if n.denoising is not None]
    maps = [d.removed for d in found if d.removed is not None]
    noise = [1 - d.floor.noise for d in found if d.floor and d.floor.noise is not None]
    if not maps:
        return '<p class="cv-fine">Nothing is taken away: the first two rows are the same.</p>'
    gone = [share for share in maps if share >= 0]
    more = [-share for share in maps if share < 0]
    taken = [
        f"<strong>{_range(shares)}</strong> of {what}"
        for shares, what in ((gone, "the maps"), (noise, "noise"))
        if shares
    ]
    said = f"Taken away: {', '.join(taken)}. " if taken else ""
    if more:
        said += f"Added: <strong>{_range(more)}</strong> of maps."
    return f'<p class="cv-fine">{said}</p>'


def _learned(row: Row, ask: Ask) -> str:
    """What the prototypes of the third row were learned from, and what they do not heed."""
    if isinstance(row, str) or row.bank is None:
        return ""
    bank = row.bank
    label = f"<em>{escape(bank.label)}</em>"
    said = {
        "self": f"<strong>this picture alone</strong>: no prototypes of {label} ship for this "
        "network. Pictures of your own make better ones.",
        "bundled": f"<strong>pictures that ship with camviz</strong> ({len(bank.pictures)} "
        f"of {label}).",
        "gallery": f"<strong>what you gave</strong> ({len(bank.pictures)} of {label}).",
    }[bank.source]
    if bank.source == "bundled" and row.request.prototypes != "shipped":
        said += " What is kept of them was changed by you."
    if fine := [name for name in ask.stages if name not in row.stages]:
        said += f" None are of {escape(', '.join(fine))}, where they would be of edges and colours."
    if ask.versus != NOBODY:
        said += f" They show {label} alone, and nothing of {escape(ask.versus)}."
    return (
        f'<p class="cv-fine">The prototypes of the third row come from {said} '
        f'<button type="button">Learn from pictures of {label} …</button></p>'
    )


def _range(shares: list[float]) -> str:
    least, most = f"{min(shares):.0%}", f"{max(shares):.0%}"
    return most if least == most else f"{least[:-1]}–{most}"


def thumbnails(examples: list[Example]) -> str:
    """Small pictures as buttons, to be had by a click."""
    buttons = []
    for row in examples:
        with Image.open(row.path) as image:
            small = ImageOps.fit(image.convert("RGB"), (THUMBNAIL, THUMBNAIL))
        buttons.append(
            f'<button type="button" data-label="{escape(row.name)}" '
            f'title="{escape(row.title)}: {escape(row.story)}">'
            f"{_picture(np.asarray(small), row.title)}</button>"
        )
    return f'<div class="cv-examples" role="group" aria-label="Examples">{"".join(buttons)}</div>'


def _picture(pixels: np.ndarray, text: str) -> str:
    """An <img> that carries its own data."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=85, method=0)
    data = base64.b64encode(file.getvalue()).decode()
    height, width = pixels.shape[:2]
    return (
        f'<img src="data:image/webp;base64,{data}" width="{width}" height="{height}" '
        f'alt="{escape(text)}">'
    )


def _stage_label(name: str, grid: tuple[int, int]) -> str:
    return f"{name} · {grid[0]}×{grid[1]}"


def _percent(share: float) -> str:
    return "< 0.1%" if share < 0.001 else f"{share:.1%}"


Work = Callable[[Ask], Iterator[View]]
