"""The engine: a picture, a backbone and a method in, an explanation out.

    engine = Engine()
    x = engine.explain("cat.jpg", backbone="resnet50", target="tiger cat")
    x.fused, x.maps["layer3"], x.boxes(), x.save("out/")

The network runs once per picture. What it did is kept, and everything else (method, tap, stages,
fusion, class already asked for, threshold) is arithmetic on what was kept. One order everywhere:
raw map -> ReLU -> divide by the maximum at the stage's own resolution -> fuse on the finest grid
-> up-sample once, to the picture's own size.
"""

import copy
import os
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camviz.engine.cache import Shelf
from camviz.engine.explanation import Explanation, GridKind, PlacementKind, Request
from camviz.engine.stage_map import compute_stage_map
from camviz.errors import ImageError, MethodError, PrototypeError, StageError, TargetError
from camviz.images import FIT_MODES, Fit, Picture, PictureSource, open_picture
from camviz.maps.fusion import FUSIONS, Placement
from camviz.methods import METHODS, Method
from camviz.methods.activation import Aggregate, cosine_maps
from camviz.methods.denoise import CALIBRATIONS, MODES, Calibration, Mode
from camviz.network.backbone import GIVEN, Backbone
from camviz.network.head import HeadWeights, head_weights
from camviz.network.placement import plain_placement, true_placements
from camviz.network.stages import Stage, TapKind
from camviz.network.taps import Address, Tap
from camviz.network.trace import Score, Target, Trace, trace
from camviz.network.weights import default_backbone, load_backbone
from camviz.prototypes import build as local
from camviz.prototypes.bank import (
    CLUSTERS,
    MU_CONTEXT,
    MU_FOREGROUND,
    TAU,
    PrototypeBank,
    shipped_bank,
    with_thumbnails,
)

_KEPT_SIDE = 512  # pixels of a gallery's picture that are kept until its bank is built
_BANK = "bank:"  # what a request says of prototypes that were given in memory


@dataclass(frozen=True)
class Job:
    """A piece of work in plain values (names, numbers, arrays): fit to cross a process border.

    backbone, weights: what `load_backbone` makes the network from, in any process. parameters:
    its size, 0 before it has been loaded. work: which of `_WORK`; arguments: what that takes.
    """

    backbone: str
    weights: str
    parameters: int
    work: str
    arguments: tuple[Any, ...] = field(default=(), repr=False)


# Does a job, here or in another process, by `Engine.run`; returns what that returns.
Compute = Callable[[Job], Any]


