"""The time a visitor waits for, and the bytes that are sent.

    OMP_NUM_THREADS=1 python -m benchmarks.page [--rounds 5] [--backbone NAME]

Serves app.py on this machine, opens it in Chromium and measures, as medians in milliseconds: page
open to first map drawn; a click on a class, an example and a method to the new maps drawn; a move
of the truncation, and of the threshold, which needs no server, until it is drawn; an upload of 12
megapixels, a new one each time, to its maps. And kilobytes: of the page, and of one answer with
three rows of maps.
"""

import argparse
import io
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, Request, sync_playwright

from tests.support.server import served

QUIET = 1200  # milliseconds, after which an answer has come whole
# Counts the values that the viewer has drawn.
DRAWN = "document.querySelector('.vw')?.stats?.values ?? 0"
PIXELS = """
() => [...document.querySelectorAll('.vw-rows canvas')]
  .map(c => c.toDataURL().length).reduce((a, b) => a + b, 0)"""


def time_to_value(page: Page, act: Callable[[], object]) -> float:
    """Milliseconds from an act to the next value that the viewer has drawn."""
    before = page.evaluate(DRAWN)
    start = time.perf_counter()
    act()
    page.wait_for_function(f"{DRAWN} > {before}", polling=5)
    return 1000 * (time.perf_counter() - start)


def time_to_pixels(page: Page, act: Callable[[], object]) -> float:
    """Milliseconds from an act to other pixels."""
    before = page.evaluate(PIXELS)
    start = time.perf_counter()
    act()
    page.wait_for_function(f"before => ({PIXELS})() !== before", arg=before, polling=5)
    return 1000 * (time.perf_counter() - start)


def photograph(seed: int) -> bytes:
    """A JPEG file of 4000 x 3000 pixels, of the size that a camera's would have."""
    small = np.random.default_rng(seed).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((4000, 3000), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def slide(page: Page, selector: str, value: float) -> None:
    page.locator(selector).first.evaluate(
        """(knob, value) => { knob.value = value
          for (const name of ['input', 'change', 'pointerup'])
            knob.dispatchEvent(new Event(name, {bubbles: true})) }""",
        value,
    )


def visit(page: Page, url: str, note: Callable[[str, str, float], None], first: bool) -> None:
    """One visitor's few minutes; note(unit, what, value)."""
    received = [0]

    def add(request: Request) -> None:
        received[0] += request.sizes()["responseBodySize"]

    page.on("requestfinished", add)
    start = time.perf_counter()
    page.goto(url)
    page.wait_for_function(f"{DRAWN} > 0", polling=5, timeout=120_000)
    what = "page open to first map" + ", first visitor" * first
    note("ms", what, 1000 * (time.perf_counter() - start))
    page.wait_for_timeout(QUIET)
    note("kB", "page and first maps", received[0] / 1e3)
    for name, act in {
        "another class": lambda: page.locator(".cv-bar").nth(1).click(),
        "the class before": lambda: page.locator(".cv-bar").nth(0).click(),
        "another example": lambda: page.locator("#examples button").nth(1).click(),
        "truncation": lambda: slide(page, "#truncation input[type=range]", 0.5),
    }.items():
        before = received[0]
        note("ms", name, time_to_value(page, act))
        page.wait_for_timeout(QUIET)
        note("kB", f"answer to {name}", (received[0] - before) / 1e3)
    for value in (0.3, 0.6):
        moved = time_to_pixels(page, partial(slide, page, "[data-number=threshold]", value))
        note("ms", "threshold, in the browser alone", moved)
    file = {"name": "p.jpg", "mimeType": "image/jpeg", "buffer": photograph(time.time_ns())}
    upload = page.locator("#picture input[type=file]").first
    if not upload.count():
        page.locator("#picture button[aria-label='Clear']").click()
        upload.wait_for(state="attached")
        page.wait_for_timeout(QUIET)
    note("ms", "upload of 12 megapixels", time_to_value(page, lambda: upload.set_input_files(file)))
    page.wait_for_timeout(QUIET)


def measure(rounds: int, backbone: str) -> None:
    found: dict[tuple[str, str], list[float]] = defaultdict(list)

    def note(unit: str, what: str, value: float) -> None:
        found[unit, what].append(value)

    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        served(Path(folder)) as url,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for number in range(rounds):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            visit(page, f"{url}?backbone={backbone}", note, not number)
            page.close()
        browser.close()
    for (unit, what), values in sorted(found.items(), key=lambda row: row[0][0], reverse=True):
        print(f"{what:40} {statistics.median(values):8.0f} {unit}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="scenes-resnet")
    options = parser.parse_args()
    measure(options.rounds, options.backbone)
