"""Where this server has its files is nowhere in what it says, shows, hands out or logs.

The server's own network and its uploads lie in folders whose names are searched for. The one
exception is gradio's: the address of a file is its path, so that of an upload is known to whoever
uploaded it.
"""

import asyncio
import base64
import io
import json
import re
import shutil
import time
import urllib.request
import zipfile
from inspect import signature
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from camviz.errors import ImageError
from camviz.examples import example
from camviz.network.bundled import bundled_folder
from camviz.ui import api
from camviz.ui.downloads import bundle
from camviz.ui.sentences import hide_paths, public_sentence
from camviz.ui.state import BackboneChoice, Controls
from camviz.ui.tabs.table import TABS
from tests.support.programs import call, fetch, send, upload
from tests.support.server import LOG, served

MODELS, UPLOADS = "PLACE-OF-MODELS", "PLACE-OF-UPLOADS"
RAM = example("a-ram").path
# What gradio says of a file: its path, and the address made of it.
_HANDLES = re.compile(rf'"(?:path|url|value)": ?"[^"]*/{UPLOADS}/[^"]*"|file=[^"\\\s]*')


class Server:
    def __init__(self, address, folder):
        self.address, self.folder = address, folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(bundled_folder("scenes-vit"), folder / MODELS / "own")
    (folder / UPLOADS).mkdir()
    places = {
        "CAMVIZ_BACKBONE": f"local-dir:{folder / MODELS / 'own'}",
        "CAMVIZ_CACHE": str(folder / MODELS / "cache"),
        "GRADIO_TEMP_DIR": str(folder / UPLOADS),
        "TMPDIR": str(folder / UPLOADS),
    }
    with served(folder, quiet=False, **places) as address:
        yield Server(address, folder)
    assert_hidden((folder / LOG).read_text(), "the log")


def assert_hidden(text, what):
    for place in (MODELS, UPLOADS):
        found = text.find(place)
        assert found < 0, f"{what}: {text[max(0, found - 200) : found + 60]}"


def assert_shown(value, what):
    """Nothing of a value of the server's but gradio's own handles of files names a place."""
    assert_hidden(_HANDLES.sub("", json.dumps(value, ensure_ascii=False)), what)


def assert_file(data, name):
    """Nor does a file: its bytes, what is packed in it, the texts that a picture carries."""
    assert_hidden(data.decode("latin-1"), name)
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                assert_hidden(member, name)
                assert_file(archive.read(member), f"{name}: {member}")
    if name.endswith((".png", ".jpg", ".webp")):
        with Image.open(io.BytesIO(data)) as image:
            assert_hidden(repr(image.info) + repr(dict(image.getexif())), name)


def fetch_file(server, file):
    address = f"{server.address}/gradio_api/file={file['path']}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read()


def values(picture, **given):
    usual = {
        "image": picture, "backbone": "", "target": "", "versus": "", "method": "auto",
        "stages": None, "truncation": 0, "fuse": "auto", "tap": "activation", "fit": "stretch",
        "placement": "plain", "gamma": 1, "truncation_mode": "threshold", "views": "one",
        "refine": "affinity", "threshold": 0, "untrained": False, "prototypes": None,
        "size": "screen",
    }  # fmt: skip
    return list({**usual, **given}.values())


@pytest.fixture(scope="module")
def ram(server):
    return upload(server.address, RAM)


def test_results_and_their_files(server, ram):
    for given in ({}, {"untrained": True}, {"method": "lpcam", "target": "ram"}):
        done, found = call(server.address, "explain", values(ram, **given))
        assert done, found
        assert found[0]["backbone"]["name"] == "own"
        assert_shown(found, "explain")
        assert_file(fetch_file(server, found[1]), f"the zip of {given}")
    done, found = call(server.address, "prototypes", [[ram], "ram", "", 2, 0, False])
    assert done, found
    assert_shown(found, "prototypes")
    data = fetch_file(server, found[1])
    assert b'backbone\\":\\"own\\"' in data
    assert_file(data, "bank.safetensors")
    done, found = call(server.address, "models", ["own", 5])
    assert done
    assert_shown(found, "models")


def crafted(folder):
    save_file({"x": torch.ones(1)}, folder / "bank.safetensors")
    return folder / "bank.safetensors"


@pytest.fixture(scope="module")
def errors(server, ram, tmp_path_factory):
    """(endpoint, values, part of the sentence)."""
    folder = tmp_path_factory.mktemp("files")
    grey = folder / "grey.png"
    Image.fromarray(np.full((40, 40, 3), 128, np.uint8)).save(grey)
    (folder / "notes.png").write_text("no picture")
    gone = upload(server.address, grey)
    Path(gone["path"]).unlink()
    bank = upload(server.address, crafted(folder))
    other = bundled_folder("scenes-resnet") / "prototypes" / "13.safetensors"
    return [
        ("explain", values(ram, target="unicorn"), "own knows no class 'unicorn'"),
        ("explain", values(ram, target="99"), "own knows classes 0 to"),
        ("explain", values(ram, versus="unicorn"), "own knows no class"),
        ("explain", values(ram, method="cam"), "CAM is not defined for own"),
        ("explain", values(ram, stages=["layer9"]), "layer9"),
        ("explain", values(ram, stages=["patch_embed.proj.x"]), "patch_embed"),
        ("explain", values(gone), "not here any more"),
        ("explain", values(upload(server.address, folder / "notes.png")), "not a picture"),
        ("explain", values(ram, method="lpcam", prototypes=bank), "no prototypes"),
        (
            "explain",
            values(ram, method="lpcam", prototypes=upload(server.address, other)),
            "of scenes-resnet, not of own",
        ),
        ("prototypes", [[ram], "unicorn", "", 2, 0, False], "own knows no class"),
        (
            "prototypes",
            [[upload(server.address, folder / "notes.png")], "ram", "", 2, 0, False],
            "notes.png",
        ),
        ("prototypes", [[gone], "ram", "", 2, 0, False], "not here any more"),
    ]


