"""One map, enlarged: its size, zoom and pan, its sliders and keys, and what is saved of it."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from camviz.maps import render
from tests.support.viewers import (
    FIRST,
    OPEN,
    PANEL,
    canvas,
    download,
    enlarge,
    pixels_of,
    show,
    wait_until_drawn,
)

pytestmark = pytest.mark.browser

DIALOG = f"{FIRST} dialog"
MAP = f"{DIALOG} [data-part=zoomed]"
SVG = "{http://www.w3.org/2000/svg}"


def box_of(page, selector=MAP):
    return page.locator(selector).bounding_box()


def zoom_of(page):
    """How many times the map is enlarged, as the dialog says."""
    return float(page.locator(f"{DIALOG} [data-part=zoom]").inner_text().removesuffix("×"))


def place_of(page):
    """Column and row of the crosshair, as the dialog says."""
    text = page.locator(f"{DIALOG} [data-part=reading]").inner_text()
    return tuple(map(int, re.match(r"Column (\d+), row (\d+): ", text).groups()))


def title_of(page):
    return page.locator(f"{DIALOG} h3").inner_text()


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)
    wait_until_drawn(page)


def point_at(page, x, y):
    """Put the pointer on a place of the map, in shares of its frame."""
    box = box_of(page)
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


# --- its size ---


@pytest.mark.sampled
@pytest.mark.parametrize("size", [(1440, 900), (1024, 768), (390, 844)])
def test_the_dialog_fills_the_window_and_the_map_its_room(open_viewer, size):
    page = open_viewer(width=size[0], height=size[1])
    show(page, "large")
    enlarge(page, 0)
    box = box_of(page, DIALOG)
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, *size)
    stage, shown = box_of(page, f"{DIALOG} .vw-stage"), box_of(page)
    fills = [shown[side] == pytest.approx(stage[side], abs=1) for side in ("width", "height")]
    assert any(fills), "as large as there is room for"
    assert shown["width"] / shown["height"] == pytest.approx(4 / 3, rel=0.01)
    assert shown["width"] <= stage["width"] + 1 and shown["height"] <= stage["height"] + 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.long
def test_a_map_is_no_larger_than_its_picture(open_viewer, payloads):
    page = open_viewer(width=2400, height=1500, device_scale_factor=2)
    show(page, "large")
    enlarge(page, 0)
    source = payloads["large"]["picture"]["src"].partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(source))) as sent:
        assert box_of(page)["width"] == pytest.approx(sent.width, abs=1)
    assert canvas(page, f"{MAP} canvas").shape[1] > 1600, "as sharp as the screen"
    page.keyboard.press("Escape")
    show(page, "scene")
    enlarge(page, 0)
    assert box_of(page)["width"] == pytest.approx(640, abs=1), "but a small one is enlarged"


# --- zoom and pan ---


@pytest.mark.long
def test_the_wheel_zooms_around_the_pointer(open_viewer, shown):
    page = open_viewer()
    enlarge(page, 0)
    point_at(page, 0.3, 0.7)
    wait_until_drawn(page)
    before = place_of(page)
    page.mouse.wheel(0, -500)
    wait_until_drawn(page)
    assert zoom_of(page) == pytest.approx(np.exp(0.8), abs=0.06)
    point_at(page, 0.301, 0.7)
    assert np.abs(np.subtract(place_of(page), before)).max() <= 1
    page.mouse.wheel(0, 5000)
    wait_until_drawn(page)
    assert zoom_of(page) == 1


def test_the_crosshair_reads_the_pixel_that_is_under_it(open_viewer, shown):
    page = open_viewer()
    x = shown["layercam"]
    enlarge(page, 0)
    page.locator(MAP).focus()
    press(page, *"+" * 8)
    assert zoom_of(page) == 8
    stage = x.stages[-1]
    for share in ((0.1, 0.2), (0.5, 0.5), (0.93, 0.71)):
        point_at(page, *share)
        column, row = place_of(page)
        assert column == pytest.approx(140 + 40 * share[0], abs=1)  # the middle of 320 x 240
        assert row == pytest.approx(105 + 30 * share[1], abs=1)
        text = page.locator(f"{DIALOG} [data-part=reading]").inner_text()
        percent = float(re.search(r": ([\d.]+)%", text)[1])
        assert percent == pytest.approx(100 * x.maps[stage][row, column], abs=0.9)
        line = page.locator(f"{MAP} .vw-down").bounding_box()
        frame = box_of(page)
        drawn = (line["x"] - frame["x"]) / frame["width"]
        assert drawn == pytest.approx((column + 0.5 - 140) / 40, abs=0.01)


@pytest.mark.long
def test_what_is_seen_of_a_map_is_drawn_sharply(open_viewer, shown):
    page = open_viewer("&view=map&colors=gray")
    x = shown["layercam"]
    stage = x.stages[0]
    enlarge(page, 3)
    whole = canvas(page, f"{MAP} canvas")
    press(page, *"+" * 8)
    part = canvas(page, f"{MAP} canvas")
    assert part.shape == whole.shape, "no larger canvas"
    pixels = part[..., 0].reshape(30, 16, 40, 16)[:, 7:9, :, 7:9].mean((1, 3))
    wanted = render.colorize(x.maps[stage], "gray")[105:135, 140:180, 0]
    assert wanted.max() - wanted.min() > 20
    assert np.abs(pixels - wanted).max() <= 2


@pytest.mark.long
def test_boxes_stay_where_they_are_when_zoomed(open_viewer):
    page = open_viewer("&boxes=largest&threshold=0.3&view=picture")
    enlarge(page, 4)
    text = page.locator(f"{FIRST} [data-part=found]").inner_text()
    x0, y0, x1, y1 = map(int, re.search(r": (\d+), (\d+), (\d+), (\d+)\.", text).groups())
    page.locator(MAP).focus()
    press(page, "Home", *"+" * 3)
    first = place_of(page)
    zoom = 1.5**3
    shares = []
    for side in (0, 1):  # the place at the frame's upper left corner
        point_at(page, 0.006, 0.006)
        shares.append(place_of(page)[side])
    pixels = canvas(page, f"{MAP} canvas")[..., :3].astype(int)
    white = (pixels.min(axis=2) > 245).sum(axis=0)
    scale = pixels.shape[1] / (320 / zoom)
    inside = [edge for edge in (x0, x1) if 2 < edge - shares[0] < 320 / zoom - 2]
    assert inside, (first, shares, x0, x1, y0, y1)
    for edge in inside:
        at = round((edge - shares[0]) * scale)
        assert white[max(at - 8, 0) : at + 8].max() > 100, "a side of the box"


def test_buttons_keys_and_double_clicks_zoom_within_limits(open_viewer):
    page = open_viewer()
    dialog = enlarge(page, 0)
    dialog.get_by_label("Zoom in").click()
    wait_until_drawn(page)
    assert zoom_of(page) == 1.5
    dialog.get_by_label("Zoom out").click()
    wait_until_drawn(page)
    assert zoom_of(page) == 1
    page.locator(MAP).dblclick(position={"x": 100, "y": 80})
    wait_until_drawn(page)
    assert zoom_of(page) == 2
    press(page, *"+" * 12)
    assert zoom_of(page) == 8
    press(page, "-")
    assert zoom_of(page) == 5.3
    press(page, "0")
    assert zoom_of(page) == 1
    press(page, "+", *"-" * 5)
    assert zoom_of(page) == 1
    press(page, "+", "Escape")
    enlarge(page, 1)
    assert zoom_of(page) == 1, "the next one opens whole"


def test_a_drag_moves_the_map_and_stays_inside_it(open_viewer):
    page = open_viewer()
    enlarge(page, 0)
    press(page, "+", "+", "+")
    point_at(page, 0.6, 0.6)
    before = place_of(page)
    page.mouse.down()
    point_at(page, 0.3, 0.4)
    page.mouse.up()
    wait_until_drawn(page)
    assert np.abs(np.subtract(place_of(page), before)).max() <= 1, "it moves with the pointer"
    for start, end, corner, wanted in (
        (0.1, 0.9, 0.006, (0, 0)),
        (0.9, 0.1, 0.994, (319, 239)),
    ):
        for _ in range(5):
            point_at(page, start, start)
            page.mouse.down()
            point_at(page, end, end)
            page.mouse.up()
        point_at(page, corner, corner)
        assert np.abs(np.subtract(place_of(page), wanted)).max() <= 1


@pytest.mark.long
def test_two_fingers_zoom(open_viewer):
    page = open_viewer(width=390, height=844, has_touch=True)
    enlarge(page, 0)
    box = box_of(page)
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    fingers = page.context.new_cdp_session(page)

    def touch(kind, *offsets):
        points = [{"x": middle[0] + at, "y": middle[1], "id": i} for i, at in enumerate(offsets)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -30, 30)
    for step in range(1, 7):
        touch("touchMove", -30 - 10 * step, 30 + 10 * step)
    touch("touchEnd")
    wait_until_drawn(page)
    assert zoom_of(page) == pytest.approx(3, abs=0.1)
    page.touchscreen.tap(*middle)
    assert np.abs(np.subtract(place_of(page), (160, 120))).max() <= 2
    before = place_of(page)
    touch("touchStart", 0)
    for step in range(1, 6):
        touch("touchMove", 12 * step)
    touch("touchEnd")
    page.touchscreen.tap(middle[0] + 60, middle[1])
    assert np.abs(np.subtract(place_of(page), before)).max() <= 2, "one finger drags"


# --- sliders ---


@pytest.mark.long
def test_sliders_are_those_of_the_tools(open_viewer):
    page = open_viewer()
    dialog = enlarge(page, 0)
    for name, value in (("opacity", "0.8"), ("threshold", "0.4")):
        both = page.locator(f"{FIRST} [data-number={name}]")
        expect(both).to_have_count(2)
        assert both.nth(0).get_attribute("max") == both.nth(1).get_attribute("max")
        small, large = pixels_of(page), pixels_of(page, f"{MAP} canvas")
        dialog.get_by_label(name.capitalize()).fill(value)
        wait_until_drawn(page)
        assert pixels_of(page) != small and pixels_of(page, f"{MAP} canvas") != large
        expect(both.nth(0)).to_have_value(value)
        words = page.locator(f"{FIRST} b[data-part={name}]").all_inner_texts()
        assert words == 2 * [f"{float(value):.0%}"]
        assert f"{name}={value}" in page.url
    page.keyboard.press("Escape")
    page.locator(f"{FIRST} .vw-tools").get_by_label("Opacity").fill("0.2")
    enlarge(page, 0)
    expect(dialog.get_by_label("Opacity")).to_have_value("0.2")
    dialog.get_by_label("Opacity").press("ArrowRight")
    expect(dialog.get_by_label("Opacity")).to_have_value("0.21")  # a slider keeps its own keys


@pytest.mark.long
def test_sliders_of_a_viewer_without_tools_change_its_leaders(open_viewer, payloads):
    page = open_viewer()
    page.evaluate(
        "value => { document.querySelector('#second .vw').value = value }",
        payloads["alone"] | {"follows": "first"},
    )
    wait_until_drawn(page)
    page.locator("#second .vw-panel .vw-open").first.click()
    page.locator("#second dialog").get_by_label("Threshold").fill("0.3")
    for viewer in (FIRST, "#second .vw"):
        expect(page.locator(f"{viewer} [data-number=threshold]").first).to_have_value("0.3")
    wait_until_drawn(page)
    expect(page.locator("#second dialog [data-number=threshold]")).to_have_value("0.3")


# --- keys ---


def test_arrows_leaf_and_move_the_crosshair_with_shift(open_viewer):
    page = open_viewer()
    enlarge(page, 1)
    titles = page.locator(f"{PANEL} .vw-name b").all_inner_texts()
    modules = page.locator(f"{PANEL} .vw-module").all_inner_texts()
    press(page, "+")
    press(page, "ArrowRight")
    assert title_of(page).startswith(titles[2]) and modules[2] in title_of(page)
    assert zoom_of(page) == 1.5, "the same part of the next map"
    press(page, "ArrowLeft", "ArrowLeft")
    assert title_of(page).startswith(titles[0])
    press(page, "ArrowLeft")
    assert titles[-2:] == ["Fused", "Refined"] and title_of(page) == titles[-1]
    press(page, "ArrowRight", "Home")
    text = page.locator(f"{DIALOG} [data-part=reading]").inner_text()
    assert float(re.search(r": ([\d.]+)%", text)[1]) > 97, "Home goes to the maximum"
    press(page, "ArrowLeft")
    moves = (("Left", (-2, 0)), ("Right", (2, 0)), ("Up", (0, -2)), ("Down", (0, 2)))
    for key, (right, down) in moves:
        before = place_of(page)
        press(page, f"Shift+Arrow{key}")
        wanted = np.clip(np.add(before, (right, down)), 0, (319, 239))
        assert place_of(page) == tuple(wanted)
    assert title_of(page) == "Refined"
    label = page.locator(MAP).get_attribute("aria-label")
    assert "Left and right go to the other maps" in label and "Shift" in label
    expect(page.locator(DIALOG)).to_contain_text("arrow keys show the other maps")


@pytest.mark.long
def test_the_crosshair_takes_the_map_with_it(open_viewer):
    page = open_viewer()
    enlarge(page, 0)
    press(page, *"+" * 8)
    press(page, "Home", *["Shift+ArrowRight"] * 3)
    frame, line = box_of(page), page.locator(f"{MAP} .vw-down").bounding_box()
    assert frame["x"] <= line["x"] <= frame["x"] + frame["width"]


# --- files ---


KEEP_SVG = """window.drawn = []
const make = URL.createObjectURL.bind(URL)
URL.createObjectURL = blob => {
  if (blob.type === 'image/svg+xml') blob.text().then(text => window.drawn.push(text))
  return make(blob)
}
null"""


def texts_of(svg):
    """The texts of a figure, line by line, with spaces of one kind."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return [node.text.replace("\N{NO-BREAK SPACE}", " ") for node in found]


