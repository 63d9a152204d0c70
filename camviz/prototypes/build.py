"""Local prototypes: what a class looks like to a network, place by place.

    bank = engine.build_prototypes(pictures, "resnet50", "tiger cat")
    bank.save("tiger-cat.safetensors"); PrototypeBank.load("tiger-cat.safetensors")

LPCAM's idea: a class activation map shows what tells a class from the others, and prototypes show
all that belongs to it. Un-pooled features of the class's pictures are split by its own CAM into
foreground and context and clustered by angle; the cluster centres are the prototypes. This module
splits, clusters, scores and selects, and keeps the result; `Engine` runs the network, and
`methods.activation.lp_cam` makes the map.

Not only at the last map: prototypes are most useful where the grid is finer. On 500 held-out
scenes (scenes-resnet) the paper's setting reaches an average precision of 0.63, CAM 0.65, and
prototypes of the coarser layers, fused, 0.83; IoU at 30 % is 0.33, 0.34 and 0.57. At stride 4 they
are of edges and colours, and add nothing. tau 0.25 is better than 0.1 and 0.4 on drawn scenes and
on mosaics of photographs; those are also why a layer of stride 8 counts only if it has no more than
16 by 16 cells (average precision .64 without it, .57 with it; benchmarks/prototypes.py).

Chen and Sun, "Extracting Class Activation Maps from Non-Discriminative Features as well", CVPR
2023, https://arxiv.org/abs/2303.10334
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from camviz.errors import ImageError, MethodError, PrototypeError
from camviz.images import Fit
from camviz.maps.fusion import Placement, is_empty, normalize, resample
from camviz.methods.activation import cam, cosine_maps
from camviz.methods.gradient import grad_cam
from camviz.network.backbone import Backbone
from camviz.network.head import head_weights, patch_probabilities
from camviz.network.placement import plain_placement
from camviz.network.taps import Tap
from camviz.network.trace import Target, Trace
from camviz.prototypes.bank import (
    CLUSTERS,
    MEMBERS,
    MU_CONTEXT,
    MU_FOREGROUND,
    TAU,
    Kind,
    Member,
    Prototype,
    PrototypeBank,
    Scoring,
    Source,
    StagePrototypes,
)
from camviz.prototypes.clustering import Clusters, cluster

# (number, graph) -> the trace of a picture, with gradients if graph, and how it was fitted.
TraceOf = Callable[[int, bool], tuple[Trace, Fit]]
# How many pictures are done, of how many, and the name of the one that is next.
Progress = Callable[[int, int, str], None]
MOST_PICTURES, MOST_CLUSTERS = 64, 64
# Finer layers see edges and colours: prototypes there cost precision. In input pixels a cell, and
# in cells a side: an input of 128 pixels is coarse at stride 8 already.
FINEST_STRIDE, FINEST_GRID = 16, 16


@dataclass
class FeatureSet:
    """Un-pooled features of one stage, from one picture or from many.

    vectors (n, C); heat (n,): the CAM there, in [0, 1]; belief (n,): the class's probability by
    the head's own reading of the last map there, or None; picture (n,) and cell (n, 2) say where.
    """

    vectors: Tensor
    heat: Tensor
    belief: Tensor | None
    picture: Tensor
    cell: Tensor

    @classmethod
    def together(cls, parts: "Sequence[FeatureSet]") -> "FeatureSet":
        """Those of several pictures as one."""
        beliefs = [part.belief for part in parts if part.belief is not None]
        return cls(
            torch.cat([part.vectors for part in parts]),
            torch.cat([part.heat for part in parts]),
            torch.cat(beliefs) if len(beliefs) == len(parts) else None,
            torch.cat([part.picture for part in parts]),
            torch.cat([part.cell for part in parts]),
        )


def collect_features(
    features: Tensor,
    placement: Placement,
    heat: Tensor,
    heat_placement: Placement,
    belief: Tensor | None = None,
    picture: int = 0,
) -> FeatureSet:
    """Every place of one picture at one stage: its feature vector, and how hot the CAM is there.

    features: (1, C, H, W). heat, belief: (h, w) each, on the grid of the CAM, read where the
    cells of the stage look.
    """
    height, width = features.shape[2:]
    rows, columns = placement.centres(0, height), placement.centres(1, width)

    def there(values: Tensor) -> Tensor:
        if values.shape == (height, width) and placement == heat_placement:
            return values.cpu().flatten()
        return resample(values.cpu(), heat_placement, rows, columns).flatten()

    cells = torch.cartesian_prod(torch.arange(height), torch.arange(width)).reshape(-1, 2)
    return FeatureSet(
        features[0].detach().flatten(1).T.cpu().contiguous(),
        there(heat),
        None if belief is None else there(belief),
        torch.full((height * width,), picture),
        cells,
    )


def filter_by_score(
    foreground: Sequence[float | None],
    context: Sequence[float | None],
    mu_f: float = MU_FOREGROUND,
    mu_b: float = MU_CONTEXT,
) -> tuple[list[bool], list[bool], bool]:
    """Which prototypes the map uses, by their scores z, and whether the bound was relaxed.

    Foreground: z > mu_f, else the best one alone (relaxed). Context: z < mu_b, perhaps none.
    Without scores all of them. (The paper's equations 3 and 4; its code also asks z > 0.05 of
    context, which suits 20 classes and would leave nothing of 1000.)
    """
    keep_f = [z is None or z > mu_f for z in foreground]
    keep_b = [z is None or z < mu_b for z in context]
    relaxed = bool(foreground) and not any(keep_f)
    if relaxed:
        best = max(range(len(foreground)), key=lambda i: foreground[i] or 0.0)
        keep_f[best] = True
    return keep_f, keep_b, relaxed


def find_prototypes(
    features: FeatureSet,
    *,
    clusters: int = CLUSTERS,
    tau: float,
    mu_f: float = MU_FOREGROUND,
    mu_b: float = MU_CONTEXT,
    seed: int = 0,
    score_fn: Callable[[Tensor], Tensor] | None = None,
    box: Callable[[int, tuple[int, int]], tuple[int, int, int, int]] | None = None,
) -> StagePrototypes:
    """The prototypes of one stage: split at tau, cluster each side, score, filter.

    score_fn: (k, C) raw-scale centres -> (k,) probabilities of the class, the head's own. None
    where the head does not read this stage's features: then a prototype's score is the mean belief
    at its places, for information only, and all are kept (filtering by it, or by how purely a
    prototype's surroundings are foreground, was no better). box: (picture, cell) -> its pixels.
    """
    hot = features.heat >= tau  # a place at exactly tau is foreground
    found: list[tuple[Kind, Clusters, Tensor]] = []
    for kind, side in (("foreground", hot), ("context", ~hot)):
        where = side.nonzero()[:, 0]
        found.append((kind, cluster(features.vectors[where], clusters, seed), where))  # type: ignore[arg-type]
    if not len(found[0][1]):
        raise PrototypeError(
            f"no place in the pictures is foreground: the class's map never reaches {tau:g} of its "
            "maximum where there are features; lower tau"
        )
    scoring: Scoring = (
        "head" if score_fn is not None else "none" if features.belief is None else "places"
    )
    scores = [_scores(part, where, features, score_fn) for _, part, where in found]
    bounded = scores if score_fn is not None else [[None] * len(part) for _, part, _ in found]
    keep_f, keep_b, relaxed = filter_by_score(bounded[0], bounded[1], mu_f, mu_b)
    prototypes: list[Prototype] = []
    for (kind, part, where), given, kept in zip(found, scores, (keep_f, keep_b), strict=True):
        for index in range(len(part)):
            mine = where[part.member == index]
            prototypes.append(
                Prototype(
                    kind,
                    len(mine),
                    given[index],
                    kept[index],
                    members=_members(part.centres[index], mine, features, box),
                )
            )
    vectors = torch.cat([part.centres for _, part, _ in found])
    return StagePrototypes(vectors, tuple(prototypes), scoring, relaxed)


def _scores(
    part: Clusters,
    where: Tensor,
    features: FeatureSet,
    score_fn: Callable[[Tensor], Tensor] | None,
) -> list[float | None]:
    if not len(part):
        return []
    if score_fn is not None:
        return [float(z) for z in score_fn(part.centres)]
    if features.belief is None:
        return [None] * len(part)
    belief = features.belief[where]
    return [float(belief[part.member == index].mean()) for index in range(len(part))]


def _members(
    centre: Tensor,
    mine: Tensor,
    features: FeatureSet,
    box: Callable[[int, tuple[int, int]], tuple[int, int, int, int]] | None,
) -> tuple[Member, ...]:
    """The places nearest to a centre: the best of each picture first, then whatever is next."""
    maps = cosine_maps(features.vectors[mine][:, :, None, None], centre[None])
    cosines = maps[:, 0, 0, 0]
    order = cosines.argsort(descending=True, stable=True).tolist()
    pictures = features.picture[mine].tolist()
    best: list[int] = []
    others: list[int] = []
    used: set[int] = set()
    for place in order:
        (others if pictures[place] in used else best).append(place)
        used.add(pictures[place])
    members = []
    for place in (best + others)[:MEMBERS]:
        row, column = features.cell[mine[place]].tolist()
        cell = (int(row), int(column))
        pixels = (0, 0, 0, 0) if box is None else box(pictures[place], cell)
        members.append(Member(pictures[place], cell, pixels, round(float(cosines[place]), 6)))
    return tuple(members)


def build_bank(
    backbone: Backbone,
    target: int,
    taps: Mapping[str, Tap],
    names: Sequence[str],
    trace_of: TraceOf,
    *,
    clusters: int = CLUSTERS,
    tau: float = TAU,
    mu_f: float = MU_FOREGROUND,
    mu_b: float = MU_CONTEXT,
    seed: int = 0,
    tap: str = "activation",
    fit: str = "stretch",
    source: Source = "gallery",
    progress: Progress | None = None,
) -> PrototypeBank:
    """Prototypes of a class at every tapped stage, from pictures that `trace_of` traces.

    names: of the pictures. One that `trace_of` cannot open (`ImageError`) or whose class map is
    empty is left out and named. Where no CAM is defined (a class token, weights over places),
    Grad-CAM at the last stage splits, and no score exists. Raises
    `PrototypeError` if nothing is left to learn from, and whatever `progress` raises.
    """
    split = ForegroundSplitter(backbone, target)
    collected: dict[str, list[FeatureSet]] = {name: [] for name in taps}
    fits: list[Fit] = []
    used: list[str] = []
    skipped: list[tuple[str, str]] = []
    placements = {
        name: plain_placement(tapped, backbone.input_size) for name, tapped in taps.items()
    }
    for index, picture in enumerate(names):
        if progress is not None:
            progress(index, len(names), picture)
        try:
            trace, geometry, heat, where, belief = split.of(trace_of, index)
        except ImageError as error:
            skipped.append((picture, str(error)))
            continue
        if is_empty(heat):
            skipped.append((picture, f"nothing in it speaks for '{backbone.labels[target]}'"))
            continue
        for name, tapped in taps.items():
            features = trace.activations[tapped.address]
            part = collect_features(features, placements[name], heat, where, belief, len(used))
            if not bool(torch.isfinite(part.vectors).all()):
                raise PrototypeError(
                    f"features at '{name}' of {backbone.display_name} are not finite for "
                    f"'{picture}'; the network's own values overflow there"
                )
            collected[name].append(part)
        fits.append(geometry)
        used.append(picture)
    if not used:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped[:4])
        raise PrototypeError(
            f"no picture shows {backbone.display_name} a '{backbone.labels[target]}' ({reasons}); "
            "give pictures of that class"
        )
    if progress is not None:
        progress(len(names), len(names), "")
    stages = {}
    for name, tapped in taps.items():
        where = placements[name]
        stages[name] = find_prototypes(
            FeatureSet.together(collected[name]),
            clusters=clusters,
            tau=tau,
            mu_f=mu_f,
            mu_b=mu_b,
            seed=seed,
            score_fn=split.score_fn(tapped),
            box=lambda index, cell, where=where: _patch(fits[index], where, cell),  # type: ignore[misc]
        )
    return PrototypeBank(
        backbone=backbone.display_name,
        digest=backbone.weights_digest,
        target=target,
        label=backbone.labels[target],
        stages=stages,
        clusters=clusters,
        tau=tau,
        mu_f=mu_f,
        mu_b=mu_b,
        seed=seed,
        tap=tap,
        fit=fit,
        split=split.method,
        source=source,
        pictures=tuple(used),
        skipped=tuple(skipped),
    )


class ForegroundSplitter:
    """The class's own map of each picture, and what the head can say of single places.

    CAM if the network has one; its weights are read once where they do not depend on the picture.
    """

    def __init__(self, backbone: Backbone, target: int) -> None:
        self.backbone = backbone
        self.target = target
        self.method: Literal["cam", "grad_cam"] = "cam"
        self._weights: Tensor | None = None

    def of(
        self, trace_of: TraceOf, index: int
    ) -> tuple[Trace, Fit, Tensor, Placement, Tensor | None]:
        """(trace, fit, map in [0, 1], where its cells look, the class's probability there)."""
        pre_pool = self.backbone.discovery.pre_pool
        if self.method == "cam" and pre_pool is not None:
            trace, geometry = trace_of(index, False)
            try:
                weights = self._weights
                if weights is None:
                    head = head_weights(self.backbone, trace, self.target)
                    weights = head.weights
                    self._weights = weights if head.kind == "linear" else None
            except MethodError:
                pass
            else:
                features = trace.activations[pre_pool.address]
                heat = _finite(cam(features, weights)[0], self.backbone)
                vectors = features[0].flatten(1).T
                beliefs = patch_probabilities(self.backbone, vectors)[:, self.target]
                where = plain_placement(pre_pool, self.backbone.input_size)
                return trace, geometry, heat, where, beliefs.view(heat.shape)
        self.method = "grad_cam"
        tap = split_tap(self.backbone)
        trace, geometry = trace_of(index, True)
        gradient = trace.gradients(Target(self.target))[tap.address]
        heat = _finite(grad_cam(trace.activations[tap.address], gradient)[0], self.backbone)
        return trace, geometry, heat, plain_placement(tap, self.backbone.input_size), None

    def score_fn(self, tap: Tap) -> Callable[[Tensor], Tensor] | None:
        """The head's reading of this stage's centres, if they are what it reads."""
        pre_pool = self.backbone.discovery.pre_pool
        if self.method != "cam" or pre_pool is None or tap.address != pre_pool.address:
            return None
        return lambda centres: patch_probabilities(self.backbone, centres)[:, self.target]


def _finite(raw: Tensor, backbone: Backbone) -> Tensor:
    if not bool(torch.isfinite(raw).all()):
        raise PrototypeError(
            f"the class map of {backbone.display_name} is not finite; its values overflow"
        )
    return normalize(raw)


def split_tap(backbone: Backbone) -> Tap:
    """Where Grad-CAM is taken for networks that have no CAM: the last default stage."""
    last = (backbone.default_stages or (backbone.stages[-1].name,))[-1]
    return backbone.stage(last).activation


def _patch(fit: Fit, placement: Placement, cell: tuple[int, int]) -> tuple[int, int, int, int]:
    """A cell and a little around it, half-open xyxy in pixels of the picture, never empty."""
    x0, y0, x1, y1 = fit.rect
    height, width = fit.input_size
    sides = []
    for axis, first, last, extent, size in (
        (1, x0, x1, width, fit.picture_size[1]),
        (0, y0, y1, height, fit.picture_size[0]),
    ):
        centre = float(placement.centres(axis, cell[axis] + 1)[-1]) + 0.5
        half = max(0.75 * placement.stride[axis], extent / 12)
        ends = sorted(first + (centre + side * half) * (last - first) / extent for side in (-1, 1))
        low = min(max(math.floor(ends[0]), 0), size - 1)
        sides.append((low, max(min(math.ceil(ends[1]), size), low + 1)))
    (left, right), (top, bottom) = sides
    return left, top, right, bottom


def augmented_views(image: Tensor, fit: Fit) -> list[tuple[str, Tensor, Fit]]:
    """A prepared picture, (1, 3, h, w), as a gallery of its own: as it is, mirrored, enlarged.

    Enlarged: the middle two thirds. More scales (0.75, 1.25) brought nothing that could be
    measured. Each comes with the fit that leads its cells back to the picture.
    """
    height, width = image.shape[2:]
    inner = round(height / 1.5), round(width / 1.5)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    crop = image[:, :, top : top + inner[0], left : left + inner[1]]
    zoomed = torch.nn.functional.interpolate(
        crop, size=(height, width), mode="bilinear", align_corners=False
    )
    x0, y0, x1, y1 = fit.rect
    across, down = (x1 - x0) / width, (y1 - y0) / height
    middle = (
        x0 + left * across,
        y0 + top * down,
        x0 + (left + inner[1]) * across,
        y0 + (top + inner[0]) * down,
    )
    views = []
    for label, view, rect in (("as it is", image, fit.rect), ("enlarged", zoomed, middle)):
        mirrored = (rect[2], rect[1], rect[0], rect[3])
        views.append((label, view, replace(fit, rect=rect)))
        views.append((f"{label}, mirrored", view.flip(3), replace(fit, rect=mirrored)))
    return views
