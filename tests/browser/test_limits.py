"""What the page says where the server has no room, and that it goes on by itself."""

import pytest
from playwright.sync_api import expect

from tests.support.pages import give_file, heading, wait_for_link, wait_until_idle

pytestmark = pytest.mark.browser
SCENE = "&example=a-ram&backbone=scenes-resnet"
# Answers as a full queue does, so many times as window.full says; window.refused: to uploads.
SERVER = """
window.full = 0
{ const send = window.fetch
  window.fetch = async (...given) => {
    if (window.refused && String(given[0].url ?? given[0]).includes("/upload"))
      return new Response(window.refused, {status: 413})
    if (!window.full || !String(given[0].url ?? given[0]).includes("/queue/join"))
      return send(...given)
    window.full -= 1
    return new Response('{"detail": "Queue is full."}', {status: 503})
  } }
"""


def test_a_full_queue_is_waited_for_with_a_sentence(open_page):
    page = open_page(query=SCENE, script=SERVER)
    wait_until_idle(page)
    page.evaluate("window.full = 2")
    label = page.locator("#bars .cv-bar").nth(1).get_attribute("data-label")
    page.locator("#bars .cv-bar").nth(1).click()
    expect(page.locator("#in-line")).to_contain_text("waits for its turn")
    wait_for_link(page, **{"class": label})
    expect(heading(page)).to_contain_text(f"Where it would see {label}")
    assert page.evaluate("window.full") == 0
    expect(page.locator("#in-line")).to_have_text("")
    expect(page.locator(".toast-body")).to_have_count(0)


def test_an_upload_for_which_there_is_no_room_says_so(open_page, photo_file):
    page = open_page(query=SCENE, script=SERVER)
    wait_until_idle(page)
    page.evaluate("window.refused = '9.0 MB do not fit: one visitor may hold 6 MB'")
    give_file(page, page.locator("#add"), photo_file)
    expect(page.locator(".toast-body")).to_contain_text("one visitor may hold 6 MB")
