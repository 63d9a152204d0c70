"""Local prototypes: directions in feature space that stand for the parts of a class.

    bank = engine.build_prototypes(pictures, "resnet50", "tiger cat")
    bank.save("tiger-cat.safetensors"); PrototypeBank.load("tiger-cat.safetensors")

LPCAM's idea: a class activation map shows what distinguishes a class from the others, and
prototypes show all that belongs to it. Un-pooled features of the class's pictures are split by its
own CAM into foreground and context and clustered by angle; the cluster centres are the prototypes.
This module splits, clusters, scores and filters; `Engine` runs the network, and
`methods.activation.lp_cam` computes the map.

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
from dataclasses import asdict, dataclass, replace
from numbers import Integral, Real
from typing import Literal

import torch
from torch import Tensor

from camviz.errors import ImageError, MethodError, PrototypeError
from camviz.fit import Fit
from camviz.maps.fusion import Placement, is_empty, normalize, resample
from camviz.methods.activation import cam, cosine_maps
from camviz.methods.gradient import grad_cam
from camviz.network.backbone import Backbone
from camviz.network.head import head_weights, patch_probabilities
from camviz.network.placement import plain_placement
from camviz.network.taps import Tap
from camviz.network.target import Target
from camviz.network.trace import Trace
from camviz.prototypes.bank import CLUSTERS, MU_CONTEXT, MU_FOREGROUND, TAU, PrototypeBank
from camviz.prototypes.clustering import Clusters, cluster
from camviz.prototypes.prototype import (
    MEMBERS,
    MOST_CLUSTERS,
    BankSource,
    Kind,
    Member,
    Prototype,
    Scoring,
    StagePrototypes,
)

# (number, graph) -> the trace of a picture, with gradients if graph, and its geometry.
TraceOf = Callable[[int, bool], tuple[Trace, Fit]]
# (pictures done, pictures in all, name of the next one)
Progress = Callable[[int, int, str], None]
# (picture, cell) -> half-open xyxy in pixels of that picture
BoxOf = Callable[[int, tuple[int, int]], tuple[int, int, int, int]]
# (k, C) raw-scale centres -> (k,) probabilities of the class by the head
ScoreFn = Callable[[Tensor], Tensor]
# Features of finer layers are edges and colours: prototypes there cost precision. In input pixels a
# cell, and in cells a side: an input of 128 pixels is coarse at stride 8 already.
FINEST_STRIDE, FINEST_GRID = 16, 16


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """How prototypes are built from pictures; the bank keeps it.

    clusters: the most prototypes of either side, at each stage. tau: the share of the class map's
    maximum from which on a place is foreground. mu_f, mu_b: where the head scores prototypes,
    foreground is kept above mu_f and context below mu_b. seed: of the clustering. tap, fit: how
    the pictures are traced. Raises `PrototypeError` for values that cannot be.
    """

    clusters: int = CLUSTERS
    tau: float = TAU
    mu_f: float = MU_FOREGROUND
    mu_b: float = MU_CONTEXT
    seed: int = 0
    tap: str = "activation"
    fit: str = "stretch"

    def __post_init__(self) -> None:
        if not (isinstance(self.clusters, Integral) and 1 <= self.clusters <= MOST_CLUSTERS):
            raise PrototypeError(
                f"clusters is a whole number from 1 to {MOST_CLUSTERS}, not {self.clusters!r}"
            )
        if not (isinstance(self.seed, Integral) and self.seed >= 0):
            raise PrototypeError(f"seed is a whole number from 0, not {self.seed!r}")
        for name in ("tau", "mu_f", "mu_b"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 <= value <= 1):
                raise PrototypeError(f"{name} is a share, from 0 to 1, not {value!r}")


@dataclass
class FeatureSet:
    """Un-pooled features of one stage, from one picture or from many.

    vectors (n, C). Of each: heat (n,), the class map there, in [0, 1]; probability (n,), of the
    class by the head on the last map there, or None; picture (n,) and cell (n, 2), its origin.
    """

    vectors: Tensor
    heat: Tensor
    probability: Tensor | None
    picture: Tensor
    cell: Tensor

    @classmethod
    def together(cls, parts: "Sequence[FeatureSet]") -> "FeatureSet":
        """The features of several pictures as one set."""
        probabilities = [part.probability for part in parts if part.probability is not None]
        return cls(
            torch.cat([part.vectors for part in parts]),
            torch.cat([part.heat for part in parts]),
            torch.cat(probabilities) if len(probabilities) == len(parts) else None,
            torch.cat([part.picture for part in parts]),
            torch.cat([part.cell for part in parts]),
        )


def collect_features(
    features: Tensor,
    placement: Placement,
    heat: Tensor,
    heat_placement: Placement,
    probability: Tensor | None = None,
    picture: int = 0,
) -> FeatureSet:
    """Every place of one picture at one stage: its feature vector, and the class map there.

    features: (1, C, H, W). heat, probability: (h, w) each, on the grid of the class map, read at
    the centres of the stage's cells.
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
        None if probability is None else there(probability),
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
    Without scores all of them. (The paper's equations 3 and 4; its code also requires z > 0.05 of
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
    settings: BuildSettings,
    *,
    score_fn: ScoreFn | None = None,
    box: BoxOf | None = None,
) -> StagePrototypes:
    """The prototypes of one stage: split at tau, cluster each side, score, filter.

    score_fn: None where the head does not read this stage's features; then a prototype's score is
    the mean probability at its places, for information only, and all are kept (filtering by it,
    by the class's own maps there, or by how purely a prototype's surroundings are foreground, was
    no better for all networks: `python -m benchmarks.prototype_scores`).
    """
    tau = settings.tau
    hot = features.heat >= tau  # a place at exactly tau is foreground
    found: list[tuple[Kind, Clusters, Tensor]] = []
    for kind, side in (("foreground", hot), ("context", ~hot)):
        where = side.nonzero()[:, 0]
        clusters = cluster(features.vectors[where], settings.clusters, settings.seed)
        found.append((kind, clusters, where))  # type: ignore[arg-type]
    if not len(found[0][1]):
        raise PrototypeError(
            f"no place in the pictures is foreground: the class's map never reaches {tau:g} of its "
            "maximum where there are features; lower tau"
        )
    scoring: Scoring = (
        "head" if score_fn is not None else "none" if features.probability is None else "places"
    )
    scores = [_scores(part, where, features, score_fn) for _, part, where in found]
    bounded = scores if score_fn is not None else [[None] * len(part) for _, part, _ in found]
    keep_f, keep_b, relaxed = filter_by_score(bounded[0], bounded[1], settings.mu_f, settings.mu_b)
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
    score_fn: ScoreFn | None,
) -> list[float | None]:
    if not len(part):
        return []
    if score_fn is not None:
        return [float(z) for z in score_fn(part.centres)]
    if features.probability is None:
        return [None] * len(part)
    probability = features.probability[where]
    return [float(probability[part.member == index].mean()) for index in range(len(part))]


