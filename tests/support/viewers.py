"""What tests do to a <map-viewer> on the page of tests/browser/viewer_page.py."""

import base64
import io

import numpy as np
from PIL import Image

FIRST = "#first .vw"
PANEL = f"{FIRST} .vw-panel"
OPEN = f"{FIRST} .vw-panel .vw-open"
HOSTILE = "<img src=x onerror='window.broken=1'>"


def show(page, name):
    """Another value for the first viewer, shown."""
    values = page.evaluate(f"document.querySelector('{FIRST}').stats.values")
    page.locator(f"#which input[value={name}]").evaluate("input => input.click()")
    page.wait_for_function(f"document.querySelector('{FIRST}').stats.values > {values}")


def wait_until_drawn(page):
    """Wait until all changes are drawn, and written into the address bar.

    The page's own clock says when: what it put off before, and for less long, it has done then,
    however busy it is.
    """
    page.evaluate(
        """new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() =>
        setTimeout(done, 250))))"""
    )


def pixels_of(page, selector=f"{PANEL} canvas"):
    """The pixels of all canvases, as text that can be compared."""
    return page.locator(selector).evaluate_all("all => all.map(c => c.toDataURL())")


def canvas(page, selector=f"{PANEL} canvas", index=0):
    data = page.locator(selector).nth(index).evaluate("c => c.toDataURL().split(',')[1]")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


def download(page):
    """What "Map only" gives, and its name."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Map only").click()
    with Image.open(waiting.value.path()) as image:
        return np.asarray(image.convert("RGB")), waiting.value.suggested_filename


def readings(page):
    """Per panel (share, raw) as they are read out at the crosshair."""
    found = page.locator(f"{PANEL} .vw-value").evaluate_all(
        "all => all.map(one => [one.dataset.share, one.dataset.raw])"
    )
    return [None if share == "" else (float(share), float(raw)) for share, raw in found]


def menu(page):
    page.locator(f"{FIRST} summary").click()
    return page.locator(f"{FIRST} .vw-menu")


def enlarge(page, index):
    """Enlarge a map of the first viewer; returns the dialog."""
    page.locator(OPEN).nth(index).click()
    dialog = page.locator(f"{FIRST} dialog")
    dialog.wait_for(state="visible")
    wait_until_drawn(page)
    return dialog
