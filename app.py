"""Builds the page and launches it; nothing else. Address and port are gradio's own settings:
GRADIO_SERVER_NAME and GRADIO_SERVER_PORT. On shared cores one thread is faster than two."""

import os

from camviz.ui import build_app, launch_options

# isort: split
import torch

if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("CAMVIZ_THREADS", "1")))
    build_app().launch(**launch_options())
