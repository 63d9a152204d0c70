"""The page without a browser: what stands on it, and what becomes of events."""

import asyncio
import inspect
import json
import os
import re
import threading
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.utils import get_upload_folder

from camviz.engine.option import option_table
from camviz.engine.options import AUTO, Options
from camviz.engine.truncation import LEVEL
from camviz.errors import BackboneError, ImageError, StageError, WeightsError
from camviz.examples import example
from camviz.maps.fusion import FUSIONS
from camviz.turns import Stopped
from camviz.ui import actions, answer, build_app, choices, events, launch_options, links, page
from camviz.ui.events import PageEvents, take
from camviz.ui.gradio_compat import Page, served_path
from camviz.ui.hosting.pool import Pool
from camviz.ui.notices import with_notices
from camviz.ui.state import (
    DEFAULT,
    BackboneChoice,
    Selection,
    Session,
    Task,
    Update,
)
from camviz.ui.tabs import compare
from camviz.ui.tabs.base import GROUPS
from camviz.ui.tabs.table import TABS
from camviz.ui.values import plain

pytestmark = pytest.mark.usefixtures("fresh")

ROOT = Path(__file__).resolve().parents[2]


def in_a_loop(work):
    """work(), while an event loop runs: without one gradio makes some and never closes them."""

    async def run():
        result = work()
        return await result if inspect.isawaitable(result) else result

    return asyncio.run(run())


# -- Errors --------------------------------------------------------------------------------------


def failing(error):
    raise error
    yield


def notices(session, error):
    return list(with_notices(session, failing(error), (compare,)))


@pytest.mark.parametrize("error", [ImageError, BackboneError, WeightsError, StageError])
def test_every_error_is_one_sentence(session, error):
    updates = notices(session, error("no <such> thing"))
    text = "".join(str(update.frame.get("notice", "")) for update in updates)
    assert text.count('role="alert"') == 1
    assert 'role="alert"><p>No &lt;such&gt; thing.' in text


def test_an_error_leaves_the_maps(session):
    (update,) = notices(session, StageError("no such stage"))
    assert update.frame.keys() == {"notice"} and not update.tab


def test_unexpected_is_logged_and_not_shown(session, caplog):
    (update,) = notices(session, RuntimeError("inner secret"))
    assert "secret" not in update.frame["notice"] and "unexpected" in update.frame["notice"]
    assert "inner secret" in caplog.text


def test_what_is_given_up_is_no_error(session, caplog):
    assert notices(session, Stopped()) == [] and caplog.text == ""


def test_an_action_that_fails_becomes_a_notice(session, caplog):
    def action(session, value):
        raise StageError("no such stage")

    take(session, action, Selection(1))
    assert "No such stage." in session.notice and session.version == 1

    def broken(session, value):
        raise RuntimeError("inner secret")

    take(session, broken, Selection(1))
    assert "secret" not in session.notice and "inner secret" in caplog.text


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "http://host/x.png", None, 3])
@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
def test_only_uploads_are_opened(session, path, meta):
    take(session, actions.choose_picture, [{"path": path, **meta}])
    assert "must be uploaded" in session.notice and session.controls.picture is None
    with pytest.raises(ImageError):
        plain([[{"path": path, **meta}]])


def test_a_page_from_before_a_restart_is_told(visit, controls):
    view = visit.open(controls, opened=False)
    assert "started anew" in view.frame["notice"] and 'data-label="reload:"' in view.frame["notice"]
    assert not view.tab


# -- Events --------------------------------------------------------------------------------------


@pytest.fixture
def page_events():
    """Events of a page whose components are their own names."""
    frame = dict.fromkeys(
        ("notice", "progress", "strip", "picture", "backbone", "untrained", "file", "bars"), ""
    )
    frame = {name: f"<{name}>" for name in frame}
    made = PageEvents.__new__(PageEvents)
    made.session, made.frame, made.tabs = None, frame, [compare]
    made.applied, made.version_id = "<applied>", "<version>"
    made.answers = made.works = Pool(2, "test")
    names = list(compare.Parts.__dataclass_fields__)
    made.parts = {compare.ID: {name: f"<{name}>" for name in names}}
    return made


def collected(stream):
    async def collect():
        return [outputs async for outputs in stream]

    return asyncio.run(collect())


def test_an_event_always_has_an_update(page_events, session):
    """gradio clears all outputs for an event that yields nothing."""
    session.opened = True
    assert collected(page_events._answer(session)) == [{"<progress>": "", "<applied>": 1}]
    task = Task()
    (last,) = collected(page_events._stream(session, iter(()), task, page_events.works))
    assert last == {"<progress>": "", "<applied>": 2}


