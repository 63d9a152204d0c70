"""The report: complete, harmless whatever it holds, and the command in it does the same again."""

import html
import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from camviz import cli
from camviz.engine.engine import Engine
from camviz.engine.option import option_table
from camviz.engine.options import Options
from camviz.examples import example
from camviz.methods import METHODS
from camviz.ui.downloads import report
from camviz.ui.downloads.command import arguments, command
from camviz.ui.downloads.report import report_html
from camviz.ui.state import Unavailable
from camviz.ui.viewer import payload
from camviz.ui.viewer.source import configuration, inline, markup, style
from camviz.ui.viewer.words import REFINED_WORDS, refinement_words

HOSTILE = "<img src=x onerror='window.broken=1'></script><script>$style"


@pytest.fixture(scope="module")
def engine():
    return Engine("cpu")


@pytest.fixture(scope="module")
def picture(tmp_path_factory, photo):
    path = tmp_path_factory.mktemp("pictures") / "my photo's $1.png"
    Image.fromarray(photo).save(path)
    return path


@pytest.fixture(scope="module")
def explain(engine, tiny, picture):
    def get(method="layer_cam", image=picture, **options):
        return engine.explain(image, tiny("test_resnet"), method=method, **options)

    return get


@pytest.fixture(scope="module")
def rows(explain):
    return {
        "layercam": explain(target=3),
        "denoised": explain(target=3, truncation=0.9),
        "prototypes": Unavailable("There are no <prototypes> of it."),
    }


def data_of(text):
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found)


def words(text):
    """What of it a reader sees."""
    body = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.S)
    return html.unescape(re.sub(r"<[^>]+>", " ", body))


def test_the_viewer_in_it_is_the_pages_own(rows):
    text = report_html(rows, "http://host/?colors=magma&opacity=0.3")
    for part in (markup(), style(), inline("viewer/map-viewer.js")):
        assert part in text
    data = data_of(text)
    assert data["value"] == json.loads(json.dumps(payload(rows).to_json()))
    assert data["configuration"] == json.loads(json.dumps(configuration().to_json()))
    assert list(data["configuration"]["tables"]) == list(configuration().tables), "in their order"
    assert data["query"] == "colors=magma&opacity=0.3"


def test_everything_about_the_picture_is_said(rows):
    x = rows["layercam"]
    text = words(report_html(rows))
    for _, label, _ in x.predictions[: report.CLASSES]:
        assert label in text
    for note in x.notes.values():
        assert str(note) in text
    for other in (x, rows["denoised"]):
        assert METHODS[other.request.method].paper in text and command(other) in text
    assert "There are no <prototypes> of it." in text
    assert "my photo's $1.png, SHA-256 of its pixels " + x.picture.digest[:12] in text
    assert "weak values become 0 at level 0.9" in text and "untrained: maps mean nothing" in text
    assert f"{x.notes['layer4'].positive_share:.0%}" in text
    for name, cut in (("fused", 0.2), ("refined", 0.5)):
        first = str(x.boxes(cut, of=name, multi=True)[0].xyxy)[1:-1]
        assert f"Boxes at {cut:.0%} of the {name} map (x0, y0, x1, y1): {first}" in text
    assert refinement_words(x.refinement) in text
    assert REFINED_WORDS.summary in text and REFINED_WORDS.formula in text


def test_the_class_explained_is_listed_though_it_is_the_last(explain):
    last = explain().predictions[-1][0]
    text = report_html({"layercam": explain(target=last)})
    assert re.search(r'<li aria-current="true" value="\d{2,}"', text)


def test_figures_against_the_truth_of_an_example(engine):
    x = engine.explain(example("a-zebra").path, "scenes-resnet", target="zebra")
    found = x.measure(example("a-zebra").truth[0].mask)
    text = words(report_html({"layercam": x}))
    for name in ("fused", "refined"):
        for figure, value in found[name].items():
            assert figure.replace("_", " ") in text and f"{value:.3f}" in text


def test_without_refinement_nothing_is_said_of_it(explain):
    text = words(report_html({"layercam": explain(target=3, refine="none")}))
    assert re.search(r"Refined map\s+none", text)
    assert "of the fused map" in text and "of the refined map" not in text
    assert REFINED_WORDS.summary not in text


@pytest.mark.parametrize(
    ("address", "linked"),
    [
        ("https://host/page?backbone=a&example=a-ram", True),
        ("http://host:7860/?example=upload", True),
        ("javascript:alert(1)//?a=b", False),
        ("?backbone=a", False),
        ("", False),
    ],
)
def test_only_an_address_of_a_page_becomes_a_link(rows, address, linked):
    text = report_html(rows, address)
    assert (f'<a href="{html.escape(address)}"' in text) == linked
    assert ("Uploads never go into a link" in text) == ("upload" in address)


