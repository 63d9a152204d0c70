"""What a visitor does with prototypes: keep, drop, name, learn, save, load; and similar places."""

import re

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from tests.support.pages import (
    fits_window,
    give_file,
    open_tab,
    pixels,
    take_away,
    upload,
    wait_for_pixels,
    wait_until_idle,
)

pytestmark = pytest.mark.browser

VALUES = "document.querySelector('#similar-here .vw').stats.values"


@pytest.fixture
def tab(open_page):
    """tab(width): the page with the tab open and everything in it."""

    def get(width=1440, height=900, theme="light"):
        page = open_page(width, height, theme, "&tab=prototypes")
        expect(page.locator(".cv-card").first).to_be_visible()
        expect(page.locator("#similar-here figure")).to_have_count(4)
        return page

    return get


def card(page, index):
    return page.locator(f'.cv-card[data-index="{index}"]')


def test_foreground_and_context_stand_side_by_side(tab):
    page = tab()
    left, right = (page.locator(f'.cv-kind[data-kind="{k}"]') for k in ("foreground", "context"))
    one, two = left.bounding_box(), right.bounding_box()
    assert one["y"] == two["y"] and one["x"] + one["width"] <= two["x"]
    for side in (left, right):
        assert side.locator(".cv-card").count() > 0
        first = side.locator(".cv-card").first
        for part in (".cv-similarity", ".cv-patch", ".cv-figures", ".cv-name", ".cv-keep"):
            expect(first.locator(part).first).to_be_visible()
    layer = page.get_by_role("radio", name=re.compile(r"layer3\s*$"))
    before = page.locator(".cv-similarity").first.get_attribute("src")
    layer.check()
    expect(page.locator(".cv-similarity").first).not_to_have_attribute("src", before)


@pytest.mark.long
def test_dropping_changes_the_map_and_compare_follows(tab):
    page = tab()
    open_tab(page, "Maps")
    row = page.locator('#viewer [data-row="prototypes"] figure').first
    expect(row).to_be_visible()
    compared = row.get_by_text(re.compile(r"\d+ prototypes"))
    before_there = compared.inner_text()
    open_tab(page, "Prototypes")
    wait_until_idle(page)  # or the cards may be made anew between the focus and the key
    reset = page.get_by_role("button", name="Back to the automatic choice")
    expect(reset).to_be_disabled()
    before = pixels(page, "#proto-map")
    switch = page.locator(".cv-keep input:checked").first
    index = switch.evaluate("e => e.closest('.cv-card').dataset.index")
    switch.focus()
    page.keyboard.press("Space")
    expect(reset).to_be_enabled()
    expect(card(page, index)).to_have_attribute("data-kept", "0")
    wait_for_pixels(page, "#proto-map", before)
    focused = "document.activeElement.closest('.cv-card')?.dataset.index"
    assert page.evaluate(focused) == index  # the keyboard is where it was

    open_tab(page, "Maps")
    expect(compared).not_to_have_text(before_there)
    open_tab(page, "Prototypes")
    reset.click()
    expect(reset).to_be_disabled()
    expect(card(page, index)).to_have_attribute("data-kept", "1")
    expect(card(page, index).get_by_role("switch")).to_be_checked()
    wait_for_pixels(page, "#proto-map", before, same=True)
    open_tab(page, "Maps")
    expect(compared).to_have_text(before_there)


@pytest.mark.long
def test_a_name_is_kept_in_the_file_and_comes_back(tab, tmp_path):
    page = tab()
    name = page.locator(".cv-name").first
    index = name.evaluate("e => e.closest('.cv-card').dataset.index")
    name.fill("bark")
    name.press("Enter")
    expect(card(page, index).get_by_role("switch", name="Keep bark")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save prototypes").click()
    path = tmp_path / "bark.safetensors"
    download.value.save_as(path)
    assert download.value.suggested_filename.endswith(".safetensors")

    again = tab()
    assert again.get_by_role("switch", name="Keep bark").count() == 0
    give_file(again, again.get_by_role("button", name="Load prototypes"), path)
    expect(again.get_by_role("switch", name="Keep bark")).to_be_visible()
    expect(again.locator("#notice")).to_contain_text("Loaded prototypes of")

    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"no such thing")
    give_file(again, again.get_by_role("button", name="Load prototypes"), wrong)
    expect(again.get_by_role("alert")).to_contain_text("not a .safetensors file")
    expect(again.get_by_role("switch", name="Keep bark")).to_be_visible()


@pytest.mark.long
def test_learned_from_a_gallery(tab, tmp_path):
    page = tab()
    files = []
    for index in range(3):
        picture = Image.new("RGB", (300, 200), "skyblue")
        ImageDraw.Draw(picture).ellipse((60 + 40 * index, 60, 160, 140), fill="orange")
        files.append(tmp_path / f"drawing{index}.png")
        picture.save(files[-1])
    page.get_by_role("button", name="Prototypes from pictures of your own").click()
    learn = page.get_by_role("button", name="Learn prototypes")
    expect(learn).to_be_visible()
    learn.click()
    expect(page.get_by_role("alert")).to_contain_text("No pictures were given")
    page.locator("#gallery input[type=file]").set_input_files(files)
    expect(page.locator("#gallery")).to_contain_text("drawing1")
    page.locator("#clusters input[type=number]").fill("2")
    learn.click()
    expect(page.locator("#proto-introduction")).to_contain_text("learned from 3 pictures")
    assert page.get_by_role("alert").count() == 0
    for kind in ("foreground", "context"):
        assert 1 <= page.locator(f'[data-kind="{kind}"] .cv-card').count() <= 2
    sources = page.locator(".cv-patch").evaluate_all("all => all.map(e => e.title)")
    assert sources and all(source.startswith("drawing") for source in sources)
    open_tab(page, "Maps")
    expect(page.locator("#learned")).to_contain_text("what you gave (3 of")
    open_tab(page, "Prototypes")
    page.get_by_role("button", name="Back to those without them").click()
    expect(page.locator("#proto-introduction")).to_contain_text("this picture alone")


