"""The page as a server: run until it is told to stop, with health, figures, headers and a log."""

from camviz.ui.server.application import application
from camviz.ui.server.serve import serve
from camviz.ui.server.stopping import Stopping

__all__ = ["Stopping", "application", "serve"]
