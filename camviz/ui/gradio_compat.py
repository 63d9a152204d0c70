"""Work-arounds for Gradio, each with the link of its upstream issue or the words "not reported"."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import BlocksConfig
from gradio.context import LocalContext
from gradio.processing_utils import save_file_to_cache
from gradio.queueing import Event
from gradio.route_utils import GradioMultiPartParser, MultiPartException
from gradio.utils import get_upload_folder

__all__ = ["Event"]

log = logging.getLogger(__name__)

NOTHING_TO_DO = "this event runs in the browser alone; the endpoints for programs are at ?view=api"
UNEXPECTED = "something unexpected happened; it was written to the server's log"
UNREADABLE = (
    "what was sent cannot be read: files come by upload only, and the endpoints say at ?view=api "
    "what they take"
)


class Page(gr.Blocks):  # type: ignore[misc]
    """A page whose answers cannot be lost, and that says in a sentence what it cannot read.

    Anybody may post anything to any event. What a component has no use for, a file that was not
    uploaded among it, raises an exception of gradio's or pydantic's, whose traceback fills the log
    and of which the sender learns nothing (by design: `show_error`). Here it is a sentence.

    Gradio tells a browser how each value that a generator yields differs from the one before, and
    the browser changes the one before accordingly: the very object, which it has not shown yet if
    several arrive at once, as they do when an answer overtakes the receipt of its request. The
    value before would be gone. Here every new value is sent whole. Not reported.
    """

    async def process_api(self, block_fn: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(block_fn, "fn", block_fn) is None:
            raise gr.Error(NOTHING_TO_DO, print_exception=False)
        try:
            return await super().process_api(block_fn, *args, **kwargs)
        except gr.Error as error:
            error.print_exception = False  # a sentence for whoever sent it; nothing went wrong here
            raise
        except Exception:
            log.exception("unexpected, in an event")
            raise gr.Error(UNEXPECTED, print_exception=False) from None

    async def preprocess_data(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().preprocess_data(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            log.warning("what was sent to an event cannot be read: %s", type(error).__name__)
            raise gr.Error(UNREADABLE, print_exception=False) from None

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
        edits = super().handle_streaming_diffs(
            block_fn, data, session_hash, run, final, simple_format
        )
        if not later or final or simple_format:
            return edits
        return [edit and [["replace", [], new]] for edit, new in zip(edits, whole, strict=True)]


def served_path(path: str | None) -> str | None:
    """A path that Gradio serves: of a copy among the uploads, unless it lies there already.

    Gradio refuses files outside of the working directory, the temporary directory and
    `allowed_paths`, and an installed package may lie anywhere. By design:
    https://github.com/gradio-app/gradio/pull/9122
    """
    if path is None or Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve()):
        return path
    return str(save_file_to_cache(path, get_upload_folder()))


# Seconds between two looks at the queue, and at progress bars of Gradio's own, which this page has
# none of. Gradio's 0.001 and 0.01 keep a core busy by a few per cent while nobody is there; 0.02
# costs an event 10 ms on average. Not reported.
QUEUE_LOOK, PROGRESS_LOOK = 0.02, 0.5


def look_less_often(page: gr.Blocks) -> None:
    """Let the queue of a page rest between two looks at it; see `QUEUE_LOOK`."""
    page._queue.sleep_when_free = QUEUE_LOOK
    page._queue.progress_update_sleep_when_free = PROGRESS_LOOK


class _WithoutDescriptions(BlocksConfig):  # type: ignore[misc]
    """The components of a page, whose copy for a visitor makes no descriptions of them."""

    def __copy__(self) -> BlocksConfig:
        own = super().__copy__()
        own.config_for_block = lambda *_: {}
        return own


def keep_no_descriptions(page: gr.Blocks) -> None:
    """Keep no description of every component, its value and JSON schemas, for every visitor.

    Deep links alone (`gr.DeepLinkButton`) read it, and this page has none of them. Gradio makes it
    when a visitor comes, and twice for each component whose properties an event changes: a third
    of the processor time of an answer, spent where all visitors wait for it. Not reported.
    """
    page.default_config.__class__ = _WithoutDescriptions


# Where events come while one is under way, Gradio's "always_last" sends the data of the running
# event once more in place of the last one's. "multiple" sends each with its own. What "always_last"
# was made for: https://github.com/gradio-app/gradio/issues/3627; that it does not do it for event
# data: not reported.
WITH_DATA = "multiple"
# Events that bring values of components are read when they are sent, so that one behind the
# running event is enough.
OF_VALUES = "always_last"

# A download button forgets its file unless the last update of an event has it. Not reported.
REPEATED_LAST = ("file",)


def resolve_addresses(page: gr.Blocks, resolve: Callable[[str], str]) -> None:
    """Let `resolve` turn every address that is sent in place of a file into a path, or refuse it.

    Gradio would fetch the address, in the name of whoever runs the server, and has no option for
    it: the method that fetches is wrapped in every component. Not reported.
    """

    def wrap(block: Any) -> None:
        move = block.async_move_resource_to_block_cache

        async def move_path(file: Any) -> Any:
            return await move(resolve(file) if isinstance(file, str) and "://" in file else file)

        block.async_move_resource_to_block_cache = move_path

    for block in page.blocks.values():
        wrap(block)


FILES = "/gradio_api/file"  # below it, gradio gives out files
# What gradio listens to besides what the page and its endpoints need: it changes the server's own
# code while one writes it, shows what visitors did, fetches addresses for anybody or records a
# screen. None can be switched off. Not reported.
UNUSED = (
    "/deep_link", "/dev/", "/file=http:", "/file=https:", "/login", "/logout", "/monitoring",
    "/process_recording", "/profiling", "/proxy=", "/run-history", "/runs", "/vibe-",
)  # fmt: skip


def is_unused(path: str) -> bool:
    """Whether a path leads to a part of gradio that camviz has no use for."""
    below = path.partition("/gradio_api")[2] or path
    return below.casefold().startswith(UNUSED) or "/undo-vibe-" in below


def waiting(app: Any) -> int:
    """How many events wait for their turn. app: gradio's application."""
    return len(app.get_blocks()._queue)


