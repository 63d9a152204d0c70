"""Prototypes to see, name, keep or drop; and any place's kin, on every layer.

Nothing here asks the network again: prototypes, and the features of the picture, are at hand, and
the rest is arithmetic. What is kept, dropped or named makes another bank, which is held for the
whole page: the third row of Compare follows.
"""

import base64
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from camviz.engine.explanation import Explanation, PrototypeMap
from camviz.engine.export import file_name
from camviz.errors import CamvizError, ImageError, MethodError, PrototypeError, StageError
from camviz.examples import example
from camviz.images import Picture
from camviz.maps import render
from camviz.methods.activation import Aggregate
from camviz.prototypes.bank import (
    CLUSTERS,
    Kind,
    Member,
    PrototypeBank,
    StagePrototypes,
    with_thumbnails,
)
from camviz.prototypes.build import MOST_CLUSTERS, select
from camviz.ui import api, choices, compare_tab, viewer
from camviz.ui.compare_tab import (
    NOBODY,
    TOP,
    Ask,
    Menu,
    View,
    explain,
    likeness,
    opened,
    said_html,
    sentence,
)
from camviz.ui.compute import engine
from camviz.ui.viewer import Viewer

ID, TITLE = "prototypes", "Prototypes"
DOING = "Looking for prototypes …"
LOOKING = "Looking for kin …"
PARTS = (
    "proto said",
    "proto map",
    "proto stage",
    "proto legend",
    "proto cards",
    "proto reset",
    "proto file",
    "kin across",
    "kin down",
    "kin here",
    "kin picture",
    "kin there",
)
INPUTS = ("proto stage", "proto aggregate", "kin across", "kin down", "kin picture")

SIDE = 168  # pixels of the longer side of a card's map
AGGREGATES: tuple[tuple[str, Aggregate], ...] = (
    ("the mean of all kept (the paper's)", "mean"),
    ("the nearest of all kept", "max"),
)
KINDS: tuple[tuple[Kind, str, str], ...] = (
    ("foreground", "Parts of {label}", "Where the class's own map is bright. They count for it."),
    ("context", "What surrounds it", "Where the class's own map is dark. They count against it."),
)
PICK = "Click a place to see its kin; or point with the arrow keys and press Enter."
CENTRE = 50.0  # percent, where the point stands at first
_TINY = np.finfo(np.float32).tiny


# -- What may be asked ---------------------------------------------------------------------------


def show(
    ask: Ask, stage: str | None, aggregate: str, across: float, down: float, picture: Any
) -> Iterator[View]:
    """The prototypes of the class explained, and the kin of the point chosen."""
    if ask.picture is None:
        yield _empty("There is no picture yet; give one, and its prototypes are shown here.")
        return
    try:
        yield View(None, tab=_seen(ask, stage, aggregate))
    except (PrototypeError, MethodError, StageError) as error:
        yield _empty(sentence(error))
    yield View(None, tab=_kin_here(ask, across, down))
    yield View(None, tab=_kin_there(ask, across, down, picture))


def _empty(sentence: str) -> View:
    blank = viewer.payload({})
    return View(
        None,
        tab={
            "proto said": f'<p class="cv-fine">{escape(sentence)}</p>',
            "proto map": blank,
            "proto stage": gr.update(visible=False),
            "proto legend": "",
            "proto cards": "",
            "proto reset": gr.update(interactive=False),
            "kin here": blank,
            "kin there": blank,
        },
    )


def other_view(ask: Ask, stage: str | None, aggregate: str) -> Iterator[View]:
    """Another layer, or another way to make one map of many."""
    if ask.picture is not None:
        yield View(tab=_seen(ask, stage, aggregate))


def changed(ask: Ask, event: Any, stage: str | None, aggregate: str) -> Iterator[View]:
    """A prototype was kept, dropped or named on its card: (what, text, whether) and its index."""
    what, _, text = str(event.value).partition(":")
    x = _explained(ask, aggregate)
    name = _stage_of(x, stage)
    assert x.bank is not None
    if what == "name":
        bank = x.bank.rename(name, int(event.index), " ".join(text.split())[:40])
    else:
        bank = x.bank.keep(name, int(event.index), bool(event.selected))
    yield from _with_bank(ask, bank, name, aggregate)


