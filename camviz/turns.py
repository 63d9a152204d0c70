"""Turns: who computes next when more want to than there are cores.

    with step():                    # waits until it is this thread's turn
        ...                         # a short piece of heavy work, such as a pass of a network
    with stoppable(check):          # check() may raise `Stopped`: work ends before its next step
        ...
    with quick():                   # steps of other threads wait a moment before they begin
        ...                         # what takes a few milliseconds if nothing heavy is needed
    with quick(lasting=ANSWER):     # and for as long as their last steps took
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
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from camviz.environment import environment

_LOOK = 0.05  # seconds between two checks of whether who waits is to give up
_MOMENT = 0.02  # seconds for which all steps wait for quick work, from when it began
ANSWER = 1.0  # seconds for which an answer has precedence over work
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
            # Who waits computes nothing, and may wait for one who lets it pass.
            with _quick.put_aside():
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

    def let_next(self) -> None:
        """Leave, and enter again behind those who wait; nothing where nobody waits."""
        thread = threading.get_ident()
        with self._lock:
            if not self._waiting or thread not in self._inside:
                return
            entered = self._inside.pop(thread)
            self._call()
        try:
            self.acquire()
        finally:  # whoever gives up is in, too: the block around this leaves
            with self._lock:
                self._inside[thread] = entered

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


# Until when work of this context, and what it begins in other threads, waits for no other work.
_precedence: ContextVar[float] = ContextVar("precedence", default=0.0)


class Quick:
    """The threads whose work has precedence: steps of others wait for it, for a while."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Be as new: in a forked process, the threads that were at it do not exist."""
        self._changed = threading.Condition()
        # By thread: until when every step waits for it, and until when it has precedence at all.
        self._ends: dict[int, tuple[float, float]] = {}

    @property
    def none(self) -> bool:
        """Whether no thread is at such work."""
        return not self._ends

    @contextmanager
    def under_way(self, until: float) -> Iterator[None]:
        """Within the block the work of this thread has precedence, for a moment and `until` then.

        A block within a block is part of it.
        """
        thread = threading.get_ident()
        if thread in self._ends:
            yield
            return
        first = time.monotonic() + _MOMENT
        with self._changed:
            self._ends[thread] = first, max(first, until)
        token = _precedence.set(max(first, until))
        try:
            yield
        finally:
            _precedence.reset(token)
            self._leave(thread)

    @contextmanager
    def put_aside(self) -> Iterator[None]:
        """Within the block this thread, which waits, perhaps for a step, has no precedence."""
        thread = threading.get_ident()
        ends = self._ends.get(thread)
        if ends is None:
            yield
            return
        self._leave(thread)
        try:
            yield
        finally:
            with self._changed:
                self._ends[thread] = ends

    def _leave(self, thread: int) -> None:
        with self._changed:
            del self._ends[thread]
            self._changed.notify_all()

    def let_pass(self, longer: float = 0.0, most: float = math.inf) -> float:
        """Wait for work of other threads that has precedence; not if this work has it.

        For the first moment of each, and `longer` seconds for one that has precedence after it.
        most: seconds that are waited at most. Returns the seconds waited.
        """
        start = time.monotonic()
        if _precedence.get() > start:
            return 0.0
        with self._changed:
            others = [thread for thread in self._ends if thread != threading.get_ident()]
        while True:
            with self._changed:
                known = [self._ends[thread] for thread in others if thread in self._ends]
                ends = [max(first, min(last, start + longer)) for first, last in known]
                now = time.monotonic()
                left = min(max(ends, default=0.0), start + most) - now
                if left <= 0:
                    return now - start
                self._changed.wait(min(left, _LOOK))
            if not steps.entered:
                check_stopped()


steps = Fair(steps_at_once)  # what all heavy steps of this process wait for
_quick = Quick()
# Of a thread. courtesy: seconds that its step still waits; interrupted: seconds that it stood still
# for other steps; took: seconds that the last one took without either.
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
        _quick.let_pass(longer=getattr(_of_step, "took", 0.0))
        check_stopped()
    with steps:
        _of_step.courtesy, _of_step.interrupted = _COURTESY, 0.0
        begun = time.monotonic()
        try:
            yield give_way
        finally:
            waited = _COURTESY - _of_step.courtesy + _of_step.interrupted
            _of_step.took = time.monotonic() - begun - waited


def give_way() -> None:
    """Let quick work of other threads pass in the middle of a step; nothing outside of one.

    A step waits `_COURTESY` in all, so that many who come one after the other do not hold it up.
    """
    if _quick.none:  # as nearly always, and this is asked often
        return
    courtesy = getattr(_of_step, "courtesy", 0.0)
    if courtesy > 0 and steps.entered:
        _of_step.courtesy = courtesy - _quick.let_pass(most=courtesy)


def interrupt() -> None:
    """Let those who wait have their steps in the middle of one; ends it if it is to end.

    For a step that is long and made of many short pieces. Locks that were taken before it stay
    taken.
    """
    check_stopped()
    give_way()
    if steps.waiting and steps.entered:
        begun = time.monotonic()
        steps.let_next()
        waited = time.monotonic() - begun
        _of_step.interrupted = getattr(_of_step, "interrupted", 0.0) + waited


def quick(since: float | None = None, lasting: float = 0.0) -> AbstractContextManager[None]:
    """Work that steps of others wait for: something quick, or an answer that a visitor waits for.

    Python runs one thread at a time and changes to another at every operation of torch, so that a
    step beside work of a few milliseconds makes it several times as long. Work has precedence for
    its first moment (20 ms), and for `lasting` seconds `since` a time of `time.monotonic`; after
    the moment a step of others waits no longer than the last step of its thread took, so that an
    answer never takes more than half of their time.
    """
    return _quick.under_way((time.monotonic() if since is None else since) + lasting)
