"""Threads for what takes a while: no more of it at once than there are threads.

Work that nobody waits for any more keeps its thread until it has really ended, so that given-up
work cannot pile up; what was not begun by then never is.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache
from typing import Any, TypeVar

Result = TypeVar("Result")
BACKGROUND = 16  # threads
TICK = 0.05  # seconds: how often running work is checked for being given up


class Pool:
    """So many threads, each under a name."""

    def __init__(self, threads: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def begin(self, function: Callable[..., Result], *values: Any) -> Future[Result]:
        """Call a function in the next free thread, in the context of the caller."""
        return self._threads.submit(copy_context().run, function, *values)


@lru_cache(maxsize=1)
def background() -> Pool:
    """For what is done while other things are already shown; it is stopped with its caller."""
    return Pool(BACKGROUND, "background")


async def ended(work: Future[Any], within: float = TICK) -> bool:
    """Wait for work until it has ended, but no longer than so many seconds."""
    waiting = asyncio.wrap_future(work)
    waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait({waiting}, timeout=within)
    return work.done()


def give_up(work: Future[Any], then: Callable[[], Any] = lambda: None) -> None:
    """Let work end by itself, or never begin; then do something."""
    work.cancel()
    work.add_done_callback(lambda _: then())
