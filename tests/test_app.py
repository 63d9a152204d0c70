"""The page without a browser: what stands on it, and what becomes of errors and of long work."""

import asyncio
import inspect
import json
import os
import re
import threading
import urllib.request
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import gradio as gr
import pytest
from gradio.utils import get_upload_folder

import camviz
from camviz.errors import BackboneError, ImageError, StageError, WeightsError
from camviz.images import FIT_MODES
from camviz.maps.fusion import FUSIONS
from camviz.network.hub import Stopped
from camviz.ui import build_app, choices, launch_options, links, page
from camviz.ui.compare_tab import DEFAULT, Ask, View, new_picture, same_picture

pytestmark = pytest.mark.usefixtures("fresh")

RESNET = "test_resnet.r160_in1k"
NAMES = list(page.SHOWN)


@pytest.fixture
def picture(tmp_path, photo_file, monkeypatch):
    """What a browser says of an upload."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return {"path": photo_file, "meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def ask(asking, picture):
    return asking(picture["path"])


def controls(ask, picture):
    """An ask as the browser sends it."""
    return [picture, *(getattr(ask, field.name) for field in fields(Ask)[1:])]


def in_a_loop(work):
    """work(), while an event loop runs: without one gradio makes some and never closes them."""

    async def run():
        result = work()
        return await result if inspect.isawaitable(result) else result

    return asyncio.run(run())


def said_by(answers):
    """Everything that an event function says, as dictionaries of what it changes."""

    async def collect():
        return [
            {name: value for name, value in zip(NAMES, answer, strict=True) if value != gr.skip()}
            async for answer in answers
        ]

    return asyncio.run(collect())


# -- Errors --------------------------------------------------------------------------------------


def test_error_becomes_one_sentence_and_the_maps_stay(ask, picture):
    def work(asked):
        raise StageError("no <such> stage")
        yield

    said = said_by(page.handler(work)(*controls(ask, picture)))
    assert said[0].keys() == {"notice"}
    assert 'role="alert"><p>No &lt;such&gt; stage.</p>' in said[0]["notice"]


def test_bad_picture_empties_the_page(ask, picture):
    Path(picture["path"]).write_text("no picture at all")
    said = said_by(page.handler(new_picture)(*controls(ask, picture)))
    assert "not a picture" in said[0]["notice"]
    assert said[0]["maps"]["picture"] is None and said[0]["held shown"] is None


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "http://host/x.png", None, 3])
@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
def test_only_uploads_are_opened(ask, picture, path, meta):
    said = said_by(page.handler(same_picture)(*controls(ask, {"path": path, **meta})))
    assert "must be uploaded" in said[0]["notice"]


def test_a_backbone_that_cannot_be_had_leaves_the_one_in_use(ask, picture, monkeypatch):
    monkeypatch.setattr("camviz.network.hub.hub_reachable", lambda *_: False)
    asked = replace(ask, wanted="resnet50.a1_in1k", raw=False)
    (said, *_) = said_by(page.fetched(*controls(asked, picture)))
    assert "hub cannot be reached. Ready here without a download: " in said["notice"]
    assert "local-dir" not in said["notice"]  # what to do in Python is of no use here
    assert (said["wanted"], said["raw"]) == (RESNET, True)
    assert "maps" not in said
    assert 'data-label="raw:resnet50.a1_in1k"' in said["notice"]


def test_what_is_not_on_offer_is_refused(ask, picture):
    asked = replace(ask, wanted="local-dir:/etc")
    (said, *_) = said_by(page.fetched(*controls(asked, picture)))
    assert "choose one from the list" in said["notice"] and said["wanted"] == RESNET


def test_unexpected_is_logged_and_not_shown(ask, picture, caplog):
    def work(asked):
        raise RuntimeError("inner secret")
        yield

    (said, *_) = said_by(page.handler(work)(*controls(ask, picture)))
    assert "secret" not in said["notice"] and "unexpected" in said["notice"]
    assert "inner secret" in caplog.text


def test_what_is_given_up_is_no_error(ask, caplog):
    def work(asked):
        raise Stopped
        yield

    assert list(page.answered(work, ask)) == [] and caplog.text == ""


@pytest.mark.parametrize("error", [ImageError, BackboneError, WeightsError, StageError])
def test_every_error_is_said_once(ask, error):
    def work(asked):
        raise error("this is wrong")
        yield

    (view,) = page.answered(work, ask)
    assert view.notice.count('role="alert"') == 1 and "This is wrong" in view.notice


# -- Long work -----------------------------------------------------------------------------------


def test_something_is_always_said_and_never_twice(ask, picture):
    """gradio clears all outputs for an event that says nothing, and repeats the last word."""
    quiet = said_by(page.handler(lambda asked: iter(()))(*controls(ask, picture)))
    assert quiet == [{}]
    spoken = said_by(page.handler(same_picture)(*controls(ask, picture)))
    assert "maps" in spoken[-2] and spoken[-1] == {}


def test_what_takes_longer_is_announced(ask, picture, monkeypatch):
    monkeypatch.setattr(page, "SOON", 0.02)
    given = threading.Event()

    def work(asked):
        assert given.wait(10)
        yield View(verdict="one")

    async def visit():
        answers = page.handler(work)(*controls(ask, picture))
        first = await anext(answers)
        given.set()
        return [first, *[answer async for answer in answers]]

    waiting, shown, last = asyncio.run(visit())
    progress = NAMES.index("progress")
    assert "<progress" in waiting[progress] and "Stop" in waiting[progress]
    assert (shown[NAMES.index("verdict")], shown[progress]) == ("one", "")
    assert last[progress] == gr.skip()


def test_a_visitor_who_leaves_stops_a_download(ask, picture, monkeypatch):
    monkeypatch.setattr(page, "SOON", 0.02)
    ended = threading.Event()

    def slow(name, report):
        begun, pause = 0, threading.Event()
        try:
            while not pause.wait(0.005):
                begun += 1
                report(begun, 1000)
        finally:
            ended.set()

    monkeypatch.setattr(page, "download", slow)
    asked = replace(ask, wanted="resnet50.a1_in1k", raw=False)

    async def visit():
        answers = page.fetched(*controls(asked, picture))
        while "Downloading" not in (said := (await anext(answers))[NAMES.index("progress")]):
            pass
        task = asyncio.ensure_future(anext(answers))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return said

    assert "Downloading resnet50.a1_in1k: 0 of 0 MB" in asyncio.run(visit())
    assert ended.wait(10)


def test_stop_says_so_and_puts_the_menus_back():
    said = dict(zip(NAMES, page.stopped("scenes-resnet", False), strict=True))
    assert "Stopped" in said["notice"] and said["progress"] == ""
    assert (said["wanted"], said["raw"]) == ("scenes-resnet", False)
    assert said["maps"] == gr.skip()


def test_nobody_gets_a_backbone_whose_weights_have_not_come(ask, monkeypatch):
    other = replace(ask, wanted="resnet50.a1_in1k", raw=False)
    assert list(page.ready_backbone(other)) == []
    assert list(page.ready_backbone(ask)) == []  # nor the one in use once more
    monkeypatch.setattr(page, "needs_download", lambda name: name != "resnet50.a1_in1k")
    monkeypatch.setattr(page, "new_backbone", lambda ask: iter([ask.wanted]))
    assert list(page.ready_backbone(other)) == ["resnet50.a1_in1k"]
    assert list(page.ready_backbone(replace(other, raw=True))) == ["resnet50.a1_in1k"]


def test_what_is_new_is_said_as_a_whole():
    blocks = in_a_loop(page.Page)
    outputs = SimpleNamespace(outputs=[None] * 3)

    def say(*data, final=False):
        return blocks.handle_streaming_diffs(outputs, list(data), "visitor", "run", final)

    assert say({"a": 1, "b": 2}, "x", "same") == [{"a": 1, "b": 2}, "x", "same"]
    assert say({"a": 1}, "xy", "same") == [
        [["replace", [], {"a": 1}]], [["replace", [], "xy"]], []
    ]  # fmt: skip
    assert say(None, None, None, final=True) == [{"a": 1}, "xy", "same"]
    assert not blocks.pending_diff_streams


# -- A visit -------------------------------------------------------------------------------------


class Visit:
    """What the page asks of a request."""

    def __init__(self, **query):
        self.query_params = query


OPENED = [*NAMES, *page.VISIT]


def opened(picture, **query):
    async def collect():
        return [
            {n: value for n, value in zip(OPENED, answer, strict=True) if value != gr.skip()}
            async for answer in page.opened_page(Visit(**query), picture)
        ]

    seen = {}
    for said in asyncio.run(collect()):
        seen |= said
    return seen


def test_visit_looks_up_what_is_on_offer_anew(picture, monkeypatch):
    choices.available()
    monkeypatch.setenv("CAMVIZ_BACKBONE", "hf-hub:org/fresh")
    monkeypatch.setattr("camviz.network.hub.hub_reachable", lambda *_: False)
    seen = opened(picture)
    assert seen["wanted"]["value"] == "fresh"
    assert seen["wanted"]["choices"][0] == ("fresh · this server's own", "fresh")


def test_visit_by_a_link(picture):
    seen = opened(picture, backbone="scenes-resnet", example="a-zebra", method="grad_cam",
                  truncation="0.4", stages="layer4", **{"class": "horse"})  # fmt: skip
    assert seen["notice"] == "" and seen["method"] == "grad_cam" and seen["truncation"] == 0.4
    assert "horse" in seen["verdict"] and seen["held stages"] == ("layer4",)
    assert seen["picture"].endswith("a-zebra.webp")
    assert seen["maps"]["link"]["class"] == "horse"


def test_visit_by_a_link_to_an_upload(picture):
    seen = opened(picture, backbone="scenes-resnet", example=links.UPLOAD, stages="layer4")
    assert "uploads never go into a link" in seen["notice"] and seen["picture"] is None
    assert seen["maps"]["picture"] is None and seen["held stages"] == ("layer4",)


# -- The page ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app():
    return in_a_loop(build_app)


def labels_of(app, label):
    (found,) = [
        c["props"] for c in app.get_config_file()["components"] if c["props"].get("label") == label
    ]
    return [value for _, value in found["choices"]]


def test_controls_offer_what_the_engine_knows(app):
    assert labels_of(app, "Method") == list(choices.stage_methods())
    assert labels_of(app, "Fusion") == list(FUSIONS)
    assert labels_of(app, "The network sees") == list(FIT_MODES)
    assert set(labels_of(app, "A layer is read")) == set(get_args(camviz.network.stages.TapKind))
    assert set(labels_of(app, "Cells are drawn")) == set(
        get_args(camviz.engine.explanation.PlacementKind)
    )


def test_events_are_private_and_networks_run_one_at_a_time(app):
    public = {fn.api_name for fn in app.fns.values() if fn.api_visibility != "private"}
    assert public == {"explain", "models", "prototypes"}
    engine = [fn for fn in app.fns.values() if fn.concurrency_id == "engine"]
    assert len(engine) > 15 and {fn.concurrency_limit for fn in engine} == {1}
    for fn in app.fns.values():
        # what may change under a visitor's hands is not checked against what a menu once held
        assert fn.preprocess is False or fn.concurrency_id != "engine"


def test_stop_reaches_everything_that_may_take_long(app):
    cancelled = {index for fn in app.fns.values() for index in fn.cancels or ()}
    long = {
        index
        for index, fn in app.fns.items()
        if fn.concurrency_id in ("engine", "aside") and fn.api_visibility == "private"
    }
    assert cancelled == long


def test_one_heading_and_nothing_of_this_machine_in_it(app):
    text = json.dumps(app.get_config_file(), default=str)
    assert len(re.findall(r"<h1>", text)) == 1
    assert str(Path.home()) not in text or str(Path.home()) == "/"


def test_nothing_is_reported_to_anyone():
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"]
    options = launch_options()
    assert not (options["run_history"] or options["enable_monitoring"] or options["show_error"])
    assert options["max_file_size"] <= 25_000_000


def test_launch_and_close():
    def visit():
        app = build_app()
        try:
            _, address, _ = app.launch(
                **launch_options(), server_name="127.0.0.1", prevent_thread_lock=True, quiet=True
            )
            with urllib.request.urlopen(address, timeout=20) as answer:
                return answer.read().decode()
        finally:
            app.close(verbose=False)

    text = in_a_loop(visit)
    assert '"title":"camviz"' in text
    assert ".cv-bar" in text  # the style sheet


def test_the_upload_folder_is_gradios(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert get_upload_folder() == str(tmp_path)
    assert DEFAULT.picture is None
