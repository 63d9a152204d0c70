"""Prototypes to see, name, keep or drop, and any place's kin."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from camviz.ui.compare_tab import Ask, View

ID, TITLE = "prototypes", "Prototypes"
DOING = "Looking at the picture …"
PARTS: tuple[str, ...] = ("prototypes said",)
INPUTS: tuple[str, ...] = ()


def build() -> dict[str, Any]:
    return {"prototypes said": gr.HTML(elem_id="prototypes-said")}


def show(ask: Ask) -> Iterator[View]:
    yield View(None, tab={"prototypes said": str(ask.backbone)})


def wire(parts: Mapping[str, Any], asked: Sequence[Any], ask: Callable[..., Any]) -> None:
    pass
