"""Several pictures in a real browser, and the report as it opens from a disk."""

import re
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from camviz.engine.engine import Engine
from camviz.ui.downloads.report import report_html
from camviz.ui.state import Unavailable
from tests.support.pages import fits_window, give_file, open_tab, perform, take_away, upload

pytestmark = pytest.mark.browser

PICK = "#strip .cv-pick"
TILE = "#sheet li > button"


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """Four pictures, named out of order, and a file that is none."""
    folder = tmp_path_factory.mktemp("drawings")
    colors = {"d.png": "skyblue", "b.png": "gold", "c.png": "seagreen", "a.png": "plum"}
    for at, (name, color) in enumerate(colors.items()):
        picture = Image.new("RGB", (240, 180), color)
        box = (20 + 40 * at, 30, 90 + 40 * at, 130)
        ImageDraw.Draw(picture).ellipse(box, fill="darkorange", outline="black")
        picture.save(folder / name)
    (folder / "broken.png").write_text("no picture")
    return [folder / name for name in (*colors, "broken.png")]


def add(page, files):
    give_file(page, page.get_by_role("button", name="Add pictures"), files)


def wait_for_strip(page, count):
    """Wait until the strip holds so many, each with what the network says."""
    expect(page.locator(PICK)).to_have_count(count)
    expect(page.locator(PICK).filter(has_text="…")).to_have_count(0)


@pytest.mark.long
def test_from_several_files_to_one_and_none(open_page, drawings):
    page = open_page()
    expect(page.locator(PICK)).to_have_count(0)
    add(page, drawings)
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("Skipped. 'broken.png' is not a picture")
    wait_for_strip(page, 4)
    pressed = page.locator(f"{PICK}[aria-pressed=true]")
    expect(pressed).to_have_attribute("title", re.compile(r"^d\.png: \w+ \d"))
    title = page.locator(PICK).nth(2).get_attribute("title")

    page.locator(PICK).nth(2).click()
    label, share = re.fullmatch(r"c\.png: (\w+) (.+)", title).groups()
    expect(page.locator("#verdict h2")).to_contain_text(f"It says {label}, {share}")
    expect(pressed).to_have_attribute("title", title)
    # Of this one something is taken out: three maps more, and a blank in the deepest layer's place.
    expect(page.locator("#viewer [data-row=removed] .vw-open")).to_have_count(3)
    expect(page.locator("#viewer figure")).to_have_count(22)

    page.get_by_role("button", name="Remove c.png").click(force=True)  # seen while pointed at
    wait_for_strip(page, 3)
    expect(pressed).to_have_attribute("title", re.compile(r"^a\.png"))
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator(PICK)).to_have_count(0)
    expect(page.locator("#viewer figure")).to_have_count(18)  # what was shown is shown


def test_the_last_of_quick_clicks_on_the_strip_wins(open_page, drawings):
    """What the page shows meanwhile is no choice of the visitor's."""
    page = open_page()
    add(page, drawings[:4])
    wait_for_strip(page, 4)
    picks = [("click", f"#strip li:nth-child({number}) .cv-pick") for number in (2, 3, 4, 1, 3)]
    perform(page, picks, pace=60)
    text = page.locator(PICK).nth(2).get_attribute("title")
    label, share = re.fullmatch(r"c\.png: (\w+) (.+)", text).groups()
    expect(page.locator("#verdict h2")).to_contain_text(f"It says {label}, {share}")
    expect(page.locator("#progress .cv-progress")).to_have_count(0)
    expect(page.locator(f"{PICK}[aria-pressed=true]")).to_have_attribute("title", text)
    for name in ("d.png", "b.png"):
        page.get_by_role("button", name=f"Remove {name}").click(force=True)
    wait_for_strip(page, 2)


@pytest.mark.long
def test_a_picture_is_taken_away_and_given_again(open_page, drawings):
    page = open_page()
    for _ in range(2):
        take_away(page)
        expect(page.locator("#verdict h2")).to_have_text("No picture yet")
        upload(page, drawings[0])
        expect(page.locator("#verdict h2")).to_contain_text("It says")


