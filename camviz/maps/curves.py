"""Localisation at every threshold at once: arrays of one picture that a set of pictures adds up.

    boxes = box_curves(heat, true_boxes)            # (2, T): IoU of the boxes, by threshold
    pixels = pixel_counts(heat, truth)              # (2, T + 1): true and false pixels, by level
    seeds = seed_counts(heats, labels, thresholds)  # (T, K + 1, K + 1): confusion, by threshold

A threshold that is chosen on the set, as MaxBoxAcc, PxAP and the mIoU of seeds have it, is found
from such arrays without a second look at any map, and so is an interval by resampling pictures.
Heat here is (H, W) in [0, 1]; `min_max` brings a map there as the protocol does. The figures of
single pictures and of sets stand in `camviz.maps.localization`.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from camviz.maps.boxes import as_heat, contours_at, heat_levels

# The grid of the WSOL protocol's command line, to the last bit: its thresholds are truncated.
WSOL_THRESHOLDS = tuple(np.arange(0, 1, 0.01).tolist())
WSOL_SIZE = (224, 224)  # at which the protocol compares maps, boxes and masks
_NO_RECTANGLE = (0, 0, 0, 0)  # where no pixel is above the threshold


def min_max(heat: Any) -> np.ndarray:
    """(M - min M) / (max M - min M), float32 (H, W): how the protocol scales a map; 0 if constant.

    Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020;
    github.com/clovaai/wsolevaluation, util.py.
    """
    heat = as_heat(heat).astype(np.float32)
    low, high = heat.min(), heat.max()
    return (heat - low) / (high - low) if high > low else np.zeros_like(heat)


def wsol_box(box: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """A box of a picture, xyxy, on the protocol's 224 x 224: scaled, then truncated to integers.

    size: (H, W) of the picture.  Returns int (4,).
    """
    height, width = size
    scale = np.array([WSOL_SIZE[1] / width, WSOL_SIZE[0] / height] * 2)
    return (np.asarray(box, np.float64) * scale).astype(int)


def wsol_mask(mask: Any) -> np.ndarray:
    """A mask of a picture on the protocol's 224 x 224, by the nearest pixel; bool."""
    mask = np.asarray(mask).astype(np.uint8)
    return cv2.resize(mask, WSOL_SIZE[::-1], interpolation=cv2.INTER_NEAREST) > 0


def box_curves(heat: Any, boxes: Any, thresholds: Sequence[float] = WSOL_THRESHOLDS) -> np.ndarray:
    """The best IoU of a map's boxes with any true box, by threshold: (2, T) float64.

    Row 0 is of the largest contour alone (MaxBoxAcc), row 1 of every contour (MaxBoxAccV2), as
    `camviz.maps.boxes.wsol_boxes` takes them, compared inclusively: the protocol to the letter.
    heat: (H, W) in [0, 1].  boxes: (K, 4) or (4,) xyxy at the map's size.  Contours are found once
    for both rows, and once for all thresholds between which no pixel lies.
    """
    levels = heat_levels(heat)
    cuts = np.array([int(threshold * levels.max()) for threshold in thresholds])
    above = levels.size - np.cumsum(np.bincount(levels.ravel(), minlength=256))
    _, first, place = np.unique(above[cuts], return_index=True, return_inverse=True)
    rectangles: list[Sequence[int]] = []  # of all cuts, (x, y, width, height)
    begins, largest = [], []  # the first rectangle of each cut, and that of its largest contour
    for cut in cuts[first]:
        contours = contours_at(levels, int(cut))
        areas = [cv2.contourArea(contour) for contour in contours] or [0.0]
        begins.append(len(rectangles))
        largest.append(len(rectangles) + areas.index(max(areas)))
        rectangles += [cv2.boundingRect(contour) for contour in contours] or [_NO_RECTANGLE]
    height, width = levels.shape
    x, y, w, h = np.array(rectangles).T
    right, low = np.minimum(x + w, width - 1), np.minimum(y + h, height - 1)
    ious = box_iou(np.stack([x, y, right, low], axis=1), boxes, inclusive=True).max(axis=1)
    return np.array([ious[largest], np.maximum.reduceat(ious, begins)])[:, place]


