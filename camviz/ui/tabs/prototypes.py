"""Prototypes to see, name, keep or drop; and, for any place, the similar ones on every layer."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gradio as gr

from camviz.errors import MethodError, PrototypeError, StageError
from camviz.examples import example
from camviz.methods.activation import Aggregate
from camviz.prototypes.bank import CLUSTERS
from camviz.prototypes.prototype import MOST_CLUSTERS
from camviz.ui import choices, html, service
from camviz.ui.given import read_place
from camviz.ui.gradio_compat import served_path
from camviz.ui.layers import layer_choice
from camviz.ui.state import Controls, Enabled, Menu, Selection, Session, Task, Update
from camviz.ui.tabs import prototype_actions as actions
from camviz.ui.tabs import prototype_cards as cards
from camviz.ui.tabs import similarity
from camviz.ui.tabs.base import Action, Events
from camviz.ui.thumbnails import thumbnails
from camviz.ui.viewer import Viewer, payload

ID, GROUP, TITLE = actions.ID, "Parts", "Prototypes"
LABEL = "Looking for prototypes …"
READS_COVER = False
NO_PICTURE = "There is no picture yet; give one, and its prototypes are shown here."
AGGREGATES: tuple[tuple[str, Aggregate], ...] = (
    ("the mean of all kept (the paper's)", "mean"),
    ("the nearest of all kept", "max"),
)
CENTRE = 50.0  # percent, where the point stands at first
LEAD = ["cv-lead", "cv-proto-lead"]


@dataclass(frozen=True)
class Parts:
    """The components of the tab: prototypes, the gallery to learn from, similar places."""

    introduction: Any
    maps: Any
    stage: Any
    aggregate: Any
    reset: Any
    save: Any
    load: Any
    file: Any
    legend: Any
    cards: Any
    gallery: Any
    clusters: Any
    learn: Any
    forget: Any
    across: Any
    down: Any
    here: Any
    second_picture: Any
    examples: Any
    there: Any


# -- What is shown -------------------------------------------------------------------------------


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The prototypes of the class explained, and the places similar to the point chosen."""
    if controls.picture is None:
        yield Update(tab=_without_prototypes(NO_PICTURE))
        return
    stage, aggregate = session.get(ID, "stage"), session.get(ID, "aggregate", "mean")
    try:
        yield Update(tab=_prototypes(controls, stage, aggregate))
    except (PrototypeError, MethodError, StageError) as error:
        yield Update(tab=_without_prototypes(html.sentence(error)))
    across, down = session.get(ID, "across", CENTRE), session.get(ID, "down", CENTRE)
    here, moved = similarity.in_this_picture(controls, across, down), _controls_to_move(session)
    yield Update(tab={"here": here, **moved}, mirror=moved)
    second = session.get(ID, "second_picture")
    yield Update(tab={"there": similarity.in_second_picture(controls, across, down, second)})


def _without_prototypes(text: str) -> dict[str, Any]:
    blank = payload({})
    return {
        "introduction": html.render("fine.html", text=text),
        "maps": blank,
        "stage": Menu(None, visible=False),
        "legend": "",
        "cards": "",
        "reset": Enabled(False),
        "here": blank,
        "there": blank,
    }


@lru_cache(maxsize=8)
def _prototypes(controls: Controls, stage: str | None, aggregate: Aggregate) -> dict[str, Any]:
    """Everything about prototypes, by the names of the parts that show it.

    Cached, for it is the same while a point is moved about.
    """
    x = actions.similarity_to_bank(controls, aggregate)
    name, bank = actions.stage_shown(x, stage), x.bank
    assert bank is not None
    grids = {n: x.notes[n].grid for n in reversed(x.stages)}
    return {
        "introduction": cards.introduction(x),
        "maps": payload({service.PROTOTYPES: x}),
        "stage": Menu(
            name, [(layer_choice(x.backbone, n, g), n) for n, g in grids.items()], visible=True
        ),
        "legend": cards.legend(bank, name),
        "cards": cards.cards(x, name),
        "reset": Enabled(actions.is_edited(bank)),
    }


# -- The point and the second picture ------------------------------------------------------------


def pick(session: Session, selection: Selection) -> None:
    """A place of the picture was clicked; the sliders will show where it is."""
    path = session.controls.picture
    if path is None:
        return
    picture = service.picture_at(path)
    x, y = read_place("a place of the picture", selection.value, picture.width, picture.height)
    with session.lock:
        session.set(ID, "across", 100 * (x + 0.5) / picture.width)
        session.set(ID, "down", 100 * (y + 0.5) / picture.height)


def choose_example(session: Session, selection: Selection) -> None:
    """An example as the second picture, a copy among the uploads like any other."""
    session.set(ID, "second_picture", served_path(str(example(str(selection.value)).path)))


