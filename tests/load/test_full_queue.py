"""A queue that is full: who comes next is told so at once, and those who wait get their answers."""

import json
import urllib.error
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from camviz.turns import steps
from tests.load.conftest import RAM, seconds_until
from tests.support.visitors import Visitor, explain, post_explain, upload

WAITING = 2  # that the queue takes, behind the one request that is worked on
GIVEN = {"backbone": "scenes-resnet"}


@pytest.fixture(scope="module")
def server(serving):
    made = serving(CAMVIZ_WORKS="1", CAMVIZ_STEPS="1")
    made.page._queue.max_size = WAITING
    return made


def refusal(post, *given, **options):
    """(status, sentence) of what is refused."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(*given, **options)
    with caught.value as answer:
        return answer.code, json.load(answer)["detail"]


def test_whoever_comes_when_it_is_full_is_told_so_and_the_others_are_answered(server):
    path, queue = upload(server.url, RAM), server.page._queue
    visitor = Visitor(server.url, "example=a-ram&backbone=scenes-resnet")
    with ThreadPoolExecutor(1 + WAITING) as visitors:
        with steps:  # no network is run meanwhile, so that all are held
            asked = []
            for number in range(1 + WAITING):
                asked.append(visitors.submit(explain, server.url, path, **GIVEN))
                seconds_until(lambda number=number: len(queue) == number)
                seconds_until(lambda: len(queue.active_jobs) - queue.active_jobs.count(None) == 1)
            full = (503, f"Queue is full. Max size is {WAITING} and size is {WAITING}.")
            assert refusal(post_explain, server.url, path, **GIVEN) == full
            assert refusal(visitor.post, visitor.event("_open")) == full
            assert not any(each.done() for each in asked)
        found = [each.result(30) for each in asked]
    for _, maps in found[1:]:
        assert all(np.array_equal(maps[name], found[0][1][name]) for name in found[0][1])
    visitor.open()
    assert visitor.answer() and visitor.notice == ""
    visitor.close()
    assert len(queue) == 0
