"""The engine: a picture, a backbone and a method in, an explanation out.

    engine = Engine()
    x = engine.explain("cat.jpg", backbone="resnet50", target="tiger cat")
    x.fused, x.maps["layer3"], x.boxes(), x.save("out/")

The network runs once per picture. What it did is kept, and everything else (method, tap, stages,
fusion, class already explained, threshold) is arithmetic on what was kept. One order everywhere:
raw map -> ReLU -> divide by the maximum at the stage's own resolution -> fuse on the finest grid
-> up-sample once, to the picture's own size.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from camviz.engine.backbones import BackboneCache, BackboneKey
from camviz.engine.banks import (
    BankFromGallery,
    bank_name,
    check_gallery,
    choose_bank,
    picture_names,
    rival_banks,
)
from camviz.engine.cache import LRUCache
from camviz.engine.explanation import Explanation
from camviz.engine.families import default_method, default_stages, family_of, feature_taps
from camviz.engine.options import AUTO, FitMode, Options, PlacementKind
from camviz.engine.plan import make_plan, resolve_target, select_stages
from camviz.engine.remote import RemoteTask, TaskWorker
from camviz.engine.similarity import SimilarityMap, cell_at
from camviz.engine.stage_map import MapInputs, compute_maps
from camviz.engine.traces import TraceCache
from camviz.engine.truncation import LEVEL, choose_truncation
from camviz.engine.views import (
    VIEWS,
    Progress,
    Sizes,
    mean_map,
    mirror,
    on_grid,
    place_back,
    sentence,
)
from camviz.engine.work import (
    Device,
    LocalRunner,
    MeasurePlacements,
    ReadHead,
    Runner,
    plain_arithmetic,
)
from camviz.errors import BackboneError, PrototypeError
from camviz.images import Picture, PictureSource, open_picture
from camviz.maps.fusion import Placement
from camviz.maps.refine import Affinity
from camviz.methods import METHODS
from camviz.methods.activation import cosine_maps
from camviz.network.backbone import GIVEN, Backbone
from camviz.network.outputs import ranked
from camviz.network.placement import plain_placement
from camviz.network.settings import Settings, split_settings
from camviz.network.stages import TapKind
from camviz.network.taps import Tap
from camviz.network.trace import Trace
from camviz.network.weights import default_backbone
from camviz.prototypes.bank import CLUSTERS, MU_CONTEXT, MU_FOREGROUND, TAU, PrototypeBank
from camviz.prototypes.build import BuildSettings
from camviz.prototypes.build import Progress as BuildProgress

_MEASURED = 256  # sets of placements that are held


class Engine:
    """Explains pictures, and keeps networks and traces of pictures.

    device: where networks run; None: the GPU if there is one. The memory that networks and
    traces may take is bounded; the least recently used make room. Safe to share between
    threads: a network answers one after the other.

    runner: who runs networks; None: this process. `RemoteRunner` has another process do it, by
    `run` of this very engine in a process forked from this one. options: the options of
    `explain`, `Options` or a subclass with more of them.
    """

    def __init__(
        self,
        device: Device = None,
        *,
        runner: Runner | None = None,
        options: type[Options] = Options,
        backbone_bytes: int = 2 * 2**30,
        trace_bytes: int = 2**30,
    ) -> None:
        self.device = device
        self._runner = runner or LocalRunner()
        self._options = options
        self._traces = TraceCache(self._runner, trace_bytes)
        self._backbones = BackboneCache(backbone_bytes, on_drop=self._traces.drop_graphs)
        self._measured: LRUCache[dict[Tap, Placement]] = LRUCache(_MEASURED)
        self._sizes = Sizes()
        self._worker = TaskWorker(self._backbones)
        self._loading = threading.Lock()

    def backbone(
        self,
        name: str | None = None,
        weights: str | Path = "auto",
        display_name: str | None = None,
        **arguments: Any,
    ) -> Backbone:
        """A backbone by name, loaded once, and again if its file changed; see `load_backbone`."""
        name = name or default_backbone()
        settings, timm_kwargs = split_settings(arguments)
        arguments = {**settings.given, **timm_kwargs}
        key = BackboneKey.of(name, weights, arguments)
        with self._loading:
            backbone = self._backbones.get(key)
            if backbone is None:
                backbone = self._runner.load(
                    name, weights, self.device, display_name=display_name, **arguments
                )
                self._backbones.put(key, backbone)
            elif display_name not in (None, backbone.display_name):
                backbone = replace(backbone, display_name=display_name)  # the same network
                self._backbones.put(key, backbone)
        return backbone

    def explain(
        self,
        image: PictureSource,
        backbone: str | Backbone | None = None,
        *,
        weights: str | Path = "auto",
        target: int | str | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Explanation:
        """Compute where a backbone looks to see a class in a picture, in seven steps.

        1. Open the picture: a path, a PIL picture or a uint8 array.
        2. Load the backbone, given as one or by name; None: the best at hand. weights: "auto",
           "random" or a checkpoint.
        3. Plan stages, taps and target. target: index, label or None for the top prediction.
        4. Trace the picture, or take the trace from the cache if it covers the taps.
        5. Compute the gradients of the target, or read the classifier's weights, for methods
           that use them.
        6. Compute one map a stage.
        7. Answer with an `Explanation`.

        options: those of `Options`, which has their choices, defaults and meanings: method,
        stages, fuse, tap, fit, placement, score, versus, truncation, prototypes and others. For a
        backbone by name those of `Settings`, too: mean, std, interpolation, crop_pct, input_size,
        labels, output. With several views every step is taken for each of them, and the maps are
        averaged (`camviz.engine.views`); progress(done, of, view) is called before each, and what
        it raises ends the work.

        Raises a `CamvizError`: what was wrong, what was given and what would do.
        """
        settings, options = split_settings(options)
        chosen = self._options.from_mapping(options)

        # 1. Open the picture.
        picture = open_picture(image)

        # 2. Load the backbone, whose family decides what is left to be decided.
        backbone = self._loaded(backbone, weights, settings)
        if chosen.method == AUTO:
            chosen = replace(chosen, method=default_method(backbone, chosen))
        method = METHODS[chosen.method]
        if chosen.views != "one":
            return self._explain_views(picture, backbone, target, chosen, progress)

        # 3. Plan stages, taps and target.
        bank = None
        if method.uses_prototypes:
            bank = choose_bank(chosen, picture, backbone, target, self._runner, self._traces)
        plan = make_plan(backbone, chosen, target, bank)

        # 4. Trace the picture, or take the trace from the cache if it covers the taps.
        differentiated = plan.target if method.uses_gradients else None
        trace, fit = self._traces.get(
            backbone, picture, chosen.fit, plan.taps.values(), differentiated
        )
        goal = plan.target or resolve_target(backbone, int(trace.logits.argmax()), chosen)

        # 5. Compute gradients, or read the classifier's weights.
        gradients, head = {}, None
        if method.uses_gradients:
            try:
                gradients = trace.gradients(goal)
            except LookupError:  # the graph was given up for memory, perhaps a moment ago
                trace, fit = self._traces.run(backbone, picture, chosen.fit, trace.taps, goal)
                gradients = trace.gradients(goal)
        if method.uses_head:
            work = ReadHead(picture, chosen.fit, goal.index)
            head = trace.memoize(
                ("head", goal.index), lambda: self._runner.run(backbone, work, self._traces)
            )

        # 6. Compute one map a stage.
        family = family_of(backbone)
        request = chosen.resolve(
            **vars(backbone.settings),
            backbone=backbone.name,
            weights=backbone.reloads_as(trace.state) or GIVEN,
            target=goal.index,
            versus=goal.versus,
            stages=tuple(plan.taps),
            truncated=plan.truncated,
            fuse=method.fuse if chosen.fuse == AUTO else chosen.fuse,
            truncation=LEVEL if chosen.truncation == AUTO else chosen.truncation,
            refine_power=chosen.refine_power or family.refinement.power,
            refine_steps=chosen.refine_steps or family.refinement.steps,
            prototypes=None if bank is None else bank_name(bank, chosen.prototypes, backbone),
        )
        rivals = () if bank is None else rival_banks(bank, backbone, trace, chosen)
        inputs = MapInputs(
            request=request,
            target=goal,
            trace=trace,
            coarsest=max(stage.reduction for stage in backbone.stages),
            gradients=gradients,
            head=head,
            bank=bank,
            rivals=rivals,
        )
        last = default_stages(backbone, plan.stages)[-1]
        features = [] if chosen.refine == "none" else feature_taps(backbone, plan)
        wanted = [*plan.taps.values(), *features]
        wanted += [last.tap(chosen.tap)] if chosen.truncation == AUTO else []
        placements = self._placements(backbone, wanted, chosen.placement)
        choice = None
        with torch.autocast(backbone.device.type, enabled=False):
            maps = compute_maps(plan, inputs)
            if chosen.truncation == AUTO:
                choice = choose_truncation(last, plan.taps, inputs, maps, placements)
            if choice is not None and not choice.level:
                inputs = replace(inputs, request=replace(request, truncation=0.0, truncated=()))
                maps = compute_maps(plan, inputs)
        self._traces.keep(backbone, picture, trace, fit, goal)

        # 7. Answer.
        return Explanation(
            request=inputs.request,
            picture=picture,
            fit=fit,
            backbone=backbone,
            state=trace.state,
            logits=trace.logits.numpy().copy(),
            raw={name: each.raw for name, each in maps.items()},
            notes={name: each.notes for name, each in maps.items()},
            placements={name: placements[tap] for name, tap in plan.taps.items()},
            plain={name: each.plain for name, each in maps.items() if each.plain is not None},
            bank=bank,
            rivals=tuple(rival.label for rival in rivals),
            cosines={name: each.cosines for name, each in maps.items() if each.cosines is not None},
            truncation_choice=choice,
            affinity=_affinity(trace, features, placements) if features else None,
        )

    def _explain_views(
        self,
        picture: Picture,
        backbone: Backbone,
        target: int | str | None,
        chosen: Options,
        progress: Progress | None,
    ) -> Explanation:
        """The mean of the maps of several views of a picture; see `camviz.engine.views`."""
        shown = [
            (view, self._sizes.at(backbone, view.scale))
            if view.scale == 1 or self._runner.resizes
            else (view, None)
            for view in VIEWS[chosen.views]
        ]
        used = [(view, network) for view, network in shown if network is not None]
        skipped = [view for view, network in shown if network is None]
        options = vars(replace(chosen, views="one"))
        x = None
        collected: dict[str, list[tuple[torch.Tensor, Placement]]] = {}
        for number, (view, network) in enumerate(used):
            if progress is not None:
                progress(number, len(used), str(view))
            seen = mirror(picture) if view.mirrored else picture
            y = self.explain(seen, network, target=target, **options)
            if x is None:  # the picture as it is decides what the others show
                x, target = y, y.target
                options |= {"stages": x.stages, "truncation": x.request.truncation}
                options |= {"prototypes": x.bank} if x.bank is not None else {}
                options["truncated"] = x.request.truncated if x.request.truncation else None
                if METHODS[chosen.method].uses_head:
                    options["stages"] = None
            else:
                self._traces.drop_graph(network, seen, chosen.fit)
            for name, other in zip(x.stages, y.stages, strict=True):
                back = place_back(y.raw[other], y.placements[other], view, backbone, network)
                collected.setdefault(name, []).append(back)
        assert x is not None
        means = {name: mean_map(maps) for name, maps in collected.items()}
        text = sentence([view for view, _ in used], skipped, backbone)
        return replace(
            x,
            request=replace(x.request, views=chosen.views),
            raw={name: heat.numpy() for name, (heat, _) in means.items()},
            cosines={
                name: on_grid(each, x.placements[name], *means[name])
                for name, each in x.cosines.items()
            },
            placements={name: placement for name, (_, placement) in means.items()},
            notes={
                name: replace(note, denoising=None, sentences=(*note.sentences, text))
                for name, note in x.notes.items()
            },
            plain={},
        )

    def predict(
        self,
        image: PictureSource,
        backbone: str | Backbone | None = None,
        *,
        weights: str | Path = "auto",
        fit: FitMode = "stretch",
        **settings: Any,
    ) -> list[tuple[int, str, float]]:
        """(class index, label, probability) of every class, best first: `x.predictions` alone.

        One forward pass, which is kept for an explanation with the same fit. settings: those of
        `Settings`, for a backbone by name. Raises a `CamvizError` as `explain` does.
        """
        chosen, rest = split_settings(settings)
        fit = self._options.from_mapping({**rest, "fit": fit}).fit
        picture = open_picture(image)
        backbone = self._loaded(backbone, weights, chosen)
        trace, _ = self._traces.get(backbone, picture, fit, ())
        return ranked(trace.logits.numpy(), backbone.labels, backbone.output)

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
        progress: BuildProgress | None = None,
        **settings: Any,
    ) -> PrototypeBank:
        """Learn what a class looks like to a backbone, from 1 to 64 pictures of it.

        Every place of the pictures is foreground if the class's CAM reaches tau of its maximum
        there, else context; at most `clusters` prototypes stand for each side, at each stage
        (None: one per resolution). Where the head can score them, foreground is kept above mu_f
        and context below mu_b. The paper's setting is tau 0.1 and the last stage alone. Pictures
        that cannot be opened or show nothing of the class are skipped and named in the bank.
        settings: for a backbone by name those of `Settings`, as in `explain`.

        progress(done, of, name) is called before every picture; what it raises ends the work and
        leaves the network whole. Raises a `CamvizError` if there is nothing to learn from.
        """
        check_gallery(images)
        network, unknown = split_settings(settings)
        if unknown:
            raise PrototypeError(
                f"build_prototypes has no argument '{next(iter(unknown))}'; those of a network "
                f"are {', '.join(vars(network))}"
            )
        build = BuildSettings(
            clusters=clusters, tau=tau, mu_f=mu_f, mu_b=mu_b, seed=seed, tap=tap, fit=fit
        )
        chosen = Options(stages=stages, tap=tap, fit=fit)  # type: ignore[arg-type]
        backbone = self._loaded(backbone, weights, network)
        if target is None:
            raise PrototypeError("prototypes are of one class: give target, an index or a label")
        index = backbone.target(target)
        selected = select_stages(backbone, chosen.stages)
        work = BankFromGallery(
            images=images,
            names=picture_names(images),
            target=index,
            taps={stage.name: stage.tap(tap) for stage in selected},
            settings=build,
            progress=progress,
        )
        return self._runner.run(backbone, work, self._traces)

    def similarity(
        self,
        x: Explanation,
        stage: str,
        point: tuple[float, float],
        other: "PictureSource | Explanation | None" = None,
    ) -> SimilarityMap:
        """Compare every place with one place, as a stage represents them: cosines.

        point: (x, y) in pixels of the explained picture; the cell that looks there is compared.
        other: search another picture instead. Independent of the class.
        """
        backbone, request = x.backbone, x.request
        tap = backbone.stage(stage).tap(request.tap)
        placement = self._placements(backbone, [tap], request.placement)[tap]
        cell = cell_at(x.fit, placement, point, tap.layout.grid)
        trace, fit = self._traces.get(backbone, x.picture, request.fit, [tap])
        features = trace.activations[tap.address]
        vector = features[:, :, cell[0], cell[1]]
        picture, fit = x.picture, x.fit
        if other is not None:
            picture = other.picture if isinstance(other, Explanation) else open_picture(other)
            trace, fit = self._traces.get(backbone, picture, request.fit, [tap])
            features = trace.activations[tap.address]
        with plain_arithmetic(backbone):
            cosines = cosine_maps(features, vector)[0, 0].cpu().numpy()
        return SimilarityMap(stage, cosines, placement, point, cell, picture, fit)

    def run(self, task: RemoteTask, device: Device = None) -> Any:
        """Do a task in this process, on a device (None: the engine's own); see `TaskWorker.run`."""
        return self._worker.run(task, device or self.device)

    def _loaded(
        self, backbone: str | Backbone | None, weights: str | Path, settings: Settings
    ) -> Backbone:
        if not isinstance(backbone, Backbone):
            return self.backbone(backbone, weights, **settings.given)
        if settings not in (Settings(), backbone.settings):
            raise BackboneError(
                f"{backbone.display_name} is made already, so {', '.join(settings.given)} has no "
                "effect; give it to wrap_backbone or load_backbone, or the backbone by name"
            )
        return backbone

    def _placements(
        self, backbone: Backbone, taps: Iterable[Tap], kind: PlacementKind
    ) -> dict[Tap, Placement]:
        """Where the cells of each tap are drawn; measured once."""
        taps = sorted(set(taps), key=lambda tap: str(tap.address))
        if kind == "plain":
            return {tap: plain_placement(tap, backbone.input_size) for tap in taps}
        key = (backbone.fingerprint, *taps)
        measured = self._measured.get(key)
        if measured is None:
            work = MeasurePlacements(taps)
            measured = self._measured.put(key, self._runner.run(backbone, work, self._traces))
        return dict(measured)


def _affinity(
    trace: Trace, features: Sequence[Tap], placements: Mapping[Tap, Placement]
) -> Affinity:
    """What looks alike in a traced picture: one for all methods and classes."""
    key = ("affinity", *((tap.address, placements[tap]) for tap in features))
    return trace.memoize(
        key, lambda: Affinity([(trace.activations[t.address][0], placements[t]) for t in features])
    )
