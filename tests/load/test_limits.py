"""What a visitor may hold and do, through the very routes that a browser and a program take."""

import urllib.error

import pytest

from camviz.ui.hosting import limits
from tests.load.conftest import RAM, files, seconds_until, sessions
from tests.support.visitors import FORM, Visitor, ask, explain, form, upload

GIVEN = {
    "CAMVIZ_SESSION_MB": "6", "CAMVIZ_DISK_MB": "20", "CAMVIZ_KEEP_MINUTES": "1",
    "CAMVIZ_UPLOADS_PER_MINUTE": "12", "CAMVIZ_WORKS_PER_MINUTE": "2",
    "CAMVIZ_CALLS_PER_MINUTE": "2",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(serving):
    return serving(**GIVEN)


@pytest.fixture(autouse=True)
def anew(server):
    """Nothing is held, and no minute has begun."""
    limits.renew()
    yield
    storage = limits.storage()
    storage.keep = 0
    storage.expire()


def refused(server, body, kind=FORM, path="upload"):
    """(status, sentence) of a request that is refused."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(f"{server.url}/gradio_api/{path}", body, kind)
    with caught.value as answer:
        return answer.code, answer.read().decode()


def test_uploads_without_a_session_have_a_quota_too(server):
    first, second = (upload(server.url, bytes([number]) * 3_600_000) for number in (1, 2))
    held = [name for name in files(server.uploads) if name.endswith("picture.png")]
    assert len(held) == 1 and second.endswith(held[0]), f"{first} went first"


def test_an_upload_that_does_not_fit_gets_a_sentence(server):
    before = files(server.uploads)
    code, sentence = refused(server, form(b"0" * 3_700_000, b"1" * 3_700_000))
    assert code == 413
    assert "7.4 MB do not fit: one visitor may hold 6 MB on this server" in sentence
    assert files(server.uploads) == before


def test_too_many_uploads_get_a_sentence(server):
    for number in range(12):
        upload(server.url, bytes([number]))
    code, sentence = refused(server, form(b"one more"))
    assert code == 429 and "uploads: 12 a minute" in sentence and "try again in" in sentence


def test_a_request_that_is_no_upload_has_a_bound(server):
    code, sentence = refused(server, b"0" * 40_000_000, "application/json", "queue/join")
    assert code == 413 and "a request may have" in sentence


def test_what_is_uploaded_is_deleted_after_the_stated_time(server):
    path = upload(server.url, RAM)
    storage = limits.storage()
    storage._clock = lambda clock=storage._clock: clock() + 59
    storage.expire()
    assert path[-20:] in "".join(files(server.uploads))
    storage._clock = lambda clock=storage._clock: clock() + 1
    storage.expire()
    assert "picture.png" not in "".join(files(server.uploads))


def test_calls_are_counted_by_address(server):
    path = upload(server.url, RAM)
    for _ in range(2):
        explain(server.url, path, backbone="scenes-resnet")
    with pytest.raises(RuntimeError, match=r"calls: 2 a minute .* please try again in \d+ s"):
        explain(server.url, path, backbone="scenes-resnet")


def test_files_that_are_made_are_counted_by_session(server):
    one, other = (Visitor(server.url, "example=a-ram&backbone=scenes-resnet") for _ in range(2))
    for visitor in (one, other):
        visitor.open()
        visitor.answer()
        for _ in range(2):
            visitor.do(visitor.event(of="save"), "screen", "")
            assert visitor.notice == ""
    one.do(one.event(of="save"), "screen", "")
    assert "2 a minute" in one.notice and "try again in" in one.notice
    for visitor in (one, other):
        visitor.close()


def test_what_a_session_held_goes_with_it(server):
    seconds_until(lambda: sessions() <= server.sessions, 20)  # those of other tests are gone
    before = sessions()
    visitor = Visitor(server.url, "backbone=scenes-resnet")
    visitor.open()
    path = upload(server.url, RAM)
    visitor.give(path)
    visitor.answer()
    visitor.do(visitor.event(of="save"), "screen", "")
    assert sessions() == before + 1
    assert limits.storage().held("127.0.0.1") == 0, "the upload is the session's"
    assert sum(name.endswith((".zip", "picture.png")) for name in files(server.uploads)) == 2
    visitor.close()
    del visitor
    seconds_until(lambda: sessions() == before, 20)
    assert not any(name.endswith((".zip", "picture.png")) for name in files(server.uploads))
