"""What stands in the place of what is covered, against slow twins; masks as texts."""

import math
import re

import numpy as np
import pytest

from camviz.errors import MethodError
from camviz.maps.cover import BLUR, COVERS, cover_pixels
from camviz.maps.runs import read_mask, resize_mask, write_mask

KINDS = list(COVERS)


def picture(height=20, width=24, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (height, width, channels))
    slope = np.linspace(0, 120, width)[None, :, None] + np.linspace(0, 90, height)[:, None, None]
    return (rough * 0.2 + slope).astype(np.uint8)


def blob(height=20, width=24):
    rows, columns = np.mgrid[:height, :width]
    return (rows - 8) ** 2 + (columns - 11) ** 2 < 30


# -- Slow twins: each cover as loops over pixels, in float64 --------------------------------------


def slow_blur(pixels):
    height, width, _ = pixels.shape
    sigma = BLUR * min(height, width)
    reach = math.ceil(4 * sigma)
    weights = [math.exp(-(k**2) / (2 * sigma**2)) for k in range(-reach, reach + 1)]

    def mirrored(i, count):
        while not 0 <= i < count:
            i = -i if i < 0 else 2 * (count - 1) - i
        return i

    found = np.zeros(pixels.shape)
    for y in range(height):
        for x in range(width):
            for dy, a in zip(range(-reach, reach + 1), weights, strict=True):
                for dx, b in zip(range(-reach, reach + 1), weights, strict=True):
                    found[y, x] += a * b * pixels[mirrored(y + dy, height), mirrored(x + dx, width)]
    return found / sum(weights) ** 2


def slow_neighbours(pixels, mask):
    """The linear system as a dense matrix."""
    places = {(int(y), int(x)): n for n, (y, x) in enumerate(np.argwhere(mask))}
    matrix, right = np.zeros((len(places),) * 2), np.zeros((len(places), pixels.shape[2]))
    for (y, x), n in places.items():
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                j, i = y + dy, x + dx
                inside = 0 <= j < pixels.shape[0] and 0 <= i < pixels.shape[1]
                if (dy, dx) == (0, 0) or not inside:
                    continue
                weight = 1 / 12 if dy and dx else 1 / 6
                matrix[n, n] += weight
                if (j, i) in places:
                    matrix[n, places[j, i]] -= weight
                else:
                    right[n] += weight * pixels[j, i]
    found = pixels.astype(float)
    found[mask] = np.linalg.solve(matrix, right)
    return found


@pytest.mark.parametrize("mask", [blob(), np.ones((20, 24), bool)], ids=["blob", "all"])
def test_blur_is_a_gaussian_of_a_twentieth_of_the_shorter_side(mask):
    pixels = picture()
    covered = cover_pixels(pixels, mask, "blur")
    wanted = slow_blur(pixels)
    assert np.abs(covered[mask] - wanted[mask]).max() <= 1
    assert np.abs(pixels[mask] - wanted[mask]).max() > 5, "or the twin shows nothing"


def test_mean_colour_is_that_of_the_whole_picture():
    pixels, mask = picture(), blob()
    covered = cover_pixels(pixels, mask, "mean")
    for channel in range(3):
        values = [int(v) for v in pixels[..., channel].ravel()]
        assert set(covered[mask][:, channel]) == {round(sum(values) / len(values))}


@pytest.mark.parametrize("mask", [blob(), np.indices((20, 24))[1] < 9], ids=["blob", "at the edge"])
def test_neighbours_colours_solve_their_equations(mask):
    pixels = picture()
    covered = cover_pixels(pixels, mask, "neighbours")
    wanted = slow_neighbours(pixels, mask)
    noise = covered[mask] - wanted[mask]
    assert np.abs(noise).max() < 5 * 2.55 + 1 and abs(noise.mean()) < 0.5
    assert 1.5 < noise.std() < 3.6, "noise of one per cent of the range"


def test_neighbours_colours_are_continued_in_a_large_picture_too():
    slope = np.indices((300, 400))[1] * 0.5
    pixels = np.stack([slope, slope, slope], axis=2).astype(np.uint8)
    mask = np.zeros((300, 400), bool)
    mask[100:180, 150:260] = True
    covered = cover_pixels(pixels, mask, "neighbours").astype(float)
    assert np.abs(covered[mask] - pixels[mask]).mean() < 4, "a slope goes on as a slope"