class Engine:
    """Explains pictures, and remembers networks and what they saw.

    device: where networks run; None: the GPU if there is one. The memory that networks and
    traces may take is bounded; the least recently used make room. Safe to share between
    threads: a network answers one after the other.

    compute: who runs networks instead of this process, by `run` of this very engine in a process
    forked from this one: then nothing is differentiated here, not even to load a network. None:
    this process does. A network that was given, or loaded with timm's own arguments, cannot be
    made again elsewhere, and always runs here.
    """

    def __init__(
        self,
        device: str | torch.device | None = None,
        *,
        compute: Compute | None = None,
        backbone_bytes: int = 2 * 2**30,
        trace_bytes: int = 2**30,
    ) -> None:
        self.device = device
        self._compute = compute
        self._process = os.getpid()
        self._measured: dict[Hashable, dict[str, Placement]] = {}
        self._backbones: Shelf[Backbone] = Shelf(backbone_bytes, lambda b: 4 * b.parameters)
        self._traces: Shelf[tuple[Trace, Fit]] = Shelf(trace_bytes, lambda kept: kept[0].nbytes)
        self._trace_bytes = trace_bytes
        self._loading = threading.Lock()

    def backbone(
        self,
        name: str | None = None,
        weights: str | Path = "auto",
        display_name: str | None = None,
        **timm_kwargs: Any,
    ) -> Backbone:
        """A backbone by name, loaded once; see `load_backbone`."""
        name = name or default_backbone()
        key = (name, str(weights), tuple(sorted((k, repr(v)) for k, v in timm_kwargs.items())))
        with self._loading:
            backbone = self._backbones.get(key)
            if backbone is None:
                found = None
                if self._compute is not None and not timm_kwargs:
                    found = self._compute(Job(name, str(weights), 0, "discovery"))
                backbone = load_backbone(name, weights, self.device, discovery=found, **timm_kwargs)
                self._backbones.put(key, backbone)
        return backbone

    def explain(
        self,
        image: PictureSource,
        backbone: str | Backbone | None = None,
        weights: str | Path = "auto",
        target: int | str | None = None,
        method: str = "layer_cam",
        stages: Sequence[str] | None = None,
        fuse: str = "product",
        tap: TapKind = "activation",
        placement: PlacementKind = "plain",
        fit: str = "stretch",
        score: Score = "logit",
        versus: int | str | None = None,
        grid: GridKind = "auto",
        checkerboard: str = "auto",
        truncation: float = 0.0,
        truncated: Sequence[str] | None = None,
        truncation_mode: Mode = "threshold",
        calibration: Calibration = "mirror",
        prototypes: PrototypeBank | str | Path | None = None,
        aggregate: Aggregate = "mean",
    ) -> Explanation:
        """Where a backbone looks to see a class in a picture.

        image: a path, a PIL picture or a uint8 array. backbone: a name or a `Backbone`; None:
        the best at hand. target: index, label or None for the top prediction; `score` is the
        number explained, and `versus` a class to tell the target from. method, fuse: names in
        `METHODS` and `FUSIONS`. stages: names of stages or of any module; None: one per
        resolution. tap: "activation", the last post-activation tensor at each resolution, or
        "output", the stage's own. placement: "plain" or "true", where the cells were measured
        to look. fit: "stretch" or "crop". grid: "auto" removes the checkerboard of strided
        layers where there is one, "smooth" always, "raw" never (element-wise methods only).
        truncation: 0 for the plain method, else q in (0, 1): the gradient of shallow stages is
        truncated before the method sees it (`methods.denoise.truncate`, with `truncation_mode`
        and `calibration`). truncated: at which stages; None: at all but the deepest resolution.
        prototypes, for method "lpcam": a `PrototypeBank` or its file; "shipped"; "self", the
        picture's own; None: shipped ones if there are, else its own. Its stages are then the
        bank's coarser ones. aggregate: "mean" of the cosines (the paper's) or "max".

        Raises a `CamvizError` that says what was wrong, what was given and what would do.
        """
        grid = {"keep": "raw"}.get(checkerboard, checkerboard) if checkerboard != "auto" else grid  # type: ignore[assignment]
        row = _choose("method", method, METHODS)
        _choose("fusion", fuse, FUSIONS)
        for what, given, choices in (
            ("tap", tap, ("activation", "output")),
            ("placement", placement, ("plain", "true")),
            ("score", score, ("logit", "log_probability", "probability")),
            ("grid", grid, ("auto", "smooth", "raw")),
            ("truncation mode", truncation_mode, MODES),
            ("calibration", calibration, CALIBRATIONS),
            ("aggregate", aggregate, ("mean", "max")),
        ):
            _choose(what, given, dict.fromkeys(choices))
        _check_truncation(truncation, truncated, row)
        if not row.uses_gradients and (versus is not None or score != "logit"):
            what = f"score '{score}'" if versus is None else f"versus '{versus}'"
            raise MethodError(
                f"{row.label} takes no gradient and cannot heed {what}; leave it out, or choose a "
                "method that does take one, such as layer_cam"
            )
        picture = image if isinstance(image, Picture) else open_picture(image)
        if not isinstance(backbone, Backbone):
            backbone = self.backbone(backbone, weights)
        head_only = row.uses_head
        bank = None
        if row.uses_prototypes:
            bank = self._bank(prototypes, picture, backbone, target, stages, tap, fit)
            target, stages = bank.target, _prototype_stages(backbone, stages, tuple(bank.stages))
        elif prototypes is not None:
            raise MethodError(f"{row.label} knows no prototypes; method 'lpcam' does")
        chosen = _head_stage(backbone, stages) if head_only else _stages(backbone, stages)
        kind: TapKind = "output" if head_only else tap
        taps = {stage.name: stage.tap(kind) for stage in chosen}
        told = None if target is None else backbone.target(target)
        asked = None
        if told is not None and row.uses_gradients:
            asked = Target(told, score, _rival(backbone, told, versus))
        seen, how = self._seen(picture, backbone, fit, list(taps.values()), asked)
        index = int(seen.logits.argmax()) if told is None else told
        wanted = Target(index, score, _rival(backbone, index, versus))
        shallow = _truncated(backbone, chosen, truncated) if truncation else ()
        gradients: dict[Address, Tensor] = {}
        if row.uses_gradients:
            try:
                gradients = seen.gradients(wanted)
            except LookupError:  # the graph was given up for memory, perhaps a moment ago
                seen, how = self._look(picture, backbone, fit, seen.taps, wanted)
                gradients = seen.gradients(wanted)
        request = Request(
            backbone.name,
            backbone.loaded_with or GIVEN,
            index,
            method,
            tuple(taps),
            fuse,
            tap,
            placement,
            fit,
            score,
            wanted.versus,
            grid,
            truncation,
            shallow,
            truncation_mode,
            calibration,
            None if bank is None else _named(bank, prototypes, backbone),
            aggregate,
        )
        head = None
        if head_only:
            head = seen.memoize(
                ("head", index), lambda: self._head(picture, backbone, fit, seen, index)
            )
        raw, notes, plain, cosines = {}, {}, {}, {}
        with torch.autocast(backbone.device.type, enabled=False):
            for stage in chosen:
                strided = any(other.reduction > stage.reduction for other in backbone.stages)
                smooth: GridKind = "raw" if grid == "auto" and not strided else grid
                heat, note, before = compute_stage_map(
                    row,
                    stage,
                    taps[stage.name],
                    seen,
                    wanted,
                    gradients,
                    smooth,
                    head,
                    request,
                    bank,
                )
                raw[stage.name], notes[stage.name] = heat, note
                if before is not None:
                    plain[stage.name] = before
                if bank is not None:
                    features = seen.activations[taps[stage.name].address]
                    vectors = bank.stage(stage.name).vectors.to(features.device)
                    cosines[stage.name] = cosine_maps(features, vectors)[0].cpu().numpy()
        seen.shrink(self._trace_bytes, wanted)
        self._traces.put((picture.digest, backbone.uid, fit), (seen, how))  # it may have grown
        return Explanation(
            request,
            picture,
            how,
            backbone,
            seen.logits.numpy().copy(),
            raw,
            notes,
            self._placements(backbone, taps, placement),
            plain,
            bank,
            cosines,
        )

    def build_prototypes(
        self,
        images: Sequence[PictureSource],
        backbone: str | Backbone | None = None,
        target: int | str | None = None,
        clusters: int = CLUSTERS,
        tau: float = TAU,
        mu_f: float = MU_FOREGROUND,
        mu_b: float = MU_CONTEXT,
        seed: int = 0,
        stages: Sequence[str] | None = None,
        *,
        weights: str | Path = "auto",
        tap: TapKind = "activation",
        fit: str = "stretch",
        progress: local.Progress | None = None,
    ) -> PrototypeBank:
        """What a class looks like to a backbone, learned from 1 to 64 pictures of it.

        Every place of the pictures is foreground if the class's CAM reaches tau of its maximum
        there, else context; at most `clusters` prototypes stand for each side, at each stage
        (None: one per resolution). Where the head can judge them, foreground is kept above mu_f
        and context below mu_b. The paper's setting is tau 0.1 and the last stage alone. Pictures
        that cannot be opened or show nothing of the class are skipped and named in the bank.

        progress(done, of, name) is called before every picture; what it raises ends the work and
        leaves the network whole. Raises a `CamvizError` if there is nothing to learn from.
        """
        _check_build(images, clusters, tau, mu_f, mu_b, seed)
        _choose("tap", tap, dict.fromkeys(("activation", "output")))
        _choose("fit", fit, dict.fromkeys(FIT_MODES))
        if not isinstance(backbone, Backbone):
            backbone = self.backbone(backbone, weights)
        if target is None:
            raise PrototypeError("prototypes are of one class: give target, an index or a label")
        index = backbone.target(target)
        taps = {stage.name: stage.tap(tap) for stage in _stages(backbone, stages)}
        needed = _with_split(backbone, taps.values())
        names = _names(images)
        if self._elsewhere(backbone):
            how = (index, clusters, tau, mu_f, mu_b, seed, tuple(taps), tap, fit)
            return self._built_elsewhere(backbone, images, names, how, progress)
        shrunk: dict[str, tuple[np.ndarray, float]] = {}

        def look(number: int, graph: bool) -> tuple[Trace, Fit]:
            image = images[number]
            picture = image if isinstance(image, Picture) else open_picture(image)
            shrunk[names[number]] = _shrunk(picture)  # 64 photographs may not fit into memory
            kept = self._traces.get((picture.digest, backbone.uid, fit))
            if kept is not None and kept[0].covers(needed) and not graph:
                return kept
            prepared, how = backbone.prepare(picture, fit)
            return trace(backbone, prepared, needed, graph=graph), how

        def cut(name: str, box: tuple[int, int, int, int]) -> np.ndarray:
            pixels, scale = shrunk[name]
            left, top, right, bottom = (round(edge * scale) for edge in box)
            left, top = min(left, pixels.shape[1] - 1), min(top, pixels.shape[0] - 1)
            return pixels[top : max(bottom, top + 1), left : max(right, left + 1)]

        with _plain_arithmetic(backbone):
            bank = local.build_bank(
                backbone,
                index,
                taps,
                names,
                look,
                clusters=clusters,
                tau=tau,
                mu_f=mu_f,
                mu_b=mu_b,
                seed=seed,
                tap=tap,
                fit=fit,
                progress=progress,
            )
        return with_thumbnails(bank, cut)

    def _built_elsewhere(
        self,
        backbone: Backbone,
        images: Sequence[PictureSource],
        names: Sequence[str],
        how: tuple[Any, ...],
        progress: local.Progress | None,
    ) -> PrototypeBank:
        """`build_prototypes` by another process, which gets the pictures that can be opened."""
        pictures: list[Picture] = []
        missed: list[tuple[str, str]] = []
        for image, name in zip(images, names, strict=True):
            try:
                picture = image if isinstance(image, Picture) else open_picture(image)
            except ImageError as error:
                missed.append((name, str(error)))
            else:
                pictures.append(replace(picture, name=name))
        if not pictures:
            raise PrototypeError(f"no picture could be opened ({missed[0][0]}: {missed[0][1]})")
        if progress is not None:  # how far it is, the other process cannot say
            progress(0, len(pictures), "")
        bank = _from_plain(self._job(backbone, "prototypes", pictures, *how))
        return replace(bank, skipped=(*bank.skipped, *missed))

    def similarity(
        self,
        x: Explanation,
        stage: str,
        point: tuple[float, float],
        other: "PictureSource | Explanation | None" = None,
    ) -> np.ndarray:
        """How like every place is to one place, as a stage sees them: cosines, (H, W), in [-1, 1].

        point: (x, y) in pixels of the explained picture; the cell that looks there is compared.
        other: another picture to look for its kin in; None: the same one. The class has no say.
        """
        backbone, how = x.backbone, x.request
        chosen = backbone.stage(stage)
        tap = chosen.tap(how.tap)
        across, down = point
        inside = 0 <= across < x.picture.width and 0 <= down < x.picture.height
        if not inside or not x.visible[int(down), int(across)]:
            raise MethodError(
                f"the network was not shown the point ({across:g}, {down:g}); the picture is "
                f"{x.picture.width} x {x.picture.height} pixels, and fit is '{how.fit}'"
            )
        placement = self._placements(backbone, {stage: tap}, how.placement)[stage]
        features = self._seen(x.picture, backbone, how.fit, [tap])[0].activations[tap.address]
        row, column = _cell_at(x.fit, placement, point, tap.layout.grid)
        vector = features[:, :, row, column]
        if isinstance(other, Explanation):
            other = other.picture
        shown = x
        if other is not None:
            picture = other if isinstance(other, Picture) else open_picture(other)
            seen, fit = self._seen(picture, backbone, how.fit, [tap])
            features = seen.activations[tap.address]
            shown = replace(x, picture=picture, fit=fit)
        with _plain_arithmetic(backbone):
            cosines = cosine_maps(features, vector)[0, 0].cpu().numpy()
        return shown.on_picture(cosines, placement)

    def _bank(
        self,
        given: PrototypeBank | str | Path | None,
        picture: Picture,
        backbone: Backbone,
        target: int | str | None,
        stages: Sequence[str] | None,
        tap: TapKind,
        fit: str,
    ) -> PrototypeBank:
        """The prototypes to compare with: those given, else shipped, else the picture's own."""
        wanted = None if target is None else backbone.target(target)
        if isinstance(given, PrototypeBank) or given not in (None, "shipped", "self"):
            bank = given if isinstance(given, PrototypeBank) else _load_bank(given)
            bank.check(backbone)
            if wanted not in (None, bank.target):
                raise PrototypeError(
                    f"these are prototypes of '{bank.label}', and '{backbone.labels[wanted]}' was "
                    "to be explained; leave the target out, or build a bank for it"
                )
            if bank.tap != tap:
                raise PrototypeError(
                    f"these prototypes were built with tap '{bank.tap}', and '{tap}' was asked for"
                )
            return bank
        if wanted is None:
            wanted = int(self._seen(picture, backbone, fit, [])[0].logits.argmax())
        names = [stages] if isinstance(stages, str) else stages
        ready = shipped_bank(backbone, wanted) if given != "self" else None
        if ready is not None and ready.tap == tap and set(names or ()) <= set(ready.stages):
            return ready
        if given == "shipped":
            raise PrototypeError(
                f"no prototypes of '{backbone.labels[wanted]}' ship with {backbone.name} for this "
                "tap and these stages; 'self' makes some of the picture alone, build_prototypes() "
                "of many"
            )
        return self._own_bank(picture, backbone, wanted, names, tap, fit)

    def _own_bank(
        self,
        picture: Picture,
        backbone: Backbone,
        target: int,
        stages: Sequence[str] | None,
        tap: TapKind,
        fit: str,
    ) -> PrototypeBank:
        """Prototypes of one picture, from itself, mirrored and enlarged: made once a trace."""
        names = _prototype_stages(backbone, stages, backbone.default_stages)
        taps = {stage.name: stage.tap(tap) for stage in _stages(backbone, names)}
        needed = _with_split(backbone, taps.values())
        seen, _ = self._seen(picture, backbone, fit, needed)

        def make() -> PrototypeBank:
            if self._elsewhere(backbone):
                asked = (picture, target, tuple(names), tap, fit)
                return _from_plain(self._job(backbone, "own prototypes", *asked))
            image, fitted = backbone.prepare(picture, fit)
            views = local.augmented_views(image, fitted)

            def look(number: int, graph: bool) -> tuple[Trace, Fit]:
                _, view, where = views[number]
                if number == 0 and not graph:
                    return seen, where
                return trace(backbone, view, needed, graph=graph), where

            with _plain_arithmetic(backbone):
                return local.build_bank(
                    backbone,
                    target,
                    taps,
                    [label for label, *_ in views],
                    look,
                    tap=tap,
                    fit=fit,
                    source="self",
                )

        return seen.memoize(("own prototypes", target, tuple(taps.items())), make)

    def _seen(
        self,
        picture: Picture,
        backbone: Backbone,
        fit: str,
        taps: Sequence[Tap],
        target: Target | None = None,
    ) -> tuple[Trace, Fit]:
        """The trace of a picture, from the shelf if it covers these taps.

        target: what will be differentiated next.
        """
        key = (picture.digest, backbone.uid, fit)
        with backbone.lock:  # two who ask for the same picture at once wait for one trace
            kept = self._traces.get(key)
            if kept is not None and kept[0].covers(taps):
                return kept
            earlier = () if kept is None else kept[0].taps
            every = [*_default_taps(backbone), *earlier, *taps]
            return self._look(picture, backbone, fit, every, target)

    def _look(
        self,
        picture: Picture,
        backbone: Backbone,
        fit: str,
        taps: Sequence[Tap],
        target: Target | None = None,
    ) -> tuple[Trace, Fit]:
        """A fresh trace, put on the shelf; with the gradients of a target if one is given."""
        key = (picture.digest, backbone.uid, fit)
        if self._elsewhere(backbone):
            taps = tuple(dict.fromkeys(taps))
            arrays, how = self._job(backbone, "look", picture, fit, taps, target)
            seen = Trace.from_arrays(arrays)
            if (kept := self._traces.get(key)) is not None:
                seen.adopt_gradients(kept[0])
        else:
            image, how = backbone.prepare(picture, fit)
            seen = trace(backbone, image, taps)
            if target is not None:
                seen.gradients(target)  # before anybody else can reach it
        self._traces.put(key, (seen, how))
        return seen, how

    def _head(
        self, picture: Picture, backbone: Backbone, fit: str, seen: Trace, index: int
    ) -> HeadWeights:
        if not self._elsewhere(backbone):
            return head_weights(backbone, seen, index)
        weights, kind = self._job(backbone, "head", picture, fit, index)
        return HeadWeights(torch.from_numpy(weights), kind)

    def _placements(
        self, backbone: Backbone, taps: dict[str, Tap], kind: PlacementKind
    ) -> dict[str, Placement]:
        if kind == "true" and self._elsewhere(backbone):
            key = (backbone.uid, *(tap.address for tap in taps.values()))
            if key not in self._measured:
                self._measured[key] = self._job(backbone, "placements", taps)
            return self._measured[key]
        if kind == "true":
            measured = true_placements(backbone, list(taps.values()))
            return {name: measured[tap.address] for name, tap in taps.items()}
        return {name: plain_placement(tap, backbone.input_size) for name, tap in taps.items()}

    # -- In another process --

    def _elsewhere(self, backbone: Backbone) -> bool:
        return self._compute is not None and backbone.loaded_with is not None

    def _job(self, backbone: Backbone, work: str, *arguments: Any) -> Any:
        assert self._compute is not None and backbone.loaded_with is not None
        size = backbone.parameters
        return self._compute(Job(backbone.name, backbone.loaded_with, size, work, arguments))

    def run(self, job: Job, device: str | torch.device | None = None) -> Any:
        """Do a job in this process, on a device (None: the engine's own); plain values come back.

        Meant for a process forked from the one that made the engine: networks that were loaded
        before the fork are there, others are loaded, and none of it outlives the call. Raises
        what the work itself raises.
        """
        forked = os.getpid() != self._process
        if forked:  # locks come along as they were, perhaps held by threads that do not
            self._process = os.getpid()
            self._loading = threading.Lock()
            self._backbones.unlock()
        device = device or self.device
        key: Hashable = (job.backbone, job.weights, ())
        backbone = self._backbones.get(key)
        if backbone is None:
            backbone = load_backbone(job.backbone, job.weights, device)
        else:
            lock = threading.RLock() if forked else backbone.lock
            where = backbone.device if device is None else torch.device(device)
            model = backbone.model
            if where.type != backbone.device.type:
                model = copy.deepcopy(model).to(where)
            backbone = replace(backbone, model=model, device=where, lock=lock)
        return _WORK[job.work](Engine(device), backbone, *job.arguments)


