"""Visitors without a browser: they say over HTTP what the page and other programs say.

visitor = Visitor(url)
visitor.open(); visitor.give(path); visitor.answer()     # as the page
explain(url, path, backbone="scenes-vit")                # as a program
"""

import http.client
import io
import json
import urllib.error
import urllib.request
import zipfile
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import numpy as np

from camviz.ui.api import explain as explain_endpoint

PATIENCE = 120  # seconds
FORM = "multipart/form-data; boundary=limit"


def ask(url, data=None, kind="application/json"):
    """The answer to a GET, or to a POST of bytes or of what becomes JSON."""
    if data is not None and not isinstance(data, bytes):
        data = json.dumps(data).encode()
    request = urllib.request.Request(url, data, {"Content-Type": kind})
    return urllib.request.urlopen(request, timeout=PATIENCE)


def form(*contents, name="picture.png"):
    """The body of an upload of files with these bytes."""
    part = '--limit\r\nContent-Disposition: form-data; name="files"; filename="{}"\r\n\r\n'
    parts = [part.format(name).encode() + content + b"\r\n" for content in contents]
    return b"".join(parts) + b"--limit--\r\n"


def upload(url, content, **options):
    """Upload a file by its path or its bytes; returns the path that the server gave it."""
    content = content if isinstance(content, bytes) else Path(content).read_bytes()
    with ask(f"{url}/gradio_api/upload", form(content, **options), FORM) as answer:
        return json.load(answer)[0]


def file_of(path):
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def messages(stream):
    """(event, data) of a stream that a single call gets."""
    event = None
    for line in stream:
        kind, _, text = line.decode().rstrip("\n").partition(": ")
        if kind == "event":
            event = text
        elif kind == "data":
            yield event, json.loads(text)


def post_explain(url, path, **options):
    """Queue a call of /explain for an upload; returns the event."""
    given = [
        options.get(name, row.default if row.default is not row.empty else None)
        for name, row in explain_endpoint.__signature__.parameters.items()
    ]
    with ask(f"{url}/gradio_api/call/explain", {"data": [file_of(path), *given[1:]]}) as answer:
        return json.load(answer)["event_id"]


def open_stream(url, event, endpoint="explain"):
    """The stream in which the answer to a call comes; closing it is going away."""
    return ask(f"{url}/gradio_api/call/{endpoint}/{event}")


def explain(url, path, **options):
    """(what was found, maps by name) of an upload. Raises `RuntimeError` with what was said."""
    with closing(open_stream(url, post_explain(url, path, **options))) as stream:
        *_, (event, data) = messages(stream)
    if event != "complete":
        raise RuntimeError(data["error"])
    found, file = data
    with ask(f"{url}{file['url']}" if file["url"].startswith("/") else file["url"]) as answer:
        archive = zipfile.ZipFile(io.BytesIO(answer.read()))
    with archive.open("maps.npz") as maps:
        return found, dict(np.load(io.BytesIO(maps.read())))


class Visitor:
    """An open page: its session, its heartbeat, and what its components show."""

    def __init__(self, url, query=""):
        self.url, self.query = url, query
        self.session = uuid4().hex[:12]
        with ask(f"{url}/config") as answer:
            self.config = json.load(answer)
        self.parts = {
            each["props"].get("elem_id"): each["id"] for each in self.config["components"]
        }
        self.shown = {}
        host = url.removeprefix("http://")
        self.heart = http.client.HTTPConnection(host, timeout=PATIENCE)
        self.heart.request("GET", f"/gradio_api/heartbeat/{self.session}")
        self.heart.getresponse()

    def event(self, name=None, of=None, kind="click"):
        """The number of an event, by its function's name or by its component."""
        for each in self.config["dependencies"]:
            if each["api_name"] == name or (of and [self.parts[of], kind] in each["targets"]):
                return each
        raise KeyError(name or of)

    def post(self, event, *values, data=None):
        """Queue an event; the session and what is left out are None."""
        values = [None, *values]
        values += [None] * (len(event["inputs"]) - len(values))
        body = {
            "fn_index": event["id"], "data": values[: len(event["inputs"])],
            "session_hash": self.session, "event_data": data, "trigger_id": event["targets"][0][0],
        }  # fmt: skip
        way = "queue/join" if event["queue"] is not False else "run/predict"
        with ask(f"{self.url}/gradio_api/{way}?{self.query}", body) as answer:
            return json.load(answer)

    def listen(self):
        """Open the stream of answers; closing it is going away."""
        return ask(f"{self.url}/gradio_api/queue/data?session_hash={self.session}")

    def do(self, event, *values):
        """Queue an event and wait for its end; notes what the components show."""
        self.post(event, *values)
        with closing(self.listen()) as stream:
            first = True
            for line in stream:
                message = json.loads(line[6:]) if line.startswith(b"data: ") else {}
                output = message.get("output") or {}
                if message.get("msg") == "process_generating":
                    self._note(event, output["data"], whole=first)
                    first = False
                elif message.get("msg") == "process_completed":
                    assert message["success"], output
                    self._note(event, output.get("data") or [], whole=True)
                    return self.shown
        raise AssertionError("the stream ended before the event did")

    def _note(self, event, values, whole):
        for part, value in zip(event["outputs"], values, strict=False):
            if not whole and value and value[0][:2] == ["replace", []]:
                value = value[0][2]
            elif not whole:
                continue
            if not (isinstance(value, dict) and value.get("__type__") == "update"):
                self.shown[part] = value
            elif "value" in value:
                self.shown[part] = value["value"]

    def open(self):
        """Open the page as its address says."""
        return self.do(self.event("_open"))

    def answer(self):
        """Wait for the answer to what is set now."""
        return self.do(self.event("_answer"))

    def give(self, path):
        """Give a picture, which was uploaded."""
        return self.post(self.event(of="picture", kind="upload"), "", 0, file_of(path))

    def change(self, part, value):
        """Set a control."""
        return self.post(self.event(of=part, kind="input"), "", 0, value)

    def stop(self):
        """Press Stop."""
        return self.post(self.event(of="progress", kind="select"), data={"value": "", "index": 0})

    @property
    def notice(self):
        return self.shown.get(self.parts["notice"]) or ""

    def close(self):
        """Close the page."""
        self.heart.close()
