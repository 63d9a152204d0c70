"""Pictures as files: to the bit while they are small, of a bounded size when they are large."""

import io

import numpy as np
import pytest
from PIL import Image

from camviz.engine import encoding
from camviz.engine.encoding import MOST_EXACT, encode, suffix_for
from tests.support.pixels import random_pixels


def opened(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.format, np.asarray(image)


def smooth(height, width):
    colors = Image.fromarray(random_pixels(9, 12))
    return np.asarray(colors.resize((width, height), Image.Resampling.BICUBIC))


def test_small_pictures_are_saved_to_the_bit():
    assert suffix_for(1000, MOST_EXACT // 1000) == ".png"
    kind, found = opened(encode(random_pixels(40, 60), ".png", 10))
    assert kind == "PNG" and np.array_equal(found, random_pixels(40, 60))


def test_large_ones_as_jpeg_with_sharp_colours():
    assert suffix_for(1000, MOST_EXACT // 1000 + 1) == ".jpg"
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 31:] = (255, 0, 255)
    kind, found = opened(encode(halves, ".jpg"))
    assert kind == "JPEG"
    assert np.abs(found.astype(int) - halves).mean() < 3


@pytest.mark.parametrize("share", [0.8, 0.5, 0.3])
def test_quality_is_lowered_until_the_file_fits(share):
    pixels = smooth(1200, 1600) // 2 + random_pixels(1200, 1600) // 16
    best = len(encode(pixels, ".jpg"))
    found = encode(pixels, ".jpg", int(best * share))
    assert len(found) <= best * share * 1.05, "the size is told from a part of the picture"
    assert len(found) >= best * share * 0.3
    assert np.abs(opened(found)[1].astype(int) - pixels).mean() < 8


def test_a_file_that_fits_keeps_the_best_quality():
    pixels = smooth(1200, 1600)
    assert encode(pixels, ".jpg", 10**8) == encode(pixels, ".jpg")


def test_there_is_a_worst_quality():
    pixels = random_pixels(300, 400)
    assert len(encode(pixels, ".jpg", 10)) > 1000


@pytest.mark.parametrize("shape", [(8, 8), (3, 9000), (9000, 3), (1, 1), (700, 1)])
def test_any_shape_has_a_part_to_tell_the_size_from(shape, monkeypatch):
    monkeypatch.setattr(encoding, "_SAMPLED", 100)
    _, found = opened(encode(random_pixels(*shape), ".jpg", 5000))
    assert found.shape[:2] == shape