def automatic_choice(ask: Ask, stage: str | None, aggregate: str) -> Iterator[View]:
    """What was kept or dropped by hand is forgotten; names stay."""
    x = _explained(ask, aggregate)
    assert x.bank is not None
    yield from _with_bank(ask, automatic(x.bank), _stage_of(x, stage), aggregate)


def _with_bank(ask: Ask, bank: PrototypeBank, stage: str, aggregate: str) -> Iterator[View]:
    """This tab as another bank makes it; Compare follows."""
    ask = replace(ask, bank=bank)
    yield View(tab=_seen(ask, stage, aggregate), held={"bank": bank})
    for view in compare_tab.show(ask):
        yield replace(view, notice=None)


def automatic(bank: PrototypeBank) -> PrototypeBank:
    """The bank as it was built: kept is what the scores say, by the paper's bounds."""
    stages = {}
    for name, held in bank.stages.items():
        scores: dict[str, list[float | None]] = {"foreground": [], "context": []}
        for prototype in held.prototypes:
            judged = held.scoring == "head"
            scores[prototype.kind].append(prototype.score if judged else None)
        keep_f, keep_b, _ = select(scores["foreground"], scores["context"], bank.mu_f, bank.mu_b)
        kept = {"foreground": iter(keep_f), "context": iter(keep_b)}
        prototypes = tuple(replace(p, kept=next(kept[p.kind])) for p in held.prototypes)
        stages[name] = replace(held, prototypes=prototypes)
    return replace(bank, stages=stages)


def save(ask: Ask) -> Iterator[View]:
    """The bank as it stands now, as one file that `PrototypeBank.load` reads."""
    x = _explained(ask, "mean")
    assert x.bank is not None
    bank = x.bank
    if bank.source == "picture":
        bank = with_thumbnails(bank, _patches(x.picture))
    name = file_name(f"{bank.label}-{bank.backbone}".replace(" ", "-"))
    with tempfile.TemporaryDirectory(prefix="camviz-") as folder:
        file = bank.save(Path(folder) / f"{name}.safetensors")
        data = base64.b64encode(file.read_bytes()).decode()
        link = (  # no two alike, so that the same file is sent once more
            f'<a download="{escape(file.name)}" data-of="{escape(Path(folder).name)}" '
            f'href="data:application/octet-stream;base64,{data}"></a>'
        )
    yield View(tab={"proto file": link})


def load(ask: Ask, file: Any, stage: str | None, aggregate: str) -> Iterator[View]:
    """A bank from a file; the class that it is of becomes the one explained."""
    if file is None:
        raise PrototypeError("no file was given; choose a .safetensors file saved here")
    try:
        path = api.uploaded(file)
    except ImageError as error:  # which would empty the page
        raise PrototypeError(str(error)) from error
    bank = PrototypeBank.load(path)
    bank.check(compare_tab.network(ask))
    if bank.tap != ask.tap:
        raise PrototypeError(
            f"these prototypes were built with layers read by '{bank.tap}', and '{ask.tap}' is "
            "chosen under More settings; choose the same"
        )
    if bank.source != "gallery":  # those at hand are made for a picture, these hold for any
        bank = replace(bank, source="gallery")
    ask = replace(ask, bank=bank, target=bank.label)
    yield View(
        said_html(f"Loaded prototypes of “{bank.label}”: {_count(bank)}."),
        menus={"target": Menu([], bank.label)},
        held={"bank": bank, "target": bank.label},
    )
    if ask.picture is not None:
        yield View(None, tab=_seen(ask, stage, aggregate))
    for view in compare_tab.chosen_class(ask, target=bank.label):
        yield replace(view, notice=None)


def picked(ask: Ask, event: Any, picture: Any) -> Iterator[View]:
    """A place of the picture was clicked."""
    if ask.picture is None:
        return
    seen = opened(ask.picture)
    x, y = event.value
    across, down = 100 * (x + 0.5) / seen.width, 100 * (y + 0.5) / seen.height
    moved = {"kin across": round(across, 1), "kin down": round(down, 1)}
    for view in moved_to(ask, across, down, picture):
        yield replace(view, tab={**(view.tab or {}), **moved})
        moved = {}


def moved_to(ask: Ask, across: float, down: float, picture: Any) -> Iterator[View]:
    """The point was moved: its kin here, then its kin in the second picture."""
    if ask.picture is not None:
        yield View(tab=_kin_here(ask, across, down))
        yield View(None, tab=_kin_there(ask, across, down, picture))


