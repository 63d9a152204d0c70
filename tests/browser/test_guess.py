"""The view Guess first, as a class plays it: a round from a link, by keyboard and by pointer."""

import base64
import re

import numpy as np
import pytest
from playwright.sync_api import expect

from camviz.maps.runs import read_mask
from camviz.ui.learn import guessing
from camviz.ui.state import BackboneChoice, Round
from tests.support.axe import violations
from tests.support.pages import fits_window, link_of, wait_for_link, wait_until_idle

pytestmark = pytest.mark.browser

CANVAS, SAID = "guess-canvas canvas", "#guess-heading h2"
LINK = "&backbone=scenes-resnet&example=none&tab=guess&seed=7&count=3"
NETWORK = BackboneChoice("scenes-resnet")


@pytest.fixture
def open_round(open_page):
    """open_round(query): the page of a teacher's link, its first picture there."""

    def get(query=f"{LINK}&game=where", **options):
        page = open_page(query=query, **options)
        expect(page.locator("#guess-heading .cv-guess-step")).to_be_visible()
        wait_until_idle(page)
        return page

    return get


def marked(page):
    text = page.locator("guess-canvas").evaluate("canvas => canvas.guess")
    return text, read_mask(text)


def drag(page, start, end):
    page.locator(CANVAS).scroll_into_view_if_needed()
    box = page.locator(CANVAS).bounding_box()
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=6)
    page.mouse.up()


def test_a_round_by_keyboard_and_by_pointer(open_round):
    page = open_round()
    played, guesses = Round("where", 7, 3), []
    expect(page.locator("#guess-viewer figure")).to_have_count(0)
    expect(page.locator("#guess-heading .cv-guess-step")).to_contain_text("Picture 1 of 3")

    page.locator(CANVAS).focus()  # by keyboard: a box, moved and made wider
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown"):
        page.keyboard.press(key)
    text, mask = marked(page)
    rows, columns = np.nonzero(mask)
    assert (rows.min(), columns.min()) == (74, 74) and (rows.max(), columns.max()) == (145, 145)
    guesses.append(text)
    assert violations(page) == []
    page.keyboard.press("Enter")
    expect(page.locator(SAID)).to_have_text(re.compile(r"\d+ points? of 100"))
    expect(page.locator("#guess-viewer figure")).to_have_count(1)
    expect(page.locator(".cv-guess-legend li")).to_have_count(3)
    assert violations(page) == []
    page.keyboard.press("Enter")  # the next picture; the focus stayed where it was

    expect(page.locator("#guess-heading .cv-guess-step")).to_contain_text("Picture 2 of 3")
    expect(page.locator("#guess-viewer")).to_be_hidden()
    drag(page, (0.05, 0.05), (0.9, 0.9))  # by pointer: too much
    expect(page.locator("guess-canvas [data-part=place]")).to_contain_text("30% is the most")
    send = page.locator("guess-canvas [data-part=send]")
    send.click(force=True)
    expect(send).to_have_attribute("aria-disabled", "true")
    drag(page, (0.3, 0.4), (0.6, 0.7))
    text, mask = marked(page)
    assert mask.mean() == pytest.approx(0.09, abs=0.01)
    guesses.append(text)
    send.click()
    expect(page.locator(SAID)).to_have_text(re.compile(r"\d+ points? of 100"))
    send.click()

    expect(page.locator("#guess-heading .cv-guess-step")).to_contain_text("Picture 3 of 3")
    page.locator("guess-canvas").get_by_text("Brush").click()
    drag(page, (0.4, 0.5), (0.6, 0.5))
    text, mask = marked(page)
    assert mask[112, 90:134].all() and not mask[60].any()
    guesses.append(text)
    send.click()
    expect(send).to_have_text("See the score")
    send.click()

    scores = [guessing.scored(played, NETWORK, n, text) for n, text in enumerate(guesses)]
    points = sum(score.points for score in scores)
    expect(page.locator(SAID)).to_have_text(re.compile(rf"^{points} points? of 300$"))
    cells = page.locator(".cv-guess-table tbody tr td:nth-child(4)")
    expect(cells).to_have_text([f"{score.iou:.2f}" for score in scores])
    assert violations(page) == []
    page.locator("[data-label=same]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#guess-heading .cv-guess-step")).to_contain_text("Picture 1 of 3")
    wait_until_idle(page)
    assert page.evaluate("document.activeElement.matches('guess-canvas canvas')")
    assert {k: link_of(page)[k] for k in ("seed", "count", "game")} == {
        "seed": "7", "count": "3", "game": "where",
    }  # fmt: skip


def test_nothing_of_the_map_reaches_the_browser_before_the_guess(open_round):
    script = """window.received = [];
    const parse = JSON.parse;
    JSON.parse = (text, ...rest) => { window.received.push(text); return parse(text, ...rest); };"""
    page = open_round(script=script)
    x = guessing.puzzle_of(Round("where", 7, 3), NETWORK, 0).explained
    data = np.rint(x.grid("fused")[0] * 255).astype(np.uint8).tobytes()
    text = base64.b64encode(data).decode()

    def has(text):
        return page.evaluate("text => window.received.some(one => one.includes(text))", text)

    assert has("Where do you think it looked") and not has(text)
    page.locator(CANVAS).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#guess-viewer figure")).to_have_count(1)
    assert has(text)


@pytest.mark.long
def test_which_one_made_it_on_a_phone(open_round):
    page = open_round(f"{LINK}&game=which", width=390, height=844)
    for place in range(3):
        expect(page.locator(".cv-guess-step")).to_contain_text(f"Pair {place + 1} of 3")
        assert fits_window(page)
        page.locator("[data-label=left]").focus()
        page.keyboard.press("Enter")
        expect(page.locator(SAID)).to_have_text(re.compile("it is the one on the (left|right)"))
        wait_until_idle(page)
        assert page.evaluate("document.activeElement.dataset.label") == "next"
        page.keyboard.press("Enter")
    expect(page.locator(SAID)).to_have_text(re.compile(r"^\d of 3 right$"))
    wait_for_link(page, game="which", seed="7")
