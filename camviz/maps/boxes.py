"""Boxes and masks: where on the picture the evidence of a heat map lies.

    mask = mask_at(heat, threshold=0.2)      # bool (H, W), at least 20 % of the maximum
    boxes = boxes_at(heat, threshold=0.2)    # its connected parts, largest first

A heat map is (H, W), of any scale; a map without a positive value is empty and gives no mask and
no box. Thresholds are fractions of the *maximum*, never percentiles. Boxes are half-open xyxy in
pixels: a box holds the columns x0 .. x1 - 1, and x1 - x0 of them.

Components are counted in pixels and not with `cv2.contourArea`, which measures the polygon
through the pixel centres: a line has area 0 there, and a ring gives two contours. Two published
protocols count that way; `wsol_boxes` and `layercam_loc_box` repeat them to the letter, for
benchmarks only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import cv2
import numpy as np

from camviz.defaults import SPECK_AREA, SPECK_HEAT, THRESHOLD
from camviz.errors import MethodError
from camviz.maps.strips import strips


def as_heat(heat: Any) -> np.ndarray:
    """The map as (H, W) finite floats, at least float32. Raises ValueError if it cannot be that."""
    heat = np.asarray(heat)
    if heat.ndim != 2 or heat.size == 0:
        raise ValueError(f"a heat map has shape (H, W), not {heat.shape}")
    if heat.dtype.kind not in "buif":
        raise ValueError(f"a heat map holds real numbers, not {heat.dtype}")
    if not np.isfinite(heat).all():
        raise ValueError("the heat map holds NaN or infinite values")
    return heat.astype(np.result_type(heat, np.float32), copy=False)


def mask_at(heat: Any, threshold: float = THRESHOLD) -> np.ndarray:
    """The pixels with at least `threshold` of the map's maximum.

        M >= threshold * max(M)

    heat: (H, W).  threshold: in [0, 1].  Returns bool (H, W), empty if no value is positive.
    Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016 (20 %).
    """
    heat = as_heat(heat)
    _check_fractions(threshold)
    peak = float(heat.max())
    if peak <= 0:
        return np.zeros(heat.shape, dtype=bool)
    return heat >= threshold * peak


def otsu_mask(heat: Any) -> np.ndarray:
    """The brighter of the two groups of values that lie best apart, after Otsu.

    The positive part of the map in 256 levels, cut where the variance between the groups is
    greatest. A constant positive map has one group and is all mask.  (H, W) -> bool (H, W).
    Otsu, "A Threshold Selection Method from Gray-Level Histograms", IEEE Trans. SMC 1979.
    """
    heat = as_heat(heat)
    peak = float(heat.max())
    if peak <= 0:
        return np.zeros(heat.shape, dtype=bool)
    levels = np.rint(heat.clip(min=0) / peak * 255).astype(np.uint8)
    cut, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    return levels > cut


def area_mask(heat: Any, fraction: float = 0.2) -> np.ndarray:
    """The hottest `fraction` of the picture.

    The first round(fraction * H * W) pixels by falling heat, ties in reading order; fewer where
    fewer are positive, for a pixel without heat is evidence of nothing.  Returns bool (H, W).
    """
    heat = as_heat(heat)
    _check_fractions(fraction)
    hottest = np.argsort(-heat.ravel().astype(np.float64), kind="stable")
    mask = np.zeros(heat.size, dtype=bool)
    mask[hottest[: round(fraction * heat.size)]] = True
    return mask.reshape(heat.shape) & (heat > 0)


def hysteresis_mask(heat: Any, low: float = 0.2, high: float = 0.5) -> np.ndarray:
    """The parts of `mask_at(heat, low)` that somewhere reach `high`, after Canny.

    high = 1 keeps only what touches the peak.  0 <= low <= high <= 1.  Returns bool (H, W).
    """
    _check_fractions(low, high)
    if low > high:
        raise ValueError(f"low ({low}) is above high ({high})")
    _, labels = cv2.connectedComponents(mask_at(heat, low).astype(np.uint8), connectivity=8)
    return np.isin(labels, labels[mask_at(heat, high)])


MASKS: dict[str, Callable[..., np.ndarray]] = {
    "fixed": mask_at,
    "otsu": otsu_mask,
    "area": area_mask,
    "hysteresis": hysteresis_mask,
}


@dataclass(frozen=True)
class Box:
    """The rectangle around one connected part of a mask; half-open, in pixels.

    area_fraction: the part's pixels (not the rectangle's) over the picture's.
    heat_fraction: the part's heat over all positive heat of the map.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    area_fraction: float
    heat_fraction: float

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        return self.x0, self.y0, self.x1, self.y1


