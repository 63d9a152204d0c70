"""The viewer in a real browser: its arithmetic against the engine's, and what a visitor does.

The page (viewer_page.py) holds two viewers with fixed explanations of a small untrained network.
"""

import base64
import io
import re
from dataclasses import replace
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect

from camviz.defaults import SPECK_AREA, SPECK_HEAT
from camviz.maps import localization, render
from camviz.maps.boxes import boxes_at
from camviz.maps.fusion import Placement
from camviz.ui.layers import layer_name
from camviz.ui.viewer import payload
from camviz.ui.viewer.source import inline
from tests.support.pages import press
from tests.support.viewers import (
    FIRST,
    HOSTILE,
    OPEN,
    PANEL,
    canvas,
    download,
    menu,
    pixels_of,
    readings,
    show,
    wait_until_drawn,
)

pytestmark = pytest.mark.browser


@pytest.fixture
def open_page(open_viewer):
    """open_page(query=...): a page of two viewers, drawn."""
    return open_viewer


# --- the arithmetic, without a page ---


@pytest.fixture(scope="module")
def script(chromium):
    """script(expression, argument): evaluated where the functions of maps.js are known."""
    page = chromium.new_page()
    page.add_script_tag(content=inline("viewer/maps.js"))
    yield page.evaluate
    page.close()


def upsample_all(script, value, row=0):
    """The maps of a row as the browser draws them at the picture's size, by panel."""
    source = """([value, row]) => value.rows[row].panels.map(panel => {
      const {width, height} = value.picture
      const view = {...panel.scene, width, height}
      return Array.from(upsample(bytesOf(panel.data), panel, view, width, height))
    })"""
    size = value.picture.height, value.picture.width
    heats = script(source, [value.to_json(), row])
    panels = value.rows[row].panels
    return {p.key: np.reshape(h, size) for p, h in zip(panels, heats, strict=True)}


def move_cells(x):
    """The same maps, as if their cells looked elsewhere."""
    return replace(
        x,
        placements={
            name: Placement(p.stride, (2.25 + 3 * i, -1.5 * i))
            for i, (name, p) in enumerate(x.placements.items())
        },
    )


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", ["stretch", "crop", "moved", "one cell", "wide", "small"])
def test_up_sampling_is_the_engines_own(script, explain, picture, case):
    x = {
        "stretch": lambda: explain("hires_cam"),
        "crop": lambda: explain(fit="crop"),
        "moved": lambda: move_cells(explain()),
        "wide": lambda: explain(pixels=picture[:20]),
        "small": lambda: explain(pixels=picture[::5, ::5]),
        "one cell": lambda: replace(
            explain(stages=["layer4"]), raw={"layer4": np.full((1, 1), 3, np.float32)}
        ),
    }[case]()
    heats = upsample_all(script, payload({"layercam": x}))
    assert list(heats)[: len(x.stages)] == list(reversed(x.stages))
    for name, heat in heats.items():
        exact = x.heat(name)
        assert exact.max() > 0.5
        assert np.abs(heat * x.visible - exact).max() <= 0.5 / 255 + 1e-5, name


def test_value_at_a_pixel_is_the_maps_own(script, explain):
    x = move_cells(explain())
    value = payload({"layercam": x})
    spots = [(0, 0), (319, 239), (57, 101), (200, 3)]
    values = script(
        """([value, spots]) => value.rows[0].panels.map(panel => spots.map(([x, y]) =>
             valueAt(bytesOf(panel.data), panel, {...value.picture, ...panel.scene}, x, y)))""",
        [value.to_json(), spots],
    )
    for panel, found in zip(value.rows[0].panels, values, strict=True):
        exact = x.heat(panel.key)
        wanted = [exact[row, column] for column, row in spots]
        assert np.abs(np.subtract(found, wanted)).max() <= 0.5 / 255 + 1e-5


@pytest.mark.sampled
@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_a_threshold_is_a_share_of_the_highest_pixel(script, explain, fit):
    x = move_cells(explain("hires_cam", fit=fit))
    value = payload({"layercam": x})
    found = script(
        """value => value.rows[0].panels.map(panel =>
             summitOf(bytesOf(panel.data), panel, {...value.picture, ...panel.scene}))""",
        value.to_json(),
    )
    heats = upsample_all(script, value)
    for (name, heat), summit in zip(heats.items(), found, strict=True):
        exact = x.heat(name)
        assert summit == pytest.approx((heat * x.visible).max(), abs=1e-6), "every pixel counts"
        assert summit == pytest.approx(exact.max(), abs=0.5 / 255)
    assert min(found) < 0.97, "a peak seldom falls on a pixel"


