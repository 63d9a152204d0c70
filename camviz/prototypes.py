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

import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from camviz.backbones import BUNDLED, Backbone, bundled_names
from camviz.errors import ImageError, MethodError, PrototypeError
from camviz.images import Fit
from camviz.maps import Placement, is_empty, normalize, resample
from camviz.methods.activation import cam, cosine_maps
from camviz.methods.gradient import grad_cam
from camviz.placement import plain_placement
from camviz.taps import Tap
from camviz.trace import Target, Trace, head_weights, local_beliefs

Kind = Literal["foreground", "context"]
Source = Literal["gallery", "bundled", "self"]
# How a prototype's score z came about: the head on its centre, as in the paper; the head on the
# places it was made of, at the last map; or nothing could be asked.
Scoring = Literal["head", "places", "none"]
# A trace of picture i, able to give gradients if asked for them, and how it was fitted.
Look = Callable[[int, bool], tuple[Trace, Fit]]
# How many pictures are done, of how many, and the name of the one that is next.
Progress = Callable[[int, int, str], None]

CLUSTERS = 12
TAU = 0.25
PAPER_TAU = 0.1
MU_FOREGROUND = MU_CONTEXT = 0.9
MOST_PICTURES, MOST_CLUSTERS = 64, 64
# Finer layers see edges and colours: prototypes there cost precision. In input pixels a cell, and
# in cells a side: an input of 128 pixels is coarse at stride 8 already.
FINEST_STRIDE, FINEST_GRID = 16, 16
MEMBERS = 4  # shown of each prototype
THUMBNAIL = 40  # pixels, square

_FORMAT = 1
_RESTARTS = 4  # ten gain 0.0001 of cosine
_ITERATIONS = 100
# Above this many vectors the centres are sought on a sample; membership is always of all.
_SAMPLE = 6000
# A cluster of fewer vectors than this is an accident.
_FEWEST = 8
_FITS = 1 - 1e-6  # a cosine above this is 1


@dataclass(frozen=True)
class Member:
    """A place that a prototype is made of: a cell of one picture.

    picture: its position in `PrototypeBank.pictures`. cell: (row, column). box: half-open xyxy in
    pixels of that picture. similarity: its cosine to the prototype.
    """

    picture: int
    cell: tuple[int, int]
    box: tuple[int, int, int, int]
    similarity: float


@dataclass(frozen=True)
class Prototype:
    """One direction in a stage's feature space, and where it came from.

    score: z, how much the classifier makes of it, in [0, 1]; None if nobody could be asked.
    size: how many places it stands for. kept: whether the map uses it. members: the places
    nearest to it, from different pictures as far as there are.
    """

    kind: Kind
    size: int
    score: float | None
    kept: bool
    name: str = ""
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, eq=False)
class StagePrototypes:
    """The prototypes of one stage: `vectors` (n, C), raw-scale cluster means, one per prototype.

    relaxed: no foreground prototype scored above the bound, so that the best one was taken.
    thumbnails: uint8 (n, MEMBERS, THUMBNAIL, THUMBNAIL, 3), or None.
    """

    vectors: Tensor = field(repr=False)
    prototypes: tuple[Prototype, ...]
    scoring: Scoring
    relaxed: bool = False
    thumbnails: np.ndarray | None = field(default=None, repr=False)

    def kept(self, kind: Kind) -> Tensor:
        """(k, C): the prototypes of a kind that the map uses."""
        return self.vectors[[p.kind == kind and p.kept for p in self.prototypes]]


