"""A picture to mark on: where a visitor thinks that a network looked, and then where it did.

    canvas = GuessCanvas(elem_id="guess-canvas")      # its value: Marking(...)
    canvas.select(press)       # {"guess": a mask as text} or {"next": True}, with the number

In the browser it is <guess-canvas>, in assets/web/guess, whose own interface stands at the top of
guess-canvas.js. Until a guess was made it is given the picture and nothing of any map.
"""

from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from camviz.ui import html


@dataclass(frozen=True)
class Mark:
    """An area that is outlined once the guess was made. kind: "guess", "map" or "truth".

    mask: as `camviz.maps.runs.write_mask` writes it.
    """

    kind: str
    name: str
    mask: str


@dataclass(frozen=True, kw_only=True)
class Marking:
    """Everything that <guess-canvas> shows.

    `number`: of the picture in its round. `picture`: a data URL; `width`, `height`: of the raster
    that is marked. `most`: the largest share of the picture that a guess may have. `marks`: what is
    outlined; none until the guess was made. `done`: whether it was. `next`: what the button says
    then, "" for no button.
    """

    number: int
    picture: str
    width: int
    height: int
    most: float
    done: bool = False
    marks: tuple[Mark, ...] = ()
    next: str = ""

    def to_json(self) -> dict[str, Any]:
        """The same in values that JSON knows."""
        return asdict(self)


def GuessCanvas(**options: Any) -> gr.HTML:
    """The component. options: those of `gr.HTML`."""
    return gr.HTML(
        None,
        html_template=html.script("guess/guess-canvas.html"),
        js_on_load=html.script("guess/gradio.js"),
        **options,
    )
