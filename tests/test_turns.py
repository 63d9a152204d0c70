"""camviz.turns: steps in the order of their coming, with work that is none."""

import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager, nullcontext, suppress

import pytest
import torch
from torch import nn

from camviz import turns
from camviz.network.giving_way import Interruptible, give_way_between_modules
from camviz.turns import (
    Fair,
    OneByOne,
    Stopped,
    check_stopped,
    give_way,
    quick,
    step,
    steps,
    steps_at_once,
    stoppable,
)
from camviz.ui.hosting.pool import Pool


class Stop(Exception):
    pass


def until(true):
    """Wait until something is so, for ten seconds at most."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.001)


@contextmanager
def threads(*functions):
    """Each function in a thread of its own, begun in this order; what they raise fails the test."""
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=guarded, args=(each,), daemon=True) for each in functions]
    try:
        yield running
    finally:
        for each in running:
            each.join(10)
    assert not errors and not any(each.is_alive() for each in running)


def queue_up(fair, running):
    """Start threads one after the other, each behind the one before."""
    for number, each in enumerate(running, 1):
        each.start()
        until(lambda number=number: fair.waiting == number)


def test_who_has_waited_longest_is_next():
    fair, order = Fair(), []

    def enter(number):
        with fair:
            order.append(number)

    with threads(*(lambda number=n: enter(number) for n in range(20))) as running, fair:
        queue_up(fair, running)
        assert order == []
    assert order == list(range(20)) and fair.busy == fair.waiting == 0


def test_long_work_takes_turns_with_what_comes_later():
    """A job of many steps and one of a few that comes later: one after the other, step by step."""
    fair, order, begun = Fair(), [], threading.Event()

    def job(name, count, first):
        for _ in range(count):
            with fair:
                order.append(name)
                first.set()
                if name == "long" and len(order) < 3:
                    until(lambda: fair.waiting)

    with threads(lambda: job("long", 20, begun)) as [long]:
        long.start()
        begun.wait(10)
        with threads(lambda: job("short", 3, threading.Event())) as [short]:
            short.start()
    last = max(place for place, name in enumerate(order) if name == "short")
    assert last <= 8 and order.count("long") == 20


def test_as_many_are_in_as_there_are_places():
    fair, inside, most, lock = Fair(lambda: 3), [], [], threading.Lock()

    def enter():
        with fair:
            with lock:
                inside.append(1)
                most.append(len(inside))
            until(lambda: len(most) >= 3)
            with lock:
                inside.pop()

    with threads(*[enter] * 9) as running:
        for each in running:
            each.start()
    assert max(most) == 3


def test_a_thread_that_is_in_may_enter_again():
    fair, passed = Fair(), []
    with threads(lambda: [fair.acquire(), passed.append(1), fair.release()]) as [other]:
        with fair:
            with fair:
                queue_up(fair, [other])
            assert not passed and fair.busy == 1, "left as often as it was entered, and no sooner"
        until(lambda: passed)
    with pytest.raises(RuntimeError, match="has not acquired"):
        fair.release()


def test_an_error_within_leaves_the_place_to_the_next():
    fair, passed = Fair(), []

    def wait():
        with fair:
            passed.append(1)

    with threads(wait) as [other], pytest.raises(Stop), fair:
        queue_up(fair, [other])
        raise Stop
    assert passed and fair.busy == 0


def test_who_waits_can_be_stopped_and_the_others_keep_their_order():
    fair, order, stop = Fair(), [], threading.Event()

    def check():
        if stop.is_set():
            raise Stop

    def enter(number):
        if number != 1:
            with fair:
                order.append(number)
            return
        with pytest.raises(Stop), stoppable(check), fair:
            order.append(number)

    with threads(*(lambda number=n: enter(number) for n in range(4))) as running, fair:
        queue_up(fair, running)
        stop.set()
        until(lambda: fair.waiting == 3)
    assert order == [0, 2, 3] and fair.busy == fair.waiting == 0


def test_a_turn_that_comes_while_its_thread_gives_up_goes_to_the_next():
    fair, passed, looking = Fair(), [], threading.Event()

    def check():
        looking.set()
        until(lambda: threading.get_ident() in fair._inside)  # its turn comes in this moment
        raise Stop

    def give_up():
        with pytest.raises(Stop), stoppable(check), fair:
            passed.append("gave up")

    def wait():
        with fair:
            passed.append("next")

    with threads(give_up, wait) as both, fair:
        queue_up(fair, both)
        assert looking.wait(10)
    assert passed == ["next"] and fair.busy == fair.waiting == 0


def test_a_lock_that_is_not_waited_for():
    fair, found = Fair(), []

    def take():
        found.append((fair.acquire(False), fair.acquire(timeout=0.01)))

    with threads(take) as [other], fair:
        other.start()
        until(lambda: found)
    assert found == [(False, False)] and fair.busy == fair.waiting == 0
    assert fair.acquire(blocking=False)
    fair.release()


def test_work_ends_before_its_next_step():
    done = []

    def check():
        if len(done) == 2:
            raise Stop

    with pytest.raises(Stop), stoppable(check):
        for number in range(5):
            with step():
                done.append(number)
    assert done == [0, 1] and steps.busy == 0
    check_stopped()  # outside of the block nothing ends


def test_blocks_that_stop_add_up():
    called = []
    with stoppable(lambda: called.append("outer")), stoppable(lambda: called.append("inner")):
        check_stopped()
    assert called == ["outer", "inner"]


def test_a_step_lets_quick_work_pass(monkeypatch):
    monkeypatch.setattr(turns, "_MOMENT", 10)
    order, begun = [], threading.Event()

    def heavy():
        begun.set()
        with step():
            order.append("heavy")

    with threads(heavy) as [other], quick():
        with quick(), step():  # its own steps wait for nobody
            other.start()
            begun.wait(10)
            order.append("quick")
        other.join(0.05)
        order.append("end")
    assert order == ["quick", "end", "heavy"] and not turns._quick._ends


def test_a_step_waits_for_a_moment_only(monkeypatch):
    monkeypatch.setattr(turns, "_MOMENT", 0.03)
    passed = []

    def heavy():
        for _ in range(3):
            begun = time.monotonic()
            with step():
                passed.append(time.monotonic() - begun)

    with quick(), threads(heavy) as [other]:
        other.start()
        until(lambda: len(passed) == 3)
    assert sum(passed) < 5, "work that goes on is not waited for again and again"


def test_work_waits_for_an_answer_as_long_as_its_last_step_took():
    waited = []

    def work():
        for took in (0, 1, 0):
            begun = time.monotonic()
            with step():
                waited.append(time.monotonic() - begun)
                time.sleep(took)

    with quick(lasting=100), threads(work) as [other]:
        other.start()
        until(lambda: len(waited) == 3)
    assert waited[0] < 0.9 < waited[2] < 9
    assert waited[1] < 0.9, "its first step took no time"


def test_work_goes_on_as_soon_as_the_answer_is_there():
    passed = threading.Event()

    def work():
        turns._of_step.took = 100
        with step():
            passed.set()

    with threads(work) as [other]:
        with quick(lasting=100):
            other.start()
            assert not passed.wait(0.05)
        assert passed.wait(10)


def test_nobody_waits_for_an_answer_that_takes_long():
    def work():
        turns._of_step.took = 100
        with step():
            pass

    with threads(work) as [other], quick(time.monotonic() - 2, lasting=1):
        other.start()
        other.join(10)
        assert not other.is_alive()


def test_an_answer_that_takes_long_waits_for_those_that_came_later(monkeypatch):
    order, newer, go_on = [], threading.Event(), threading.Event()

    def answer():
        with quick(lasting=100):
            newer.set()
            go_on.wait(10)
            order.append("newer")

    monkeypatch.setattr(turns, "_MOMENT", 0)
    monkeypatch.setattr(turns._of_step, "took", 100, raising=False)
    with threads(answer) as [other], quick(time.monotonic() - 2, lasting=1):
        other.start()
        newer.wait(10)
        threading.Timer(0.05, go_on.set).start()
        with step():
            order.append("older")
    assert order == ["newer", "older"]


def test_what_an_answer_begins_in_another_thread_does_not_wait_for_it():
    def work():
        turns._of_step.took = 100
        with step():
            return "done"

    with quick(lasting=100):
        assert Pool(1, "helper").begin(work).result(10) == "done"


def test_no_step_waits_for_an_answer_that_waits_for_its_lock():
    lock, held, asked = Fair(), threading.Event(), threading.Event()

    def work():
        turns._of_step.took = 100
        with lock:
            held.set()
            asked.wait(10)
            with step():
                pass

    with threads(work) as [other]:
        other.start()
        held.wait(10)
        with quick(lasting=100):
            asked.set()
            assert lock.acquire(timeout=10)
            lock.release()


def test_work_that_lets_an_answer_pass_can_be_stopped():
    ended = threading.Event()
    wanted = threading.Event()

    def check():
        if wanted.is_set():
            raise Stopped

    def work():
        turns._of_step.took = 100
        with suppress(Stopped), stoppable(check), step():
            pytest.fail("a step was begun")
        ended.set()

    with threads(work) as [other], quick(lasting=100):
        other.start()
        assert not ended.wait(0.05)
        wanted.set()
        assert ended.wait(10)


def test_a_step_gives_way_between_the_modules_of_a_network(monkeypatch):
    monkeypatch.setattr(turns, "_MOMENT", 10)
    monkeypatch.setattr(turns, "_COURTESY", 10)
    order, begun, go_on = [], threading.Event(), threading.Event()

    class Note(nn.Module):
        def forward(self, x):
            order.append("module")
            begun.set()
            go_on.wait(10)
            return x

    def heavy():
        with step():
            nn.Sequential(Note(), Note())(torch.zeros(1))

    handle = give_way_between_modules()
    try:
        with threads(heavy) as [other]:
            other.start()
            begun.wait(10)
            with quick():
                go_on.set()
                other.join(0.05)
                order.append("quick")
    finally:
        handle.remove()
    assert order == ["module", "quick", "module"]


def test_a_step_gives_way_for_so_long_in_all(monkeypatch):
    monkeypatch.setattr(turns, "_MOMENT", 10)
    monkeypatch.setattr(turns, "_COURTESY", 0.03)
    waited = []

    def heavy():
        steps.acquire()  # begun before the quick work
        turns._of_step.courtesy = turns._COURTESY
        for _ in range(3):
            begun = time.monotonic()
            give_way()
            waited.append(time.monotonic() - begun)
        steps.release()
        give_way()  # outside of a step nobody waits

    with quick(), threads(heavy) as [other]:
        other.start()
        until(lambda: len(waited) == 3)
    assert 0.02 < sum(waited) < 5 and waited[2] < 0.02


@pytest.mark.parametrize("entered", [1, 2])
def test_others_have_their_steps_between_the_operations_of_a_long_one(entered):
    begun, passed, ended = threading.Event(), threading.Event(), []

    def making():
        with ExitStack() as stack:
            for _ in range(entered):
                stack.enter_context(step())
            stack.enter_context(Interruptible())
            begun.set()
            until(lambda: torch.zeros(1) is not None and passed.is_set())
            ended.append(steps.entered)

    with threads(making) as [other]:
        other.start()
        begun.wait(10)
        with step():
            passed.set()
    assert ended == [True] and steps.busy == steps.waiting == 0


@pytest.mark.parametrize("elsewhere", [nullcontext, step])
def test_a_long_step_is_stopped_between_its_operations_or_while_others_have_theirs(elsewhere):
    begun, wanted, ended = threading.Event(), threading.Event(), threading.Event()

    def check():
        if wanted.is_set():
            raise Stopped

    def making():
        with suppress(Stopped), stoppable(check), step(), Interruptible():
            begun.set()
            until(lambda: torch.zeros(1) is None)
        ended.set()

    with threads(making) as [other]:
        other.start()
        begun.wait(10)
        with elsewhere():
            wanted.set()
            assert ended.wait(10)
    assert steps.busy == steps.waiting == 0


def test_a_step_within_a_step_is_part_of_it(monkeypatch):
    monkeypatch.setenv("CAMVIZ_STEPS", "1")
    with step(), step():
        assert steps.busy == 1


def test_a_core_is_left_for_what_is_known_already(monkeypatch):
    for cores, expected in ((1, 1), (2, 1), (8, 7)):
        monkeypatch.setattr(turns, "_cores", lambda cores=cores: cores)
        assert steps_at_once() == expected
    monkeypatch.setenv("CAMVIZ_STEPS", "3")
    assert steps_at_once() == 3


def test_one_by_one_for_each_key():
    doing, order = OneByOne(), []

    def enter(key):
        with doing.alone(key):
            order.append(key)

    same, other = (lambda: enter("same")), (lambda: enter("other"))
    with threads(same, other) as both, doing.alone("same"):
        for each in both:
            each.start()
        until(lambda: order)
        assert order == ["other"]
    assert order == ["other", "same"] and not doing._used, "nothing is held of a key that is done"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_waits_for_no_thread_of_the_other(monkeypatch):
    monkeypatch.setenv("CAMVIZ_STEPS", "1")
    inside, over = threading.Event(), threading.Event()

    def hold():
        with step():
            inside.set()
            over.wait(10)

    with threads(hold) as [holder]:
        holder.start()
        inside.wait(10)
        child = os.fork()
        if not child:
            signal.alarm(10)  # or a failure would wait for ever
            with step():
                os._exit(7)
        over.set()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
