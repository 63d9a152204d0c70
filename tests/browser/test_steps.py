"""The view How it works, as a visitor walks through it."""

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from camviz.ui.tabs.table import TABS
from tests.support.axe import violations
from tests.support.pages import fits_window, open_tab, wait_until_idle, wrong_with_texts

pytestmark = pytest.mark.browser

WALK = "#steps-walk story-walk"
RAM = "&tab=steps&backbone=scenes-resnet&example=a-ram"
VIT = "&tab=steps&backbone=scenes-vit&example=a-ram"


@pytest.fixture
def open_steps(open_page):
    """open_steps(query, ...): the page with a step of the view."""

    def get(query=RAM, **options):
        page = open_page(query=query, **options)
        expect(page.locator(f"{WALK} figure").first).to_be_visible()
        wait_until_idle(page)
        return page

    return get


def part(page, name):
    return page.locator(f"{WALK} [data-part={name}]")


def place(page):
    """The story, the step and the stage of the address; None where it names none."""
    query = parse_qs(urlsplit(page.url).query)
    return tuple(query.get(name, [None])[0] for name in ("story", "step", "layer"))


def pictures(page):
    """What every picture of a step shows."""
    return page.locator(f"{WALK} [data-part=groups] :is(canvas, img)").evaluate_all(
        "all => all.map(one => one.src ?? one.toDataURL())"
    )


def test_every_story_is_walked_by_keyboard_without_a_request(open_steps):
    page = open_steps(VIT)
    calls = []
    page.on("request", lambda request: calls.append(request.url))
    stories = part(page, "stories").locator("button")
    expect(stories).to_have_count(4)
    for number, (key, steps) in enumerate(
        ((None, 8), ("noise", 4), ("whole", 5), ("attention", 4))
    ):
        stories.nth(number).focus()
        page.keyboard.press("Enter")
        expect(stories.nth(number)).to_have_attribute("aria-pressed", "true")
        seen = []
        for step in range(1, steps + 1):
            expect(part(page, "count")).to_have_text(f"Step {step} of {steps}")
            assert place(page)[:2] == (key, None if step == 1 else str(step))
            title = part(page, "title").inner_text()
            dot = part(page, "dots").locator("[aria-current=step]")
            assert dot.get_attribute("aria-label") == f"Step {step}: {title}"
            seen.append((title, *pictures(page)))
            assert pictures(page), title
            page.keyboard.press("ArrowRight")
        assert len(set(seen)) == steps, "each step is another one"
        expect(part(page, "next")).to_have_attribute("aria-disabled", "true")
        page.keyboard.press("ArrowLeft")
        expect(part(page, "count")).to_have_text(f"Step {steps - 1} of {steps}")
        part(page, "dots").locator("button").first.click()
        expect(part(page, "back")).to_have_attribute("aria-disabled", "true")
    assert not [url for url in calls if not url.startswith("data:")]


def test_a_link_opens_exactly_that_step(open_steps):
    page = open_steps(f"{RAM}&story=method&step=5&layer=layer1")
    expect(part(page, "count")).to_have_text("Step 5 of 8")
    expect(part(page, "layers")).to_have_value("layer1")
    expect(page.locator("#notice .cv-notice")).to_have_count(0)
    assert place(page) == (None, "5", "layer1")
    before = pictures(page)
    part(page, "layers").select_option("layer4")
    assert place(page) == (None, "5", "layer4") and pictures(page) != before
    url = page.url
    page.goto(url)
    expect(part(page, "count")).to_have_text("Step 5 of 8")
    expect(part(page, "layers")).to_have_value("layer4")


def test_the_cut_is_moved_without_a_request(open_steps):
    page = open_steps(f"{RAM}&story=noise&step=3")
    calls = []
    page.on("request", lambda request: calls.append(request.url))
    slider = page.get_by_role("slider", name="Where it is cut")
    said = page.locator(f"{WALK} .sw-cut-text")
    assert slider.input_value() == "18"
    expect(said).to_contain_text("q = 90%")
    slider.focus()
    page.keyboard.press("Home")
    expect(said).to_have_text("No cut: every positive value counts.")
    before, after = pictures(page)
    assert before == after, "nothing is cut"
    seen = {after}
    for _ in range(4):
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        seen.add(pictures(page)[1])
    assert len(seen) == 5 and slider.input_value() == "20"
    expect(said).to_contain_text("q = 99%")
    expect(part(page, "count")).to_have_text("Step 3 of 4")
    part(page, "back").click()
    part(page, "next").click()
    expect(said).to_contain_text("q = 99%")
    assert not [url for url in calls if not url.startswith("data:")]


@pytest.mark.long
def test_a_sign_and_its_pictures_are_marked_together(open_steps):
    page = open_steps(f"{RAM}&step=4")
    sign = page.locator(f"{WALK} .sw-sign[data-symbol=mean]")
    group = page.locator(f"{WALK} .sw-group[data-symbol=mean]")
    other = page.locator(f"{WALK} .sw-group[data-symbol=weight]")
    sign.hover()
    assert "sw-lit" in group.get_attribute("class") and "sw-lit" in sign.get_attribute("class")
    assert "sw-lit" not in other.get_attribute("class")
    other.hover()
    assert "sw-lit" not in group.get_attribute("class")
    group.focus()
    assert "sw-lit" in sign.get_attribute("class")
    sign.click()
    expect(group).to_be_focused()


@pytest.mark.long
def test_prototypes_are_looked_for_on_a_click(open_steps):
    page = open_steps("&tab=steps&story=whole")
    page.keyboard.press("ArrowRight")
    ask = part(page, "ask")
    expect(ask).to_have_text("Look for prototypes")
    expect(part(page, "count")).to_have_text("Step 2 of 3")
    ask.click()
    expect(part(page, "count")).to_have_text("Step 2 of 5")
    expect(part(page, "says")).to_contain_text("In this picture alone")
    expect(ask).to_be_hidden()


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_step_on_a_phone(open_steps, theme):
    page = open_steps(VIT, width=390, height=844, theme=theme)
    for story in range(4):
        part(page, "stories").locator("button").nth(story).click()
        for dot in part(page, "dots").locator("button").all():
            dot.click()
            assert fits_window(page)
            assert not wrong_with_texts(page)
        assert violations(page) == []


@pytest.mark.long
def test_the_arrows_of_other_things_stay_theirs(open_steps):
    page = open_steps()
    page.locator("#views [role=tab][aria-selected=true]").first.focus()
    page.keyboard.press("ArrowRight")
    expect(part(page, "count")).to_have_text("Step 1 of 8")
    open_tab(page, TABS[0].TITLE)
    page.locator("body").press("ArrowRight")
    open_tab(page, "How it works")
    expect(part(page, "count")).to_have_text("Step 1 of 8")
