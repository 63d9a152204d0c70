"""The camera of a visitor's device, looked at by a network: a switch, and what is seen then.

    camera = LiveCamera(elem_id="camera")
    camera.input(live.look)      # a frame: {"number", "frame"}; the answer goes to CameraAnswer()

In the browser it is <live-camera>, in assets/web/camera, whose own interface stands at the top of
live-camera.js.
"""

from typing import Any

import gradio as gr

from camviz.ui import html
from camviz.ui.hidden import hidden_value


def LiveCamera(**options: Any) -> gr.HTML:
    """The component. options: those of `gr.HTML`."""
    return gr.HTML(
        None,
        html_template=html.script("camera/live-camera.html"),
        js_on_load=html.script("camera/gradio.js"),
        **options,
    )


def CameraAnswer() -> gr.HTML:
    """What comes of a frame; it is not seen."""
    return hidden_value("camera/live.js")
