"""Sanity: the map while a copy of the network is made random, from its head down.

All maps are sent at once: the slider that goes through them needs no server. What takes longer than
a moment waits for a click, which tells how long it will take.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from markupsafe import Markup

from camviz.engine.explanation import Explanation
from camviz.engine.sanity import DRAWS, SAME, UNRELATED, Sanity, SanityStep
from camviz.errors import CamvizError
from camviz.methods import METHODS
from camviz.ui import html, on_request, sanity_plot, service
from camviz.ui.compute import engine
from camviz.ui.state import Controls, Selection, Session, Task, Unavailable, Update
from camviz.ui.tabs.base import Events
from camviz.ui.viewer import (
    Description,
    MapRow,
    MapSlider,
    PlacedMap,
    RawPanel,
    Steps,
    Viewer,
    Words,
    payload,
)
from camviz.ui.viewer.convert import scene_of
from camviz.ui.viewer.encode import encode_map

ID, GROUP, TITLE = "sanity", "Test", "Sanity"
LABEL = "Making a copy of the network random …"
READS_COVER = False
VIEWER, PLOT = "sanity-viewer", "sanity-plot"
NO_PICTURE = "Give a picture, and its map is put to the test here."
SEED = "seed"  # of the weights that a visitor of this view asked for
WORDS = Words(
    "The map of a copy of the network, of which one block more is random each time, from the head "
    "down.",
    "ρ = cov(r, r_0) / (σ(r) σ(r_0))",
    "r: the ranks of the map's cells; r_0: those of the map of the network as it is.",
)


@dataclass(frozen=True)
class Parts:
    """Its components."""

    heading: Any
    slider: Any
    plot: Any
    maps: Any


def build() -> Parts:
    heading = gr.HTML(
        elem_id="sanity-heading", elem_classes="cv-lead", js_on_load=html.script("click.js")
    )
    with gr.Row(elem_id="sanity-cascade"):
        slider = MapSlider(elem_id="sanity-slider")
        plot = gr.HTML(elem_id=PLOT)
    return Parts(heading, slider, plot, Viewer(elem_id=VIEWER, name="Maps of random networks"))


def wire(parts: Parts, events: Events) -> None:
    """The button that begins what takes a while, and the one that draws other weights."""
    events.on_change(parts.heading.select, begin)


def begin(session: Session, selection: Selection) -> None:
    """ "go": make it random, for what is set now; "again": with other weights."""
    if selection.value == "again":
        session.set(ID, SEED, session.get(ID, SEED, 0) + DRAWS)
    on_request.ask_for(session, ID)


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The cascade, or what it would cost, or why there is none."""
    if controls.picture is None or controls.backbone.name is None:
        yield Update(tab=_without("", Unavailable(NO_PICTURE)))
        return
    x = service.explain(controls.with_options(views="one"), progress=task.report)
    try:
        seed = session.get(ID, SEED, 0)
        seconds = engine().sanity_price(x, seed=seed)
        if on_request.must_wait(session, ID, controls, seconds):
            yield Update(tab=_without(_asks(x, seconds)))
            return
        task.start(LABEL)
        found = engine().sanity(x, seed=seed, progress=task.report)
    except CamvizError as error:
        yield Update(tab=_without("", Unavailable(html.sentence(error))))
        return
    yield Update(tab=cascade(x, found, averaged=controls.options.views != "one"))


def _without(heading: Any, reason: Unavailable | None = None) -> dict[str, Any]:
    """The view without maps."""
    maps = payload({} if reason is None else {"none": reason})
    return {"heading": heading, "slider": None, "plot": "", "maps": maps}


def _asks(x: Explanation, seconds: float | None) -> Markup:
    return html.render(
        "sanity-form.html",
        backbone=x.backbone.display_name,
        method=METHODS[x.request.method].label,
        duration=service.duration(seconds),
    )


# -- What stands in it ---------------------------------------------------------------------------


def cascade(x: Explanation, found: Sanity, *, averaged: bool = False) -> dict[str, Any]:
    """Everything that there is to show."""
    return {
        "heading": heading(x, found, averaged=averaged),
        "slider": steps_of(found).to_json(),
        "plot": sanity_plot.figure(x, found),
        "maps": payload({"cascade": _row(x, found)}, truth=service.truth_of(x)),
    }


def heading(x: Explanation, found: Sanity, *, averaged: bool = False) -> Markup:
    """What is to be concluded, in two sentences."""
    changed = found.changed_at
    return html.render(
        "sanity.html",
        verdict=found.verdict,
        backbone=x.backbone.display_name,
        method=METHODS[x.request.method].label,
        label=x.label,
        conclusion=sanity_plot.conclusion(x, found),
        head=sanity_plot.head_of(x),
        untrained=not x.backbone.weights.trained,
        changed=changed,
        at_once=changed is found.random[0],
        chance=found.chance,
        draws=len(found.draws),
        rank=sanity_plot.rank_text,
        averaged=averaged,
    )


def steps_of(found: Sanity) -> Steps:
    """What the slider shows."""
    height, width = found.steps[0].heat.shape
    return Steps(
        scene=scene_of(found.fit),
        grid=(height, width),
        stride=found.placement.stride,
        offset=found.placement.offset,
        name="How much is random",
        labels=tuple(sanity_plot.label_of(step) for step in found.steps),
        texts=tuple(describe(step) for step in found.steps),
        data=encode_map(np.stack([step.heat for step in found.steps])),
        follows=VIEWER,
        marks=PLOT,
    )


def describe(step: SanityStep) -> str:
    """A step in a sentence or two."""
    says = f" It says {step.label}, {html.percent(step.share)}." if step.share is not None else ""
    if not step.name:
        return f"The network as it is.{says}"
    if step.rank is None:
        alike = "Nothing is left of the map"
    elif step.rank >= SAME:
        alike = f"The map looks the same ({sanity_plot.rank_text(step.rank)})"
    elif step.rank >= UNRELATED:
        alike = f"The map is somewhat like the first one ({sanity_plot.rank_text(step.rank)})"
    else:
        alike = f"The map is another one ({sanity_plot.rank_text(step.rank)})"
    return f"Random down to {step.name}. {alike}.{says}"


def _row(x: Explanation, found: Sanity) -> MapRow:
    method = METHODS[x.request.method]
    about = Description(method.label, "parameter randomisation, Adebayo et al. 2018", WORDS)
    panels = {f"step{i}": _panel(x, found, step) for i, step in enumerate(found.steps)}
    return MapRow("More and more random", about, panels)


def _panel(x: Explanation, found: Sanity, step: SanityStep) -> RawPanel:
    empty = ("Empty: no place is above zero.",) if step.empty else ()
    return RawPanel(
        PlacedMap(step.heat, found.placement, found.picture, found.fit),
        sanity_plot.label_of(step),
        alt=describe(step).removesuffix("."),  # what follows begins with a full stop
        facts=(f"rank correlation {sanity_plot.rank_text(step.rank)}",) if step.name else (),
        warnings=empty,
        notes=empty,
        label=x.label,
        network=x.backbone.display_name if not step.name else f"{x.backbone.display_name}, random",
    )