def _members(
    centre: Tensor,
    mine: Tensor,
    features: FeatureSet,
    box: BoxOf | None,
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
    settings: BuildSettings,
    *,
    source: BankSource = "gallery",
    progress: Progress | None = None,
) -> PrototypeBank:
    """Prototypes of a class at every tapped stage, from pictures that `trace_of` traces.

    names: of the pictures. One that `trace_of` cannot open (`ImageError`) or whose class map is
    empty is left out and named. Where no CAM is defined (a class token, weights over places),
    Grad-CAM at the last stage splits, and there is no score. Raises `PrototypeError` if no picture
    is left, and whatever `progress` raises.
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
            traced = split.trace_picture(trace_of, index)
        except ImageError as error:
            skipped.append((picture, str(error)))
            continue
        if is_empty(traced.heat):
            skipped.append((picture, f"nothing in it speaks for '{backbone.labels[target]}'"))
            continue
        for name, tapped in taps.items():
            part = collect_features(
                traced.trace.activations[tapped.address],
                placements[name],
                traced.heat,
                traced.placement,
                traced.probability,
                len(used),
            )
            if not bool(torch.isfinite(part.vectors).all()):
                raise PrototypeError(
                    f"features at '{name}' of {backbone.display_name} are not finite for "
                    f"'{picture}'; the network's own values overflow there"
                )
            collected[name].append(part)
        fits.append(traced.fit)
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
            settings,
            score_fn=split.score_fn(tapped),
            box=lambda index, cell, where=where: _patch(fits[index], where, cell),  # type: ignore[misc]
        )
    return PrototypeBank(
        backbone=backbone.display_name,
        digest=backbone.weights_digest,
        target=target,
        label=backbone.labels[target],
        stages=stages,
        split=split.method,
        source=source,
        pictures=tuple(used),
        skipped=tuple(skipped),
        normalisation=backbone.normalisation,
        **asdict(settings),
    )


@dataclass(frozen=True, eq=False)
class TracedPicture:
    """A picture's trace and geometry, and the map of the class by which its features are split.

    heat: (h, w), in [0, 1]. probability: (h, w), of the class by the head on each place alone;
    None where the head reads no single place, or gives no probability. placement: of both.
    """

    trace: Trace
    fit: Fit
    heat: Tensor
    placement: Placement
    probability: Tensor | None


class ForegroundSplitter:
    """Computes the class map of each picture, and the class's probability at single places.

    CAM if the network has one; its weights are read once where they do not depend on the picture.
    """

    def __init__(self, backbone: Backbone, target: int) -> None:
        self.backbone = backbone
        self.target = target
        self.method: Literal["cam", "grad_cam"] = "cam"
        self._weights: Tensor | None = None

    @property
    def _has_probabilities(self) -> bool:
        return self.backbone.output != "value"

    def trace_picture(self, trace_of: TraceOf, index: int) -> TracedPicture:
        """Trace a picture by its number, and compute the class map."""
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
                probability = None
                if self._has_probabilities:
                    of_classes = patch_probabilities(self.backbone, vectors)
                    probability = of_classes[:, self.target].view(heat.shape)
                placement = plain_placement(pre_pool, self.backbone.input_size)
                return TracedPicture(trace, geometry, heat, placement, probability)
        self.method = "grad_cam"
        tap = split_tap(self.backbone)
        trace, geometry = trace_of(index, True)
        gradient = trace.gradients(Target(self.target))[tap.address]
        heat = _finite(grad_cam(trace.activations[tap.address], gradient)[0], self.backbone)
        placement = plain_placement(tap, self.backbone.input_size)
        return TracedPicture(trace, geometry, heat, placement, None)

    def score_fn(self, tap: Tap) -> ScoreFn | None:
        """The head on centres of this tap's features; None if it reads other features.

        None, too, where it gives values, which say nothing about how sure it is.
        """
        pre_pool = self.backbone.discovery.pre_pool
        if self.method != "cam" or pre_pool is None or tap.address != pre_pool.address:
            return None
        if not self._has_probabilities:
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