def second_picture(ask: Ask, across: float, down: float, picture: Any) -> Iterator[View]:
    """Another second picture, or none."""
    if ask.picture is not None:
        yield View(tab=_kin_there(ask, across, down, picture))


def second_example(ask: Ask, event: Any) -> Iterator[View]:
    """An example as the second picture; the page tells of it as of an upload."""
    yield View(tab={"kin picture": str(example(str(event.value)).path)})


# -- Prototypes ----------------------------------------------------------------------------------


def _explained(ask: Ask, aggregate: str) -> Explanation:
    """Where the picture is like the prototypes in use."""
    return likeness(ask, explain(ask).target, aggregate=aggregate)


def _stage_of(x: Explanation, stage: str | None) -> str:
    """The layer chosen; else the deepest, where the classifier can judge."""
    return stage if stage in x.stages else x.stages[-1]


def _seen(ask: Ask, stage: str | None, aggregate: str) -> dict[str, Any]:
    """Everything about prototypes, by the names of the parts that show it."""
    x = _explained(ask, aggregate)
    name, bank = _stage_of(x, stage), x.bank
    assert bank is not None
    layers = [(f"{n} · {x.notes[n].grid[0]}×{x.notes[n].grid[1]}", n) for n in reversed(x.stages)]
    return {
        "proto said": _about(x, bank),
        "proto map": viewer.payload({"prototypes": x}),
        "proto stage": gr.update(choices=layers, value=name, visible=True),
        "proto legend": _legend(bank, name),
        "proto cards": _cards(x, name),
        "proto reset": gr.update(interactive=_by_hand(bank)),
    }


def _by_hand(bank: PrototypeBank) -> bool:
    own = automatic(bank).stages
    return any(held.prototypes != own[name].prototypes for name, held in bank.stages.items())


def _count(bank: PrototypeBank) -> str:
    return ", ".join(f"{len(held.prototypes)} at {name}" for name, held in bank.stages.items())


def _about(x: Explanation, bank: PrototypeBank) -> str:
    label = f"<em>{escape(bank.label)}</em>"
    many = len(bank.pictures)
    source = {
        "picture": "They were learned from <strong>this picture alone</strong>, as it is, mirrored "
        "and enlarged. Pictures of your own, further down, make better ones.",
        "bundled": f"They were learned from <strong>{many} pictures</strong> and ship with camviz.",
        "gallery": f"They are <strong>what you gave</strong>, learned from {many} "
        f"picture{'' if many == 1 else 's'}.",
    }[bank.source]
    return (
        f"<h2>What {label} looks like to {escape(choices.discreet(x.backbone.name))}, place by "
        "place</h2>"
        f"<p>A prototype is something that the network found again and again in pictures of {label}"
        ": a part of it, or what tends to be around it. The maps below are bright where the "
        "picture is like the parts that are kept, and unlike the surroundings that are kept. "
        f"{source}</p>"
        '<p>Further down: <a href="#kin">point at any place and see its kin</a>.</p>'
    )


def _legend(bank: PrototypeBank, stage: str) -> str:
    """What a score is, here, and why there may be no patches."""
    held = bank.stage(stage)
    said = {
        "head": "<strong>z</strong> is what the classifier makes of a prototype, shown alone: the "
        f"class's probability. Parts are kept above {bank.mu_f:g}, surroundings below "
        f"{bank.mu_b:g}, unless you choose.",
        "places": "<strong>z</strong> is how sure the classifier is, on average, at the places it "
        "was made of; it cannot judge this layer's prototypes themselves, so all are kept, unless "
        "you choose.",
        "none": "<strong>Not scored</strong>: no part of this network's classifier can be asked "
        "about single places, so all are kept, unless you choose.",
    }[held.scoring]
    if held.relaxed:
        said += " It is sure of no part here: the best one was kept."
    said += (
        " Each small map runs from the least to the greatest likeness in this picture, which stand "
        "below it as cosines."
    )
    if missing := _no_patches(bank, held):
        said += f" {missing}"
    return f'<p class="cv-fine">{said}</p>'


