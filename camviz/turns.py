"""Turns: who computes next when more want to than there are cores.

    with step():                    # waits until it is this thread's turn
        ...                         # a short piece of heavy work, such as a pass of a network
    with stoppable(check):          # check() may raise `Stopped`: work ends before its next step
        ...
    with quick():                   # steps of other threads wait a moment before they begin
        ...                         # what takes a few milliseconds if nothing heavy is needed
    with quick(lasting=ANSWER):     # and here for as long as their last steps took
        ...                         # an answer that a visitor waits for

Long work is cut into steps, and whoever has waited longest does the next one: so a job of a
thousand steps holds up another one by a step at a time. What is known already takes no turn. A
visitor who waits for an answer has precedence over work that goes on by itself.
Locks are always taken before a turn, and never within one.
"""

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from camviz.environment import environment

_LOOK = 0.05  # seconds between two checks of whether who waits is to give up
_MOMENT = 0.02  # seconds for which quick work has precedence, from when it began
ANSWER = 1.0  # seconds for which an answer has it
_COURTESY = 0.1  # seconds that a step waits in all, once it was begun


class Stopped(BaseException):
    """Ends work that nobody waits for any more.

    No `Exception`: whatever mends or renames errors on the way lets it pass.
    """


def _go_on() -> None:
    """Raises nothing: the work goes on."""


_check: ContextVar[Callable[[], object]] = ContextVar("check", default=_go_on)


@contextmanager
def stoppable(check: Callable[[], object]) -> Iterator[None]:
    """Within the block, work of this thread calls `check` before each step, and while it waits.

    What it raises, `Stopped` as a rule, ends the work, and leaves networks and caches whole. Blocks
    add up.
    """
    outer = _check.get()

    def both() -> None:
        outer()
        check()

    token = _check.set(both)
    try:
        yield
    finally:
        _check.reset(token)


def check_stopped() -> None:
    """Raise what ends the work of this thread, if it is to end."""
    _check.get()()


class Fair:
    """A lock for so many threads at once, which it lets in in the order in which they came.

    places: how many, a number or what gives it. Re-entrant: a thread that is in may enter again,
    and has its place until it has left as often. Who waits gives up when `check_stopped` raises.
    """

    def __init__(self, places: int | Callable[[], int] = 1) -> None:
        self._places = places
        self.forget()

    def forget(self) -> None:
        """Be as new: in a forked process, the threads that were in or waited do not exist."""
        self._lock = threading.Lock()
        self._inside: dict[int, int] = {}  # thread -> how often it has entered
        self._waiting: deque[tuple[int, threading.Event]] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Enter, as `threading.Lock.acquire` does; returns whether this thread is in.

        timeout: seconds that it waits at most; below 0: for as long as it takes.
        """
        thread = threading.get_ident()
        with self._lock:
            if thread in self._inside:
                self._inside[thread] += 1
                return True
            if not self._waiting and self._has_room():
                self._inside[thread] = 1
                return True
            if not blocking:
                return False
            called = threading.Event()
            self._waiting.append((thread, called))
        end = time.monotonic() + timeout if timeout >= 0 else math.inf
        try:
            while not called.wait(min(_LOOK, max(end - time.monotonic(), 0))):
                check_stopped()
                if time.monotonic() >= end:
                    self._give_up(thread, called)
                    return False
        except BaseException:
            self._give_up(thread, called)
            raise
        return True

    def release(self) -> None:
        """Leave; raises `RuntimeError` in a thread that is not in."""
        thread = threading.get_ident()
        with self._lock:
            if thread not in self._inside:
                raise RuntimeError("released by a thread that has not acquired it")
            self._inside[thread] -= 1
            if not self._inside[thread]:
                del self._inside[thread]
                self._call()

    def __enter__(self) -> "Fair":
        self.acquire()
        return self

    def __exit__(self, *_: Any) -> None:
        self.release()

    @property
    def entered(self) -> bool:
        """Whether this thread is in."""
        return threading.get_ident() in self._inside

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """How many threads are in."""
        return len(self._inside)

    def _has_room(self) -> bool:
        places = self._places
        return len(self._inside) < (places if isinstance(places, int) else places())

    def _call(self) -> None:
        """Let in those who have waited longest, while there is room."""
        while self._waiting and self._has_room():
            thread, called = self._waiting.popleft()
            self._inside[thread] = 1
            called.set()

    def _give_up(self, thread: int, called: threading.Event) -> None:
        with self._lock:
            if called.is_set():  # its turn came while it was giving up
                del self._inside[thread]
            else:
                self._waiting.remove((thread, called))
            self._call()


class OneByOne:
    """A fair lock for each key, which is there as long as a thread holds it or waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[Hashable, tuple[Fair, int]] = {}

    @contextmanager
    def alone(self, key: Hashable) -> Iterator[None]:
        """Within the block no other thread is in one with the same key."""
        with self._lock:
            fair, users = self._used.get(key, (Fair(), 0))
            self._used[key] = fair, users + 1
        try:
            with fair:
                yield
        finally:
            with self._lock:
                fair, users = self._used[key]
                if users > 1:
                    self._used[key] = fair, users - 1
                else:
                    del self._used[key]