@pytest.mark.sampled(2)
@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_boxes_are_the_engines_own(script, seed, multi):
    noise = torch.from_numpy(np.random.default_rng(seed).random((1, 1, 9, 11), np.float32))
    heat = torch.nn.functional.interpolate(noise, size=(60, 80), mode="bilinear")[0, 0].numpy()
    heat = heat / heat.max()
    if seed == 3:
        heat[heat < 0.97] = 0  # specks that touch by a corner at most
    cut = [0.5, 0.7, 0.9, 0.2][seed]
    specks = {"area": SPECK_AREA, "heat": SPECK_HEAT}
    parts = script(
        "([heat, cut, specks]) => partsOf(Float32Array.from(heat), 80, 60, cut, specks)",
        [heat.ravel().tolist(), float(np.float32(cut)), specks if multi else None],
    )
    wanted = boxes_at(heat, float(np.float32(cut)), multi=multi)
    assert multi or len(wanted) > 1
    assert [(p["x0"], p["y0"], p["x1"], p["y1"]) for p in parts] == [b.xyxy for b in wanted]
    assert [p["pixels"] / heat.size for p in parts] == [b.area_fraction for b in wanted]


def test_pixels_that_touch_by_a_corner_belong_together(script):
    heat = np.zeros((4, 5))
    heat[0, 0] = heat[1, 1] = heat[2, 0] = heat[3, 4] = 1
    find = "heat => partsOf(Float32Array.from(heat), 5, 4, 0.2).map(p => p.pixels)"
    assert script(find, heat.ravel().tolist()) == [3, 1]
    assert script(find, [0.0] * 20) == []


@pytest.mark.sampled(2)
@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.5, 0.95, 1])
def test_agreement_is_localizations_own(script, threshold):
    random = np.random.default_rng(1)
    heat = random.random((30, 40)).astype(np.float32)
    heat *= np.float32(0.9) / heat.max()
    heat[:5] = np.float32(0.9 * threshold)
    truth = random.random(heat.shape) < 0.3
    table = script(
        "([heat, mask]) => Array.from(iouTable(Float32Array.from(heat), mask, 0.9))",
        [heat.ravel().tolist(), truth.ravel().astype(int).tolist()],
    )
    wanted = localization.iou_at(heat, truth, threshold)
    assert table[round(1000 * threshold)] == pytest.approx(wanted, abs=1e-9)


def test_contours_stand_where_the_value_is_met(script):
    rows, columns = np.mgrid[0:40, 0:50]
    heat = 1 - np.hypot(rows - 18, columns - 25) / 30  # a cone: its contours are circles
    lines = script(
        """heat => {
          const lines = []
          contour(Float32Array.from(heat), 50, 40, 0.6, (...line) => lines.push(line))
          return lines
        }""",
        heat.ravel().tolist(),
    )
    ends = np.reshape(lines, (-1, 2)) - (25.5, 18.5)
    assert np.abs(np.hypot(*ends.T) - 12).max() < 0.1
    length = np.linalg.norm(np.diff(np.reshape(lines, (-1, 2, 2)), axis=1), axis=2).sum()
    assert length == pytest.approx(2 * np.pi * 12, rel=0.01)


def test_contours_of_a_saddle_do_not_cross(script):
    count = "heat => { let n = 0; contour(heat, 2, 2, 0.5, () => n++); return n }"
    assert script(count, [1, 0, 0, 1]) == 2 and script(count, [0, 1, 1, 0]) == 2
    assert script(count, [1, 1, 0, 0]) == 1 and script(count, [1, 1, 1, 1]) == 0


# --- what is drawn ---


def test_the_page_opens_with_all_maps(open_page, shown):
    page = open_page()
    assert page.locator(f"{FIRST} .vw-row").count() == 3
    assert page.locator(f"{FIRST} h3:visible").all_inner_texts() == [
        "Hierarchical LayerCAM",
        "Denoised shallow maps",
        "Prototype similarity",
    ]
    x = shown["layercam"]
    names = page.locator(f"{PANEL} .vw-name b").all_inner_texts()
    stages = [layer_name(x.backbone, name, x.notes[name].grid) for name in reversed(x.stages)]
    assert names == 3 * [*stages, "Fused", "Refined"] and stages[0].startswith("Stage 4 of 4, ")
    modules = page.locator(f"{PANEL} .vw-module").all_inner_texts()
    assert modules == 3 * [*reversed(x.stages)]
    assert len(set(pixels_of(page))) >= 10, "maps differ"
    tops = page.locator(PANEL).evaluate_all("all => all.map(f => f.getBoundingClientRect().top)")
    assert len(set(tops)) == 3, "a row is a line"
    assert page.locator(f"{FIRST} .vw-row .vw-scale").count() == 3


