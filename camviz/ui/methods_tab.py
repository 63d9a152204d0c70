"""Every method at every stage, from one trace: rows are methods, columns stages and fusions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from camviz.ui.compare_tab import Ask, View

ID, TITLE = "methods", "Methods × stages"
DOING = "Looking at the picture …"
PARTS: tuple[str, ...] = ("methods said",)
INPUTS: tuple[str, ...] = ()


def build() -> dict[str, Any]:
    return {"methods said": gr.HTML(elem_id="methods-said")}


def show(ask: Ask) -> Iterator[View]:
    yield View(None, tab={"methods said": str(ask.backbone)})


def wire(parts: Mapping[str, Any], asked: Sequence[Any], ask: Callable[..., Any]) -> None:
    pass