def test_what_changed_meanwhile_is_asked_for_behind_an_answer(page_events, session):
    def steps():
        yield Update({"bars": "one"})
        session.touch()

    shown, last = collected(page_events._stream(session, steps(), Task(), page_events.works))
    assert "<version>" not in shown and last == {"<progress>": "", "<version>": session.version_id}
    session.touch()
    assert last["<version>"] != session.version_id != type(session)().version_id


def test_what_takes_longer_is_announced(page_events, session, monkeypatch):
    monkeypatch.setattr(events, "SOON", 0.1)
    given = threading.Event()

    def steps():
        assert given.wait(10)
        yield Update({"bars": "one"})

    async def visit():
        outputs = page_events._stream(session, steps(), Task("Working …"), page_events.works)
        first = await anext(outputs)
        given.set()
        return [first, *[each async for each in outputs]]

    waiting, shown, last = asyncio.run(visit())
    assert "<progress" in waiting["<progress>"] and "Working …" in waiting["<progress>"]
    assert "Stop" in waiting["<progress>"]
    assert shown == {"<bars>": "one", "<progress>": "", "<applied>": 2}
    assert last["<progress>"] == ""


def test_what_stands_on_the_page_is_dimmed_while_it_is_of_another_picture(
    page_events, visit, controls_of, photo_file
):
    ram = str(example("a-ram").path)
    view = visit.open(controls_of(ram, "scenes-resnet", untrained=False))
    page_events._values = lambda update: {
        "maps": "maps" in update.tab,
        **{f"<{name}>": value for name, value in update.frame.items()},
    }

    def dimmed():
        """Whether each update dims the page, up to the first maps and behind them."""
        found = collected(page_events._answer(view.session))
        first = next(number for number, each in enumerate(found) if each["maps"])
        texts = ['class="cv-outdated"' in each.get("<progress>", "") for each in found]
        assert found[-1]["<progress>"] == ""
        return texts[:first], texts[first:]

    view.session.change(view.controls.with_options(fit="crop"))
    assert not any(map(any, dimmed()))  # of the same picture
    view.session.change(replace(view.controls, picture=photo_file))
    before, behind = dimmed()
    assert before[0] and not any(behind)


def test_an_answer_under_way_is_not_begun_again(page_events, session):
    """Its notices are gone from the session, and would be lost."""
    session.opened = True
    session.touch()
    task = session.begin_answer()
    (update,) = collected(page_events._answer(session))
    assert update == {"<progress>": gr.skip(), "<applied>": 1}
    assert session.answering is task and not task.cancelled
    session.touch()
    assert task.cancelled and session.begin_answer() is not None


def test_who_is_overtaken_does_not_undim_the_page(page_events, session):
    session.opened = True
    task = Task(outdated=True)
    task.cancel()
    session.touch()
    session.begin_answer()
    *_, last = collected(page_events._stream(session, iter(()), task, page_events.works))
    assert last["<progress>"] == gr.skip()


def test_stop_before_there_is_anything_offers_to_try_again(page_events, session):
    stopped = []
    page_events.outputs = []
    page_events.on_stop(lambda handle, *_, **options: stopped.append(handle))
    notice = stopped[0](session)["<notice>"]
    assert "before there was anything to show" in notice and 'data-label="retry:"' in notice
    session.opened = True
    version = session.version
    actions.follow_notice(session, Selection("retry:"))
    assert session.version > version and session.answered != session.version
    session.answers["compare"] = "something"
    notice = stopped[0](session)["<notice>"]
    assert "the last result" in notice and "retry" not in notice


def test_a_change_gives_up_the_answer_under_way(page_events, session):
    """A step that cannot be interrupted ends by itself; nobody waits for it."""
    session.opened = True
    begun, released, closed = threading.Event(), threading.Event(), threading.Event()

    def steps():
        try:
            begun.set()
            released.wait(20)
            yield Update({"bars": "too late"})
        finally:
            closed.set()

    async def visit():
        task = session.answering = Task()
        outputs = page_events._stream(session, steps(), task, page_events.works)
        pending = asyncio.ensure_future(anext(outputs))
        await asyncio.to_thread(begun.wait, 10)
        session.change(replace(session.controls, target="zebra"))
        seen = [await asyncio.wait_for(pending, 5), *[each async for each in outputs]]
        released.set()
        await asyncio.to_thread(closed.wait, 10)
        return seen

    assert asyncio.run(visit()) == [{"<progress>": "", "<version>": session.version_id}]
    assert closed.is_set()


