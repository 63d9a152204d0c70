"""What a visitor does, done with a real browser. What the viewer does alone: test_viewing.py."""

import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from camviz.ui.help import HELP
from tests.support.pages import (
    BURSTS,
    LAG,
    MAPS,
    choose,
    fits_window,
    heading,
    open_settings,
    open_tab,
    press,
    tick_of,
    upload,
    wait_for_link,
    wait_until_idle,
    wrong_with_texts,
)

pytestmark = pytest.mark.browser

UNTRAINED = "untrained: maps mean nothing"


@pytest.fixture
def drawing(tmp_path):
    picture = Image.new("RGB", (300, 200), "skyblue")
    ImageDraw.Draw(picture).ellipse((120, 60, 200, 140), fill="orange")
    path = tmp_path / "drawing.png"
    picture.save(path)
    return path


@pytest.mark.long
def test_first_result_without_a_click(open_page):
    page = open_page()
    assert page.locator("h1").inner_text() == "camviz"
    assert page.locator("#backbone input").input_value().startswith("grove · this server's own")
    expect(page.locator(MAPS)).to_have_count(18)  # three rows of four layers, fused, refined
    assert page.locator("#stages input:checked").count() == 4
    bars = page.locator(".cv-bar")
    assert bars.count() == 5
    best = bars.first.get_attribute("data-label")
    assert heading(page).inner_text().startswith(f"It says {best}")
    for name in ("Hierarchical LayerCAM", "Denoised shallow maps", "Prototype similarity"):
        expect(page.get_by_role("heading", name=name)).to_be_visible()


@pytest.mark.long
def test_views_say_what_they_take_here_and_stay_as_they_were_chosen(open_page):
    page = open_page()
    wait_until_idle(page)
    open_settings(page)
    views = page.locator("#shown-as label")
    expect(views.nth(1)).to_have_text(re.compile(r"and mirrored · .* more$"))
    expect(views.nth(2)).to_contain_text("(paper: LPCAM) · ")
    expect(views.nth(0).locator("input")).to_be_checked()
    views.nth(1).locator("input").check()
    wait_until_idle(page)
    expect(views.nth(1).locator("input")).to_be_checked()


# Keeps every notice that was ever on the page, however briefly, in window.notices.
NOTICES = """
window.notices = []
new MutationObserver(() => {
  for (const one of document.querySelectorAll('.cv-notice')) window.notices.push(one.innerText)
}).observe(document, {childList: true, subtree: true})"""


@pytest.mark.sampled
@pytest.mark.parametrize("query", ["", "&tab=models"])
def test_no_notice_flashes_while_the_page_opens(open_page, query):
    page = open_page(query=query, script=NOTICES)
    wait_until_idle(page)
    assert page.evaluate("window.notices") == []


@pytest.mark.long
def test_backbone_layers_and_method_are_in_sight(open_page):
    page = open_page()
    for name in ("backbone", "stages", "method"):
        box = page.locator(f"#{name}").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 900


@pytest.mark.long
@pytest.mark.parametrize("height", [900, 600])
def test_every_control_can_be_scrolled_to(open_page, height):
    page = open_page(height=height)
    open_settings(page)
    last = page.locator("#placement input").last
    last.scroll_into_view_if_needed()
    left, box = page.locator("#left").bounding_box(), last.bounding_box()
    assert left["x"] < box["x"] < left["x"] + 40
    assert left["y"] < box["y"] < left["y"] + left["height"]
    assert page.locator("#left").evaluate("e => e.scrollWidth <= e.clientWidth")