def running(app: Any) -> int:
    """How many events are being worked on."""
    return sum(job is not None for job in app.get_blocks()._queue.active_jobs)


def unsent(app: Any) -> int:
    """How many messages wait for their browsers."""
    queues = app.get_blocks()._queue.pending_messages_per_session
    return sum(queue.qsize() for queue in list(queues.values()))


def queue_works(app: Any) -> bool:
    """Whether events are taken from the queue. app: gradio's application."""
    blocks = app.get_blocks()
    return bool(blocks.is_running and blocks._queue.active_jobs and not blocks._queue.stopped)


def close(page: gr.Blocks) -> None:
    """Close a page that was launched, and what its lifespan opened; streams of browsers are cut.

    Gradio waits five seconds for these, and then leaves its files where they are: the event that
    would end them is set by another thread, which wakes nobody. Not reported.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # of each stream that is cut
    page.server.config.timeout_graceful_shutdown = 0.2
    page.close(verbose=False)


# -- Clients that go away ------------------------------------------------------------------------


def body_refused(sentence: str) -> Exception:
    """What to raise where a form that is being uploaded is to end.

    Gradio deletes the files that it has begun for this error alone; those of a client that went
    away in the middle of an upload stayed for ever. Not reported.
    """
    return MultiPartException(sentence)


def delete_broken_uploads() -> None:
    """Delete the files of a form that was not read to its end, whatever ended it.

    Gradio deletes them for the error above alone, so that uploads to a full disk kept it full. Not
    reported.
    """
    if not getattr(GradioMultiPartParser.parse, "deletes", False):
        GradioMultiPartParser.parse = _deleting(GradioMultiPartParser.parse)


def _deleting(parse: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    async def parse_or_delete(parser: Any) -> Any:
        try:
            return await parse(parser)
        except BaseException:
            for file in parser._files_to_close_on_error:
                with suppress(OSError):  # on a full disk, what is still to be written
                    file.close()
                Path(file.name).unlink(missing_ok=True)
            raise

    parse_or_delete.deletes = True  # type: ignore[attr-defined]
    return parse_or_delete


def running_event() -> Event | None:
    """The queued event in whose context this is called; None for one that passed no queue."""
    page, key = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    return None if page is None or key is None else page._queue.event_ids_to_events.get(key)


def running_address() -> str:
    """The address of the client in whose event this is called; "" if there is none."""
    request = LocalContext.request.get(None)
    client = getattr(request, "client", None)
    return "" if client is None else str(client.host)


def keep_no_analytics(page: gr.Blocks) -> None:
    """Make no table of the requests.

    Gradio keeps the last 10000 and makes a table of them after each, for a page of figures that
    `enable_monitoring=False` switches off. Not reported.
    """
    page._queue.ANALYTICS_MAX_EVENTS = 1
    page._queue.compute_analytics_summary = lambda records: {"functions": {}}


def queued_events(page: gr.Blocks) -> list[Event]:
    """All events that wait or run."""
    return list(page._queue.event_ids_to_events.values())


def run_claimed_only(page: gr.Blocks, is_claimed: Callable[[Event], bool]) -> None:
    """Let the queue begin no event but those whose answer somebody waits for.

    Gradio runs whatever was posted, whether or not anybody opened the stream of its answer, one
    such event before all that came later. Not reported.
    """
    queue = page._queue
    take = queue.get_events

    def take_claimed() -> Any:
        kept = {each: list(each.queue) for each in queue.event_queue_per_concurrency_id.values()}
        for each, events in kept.items():
            each.queue[:] = [event for event in events if is_claimed(event)]
        found = take()
        taken = found[0] if found else []
        for each, events in kept.items():
            each.queue[:] = [event for event in events if event not in taken]
        return found

    queue.get_events = take_claimed


async def drop_events(page: gr.Blocks, events: Iterable[Event]) -> None:
    """Take events off the queue; those that run are told that nobody waits for them."""
    for event in events:
        await page._queue.clean_events(event_id=event._id)
        if not event.alive or event._id not in page._queue.event_ids_to_events:
            page._queue.pending_event_ids_session.get(event.session_hash, set()).discard(event._id)


def sessions_used(app: Any) -> dict[str, datetime]:
    """When each session that gradio keeps was used last."""
    holder = app.state_holder
    return {key: holder.time_last_used.get(key, datetime.min) for key in list(holder.session_data)}


def drop_session(app: Any, key: str) -> list[Any]:
    """Forget a session; returns the values of its states.

    Gradio keeps the first 10000 sessions for ever with a copy of the page's layout each, and never
    ends a state that no event returns. Not reported.
    """
    holder, queue = app.state_holder, app.get_blocks()._queue
    with holder.lock:
        found = holder.session_data.pop(key, None)
        holder.time_last_used.pop(key, None)
    queue.pending_event_ids_session.pop(key, None)
    if key in queue.pending_messages_per_session:
        del queue.pending_messages_per_session[key]
    return [] if found is None else list(found.state_data.values())