def test_a_download_shows_what_the_engine_would(open_page, shown, picture):
    page = open_page("&view=map&colors=gray")
    page.locator(OPEN).nth(1).click()
    pixels, file = download(page)
    x = shown["layercam"]
    stage = x.stages[-2]
    assert file == f"picture_layercam_{stage}_map.png" and pixels.shape == picture.shape
    wanted = render.colorize(x.maps[stage], "gray").astype(int)
    assert np.abs(pixels - wanted).max() <= 1
    page.keyboard.press("Escape")
    page.get_by_label("Colours").first.select_option("viridis")
    page.locator(OPEN).nth(1).click()
    pixels, _ = download(page)
    step = np.abs(np.diff(render.color_table("viridis").astype(int), axis=0)).max()
    assert np.abs(pixels - render.colorize(x.maps[stage]).astype(int)).max() <= step


def test_an_overlay_is_the_engines_overlay(open_page, payloads, shown):
    page = open_page("&blend=even")
    page.locator(OPEN).nth(0).click()
    pixels, _ = download(page)
    x = shown["layercam"]
    source = payloads["scene"]["picture"]["src"].partition(",")[2]
    sent = np.asarray(Image.open(io.BytesIO(base64.b64decode(source))).convert("RGB"))
    wanted = render.overlay(sent, x.maps[x.stages[-1]], opacity=0.7).astype(int)
    assert np.abs(pixels - wanted).max() <= 8  # decoders of WebP differ by a few levels
    assert np.abs(pixels - wanted).mean() < 1.5


@pytest.mark.parametrize(
    ("setting", "fades"), [("", True), ("&blend=even", False), ("&view=map", False)]
)
def test_the_legend_fades_as_the_overlay_does(open_page, setting, fades):
    page = open_page(setting)
    legend = page.locator(f"{FIRST} .vw-row .vw-scale").first
    expect(legend).to_have_attribute("aria-label", re.compile("from counts little to counts most"))
    bar = legend.locator("i").evaluate("one => one.style.backgroundImage")
    assert ("transparent 100%" in bar) == fades


def test_what_was_not_shown_is_hatched(open_page, payloads):
    page = open_page()
    show(page, "crop")
    expect(page.locator(f"{FIRST} .vw-foot")).to_contain_text("Outside the crop")
    page.locator(OPEN).nth(0).click()
    pixels, _ = download(page)
    x0, _, x1, _ = payloads["crop"]["rows"][0]["panels"][0]["scene"]["rect"]
    outside = np.ones(pixels.shape[1], bool)
    outside[round(x0) : round(x1)] = False
    grey = (pixels.max(axis=2) == pixels.min(axis=2)).all(axis=0)
    assert outside.any() and np.array_equal(grey, outside)


def test_an_empty_map_shows_the_picture_and_says_so(open_page):
    page = open_page()
    show(page, "empty")
    expect(page.locator(f"{PANEL}.vw-nothing")).to_have_count(6)
    expect(page.locator(PANEL).first).to_contain_text("Empty")
    page.locator(OPEN).first.hover()
    assert readings(page)[0] == (0, 0)
    page.locator(OPEN).first.click()
    expect(page.locator(f"{FIRST} dialog")).to_contain_text("Empty")


# --- knobs: pixels change, and nothing is requested ---


KNOBS = {
    "opacity": lambda p: p.get_by_label("Opacity").first.press("ArrowRight"),
    "threshold": lambda p: p.get_by_label("Threshold").first.fill("0.4"),
    "colours": lambda p: p.get_by_label("Colours").first.select_option("cividis"),
    "map": lambda p: p.locator(f"{FIRST} [value=map]").check(force=True),
    "picture": lambda p: p.locator(f"{FIRST} [value=picture]").check(force=True),
    "blend": lambda p: menu(p).get_by_label("The same everywhere").check(),
    "scale": lambda p: menu(p).get_by_label("One for all maps").check(),
    "contours": lambda p: menu(p).get_by_label("Contour at the threshold").check(),
    "largest box": lambda p: menu(p).get_by_label("Largest").check(),
    "boxes": lambda p: menu(p).get_by_label("All but tiny ones").check(),
    "signed": lambda p: menu(p).get_by_label("For and against").check(),
    "outline": lambda p: menu(p).get_by_label("True outline").select_option("box"),
}


