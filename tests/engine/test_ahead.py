"""Work ahead in threads: in order, bounded, and given up when nobody waits for it."""

import threading
import time
from itertools import count

import pytest

from camviz.engine.ahead import ahead


def slower_at_first(number):
    time.sleep(0.02 if number < 3 else 0)
    return number * 2


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("waiting", [1, 3, 50])
def test_results_are_in_order(threads, waiting):
    found = ahead(slower_at_first, range(20), threads=threads, waiting=waiting)
    assert list(found) == [2 * number for number in range(20)]


def test_items_are_taken_as_results_are():
    taken = []
    numbers = (taken.append(number) or number for number in count())
    found = ahead(slower_at_first, numbers, threads=2, waiting=5)
    assert not taken
    for wanted in range(4):
        assert next(found) == 2 * wanted
        assert len(taken) == 5 + wanted
    found.close()
    assert len(taken) == 8


def test_it_is_computed_beforehand_and_in_other_threads():
    started = []

    def note(number):
        started.append(threading.current_thread())
        return number

    found = ahead(note, range(8), threads=2, waiting=8)
    assert next(found) == 0
    assert list(found) == list(range(1, 8))
    assert threading.current_thread() not in started and len(started) == 8


@pytest.mark.parametrize("where", ["function", "items"])
def test_what_is_raised_is_raised_in_its_place_and_ends_the_work(where):
    done = []

    def items():
        yield from range(4)
        if where == "items":
            raise ZeroDivisionError
        yield from range(4, 100)

    def work(number):
        done.append(number)
        return 1 // (4 - number)

    found, got = ahead(work, items(), threads=1, waiting=2), []
    with pytest.raises(ZeroDivisionError):
        for each in found:
            got.append(each)
    assert len(done) <= 7
    assert got == ([0, 0, 0, 1] if where == "function" else [0, 0, 0])
