"""The bridge to gradio: from its events to actions, from updates to its components.

Every event of a control is taken at once: an action changes the session, without waiting for any
queue, and the page asks for an answer. A newer change gives the answer under way up, and asks for
the next one, which begins when the browser has all of the one before: two answers at once would be
applied message by message in turn, and an old one could end up on top. So the page ends with the
answer to the last change, however fast events come.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import gradio as gr

from camviz.environment import environment
from camviz.errors import CamvizError
from camviz.turns import ANSWER, Stopped, quick, stoppable
from camviz.ui import html
from camviz.ui.answer import answer
from camviz.ui.given import read_plain
from camviz.ui.gradio_compat import OF_VALUES, REPEATED_LAST, WITH_DATA, running_address
from camviz.ui.hidden import hidden_value
from camviz.ui.hosting.caller import Caller
from camviz.ui.hosting.limits import storage, works
from camviz.ui.hosting.pool import TICK, Pool, ended, give_up
from camviz.ui.hosting.records import log_unexpected, recorded_steps, sentence_for
from camviz.ui.hosting.uploads import is_upload
from camviz.ui.notices import with_notices
from camviz.ui.order import time_of
from camviz.ui.state import (
    COMPARE,
    Menu,
    Selection,
    Session,
    Task,
    Update,
)
from camviz.ui.tabs.base import Action, Glance, Tab, Work
from camviz.ui.values import by_name, component_value, plain, selection

SOON = 0.5  # seconds: what takes longer is announced
ANSWERS = 16  # how many visitors are answered at once
STOPPED = "Stopped. What is shown is the last result that was finished."
STOPPED_EMPTY = "Stopped before there was anything to show."

Outputs = dict[Any, Any]  # component -> its new value


class PageEvents:
    """Connects the controls of a page; `tab_events` gives a tab its own view of it."""

    def __init__(self, session: gr.State, frame: Any, tabs: Sequence[tuple[Tab, Any]]) -> None:
        """frame: the parts around the tabs, by name; tabs: each with its parts."""
        self.session = session
        self.clock = gr.Number(visible=False)
        # The number of the last update that the browser has; see `Session.note_control`.
        self.applied = hidden_value("answered.js", 0)
        # Which version of which session is to be answered. Each new value asks for an answer.
        self.version_id = hidden_value("wake.js", "")
        self.frame = dict(frame)
        self.tabs = [tab for tab, _ in tabs]
        self.parts = {tab.ID: by_name(parts) for tab, parts in tabs}
        # As many as may be under way, and as many again for what was given up and is to end yet.
        self.answers = Pool(2 * ANSWERS, "answer")
        self.works = Pool(environment().works, "work")
        self.outputs = [self.applied, self.version_id, *self.frame.values()]
        for parts in self.parts.values():
            self.outputs += [part for part in parts.values() if part not in self.outputs]
        self.version_id.change(
            self._answer,
            self.session,
            self.outputs,
            concurrency_id="answer",
            concurrency_limit=ANSWERS,
            trigger_mode=OF_VALUES,
            **PRIVATE,
        )
        self.version_id.click(_wake, None, None, trigger_mode="multiple", **PRIVATE)

    # -- Connecting --

    def on_work(
        self, trigger: Any, work: Work, label: str, *inputs: Any, js: str | None = None
    ) -> Any:
        """Do work that takes a while when an event comes; then answer the page.

        js: runs first, with the session and the inputs as its values.
        """

        async def handle(session: Session, *values: Any) -> AsyncIterator[Outputs]:
            async for outputs in self._stream_work(session, work, label, values, inputs):
                yield outputs

        return trigger(
            handle,
            [self.session, *inputs],
            self.outputs,
            concurrency_id="work",
            concurrency_limit=environment().works,
            trigger_mode=OF_VALUES,
            js=js,
            **PRIVATE,
        )

    def on_stop(self, trigger: Any) -> None:
        """Give up everything under way, and say so."""

        def stop(session: Session) -> Outputs:
            session.stop()
            notice = html.notice(STOPPED)
            if not session.answers:
                notice = html.notice(STOPPED_EMPTY, {"retry:": "Try again"})
            shown = {"progress": "", "notice": notice, **self._back(session)}
            return self._message(session, Update(shown))

        trigger(stop, self.session, self.outputs, queue=False, **PRIVATE)

    def tab_events(self, tab: Tab) -> "TabEvents":
        return TabEvents(self, tab)

    def on_change(self, trigger: Any, action: Action, *inputs: Any) -> None:
        """Call an action when an event comes, at once; then answer the page."""
        options = {"queue": False, "js": html.script("when.js"), **PRIVATE}
        if getattr(trigger, "event_name", "") == "select":

            async def on_select(session: Session, happened: Any, event: gr.EventData) -> str:
                async with session.order.turn(time_of(happened)):
                    await asyncio.to_thread(take, session, action, event._data, read=selection)
                return session.version_id

            given = [self.session, self.clock]
            trigger(on_select, given, self.version_id, trigger_mode=WITH_DATA, **options)
            return

        controls = {**self.parts.get(COMPARE, {}), **self.frame}
        names = {name: inputs.index(part) for name, part in controls.items() if part in inputs}
        read = partial(plain, controls=inputs)

        async def on_values(session: Session, happened: Any, applied: Any, *values: Any) -> str:
            shown = {name: values[index] for name, index in names.items()}
            number = int(time_of(applied))
            async with session.order.turn(time_of(happened)):
                await asyncio.to_thread(take, session, action, values, shown, number, read=read)
            return session.version_id

        given = [self.session, self.clock, self.applied, *inputs]
        trigger(on_values, given, self.version_id, trigger_mode=OF_VALUES, **options)

    def on_gesture(self, trigger: Any, glance: Glance, shown: Any) -> None:
        """Show what comes of a gesture while it goes on; see `camviz.ui.tabs.base.Events`."""

        async def look(session: Session, event: gr.EventData) -> Any:
            return await asyncio.wrap_future(
                self.answers.begin(glimpse, session, glance, event._data)
            )

        trigger(look, self.session, shown, queue=False, trigger_mode=WITH_DATA, **PRIVATE)

    # -- Answering --

    async def _answer(self, session: Session) -> AsyncIterator[Outputs]:
        """The answer to everything that was set, unless it is on the page already."""
        task = await asyncio.to_thread(session.begin_answer)
        if task is None:
            progress = gr.skip() if session.is_answering else ""
            yield self._message(session, Update({"progress": progress}))
            return
        answered = recorded_steps("answer", session.tab, answer(session, task, self.tabs))
        steps = with_notices(session, answered, self.tabs)
        async for outputs in self._stream(session, steps, task, self.answers):
            yield outputs

    async def _stream_work(
        self,
        session: Session,
        work: Work,
        label: str,
        values: Sequence[Any],
        inputs: Sequence[Any],
    ) -> AsyncIterator[Outputs]:
        task = Task(label)
        session.working.add(task)

        def steps() -> Iterator[Update]:
            works().take(session.key)
            yield from work(session, claimed(session, plain(values, inputs)), task)

        name = getattr(work, "__name__", "work").strip("_")
        guarded = with_notices(session, recorded_steps("work", name, steps()), self.tabs)
        try:
            async for outputs in self._stream(session, guarded, task, self.works):
                yield outputs
        finally:
            session.working.discard(task)

    async def _stream(
        self, session: Session, steps: Iterator[Update], task: Task, pool: Pool
    ) -> AsyncIterator[Outputs]:
        """The updates of steps, each made in a thread; what takes longer than `SOON` is announced.

        A task that was cancelled ends at once, and one is cancelled when its client is gone or its
        time is over: its step is left to end by itself, before it runs a network again, and what it
        returns is dropped. An event that yields nothing would clear all outputs, so that the last
        update is always one.
        """
        advance = _answer_on if pool is self.answers else _advance
        end, announced, waited, begun = object(), "", 0.0, session.version_id
        caller, step = Caller.current(), None
        file: dict[str, Any] = {}
        try:
            if task.outdated:
                announced = html.progress(None, outdated=True)
                yield self._message(session, Update({"progress": announced}))
            while not task.cancelled:
                step = pool.begin(advance, steps, end, task)
                while not await ended(step) and not task.cancelled:
                    caller.check(task)
                    waited += TICK
                    label = task.label if waited >= SOON else None
                    shown = html.progress(label, task.share, task.outdated)
                    if shown != announced and round(waited / TICK) % round(SOON / TICK) == 0:
                        announced = shown
                        yield self._message(session, Update({"progress": shown}))
                if task.cancelled:
                    break
                update = step.result()
                if not isinstance(update, Update):
                    break
                if not task.cancelled:
                    waited, announced = 0.0, ""
                    if update.tab:
                        task.outdated = False  # what stands there now is of the new picture
                    file = {k: v for k, v in update.frame.items() if k in REPEATED_LAST}
                    around = {"progress": "", **update.frame}
                    yield self._message(session, replace(update, frame=around))
        except (asyncio.CancelledError, GeneratorExit):
            task.cancel()
            raise
        finally:
            if step is not None:
                give_up(step, lambda: _close(steps))
        last = gr.skip() if task.cancelled and session.is_answering else ""
        final = Update({"progress": last, **file})
        if task.reason:
            await asyncio.to_thread(session.stop)
            final = Update(
                {**final.frame, "notice": html.notice(task.reason), **self._back(session)}
            )
        if session.version_id != begun:  # one more answer is to come: nothing is counted as its own
            yield {**self._values(final), self.version_id: session.version_id}
        else:
            yield self._message(session, final)

    def _message(self, session: Session, update: Update) -> Outputs:
        """An update as gradio takes it, by component, with the next number."""
        return {**self._values(update), self.applied: session.note_sent(update.mirror)}

    def _values(self, update: Update) -> Outputs:
        found = {self.frame[name]: component_value(name, v) for name, v in update.frame.items()}
        if update.tab:
            parts = self.parts[update.of]
            found |= {parts[name]: component_value(name, v) for name, v in update.tab.items()}
        return found

    def _back(self, session: Session) -> dict[str, Any]:
        """The controls of the backbone and the method as the session has them."""
        choice, method = session.controls.backbone, session.controls.options.method
        if choice.name is None:
            return {}
        return {"backbone": Menu(choice.name), "untrained": choice.untrained, "method": method}


class TabEvents:
    """How a tab connects its controls: `camviz.ui.tabs.base.Events`."""

    def __init__(self, page: PageEvents, tab: Tab) -> None:
        self.page, self.tab = page, tab

    def keep(self, component: Any, name: str) -> None:
        """Keep what a control is set to, for `session.get(ID, name)`."""

        def set_it(session: Session, value: Any) -> None:
            session.set(self.tab.ID, name, value)

        self.page.on_change(component.input, set_it, component)

    def on_change(self, trigger: Any, action: Action, *inputs: Any) -> None:
        self.page.on_change(trigger, action, *inputs)

    def on_work(
        self, trigger: Any, work: Work, label: str, *inputs: Any, js: str | None = None
    ) -> None:
        self.page.on_work(trigger, work, label, *inputs, js=js)

    def on_gesture(self, trigger: Any, glance: Glance, shown: Any) -> None:
        self.page.on_gesture(trigger, glance, shown)


# What every event of the page has in common: it is no endpoint for programs, and values come as
# the browser sends them, because menus change under a visitor's hands. Progress is shown on
# nothing: of all outputs, also where it is hidden, gradio copies the values at every change of an
# event's state, the maps with them, which was half of what opening the page cost the browser.
PRIVATE: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "show_progress_on": (),
    "preprocess": False,
}


def take(
    session: Session,
    action: Action,
    value: Any,
    shown: Mapping[str, Any] = MappingProxyType({}),
    applied: int = 0,
    read: Callable[[Any], Any] = plain,
) -> None:
    """Run an action; an error becomes a notice.

    The session is locked meanwhile: what an action reads is what it changes. shown: what controls
    were set to in the browser, by their names; applied: see `Session.note_control`. read: makes of
    a value what the action takes, and refuses what no browser sends.
    """
    try:
        given = value if isinstance(value, Selection) else claimed(session, read(value))
        with session.lock:
            for name, now in shown.items():
                session.note_control(name, now, applied)
            action(session, given)
    except Stopped:
        return
    except CamvizError as error:
        session.mirror.clear()  # the control that was touched may show what is not set
        session.notify(html.notice(html.sentence(error)))
    except Exception as error:
        sentence = sentence_for(error, getattr(action, "__name__", "an action"))
        session.notify(html.notice(html.sentence(sentence)))


def claimed(session: Session, given: Any) -> Any:
    """Values of inputs, the same; the uploads among them are the session's from now on."""
    for value in given if isinstance(given, list) else [given]:
        if isinstance(value, list):
            claimed(session, value)
        elif isinstance(value, str) and is_upload(value):
            storage().claim(session.key, value, before=running_address())
    return given


def glimpse(session: Session, glance: Glance, data: Any) -> Any:
    """What comes of a gesture, or None: what is wrong is said by the answer at its end."""
    try:
        with quick():
            return glance(session, read_plain("a gesture", data))
    except CamvizError:
        return None
    except Exception as error:
        log_unexpected(error, getattr(glance, "__name__", "a glance"))
        return None


def _advance(steps: Iterator[Any], end: Any, task: Task) -> Any:
    """The next of the steps; the work on it ends soon after the task was cancelled."""
    with stoppable(task.check):
        return next(steps, end)


def _answer_on(steps: Iterator[Any], end: Any, task: Task) -> Any:
    """The same of an answer, which has precedence over work."""
    with quick(task.begun, ANSWER):
        return _advance(steps, end, task)


def _wake() -> None:
    """Does nothing: that the browser sends an event opens its stream of answers."""


def _close(steps: Iterator[Any]) -> None:
    close: Callable[[], None] | None = getattr(steps, "close", None)
    if close is not None:
        close()
