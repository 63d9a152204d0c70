"""A disk without room, through every door that writes: a sentence, and nothing is left."""

import _io
import builtins
import errno
import io
import json
import urllib.error

import pytest

from camviz.ui.sentences import DISK_FULL
from tests.load.conftest import RAM, files
from tests.support.visitors import Visitor, explain, upload

GIVEN = {"backbone": "scenes-resnet"}
ROOM = 20_000  # bytes of each file that still fit


class FullDisk(io.FileIO):
    """A file of which no more than `ROOM` bytes can be written."""

    def write(self, data):
        if self.tell() + len(data) > ROOM:
            super().write(bytes(data)[: max(ROOM - self.tell(), 0)])
            raise OSError(errno.ENOSPC, "No space left on device", self.name)
        return super().write(data)


@pytest.fixture
def path(server):
    """An upload of the ram, from before."""
    return upload(server.url, RAM)


@pytest.fixture
def fill(server, path, monkeypatch):
    """fill(): from now on there is no room below the server's folders; the files that failed.

    When the test ends, nothing is left of what it did, and the next visitor gets an answer.
    """
    opened, failed, before = open, [], []

    def open_full(file, mode="r", *rest, **options):
        below = any(str(file).startswith(str(place)) for place in (server.uploads, server.work))
        if not below or "b" not in mode or not set(mode) & set("wxa+"):
            return opened(file, mode, *rest, **options)
        failed.append(file)
        raw = FullDisk(file, mode.replace("b", ""), opener=options.get("opener"))
        return (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)

    def fill():
        before[:] = files(server.uploads)
        for module in (io, _io, builtins):
            monkeypatch.setattr(module, "open", open_full)
        return failed

    yield fill
    assert failed and files(server.uploads) == before and files(server.work) == []
    monkeypatch.undo()
    found, maps = explain(server.url, path, **GIVEN)
    assert found["target"] and maps


def test_an_upload(server, fill):
    fill()
    with pytest.raises(urllib.error.HTTPError) as caught:
        upload(server.url, b"0" * 500_000)
    with caught.value as answer:
        assert (answer.code, json.load(answer)) == (507, {"detail": DISK_FULL})


def test_a_call_of_the_api(server, path, fill):
    fill()
    with pytest.raises(RuntimeError) as caught:
        explain(server.url, path, **GIVEN)
    assert str(caught.value).casefold() == DISK_FULL


def test_a_zip(server, fill):
    visitor = Visitor(server.url, "example=a-ram&backbone=scenes-resnet")
    visitor.open()
    visitor.answer()
    fill()
    visitor.do(visitor.event(of="save"), "screen", "")
    assert DISK_FULL in visitor.notice.casefold()
    visitor.close()
