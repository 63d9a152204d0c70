"""What is looked at of a request before gradio has it, and what gradio trips over.

Of a request: how long its address is, and who sends it. One that is too long for gradio's own
client, which fetches the page from the server once more, would end in an error 500. The endpoint
for agents (MCP) is closed to pages of other sites: such a page would call it in the name of whoever
has it open (https://modelcontextprotocol.io, "Security Warning" of the streamable HTTP transport).
A browser says by Origin which page calls, programs send none; and a name that was made to point at
this machine (DNS rebinding) shows in Host.

Gradio's own routes end in an error 500 and a traceback for a call by names (/call/v2) that lacks an
argument or has an unknown one, for an event that the page does not have, and for an upload that is
no form of files. Not reported. Whoever sent it is told what was wrong.
"""

import ipaddress
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from camviz.environment import environment
from camviz.errors import shorten
from camviz.ui.sentences import public_sentence

LONGEST = 16_000  # characters of an address; those of the page have at most 4,000
CUT = "cut"  # the key of a link in place of one that was too long
AGENTS, CALLS, UPLOAD = "/gradio_api/mcp", "/gradio_api/call/", "/gradio_api/upload"
JOIN = "/gradio_api/queue/join"
NO_EVENT = "the page has no event of that number; reload it"
NO_FORM = "an upload is a form (multipart/form-data) with one or more files in its field 'files'"


class Entrance:
    """Answers what goes no further; everything else goes on to an ASGI application."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = refuse(scope)
        if refused is not None:
            await refused(scope, receive, send)
            return
        begun = False

        async def note(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, note)
        except Exception as error:
            answer = None if begun else explain_failure(scope["path"], error)
            if answer is None:
                raise
            await answer(scope, receive, send)


def explain_failure(path: str, error: Exception) -> Response | None:
    """The response to a request that gradio could not read; None if the fault is not the sender's.

    Its detail is a sentence, as that of gradio's own errors.
    """
    if isinstance(error, OSError):
        sentence, status = public_sentence(error), 507
    elif CALLS in path and isinstance(error, TypeError):
        sentence, status = shorten(str(error)), 422
    elif JOIN in path and isinstance(error, KeyError):
        sentence, status = NO_EVENT, 404
    elif path.endswith(UPLOAD) and isinstance(error, (TypeError, AttributeError, ValueError)):
        sentence, status = NO_FORM, 400
    else:
        sentence, status = None, 500
    return None if sentence is None else JSONResponse({"detail": sentence}, status_code=status)


def refuse(scope: MutableMapping[str, Any]) -> Response | None:
    """The response to a request that goes no further; None for all others."""
    path, query = scope["path"], scope.get("query_string", b"")
    if len(path) + len(query) > LONGEST:
        if path.rstrip("/") == scope.get("root_path", "").rstrip("/"):
            return RedirectResponse(f"?{CUT}=1", status_code=303)
        return PlainTextResponse("This address is too long.", status_code=414)
    if AGENTS in path:
        return _refuse_stranger(Headers(scope=scope))
    return None


def _refuse_stranger(headers: Headers) -> Response | None:
    host, origin = headers.get("host", ""), headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        return PlainTextResponse("Pages of other sites may not call this.", status_code=403)
    if not (is_own_name(host) or (origin is None and _has_any_name())):
        sentence = "This server is not called so; CAMVIZ_HOSTS says how it is."
        return PlainTextResponse(sentence, status_code=421)
    return None


def is_own_name(host: str) -> bool:
    """Whether a Host header is this server's: a name that CAMVIZ_HOSTS lists, or a number.

    "localhost" is, too.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name in ("localhost", *_names()) or _is_number(name)


def _names() -> list[str]:
    return environment().hosts.lower().replace(",", " ").split()


def _has_any_name() -> bool:
    """Whether this is a public server that knows no name of its own: programs reach it by any.

    Pages do not: one whose name was made to point here could not be told from its own.
    """
    return environment().public and not _names()


def _is_number(name: str) -> bool:
    """Whether it is an address in numbers, which no name server can point elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
