"""A program that talks to the page's server by plain HTTP and keeps to no rule of its client."""

import json
import urllib.request
from urllib.error import HTTPError
from uuid import uuid4

PATIENCE = 30  # seconds
JSON = {"Content-Type": "application/json"}


def fetch(address, data=None, headers=None):
    """(status, text) of a request; data: posted as JSON, or bytes as they are."""
    body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
    request = urllib.request.Request(address, body, JSON | (headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def upload(address, path):
    """The file as an argument of an endpoint."""
    border = uuid4().hex
    part = f'Content-Disposition: form-data; name="files"; filename="{path.name}"'
    body = (
        f"--{border}\r\n{part}\r\n\r\n".encode()
        + path.read_bytes()
        + f"\r\n--{border}--\r\n".encode()
    )
    kind = {"Content-Type": f"multipart/form-data; boundary={border}"}
    request = urllib.request.Request(f"{address}/gradio_api/upload", body, kind)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        (place,) = json.load(answer)
    return {"path": place, "meta": {"_type": "gradio.FileData"}}


def call(address, endpoint, values):
    """(whether there is a result, the result or the sentence) of an endpoint."""
    status, text = fetch(f"{address}/gradio_api/call/{endpoint}", {"data": values})
    if status != 200:
        return False, f"HTTP {status}: {text}"
    event = json.loads(text)["event_id"]
    _, text = fetch(f"{address}/gradio_api/call/{endpoint}/{event}")
    kind, _, data = text.rpartition("data: ")
    value = json.loads(data)
    if "event: complete" in kind:
        return True, value
    return False, value["error"] if isinstance(value, dict) else value


def send(address, event, values, clicked=None, session=None):
    """The messages to which an event of the page, by its number, leads."""
    session = session or uuid4().hex
    body = {
        "data": values, "fn_index": event, "session_hash": session, "event_data": clicked,
        "trigger_id": None,
    }  # fmt: skip
    status, text = fetch(f"{address}/gradio_api/queue/join", body)
    if status != 200:
        return [{"msg": f"HTTP {status}", "output": text}]
    stream = f"{address}/gradio_api/queue/data?session_hash={session}"
    messages = []
    with urllib.request.urlopen(stream, timeout=PATIENCE) as answer:
        for line in answer:
            if line.startswith(b"data:"):
                messages.append(json.loads(line[5:]))
                if messages[-1]["msg"] in ("process_completed", "close_stream"):
                    break
    return messages
