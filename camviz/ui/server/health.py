"""/health: whether this server can answer, without asking a network."""

from typing import Any

from starlette.responses import JSONResponse

from camviz.errors import CamvizError
from camviz.ui import choices
from camviz.ui.compute import engine
from camviz.ui.gradio_compat import queue_works
from camviz.ui.server.stopping import Stopping


def health(app: Any, stopping: Stopping) -> JSONResponse:
    """200 and "ok", or 503 and what is amiss; nothing about this machine. app: gradio's."""
    wrong = amiss(app, stopping)
    return JSONResponse(
        {"status": wrong or "ok"}, 503 if wrong else 200, headers={"Cache-Control": "no-store"}
    )


def amiss(app: Any, stopping: Stopping) -> str:
    """What keeps this server from answering; empty if nothing does.

    The engine can be made, the network that visitors see first is among those offered, and events
    are taken from the queue.
    """
    if stopping.has_begun:
        return "stopping"
    if not queue_works(app):
        return "the queue is not running"
    try:
        engine()
        choices.lookup(choices.default_choice())
    except CamvizError:
        return "the network of this server cannot be had"
    return ""
