"""The page: what stands where, and which control asks what.

    build_app().launch(**launch_options())

`answered` is the one place where an error becomes a sentence.
"""

import asyncio
import json
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from html import escape
from typing import Any, Literal

import gradio as gr

from camviz.engine.explanation import PlacementKind
from camviz.errors import BackboneError, CamvizError, ImageError, WeightsError
from camviz.examples import EXAMPLES, example
from camviz.maps.fusion import FUSIONS
from camviz.network.hub import Stopped, download, needs_download
from camviz.network.stages import TapKind
from camviz.resources import ASSETS
from camviz.space.spacefile import spacefile
from camviz.ui import (
    api,
    choices,
    compare_tab,
    links,
    methods_tab,
    models_tab,
    pictures_tab,
    prototypes_tab,
)
from camviz.ui.compare_tab import (
    DEFAULT,
    NOBODY,
    TOP,
    WAIT,
    Ask,
    View,
    Work,
    chosen_class,
    chosen_stages,
    new_backbone,
    new_bank,
    new_example,
    new_picture,
    nothing,
    notice_html,
    own_bank,
    progress_html,
    reopened,
    same_picture,
    sentence,
)
from camviz.ui.downloads import bundle
from camviz.ui.viewer import Viewer

log = logging.getLogger(__name__)

TAPS: tuple[tuple[str, TapKind], ...] = (
    ("after the last activation", "activation"),
    ("as the stage puts it out", "output"),
)
PLACEMENTS: tuple[tuple[str, PlacementKind], ...] = (
    ("evenly spread", "plain"),
    ("where they were measured to look", "true"),
)
FITS = (("the whole picture, stretched", "stretch"), ("the model's own centre crop", "crop"))
# What is announced while a first view, and whatever comes after it, takes its time.
DOING = ("Looking at the picture …", "Looking for prototypes …")
SOON = 0.5  # seconds: what takes longer says that it is at work

# Every output of an answer: pieces of the page, menus, and what is held of a visit.
PIECES = (
    "notice", "verdict", "maps", "bars", "network", "denoising", "learned", "picture", "progress",
    "strip",
)  # fmt: skip
MENUS = ("target", "versus", "stages", "modules")
FETCHED = ("wanted", "raw")  # what they choose may have to be downloaded
CONTROLS = (*FETCHED, "method")
HELD = (
    "backbone", "untrained", "target", "versus", "stages", "bank", "shown", "answered", "pictures",
)  # fmt: skip
# Every tab but Compare is a module with
#   ID, TITLE, DOING: its name in links and on the page, what is announced while it takes its time
#   PARTS, INPUTS: the names of its components, and which of them `show` is given the values of
#   build(): makes them, by name, where they stand
#   show(ask, *values): yields a `View` whose `tab` is what is new in them; asked for when the tab
#       is opened, and while it is open whenever anything on the left was changed
#   wire(parts, asked, ask): its own events, by the page's `ask`: after ask(event, work, inputs,
#       doing=...) work(ask, *inputs) answers, and yields a `View` as `show` does; clicked=True:
#       work(ask, what was clicked, *inputs)
TABS = (pictures_tab, methods_tab, models_tab, prototypes_tab)
TAB_PARTS = tuple(name for tab in TABS for name in tab.PARTS)
TAB_INPUTS = tuple(name for tab in TABS for name in tab.INPUTS)
COMPARE = "compare"

# The outputs of every answer, in order.
SHOWN = (*PIECES, *MENUS, *CONTROLS, *(f"held {name}" for name in HELD), *TAB_PARTS)
# What a link may set besides, and what narrows the search for a backbone.
OPENED = ("method", "truncation", "fuse", "tap", "fit", "placement")
FILTERS = ("family", "source")
VISIT = (*(name for name in OPENED if name not in CONTROLS), *FILTERS)


# -- The door between page and handlers ----------------------------------------------------------


def read_controls(values: Sequence[Any]) -> Ask:
    """The controls, as a browser sent them: gradio has not looked at them.

    It would open the picture itself, and say of a damaged one that it "could not preprocess input
    component 0"; it would refuse whatever is not among the choices that a menu once had.
    """
    picture, *others = values
    return Ask(None if picture is None else api.uploaded(picture), *others)


