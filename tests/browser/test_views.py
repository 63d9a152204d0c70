"""From view to view: by entry, by key, by link, on a phone."""

import pytest
from playwright.sync_api import expect

from camviz.ui.tabs.base import GROUPS
from camviz.ui.tabs.table import TABS
from tests.support.pages import fits_window, open_tab, view_button, wait_for_link, wait_until_idle

pytestmark = pytest.mark.browser


def opened(page):
    """The titles of what is marked as open: the entry, and the view under it if it has several."""
    return page.locator("#views [role=tab][aria-selected=true]").all_inner_texts()


def expect_open(page, name, *marked):
    expect(page.locator(f"#view-{name}")).to_be_visible()
    expect(page.locator("#tabs > .tabitem:visible")).to_have_count(1)
    wait_for_link(page, tab=None if name == "compare" else name)
    page.wait_for_function(
        """marked => [...document.querySelectorAll("#views [aria-selected=true]")]
        .filter(one => one.checkVisibility()).map(one => one.innerText).join() === marked""",
        arg=",".join(marked),
    )


@pytest.mark.long
def test_views_stand_under_what_is_asked(open_page):
    page = open_page()
    expect(page.locator(".cv-entries button")).to_have_text(list(GROUPS))
    expect(page.locator(".cv-under:visible")).to_have_count(0)
    page.get_by_role("tab", name="Compare", exact=True).click()
    expect_open(page, "classes", "Compare", "Classes")
    page.get_by_role("tab", name="Models").click()
    expect_open(page, "models", "Compare", "Models")
    page.get_by_role("tab", name="Parts").click()
    expect_open(page, "prototypes", "Parts", "Prototypes")
    page.get_by_role("tab", name="Attention").click()
    expect_open(page, "attention", "Parts", "Attention")
    expect(page.locator(".cv-under:visible")).to_have_count(1)
    page.get_by_role("tab", name="Compare", exact=True).click()
    expect_open(page, "models", "Compare", "Models")  # where one was before
    wait_until_idle(page)


def test_views_by_key(open_page):
    page = open_page()
    for number, tab in enumerate([tab for tab in TABS if getattr(tab, "KEY", None) is None], 1):
        assert f"(key {number % 10})" in view_button(page, tab.TITLE).get_attribute("title")
        page.keyboard.press(str(number % 10))
        expect(page.locator(f"#view-{tab.ID}")).to_be_visible()
        assert view_button(page, tab.TITLE).get_attribute("aria-selected") == "true"
    page.keyboard.press("1")
    expect_open(page, "compare", "Look")
    page.locator("#backbone input").click()
    page.keyboard.type("4")
    page.keyboard.press("Escape")
    page.locator("#truncation input[type=number]").press("2")
    page.locator("#viewer .vw-open").first.click()
    page.keyboard.press("3")
    expect_open(page, "compare", "Look")
    page.keyboard.press("Escape")
    wait_until_idle(page)


def test_arrows_go_along_a_line(open_page):
    page = open_page()
    entry = page.get_by_role("tab", name="Look")
    entry.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Compare", exact=True)).to_be_focused()
    expect_open(page, "compare", "Look")  # nothing is computed on the way
    page.keyboard.press("Enter")
    expect_open(page, "classes", "Compare", "Classes")
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    expect(page.get_by_role("tab", name="Collection")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="All pictures")).to_be_focused()
    page.keyboard.press("Space")
    expect_open(page, "pictures", "Compare", "All pictures")
    wait_until_idle(page)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", [tab.ID for tab in TABS])
def test_every_view_has_an_address(open_page, name):
    """Those of links that were made before are the same."""
    page = open_page(query=f"&tab={name}")
    expect(page.locator(f"#view-{name}")).to_be_visible()
    wait_until_idle(page)
    labelled = page.locator(f"#view-{name}").get_attribute("aria-labelledby")
    expect(page.locator(f"#{labelled}")).to_have_attribute("aria-selected", "true")


def test_a_view_that_is_clicked_before_gradio_is_ready_opens(browse, server):
    """Its button stands there before anything listens."""
    script = """new MutationObserver((_, observer) => {
      const button = document.querySelector("#views [data-view=classes]");
      if (!button) return;
      observer.disconnect();
      window.early = window.camvizOpenView === undefined;
      button.click();
    }).observe(document, {childList: true, subtree: true});"""
    page = browse(f"{server[0]}?backbone=scenes-resnet&example=a-ram", 1440, 900, script=script)
    expect(page.locator("#view-classes")).to_be_visible()
    assert page.evaluate("window.early") and "tab=classes" in page.url
    wait_until_idle(page)


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_view_on_a_phone(open_page, theme):
    page = open_page(390, 844, theme)
    for tab in TABS:
        entry = page.locator(".cv-entries button", has_text=tab.GROUP)
        assert entry.bounding_box()["x"] + entry.bounding_box()["width"] <= 390
        open_tab(page, tab.TITLE)
        button = view_button(page, tab.TITLE).bounding_box()
        assert button["x"] >= 0 and button["x"] + button["width"] <= 390
        expect(page.locator(f"#view-{tab.ID}")).to_be_visible()
        wait_until_idle(page)
        assert fits_window(page), tab.TITLE
