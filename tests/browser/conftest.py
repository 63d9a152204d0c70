"""The real page in Chromium, on a small network of our own that needs no download.

One server and one browser serve all tests of this folder: the page keeps its state per visitor,
and every `open_page` is a visitor of its own. What a page or the server does wrong meanwhile fails
the test. With CAMVIZ_TEST_LAG=1 pages are slow (tests/support/lag.js): that shows which test reads
a page before it is ready, and which control drops what comes early.
"""

import os
import shutil
from urllib.parse import urlsplit

import pytest
import torch

from camviz.network.weights import build_untrained
from tests.browser.viewer_fixtures import (  # noqa: F401
    address,
    explain,
    open_viewer,
    payloads,
    picture,
    shown,
    truth,
)
from tests.support.pages import LAG, PATIENCE, watch
from tests.support.server import LOG, served

TREES = ("ash", "birch", "cedar", "dogwood", "elm", "fir")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",  # which permits it
    "--renderer-process-limit=1",  # compiled scripts are there for the next page
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


# "package": Playwright runs an event loop in this thread, in which nobody else's can run.
@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def window(chromium):
    """A window for all tests, so that what was loaded once is in its cache."""
    context = chromium.new_context()
    context.new_page()  # the last page to close would take the cache with it
    yield context
    context.close()


@pytest.fixture(scope="package")
def server(grove, tmp_path_factory):
    """The URL at which app.py serves the page, and the file of what it logs."""
    folder = tmp_path_factory.mktemp("server")
    with served(folder, CAMVIZ_BACKBONE=f"local-dir:{grove}") as url:
        yield url, folder / LOG


@pytest.fixture
def browse(window):
    """browse(url, width, height): a page at that URL. What it does wrong fails the test.

    scheme: light or dark, as the visitor's system is. script: runs before those of the page.
    """
    pages = {}

    def get(url, width=1440, height=900, scheme="light", script=""):
        page = window.new_page()
        if os.environ.get("CAMVIZ_TEST_LAG"):
            page.add_init_script(LAG)
        page.add_init_script(script)  # before ours, which notes what reaches the page
        pages[page] = watch(page, "{0.scheme}://{0.netloc}".format(urlsplit(url)))
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": height})
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(url)
        return page

    yield get
    for page in pages:
        page.close()
    assert not any(pages.values()), [*pages.values()]


@pytest.fixture
def open_page(browse, server):
    """open_page(width, height, theme, query): the page with its first answer."""
    url, log = server
    before = len(log.read_text())

    def get(width=1440, height=900, theme="light", query="", **options):
        page = browse(f"{url}?__theme={theme}{query}", width, height, **options)
        page.wait_for_selector("#bars :is(.cv-bar, .cv-fine)", state="attached")  # or folded away
        return page

    yield get
    assert "traceback" not in log.read_text()[before:].casefold(), log.read_text()[before:]