def test_every_knob_changes_pixels_and_requests_nothing(open_page):
    page = open_page()
    wait_until_drawn(page)
    urls = []
    page.on("request", lambda request: urls.append(request.url))
    for name, turn in KNOBS.items():
        before = pixels_of(page)
        turn(page)
        wait_until_drawn(page)
        changed = sum(a != b for a, b in zip(before, pixels_of(page), strict=True))
        assert changed >= 4, f"{name}: nothing was drawn anew"
        if not page.locator(f"{FIRST} .vw-menu").is_visible():
            menu(page)
        page.get_by_role("button", name="Back to the defaults").first.click()
        page.locator(f"{FIRST} summary").click()
        wait_until_drawn(page)
    assert [url for url in urls if not url.startswith("data:")] == []


def test_a_threshold_uncovers_the_picture(open_page, shown):
    page = open_page("&view=map&threshold=0.5")
    page.locator(OPEN).nth(0).click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Map only").click()
    with Image.open(waiting.value.path()) as image:
        covered = np.asarray(image)[..., 3] > 0
    x = shown["layercam"]
    heat = x.maps[x.stages[-1]]
    certain = np.abs(heat - 0.5 * heat.max()) > 1 / 255
    assert np.array_equal(covered[certain], x.mask(0.5, stage=x.stages[-1])[certain])


def test_one_scale_is_that_of_the_largest(open_page, shown):
    """On one scale, a map that is a hundredth of another in true units is nearly dark."""
    page = open_page("&view=map&colors=gray&scale=same")
    peaks = {name: raw.max() for name, raw in shown["layercam"].raw.items()}
    for index, name in enumerate(reversed(shown["layercam"].stages)):
        brightest = canvas(page, index=index)[..., 0].max() / 255
        assert brightest == pytest.approx(peaks[name] / max(peaks.values()), abs=0.03)
    for index in (len(peaks), len(peaks) + 1):
        assert canvas(page, index=index)[..., 0].max() > 240, "what is of all maps has no unit"


def test_signed_maps_have_both_colours(open_page, shown):
    page = open_page("&view=map&signed=1")
    x = shown["prototypes"]
    for offset, name in enumerate(reversed(x.stages)):
        page.locator(OPEN).nth(12 + offset).click()
        pixels, _ = download(page)
        wanted = render.colorize(x.signed(name) / 2 + 0.5, render.DIVERGING).astype(int)
        assert np.abs(pixels - wanted).mean() < 2 and np.abs(pixels - wanted).max() < 30
        page.keyboard.press("Escape")
    rows = page.locator(f"{FIRST} .vw-row")
    expect(rows.nth(2)).to_contain_text("against")
    expect(rows.first).not_to_contain_text("against")  # LayerCAM has nothing below zero
    signed = canvas(page)
    menu(page).get_by_label("For and against").uncheck()
    expect(rows.nth(2)).not_to_contain_text("against")
    assert np.array_equal(canvas(page), signed)


def test_boxes_are_listed_in_pixels_of_the_picture(open_page, shown):
    page = open_page("&boxes=all&threshold=0.4")
    x = shown["layercam"]
    index = len(x.stages)
    page.locator(OPEN).nth(index).click()
    text = page.locator(f"{FIRST} [data-part=found]").inner_text()
    assert text.startswith("Boxes at 40%")
    found = [[int(n) for n in box.split(", ")] for box in re.findall(r"\d+(?:, \d+){3}", text)]
    wanted = [box.xyxy for box in x.boxes(0.4, multi=True)][:4]
    assert len(found) == len(wanted) > 0
    assert np.abs(np.subtract(found, wanted)).max() <= 1


def test_iou_with_the_truth(open_page, shown, truth):
    page = open_page("&outline=box&threshold=0.3")
    for row, x in enumerate(shown.values()):
        for column, name in enumerate([*reversed(x.stages), "fused", "refined"]):
            line = page.locator(f"{PANEL} .vw-iou").nth(6 * row + column)
            expect(line).to_contain_text(re.compile(r"IoU \d\.\d\d at 30%"))
            expect(line).to_have_attribute("title", re.compile(r"with the outline: box$"))
            wanted = localization.iou_at(x.heat(name), truth, 0.3)
            assert float(line.get_attribute("data-iou")) == pytest.approx(wanted, abs=0.005)


# --- the crosshair ---