def test_it_asks_nobody_for_anything(rows):
    text = report_html(rows)
    assert "default-src 'none'" in text
    outside = re.findall(r'(?:src|href|action)="([^"]*)"', text)
    assert all(place.startswith("data:") or "//" not in place for place in outside)
    # "url(#": what a figure refers to stands in the figure itself.
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttpRequest", text)


def test_names_are_names(explain):
    x = explain(target=3)
    labels = [HOSTILE, *x.backbone.labels[1:]]
    x = replace(
        x,
        picture=replace(x.picture, name=HOSTILE),
        backbone=replace(x.backbone, labels=labels),
        request=replace(x.request, target=0),
    )
    rows = {"layercam": x, HOSTILE: Unavailable(HOSTILE)}
    text = report_html(rows, f"http://host/?row={HOSTILE}")
    assert "<img src=x" not in text and text.count("<script") == 2
    value = data_of(text)["value"]
    assert value["picture"]["name"] == value["rows"][1]["reason"] == HOSTILE


# -- The command ---------------------------------------------------------------------------------

OPTIONS = [
    {},
    {"target": 3},
    {"target": 3, "versus": 5},
    {"truncation": 0.85},
    {"truncation": "auto"},
    {"truncation": "auto", "truncation_mode": "cap"},
    {"truncation": "auto", "method": "hires_cam", "target": 5},
    {"truncation": 0.5, "truncated": ["layer2"], "truncation_mode": "cap"},
    {"fuse": "max_tanh", "tap": "output", "fit": "crop", "score": "probability"},
    {"stages": ["layer2.0.conv1", "layer4"], "checkerboard": "keep"},
    {"method": "grad_cam", "stages": ["layer3"]},
    {"refine": "none"},
    {"refine_power": 2.5, "refine_steps": 5},
    {"refine_steps": 1, "fit": "pad"},
    {"refine_keep": 0},
    {"refine_keep": 1.25, "refine_power": 3},
    {"method": "cam"},
    {"method": "lpcam", "prototypes": "picture", "aggregate": "max"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_command_asks_for_the_same(explain, engine, picture, options):
    x = explain(**options)
    text = command(x, str(picture))
    assert text.startswith("python -m camviz explain ")
    given = cli.build_parser().parse_args(shlex.split(text)[3:])
    assert given.picture == str(picture)
    again = engine.explain(
        given.picture,
        x.backbone,
        target=given.target,
        **{name: getattr(given, name) for name in option_table(Options)},
    )
    assert again.request == x.request and given.backbone == x.request.backbone
    assert given.weights == x.request.weights
    for name in x.stages:
        assert np.array_equal(again.raw[name], x.raw[name])
    assert again.maps_of_all == x.maps_of_all
    for name in x.maps_of_all:
        assert np.array_equal(again.heat(name), x.heat(name))


def test_the_command_runs(engine, picture, capsys):
    x = engine.explain(picture, "scenes-resnet", target="zebra", truncation=0.9)
    assert cli.main([*arguments(x, str(picture)), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    wanted = json.loads(json.dumps(x.manifest()))
    assert printed["request"] == wanted["request"]


def test_what_is_not_said_is_what_the_command_does_anyway(explain):
    usual = cli.build_parser().parse_args(["explain", "x.png"])
    for name, row in option_table(Options).items():
        assert getattr(usual, name) == row.default
    assert usual.weights == "auto"
    given = [word for word in arguments(explain()) if word.startswith("--")]
    usual_words = ["--backbone", "--target", "--weights", "--method", "--stages", "--fuse"]
    assert given == usual_words
    assert usual.fuse == usual.method == "auto"  # what they became is said


def test_odd_names_stay_arguments(explain):
    x = explain(target=3)
    labels = list(x.backbone.labels)
    labels[3], labels[5] = "-o; rm *", "7"
    x = replace(
        x,
        picture=replace(x.picture, name="--out"),
        backbone=replace(x.backbone, labels=labels, synonyms=[(n,) for n in labels]),
        request=replace(x.request, versus=5),
    )
    given = cli.build_parser().parse_args(shlex.split(command(x))[3:])
    assert (given.picture, given.target) == ("./--out", "-o; rm *")
    assert x.backbone.target(given.versus) == 5


def test_no_place_of_the_server_and_nothing_that_nobody_has(engine, explain):
    x = explain("lpcam", target=3)
    trained = engine.explain(example("a-ram").path, "scenes-resnet")
    request = replace(x.request, backbone="local-dir:/srv/models/grove", prototypes="bank:12ab")
    x = replace(x, request=request, backbone=replace(x.backbone, display_name="grove"))
    text = report_html({"layercam": x})
    assert "/srv" not in text and "--backbone grove" in words(text)
    assert "--prototypes prototypes.safetensors" in words(text)
    assert "save them on the page" in text and "local-dir:PATH" in text
    assert "given in memory" in text and "given in memory" not in report_html({"x": trained})