def _look_elsewhere(
    engine: Engine,
    backbone: Backbone,
    picture: Picture,
    fit: str,
    taps: Sequence[Tap],
    target: Target | None,
) -> tuple[dict[str, Any], Fit]:
    """A trace as arrays, with the gradients of a target, by default of the top prediction."""
    seen, how = engine._look(picture, backbone, fit, taps, target)
    if target is None:
        seen.gradients(Target(int(seen.logits.argmax())))
    return seen.to_arrays(), how


def _head_elsewhere(
    engine: Engine, backbone: Backbone, picture: Picture, fit: str, index: int
) -> tuple[np.ndarray, str]:
    seen, _ = engine._seen(picture, backbone, fit, [])
    head = head_weights(backbone, seen, index)
    return head.weights.cpu().numpy(), head.kind


def _to_plain(bank: PrototypeBank) -> PrototypeBank:
    """A bank with numpy arrays for tensors."""
    stages: dict[str, Any] = dict(bank.stages)
    for name, held in stages.items():
        stages[name] = replace(held, vectors=held.vectors.cpu().numpy())
    return replace(bank, stages=stages)


def _from_plain(bank: PrototypeBank) -> PrototypeBank:
    stages = {n: replace(s, vectors=torch.as_tensor(s.vectors)) for n, s in bank.stages.items()}
    return replace(bank, stages=stages)


