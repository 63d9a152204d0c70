"""All pictures: one chosen map of every picture that was given, on one sheet."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import gradio as gr
from markupsafe import Markup

from camviz.defaults import FULL_OPACITY, FUSED, REFINED
from camviz.engine.cache import LRUCache
from camviz.engine.explanation import Explanation
from camviz.engine.views import Progress
from camviz.engine.wording import wording
from camviz.errors import CamvizError
from camviz.methods import METHODS
from camviz.network.backbone import Backbone
from camviz.ui import html, service, strip
from camviz.ui.layers import layer_in_words, layer_name, place_of
from camviz.ui.state import NOBODY, TOP, Controls, Menu, Session, Task, Unavailable, Update
from camviz.ui.tabs.base import Events
from camviz.ui.tiles import map_tile
from camviz.ui.viewer import TITLES, title_of

ID, GROUP, TITLE = "pictures", "Compare", "All pictures"
LABEL = strip.LABEL
READS_COVER = False

OWN, SAME = "own", "same"
GIVEN, CONFIDENCE, NAME = "given", "confidence", "name"
PANELS = [("all layers, fused", FUSED), ("all layers, refined", REFINED)]
CLASSES = [("its own top one", OWN), ("the same for all", SAME)]
ORDERS = [("as given", GIVEN), ("most certain first", CONFIDENCE), ("by name", NAME)]


@dataclass(frozen=True)
class Parts:
    """Its components; all but the sheet are settings, kept under the same names."""

    row: gr.Dropdown
    panel: gr.Dropdown
    explained: gr.Dropdown
    order: gr.Dropdown
    sheet: gr.HTML


@dataclass(frozen=True)
class Tile:
    """One map on the sheet: the picture (hatched where it was not shown) and the map above it.

    `share`: the probability of the class explained; None if there is no map, as `note` explains.
    """

    label: str
    share: float | None
    picture: str
    heat: str = ""
    note: str = ""


# Of all visitors: the tiles that were made last.
_tiles: LRUCache[Tile] = LRUCache(256)


# -- The page's part -----------------------------------------------------------------------------


def build() -> Parts:
    with gr.Row(elem_id="sheet-controls"):
        row = _menu("Maps", [(TITLES[key], key) for key in service.ROWS], service.LAYERCAM)
        panel = _menu("Of", PANELS, FUSED)
        explained = _menu("Class explained", CLASSES, OWN, "sheet-class")
        order = _menu("Order", ORDERS, GIVEN)
    script = html.script("picture-strip.js") + html.script("picture-sheet.js")
    sheet = gr.HTML(_empty(), elem_id="sheet", js_on_load=script)
    return Parts(row, panel, explained, order, sheet)


def _menu(
    label: str, choices: list[tuple[str, str]], value: str, element: str | None = None
) -> gr.Dropdown:
    return gr.Dropdown(
        choices,
        value=value,
        label=label,
        interactive=True,
        filterable=False,
        min_width=150,
        elem_id=element,
    )


def wire(parts: Parts, events: Events) -> None:
    for name in ("row", "panel", "explained", "order"):
        events.keep(getattr(parts, name), name)
    events.on_change(parts.sheet.select, strip.click)


# -- The sheet -----------------------------------------------------------------------------------


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The same map of every picture, made one after the other; known tiles are not made again.

    A button of the sheet shows its picture large, for the class that the sheet explains: for that
    one of a sheet with the same class for all, whatever was chosen since.
    """
    rows = _rows(controls)
    row = session.get(ID, "row", service.LAYERCAM)
    row = row if row in rows else service.LAYERCAM
    stages = () if controls.backbone.name is None else service.stages_of(controls)
    stages = stages if len(stages) > 1 else ()
    panel = session.get(ID, "panel", FUSED)
    panels = PANELS if controls.options.refine != "none" else PANELS[:1]
    panel = panel if panel in (*stages, *(name for _, name in panels)) else FUSED
    menus = {
        "row": Menu(row, [(title, key) for key, title in rows.items()]),
        "panel": Menu(panel, [*panels, *_named(controls, stages)]),
    }
    pictures, _ = strip.present(controls)
    if len(pictures) < 2 or controls.backbone.name is None:
        yield Update(tab={"sheet": _empty(), **menus})
        return
    backbone = service.load(controls.backbone)
    same = session.get(ID, "explained", OWN) == SAME and backbone.has_classes
    target = _common_class(controls, pictures) if same else TOP
    controls = replace(controls, target=target, versus=controls.versus if same else NOBODY)
    if same:
        controls = service.without_itself(controls, backbone.target(target))
    tiles: dict[str, Tile] = {}
    busy = False
    for number, path in enumerate(pictures):
        key = _tile_key(controls, backbone, path, row, panel)
        tile = _tiles.get(key)
        if tile is None:
            busy = True
            yield strip.progress(task, number, len(pictures))
            part = task.part(number, len(pictures))
            tile = _tiles.put(key, _make_tile(controls.with_picture(path), row, panel, part))
        tiles[path] = tile
    order = session.get(ID, "order", GIVEN)
    if order == CONFIDENCE:
        tiles = dict(sorted(tiles.items(), key=lambda item: -(item[1].share or 0.0)))
    elif order == NAME:
        tiles = dict(sorted(tiles.items(), key=lambda item: _name_key(item[0])))
    sheet = html.render(
        "sheet.html",
        title=rows[row],
        of=next((label for label, name in PANELS if name == panel), f"layer {panel}"),
        tiles=[(strip.thumbnail(path), tile) for path, tile in tiles.items()],
        target=target if same else None,
        classes=backbone.has_classes,
        versus=service.versus_in_words(controls),
        opacity=FULL_OPACITY,
    )
    frame = {"progress": ""} if busy else {}
    yield Update(frame, {"sheet": sheet, **menus})