def box_iou(a: Any, b: Any, *, inclusive: bool = False) -> np.ndarray:
    """IoU of every box of `a` with every box of `b`.

    a: (N, 4) or (4,), b: (M, 4) or (4,), xyxy.  Returns (N, M). Boxes are half-open;
    `inclusive` reads x1 and y1 as the last pixel, as older protocols do. Empty boxes give 0.
    """
    a = np.asarray(a, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(b, dtype=np.float64).reshape(1, -1, 4)
    corners = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = _areas(np.concatenate(corners, axis=-1), inclusive)
    union = _areas(a, inclusive) + _areas(b, inclusive) - shared
    return shared / np.where(union > 0, union, 1)


def _areas(boxes: np.ndarray, inclusive: bool) -> np.ndarray:
    """(..., 4) xyxy -> (...), 0 for a box turned inside out."""
    return np.maximum(boxes[..., 2:] - boxes[..., :2] + int(inclusive), 0).prod(axis=-1)


def level_edges(step: float) -> np.ndarray:
    """The lower edges of the levels of `pixel_counts`, rising; the last is 1, for exactly 1."""
    return np.append(np.arange(0, 1, step), 1.0)


def pixel_counts(heat: Any, truth: Any, *, ignored: Any = None, step: float = 0.01) -> np.ndarray:
    """How many pixels of the truth, and how many others, lie on each level of the heat.

    heat: (H, W) in [0, 1].  truth, ignored: masks; ignored pixels count neither way.
    Returns int (2, T + 1): by `level_edges(step)`, rising.
    """
    heat, truth = as_heat(heat), np.asarray(truth) != 0
    if heat.shape != truth.shape:
        raise ValueError(f"shapes differ: {heat.shape} and {truth.shape}")
    if heat.min() < 0 or heat.max() > 1:
        raise ValueError("pixel counts are defined on maps in [0, 1]")
    edges = level_edges(step)
    if ignored is not None:
        counted = np.asarray(ignored) == 0
        heat, truth = heat[counted], truth[counted]
    level = _level_of(heat.ravel(), edges)
    count = len(edges)
    both = np.bincount(level + count * ~truth.ravel(), minlength=2 * count)
    return both.reshape(2, count)


def _level_of(heat: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """`searchsorted(edges, heat, "right") - 1` of `level_edges`, int (N,).

    The level is computed, at most one off, and compared with the edges beside it: twice as fast as
    a search.
    """
    last = len(edges) - 1
    level = np.minimum((heat * np.float32(last)).astype(np.int32), last)
    level -= heat < edges[level]
    level += heat >= np.append(edges[1:], np.inf)[level]
    return level


def precision_recall(counts: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pooled precision and recall of what lies at or above each level, the highest first.

    counts: (..., 2, T + 1) of `pixel_counts`, summed over a set.  Returns (..., T + 1) each.
        P_l = true_l / (true_l + false_l),  R_l = true_l / true,  both counted at or above level l
    Where nothing is so hot the precision is 0; where nothing is true both are.
    """
    rising = np.asarray(counts, dtype=np.float64)
    above = rising[..., ::-1].cumsum(axis=-1)
    hits, misses = above[..., 0, :], above[..., 1, :]
    return hits / np.maximum(hits + misses, 1), hits / np.maximum(hits[..., -1:], 1)


def area_below(counts: Any) -> np.ndarray:
    """PxAP of summed counts: sum_l P_l (R_l - R_(l-1)), over falling levels; 0 without truth.

    counts: (..., 2, T + 1) of `pixel_counts`, summed over a set.  Returns (...).
    Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020.
    """
    precision, recall = precision_recall(counts)
    return (precision * np.diff(recall, prepend=0.0, axis=-1)).sum(axis=-1)


def seed_counts(heats: Any, labels: Any, thresholds: Sequence[float]) -> np.ndarray:
    """Confusion of the classes asked for in one picture and background, by threshold.

    heats: (K, H, W), the map of each class.  labels: int (H, W), the truth: 0 for background, k for
    class k in 1 .. K, anything negative where pixels do not count.  A pixel is given to the hottest
    class, or to background where none exceeds the threshold (`localization.seed_labels`).
    Returns int (T, K + 1, K + 1): true classes in rows, given ones in columns.
    """
    heats, labels = np.asarray(heats), np.asarray(labels)
    classes = len(heats) + 1
    counted = labels >= 0
    hottest = heats.argmax(axis=0)[counted]
    heat, truth = heats.max(axis=0)[counted], labels[counted].astype(np.int64)
    if truth.size and truth.max() >= classes:
        raise ValueError(f"labels run from 0 to {classes - 1}, not to {truth.max()}")
    cuts = np.asarray(thresholds, dtype=heats.dtype)
    order = np.argsort(cuts)
    exceeded = np.searchsorted(cuts[order], heat, side="left")  # so many thresholds lie below
    size = len(cuts) + 1
    cell = (exceeded * classes + truth) * classes + hottest + 1
    by_level = np.bincount(cell, minlength=size * classes**2).reshape(size, classes, classes)
    given = by_level[::-1].cumsum(axis=0)[::-1][1:]  # threshold i is exceeded from level i + 1 on
    background = by_level.sum(axis=(0, 2)) - given.sum(axis=2)
    given[:, :, 0] = background
    counts = np.empty_like(given)
    counts[order] = given
    return counts