def test_nothing_of_what_is_covered_shines_through_at_its_edge():
    pixels = np.full((300, 400, 3), 90, np.uint8)
    mask = np.zeros((300, 400), bool)
    mask[101:182, 149:263] = True
    pixels[mask] = (255, 0, 0)
    covered = cover_pixels(pixels, mask, "neighbours").astype(int)
    assert np.abs(covered[mask] - 90).max() < 16, "five deviations of the noise"


def test_another_background_is_what_another_picture_shows_there():
    pixels, mask = picture(), blob()
    other = picture(seed=5)
    covered = cover_pixels(pixels, mask, "background", other)
    np.testing.assert_array_equal(covered[mask], other[mask])
    large = np.repeat(np.repeat(other, 3, axis=0), 3, axis=1)
    np.testing.assert_array_equal(cover_pixels(pixels, mask, "background", large), covered)


# -- Every cover ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [3, 6])
def test_what_is_not_covered_stays(kind, channels):
    pixels, mask = picture(channels=channels), blob()
    before = pixels.copy()
    covered = cover_pixels(pixels, mask, kind, picture(channels=channels, seed=3))
    assert covered.dtype == np.uint8 and covered.shape == pixels.shape
    np.testing.assert_array_equal(covered[~mask], pixels[~mask])
    np.testing.assert_array_equal(pixels, before)
    assert (covered[mask] != pixels[mask]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_or_all_may_be_covered(kind):
    pixels, other = picture(), picture(seed=3)
    none, every = np.zeros((20, 24), bool), np.ones((20, 24), bool)
    np.testing.assert_array_equal(cover_pixels(pixels, none, kind, other), pixels)
    assert cover_pixels(pixels, every, kind, other).std() < pixels.std() or kind == "background"


@pytest.mark.parametrize("kind", KINDS)
def test_a_cover_is_always_the_same(kind):
    pixels, other = picture(), picture(seed=3)
    first, second = (cover_pixels(pixels, blob(), kind, other) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"cover": "fog"}, "no cover is called 'fog'; covers: blur, mean, neighbours, background"),
        ({"mask": np.zeros((20, 23), bool)}, "20 x 24; this one is bool of shape (20, 23)"),
        ({"mask": np.zeros((20, 24))}, "this one is float64"),
        ({"cover": "background"}, "and none was given; give background, or take blur"),
        ({"cover": "background", "background": picture()[..., 0]}, "one of as many"),
    ],
)
def test_what_does_not_fit_is_named(change, said):
    given = {"pixels": picture(), "mask": blob(), "cover": "blur", **change}
    with pytest.raises(MethodError, match=re.escape(said)):
        cover_pixels(**given)


# -- Masks as texts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask",
    [
        blob(),
        np.zeros((3, 200), bool),
        np.ones((200, 3), bool),
        np.eye(7, dtype=bool),
        np.random.default_rng(0).random((40, 30)) < 0.5,
        np.arange(512 * 512).reshape(512, 512) > 200_000,
    ],
    ids=["blob", "none", "all", "diagonal", "noise", "large"],
)
def test_a_mask_comes_back_from_its_text(mask):
    text = write_mask(mask)
    assert re.fullmatch(r"\d+x\d+\.[\w-]*", text)
    np.testing.assert_array_equal(read_mask(text), mask)


def test_the_text_is_what_the_browser_writes():
    mask = np.zeros((2, 150), bool)
    mask[0, 140:] = mask[1, :5] = True
    assert write_mask(mask) == "150x2.jAEPkQE"  # runs 140, 15, 145
    assert write_mask(np.ones((1, 2), bool)) == "2x1.AAI"


@pytest.mark.parametrize(
    "text",
    ["", "3x3", "0x3.", "3x3.AAk.", "3x3.AAo", "3x3.A", "3x3.gA", "900x900.AA", "3x3.////", "a" * 9,
     "3x3.gICAgIAB", "\u0663x3.CQ"],
)  # fmt: skip
def test_a_text_that_is_no_mask_is_refused(text):
    with pytest.raises(ValueError):
        read_mask(text)


def test_a_mask_is_resized_by_the_centres_of_its_pixels():
    mask = np.random.default_rng(2).random((5, 7)) < 0.5
    large = resize_mask(mask, 23, 16)
    for y in range(23):
        for x in range(16):
            assert large[y, x] == mask[int((y + 0.5) * 5 / 23), int((x + 0.5) * 7 / 16)]
    np.testing.assert_array_equal(resize_mask(resize_mask(mask, 50, 70), 5, 7), mask)