def test_crosshair_reads_every_map_at_one_pixel(open_page, shown, picture):
    page = open_page()
    page.locator(OPEN).nth(7).hover(position={"x": 61, "y": 47})
    text = page.locator(f"{FIRST} [data-part=where]").inner_text()
    column, row = map(int, re.fullmatch(r"Column (\d+), row (\d+)", text).groups())
    assert 0 < column < picture.shape[1] and 0 < row < picture.shape[0]
    values = iter(readings(page))
    for x in shown.values():
        for name in [*reversed(x.stages), "fused", "refined"]:
            share, raw = next(values)
            exact = x.heat(name)[row, column]
            peak = x.raw[name].max() if name in x.stages else 1
            assert share == pytest.approx(exact, abs=1 / 255)
            assert raw == pytest.approx(exact * peak, abs=float(peak) / 255)
    crosses = page.locator(f"{PANEL} .vw-down:visible").evaluate_all(
        "all => all.map(line => line.offsetLeft / line.parentElement.clientWidth)"
    )
    assert next(values, None) is None and len(crosses) == 18 and max(crosses) - min(crosses) < 0.02
    assert crosses[0] == pytest.approx((column + 0.5) / picture.shape[1], abs=0.02)


def test_crosshair_reads_signs(open_page, shown):
    page = open_page("&signed=1")
    x = shown["prototypes"]
    stage = x.stages[-1]
    row, column = np.unravel_index(x.signed(stage).argmin(), x.picture.pixels.shape[:2])
    canvas_box = page.locator(OPEN).nth(12).bounding_box()
    scale = canvas_box["width"] / x.picture.width
    page.locator(OPEN).nth(12).hover(
        position={"x": (column + 0.5) * scale, "y": (row + 0.5) * scale}
    )
    text = page.locator(f"{FIRST} [data-part=where]").inner_text()
    column, row = map(int, re.findall(r"\d+", text))
    largest = np.abs(x.raw[stage]).max()
    share, raw = readings(page)[12]
    assert raw < 0 and share == pytest.approx(x.signed(stage)[row, column], abs=1 / 255)
    assert raw == pytest.approx(share * largest, rel=1e-4)
    assert "−" in page.locator(f"{PANEL} .vw-value").nth(12).inner_text()


def test_outside_the_crop_nothing_is_read(open_page):
    page = open_page()
    show(page, "crop")
    page.locator(OPEN).first.hover(position={"x": 2, "y": 50})
    expect(page.locator(f"{PANEL} .vw-value").first).to_have_text("not seen")


# --- by keyboard ---


def test_everything_by_keyboard(open_page):
    page = open_page()
    page.locator(f"{FIRST} [value=overlay]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.value") == "map"
    order = []
    for _ in range(6):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.closest('label, details')?.innerText"))
    assert [str(text).split("\n")[0] for text in order[:4]] == [
        "Opacity",
        "Threshold",
        "Colours",
        "View",
    ]
    focused = "document.activeElement.closest('[data-id]')?.dataset.id"
    assert page.evaluate(focused) == page.locator(PANEL).nth(1).get_attribute("data-id")
    ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert ring == "solid"

    page.keyboard.press("Home")
    assert readings(page)[1][0] > 0.97, "Home goes to the maximum"
    where = page.locator(f"{FIRST} [data-part=where]")
    before = where.inner_text()
    page.keyboard.press("Shift+ArrowLeft")
    (x0, y0), (x1, y1) = (map(int, re.findall(r"\d+", t)) for t in (before, where.inner_text()))
    assert (x0 - x1, y0 - y1) == (1, 0)
    page.keyboard.press("ArrowDown")
    assert int(re.findall(r"\d+", where.inner_text())[1]) == y1 + 3
    live = page.locator(f"{FIRST} [data-part=live]")
    expect(live).to_contain_text(re.compile(r"Column \d+, row \d+: \S+ \d+"))

    page.keyboard.press("Enter")
    dialog = page.locator(f"{FIRST} dialog")
    expect(dialog).to_be_visible()
    inside = "document.activeElement.closest('dialog') !== null"
    assert page.evaluate(inside)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert page.evaluate(focused) == page.locator(PANEL).nth(1).get_attribute("data-id")
    page.keyboard.press("Escape")
    assert readings(page)[0] is None, "Escape takes the crosshair away"


def test_view_menu_by_keyboard(open_page):
    page = open_page()
    summary = page.locator(f"{FIRST} summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.value") == "heat"
    page.keyboard.press("Escape")
    expect(page.locator(f"{FIRST} .vw-menu")).to_be_hidden()
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    summary.click()
    page.locator(f"{FIRST} h3").first.click()
    expect(page.locator(f"{FIRST} .vw-menu")).to_be_hidden()


