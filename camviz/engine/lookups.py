"""How often what was looked for was held by a cache: in all, and for one piece of work.

with counted() as found:
    ...
found["traces", False]           # how many traces had to be made meanwhile, by this thread
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Counts: TypeAlias = Counter[tuple[str, bool]]  # (cache, whether it was held) -> how often

_totals: Counts = Counter()
_lock = threading.Lock()


def _unlock() -> None:
    """Take a new lock: in a forked process, the thread that held it does not exist."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_unlock)
_of_work: ContextVar[Counts | None] = ContextVar("lookups", default=None)


def note_lookup(cache: str, held: bool) -> None:
    """Count that something was looked for in a cache."""
    with _lock:
        _totals[cache, held] += 1
    work = _of_work.get()
    if work is not None:
        work[cache, held] += 1


def lookups() -> Counts:
    """The counts since this process began."""
    with _lock:
        return Counter(_totals)


@contextmanager
def counted(into: Counts | None = None) -> Iterator[Counts]:
    """Count what is looked for in this context; into: earlier counts, which grow."""
    work: Counts = Counter() if into is None else into
    before = _of_work.set(work)
    try:
        yield work
    finally:
        _of_work.reset(before)
