"""The report on paper: A4, nothing cut, nothing dark, and room to write."""

import re

import pytest
from playwright.sync_api import expect

from camviz.examples import example
from camviz.ui.compute import engine
from camviz.ui.downloads.report import report_html

pytestmark = pytest.mark.browser

A4 = (210 / 25.4 * 72, 297 / 25.4 * 72)  # points
PAPER = round(180 / 25.4 * 96), round(269 / 25.4 * 96)  # pixels within its margins
# What is wider than the paper, higher than a page, or may be cut between two.
CUT = """([width, height]) => [...document.querySelectorAll("img, .write, .steps li")]
    .filter(one => one.checkVisibility())
    .filter(one => {
        const box = one.getBoundingClientRect();
        return box.right > width + 1 || box.height > height || box.width < 1
            || getComputedStyle(one).breakInside !== "avoid";
    }).map(one => one.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    x = engine().explain(example("a-ram").open(), "scenes-resnet")
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_html({"layercam": x, "denoised": x}), encoding="utf-8")
    return path


def test_it_prints_on_a4_without_a_cut_or_a_dark_ground(browse, written, tmp_path):
    page = browse(written.as_uri(), width=PAPER[0], height=PAPER[1], scheme="dark")
    expect(page.locator(".write").first).to_be_hidden()
    expect(page.locator("#viewer")).to_be_visible()
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator(".write").first).to_be_visible()
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator(".grey img")).to_have_count(12)
    assert page.locator(".write").count() == 5
    assert page.evaluate(CUT, PAPER) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    grounds = page.evaluate(
        "[...document.querySelectorAll('html, body, section, pre, .verdict *, table *')]"
        ".map(one => getComputedStyle(one).backgroundColor)"
    )
    assert set(grounds) <= {"rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"}
    filters = page.evaluate("[...document.images].map(one => getComputedStyle(one).filter)")
    assert set(filters) == {"grayscale(1)"}
    page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    sheets = re.findall(
        rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", (tmp_path / "report.pdf").read_bytes()
    )
    assert 3 <= len(sheets) <= 10
    for width, height in sheets:
        assert (float(width), float(height)) == pytest.approx(A4, abs=0.5)
