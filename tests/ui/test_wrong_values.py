"""Wrong values at every door of a real server: each ends in a result or a sentence, soon.

The server fails its test if one of them leaves a traceback in its log.
"""

import json
import random
import time

import numpy as np
import pytest
from PIL import Image

from camviz.ui.api import ENDPOINTS
from tests.support.programs import call, fetch, send, upload
from tests.support.wrong import WRONG

SOON = 10  # seconds; a result takes a tenth of one
UNEXPECTED = "nexpected happened"


@pytest.fixture(scope="module")
def picture(address, tmp_path_factory):
    file = tmp_path_factory.mktemp("picture") / "small.png"
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)
    Image.fromarray(pixels).save(file)
    return upload(address, file)


@pytest.fixture(scope="module")
def right(picture):
    """Values that every endpoint takes, by its name and theirs."""
    network = {"backbone": "scenes-resnet"}
    return {
        "explain": {
            "image": picture, **network, "target": "", "versus": "", "method": "layer_cam",
            "stages": ["layer4"], "truncation": 0, "fuse": "product", "tap": "activation",
            "fit": "stretch", "placement": "plain", "gamma": 1, "truncation_mode": "threshold",
            "views": "one", "refine": "none", "threshold": 0, "untrained": False,
            "prototypes": None, "size": "screen",
        },
        "models": {"pattern": "scenes", "limit": 5},
        "prototypes": {
            "images": [picture], "target": "ram", **network, "clusters": 2, "seed": 0,
            "untrained": False,
        },
    }  # fmt: skip


@pytest.mark.parametrize("endpoint", [function.__name__ for function in ENDPOINTS])
def test_every_argument_with_wrong_values(address, right, endpoint):
    """With some of them each, drawn by its name; `benchmarks/fuzz.py` has more."""
    values = right[endpoint]
    for name in values:
        for kind in random.Random(f"{endpoint} {name}").sample(sorted(WRONG), 7):
            wrong = WRONG[kind]
            begun = time.monotonic()
            done, found = call(address, endpoint, list({**values, name: wrong}.values()))
            what = f"{endpoint}: {name} is {kind}: {str(found)[:200]}"
            assert time.monotonic() - begun < SOON, what
            if not done:
                assert isinstance(found, str) and 15 < len(found) < 2000, what
                assert UNEXPECTED not in found and not found.startswith("HTTP"), what


def test_the_right_values_are_right(address, right):
    """Or the test above would see sentences about something else."""
    for endpoint in ("explain", "models"):
        done, found = call(address, endpoint, list(right[endpoint].values()))
        assert done, found


@pytest.mark.parametrize(
    ("endpoint", "name", "value", "sentence"),
    [
        ("explain", "threshold", -1, "threshold is a number from 0 to 1, not -1"),
        ("explain", "threshold", float("nan"), "threshold is a number from 0 to 1, not nan"),
        ("explain", "untrained", "false", "untrained is true or false, not 'false'"),
        ("explain", "stages", True, "stages is a list of names, not True"),
        ("explain", "stages", [["a"]], r"each of stages is a text, not ['a']"),
        ("explain", "target", {"a": 1}, "target is a text, not {'a': 1}"),
        ("explain", "target", "x" * 5000, "at most 1,000 characters, and 5,000 were given"),
        ("explain", "gamma", "1e999", "gamma is a number, not '1e999'"),
        ("models", "pattern", ["a"], "pattern is a text, not ['a']"),
        ("models", "limit", 0, "limit is a whole number from 1 to 500, not 0"),
        ("models", "limit", 1.5, "limit is a whole number from 1 to 500, not 1.5"),
        ("prototypes", "clusters", 65, "clusters is a whole number from 1 to 64, not 65"),
        ("prototypes", "seed", -1, "seed is a whole number from 0, not -1"),
        ("prototypes", "images", 7, "images is a list of pictures, not 7"),
        ("prototypes", "images", ["x"] * 65, "65 pictures were given for images; 64 are the most"),
    ],
)
def test_the_sentence_names_the_argument(address, right, endpoint, name, value, sentence):
    done, found = call(address, endpoint, list({**right[endpoint], name: value}.values()))
    assert not done and sentence in found


