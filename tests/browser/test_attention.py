"""Transformers and slow methods on the page: DAAM or LayerCAM, the view Attention, and Stop."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.pages import (
    choose,
    fits_window,
    heading,
    open_tab,
    wait_for_link,
    wait_for_maps,
    wait_until_idle,
)

pytestmark = pytest.mark.browser

VIT = "&backbone=scenes-vit&example=a-ram"
SHEET = "#attention-viewer"
BLOCKS, HEADS = 6, 4  # of scenes-vit
# Seconds of Score-CAM, in which a visitor may stop it.
SLOW = "&backbone=scenes-resnet&example=a-ram&views=paper&stages=layer2,layer3,layer4"


@pytest.mark.long
def test_layercam_is_one_click_away_and_so_is_the_way_back(open_page):
    page = open_page(query=VIT)
    first = page.locator("#viewer [data-row=layercam]")
    expect(first.locator("h3")).to_have_text("Hierarchical DAAM")
    expect(first.locator("#why")).to_contain_text("This is DAAM and not LayerCAM because")
    other = first.locator("#other-method")
    expect(other).to_have_text("Show LayerCAM")
    other.focus()
    page.keyboard.press("Enter")
    expect(first.locator("h3")).to_have_text("Hierarchical LayerCAM")
    expect(other).to_have_text("Back to DAAM")
    expect(other).to_be_focused()
    expect(page.locator("#method input")).to_have_value(re.compile("^LayerCAM"))
    wait_for_link(page, method="layer_cam")
    other.click()
    expect(first.locator("h3")).to_have_text("Hierarchical DAAM")
    expect(page.locator("#method input")).to_have_value(re.compile("^Automatic"))
    wait_for_link(page, method=None)


@pytest.mark.long
def test_the_same_layer_stands_in_the_same_column(open_page):
    page = open_page(query=VIT)
    expect(page.locator("#viewer [data-row=denoised] .vw-panel canvas")).to_have_count(6)
    names = [
        page.locator(f"#viewer [data-row={row}] .vw-name b").all_inner_texts()
        for row in ("layercam", "denoised")
    ]
    assert names[0] == names[1] and names[0][0].startswith("Stage 4 of 4")
    expect(page.locator("#viewer [data-row=layercam] .vw-missing")).to_have_count(0)


@pytest.mark.sampled
@pytest.mark.parametrize("width", [1440, 390])
def test_every_head_of_every_block_is_shown(open_page, width):
    page = open_page(width, 900, query=f"{VIT}&tab=attention")
    wait_for_maps(page, SHEET, BLOCKS * (1 + HEADS))
    said = page.locator("#attention-heading")
    expect(said.locator("h2")).to_have_text("Where the class token reads, head by head")
    expect(said).to_contain_text("not what counts: it is the same for every class")
    shown = page.locator(f"{SHEET} .vw-panel:visible")
    expect(shown).to_have_count((1 + HEADS) * (BLOCKS if width > 1000 else 1))
    expect(page.locator(f"{SHEET} [data-part=ramp]")).to_contain_text("reads most")
    page.locator(f"{SHEET} .vw-open").first.hover()
    expect(page.locator(f"{SHEET} .vw-value").first).to_have_text(re.compile(r"^[\d.]+%$"))
    assert fits_window(page)


@pytest.mark.long
def test_a_network_without_attention_says_so(open_page):
    page = open_page(query="&backbone=scenes-resnet&example=a-ram")
    open_tab(page, "Attention")
    row = page.locator(f"{SHEET} .vw-row")
    expect(row.locator("h3")).to_have_text("Attention")
    expect(row).to_contain_text("nothing to show of scenes-resnet")
    expect(row).to_contain_text("choose a ViT")
    choose(page, "backbone", "scenes-vit", re.compile("^scenes-vit"))
    wait_for_maps(page, SHEET, BLOCKS * (1 + HEADS))


@pytest.mark.long
def test_a_slow_method_says_how_long_it_takes_and_can_be_stopped(open_page):
    page = open_page(query=SLOW)
    wait_until_idle(page)
    before = heading(page).inner_text()
    choose(page, "method", "Score", re.compile(r"^Score-CAM .* about \d+ s$"))
    waiting = page.locator("#progress")
    expect(waiting).to_contain_text(re.compile(r"Score-CAM takes about \d+ s"))
    waiting.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("alert")).to_contain_text("Stopped")
    expect(waiting.get_by_role("button")).to_have_count(0)
    expect(page.locator("#method input")).to_have_value(re.compile("^Automatic"))
    assert heading(page).inner_text() == before
    page.locator("#bars .cv-bar").nth(1).click()  # at once, for LayerCAM is what is shown again
    expect(heading(page)).to_contain_text("Where it would see")
    expect(page.locator("#viewer [data-row=layercam] h3")).to_have_text("Hierarchical LayerCAM")
