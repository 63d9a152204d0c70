"""All pictures: the strip of what was uploaded, and one chosen map of everything on one sheet.

A visitor may give up to `MOST` pictures. What is held of them are paths of uploads; everything
else (digest, thumbnail, what the network says) is looked up by path, and remembered.
"""

import base64
import io
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from camviz.engine.cache import LRUCache
from camviz.engine.explanation import Explanation
from camviz.errors import CamvizError, ImageError
from camviz.images import Picture, open_picture
from camviz.maps import render
from camviz.network.backbone import Backbone
from camviz.ui import links, viewer
from camviz.ui.compare_tab import (
    NOBODY,
    ROWS,
    TOP,
    Ask,
    View,
    explain,
    network,
    new_picture,
    nothing,
    notice_html,
    progress_html,
    row_of,
    said_html,
)

ID, TITLE = "pictures", "All pictures"
DOING = "Looking at the pictures …"
PARTS: tuple[str, ...] = ("sheet", "sheet panel")
INPUTS: tuple[str, ...] = ("sheet row", "sheet panel", "sheet class", "sheet order")

MOST = 32  # pictures that are held at once
SMALL, TILE = 96, 320  # pixels of the longer side: in the strip, on the sheet
FUSED = "fused"
OWN, SAME = "own", "same"
GIVEN, CONFIDENCE, NAME = "given", "confidence", "name"
CLASSES = (("its own top one", OWN), ("the same for all", SAME))
ORDERS = (("as given", GIVEN), ("most certain first", CONFIDENCE), ("by name", NAME))
PANELS = (("all layers, fused", FUSED),)


@dataclass(frozen=True)
class Thumbnail:
    """What is known of an upload without asking a network: an <img> source and its size."""

    name: str
    digest: str
    src: str
    width: int
    height: int


@dataclass(frozen=True)
class Tile:
    """One map on the sheet: the picture (hatched where it was not shown) and the map above it.

    `share`: the probability of the class explained, None where `said` says why there is no map.
    """

    label: str
    share: float | None
    picture: str
    heat: str
    said: str


# Of any visitor: what was said of a picture by a network, and the tiles last made.
_answers: LRUCache[tuple[str, float]] = LRUCache(4096)
_tiles: LRUCache[Tile] = LRUCache(256)


# -- Pictures that come and go -------------------------------------------------------------------


def added(
    ask: Ask, files: Sequence[str], report: Callable[[int, int], None] = lambda done, of: None
) -> Iterator[View]:
    """More pictures. What cannot be opened is named and skipped; the first new one is shown.

    files: paths of uploads. An upload that is on the page already comes before them, and what is
    given twice is held once. report(done, of) is called before every file and at the
    end. Raises `ImageError` if there is nothing to add.
    """
    if not files:
        raise ImageError("no pictures were given; choose some")
    held = {thumbnail(path).digest: path for path in present(ask)[0]}
    first: str | None = None
    skipped, over = list[str](), list[str]()
    for number, path in enumerate(files):
        report(number, len(files))
        try:
            digest = thumbnail(path).digest
        except ImageError as error:
            skipped.append(str(error))
            continue
        if digest not in held and len(held) >= MOST:
            over.append(Path(path).name)
            continue
        kept = held.setdefault(digest, path)
        first = first or kept
    report(len(files), len(files))
    said = skipped
    if over:
        said.append(f"{MOST} pictures are the most; left out: {_listed(over)}")
    if first is None:
        raise ImageError(f"none of them could be added. {'; '.join(said)}")
    notice = notice_html(f"Skipped. {'; '.join(said)}.") if said else ""
    pictures = tuple(held.values())
    yield from _shown(replace(ask, pictures=pictures), first, notice)


