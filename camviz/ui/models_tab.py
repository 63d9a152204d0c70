"""One picture, two to four backbones side by side."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from camviz.ui.compare_tab import Ask, View

ID, TITLE = "models", "Models"
DOING = "Looking at the picture …"
PARTS: tuple[str, ...] = ("models said",)
INPUTS: tuple[str, ...] = ()


def build() -> dict[str, Any]:
    return {"models said": gr.HTML(elem_id="models-said")}


def show(ask: Ask) -> Iterator[View]:
    yield View(None, tab={"models said": str(ask.backbone)})


def wire(parts: Mapping[str, Any], asked: Sequence[Any], ask: Callable[..., Any]) -> None:
    pass