@pytest.mark.long
def test_every_control_says_what_it_is_for(open_page):
    page = open_page()
    open_settings(page)
    unexplained = page.evaluate(
        """() => [...document.querySelectorAll('#left [data-testid=block-info]')].filter(label =>
        label.offsetHeight > 1 && !label.parentElement.querySelector('.info-text')?.innerText)
        .map(label => label.innerText)"""
    )
    assert unexplained == []
    nameless = page.locator("#left :is(input, button)").evaluate_all(
        """all => all.filter(e => !(e.getAttribute('aria-label') || e.title || e.textContent.trim()
        || e.closest('label') || e.querySelector('img[alt]') || e.type === 'file'))
        .map(e => e.outerHTML)"""
    )
    assert nameless == []


def test_uploaded_picture_is_explained_and_never_in_a_link(open_page, drawing):
    page = open_page()
    upload(page, drawing)
    link = wait_for_link(page, example="upload")
    assert "drawing" not in page.url
    expect(page.locator(MAPS)).to_have_count(18)
    again = open_page(query=f"&example={link['example']}&backbone=grove")
    expect(again.get_by_role("alert")).to_contain_text("uploads never go into a link")
    expect(heading(again)).to_have_text("No picture yet")
    expect(again.locator(MAPS)).to_have_count(0)
    assert again.locator("#stages input:checked").count() == 4


@pytest.mark.long
def test_example_is_explained(open_page):
    page = open_page()
    title = page.locator("#examples button").nth(1).get_attribute("data-label")
    page.locator("#examples button").nth(1).click()
    wait_for_link(page, example=title)
    assert page.locator(".cv-notice").count() == 0