def answered(work: Work, controls: Ask | Sequence[Any]) -> Iterator[View]:
    """The one place where an error becomes a sentence; what was shown before stays, but for a
    picture that cannot be opened.

    The menus go back to the backbone in use, if another one could not be had.
    """
    ask = controls if isinstance(controls, Ask) else DEFAULT
    try:
        if not isinstance(controls, Ask):
            ask = read_controls(controls)
        yield from work(ask)
    except BackboneError as error:
        said, actions = sentence(error), dict[str, str]()
        if isinstance(error, WeightsError):
            said, actions = _without_weights(error, ask)
        back = {"wanted": ask.backbone, "raw": ask.untrained} if ask.backbone else None
        yield View(notice_html(said, actions), held=back)
    except ImageError as error:
        yield replace(nothing(ask), notice=notice_html(sentence(error)))
    except CamvizError as error:
        yield View(notice_html(sentence(error)))
    except Stopped:  # nobody waits for an answer any more
        return
    except Exception:
        log.exception("unexpected, in %s", getattr(work, "__name__", work))
        yield View(
            notice_html("Something unexpected happened here; it was written to the server's log.")
        )


def _without_weights(error: WeightsError, ask: Ask) -> tuple[str, dict[str, str]]:
    """What the page can do instead of what the command line could."""
    said = re.split(r"\. (?:Ready without|Give) ", sentence(error))[0].rstrip(".") + "."
    ready = [
        c.name for c in choices.available().values() if c.source in ("own", "bundled", "cached")
    ]
    if ready:
        said += f" Ready here without a download: {', '.join(ready[:4])}."
    others = [name for name in ready if name not in (ask.wanted, ask.backbone)]
    actions = {f"backbone:{name}": f"Use {name}" for name in others[:2]}
    if ask.wanted and not ask.raw:
        actions[f"raw:{ask.wanted}"] = f"Try {ask.wanted} with untrained weights"
    return said, actions


def updates(view: View) -> dict[str, Any]:
    """A view as gradio wants it, by the names of outputs; what is not named stays."""
    found = {name: getattr(view, name, None) for name in PIECES}
    said = {name: value for name, value in found.items() if value is not None}
    for name, menu in (view.menus or {}).items():
        said[name] = (
            gr.update(choices=menu.choices, value=menu.value)
            if menu.choices
            else gr.update(value=menu.value)
        )
    for name, value in (view.held or {}).items():
        said[name if name in CONTROLS else f"held {name}"] = value
    return said | (view.tab or {})


def in_order(said: dict[str, Any]) -> list[Any]:
    return [said.get(name, gr.skip()) for name in SHOWN]


async def stepwise(
    steps: Iterator[View], doing: Sequence[str] = DOING
) -> AsyncIterator[dict[str, Any]]:
    """What steps have to show, each computed in a thread, so that a visitor can leave any time.

    What takes longer than `SOON` is announced. A step that is given up ends by itself: networks
    are locked and put back by those who use them, and nobody looks at what it returns. The last
    thing said is nothing: gradio says whatever comes last twice, and it would clear the page if
    there were nothing to say at all.
    """
    announced, over, number, busy = False, object(), 0, False
    while True:
        step = asyncio.ensure_future(asyncio.to_thread(next, steps, over))
        done, _ = await asyncio.wait({step}, timeout=SOON)
        if not done and not busy:
            announced = True
            yield {"progress": progress_html(doing[min(number, len(doing) - 1)])}
        view = await asyncio.shield(step)
        if not isinstance(view, View):
            break
        said = updates(view)
        yield {"progress": "", **said} if announced else said
        announced, number = False, number + 1
        busy = bool(said.get("progress", busy))
    yield {"progress": ""} if announced or busy else {}


def handler(work: Work) -> Callable[..., AsyncIterator[list[Any]]]:
    """An event function for gradio: values of the controls in, updates of the outputs out."""

    async def handle(*values: Any) -> AsyncIterator[list[Any]]:
        async for said in stepwise(answered(work, values)):
            yield in_order(said)

    return handle


def told(work: Callable[[Ask, Any], Iterator[View]]) -> Callable[..., AsyncIterator[list[Any]]]:
    """The same for something clicked, which says more than the controls."""

    async def handle(event: gr.SelectData, *values: Any) -> AsyncIterator[list[Any]]:
        steps = answered(lambda ask: work(ask, event), values)
        async for said in stepwise(steps):
            yield in_order(said)

    return handle


