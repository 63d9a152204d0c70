"""The view Honest limits, as a visitor reads it and follows its links."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import expect

from camviz.ui.learn.map_limits import SECTIONS
from tests.support.axe import violations
from tests.support.pages import fits_window, wait_until_idle, wrong_with_texts

pytestmark = pytest.mark.browser

VIEW = "#limits"
COVER = next(p for s in SECTIONS for p in s.points if p.query.get("tab") == "cover")


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_points_stand_in_sections_and_a_link_opens_its_example_beside(open_page, width, theme):
    page = open_page(width=width, theme=theme, query="&tab=limits")
    expect(page.locator(f"{VIEW} h3")).to_have_text([section.title for section in SECTIONS])
    figures = sum(point.found is not None for section in SECTIONS for point in section.points)
    expect(page.locator(f"{VIEW} .cv-limits-found")).to_have_count(figures, timeout=60_000)
    wait_until_idle(page)
    assert fits_window(page)
    assert not wrong_with_texts(page)
    assert not violations(page, "#view-limits")
    link = page.locator(f"{VIEW} a", has_text=COVER.tries)
    link.focus()
    with page.context.expect_page() as opened:
        page.keyboard.press("Enter")
    beside = opened.value
    assert dict(parse_qsl(urlsplit(beside.url).query)) == dict(COVER.query)
    if width > 1000:
        expect(beside.locator("#view-cover h2").first).to_contain_text("horns", timeout=60_000)
    beside.close()
    assert "tab=limits" in page.url
