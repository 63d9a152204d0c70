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
from camviz.ui import sanity_plot, service
from camviz.ui.compute import engine
from camviz.ui.downloads.paper import LINE, PALEST, Paper, grey_maps
from camviz.ui.downloads.printed_stories import CELLS, printed_stories
from camviz.ui.downloads.printed_tests import cascade_known, figures_known
from camviz.ui.downloads.report import report_html
from camviz.ui.learn.stories import attending, method, noise, whole
from camviz.ui.state import BackboneChoice, Controls
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


@pytest.fixture(scope="module")
def rows():
    """All rows of a picture, as the page has them."""
    return service.rows(Controls(str(example("a-ram").path), BackboneChoice("scenes-resnet")))


def test_every_step_of_the_stories_stands_in_the_report(rows):
    ram = rows["layercam"]
    full = [
        method.story(ram, Maps(CELLS), "layer_cam"),
        noise.story(ram, rows["denoised"].truncation_choice, Maps(CELLS)),
        whole.story(ram, rows["prototypes"], "", Maps(CELLS)),
    ]
    printed = printed_stories(rows)
    assert [story.title for story in printed] == [story.title for story in full]
    text = words(report_html(rows))
    for story, wanted in zip(printed, full, strict=True):
        layer = next(
            (each for each in wanted.layers if each.key == wanted.first), wanted.layers[-1]
        )
        assert [step.title for step in story.steps] == [step.title for step in layer.steps]
        for step, whole_step in zip(story.steps, layer.steps, strict=True):
            assert step.title in text and step.says in text
            assert not any(f"({color})" in step.says for color in ("orange", "violet", "warm"))
            for formula in step.formulas:
                assert formula in text
            figures = sum(len(group.figures) for group in whole_step.groups)
            figures += 0 if whole_step.cut is None else 2
            assert sum(len(stills) for _, stills in step.groups) == figures
    assert METHODS["layer_cam"].formula in text and METHODS["lpcam"].formula in text


def test_a_transformer_tells_how_it_attends():
    x = engine().explain(example("a-ram").open(), "scenes-vit")
    (title,) = [
        story.title for story in printed_stories({"layercam": x}) if "attend" in story.title
    ]
    assert title == attending.TITLE and title in words(report_html({"layercam": x}))


def test_stills_have_the_cells_of_their_maps(ram):
    (printed, *_) = printed_stories({"layercam": ram})
    stills = [s for step in printed.steps for _, group in step.groups for s in group]
    raw = engine().steps(ram, next(s for s in ram.stages if ram.raw[s].shape == (8, 8))).raw
    grids = [pixels_of(s.src)[..., 0] for s in stills if s.cells]
    wanted = 255 - np.rint(raw / raw.max() * 255)  # this map has nothing below zero
    assert any(g.shape == raw.shape and np.abs(g - wanted).max() <= 1 for g in grids)
    laid = [s for s in stills if not s.cells and s.alt.startswith("The map")]
    assert laid, "a map that is laid on the picture is shown so"


def test_a_method_without_steps_has_none(ram):
    other = engine().explain(ram.picture, "scenes-resnet", method="eigen_cam")
    assert printed_stories({"layercam": other}) == []
    assert "How LayerCAM works" not in words(report_html({"layercam": other}))
    told = words(report_html({"layercam": other, "denoised": ram}))
    assert "How LayerCAM works" in told, "another row has them"


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


def test_sanity_is_printed_if_it_was_looked_at(monkeypatch):
    x = engine().explain(example("a-windmill").open(), "scenes-resnet")
    assert cascade_known(x) is None and "was made random, block by block" not in words(
        report_html({"layercam": x})
    )
    found = engine().sanity(x)
    printed = cascade_known(x)
    assert printed.conclusion == sanity_plot.conclusion(x, found)
    assert [still.name for still in printed.maps] == [sanity_plot.label_of(s) for s in found.steps]
    assert len({still.src for still in printed.maps}) > 2
    several = engine().explain(x.picture, "scenes-resnet", views="flip")
    assert cascade_known(several).averaged and not printed.averaged
    assert "and not of several views" in words(report_html({"layercam": several}))
    assert printed.maps[0].src == Paper(x).with_map("fused"), "the first is the map of the page"
    text = words(report_html({"layercam": x}))
    assert printed.conclusion in text and "Nothing was measured" not in text
    for step in found.random:
        assert f"+ {step.name} rank correlation {sanity_plot.rank_text(step.rank)}" in re.sub(
            r"\s+", " ", text
        )


def test_a_grey_map_is_darker_the_hotter_and_has_a_line_at_half(monkeypatch):
    x = engine().explain(np.full((260, 260, 3), 200, np.uint8), "scenes-resnet")
    heat = np.tile(np.linspace(0, 1, 260, dtype=np.float32), (260, 1))
    monkeypatch.setattr("camviz.ui.downloads.paper.draw", lambda *grid: heat)
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


def test_the_hand_out_is_bounded(rows, monkeypatch):
    whole = len(report_html(rows).encode())
    monkeypatch.setattr("camviz.ui.downloads.report.grey_maps", lambda x: {})
    monkeypatch.setattr("camviz.ui.downloads.report.printed_stories", lambda rows: [])
    assert 0 < whole - len(report_html(rows).encode()) < MOST_BYTES
