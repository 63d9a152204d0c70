"""The view Classes, as a visitor uses it."""

import re
import shutil

import pytest
import torch
from playwright.sync_api import expect
from timm.models import save_for_hf

from camviz.network.weights import build_untrained
from tests.support.pages import (
    fits_window,
    open_tab,
    pixels,
    wait_for_link,
    wait_for_maps,
    wait_until_idle,
)
from tests.support.server import LOG, served

pytestmark = pytest.mark.browser

VIEWER, SHEET, LIST = "#classes-viewer", "#classes-sheet", "#classes-every class-list"
MANY = 9000
FOREST = "&backbone=forest&example=two-boats"
RAM = "&backbone=scenes-resnet&example=a-ram"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """In place of the package's: its own backbone, "forest", knows more classes than are sent."""
    if shutil.which("chromium") is None:
        pytest.skip("there is no chromium on this machine")
    folder = tmp_path_factory.mktemp("models") / "forest"
    model = build_untrained("test_resnet", num_classes=MANY, zero_init_last=False)
    with torch.no_grad():
        model.fc.weight.mul_(40)
    labels = [f"tree number {index}" for index in range(MANY)]
    save_for_hf(model, folder, model_config={"label_names": labels})
    folder_of_server = tmp_path_factory.mktemp("server")
    with served(folder_of_server, CAMVIZ_BACKBONE=f"local-dir:{folder}") as url:
        yield url, folder_of_server / LOG


@pytest.fixture
def open_classes(open_page):
    """open_classes(query, ...): the page with the view Classes, all of it."""

    def get(query=RAM, **options):
        page = open_page(query=query, **options)
        open_tab(page, "Classes")
        wait_for_maps(page, VIEWER, 6)
        expect(page.locator("#classes-every-heading h2")).to_be_visible()
        wait_until_idle(page)
        return page

    return get


def drawn(page):
    """The pixels of the map beside the list, and how often it was drawn."""
    return page.locator(LIST).evaluate(
        "list => [list.querySelector('canvas').toDataURL(), list.draws]"
    )


def wait_until_drawn(page, before):
    page.wait_for_function(
        """([list, before]) =>
        document.querySelector(list).querySelector("canvas").toDataURL() !== before""",
        arg=[LIST, before],
    )


@pytest.mark.long
def test_a_press_on_the_sheet_explains_and_vs_compares(open_classes):
    page = open_classes()
    expect(page.locator("#classes-heading h2")).to_have_text(re.compile(r"^ram or .+\? .+\.$"))
    expect(page.locator(f"{SHEET} li")).to_have_count(6)
    page.get_by_role("button", name="Compare with sheep").click()
    wait_for_link(page, versus="sheep")
    expect(page.locator("#classes-heading h2")).to_have_text(re.compile("^ram or sheep"))
    names = page.locator(f"{VIEWER} [data-row=alone] .vw-name b")
    expect(names).to_have_text(["A: ram", "B: sheep", "A − B", "B − A"])
    scale = page.locator(f"{VIEWER} [data-id='alone/less'] .vw-scale").get_attribute("aria-label")
    assert scale == "Colour scale from sheep to ram"
    outlined = page.locator(f"{VIEWER} [data-part=outline]").input_value()
    assert outlined == "horns of the ram"
    tile = page.locator(f"{SHEET} button:not([data-rival])").nth(2)
    label = tile.get_attribute("data-label")
    tile.focus()
    page.keyboard.press("Enter")
    wait_for_link(page, **{"class": label})
    expect(page.locator("#classes-heading h2")).to_have_text(re.compile(f"^{label} or sheep"))
    assert fits_window(page)