def steps_at_once() -> int:
    """How many heavy steps are done at once: CAMVIZ_STEPS, by default a core less than there are.

    The core that is left answers what is known already, and serves the page.
    """
    return environment().steps or max(1, _cores() - 1)


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Quick:
    """The threads whose work began a moment ago and may be done in a moment: steps let it pass."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Be as new: in a forked process, the threads that were at it do not exist."""
        self._changed = threading.Condition()
        self._begun: dict[int, tuple[float, float]] = {}  # by thread: when, and for how long

    @property
    def none(self) -> bool:
        """Whether no thread is at such work."""
        return not self._begun

    @contextmanager
    def under_way(self, since: float, lasting: float) -> Iterator[None]:
        """Within the block this thread is at such work; a block within a block is part of it."""
        thread = threading.get_ident()
        if thread in self._begun:
            yield
            return
        with self._changed:
            self._begun[thread] = since, lasting
        try:
            yield
        finally:
            with self._changed:
                del self._begun[thread]
                self._changed.notify_all()

    def let_pass(self, most: float, window: float = math.inf) -> float:
        """Wait while another thread is at such work, for as long as it has precedence.

        A thread that has precedence itself does not wait. most: seconds that are waited at most;
        window: after which, in seconds, no work has precedence. Returns the seconds waited.
        """
        thread, start = threading.get_ident(), time.monotonic()
        with self._changed:
            if self._ends([thread], math.inf) > start:
                return 0.0
            others = [each for each in self._begun if each != thread]
            while others:
                now = time.monotonic()
                left = min(self._ends(others, window), start + most) - now
                if left <= 0:
                    break
                self._changed.wait(left)
                others = [each for each in others if each in self._begun]
        return time.monotonic() - start

    def _ends(self, threads: Sequence[int], window: float) -> float:
        """When the last of these threads has no precedence any more."""
        known = [self._begun[thread] for thread in threads if thread in self._begun]
        return max((since + min(lasting, window) for since, lasting in known), default=0.0)


steps = Fair(steps_at_once)  # what all heavy steps of this process wait for
_quick = Quick()
# Of a thread. courtesy: seconds that its step still waits; took: seconds that its last one took.
_of_step = threading.local()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=steps.forget)
    os.register_at_fork(after_in_child=_quick.forget)


@contextmanager
def step() -> Iterator[Callable[[], None]]:
    """A short piece of heavy work: `steps_at_once` are done at once, in the order of their coming.

    A step within a step is part of it. Gives `give_way`, to be called in the midst of it.
    """
    check_stopped()
    if steps.entered:
        yield give_way
        return
    if not _quick.none:
        _quick.let_pass(max(_MOMENT, getattr(_of_step, "took", 0.0)))
    with steps:
        _of_step.courtesy = _COURTESY
        begun = time.monotonic()
        try:
            yield give_way
        finally:
            _of_step.took = time.monotonic() - begun


def give_way() -> None:
    """Let quick work of other threads pass in the middle of a step; nothing outside of one.

    A step waits `_COURTESY` in all, so that many who come one after the other do not hold it up.
    """
    if _quick.none:  # as nearly always, and this is asked often
        return
    courtesy = getattr(_of_step, "courtesy", 0.0)
    if courtesy > 0 and steps.entered:
        _of_step.courtesy = courtesy - _quick.let_pass(courtesy, _MOMENT)


def quick(since: float | None = None, lasting: float | None = None) -> AbstractContextManager[None]:
    """Work that takes a few milliseconds if nothing heavy is needed: steps of others let it pass.

    Python runs one thread at a time and changes to another at every operation of torch, so that a
    step beside such work makes it several times as long. Work has precedence for its first moment,
    or for `lasting` seconds `since` a time of `time.monotonic`; each step of others waits for no
    longer than the one before it took, so that they are at work for half of the time at least.
    """
    since = time.monotonic() if since is None else since
    return _quick.under_way(since, _MOMENT if lasting is None else lasting)
