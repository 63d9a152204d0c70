"""What a server costs that nobody asks anything of: its processor time, as a share of one core.

    python -m benchmarks.idle [--seconds 60]

Serves app.py on this machine. In this order: before any page was opened, with a page open in
Chromium whose first answer has come, and after that page was closed. Processor time does not depend
on what else the machine does.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.load import Process
from tests.support.server import served

SETTLE = 5  # seconds until what was begun has ended


def measure(what: str, server: Process, seconds: float) -> None:
    """Print the processor time that the server takes in so many seconds."""
    time.sleep(SETTLE)
    before, begun = server.seconds, time.monotonic()
    time.sleep(seconds)
    used, passed = server.seconds - before, time.monotonic() - begun
    print(f"{what:22} {used:.2f} s in {passed:.0f} s: {used / passed:.1%} of a core", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="of each of the three")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as url:
        server = Process(Path(folder))
        measure("no page yet", server, seconds)
        with sync_playwright() as playwright:
            options = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox"]}
            with playwright.chromium.launch(**options) as browser:
                page = browser.new_page()
                page.goto(f"{url}/?backbone=scenes-resnet&example=a-ram")
                page.wait_for_function("document.querySelector('.vw')?.stats?.values > 0")
                measure("a page is open", server, seconds)
        measure("the page was closed", server, seconds)


if __name__ == "__main__":
    main()
