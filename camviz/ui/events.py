"""The bridge to gradio: from its events to actions, from updates to its components.

Every event of a control is taken at once: an action changes the session, without waiting for any
queue, and the page asks for an answer. A newer change gives the answer under way up, and asks for
the next one, which begins when the browser has all of the one before: two answers at once would be
applied message by message in turn, and an old one could end up on top. So the page ends with the
answer to the last change, however fast events come.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import gradio as gr

from camviz.errors import CamvizError
from camviz.ui import html
from camviz.ui.answer import answer
from camviz.ui.gradio_compat import OF_VALUES, REPEATED_LAST, WITH_DATA
from camviz.ui.notices import UNEXPECTED, with_notices
from camviz.ui.order import time_of
from camviz.ui.state import (
    COMPARE,
    Menu,
    Selection,
    Session,
    Stopped,
    Task,
    Update,
)
from camviz.ui.tabs.base import Action, Tab, Work
from camviz.ui.values import by_name, component_value, plain

log = logging.getLogger(__name__)

SOON = 0.5  # seconds: what takes longer is announced
TICK = 0.05  # seconds: how often a running step is checked for being given up
ANSWERS, WORKS = 8, 4  # how many visitors are answered, and do long work, at once
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
        self.asked = hidden_value("wake.js", "")
        self.frame = dict(frame)
        self.tabs = [tab for tab, _ in tabs]
        self.parts = {tab.ID: by_name(parts) for tab, parts in tabs}
        self.outputs = [self.applied, self.asked, *self.frame.values()]
        for parts in self.parts.values():
            self.outputs += [part for part in parts.values() if part not in self.outputs]
        self.asked.change(
            self._answer,
            self.session,
            self.outputs,
            concurrency_id="answer",
            concurrency_limit=ANSWERS,
            trigger_mode=OF_VALUES,
            **PRIVATE,
        )
        self.asked.click(_wake, None, None, trigger_mode="multiple", **PRIVATE)

    # -- Connecting --

    def on_work(
        self, trigger: Any, work: Work, label: str, *inputs: Any, js: str | None = None
    ) -> Any:
        """Do work that takes a while when an event comes; then answer the page.

        js: runs first, with the session and the inputs as its values.
        """

        async def handle(session: Session, *values: Any) -> AsyncIterator[Outputs]:
            async for outputs in self._stream_work(session, work, label, values):
                yield outputs

        return trigger(
            handle,
            [self.session, *inputs],
            self.outputs,
            concurrency_id="work",
            concurrency_limit=WORKS,
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

            async def on_select(session: Session, happened: Any, event: gr.SelectData) -> str:
                chosen = Selection(event.value, event.index or 0, bool(event.selected))
                async with session.order.turn(time_of(happened)):
                    await asyncio.to_thread(take, session, action, chosen)
                return session.question

            given = [self.session, self.clock]
            trigger(on_select, given, self.asked, trigger_mode=WITH_DATA, **options)
            return

        controls = {**self.parts.get(COMPARE, {}), **self.frame}
        names = {name: inputs.index(part) for name, part in controls.items() if part in inputs}

        async def on_values(session: Session, happened: Any, applied: Any, *values: Any) -> str:
            shown = {name: values[index] for name, index in names.items()}
            async with session.order.turn(time_of(happened)):
                await asyncio.to_thread(take, session, action, values, shown, int(time_of(applied)))
            return session.question

        given = [self.session, self.clock, self.applied, *inputs]
        trigger(on_values, given, self.asked, trigger_mode=OF_VALUES, **options)

    # -- Answering --

    async def _answer(self, session: Session) -> AsyncIterator[Outputs]:
        """The answer to everything that was set, unless it is on the page already."""
        task = await asyncio.to_thread(session.begin_answer)
        if task is None:
            progress = gr.skip() if session.is_answering else ""
            yield self._message(session, Update({"progress": progress}))
            return
        steps = with_notices(session, answer(session, task, self.tabs), self.tabs)
        async for outputs in self._stream(session, steps, task):
            yield outputs

    async def _stream_work(
        self, session: Session, work: Work, label: str, values: Sequence[Any]
    ) -> AsyncIterator[Outputs]:
        task = Task(label)
        session.working.add(task)

        def steps() -> Iterator[Update]:
            yield from work(session, plain(values), task)

        guarded = with_notices(session, steps(), self.tabs)
        try:
            async for outputs in self._stream(session, guarded, task):
                yield outputs
        finally:
            session.working.discard(task)

    async def _stream(
        self, session: Session, steps: Iterator[Update], task: Task
    ) -> AsyncIterator[Outputs]:
        """The updates of steps, each made in a thread; what takes longer than `SOON` is announced.

        A task that was cancelled ends at once: its step is left to end by itself, and what it
        returns is dropped. Networks are locked and restored by those who run them. An event that
        yields nothing would clear all outputs, so that the last update is always one.
        """
        end, announced, waited, begun = object(), "", 0.0, session.question
        file: dict[str, Any] = {}
        try:
            if task.outdated:
                announced = html.progress(None, outdated=True)
                yield self._message(session, Update({"progress": announced}))
            while not task.cancelled:
                step = asyncio.ensure_future(asyncio.to_thread(next, steps, end))
                while not (await asyncio.wait({step}, timeout=TICK))[0] and not task.cancelled:
                    waited += TICK
                    label = task.label if waited >= SOON else None
                    shown = html.progress(label, task.share, task.outdated)
                    if shown != announced and round(waited / TICK) % round(SOON / TICK) == 0:
                        announced = shown
                        yield self._message(session, Update({"progress": shown}))
                if task.cancelled:
                    step.add_done_callback(lambda _: _close(steps))
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
        last = gr.skip() if task.cancelled and session.is_answering else ""
        ended = Update({"progress": last, **file})
        if session.question != begun:  # one more answer is to come: nothing is counted as its own
            yield {**self._values(ended), self.asked: session.question}
        else:
            yield self._message(session, ended)

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
        """The controls of the backbone as the session has them."""
        choice = session.controls.backbone
        return {"backbone": Menu(choice.name), "untrained": choice.untrained} if choice.name else {}


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

    def on_work(self, trigger: Any, work: Work, label: str, *inputs: Any) -> None:
        self.page.on_work(trigger, work, label, *inputs)


# What every event of the page has in common: it is no endpoint for programs, and values come as
# the browser sends them, because menus change under a visitor's hands.
PRIVATE: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "preprocess": False,
}


def take(
    session: Session,
    action: Action,
    value: Any,
    shown: Mapping[str, Any] = MappingProxyType({}),
    applied: int = 0,
) -> None:
    """Run an action; an error becomes a notice.

    The session is locked meanwhile: what an action reads is what it changes. shown: what controls
    were set to in the browser, by their names; applied: see `Session.note_control`.
    """
    try:
        given = value if isinstance(value, Selection) else plain(value)
        with session.lock:
            for name, now in shown.items():
                session.note_control(name, now, applied)
            action(session, given)
    except Stopped:
        return
    except CamvizError as error:
        session.mirror.clear()  # the control that was touched may show what is not set
        session.notify(html.notice(html.sentence(error)))
    except Exception:
        log.exception("unexpected error in %s", getattr(action, "__name__", action))
        session.notify(html.notice(UNEXPECTED))


def hidden_value(script: str, value: Any = None) -> gr.HTML:
    """An invisible component that holds a value in the browser; a script runs when it changes."""
    return gr.HTML(
        value, html_template="<i hidden></i>", js_on_load=html.script(script), visible="hidden"
    )


def _wake() -> None:
    """Does nothing: that the browser sends an event opens its stream of answers."""


def _close(steps: Iterator[Any]) -> None:
    close: Callable[[], None] | None = getattr(steps, "close", None)
    if close is not None:
        close()
