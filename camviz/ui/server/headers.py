"""Headers of every response: what a browser may do with it.

A page has the policy of `camviz.ui.hosting.policy`. A file is never a page: not even one that is
opened in a tab of its own runs anything.
"""

import os
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders

from camviz.environment import environment
from camviz.ui.gradio_compat import FILES
from camviz.ui.hosting.policy import page_policy, script_hashes

SPACES = "https://huggingface.co"  # shows a Space in a frame of its page
EVERY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=(), "
    "usb=(), payment=()",
}
OF_FILES = "default-src 'none'; sandbox; frame-ancestors 'none'"
OF_DATA = "default-src 'none'; frame-ancestors 'none'"


def frame_ancestors() -> str:
    """Who may show the page in a frame."""
    given = environment().embed.split()
    spaces = [SPACES] if "SPACE_ID" in os.environ else []
    return " ".join(("'self'", *given, *spaces))


class SafetyHeaders:
    """Adds the headers to whatever an ASGI application responds with.

    added: scripts of the page that are put into it by the browser, not by the server.
    """

    def __init__(self, app: Any, added: bytes = b"") -> None:
        self.app = app
        self.added = script_hashes(added)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await self.app(scope, receive, _Responder(send, scope["path"], self.added))


class _Responder:
    """Sends a response with its headers; that of a page waits for the end of the page."""

    def __init__(self, send: Any, path: str, added: list[str]) -> None:
        self._send, self._path, self._added = send, path, added
        self._start: dict[str, Any] | None = None
        self._page = b""

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            headers.update(EVERY)
            is_file = FILES in self._path
            if headers.get("content-type", "").startswith("text/html") and not is_file:
                self._start = message
                return
            headers["Content-Security-Policy"] = OF_FILES if is_file else OF_DATA
        elif self._start is not None and message["type"] == "http.response.body":
            self._page += message.get("body", b"")
            if message.get("more_body"):
                return
            await self._send_page()
            message = {**message, "body": self._page}
            self._start = None
        await self._send(message)

    async def _send_page(self) -> None:
        assert self._start is not None
        headers = MutableHeaders(raw=self._start["headers"])
        hashes = dict.fromkeys([*script_hashes(self._page), *self._added])
        headers["Content-Security-Policy"] = page_policy(hashes, frame_ancestors())
        if frame_ancestors() == "'self'":
            headers["X-Frame-Options"] = "SAMEORIGIN"
        await self._send(self._start)
