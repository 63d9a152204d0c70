"""What a visitor does, done with a real browser."""

import re

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

FIGURES = "#layers figure img"


@pytest.fixture
def drawing(tmp_path):
    picture = Image.new("RGB", (300, 200), "skyblue")
    ImageDraw.Draw(picture).ellipse((120, 60, 200, 140), fill="orange")
    path = tmp_path / "drawing.png"
    picture.save(path)
    return path


def fused(page):
    """The data of the fused picture: it changes when the result does."""
    return page.locator("#verdict img").get_attribute("src")


def changed(page, before):
    """Wait until another fused picture is shown."""
    another = (
        "old => { const i = document.querySelector('#verdict img'); return i && i.src != old }"
    )
    page.wait_for_function(another, arg=before)


def upload(page, path):
    page.get_by_label("Remove Image").click()
    expect(page.locator("#verdict")).to_contain_text("Give a picture")
    with page.expect_file_chooser() as chooser:
        page.get_by_label("Drop an image file here to upload").click()
    chooser.value.set_files(path)


def choose(page, menu, typed, label, *, by_keyboard=False):
    """Search in a menu by typing and take the entry of that label."""
    page.locator(f"#{menu} input").click()
    page.locator(f"#{menu} [role=option]").first.wait_for()
    page.keyboard.press("Control+A")
    page.keyboard.type(typed)
    if not by_keyboard:
        page.get_by_role("option", name=label).click()
        return
    expect(page.locator(f"#{menu} [role=option]")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


def test_first_result_without_a_click(open_page):
    page = open_page()
    assert page.locator("h1").inner_text() == "camviz"
    assert page.locator("#backbone input").input_value().startswith("grove · this server's own")
    assert page.locator(FIGURES).count() == 4
    assert page.locator("#stages input:checked").count() == 4
    bars = page.locator(".cv-bar")
    assert bars.count() == 5
    best = bars.first.get_attribute("data-label")
    assert page.locator("#verdict h2").inner_text() == f"Where it looked for {best}"
    shown = "images => images.every(i => i.complete && i.naturalWidth > 0 && i.alt)"
    assert page.locator("#right img").evaluate_all(shown)


def test_uploaded_picture_is_explained(open_page, drawing):
    page = open_page()
    before = fused(page)
    upload(page, drawing)
    changed(page, before)
    width, height = page.locator("#verdict img").evaluate("i => [i.naturalWidth, i.naturalHeight]")
    assert width / height == pytest.approx(1.5, abs=0.01)


def test_example_is_explained(open_page):
    page = open_page()
    before = fused(page)
    page.locator("#examples button").nth(1).click()
    changed(page, before)


def test_class_by_its_bar_and_by_search(open_page, trees):
    page = open_page()
    before = fused(page)
    second = page.locator(".cv-bar").nth(1).get_attribute("data-label")
    page.locator(".cv-bar").nth(1).click()
    expect(page.locator("#verdict h2")).to_have_text(f"Where it looked for {second}")
    expect(page.locator(".cv-bar").nth(1)).to_have_attribute("aria-pressed", "true")
    changed(page, before)
    third = next(tree for tree in trees if tree != second)
    choose(page, "target", third, re.compile(f"^{third}"))
    expect(page.locator("#verdict h2")).to_have_text(f"Where it looked for {third}")


def test_stage_method_and_fusion(open_page):
    page = open_page()
    page.get_by_label("layer1 ·").click()
    expect(page.locator(FIGURES)).to_have_count(3)
    choose(page, "method", "Grad-CAM", re.compile("^Grad-CAM ·"))
    expect(page.locator(".cv-how")).to_contain_text("Grad-CAM (")
    choose(page, "fuse", "Maximum", re.compile("^Maximum"), by_keyboard=True)
    expect(page.locator(".cv-how")).to_contain_text("fused by maximum of tanh (LayerCAM")


def test_settings_by_keyboard(open_page):
    page = open_page()
    before = fused(page)
    page.get_by_role("button", name="Settings ▼").click()
    opacity = page.locator("#settings input[type=range]").first
    expect(opacity).to_be_visible()  # the fold opens a moment after the click
    value = float(opacity.input_value())
    opacity.press("ArrowRight")
    expect(opacity).to_have_value(f"{value + 0.05:.2g}")
    changed(page, before)


def test_another_backbone(open_page):
    page = open_page()
    choose(page, "backbone", "test_vit.", re.compile(r"test_vit\.r160"))
    notice = page.get_by_role("alert").filter(has_text="hub cannot be reached")
    expect(notice.first).to_be_visible()
    expect(page.locator("#stages input")).to_have_count(0)
    expect(page.locator(FIGURES)).to_have_count(0)

    page.get_by_label("untrained weights").click()
    expect(page.locator(FIGURES)).to_have_count(4)
    expect(page.locator("#verdict")).to_contain_text("untrained: maps mean nothing")
    expect(page.get_by_label("blocks.0 ·")).to_be_visible()
    expect(page.get_by_label("layer1 ·")).to_have_count(0)


def test_who_does_not_wait_for_a_backbone_gets_it_all_the_same(open_page):
    page = open_page()
    page.get_by_label("untrained weights").click()
    choose(page, "backbone", "test_vit.", re.compile(r"test_vit\.r160"))
    choose(page, "method", "HiRes", re.compile("^HiRes"))
    expect(page.locator(".cv-how")).to_contain_text("HiRes-CAM (")
    expect(page.locator(FIGURES)).to_have_count(4)
    expect(page.locator("#layers")).to_contain_text("blocks.")
    assert page.locator("[role=alert], .toast-body").count() == 0


def test_bad_upload_is_a_notice_and_no_end(open_page, drawing, tmp_path):
    page = open_page()
    bad = tmp_path / "bad.png"
    bad.write_text("no picture at all")
    upload(page, bad)
    expect(page.locator("#verdict [role=alert]")).to_contain_text("'bad.png' is not a picture")
    upload(page, drawing)
    expect(page.locator(FIGURES)).to_have_count(4)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_phone(open_page, theme):
    page = open_page(390, 844, theme)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    beyond = "all => all.filter(e => e.getBoundingClientRect().right > innerWidth).length"
    parts = "#page img, #page button, #page input, #page p, #page h2"
    assert page.locator(parts).evaluate_all(beyond) == 0  # nothing is cut off either
    tops = page.evaluate(
        "['picture', 'verdict', 'bars', 'controls', 'layers']"
        ".map(id => document.getElementById(id).getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)


def test_two_visitors_see_their_own(open_page):
    one, two = open_page(), open_page()
    untouched = fused(two)
    before = fused(one)
    one.locator("#examples button").nth(1).click()
    changed(one, before)
    assert fused(two) == untouched