def test_an_index_of_a_class_is_one_in_numbers_too(address, right):
    done, found = call(address, "explain", list({**right["explain"], "target": 0}.values()))
    assert done and found[0]["target"]["index"] == 0


@pytest.mark.parametrize("count", [0, 1, 5, 50])
def test_another_number_of_values(address, count):
    for endpoint in ("explain", "models", "prototypes"):
        done, found = call(address, endpoint, [""] * count)
        assert done or (isinstance(found, str) and UNEXPECTED not in found), found


CLICKS = {
    "a list": [1],
    "no text": {"value": {"a": {"b": 1}}, "index": 0}, "a long text": {"value": "x" * 200_000},
    "an unknown one": {"value": "show:nobody", "index": 0}, "a drop": {"value": "drop:"},
    "a place": {"value": [1e308, -5], "index": 0}, "no place": {"value": "ab", "index": 0},
    "a far one": {"value": "keep", "index": 10**9},
    "a path": {"value": "backbone:local-dir:/etc", "index": 0},
    "a mask": {"value": {"kind": "blur", "painted": "8x8." + "A" * 9000, "out": [1]}},
    "a cover": {"value": {"kind": 7, "hottest": 10**9, "out": [["x"]]}},
}  # fmt: skip
FEW = ("odd", "nested", "a file")


@pytest.fixture(scope="module")
def events(address):
    """The events of the page: (number, how many values it takes, whether it is told what)."""
    config = json.loads(fetch(f"{address}/config")[1])
    return [
        (row["id"], len(row["inputs"]), "select" in dict(row["targets"]).values())
        for row in config["dependencies"]
        if row["api_visibility"] == "private"
    ]


@pytest.mark.long
def test_every_event_of_the_page_with_wrong_values(address, events):
    """Whatever is posted to an event, the page of that session says no more than a sentence."""
    assert len(events) > 60 and sum(told for *_, told in events) > 10
    for place, (number, count, told) in enumerate(events):
        session = f"visitor{place // 16}"
        for kind in FEW:
            wrong = WRONG[kind]
            values = [None, *[wrong] * (count - 1)][:count]
            _expect_a_sentence(send(address, number, values, wrong, session), (number, kind))
        if told:
            for kind, clicked in CLICKS.items():
                found = send(address, number, [None] * count, clicked, session)
                _expect_a_sentence(found, (number, kind))
        if place % 4 == 3 or place == len(events) - 1:
            answer = send(address, 0, [None], None, session)
            _expect_a_sentence(answer, f"the answer behind event {number} or one of three before")


def _expect_a_sentence(messages, what):
    last = messages[-1]
    assert last["msg"] == "process_completed", (what, last)
    assert UNEXPECTED not in json.dumps(messages), what
    if not last["success"]:
        assert len(last["output"]["error"]) > 15, (what, last)


@pytest.mark.parametrize("number", [-1, 10**6, None, "x", 1.5])
def test_an_event_that_the_page_does_not_have(address, number):
    body = {"data": [], "fn_index": number, "session_hash": "x", "event_data": None}
    status, text = fetch(f"{address}/gradio_api/queue/join", body)
    assert 400 <= status < 500, text


def test_a_long_link_opens_the_page(address):
    status, text = fetch(f"{address}/?class={'x' * 40_000}")
    assert status == 200 and "<html" in text
    assert fetch(f"{address}/config?{'x' * 40_000}")[0] == 414


@pytest.mark.parametrize("query", ["class=%zz%00%ff", "a=1&a=2&a=3", "%=%&&&==", "class[]=1", "x"])
def test_a_damaged_link_opens_the_page(address, query):
    assert fetch(f"{address}/?{query}")[0] == 200
