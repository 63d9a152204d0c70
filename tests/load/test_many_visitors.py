"""Many visitors at once: each gets what a visitor gets who is alone; nothing is left of them."""

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest

from camviz.examples import example
from camviz.ui.hosting import limits
from tests.load.conftest import files, seconds_until, sessions
from tests.support.visitors import Visitor, explain, open_stream, post_explain, upload

pytestmark = pytest.mark.long

NETWORKS = ("scenes-resnet", "scenes-convnext", "scenes-vit")
PICTURES = ("a-ram", "a-zebra", "a-windmill", "two-boats")
METHODS = ("layer_cam", "hires_cam", "grad_cam", "eigen_cam")
TARGETS = ("", "zebra")
VISITORS, DIFFERENT = 32, 12  # at once; requests that are not the same


def requests(number):
    """Different requests, the same ones each time."""
    every = list(product(PICTURES, NETWORKS, TARGETS, METHODS))
    random.Random(0).shuffle(every)
    return every[:number]


@pytest.fixture(scope="module")
def paths(server):
    """The upload of each picture."""
    return {name: upload(server.url, str(example(name).path)) for name in PICTURES}


@pytest.fixture(scope="module")
def ask_for(server, paths):
    """ask_for(request): what is found, and the maps."""

    def ask(request):
        picture, network, target, method = request
        given = {"backbone": network, "target": target, "method": method}
        return explain(server.url, paths[picture], **given)

    return ask


@pytest.fixture(scope="module")
def alone(ask_for):
    """The answer to each request when there is no other."""
    return {request: ask_for(request) for request in requests(DIFFERENT)}


def assert_same(answer, expected):
    found, maps = answer
    assert found["target"] == expected[0]["target"]
    assert found["predictions"] == expected[0]["predictions"]
    assert set(maps) == set(expected[1])
    for name, values in maps.items():
        assert np.array_equal(values, expected[1][name]), name


def test_everybody_gets_the_answer_of_a_visitor_who_is_alone(ask_for, alone):
    asked = (list(alone) * 3)[:VISITORS]
    random.Random(1).shuffle(asked)
    with ThreadPoolExecutor(VISITORS) as visitors:
        for request, answer in zip(asked, visitors.map(ask_for, asked), strict=True):
            assert_same(answer, alone[request])


def test_clients_that_go_at_any_moment_leave_model_and_caches_whole(server, paths, ask_for, alone):
    chance = random.Random(2)

    def leave(request):
        picture, network, target, _ = request
        given = {"backbone": network, "target": target, "method": "score_cam"}
        stream = open_stream(server.url, post_explain(server.url, paths[picture], **given))
        stream.fp.raw._sock.settimeout(chance.uniform(0, 0.5))
        try:
            stream.read()
        except TimeoutError:
            pass
        finally:
            stream.close()

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(leave, list(alone)))
    for request in list(alone)[:8]:
        assert_same(ask_for(request), alone[request])


def test_stop_at_any_moment_leaves_the_page_whole(server):
    def visit(number):
        chance = random.Random(number)
        query = f"example={PICTURES[number]}&backbone={NETWORKS[number % 3]}"
        visitor = Visitor(server.url, query)
        visitor.open()
        first = dict(visitor.answer())
        for _ in range(3):
            event = visitor.event("_answer")
            visitor.change("method", chance.choice(("score_cam", "grad_cam", "layer_cam")))
            visitor.post(event)
            visitor.stop()
        visitor.change("method", "auto")
        last = visitor.answer()
        visitor.close()
        return first[visitor.parts["viewer"]], last[visitor.parts["viewer"]]

    with ThreadPoolExecutor(4) as visitors:
        for first, last in visitors.map(visit, range(4)):
            assert first == last


def test_sessions_that_come_and_go_leave_nothing(server):
    """Sixteen pages, opened and closed; `python -m benchmarks.load` measures it with 200."""

    def visit(number):
        visitor = Visitor(server.url, "example=a-ram&backbone=scenes-resnet")
        visitor.open()
        if number % 8 == 0:
            visitor.answer()
        visitor.close()

    held = files(server.uploads)
    with ThreadPoolExecutor(8) as visitors:
        list(visitors.map(visit, range(16)))
    seconds_until(lambda: sessions() <= server.sessions, 20)
    assert files(server.uploads) == held
    assert not server.page.server_app.state_holder.session_data
    assert not server.page._queue.event_ids_to_events
    assert not limits.present()._open
