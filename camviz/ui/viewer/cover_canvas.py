"""A picture to paint on: what of it is covered, and what the network says then.

    canvas = CoverCanvas(elem_id="cover-canvas")      # its value: Painting(...).to_json()
    canvas.select(choose)      # a stroke ended, or a button was pressed: the covering is the value
    canvas.input(glance)       # while the brush moves: the same, with the number of the question

In the browser it is <cover-canvas>, in assets/web/cover, whose own interface stands at the top of
cover-canvas.js. The picture is that of a viewer on the same page.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from camviz.ui import html


@dataclass(frozen=True)
class PaintedPart:
    """A part of a thing that can be taken out by a press. mask: on the raster, as text."""

    id: str
    of: str
    name: str
    mask: str


@dataclass(frozen=True, kw_only=True)
class Painting:
    """Everything that <cover-canvas> shows.

    `picture`: what tells it from others; `follows`: the id of the viewer whose picture is used.
    `width`, `height`: of the raster. `kinds`: name -> (label, summary) of each cover. `kind`,
    `painted`, `hottest`, `others`, `out`: what is covered, as `Covering`; what is taken from the
    map is painted, too. `covered`: the covered picture as a data URL, "" for none. `bars`: as
    `Bar.to_json`. `logits`: the target's before and after. `says`: what stands in place of bars.
    """

    picture: str
    follows: str
    width: int
    height: int
    kinds: Mapping[str, tuple[str, str]]
    kind: str
    painted: str
    hottest: int | None
    others: bool
    out: tuple[str, ...]
    parts: tuple[PaintedPart, ...]
    covered: str
    bars: tuple[Mapping[str, Any], ...]
    logits: tuple[float, float] | None
    says: str

    def to_json(self) -> dict[str, Any]:
        """The same in values that JSON knows."""
        return asdict(self)


def CoverCanvas(**options: Any) -> gr.HTML:
    """The component. options: those of `gr.HTML`."""
    return gr.HTML(
        None,
        html_template=html.script("cover/cover-canvas.html"),
        js_on_load=html.script("cover/gradio.js"),
        **options,
    )
