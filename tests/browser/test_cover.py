"""The view Cover it, as a visitor uses it: by pointer, by finger, by keyboard, by the map."""

import re

import pytest
from playwright.sync_api import expect

from camviz.maps.runs import read_mask
from tests.support.pages import (
    CUT,
    fits_window,
    link_of,
    open_tab,
    wait_for_link,
    wait_for_maps,
    wait_until_idle,
    wrong_with_texts,
)

pytestmark = pytest.mark.browser

CANVAS, VIEWER, HEADING = "cover-canvas canvas", "#cover-viewer", "#cover-heading h2"
RAM = "&backbone=scenes-resnet&example=a-ram"


@pytest.fixture
def open_cover(open_page):
    """open_cover(query, ...): the page with the view Cover it, all of it."""

    def get(query=RAM, maps=3, **options):
        page = open_page(query=query, **options)
        open_tab(page, "Cover it")
        wait_for_maps(page, VIEWER, maps)
        expect(page.locator(CANVAS)).to_be_visible()
        wait_until_idle(page)
        page.evaluate(
            """() => { window.glances = []
            document.addEventListener("cover-glanced", e => window.glances.push(e.detail)) }"""
        )
        return page

    return get


def covering(page):
    """What the canvas covers: its covering, with its mask as an array."""
    found = page.locator("cover-canvas").evaluate("canvas => canvas.covering")
    mask = read_mask(found["painted"]) if found["painted"] else None
    return found, mask


def drag(page, start, end, steps=12):
    """Drag over the picture, in shares of it; the button stays down."""
    page.locator(CANVAS).scroll_into_view_if_needed()
    box = page.locator(CANVAS).bounding_box()
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=steps)


def press(page, name):
    page.locator("cover-canvas").get_by_role("button", name=name, exact=True).click()
    wait_until_idle(page)


def shares(page, label):
    """The texts of a class's bar."""
    row = page.locator("#cover-canvas .cv-changes li", has_text=label).first
    return row.locator("span").nth(1).inner_text()


def test_a_stroke_covers_and_the_figures_follow_it(open_cover):
    page = open_cover()
    expect(page.locator(HEADING)).to_contain_text("Cover it and see")
    drag(page, (0.5, 0.5), (0.72, 0.62))
    page.wait_for_function("() => window.glances.some(found => found && found.bars.length)")
    expect(page.locator("#cover-canvas .cv-changes .cv-explained b")).not_to_have_text("88.4%")
    expect(page.locator(HEADING)).to_contain_text("Cover it and see")  # nothing is concluded yet
    drag_down = page.evaluate("window.glances.length")
    assert drag_down >= 1
    page.mouse.up()
    expect(page.locator(HEADING)).to_have_text(re.compile("what is covered"))
    wait_until_idle(page)
    _, mask = covering(page)
    assert mask.shape == (224, 224) and mask[112:130, 112:130].any() and not mask[:60].any()
    assert link_of(page)["covered"] == covering(page)[0]["painted"]
    expect(page.locator(f"{VIEWER} [data-row=fused] .vw-name b")).to_have_text(
        ["As it is", "Covered"]
    )
    expect(page.locator("cover-canvas [data-part=logit]")).to_have_text(
        re.compile(r"^Logit of ram: 4\.01 → −?\d+\.\d\d \([+−]\d+\.\d\d\)$")
    )
    assert "88.4%" in shares(page, "ram")


@pytest.mark.long
def test_it_is_undone_step_by_step(open_cover):
    page = open_cover()
    undo = page.locator("cover-canvas [data-part=undo]")
    expect(undo).to_be_disabled()
    drag(page, (0.2, 0.2), (0.4, 0.2))
    page.mouse.up()
    wait_until_idle(page)
    first, mask = covering(page)
    drag(page, (0.6, 0.6), (0.7, 0.6))
    page.mouse.up()
    wait_until_idle(page)
    assert covering(page)[1].sum() > mask.sum()
    press(page, "Undo")
    assert covering(page)[0] == first
    page.locator(CANVAS).focus()
    page.keyboard.press("u")
    expect(page.locator(HEADING)).to_contain_text("Cover it and see")
    wait_until_idle(page)
    assert covering(page)[0]["painted"] == "" and "covered" not in link_of(page)
    expect(undo).to_be_disabled()