@pytest.mark.long
def test_class_by_its_bar_and_by_search(open_page, trees):
    page = open_page()
    second = page.locator(".cv-bar").nth(1).get_attribute("data-label")
    page.locator(".cv-bar").nth(1).click()
    expect(heading(page)).to_contain_text(f"Where it would see {second}")
    expect(page.locator(".cv-bar").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#target input")).to_have_value(second)
    wait_for_link(page, **{"class": second})
    third = next(tree for tree in trees if tree != second)
    choose(page, "target", third, re.compile(f"^{third}"))
    expect(heading(page)).to_contain_text(third)


@pytest.mark.long
def test_the_true_outline_follows_the_class(open_page):
    page = open_page(query="&backbone=scenes-resnet&example=two-boats&outline=sailing+boat"
                     "&class=sailing+boat")  # fmt: skip
    outline = page.locator("#viewer [data-part=outline]")
    expect(outline).to_have_value("sailing boat")
    choose(page, "target", "rowing", "rowing boat", by_keyboard=True)
    expect(outline).to_have_value("rowing boat")
    wait_for_link(page, outline="rowing boat")
    choose(page, "target", "church", "church", by_keyboard=True)  # it is not in the picture
    expect(heading(page)).to_contain_text("church")
    expect(outline).to_have_value("rowing boat")


DIMMED = """
window.dimmed = 0
new MutationObserver(() => { if (document.querySelector('.cv-outdated')) window.dimmed++ })
  .observe(document, {childList: true, subtree: true})"""


def test_the_old_answer_is_dimmed_under_a_new_picture(open_page):
    page = open_page(script=DIMMED)
    assert page.evaluate("window.dimmed") == 0
    page.locator("#examples button").nth(1).click()
    page.wait_for_function("window.dimmed > 0")
    expect(page.locator(".cv-outdated")).to_have_count(0)
    wait_for_link(page, example=page.locator("#examples button").nth(1).get_attribute("data-label"))


@pytest.mark.sampled
@pytest.mark.parametrize("width", [1440, 390])
def test_progress_and_stop_are_in_sight_wherever_the_page_stands(open_page, width):
    page = open_page(width=width)
    wait_until_idle(page)
    tall = page.evaluate("document.documentElement.scrollHeight")
    page.evaluate(
        """() => { document.querySelector('#progress .prose').innerHTML =
        '<div class="cv-progress"><span>Working</span><progress></progress><button>Stop</button>'
        window.scrollTo(0, document.documentElement.scrollHeight) }"""
    )
    box = page.locator("#progress button").bounding_box()
    assert 0 <= box["y"] <= 900 - box["height"] and 0 <= box["x"] <= width - box["width"]
    assert page.evaluate("document.documentElement.scrollHeight") == tall  # nothing was pushed


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_can_be_read_and_every_control_has_a_name(open_page, theme):
    page = open_page(theme=theme)
    page.locator(".cv-rival").nth(1).click()
    expect(page.locator(".cv-rival[aria-pressed=true]")).to_have_count(1)
    open_settings(page)
    for title in ("Maps", "All pictures", "Methods × stages", "Models", "Prototypes", "Attention"):
        open_tab(page, title)
        wait_until_idle(page)
        if title == "Maps":
            page.locator("#viewer summary").click()
            assert wrong_with_texts(page) == []
            page.locator("#viewer summary").click()
            page.locator("#viewer .vw-open").first.click()
            expect(page.get_by_role("button", name="Download PNG")).to_be_visible()
            assert wrong_with_texts(page) == []
            page.keyboard.press("Escape")
        if title == "Prototypes":
            page.get_by_role("button", name="Prototypes from pictures of your own").click()
            expect(page.get_by_role("button", name="Learn prototypes")).to_be_visible()
        assert wrong_with_texts(page) == [], title


@pytest.mark.long
def test_compare_with_a_second_class(open_page):
    page = open_page()
    rival = page.locator(".cv-rival").nth(1)
    label = rival.get_attribute("data-label")
    rival.click()
    expect(heading(page)).to_contain_text(f"rather than {label}")
    expect(page.locator("#versus input")).to_have_value(label)
    wait_for_link(page, versus=label)
    page.locator(".cv-rival").nth(1).click()  # once more: no longer
    expect(heading(page)).to_contain_text("It says")
    wait_for_link(page, versus=None)


def test_layers_method_and_fusion(open_page):
    page = open_page()
    tick_of(page, "layer1").click()
    expect(page.locator(MAPS)).to_have_count(15)
    choose(page, "modules", "layer2.0.conv1", "layer2.0.conv1")
    expect(page.locator(MAPS)).to_have_count(18)
    page.keyboard.press("Escape")
    choose(page, "method", "Grad-CAM", re.compile("^Grad-CAM ·"))
    expect(page.locator("#verdict")).to_contain_text("Grad-CAM (")
    open_settings(page)
    choose(page, "fuse", "Maximum", re.compile("^Maximum"), by_keyboard=True)
    expect(page.locator("#verdict")).to_contain_text(
        "fused by maximum, weak maps raised (after LayerCAM"
    )
    wait_for_link(
        page, fuse="max_tanh", method="grad_cam", stages="layer2,layer3,layer4,layer2.0.conv1"
    )


@pytest.mark.long
def test_no_layer_is_a_notice_and_the_maps_stay(open_page):
    page = open_page()
    for name in ("layer4", "layer3", "layer2", "layer1"):
        tick_of(page, name).click()
    expect(page.get_by_role("alert")).to_contain_text("tick at least one")
    assert page.locator(MAPS).count() > 0
    tick_of(page, "layer4").click()
    expect(page.locator(".cv-notice")).to_have_count(0)


def test_truncation_by_keyboard(open_page):
    page = open_page()
    said, removed = page.locator("#denoising"), page.locator("#viewer [data-row=removed]")
    knob = page.locator("#truncation input[type=range]")
    automatic = page.locator("#automatic input")
    expect(automatic).to_be_checked()
    expect(said).to_contain_text("Chosen: none. Without its weak gradient, stage 2 of 4")
    expect(knob).to_have_value("0")
    expect(removed).to_have_count(0)
    knob.press("End")
    expect(said).to_contain_text("the plain maps’ evidence")
    expect(automatic).not_to_be_checked()
    wait_for_link(page, truncation="0.99")
    expect(removed.locator(".vw-open")).to_have_count(3)
    expect(page.locator(MAPS)).to_have_count(22)  # and in the deepest layer's place a blank
    knob.press("Home")
    expect(said).to_have_text("These are the plain maps: nothing is taken out.")
    wait_for_link(page, truncation="0")
    expect(page.locator(MAPS)).to_have_count(18)
    automatic.press("Space")
    expect(said).to_contain_text("Chosen: none.")
    wait_for_link(page, truncation=None)


def test_class_and_layer_by_keyboard_alone(open_page):
    page = open_page()
    bar = page.locator(".cv-bar").nth(2)
    label = bar.get_attribute("data-label")
    bar.focus()
    page.keyboard.press("Enter")
    expect(heading(page)).to_contain_text(label)
    tick_of(page, "layer1").focus()
    page.keyboard.press("Space")
    expect(page.locator(MAPS)).to_have_count(15)


@pytest.mark.long
def test_search_is_narrowed_by_family_and_source(open_page):
    page = open_page()
    page.locator("#filters input").first.click()
    page.get_by_role("option", name=re.compile(r"^vovnet \(")).click()
    page.locator("#backbone input").click()
    options = page.locator("#backbone [role=option]")
    expect(options.nth(1)).to_contain_text("ese_vovnet")
    assert options.count() < 20


@pytest.mark.sampled
@pytest.mark.parametrize(("typed", "script"), [("resnet50", LAG), ("50 a1 resnet", "")])
def test_enter_chooses_the_backbone_that_was_typed(open_page, typed, script):
    page = open_page(script=script)
    page.locator("#backbone input").click()
    page.keyboard.type(typed)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("resnet50.a1_in1k")  # it is not here


def test_enter_before_the_entries_are_there_counts(open_page):
    page = open_page()
    page.locator("#backbone input").click()
    page.evaluate("[window.kept, window.camvizEntries] = [window.camvizEntries, {}]")
    page.keyboard.type("resnet50")
    page.keyboard.press("Enter")
    page.evaluate("window.camvizEntries = window.kept")
    page.evaluate("document.dispatchEvent(new Event('camviz-entries'))")
    expect(page.get_by_role("alert")).to_contain_text("resnet50.a1_in1k")


def test_a_press_outlasts_an_answer_that_replaces_its_button(open_page):
    page = open_page()
    bars = page.locator(".cv-bar")
    first, second = (bars.nth(i).get_attribute("data-label") for i in (1, 2))
    press(page, bars.nth(2))
    bars.nth(1).evaluate("bar => bar.click()")
    expect(heading(page)).to_contain_text(first)
    wait_until_idle(page)
    page.mouse.up()
    expect(heading(page)).to_contain_text(second)
    wait_until_idle(page)
    press(page, page.locator("#viewer .vw-open").first)
    bars.nth(1).evaluate("bar => bar.click()")
    expect(heading(page)).to_contain_text(first)
    wait_until_idle(page)
    page.mouse.up()
    expect(page.locator("#viewer dialog")).to_be_visible()


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("menu", "typed", "first"),
    [
        ("backbone", "vit base", "vit_base_patch16_224"),
        ("backbone", "b0 efficientnet", "efficientnet_b0"),
        ("target", "0", "ash"),
        ("target", "ir", "birch"),
    ],
)
def test_what_fits_is_listed_while_typing_the_best_first(open_page, menu, typed, first):
    page = open_page()
    page.locator(f"#{menu} input").click()
    page.keyboard.type(typed)
    found = page.locator("#cv-found [role=option]")
    expect(found.first).to_contain_text(first)
    expect(found.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#cv-found")).to_be_hidden()


@pytest.mark.long
def test_nothing_found_is_said_and_what_is_near_can_be_chosen(open_page):
    page = open_page()
    before = page.locator("#backbone input").input_value()
    page.locator("#backbone input").click()
    page.keyboard.type("resnt50")
    found = page.locator("#cv-found")
    expect(found).to_contain_text("Nothing here is called “resnt50”. Near:")
    page.keyboard.press("Enter")  # takes nothing
    page.keyboard.press("Tab")
    expect(page.locator("#backbone input")).to_have_value(before)
    page.locator("#target input").click()
    page.keyboard.type("elmm")
    page.get_by_role("option", name="elm").click()
    wait_for_link(page, **{"class": "elm"})


@pytest.mark.long
def test_a_backbone_that_is_good_to_start_with_is_one_click_away(open_page):
    page = open_page()
    page.get_by_text("Good to start with").click()
    expect(page.locator("#starters button")).to_have_count(10)
    page.locator("#starters button", has_text="resnet50").click()
    expect(page.get_by_role("alert")).to_contain_text("resnet50.a1_in1k")  # it is not here
    expect(page.locator("#backbone input")).to_have_value(re.compile("^grove"))


@pytest.mark.long
def test_a_backbone_that_cannot_be_had_leaves_everything_as_it_was(open_page):
    page = open_page()
    choose(page, "backbone", "test_vit.", re.compile(r"test_vit\.r160"))
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("hub cannot be reached")
    expect(notice).to_contain_text("Ready here without a download: grove")
    assert notice.count() == 1 and page.locator(".toast-body").count() == 0
    expect(page.locator("#backbone input")).to_have_value(re.compile("^grove"))
    expect(page.locator(MAPS)).to_have_count(18)
    expect(tick_of(page, "layer1")).to_be_visible()

    notice.get_by_role("button", name="untrained").click()
    expect(page.locator("#verdict")).to_contain_text(UNTRAINED)
    expect(tick_of(page, "blocks.0")).to_be_visible()
    expect(tick_of(page, "layer1")).to_have_count(0)
    expect(page.locator(".cv-notice")).to_have_count(0)
    wait_for_link(page, backbone="test_vit.r160_in1k", weights="untrained")


def test_who_does_not_wait_for_a_backbone_gets_it_all_the_same(open_page):
    page = open_page()
    choose(page, "backbone", "test_vit.", re.compile(r"test_vit\.r160"))
    page.get_by_role("alert").get_by_role("button", name="untrained").click()
    choose(page, "method", "HiRes", re.compile("^HiRes"))
    expect(page.locator("#verdict")).to_contain_text("HiRes-CAM (")
    wait_for_link(page, backbone="test_vit.r160_in1k", method="hires_cam", weights="untrained")
    expect(page.locator(MAPS).first).to_contain_text("blocks.")
    assert page.locator("[role=alert], .toast-body").count() == 0


def test_updates_that_arrive_at_once_are_shown_whole(open_page):
    page = open_page(script=BURSTS)
    wait_until_idle(page)
    page.evaluate(
        """() => { document.querySelectorAll('.cv-bar')[1].click()
        document.querySelector('#stages input').click() }"""
    )
    wait_until_idle(page)
    expect(heading(page)).to_contain_text("Where it would see")
    expect(page.locator(MAPS)).to_have_count(15)
    wait_for_link(page, stages="layer1,layer2,layer3")


@pytest.mark.long
def test_a_link_that_needs_a_download_shows_something_and_offers_it(open_page):
    page = open_page(query="&backbone=resnet18.a1_in1k&method=cam&class=snail")
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("resnet18.a1_in1k is not on this machine")
    expect(page.locator(MAPS)).to_have_count(6)
    expect(page.locator("#backbone input")).to_have_value(re.compile("^grove"))
    wait_for_link(page, backbone="grove", method="cam")  # what needs no network is kept
    wait_until_idle(page)  # nothing takes its place
    notice.get_by_role("button", name="Download resnet18.a1_in1k, 47 MB").click()
    expect(notice).to_contain_text("hub cannot be reached")
    expect(page.locator(MAPS)).to_have_count(6)


@pytest.mark.long
@pytest.mark.parametrize("width", [1440, 390])
def test_from_compare_to_pictures_of_ones_own(open_page, width):
    page = open_page(width=width)
    page.locator("#learned button").click()
    expect(page.locator("#gallery")).to_contain_text("Give a few pictures of the class")
    expect(
        page.locator("#gallery input[type=file], #gallery button[aria-label]").first
    ).to_be_attached()
    wait_for_link(page, tab="prototypes")


@pytest.mark.long
def test_a_link_reopens_a_tab(open_page):
    page = open_page()
    open_tab(page, "Models")
    wait_for_link(page, tab="models", backbone="grove")
    other = open_page(query=f"&{page.evaluate('location.search').lstrip('?')}")
    expect(other.get_by_role("tab", name="Models")).to_have_attribute("aria-selected", "true")
    expect(other.locator("#models-viewer figure").first).to_be_visible()
    open_tab(other, "Maps")
    wait_for_link(other, tab=None)
    expect(other.locator(MAPS).first).to_be_visible()


def test_stop_leaves_everything_whole(open_page):
    page = open_page()
    choose(page, "backbone", "vgg19_bn.tv", re.compile(r"vgg19_bn\.tv"))
    untrained = page.get_by_role("alert").get_by_role("button", name="untrained")
    expect(untrained).to_be_visible()
    wait_until_idle(page)
    best = heading(page).inner_text()
    untrained.click()  # seconds to make
    stop = page.get_by_role("button", name="Stop")
    stop.click()
    expect(page.get_by_role("alert")).to_contain_text("Stopped")
    expect(stop).to_have_count(0)
    expect(page.locator("#backbone input")).to_have_value(re.compile("^grove"))
    assert heading(page).inner_text() == best
    page.locator(".cv-bar").nth(1).click()
    expect(heading(page)).to_contain_text("Where it would see", timeout=30_000)
    expect(page.locator(".cv-notice")).to_have_count(0)


def test_bad_upload_is_a_notice_and_no_end(open_page, drawing, tmp_path):
    page = open_page()
    bad = tmp_path / "bad.png"
    bad.write_text("no picture at all")
    upload(page, bad)
    expect(page.get_by_role("alert")).to_contain_text("'bad.png' is not a picture")
    assert page.locator(".toast-body").count() == 0
    upload(page, drawing)
    expect(page.locator(MAPS)).to_have_count(18)
    expect(page.locator(".cv-notice")).to_have_count(0)


def test_a_link_reopens_exactly_this_view(open_page, trees):
    page = open_page()
    page.locator("#examples button").nth(2).click()
    example = page.locator("#examples button").nth(2).get_attribute("data-label")
    wait_for_link(page, example=example)
    choose(page, "target", trees[3], re.compile(f"^{trees[3]}"))
    tick_of(page, "layer2").click()
    for key in ("End", "ArrowLeft"):
        page.locator("#truncation input[type=range]").press(key)
    link = wait_for_link(
        page, truncation="0.98", stages="layer1,layer3,layer4", **{"class": trees[3]}
    )
    query = "".join(f"&{key}={value}" for key, value in link.items() if key != "__theme")
    again = open_page(query=query)
    expect(heading(again)).to_have_text(heading(page).inner_text())
    expect(again.locator(MAPS)).to_have_count(18)  # three rows, and what was taken out
    expect(again.locator("#viewer [data-row=removed] .vw-open")).to_have_count(2)
    assert again.locator("#bars ol").inner_text() == page.locator("#bars ol").inner_text()
    expect(again.locator("#truncation input[type=range]")).to_have_value("0.98")
    expect(again.locator("#automatic input")).not_to_be_checked()
    expect(again.locator("#target input")).to_have_value(trees[3])
    assert not tick_of(again, "layer2").is_checked()
    assert again.locator(".cv-notice").count() == 0
    assert wait_for_link(again, example=example) == link
    alt = "all => all.map(e => e.getAttribute('aria-label') || e.alt || e.textContent)"
    assert again.locator(MAPS).evaluate_all(alt) == page.locator(MAPS).evaluate_all(alt)


def test_garbage_in_a_link_is_named_and_ignored(open_page):
    page = open_page(query="&method=nonsense&stages=layer3,layer9&class=unicorn&truncation=7")
    notice = page.get_by_role("alert")
    for word in ("method=nonsense", "layer9", "unicorn", "truncation=7"):
        expect(notice).to_contain_text(word)
    expect(page.locator(MAPS).first).to_be_visible()
    assert "nonsense" not in wait_for_link(page, stages="layer3").values()


def test_download_holds_all_rows(open_page, tmp_path):
    page = open_page()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download zip").click()
    path = tmp_path / "all.zip"
    download.value.save_as(path)
    assert download.value.suggested_filename.startswith("camviz-grove")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
        with archive.open("maps.npz") as file, np.load(file) as maps:
            raw = {key: maps[key] for key in maps.files}
    assert set(manifest["rows"]) == {"layercam", "denoised", "prototypes"}
    for key in manifest["rows"]:
        for layer in ("layer3", "layer4", "fused", "refined"):
            assert f"{key}_{layer}.png" in names and raw[f"{key}/{layer}"].ndim == 2
    assert sorted(names) == sorted([*manifest["files"], "manifest.json", "report.html"])
    assert manifest["link"]["backbone"] == "grove"


@pytest.mark.sampled
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_phone(open_page, theme):
    page = open_page(390, 844, theme)
    expect(page.locator(MAPS).first).to_be_visible()
    assert fits_window(page)
    beyond = """all => all.filter(e => e.checkVisibility({visibilityProperty: true})
        && e.getBoundingClientRect().right > innerWidth).length"""
    parts = "#page :is(img, button:not([tabindex='-1']), input, p, h2)"
    assert page.locator(parts).evaluate_all(beyond) == 0  # nothing is cut off either
    tops = page.evaluate(
        "['ask-picture', 'unfold', 'verdict', 'viewer']"
        ".map(id => document.getElementById(id).getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)


def test_two_visitors_see_their_own(open_page):
    one, two = open_page(), open_page()
    wait_for_link(two, backbone="grove")
    before = heading(two).inner_text(), two.url
    one.locator(".cv-bar").nth(1).click()
    expect(heading(one)).to_contain_text("Where it would see")
    wait_until_idle(two)
    assert (heading(two).inner_text(), two.url) == before


# -- What is kept --------------------------------------------------------------------------------


def test_back_and_forward_walk_the_tabs_and_keep_what_is_set(open_page):
    page = open_page()
    for title, inside in (("Classes", "#classes-heading"), ("Models", "#models-heading")):
        open_tab(page, title)
        expect(page.locator(inside)).to_be_visible()
        wait_until_idle(page)
    label = page.locator(".cv-bar").nth(1).get_attribute("data-label")
    page.locator(".cv-bar").nth(1).click()
    wait_for_link(page, tab="models", **{"class": label})
    page.go_back()
    expect(page.locator("#classes-heading")).to_be_visible()
    wait_for_link(page, tab="classes", **{"class": label})
    page.go_back()
    expect(heading(page)).to_be_visible()
    wait_for_link(page, tab=None, **{"class": label})
    page.go_forward()
    expect(page.locator("#classes-heading")).to_be_visible()
    wait_until_idle(page)


@pytest.mark.long
def test_uploads_are_offered_again_behind_a_reload_until_that_is_switched_off(open_page, drawing):
    page = open_page()
    upload(page, drawing)
    wait_for_link(page, example="upload")
    wait_until_idle(page)  # or the reload gives up requests, which the console tells
    page.reload()
    kept = page.locator(".cv-kept-offer button")
    expect(kept.first).to_be_visible()
    expect(heading(page)).to_have_text("No picture yet")
    wait_until_idle(page)
    page.get_by_label("Upload drawing.png again").first.click()
    expect(page.locator(MAPS)).to_have_count(18)
    page.get_by_label("Keep uploads").uncheck()
    expect(kept).to_have_count(0)
    wait_until_idle(page)
    page.reload()
    expect(heading(page)).to_have_text("No picture yet")
    expect(page.get_by_label("Keep uploads")).not_to_be_checked()
    expect(page.locator(".cv-kept-offer")).to_be_hidden()
    page.get_by_label("Keep uploads").check()
    wait_until_idle(page)


@pytest.mark.long
def test_what_was_pasted_by_a_button_is_kept_too(open_page):
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async () => { const canvas = new OffscreenCanvas(80, 60)
        canvas.getContext("2d").fillRect(20, 20, 30, 20)
        const picture = await canvas.convertToBlob({type: "image/png"})
        await navigator.clipboard.write([new ClipboardItem({"image/png": picture})]) }"""
    )
    page.locator("#picture").get_by_label("Paste from clipboard").click()
    wait_for_link(page, example="upload")
    wait_until_idle(page)
    page.reload()
    expect(page.get_by_label("Upload clipboard.png again")).to_be_visible()
    wait_until_idle(page)


@pytest.mark.long
def test_a_copied_link_says_that_an_upload_is_missing_from_it(open_page, drawing):
    page = open_page()
    wait_for_link(page, example="lion")
    page.locator("#share").click()
    expect(page.locator("#share")).to_have_text(
        re.compile("^(Copied|Copy it from the address bar)$")
    )
    expect(page.locator("#share")).to_have_text("Copy link")
    upload(page, drawing)
    wait_for_link(page, example="upload")
    page.locator("#share").click()
    expect(page.locator("#share")).to_have_text(re.compile("without your picture"))


@pytest.mark.long
@pytest.mark.parametrize(("pressed", "where"), [(".cv-bar", "#ask-class"), ("#save", "#save")])
def test_progress_stands_where_it_was_asked_for(open_page, pressed, where):
    page = open_page()
    height = page.evaluate("document.documentElement.scrollHeight")
    page.locator(pressed).first.dispatch_event("pointerdown")
    page.evaluate(
        """() => { document.querySelector("#progress .prose").innerHTML =
        '<div class="cv-progress"><span>Working</span><progress></progress><button>Stop</button>'
        document.dispatchEvent(new Event("scroll")) }"""
    )
    stop, near = page.locator("#progress button").bounding_box(), page.locator(where).bounding_box()
    assert abs(stop["y"] - near["y"]) < 60
    assert near["x"] - 300 < stop["x"] < near["x"] + 420
    assert page.evaluate("document.documentElement.scrollHeight") == height


# -- Words ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_every_control_has_a_help_mark_with_one_sentence(open_page):
    page = open_page()
    open_settings(page)
    for name in HELP:
        mark = page.locator(f"#{name} > .cv-help")
        expect(mark).to_be_visible()
        assert mark.get_attribute("aria-label") == f"Help: {HELP[name]}"
    tip = page.locator("#cv-tip")
    page.locator("#backbone > .cv-help").focus()
    expect(tip).to_have_text(HELP["backbone"])
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.locator("#stages > .cv-help").click()
    expect(tip).to_have_text(HELP["stages"])
    page.locator("#head h1").click()
    expect(tip).to_be_hidden()


@pytest.mark.long
def test_the_glossary_is_linked_and_unfolds_on_the_page(open_page):
    page = open_page()
    expect(page.get_by_text("the centre of a cluster of features")).to_be_hidden()
    page.get_by_role("link", name="What the words mean").click()
    expect(page.get_by_text("the centre of a cluster of features")).to_be_visible()
    assert "#" not in page.url
