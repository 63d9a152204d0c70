"""A live camera: how many frames a second a network is asked about, and how long each takes.

    OMP_NUM_THREADS=1 python -m benchmarks.camera [--seconds 20] [--backbone NAME]

Serves app.py on this machine, opens it in Chromium with the browser's own fake camera, switches
*Live camera* on and reads the figures that the page keeps: answers a second, and the median
milliseconds from a frame that is taken to its map. Beside them how long the server alone takes for
such a frame. A map is to come eight times a second, at most 300 ms behind its frame.
"""

import argparse
import base64
import io
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from camviz.examples import example
from camviz.ui.learn import live
from camviz.ui.state import BackboneChoice, Session
from tests.support.server import served

LEAST, MOST = 8, 300  # frames a second, and milliseconds
FAKE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--no-sandbox")
CAMERA = "live-camera"


def server_alone(backbone: str, rounds: int = 20) -> float:
    """The median milliseconds of one frame, without browser and network."""
    session = Session()
    session.loaded = BackboneChoice(backbone)
    image = Image.fromarray(example("lion").open().pixels).resize((224, 224))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    data = {"number": 1, "frame": base64.b64encode(file.getvalue()).decode()}
    taken = []
    for _ in range(rounds + 3):
        start = time.perf_counter()
        live.look(session, data)
        taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken[3:])


def in_browser(backbone: str, seconds: float) -> list[dict[str, float]]:
    """The figures of the page, each second."""
    found = []
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder)) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(FAKE)
        )
        page = browser.new_page()
        page.goto(f"{url}?backbone={backbone}&example=lion")
        page.wait_for_selector("#bars .cv-bar")
        page.locator(f"{CAMERA} [data-part=switch]").check()
        page.wait_for_function(f"document.querySelector('{CAMERA}').figures.count >= 30")
        for _ in range(round(seconds)):
            page.wait_for_timeout(1000)
            found.append(page.locator(CAMERA).evaluate("camera => camera.figures"))
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0.in1k")
    given = parser.parse_args()
    print(f"{given.backbone}, frames of 224 x 224")
    figures = in_browser(given.backbone, given.seconds)
    rate = statistics.median(each["rate"] for each in figures)
    latency = statistics.median(each["latency"] for each in figures)
    worst = max(each["latency"] for each in figures)
    print(f"frames a second          {rate:6.1f}   at least {LEAST}")
    print(f"frame to map, median ms  {latency:6.0f}   at most {MOST}; at worst {worst:.0f}")
    print(f"the server alone, ms     {server_alone(given.backbone):6.0f}")


if __name__ == "__main__":
    main()