# What can be asked of an engine in another process; everything given and returned is plain.
_WORK: dict[str, Callable[..., Any]] = {
    "discovery": lambda engine, backbone: backbone.discovery,
    "look": _look_elsewhere,
    "head": _head_elsewhere,
    "placements": lambda engine, backbone, taps: engine._placements(backbone, taps, "true"),
    "prototypes": lambda engine, backbone, pictures, *how: _to_plain(
        engine.build_prototypes(pictures, backbone, *how[:6], stages=how[6], tap=how[7], fit=how[8])
    ),
    "own prototypes": lambda engine, backbone, picture, *how: _to_plain(
        engine._own_bank(picture, backbone, *how)
    ),
}


def _rival(backbone: Backbone, index: int, versus: int | str | None) -> int | None:
    """The class that another is told from, if one was asked for."""
    if versus is None:
        return None
    rival = backbone.target(versus)
    if rival == index:
        raise TargetError(
            f"'{backbone.labels[index]}' cannot be compared with itself; give another class"
        )
    return rival


def _choose(kind: str, given: str, choices: Mapping[str, Any]) -> Any:
    if given not in choices:
        raise MethodError(f"unknown {kind} '{given}'; choices: {', '.join(choices)}")
    return choices[given]


def _stages(backbone: Backbone, names: Sequence[str] | None) -> list[Stage]:
    """The stages asked for, shallow to deep as far as they are known to be."""
    if isinstance(names, str):
        names = [names]
    if names is not None and not names:
        raise MethodError("no stages were given; leave them out for one per resolution")
    if names is None and not backbone.default_stages:
        raise StageError(
            f"no stage of {backbone.name} has any say in its class scores: every gradient is zero"
        )
    chosen = [backbone.stage(name) for name in dict.fromkeys(names or backbone.default_stages)]
    depth = {stage.name: index for index, stage in enumerate(backbone.stages)}
    return sorted(
        chosen,
        key=lambda stage: (-stage.grid[0] * stage.grid[1], depth.get(stage.name, len(depth))),
    )


