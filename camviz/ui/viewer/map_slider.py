"""Maps of one picture in a row of steps: a slider whose maps the browser has already.

    slider = MapSlider(elem_id="sanity-slider")       # its value: Steps(...).to_json()

In the browser it is <map-slider>, in assets/web/sanity; the picture is that of a viewer on the same
page.
"""

from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from camviz.ui import html
from camviz.ui.viewer.schema import Scene


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Everything that <map-slider> shows.

    `scene`, `grid`, `stride`, `offset`: as of a `Panel`. `name`: of the slider. `labels`: of the
    steps; `texts`: a sentence each. `data`: base64 of the normalised maps, 0 .. 255, one after the
    other. `follows`: the id of the viewer whose picture and settings are used. `marks`: the id
    of an element in which whatever has data-step is marked while that step is shown.
    """

    scene: Scene
    grid: tuple[int, int]
    stride: tuple[float, float]
    offset: tuple[float, float]
    name: str
    labels: tuple[str, ...]
    texts: tuple[str, ...]
    data: str
    follows: str
    marks: str

    def to_json(self) -> dict[str, Any]:
        """The same in values that JSON knows."""
        return asdict(self)


def MapSlider(**options: Any) -> gr.HTML:
    """The component. options: those of `gr.HTML`."""
    return gr.HTML(
        None,
        html_template=html.script("sanity/map-slider.html"),
        js_on_load=html.script("sanity/gradio.js"),
        **options,
    )
