"""An explanation shows itself in a notebook: with the viewer, and as a picture."""

import base64
import html
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camviz.engine.engine import Engine

ROOT = Path(__file__).resolve().parent.parent
CELL = """
import sys
sys.path.insert(0, {root!r})
import torch
torch.set_num_threads(1)
import camviz
x = camviz.Engine("cpu").explain({picture!r}, "scenes-resnet", target="ram")
x
"""


@pytest.fixture(scope="module")
def engine():
    return Engine("cpu")


@pytest.fixture
def x(engine, tiny, photo):
    return engine.explain(photo, tiny("test_resnet"))


def document_in(x):
    """The document in the frame."""
    found = re.fullmatch(r'<iframe title="([^"]*)" srcdoc="([^"]*)" style="[^"]*"></iframe>\n?', x)
    assert found
    return html.unescape(found[2])


def data_of(x):
    """What the script in the frame reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', document_in(x))
    return json.loads(found[1])


def test_a_notebook_shows_viewer_and_picture(tmp_path, photo_file):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    source = CELL.format(root=str(ROOT), picture=photo_file)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=120, resources=place).execute()
    (output,) = [o for o in book.cells[0].outputs if o.output_type == "execute_result"]
    assert set(output.data) == {"text/plain", "text/html", "image/png"}
    value = data_of(output.data["text/html"])["value"]
    keys = [panel["key"] for panel in value["rows"][0]["panels"]]
    assert keys[-2:] == ["fused", "refined"]
    with Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))) as shown:
        assert shown.size == (2 * 90 + 6, 60)


def test_the_frame_has_everything_in_it(x):
    text = document_in(x._repr_html_())
    assert "default-src 'none'" in text
    assert not re.search(r"""(src|href)=["'](?!data:|\$\{)|@import|url\((?!data:|#)""", text)
    assert not re.search(r"^(import|export) ", text, re.M)
    assert text.count("<map-viewer class=") == 1
    assert len(x._repr_html_()) < 400_000


def test_nothing_in_a_label_ends_the_frame_or_its_script(x):
    hostile = "</script><b>\"&'x"
    labels = (hostile, *x.backbone.labels[1:])
    x = replace(
        x, backbone=replace(x.backbone, labels=labels), request=replace(x.request, target=0)
    )
    shown = x._repr_html_()
    assert document_in(shown).count("</script>") == 2
    assert hostile in json.dumps(data_of(shown)["value"], ensure_ascii=False).replace('\\"', '"')


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({}, "Hierarchical LayerCAM"),
        ({"method": "grad_cam"}, "Hierarchical Grad-CAM"),
        ({"truncation": 0.9}, "Denoised shallow maps"),
        ({"method": "lpcam"}, "Prototype similarity"),
    ],
)
def test_the_row_is_titled_after_what_it_is(engine, tiny, photo, options, title):
    x = engine.explain(photo, tiny("test_resnet"), **options)
    assert [row["title"] for row in data_of(x._repr_html_())["value"]["rows"]] == [title]


def read_png(x):
    with Image.open(io.BytesIO(x._repr_png_())) as image:
        return np.asarray(image)


def test_the_picture_is_beside_its_fused_map(x, photo):
    left, gap, right = np.split(read_png(x), [90, 96], axis=1)
    assert (left == photo).all() and (gap == 255).all()
    assert left.shape == right.shape and (left != right).mean() > 0.5


def test_a_large_picture_is_made_smaller(engine, tiny):
    noise = np.random.default_rng(0).integers(0, 256, (700, 1400, 3), np.uint8)
    x = engine.explain(noise, tiny("test_resnet"), fit="crop")
    assert read_png(x).shape == (240, 2 * 480 + 6, 3)
    outside = read_png(x)[:100, 490:560].reshape(-1, 3)  # hatched grey
    assert (outside == outside[:, :1]).all()


def test_a_strip_is_shown(engine, tiny):
    line = np.random.default_rng(0).integers(0, 256, (8, 4800, 3), np.uint8)
    assert read_png(engine.explain(line, tiny("test_resnet"))).shape == (1, 2 * 480 + 6, 3)


def test_the_viewer_draws_its_maps_in_a_browser(x, tmp_path):
    """And the frame becomes as high as what is in it."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium on this machine")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    file = tmp_path / "notebook.html"
    file.write_text(f"<!doctype html><title>Notebook</title>{x._repr_html_()}")
    wrong = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.goto(file.as_uri())
        frame = page.frame_locator("iframe")
        maps = frame.locator(".vw-rows canvas")
        api.expect(maps).to_have_count(len(x.stages) + 2)  # and fused, and refined
        painted = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
        assert all(maps.nth(i).evaluate(painted) for i in range(maps.count()))
        inner = frame.locator("html").evaluate("node => node.offsetHeight")
        assert page.locator("iframe").evaluate("node => node.clientHeight") == inner != 560
        browser.close()
    assert not wrong