def test_the_map_follows_pointer_and_keys_without_a_request(open_classes):
    page = open_classes()
    calls = []
    page.on("request", lambda request: calls.append(request.url))
    first, draws = drawn(page)
    options = page.locator(f"{LIST} [role=option]")
    expect(options).to_have_count(16)
    options.nth(3).hover()
    wait_until_drawn(page, first)
    hovered, _ = drawn(page)
    label = options.nth(3).locator("span").first.inner_text()
    expect(page.locator(f"{LIST} [data-part=text]")).to_have_text(re.compile(f"^{label}, "))
    page.locator("#classes-every-heading h2").hover()
    wait_until_drawn(page, hovered)
    assert drawn(page)[0] == first, "it goes back to the class that stays"
    page.locator(f"{LIST} [role=listbox]").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    assert drawn(page)[0] == hovered, "keys lead to the same map"
    active = page.locator(f"{LIST} [role=listbox]").get_attribute("aria-activedescendant")
    assert page.locator(f"#{active}").get_attribute("aria-selected") == "true"
    page.locator(f"{LIST} input").fill("boat")
    expect(options).to_have_count(2)
    assert not calls and drawn(page)[1] > draws
    page.locator(f"{LIST} [data-part=choose]").click()
    wait_for_link(page, **{"class": label})
    expect(page.locator("#classes-heading h2")).to_have_text(re.compile(f"^{label} or "))


@pytest.mark.long
def test_the_map_beside_the_list_follows_the_viewers_colours(open_classes):
    page = open_classes()
    before, _ = drawn(page)
    page.locator(f"{VIEWER} [data-part=colors]").select_option("magma")
    wait_until_drawn(page, before)


@pytest.mark.long
def test_a_head_that_is_not_linear_has_no_list(open_classes):
    page = open_classes("&backbone=scenes-vit&example=a-zebra")
    expect(page.locator("#classes-every-heading")).to_contain_text(
        "Press a class on the sheet above"
    )
    expect(page.locator(LIST)).to_be_hidden()


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_classes_on_a_phone(open_classes, theme):
    page = open_classes(width=390, height=844, theme=theme)
    assert fits_window(page)
    page.locator(f"{VIEWER} [role=tab]", has_text="One rather than the other").click()
    expect(page.locator(f"{VIEWER} .vw-panel:visible")).to_have_count(2)
    assert len(set(pixels(page, VIEWER))) > 1
    first, _ = drawn(page)
    option = page.locator(f"{LIST} [role=option]").nth(4)
    option.dispatch_event("pointerover", {"pointerType": "touch", "bubbles": True})
    assert drawn(page)[0] == first, "a finger that passes shows nothing"
    option.click()
    wait_until_drawn(page, first)
    expect(option).to_have_attribute("aria-selected", "true")
    assert fits_window(page)


@pytest.mark.long
def test_the_map_of_a_class_that_was_not_sent_comes_when_it_is_pointed_at(open_classes):
    page = open_classes(FOREST)
    calls = []
    page.on("request", lambda request: calls.append(request.url))
    options = page.locator(f"{LIST} [role=option]")
    text = page.locator(f"{LIST} [data-part=text]")
    sent = options.count()
    assert 3000 < sent < MANY
    last = MANY - 1
    page.locator(f"{LIST} input").fill(f"number {last}")
    expect(options).to_have_count(1)
    first, _ = drawn(page)
    options.hover()
    expect(text).to_have_text(re.compile(rf"^tree number {last}, .*(Highest value|Nothing here)"))
    wait_until_drawn(page, first)
    fetched, _ = drawn(page)
    asked = len(calls)
    page.locator("#classes-every-heading h2").hover()
    wait_until_drawn(page, fetched)
    page.locator(f"{LIST} [role=listbox]").focus()
    page.keyboard.press("ArrowDown")
    assert drawn(page)[0] == fetched and len(calls) == asked, "it is here from now on"
    page.locator(f"{LIST} input").fill("")
    expect(options).to_have_count(sent)
    page.locator(f"{LIST} [role=listbox]").press("End")
    expect(options).not_to_have_count(sent)
    page.locator(f"{LIST} input").fill("no such tree")
    expect(page.locator(f"{LIST} [data-part=none]")).to_have_text("No class has this name.")
    page.locator(f"{LIST} input").fill(f"number {last}")
    options.click()
    page.locator(f"{LIST} [data-part=choose]").click()
    wait_for_link(page, **{"class": f"tree number {last}"})
    expect(page.locator(f"{LIST} [data-part=choose]")).to_be_hidden()
    expect(text).to_have_text(re.compile(rf"^tree number {last}, "))
