"""Collection: the pictures of a run, thousands of them, with their maps; sorted, and grouped.

Runs are those that the server's operator names, and an example. What is known of all pictures is
sent once, in figures; pictures and maps as they come to be seen, by gestures, beside all answers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from camviz.errors import BackboneError, CamvizError, DataError
from camviz.network.hub import needs_download
from camviz.ui import choices, collection, html, strip
from camviz.ui.hidden import hidden_value
from camviz.ui.state import (
    BackboneChoice,
    Controls,
    Menu,
    Selection,
    Session,
    Task,
    Update,
)
from camviz.ui.tabs.base import Events
from camviz.ui.viewer.run_collection import RunCollection

ID, GROUP, TITLE = "collection", "Compare", "Collection"
LABEL = "Opening the run …"
READS_COVER = False
KEY = ""  # ten views have one
RUN, OTHER, NOTHING = "run", "other", ""


@dataclass(frozen=True)
class Parts:
    """Its components. live: what is told of a few pictures."""

    heading: Any
    run: Any
    other: Any
    sheet: Any
    live: Any


def build() -> Parts:
    with gr.Row(elem_id="collection-runs"):
        run = gr.Dropdown([], label="Run", elem_id="collection-run", scale=0, min_width=220)
        other = gr.Dropdown(
            [], label="Compare with", elem_id="collection-other", scale=0, min_width=220
        )
    return Parts(
        heading=gr.HTML(elem_id="collection-heading", elem_classes="cv-lead"),
        run=run,
        other=other,
        sheet=RunCollection(elem_id="collection-sheet"),
        live=hidden_value("collection/live.js"),
    )


def wire(parts: Parts, events: Events) -> None:
    """A run is chosen, and one to compare it with; a picture is opened; tiles are asked for."""
    events.keep(parts.run, RUN)
    events.keep(parts.other, OTHER)
    events.on_change(parts.sheet.select, choose)
    events.on_gesture(parts.sheet.input, answer, parts.live)


def choose(session: Session, selection: Selection) -> None:
    """Show a picture of the run, for the class and with the network of the run, if it is here."""
    found = collection.opened(_chosen(session, RUN))
    place = selection.value
    if not isinstance(place, int):
        raise DataError(f"a picture of a run is a number, not '{place}'")
    file = collection.file_of(found, place)
    controls = session.controls
    backbone = _network(found.run.configuration.get("backbone"))
    with session.lock:
        if backbone is not None:
            session.chosen.add(backbone)
            controls = replace(controls, backbone=backbone)
        session.change(strip.show_picture(controls, str(file), found.labels[place] or None))


def _network(name: Any) -> BackboneChoice | None:
    """A run's network as a choice of the page; None if it is not on this machine."""
    try:
        found = choices.lookup(name)
        missing = found.source == "hub" and needs_download(found.load)
    except BackboneError:
        return None
    return None if missing else BackboneChoice(found.name)


def answer(session: Session, data: Any) -> dict[str, Any]:
    """Tiles of some pictures, or the groups of a class, with the number of the question; or the
    problem, in a sentence.
    """
    given: Mapping[str, Any] = data if isinstance(data, dict) else {}
    number = {"number": given.get("number")}
    try:
        return number | _answer(session, given)
    except CamvizError as error:
        return number | {"problem": html.sentence(error)}


def _answer(session: Session, given: Mapping[str, Any]) -> dict[str, Any]:
    found, other = _opened(session)
    if given.get("key") != collection.key_of(found, other):
        return {}  # asked of a run that is no longer chosen
    places, label, count = given.get("places"), given.get("label"), given.get("count")
    if isinstance(places, list):
        numbers = [place for place in places if isinstance(place, int)]
        return {"tiles": collection.tiles(found, numbers)}
    names = collection.run_value(found).names
    if isinstance(label, int) and isinstance(count, int) and 0 <= label < len(names):
        return {"groups": collection.groups(found, names[label], count)}
    return {}


def _chosen(session: Session, name: str) -> str:
    usual = next(iter(collection.runs())) if name == RUN else NOTHING
    return str(session.get(ID, name) or usual)


def _opened(session: Session) -> tuple[Any, Any]:
    """The run that is chosen, and the one that it is compared with, or None."""
    name, other = _chosen(session, RUN), _chosen(session, OTHER)
    found = collection.opened(name)
    return found, collection.opened(other) if other not in (NOTHING, name) else None


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The run that is chosen: what is known of all its pictures."""
    names = list(collection.runs())
    run, other = _chosen(session, RUN), _chosen(session, OTHER)
    menus = {
        "run": Menu(run, [(name, name) for name in names], visible=len(names) > 1),
        "other": Menu(
            other,
            [("no other run", NOTHING), *((name, name) for name in names if name != run)],
            visible=len(names) > 1,
        ),
    }
    yield Update(tab=menus)
    found, beside = _opened(session)
    heading = html.render(
        "collection.html",
        found=found,
        name=run,
        classes=len(set(found.labels)),
        configuration=found.run.configuration,
        example=run == collection.EXAMPLE_NAME,
    )
    yield Update(tab={"heading": heading, "sheet": collection.run_value(found, beside)})