def test_a_visitor_who_leaves_stops_a_download(page_events, session, monkeypatch):
    ended = threading.Event()

    def slow(name, report):
        pause = threading.Event()
        try:
            while not pause.wait(0.005):
                report(1_000_000, 100_000_000)
        finally:
            ended.set()

    monkeypatch.setattr(answer, "download", slow)
    monkeypatch.setattr(events, "SOON", 0.1)
    session.opened = True
    session.change(replace(session.controls, backbone=BackboneChoice("resnet50.a1_in1k")))

    async def visit():
        outputs = page_events._answer(session)
        while "Downloading" not in (text := (await anext(outputs))["<progress>"]):
            pass
        task = asyncio.ensure_future(anext(outputs))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return text

    assert "Downloading resnet50.a1_in1k: 1 of 100 MB" in asyncio.run(visit())
    assert ended.wait(10)


def test_stop_gives_everything_up_and_puts_the_menus_back(session):
    session.loaded = BackboneChoice("scenes-resnet")
    session.answering, work = Task(), Task()
    session.working.add(work)
    session.change(replace(session.controls, backbone=BackboneChoice("resnet50.a1_in1k")))
    session.stop()
    assert session.answering.cancelled and work.cancelled
    assert session.controls.backbone == session.loaded
    assert session.answered == session.version


def test_a_file_is_still_there_in_the_last_update(page_events, session):
    """gradio's download button forgets a file that the last update does not have."""
    steps = iter([Update({"file": "x.zip"})])
    updates = collected(page_events._stream(session, steps, Task(), page_events.works))
    assert updates[-1] == {"<progress>": "", "<file>": "x.zip", "<applied>": 2}


def test_what_is_new_is_sent_as_a_whole():
    blocks = in_a_loop(Page)
    outputs = SimpleNamespace(outputs=[None] * 3)

    def send(*data, final=False):
        return blocks.handle_streaming_diffs(outputs, list(data), "visitor", "run", final)

    assert send({"a": 1, "b": 2}, "x", "same") == [{"a": 1, "b": 2}, "x", "same"]
    assert send({"a": 1}, "xy", "same") == [
        [["replace", [], {"a": 1}]], [["replace", [], "xy"]], []
    ]  # fmt: skip
    assert send(None, None, None, final=True) == [{"a": 1}, "xy", "same"]
    assert not blocks.pending_diff_streams