def test_everything_has_a_name(open_page):
    page = open_page()
    names = page.locator(OPEN).evaluate_all("all => all.map(b => b.getAttribute('aria-label'))")
    meaning = r"(Where .+ found evidence for .+|The fused map for .+ spread to what looks alike)"
    assert all(re.match(rf"{meaning}: strongest at the ", name) for name in names)
    menu(page)
    nameless = page.locator(f"{FIRST} :is(input, select, button):visible").evaluate_all(
        "all => all.filter(e => !(e.ariaLabel || e.labels?.length || e.innerText.trim())).length"
    )
    assert nameless == 0


# --- one panel, large ---


def test_a_panel_enlarged(open_page, shown):
    page = open_page()
    page.locator(OPEN).nth(4).click()
    dialog = page.locator(f"{FIRST} dialog")
    expect(dialog.locator("h3")).to_have_text("Fused")
    expect(dialog.locator(".vw-formula")).to_have_text("F = m − min m, m = (n1 + … + nL) / L")
    expect(dialog.locator(".vw-formula sub")).to_have_text(["1", "L"])
    expect(dialog).to_contain_text("What the layers say on average, each from its lowest value")
    dialog.get_by_label("Next map").click()
    expect(dialog.locator("h3")).to_have_text("Refined")
    expect(dialog).to_contain_text("Spread to what looks alike to the network")
    expect(dialog.locator(".vw-formula sub").first).to_have_text("ij")
    expect(dialog.locator(".vw-formula sup")).to_have_text(["p", "t", "k"])
    dialog.get_by_label("Next map").click()
    stage = shown["denoised"].stages[-1]
    expect(dialog.locator("h3")).to_contain_text(stage)
    expect(dialog.locator(".vw-formula")).to_have_text("M = Σk meanhw(gk) · Ak")
    for sentence in shown["denoised"].notes[stage].sentences:
        expect(dialog).to_contain_text(sentence)
    expect(dialog.locator(".vw-scale")).to_have_attribute("aria-label", re.compile("0 to [0-9.]+"))
    dialog.get_by_label("Map before").click()
    expect(dialog.locator("h3")).to_have_text("Refined")
    dialog.get_by_label("Close").click()
    expect(dialog).to_be_hidden()


# --- new values ---


def test_settings_and_crosshair_survive_a_new_value(open_page):
    page = open_page("&threshold=0.3&colors=magma")
    page.locator(OPEN).nth(2).hover(position={"x": 40, "y": 40})
    where = page.locator(f"{FIRST} [data-part=where]").inner_text()
    for name in ("other", "scene", "other", "scene", "other"):
        show(page, name)
        title = "It cannot be had." if name == "other" else "Prototype similarity"
        expect(page.locator(f"{FIRST} .vw-rows")).to_contain_text(title)
    assert page.locator(f"{FIRST} [data-part=where]").inner_text() == where
    expect(page.get_by_label("Colours").first).to_have_value("magma")
    assert all(readings(page))
    wait_until_drawn(page)
    draws = page.evaluate(f"document.querySelector('{FIRST}').stats.draws")
    page.get_by_label("Threshold").first.press("ArrowRight")
    wait_until_drawn(page)
    assert page.evaluate(f"document.querySelector('{FIRST}').stats.draws") == draws + 1


def test_values_of_every_kind(open_page):
    page = open_page()
    for name in ("sentences", "wide", "tall", "nothing", "crop", "scene"):
        show(page, name)
        rows = page.locator(f"{FIRST} .vw-row")
        expect(rows).to_have_count({"sentences": 2, "nothing": 0, "scene": 3}.get(name, 1))
        waits = page.locator(f"{FIRST} .vw-wait")
        expect(waits).to_be_visible() if name == "nothing" else expect(waits).to_be_hidden()
        knobs = page.locator(f"{FIRST} .vw-tools")
        nothing = name in ("sentences", "nothing")
        expect(knobs).to_be_hidden() if nothing else expect(knobs).to_be_visible()
        if name in ("wide", "tall"):
            box = page.locator(OPEN).first.bounding_box()
            shape = {"wide": 320 / 20, "tall": 20 / 240}[name]
            assert box["width"] / box["height"] == pytest.approx(shape, rel=0.05)
            page.locator(OPEN).last.click(position={"x": 3, "y": 3})
            expect(page.locator(f"{FIRST} dialog canvas")).to_be_visible()
            page.keyboard.press("Escape")


def test_an_enlarged_panel_follows_a_new_value(open_page):
    page = open_page()
    page.locator(OPEN).nth(0).click()
    before = pixels_of(page, f"{FIRST} dialog canvas")
    show(page, "other")
    expect(page.locator(f"{FIRST} dialog [data-part=from]")).to_contain_text("Grad-CAM++")
    assert pixels_of(page, f"{FIRST} dialog canvas") != before
    show(page, "sentences")
    expect(page.locator(f"{FIRST} dialog")).to_be_hidden()