def _no_patches(bank: PrototypeBank, held: StagePrototypes) -> str:
    """Why no patches are shown, in a sentence; none if there are some."""
    if held.thumbnails is not None or bank.source == "picture":
        return ""
    if bank.source == "bundled" and not any(p.members for p in held.prototypes):
        return (
            "No patches: these were learned from photographs, which are not camviz's to hand on. "
            "Prototypes from your own pictures come with theirs."
        )
    if bank.source == "bundled":
        return "Patches of this layer do not ship, to keep the files small; where they are, does."
    return "The file that was loaded holds no patches."


def _cards(x: Explanation, stage: str) -> str:
    """Every prototype of a stage as a card: parts of the class, and what surrounds it."""
    bank = x.bank
    assert bank is not None
    maps = x.prototypes[stage]
    small = _shrunk(x)
    cut = _patches(x.picture) if bank.source == "picture" else None
    columns = []
    for kind, title, says in KINDS:
        mine = sorted(
            (p for p in maps if p.kind == kind), key=lambda p: (-(p.score or 0), -p.size, p.index)
        )
        kept = sum(p.kept for p in mine)
        cards = "".join(
            _card(small, stage, bank, p, number, cut) for number, p in enumerate(mine, start=1)
        )
        none = '<p class="cv-fine">None were found here.</p>'
        columns.append(
            f'<section class="cv-kind" data-kind="{kind}" aria-label="{kind}">'
            f"<h3>{title.format(label=escape(bank.label))} <small>{kept} of {len(mine)} kept"
            f'</small></h3><p class="cv-fine">{says}</p>'
            f'<ul class="cv-cards">{cards}</ul>{"" if mine else none}</section>'
        )
    return f'<div class="cv-kinds">{"".join(columns)}</div>'


def _card(
    small: Explanation,
    stage: str,
    bank: PrototypeBank,
    p: PrototypeMap,
    number: int,
    cut: Callable[[str, tuple[int, int, int, int]], np.ndarray] | None,
) -> str:
    usual = f"{'Part' if p.kind == 'foreground' else 'Context'} {number}"
    name = escape(p.name or usual)
    score = "not scored" if p.score is None else f"z {_share(p.score)}"
    lowest, highest = float(p.raw.min()), float(p.raw.max())
    drawn = _picture(
        _drawn(small, stage, p.raw), f"Where this picture is like {p.name or usual}", "cv-like"
    )
    patches = "".join(_patch(bank, p, index, member, cut) for index, member in enumerate(p.members))
    sources = dict.fromkeys(bank.pictures[member.picture] for member in p.members)
    origin = escape(", ".join(sources))
    if not origin or '<span class="cv-source"' in patches:  # said in their place already
        whence = ""
    else:
        whence = f'<p class="cv-from" title="{origin}">from {origin}</p>'
    checked = "checked" if p.kept else ""
    return (
        f'<li class="cv-card" data-index="{p.index}" data-kept="{int(p.kept)}">'
        f'<div class="cv-card-map">{drawn}'
        f'<p class="cv-fine">{lowest:.2f} to {highest:.2f}</p></div>'
        '<div class="cv-card-body">'
        f'<input class="cv-name" type="text" maxlength="40" value="{escape(p.name)}" '
        f'placeholder="{usual}" aria-label="Name of {name}" data-key="name {p.index}">'
        f'<p class="cv-figures"><b>{score}</b> <span>{p.size} '
        f"place{'' if p.size == 1 else 's'}</span></p>"
        f'<div class="cv-patches">{patches}</div>{whence}'
        f'<label class="cv-keep"><input type="checkbox" role="switch" {checked} '
        f'aria-label="Keep {name}" data-key="keep {p.index}"><span>'
        f"{'kept' if p.kept else 'left out'}</span></label></div></li>"
    )


def _patch(
    bank: PrototypeBank,
    p: PrototypeMap,
    index: int,
    member: Member,
    cut: Callable[[str, tuple[int, int, int, int]], np.ndarray] | None,
) -> str:
    """One of the nearest places: its pixels if there are any, and the picture that it is of."""
    source = bank.pictures[member.picture]
    if bank.source == "picture":
        source = f"this picture, {source}"
    said = f"{source}, cosine {member.similarity:.2f}"
    pixels = cut("", member.box) if cut else None
    if p.thumbnails is not None:
        pixels = p.thumbnails[index]
    if pixels is None:
        return f'<span class="cv-source" title="{escape(said)}">{escape(source)}</span>'
    return _picture(np.asarray(Image.fromarray(pixels).resize((40, 40))), said)


