"""Hundreds of hostile and odd files: each ends in a picture or in a sentence, at once."""

import io
import logging
import re
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from benchmarks import hostile as benchmark
from camviz import Engine, images
from camviz.errors import ImageError
from camviz.images import open_picture
from camviz.multichannel import read_channels
from tests.support.hostile import (
    REFUSED,
    UNPICKLED,
    Hostile,
    encode,
    hostile,
    one_of_each_kind,
    pixels,
    whole,
)

FILES = hostile()
PATIENCE = 3.0  # seconds for a file, on a busy machine
SENTENCES = (  # what a message says would do
    "give", "download", "save it", "scale", "repair", "cut it", "check",
)  # fmt: skip


def test_there_are_many_of_many_kinds():
    assert len(FILES) >= 400
    assert len({each.kind for each in FILES}) >= 20
    assert len({each.data for each in FILES}) > 400, "they differ"


def test_every_format_that_opens_is_damaged_at_many_places():
    """Of each that the reader takes there is a sound file, from which damaged ones are made."""
    accepted = {*images._FORMATS, "MPO", *images._BRANDS.values(), "npy", "channels"}
    names = {format_of(data): name for name, data in whole().items()}
    assert set(names) == accepted
    for name in whole():
        places = {each.data for each in FILES if each.name == name and each.kind != "sound"}
        assert len(places) >= 15, name


def format_of(data):
    """What the reader takes a sound file for."""
    if data.startswith(images._NPY):
        return "npy"
    if read_channels(data, "", lambda *_: None) is not None:
        return "channels"
    return images._brand(data) or Image.open(io.BytesIO(data)).format


def test_the_table_of_outcomes_is_of_these_files():
    tried = Counter(each.kind for each in FILES)
    assert benchmark.counts(benchmark.FIGURES.read_text(encoding="utf-8")) == {
        **tried,
        "**all**": tried.total(),
    }, "python -m benchmarks.hostile --write writes it"


def test_a_table_of_outcomes():
    kinds = {each.kind: each for each in FILES if each.shows not in (None, REFUSED)}
    found = benchmark.try_all([kinds["sound"], kinds["sound"], Hostile("empty", "a.png", b"")])
    assert [(kind, each.pictures, each.sentences) for kind, each in found.items()] == [
        ("sound", 2, 0),
        ("empty", 0, 1),
    ]
    assert found["sound"].slowest > 0
    text = benchmark.START + benchmark.table(found) + benchmark.END
    assert benchmark.counts(text) == {"sound": 2, "empty": 1, "**all**": 3}


@pytest.fixture(scope="module")
def outcomes():
    """What became of each file: a picture or an error, and the seconds that it took."""
    found = []
    for each in FILES:
        started = time.process_time()
        try:
            outcome = open_picture(each.data, name=each.name)
        except ImageError as error:
            outcome = error
        found.append((each, outcome, time.process_time() - started))
    return found


def test_nothing_but_pictures_and_sentences_comes_of_them(outcomes, recwarn):
    """And no warning: warnings are errors here."""
    for each, outcome, _ in outcomes:
        if isinstance(outcome, ImageError):
            text = str(outcome)
            assert any(word in text for word in SENTENCES), (each.kind, each.name, text)
            assert len(text) < 700 and "Traceback" not in text, (each.kind, each.name, text)
            assert len(text.splitlines()) == 1, (each.kind, each.name, text)
        else:
            assert outcome.pixels.dtype == np.uint8 and outcome.pixels.shape[2] == 3
            assert min(outcome.pixels.shape[:2]) >= 8


def test_what_must_open_opens_and_what_must_not_is_refused(outcomes):
    for each, outcome, _ in outcomes:
        if each.shows == REFUSED:
            assert isinstance(outcome, ImageError), (each.kind, each.name)
        elif each.shows is not None:
            assert not isinstance(outcome, ImageError), (each.kind, each.name, str(outcome))
            assert (outcome.height, outcome.width) == each.shows, (each.kind, each.name)


def test_each_ends_at_once(outcomes):
    slow = [(each.kind, each.name, seconds) for each, _, seconds in outcomes if seconds > PATIENCE]
    assert not slow


def test_nothing_is_unpickled(outcomes):
    assert not UNPICKLED


def test_no_message_names_a_place_on_this_machine(outcomes):
    for each, outcome, _ in outcomes:
        said = str(outcome).replace(each.name, "") if isinstance(outcome, ImageError) else ""
        assert not re.search(r"/(tmp|root|home|usr|opt)/|site-packages|\.py\b", said), said


def test_nothing_is_printed_or_logged(capfd, caplog):
    with caplog.at_level(logging.WARNING):
        for each in one_of_each_kind():
            try:
                open_picture(each.data, name=each.name)
            except ImageError:
                continue
    out, err = capfd.readouterr()
    assert (out, err, caplog.records) == ("", "", [])


def test_what_is_missing_is_named():
    data = encode(Image.fromarray(pixels(240, 320)), "JPEG", quality=95)
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(ImageError, match=r"is cut short: (\d+)% of the picture") as caught:
            open_picture(data[: int(len(data) * share)] + b"\xff\xd9", name="a.jpg")
        missing = int(re.search(r"(\d+)%", str(caught.value))[1]) / 100
        assert missing == pytest.approx(1 - share, abs=0.1)


def test_the_next_picture_is_explained_as_before(tiny, photo):
    engine, backbone = Engine("cpu"), tiny("test_resnet")
    before = engine.explain(photo, backbone, target=3)
    for each in one_of_each_kind():
        try:
            engine.explain(open_picture(each.data), backbone, target=3)
        except ImageError:
            continue
    after = Engine("cpu").explain(photo, backbone, target=3)
    assert after.picture == before.picture
    for name in before.stages:
        assert np.array_equal(after.raw[name], before.raw[name])
