"""Where things stand, at the sizes of a desktop, a laptop and a phone."""

import pytest
from playwright.sync_api import expect

from tests.support.pages import MAPS, fits_window, wait_until_idle

pytestmark = pytest.mark.browser

ROW = "#viewer [data-row=layercam]"
DESKTOP, LAPTOP, PHONE = (1440, 900), (1024, 768), (390, 844)
CONTROLS = ("ask-backbone", "ask-class", "ask-layers", "ask-method")


def box(page, css):
    found = page.locator(css).first.bounding_box()
    return found and (found["y"], found["y"] + found["height"])


@pytest.mark.sampled
@pytest.mark.parametrize(("width", "height"), [DESKTOP, LAPTOP])
def test_the_first_maps_are_in_sight(open_page, width, height):
    page = open_page(width, height)
    expect(page.locator(MAPS)).to_have_count(18)
    maps = page.locator(f"{ROW} .vw-open")
    assert maps.count() == 6
    boxes = [one.bounding_box() for one in maps.all()]
    assert all(one["y"] + one["height"] < height for one in boxes)
    assert len({one["y"] for one in boxes}) == 1  # one line of them
    assert fits_window(page)


@pytest.mark.long
@pytest.mark.parametrize(("width", "height"), [DESKTOP, LAPTOP])
def test_the_left_stays_in_sight_and_scrolls_by_itself(open_page, width, height):
    page = open_page(width, height)
    expect(page.locator(MAPS)).to_have_count(18)
    page.mouse.move(width - 100, height // 2)
    page.mouse.wheel(0, 400)
    page.wait_for_function("scrollY > 300")
    top, bottom = box(page, "#left")
    assert 0 <= top < bottom <= height
    for name in CONTROLS:
        page.locator(f"#{name}").scroll_into_view_if_needed()
        assert top <= box(page, f"#{name}")[0] < bottom
    assert page.evaluate("scrollY > 300")


def test_on_a_phone_the_fused_map_comes_under_the_verdict(open_page):
    page = open_page(*PHONE)
    fused = page.locator(f"{ROW} figure").first
    assert fused.get_attribute("data-id") == "layercam/fused"
    # Nothing but the choice of a row stands between.
    assert box(page, f"{ROW} .vw-open")[0] - box(page, "#verdict")[1] < 90
    others = page.locator(f"{ROW} figure").all()[1:]
    assert all(one.bounding_box()["y"] > fused.bounding_box()["y"] for one in others)
    assert box(page, "#viewer .vw-tools")[0] > max(one.bounding_box()["y"] for one in others)
    assert fits_window(page)


@pytest.mark.sampled
@pytest.mark.parametrize("width", [390, 768])
def test_what_is_set_is_reached_before_any_map(open_page, width):
    page = open_page(width, 844)
    for name in CONTROLS:
        expect(page.locator(f"#{name}")).to_be_hidden()
    button = page.locator("#unfold button")
    button.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    tops = [box(page, f"#{name}")[0] for name in (*CONTROLS, "settings")]
    assert max(tops) < box(page, "#verdict")[0]
    assert fits_window(page)
    page.locator("#ask-class .cv-bar").nth(1).click()
    wait_until_idle(page)
    button.click()
    expect(page.locator("#ask-class")).to_be_hidden()


@pytest.mark.sampled
@pytest.mark.parametrize("width", [930, 1024, 1100, 1440])
def test_the_fused_map_is_not_alone_on_its_line(open_page, width):
    """A fifth layer makes it seven maps."""
    page = open_page(width, 900)
    expect(page.locator(MAPS)).to_have_count(18)
    page.locator("#stages input:not(:checked)").first.click()
    expect(page.locator(f"{ROW} figure")).to_have_count(7)
    wait_until_idle(page)
    tops = page.locator(f"{ROW} figure").evaluate_all(
        "all => all.map(e => [e.dataset.id, Math.round(e.getBoundingClientRect().top)])"
    )
    for name in ("fused", "refined"):
        line = dict(tops)[f"layercam/{name}"]
        assert [top for _, top in tops].count(line) > 1, name


@pytest.mark.long
def test_the_slider_stands_with_the_row_that_it_changes(open_page):
    page = open_page()
    expect(page.locator("#viewer [data-row=denoised] #truncation")).to_be_visible()
    slider = page.locator("#truncation input[type=range]")
    slider.evaluate("e => window.slider = e")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    for share in (0.7, 0.5, 0.3):  # maps are replaced under the pointer that drags
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        wait_until_idle(page)
        assert abs(float(slider.input_value()) - share) < 0.1
    page.mouse.up()
    assert slider.evaluate("e => window.slider === e && e.isConnected")
    page.locator("#method input").click()
    page.get_by_role("option", name="Eigen-CAM").click()
    expect(page.locator("#viewer [data-row=denoised] .vw-reason")).to_be_visible()
    expect(slider).to_be_hidden()
    page.locator("#method input").click()
    page.get_by_role("option", name="LayerCAM ·").click()
    expect(page.locator("#viewer [data-row=denoised] #truncation")).to_be_visible()
