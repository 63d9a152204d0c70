"""The report as a hand-out: steps, tests that were made, maps without colour, and its size."""

import base64
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from camviz.examples import example
from camviz.methods import METHODS
from camviz.ui.compute import engine
from camviz.ui.downloads import handout
from camviz.ui.downloads.handout import LINE, PALEST, Paper, figures_known, grey_maps, printed_steps
from camviz.ui.downloads.report import report_html
from camviz.ui.learn.stories import method
from camviz.ui.viewer.stories import Maps

MOST_BYTES = 500_000  # that the hand-out may add to a report


@pytest.fixture(scope="module")
def ram():
    return engine().explain(example("a-ram").open(), "scenes-resnet")


def pixels_of(src):
    data = base64.b64decode(src.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def words(text):
    body = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.S)
    return html.unescape(re.sub(r"<[^>]+>", " ", body))


def test_every_step_of_how_it_works_stands_in_the_report(ram):
    maps = Maps(handout.CELLS)
    story = method.story(ram, maps, "layer_cam")
    layer = next(layer for layer in story.layers if layer.key == story.first)
    told = printed_steps(ram)
    assert [step.title for step in told.steps] == [step.title for step in layer.steps]
    text = words(report_html({"layercam": ram}))
    for step, full in zip(told.steps, layer.steps, strict=True):
        assert step.title in text and step.says in text
        assert not re.search(r"orange|violet", step.says), "there is no colour on paper"
        for formula in step.formulas:
            assert formula in text
        assert sum(len(stills) for _, stills in step.groups) == sum(
            len(group.figures) for group in full.groups
        )
    assert METHODS["layer_cam"].formula in text


def test_stills_have_the_cells_of_their_maps(ram):
    told = printed_steps(ram)
    stills = [s for step in told.steps for _, group in step.groups for s in group]
    raw = engine().steps(ram, next(s for s in ram.stages if ram.raw[s].shape == (8, 8))).raw
    grids = [pixels_of(s.src)[..., 0] for s in stills if s.cells]
    wanted = 255 - np.rint(raw / raw.max() * 255)  # this map has nothing below zero
    assert any(g.shape == raw.shape and np.abs(g - wanted).max() <= 1 for g in grids)
    laid = [s for s in stills if not s.cells and s.alt.startswith("The map")]
    assert laid, "a map that is laid on the picture is shown so"


def test_a_method_without_steps_has_none(ram):
    other = engine().explain(ram.picture, "scenes-resnet", method="eigen_cam")
    assert printed_steps(other) is None
    assert "step by step" not in words(report_html({"layercam": other}))
    told = words(report_html({"layercam": other, "denoised": ram}))
    assert "How LayerCAM works, step by step" in told, "another row has them"


def test_tests_are_those_that_were_made_and_none_is_made(monkeypatch):
    x = engine().explain(example("two-boats").open(), "scenes-resnet")
    engine()._traces.drop(x.backbone, x.picture, x.request.fit)

    def fail(*args, **options):
        raise AssertionError("measured for a report")

    with monkeypatch.context() as patched:
        patched.setattr(type(engine()), "faithfulness", fail)
        assert figures_known(x) == []
    assert "Nothing was measured before" in words(report_html({"layercam": x}))
    found = engine().faithfulness(x, beside=()).figures
    known = {test.label: test.values for test in figures_known(x)}
    assert known["Deletion"] == {"this map": f"{found['fused']['deletion']:.3f}"}
    text = words(report_html({"layercam": x}))
    assert "Nothing was measured" not in text and f"{found['fused']['insertion']:.3f}" in text


def test_a_grey_map_is_darker_the_hotter_and_has_a_line_at_half(monkeypatch):
    x = engine().explain(np.full((260, 260, 3), 200, np.uint8), "scenes-resnet")
    heat = np.tile(np.linspace(0, 1, 260, dtype=np.float32), (260, 1))
    monkeypatch.setattr("camviz.ui.downloads.handout.draw", lambda *grid: heat)
    row = pixels_of(Paper(x).with_map("fused"))[130].astype(int)
    assert np.abs(row - row[:, :1]).max() <= 3, "no colour"
    grey = row[:, 0]
    assert grey[5] > grey[100] > grey[170] > grey[250]
    line = grey[126:136]
    assert line.max() - line.min() > 120, "a white line beside a dark one"
    assert grey[5] > 180 and grey[250] < 60


def test_a_large_picture_has_no_larger_maps():
    """They lie where the maps of the picture's own size lie."""
    large = Image.fromarray(example("a-ram").open().pixels).resize((1600, 1200))
    x = engine().explain(large, "scenes-resnet", fit="crop")
    paper = Paper(x)
    found = pixels_of(paper.with_map("layer4"))[..., 0].astype(float)
    assert found.shape == (195, 260)
    grey = np.asarray(Image.fromarray(paper.pixels).convert("L"), float)
    plain = PALEST + grey * (255 - PALEST) / 255
    heat = np.asarray(Image.fromarray(x.maps["layer4"]).resize((260, 195)))
    beside = np.abs(heat - LINE) > 0.1  # the line
    assert np.abs((1 - found / plain) / 0.8 - heat)[beside].mean() < 0.05


def test_every_map_is_there_in_grey(ram):
    assert list(grey_maps(ram)) == [*reversed(ram.stages), *ram.maps_of_all]


def test_the_hand_out_is_bounded(ram, monkeypatch):
    rows = dict.fromkeys(("layercam", "denoised", "prototypes"), ram)
    whole = len(report_html(rows).encode())
    monkeypatch.setattr("camviz.ui.downloads.report.grey_maps", lambda x: {})
    monkeypatch.setattr("camviz.ui.downloads.report.printed_steps", lambda x: None)
    assert 0 < whole - len(report_html(rows).encode()) < MOST_BYTES
