"""Localisation: the agreement of heat maps with the true place of the object.

    measure(heat, truth)                     # every figure of one picture at once
    max_box_acc(heats, boxes)                # figures of a set of pictures

Everything is a pure function of maps and truth masks, independent of any network.
A heat map is (H, W), of any scale unless a protocol demands one; a truth mask is a bool (or
0/1 integer) array of the same shape. NaN or infinite heat, masks of another shape and an empty
truth are ValueErrors. A map without a positive value points nowhere: it has no mask, IoU,
precision, recall and energy 0 and misses its point; as a *ranking* it is a constant map, whose
average precision is the share of true pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from camviz.defaults import THRESHOLD
from camviz.maps.boxes import as_heat, mask_at, wsol_boxes

# The grid of the WSOL protocol's command line, to the last bit: its thresholds are truncated.
WSOL_THRESHOLDS = tuple(np.arange(0, 1, 0.01).tolist())


def measure(
    heat: Any,
    truth: Any,
    *,
    threshold: float = THRESHOLD,
    parts: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Every figure of one picture: how well the map locates the object.

    heat, truth: (H, W).  threshold: for iou, precision and recall, a fraction of the maximum.
    parts: name -> mask (H, W), may be empty; adds "energy:<name>", the share of heat on each.
    Keys otherwise: iou, precision, recall, best_iou, best_threshold, ap, pointing (1 or 0, at
    the usual 15 pixels), energy_inside.
    """
    heat, truth = _pair(heat, truth)
    precision, recall = precision_recall_at(heat, truth, threshold)
    most, at = best_iou(heat, truth)
    figures = {
        "iou": iou_at(heat, truth, threshold),
        "precision": precision,
        "recall": recall,
        "best_iou": most,
        "best_threshold": at,
        "ap": average_precision(heat, truth),
        "pointing": float(pointing_hit(heat, truth)),
        "energy_inside": energy_inside(heat, truth),
    }
    for name, part in (parts or {}).items():
        figures[f"energy:{name}"] = energy_inside(heat, part)
    return figures


def iou(a: Any, b: Any) -> float:
    """Intersection over union of two masks; 1 for two empty ones."""
    a, b = _as_mask(a), _as_mask(b)
    _check_same_shape(a, b)
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def iou_at(heat: Any, truth: Any, threshold: float = THRESHOLD) -> float:
    """IoU of the truth with the map cut at a fraction of its maximum."""
    heat, truth = _pair(heat, truth)
    return iou(mask_at(heat, threshold), truth)


def best_iou(heat: Any, truth: Any) -> tuple[float, float]:
    """The greatest IoU that any threshold gives, and that threshold.

    Exact: every distinct value of the map is tried, not a grid. Of equally good thresholds the
    highest; `iou_at(heat, truth, threshold)` gives the same IoU. An empty map gives (0, 0).
    """
    heat, truth = _pair(heat, truth)
    values, hits, chosen = _ranking(heat, truth)
    peak = float(values[0])
    if peak <= 0:
        return 0.0, 0.0
    ious = (hits / (chosen + hits[-1] - hits))[values >= 0]  # thresholds end at 0
    best = int(np.argmax(ious))
    threshold = float(values[best]) / peak
    while threshold * peak > values[best]:  # the quotient was rounded up
        threshold = float(np.nextafter(threshold, 0))
    return float(ious[best]), threshold


def precision_recall_at(heat: Any, truth: Any, threshold: float = THRESHOLD) -> tuple[float, float]:
    """The share of the map, cut at a fraction of its maximum, that is object, and the share of the
    object that it covers; (0, 0) for an empty map.
    """
    heat, truth = _pair(heat, truth)
    mask = mask_at(heat, threshold)
    hits = int(np.count_nonzero(mask & truth))
    return hits / (int(np.count_nonzero(mask)) or 1), hits / int(np.count_nonzero(truth))


def average_precision(heat: Any, truth: Any) -> float:
    """The purity of the hottest pixels as object pixels, over all thresholds.

        sum_i (R_i - R_(i-1)) P_i        i over the distinct values of the map, falling

    Pixels of one value enter together, so their order never matters: a constant map gives the
    share of true pixels. Depends on the ranking alone; negative heat is heat like any other.
    """
    heat, truth = _pair(heat, truth)
    _, hits, chosen = _ranking(heat, truth)
    return float(np.diff(hits, prepend=0) @ (hits / chosen) / hits[-1])


