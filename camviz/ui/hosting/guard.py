"""What every HTTP request passes on its way to gradio: bounds on uploads, and who is still there.

Gradio keeps whatever is uploaded and runs whatever is queued; here uploads are counted by address
and noted in the storage, and open streams are counted by session. It is plain ASGI, so that streams
and their ends pass as they come.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from camviz.errors import LimitError, RateError
from camviz.ui.gradio_compat import body_refused
from camviz.ui.hosting.limits import present, storage, uploads
from camviz.ui.hosting.uploads import upload_limit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

FORM = 64 * 1024  # bytes of a form besides its files
DATA_URL = 4 / 3  # how much longer it is than what it holds
THROWN_AWAY = 200_000_000  # bytes that are read of what is refused
TOO_LARGE, TOO_OFTEN = 413, 429  # the status of what is refused


class Guard:
    """ASGI middleware; see the module."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif (key := stream_key(scope)) is not None:
            with present().connected(key):
                await self.app(scope, receive, send)
        elif scope["method"] == "POST":
            await self._post(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _post(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        size = _length(headers)
        try:
            if headers.get(b"content-type", b"").startswith(b"multipart/form-data"):
                await self._form(scope, size, receive, send)
                return
            most = int(upload_limit() * DATA_URL) + FORM
            if size is not None and size > most:
                raise LimitError(f"a request may have {most / 1e6:.0f} MB at most")
        except LimitError as error:
            await _refuse(receive, send, error)
            return
        await self.app(scope, _counted(receive, most), send)

    async def _form(self, scope: Message, size: int | None, receive: Receive, send: Send) -> None:
        """A form with files. Raises `LimitError` before any of it is read."""
        owner = address_of(scope)
        uploads().take(owner)
        most = upload_limit() + FORM if size is None else size
        with storage().room(owner, most):
            noted = _noted(send, owner) if scope["path"].endswith("/upload") else send
            await self.app(scope, _counted(receive, most), noted)


def stream_key(scope: Message) -> str | None:
    """Whose stream a request opens: a session's, or that of one event; None for no stream."""
    if scope["method"] != "GET":
        return None
    head, _, last = scope["path"].rstrip("/").rpartition("/")
    if head.endswith("/gradio_api/heartbeat"):
        return str(last)
    if head.endswith("/gradio_api/queue") and last == "data":
        given = parse_qs(scope["query_string"].decode("latin-1"))
        return given.get("session_hash", [None])[0]
    return str(last) if "/gradio_api/call/" in f"{head}/" else None


def address_of(scope: Message) -> str:
    """The address of the client; behind a proxy that is trusted, the server has put it right."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _length(headers: dict[bytes, bytes]) -> int | None:
    with suppress(KeyError, ValueError):
        return max(int(headers[b"content-length"]), 0)
    return None


def _counted(receive: Receive, most: int) -> Receive:
    """Receive a body of so many bytes at most, to its end; else gradio throws away what it has."""
    read, ended = 0, False

    async def counted() -> Message:
        nonlocal read, ended
        message = await receive()
        if message["type"] == "http.disconnect" and not ended:
            raise body_refused("the connection ended before the upload did")
        read += len(message.get("body", b""))
        ended = not message.get("more_body", False)
        if read > most:
            raise body_refused(f"more than the maximum allowed size of {most / 1e6:.0f} MB")
        return message

    return counted


def _noted(send: Send, owner: str) -> Send:
    """Send the answer to an upload, which lists its files, and note them in the storage."""
    status, body = 0, b""

    async def noted(message: Message) -> None:
        nonlocal status, body
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body" and status == 200:
            body += message.get("body", b"")
            if not message.get("more_body", False):
                for path in json.loads(body):
                    storage().add(owner, path)
        await send(message)

    return noted


async def _refuse(receive: Receive, send: Send, error: LimitError) -> None:
    """Answer with a sentence in place of what was asked for.

    The body is read and thrown away first: most clients hear no answer while they send.
    """
    read, more = 0, True
    while more and read < THROWN_AWAY:
        message = await receive()
        read += len(message.get("body", b""))
        more = message.get("more_body", False)
    status = TOO_OFTEN if isinstance(error, RateError) else TOO_LARGE
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    headers += [(b"connection", b"close")] if more else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": str(error).encode()})