def test_names_from_checkpoints_are_text(open_page):
    page = open_page()
    show(page, "hostile")
    expect(page.locator(f"{FIRST} .vw-row")).to_have_count(4)
    page.locator(f"{FIRST} summary").click()
    page.locator(f"{FIRST} [data-part=outline]").select_option(HOSTILE)
    page.locator(f"{FIRST} summary").click()
    page.locator(OPEN).first.click()
    expect(page.locator(f"{FIRST} dialog h3")).to_contain_text(HOSTILE)
    wait_until_drawn(page)
    assert page.evaluate("window.broken === undefined")
    assert page.locator(f"{FIRST} img").count() == 0
    _, file = download(page)
    assert not set(file) & set("<>'/ ")


def test_two_viewers_do_not_disturb_each_other(open_page):
    page = open_page()
    wait_until_drawn(page)
    other = pixels_of(page, "#second .vw-panel canvas")
    page.get_by_label("Colours").first.select_option("inferno")
    page.locator(OPEN).first.hover()
    wait_until_drawn(page)
    assert pixels_of(page, "#second .vw-panel canvas") == other
    assert page.locator("#second .vw-down:visible").count() == 0
    first, address = pixels_of(page), page.url
    page.locator("#second [value=map]").check(force=True)
    wait_until_drawn(page)
    assert pixels_of(page) == first and page.url == address
    assert pixels_of(page, "#second .vw-panel canvas") != other
    expect(page.locator(f"{FIRST} [value=overlay]")).to_be_checked()


def test_an_element_that_leaves_the_page_is_done_with_it(open_page):
    """Its listeners and observers go with it, and come back with it."""
    page = open_page()
    wait_until_drawn(page)
    page.locator(f"{FIRST} summary").click()
    leave = """() => {
      window.viewer = document.querySelector('#first map-viewer')
      window.home = viewer.parentElement
      const {disconnect} = ResizeObserver.prototype
      let observers = 0
      ResizeObserver.prototype.disconnect = function () { observers += 1; disconnect.call(this) }
      viewer.remove()
      ResizeObserver.prototype.disconnect = disconnect
      history.replaceState(null, '', '?x=1')
      document.dispatchEvent(new Event('viewer-publish'))
      document.body.dispatchEvent(new PointerEvent('pointerdown', {bubbles: true}))
      return [observers, viewer.querySelector('details').open, location.search, viewer.stats.draws]
    }"""
    observers, menu_open, address, draws = page.evaluate(leave)
    assert observers == 1 and menu_open and address == "?x=1"
    page.set_viewport_size({"width": 1000, "height": 900})
    wait_until_drawn(page)
    assert page.evaluate("viewer.stats.draws") == draws
    page.evaluate("home.append(viewer)")
    wait_until_drawn(page)
    assert page.evaluate("viewer.stats.draws") > draws, "it is drawn for the width there is now"
    page.evaluate("document.dispatchEvent(new Event('viewer-publish'))")
    assert query(page) == {"x": "1", "backbone": "tiny", "class": "3"}
    page.locator("#which").dispatch_event("pointerdown")
    expect(page.locator(f"{FIRST} .vw-menu")).to_be_hidden()
    page.locator(OPEN).first.click()
    expect(page.locator(f"{FIRST} dialog")).to_be_visible()
    page.locator(f"{FIRST} dialog").get_by_label("Next map").click()
    titles = page.locator(f"{PANEL} .vw-name b").all_inner_texts()
    expect(page.locator(f"{FIRST} dialog h3")).to_contain_text(titles[1])  # one step for one click


# --- the address bar ---


def query(page):
    return {k: v[0] for k, v in parse_qs(urlparse(page.url).query).items()}