def test_errors_over_http(server, errors):
    for endpoint, given, words in errors:
        done, sentence = call(server.address, endpoint, given)
        assert not done and words in sentence, sentence
        assert_hidden(sentence, endpoint)


def test_errors_over_mcp(server, errors):
    mcp = pytest.importorskip("mcp")
    http = pytest.importorskip("mcp.client.streamable_http")
    names = list(inspected("explain")), list(inspected("prototypes"))

    async def talk():
        async with (
            http.streamable_http_client(f"{server.address}/gradio_api/mcp/") as (receive, send, *_),
            mcp.ClientSession(receive, send) as agent,
        ):
            await agent.initialize()
            listed = (await agent.list_tools()).model_dump_json()
            answers = []
            for endpoint, given, _ in errors:
                sent = [as_agents_send(server, value) for value in given]
                arguments = dict(zip(names[endpoint == "prototypes"], sent, strict=True))
                answers.append((await agent.call_tool(endpoint, arguments)).model_dump_json())
            return listed, answers

    listed, answers = asyncio.run(talk())
    assert_hidden(listed, "the list of tools")
    for answer in answers:
        assert_hidden(_HANDLES.sub("", answer), "mcp")


def as_agents_send(server, value):
    """A file by the address at which the server gives it out; else the value."""
    if isinstance(value, list):
        return [as_agents_send(server, one) for one in value]
    if isinstance(value, dict):
        return f"{server.address}/gradio_api/file={value['path']}"
    return value


def inspected(endpoint):
    return signature(getattr(api, endpoint)).parameters


def test_what_the_page_is_made_of(server):
    for path in (
        "",
        "config",
        "gradio_api/info",
        "gradio_api/openapi.json",
        "gradio_api/mcp/schema",
    ):
        _, text = fetch(f"{server.address}/{path}")
        assert_hidden(_HANDLES.sub("", text), f"/{path}")


class Page:
    """A visitor's page by its events."""

    def __init__(self, server):
        self.server, self.session = server, uuid4().hex
        self.config = json.loads(fetch(f"{server.address}/config")[1])
        self.parts = {part["id"]: part for part in self.config["components"]}

    def event(self, elem_id, kind):
        (part,) = [n for n, row in self.parts.items() if row["props"].get("elem_id") == elem_id]
        rows = [row for row in self.config["dependencies"] if row["backend_fn"]]
        (number,) = [row["id"] for row in rows if [part, kind] in row["targets"]]
        return number

    def send(self, number, given, clicked=None):
        found = send(self.server.address, number, given, clicked, self.session)
        assert found[-1].get("success"), found[-1]
        return found

    def answer(self):
        return self.send(0, [None])


@pytest.mark.long
def test_every_view_of_the_page(server, ram):
    page = Page(server)
    shown = page.send(2, [None, ram])
    shown += page.answer()
    assert "own" in json.dumps(shown)
    assert_shown(shown, "the page as it opens")
    views = [part["props"]["elem_id"] for part in page.parts.values() if part["type"] == "tabitem"]
    assert len(views) == len(TABS)
    for view in views:
        page.send(page.event(view, "select"), [None, str(time.time() * 1000)])
        assert_shown(page.answer(), view)
    saved = page.send(page.event("proto-save", "click"), [None])
    (data,) = re.findall(r"base64,([A-Za-z0-9+/=]{200,})", json.dumps(saved))[:1]
    assert_file(base64.b64decode(data), "saved.safetensors")
    zipped = json.dumps(
        page.send(page.event("save", "click"), [None, "screen", "http://x/?tab=models"])
    )
    (place,) = set(re.findall(r'"path": ?"([^"]+\.zip)"', zipped))
    assert_file(fetch_file(server, {"path": place}), "the page's zip")


def test_of_several_pictures_one_that_fails(tmp_path, monkeypatch):
    """The index of a zip says why a picture has no folder, and not where the picture was."""

    def fail(controls, size, progress):
        raise ImageError(f"cannot read '{controls.picture}': no such file")

    monkeypatch.setattr(bundle, "_explain", fail)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    paths = [tmp_path / UPLOADS / name for name in ("a.png", "b.png")]
    (tmp_path / UPLOADS).mkdir()
    for path in paths:
        Image.open(RAM).convert("RGB").save(path)
    pictures = tuple(map(str, paths))
    controls = Controls(pictures[0], BackboneChoice("scenes-resnet"), pictures=pictures)
    data = bundle.make_zip(controls).read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (index,) = [name for name in archive.namelist() if name.endswith("index.html")]
        assert "Cannot read" in archive.read(index).decode()
    assert_file(data, "zip")


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("cannot read '{here}/a/b c.png': gone", "cannot read 'b c.png': gone"),
        ("{here} is full", " is full"),
        ("no '/etc/passwd' here", "no '/etc/passwd' here"),
        ("the ratio 3/4, and/or {here}/x/y", "the ratio 3/4, and/or y"),
        ("x{here}/a", "x{here}/a"),
        ("nothing", "nothing"),
    ],
)
def test_a_path_is_cut_down_to_a_name(tmp_path, monkeypatch, text, hidden):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert hide_paths(text.format(here=tmp_path)) == hidden.format(here=tmp_path)


def test_what_the_server_lacks_is_a_sentence():
    assert "no room" in public_sentence(OSError(28, "No space left on device"))
    assert "memory" in public_sentence(MemoryError())
    assert public_sentence(OSError(5, "Input/output error")) is None
    assert public_sentence(ValueError("x")) is None
