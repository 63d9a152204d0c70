"""The view Faithfulness, as a visitor uses it."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.pages import fits_window, open_tab, wait_until_idle, wrong_with_texts

pytestmark = pytest.mark.browser

PLOTS = "#faithfulness-curves curve-plots"
# The words of elements that are broken over two lines.
BROKEN = """all => all.flatMap(one => [...one.firstChild.data.matchAll(/\\S+/g)].filter(word => {
    const range = new Range();
    range.setStart(one.firstChild, word.index);
    range.setEnd(one.firstChild, word.index + word[0].length);
    return range.getClientRects().length > 1;
}).map(String))"""
RAM = "&backbone=scenes-resnet&example=a-ram"


@pytest.fixture
def open_faithfulness(open_page):
    """open_faithfulness(query, ...): the page with the view, all maps measured."""

    def get(query=RAM, **options):
        page = open_page(query=query, **options)
        open_tab(page, "Faithfulness")
        button = page.locator("#faithfulness-start button")
        expect(button.or_(page.locator("#faithfulness-table table"))).to_be_visible()
        if button.is_visible():  # on a busy machine
            button.click()
        expect(page.locator("#faithfulness-table thead th")).to_have_count(5, timeout=60_000)
        wait_until_idle(page)
        return page

    return get


def painted(page, kind):
    """The picture at the step that is shown, as text that can be compared."""
    return page.locator(f"{PLOTS} [data-part={kind}-picture]").evaluate("c => c.toDataURL()")


def colors(page, kind):
    """How many different colours it has."""
    return page.locator(f"{PLOTS} [data-part={kind}-picture]").evaluate(
        """c => new Set(new Uint32Array(
            c.getContext("2d").getImageData(0, 0, c.width, c.height).data.buffer)).size"""
    )


def test_moving_along_a_curve_shows_the_picture_without_the_server(open_faithfulness):
    page = open_faithfulness()
    calls = []
    page.on("request", lambda request: calls.append(request.url))
    plot = page.locator(f"{PLOTS} [data-part=deletion-plot]")
    plot.focus()
    page.keyboard.press("Home")
    expect(plot).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("Shift+Tab")
    radio = page.locator(f"{PLOTS} input:focus-visible")
    expect(radio).to_have_css("outline-style", "solid")
    plot.focus()
    whole = painted(page, "deletion")
    page.keyboard.press("End")
    assert colors(page, "deletion") == 1, "everything is removed"
    assert painted(page, "insertion") == whole, "and everything is sharp"
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(plot).to_have_attribute("aria-valuenow", "1")
    assert painted(page, "deletion") != whole != painted(page, "insertion")
    expect(plot).to_have_attribute("aria-valuetext", re.compile(r"^3\.6% removed: ram \d"))
    one = painted(page, "deletion")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + 20)
    assert 12 <= int(plot.get_attribute("aria-valuenow")) <= 15
    assert painted(page, "deletion") != one
    before = painted(page, "deletion")
    page.locator(f"{PLOTS} label", has_text="Random").click()
    assert painted(page, "deletion") != before
    assert not [url for url in calls if not url.startswith(("data:", "blob:"))]


def test_a_dark_page_is_printed_with_dark_lines_on_white_paper(open_faithfulness):
    page = open_faithfulness(theme="dark")
    lines = page.locator(f"{PLOTS} polyline, {PLOTS} text")
    colors = "all => all.map(one => getComputedStyle(one)).map(style => style.stroke + style.fill)"
    on_screen = lines.evaluate_all(colors)
    page.emulate_media(media="print")
    expect(page.locator("body")).not_to_have_class(re.compile("dark"))
    contrasts = lines.evaluate_all(
        """all => all.map(one => getComputedStyle(one))
        .map(style => style[style.stroke === "none" ? "fill" : "stroke"])
        .map(color => color.match(/[\\d.]+/g).map(part => part / 255)
            .map(part => part <= .03928 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4))
        .map(([r, g, b]) => 1.05 / (.2126 * r + .7152 * g + .0722 * b + .05))"""
    )
    assert len(contrasts) >= 8 and min(contrasts) >= 4.5
    page.emulate_media(media="screen")
    expect(page.locator("body")).to_have_class(re.compile("dark"))
    assert lines.evaluate_all(colors) == on_screen


@pytest.mark.long
def test_files_hold_what_is_shown(open_faithfulness, tmp_path):
    page = open_faithfulness()
    for kind, begins in (("svg", "<svg xmlns="), ("csv", "map,quantity,share,value")):
        with page.expect_download() as download:
            page.locator(f"{PLOTS} [data-part={kind}]").click()
        assert download.value.suggested_filename == f"a-ram_faithfulness.{kind}"
        download.value.save_as(tmp_path / kind)
        text = (tmp_path / kind).read_text()
        assert text.startswith(begins) and "This map" in text and "Centred Gaussian" in text


@pytest.mark.long
def test_what_takes_long_is_begun_by_a_press_alone(open_page):
    page = open_page(query="&backbone=resnet50&weights=untrained&example=a-ram")
    open_tab(page, "Faithfulness")
    button = page.locator("#faithfulness-start button")
    expect(button).to_have_text(re.compile(r"^Measure it, about \d+ (s|min)$"))
    expect(page.locator(PLOTS)).to_be_hidden()
    button.click()
    expect(page.locator("#progress progress")).to_be_visible()
    page.locator("#progress button").click()
    expect(page.locator("#notice")).to_contain_text("Stopped")
    wait_until_idle(page)


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_faithfulness_on_a_phone(open_faithfulness, theme):
    page = open_faithfulness(width=390, height=844, theme=theme)
    assert fits_window(page)
    assert not wrong_with_texts(page)
    assert page.locator("#faithfulness-table thead th").evaluate_all(BROKEN) == []
    plot = page.locator(f"{PLOTS} [data-part=insertion-plot]")
    before = painted(page, "insertion")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
    assert painted(page, "insertion") != before
