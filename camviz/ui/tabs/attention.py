"""Attention: where the class token reads, in each head of each block, as a sheet of small maps."""

from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr
import numpy as np

from camviz.engine.attention_map import AttentionMaps
from camviz.engine.explanation import Explanation
from camviz.errors import CamvizError
from camviz.ui import html, service
from camviz.ui.compute import engine
from camviz.ui.layers import readers_in_words
from camviz.ui.state import Controls, Session, Task, Unavailable, Update
from camviz.ui.tabs.base import Events
from camviz.ui.viewer import MapRow, RawPanel, Viewer, payload
from camviz.ui.viewer.panels import Description, PlacedMap
from camviz.ui.viewer.schema import Words

ID, GROUP, TITLE = "attention", "Parts", "Attention"
LABEL = "Reading attention …"
READS_COVER = False
ENDS = ("reads little", "reads most")  # of the colour scale
MOST_BLOCKS = 12  # rows, the deepest; more maps than these are no longer quick to look through
OTHERS = "This view is for transformers: choose a ViT or a DeiT under Backbone, scenes-vit for one."
NO_PICTURE = "Give a picture, and the attention of each head is shown here."


@dataclass(frozen=True)
class Parts:
    """Its components."""

    heading: gr.HTML
    maps: gr.HTML


def build() -> Parts:
    return Parts(
        gr.HTML(elem_id="attention-heading", elem_classes="cv-lead"),
        Viewer(elem_id="attention-viewer"),
    )


def wire(parts: Parts, events: Events) -> None:
    """Nothing of its own: it follows the controls on the left."""


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """A row a block, a column a head; or why the network has none to show."""
    if controls.picture is None or controls.backbone.name is None:
        yield Update(tab={"heading": "", "maps": payload({ID: Unavailable(NO_PICTURE)})})
        return
    x = service.classify(controls)
    try:
        blocks = engine().attention(x)
    except CamvizError as error:
        yield Update(tab={"heading": "", "maps": payload({ID: _why_not(x, error)})})
        return
    rows = {
        maps.block: _row(x, maps, f"Block {number} of {len(blocks)}")
        for number, maps in enumerate(blocks.values(), 1)
    }
    rows = dict(list(reversed(rows.items()))[:MOST_BLOCKS])
    heading = html.render(
        "attention.html",
        readers=readers_in_words(x.backbone),
        shown=len(rows),
        blocks=len(blocks),
    )
    maps = payload(rows, truth=service.truth_of(x), dense=True, small=True)
    yield Update(tab={"heading": heading, "maps": maps})


def _why_not(x: Explanation, error: CamvizError) -> Unavailable:
    """What a network lacks, and what to choose instead."""
    found = x.backbone.discovery
    reason = f"There is nothing to show of {x.backbone.display_name}: {found.no_attention}."
    if found.attention is not None:  # but not what can be held in memory
        reason = html.sentence(error)
    return Unavailable(f"{reason} {OTHERS}")


def _row(x: Explanation, maps: AttentionMaps, title: str) -> MapRow:
    words = Words(
        f"What {maps.block} reads of each place, as shares of all that it reads.",
        "a_hj = mean_r α_hrj",
        "α: the attention of the block; h: the head; r: the tokens that the classifier reads; "
        "j: the place.",
    )
    about = Description("Attention", "", words, unit="attention", ends=ENDS)
    panels = {"mean": _panel(x, maps, "All heads", maps.mean, maps.elsewhere.mean())}
    for head, heat in enumerate(maps.heads):
        panels[f"head{head}"] = _panel(x, maps, f"Head {head + 1}", heat, maps.elsewhere[head])
    return MapRow(title, about, panels)


def _panel(
    x: Explanation, maps: AttentionMaps, name: str, heat: np.ndarray, elsewhere: float
) -> RawPanel:
    return RawPanel(
        PlacedMap(heat, maps.placement, maps.picture, maps.fit),
        name,
        alt=f"{name} of {maps.block}: {elsewhere:.0%} goes to no place",
        notes=(_share_of_places(1 - elsewhere),),
        network=x.backbone.display_name,
    )


def _share_of_places(share: float) -> str:
    rest = "" if share > 0.995 else ", the rest goes to tokens that are no place"
    return f"{share:.0%} of what is read is of places{rest}."
