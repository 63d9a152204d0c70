"""A live camera without a browser: what is said of a frame, what is kept of it, what is refused."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from camviz import Engine
from camviz.examples import example
from camviz.ui import service
from camviz.ui.compute import engine
from camviz.ui.events import glimpse
from camviz.ui.hosting import limits
from camviz.ui.learn import live
from camviz.ui.state import BackboneChoice

LITE = "tf_efficientnet_lite0.in1k"


def jpeg(name="lion", side=224):
    file = io.BytesIO()
    Image.fromarray(example(name).open().pixels).resize((side, side)).save(file, "JPEG")
    return file.getvalue()


def frame(data):
    return {"number": 7, "frame": base64.b64encode(data).decode()}


@pytest.fixture
def watched(session, fresh):
    """A visitor whose page shows the network of photographs."""
    session.loaded = BackboneChoice(LITE)
    return session


@pytest.mark.parametrize(("network", "name"), [(LITE, "lion"), ("scenes-resnet", "a-ram")])
def test_a_frame_gets_the_answer_and_the_map_of_a_picture(session, fresh, network, name):
    session.loaded = BackboneChoice(network)
    seen = live.look(session, frame(jpeg(name)))
    x = Engine("cpu").explain(jpeg(name), network, refine="none")
    _, label, share = x.predictions[0]
    assert seen["number"] == 7 and seen["label"] == label and seen["share"] == f"{share:.1%}"
    heat, placement = x.grid()
    assert seen["grid"] == list(heat.shape) and seen["stride"] == list(placement.stride)
    data = np.frombuffer(base64.b64decode(seen["map"]), np.uint8)
    assert np.abs(data / 255 - heat.ravel()).max() < 0.01
    assert glimpse(session, live.look, frame(jpeg(name))) == seen  # as the page asks


def test_nothing_of_a_frame_is_kept(watched):
    def held():
        files = set(limits.storage().folder.rglob("*"))
        return engine()._traces.nbytes, len(service._pictures), files

    live.look(watched, frame(jpeg()))
    before = held()
    for side in (200, 208, 216):
        live.look(watched, frame(jpeg("cheetah", side)))
    assert held() == before
    engine().explain(jpeg(), LITE)
    assert held() != before, "what is kept would show here"


@pytest.mark.parametrize(
    "data",
    [None, 7, {"number": 1}, {"frame": "no base64!"}, frame(b"no picture"), frame(jpeg(side=400)),
     frame(b"\xff\xd8\xff" + bytes(500)), {"frame": "A" * 95_000}],
)  # fmt: skip
def test_what_is_no_frame_gets_a_sentence(watched, data):
    said = live.look(watched, data)["says"]
    assert "frame" in said and said.endswith(".") and len(said) < 300


def test_other_pictures_than_jpegs_are_refused(watched):
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    assert "JPEG" in live.look(watched, frame(file.getvalue()))["says"]


def test_a_frame_that_says_it_is_huge_is_refused(watched):
    """Its header alone is read."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (60_000).to_bytes(2, "big") * 2
    assert "JPEG" in live.look(watched, frame(bytes(data)))["says"]


def test_a_network_that_is_too_slow_says_what_would_do(watched, monkeypatch):
    monkeypatch.setattr(live, "MOST_PARAMETERS", 1e6)
    said = live.look(watched, frame(jpeg()))["says"]
    assert "has 5 million parameters" in said and "choose" in said


def test_a_page_without_a_network_and_one_without_classes(session, fresh, monkeypatch):
    assert "no network yet" in live.look(session, frame(jpeg()))["says"]
    session.loaded = BackboneChoice("photos-resnet")
    found = live.look(session, frame(jpeg()))
    classes = service.load(session.loaded).has_classes
    assert ("says" in found) != classes


def test_a_visitor_is_granted_so_many_frames_a_minute(watched, monkeypatch):
    monkeypatch.setenv("CAMVIZ_FRAMES_PER_MINUTE", "2")
    limits.renew()
    answers = [live.look(watched, frame(jpeg())) for _ in range(3)]
    assert ["says" in answer for answer in answers] == [False, False, True]
    assert "2 a minute" in answers[2]["says"]
    monkeypatch.undo()
    limits.renew()
