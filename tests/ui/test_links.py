"""Links: what is written is what is read, and nothing that is sent in one can do harm."""

from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

import pytest

from camviz.defaults import VIEWER_SETTINGS
from camviz.engine.option import option
from camviz.engine.options import Options
from camviz.examples import examples
from camviz.maps.fusion import FUSIONS
from camviz.ui import actions, links
from camviz.ui.links import NO_PICTURE, UPLOAD, Link, read, write
from camviz.ui.state import AUTO, DEFAULT, BackboneChoice

pytestmark = pytest.mark.usefixtures("fresh")


FULL = replace(
    DEFAULT,
    backbone=BackboneChoice("scenes-resnet", untrained=True),
    target="sailing boat",
    versus="rowing boat",
    gamma=0.6,
    truncation=0.35,
).with_options(
    stages=("layer3", "layer2.0.conv1"),
    method="grad_cam",
    fuse="mean",
    refine="none",
    tap="output",
    fit="crop",
    placement="true",
    truncation_mode="cap",
)
KEYS = {
    "backbone", "example", "class", "versus", "gamma", "weights", "stages", "method", "truncation",
    "fuse", "refine", "tap", "fit", "placement", "truncation_mode",
}  # fmt: skip


def test_there_and_back():
    link = write(FULL, "two-boats")
    assert set(link) == KEYS
    named, problems = read(link)
    assert problems == []
    assert named.example == "two-boats"
    assert (named.backbone, named.untrained) == ("scenes-resnet", True)
    assert (named.target, named.versus, named.truncation) == ("sailing boat", "rowing boat", 0.35)
    assert named.gamma == 0.6
    assert DEFAULT.with_options(**named.options).options == FULL.options


def test_links_made_before_open_the_same_view():
    old = (
        "backbone=scenes-resnet&example=two-boats&class=sailing+boat&versus=rowing+boat&"
        "stages=layer3%2Clayer4&method=hires_cam&truncation=0.5&fuse=mean&tap=output&fit=crop&"
        "placement=true&weights=untrained&opacity=0.4&tab=models"
    )
    named, problems = read(dict(parse_qsl(old)))
    assert problems == []
    assert named == Link(
        "scenes-resnet", True, "two-boats", "sailing boat", "rowing boat", None, 0.5,
        {"stages": ("layer3", "layer4"), "method": "hires_cam", "fuse": "mean", "tap": "output",
         "fit": "crop", "placement": "true"},
    )  # fmt: skip


def test_only_what_differs_from_the_default_is_written():
    plain = replace(DEFAULT, backbone=BackboneChoice("scenes-resnet"))
    assert write(plain, "a-ram") == {"backbone": "scenes-resnet", "example": "a-ram"}
    assert write(replace(plain, truncation=0.5), UPLOAD)["truncation"] == "0.5"
    assert write(replace(plain, truncation=0.0), UPLOAD)["truncation"] == "0"
    assert DEFAULT.truncation == AUTO and "truncation" not in write(
        replace(FULL, truncation=AUTO), UPLOAD
    )


@pytest.mark.parametrize("key", ["hottest", "gamma", "count", "seed", "truncation"])
@pytest.mark.parametrize("text", ["abc", "", "nan", "1e999", "9" * 5000, "²", "0x10", "1_0_"])
def test_a_number_that_is_none_has_our_sentence(key, text):
    named, (problem,) = read({key: text})
    assert named == Link() and f"({key} is a " in problem and "number from" in problem
    assert len(problem) < 400


def test_the_level_is_a_number_or_is_chosen_for_the_picture():
    for text, level in (("auto", AUTO), ("0", 0.0), ("0.99", 0.99)):
        assert read({"truncation": text}) == (Link(truncation=level), [])
    for text in ("1", "-0.1", "Auto", ""):
        named, wrong = read({"truncation": text})
        assert named == Link() and len(wrong) == 1
    assert "a number from 0 to 0.99, not" in read({"truncation": "1"})[1][0]


@pytest.mark.parametrize(
    ("query", "level"),
    [({}, AUTO), ({"truncation": "auto"}, AUTO), ({"truncation": "0"}, 0.0),
     ({"truncation": "0.35"}, 0.35), ({"truncation": "much"}, AUTO)],
)  # fmt: skip
def test_what_a_link_opens_with(session, query, level):
    actions.open_link(session, {"truncation_mode": "rectify", **query}, None)
    assert session.controls.truncation == level
    assert session.controls.options.truncation_mode == "rectify"
    assert session.controls.options.truncation == 0.0  # that of the other rows
    assert bool(session.problems) == (query == {"truncation": "much"})


def test_an_option_added_to_a_subclass_is_in_links():
    @dataclass(frozen=True, kw_only=True)
    class More(Options):
        sharpness: float = option(1.0, "how sharp", kind=float, page=True)
        hidden: float = option(1.0, "not on the page", kind=float)

    controls = replace(DEFAULT, backbone=BackboneChoice("b"), options=More(sharpness=2.5))
    assert write(controls, UPLOAD)["sharpness"] == "2.5"
    assert read({"sharpness": "2.5"}, More)[0].options == {"sharpness": 2.5}
    assert read({"sharpness": "2.5"})[1] and read({"hidden": "2"}, More)[1]


def test_what_the_viewer_writes_is_its_own_affair():
    assert read(dict.fromkeys(VIEWER_SETTINGS, "1")) == (Link(), [])


def test_an_empty_address_names_nothing():
    assert read({}) == (Link(), [])


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
        ("truncation", "none"),
        ("truncation_mode", "cut"),
        ("truncation_mode", "auto"),
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
    assert named == Link()
    assert wrong[0].startswith(f"{key}={text[:40]}")
    assert len(wrong[0]) < 400


def test_the_rest_of_a_link_with_garbage_in_it_counts():
    named, wrong = read({"method": "nonsense", "fuse": "mean"})
    assert named == Link(options={"fuse": "mean"}) and len(wrong) == 1
    assert "mean" in FUSIONS


def test_what_belongs_to_others_is_left_alone():
    others = {"opacity": "0.3", "colors": "magma", "__theme": "dark", "utm_source": "x", "tab": "c"}
    assert read(others) == (Link(), [])


def test_an_example_is_known_by_its_pixels():
    for row in examples():
        assert links.example_of(row.open().digest) == row.name
    assert links.example_of("0" * 64) is None
