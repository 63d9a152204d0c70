"""The tabs Methods x stages and Models, as a visitor uses them."""

import re

import pytest
from playwright.sync_api import expect

from camviz.methods import METHODS as ALL
from camviz.ui.tabs.methods import COLUMNS
from tests.support.pages import fits_window, open_tab, tick_of, wait_for_maps

pytestmark = pytest.mark.browser

METHODS, MODELS = "#methods-viewer", "#models-viewer"
SCENE = "&backbone=scenes-resnet&example=a-ram"


THERE = [row for row in ALL.values() if not row.uses_attention]  # of a convolutional network
# Rows of methods that take passes of their own: whether they are shown depends on the machine.
SCORED = [name for name, row in ALL.items() if row.scoring is not None]
CERTAIN = METHODS + " [data-row]" + "".join(f":not([data-row={name}])" for name in SCORED)


def count_maps(stages):
    """CAM has one stage; the others, and what LayerCAM leaves out, have all and the fusions shown.

    And each has a refined map, but for what LayerCAM leaves out. The features in colours have all
    stages.
    """
    rows = len(THERE) - len(SCORED)
    return rows * (stages + len(COLUMNS)) + 1 + rows + stages


def wait_for_matrix(page, stages):
    expect(page.locator(f"{CERTAIN} .vw-panel canvas")).to_have_count(count_maps(stages))
    page.wait_for_function(
        "css => document.querySelector(css)?.stats?.draws > 0", arg=f"{METHODS} .vw"
    )


# -- Methods x stages ----------------------------------------------------------------------------


def test_the_whole_matrix_is_there(open_page):
    page = open_page(query=SCENE)
    open_tab(page, "Methods × stages")
    wait_for_matrix(page, 4)
    expect(page.locator("#methods-heading h2")).to_have_text("Where each method looks for ram")
    heads = page.locator(f"{METHODS} .vw-heads b").all_inner_texts()
    stages = [f"Stage {i} of 4, {n}\u00a0×\u00a0{n}" for i, n in ((4, 4), (3, 8), (2, 16), (1, 32))]
    assert heads == [*stages, "Stretched", "Geometric", "Maximum", "Refined"]
    modules = page.locator(f"{METHODS} .vw-heads span").all_inner_texts()
    assert modules == ["layer4", "layer3", "layer2", "layer1"]
    titles = page.locator(f"{METHODS} h3:visible").all_inner_texts()
    assert titles[:2] == ["LayerCAM", "LayerCAM, against"]
    assert [titles[0], *titles[2:-1]] == [row.label for row in THERE]
    assert titles[-1] == "Features in colours"
    lefts = {
        page.locator(f"{METHODS} [data-id='{row}/layer4']").bounding_box()["x"]
        for row in ("layer_cam", "cam", "lpcam")
    }
    assert len(lefts) == 1, "the same stage stands in the same column"
    assert fits_window(page)


@pytest.mark.long
def test_papers_setting_and_default_are_marked(open_page):
    page = open_page(query=SCENE)
    open_tab(page, "Methods × stages")
    marked = page.locator(f"{CERTAIN} .vw-badge[data-mark=paper]")
    expect(marked).to_have_count(8)
    assert marked.first.evaluate("e => e.closest('[data-id]').dataset.id") == "layer_cam/max_tanh"
    default = page.locator(f"{METHODS} .vw-badge[data-mark=default]")
    assert default.evaluate("e => e.closest('[data-id]').dataset.id") == "layer_cam/stretched_mean"
    assert "LayerCAM, TIP 2021" in marked.first.get_attribute("title")


@pytest.mark.long
def test_a_cell_is_enlarged_by_keyboard(open_page):
    page = open_page(query=SCENE)
    open_tab(page, "Methods × stages")
    cell = page.locator(f"{METHODS} [data-id='grad_cam/max_tanh'] .vw-open")
    cell.focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    dialog = page.locator(f"{METHODS} dialog")
    expect(dialog.locator("h3")).to_have_text("Maximum")
    expect(dialog.locator("[data-part=from]")).to_have_text(
        "Grad-CAM (Selvaraju et al., ICCV 2017)"
    )
    expect(dialog.locator("[data-part=reading]")).to_have_text(re.compile(r": \d+%$"))
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


