"""Components that are not seen."""

from typing import Any

import gradio as gr

from camviz.ui import html


def hidden_value(script: str = "", value: Any = None) -> gr.HTML:
    """A component that holds a value in the browser; a script of assets/web runs once, and may
    watch it.
    """
    load = {"js_on_load": html.script(script)} if script else {}
    return gr.HTML(value, html_template="<i hidden></i>", visible="hidden", **load)
