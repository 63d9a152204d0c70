"""The viewer as a component of the page.

    maps = Viewer(elem_id="maps")
    button.click(lambda: payload({"layercam": x}), None, maps)
    maps.select(choose)          # a place was clicked; only where `payload(pick=...)` says so

value     a `Payload`, or what its `to_json` gives; None: no maps yet
select    `gr.SelectData` with value [x, y], in pixels of the picture
settings  what a visitor does to the maps (`camviz.defaults.VIEWER_SETTINGS`) stays in the browser,
          in the address bar where the payload has a `link`; viewers with `follows` share it

In the browser it is the element <map-viewer>, whose own interface stands at the top of
assets/web/viewer/map-viewer.js. All colours are the theme's.
"""

import json
from typing import Any

import gradio as gr

from camviz.ui.viewer.schema import Payload
from camviz.ui.viewer.source import configuration, inline, markup, style


def Viewer(value: Payload | dict[str, Any] | None = None, **options: Any) -> gr.HTML:
    """The component. options: those of `gr.HTML`.

    Not a subclass: gradio writes a .pyi file beside the module of every one, on import.
    """
    # Not as props: gradio loses them in a tab that has not been opened.
    given = json.dumps(configuration().to_json(), separators=(",", ":"))
    return gr.HTML(
        value.to_json() if isinstance(value, Payload) else value,
        html_template=markup(),
        css_template=style(),
        js_on_load=f'"use strict";\nconst CONFIGURATION = {given};\n{inline("viewer/gradio.js")}',
        apply_default_css=False,
        **options,
    )
