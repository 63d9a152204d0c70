"""The real page in Chromium, on a small network of our own that needs no download."""

import shutil

import pytest
import torch

from camviz.network.weights import build_untrained
from tests.support.server import served

TREES = ("ash", "birch", "cedar", "dogwood", "elm", "fir")
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
    api.expect.set_options(timeout=20_000)  # on a busy machine five seconds pass quickly
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(chromium, grove, tmp_path_factory):
    """Where app.py serves the page. Whatever it logs as unexpected fails the tests."""
    folder = tmp_path_factory.mktemp("server")
    with served(folder, CAMVIZ_BACKBONE=f"local-dir:{grove}") as url:
        yield url


@pytest.fixture
def open_page(chromium, address):
    """open_page(width): the page with its first answer. What it does wrong fails the test."""
    pages, wrong = [], []

    def said(message):
        if message.type == "error":
            wrong.append(f"console: {message.text}")

    def asked(request):
        if not request.url.startswith((address, "data:", "blob:")):
            wrong.append(f"another host: {request.url}")

    def get(width=1440, height=900, theme="light", query=""):
        page = chromium.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
        page.on("console", said)
        page.on("request", asked)
        page.goto(f"{address}?__theme={theme}{query}")
        page.wait_for_selector("#bars :is(.cv-bar, .cv-fine)")
        return page

    yield get
    for page in pages:
        page.close()
    assert not wrong