def boxes_at(heat: Any, threshold: float = THRESHOLD, *, multi: bool = False) -> list[Box]:
    """The connected parts of `mask_at(heat, threshold)`, largest first; none on an empty map.

    Pixels that touch by a side or a corner belong together. Order: most pixels, then most heat,
    then the higher, then the farther left. `multi` keeps those that count as objects of their
    own: at least 1 % of the picture and at least 10 % of the largest part's heat.
    """
    heat = as_heat(heat)
    return boxes_of(lambda rows: heat[rows], heat.shape, threshold, multi=multi)


def boxes_of(
    heat: Callable[[slice], np.ndarray],
    shape: tuple[int, ...],
    threshold: float = THRESHOLD,
    *,
    multi: bool = False,
) -> list[Box]:
    """`boxes_at` of a map that is drawn as it is needed: heat(rows) gives some rows of it, finite.

    The map itself is never in memory as a whole, and drawn three times.
    """
    _check_fractions(threshold)
    peak = max(float(heat(rows).max()) for rows in strips(*shape))
    if peak <= 0:
        return []
    mask = np.empty(shape, np.uint8)
    for rows in strips(*shape):
        mask[rows] = heat(rows) >= threshold * peak
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    warmth, total = np.zeros(len(stats)), 0.0
    for rows in strips(*shape):
        positive = heat(rows).clip(min=0).astype(np.float64)
        warmth += np.bincount(labels[rows].ravel(), positive.ravel(), minlength=len(stats))
        total += positive.sum()
    boxes = [
        Box(int(x), int(y), int(x + w), int(y + h), int(pixels) / mask.size, float(own / total))
        for (x, y, w, h, pixels), own in zip(stats[1:], warmth[1:], strict=True)  # 0: background
    ]
    boxes.sort(key=lambda box: (-box.area_fraction, -box.heat_fraction, box.y0, box.x0))
    if not multi:
        return boxes
    return [
        box
        for box in boxes
        if box.area_fraction >= SPECK_AREA
        and box.heat_fraction >= SPECK_HEAT * boxes[0].heat_fraction
    ]


def wsol_boxes(heat: Any, threshold: float, multi: bool = False) -> np.ndarray:
    """The boxes that the protocol "Evaluating WSOL Methods Right" takes from a map.

    heat: (H, W) in [0, 1], truncated to 256 levels; the mask is *strictly above* threshold times
    the highest level. One box around the contour with the largest polygon area (MaxBoxAcc), or
    with `multi` one around every contour, inner ones included (MaxBoxAccV2). Corners are
    (x, y, x + w, y + h) clipped to (W - 1, H - 1), yet compared as if inclusive, which makes a
    box one pixel too wide: that is the protocol.  Returns int (K, 4), [[0, 0, 0, 0]] if nothing
    is above.

    Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020;
    github.com/clovaai/wsolevaluation, evaluation.py.
    """
    levels = heat_levels(heat)
    contours = contours_at(levels, int(threshold * levels.max()))
    if not contours:
        return np.zeros((1, 4), dtype=int)
    if not multi:
        contours = [max(contours, key=cv2.contourArea)]
    x, y, w, h = np.array([cv2.boundingRect(contour) for contour in contours]).T
    height, width = levels.shape
    return np.stack([x, y, np.minimum(x + w, width - 1), np.minimum(y + h, height - 1)], axis=1)


def layercam_loc_box(heat: Any, threshold: float = 0.15) -> np.ndarray:
    """The box of LayerCAM's own localisation script: the largest w * h around any contour.

    heat: (H, W) in [0, 1], truncated to 256 levels; the mask is strictly above 255 * threshold,
    whatever the maximum.  Returns int (4,), half-open; [0, 0, 1, 1] if nothing is above.

    Jiang et al., "LayerCAM", TIP 2021; github.com/PengtaoJiang/layercam_loc, scripts/test.py.
    """
    rectangles = [cv2.boundingRect(c) for c in contours_at(heat_levels(heat), int(threshold * 255))]
    if not rectangles:
        return np.array([0, 0, 1, 1])
    x, y, w, h = max(rectangles, key=lambda rectangle: rectangle[2] * rectangle[3])
    return np.array([x, y, x + w, y + h])


def heat_levels(heat: Any) -> np.ndarray:
    """A map in [0, 1], truncated to 256 levels as the protocols do: uint8 (H, W)."""
    heat = as_heat(heat)
    if heat.min() < 0 or heat.max() > 1:
        raise ValueError(
            f"this protocol is defined on maps in [0, 1], not [{heat.min():g}, {heat.max():g}]"
        )
    return (heat * 255).astype(np.uint8)


def contours_at(levels: np.ndarray, cut: int) -> Sequence[np.ndarray]:
    """The contours, inner ones included, of what is strictly above a level."""
    mask = (levels > cut).view(np.uint8)
    return cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]


def _check_fractions(*fractions: float) -> None:
    for fraction in fractions:
        if not (isinstance(fraction, Real) and 0 <= fraction <= 1):
            raise MethodError(f"a threshold or fraction lies in [0, 1], not at {fraction!r}")
