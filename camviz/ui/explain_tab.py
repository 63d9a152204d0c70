"""From what a visitor asks to what is shown: controls -> `Ask` -> `Explanation` -> `View`.

Plain values and HTML; nothing here knows gradio. A handler takes an `Ask`, returns a `View` and
raises a `CamvizError` for whatever the visitor can mend.
"""

import base64
import io
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from camviz import render
from camviz.backbones import Backbone, Entry, bundled_names, catalogue, default_backbone
from camviz.engine import Engine, Explanation, Notes, PlacementKind
from camviz.errors import BackboneError, StageError
from camviz.examples import Example
from camviz.images import MIN_SIDE, Picture, open_picture
from camviz.maps import FUSIONS
from camviz.methods import METHODS
from camviz.stages import TapKind

MAX_PARAMETERS = 150  # millions; CAMVIZ_MAX_PARAMETERS says otherwise
# Pixels of the longer side at which pictures are drawn: the fused map, one stage's, an example.
LARGE, SMALL, THUMBNAIL = 800, 400, 112
TOP = "Top prediction"
DRAWN = "scenes"  # how the names of backbones for drawings begin
BARS = 5


# -- What can be chosen --------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A backbone that a visitor may choose: what it is called here, and what the engine loads."""

    name: str
    label: str
    load: str


@lru_cache(maxsize=1)
def offer() -> dict[str, Choice]:
    """The backbones on offer by name: this server's own, then the catalogue up to a size.

    CAMVIZ_BACKBONE names the server's own, in any way that `load_backbone` understands; the
    visitor sees the end of it, never a path. Looked up anew at every visit (`cache_clear`),
    because what is bundled or downloaded may change while the server runs.
    """
    limit = float(os.environ.get("CAMVIZ_MAX_PARAMETERS", MAX_PARAMETERS)) * 1e6
    choices = {}
    if own := os.environ.get("CAMVIZ_BACKBONE"):
        name = Path(own.partition(":")[2] or own).resolve().name
        choices[name] = Choice(name, f"{name} · this server's own", own)
    for entry in catalogue():
        small = entry.source == "bundled" or (entry.parameters or limit + 1) <= limit
        if entry.classifier and small and entry.name not in choices:
            choices[entry.name] = Choice(entry.name, _entry_label(entry), entry.name)
    return choices


def _entry_label(entry: Entry) -> str:
    if entry.source == "hub":
        where = f"to download, {entry.megabytes:.0f} MB"
    else:
        where = {"cached": "on this machine", "untrained": "no trained weights"}.get(
            entry.source, entry.source
        )
    size = f" · {entry.parameters / 1e6:.1f} M" if entry.parameters else ""
    return f"{entry.name}{size} · {where}"


def chosen(name: str | None) -> Choice:
    """The choice of that name; anything else that a browser may send is refused."""
    choice = offer().get(name or "")
    if choice is None:
        raise BackboneError("no such backbone is offered here; choose one from the list")
    return choice


def default_choice() -> str | None:
    """The backbone of a visitor who has chosen none.

    Without the hub that is one for drawings: every drawn example is something it knows.
    """
    choices = offer()
    if os.environ.get("CAMVIZ_BACKBONE"):
        return next(iter(choices), None)
    best = default_backbone()
    drawn = next((name for name in choices if name.startswith(DRAWN)), best)
    best = drawn if best in bundled_names() else best
    return best if best in choices else next(iter(choices), None)


def knowing(example: Example, backbone: str | None) -> str | None:
    """This backbone if it may know what the example shows, else one on offer that may."""
    for_drawings = (backbone or "").startswith(DRAWN)
    if for_drawings == (example.backbones == DRAWN):
        return backbone
    if example.backbones == DRAWN:
        return next((name for name in offer() if name.startswith(DRAWN)), backbone)
    return next((name for name in offer() if not name.startswith(DRAWN)), backbone)


# -- From the controls to a view -----------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """What the controls say, in the order in which they are handed over."""

    picture: str | None
    backbone: str | None
    untrained: bool = False
    target: str = TOP
    stages: tuple[str, ...] | list[str] = ()
    method: str = "layer_cam"
    fuse: str = "product"
    tap: TapKind = "activation"
    fit: str = "stretch"
    placement: PlacementKind = "plain"
    threshold: float = 0.2
    colors: str = "viridis"
    opacity: float = 0.55


@dataclass(frozen=True)
class Menu:
    """The (label, value) pairs of a control, and what is chosen."""

    choices: list[tuple[str, str]]
    value: str | list[str]


@dataclass(frozen=True)
class View:
    """What the page shows: three pieces of HTML, and menus that have become others."""

    verdict: str
    bars: str = ""
    layers: str = ""
    targets: Menu | None = None
    stages: Menu | None = None


