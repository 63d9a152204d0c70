"""The page on a projector: large type, one map or two, and the keys of whoever presents."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.axe import violations
from tests.support.pages import link_of, open_tab, wait_for_maps, wait_until_idle

pytestmark = pytest.mark.browser

DIALOG = "dialog.cv-present"
RAM = "&backbone=scenes-resnet&example=a-ram"
LEAST = 20  # pixels of the smallest letters, on a screen of 1920 x 1080
# The texts that are seen, each with the size of its letters.
TEXTS = """() => {
    const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const { parentElement: parent, textContent: text } = walker.currentNode;
        if (!text.trim() || !parent.checkVisibility({ visibilityProperty: true })) continue;
        const range = document.createRange();
        range.selectNodeContents(walker.currentNode);
        const { width, height } = range.getBoundingClientRect();
        const size = parseFloat(getComputedStyle(parent).fontSize);
        if (width && height) found.push([text.trim(), size]);
    }
    return found;
}"""


@pytest.fixture
def present(open_page):
    """present(): the page of a link that opens the projector, on a large screen."""

    def get(query=f"{RAM}&present=1", **options):
        page = open_page(1920, 1080, query=query, **options)
        expect(page.locator(f"{DIALOG} canvas")).to_have_count(1)
        wait_until_idle(page)
        return page

    return get


def shown(page):
    """The names of the maps."""
    return [name.strip() for name in page.locator(f"{DIALOG} figcaption").all_inner_texts()]


def pixels(page):
    return page.locator(f"{DIALOG} canvas").first.evaluate("canvas => canvas.toDataURL()")


def test_everything_is_large_and_the_map_fills_the_screen(present):
    page = present()
    assert page.locator(f"{DIALOG} h2").inner_text().startswith("It says ram")
    texts = page.evaluate(TEXTS)
    assert len(texts) > 5 and not [(text, size) for text, size in texts if size < LEAST]
    box = page.locator(f"{DIALOG} canvas").bounding_box()
    assert box["height"] > 0.75 * 1080 and box["width"] == pytest.approx(box["height"], abs=2)
    assert violations(page) == []
    page.keyboard.press("2")
    expect(page.locator(f"{DIALOG} canvas")).to_have_count(2)
    one, two = (canvas.bounding_box() for canvas in page.locator(f"{DIALOG} canvas").all())
    assert one["width"] > 800 and one["x"] + one["width"] < two["x"]
    assert not [(text, size) for text, size in page.evaluate(TEXTS) if size < LEAST]


def test_keys_walk_maps_and_pictures_and_hide_the_map(present):
    page = present()
    assert shown(page) == ["Fused Hierarchical LayerCAM"]
    whole = pixels(page)
    page.keyboard.press("ArrowRight")
    assert shown(page)[0].startswith("Refined") and pixels(page) != whole
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert shown(page)[0].startswith("Stage 1 of 4")
    page.keyboard.press("ArrowRight")
    assert pixels(page) == whole
    page.keyboard.press("h")
    assert shown(page) == ["Its map is hidden"] and pixels(page) != whole
    page.keyboard.press("h")
    assert pixels(page) == whole
    page.keyboard.press("PageDown")
    expect(page.locator(f"{DIALOG} h2")).to_have_text(re.compile("^It says zebra"))
    expect(page.locator(f"{DIALOG}[data-busy]")).to_have_count(0)
    assert shown(page) == ["Fused Hierarchical LayerCAM"] and pixels(page) != whole
    page.keyboard.press("ArrowUp")
    expect(page.locator(f"{DIALOG} h2")).to_have_text(re.compile("^It says ram"))
    wait_until_idle(page)
    assert link_of(page)["present"] == "1" and link_of(page)["example"] == "a-ram"
    page.keyboard.press("4")  # a key of the page under it
    page.keyboard.press("Escape")
    expect(page.locator(DIALOG)).to_be_hidden()
    assert "present" not in link_of(page) and "tab" not in link_of(page)
    expect(page.locator("#verdict")).to_be_visible()


@pytest.mark.long
def test_p_opens_it_over_the_view_that_is_open_but_not_while_one_writes(open_page):
    page = open_page(query=RAM)
    page.locator("#backbone input").click()
    page.keyboard.type("p")
    expect(page.locator(DIALOG)).to_be_hidden()
    page.keyboard.press("Escape")
    open_tab(page, "Cover it")
    wait_for_maps(page, "#cover-viewer", 3)
    page.locator("cover-canvas canvas").focus()
    page.keyboard.press("p")
    expect(page.locator(f"{DIALOG} h2")).to_have_text("All layers together")
    page.keyboard.press("p")
    expect(page.locator(DIALOG)).to_be_hidden()
    expect(page.locator("cover-canvas canvas")).to_be_focused()


WALK = "#steps-walk story-walk"


@pytest.fixture
def present_steps(open_page):
    """present_steps(): a step of How it works, by a link that opens it on the projector."""

    def get(query=f"{RAM}&tab=steps&step=3&present=1", **options):
        page = open_page(1920, 1080, query=query, **options)
        expect(page.locator(f"{WALK}:popover-open figure").first).to_be_visible()
        wait_until_idle(page)
        return page

    return get


def part(page, name):
    return page.locator(f"{WALK} [data-part={name}]")


@pytest.mark.long
def test_the_steps_of_a_story_fill_the_screen_in_large_type(present_steps):
    page = present_steps()
    expect(part(page, "count")).to_have_text("Step 3 of 8")
    box = page.locator(WALK).bounding_box()
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 1920, 1080)
    for _ in range(6):
        texts = page.evaluate(TEXTS)
        assert len(texts) > 5 and not [(text, size) for text, size in texts if size < LEAST]
        page.keyboard.press("ArrowRight")
    expect(part(page, "count")).to_have_text("Step 8 of 8")
    assert violations(page) == []


def test_keys_walk_steps_and_pictures_and_hide_what_is_seen(present_steps):
    page = present_steps()
    page.keyboard.press("ArrowRight")
    expect(part(page, "count")).to_have_text("Step 4 of 8")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(part(page, "count")).to_have_text("Step 2 of 8")
    assert link_of(page)["step"] == "2" and link_of(page)["present"] == "1"
    page.keyboard.press("h")  # on the page under it: opens this view
    expect(part(page, "groups")).to_be_hidden()
    expect(part(page, "title")).to_be_visible()
    page.keyboard.press("h")
    expect(part(page, "groups")).to_be_visible()
    first = part(page, "groups").locator("canvas").first
    ram = first.evaluate("canvas => canvas.toDataURL()")
    page.keyboard.press("PageDown")
    expect(page.locator(f"{WALK}[data-busy]")).to_have_count(0)
    wait_until_idle(page)
    assert link_of(page)["example"] == "a-zebra"
    expect(part(page, "count")).to_have_text("Step 2 of 8")
    assert first.evaluate("canvas => canvas.toDataURL()") != ram
    page.keyboard.press("ArrowUp")
    wait_until_idle(page)
    assert link_of(page)["example"] == "a-ram"
    assert first.evaluate("canvas => canvas.toDataURL()") == ram
    page.keyboard.press("4")  # a key of the page under it
    page.keyboard.press("Escape")
    expect(page.locator(f"{WALK}:popover-open")).to_have_count(0)
    expect(part(page, "keys")).to_be_hidden()
    assert "present" not in link_of(page) and link_of(page)["tab"] == "steps"
    part(page, "back").focus()
    page.keyboard.press("p")
    expect(page.locator(f"{WALK}:popover-open")).to_have_count(1)
    page.get_by_role("button", name="Leave").click()
    expect(page.locator(f"{WALK}:popover-open")).to_have_count(0)
    expect(part(page, "back")).to_be_focused()


@pytest.mark.long
def test_the_cut_keeps_its_arrows_on_the_projector(present_steps):
    page = present_steps(f"{RAM}&tab=steps&story=noise&step=3&present=1")
    slider = page.get_by_role("slider", name="Where it is cut")
    slider.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert slider.input_value() == "1"
    expect(part(page, "count")).to_have_text("Step 3 of 4")


@pytest.mark.long
def test_another_view_ends_the_projector(present_steps):
    page = present_steps()
    page.evaluate("document.querySelector('#steps-walk story-walk').value = null")
    expect(page.locator(f"{WALK}:popover-open")).to_have_count(0)
    expect(page.locator("body[data-presenting]")).to_have_count(0)
    expect(page.locator("#steps-heading")).to_be_visible()
