"""camviz.ui.order: events are let in as they happened, whichever request is first."""

import asyncio

import pytest

from camviz.ui.order import EventOrder, time_of


async def happen(order, log, happened, *, after=0.0, lasts=0.0):
    await asyncio.sleep(after)
    async with order.turn(happened):
        log.append(("in", happened))
        await asyncio.sleep(lasts)
        log.append(("out", happened))


def run(*events):
    async def together():
        order, log = EventOrder(), []
        await asyncio.gather(*(happen(order, log, *given, **times) for given, times in events))
        return log

    return asyncio.run(together())


def test_an_earlier_event_that_comes_later_is_let_in_first():
    log = run(((2.0,), {}), ((3.0,), {}), ((1.0,), {"after": 0.005}))
    assert [time for kind, time in log if kind == "in"] == [1.0, 2.0, 3.0]


def test_one_at_a_time():
    log = run(*(((time,), {"lasts": 0.01}) for time in (1.0, 2.0, 2.0, 3.0)))
    assert [kind for kind, _ in log] == ["in", "out"] * 4


def test_what_comes_far_too_late_is_let_in_all_the_same():
    log = run(((2.0,), {}), ((1.0,), {"after": 0.1}))
    assert [time for kind, time in log if kind == "in"] == [2.0, 1.0]


def test_an_event_that_is_given_up_holds_up_no_other():
    async def together():
        order, log = EventOrder(), []
        first = asyncio.create_task(happen(order, log, 1.0))
        await asyncio.sleep(0)
        first.cancel()
        inside = asyncio.create_task(happen(order, log, 2.0, lasts=9))
        await asyncio.sleep(0.1)
        inside.cancel()
        with pytest.raises(RuntimeError):
            async with order.turn(3.0):
                raise RuntimeError
        await asyncio.wait_for(happen(order, log, 4.0), 5)
        return log

    assert asyncio.run(together())[-1] == ("out", 4.0)


@pytest.mark.parametrize(
    ("given", "time"), [(1.5, 1.5), ("17.25", 17.25), (None, 0), ("now", 0), ("nan", 0), ([], 0)]
)
def test_the_time_of_an_event(given, time):
    assert time_of(given) == time
