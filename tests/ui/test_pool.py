"""Work in threads: bounded, and never begun for nobody."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from camviz.turns import check_stopped, step, stoppable
from camviz.ui.hosting.pool import Pool, background, ended, give_up


def test_no_more_is_done_at_once_than_there_are_threads():
    pool, go_on, inside, most = Pool(2, "test"), threading.Event(), [], []

    def work():
        inside.append(1)
        most.append(len(inside))
        go_on.wait(10)
        inside.pop()

    works = [pool.begin(work) for _ in range(6)]
    go_on.set()
    for each in works:
        each.result(10)
    assert max(most) <= 2 and len(most) == 6


def test_given_up_work_keeps_its_thread_until_it_ends_and_what_waits_is_never_begun():
    pool, begun, go_on, done = Pool(1, "test"), threading.Event(), threading.Event(), []

    def long():
        begun.set()
        go_on.wait(10)

    first = pool.begin(long)
    second = pool.begin(done.append, "second")
    begun.wait(10)
    for work, name in ((first, "end of first"), (second, "end of second")):
        give_up(work, lambda name=name: done.append(name))
    assert done == ["end of second"], "which was never begun"
    third = pool.begin(done.append, "third")
    go_on.set()
    third.result(10)
    assert done == ["end of second", "end of first", "third"]


def test_waiting_ends_with_the_work_or_with_the_time():
    pool, go_on = Pool(1, "test"), threading.Event()

    async def wait():
        work = pool.begin(go_on.wait, 10)
        before = await ended(work, 0.01)
        go_on.set()
        return before, await ended(work, 10), work.result()

    assert asyncio.run(wait()) == (False, True, True)


def test_work_has_the_context_of_whoever_begins_it():
    name = ContextVar("name")
    name.set("mine")
    assert Pool(1, "test").begin(name.get).result(10) == "mine"


class Stop(Exception):
    pass


def test_work_in_the_background_is_stopped_with_its_caller():
    over, begun = threading.Event(), threading.Event()

    def check():
        if over.is_set():
            raise Stop

    def work():
        begun.set()
        while True:
            with step():
                over.wait(0.001)

    with stoppable(check):
        made = background().begin(work)
    assert begun.wait(10) and not made.done()
    over.set()
    with pytest.raises(Stop):
        made.result(10)
    background().begin(check_stopped).result(10)  # of nobody who is stopped


def test_a_pool_has_threads_of_its_own():
    async def visit():
        work = Pool(2, "answer").begin(lambda: threading.current_thread().name)
        name = await asyncio.wrap_future(work)
        return name, await asyncio.to_thread(lambda: threading.current_thread().name)

    answer, click = asyncio.run(visit())
    assert answer.startswith("answer") and not click.startswith("answer")
