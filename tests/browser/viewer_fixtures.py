"""A page that holds nothing but two viewers (viewer_page.py), for tests of the viewer.

They show fixed explanations of a small untrained network.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from camviz.engine.engine import Engine
from camviz.ui.state import Unavailable
from camviz.ui.viewer import payload
from tests.support.pages import LAG
from tests.support.viewers import FIRST, HOSTILE

PAGE = Path(__file__).with_name("viewer_page.py")
ROOT = PAGE.parents[2]


@pytest.fixture(scope="package")
def picture():
    """Two things on a plain ground: uint8 (240, 320, 3)."""
    pixels = np.full((240, 320, 3), 120, np.uint8)
    pixels[40:120, 30:110] = (220, 90, 30)
    pixels[130:220, 200:300] = (40, 160, 220)
    noise = np.random.default_rng(0).integers(-25, 25, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="package")
def explain(tiny, picture):
    engine = Engine("cpu")

    def get(method="layer_cam", pixels=picture, **options):
        return engine.explain(pixels, tiny("test_resnet"), method=method, target=3, **options)

    return get


@pytest.fixture(scope="package")
def shown(explain):
    """The rows of the first page, by key."""
    return {
        "layercam": explain(),
        "denoised": explain("grad_cam"),
        "prototypes": explain("hires_cam"),
    }


@pytest.fixture(scope="package")
def truth(picture):
    mask = np.zeros(picture.shape[:2], bool)
    mask[40:120, 30:110] = True
    return mask


@pytest.fixture(scope="package")
def payloads(explain, shown, truth, picture):
    x = shown["layercam"]
    why = "Empty: nothing here speaks for this class."
    empty = replace(
        x,
        raw={name: -np.abs(raw) for name, raw in x.raw.items()},
        notes={n: replace(note, empty=True, sentences=(why,)) for n, note in x.notes.items()},
    )
    made = {
        "scene": payload(shown, truth={"box": truth}, linked=True),
        "other": payload(
            {"layercam": explain("grad_cam_pp"), "denoised": Unavailable("It cannot be had.")},
            linked=True,
        ),
        "crop": payload({"layercam": explain(fit="crop")}, linked=True),
        "wide": payload({"layercam": explain(pixels=picture[:20])}, linked=True),
        "large": payload(
            {"layercam": explain(pixels=picture.repeat(5, 0).repeat(5, 1))}, linked=True
        ),
        "tall": payload({"layercam": explain(pixels=picture[:, :20])}, linked=True),
        "empty": payload({"layercam": empty, "denoised": x}, linked=True),
        "alone": payload({"layercam": explain("cam")}),
        "sentences": payload(
            {"layercam": Unavailable("Nothing to see."), "denoised": Unavailable("Nor here.")},
            linked=True,
        ),
    }
    made = {name: value.to_json() for name, value in made.items()}
    hostile = json.loads(json.dumps(made["scene"]))
    hostile["picture"]["name"] = hostile["crop_note"] = HOSTILE
    hostile["truth"][0] |= {"label": HOSTILE, "note": HOSTILE}
    words = {"summary": HOSTILE, "formula": HOSTILE, "symbols": HOSTILE}
    for row in hostile["rows"]:
        row |= dict.fromkeys(("title", "method", "paper", "tag"), HOSTILE) | {"words": words}
        row["absent"] = [{"key": HOSTILE * 2, "name": HOSTILE, "reason": HOSTILE}]
        for panel in row["panels"]:
            panel |= {"alt": HOSTILE, "words": words, "marks": {HOSTILE: HOSTILE}}
            panel |= {name: [HOSTILE] for name in ("facts", "warnings", "remarks", "notes")}
        row["panels"][0] |= {"key": HOSTILE, "name": HOSTILE}
    row = dict.fromkeys(("key", "title", "reason"), HOSTILE)
    hostile["rows"].append(row | {"panels": [], "absent": []})
    return made | {"hostile": hostile}


@pytest.fixture(scope="package")
def address(chromium, payloads, tmp_path_factory):
    """Where the page is served; what the server logs as unexpected fails the tests."""
    folder = tmp_path_factory.mktemp("payloads")
    for name, value in payloads.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    log = tmp_path_factory.mktemp("viewer") / "log.txt"
    settings = {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": port,
        "GRADIO_TEMP_DIR": str(log.parent),
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
    }
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, str(PAGE), str(folder)],
            cwd=ROOT,
            env=os.environ | settings,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            try:
                with urllib.request.urlopen(url, timeout=5):
                    break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait(20)
    assert "traceback" not in log.read_text().casefold(), log.read_text()


@pytest.fixture
def open_viewer(chromium, window, address):
    """open_viewer(query=...): the page, drawn. What it does wrong fails the test.

    options: those of a window of its own, which loads everything anew.
    """
    pages, wrong = [], []

    def on_console(message):
        if message.type in ("error", "warning"):
            wrong.append(f"console: {message.text}")

    def on_request(request):
        if not request.url.startswith((address, "data:", "blob:")):
            wrong.append(f"another host: {request.url}")

    def get(query="", width=1280, height=900, theme="light", **options):
        page = chromium.new_page(**options) if options else window.new_page()
        page.set_viewport_size({"width": width, "height": height})
        pages.append(page)
        if os.environ.get("CAMVIZ_TEST_LAG"):
            page.add_init_script(LAG)
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
        page.on("console", on_console)
        page.on("request", on_request)
        page.goto(f"{address}?__theme={theme}{query}")
        page.wait_for_function(f"document.querySelector('{FIRST}')?.stats?.draws > 0")
        page.wait_for_function("document.querySelector('#second .vw')?.stats?.draws > 0")
        return page

    yield get
    for page in pages:
        page.close()
    assert not wrong