def save(page, button):
    """What a button of the dialog saves: its bytes and the file's name."""
    with page.expect_download() as waiting:
        page.locator(DIALOG).get_by_role("button", name=button, exact=True).click()
    return waiting.value.path().read_bytes(), waiting.value.suggested_filename


def test_a_png_has_the_map_at_twice_its_size_and_a_caption(open_viewer, shown, payloads):
    page = open_viewer("&opacity=0.7&threshold=0.2&colors=magma")
    page.evaluate(KEEP_SVG)
    enlarge(page, 1)
    alone, _ = download(page)
    data, name = save(page, "Download PNG")
    x = shown["layercam"]
    stage = x.stages[-2]
    assert name == f"picture_layercam_{stage}.png"
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    height, width, _ = alone.shape
    assert pixels.shape[0] > 2 * height + 120
    small = pixels[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean((1, 3))
    assert np.abs(small - alone).mean() < 3
    caption = pixels[2 * height :]
    assert (caption.max(axis=2) < 60).any() and caption[-10:].min() == 255, "black on white"
    assert (caption.max(axis=2) - caption.min(axis=2) > 80).sum() > 400, "a colour scale"
    (svg,) = page.evaluate("window.drawn")
    text = " ".join(texts_of(svg))
    name = payloads["scene"]["rows"][0]["panels"][1]["name"].replace("\N{NO-BREAK SPACE}", " ")
    for words in (
        f"Hierarchical LayerCAM · {name} ({stage})",
        f"Class: {x.label}",
        f"Network: {x.backbone.display_name}",
        "Method: LayerCAM (Jiang et al., TIP 2021)",
        "Overlay, opacity 70% where it is hot · Threshold 20% of the maximum · Colours magma",
        f" {x.raw[stage].max():.3g} ",
    ):
        assert words in text, words
    assert "0" in texts_of(svg)


def test_a_figure_of_the_row_is_an_svg_of_its_own(open_viewer, shown, payloads):
    page = open_viewer("&view=map&colors=gray")
    enlarge(page, 1)
    data, name = save(page, "SVG")
    assert name == "picture_layercam.svg"
    root = ElementTree.fromstring(data)
    assert root.tag == f"{SVG}svg" and root.find(f"{SVG}rect").get("fill") == "#fff"
    images = root.findall(f"{SVG}image")
    x = shown["layercam"]
    assert len(images) == len(x.stages) + 2
    source = images[1].get("href")
    assert source.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        heat = np.asarray(image.convert("L").resize((320, 240), Image.Resampling.BILINEAR))
    wanted = render.colorize(x.maps[x.stages[-2]], "gray")[..., 0].astype(int)
    assert np.abs(heat.astype(int) - wanted).mean() < 3
    text = " ".join(texts_of(data.decode()))
    for panel in payloads["scene"]["rows"][0]["panels"]:
        assert panel["name"].replace("\N{NO-BREAK SPACE}", " ") in text and panel["module"] in text
    assert f"Class: {x.label} · Network: {x.backbone.display_name} · Method: LayerCAM" in text
    assert "counts most" in text and "Map alone · No threshold · Colours gray" in text
    fills = {node.get("fill") for node in root.iter(f"{SVG}text")}
    assert fills <= {"#000", "#333"}
    right = [float(i.get("x")) + float(i.get("width")) for i in images]
    assert max(right) <= float(root.get("width"))
    shows = """svg => new Promise((done, fail) => { const image = new Image()
    image.onload = () => done(image.naturalWidth); image.onerror = fail
    image.src = URL.createObjectURL(new Blob([svg], {type: 'image/svg+xml'})) })"""
    assert page.evaluate(shows, data.decode()) == int(root.get("width"))


@pytest.mark.long
def test_names_of_any_kind_make_a_figure(open_viewer):
    page = open_viewer()
    show(page, "hostile")
    enlarge(page, 0)
    data, name = save(page, "SVG")
    assert ElementTree.fromstring(data).tag == f"{SVG}svg"
    assert not set(name) & set("<>'/ ") and page.evaluate("window.broken === undefined")


@pytest.mark.long
def test_a_figure_of_the_row_is_printed_on_a_page_of_its_size(open_viewer, shown):
    page = open_viewer()
    page.context.add_init_script("window.print = () => { window.printed = true }")
    enlarge(page, 0)
    with page.expect_popup() as waiting:
        page.locator(DIALOG).get_by_role("button", name="PDF", exact=True).click()
    figure = waiting.value
    figure.wait_for_selector("svg")
    figure.wait_for_function("window.printed === true")
    assert figure.title() == "picture_layercam"
    assert figure.locator("svg image").count() == len(shown["layercam"].stages) + 2
    data = figure.pdf(prefer_css_page_size=True, print_background=True)
    assert data.startswith(b"%PDF") and len(re.findall(rb"/Type /Page\b", data)) == 1
    size = re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data).groups()
    for points, side in zip(map(float, size), ("width", "height"), strict=True):
        pixels = float(figure.locator("svg").get_attribute(side))
        assert points == pytest.approx(0.75 * pixels, abs=1.5)
    assert b"/Font" in data, "its texts are texts"
    figure.close()


@pytest.mark.long
def test_a_browser_that_opens_no_window_is_told_of_the_svg(open_viewer):
    page = open_viewer()
    page.evaluate("window.open = () => null")
    dialog = enlarge(page, 0)
    dialog.get_by_role("button", name="PDF", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("save the SVG")
    assert page.locator(OPEN).count() == 18