def _rows(controls: Controls) -> dict[str, str]:
    """The rows that a sheet may be of, by key, each with its title."""
    if controls.backbone.name is None:
        return {key: TITLES[key] for key in service.ROWS}
    method = service.method_of(controls)
    alone = METHODS[method].uses_head or METHODS[method].scoring is not None
    stages = 1 if alone else len(service.stages_of(controls))
    keys = service.rows_of(service.load(controls.backbone))
    return {key: title_of(key, method, stages) for key in keys}


def _named(controls: Controls, stages: Sequence[str]) -> list[tuple[str, str]]:
    """Stages as entries of the menu, deep ones first."""
    if not stages:
        return []
    backbone = service.load(controls.backbone)
    return [(f"{layer_name(backbone, name)} · {name}", name) for name in reversed(stages)]


def _empty() -> Markup:
    return html.render("sheet-empty.html", most=strip.MOST)


def _common_class(controls: Controls, pictures: Sequence[str]) -> str:
    """The class explained in all pictures: the one chosen, else the top one of that shown."""
    if controls.target != TOP:
        return controls.target
    path = controls.picture if controls.picture is not None else pictures[0]
    return service.classify(replace(controls, picture=path, versus=NOBODY)).label


def _name_key(path: str) -> tuple[str, str]:
    name = strip.thumbnail(path).name
    return name.casefold(), name


# -- Tiles ---------------------------------------------------------------------------------------


def _tile_key(controls: Controls, backbone: Backbone, path: str, row: str, panel: str) -> Hashable:
    bank = None if controls.bank is None else controls.bank.id
    plain = replace(controls, picture=path, bank=None, pictures=())
    return (plain, backbone.fingerprint, bank, row, panel)


def _make_tile(controls: Controls, row: str, panel: str, progress: Progress) -> Tile:
    """One picture with one map; a sentence in the place of a map that cannot be had."""
    picture = strip.thumbnail(controls.picture or "")
    try:
        plain, x = service.classify(controls), service.row(controls, row, progress)
    except CamvizError as error:
        return Tile("", None, picture.src, note=str(error))
    share = next((p for index, _, p in plain.predictions if index == plain.target), None)
    if isinstance(x, Unavailable):
        return Tile(plain.label, share, picture.src, note=x.reason)
    # A row may have no map of a layer that others have: prototypes are of the coarser ones.
    panel = next((name for name in x.stages if place_of(x, name) == panel), panel)
    if panel not in (*x.maps_of_all, *x.stages):
        note = f"There is no map of {layer_in_words(plain.backbone, panel)} here."
        return Tile(plain.label, share, picture.src, note=note)
    return _draw_tile(plain.label, share, x, panel)


def _draw_tile(label: str, share: float | None, x: Explanation, panel: str) -> Tile:
    heat, placement = x.grid(panel)
    note = "" if heat.any() else f"Empty: {wording(x.backbone.output).nothing}."
    return Tile(label, share, *map_tile(x, heat, placement), note)
