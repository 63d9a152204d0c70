"""Links: what is written is what is read, and nothing that is sent in one can do harm."""

from dataclasses import fields

import pytest

from camviz.examples import examples
from camviz.maps.fusion import FUSIONS
from camviz.ui import links
from camviz.ui.links import NO_PICTURE, UPLOAD, Named, read, write
from camviz.ui.viewer import SETTINGS

pytestmark = pytest.mark.usefixtures("fresh")


FULL = {
    "backbone": "scenes-resnet",
    "untrained": True,
    "target": "sailing boat",
    "versus": "rowing boat",
    "stages": ("layer3", "layer2.0.conv1"),
    "method": "grad_cam",
    "truncation": 0.35,
    "fuse": "mean",
    "tap": "output",
    "fit": "crop",
    "placement": "true",
}


def test_there_and_back():
    link = write(FULL, {}, "two-boats")
    assert set(link) == {*FULL, "example", "class", "weights"} - {"target", "untrained"}
    named, wrong = read(link)
    assert wrong == ()
    assert named.example == "two-boats"
    assert named.settings() == FULL
    assert {field.name for field in fields(Named)} == {*FULL, "example"}


def test_only_what_differs_from_the_default_is_said():
    assert write(FULL, FULL, "a-ram") == {"backbone": "scenes-resnet", "example": "a-ram"}
    changed = {**FULL, "truncation": 0.5}
    assert write(changed, FULL, UPLOAD)["truncation"] == "0.5"
    off = {**FULL, "untrained": False}
    assert "weights" not in write(off, {**FULL, "untrained": False}, "a-ram")


def test_what_the_viewer_writes_is_its_own_affair():
    assert read(dict.fromkeys(SETTINGS, "1")) == (Named(), ())


def test_an_empty_address_names_nothing():
    assert read({}) == (Named(), ())


@pytest.mark.parametrize("example", [UPLOAD, NO_PICTURE, *(row.name for row in examples())])
def test_every_example_can_be_linked_to(example):
    assert read({"example": example})[0].example == example


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("backbone", "/etc/passwd"),
        ("backbone", "local-dir:/etc"),
        ("backbone", "hf-hub:some/one"),
        ("example", "../../etc/passwd"),
        ("method", "nonsense"),
        ("method", "lpcam"),  # a row of its own
        ("truncation", "1.5"),
        ("truncation", "nan"),
        ("truncation", "much"),
        ("fuse", "product;drop"),
        ("tap", ""),
        ("fit", "shrink"),
        ("placement", "anywhere"),
        ("stages", "layer1,,layer2"),
        ("stages", ",".join("x" * 40)),
        ("class", "y" * 201),
        ("weights", "random"),
        ("colour", "red"),
    ],
)
def test_garbage_is_named_and_ignored(key, text):
    named, wrong = read({key: text, "fuse2": "x"} if key == "fuse" else {key: text})
    assert named == Named()
    assert wrong[0].startswith(f"{key}={text[:40]}")
    assert len(wrong[0]) < 400


def test_the_rest_of_a_link_with_garbage_in_it_counts():
    named, wrong = read({"method": "nonsense", "fuse": "mean"})
    assert named == Named(fuse="mean") and len(wrong) == 1
    assert "mean" in FUSIONS


def test_what_belongs_to_others_is_left_alone():
    others = {"opacity": "0.3", "colors": "magma", "__theme": "dark", "utm_source": "x", "tab": "c"}
    assert read(others) == (Named(), ())


def test_an_example_is_known_by_its_pixels():
    for row in examples():
        assert links.example_of(row.open().digest) == row.name
    assert links.example_of("0" * 64) is None