def present(ask: Ask) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(pictures that are held, or the one upload on the page; names of those deleted since)."""
    pictures = ask.pictures
    if not pictures and ask.picture is not None and not _is_example(ask.picture):
        pictures = (ask.picture,)
    found = tuple(path for path in pictures if Path(path).is_file())
    return found, tuple(Path(path).name for path in pictures if path not in found)


def _is_example(path: str) -> bool:
    try:
        return links.example_of(thumbnail(path).digest) is not None
    except ImageError:
        return True  # nothing that could be held


def clicked(ask: Ask, deed: str, keep: bool = False) -> Iterator[View]:
    """What a button of the strip or the sheet asks for: show, drop, or clear all.

    deed: "show:DIGEST", "drop:DIGEST" or "clear". keep: the class that is explained stays. A
    picture that is held no longer is ignored: somebody was quicker than the page.
    """
    kind, _, digest = deed.partition(":")
    if kind == "clear":
        yield from _shown(replace(ask, pictures=()), ask.picture)
        return
    pictures = {thumbnail(path).digest: path for path in present(ask)[0]}
    if digest not in pictures:
        return
    if kind == "show":
        if keep:
            ask = replace(ask, target=_same(ask, tuple(pictures.values())))
        yield from _shown(ask, pictures[digest], keep=keep)
    elif kind == "drop":
        order = list(pictures)
        at = order.index(digest)
        del pictures[digest]
        left = list(pictures.values())
        shown = ask.picture
        if digest == ask.shown:  # the next one takes its place
            shown = left[min(at, len(left) - 1)] if left else None
        yield from _shown(replace(ask, pictures=tuple(left)), shown)


def _shown(ask: Ask, path: str | None, notice: str = "", keep: bool = False) -> Iterator[View]:
    """These pictures are held, and that one is looked at, if it is another than before."""
    held: dict[str, Any] = {"pictures": ask.pictures}
    if path is None:
        empty = nothing(ask)
        held |= empty.held or {}
        yield replace(empty, notice=notice, held=held, tab={"picture": None})
        return
    if not keep and thumbnail(path).digest == ask.shown:
        yield View(notice, held=held, strip=_strip_now(ask, path))
        return
    wanted = replace(ask, picture=path, shown=None)
    picture: str | None = path
    yield View(notice, held=held, strip=_strip_now(ask, path))
    for view in new_picture(wanted, keep):
        yield replace(view, notice=None, held={**held, **(view.held or {})}, picture=picture)
        picture = None


@lru_cache(maxsize=512)
def thumbnail(path: str) -> Thumbnail:
    """A picture small enough for the strip. Raises `ImageError` for what is no picture."""
    picture = open_picture(path)
    small = _small(picture.pixels, SMALL)
    height, width = small.shape[:2]
    return Thumbnail(picture.name, picture.digest, _webp(small), width, height)


# -- The strip -----------------------------------------------------------------------------------


def strip(ask: Ask) -> Iterator[View]:
    """Thumbnails of all pictures, each with what the network says, as soon as that is known.

    Pictures whose uploads were deleted meanwhile are named and given up.
    """
    found, gone = present(ask)
    if gone and ask.pictures:
        ask = replace(ask, pictures=found)
        said = f"Uploads are deleted after a while; these are gone: {_listed(gone)}."
        yield View(said_html(said), held={"pictures": found})
    if len(ask.pictures) < 2:
        yield View(None, strip="")
        return
    if ask.backbone is None:
        yield View(None, strip=strip_html(ask, {}))
        return
    backbone = network(ask)
    known = {path: _answers.get(_asked(ask, backbone, path)) for path in found}
    missing = [path for path, answer in known.items() if answer is None]
    yield View(None, strip=strip_html(ask, known))
    for path in missing:
        done = len(known) - sum(answer is None for answer in known.values())
        yield View(None, progress=_progress(done, len(known)))
        known[path] = _answer(ask, backbone, path)
        yield View(None, strip=strip_html(ask, known))
    if missing:
        yield View(None, progress="")


def _strip_now(ask: Ask, path: str) -> str:
    """The strip without waiting for anything, that picture pressed."""
    if len(ask.pictures) < 2:
        return ""
    ask = replace(ask, shown=thumbnail(path).digest)
    if ask.backbone is None:
        return strip_html(ask, {})
    backbone = network(ask)
    return strip_html(ask, {p: _answers.get(_asked(ask, backbone, p)) for p in ask.pictures})


def _progress(done: int, of: int) -> str:
    return progress_html(f"Picture {done + 1} of {of} …", done / of)


def _asked(ask: Ask, backbone: Backbone, path: str) -> Hashable:
    return (path, backbone.uid, ask.fit)


def _answer(ask: Ask, backbone: Backbone, path: str) -> tuple[str, float]:
    """(label, probability) of the top class. The pass that it takes is the one for its maps."""
    x = explain(replace(ask, picture=path, target=TOP, versus=NOBODY))
    _, label, share = x.predictions[0]
    return _answers.put(_asked(ask, backbone, path), (label, share))


def strip_html(ask: Ask, known: Mapping[str, tuple[str, float] | None]) -> str:
    """The strip: a button a picture, the one shown pressed, and one beside it that removes it."""
    cells = "".join(_cell(ask, path, known.get(path)) for path in ask.pictures)
    count = len(ask.pictures)
    return (
        '<div class="cv-strip" role="group" aria-label="Your pictures"><div class="cv-strip-head">'
        f"<p><strong>{count} pictures</strong> of at most {MOST}. Click one to see its maps.</p>"
        f'<button type="button" data-label="clear">Remove all</button></div>'
        f"<ol>{cells}</ol></div>"
    )


def _cell(ask: Ask, path: str, answer: tuple[str, float] | None) -> str:
    small = thumbnail(path)
    label, share = ("…", "") if answer is None else (escape(answer[0]), _percent(answer[1]))
    name, pressed = escape(small.name), str(small.digest == ask.shown).lower()
    said = f"{name}: {label} {share}".strip()
    return (
        f'<li><button type="button" class="cv-pick" data-label="show:{small.digest}" '
        f'aria-pressed="{pressed}" title="{said}" aria-label="{said}">'
        f'<img src="{small.src}" width="{small.width}" height="{small.height}" alt="">'
        f"<span>{label}</span><span>{share}</span></button>"
        f'<button type="button" class="cv-drop" data-label="drop:{small.digest}" '
        f'title="Remove {name}" aria-label="Remove {name}">×</button></li>'
    )


# -- The sheet -----------------------------------------------------------------------------------


def build() -> dict[str, Any]:
    made: dict[str, Any] = {}
    with gr.Row(elem_id="sheet-controls"):
        made["sheet row"] = _menu("Maps", [(viewer.TITLES[key], key) for key in ROWS], ROWS[0])
        made["sheet panel"] = _menu("Of", list(PANELS), FUSED)
        made["sheet class"] = _menu("Class explained", list(CLASSES), OWN)
        made["sheet order"] = _menu("Order", list(ORDERS), GIVEN)
    made["sheet"] = gr.HTML(EMPTY, elem_id="sheet", js_on_load=SHEET_JS)
    return made


def _menu(label: str, choices: list[tuple[str, str]], value: str) -> gr.Dropdown:
    return gr.Dropdown(
        choices, value=value, label=label, interactive=True, filterable=False, min_width=150
    )


EMPTY = (
    '<div class="cv-sheet-empty"><p><strong>Here you see all of your pictures at once.</strong></p>'
    "<p>Give two or more with “Add pictures” beside the picture on the left, up to "
    f"{MOST}. Each is shown with the same map, so that you see at a glance where the network looks "
    "every time, and where it does not.</p></div>"
)


def show(ask: Ask, row: str, panel: str, explained: str, order: str) -> Iterator[View]:
    """The same map of every picture. Made one after the other; what is known already is not."""
    row = row if row in ROWS else ROWS[0]
    panel = panel if panel in ask.stages and len(ask.stages) > 1 else FUSED
    layers = [(name, name) for name in reversed(ask.stages)] if len(ask.stages) > 1 else []
    menu = gr.update(choices=[*PANELS, *layers], value=panel)
    pictures, _ = present(ask)
    if len(pictures) < 2 or ask.backbone is None:
        yield View(None, tab={"sheet": EMPTY, "sheet panel": menu})
        return
    backbone = network(ask)
    target = _same(ask, pictures) if explained == SAME else TOP
    versus = ask.versus if explained == SAME and ask.versus != target else NOBODY
    ask = replace(ask, target=target, versus=versus)
    tiles: dict[str, Tile] = {}
    busy = False
    for number, path in enumerate(pictures):
        key = _tile_key(ask, backbone, path, row, panel)
        tile = _tiles.get(key)
        if tile is None:
            busy = True
            yield View(None, progress=_progress(number, len(pictures)))
            tile = _tile(replace(ask, picture=path), row, panel)
            _tiles.put(key, tile)
        tiles[path] = tile
    if order == CONFIDENCE:
        tiles = dict(sorted(tiles.items(), key=lambda item: -(item[1].share or 0.0)))
    elif order == NAME:
        tiles = dict(sorted(tiles.items(), key=lambda item: _natural(item[0])))
    said = {"sheet": sheet_html(ask, tiles, row, panel, explained), "sheet panel": menu}
    yield View(None, tab=said, progress="" if busy else None)


def _same(ask: Ask, pictures: Sequence[str]) -> str:
    """The class that all are asked about: the one chosen, else the top one of the picture shown."""
    if ask.target != TOP:
        return ask.target
    path = ask.picture if ask.picture is not None else pictures[0]
    return explain(replace(ask, picture=path, versus=NOBODY)).label


def _natural(path: str) -> tuple[str, str]:
    name = thumbnail(path).name
    return name.casefold(), name


def _tile_key(ask: Ask, backbone: Backbone, path: str, row: str, panel: str) -> Hashable:
    bank = None if ask.bank is None else ask.bank.id
    plain = replace(ask.question, picture=path, bank=None)
    return (plain, backbone.uid, bank, row, panel)


def _tile(ask: Ask, row: str, panel: str) -> Tile:
    """One picture with one map; a sentence in the place of a map that cannot be had."""
    picture = thumbnail(ask.picture or "")
    try:
        plain, x = explain(ask), row_of(ask, row)
    except CamvizError as error:
        return Tile("", None, picture.src, "", str(error))
    share = next(p for index, _, p in plain.predictions if index == plain.target)
    if not isinstance(x, Explanation):
        return Tile(plain.label, share, picture.src, "", x)
    # A row may have no map of a layer that others have: prototypes are of the coarser ones.
    if panel != FUSED and panel not in x.stages:
        return Tile(plain.label, share, picture.src, "", f"There is no map of {panel} here.")
    heat = x.fused if panel == FUSED else x.maps[panel]
    said = "" if heat.any() else "Empty: nothing here speaks for this class."
    return Tile(plain.label, share, *_layers(x.picture, heat, x.visible), said)


def _layers(picture: Picture, heat: np.ndarray, seen: np.ndarray) -> tuple[str, str]:
    """The picture and, apart from it, its coloured map: how much covers it, the browser decides."""
    small = _small(picture.pixels, TILE)
    size = small.shape[1::-1]
    level = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BOX))
    hidden = None
    if not seen.all():
        hidden = np.asarray(Image.fromarray(seen).resize(size, Image.Resampling.NEAREST))
    ground = render.overlay(small, level, opacity=0, visible=hidden)
    colors = render.colorize(level)
    if hidden is not None:
        alpha = np.where(hidden, 255, 0).astype(np.uint8)
        colors = np.dstack([colors, alpha])
    return _webp(ground), _webp(colors)


def sheet_html(ask: Ask, tiles: Mapping[str, Tile], row: str, panel: str, explained: str) -> str:
    """The sheet: one button a picture, under it what is explained and how probable that is."""
    what = "all layers, fused" if panel == FUSED else f"layer {escape(panel)}"
    if explained == OWN:
        of = "Each picture is explained for <strong>its own top class</strong>."
    else:
        of = f"All pictures are explained for <strong>{escape(ask.target)}</strong>"
        of += "" if ask.versus == NOBODY else f" rather than {escape(ask.versus)}"
        of += ", whatever the network says of them."
    cells = "".join(_figure(path, tile, path == ask.picture) for path, tile in tiles.items())
    return (
        f'<div class="cv-sheet" style="--cover: 0.55"><div class="cv-sheet-head">'
        f"<p><strong>{viewer.TITLES[row]}</strong>, {what}, of {len(tiles)} pictures. {of} "
        "Every map has its own maximum; click one to see it large.</p>"
        '<label>Opacity <input type="range" min="0" max="1" step="0.01" value="0.55"></label>'
        f"</div><ol>{cells}</ol></div>"
    )


def _figure(path: str, tile: Tile, shown: bool) -> str:
    small = thumbnail(path)
    name, label = escape(small.name), escape(tile.label)
    share = "" if tile.share is None else _percent(tile.share)
    heat = f'<img class="cv-heat" src="{tile.heat}" alt="">' if tile.heat else ""
    said = f'<span class="cv-why">{escape(tile.said)}</span>' if tile.said else ""
    return (
        f'<li><button type="button" data-label="show:{small.digest}" aria-label="{name}: {label} '
        f'{share}. Show it large" title="{name}"><span class="cv-tile">'
        f'<img src="{tile.picture}" alt="">{heat}</span>'
        f'<span class="cv-what"><b>{label}</b> <span>{share}</span></span>'
        f'<span class="cv-file">{name}</span>{said}</button></li>'
    )


def wire(parts: Mapping[str, Any], asked: Sequence[Any], ask: Callable[..., Any]) -> None:
    """The page itself wires strip and sheet: both change what is shown on every tab."""


# -- In the browser ------------------------------------------------------------------------------

# A click anywhere on a button is told; the button has the focus again when all were made anew.
STRIP_JS = """
let last = ''
element.addEventListener('click', event => {
  const button = event.target.closest('button')
  if (!button) return
  last = button.dataset.label
  if (last.startsWith('show:') && document.querySelector('#sheet')?.offsetParent) {
    const tab = document.querySelector('#tabs [role=tab]')
    tab?.click()
    tab?.focus({preventScroll: true})
    last = ''
    document.querySelector('#tabs')?.scrollIntoView({block: 'nearest'})
  }
  if (button.matches('.cv-pick')) {
    for (const other of element.querySelectorAll('.cv-pick')) {
      other.setAttribute('aria-pressed', other === button)
    }
  }
  trigger('select', {index: 0, value: button.dataset.label, selected: false})
})
element.addEventListener('focusin', event => {
  last = event.target.closest('button')?.dataset.label || last
})
element.addEventListener('focusout', event => { if (event.relatedTarget) last = '' })
element.addEventListener('keydown', event => {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key]
  const all = [...element.querySelectorAll('.cv-pick, .cv-sheet li > button')]
  const at = all.indexOf(event.target.closest('button'))
  if (!step || at < 0) return
  all[(at + step + all.length) % all.length].focus()
  event.preventDefault()
})
watch('value', () => setTimeout(() => {
  const shown = element.querySelector('[aria-pressed=true]')?.parentElement
  const list = shown?.parentElement
  if (list) {
    const [from, to] = [shown.offsetLeft - list.offsetLeft, list.clientWidth - shown.offsetWidth]
    list.scrollLeft = Math.max(0, from - to / 2)
  }
  if (!last || document.activeElement !== document.body) return
  const again = element.querySelector(`[data-label="${CSS.escape(last)}"]`)
  again?.focus({preventScroll: true})
}))
"""
SHEET_JS = (
    STRIP_JS
    + """
let cover = '0.55'
const cast = () => {
  element.querySelector('.cv-sheet')?.style.setProperty('--cover', cover)
  const knob = element.querySelector('input[type=range]')
  if (knob) knob.value = cover
}
element.addEventListener('input', event => {
  if (event.target.type === 'range') { cover = event.target.value; cast() }
})
watch('value', () => setTimeout(cast))
"""
)


# -- Small things --------------------------------------------------------------------------------


def _small(pixels: np.ndarray, side: int) -> np.ndarray:
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), reducing_gap=2.0)
    return np.asarray(image)


def _webp(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=82, method=0)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _percent(share: float) -> str:
    return "< 0.1%" if share < 0.001 else f"{share:.1%}"
