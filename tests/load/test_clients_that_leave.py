"""Whatever a client begins and leaves alone is put away, and the next visitor notices nothing."""

import http.client
import threading
import time

import numpy as np
import pytest

from tests.load.conftest import RAM, files, is_idle, seconds_until
from tests.support.visitors import (
    FORM,
    Visitor,
    explain,
    form,
    messages,
    open_stream,
    post_explain,
    upload,
)

# Several seconds on any machine, in many steps.
LONG = {"method": "score_cam", "backbone": "tf_efficientnet_lite0.in1k"}
SHORT = {"method": "layer_cam", "backbone": "scenes-resnet"}


@pytest.fixture(scope="module")
def alone(server):
    """What is answered to a visitor who is alone."""
    return explain(server.url, upload(server.url, RAM), **SHORT)


@pytest.fixture
def unnoticed(server, alone):
    """Whatever happens in a test, the next visitor gets the same answer, soon; nothing is left."""
    yield
    begun = time.monotonic()
    found, maps = explain(server.url, upload(server.url, RAM), **SHORT)
    assert time.monotonic() - begun < 5
    assert found["target"] == alone[0]["target"] and set(maps) == set(alone[1])
    for name, values in maps.items():
        assert np.array_equal(values, alone[1][name]), name
    assert files(server.work) == []
    seconds_until(lambda: not server.page._queue.event_ids_to_events)


def test_a_result_is_all_that_an_answer_leaves_on_disk(server, ram, unnoticed):
    before = files(server.uploads)
    explain(server.url, ram, **SHORT)
    new = set(files(server.uploads)) - set(before)
    assert len(new) == 2 and any(name.endswith("/camviz.zip") for name in new)
    assert files(server.work) == []


@pytest.mark.parametrize("given", [{"target": "unicorn"}, {"size": "huge"}])
def test_a_failure_leaves_nothing_on_disk(server, ram, unnoticed, given):
    before = files(server.uploads)
    with pytest.raises(RuntimeError):
        explain(server.url, ram, **SHORT | given)
    assert files(server.uploads) == before and files(server.work) == []


def test_a_closed_stream_ends_the_work(server, ram, unnoticed):
    before = files(server.uploads)
    stream = open_stream(server.url, post_explain(server.url, ram, **LONG))
    assert not is_idle(), "it goes on as long as somebody waits"
    stream.close()
    assert seconds_until(is_idle) < 2
    assert files(server.uploads) == before


def test_what_nobody_claims_is_never_begun_and_holds_nobody_up(server, ram, unnoticed):
    for _ in range(5):
        post_explain(server.url, ram, **LONG)
    assert is_idle(), "nothing of it is begun"
    begun = time.monotonic()
    explain(server.url, ram, **SHORT)
    assert time.monotonic() - begun < 5
    assert seconds_until(is_idle, 3) < 2
    seconds_until(lambda: not server.page._queue.event_ids_to_events, 3)


def test_what_is_claimed_in_time_is_answered(server, ram, unnoticed):
    event = post_explain(server.url, ram, **SHORT)
    time.sleep(0.5)
    *_, (kind, _) = messages(open_stream(server.url, event))
    assert kind == "complete"


def test_zips_that_are_left_alone_do_not_pile_up(server, unnoticed):
    others = set(threading.enumerate())  # threads of other servers rest in this process, too
    visitors = [Visitor(server.url, "example=a-ram&backbone=scenes-vit") for _ in range(7)]
    for visitor in visitors:
        visitor.open()
        visitor.answer()
    streams = []
    for visitor in visitors:
        visitor.post(visitor.event(of="save"), "screen", "")
        streams.append(visitor.listen())
    time.sleep(0.3)
    packing = {each for each in threading.enumerate() if each.name.startswith("work")} - others
    assert 0 < len(packing) <= 4
    for stream, visitor in zip(streams, visitors, strict=True):
        stream.close()
        visitor.close()
    seconds_until(lambda: files(server.work) == [])  # or fails, within its own bound
    assert seconds_until(is_idle) < 2


def test_an_upload_that_breaks_off_leaves_nothing(server, unnoticed):
    before = files(server.uploads)
    body = form(b"0" * 2_000_000)
    host = server.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host)
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Type", FORM)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:1_000_000])
    seconds_until(lambda: files(server.uploads) != before)
    connection.close()
    seconds_until(lambda: files(server.uploads) == before)


def test_what_takes_too_long_is_ended_with_a_sentence(server, ram, unnoticed, monkeypatch):
    monkeypatch.setenv("CAMVIZ_REQUEST_SECONDS", "1")
    with pytest.raises(RuntimeError, match="longer than the 1 seconds that one request may take"):
        explain(server.url, ram, **LONG)
    assert seconds_until(is_idle) < 2
    query = "&".join(f"{name}={value}" for name, value in LONG.items())
    visitor = Visitor(server.url, f"example=a-ram&{query}")
    visitor.open()
    visitor.answer()
    assert "longer than the 1 seconds" in visitor.notice
    visitor.close()
    assert seconds_until(is_idle) < 2