def _patches(picture: Picture) -> Callable[[str, tuple[int, int, int, int]], np.ndarray]:
    """Cuts patches out of the picture explained, whose own prototypes name places in it."""

    def cut(_: str, box: tuple[int, int, int, int]) -> np.ndarray:
        left, top, right, bottom = box
        return picture.pixels[top:bottom, left:right]

    return cut


def _shrunk(x: Explanation) -> Explanation:
    """The same explanation on a small picture, to draw small maps with."""
    height, width = x.picture.height, x.picture.width
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    across, down = size[0] / width, size[1] / height
    x0, y0, x1, y1 = x.fit.rect
    pixels = np.asarray(Image.fromarray(x.picture.pixels).resize(size, reducing_gap=2.0))
    return replace(
        x,
        picture=replace(x.picture, pixels=pixels),
        fit=replace(
            x.fit,
            picture_size=(size[1], size[0]),
            rect=(x0 * across, y0 * down, x1 * across, y1 * down),
        ),
    )


def _drawn(small: Explanation, stage: str, raw: np.ndarray) -> np.ndarray:
    """A cosine map over its picture, from its least value to its greatest."""
    span = float(raw.max() - raw.min())
    heat = (raw - raw.min()) / span if span > _TINY else np.zeros_like(raw)
    seen = None if small.fit.shows_all else small.visible
    drawn = small.on_picture(heat, small.placements[stage])
    return render.overlay(small.picture.pixels, drawn, opacity=0.6, visible=seen)


@lru_cache(maxsize=512)
def _encoded(pixels: bytes, height: int, width: int, text: str, name: str) -> str:
    drawn = compare_tab._picture(np.frombuffer(pixels, np.uint8).reshape(height, width, 3), text)
    return drawn.replace("<img ", f'<img class="{name}" title="{escape(text)}" loading="lazy" ')


def _picture(pixels: np.ndarray, text: str, name: str = "cv-patch") -> str:
    """An <img>; most of a tab's are the same as a moment ago."""
    height, width = pixels.shape[:2]
    return _encoded(np.ascontiguousarray(pixels).tobytes(), height, width, text, name)


def _share(z: float) -> str:
    """A probability, with enough digits to be told from 0 and 1."""
    return "< 0.001" if z < 0.001 else "> 0.999" if z > 0.999 else f"{z:.3f}"


# -- Kin -----------------------------------------------------------------------------------------


def kin(
    ask: Ask, across: float, down: float, other: str | None = None
) -> tuple[Explanation, tuple[int, int]]:
    """How like every place is to one place of the picture, on every layer: cosines as `raw`.

    across, down: where, in percent of the picture. other: the path of a second picture, in which
    to look. Returns the pixel chosen too.
    """
    x = _every_layer(ask)
    column = min(int(across / 100 * x.picture.width), x.picture.width - 1)
    row = min(int(down / 100 * x.picture.height), x.picture.height - 1)
    shown = x
    if other is not None:
        shown = _every_layer(replace(ask, picture=other, target=TOP, versus=NOBODY))
    raw, notes = {}, {}
    for name in x.stages:
        there = None if other is None else shown
        raw[name] = engine().similarity(x, name, (column + 0.5, row + 0.5), there).raw
        highest, lowest = float(raw[name].max()), float(raw[name].min())
        empty = highest <= 0
        said = f"Cosines from {lowest:.2f} to {highest:.2f}."
        notes[name] = replace(
            shown.notes[name],
            empty=empty,
            zero_gradient=False,
            positive_share=None,
            denoising=None,
            sentences=("Empty: nothing here is like it.",) if empty else (said,),
        )
    return replace(shown, raw=raw, notes=notes, bank=None, cosines={}), (column, row)


def _every_layer(ask: Ask) -> Explanation:
    """All layers that are ticked, by a method that is defined at each."""
    return explain(ask, method="layer_cam")


SAYS = "How like each place is to the one ringed: the cosine of what the layer answers at both."
FORMULA = "S = Σ_k A_k · A_k(point) / (|A| |A(point)|)"


