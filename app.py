"""Builds the page and serves it; nothing else. Address and port are gradio's own settings:
GRADIO_SERVER_NAME and GRADIO_SERVER_PORT; every other setting is in docs/operating.md."""

import sys

from camviz.environment import exit_if_unreadable

if __name__ == "__main__":
    exit_if_unreadable()  # before gradio is imported, which reads its own
    from camviz.ui import build_app, launch_options, serve

    sys.exit(serve(build_app, launch_options))