@pytest.mark.long
def test_the_rubber_uncovers(open_cover):
    page = open_cover()
    drag(page, (0.2, 0.3), (0.6, 0.3))
    page.mouse.up()
    wait_until_idle(page)
    before = covering(page)[1]
    page.locator("cover-canvas").get_by_text("Rubber").click()
    drag(page, (0.4, 0.2), (0.4, 0.4))
    page.mouse.up()
    wait_until_idle(page)
    after = covering(page)[1]
    assert after.sum() < before.sum() and not (after & ~before).any()


def test_by_keyboard(open_cover):
    page = open_cover()
    page.locator(CANVAS).focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    for _ in range(3):
        page.keyboard.press("ArrowUp")
    for _ in range(2):
        page.keyboard.press("+")
    expect(page.locator("cover-canvas [data-part=place]")).to_have_text(
        re.compile(r"^40% from the left, 44% from the top; 0%")
    )
    page.keyboard.press("Space")
    expect(page.locator(HEADING)).to_have_text(re.compile("what is covered"))
    wait_until_idle(page)
    _, mask = covering(page)
    assert mask[98, 89] and not mask[98, 150]
    first = mask.sum()
    for _ in range(4):
        page.keyboard.press("-")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Space")
    wait_until_idle(page)
    assert 0 < covering(page)[1].sum() - first < first
    assert page.evaluate("document.activeElement.matches('cover-canvas canvas')")
    assert "cover-canvas" not in wrong_with_texts(page).__repr__()


@pytest.mark.long
def test_the_hottest_part_and_only_it(open_cover):
    page = open_cover()
    press(page, "Cover it")
    wait_for_link(page, hottest="20", others=None, covered=None)
    assert covering(page)[1].mean() == pytest.approx(0.2, abs=0.01)
    hot = covering(page)[1]
    press(page, "Keep only it")
    wait_for_link(page, hottest="20", others="1")
    assert (covering(page)[1] == ~hot).all()
    expect(page.locator(HEADING)).to_have_text(re.compile("what is left"))
    drag(page, (0.05, 0.05), (0.1, 0.05))  # painting goes on from what was taken
    page.mouse.up()
    wait_until_idle(page)
    assert "hottest" not in link_of(page) and covering(page)[0]["hottest"] is None
    press(page, "Undo")
    press(page, "Undo")
    wait_for_link(page, hottest="20", others=None)
    assert (covering(page)[1] == hot).all()


def test_parts_are_taken_out_by_a_press_and_the_scene_without_stands_beside(open_cover):
    page = open_cover()
    press(page, "horns")
    wait_for_link(page, without="ram/horns")
    expect(page.locator(HEADING)).to_have_text(re.compile("^Without the horns it says sheep"))
    expect(page.locator("#cover-real figcaption")).to_have_text(["Covered", "Drawn without"])
    expect(page.locator(f"{VIEWER} [data-row=fused] .vw-panel")).to_have_count(3)
    page.locator("cover-canvas").get_by_text("Parts", exact=True).click()
    box = page.locator(CANVAS).bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.6)  # its body
    wait_for_link(page, without="ram/horns,ram/body")
    wait_until_idle(page)
    pressed = page.locator("cover-canvas [data-part=parts] [aria-pressed=true]")
    expect(pressed).to_have_text(["body", "horns"])


@pytest.mark.long
@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_both_pictures_stand_side_by_side(open_cover, width):
    page = open_cover(width=width)
    press(page, "horns")
    expect(page.locator("#cover-real figcaption")).to_have_count(2)
    one, other = (each.bounding_box() for each in page.locator("#cover-real figure").all())
    assert one["y"] == other["y"] and one["x"] + one["width"] < other["x"]
    assert page.evaluate(CUT) == []


