"""A page that holds nothing but viewers, for test_viewing.py: python viewer_page.py FOLDER

FOLDER holds payloads as JSON. The radio buttons choose what the first viewer shows, and what the
server adds to the address bar (`LINKS`).
"""

import json
import sys
from pathlib import Path

import gradio as gr

from camviz.ui.events import hidden_value
from camviz.ui.viewer import Viewer, viewer_head
from tests.support.viewers import HOSTILE

LINKS = {
    "scene": {"backbone": "tiny", "class": "3"},
    "other": {"method": "grad_cam_pp"},
    "hostile": {"class": HOSTILE},
}
values = {path.stem: json.loads(path.read_text()) for path in sorted(Path(sys.argv[1]).iterdir())}

with gr.Blocks() as page:
    which = gr.Radio([*values, "nothing"], value="scene", label="Shown", elem_id="which")
    first = Viewer(values["scene"], elem_id="first")
    Viewer(values["alone"], elem_id="second")
    link = hidden_value("viewer-link.js", LINKS["scene"])
    which.change(
        lambda name: (values.get(name), LINKS.get(name, {})),
        which,
        [first, link],
        show_progress="hidden",
    )

if __name__ == "__main__":
    page.launch(
        quiet=True,
        head=viewer_head(),
        theme=gr.themes.Soft(font=["sans-serif"], font_mono=["monospace"]),
    )