def test_the_address_bar_reopens_the_view(open_page):
    page = open_page("&keep=me")
    wait_until_drawn(page)
    assert query(page) == {"__theme": "light", "keep": "me", "backbone": "tiny", "class": "3"}
    page.get_by_label("Threshold").first.fill("0.35")
    page.get_by_label("Opacity").first.fill("0.8")
    page.get_by_label("Colours").first.select_option("inferno")
    view = menu(page)
    view.get_by_label("One for all maps").check()
    view.get_by_label("Largest").check()
    view.get_by_label("Contour at the threshold").check()
    view.get_by_label("For and against").check()
    view.get_by_label("True outline").select_option("box")
    page.locator(f"{FIRST} [value=map]").check(force=True)
    wait_until_drawn(page)
    settings = {
        "threshold": "0.35",
        "opacity": "0.8",
        "colors": "inferno",
        "scale": "same",
        "boxes": "largest",
        "contours": "1",
        "signed": "1",
        "outline": "box",
        "view": "map",
    }
    assert query(page).items() >= settings.items()
    with_outline = "document.querySelector('#first .vw-iou')?.dataset.iou !== undefined"
    page.wait_for_function(with_outline)  # it is decoded first
    wait_until_drawn(page)
    pictures = pixels_of(page)
    again = open_page("&" + urlparse(page.url).query)
    wait_until_drawn(again)
    again.wait_for_function(with_outline)
    wait_until_drawn(again)
    assert pixels_of(again) == pictures
    assert query(again) == query(page)

    menu(again).get_by_role("button", name="Back to the defaults").click()
    wait_until_drawn(again)
    assert not query(again).keys() & settings.keys()


def test_a_new_value_brings_the_servers_part(open_page):
    page = open_page("&colors=magma")
    wait_until_drawn(page)
    show(page, "other")
    expect(page.locator(f"{FIRST} .vw-rows")).to_contain_text("It cannot be had.")
    wait_until_drawn(page)
    assert query(page) == {"__theme": "light", "colors": "magma", "method": "grad_cam_pp"}


def test_nonsense_in_a_link_is_ignored(open_page):
    page = open_page(
        "&threshold=9&opacity=x&colors=rainbow&view=1&boxes=%3Cb%3E&row=none&outline=no"
    )
    wait_until_drawn(page)
    assert page.get_by_label("Colours").first.input_value() == "viridis"
    assert not query(page).keys() & {"threshold", "opacity", "colors", "view", "boxes"}
    assert pixels_of(page) == pixels_of(open_page())


# --- on a phone, in the dark ---


@pytest.mark.sampled
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_phone(open_page, theme):
    page = open_page(width=390, height=844, theme=theme)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    rows = page.locator(f"{FIRST} .vw-row")
    assert [rows.nth(i).is_visible() for i in range(3)] == [True, False, False]
    tabs = page.locator(f"{FIRST} [role=tab]")
    tabs.nth(1).click()
    assert [rows.nth(i).is_visible() for i in range(3)] == [False, True, False]
    expect(tabs.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowRight")
    expect(rows.nth(2)).to_be_visible()
    expect(tabs.nth(2)).to_be_focused()
    wait_until_drawn(page)
    assert query(page)["row"] == "prototypes"
    beyond = "all => all.filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).length"
    menu(page)
    assert (
        page.locator(f"{FIRST} :is(button, input, select, p, h3):visible").evaluate_all(beyond) == 0
    )
    page.locator(f"{FIRST} summary").click()
    page.locator(OPEN).nth(14).click()
    expect(page.locator(f"{FIRST} dialog")).to_be_visible()
    inside = "all => all.filter(e => e.getBoundingClientRect().right > innerWidth).length"
    assert page.locator(f"{FIRST} dialog :is(button, p, h3, canvas)").evaluate_all(inside) == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_wider_window_shows_all_rows_again(open_page):
    page = open_page(width=390)
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(page.locator(f"{FIRST} .vw-row").nth(2)).to_be_visible()
    expect(page.locator(f"{FIRST} [role=tablist]")).to_be_hidden()
    wait_until_drawn(page)
    blank = "all => all.filter(c => c.width < 100).length"
    assert page.locator(f"{PANEL} canvas").evaluate_all(blank) == 0
    names = page.locator(f"{PANEL} .vw-name b")
    wide = open_page(width=1280).locator(f"{PANEL} .vw-name b")
    assert names.all_inner_texts() == wide.all_inner_texts(), "the fused map stands behind again"


def test_a_click_outlasts_a_change_of_size(open_page, shown):
    page = open_page()
    fused = len(shown["layercam"].stages)
    before = page.locator(PANEL).first.evaluate("e => getComputedStyle(e).width")
    press(page, page.locator(OPEN).nth(fused))
    page.locator(FIRST).evaluate("e => { e.style.width = `${e.clientWidth - 6}px` }")
    expect(page.locator(PANEL).first).not_to_have_css("width", before)
    wait_until_drawn(page)
    page.mouse.up()
    expect(page.locator(f"{FIRST} dialog")).to_be_visible()


def test_the_dark_theme_is_dark(open_page):
    def light(theme):
        page = open_page(theme=theme)
        color = page.locator(f"{FIRST} h3").first.evaluate("e => getComputedStyle(e).color")
        return sum(map(int, re.findall(r"\d+", color)[:3]))

    assert light("dark") > 500 > 300 > light("light")