@pytest.mark.long
def test_it_follows_what_is_asked_on_the_left(open_page):
    page = open_page(query=SCENE)
    open_tab(page, "Methods × stages")
    wait_for_matrix(page, 4)
    page.locator("#bars .cv-bar").nth(1).click()
    label = page.locator("#bars .cv-bar").nth(1).get_attribute("data-label")
    expect(page.locator("#methods-heading h2")).to_have_text(f"Where each method looks for {label}")
    tick_of(page, "layer1").click()
    wait_for_matrix(page, 3)


@pytest.mark.sampled
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_methods_on_a_phone(open_page, theme):
    page = open_page(390, 844, theme, query=SCENE)
    open_tab(page, "Methods × stages")
    wait_for_matrix(page, 4)
    expect(page.locator(f"{METHODS} .vw-panel:visible")).to_have_count(5 + len(COLUMNS))
    tab = page.locator(f"{METHODS} [role=tab]", has_text="XGrad-CAM")
    tab.click()
    expect(page.locator(f"{METHODS} [data-row=xgrad_cam]")).to_be_visible()
    expect(page.locator(f"{METHODS} .vw-panel:visible .vw-module").first).to_have_text("layer4")
    assert fits_window(page)


# -- Models --------------------------------------------------------------------------------------


def add_models(page, *names):
    """Compare with more backbones, chosen by typing."""
    for name in names:
        page.locator("#models-with input").click()
        page.keyboard.type(name)
        page.get_by_role("option", name=re.compile(re.escape(name))).first.click()
    page.keyboard.press("Escape")


def test_two_models_side_by_side_at_once(open_page):
    page = open_page(query=SCENE)
    open_tab(page, "Models")
    wait_for_maps(page, MODELS, 9)  # three depths of two backbones, and their difference
    expect(page.locator("#models-heading h2")).to_have_text(
        re.compile(r"^(Both|The two) look at .+: r = .?[01]\.\d\d, IoU [01]\.\d\d\.$")
    )
    names = page.locator(f"{MODELS} [data-row=fused] .vw-name b").all_inner_texts()
    assert names[0] == "scenes-resnet" and names[2] == f"{names[0]} − {names[1]}"
    expect(page.locator("#models-table tbody tr").first).to_contain_text("ram")
    expect(page.locator("#models-pair")).to_be_hidden()
    assert fits_window(page)


@pytest.mark.long
def test_a_third_model_that_does_not_know_the_class(open_page):
    page = open_page(query=SCENE)
    open_tab(page, "Models")
    wait_for_maps(page, MODELS, 9)
    add_models(page, "photos-resnet")
    there = page.locator(f"{MODELS} [data-row=fused] [data-id='fused/photos-resnet']")
    expect(there).to_be_visible()
    expect(page.locator("#models-table")).to_contain_text("photos-resnet does not know “ram”")


@pytest.mark.long
def test_one_that_cannot_be_had_is_a_sentence_in_its_place(open_page):
    page = open_page(query=SCENE)
    open_tab(page, "Models")
    wait_for_maps(page, MODELS, 9)
    add_models(page, "resnet50.a1_in1k")
    expect(page.locator(f"{MODELS} .vw-absent")).to_contain_text("hub cannot be reached")
    expect(page.locator(f"{MODELS} [data-row=fused] canvas")).to_have_count(3)


@pytest.mark.long
def test_the_difference_says_whose_is_which_colour(open_page):
    page = open_page(query=SCENE)
    open_tab(page, "Models")
    wait_for_maps(page, MODELS, 9)
    panel = page.locator(f"{MODELS} [data-id='fused/difference']")
    scale = panel.locator(".vw-scale").get_attribute("aria-label")
    assert scale.endswith("to scenes-resnet")
    panel.locator(".vw-open").focus()
    page.keyboard.press("Enter")
    dialog = page.locator(f"{MODELS} dialog")
    expect(dialog.locator("[data-part=reading]")).to_have_text(
        re.compile(r"^From −?\d.*% to \d.*%$")
    )
    page.keyboard.press("Shift+ArrowRight")
    expect(dialog.locator("[data-part=reading]")).to_have_text(re.compile(r": −?[\d.]+%$"))


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_models_on_a_phone(open_page, theme):
    page = open_page(390, 844, theme, query=SCENE)
    open_tab(page, "Models")
    wait_for_maps(page, MODELS, 9)
    expect(page.locator(f"{MODELS} .vw-panel:visible")).to_have_count(3)
    page.locator(f"{MODELS} [role=tab]", has_text="The finest layer").click()
    expect(page.locator(f"{MODELS} [data-row=fine]")).to_be_visible()
    assert fits_window(page)