EMPTY = View(
    '<p class="cv-empty">Give a picture, and what the network sees in it is shown here.</p>'
)
WAIT = View('<p class="cv-empty">Looking at the picture …</p>')


@lru_cache(maxsize=1)
def engine() -> Engine:
    """The engine of this process; its networks and traces serve every visitor."""
    return Engine()


@lru_cache(maxsize=2)
def _opened(path: str) -> Picture:
    return open_picture(path)  # gradio names an upload after its content


def new_backbone(ask: Ask) -> View:
    """Another backbone: its own default stages; the class stays if this one knows it too."""
    backbone = _backbone(ask)
    default = list(backbone.default_stages)
    menu = Menu([(_stage_label(s.name, s.grid), s.name) for s in backbone.stages], default)
    return replace(new_view(replace(ask, stages=default)), stages=menu)


def new_picture(ask: Ask) -> View:
    """Another picture: whatever the network sees in it is explained."""
    ask = replace(ask, target=TOP)
    return new_view(ask) if ask.stages else new_backbone(ask)


def new_view(ask: Ask) -> View:
    """The network is shown something else: its predictions are others, and so are the menus."""
    if ask.picture is None:
        return EMPTY
    if ask.target not in _backbone(ask).labels:
        ask = replace(ask, target=TOP)
    x = explain(ask)
    ranked = [(f"{label} · {_percent(p)}", label) for _, label, p in x.predictions[:BARS]]
    leading = {label for _, label in ranked}
    others = [(label, label) for label in x.backbone.labels if label not in leading]
    menu = [(f"{TOP}: {x.predictions[0][1]}", TOP), *ranked, *others]
    return replace(show(x, ask), targets=Menu(menu, ask.target))


def same_picture(ask: Ask) -> View:
    """Anything else changed: the network need not look again."""
    return EMPTY if ask.picture is None else show(explain(ask), ask)


def explain(ask: Ask) -> Explanation:
    """Ask the engine; raises a `CamvizError` for whatever the visitor can mend."""
    backbone = _backbone(ask)
    if not ask.stages:
        raise StageError("no stage is ticked; tick at least one")
    assert ask.picture is not None
    known = ask.target in backbone.labels
    return engine().explain(
        _opened(ask.picture),
        backbone,
        target=backbone.labels.index(ask.target) if known else None,
        method=ask.method,
        # CAM exists at one stage only, and the engine knows at which
        stages=None if "features" in METHODS[ask.method].needs else ask.stages,
        fuse=ask.fuse,
        tap=ask.tap,
        fit=ask.fit,
        placement=ask.placement,
    )


def _backbone(ask: Ask) -> Backbone:
    choice = chosen(ask.backbone)
    try:
        return engine().backbone(choice.load, "random" if ask.untrained else "auto")
    except BackboneError as error:
        # Where the server's own backbone lies is no business of a visitor's.
        place = choice.load.removeprefix("local-dir:")
        raise type(error)(str(error).replace(place, choice.name)) from error


def for_screen(x: Explanation, longest: int) -> Explanation:
    """The same explanation on a copy of its picture of another size; the network saw the first."""
    height, width = x.picture.height, x.picture.width
    scale = longest / max(height, width)
    size = max(MIN_SIDE, round(height * scale)), max(MIN_SIDE, round(width * scale))
    pixels = np.asarray(Image.fromarray(x.picture.pixels).resize(size[::-1], reducing_gap=2.0))
    x0, y0, x1, y1 = x.fit.rect
    down, across = size[0] / height, size[1] / width
    fit = replace(x.fit, picture_size=size, rect=(x0 * across, y0 * down, x1 * across, y1 * down))
    return replace(x, picture=open_picture(pixels, name=x.picture.name), fit=fit)


# -- From an explanation to HTML -----------------------------------------------------------------


def show(x: Explanation, ask: Ask) -> View:
    """The explanation as the page shows it: everything in pictures is also said in words."""
    large, small = for_screen(x, LARGE), for_screen(x, SMALL)
    return View(_verdict(large, ask), _bars(x, ask), _layers(small, ask))


def _verdict(x: Explanation, ask: Ask) -> str:
    boxes = x.boxes(ask.threshold, multi=True)
    pixels = render.draw_boxes(_overlay(x, x.fused, ask), [box.xyxy for box in boxes])
    if not x.fused.any():
        found = "The fused map is empty: nothing at these stages speaks for this class."
    elif not boxes:
        found = f"Nothing but specks is above {ask.threshold:.0%} of the maximum."
    else:
        count = "one box" if len(boxes) == 1 else f"{len(boxes)} boxes"
        area = sum(box.area_fraction for box in boxes)
        found = f"At {ask.threshold:.0%} of the maximum: {count}, {area:.0%} of the picture."
    picture = _picture(pixels, f"Where all stages together found evidence for {x.label}")
    return f"""
<h2>Where it looked for <em>{escape(x.label)}</em></h2>
{_badge(x)}
<figure class="cv-fused">{picture}{_legend(ask.colors)}<figcaption>{found}{_unseen(x)}</figcaption>
</figure>
<p class="cv-how">{_how(x)}</p>"""