def _kin_payload(x: Explanation, title: str, marks: Mapping[str, tuple[int, int]]) -> Any:
    """One row: a map a layer, coarse to fine, each with its place ringed."""
    said = viewer.payload({"kin": x})
    (row,) = said["rows"]
    row |= {
        "title": title,
        "method": "Likeness.",
        "paper": "cosine similarity",
        "unit": "cosine",
        "says": SAYS,
        "formula": FORMULA,
        "symbols": "A: what the layer answers; k: the layer's channels.",
        "panels": [panel for panel in row["panels"] if panel["key"] != "fused"],
    }
    for panel in row["panels"]:
        column, line = marks[panel["key"]]
        raw = x.raw[panel["key"]]
        panel["ring"] = [column, line]
        panel["remarks"] = []
        panel["facts"] = [*panel["facts"], f"cosine {raw.min():.2f} to {raw.max():.2f}"]
        panel["alt"] = (
            f"{title}: what {panel['key']} holds to be like the place chosen. Ringed: column "
            f"{column}, row {line}"
        )
    return said


def _kin_here(ask: Ask, across: float, down: float) -> dict[str, Any]:
    x, point = kin(ask, across, down)
    said = _kin_payload(x, "In this picture", dict.fromkeys(x.stages, point))
    return {"kin here": said | {"pick": PICK}}


def _kin_there(ask: Ask, across: float, down: float, picture: Any) -> dict[str, Any]:
    """The same place's kin in a second picture, the nearest of each layer ringed."""
    if picture is None:
        return {"kin there": viewer.payload({})}
    try:
        x, _ = kin(ask, across, down, api.uploaded(picture))
    except CamvizError as error:  # it is the second picture's: the first stays
        return {"kin there": viewer.payload({"kin": sentence(error)})}
    small = _shrunk(x)
    scale = x.picture.width / small.picture.width, x.picture.height / small.picture.height
    marks = {}
    for name, raw in x.raw.items():
        drawn = small.on_picture(raw, x.placements[name])
        line, column = np.unravel_index(int(drawn.argmax()), drawn.shape)
        marks[name] = int((column + 0.5) * scale[0]), int((line + 0.5) * scale[1])
    said = _kin_payload(x, "In the second picture", marks)
    said["rows"][0]["says"] = "How like each place is to the one chosen; the nearest is ringed."
    return {"kin there": said | {"follows": "kin-here"}}


# -- On the page ---------------------------------------------------------------------------------

