"""The page and what it gives out keep their own policies, and a restart is announced.

That nothing is refused by the policy is also what every other test of this folder watches: a
violation is an error in the console.
"""

import signal
import zipfile

import pytest
from playwright.sync_api import expect

from camviz.examples import example
from tests.support.pages import give_file, open_settings, wait_until_idle
from tests.support.server import APP, started

pytestmark = pytest.mark.browser

RAM = example("a-ram").path
NOTE = """
window.violations = []
addEventListener("securitypolicyviolation", event =>
  window.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`))
"""


def violations(page):
    return page.evaluate("window.violations")


def zipped(page, folder):
    """The files of "Download zip", in a folder."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download zip").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.long
def test_no_view_dialog_or_download_breaks_the_policy(open_page, window, tmp_path):
    page = open_page(query="&backbone=scenes-resnet&example=two-boats", script=NOTE)
    wait_until_idle(page)
    for view in page.locator("#views [data-view]").all():
        view.evaluate("element => element.click()")
        wait_until_idle(page)
    page.locator("#views [data-view=compare]").evaluate("element => element.click()")
    wait_until_idle(page)
    page.locator("#viewer .vw-open").first.click()
    expect(page.locator("#viewer dialog")).to_be_visible()
    with page.expect_download():
        page.locator("#viewer dialog").get_by_role("button", name="Map only").click()
    page.keyboard.press("Escape")
    open_settings(page)
    folder = zipped(page, tmp_path / "zip")
    assert violations(page) == []
    _opens_as_a_file(window, next(folder.rglob("report.html")))


def _opens_as_a_file(window, path):
    """A page of the zip shows its pictures, and keeps its policy."""
    page, wrong = window.new_page(), []
    page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
    page.add_init_script(NOTE)
    page.goto(path.as_uri())
    page.wait_for_function(
        "[...document.images].length && [...document.images].every(one => one.naturalWidth)"
    )
    assert violations(page) == [] == wrong
    policy = page.locator("meta[http-equiv]").first.get_attribute("content")
    assert "script-src 'unsafe-inline'" not in policy
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), "
                  "{textContent: 'window.broken = 1'}))")  # fmt: skip
    page.wait_for_function("window.violations.length")
    assert page.evaluate("window.broken") is None
    page.close()


@pytest.mark.long
def test_the_pages_of_a_zip_of_several_pictures_keep_theirs(
    open_page, window, photo_file, tmp_path
):
    page = open_page(query="&backbone=scenes-resnet&example=two-boats", script=NOTE)
    give_file(page, page.get_by_role("button", name="Add pictures"), [photo_file, RAM])
    wait_until_idle(page)
    folder = zipped(page, tmp_path / "zip")
    assert violations(page) == []
    _opens_as_a_file(window, next(folder.rglob("index.html")))


def test_what_is_not_of_the_page_does_not_run(chromium, server):
    page = chromium.new_page()
    page.add_init_script(NOTE)
    page.goto(server[0])
    page.wait_for_selector("#views")
    page.evaluate(
        """() => {
        const script = document.createElement("script")
        script.textContent = "window.broken = true"
        document.head.append(script)
        const picture = document.createElement("div")
        picture.innerHTML = '<img src="data:," onerror="window.broken = true">'
        document.body.append(picture)
        }"""
    )
    page.wait_for_function("window.violations.length >= 2")
    assert page.evaluate("window.broken") is None
    assert all("script-src" in each for each in violations(page))
    page.close()


def test_an_open_page_says_that_the_server_restarts_and_goes_on(chromium, tmp_path):
    """It opens again with what was set, as soon as the server is back."""
    page = chromium.new_page()
    with started(APP, tmp_path) as (url, process):
        page.goto(f"{url}?backbone=scenes-resnet&example=two-boats&method=hires_cam")
        bars = "#bars :is(.cv-bar, .cv-fine)"
        page.wait_for_selector(bars, state="attached")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        page.locator("#views [data-view=classes]").evaluate("element => element.click()")
        expect(page.locator("#restarting")).to_contain_text("being restarted")
    port = url.rpartition(":")[2]
    with started(APP, tmp_path, GRADIO_SERVER_PORT=port):
        expect(page.locator("#restarting")).to_have_count(0, timeout=60_000)
        page.wait_for_selector(bars, state="attached")
        assert "method=hires_cam" in page.url and "tab=classes" in page.url
        page.close()