def pointing_hit(heat: Any, truth: Any, tolerance: float = 15) -> bool:
    """Whether the map's highest point lies on the object, or less than `tolerance` pixels off.

    Where several pixels share the maximum, the point is the pixel nearest to their centroid:
    a constant map points at the centre. With tolerance 0 the object itself counts. An empty map
    points nowhere and misses.

    Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016 (15 pixels,
    strictly, as in TorchRay); the centroid is ours, so that no arbitrary pixel decides.
    """
    heat, truth = _pair(heat, truth)
    peak = heat.max()
    if peak <= 0:
        return False
    y, x = (int(np.mean(where) + 0.5) for where in np.nonzero(heat == peak))
    true_y, true_x = np.nonzero(truth)
    nearest = ((true_y - y) ** 2 + (true_x - x) ** 2).min()
    return bool(nearest == 0 or nearest < tolerance**2)


def energy_inside(heat: Any, mask: Any) -> float:
    """The share of the positive heat that lies on the mask: sum_mask M / sum M.

    A constant map gives the mask's share of the picture; an empty map or mask gives 0.
    Wang et al., "Score-CAM", CVPRW 2020, section 4.3 (there with boxes).
    """
    heat, mask = as_heat(heat), _as_mask(mask)
    _check_same_shape(heat, mask)
    warmth = heat.clip(min=0).astype(np.float64)
    total = float(warmth.sum())
    return float(warmth[mask].sum()) / total if total else 0.0


def loc_score(heat: Any, box: Sequence[int], delta: float = 0.25) -> float:
    """Loc(delta): the pixels above delta inside the box, against the box and what lies outside.

        inside / (box area + outside)        of  (M - min) / (max - min) > delta

    heat: (H, W).  box: half-open xyxy within the picture. A constant map scores 0.
    Chattopadhay et al., "Grad-CAM++", WACV 2018, Eq. 26 (delta 0, 0.25, 0.5).
    """
    heat = as_heat(heat)
    x0, y0, x1, y1 = box
    height, width = heat.shape
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"box {tuple(box)} is empty or leaves the {width} x {height} picture")
    low, high = heat.min(), heat.max()
    hot = heat - low > delta * (high - low)
    inside = np.count_nonzero(hot[y0:y1, x0:x1])
    outside = np.count_nonzero(hot) - inside
    return float(inside / ((x1 - x0) * (y1 - y0) + outside))


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


def max_box_acc(
    heats: Sequence[Any],
    boxes: Sequence[Any],
    *,
    iou: float = 0.5,
    thresholds: Sequence[float] = WSOL_THRESHOLDS,
) -> tuple[float, float]:
    """The share of pictures whose box is right, at the one threshold that suits the set best.

        max_t  mean_n [ IoU(box(M_n, t), any true box of n) >= iou ]

    heats: one (H, W) map in [0, 1] per picture.  boxes: its true boxes, (K, 4) or (4,) xyxy at
    the map's size.  Returns (accuracy, threshold), the lowest of equally good thresholds.
    Boxes and inclusive IoU exactly as in the protocol: `wsol_boxes`, the largest contour. The
    threshold is chosen on the set, so that one picture alone proves nothing.

    Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020.
    """
    accuracy = (_best_pairs(heats, boxes, thresholds, multi=False) >= iou).mean(axis=0)
    best = int(np.argmax(accuracy))
    return float(accuracy[best]), float(thresholds[best])


def max_box_acc_v2(
    heats: Sequence[Any],
    boxes: Sequence[Any],
    *,
    ious: Sequence[float] = (0.3, 0.5, 0.7),
    thresholds: Sequence[float] = WSOL_THRESHOLDS,
) -> float:
    """`max_box_acc` with every contour's box, the best pair counting, averaged over three IoUs.

    Choe et al., "Evaluation for Weakly Supervised Object Localization", TPAMI 2022.
    """
    pairs = _best_pairs(heats, boxes, thresholds, multi=True)
    return float(np.mean([(pairs >= iou).mean(axis=0).max() for iou in ious]))


