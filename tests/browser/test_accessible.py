"""For everybody: by keyboard, by ear, enlarged, in the dark and without motion."""

import re
from contextlib import suppress

import pytest
from playwright.sync_api import TimeoutError, expect

from camviz.resources import ASSETS
from camviz.ui.tabs.table import TABS
from tests.support.axe import violations
from tests.support.pages import (
    CUT,
    MAPS,
    choose,
    fits_window,
    open_settings,
    open_tab,
    tick_of,
    wait_for_link,
    wait_until_idle,
)

pytestmark = pytest.mark.browser

EXAMPLES = ASSETS / "examples"
SIZES = [(1440, 900), (390, 844)]
DIALOG = "#viewer dialog"
MOST_STOPS = 200
# Every dropdown that is seen inside of something, by its name.
MENUS = """css => [...document.querySelectorAll(`${css} input[role=combobox]`)]
    .filter(one => one.checkVisibility()).map(one => one.ariaLabel)"""
# The dropdown around what has the focus, by its name; null on anything else, "" on nothing.
STOP = """() => {
    const one = document.activeElement;
    if (one === document.body) return "";
    if (one.matches(".cv-help")) return null;
    const around = one.closest(".block:not(:has(.block))");
    return around?.querySelector("input[role=combobox]")?.ariaLabel ?? null;
}"""
# Whatever moves, or would: [what, which property].
MOVING = """() => [...document.querySelectorAll("*")].flatMap(node =>
    [null, "::before", "::after"].flatMap(part => {
        const style = getComputedStyle(node, part);
        const still = style.transitionDuration.split(", ").every(one => parseFloat(one) === 0);
        return [!still && style.transitionProperty,
            style.animationName !== "none" && style.animationName,
            style.scrollBehavior !== "auto" && style.scrollBehavior,
        ].filter(Boolean).map(what => `${node.tagName}.${node.className}${part ?? ""}: ${what}`);
    }))"""
# From now on, notes in window.moved whatever is animated.
WATCH = """() => {
    window.moved = [];
    const look = () => {
        const all = document.getAnimations();
        for (const one of all.filter(one => one.effect.getTiming().duration)) window.moved.push(
            `${one.animationName ?? one.transitionProperty ?? "script"} of `
            + one.effect.target.outerHTML.slice(0, 120));
        requestAnimationFrame(look);
    };
    look();
}"""


def unfold(page):
    """Show every control of the left."""
    button = page.locator("#unfold button")
    if button.is_visible():
        button.click()
    open_settings(page)


def in_every_view(page):
    """Open one view after the other; yields its id once it is answered."""
    for tab in TABS:
        open_tab(page, tab.TITLE)
        expect(page.locator(f"#view-{tab.ID}")).to_be_visible()
        wait_until_idle(page)
        yield tab.ID


# -- axe-core ------------------------------------------------------------------------------------


@pytest.mark.sampled
@pytest.mark.parametrize(("width", "height", "theme"), [(1440, 900, "light"), (390, 844, "dark")])
def test_no_view_breaks_a_rule(open_page, width, height, theme):
    """What stands around the views is checked once, and what stands in them in each."""
    page = open_page(width, height, theme)
    expect(page.locator(MAPS)).to_have_count(18)
    unfold(page)
    assert violations(page) == [], "the whole page"
    for view in in_every_view(page):
        assert violations(page, f"#view-{view}") == [], view
    open_tab(page, TABS[0].TITLE)
    page.locator("#viewer [data-part=menu]").click()
    assert violations(page) == [], "the menu of the viewer"
    page.locator("#viewer .vw-open").first.click()
    expect(page.locator(DIALOG)).to_be_visible()
    assert violations(page) == [], "the dialog"


@pytest.mark.long
def test_a_list_and_no_picture_break_no_rule(open_page):
    page = open_page()
    menu = page.locator("#target input")
    menu.click()
    menu.press("Control+A")
    page.keyboard.type("e")
    expect(page.locator("#cv-found")).to_be_visible()
    expect(menu).to_have_attribute("aria-controls", "cv-found")
    assert violations(page) == [], "the list"
    page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("aria-controls", "cv-found")
    page.locator("#picture").get_by_label("Remove Image").click()
    expect(page.locator(MAPS)).to_have_count(0)
    wait_until_idle(page)
    assert violations(page) == [], "no picture"


@pytest.mark.long
def test_several_pictures_and_models_break_no_rule(open_page):
    page = open_page(query="&backbone=scenes-resnet&example=a-ram")
    files = [EXAMPLES / "a-ram.webp", EXAMPLES / "a-zebra.webp"]
    page.locator("#ask-picture input[type=file][multiple]").set_input_files(files)
    expect(page.locator("#strip .cv-pick")).to_have_count(2)
    for view in in_every_view(page):
        assert violations(page) == [], view


@pytest.mark.long
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_uploads_that_are_kept_break_no_rule(open_page, width, height):
    page = open_page(width, height)
    files = page.locator("#ask-picture input[type=file][multiple]")
    files.set_input_files([EXAMPLES / "a-ram.webp", EXAMPLES / "a-zebra.webp"])
    expect(page.locator("#strip .cv-pick")).to_have_count(2)
    wait_until_idle(page)
    page.reload()
    expect(page.locator(".cv-kept-offer summary")).to_be_visible()
    wait_until_idle(page)
    assert violations(page) == []