@contextmanager
def _plain_arithmetic(backbone: Backbone) -> Iterator[None]:
    """Single precision and ordinary tensors, whatever modes the caller has on."""
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast(backbone.device.type, enabled=False),
    ):
        yield


def _prototype_stages(
    backbone: Backbone, names: Sequence[str] | None, there: Sequence[str]
) -> Sequence[str]:
    """The stages asked for, else those of `there` that are coarse enough to see parts of things."""
    if names is not None:
        return names
    coarse = []
    for stage in map(backbone.stage, there):
        if stage.reduction >= local.FINEST_STRIDE or max(stage.grid) <= local.FINEST_GRID:
            coarse.append(stage.name)
    return coarse or there


def _with_split(backbone: Backbone, taps: Iterable[Tap]) -> list[Tap]:
    """Those taps and what the class's own map needs, by which their features are split."""
    pre_pool = backbone.discovery.pre_pool
    more = [local.split_tap(backbone), *([] if pre_pool is None else [pre_pool])]
    return list(dict.fromkeys([*taps, *more]))


def _load_bank(given: Any) -> PrototypeBank:
    if str(given).startswith(_BANK):
        raise PrototypeError(
            f"the prototypes of this request ({given}) were given in memory; pass the bank itself, "
            "or its file"
        )
    if not isinstance(given, (str, Path)):
        raise PrototypeError(
            f"prototypes are a PrototypeBank, its file, 'shipped' or 'self', not {given!r}"
        )
    return PrototypeBank.load(given)