@dataclass(frozen=True, eq=False)
class PrototypeBank:
    """Prototypes of one class of one network, with everything needed to use and to judge them.

    backbone: its name; digest: its weights. stages: per stage its prototypes, shallow to deep.
    tau: what share of the CAM's maximum makes a place foreground. tap, fit: how the pictures were
    looked at. split: the method whose map split them. source: where the pictures came from
    ("self": the explained picture alone, which is not the paper's method). skipped: (name,
    reason) of pictures that were of no use. Banks are never changed; `rename` and `keep` give
    another one.
    """

    backbone: str
    digest: str
    target: int
    label: str
    stages: Mapping[str, StagePrototypes]
    clusters: int
    tau: float
    mu_f: float
    mu_b: float
    seed: int
    tap: str
    fit: str
    split: Literal["cam", "grad_cam"]
    source: Source
    pictures: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> str:
        """What these very prototypes are: a hash of the vectors in use."""
        digest = hashlib.blake2b(f"{self.digest} {self.target}".encode(), digest_size=8)
        for name, stage in self.stages.items():
            digest.update(name.encode())
            for kind in ("foreground", "context"):
                digest.update(stage.kept(kind).contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def papers(self) -> bool:
        """Whether this is the paper's own setting: many pictures, the last map, tau 0.1, CAM."""
        only = list(self.stages.values())
        return (
            self.source != "self"
            and self.split == "cam"
            and self.tau == PAPER_TAU
            and [stage.scoring for stage in only] == ["head"]
        )

    @property
    def summary(self) -> dict[str, Any]:
        """What was done to have these prototypes, in plain values."""
        return {
            "id": self.id,
            "source": self.source,
            "label": self.label,
            "pictures": len(self.pictures),
            "split": self.split,
            "papers": self.papers,
            **{key: getattr(self, key) for key in ("clusters", "tau", "mu_f", "mu_b", "seed")},
            "kept": {
                name: [len(stage.kept("foreground")), len(stage.kept("context"))]
                for name, stage in self.stages.items()
            },
        }

    @property
    def table(self) -> dict[str, Any]:
        """Everything but vectors and thumbnails, in plain values."""
        plain = {key: value for key, value in vars(self).items() if key != "stages"}
        return {
            **self.summary,
            **plain,
            "stages": {
                name: {
                    "scoring": stage.scoring,
                    "relaxed": stage.relaxed,
                    "channels": stage.vectors.shape[1],
                    "prototypes": [asdict(prototype) for prototype in stage.prototypes],
                }
                for name, stage in self.stages.items()
            },
        }

    def sentences(self, name: str) -> list[str]:
        """What to know of the prototypes at a stage before believing a map made with them."""
        stage = self.stage(name)
        inside, outside = len(stage.kept("foreground")), len(stage.kept("context"))
        method = "CAM" if self.split == "cam" else "Grad-CAM"
        said = [
            f"{inside} prototype{'' if inside == 1 else 's'} of '{self.label}' and {outside} of "
            f"what surrounds it, split where {method} reaches {self.tau:.0%}."
        ]
        if self.source == "self":
            said.append(
                "Prototypes of this picture alone, mirrored and enlarged: not the paper's method, "
                "which learns from many."
            )
        else:
            count = len(self.pictures)
            said.append(f"Learned from {count} picture{'' if count == 1 else 's'}.")
        if self.papers:
            said.append("The paper's setting.")
        if self.split == "grad_cam":
            said.append(
                "Approximate: no CAM is defined here, and the classifier scored no prototype."
            )
        if stage.relaxed:
            said.append(
                f"The classifier is sure of none of them (z > {self.mu_f:g}); the best was kept."
            )
        if not inside:
            said.append("Every prototype of the class was left out.")
        return said

    def check(self, backbone: Backbone) -> None:
        """Raise `PrototypeError` if these are prototypes of another network than this one."""
        if self.digest == backbone.weights_digest:
            return
        what = (
            f"of other weights of {self.backbone} than the ones at hand"
            if self.backbone == backbone.name
            else f"of {self.backbone}, not of {backbone.name}"
        )
        raise PrototypeError(
            f"these prototypes of '{self.label}' are {what}; directions in one network's feature "
            "space mean nothing in another's: build them again with this one"
        )

    def stage(self, name: str) -> StagePrototypes:
        """The prototypes of a stage; `PrototypeError` if there are none."""
        if name not in self.stages:
            raise PrototypeError(
                f"there are prototypes of '{self.label}' at {', '.join(self.stages)}, none at "
                f"'{name}'; build them with that stage"
            )
        return self.stages[name]

    def rename(self, stage: str, index: int, name: str) -> "PrototypeBank":
        """The same bank with a name given to a prototype."""
        return self._with(stage, index, name=name)

    def keep(self, stage: str, index: int, kept: bool = True) -> "PrototypeBank":
        """The same bank with a prototype taken into the map, or left out of it."""
        return self._with(stage, index, kept=kept)

    def _with(self, stage: str, index: int, **change: Any) -> "PrototypeBank":
        held = self.stage(stage)
        if not 0 <= index < len(held.prototypes):
            raise PrototypeError(
                f"no prototype {index} at '{stage}'; there are 0 to {len(held.prototypes) - 1}"
            )
        prototypes = list(held.prototypes)
        prototypes[index] = replace(prototypes[index], **change)
        changed = replace(held, prototypes=tuple(prototypes))
        return replace(self, stages={**self.stages, stage: changed})

    def save(self, file: str | Path, *, compact: bool = False) -> Path:
        """Write one .safetensors file: vectors and thumbnails, everything else in its header.

        compact: vectors in half precision, which changes cosines by less than 0.001.
        """
        tensors = {}
        stages = {}
        for name, stage in self.stages.items():
            vectors = stage.vectors.contiguous()
            half = vectors.half()
            fits = compact and bool(torch.isfinite(half).all())
            tensors[f"{name}/vectors"] = half if fits else vectors
            if stage.thumbnails is not None:
                tensors[f"{name}/thumbnails"] = _packed(stage.thumbnails)
            stages[name] = {
                "scoring": stage.scoring,
                "relaxed": stage.relaxed,
                "prototypes": [
                    {**vars(p), "members": [list(vars(m).values()) for m in p.members]}
                    for p in stage.prototypes
                ],
            }
        plain = {key: value for key, value in vars(self).items() if key != "stages"}
        said = json.dumps(
            {"format": _FORMAT, **plain, "stages": stages},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        path = Path(file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, path, {"camviz.prototypes": said})
        except (OSError, SafetensorError) as error:
            raise PrototypeError(f"prototypes cannot be written to '{path}': {error}") from error
        return path

    @classmethod
    def load(cls, file: str | Path) -> "PrototypeBank":
        """The bank that `save` wrote. Nothing is unpickled; `PrototypeError` if it is not one."""
        path = Path(file)
        if not path.is_file():
            raise PrototypeError(f"there is no file '{path}' with prototypes; check the path")
        try:
            with safe_open(path, "pt") as archive:
                said = (archive.metadata() or {}).get("camviz.prototypes")
                tensors = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise PrototypeError(
                f"'{path.name}' is not a .safetensors file, or cut short ({error})"
            ) from error
        if said is None:
            raise PrototypeError(
                f"'{path.name}' holds tensors but no prototypes; camviz's `prototypes build` "
                "writes such files"
            )
        try:
            plain = json.loads(said)
            version = plain.pop("format")
            if version != _FORMAT:
                raise PrototypeError(
                    f"'{path.name}' was written in format {version}, and this camviz reads format "
                    f"{_FORMAT}; build the prototypes again"
                )
            stages = {
                name: _stage_of(row, tensors[f"{name}/vectors"], tensors.get(f"{name}/thumbnails"))
                for name, row in plain.pop("stages").items()
            }
            plain["pictures"] = tuple(plain["pictures"])
            plain["skipped"] = tuple((name, reason) for name, reason in plain["skipped"])
            return _sound(cls(stages=stages, **plain))
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise PrototypeError(
                f"the description of the prototypes in '{path.name}' is damaged ({error!r})"
            ) from error


def _sound(bank: PrototypeBank) -> PrototypeBank:
    """The same, whose description may come from anybody: a ValueError names what cannot be."""

    def share(value: Any) -> bool:
        return isinstance(value, (int, float)) and 0 <= value <= 1

    wrong = [name for name in ("tau", "mu_f", "mu_b") if not share(getattr(bank, name))]
    wrong += [name for name in ("target", "clusters") if not isinstance(getattr(bank, name), int)]
    words = (bank.label, bank.backbone, bank.digest, *bank.pictures)
    wrong += ["a name"] if not all(isinstance(word, str) for word in words) else []
    for name, stage in bank.stages.items():
        if not bool(torch.isfinite(stage.vectors).all()):
            wrong.append(f"vectors at {name}")
        for one in stage.prototypes:
            known = one.kind in get_args(Kind) and isinstance(one.name, str)
            scored = one.score is None or share(one.score)
            placed = all(0 <= member.picture < len(bank.pictures) for member in one.members)
            if not (known and scored and placed and isinstance(one.size, int)):
                wrong.append(f"a prototype at {name}")
    if wrong:
        raise ValueError(", ".join(dict.fromkeys(wrong)))
    return bank


def _stage_of(row: dict[str, Any], vectors: Tensor, packed: Tensor | None) -> StagePrototypes:
    prototypes = []
    for given in row["prototypes"]:
        members = tuple(
            Member(picture, (line, column), (left, top, right, bottom), similarity)
            for picture, (line, column), (left, top, right, bottom), similarity in given["members"]
        )
        prototypes.append(Prototype(**{**given, "members": members}))
    if vectors.ndim != 2 or len(vectors) != len(prototypes) or not vectors.is_floating_point():
        raise ValueError(f"{len(prototypes)} prototypes, vectors of shape {tuple(vectors.shape)}")
    thumbnails = None if packed is None else _unpacked(packed, len(prototypes))
    return StagePrototypes(
        vectors.float(), tuple(prototypes), row["scoring"], row["relaxed"], thumbnails
    )


def _packed(thumbnails: np.ndarray) -> Tensor:
    """Thumbnails as the bytes of one WebP sheet, a row a prototype."""
    count, across, side = thumbnails.shape[:3]
    sheet = thumbnails.transpose(0, 2, 1, 3, 4).reshape(count * side, across * side, 3)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", quality=75, method=6)
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def _unpacked(packed: Tensor, count: int) -> np.ndarray:
    with Image.open(io.BytesIO(packed.numpy().tobytes()), formats=["WEBP"]) as image:
        sheet = np.asarray(image.convert("RGB"))
    side = sheet.shape[0] // max(count, 1)
    across = sheet.shape[1] // max(side, 1)
    return sheet.reshape(count, side, across, side, 3).transpose(0, 2, 1, 3, 4)


@dataclass
class Gathered:
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
    def together(cls, parts: "Sequence[Gathered]") -> "Gathered":
        """Those of several pictures as one."""
        beliefs = [part.belief for part in parts if part.belief is not None]
        return cls(
            torch.cat([part.vectors for part in parts]),
            torch.cat([part.heat for part in parts]),
            torch.cat(beliefs) if len(beliefs) == len(parts) else None,
            torch.cat([part.picture for part in parts]),
            torch.cat([part.cell for part in parts]),
        )


def gather(
    features: Tensor,
    placement: Placement,
    heat: Tensor,
    heat_placement: Placement,
    belief: Tensor | None = None,
    picture: int = 0,
) -> Gathered:
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
    return Gathered(
        features[0].detach().flatten(1).T.cpu().contiguous(),
        there(heat),
        None if belief is None else there(belief),
        torch.full((height * width,), picture),
        cells,
    )


@dataclass(frozen=True, eq=False)
class Clusters:
    """Vectors by angle: `centres` (k, C), raw-scale means; `member` (n,), -1 for zero vectors."""

    centres: Tensor
    member: Tensor

    def __len__(self) -> int:
        return len(self.centres)


def cluster(
    vectors: Tensor, clusters: int, seed: int = 0, *, restarts: int = _RESTARTS
) -> Clusters:
    """K-means by cosine: each vector belongs to the centre at the smallest angle.

    vectors: (n, C), of any scale; zero vectors have no direction and belong nowhere. At most
    n // 8 clusters, at least one. k-means++ starts, all restarts at once, until no membership
    changes (100 rounds at most); an empty cluster starts again from the vector that fits worst.
    The best restart has the largest sum of cosines. The same seed gives the same bits on the same
    machine. A centre is the arithmetic mean of the raw vectors, for the classifier to judge.
    """
    usable = vectors.norm(dim=1) > 0
    full = vectors[usable]
    count = len(full)
    member = torch.full((len(vectors),), -1)
    if count == 0:
        return Clusters(vectors[:0], member)
    wanted = min(clusters, max(1, count // _FEWEST))
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize(full, dim=1, eps=0)
    sample = unit
    if count > _SAMPLE:
        sample = unit[torch.randperm(count, generator=generator)[:_SAMPLE].sort().values]
    centres = _best_centres(sample, wanted, restarts if wanted > 1 else 1, generator)
    nearest = (unit @ centres.T).argmax(dim=1)
    used, nearest = nearest.unique(return_inverse=True)  # equal vectors leave clusters empty
    sums = torch.zeros(len(used), vectors.shape[1]).index_add_(0, nearest, full)
    sizes = torch.bincount(nearest, minlength=len(used))
    member[usable] = nearest
    return Clusters(sums / sizes.unsqueeze(1), member)


def _best_centres(unit: Tensor, count: int, restarts: int, generator: torch.Generator) -> Tensor:
    """(count, C) unit vectors: the best of several runs of Lloyd's algorithm on the sphere."""
    centres = _spread_out(unit, count, restarts, generator)
    members = torch.full((restarts, len(unit)), -1)
    quality = torch.zeros(restarts)
    running = torch.arange(restarts)
    for _ in range(_ITERATIONS):
        cosines = (unit @ centres[running].flatten(0, 1).T).view(len(unit), len(running), count)
        fit, nearest = cosines.max(dim=2)
        quality[running] = fit.sum(dim=0)
        moved = (members[running] != nearest.T).any(dim=1)
        members[running] = nearest.T
        running = running[moved]
        if not len(running):
            break
        for place, run in zip(moved.nonzero()[:, 0].tolist(), running.tolist(), strict=True):
            sums = torch.zeros_like(centres[run]).index_add_(0, members[run], unit)
            empty = torch.bincount(members[run], minlength=count) == 0
            for index in empty.nonzero()[:, 0].tolist():
                worst = int(fit[:, place].argmin())
                if fit[worst, place] < _FITS:
                    sums[index] = unit[worst]
                    fit[worst, place] = 1
            # Opposite vectors can cancel; such a centre stays where it was.
            norms = sums.norm(dim=1, keepdim=True)
            centres[run] = torch.where(norms > 1e-6, sums / norms.clamp_min(1e-6), centres[run])
    return centres[int(quality.argmax())]


def _spread_out(unit: Tensor, count: int, restarts: int, generator: torch.Generator) -> Tensor:
    """(restarts, count, C): k-means++ starts, each far from those before it.

    Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007.
    """
    first = torch.randint(len(unit), (restarts,), generator=generator)
    chosen = [first]
    nearest = unit @ unit[first].T  # (n, restarts)
    for _ in range(count - 1):
        distance = (1 - nearest).clamp_min(0).T
        # Where all that is left coincides with a start, any will do.
        distance = torch.where(distance.sum(dim=1, keepdim=True) > 1e-6, distance, 1.0)
        pick = torch.multinomial(distance, 1, generator=generator)[:, 0]
        chosen.append(pick)
        nearest = torch.maximum(nearest, unit @ unit[pick].T)
    return unit[torch.stack(chosen, dim=1)]


def select(
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
    gathered: Gathered,
    *,
    clusters: int = CLUSTERS,
    tau: float,
    mu_f: float = MU_FOREGROUND,
    mu_b: float = MU_CONTEXT,
    seed: int = 0,
    judge: Callable[[Tensor], Tensor] | None = None,
    box: Callable[[int, tuple[int, int]], tuple[int, int, int, int]] | None = None,
) -> StagePrototypes:
    """The prototypes of one stage: split at tau, cluster each side, score, select.

    judge: (k, C) raw-scale centres -> (k,) probabilities of the class, the head's own. None where
    the head cannot be shown this stage's features: then a prototype's score is the mean belief
    at its places, for information only, and all are kept (selecting by it, or by how purely a
    prototype's surroundings are foreground, was no better). box: (picture, cell) -> its pixels.
    """
    hot = gathered.heat >= tau  # a place at exactly tau is foreground
    found: list[tuple[Kind, Clusters, Tensor]] = []
    for kind, side in (("foreground", hot), ("context", ~hot)):
        where = side.nonzero()[:, 0]
        found.append((kind, cluster(gathered.vectors[where], clusters, seed), where))  # type: ignore[arg-type]
    if not len(found[0][1]):
        raise PrototypeError(
            f"no place in the pictures is foreground: the class's map never reaches {tau:g} of its "
            "maximum where there are features; lower tau"
        )
    scoring: Scoring = (
        "head" if judge is not None else "none" if gathered.belief is None else "places"
    )
    scores = [_scores(part, where, gathered, judge) for _, part, where in found]
    judged = scores if judge is not None else [[None] * len(part) for _, part, _ in found]
    keep_f, keep_b, relaxed = select(judged[0], judged[1], mu_f, mu_b)
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
                    members=_members(part.centres[index], mine, gathered, box),
                )
            )
    vectors = torch.cat([part.centres for _, part, _ in found])
    return StagePrototypes(vectors, tuple(prototypes), scoring, relaxed)


def _scores(
    part: Clusters,
    where: Tensor,
    gathered: Gathered,
    judge: Callable[[Tensor], Tensor] | None,
) -> list[float | None]:
    if not len(part):
        return []
    if judge is not None:
        return [float(z) for z in judge(part.centres)]
    if gathered.belief is None:
        return [None] * len(part)
    belief = gathered.belief[where]
    return [float(belief[part.member == index].mean()) for index in range(len(part))]


def _members(
    centre: Tensor,
    mine: Tensor,
    gathered: Gathered,
    box: Callable[[int, tuple[int, int]], tuple[int, int, int, int]] | None,
) -> tuple[Member, ...]:
    """The places nearest to a centre: the best of each picture first, then whatever is next."""
    maps = cosine_maps(gathered.vectors[mine][:, :, None, None], centre[None])
    cosines = maps[:, 0, 0, 0]
    order = cosines.argsort(descending=True, stable=True).tolist()
    pictures = gathered.picture[mine].tolist()
    best: list[int] = []
    others: list[int] = []
    seen: set[int] = set()
    for place in order:
        (others if pictures[place] in seen else best).append(place)
        seen.add(pictures[place])
    members = []
    for place in (best + others)[:MEMBERS]:
        row, column = gathered.cell[mine[place]].tolist()
        cell = (int(row), int(column))
        pixels = (0, 0, 0, 0) if box is None else box(pictures[place], cell)
        members.append(Member(pictures[place], cell, pixels, round(float(cosines[place]), 6)))
    return tuple(members)


def build_bank(
    backbone: Backbone,
    target: int,
    taps: Mapping[str, Tap],
    names: Sequence[str],
    look: Look,
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
    """Prototypes of a class at every tapped stage, from pictures that `look` shows the network.

    names: of the pictures. One that `look` cannot open (`ImageError`) or whose class map is empty
    is left out and named. Where no CAM is defined (a class
    token, weights over places), Grad-CAM at the last stage splits, and no score exists. Raises
    `PrototypeError` if nothing is left to learn from, and whatever `progress` raises.
    """
    split = _Split(backbone, target)
    gathered: dict[str, list[Gathered]] = {name: [] for name in taps}
    fits: list[Fit] = []
    used: list[str] = []
    missed: list[tuple[str, str]] = []
    placements = {
        name: plain_placement(tapped, backbone.input_size) for name, tapped in taps.items()
    }
    for index, picture in enumerate(names):
        if progress is not None:
            progress(index, len(names), picture)
        try:
            seen, how, heat, where, belief = split.of(look, index)
        except ImageError as error:
            missed.append((picture, str(error)))
            continue
        if is_empty(heat):
            missed.append((picture, f"nothing in it speaks for '{backbone.labels[target]}'"))
            continue
        for name, tapped in taps.items():
            features = seen.activations[tapped.address]
            part = gather(features, placements[name], heat, where, belief, len(used))
            if not bool(torch.isfinite(part.vectors).all()):
                raise PrototypeError(
                    f"features at '{name}' of {backbone.name} are not finite for "
                    f"'{picture}'; the network's own values overflow there"
                )
            gathered[name].append(part)
        fits.append(how)
        used.append(picture)
    if not used:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in missed[:4])
        raise PrototypeError(
            f"no picture shows {backbone.name} a '{backbone.labels[target]}' ({reasons}); give "
            "pictures of that class"
        )
    if progress is not None:
        progress(len(names), len(names), "")
    stages = {}
    for name, tapped in taps.items():
        where = placements[name]
        stages[name] = find_prototypes(
            Gathered.together(gathered[name]),
            clusters=clusters,
            tau=tau,
            mu_f=mu_f,
            mu_b=mu_b,
            seed=seed,
            judge=split.judge(tapped),
            box=lambda index, cell, where=where: _patch(fits[index], where, cell),  # type: ignore[misc]
        )
    return PrototypeBank(
        backbone=backbone.name,
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
        skipped=tuple(missed),
    )


class _Split:
    """The class's own map of each picture, and what the head can say of single places.

    CAM if the network has one; its weights are read once where they do not depend on the picture.
    """

    def __init__(self, backbone: Backbone, target: int) -> None:
        self.backbone = backbone
        self.target = target
        self.method: Literal["cam", "grad_cam"] = "cam"
        self._weights: Tensor | None = None

    def of(self, look: Look, index: int) -> tuple[Trace, Fit, Tensor, Placement, Tensor | None]:
        """(trace, fit, map in [0, 1], where its cells look, the class's probability there)."""
        pre_pool = self.backbone.discovery.pre_pool
        if self.method == "cam" and pre_pool is not None:
            seen, how = look(index, False)
            try:
                weights = self._weights
                if weights is None:
                    head = head_weights(self.backbone, seen, self.target)
                    weights = head.weights
                    self._weights = weights if head.kind == "linear" else None
            except MethodError:
                pass
            else:
                features = seen.activations[pre_pool.address]
                heat = _finite(cam(features, weights)[0], self.backbone)
                vectors = features[0].flatten(1).T
                beliefs = local_beliefs(self.backbone, vectors)[:, self.target]
                where = plain_placement(pre_pool, self.backbone.input_size)
                return seen, how, heat, where, beliefs.view(heat.shape)
        self.method = "grad_cam"
        tap = split_tap(self.backbone)
        seen, how = look(index, True)
        gradient = seen.gradients(Target(self.target))[tap.address]
        heat = _finite(grad_cam(seen.activations[tap.address], gradient)[0], self.backbone)
        return seen, how, heat, plain_placement(tap, self.backbone.input_size), None

    def judge(self, tap: Tap) -> Callable[[Tensor], Tensor] | None:
        """The head's reading of this stage's centres, if they are what it reads."""
        pre_pool = self.backbone.discovery.pre_pool
        if self.method != "cam" or pre_pool is None or tap.address != pre_pool.address:
            return None
        return lambda centres: local_beliefs(self.backbone, centres)[:, self.target]


def _finite(raw: Tensor, backbone: Backbone) -> Tensor:
    if not bool(torch.isfinite(raw).all()):
        raise PrototypeError(f"the class map of {backbone.name} is not finite; its values overflow")
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


def with_thumbnails(
    bank: PrototypeBank, cut: Callable[[str, tuple[int, int, int, int]], np.ndarray]
) -> PrototypeBank:
    """The same bank with its members' patches: `cut` gives the pixels of (picture, box)."""
    stages = {}
    for name, stage in bank.stages.items():
        shape = (len(stage.prototypes), MEMBERS, THUMBNAIL, THUMBNAIL, 3)
        thumbnails = np.zeros(shape, np.uint8)
        for row, prototype in enumerate(stage.prototypes):
            for column, member in enumerate(prototype.members):
                patch = Image.fromarray(cut(bank.pictures[member.picture], member.box))
                thumbnails[row, column] = patch.resize((THUMBNAIL, THUMBNAIL))
        stages[name] = replace(stage, thumbnails=thumbnails)
    return replace(bank, stages=stages)


def own_views(image: Tensor, fit: Fit) -> list[tuple[str, Tensor, Fit]]:
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


def shipped_bank(backbone: Backbone, target: int) -> PrototypeBank | None:
    """The ready-made prototypes of a class of a bundled backbone, if they fit its weights."""
    if backbone.name not in bundled_names():
        return None
    file = BUNDLED / backbone.name / "prototypes" / f"{target}.safetensors"
    if not file.is_file():
        return None
    bank = _loaded(file, file.stat().st_mtime_ns)
    return bank if bank.digest == backbone.weights_digest else None


@lru_cache(maxsize=64)
def _loaded(file: Path, changed: int) -> PrototypeBank:
    return PrototypeBank.load(file)