def pixel_average_precision(
    heats: Sequence[Any],
    truths: Sequence[Any],
    *,
    ignored: Sequence[Any] | None = None,
    step: float = 0.001,
) -> float:
    """PxAP: average precision over the pixels of all pictures together.

        sum_l P_l (R_l - R_(l-1))        at thresholds 1, 1 - step, ..., 0

    heats: (H, W) maps in [0, 1].  truths: masks, of which some may be empty, not all.
    ignored: masks of pixels that count neither way.
    Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020.
    """
    _check_same_count(heats, truths)
    edges = np.append(np.arange(0, 1, step), [1.0, 2.0])  # the last bin is for exactly 1
    true, false = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    for n, (heat, truth) in enumerate(zip(heats, truths, strict=True)):
        heat, truth = as_heat(heat), _as_mask(truth)
        _check_same_shape(heat, truth)
        if heat.min() < 0 or heat.max() > 1:
            raise ValueError("pixel_average_precision is defined on maps in [0, 1]")
        counted = np.ones_like(truth) if ignored is None else ~_as_mask(ignored[n])
        true += np.histogram(heat[counted & truth], edges)[0]
        false += np.histogram(heat[counted & ~truth], edges)[0]
    hits, misses = true[::-1].cumsum(), false[::-1].cumsum()
    if not hits[-1]:
        raise ValueError("no picture has a true pixel that counts")
    precision = hits / np.maximum(hits + misses, 1)
    return float(np.diff(hits, prepend=0) @ precision / hits[-1])


def seed_labels(heats: Any, threshold: float) -> np.ndarray:
    """The class of every pixel: the hottest map, or background 0 where none exceeds `threshold`.

    heats: (C, H, W), the maps of classes 1 .. C.  Returns int (H, W) in 0 .. C.
    """
    heats = np.asarray(heats)
    background = np.full((1, *heats.shape[1:]), threshold, dtype=heats.dtype)
    return np.argmax(np.concatenate([background, heats]), axis=0)


def confusion_matrix(predicted: Any, truth: Any, classes: int, *, ignore: int = 255) -> np.ndarray:
    """The number of pixels of each true class (rows) that were given to each class (columns).

    predicted, truth: int (H, W) labels in 0 .. classes - 1; pixels whose truth is `ignore` do
    not count.  Returns int (classes, classes); matrices of several pictures add up.
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    _check_same_shape(predicted, truth)
    counted = truth != ignore
    predicted, truth = predicted[counted].astype(np.int64), truth[counted].astype(np.int64)
    labels = np.concatenate([predicted, truth])
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels run from 0 to {classes - 1}, not {labels.min()}-{labels.max()}")
    counts = np.bincount(truth * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def seed_miou(confusion: Any) -> float:
    """The mean IoU over classes, background included: the quality of the maps as segmentation.

    confusion: (C, C), summed over the set (`confusion_matrix`). A class that is neither there
    nor predicted has no IoU and is left out; all of them so is a ValueError.
    """
    confusion = np.asarray(confusion, dtype=np.float64)
    hits = np.diag(confusion)
    unions = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    if not unions.any():
        raise ValueError("the confusion matrix holds no pixel")
    return float(np.mean(hits[unions > 0] / unions[unions > 0]))


def _areas(boxes: np.ndarray, inclusive: bool) -> np.ndarray:
    """(..., 4) xyxy -> (...), 0 for a box turned inside out."""
    return np.maximum(boxes[..., 2:] - boxes[..., :2] + int(inclusive), 0).prod(axis=-1)


def _best_pairs(
    heats: Sequence[Any], boxes: Sequence[Any], thresholds: Sequence[float], *, multi: bool
) -> np.ndarray:
    """(pictures, thresholds): the best inclusive IoU of any box of the map with any true box."""
    _check_same_count(heats, boxes)
    return np.array(
        [
            [box_iou(wsol_boxes(heat, t, multi), truth, inclusive=True).max() for t in thresholds]
            for heat, truth in zip(heats, boxes, strict=True)
        ]
    )


def _ranking(heat: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each distinct value, falling: the value, true pixels and all pixels at least as hot."""
    order = np.argsort(-heat, axis=None)
    values = heat.ravel()[order]
    hits = np.cumsum(truth.ravel()[order])
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # of each group of ties
    return values[last], hits[last], last + 1


def _pair(heat: Any, truth: Any) -> tuple[np.ndarray, np.ndarray]:
    heat, truth = as_heat(heat), _as_mask(truth)
    _check_same_shape(heat, truth)
    if not truth.any():
        raise ValueError("the truth mask is empty: there is nothing to find")
    return heat, truth


def _as_mask(mask: Any) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype.kind not in "bui":
        raise ValueError(f"a mask is bool (H, W), not {mask.dtype} of shape {mask.shape}")
    return mask != 0


def _check_same_shape(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")


def _check_same_count(heats: Sequence[Any], truths: Sequence[Any]) -> None:
    if len(heats) != len(truths) or len(heats) == 0:
        raise ValueError(f"give one truth per map: {len(heats)} maps, {len(truths)} truths")
