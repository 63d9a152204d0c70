"""What camviz adds to gradio's web application: routes, headers, and a sentence where one is due.

page.launch(**launch_options(), app_kwargs=application())
"""

from collections.abc import MutableMapping, Sequence
from typing import Any

from prometheus_client import Counter
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from camviz.environment import environment
from camviz.ui.gradio_compat import FILES, is_unused
from camviz.ui.hosting.records import REGISTRY, log_unexpected
from camviz.ui.server.figures import Exposition
from camviz.ui.server.headers import EVERY, SafetyHeaders
from camviz.ui.server.health import health
from camviz.ui.server.stopping import RefuseWhenStopping, Stopping

RESPONSES = Counter(
    "camviz_http_responses", "Responses over HTTP.", ("door", "status"), registry=REGISTRY
)
# What a path leads to, by what is in it; the first that fits.
DOORS = {
    "/gradio_api/upload": "upload",
    FILES: "file",
    "/gradio_api/mcp": "agents",
    "/gradio_api/queue": "event",
    "/gradio_api/call": "api",
    "/gradio_api/run": "event",
    "/gradio_api/heartbeat": "heartbeat",
    "/gradio_api": "other",
    "/assets": "asset",
    "/static": "asset",
    "/theme.css": "asset",
    "/health": "health",
    "/metrics": "metrics",
}


def application(
    stopping: Stopping | None = None,
    *,
    head: str = "",
    metrics: bool | None = None,
    within: Sequence[Middleware] = (),
    **options: Any,
) -> dict[str, Any]:
    """Arguments of gradio's application.

    stopping: says when nothing new is to be begun. head: what the browser puts into the head of the
    page. metrics: whether /metrics is open; None: CAMVIZ_METRICS decides. within: what a request
    passes after what is here. options: further arguments.
    """
    stopping = stopping or Stopping()
    exposition: list[Exposition] = []

    def show_health(request: Request) -> Response:
        return health(request.app, stopping)

    def show_metrics(request: Request) -> Response:
        if not exposition:
            exposition.append(Exposition(request.app))
        return Response(exposition[0].text(), media_type=exposition[0].content_type)

    routes = [Route("/health", show_health)]
    if environment().metrics if metrics is None else metrics:
        routes.append(Route("/metrics", show_metrics))
    return {
        "routes": routes,
        "middleware": [
            Middleware(SafetyHeaders, added=head.encode()),
            Middleware(CountResponses),
            Middleware(CloseUnused),
            Middleware(RefuseWhenStopping, stopping=stopping),
            *within,
        ],
        "exception_handlers": {Exception: show_unexpected},
        "openapi_url": None,
        **options,
    }


class CountResponses:
    """Counts responses by what their path leads to, never by the path itself."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def counting(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                RESPONSES.labels(door_of(scope["path"]), str(message["status"])).inc()
            await send(message)

        await self.app(scope, receive, counting)


def door_of(path: str) -> str:
    """What a path leads to, in one word."""
    return next((door for part, door in DOORS.items() if part in path), "page")


class CloseUnused:
    """Closes what gradio listens to and camviz has no use for."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        closed = scope["type"] == "http" and is_unused(scope["path"])
        answer = JSONResponse({"detail": "Not Found"}, 404) if closed else self.app
        await answer(scope, receive, send)


def show_unexpected(request: Request, error: Exception) -> Response:
    """500 with a sentence and the number under which the error is in the log."""
    return JSONResponse({"detail": log_unexpected(error, "a request")}, 500, headers=EVERY)