@pytest.mark.long
def test_a_link_opens_it_again(open_cover):
    page = open_cover()
    page.locator("cover-canvas").get_by_text("Mean colour").click()
    drag(page, (0.5, 0.5), (0.72, 0.62))
    page.mouse.up()
    expect(page.locator(HEADING)).to_have_text(re.compile("what is covered"))
    wait_until_idle(page)
    found, said = covering(page)[0], page.locator(HEADING).inner_text()
    assert link_of(page)["cover"] == "mean"
    page.goto(page.url)
    page.wait_for_selector("#bars .cv-bar", state="attached")
    expect(page.locator(HEADING)).to_have_text(said)
    wait_until_idle(page)
    assert covering(page)[0] == found
    expect(page.locator("cover-canvas [data-part=kinds] input:checked")).to_have_value("mean")
    page.locator("#examples button").first.click()  # another picture
    expect(page.locator(HEADING)).to_contain_text("Cover it and see")


def set_opacity(page, value):
    """Set the opacity of Look's maps, as its slider does."""
    page.locator("#viewer [data-number=opacity]").first.fill(value)


@pytest.mark.long
def test_look_and_cover_do_not_overwrite_each_others_part_of_the_link(open_cover):
    page = open_cover()
    open_tab(page, "Maps")
    set_opacity(page, "0.3")
    wait_for_link(page, opacity="0.3")
    open_tab(page, "Cover it")
    drag(page, (0.5, 0.5), (0.72, 0.62))
    page.mouse.up()
    expect(page.locator(HEADING)).to_have_text(re.compile("what is covered"))
    wait_until_idle(page)
    painted = covering(page)[0]["painted"]
    wait_for_link(page, covered=painted, opacity="0.3", outline=None)
    open_tab(page, "Maps")
    wait_until_idle(page)
    set_opacity(page, "0.6")
    wait_for_link(page, covered=painted, opacity="0.6")


@pytest.mark.long
def test_what_was_uncovered_does_not_come_back_into_the_link(open_page):
    page = open_page(query=f"{RAM}&hottest=20")
    open_tab(page, "Cover it")
    wait_for_maps(page, VIEWER, 6)
    press(page, "Uncover all")
    wait_for_link(page, hottest=None)
    open_tab(page, "Maps")
    wait_until_idle(page)
    set_opacity(page, "0.6")
    wait_for_link(page, opacity="0.6", hottest=None)


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone(open_cover, theme):
    page = open_cover(width=390, height=844, theme=theme)
    assert fits_window(page)
    canvas = page.locator(CANVAS)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box["width"] > 330
    finger = {"pointerType": "touch", "pointerId": 5, "isPrimary": True, "bubbles": True}
    canvas.evaluate("canvas => { canvas.setPointerCapture = () => {} }")  # of no real finger
    for kind, x in (("down", 0.5), ("move", 0.6), ("move", 0.7), ("up", 0.7)):
        place = {"clientX": box["x"] + x * box["width"], "clientY": box["y"] + box["height"] / 2}
        canvas.dispatch_event(f"pointer{kind}", {**finger, **place, "button": 0})
    expect(page.locator(HEADING)).to_have_text(re.compile("what is covered"))
    wait_until_idle(page)
    assert covering(page)[1][112, 112:155].all()
    assert fits_window(page) and not wrong_with_texts(page)
    assert canvas.evaluate("canvas => getComputedStyle(canvas).touchAction") == "none"


@pytest.mark.long
def test_a_photograph_has_brush_and_rubber_and_no_parts(open_cover):
    page = open_cover("&backbone=tf_efficientnet_lite0&example=lion")
    expect(page.locator("cover-canvas [data-part=parts]")).to_be_hidden()
    expect(page.locator("cover-canvas [data-part=by-part]")).to_be_hidden()
    press(page, "Cover it")
    expect(page.locator(HEADING)).to_have_text(re.compile("what is covered"))
    assert not wrong_with_texts(page)
