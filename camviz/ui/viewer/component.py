"""The viewer as a component of the page.

    maps = Viewer(elem_id="maps")
    page.launch(head=viewer_head())
    button.click(lambda: payload({"layercam": x}), None, maps)
    maps.select(choose)          # a place was clicked; only where `payload(pick=...)` says so

value     a `Payload`, or what its `to_json` gives; None: no maps yet
select    `gr.SelectData` with value [x, y], in pixels of the picture
settings  what a visitor does to the maps (`camviz.defaults.VIEWER_SETTINGS`) stays in the browser,
          in the address bar where the payload is `linked`, beside the value of a hidden component
          with the script viewer-link.js; viewers with `follows` share it

In the browser it is the element <map-viewer>, whose own interface stands at the top of
assets/web/viewer/map-viewer.js. All colours are the theme's.
"""

import json
from typing import Any

import gradio as gr

from camviz.ui import html
from camviz.ui.viewer.schema import Payload
from camviz.ui.viewer.source import configuration, inline, markup, style

# The elements that the page has, by their modules in assets/web.
MODULES = (
    "viewer/map-viewer.js",
    "classes/class-list.js",
    "collection/run-collection.js",
    "cover/cover-canvas.js",
    "curves/curve-plots.js",
    "guess/guess-canvas.js",
    "camera/live-camera.js",
    "present/projector.js",
    "sanity/map-slider.js",
    "steps/story-walk.js",
    "teach/frame-camera.js",
)


def Viewer(
    value: Payload | dict[str, Any] | None = None, name: str = "Maps", **options: Any
) -> gr.HTML:
    """The component. options: those of `gr.HTML`.

    name: what is read out of it; no other viewer of the same view has it.

    Not a subclass: gradio writes a .pyi file beside the module of every one, on import.
    """
    return gr.HTML(
        value.to_json() if isinstance(value, Payload) else value,
        html_template=markup(name),
        css_template=style(),
        js_on_load=html.script("viewer/gradio.js"),
        apply_default_css=False,
        **options,
    )


def viewer_head() -> str:
    """What the head of a page needs, once for all viewers in it: the element's script."""
    given = json.dumps(configuration().to_json(), separators=(",", ":"))
    lines = (
        "<script>(() => {",
        '"use strict";',
        f"window.mapViewerConfiguration = {given};",
        inline(*MODULES),
        "define();",
        "defineClassList();",
        "defineRunCollection();",
        "defineCoverCanvas();",
        "defineCurvePlots();",
        "defineGuessCanvas();",
        "defineLiveCamera();",
        "listenForProjector();",
        "defineMapSlider();",
        "defineStoryWalk();",
        "defineFrameCamera();",
        "})();</script>",
    )
    return "\n".join(lines)
