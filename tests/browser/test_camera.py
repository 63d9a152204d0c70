"""The live camera on Look, with the browser's own fake camera."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.axe import violations
from tests.support.pages import link_of, open_tab, wait_until_idle

pytestmark = pytest.mark.browser

CAMERA = "live-camera"
LITE = "&backbone=tf_efficientnet_lite0.in1k&example=none"
REFUSED = """navigator.mediaDevices.getUserMedia = () =>
    Promise.reject(new DOMException("no", "NotAllowedError"));"""
INSECURE = "Object.defineProperty(navigator, 'mediaDevices', { value: undefined });"


@pytest.fixture
def watch(open_page):
    """watch(): the page with its camera on, once there are some answers."""

    def get(answers=5):
        page = open_page(query=LITE)
        page.wait_for_function("document.querySelector('#backbone input').value.includes('lite0')")
        page.locator(f"{CAMERA} [data-part=switch]").check()
        page.wait_for_function(
            f"count => document.querySelector('{CAMERA}').figures.count >= count", arg=answers
        )
        return page

    return get


def running(page):
    return page.locator(CAMERA).evaluate("camera => camera.running")


def test_frames_are_looked_at_and_one_is_frozen(watch):
    page = watch(answers=12)
    figures = page.locator(CAMERA).evaluate("camera => camera.figures")
    print(f"{figures['rate']:.1f} frames a second, {figures['latency']:.0f} ms from frame to map")
    assert figures["rate"] > 0.2  # on however busy a machine; benchmarks/camera.py measures it
    expect(page.locator(".cv-camera-answer")).to_have_text(re.compile(r"\w.* [\d.<]+ ?[\d.]*%$"))
    assert violations(page) == []
    heat = page.locator(f"{CAMERA} [data-part=heat]")
    assert heat.evaluate(
        """canvas => { const { data } = canvas.getContext("2d").getImageData(0, 0, 224, 224);
        const opaque = data.filter((_, i) => i % 4 === 3);
        return Math.max(...opaque) > 100 && Math.min(...opaque) < 60 }"""
    )
    page.locator(f"{CAMERA} [data-part=freeze]").click()
    expect(page.locator("#verdict h2")).to_contain_text("This is where it looked")
    wait_until_idle(page)
    assert link_of(page)["example"] == "upload" and not running(page)


@pytest.mark.long
def test_it_stops_when_it_is_switched_off_hidden_or_left(watch):
    page = watch()
    switch, says = (page.locator(f"{CAMERA} [data-part={name}]") for name in ("switch", "says"))
    live = "document.querySelector('live-camera video').srcObject"
    page.evaluate(f"window.track = {live}.getTracks()[0]")
    switch.uncheck()
    assert not running(page) and page.evaluate("track.readyState") == "ended"
    expect(page.locator(".cv-camera")).to_be_hidden()

    switch.check()
    expect(page.locator(f"{CAMERA} [data-part=freeze]")).to_be_enabled()
    page.evaluate(
        """() => { Object.defineProperty(document, "hidden", { get: () => true,
            configurable: true });
        document.dispatchEvent(new Event("visibilitychange")); delete document.hidden }"""
    )
    assert not running(page)
    expect(says).to_contain_text("switched off")
    expect(switch).not_to_be_checked()

    switch.check()
    expect(page.locator(f"{CAMERA} [data-part=freeze]")).to_be_enabled()
    open_tab(page, "Cover it")
    page.wait_for_function(f"!document.querySelector('{CAMERA}').running")


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("script", "sentence"), [(REFUSED, "not permitted"), (INSECURE, "pages with https")]
)
def test_where_there_is_no_camera_a_sentence_says_why(open_page, script, sentence):
    page = open_page(query=LITE, script=script)
    page.locator(f"{CAMERA} [data-part=switch]").click()
    expect(page.locator(f"{CAMERA} [data-part=says]")).to_contain_text(sentence)
    expect(page.locator(f"{CAMERA} [data-part=switch]")).not_to_be_checked()
