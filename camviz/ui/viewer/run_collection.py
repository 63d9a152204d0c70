"""All pictures of a run with their maps: a contact sheet whose tiles come as they are seen.

    sheet = RunCollection(elem_id="collection-sheet")     # its value: RunValue(...).to_json()
    sheet.select(choose)      # a picture is to be opened: its number is the value
    sheet.input(tell)         # tiles or groups are asked for, with the number of the question

In the browser it is <run-collection>, in assets/web/collection.
"""

from typing import Any

import gradio as gr

from camviz.ui import html


def RunCollection(**options: Any) -> gr.HTML:
    """The component. options: those of `gr.HTML`."""
    return gr.HTML(
        None,
        html_template=html.script("collection/run-collection.html"),
        js_on_load=html.script("collection/gradio.js"),
        **options,
    )


def collection_style() -> str:
    """Its rules, which have to be nested in those of something around it."""
    return html.script("collection/collection.css")