def working(
    work: Callable[..., Iterator[View]], doing: str, clicked: bool = False
) -> Callable[..., AsyncIterator[list[Any]]]:
    """A tab's own work(ask, *what stands in its own inputs), which come before the controls.

    clicked: what was clicked is given right after the ask.
    """
    count = len(fields(Ask))

    async def handle(*values: Any) -> AsyncIterator[list[Any]]:
        steps = answered(lambda ask: work(ask, *values[:-count]), values[-count:])
        async for said in stepwise(steps, [doing]):
            yield in_order(said)

    async def handle_click(event: gr.SelectData, *values: Any) -> AsyncIterator[list[Any]]:
        async for said in handle(event, *values):
            yield said

    return handle_click if clicked else handle


async def refreshed(tab: str, *values: Any) -> AsyncIterator[list[Any]]:
    """The strip and the tab that is open, as the controls now say; Compare has answered before."""
    count = len(fields(Ask))
    own = dict(zip(TAB_INPUTS, values[count:], strict=True))
    opened = next((one for one in TABS if tab == one.ID), None)

    def work(ask: Ask) -> Iterator[View]:
        yield from pictures_tab.strip(ask)
        if opened is not None:
            yield from opened.show(ask, *(own[name] for name in opened.INPUTS))

    doing = pictures_tab if opened is None else opened
    async for said in stepwise(answered(work, values[:count]), [pictures_tab.DOING, doing.DOING]):
        yield in_order(said)


def clicked_example(ask: Ask, event: gr.SelectData) -> Iterator[View]:
    yield from new_example(ask, str(event.value))


def clicked_strip(ask: Ask, event: gr.SelectData) -> Iterator[View]:
    """A thumbnail, or what removes one or all of them."""
    yield from pictures_tab.clicked(ask, str(event.value))


def clicked_bar(ask: Ask, event: gr.SelectData) -> Iterator[View]:
    """A bar was clicked, or the button beside it that makes the class a rival."""
    label = str(event.value)
    if not event.selected:
        yield from chosen_class(ask, target=label)
    else:
        yield from chosen_class(ask, versus=NOBODY if ask.versus == label else label)


async def opened_page(request: gr.Request, picture: Any) -> AsyncIterator[list[Any]]:
    """A visitor comes: what is on offer right now, and what the link that was followed names."""
    choices.available.cache_clear()
    named, wrong = links.read(dict(request.query_params))
    settings = named.settings()
    usual = choices.default_choice()
    if named.example not in (None, links.UPLOAD, links.NO_PICTURE):
        usual = choices.suitable_backbone(example(named.example), usual)
    ask = replace(
        DEFAULT,
        picture=None if picture is None else api.uploaded(picture),
        wanted=settings.pop("backbone", None) or usual,
        raw=settings.pop("untrained", False),
        **settings,
    )
    said: dict[str, Any] = {name: getattr(ask, name) for name in (*OPENED, "raw")}
    said["wanted"] = gr.update(choices=choices.filtered(choices.ANY, choices.ANY), value=ask.wanted)
    said["family"] = gr.update(choices=choices.families(), value=choices.ANY)
    said["source"] = gr.update(choices=choices.sources(), value=choices.ANY)
    notice = ""
    if named.example in (links.UPLOAD, links.NO_PICTURE):
        ask = replace(ask, picture=None)
        said["picture"] = None
        notice = notice_html(MISSING) if named.example == links.UPLOAD else ""
    elif named.example is not None:
        ask = replace(ask, picture=str(example(named.example).path))
        said["picture"] = ask.picture
    order = [*SHOWN, *VISIT]
    yield [said.get(name, gr.skip()) for name in order]
    async for more in stepwise(answered(lambda ask: reopened(ask, wrong), ask)):
        if notice:
            more["notice"] = notice + more.get("notice", "")
        yield [more.get(name, gr.skip()) for name in order]


MISSING = (
    "This link was made with a picture that its owner had uploaded, and uploads never go into a "
    "link. Everything else is set as it was: give the picture, and you see what they saw."
)


# -- What takes its time -------------------------------------------------------------------------


@dataclass
class Watch:
    """How far a long piece of work has come, and whether it is to be given up."""

    done: int = 0
    of: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def report(self, done: int, of: int, *_: Any) -> None:
        self.done, self.of = max(done, self.done), max(of, self.of)
        if self.over.is_set():
            raise Stopped


async def watched(
    steps: Iterator[View], watch: Watch, say: Callable[[], str]
) -> AsyncIterator[list[Any]]:
    """Long work in a thread; whoever waits for it sees how far it is, and may stop it.

    Other visitors, and everything else on the page, go on meanwhile.
    """
    over = object()
    try:
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(next, steps, over))
            while not (await asyncio.wait({step}, timeout=SOON))[0]:
                share = watch.done / watch.of if watch.of else None
                yield in_order({"progress": progress_html(say(), share)})
            view = step.result()
            if not isinstance(view, View):
                break
            yield in_order({"progress": "", **updates(view)})
    except (asyncio.CancelledError, GeneratorExit):
        watch.over.set()
        raise
    yield in_order({"progress": ""})


