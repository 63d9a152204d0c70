"""Classes of one picture: two held against each other, the best ones on one scale, and all of them.

A is the class that the page explains, B the one that it is compared with or, until one is chosen,
the nearest one. Both are chosen where they are everywhere, on the left; the sheet does the same.
Where the head is linear the maps of all classes are sent at once, and following the pointer over
their names needs no server. Of very many classes the best are sent, and the others when they are
asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import numpy as np
from markupsafe import Markup

from camviz.defaults import FULL_OPACITY
from camviz.engine.explanation import Explanation
from camviz.errors import CamvizError, MethodError
from camviz.methods import METHODS
from camviz.ui import actions, contrast, html, service
from camviz.ui.compute import engine
from camviz.ui.contrast import TellingPart
from camviz.ui.given import LONGEST_NAME, read_text, read_whole
from camviz.ui.hidden import hidden_value
from camviz.ui.state import Controls, Selection, Session, Task, Unavailable, Update
from camviz.ui.tabs.base import Events
from camviz.ui.tiles import map_tile
from camviz.ui.viewer import (
    ClassList,
    Description,
    MapPanel,
    MapRow,
    PlacedMap,
    RawPanel,
    Viewer,
    Words,
    classes_of,
    held_maps,
    map_of,
    names_of,
    payload,
)

ID, GROUP, TITLE = "classes", "Compare", "Classes"
LABEL = "Holding the classes against each other …"
READS_COVER = False
VIEWER = "classes-viewer"
NO_PICTURE = "Give a picture, and its classes are held against each other here."
ONE_CLASS = "This network knows one class only, so there is none to hold it against."
NO_CLASSES = "This network knows no classes, so there are none to hold against each other."
MARGIN = Words(
    "Where A and B are seen, each by itself, and what speaks at each place for one rather than the "
    "other: all layers together, before anything below zero is left out.",
    "D = mean_l (M_l / max |M_l|)",
    "M_l: the map of layer l for the score of A less that of B; B − A is the same with the other "
    "sign.",
)
RATHER = "The score that is explained is that of one class less that of the other."


@dataclass(frozen=True)
class Parts:
    """Its components. `every`: all classes; `every_heading`: what stands above them; `live`: what
    is told of those that were not sent.
    """

    heading: Any
    maps: Any
    sheet: Any
    every_heading: Any
    every: Any
    live: Any


@dataclass(frozen=True)
class Tile:
    """One class on the sheet: its picture, and the map that lies above it. role: "A", "B" or ""."""

    index: int
    label: str
    share: float
    role: str
    picture: str
    heat: str
    empty: bool


# -- The page's part -----------------------------------------------------------------------------


def build() -> Parts:
    return Parts(
        heading=gr.HTML(
            elem_id="classes-heading", elem_classes="cv-lead", js_on_load=html.script("click.js")
        ),
        maps=Viewer(elem_id=VIEWER, name="Maps of two classes"),
        sheet=gr.HTML(elem_id="classes-sheet", js_on_load=html.script("click.js")),
        every_heading=gr.HTML(elem_id="classes-every-heading", elem_classes="cv-lead"),
        every=ClassList(elem_id="classes-every"),
        live=hidden_value("classes/live.js"),
    )


def wire(parts: Parts, events: Events) -> None:
    """A class on the sheet or in the list is explained; on the sheet also compared with. Names and
    maps that the list was not sent are asked for.
    """
    events.on_change(parts.heading.select, actions.click_bar)
    events.on_change(parts.sheet.select, actions.click_bar)
    events.on_change(parts.every.select, choose)
    events.on_gesture(parts.every.input, answer, parts.live)


def choose(session: Session, selection: Selection) -> None:
    """A class was chosen in the list of all."""
    actions.choose_class(session, str(selection.value))


def answer(session: Session, data: Any) -> dict[str, Any]:
    """The map of a class, or some names, with the number of the question; or the problem, in a
    sentence. Read off what is held of the picture: the network does not run.
    """
    given: Mapping[str, Any] = data if isinstance(data, dict) else {}
    number = {"number": given.get("number")}
    try:
        maps = held_maps(read_text("key", given.get("key"), LONGEST_NAME))
        if "place" in given:
            return number | map_of(maps, read_whole("place", given["place"]))
        text = read_text("text", given.get("text"), LONGEST_NAME)
        return number | names_of(maps, text, read_whole("start", given.get("start")))
    except CamvizError as error:
        return number | {"problem": html.sentence(error)}


# -- What stands in it ---------------------------------------------------------------------------


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """Two classes; then the sheet, which may take a backward pass a class, and all classes."""
    if controls.picture is None or controls.backbone.name is None:
        yield Update(tab=_empty(NO_PICTURE))
        return
    if not service.load(controls.backbone).has_classes:
        yield Update(tab=_empty(NO_CLASSES))
        return
    x = service.explain(controls)
    rival = contrast.rival_of(x)
    settled = contrast.settled(controls)
    one = contrast.alone(settled, contrast.class_of(x))
    if rival is None:
        yield Update(tab=_empty(ONE_CLASS))
    else:
        others = len(x.request.references)
        yield Update(tab=two_classes(settled, one, contrast.alone(settled, rival), others))
    best = contrast.best_classes(one)
    found = []
    for number, (index, *_) in enumerate(best):
        task.report(number, len(best))
        found.append(one if index == one.target else contrast.alone(settled, index))
    tiles = sheet(found, contrast.class_of(one), rival, contrast.replaced(controls))
    yield Update(tab={"sheet": tiles, **every_class(one)})


def _empty(reason: str) -> dict[str, Any]:
    """Everything, where there are no two classes: a sentence."""
    maps = payload({"none": Unavailable(reason)})
    return {"heading": "", "maps": maps, "sheet": "", "every_heading": "", "every": None}


# -- Two classes ---------------------------------------------------------------------------------


def two_classes(
    controls: Controls, one: Explanation, other: Explanation, others: int = 0
) -> dict[str, Any]:
    """The maps of two classes and of what tells them apart, and what is said of them.

    one, other: each alone. others: how many classes are compared with.
    """
    first, second = contrast.class_of(one), contrast.class_of(other)
    part = contrast.telling_part(one, second)
    pairs = ((first, second), (second, first))
    rather = [contrast.rather(controls, *pair) for pair in pairs]
    margin = contrast.margin(controls, first, second)
    truth = dict(service.truth_of(one) or {})
    if part is not None:
        truth[part.title] = part.mask
    rows = {
        "alone": _row_of_pair((one, other), *margin),
        "rather": MapRow(
            "One rather than the other",
            rather[0],
            {
                "one": MapPanel(
                    rather[0], name=f"{one.label} rather than {other.label}", last=False
                ),
                "other": MapPanel(
                    rather[1], name=f"{other.label} rather than {one.label}", last=False
                ),
            },
            summary=RATHER,
        ),
    }
    return {
        "heading": _heading(one, other, others, rather, part),
        "maps": payload(rows, truth=truth, outline=None if part is None else part.title),
    }


def _row_of_pair(
    pair: tuple[Explanation, Explanation], difference: Explanation, heat: PlacedMap
) -> MapRow:
    """A, B, A − B and B − A side by side; heat: A − B, of which B − A is the negative."""
    one, other = pair
    alone = METHODS[one.request.method]
    linear = METHODS[difference.request.method]
    panels: dict[str, MapPanel | RawPanel] = {
        "one": MapPanel(one, name=f"A: {one.label}", shares=True, last=False),
        "other": MapPanel(other, name=f"B: {other.label}", shares=True, last=False),
    }
    back = replace(heat, raw=-heat.raw)
    panels["less"] = _signed_panel("A − B", one, other, heat, linear.label)
    panels["back"] = _signed_panel("B − A", other, one, back, linear.label)
    paper = f"{alone.paper}; differences by {linear.label}, {linear.paper}"
    return MapRow("A and B", Description(alone.label, paper, MARGIN), panels)


def _signed_panel(
    name: str, x: Explanation, y: Explanation, heat: PlacedMap, method: str
) -> RawPanel:
    nothing = () if np.any(heat.raw) else (f"Empty: nothing here tells {x.label} from {y.label}.",)
    return RawPanel(
        heat,
        name,
        alt=f"What speaks for {x.label} rather than {y.label}",
        facts=(method, f"{x.label} less {y.label}"),
        warnings=nothing,
        ends=(y.label, x.label),
        top=1.0,
        label=x.label,
        network=x.backbone.display_name,
    )


def _heading(
    one: Explanation,
    other: Explanation,
    others: int,
    rather: Sequence[Explanation],
    part: TellingPart | None,
) -> Markup:
    """Whether two classes are seen at one place, and what lies on the telling part."""
    on_part, against = None, other.label
    if part is not None:
        special = one.label == part.label
        against = other.label if special else one.label
        alone, contrasted = (one, rather[0]) if special else (other, rather[1])
        on_part = (part.share(alone), part.share(contrasted))
    return html.render(
        "classes.html",
        one=one.label,
        other=other.label,
        others=others,
        found=contrast.overlap(one, other),
        part=part,
        on_part=on_part,
        against=against,
        gamma=rather[0].request.gamma,
        untrained=not one.backbone.weights.trained,
    )


# -- The sheet -----------------------------------------------------------------------------------


def sheet(
    found: Sequence[Explanation], target: int, rival: int | None, instead: str | None
) -> Markup:
    """The maps of several classes on one scale; each is a button that makes it the explained one.

    instead: the method that was chosen, where another is shown.
    """
    first = found[0]
    share = {index: probability for index, _, probability in first.predictions}
    role = {target: "A", rival: "B"}
    tiles = []
    for x, heat in zip(found, contrast.on_one_scale(found), strict=True):
        layers = map_tile(x, heat, x.fused_grid[1])
        index = contrast.class_of(x)
        name = role.get(index, "")
        tiles.append(Tile(index, x.label, share[index], name, *layers, not heat.any()))
    return html.render(
        "class-sheet.html",
        tiles=tiles,
        method=METHODS[first.request.method].label,
        instead=None if instead is None else METHODS[instead],
        several=len(first.stages) > 1,
        opacity=FULL_OPACITY,
    )


# -- All classes ---------------------------------------------------------------------------------


def every_class(x: Explanation) -> dict[str, Any]:
    """The list of all classes with their maps, or why it cannot be had."""
    try:
        maps = engine().class_maps(x)
    except MethodError as error:
        reason = html.sentence(error)
        return {"every_heading": html.render("class-list.html", reason=reason), "every": None}
    value = classes_of(x, maps, VIEWER)
    heading = html.render(
        "class-list.html",
        reason=None,
        kind=maps.kind,
        shown=len(value.labels),
        known=value.known,
        grid=value.grid,
    )
    return {"every_heading": heading, "every": value.to_json()}
