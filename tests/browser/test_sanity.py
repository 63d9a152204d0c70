"""The view Sanity, as a visitor uses it."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.pages import (
    fits_window,
    link_of,
    open_tab,
    wait_for_maps,
    wait_until_idle,
    wrong_with_texts,
)

pytestmark = pytest.mark.browser

VIEWER, SLIDER, PLOT = "#sanity-viewer", "#sanity-slider map-slider", "#sanity-plot"
RAM = "&backbone=scenes-resnet&example=a-ram"
STEPS = 7


@pytest.fixture
def open_sanity(open_page):
    """open_sanity(query, ...): the page with the view Sanity, its cascade made."""

    def get(query=RAM, **options):
        page = open_page(query=query, **options)
        open_tab(page, "Sanity")
        go = page.locator("#sanity-heading [data-label=go]")
        expect(go.or_(page.locator(f"{VIEWER} .vw-panel")).first).to_be_visible()
        if go.is_visible():  # on a slow machine it asks first
            go.click()
        wait_for_maps(page, VIEWER, STEPS)
        expect(page.locator(f"{PLOT} svg")).to_be_visible()
        wait_until_idle(page)
        return page

    return get


def drawn(page):
    """The pixels of the map above the slider."""
    return page.locator(f"{SLIDER} canvas").evaluate("canvas => canvas.toDataURL()")


def here(page):
    """The step that is marked in the plot."""
    return page.locator(f"{PLOT} .cv-here").get_attribute("data-step")


def test_the_slider_goes_through_the_maps_by_keyboard_without_a_request(open_sanity):
    page = open_sanity()
    assert link_of(page)["tab"] == "sanity"
    expect(page.locator("#sanity-heading h2")).to_have_text(re.compile(r"\bthis map\b", re.I))
    calls = []
    page.on("request", lambda request: calls.append(request.url))
    slider = page.get_by_role("slider", name="How much is random")
    slider.focus()
    seen = [drawn(page)]
    assert page.locator("#sanity-viewer .vw-open[aria-label*='..']").count() == 0
    assert here(page) == "0" and slider.get_attribute("aria-valuetext") == "network as it is"
    for step in range(1, STEPS):
        page.keyboard.press("ArrowRight")
        assert here(page) == str(step)
        seen.append(drawn(page))
    assert len(set(seen)) == STEPS, "every step has a map of its own"
    assert slider.get_attribute("aria-valuetext") == "+ conv1"
    expect(page.locator(f"{SLIDER} [data-part=text]")).to_contain_text("Random down to conv1.")
    page.keyboard.press("Home")
    assert drawn(page) == seen[0] and here(page) == "0"
    page.locator(f"{PLOT} [data-step='3']").click()
    assert drawn(page) == seen[3] and slider.input_value() == "3"
    assert not [url for url in calls if not url.startswith("data:")]


@pytest.mark.long
def test_the_map_above_the_slider_follows_the_viewers_colours(open_sanity):
    page = open_sanity()
    before = drawn(page)
    page.locator(f"{VIEWER} [data-part=colors]").select_option("magma")
    page.wait_for_function(
        "([css, before]) => document.querySelector(css).toDataURL() !== before",
        arg=[f"{SLIDER} canvas", before],
    )
    assert here(page) == "0"


@pytest.mark.long
def test_files_are_there_without_a_server(open_sanity):
    page = open_sanity()
    for kind, begins in (("csv", "step,block,rank"), ("svg", "<svg")):
        with page.expect_download() as download:
            page.locator(f"{PLOT} a", has_text=kind.upper()).click()
        assert download.value.suggested_filename == f"camviz-sanity.{kind}"
        text = download.value.path().read_text(encoding="utf-8")
        assert text.startswith(begins)
    page.locator(f"{PLOT} summary").click()
    expect(page.locator(f"{PLOT} tbody tr")).to_have_count(STEPS)


@pytest.mark.long
def test_other_weights_are_drawn_on_request(open_sanity):
    page = open_sanity()
    said = page.locator(f"{SLIDER} [data-part=text]")
    slider = page.get_by_role("slider", name="How much is random")
    slider.focus()
    page.keyboard.press("End")
    before, text = drawn(page), said.inner_text()
    page.get_by_role("button", name="Draw other weights").click()
    expect(said).not_to_have_text(text)
    wait_until_idle(page)
    assert slider.input_value() == here(page) == str(STEPS - 1), "the same step is shown"
    assert drawn(page) != before


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_sanity_on_a_phone(open_sanity, theme):
    page = open_sanity(width=390, height=844, theme=theme)
    assert fits_window(page)
    assert not wrong_with_texts(page)
    box = page.locator(f"{SLIDER} canvas").bounding_box()
    assert box["width"] > 250
