"""A stop that loses nothing: what is under way ends, what is new is refused with a sentence."""

import time
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from camviz.ui import html
from camviz.ui.gradio_compat import running, unsent, waiting

RESTARTING = "The server is being restarted; please try again in a moment."
AGAIN = 5  # seconds after which a browser tries again
TICK = 0.05  # seconds between two looks at what is under way
_ENDING = ("/cancel", "/reset")  # posts that end work


class Stopping:
    """Whether a server is stopping, and how many responses are under way, streams left out."""

    def __init__(self) -> None:
        self.has_begun = False
        self.under_way = 0  # changed by the thread of the server's loop alone

    def begin(self) -> None:
        """Refuse new requests from now on."""
        self.has_begun = True


class RefuseWhenStopping:
    """Refuses pages and whatever is posted once the server is stopping; streams and files go on."""

    def __init__(self, app: Any, stopping: Stopping) -> None:
        self.app, self.stopping = app, stopping

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif self.stopping.has_begun and _begins_work(scope):
            await refusal(scope)(scope, receive, send)
        else:
            await self._count(scope, receive, send)

    async def _count(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Respond, and count the response while it is under way, unless it is a stream."""
        counted = 1
        self.stopping.under_way += counted

        async def sending(message: dict[str, Any]) -> None:
            nonlocal counted
            if message["type"] == "http.response.start":
                kind = Headers(raw=message["headers"]).get("content-type", "")
                if counted and kind.startswith("text/event-stream"):
                    self.stopping.under_way -= counted
                    counted = 0
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            self.stopping.under_way -= counted


def _begins_work(scope: MutableMapping[str, Any]) -> bool:
    path = scope["path"].rstrip("/")
    if scope["method"] == "POST":
        return not path.endswith(_ENDING)
    return scope["method"] == "GET" and path == scope.get("root_path", "").rstrip("/")


def refusal(scope: MutableMapping[str, Any]) -> Response:
    """503 with the sentence: a page that opens itself again for a browser, JSON for a program."""
    headers = {"Retry-After": str(AGAIN), "Cache-Control": "no-store"}
    if "text/html" in Request(scope).headers.get("accept", ""):
        page = html.render("restarting.html", text=RESTARTING, seconds=AGAIN)
        return HTMLResponse(page, 503, headers)
    return JSONResponse({"detail": RESTARTING, "restarting": True}, 503, headers)


def wait_until_idle(app: Any, stopping: Stopping, seconds: float) -> bool:
    """Wait until no event runs or waits and browsers have their answers; False: it took too long.

    app: gradio's application.
    """
    deadline, quiet = time.monotonic() + seconds, 0
    while quiet < 5:  # the end of one event may be the beginning of the next message
        if time.monotonic() > deadline:
            return False
        time.sleep(TICK)
        busy = running(app) or waiting(app) or unsent(app) or stopping.under_way
        quiet = 0 if busy else quiet + 1
    return True
