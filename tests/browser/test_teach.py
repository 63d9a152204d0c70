"""The view Teach it, as a class uses it: pictures by files and by the camera, and the lesson."""

import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from camviz.scenes import draw_scene
from tests.support.axe import violations
from tests.support.pages import fits_window, give_file, open_tab, wait_until_idle

pytestmark = pytest.mark.browser

# The frames of a canvas in place of a camera's; `missing`: there is no camera.
CAMERA = """
navigator.mediaDevices.getUserMedia = async () => {
  if (window.missing) throw new DOMException("", "NotFoundError");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [320, 240];
  const pen = canvas.getContext("2d");
  let turn = 0;
  setInterval(() => {
    pen.fillStyle = `hsl(${turn += 7} 80% 50%)`;
    pen.fillRect(turn % 200, 20, 90, 90);
  }, 30);
  return window.stream = canvas.captureStream(30);
};
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three drawn scenes of two kinds, by kind."""
    place, found = tmp_path_factory.mktemp("kinds"), {}
    for label, backdrop in (("sheep", "meadow"), ("zebra", "desert")):
        found[label] = [place / f"{label}-{i}.png" for i in range(3)]
        for index, path in enumerate(found[label]):
            scene = draw_scene(3, index, label=label, backgrounds=(backdrop,), two_objects=0)
            Image.fromarray(scene.image).save(path)
    return found


def open_teach(open_page, **options):
    page = open_page(query="&backbone=scenes-resnet&example=a-ram", **options)
    open_tab(page, "Teach it")
    expect(page.locator(".cv-teach-kind")).to_have_count(2)
    wait_until_idle(page)
    return page


def name(page, number, text):
    box = page.locator(".cv-teach-head input").nth(number)
    box.fill(text)
    box.press("Enter")
    wait_until_idle(page)


def add(page, number, files):
    give_file(page, page.get_by_role("button", name="Add photographs to").nth(number), files)
    thumbnails = page.locator(".cv-teach-kind").nth(number).locator(".cv-teach-pictures img")
    expect(thumbnails).to_have_count(len(files))
    wait_until_idle(page)


def test_a_head_is_taught_from_six_pictures_and_kept(open_page, pictures, tmp_path):
    page = open_teach(open_page)
    name(page, 0, "sheep")
    name(page, 1, "zebra")
    add(page, 0, pictures["sheep"])
    expect(page.locator("#teach-viewer")).to_be_hidden()
    add(page, 1, pictures["zebra"])
    expect(page.locator(".cv-teach-good")).to_contain_text("6 of 6 right")
    expect(page.locator(".cv-teach-shares li")).to_have_count(2)
    expect(page.locator("#teach-viewer figure canvas")).to_have_count(4)
    assert violations(page) == []
    with page.expect_download() as download:
        page.get_by_role("button", name="Save what it learned").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "sheep-zebra-scenes-resnet.safetensors"
    wait_until_idle(page)
    answer = page.locator("#teach-answer").inner_text()
    page.get_by_role("button", name=re.compile("^Remove sheep-0")).press("Enter")
    expect(page.locator(".cv-teach-good")).to_contain_text("5 of 5 right")
    page.get_by_role("button", name="Begin again", exact=True).click()
    expect(page.locator(".cv-teach-none")).to_have_count(2)
    give_file(page, page.locator("#teach-load"), file)
    expect(page.locator(".cv-teach-file")).to_contain_text("It tells sheep, zebra apart")
    wait_until_idle(page)
    assert page.locator("#teach-answer").inner_text() == answer


@pytest.mark.long
def test_the_camera_takes_pictures_while_its_button_is_held(open_page):
    page = open_teach(open_page, width=390, height=844, script=CAMERA)
    opener = page.get_by_role("button", name="Use the camera for kind 2")
    page.evaluate("window.missing = true")
    opener.click()
    said = page.locator("frame-camera [data-part=text]")
    expect(said).to_have_text("There is no camera on this machine. Add photographs by files.")
    page.evaluate("window.missing = false")
    opener.click()
    hold = page.get_by_role("button", name="Hold to photograph kind 2")
    expect(hold).to_be_focused()
    page.keyboard.down("Space")
    expect(said).to_have_text(re.compile(r"^[3-9]|10 of 10"))
    page.keyboard.up("Space")
    pictures = page.locator(".cv-teach-kind").nth(1).locator(".cv-teach-pictures img")
    expect(pictures.nth(2)).to_be_visible()
    wait_until_idle(page)
    assert int(re.match(r"\d+", said.inner_text()).group()) == pictures.count() <= 10
    assert fits_window(page) and violations(page) == []
    page.keyboard.press("Escape")
    expect(page.locator("frame-camera")).to_be_hidden()
    expect(page.get_by_role("button", name="Use the camera for kind 2")).to_be_focused()
    assert page.evaluate("window.stream.getTracks().every(track => track.readyState === 'ended')")


@pytest.mark.long
def test_the_bias_is_made_and_mended(open_page):
    page = open_teach(open_page, theme="dark")
    lesson = page.locator("#teach-lesson")
    figure = lambda step, of: lesson.locator(f"[data-step='{step}'] [data-figure={of}]")  # noqa: E731
    share = lambda step, of: float(figure(step, of).inner_text().strip("<% "))  # noqa: E731
    for step, button in enumerate(("Teach it", "Swap the backdrop", "Mend it"), 1):
        lesson.get_by_role("button", name=button, exact=True).click()
        expect(figure(step, "answer")).to_be_visible()
    expect(figure(1, "answer")).to_have_text("house, which is right")
    expect(figure(2, "answer")).to_have_text("church, which is wrong")
    expect(figure(3, "answer")).to_have_text("house, which is right")
    assert violations(page) == []
    assert share(1, "share") > 95 and share(2, "share") < 30 and share(3, "share") > 90
    assert share(1, "backdrop") > 60 and share(2, "thing") < 10 and share(3, "thing") > 35
    lesson.get_by_role("button", name="Begin the lesson again").click()
    expect(lesson.locator("[data-figure]")).to_have_count(0)