@pytest.mark.long
def test_the_strip_by_keyboard(open_page, drawings):
    page = open_page()
    add(page, drawings[:3])
    wait_for_strip(page, 3)
    page.locator(PICK).first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(f"{PICK}[aria-pressed=true]")).to_have_attribute("title", re.compile("^b"))
    expect(page.locator(PICK).nth(1)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Remove b.png")).to_be_focused()
    page.keyboard.press("Enter")
    wait_for_strip(page, 2)


@pytest.mark.long
def test_all_of_them_on_one_sheet(open_page, drawings):
    page = open_page(query="&truncation=0.9")  # of some of them nothing would be taken out
    open_tab(page, "All pictures")
    expect(page.locator("#sheet")).to_contain_text("Here you see all of your pictures at once")
    add(page, drawings[:4])
    expect(page.locator(TILE)).to_have_count(4)
    names = page.locator("#sheet .cv-file")
    expect(names).to_have_text(["d.png", "b.png", "c.png", "a.png"])

    def pick(label, choice):
        page.locator("#sheet-controls").get_by_label(label).click()
        page.get_by_role("option", name=re.compile(f"(^| · ){choice}$")).click()

    pick("Order", "by name")
    expect(names).to_have_text(["a.png", "b.png", "c.png", "d.png"])
    pick("Order", "most certain first")
    expect(names).not_to_have_text(["a.png", "b.png", "c.png", "d.png"])
    texts = page.locator("#sheet .cv-what span").all_inner_texts()
    shares = [float(text.strip("%< ")) for text in texts]
    assert shares == sorted(shares, reverse=True)
    pick("Of", "layer3")
    expect(page.locator("#sheet")).to_contain_text("layer layer3, of 4 pictures")
    before = page.locator("#sheet .cv-heat").first.get_attribute("src")
    pick("Maps", "Denoised shallow maps")
    expect(page.locator("#sheet")).to_contain_text("Denoised shallow maps, layer layer3")
    assert page.locator("#sheet .cv-heat").first.get_attribute("src") != before

    third = page.locator(".cv-bar").nth(2).get_attribute("data-label")
    page.locator(".cv-bar").nth(2).click()
    pick("Class explained", "the same for all")
    expect(page.locator("#sheet")).to_contain_text(f"All pictures are explained for {third}")
    expect(page.locator("#sheet .cv-what b")).to_have_text([third] * 4)
    name = names.nth(1).inner_text()
    page.locator(TILE).nth(1).click()
    expect(page.locator("#viewer")).to_be_visible()
    expect(page.locator("#verdict h2")).to_contain_text(third)
    expect(page.locator(f"{PICK}[aria-pressed=true]")).to_have_attribute(
        "title", re.compile(f"^{re.escape(name)}")
    )


@pytest.mark.long
def test_opacity_of_the_sheet_asks_nobody(open_page, drawings):
    page = open_page()
    add(page, drawings[:2])
    wait_for_strip(page, 2)
    open_tab(page, "All pictures")
    expect(page.locator(TILE)).to_have_count(2)
    page.get_by_label("Opacity").last.press("Home")
    heat = page.locator("#sheet .cv-heat").first
    expect(heat).to_have_css("opacity", "0")


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_nothing_hangs_over(open_page, drawings, theme):
    page = open_page(390, 844, theme)
    add(page, drawings[:4])
    wait_for_strip(page, 4)
    open_tab(page, "All pictures")
    expect(page.locator(TILE)).to_have_count(4)
    assert fits_window(page)
    boxes = [page.locator(TILE).nth(i).bounding_box() for i in range(2)]
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[1]["x"] + boxes[1]["width"] <= 390


def test_the_zip_holds_all_and_each_report_opens(open_page, drawings, tmp_path, open_file):
    page = open_page()
    add(page, drawings[:3])
    wait_for_strip(page, 3)
    with page.expect_download() as download:  # at once: the address bar is written a bit later
        page.locator("#viewer [data-number=opacity]").first.evaluate(
            """slider => { slider.value = "0.25"
            slider.dispatchEvent(new Event("input", {bubbles: true}))
            document.querySelector("#save").click() }"""
        )
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path)
    sheet = open_file(tmp_path / "index.html")
    expect(sheet.locator("li")).to_have_count(3)
    sheet.locator("li a").nth(1).click()
    expect(sheet.locator("#viewer figure")).to_have_count(18)
    expect(sheet.locator("body > header")).to_contain_text("b.png")
    expect(sheet.locator(".vw-tools [data-number=opacity]")).to_have_value("0.25")
    link = sheet.get_by_role("link").get_attribute("href")
    assert link.startswith("http://127.0.0.1") and "example=upload" in link


# -- The report alone ----------------------------------------------------------------------------


@pytest.fixture
def open_file(browse):
    """open_file(path): a file opened from the disk. Whatever it asks of anybody fails the test."""

    def get(path, width=1440, scheme="light"):
        return browse(path.as_uri(), width, scheme=scheme)

    return get


@pytest.fixture(scope="module")
def written(tiny, tmp_path_factory, drawings):
    """A report on the disk, and what it is about."""
    engine = Engine("cpu")
    rows = {
        "layercam": engine.explain(drawings[0], tiny("test_resnet"), target=3),
        "denoised": engine.explain(drawings[0], tiny("test_resnet"), target=3, truncation=0.9),
        "prototypes": Unavailable("There are none."),
    }
    path = tmp_path_factory.mktemp("report") / "a report.html"
    path.write_text(report_html(rows, "https://host/?colors=magma&view=map"), encoding="utf-8")
    return path, rows["layercam"]


def test_the_report_is_the_viewer_without_a_server(open_file, written):
    path, x = written
    page = open_file(path)
    expect(page.locator("#viewer figure")).to_have_count(12)
    expect(page.locator("[data-part=colors]")).to_have_value("magma")
    expect(page.get_by_label("Map", exact=True)).to_be_checked()
    expect(page.get_by_text("There are none.").first).to_be_visible()
    assert page.locator("#picture").evaluate("image => image.complete && image.naturalWidth") == 240

    panel = page.locator("#viewer figure .vw-open").first
    canvas = panel.locator("canvas").evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    assert np.asarray(canvas).reshape(-1, 4)[:, :3].std() > 10  # something is drawn
    panel.press("Home")
    expect(page.locator("[data-part=where]")).to_contain_text("Column")
    panel.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Map only").click()
    with Image.open(download.value.path()) as image:
        assert image.size == (x.picture.width, x.picture.height)
    with page.expect_download() as download:  # its text is decoded as a picture, from a blob
        page.get_by_role("button", name="Download PNG").click()
    with Image.open(download.value.path()) as image:
        assert image.width >= 2 * x.picture.width and image.height > 2 * x.picture.height + 100
    page.keyboard.press("Escape")
    page.locator("[data-part=colors]").select_option("viridis")
    expect(page.get_by_role("heading", name="Repeat it")).to_be_attached()


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_on_a_phone(open_file, written, scheme):
    page = open_file(written[0], 390, scheme)
    expect(page.get_by_role("tab")).to_have_count(3)
    assert fits_window(page)
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 26, 34)"}[scheme]