def test_files_are_served_from_wherever_they_lie(tmp_path, monkeypatch):
    """An environment may lie outside of everything that gradio serves."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    photograph = next(row.path for row in choices.examples_first_known())
    path = served_path(str(photograph))
    assert Path(path).is_relative_to(tmp_path / "uploads")
    assert Path(path).read_bytes() == photograph.read_bytes()
    assert served_path(path) == path and served_path(None) is None


# -- The page ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app():
    return in_a_loop(build_app)


def entries(app, label):
    (found,) = [
        c["props"] for c in app.get_config_file()["components"] if c["props"].get("label") == label
    ]
    return [value for _, value in found["choices"]]


def test_settings_of_papers_are_marked_in_the_controls(app):
    shown = {
        value: text
        for c in app.get_config_file()["components"]
        for text, value in c["props"].get("choices") or ()
        if c["props"].get("elem_id") in ("fuse", "shown-as", "method")
    }
    table = option_table(type(DEFAULT.options))
    marked = [value for name in ("fuse", "views", "method") for value in table[name].papers]
    assert [value for value, text in shown.items() if "paper: " in text] == marked
    assert all(set(row.papers) <= set(marked) for row in table.values() if row.page)


def test_controls_have_the_choices_of_the_engine(app):
    table = option_table(Options)
    assert entries(app, "Method") == [AUTO, *choices.stage_methods()]
    assert entries(app, "Fusion") == list(table["fuse"].values) == ["auto", *FUSIONS]
    for label, name in (
        ("The network sees", "fit"), ("A layer is read", "tap"), ("Cells are drawn", "placement"),
        ("In the gradient", "truncation_mode"), ("Refined map", "refine"),
    ):  # fmt: skip
        assert entries(app, label) == list(table[name].values)


def test_the_denoised_row_opens_as_it_is_before_anybody_chose(app):
    found = {c["props"].get("elem_id"): c["props"] for c in app.get_config_file()["components"]}
    assert found["automatic"]["value"] is True and DEFAULT.truncation == AUTO
    assert found["truncation_mode"]["value"] == DEFAULT.options.truncation_mode
    slider = found["truncation"]
    assert (slider["minimum"], slider["maximum"]) == (0, links.MAX_TRUNCATION)
    assert (slider["value"], slider["step"]) == (LEVEL, 0.01)


def test_events_are_private_and_taken_at_once(app):
    public = {fn.api_name for fn in app.fns.values() if fn.api_visibility != "private"}
    assert public == {"explain", "models", "prototypes"}
    for fn in app.fns.values():
        # what may change under a visitor's hands is not checked against what a menu once held
        assert fn.preprocess is False or fn.api_visibility != "private" or not fn.fn or not fn.queue
        # gradio copies the values of all outputs that progress is shown on, whenever it changes
        shown = fn.outputs if fn.show_progress_on is None else fn.show_progress_on
        assert not shown or fn.fn is None or fn.api_visibility != "private", fn.name
    (answer,) = [fn for fn in app.fns.values() if fn.concurrency_id == "answer"]
    assert answer.trigger_mode == "always_last"  # two at once would be applied in turn


def test_a_tab_is_a_module_and_a_row(session):
    """A toy tab is built, shown and wired by the page as it is."""

    @dataclass(frozen=True)
    class Parts:
        words: Any
        button: Any

    wired = []

    def wire(parts, tab_events):
        wired.append(parts)
        tab_events.keep(parts.words, "words")
        tab_events.on_change(parts.button.click, lambda session, value: session.notify("clicked"))

    def show(session, controls):
        yield Update(tab={"words": f"of {controls.picture}"})

    toy = SimpleNamespace(
        ID="toy", GROUP="Learn", TITLE="Toy", LABEL="Playing …", READS_COVER=False,
        wire=wire, show=show, build=lambda: Parts(gr.Textbox(elem_id="words"), gr.Button("Push")),
    )  # fmt: skip
    app = in_a_loop(lambda: build_app((*TABS, toy)))
    assert len(wired) == 1
    text = json.dumps(app.get_config_file(), default=str)
    assert '"Toy"' in text and '"words"' in text
    places = next(
        c["props"]["value"]
        for c in app.get_config_file()["components"]
        if c["props"].get("elem_id") == "views"
    )
    assert 'data-view="toy"' in places and ">Learn</button>" in places


def test_every_view_has_an_entry_and_a_key():
    groups = page._groups(TABS)
    assert list(groups) == [name for name in GROUPS if name in groups] and len(GROUPS) <= 5
    views = [view for under in groups.values() for view in under]
    assert [view["id"] for view in views] == [tab.ID for tab in TABS]
    keys = [view["key"] for view in views if view["id"] != "collection"]
    digits = [key for key in keys if key.isdigit()]
    assert digits == [str(n % 10) for n in range(1, len(digits) + 1)]
    assert "" not in keys and len(set(keys)) == len(keys), "each has a key of its own"
    assert [view["key"] for view in views if view["id"] == "collection"] == [""]


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
            with urllib.request.urlopen(address, timeout=20) as response:
                return response.read().decode()
        finally:
            app.close(verbose=False)

    text = in_a_loop(visit)
    assert '"title":"camviz"' in text
    assert ".cv-bar" in text  # the style sheet


def test_the_upload_folder_is_gradios(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert get_upload_folder() == str(tmp_path)


def test_a_session_is_made_anew_for_every_visitor():
    import copy

    first = Session()
    first.set("models", "pair", "x")
    second = copy.deepcopy(first)
    assert second is not first and second.get("models", "pair") is None
    assert links.NO_PICTURE == "none"


def test_what_stands_before_the_first_answer_promises_no_work():
    """It stays there when that answer is stopped, or fails."""
    page = in_a_loop(build_app)
    (heading,) = (
        c["props"]["value"]
        for c in page.get_config_file()["components"]
        if c["props"].get("elem_id") == "verdict"
    )
    assert "will be here" in heading and "…" not in heading


# -- On a Space ----------------------------------------------------------------------------------


def words_on_page():
    page = in_a_loop(build_app)
    return " ".join(str(c["props"].get("value")) for c in page.get_config_file()["components"])


def test_who_copies_a_space_is_told_to_choose_its_hardware(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert "Duplicate this Space" not in words_on_page()
    monkeypatch.setenv("SPACE_ID", "somebody/camviz")
    words = words_on_page()
    assert 'href="https://huggingface.co/spaces/somebody/camviz?duplicate=true"' in words
    told = words.partition("Duplicate this Space")[2]
    assert "choose <strong>ZeroGPU</strong>" in told and "needs a PRO account" in told


def test_the_document_on_copies_says_the_same():
    text = " ".join((ROOT / "docs/spaces.md").read_text(encoding="utf-8").split())
    told = text.partition("*Duplicate this Space*")[2][:300]
    assert "preselects CPU Basic, which needs a PRO account; choose ZeroGPU" in told


def test_the_queue_rests_while_nobody_is_there():
    """Gradio's own looks a thousand times a second, and takes a share of a core for it."""
    queue = in_a_loop(build_app)._queue
    assert queue.sleep_when_free >= 0.01 and queue.progress_update_sleep_when_free >= 0.1
