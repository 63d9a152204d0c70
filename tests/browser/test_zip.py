"""The pictures in the zip beside those that the viewer draws of the same maps."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.support.pages import wait_until_idle

pytestmark = pytest.mark.browser

SCENE = "&backbone=scenes-resnet&example=two-boats&method=hires_cam"
PANELS = (("layercam", "layer3"), ("layercam", "fused"), ("prototypes", "layer4"))


def shown(page, row, panel):
    """A map as "Map only" gives it; where nothing is drawn it is black."""
    page.locator(f'#viewer [data-id="{row}/{panel}"] .vw-open').click()
    with page.expect_download() as download:
        page.locator("#viewer dialog").get_by_role("button", name="Map only").click()
    page.keyboard.press("Escape")
    expect(page.locator("#viewer dialog")).to_be_hidden()
    with Image.open(download.value.path()) as image:
        pixels = np.asarray(image.convert("RGBA")).astype(int)
    return pixels[..., :3] * (pixels[..., 3:] > 0)


def saved(page):
    """The pictures in "Download zip", by name."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download zip").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        return {
            name.removesuffix(".png"): np.asarray(Image.open(io.BytesIO(archive.read(name))))
            for name in archive.namelist()
            if name.endswith(".png")
        }


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("query", "most"),
    [
        ("&view=map", 0.001),
        ("&view=map&signed=1&colors=magma", 0.001),
        ("&view=map&threshold=0.3&colors=magma", 0.01),
        ("&view=map&signed=1&threshold=0.25&scale=same", 0.01),
        ("", 0.01),
        ("&signed=1&opacity=0.8&blend=even", 0.01),  # the viewer's picture was compressed
        ("&view=map&contours=1&boxes=all&outline=sailing+boat", 0.12),  # lines are thicker
    ],
)
def test_pictures_of_the_zip_are_those_of_the_viewer(open_page, query, most):
    page = open_page(query=SCENE + query)
    wait_until_idle(page)
    pictures = saved(page)
    for row, panel in PANELS:
        one, other = shown(page, row, panel), pictures[f"{row}_{panel}"].astype(int)
        assert one.shape == other.shape
        apart = np.abs(one - other).max(axis=2) > 24
        assert apart.mean() <= most, (row, panel)
