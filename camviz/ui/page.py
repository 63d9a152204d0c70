"""The page: what stands where, and how its parts are connected.

build_app().launch(**launch_options())
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup
from starlette.middleware import Middleware

from camviz.engine.export import check_size
from camviz.environment import environment
from camviz.errors import ImageError
from camviz.resources import GLOSSARY
from camviz.space.spacefile import spacefile
from camviz.ui import actions, api, choices, html, sidebar, strip
from camviz.ui.downloads import bundle
from camviz.ui.events import PRIVATE, PageEvents, take
from camviz.ui.gradio_compat import Page, keep_no_descriptions, look_less_often
from camviz.ui.help import HELP
from camviz.ui.hidden import hidden_value
from camviz.ui.hosting.entrance import Entrance
from camviz.ui.hosting.guard import Guard
from camviz.ui.hosting.housekeeping import housekeeping
from camviz.ui.hosting.uploads import upload_limit, upload_path
from camviz.ui.order import time_of
from camviz.ui.server import Stopping, application
from camviz.ui.state import COMPARE, Selection, Session, Task, Update
from camviz.ui.tabs.base import GROUPS, Tab
from camviz.ui.tabs.table import TABS
from camviz.ui.theme import theme
from camviz.ui.values import by_name
from camviz.ui.viewer import viewer_head
from camviz.ui.viewer.run_collection import collection_style

MENUS = "#backbone, #models-with, #target, #versus, #modules"  # that are searched by typing
CLASSES = "#target, #versus"
IN_LINE = (
    "Many people are here right now, so this waits for its turn. It goes on by itself; you need "
    "not do anything."
)


@dataclass(frozen=True)
class Parts:
    """The components around the tabs, beside those of the sidebar.

    address: the query with which the page was opened; link: what is set now, for the address bar.
    """

    notice: Any
    progress: Any
    strip: Any
    share: Any
    save: Any
    file: Any
    address: Any
    link: Any


def build_app(tabs: Sequence[Tab] = TABS) -> gr.Blocks:
    """The page, ready to be launched. Nothing is loaded before the first visitor comes."""
    with Page(title=spacefile().title, fill_width=True, delete_cache=_kept()) as page:
        session = gr.State(Session())
        with gr.Row(elem_id="head"):
            gr.HTML(html.render("introduction.html"), elem_id="introduction")
            share = gr.Button("Copy link", elem_id="share", size="sm", min_width=0, scale=0)
            save = gr.Button("Download zip", elem_id="save", size="sm", min_width=0, scale=0)
            file = gr.DownloadButton("Download", elem_id="zip", visible="hidden")
        with gr.Row(elem_id="page"):
            with gr.Column(elem_id="left", scale=0, min_width=0):
                left = sidebar.build()
                address = gr.Textbox(visible=False)
            with gr.Column(elem_id="right", min_width=0):
                moving = html.script("progress.js")
                notice = gr.HTML(elem_id="notice", js_on_load=html.script("notice.js"))
                progress = gr.HTML(elem_id="progress", js_on_load=moving)
                row = gr.HTML(elem_id="strip", js_on_load=html.script("picture-strip.js"))
                gr.HTML(html.render("views.html", groups=_groups(tabs)), elem_id="views")
                with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
                    built = []
                    for tab in tabs:
                        with gr.Tab(tab.TITLE, id=tab.ID, elem_id=f"view-{tab.ID}") as item:
                            built.append((tab, item, tab.build()))
        with gr.Accordion("What the words mean", open=False, elem_id="glossary"):
            gr.Markdown(GLOSSARY.read_text(encoding="utf-8"))
        gr.HTML(html.script("present/projector.html"), elem_id="projector")
        link = hidden_value("viewer-link.js")
        parts = Parts(notice, progress, row, share, save, file, address, link)
        _wire(page, session, left, parts, built)
        api.publish(page)
    page.queue(max_size=spacefile().limits.queue, api_open=False)
    look_less_often(page)
    keep_no_descriptions(page)
    return page


def _kept() -> tuple[int, int]:
    """How often gradio looks for files that are too old, and for how long they are kept, in s.

    The storage deletes them by itself; what it does not hold, and all when the server is stopped,
    is deleted by gradio.
    """
    seconds = max(1, int(environment().keep_minutes * 60))
    return max(1, seconds // 2), seconds


def _groups(tabs: Sequence[Tab]) -> dict[str, list[dict[str, str]]]:
    """The views under every entry that has one; ten of them open by a key each, in order.

    A tab that says what its `KEY` is takes none of these.
    """
    ordered = sorted(tabs, key=lambda tab: GROUPS.index(tab.GROUP))
    found: dict[str, list[dict[str, str]]] = {}
    keys = iter("1234567890")
    for tab in ordered:
        key = getattr(tab, "KEY", None)
        key = next(keys, "") if key is None else key
        found.setdefault(tab.GROUP, []).append({"id": tab.ID, "title": tab.TITLE, "key": key})
    return found


def _wire(
    page: gr.Blocks,
    session: gr.State,
    left: sidebar.Parts,
    parts: Parts,
    built: Sequence[tuple[Tab, gr.Tab, Any]],
) -> None:
    around = by_name(left) | by_name(parts)
    events = PageEvents(session, around, [(tab, made) for tab, _, made in built])
    page.load(
        _open,
        [session, left.picture],
        [left.backbone, left.offered, left.family, left.source, left.starters, events.version_id],
        **PRIVATE,
    )
    scripts = (
        html.script("views.js"),
        html.call("search-menus.js", MENUS, CLASSES),
        html.call("help-marks.js", HELP),
        html.call("walk-views.js", COMPARE),
        html.script("open-glossary.js"),
        html.script("restart.js"),
        html.script("skip-link.js"),
        html.script("one-tab.js"),
        html.script("gradio-names.js"),
        html.call("wait-in-line.js", IN_LINE),
    )
    for script in scripts:
        page.load(None, None, None, js=script, api_visibility="private")
    for tab, item, made in built:
        item.select(
            _opener(tab.ID),
            [session, parts.address],
            events.version_id,
            js=html.call("keep-tab.js", "" if tab.ID == COMPARE else tab.ID),
            queue=False,
            **PRIVATE,
        )
        tab.wire(made, events.tab_events(tab))
    sidebar.wire(left, events)
    events.on_change(parts.strip.select, strip.click)
    events.on_work(left.add.upload, strip.add, "Opening …", left.add)
    events.on_change(parts.notice.select, actions.follow_notice)
    events.on_stop(parts.progress.select)
    _wire_downloads(events, parts, left.saved)


def _wire_downloads(events: PageEvents, parts: Parts, size: Any) -> None:
    parts.share.click(None, None, None, js=html.script("copy-link.js"), api_visibility="private")
    addressed = html.script("with-address.js")
    saved = events.on_work(parts.save.click, _save, "Packing …", size, parts.address, js=addressed)
    saved.then(None, parts.file, None, js=html.script("save-file.js"), api_visibility="private")


def _save(session: Session, given: Sequence[Any], task: Task) -> Any:
    """Everything shown, as one file. given: the size of its pictures, and the address."""
    size, address = given
    file = bundle.make_zip(
        session.controls, str(address or ""), task, check_size(size), session.key
    )
    yield Update({"file": str(file)})


def _opener(tab: str) -> Any:
    async def open_tab(session: Session, opened: Any) -> str:
        if opened:  # gradio tells of the first tab too, perhaps behind the one of a link
            async with session.order.turn(time_of(opened)):
                await asyncio.to_thread(session.open_tab, tab)
        return session.version_id

    return open_tab


async def _open(session: Session, picture: Any, request: gr.Request) -> list[Any]:
    """A visitor comes: look up what can be chosen right now, and set what the link says."""
    choices.available.cache_clear()
    query = dict(request.query_params)

    def follow(session: Session, _: Any) -> None:
        path = _given(picture)
        session.mirror["picture"] = path
        actions.open_link(session, query, path)

    await asyncio.to_thread(take, session, follow, Selection(None))
    offered = choices.filtered(choices.ANY, choices.ANY)
    return [
        gr.update(choices=offered, value=session.controls.backbone.name),
        {"models-with": [label for label, _ in offered]},
        gr.update(choices=choices.families(), value=choices.ANY),
        gr.update(choices=choices.sources(), value=choices.ANY),
        html.render("starters.html", starters=choices.starters()),
        session.version_id,
    ]


def _given(picture: Any) -> str | None:
    """The path of the picture with which the page was opened; None for what is no upload."""
    try:
        return None if picture is None else upload_path(picture)
    except ImageError:
        return None


def _still() -> str:
    """What the head of the page needs so that nothing moves for those who ask for less motion."""
    return html.render("still.html", script=Markup(html.script("still.js")))


def launch_options(stopping: Stopping | None = None) -> dict[str, Any]:
    """What `launch` is given: looks, limits, headers, and that nothing is recorded.

    stopping: says when the server is about to stop.
    """
    scripts = "\n".join(
        f"<script>\n{html.script(name)}</script>"
        for name in ("early-views.js", "keep-click.js", "paper.js")
    )
    head = f"{_still()}\n{scripts}\n{viewer_head()}"
    return {
        "theme": theme(),
        "css": html.script("page.css")
        + html.script("finding.css")
        + html.script("teach/teach.css")
        + html.script("guess/guess.css")
        + html.script("limits/limits.css")
        + html.script("present/present.css")
        + html.script("camera/camera.css")
        + f"#page {{\n{collection_style()}}}",
        "head": head,
        "app_kwargs": application(
            stopping,
            head=head,
            within=[Middleware(Guard), Middleware(Entrance)],
            lifespan=housekeeping,
        ),
        "max_file_size": upload_limit(),
        "mcp_server": api.agents(),
        "footer_links": ["api", "settings"],
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
    }
