"""The real page in Chromium, on a small network of our own that needs no download."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import torch

from camviz.backbones import build_untrained

ROOT = Path(__file__).resolve().parents[2]
TREES = ("ash", "birch", "cedar", "dogwood", "elm", "fir")
PATIENCE = 90  # seconds for app.py to answer; importing torch and gradio takes most of it
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def trees():
    """The classes of `grove`."""
    return TREES


@pytest.fixture(scope="session")
def grove(tmp_path_factory):
    """A folder in timm's own format: a classifier of six trees, its weights always the same."""
    from timm.models._hub import save_for_hf

    model = build_untrained("test_resnet", num_classes=len(TREES), zero_init_last=False)
    with torch.no_grad():
        model.fc.weight.mul_(40)  # or every class would have the same probability
    folder = tmp_path_factory.mktemp("models") / "grove"
    save_for_hf(model, folder, model_config={"label_names": list(TREES)})
    return folder


@pytest.fixture(scope="module")
def chromium():
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium on this machine")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(chromium, grove, tmp_path_factory):
    """Where app.py serves the page. Whatever it logs as unexpected fails the tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    folder = tmp_path_factory.mktemp("server")
    settings = {
        "CAMVIZ_BACKBONE": f"local-dir:{grove}",
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": port,
        "GRADIO_TEMP_DIR": str(folder),
        "HF_HUB_OFFLINE": "1",
    }
    log = folder / "log.txt"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=os.environ | settings,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, server, log)
        yield url
    finally:
        server.terminate()
        server.wait(20)
    assert "Traceback" not in log.read_text(), log.read_text()


def _wait_for(url, server, log):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"app.py did not answer within {PATIENCE} seconds:\n{log.read_text()}")


@pytest.fixture
def open_page(chromium, address):
    """open_page(width): the page with its first result. What it does wrong fails the test."""
    pages, wrong = [], []

    def said(message):
        if message.type == "error":
            wrong.append(f"console: {message.text}")

    def asked(request):
        if not request.url.startswith((address, "data:", "blob:")):
            wrong.append(f"another host: {request.url}")

    def get(width=1280, height=900, theme="light"):
        page = chromium.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
        page.on("console", said)
        page.on("request", asked)
        page.goto(f"{address}?__theme={theme}")
        page.wait_for_selector("#layers figure img")
        return page

    yield get
    for page in pages:
        page.close()
    assert not wrong