@pytest.mark.long
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_transformer_breaks_no_rule(open_page, width, height):
    """It has a button in its first row, a view of many small maps, and maps with two marks."""
    page = open_page(width, height, query="&backbone=scenes-vit&example=a-ram")
    expect(page.locator("#other-method")).to_be_visible()
    for view in in_every_view(page):
        assert violations(page, f"#view-{view}") == [], view
        assert fits_window(page), view
    open_tab(page, "Attention")
    page.locator("#attention-viewer .vw-open:visible").first.click()
    expect(page.locator("#attention-viewer dialog")).to_be_visible()
    assert violations(page) == [], "the dialog"


# -- By keyboard ---------------------------------------------------------------------------------


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", [tab.ID for tab in TABS])
def test_the_first_tab_leads_past_the_controls(open_page, name):
    page = open_page(query=f"&tab={name}")
    expect(page.locator(f"#view-{name}")).to_be_visible()
    wait_until_idle(page)
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to the maps")
    expect(link).to_be_focused()
    box = link.bounding_box()
    assert box["x"] >= 0 and box["y"] >= 0 and min(box["width"], box["height"]) > 20
    page.keyboard.press("Enter")
    view = page.locator(f"#view-{name}")
    page.wait_for_function("document.activeElement.matches('map-viewer, .tabitem')")
    assert view.evaluate("e => e === document.activeElement || e.contains(document.activeElement)")
    page.keyboard.press("Tab")
    assert page.evaluate(
        """name => { const view = document.getElementById(`view-${name}`);
        return Boolean(view.compareDocumentPosition(document.activeElement)
            & (Node.DOCUMENT_POSITION_CONTAINED_BY | Node.DOCUMENT_POSITION_FOLLOWING)) }""",
        name,
    )
    assert "#" not in page.url
    expect(link).to_have_css("clip-path", "inset(50%)")


def stops_of(page, key, end):
    """What has the focus key after key, as `STOP` has it, until something of `end` has it."""
    found = []
    while not found or not page.evaluate("css => document.activeElement.matches(css)", end):
        page.keyboard.press(key)
        found.append(page.evaluate(STOP))
        assert found[-1] != "" and len(found) < MOST_STOPS, found
    return found


@pytest.mark.long
def test_a_dropdown_costs_one_tab(open_page):
    page = open_page()
    open_settings(page)
    choose(page, "modules", "layer1.0", re.compile(r"^layer1\.0$"))
    expect(page.locator("#modules .token")).to_have_count(1)
    wait_until_idle(page)
    menus = page.evaluate(MENUS, "#left")
    assert len(menus) == 8
    page.locator("#share").focus()
    for key in ("Tab", "Shift+Tab"):
        found = stops_of(page, key, "#views *, #share")
        assert sorted(filter(None, found)) == sorted(menus)
    assert page.evaluate(MENUS, "#right") == ["In the gradient"]
    page.locator("#automatic input").focus()
    for key, end in (("Tab", "#viewer .vw-open"), ("Shift+Tab", "#automatic input")):
        assert list(filter(None, stops_of(page, key, end))) == ["In the gradient"]


def test_every_button_that_compares_says_with_what(open_page):
    page = open_page()
    buttons = page.locator("#bars .cv-rival")
    labels = buttons.evaluate_all("all => all.map(one => one.dataset.label)")
    assert len(labels) == 5
    for label in labels[1:]:  # the first is explained
        page.get_by_role("button", name=f"vs {label}", exact=True).click()
        wait_for_link(page, versus=label)


# -- Enlarged ------------------------------------------------------------------------------------


@pytest.mark.long
def test_at_twice_the_size(open_page):
    """What a browser makes of a window of 1440 × 900 at 200 %."""
    page = open_page(720, 450)
    session = page.context.new_cdp_session(page)
    window = {"width": 720, "height": 450, "deviceScaleFactor": 2, "mobile": False}
    session.send("Emulation.setDeviceMetricsOverride", window)
    unfold(page)
    for view in in_every_view(page):
        assert fits_window(page), view
        assert page.evaluate(CUT) == [], view
    open_tab(page, TABS[0].TITLE)
    page.locator("#viewer .vw-open").first.click()
    expect(page.locator(DIALOG)).to_be_visible()
    box = page.locator(DIALOG).bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 720
    for button in page.locator(f"{DIALOG} button:not([aria-disabled=true]):visible").all():
        button.scroll_into_view_if_needed()
        button.click(trial=True)


@pytest.mark.long
def test_with_letters_of_twice_the_size(open_page):
    page = open_page(720, 900)
    session = page.context.new_cdp_session(page)  # which takes its settings with it
    session.send("Page.setFontSizes", {"fontSizes": {"standard": 32, "fixed": 26}})
    page.wait_for_function("getComputedStyle(document.documentElement).fontSize === '32px'")
    unfold(page)
    for view in in_every_view(page):
        assert fits_window(page), view
        assert page.evaluate(CUT) == [], view
    session.detach()


# -- Without motion ------------------------------------------------------------------------------


@pytest.mark.long
def test_nothing_moves_for_those_who_ask_for_less(open_page):
    page = open_page()
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate("matchMedia('(prefers-reduced-motion: reduce)').matches")
    page.evaluate(WATCH)
    open_settings(page)
    page.locator("#backbone input").click()
    page.locator("#backbone [role=option]").first.wait_for()
    page.keyboard.press("Escape")
    tick_of(page, "layer1").click()
    for view in in_every_view(page):
        assert page.evaluate(MOVING) == [], view
    open_tab(page, TABS[0].TITLE)
    page.locator("#viewer .vw-open").first.click()
    expect(page.locator(DIALOG)).to_be_visible()
    with suppress(TimeoutError):
        page.wait_for_function("window.moved.length", timeout=500)
    assert page.evaluate("[...new Set(window.moved)]") == []
    assert page.evaluate(MOVING) == []