def _named(bank: PrototypeBank, given: Any, backbone: Backbone) -> str:
    """Which prototypes these are, as a request says it: those kept by hand are others."""
    ready = shipped_bank(backbone, bank.target)
    if ready is not None and ready.id == bank.id:
        return "shipped"
    if bank.source == "self" and not isinstance(given, PrototypeBank):
        return "self"
    return f"{_BANK}{bank.id}"


def _check_build(
    images: Sequence[PictureSource],
    clusters: int,
    tau: float,
    mu_f: float,
    mu_b: float,
    seed: int,
) -> None:
    if isinstance(images, (str, bytes, Path, Picture)) or not isinstance(images, Sequence):
        raise PrototypeError("give a list of pictures, even if it holds one only")
    if not 1 <= len(images) <= local.MOST_PICTURES:
        raise PrototypeError(
            f"prototypes are built from 1 to {local.MOST_PICTURES} pictures, not {len(images)}"
        )
    if not (isinstance(clusters, Integral) and 1 <= clusters <= local.MOST_CLUSTERS):
        raise PrototypeError(
            f"clusters is a whole number from 1 to {local.MOST_CLUSTERS}, not {clusters!r}"
        )
    if not (isinstance(seed, Integral) and seed >= 0):
        raise PrototypeError(f"seed is a whole number from 0, not {seed!r}")
    for name, value in (("tau", tau), ("mu_f", mu_f), ("mu_b", mu_b)):
        if not (isinstance(value, Real) and 0 <= value <= 1):
            raise PrototypeError(f"{name} is a share, from 0 to 1, not {value!r}")


