"""The page of a network without classes, in a browser."""

import shutil

import numpy as np
import pytest
from playwright.sync_api import expect
from timm.models import save_for_hf

from camviz import Engine, load_backbone, open_picture
from camviz.examples import example
from camviz.network.weights import build_untrained
from tests.support.pages import heading, open_tab, wait_for_link
from tests.support.server import LOG, served
from tests.support.viewers import canvas, download

pytestmark = pytest.mark.browser

COLORS = "#viewer [data-row=features]"


@pytest.fixture(scope="module")
def nameless(tmp_path_factory):
    """A folder in timm's own format: a network without a classifier."""
    folder = tmp_path_factory.mktemp("models") / "nameless"
    model = build_untrained("test_resnet", num_classes=0, zero_init_last=False)
    save_for_hf(model, str(folder), model_config={"num_classes": 0})
    return folder


@pytest.fixture(scope="module")
def server(nameless, tmp_path_factory):
    """In place of the package's: its own backbone has no classes."""
    if shutil.which("chromium") is None:
        pytest.skip("there is no chromium on this machine")
    folder = tmp_path_factory.mktemp("server")
    with served(folder, CAMVIZ_BACKBONE=f"local-dir:{nameless}") as url:
        yield url, folder / LOG


@pytest.fixture(scope="module")
def colors(nameless):
    """stage -> the features of the example as colours, uint8 (H, W, 3)."""
    engine, backbone = Engine("cpu"), load_backbone(f"local-dir:{nameless}", device="cpu")
    x = engine.explain(open_picture(example("two-boats").path), backbone)
    return {name: engine.components(x, name).colors for name in reversed(x.stages)}


@pytest.mark.long
def test_its_features_are_shown_as_maps_and_in_colours(open_page, colors):
    page = open_page(query="&example=two-boats&backbone=nameless")
    expect(page.locator("#bars")).to_contain_text("this network knows no classes")
    assert heading(page).inner_text().startswith("What stands out in this picture")
    assert page.locator(".cv-bar").count() == 0
    for menu in ("#target", "#versus", "#says p"):
        expect(page.locator(menu)).to_be_hidden()
    expect(page.locator(f"{COLORS} h3")).to_have_text("Features in colours")
    expect(page.locator(f"{COLORS} header")).to_contain_text("Colours have no meaning")
    expect(page.locator(f"{COLORS} figure")).to_have_count(4)
    expect(page.locator(f"{COLORS} header .vw-scale")).to_be_hidden()
    page.locator(f"{COLORS} .vw-open").first.click()
    dialog = page.locator("#viewer dialog")
    expect(dialog).to_contain_text("Red, green and blue are the first three principal components")
    expect(dialog.locator("[data-part=scale] i")).to_have_count(0)
    expect(dialog.locator("[data-part=reading]")).to_have_text("")
    expect(dialog.locator("[data-number=threshold]")).to_be_hidden()
    page.keyboard.press("Escape")
    page.locator("#viewer [data-row=layercam] .vw-open").first.click()
    expect(dialog.locator("[data-number=threshold]")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("#viewer label:has(input[value=map])").first.click()
    wait_for_link(page, view="map")
    for index, (name, wanted) in enumerate(colors.items()):
        page.locator(f"{COLORS} .vw-open").nth(index).click()
        pixels, file = download(page)
        assert file.endswith(f"_features_{name}_map.png")
        scale = wanted.shape[0] // pixels.shape[0] or 1
        assert pixels.shape == wanted[::scale, ::scale].shape
        if scale == 1:
            assert np.abs(pixels.astype(int) - wanted).max() <= 2
        page.keyboard.press("Escape")
    assert canvas(page, f"{COLORS} canvas").std(axis=(0, 1))[:3].min() > 5


@pytest.mark.long
def test_parts_has_similar_places_and_a_sentence_for_prototypes(open_page):
    page = open_page(query="&example=two-boats&backbone=nameless", width=390)
    open_tab(page, "Prototypes")
    expect(
        page.get_by_text("Prototypes are of a class, and this network knows none")
    ).to_be_visible()
    for part in ("#proto-tools", "#proto-map", "#gallery"):
        expect(page.locator(part)).to_be_hidden()
    expect(page.locator("#similar-here figure")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
