"""How often something may be done in a minute."""

import pytest

from camviz.errors import LimitError
from camviz.ui.hosting.rates import Rate


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_one_too_many_in_a_minute_waits_for_the_first():
    clock = Clock()
    rate = Rate(3, "Uploads", clock)
    for clock.now in (0, 10, 20):
        rate.take("one")
    clock.now = 30
    with pytest.raises(LimitError, match=r"Uploads: 3 a minute .* please try again in 30 s"):
        rate.take("one")
    rate.take("two")
    clock.now = 60
    rate.take("one")
    with pytest.raises(LimitError, match="in 10 s"):
        rate.take("one")


def test_what_was_refused_does_not_count():
    clock = Clock()
    rate = Rate(1, "Uploads", clock)
    rate.take("one")
    for clock.now in (20, 40, 59.9):
        with pytest.raises(LimitError):
            rate.take("one")
    clock.now = 60
    rate.take("one")


def test_without_a_bound_nothing_is_kept():
    rate = Rate(None, "Uploads")
    for _ in range(1000):
        rate.take("one")
    assert len(rate) == 0


def test_a_key_is_forgotten_after_a_minute():
    clock = Clock()
    rate = Rate(2, "Uploads", clock)
    for number in range(100):
        clock.now = number
        rate.take(str(number))
    assert len(rate) <= 61
    clock.now = 1000
    rate.take("last")
    assert len(rate) == 1
