"""The view Collection, as a visitor uses it; and the same as a page without a server."""

import re

import pytest
from playwright.sync_api import expect

from camviz.bulk.cut import Cut
from camviz.bulk.exports.table import fill
from camviz.bulk.run import Run
from camviz.ui import collection
from camviz.ui.downloads.sheet import write_sheet
from tests.support.axe import violations
from tests.support.pages import fits_window, open_tab, wait_until_idle
from tests.support.runs import write_large_run

pytestmark = pytest.mark.browser

HERE = "run-collection"
TILE = f"{HERE} .cv-run-tile"


@pytest.fixture
def open_collection(open_page):
    def get(**options):
        page = open_page(**options)
        open_tab(page, "Collection")
        expect(page.locator(f"{TILE} img").first).to_be_visible()
        wait_until_idle(page)
        return page

    return get


def choose_rams(page):
    page.locator(f"{HERE} [data-part=class]").select_option(label="ram (51)")
    expect(page.locator(f"{HERE} [data-group]")).to_have_count(4)


def shortcut_is_found(page):
    """The first group of rams holds marked ones only."""
    choose_rams(page)
    page.locator(f"{HERE} [data-group='0']").click()
    expect(page.locator(f"{HERE} [data-part=text]")).to_have_text(
        re.compile(r"^\d+ of 200 pictures of group 1\.$")
    )
    expect(page.locator(f"{TILE} canvas").first).to_be_visible()
    page.wait_for_function(
        "tile => [...document.querySelectorAll(tile)].every(one => one.title)", arg=TILE
    )
    titles = page.locator(TILE).evaluate_all("tiles => tiles.map(tile => tile.title)")
    assert titles and all("marked" in title for title in titles)


def test_only_what_is_seen_is_in_the_document(open_collection):
    page = open_collection()
    sheet = page.locator(f"{HERE} [data-part=sheet]")
    first = page.locator(TILE).count()
    assert 10 < first < 190
    sheet.evaluate("sheet => { sheet.scrollTop = sheet.scrollHeight; }")
    last = page.locator(f"{TILE}[aria-posinset='200']")
    expect(last.locator("img")).to_be_visible()
    assert page.locator(TILE).count() < 190
    assert page.locator(f"{TILE}[aria-posinset='1']").count() == 0
    assert last.get_attribute("aria-setsize") == "200"


def test_the_shortcut_is_found_and_opened_in_look(open_collection):
    page = open_collection()
    shortcut_is_found(page)
    page.locator(TILE).first.click()
    expect(page.locator("#view-compare")).to_be_visible()
    expect(page.locator("#view-compare h2").first).to_have_text(re.compile("^It says ram"))
    panels = page.locator("#viewer .vw-panel canvas")
    expect(panels.first).to_be_visible()
    assert panels.count() >= 6


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The figures of 2,048 pictures, and the page of their sheet."""
    run = write_large_run(tmp_path_factory.mktemp("runs") / "large", 2048)
    out = tmp_path_factory.mktemp("sheets") / "large"
    return run.figures, fill(Cut(run.run), write_sheet, out) / "index.html"


def places_of(page, count=4):
    """The pictures of the first tiles."""
    tiles = page.locator(TILE).evaluate_all(
        "tiles => tiles.map(tile => [+tile.getAttribute('aria-posinset'), +tile.dataset.place])"
    )
    return [place for _, place in sorted(tiles)[:count]]


def test_thousands_are_sorted_and_few_of_them_are_in_the_document(browse, large):
    figures, file = large
    page = browse(file.as_uri())
    expect(page.locator(f"{TILE} img").first).to_be_visible()
    assert places_of(page) == [0, 1, 2, 3]
    for name, values in figures.items():
        page.locator(f"{HERE} [data-part=sort]").select_option(name)
        assert places_of(page) == (-values).argsort(kind="stable")[:4].tolist(), name
    page.locator(f"{HERE} [data-part=class]").select_option(label="class 7 (11)")
    of_class = range(7, 2048, 200)
    values = figures["removed"]  # which was chosen last
    assert places_of(page, 11) == sorted(of_class, key=lambda place: -values[place])
    assert page.locator(TILE).count() == len(of_class)


def test_a_sheet_of_thousands_is_scrolled_to_its_end(browse, large):
    page = browse(large[1].as_uri())
    sheet = page.locator(f"{HERE} [data-part=sheet]")
    expect(page.locator(f"{TILE} img").first).to_be_visible()
    for share in (0.25, 0.5, 1):
        sheet.evaluate("(sheet, share) => { sheet.scrollTop = share * sheet.scrollHeight; }", share)
        page.wait_for_function(
            "([tile, first]) => +document.querySelector(tile)?.dataset.place >= first",
            arg=[TILE, int(share * 2048) - 200],
        )
        assert 10 < page.locator(TILE).count() < 200
    last = page.locator(f"{TILE}[aria-posinset='2048']")
    expect(last.locator("img")).to_be_visible()
    assert last.get_attribute("aria-setsize") == "2048"


@pytest.mark.long
def test_sorting_and_keys(open_collection):
    page = open_collection()
    page.locator(f"{HERE} [data-part=sort]").select_option("outside")
    sheet = page.locator(f"{HERE} [data-part=sheet]")
    one = page.locator(f"{HERE} [data-part=one]")
    figures = []
    sheet.focus()
    for _ in range(4):
        expect(one).to_have_text(re.compile(r"heat outside the boxes \d+ %"))
        figures.append(int(re.search(r"outside the boxes (\d+) %", one.text_content())[1]))
        place = sheet.get_attribute("aria-activedescendant")
        assert page.locator(f"#{place}").get_attribute("aria-selected") == "true"
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            "([sheet, before]) => sheet.getAttribute('aria-activedescendant') !== before",
            arg=[sheet.element_handle(), place],
        )
    assert figures == sorted(figures, reverse=True) and figures[0] > 20
    page.keyboard.press("End")
    expect(page.locator(f"{TILE}[aria-posinset='200']")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.locator("#view-compare")).to_be_visible()


@pytest.mark.long
def test_maps_can_be_taken_off(open_collection):
    page = open_collection()
    canvas = page.locator(f"{TILE} canvas").first
    expect(canvas).to_be_visible()
    page.locator(f"{HERE} [data-part=maps]").uncheck()
    expect(canvas).to_be_hidden()


@pytest.mark.sampled
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_and_with_a_screen_reader(open_collection, theme):
    page = open_collection(width=390, height=844, theme=theme)
    choose_rams(page)
    assert fits_window(page)
    assert page.locator(TILE).first.bounding_box()["width"] >= 90
    label = page.locator(TILE).first.get_attribute("aria-label")
    assert re.match(r"ram-\d\d(-marked)?\.webp, ram, labelled ram, doubt ", label)
    assert violations(page) == []


@pytest.mark.long
def test_without_a_server(browse, tmp_path):
    folder = fill(Cut(Run.open(collection.EXAMPLE)), write_sheet, tmp_path / "sheet")
    page = browse((folder / "index.html").as_uri())
    expect(page.locator(f"{TILE} img").first).to_be_visible()
    shortcut_is_found(page)
    page.locator(TILE).first.click()
    expect(page.locator(f"{HERE} [data-part=one]")).to_contain_text("marked.webp, ram")
    expect(page.locator(f"{HERE} [data-part=open]")).to_be_hidden()
