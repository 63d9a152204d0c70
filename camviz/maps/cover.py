"""Covering part of a picture: what stands in the place of what is taken away.

    covered = cover_pixels(pixels, mask, "blur")     # uint8, as the picture; outside the mask equal

Whatever is put there is a picture that no camera took. So there are several covers, each with a
weakness of its own, and what holds under all of them can be believed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from camviz.errors import MethodError
from camviz.maps.imputation import impute

BLUR = 0.05  # standard deviation, in shorter sides of the picture
_BLURRED_AT = 512  # pixels of the longer side; what is blurred so much has no finer detail
_SOLVED_AT = 128  # the same for neighbours' colours, whose solution is smooth
_NOISE = 0.01  # of the range of 255

# (picture, mask, picture of a background or None) -> what the covered places show: float32 or
# uint8 (H, W) for each channel, of which only what lies inside of the mask is used. One after the
# other, so that no more than one channel of a large picture is in memory as numbers.
Filling = Callable[[np.ndarray, np.ndarray, "np.ndarray | None"], Iterable[np.ndarray]]


@dataclass(frozen=True)
class Cover:
    """A way to cover: its name on the page, what it puts there, and where it comes from."""

    label: str
    function: Filling
    summary: str
    source: str


def blurred(
    pixels: np.ndarray, mask: np.ndarray, background: np.ndarray | None
) -> Iterator[np.ndarray]:
    """The picture out of focus: G_s * x, a Gaussian with s = 1/20 of the shorter side.

    A picture longer than 512 pixels is blurred at that size. Edges are mirrored. It keeps colours
    and large shapes, so that a thing told by these is still there.
    """
    small = _reduced(pixels, _BLURRED_AT)
    sigma = BLUR * min(small.shape[:2])
    for plane in _planes(small):
        soft = cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
        yield _enlarged(soft, pixels.shape[:2])


def mean_color(
    pixels: np.ndarray, mask: np.ndarray, background: np.ndarray | None
) -> Iterator[np.ndarray]:
    """One colour, the mean of the whole picture. Its edge is a shape of its own."""
    mean = pixels.reshape(-1, pixels.shape[2]).mean(axis=0, dtype=np.float64)
    for value in mean.astype(np.float32):
        yield np.broadcast_to(value, pixels.shape[:2])


def neighbours(
    pixels: np.ndarray, mask: np.ndarray, background: np.ndarray | None
) -> Iterator[np.ndarray]:
    """Each place as the weighted mean of its neighbours, with noise of 1 %: `impute`, as in ROAD.

    Solved where the longer side has at most 128 pixels: a pixel of that grid is covered if any part
    of it is. It continues what surrounds the mask and leaves no edge. Where nothing is left to
    continue, the mean colour.
    """
    small = _reduced(pixels, _SOLVED_AT)
    missing = _any_inside(mask, small.shape[:2])
    if missing.all():  # or what is left is finer than that grid
        yield from mean_color(pixels, mask, background)
        return
    image = torch.from_numpy(small / np.float32(255)).permute(2, 0, 1)
    solved = impute(image, torch.from_numpy(missing)[None], noise=0.0)[0]
    rng = np.random.default_rng(0)
    for plane in solved.numpy() * 255:
        filled = _enlarged(plane, pixels.shape[:2]).copy()
        noise = rng.standard_normal(np.count_nonzero(mask), np.float32)
        filled[mask] += np.float32(255 * _NOISE) * noise
        yield filled


def background_of(
    pixels: np.ndarray, mask: np.ndarray, background: np.ndarray | None
) -> Iterator[np.ndarray]:
    """What another picture shows at the same place, brought to this one's size."""
    if background is None:
        raise MethodError(
            "cover 'background' takes what another picture shows there, and none was given; give "
            "background, or take blur, mean or neighbours"
        )
    if background.ndim != 3 or background.shape[2] != pixels.shape[2]:
        raise MethodError(
            f"the background has shape {background.shape}, and the picture "
            f"{pixels.shape[2]} channels; give one of as many"
        )
    height, width = pixels.shape[:2]
    shrinks = background.shape[0] * background.shape[1] > height * width
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    for plane in _planes(background):
        yield cv2.resize(plane, (width, height), interpolation=way)


COVERS: dict[str, Cover] = {
    "blur": Cover(
        "Blur",
        blurred,
        "The picture out of focus. Colours and large shapes stay.",
        "Fong & Vedaldi 2017",
    ),
    "mean": Cover(
        "Mean colour",
        mean_color,
        "One colour, the picture's mean. The edge of the patch is new.",
        "Zeiler & Fergus 2014",
    ),
    "neighbours": Cover(
        "Neighbours' colours",
        neighbours,
        "What surrounds it, continued without an edge.",
        "ROAD, Rong et al. 2022",
    ),
    "background": Cover(
        "Another background",
        background_of,
        "What another picture, without any thing in it, shows there.",
        "as in a collage",
    ),
}


def cover_pixels(
    pixels: np.ndarray,
    mask: np.ndarray,
    cover: str = "blur",
    background: np.ndarray | None = None,
) -> np.ndarray:
    """The picture with what lies inside of a mask covered: uint8 (H, W, C), a new array.

    pixels: uint8 (H, W, C). mask: bool (H, W). cover: one of `COVERS`. background: uint8
    (h, w, C), for the cover of that name. Values are rounded to the nearest, halves to even.
    Raises `MethodError` for a cover, mask or background that does not fit.
    """
    if cover not in COVERS:
        raise MethodError(f"no cover is called {cover!r}; covers: {', '.join(COVERS)}")
    check_mask(mask, pixels.shape[:2])
    covered = pixels.copy()
    if mask.any():
        filling = COVERS[cover].function(pixels, mask, background)
        for channel, plane in enumerate(filling):
            values = np.rint(np.clip(plane[mask], 0, 255))
            covered[..., channel][mask] = values.astype(np.uint8)
    return covered


def check_mask(mask: np.ndarray, size: tuple[int, int]) -> None:
    """Raise `MethodError` unless a mask is bool, one value a pixel."""
    given = np.asarray(mask)
    if given.dtype != np.bool_ or given.shape != tuple(size):
        raise MethodError(
            f"a mask of what is covered is bool, one value a pixel of the picture, {size[0]} x "
            f"{size[1]}; this one is {given.dtype} of shape {given.shape}"
        )


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """A mask and what lies at most so many pixels around it, in either direction."""
    side = 2 * pixels + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def _planes(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """The channels one by one, float32: there may be more than cv2 takes at once."""
    for channel in range(pixels.shape[2]):
        yield np.ascontiguousarray(pixels[..., channel], dtype=np.float32)


def _reduced(pixels: np.ndarray, longest: int) -> np.ndarray:
    """A picture at most so long, float32, each pixel the mean of those that it stands for."""
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels.astype(np.float32)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    planes = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in _planes(pixels)]
    return np.stack(planes, axis=2)


def _enlarged(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A channel, (h, w), at the size of the picture, (height, width)."""
    if plane.shape == tuple(size):
        return plane
    return cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR)


def _any_inside(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask on a coarser grid: true where any of what a pixel stands for is."""
    if mask.shape == tuple(size):
        return mask
    share = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    return share > 1e-6
