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

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from camviz.defaults import THRESHOLD
from camviz.maps.boxes import as_heat, mask_at
from camviz.maps.curves import WSOL_THRESHOLDS, area_below, box_curves, pixel_counts

HOTTEST = 0.2  # share of the visible pixels


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
    ranking = _ranking(heat, truth)
    precision, recall = precision_recall_at(heat, truth, threshold)
    most, at = _best_of(ranking)
    figures = {
        "iou": iou_at(heat, truth, threshold),
        "precision": precision,
        "recall": recall,
        "best_iou": most,
        "best_threshold": at,
        "ap": _precision_of(ranking),
        "pointing": float(pointing_hit(heat, truth)),
        "energy_inside": energy_inside(heat, truth),
    }
    for name, part in (parts or {}).items():
        figures[f"energy:{name}"] = energy_inside(heat, part)
    return figures


def hottest(heat: Any, share: float = HOTTEST, visible: Any = None) -> np.ndarray:
    """The hottest pixels of a map, as a mask: this share of those that are visible.

    By rank, never by a threshold: of equally hot pixels those come first that are read first.
    Where the map is not above 0 nothing is hot, so that fewer may be found. Raises ValueError for
    a share that is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of the pixels is above 0 and at most 1, not {share!r}")
    heat = as_heat(heat)
    shown = np.ones(heat.shape, bool) if visible is None else np.asarray(visible, bool)
    values = np.where(shown, heat, -np.inf).ravel()
    wanted = round(share * np.count_nonzero(shown))
    mask = np.zeros(heat.shape, bool)
    if wanted == 0:
        return mask
    level = np.partition(values, -wanted)[-wanted]
    above, ties = values > level, np.flatnonzero(values == level)
    above[ties[: wanted - np.count_nonzero(above)]] = True
    return (above & (values > 0)).reshape(heat.shape)


def hottest_shared(a: Any, b: Any, share: float = HOTTEST, visible: Any = None) -> float:
    """How much of their hottest pixels two maps share, in [0, 1]: 2 |A & B| / (|A| + |B|).

    Two maps that have nothing to do with each other share about `share`; 0 where one is empty.
    """
    one, other = hottest(a, share, visible), hottest(b, share, visible)
    total = np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * np.count_nonzero(one & other) / total if one.any() and other.any() else 0.0


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
    return _best_of(_ranking(*_pair(heat, truth)))


def _best_of(ranking: "Ranking") -> tuple[float, float]:
    values, hits, chosen = ranking
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


def recall_at_precision(heat: Any, truth: Any, precision: float = 0.5) -> float:
    """The most of the object that any threshold covers with at least this share of object.

        max_t { R_t : P_t >= precision },  t over the distinct values of the map; 0 if none is pure

    How much of a thing a map covers, at an equal price; recall at a fixed share of the maximum
    depends on how flat a map is. Depends on the ranking alone.
    """
    _, hits, chosen = _ranking(*_pair(heat, truth))
    pure = np.flatnonzero(hits >= precision * chosen)
    return float(hits[pure[-1]] / hits[-1]) if pure.size else 0.0


def average_precision(heat: Any, truth: Any) -> float:
    """The purity of the hottest pixels as object pixels, over all thresholds.

        sum_i (R_i - R_(i-1)) P_i        i over the distinct values of the map, falling

    Pixels of one value enter together, so their order never matters: a constant map gives the
    share of true pixels. Depends on the ranking alone; negative heat is heat like any other.
    """
    return _precision_of(_ranking(*_pair(heat, truth)))


def _precision_of(ranking: "Ranking") -> float:
    _, hits, chosen = ranking
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
    peaks = np.divmod(np.flatnonzero(heat == peak), heat.shape[1])
    y, x = (int(np.mean(where) + 0.5) for where in peaks)
    reach = math.ceil(tolerance)
    top, left = max(0, y - reach), max(0, x - reach)
    true_y, true_x = np.nonzero(truth[top : y + reach + 1, left : x + reach + 1])
    distances = (true_y + top - y) ** 2 + (true_x + left - x) ** 2
    return bool(truth[y, x] or (distances < tolerance**2).any())


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


def asked_share(heat: Any, asked: Any, others: Sequence[Any]) -> float:
    """Of the heat on several things, the share on the one that was asked for.

        sum_asked M+ / (sum_asked M+ + sum_others M+),  M+ = max(M, 0)

    asked: mask (H, W).  others: masks of the other things; pixels of both count as asked for.
    .5 where a map is blind to the class and the things are alike in size. NaN where the thing
    stands alone, or no heat is on any.
    """
    if not len(others):
        return float("nan")
    asked = _as_mask(asked)
    rest = np.any([_as_mask(other) for other in others], axis=0) & ~asked
    on, off = energy_inside(heat, asked), energy_inside(heat, rest)
    return on / (on + off) if on + off > 0 else float("nan")


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
    counts = sum(
        pixel_counts(
            heat,
            _as_mask(truth),
            ignored=None if ignored is None else _as_mask(ignored[n]),
            step=step,
        )
        for n, (heat, truth) in enumerate(zip(heats, truths, strict=True))
    )
    if not np.any(np.asarray(counts)[0]):
        raise ValueError("no picture has a true pixel that counts")
    return float(area_below(counts))


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


def _best_pairs(
    heats: Sequence[Any], boxes: Sequence[Any], thresholds: Sequence[float], *, multi: bool
) -> np.ndarray:
    """(pictures, thresholds): the best inclusive IoU of any box of the map with any true box."""
    _check_same_count(heats, boxes)
    return np.array(
        [
            box_curves(heat, truth, thresholds)[int(multi)]
            for heat, truth in zip(heats, boxes, strict=True)
        ]
    )


Ranking = tuple[np.ndarray, np.ndarray, np.ndarray]


def _ranking(heat: np.ndarray, truth: np.ndarray) -> Ranking:
    """For each distinct value, falling: the value, true pixels and all pixels at least as hot."""
    values, hits = _sorted_down(heat.ravel(), truth.ravel())
    hits = np.cumsum(hits)
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # of each group of ties
    return values[last], hits[last], last + 1


def _sorted_down(heat: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values by falling heat, and their truth.

    Single precision is sorted as integers that carry the truth with them, several times as fast:
    the bits of a float are in the order of its value if those of a negative one are turned round.
    """
    if heat.dtype != np.float32:
        order = np.argsort(-heat)
        return heat[order], truth[order]
    keys = (_in_order(heat.view(np.int32)).astype(np.int64) << 1) | truth
    keys.sort()
    keys = keys[::-1]
    return _in_order((keys >> 1).astype(np.int32)).view(np.float32), keys & 1


def _in_order(bits: np.ndarray) -> np.ndarray:
    """The bits of floats as integers of the same order, and back."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


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