async def fetched(*values: Any) -> AsyncIterator[list[Any]]:
    """The weights of the backbone wanted are brought here."""
    watch, wanted = Watch(), [""]

    def fetch(ask: Ask) -> Iterator[View]:
        choice = choices.lookup(ask.wanted)
        wanted[0] = choice.name
        if choice.source == "hub" and not ask.raw:
            download(choice.load, watch.report)
        yield View(None)

    def say() -> str:
        name = escape(wanted[0])
        if not watch.of:
            return f"Asking the model hub for {name} …"
        return f"Downloading {name}: {watch.done / 1e6:.0f} of {watch.of / 1e6:.0f} MB"

    async for said in watched(answered(fetch, values), watch, say):
        yield said


async def learned(
    files: list[Any] | None, clusters: float, *values: Any
) -> AsyncIterator[list[Any]]:
    """Prototypes of the class that is explained, from a visitor's own pictures."""
    watch = Watch()

    def learn(ask: Ask) -> Iterator[View]:
        given = [api.uploaded(file) for file in files or []]
        yield from new_bank(ask, given, watch.report, int(clusters))

    def say() -> str:
        return f"Learning from picture {watch.done + 1} of {watch.of} …"

    async for said in watched(answered(learn, values), watch, say):
        yield said


async def several(files: list[Any] | None, *values: Any) -> AsyncIterator[list[Any]]:
    """More pictures were given: they are opened, and the first of them is looked at."""
    watch = Watch()

    def open_all(ask: Ask) -> Iterator[View]:
        yield from pictures_tab.added(
            ask, [api.uploaded(file) for file in files or []], watch.report
        )

    def say() -> str:
        if watch.of and watch.done == watch.of:
            return DOING[0]
        return f"Opening picture {watch.done + 1} of {watch.of} …" if watch.of else "Opening …"

    async for said in watched(answered(open_all, values), watch, say):
        yield said


def ready_backbone(ask: Ask) -> Iterator[View]:
    """The backbone wanted, if it is another and its weights have come.

    Whoever chooses twice, one after the other, may want what the other choice has brought.
    """
    choice = choices.lookup(ask.wanted)
    if choice.source == "hub" and not ask.raw and needs_download(choice.load):
        return
    if (ask.wanted, ask.raw) != (ask.backbone, ask.untrained):
        yield from new_backbone(ask)


def stopped(backbone: str | None, untrained: bool) -> list[Any]:
    """Everything under way is given up; the menus show what is in use."""
    notice = notice_html("Stopped. What is shown is the last result that was finished.")
    back = {"wanted": backbone, "raw": untrained} if backbone else {}
    return in_order({"progress": "", "notice": notice, **back})


async def quiet() -> str:
    """Nothing is under way any more."""
    await asyncio.sleep(SOON)
    return ""


async def saved(*values: Any) -> AsyncIterator[list[Any]]:
    """Everything shown, as one file; the last value is the address bar."""
    *controls, address = values
    watch, made = Watch(), list[str]()

    def pack(ask: Ask) -> Iterator[View]:
        made.append(str(bundle.zipped(ask, str(address), watch.report)))
        yield View()

    def say() -> str:
        return f"Packing picture {watch.done + 1} of {watch.of} …" if watch.of else "Packing …"

    places = [SHOWN.index(name) for name in ("notice", "progress")]
    async for said in watched(answered(pack, controls), watch, say):
        yield [made[0] if made else gr.update(value=None), *(said[place] for place in places)]


# -- The page itself -----------------------------------------------------------------------------

INTRODUCTION = """
<h1>camviz</h1>
<p>See why an image classifier decided what it decided.</p>"""