def rings(page, viewer="similar-here"):
    return page.locator(f"#{viewer} figure .vw-ring").evaluate_all(
        "all => all.map(e => [parseFloat(e.style.left), parseFloat(e.style.top)])"
    )


def test_find_similar_places_by_mouse(tab):
    page = tab()
    before = pixels(page, "#similar-here")
    figure = page.locator("#similar-here figure .vw-open").nth(1)
    box = figure.bounding_box()
    figure.click(position={"x": 0.2 * box["width"], "y": 0.8 * box["height"]})
    expect(page.get_by_label("number input for Across")).not_to_have_value("50")
    wait_for_pixels(page, "#similar-here", before)
    found = rings(page)
    assert len(found) == 4 and len(set(map(tuple, found))) == 1
    assert found[0] == pytest.approx([20, 80], abs=1.5)
    assert page.locator("#similar-here dialog[open]").count() == 0
    page.get_by_role("button", name="Enlarge Stage 3 of 4").click()
    expect(page.locator("#similar-here dialog")).to_be_visible()
    expect(page.locator("#similar-here dialog .vw-ring")).to_be_visible()
    page.keyboard.press("Escape")


@pytest.mark.long
def test_find_similar_places_by_keyboard(tab):
    page = tab()
    slider = page.get_by_label("range slider for Across")
    slider.focus()
    values = page.evaluate(VALUES)
    for _ in range(5):
        page.keyboard.press("PageUp")
    page.wait_for_function(f"values => {VALUES} > values", arg=values)
    at = float(slider.input_value())
    assert at > 50
    page.wait_for_function(
        "at => Math.abs(parseFloat("
        "document.querySelector('#similar-here .vw-ring').style.left) - at) < 1",
        arg=at,
    )
    figure = page.locator("#similar-here figure .vw-open").first
    figure.focus()
    page.keyboard.press("Home")
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    values = page.evaluate(VALUES)
    before = rings(page)[0]
    page.keyboard.press("Enter")
    page.wait_for_function(f"values => {VALUES} > values", arg=values)
    assert rings(page)[0][1] != before[1]
    assert page.locator("#similar-here dialog[open]").count() == 0


@pytest.mark.long
def test_similar_places_in_a_second_picture_follows_the_point_and_the_tools(tab, tmp_path):
    page = tab()
    page.locator("#similar-examples button").nth(1).click()
    expect(page.locator("#similar-there figure")).to_have_count(4)
    expect(page.locator("#similar-there .vw-tools")).to_be_hidden()
    assert len(rings(page, "similar-there")) == 4
    before = pixels(page, "#similar-there")
    page.locator("#similar-here").get_by_role("radio", name="Picture").check(force=True)
    wait_for_pixels(page, "#similar-there", before)
    page.locator("#similar-here").get_by_role("radio", name="Overlay").check(force=True)
    wait_for_pixels(page, "#similar-there", before, same=True)
    box = page.locator("#similar-here figure .vw-open").first.bounding_box()
    page.locator("#similar-here figure .vw-open").first.click(
        position={"x": 0.1 * box["width"], "y": 0.1 * box["height"]}
    )
    wait_for_pixels(page, "#similar-there", before)
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    take_away(page, "#similar-picture")
    expect(page.locator("#similar-there figure")).to_have_count(0)
    upload(page, bad, "#similar-picture")
    expect(page.locator("#similar-there")).to_contain_text("not a picture")
    expect(page.locator("#similar-here figure")).to_have_count(4)


@pytest.mark.long
def test_another_class_on_the_left_brings_its_prototypes(tab):
    page = tab()
    label = page.locator(".cv-bar").nth(1).get_attribute("data-label")
    page.locator(".cv-bar").nth(1).click()
    expect(page.locator("#proto-introduction h2")).to_contain_text(label)
    expect(page.locator('[data-kind="foreground"] h3')).to_contain_text(label)


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_phone(tab, theme):
    page = tab(390, 844, theme)
    assert fits_window(page)
    beyond = "all => all.filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).length"
    parts = ("#page .cv-card", "#proto-tools", "#similar-point", "#similar-second")
    inside = ", ".join(f"{part} *" for part in (*parts, "#proto-introduction"))
    assert page.locator(inside).evaluate_all(beyond) == 0
    tops = page.evaluate(
        "['proto-introduction', 'proto-map', 'proto-tools', 'proto-cards', 'gallery',"
        " 'similar-here']"
        ".map(id => document.getElementById(id).getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)


@pytest.mark.long
def test_every_control_has_a_name(tab):
    page = tab()
    page.get_by_role("button", name="Prototypes from pictures of your own").click()
    nameless = page.locator("#tabs .tabitem :is(input, button, select)").evaluate_all(
        """all => all.filter(e => e.offsetParent && !(e.getAttribute('aria-label') || e.title
        || e.textContent.trim() || e.closest('label') || e.querySelector('img[alt]')
        || e.type === 'file')).map(e => e.outerHTML)"""
    )
    assert nameless == []