def _set(name: str) -> Action:
    """An action that keeps what a control shows; `_controls_to_move` leaves that one alone."""

    def set_value(session: Session, value: Any) -> None:
        with session.lock:
            session.mirror[name] = value
            session.set(ID, name, value)

    return set_value


def _controls_to_move(session: Session) -> dict[str, Any]:
    """The sliders and the second picture as far as they show something else than what is set."""
    values = {
        "across": round(session.get(ID, "across", CENTRE), 1),
        "down": round(session.get(ID, "down", CENTRE), 1),
        "second_picture": session.get(ID, "second_picture"),
    }
    return {name: value for name, value in values.items() if session.differs(name, value)}


# -- On the page ---------------------------------------------------------------------------------


def build() -> Parts:
    made = _build_prototypes() | _build_gallery() | _build_similarity()
    return Parts(**made)


def _build_prototypes() -> dict[str, Any]:
    made: dict[str, Any] = {
        "introduction": gr.HTML(elem_id="proto-introduction", elem_classes="cv-lead"),
        "maps": Viewer(elem_id="proto-map"),
    }
    with gr.Row(elem_id="proto-tools"):
        made["stage"] = gr.Radio(
            [],
            label="Layer",
            info="whose prototypes stand on the cards",
            elem_id="proto-stage",
            interactive=True,
        )
        made["aggregate"] = gr.Radio(
            list(AGGREGATES),
            value="mean",
            label="One map of many",
            info="in this view; Look takes the mean",
            elem_id="proto-aggregate",
        )
        with gr.Row(elem_id="proto-actions"):
            made["reset"] = gr.Button(
                "Back to the automatic choice", size="sm", interactive=False, elem_id="proto-reset"
            )
            made["save"] = gr.Button("Save prototypes", size="sm", elem_id="proto-save")
            made["load"] = gr.UploadButton(
                "Load prototypes", size="sm", file_types=[".safetensors"], elem_id="proto-load"
            )
    made["file"] = gr.HTML(elem_id="proto-file", js_on_load=html.script("click-link.js"))
    made["legend"] = gr.HTML(elem_id="proto-legend")
    made["cards"] = gr.HTML(elem_id="proto-cards", js_on_load=html.script("prototype-cards.js"))
    return made


def _build_gallery() -> dict[str, Any]:
    """Pictures of the class, from which prototypes are learned."""
    made: dict[str, Any] = {}
    with gr.Accordion("Prototypes from pictures of your own", open=False, elem_id="gallery"):
        gr.HTML(html.render("prototypes-gallery.html"), elem_classes="cv-fine")
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


def _build_similarity() -> dict[str, Any]:
    """A point, and two pictures in which similar places are looked for."""
    made: dict[str, Any] = {}
    gr.HTML(html.render("prototypes-similar.html"), elem_classes=LEAD)
    with gr.Row(elem_id="similar-point"):
        made["across"] = gr.Slider(
            0, 100, CENTRE, step=0.1, label="Across", info="percent, from the left", buttons=[]
        )
        made["down"] = gr.Slider(
            0, 100, CENTRE, step=0.1, label="Down", info="percent, from the top", buttons=[]
        )
    made["here"] = Viewer(elem_id=similarity.HERE, name="Similar places")
    gr.HTML(html.render("prototypes-second.html"), elem_classes=LEAD)
    with gr.Row(elem_id="similar-second"):
        made["second_picture"] = gr.Image(
            label="Second picture",
            show_label=False,
            type="filepath",
            image_mode=None,
            sources=["upload", "clipboard"],
            buttons=[],
            alt_text="The picture in which similar places are looked for",
            height=150,
            min_width=0,
            elem_id="similar-picture",
        )
        made["examples"] = gr.HTML(
            thumbnails(choices.examples_first_known()),
            elem_id="similar-examples",
            js_on_load=html.script("click.js"),
            min_width=0,
        )
    made["there"] = Viewer(elem_id="similar-there", name="Similar places in another picture")
    return made


def wire(parts: Parts, events: Events) -> None:
    """Keep what is set in the tab, and connect what changes the bank and the point."""
    events.keep(parts.stage, "stage")
    events.keep(parts.aggregate, "aggregate")
    events.on_change(parts.cards.select, actions.edit)
    events.on_change(parts.reset.click, actions.reset)
    events.on_work(parts.save.click, actions.save, LABEL)
    events.on_work(parts.load.upload, actions.load, LABEL, parts.load)
    events.on_work(parts.learn.click, actions.learn, LABEL, parts.gallery, parts.clusters)
    events.on_change(parts.forget.click, actions.forget)
    events.on_change(parts.here.select, pick)
    events.on_change(parts.across.input, _set("across"), parts.across)
    events.on_change(parts.down.input, _set("down"), parts.down)
    # Not `input`: on a picture that is taken away it still carries the one before.
    second = parts.second_picture
    events.on_change(second.change, _set("second_picture"), second)
    events.on_change(parts.examples.select, choose_example)