SELECT_ALL = "() => { document.querySelector('#backbone input')?.select() }"
# The viewer writes the address bar a moment after a change, or when it is asked to.
UP_TO_DATE = "document.dispatchEvent(new Event('vw-publish'))"
COPY_LINK = """
async () => {
  PUBLISH
  const button = document.querySelector('#share')
  const said = button.textContent
  try {
    await navigator.clipboard.writeText(location.href)
    button.textContent = 'Copied'
  } catch {
    button.textContent = 'Copy it from the address bar'
  }
  setTimeout(() => { button.textContent = said }, 2000)
}""".replace("PUBLISH", UP_TO_DATE)
KEEP_TAB = f"""
() => {{
  if (!window.camvizTabs) return  // gradio itself opens the first one
  const here = new URL(location)
  if ('TAB' === '{COMPARE}') here.searchParams.delete('tab')
  else here.searchParams.set('tab', 'TAB')
  history.replaceState(history.state, '', here)
}}"""
# Gradio forgets which tab a server told it to open; on a phone most stand in a menu.
TAB_NAMED = """
  const openTab = (title, tries = 10) => {
    const places = '#tabs > .tab-wrapper [role=tab], #tabs .overflow-dropdown button'
    const tab = [...document.querySelectorAll(places)].find(
      one => one.textContent.trim() === title && one.checkVisibility({visibilityProperty: true}))
    if (tab || !title || !tries) window.camvizTabs = true
    if (tab) return tab.click()
    if (tries === 5) document.querySelector('#tabs .overflow-menu > button')?.click()
    if (title && tries) setTimeout(() => openTab(title, tries - 1), 200)
  }"""
OPEN_TAB = f"""
() => {{{TAB_NAMED}
  const titles = {json.dumps({tab.ID: tab.TITLE for tab in TABS})}
  openTab(titles[new URLSearchParams(location.search).get('tab')])
}}"""
# A button on Compare leads to where pictures for prototypes are given.
OPEN_GALLERY = f"""{TAB_NAMED}
const unfold = tries => {{
  const head = document.querySelector('#gallery > button')
  if (!head?.checkVisibility()) return tries && setTimeout(() => unfold(tries - 1), 200)
  if (!head.classList.contains('open')) head.click()
  head.scrollIntoView({{block: 'center'}})
  head.focus({{preventScroll: true}})
}}
element.addEventListener('click', event => {{
  if (!event.target.closest('button')) return
  openTab('{prototypes_tab.TITLE}')
  unfold(25)
}})"""
WITH_ADDRESS = f"(...values) => {{ {UP_TO_DATE}; return [...values.slice(0, -1), location.href] }}"
SAVE = "file => { if (file) document.querySelector('#zip')?.click() }"

