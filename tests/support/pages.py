"""What tests do in a browser, and the conditions that they wait for; never for time."""

import re
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from weakref import WeakKeyDictionary

from playwright.sync_api import TimeoutError, expect

MAPS = "#viewer figure"
QUICK, EVENTS, LEGIBLE, BURSTS, CUT, LAG = (
    Path(__file__).with_name(f"{name}.js").read_text()
    for name in ("quick", "events", "legible", "bursts", "cut", "lag")
)
PATIENCE = 30  # seconds
STREAMS = ("/heartbeat/", "/queue/data")  # requests that stay open

_requests = WeakKeyDictionary()  # page -> those under way


def watch(page, *own):
    """Watch a page; returns a list that grows with each thing that goes wrong in it.

    own: how the addresses begin that it may call.
    """
    wrong, under_way = [], set()
    _requests[page] = under_way

    def start(request):
        if not request.url.startswith((*own, "data:", "blob:")):
            wrong.append(f"another host: {request.url}")
        if not any(part in request.url for part in STREAMS):
            under_way.add(request)

    def note(message):
        if message.type == "error":
            wrong.append(f"console: {message.text}")

    page.add_init_script(EVENTS)
    page.on("request", start)
    page.on("requestfinished", lambda request: under_way.discard(request))
    page.on("requestfailed", lambda request: under_way.discard(request))
    page.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
    page.on("console", note)
    return wrong


def wait_until_idle(page):
    """Wait until every event of a page is answered and the answers are drawn."""
    deadline = time.monotonic() + PATIENCE
    idle = 0
    while idle < 4:  # an answer may be what sends the next event
        pending = page.evaluate(
            """async () => { await new Promise(requestAnimationFrame)
            const {sent, answered} = window.gradioEvents
            return [...sent].filter(id => !answered.has(id)) }"""
        )
        pending += [request.url for request in _requests[page]]
        idle = 0 if pending else idle + 1
        assert time.monotonic() < deadline, pending


def wait_for_link(page, **wanted):
    """Wait until the address bar has these parameters; returns all of them.

    None: until it has none of that name.
    """
    with suppress(TimeoutError):  # the comparison below says more
        page.wait_for_function(
            """wanted => { const query = new URLSearchParams(location.search)
            return Object.entries(wanted).every(([key, value]) => query.get(key) === value) }""",
            arg=wanted,
        )
    found = link_of(page)
    assert {key: found.get(key) for key in wanted} == wanted
    return found


def link_of(page):
    """The parameters of the address bar."""
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def heading(page):
    return page.locator("#verdict h2")


def open_tab(page, title):
    """Open a view by its title, or by that of its entry if it is the only one there."""
    view = view_button(page, title)
    if not view.is_visible():
        entry = view.get_attribute("data-entry")
        page.locator("#views .cv-entries").get_by_role("tab", name=entry, exact=True).click()
    view.click()


def view_button(page, title):
    """What opens a view."""
    return page.locator(f'#views [data-view][title^="{title}"]')


def tick_of(page, layer):
    """The tick of a layer, by its module."""
    return page.locator("#stages").get_by_label(re.compile(rf"\b{re.escape(layer)}\s*$"))


def open_settings(page):
    """Unfold "More settings"."""
    page.get_by_role("button", name="More settings").click()
    expect(page.locator("#fuse")).to_be_visible()


def choose(page, menu, typed, label, *, by_keyboard=False):
    """Search in a menu by typing and take the entry of that label."""
    page.locator(f"#{menu} input").click()
    page.locator(f"#{menu} [role=option]").first.wait_for()
    page.keyboard.press("Control+A")
    page.keyboard.type(typed)
    if not by_keyboard:
        page.get_by_role("option", name=label).click()
        return
    expect(page.locator(f"#{menu} [role=option]")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


def press(page, locator):
    """Press the mouse in the middle of an element, and keep it pressed."""
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()


def perform(page, acts, pace, avoid=()):
    """Do what quick.js can do, one each `pace` milliseconds; returns what each has done.

    avoid: the classes that are never clicked where any will do.
    """
    return page.evaluate(QUICK, [acts, pace, avoid])


def give_file(page, button, path):
    """Click what opens a file dialog, and choose a file, or several."""
    with page.expect_file_chooser() as chooser:
        button.click()
    chooser.value.set_files(path)


def upload(page, path, frame="#picture"):
    """Give another picture in place of the one that is shown."""
    take_away(page, frame)
    drop_zone = page.locator(frame).get_by_label("Drop an image file here to upload")
    give_file(page, drop_zone, path)


def take_away(page, frame="#picture"):
    """Take the picture away, if there is one."""
    remove = page.locator(frame).get_by_label("Remove Image")
    drop_zone = page.locator(frame).get_by_label("Drop an image file here to upload")
    expect(remove.or_(drop_zone).first).to_be_visible()
    if remove.is_visible():
        remove.click()
    expect(drop_zone).to_be_visible()


def wait_for_maps(page, viewer, count):
    """Wait until so many maps are on the page and painted."""
    expect(page.locator(f"{viewer} .vw-panel canvas")).to_have_count(count)
    page.wait_for_function(
        "css => document.querySelector(css)?.stats?.draws > 0", arg=f"{viewer} .vw"
    )


def pixels(page, viewer):
    """The pixels of the first map in a viewer, as text that can be compared."""
    return page.locator(f"{viewer} figure canvas").first.evaluate("c => c.toDataURL()")


def wait_for_pixels(page, viewer, before, *, same=False):
    """Wait until the first map shows something else than before; same: the same again."""
    page.wait_for_function(
        """([css, before, same]) =>
        (document.querySelector(css).toDataURL() === before) === same""",
        arg=[f"{viewer} figure canvas", before, same],
    )


def fits_window(page):
    """Whether nothing makes the page wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def wrong_with_texts(page):
    """Texts on the page that cannot be read for want of contrast, and controls without a name.

    Colours may be on their way to what they will be; they are given a moment.
    """
    with suppress(TimeoutError):
        page.wait_for_function(f"() => !({LEGIBLE})().length", timeout=3000)
    return page.evaluate(LEGIBLE)