def _names(images: Sequence[PictureSource]) -> list[str]:
    """A name for every picture, no two alike: its own, else its number."""
    names: list[str] = []
    for number, image in enumerate(images):
        name = Path(image).name if isinstance(image, (str, Path)) else ""
        name = image.name if isinstance(image, Picture) else name
        names.append(name if name and name not in names else f"{number + 1} {name}".strip())
    return names


def _shrunk(picture: Picture) -> tuple[np.ndarray, float]:
    """A picture small enough to keep, large enough to cut thumbnails from, and its scale."""
    scale = min(1.0, _KEPT_SIDE / max(picture.height, picture.width))
    if scale == 1:
        return picture.pixels, scale
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    return np.asarray(Image.fromarray(picture.pixels).resize(size)), scale


def _cell_at(
    fit: Fit, placement: Placement, point: tuple[float, float], grid: tuple[int, int]
) -> tuple[int, int]:
    """The cell that looks nearest to a point (x, y) of the picture: (row, column)."""
    x0, y0, x1, y1 = fit.rect
    height, width = fit.input_size
    place = (
        (point[1] - y0) / (y1 - y0) * height - 0.5,
        (point[0] - x0) / (x1 - x0) * width - 0.5,
    )
    row, column = (
        int((placement.centres(axis, grid[axis]) - place[axis]).abs().argmin()) for axis in (0, 1)
    )
    return row, column


