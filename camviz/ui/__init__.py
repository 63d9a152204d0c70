"""The page. Nothing about a visitor or a picture leaves this machine."""

import os

# Both are read when gradio and huggingface_hub are first imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from camviz.ui.page import build_app, launch_options
from camviz.ui.server import serve

__all__ = ["build_app", "launch_options", "serve"]