# Switches and names that come and go; the one in use stays in focus when the cards are new.
CARDS = """
let last = null
element.addEventListener('focusin', event => { last = event.target.dataset.key ?? null })
element.addEventListener('change', event => {
  const card = event.target.closest('.cv-card')
  if (!card) return
  const index = +card.dataset.index
  if (event.target.type === 'checkbox') {
    card.dataset.kept = +event.target.checked
    card.querySelector('.cv-keep span').textContent = event.target.checked ? 'kept' : 'left out'
    trigger('select', {index, value: 'keep', selected: event.target.checked})
  } else trigger('select', {index, value: 'name:' + event.target.value, selected: true})
})
element.addEventListener('keydown', event => {
  if (event.key === 'Enter' && event.target.matches('.cv-name')) event.target.blur()
})
watch('value', () => {
  // A switch that was touched no longer follows its attribute.
  for (const input of element.querySelectorAll('.cv-keep input'))
    input.checked = input.closest('.cv-card').dataset.kept === '1'
  if (last && (!document.activeElement || document.activeElement === document.body))
    element.querySelector(`[data-key="${last}"]`)?.focus({preventScroll: true})
})"""
CLICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('button')
  if (button) trigger('select', {index: 0, value: button.dataset.label, selected: true})
})"""
# As a link, and not by gr.DownloadButton, which forgets a file that is not said last.
SAVE = "watch('value', () => element.querySelector('a')?.click())"


def build() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["proto said"] = gr.HTML(elem_id="proto-said")
    made["proto map"] = Viewer(elem_id="proto-map")
    with gr.Row(elem_id="proto-tools"):
        made["proto stage"] = gr.Radio(
            [],
            label="Layer",
            info="whose prototypes stand on the cards",
            elem_id="proto-stage",
            interactive=True,
        )
        made["proto aggregate"] = gr.Radio(
            list(AGGREGATES),
            value="mean",
            label="One map of many",
            info="in this tab; Compare takes the mean",
            elem_id="proto-aggregate",
        )
        with gr.Row(elem_id="proto-deeds"):
            made["proto reset"] = gr.Button(
                "Back to the automatic choice", size="sm", interactive=False, elem_id="proto-reset"
            )
            made["proto save"] = gr.Button("Save prototypes", size="sm", elem_id="proto-save")
            made["proto load"] = gr.UploadButton(
                "Load prototypes", size="sm", file_types=[".safetensors"], elem_id="proto-load"
            )
    made["proto file"] = gr.HTML(elem_id="proto-file", js_on_load=SAVE)
    made["proto legend"] = gr.HTML(elem_id="proto-legend")
    made["proto cards"] = gr.HTML(elem_id="proto-cards", js_on_load=CARDS)
    made |= _gallery()
    gr.HTML(
        '<h2 id="kin">Point to kin</h2><p>Choose a place in the picture, and see on every layer '
        "what the network holds to be alike: shallow layers compare colours and edges, deep ones "
        "what a thing is. The class has no say in it.</p>",
        elem_classes="cv-proto-lead",
    )
    with gr.Row(elem_id="kin-point"):
        made["kin across"] = gr.Slider(
            0, 100, CENTRE, step=0.1, label="Across", info="percent, from the left", buttons=[]
        )
        made["kin down"] = gr.Slider(
            0, 100, CENTRE, step=0.1, label="Down", info="percent, from the top", buttons=[]
        )
    made["kin here"] = Viewer(elem_id="kin-here")
    gr.HTML(
        "<h3>Its kin in another picture</h3><p>Give one, or click an example.</p>",
        elem_classes="cv-proto-lead",
    )
    with gr.Row(elem_id="kin-second"):
        made["kin picture"] = gr.Image(
            label="Second picture",
            show_label=False,
            type="filepath",
            image_mode=None,
            sources=["upload", "clipboard"],
            buttons=[],
            alt_text="The picture in which kin is looked for",
            height=150,
            min_width=0,
            elem_id="kin-picture",
        )
        made["kin examples"] = gr.HTML(
            compare_tab.thumbnails(choices.examples_first_known()),
            elem_id="kin-examples",
            js_on_load=CLICK,
            min_width=0,
        )
    made["kin there"] = Viewer(elem_id="kin-there")
    return made


def _gallery() -> dict[str, Any]:
    """Pictures of the class, from which prototypes are learned."""
    made: dict[str, Any] = {}
    with gr.Accordion("Prototypes from pictures of your own", open=False, elem_id="gallery"):
        gr.HTML(
            "Give a few pictures of the class that is explained, five or more, and prototypes are "
            "learned from those; nobody else sees them.",
            elem_classes="cv-fine",
        )
        made["gallery"] = gr.File(
            label="Pictures of the class",
            file_count="multiple",
            file_types=["image"],
            height=130,
        )
        made["clusters"] = gr.Slider(
            1,
            MOST_CLUSTERS,
            CLUSTERS,
            step=1,
            label="How many of each kind",
            info="at most, a layer; the paper's is 12",
            elem_id="clusters",
            buttons=[],
        )
        with gr.Row():
            made["learn"] = gr.Button("Learn prototypes", variant="primary", size="sm")
            made["forget"] = gr.Button("Back to those without them", size="sm")
    return made


def wire(parts: Mapping[str, Any], asked: Sequence[Any], ask: Callable[..., Any]) -> None:
    prototypes = [parts["proto stage"], parts["proto aggregate"]]
    point = [parts["kin across"], parts["kin down"], parts["kin picture"]]
    for control in prototypes:
        ask(control.input, other_view, prototypes, doing=DOING)
    ask(parts["proto cards"].select, changed, prototypes, doing=DOING, clicked=True)
    ask(parts["proto reset"].click, automatic_choice, prototypes, doing=DOING)
    ask(parts["proto load"].upload, load, [parts["proto load"], *prototypes], doing=DOING)
    ask(parts["proto save"].click, save, doing=DOING)
    ask(parts["kin here"].select, picked, point[2:], doing=LOOKING, clicked=True)
    for control in point[:2]:
        ask(control.input, moved_to, point, doing=LOOKING)
    ask(parts["kin picture"].change, second_picture, point, doing=LOOKING)
    ask(parts["kin examples"].select, second_example, doing=LOOKING, clicked=True)