def _check_truncation(q: float, names: Sequence[str] | None, method: Method) -> None:
    if not (isinstance(q, Real) and 0 <= q < 1):
        raise MethodError(f"truncation is 0 (off) or a quantile below 1, such as 0.9; not {q!r}")
    if q and not method.uses_gradients:
        raise MethodError(
            f"{method.label} uses no gradient, so there is nothing to truncate; leave truncation "
            "at 0, or take LayerCAM or another gradient method"
        )
    if names and not q:
        raise MethodError("stages to truncate were named, but truncation is 0; 0.9 is usual")


def _truncated(
    backbone: Backbone, chosen: Sequence[Stage], names: Sequence[str] | None
) -> tuple[str, ...]:
    """At which of the chosen stages the gradient is truncated.

    By default nowhere at the deepest resolution: negative gradients there are counter-evidence
    rather than noise, and dropping them costs more than it brings. Where all stages have one
    resolution, nowhere from the last default stage on.
    """
    names = [names] if isinstance(names, str) else names
    if names is not None:
        known = {stage.name for stage in chosen}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise StageError(
                f"'{', '.join(unknown)}' cannot be truncated: it is not among the stages explained "
                f"({', '.join(known)})"
            )
        return tuple(stage.name for stage in chosen if stage.name in names)
    last = backbone.stage((backbone.default_stages or [backbone.stages[-1].name])[-1])
    if backbone.stages[0].reduction < last.reduction:
        return tuple(stage.name for stage in chosen if stage.reduction < last.reduction)
    depth = {stage.name: index for index, stage in enumerate(backbone.stages)}
    deep = depth[last.name]
    return tuple(stage.name for stage in chosen if depth.get(stage.name, 0) < deep)


def _head_stage(backbone: Backbone, names: Sequence[str] | None) -> list[Stage]:
    """The one stage at which CAM exists: the map that enters the pooling."""
    pre_pool = backbone.discovery.pre_pool
    for stage in backbone.stages:
        if pre_pool is not None and stage.output.address == pre_pool.address:
            names = [names] if isinstance(names, str) else names
            if names is not None and [stage.name] != list(names):
                raise MethodError(
                    f"CAM exists at '{stage.name}' of {backbone.name} only, the map that enters "
                    f"its classifier; '{', '.join(names)}' was asked for"
                )
            return [stage]
    raise MethodError(
        f"CAM is not defined for {backbone.name}: no map enters its classifier through pooling; "
        "LayerCAM and Grad-CAM are"
    )


def _default_taps(backbone: Backbone) -> list[Tap]:
    """What every trace records: the default stages at both taps, and the map before pooling."""
    stages = [backbone.stage(name) for name in backbone.default_stages]
    taps = [tap for stage in stages for tap in (stage.output, stage.activation)]
    return taps if backbone.discovery.pre_pool is None else [*taps, backbone.discovery.pre_pool]