# One listener for buttons that come and go.
CLICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('button')
  if (!button) return
  const {index, label, rival} = button.dataset
  trigger('select', {index: +(index ?? 0), value: label ?? '', selected: rival === '1'})
})"""


class Page(gr.Blocks):  # type: ignore[misc]
    """A page whose answers cannot be lost.

    Gradio tells a browser how each thing a generator says differs from the one before, and the
    browser changes the one before accordingly: the very object, which it has not shown yet if
    several arrive at once, as they do when an answer overtakes the receipt of its question. What
    had been said would be gone. Here whatever is new is said as a whole.
    """

    def handle_streaming_diffs(
        self,
        block_fn: Any,
        data: list[Any],
        session_hash: str | None,
        run: str | None,
        final: bool,
        simple_format: bool = False,
    ) -> list[Any]:
        later = run in self.pending_diff_streams.get(session_hash, {})
        whole = list(data)
        said = super().handle_streaming_diffs(
            block_fn, data, session_hash, run, final, simple_format
        )
        if not later or final or simple_format:
            return said
        return [edits and [["replace", [], new]] for edits, new in zip(said, whole, strict=True)]


def build_app() -> gr.Blocks:
    """The page, ready to be launched. Nothing is loaded before the first visitor comes."""
    with Page(title=spacefile().title, fill_width=True, delete_cache=(3600, 7200)) as page:
        parts: dict[str, Any] = {}
        with gr.Row(elem_id="head"):
            gr.HTML(INTRODUCTION, elem_id="introduction")
            share = gr.Button("Copy link", elem_id="share", size="sm", min_width=0, scale=0)
            save = gr.Button("Download zip", elem_id="save", size="sm", min_width=0, scale=0)
            file = gr.DownloadButton("Download", elem_id="zip", visible="hidden")
        with gr.Row(elem_id="page"):
            with gr.Column(elem_id="left", scale=0, min_width=0):
                parts |= _left()
            with gr.Column(elem_id="right", min_width=0):
                parts |= {
                    "notice": gr.HTML(elem_id="notice", js_on_load=CLICK),
                    "progress": gr.HTML(elem_id="progress", js_on_load=CLICK),
                    "strip": gr.HTML(elem_id="strip", js_on_load=pictures_tab.STRIP_JS),
                }
                with gr.Tabs(elem_id="tabs"):
                    with gr.Tab("Compare", id=COMPARE) as item:
                        parts |= _compare()
                    items = {COMPARE: item}
                    for tab in TABS:
                        with gr.Tab(tab.TITLE, id=tab.ID) as item:
                            parts |= tab.build()
                        items[tab.ID] = item
        parts["tab"] = gr.State(COMPARE)  # the one that is open
        # What is chosen in a menu that changes with the backbone is held here, and not read off
        # the menu: an event that waits for a backbone would bring what the menu held before.
        for name in HELD:
            parts[f"held {name}"] = gr.State(getattr(DEFAULT, name))
        asked = [parts.get(f"held {field.name}") or parts[field.name] for field in fields(Ask)]
        outputs = [parts[name] for name in SHOWN]
        tabbed = [parts["tab"], *asked, *(parts[name] for name in TAB_INPUTS)]
        running: list[Any] = []

        def ask(
            event: Callable[..., Any],
            fn: Callable[..., Any],
            inputs: list[Any] | None = None,
            outputs: list[Any] = outputs,
            place: str = "engine",
            mode: Literal["always_last", "multiple"] = "always_last",
            doing: str | None = None,
            clicked: bool = False,
            **options: Any,
        ) -> Any:
            """An event that may take a while: announced, one after the other, to be stopped."""
            if doing is not None:
                fn, inputs = working(fn, doing, clicked), [*(inputs or []), *asked]
            made = event(
                fn,
                asked if inputs is None else inputs,
                outputs,
                api_visibility="private",
                concurrency_id=place,
                concurrency_limit=1 if place == "engine" else 4,
                trigger_mode=mode,
                show_progress="hidden",
                preprocess=False,
                **options,
            )
            running.append(made)
            return made

        def show(event: Callable[..., Any], fn: Callable[..., Any], *inputs: Any) -> None:
            """An event that changes what is asked: the tab that is open follows."""
            ask(ask(event, fn, [*inputs, *asked]).then, refreshed, tabbed)

        opened = [*outputs, *(parts[name] for name in VISIT)]
        first = ask(page.load, opened_page, [parts["picture"]], opened)
        ask(first.then, refreshed, tabbed)
        page.load(None, None, None, js=OPEN_TAB, api_visibility="private")
        for name, item in items.items():
            chosen = item.select(
                partial(str, name),
                None,
                parts["tab"],
                js=KEEP_TAB.replace("TAB", name),
                show_progress="hidden",
                api_visibility="private",
                queue=False,
            )
            ask(chosen.then, refreshed, tabbed)

        for name in FETCHED:
            coming = ask(parts[name].input, fetched, place="aside")
            show(coming.then, handler(ready_backbone))
        coming = ask(parts["notice"].select, clicked_notice, place="aside")
        show(coming.then, handler(ready_backbone))
        for name in FILTERS:
            parts[name].input(
                narrowed,
                [parts["family"], parts["source"], parts["wanted"]],
                parts["wanted"],
                api_visibility="private",
                queue=False,
                show_progress="hidden",
            )
        # Not `input`: on a picture that is taken away it still carries the one before.
        show(parts["picture"].change, handler(new_picture))
        show(parts["examples"].select, told(clicked_example))
        show(parts["bars"].select, told(clicked_bar))
        show(parts["add"].upload, several, parts["add"])
        # Each of several clicks counts: pictures are removed faster than maps are made.
        picks = ask(parts["strip"].select, told(clicked_strip), mode="multiple")
        ask(picks.then, refreshed, tabbed)
        show(parts["sheet"].select, clicked_sheet, parts["sheet class"])
        for name in pictures_tab.INPUTS:
            ask(parts[name].input, refreshed, tabbed)
        for name in ("target", "versus"):
            show(parts[name].input, picked(name), parts[name])
        for event in (parts["stages"].input, parts["modules"].input):
            show(event, picked_stages, parts["stages"], parts["modules"])
        for name in OPENED:
            show(parts[name].input, handler(same_picture))
        for tab in TABS:
            tab.wire(parts, asked, ask)
        packed = [file, parts["notice"], parts["progress"]]
        ask(save.click, saved, [*asked, parts["address"]], packed, js=WITH_ADDRESS).then(
            None, file, None, js=SAVE, api_visibility="private"
        )
        given = [parts["gallery"], parts["clusters"], *asked]
        learning = ask(parts["learn"].click, learned, given, place="aside")
        ask(learning.then, refreshed, tabbed)
        show(parts["forget"].click, handler(own_bank))
        share.click(None, None, None, js=COPY_LINK, api_visibility="private")
        parts["wanted"].focus(None, None, None, js=SELECT_ALL, api_visibility="private")
        parts["progress"].select(
            stopped,
            [parts["held backbone"], parts["held untrained"]],
            outputs,
            cancels=running,
            api_visibility="private",
            queue=False,
            show_progress="hidden",
        ).then(  # what was given up may have had a last word
            quiet, None, parts["progress"], api_visibility="private", show_progress="hidden"
        )
        api.publish(page)
    page.queue(max_size=spacefile().limits.queue)
    return page


async def clicked_sheet(
    event: gr.SelectData, explained: str, *values: Any
) -> AsyncIterator[list[Any]]:
    """A map on the sheet was clicked: it is shown large, of the class that the sheet explains."""
    keep = explained == pictures_tab.SAME
    steps = answered(lambda ask: pictures_tab.clicked(ask, str(event.value), keep), values)
    async for said in stepwise(steps):
        yield in_order(said)


def picked(name: str) -> Callable[..., AsyncIterator[list[Any]]]:
    """A class was picked in the menu of that name."""

    async def handle(label: str, *values: Any) -> AsyncIterator[list[Any]]:
        steps = answered(lambda ask: chosen_class(ask, **{name: label}), values)
        async for said in stepwise(steps):
            yield in_order(said)

    return handle


async def picked_stages(
    ticked: list[str], named: list[str], *values: Any
) -> AsyncIterator[list[Any]]:
    """Layers were ticked, or modules named."""
    steps = answered(lambda ask: chosen_stages(ask, ticked, named), values)
    async for said in stepwise(steps):
        yield in_order(said)


async def clicked_notice(event: gr.SelectData, *values: Any) -> AsyncIterator[list[Any]]:
    """A way out that a notice offered: another backbone, or the same one untrained."""
    kind, _, choice = str(event.value).partition(":")
    wanted = {"wanted": choice, "raw": kind == "raw"}
    controls = [
        wanted.get(field.name, value) for field, value in zip(fields(Ask), values, strict=True)
    ]
    async for said in fetched(*controls):
        yield said
    yield in_order(wanted)


def narrowed(family: str, source: str, wanted: str | None) -> Any:
    """The backbones of a family and a source, to choose from."""
    return gr.update(choices=choices.filtered(family, source, wanted), value=wanted)


def _left() -> dict[str, Any]:
    """What is asked: picture, backbone, class, layers, method; the rest folded away."""
    made: dict[str, Any] = {}
    shown = choices.examples_first_known()
    with gr.Row(elem_id="ask-picture", elem_classes="cv-section"):
        made["picture"] = _picture(str(shown[0].path) if shown else None)
        with gr.Column(elem_id="others", scale=0, min_width=0):
            made["examples"] = gr.HTML(
                compare_tab.thumbnails(shown), elem_id="examples", js_on_load=CLICK, min_width=0
            )
            made["add"] = gr.UploadButton(
                "Add pictures",
                file_count="multiple",
                file_types=["image"],
                elem_id="add",
                size="sm",
                min_width=0,
            )
    with gr.Column(elem_id="ask-backbone", elem_classes="cv-section", min_width=0):
        made["wanted"] = _menu("Backbone", "the network asked; type to search", "backbone")
        with gr.Row(elem_id="filters"):
            made["family"] = _slim(
                "Family of backbones", [("any family", choices.ANY)], choices.ANY
            )
            made["source"] = _slim(
                "Where its weights are", [("any source", choices.ANY)], choices.ANY
            )
        made["network"] = gr.HTML(elem_id="network", elem_classes="cv-fine")
    with gr.Column(elem_id="ask-class", elem_classes="cv-section", min_width=0):
        gr.HTML(
            "<h3>It says</h3><p>click to see where, “vs” to compare</p>",
            elem_classes="cv-title",
        )
        made["bars"] = gr.HTML(elem_id="bars", js_on_load=CLICK)
        with gr.Row(elem_id="classes"):
            made["target"] = _slim("Class that is explained", compare_tab.EXPLAINED, TOP, "target")
            made["versus"] = _slim(
                "Class that it is compared with", compare_tab.COMPARED, NOBODY, "versus"
            )
    with gr.Column(elem_id="ask-layers", elem_classes="cv-section", min_width=0):
        made["stages"] = gr.CheckboxGroup(
            label="Layers",
            info="a map each, and one of all ticked",
            elem_id="stages",
            interactive=True,
        )
        made["modules"] = gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            label="Any module, by name",
            elem_id="modules",
            interactive=True,
            container=False,
        )
    with gr.Column(elem_id="ask-method", elem_classes="cv-section", min_width=0):
        made["method"] = _menu(
            "Method",
            "how a layer becomes a map",
            "method",
            _labels(choices.stage_methods().items()),
            DEFAULT.method,
        )
    with gr.Accordion("More settings", open=False, elem_id="settings"):
        made["fuse"] = _menu(
            "Fusion", "how the maps become one", "fuse", _labels(FUSIONS.items()), DEFAULT.fuse
        )
        made["fit"] = _radio("The network sees", "it looks at squares only", FITS, DEFAULT.fit)
        made["tap"] = _radio(
            "A layer is read", "maps are cleaner after an activation", TAPS, DEFAULT.tap
        )
        made["placement"] = _radio(
            "Cells are drawn", "measuring may take a minute, once", PLACEMENTS, DEFAULT.placement
        )
        made["raw"] = gr.Checkbox(
            label="Untrained weights",
            info="to try an architecture without a download: its maps mean nothing",
            value=False,
        )
    made["address"] = gr.Textbox(visible=False)
    return made


def _menu(
    label: str,
    info: str,
    elem_id: str,
    choices: list[tuple[str, str]] | None = None,
    value: str | None = None,
) -> gr.Dropdown:
    return gr.Dropdown(
        choices, value=value, label=label, info=info, elem_id=elem_id, interactive=True
    )


def _slim(
    label: str, choices: list[tuple[str, str]], value: str, elem_id: str | None = None
) -> gr.Dropdown:
    """A menu whose value says what it is for; the label is read out only."""
    return gr.Dropdown(
        choices,
        value=value,
        label=label,
        elem_id=elem_id,
        container=False,
        interactive=True,
        min_width=0,
    )


def _radio(label: str, info: str, choices: Iterable[tuple[str, str]], value: str) -> gr.Radio:
    return gr.Radio(list(choices), value=value, label=label, info=info)


def _picture(path: str | None) -> gr.Image:
    return gr.Image(
        path,
        label="Picture",
        show_label=False,
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard", "webcam"],
        buttons=["fullscreen"],
        alt_text="The picture that is explained",
        height=176,
        min_width=0,
        elem_id="picture",
    )


def _compare() -> dict[str, Any]:
    """Three families of maps, side by side."""
    made: dict[str, Any] = {}
    with gr.Row(elem_id="top"):
        made["verdict"] = gr.HTML(WAIT, elem_id="verdict")
        with gr.Column(elem_id="ask-truncation", scale=0, min_width=0):
            made["truncation"] = gr.Slider(
                0,
                links.MAX_TRUNCATION,
                DEFAULT.truncation,
                step=0.01,
                label="Denoise",
                info="row 2, without gradient noise",
                elem_id="truncation",
                buttons=[],
            )
            made["denoising"] = gr.HTML(elem_id="denoising")
    made["maps"] = Viewer(elem_id="viewer")
    made["learned"] = gr.HTML(elem_id="learned", js_on_load=OPEN_GALLERY)
    return made


def _labels(rows: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(f"{row.label} · {row.paper}", name) for name, row in rows]


def theme() -> gr.themes.Base:
    """Soft, with the fonts of the visitor's own system, calmer labels and legible small print."""
    plain = gr.themes.Soft(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return plain.set(
        background_fill_primary="*neutral_50",  # Soft's own, which set() would forget
        body_text_color_subdued="*neutral_500",
        block_label_background_fill="*background_fill_primary",
        block_label_background_fill_dark="*background_fill_primary",
        block_label_text_color="*body_text_color",
        block_label_text_size="*text_sm",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_padding="0",
        block_title_text_color="*body_text_color",
        block_title_text_size="*text_sm",
        checkbox_border_color="*neutral_400",
        checkbox_label_background_fill_selected="*primary_100",
        checkbox_label_background_fill_selected_dark="*primary_900",
        checkbox_label_text_color_selected="*body_text_color",
    )


def launch_options() -> dict[str, Any]:
    """What `launch` is told: looks, limits, and that nothing is recorded."""
    return {
        "theme": theme(),
        "css_paths": [ASSETS / "style.css"],
        "allowed_paths": [str(EXAMPLES)],
        "max_file_size": api.upload_limit(),
        "mcp_server": api.agents(),
        "footer_links": ["api", "settings"],
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
    }