def _how(x: Explanation) -> str:
    """What was computed, in words, after whom, and whether it is a paper's own setting."""
    method, fusion = METHODS[x.request.method], FUSIONS[x.request.fuse]
    said = f"<strong>{method.label}</strong> ({method.paper})"
    if len(x.stages) > 1:
        said += f" at {len(x.stages)} stages, fused by {fusion.label.lower()} ({fusion.paper})"
        if method.label in fusion.paper:
            said += f": the setting of the {method.label} paper"
    else:
        said += f" at {escape(x.stages[0])}"
    if "features" in method.needs:
        said += ", the map that enters the classifier, the only place where it is defined"
    said += "."
    if method.signed:
        said += " What speaks against the class is not drawn."
    return said


def _bars(x: Explanation, ask: Ask) -> str:
    """The best classes as buttons, the explained one always among them."""
    rows = list(enumerate(x.predictions))
    shown = rows[:BARS] + [row for row in rows[BARS:] if row[1][0] == x.target]
    buttons = "".join(
        f'<li><button type="button" class="cv-bar" data-index="{index}" '
        f'data-label="{escape(label)}" aria-pressed="{str(index == x.target).lower()}" '
        f'style="--share:{share:.4f}">'
        f"<span>{_rank(rank)}{escape(label)}</span> <span>{_percent(share)}</span></button></li>"
        for rank, (index, label, share) in shown
    )
    weights = x.backbone.weights
    height, width = x.backbone.input_size[1:]
    license = f" · {escape(weights.license)}" if weights.license else ""
    return f"""
<h2>What it says</h2>
<ol class="cv-bars">{buttons}</ol>
<p class="cv-fine">Click a class to see where it is.<br>
<strong>{escape(str(ask.backbone))}</strong>: {len(x.backbone.labels):,} classes,
{x.backbone.parameters / 1e6:.1f} M parameters, input {height} × {width}{license}.</p>"""


def _layers(x: Explanation, ask: Ask) -> str:
    """One figure a stage, coarse to fine, its notes under it."""
    figures = "".join(_layer(x, x.notes[name], ask) for name in reversed(x.stages))
    return f'<h2>Stage by stage, coarse to fine</h2><div class="cv-layers">{figures}</div>'


def _layer(x: Explanation, notes: Notes, ask: Ask) -> str:
    heat = x.maps[notes.stage]
    picture = _picture(_overlay(x, heat, ask), f"Where {notes.stage} found evidence for {x.label}")
    return (
        f'<figure class="{"cv-nothing" if notes.empty else ""}">{picture}<figcaption>'
        f"<strong>{escape(notes.stage)}</strong>"
        f"<p>{escape(str(notes))}</p></figcaption></figure>"
    )


def _overlay(x: Explanation, heat: np.ndarray, ask: Ask) -> np.ndarray:
    seen = None if x.fit.seen else x.seen
    return render.overlay(x.picture.pixels, heat, name=ask.colors, opacity=ask.opacity, seen=seen)


def _unseen(x: Explanation) -> str:
    return "" if x.fit.seen else " The hatched part was not shown to the network."


def _badge(x: Explanation) -> str:
    """What to know before anything else: no training, or a picture of something unknown."""
    if not x.backbone.weights.trained:
        warning = "untrained: maps mean nothing"
    elif not x.sure:
        warning = f"not sure: this may be none of the {len(x.backbone.labels)} things it knows"
    else:
        return ""
    return f'<p class="cv-badge" role="note">{warning}</p>'


def _legend(colors: str) -> str:
    """The colour bar: which colour is how much of the maximum."""
    stops = ", ".join(f"rgb({r}, {g}, {b})" for r, g, b in render.color_table(colors)[::51])
    return (
        '<div class="cv-legend"><span>0</span>'
        f'<i style="background: linear-gradient(90deg, {stops})"></i><span>maximum</span></div>'
    )


def thumbnails(examples: list[Example]) -> str:
    """Small pictures as buttons, to be had by a click."""
    buttons = []
    for example in examples:
        with Image.open(example.path) as image:
            small = ImageOps.fit(image.convert("RGB"), (THUMBNAIL, THUMBNAIL))
        buttons.append(
            f'<button type="button" data-label="{escape(example.name)}" '
            f'title="{escape(example.story)}">'
            f"{_picture(np.asarray(small), example.title)}</button>"
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
    return f"{name} · {grid[0]} × {grid[1]}"


def _rank(rank: int) -> str:
    return "" if rank < BARS else f"{rank + 1}. "


def _percent(share: float) -> str:
    return "< 0.1%" if share < 0.001 else f"{share:.1%}"
