"""The engine: a picture, a backbone and a method in, an explanation out.

    engine = Engine()
    x = engine.explain("cat.jpg", backbone="resnet50", target="tiger cat")
    x.fused, x.maps["layer3"], x.boxes(), x.save("out/")

The network runs once per picture. What it did is kept, and everything else (method, tap, stages,
fusion, class already explained, threshold) is arithmetic on what was kept. One order everywhere:
raw map -> ReLU -> divide by the maximum at the stage's own resolution -> fuse on the finest grid
-> up-sample once, to the picture's own size.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from camviz.defaults import FUSED
from camviz.engine import faithfulness as faithfulness_of
from camviz.engine.attention_map import AttentionMaps, attention_of, read_heads
from camviz.engine.backbones import BackboneCache, BackboneKey
from camviz.engine.banks import (
    BankFromGallery,
    check_gallery,
    picture_names,
)
from camviz.engine.cache import LRUCache
from camviz.engine.components import Components, principal_parts
from camviz.engine.covering import cover_picture
from camviz.engine.every_class import EveryClass
from camviz.engine.explainer import MEASURED, Explainer
from camviz.engine.explanation import Explanation
from camviz.engine.faithfulness import BESIDE, Faithfulness
from camviz.engine.families import default_method
from camviz.engine.head_steps import HeadSteps, check_head_steps, head_steps
from camviz.engine.lookups import note_lookup
from camviz.engine.many import (
    Batches,
    decided,
    with_targets,
)
from camviz.engine.memory import Budget, Unused, weights_bytes
from camviz.engine.options import AUTO, FitMode, Options
from camviz.engine.plan import attention_taps, select_stages
from camviz.engine.prices import price_of
from camviz.engine.remote import RemoteTask, TaskWorker
from camviz.engine.sanity import DRAWS, Sanity, SanityChecks
from camviz.engine.scoring import ScorePictures
from camviz.engine.similarity import SimilarityMap, cell_at
from camviz.engine.stage_map import MapInputs, of_attention
from camviz.engine.steps import CHANNELS, ChannelSteps, channel_steps, check_steps
from camviz.engine.teaching import Features, Taught, teach_head
from camviz.engine.traces import TraceCache
from camviz.engine.truncation_steps import (
    TruncationSteps,
    check_truncation_steps,
    truncation_steps,
)
from camviz.engine.views import (
    Progress,
)
from camviz.engine.work import (
    Device,
    LocalRunner,
    ReadClassMaps,
    Runner,
    plain_arithmetic,
)
from camviz.errors import (
    BackboneError,
    CamvizError,
    ImageError,
    MethodError,
    PrototypeError,
    TeachingError,
    TooLargeError,
)
from camviz.images import Picture, PictureSource, open_picture
from camviz.maps.faithfulness import STEPS
from camviz.methods import METHODS
from camviz.methods.activation import cosine_maps
from camviz.network.backbone import Backbone
from camviz.network.names import display_name as display_name_of
from camviz.network.outputs import ranked
from camviz.network.randomize import MOST_BLOCKS
from camviz.network.settings import Settings, split_settings
from camviz.network.stages import TapKind
from camviz.network.weights import default_backbone
from camviz.prototypes.bank import CLUSTERS, MU_CONTEXT, MU_FOREGROUND, TAU, PrototypeBank
from camviz.prototypes.build import BuildSettings
from camviz.prototypes.build import Progress as BuildProgress
from camviz.teaching.head import TaughtHead
from camviz.teaching.ridge import LAMBDA
from camviz.turns import OneByOne


class Engine:
    """Explains pictures, and keeps networks and traces of pictures.

    device: where networks run; None: the GPU if there is one. The memory that networks and
    traces may take is bounded, each by itself (backbone_bytes, trace_bytes), or both and what one
    pass takes by a budget in bytes (memory); the least recently used make room, and a network that
    is too large for the budget is refused. Safe to share between
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
        memory: int | None = None,
    ) -> None:
        self.device = device
        self._budget = None if memory is None else Budget(memory)
        if self._budget is not None:
            backbone_bytes, trace_bytes = self._budget.networks, self._budget.traces
        self._runner = runner or LocalRunner(Unused(self._held))
        self._options = options
        self._traces = TraceCache(self._runner, trace_bytes)
        self.features = Features(self._runner, self._traces)  # of what was taught with
        self._backbones = BackboneCache(backbone_bytes, on_drop=self._traces.drop_graphs)
        self._too_large: LRUCache[str] = LRUCache(MEASURED)
        self._worker = TaskWorker(self._backbones)
        self._one_by_one = OneByOne()
        self._sanity = SanityChecks(
            type(self), options, self._runner, self._traces, self._one_by_one
        )
        self._explainer = Explainer(
            self._runner,
            self._traces,
            options,
            self._one_by_one,
            None if self._budget is None else self._budget.one,
        )

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
        found = self._backbones.get(key)
        if found is not None and display_name in (None, found.display_name):
            return found
        with self._one_by_one.alone(key.place):  # others load other networks meanwhile
            backbone = self._backbones.get(key)
            note_lookup("backbones", backbone is not None)
            if backbone is None:
                backbone = self._load(key, name, weights, display_name=display_name, **arguments)
                self._backbones.put(key, backbone)
            elif display_name not in (None, backbone.display_name):
                backbone = replace(backbone, display_name=display_name)  # the same network
                self._backbones.put(key, backbone)
        return backbone

    def _load(self, key: BackboneKey, name: str, weights: str | Path, **options: Any) -> Backbone:
        """A network that is not held, if the budget allows it; the least recently used make room.

        Raises `TooLargeError` for one that is too large.
        """
        needed = weights_bytes(name, weights) or 0
        if self._budget is not None:
            title = options["display_name"] or display_name_of(name)
            self._budget.check_weights(needed, title)
            options["pass_limit"] = self._budget.one
        refused = self._too_large.get(key)
        if refused is not None:
            raise TooLargeError(refused)
        self._backbones.make_room(needed)
        try:
            return self._runner.load(name, weights, self.device, **options)
        except TooLargeError as error:  # found out once: it takes seconds
            self._too_large.put(key, str(error))
            raise

    def _held(self) -> int:
        """Bytes of networks and traces that are held."""
        return self._backbones.nbytes + self._traces.nbytes

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
        5. Compute the gradients of the target, read the classifier's weights, or score changes of
           the map or the picture, for methods that use them.
        6. Compute one map a stage.
        7. Answer with an `Explanation`.

        options: those of `Options`, which has their choices, defaults and meanings: method,
        stages, fuse, tap, fit, placement, score, versus, gamma, truncation, prototypes and others.
        For a backbone by name those of `Settings`, too: mean, std, interpolation, crop_pct,
        input_size, labels, output. With several views every step is taken for each of them, and
        the maps are averaged (`camviz.engine.views`); progress(done, of, in words) is called before
        each, and before each chunk of the passes of a method that takes further ones. What it
        raises ends the work, and leaves the network whole. `price` tells beforehand how long they
        take.

        Raises a `CamvizError`: what was wrong, what was given and what would do.
        """
        settings, options = split_settings(options)
        chosen = self._options.from_mapping(options)

        # 1. Open the picture.
        picture = open_picture(image)

        # 2. Load the backbone, whose family decides what is left to be decided.
        backbone = self._loaded(backbone, weights, settings)
        chosen = decided(backbone, chosen, target)
        return self._explainer.explain(picture, backbone, target, chosen, progress, keep=True)

    def explain_many(
        self,
        images: "Iterable[PictureSource | CamvizError]",
        backbone: str | Backbone | None = None,
        *,
        weights: str | Path = "auto",
        targets: int | str | Iterable[int | str | None] | None = None,
        batch: int = 32,
        rows: Sequence[Mapping[str, Any]] | None = None,
        threads: int = 2,
        **options: Any,
    ) -> Iterator[Any]:
        """The explanations of many pictures, in their order: those of `explain`, but in batches.

        A batch takes one forward and one backward pass; one more backward pass for each class that
        a target is compared with. Pictures are opened and brought to the network's size in
        threads, ahead of the network, and maps are computed in threads behind it; about three
        batches are in memory. Traces are not kept. Methods that need more than one trace of a
        picture (those with scores of changes, prototypes of the picture itself, several views)
        take the pictures one by one.

        targets: one class for all, or one of each picture, None for its top prediction. batch: as
        many at most; fewer where their activations exceed CAMVIZ_BATCH_MB, and one by one for a
        network that gives a picture other scores beside others. rows: several ways to explain
        every picture, each a mapping of options beside the common ones; what is yielded is a tuple
        of an explanation each then, made of the same passes. options: as for `explain`.

        A picture that cannot be opened or explained gives its `CamvizError` in its place; one that
        is given in place of a picture is passed on. Raises a `CamvizError` at once for options
        that no picture can be explained with.
        """
        settings, options = split_settings(options)
        backbone = self._loaded(backbone, weights, settings)
        if batch < 1 or threads < 1:
            raise MethodError(
                f"batch and threads are whole numbers from 1, not {batch} and {threads}"
            )
        everyone = targets if isinstance(targets, (int, str)) else None
        ways = [
            self._explainer.way(backbone, self._options.from_mapping({**options, **row}), everyone)
            for row in ([{}] if rows is None else rows)
        ]
        together = Batches(
            backbone,
            ways,
            self._runner,
            self._traces,
            self._explainer.explain_trace,
            self._explainer.explain,
        )
        size = self._explainer.batch_size(backbone, together.taps, batch)
        found = together.explain(with_targets(images, targets), size, threads)
        if rows is not None:
            return found
        return (each if isinstance(each, CamvizError) else each[0] for each in found)

    def price(
        self,
        backbone: str | Backbone | None = None,
        method: str = AUTO,
        stages: Sequence[str] | None = None,
        *,
        weights: str | Path = "auto",
        **options: Any,
    ) -> float | None:
        """Seconds that a method's maps of a picture take, beside tracing it once; an estimate.

        0 for a method that is arithmetic on the trace. None: a picture must be traced with this
        network before passes of it can be told. options: those of `explain` (views, channels,
        groups, tap and the settings of a backbone by name count). What was computed for a picture
        before costs nothing more, which this leaves out. Raises a `CamvizError` as `explain` does.
        """
        settings, options = split_settings(options)
        chosen = self._options.from_mapping({**options, "method": method, "stages": stages})
        backbone = self._loaded(backbone, weights, settings)
        if chosen.method == AUTO:
            chosen = replace(chosen, method=default_method(backbone, chosen))
        timing = self._traces.timings.of(backbone)
        return price_of(backbone, chosen, timing, self._explainer.views(chosen.views, backbone))

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

        None of a network without classes, which is run all the same.

        One forward pass, which is kept for an explanation with the same fit. settings: those of
        `Settings`, for a backbone by name. Raises a `CamvizError` as `explain` does.
        """
        chosen, rest = split_settings(settings)
        fit = self._options.from_mapping({**rest, "fit": fit}).fit
        picture = open_picture(image)
        backbone = self._loaded(backbone, weights, chosen)
        trace, _ = self._traces.get(backbone, picture, fit, ())
        return ranked(trace.logits.numpy(), backbone.labels, backbone.output)

    def logits(
        self, images: Sequence[PictureSource], backbone: Backbone, fit: FitMode = "stretch"
    ) -> np.ndarray:
        """The logits of several pictures, float32 (N, classes), in batches; nothing is kept.

        Of a network without classes its features. Raises a `CamvizError` as `explain` does.
        """
        fit = self._options.from_mapping({"fit": fit}).fit
        if not len(images):
            raise ImageError("no pictures were given; give one or more")
        work = ScorePictures([open_picture(image) for image in images], fit)
        return self._runner.run(backbone, work, self._traces)

    def cover(
        self,
        x: Explanation,
        mask: np.ndarray,
        cover: str = "blur",
        background: "PictureSource | None" = None,
    ) -> Explanation:
        """The explanation of the same picture with part of it covered, for the same class.

        mask: bool (H, W), what is covered. cover: one of `camviz.maps.cover.COVERS`, with a
        background for the cover of that name. Whatever was decided for x stays: target, references,
        method, stages, truncation, prototypes. One forward and one backward pass for a method that
        takes no more. The picture of what is returned is the covered one. Raises `MethodError` for
        a mask or cover that does not fit.
        """
        channels = x.backbone.input_size[0]
        covered = cover_picture(x.picture, mask, cover, background, channels)
        return self.explain(covered, x.backbone, target=x.target, **x.options)

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
        if not backbone.has_classes:
            raise PrototypeError(
                f"{backbone.display_name} knows no classes, and prototypes are of one; "
                "similarity() shows which places are alike to it"
            )
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

    def teach(
        self,
        pictures: Mapping[str, Sequence[PictureSource]],
        backbone: str | Backbone | None = None,
        *,
        weights: str | Path = "auto",
        penalty: float = LAMBDA,
        fit: FitMode = "stretch",
        progress: Progress | None = None,
        **settings: Any,
    ) -> Taught:
        """Teach a network kinds of your own from a few pictures of each; three are good.

        pictures: of each kind by its name, 2 to 50 kinds, 500 pictures in all. The classifier is
        ridge regression (`camviz.teaching.ridge`, penalty: its lambda) on the pooled features of
        any network, one without classes too. What is returned has a backbone, to be explained like
        any other, and says how many pictures the others tell rightly when each is left out in turn.

        progress(done, of, name) is called before each pass; what it raises ends the work. settings:
        for a backbone by name those of `Settings`. Raises a `CamvizError` where there is nothing to
        tell apart.
        """
        network, unknown = split_settings(settings)
        if unknown:
            raise TeachingError(f"teach has no argument '{next(iter(unknown))}'")
        fit = self._options.from_mapping({"fit": fit}).fit
        backbone = self._loaded(backbone, weights, network)
        return teach_head(
            pictures, backbone, self.features, penalty=penalty, fit=fit, progress=progress
        )

    def use_head(
        self,
        head: TaughtHead | str | Path,
        backbone: str | Backbone | None = None,
        *,
        weights: str | Path = "auto",
        **settings: Any,
    ) -> Taught:
        """A taught head, or its file, on the network that it was taught on.

        backbone: that network; None: by the name in the head. Raises `TeachingError` if the head is
        of another network or other weights.
        """
        network, unknown = split_settings(settings)
        if unknown:
            raise TeachingError(f"use_head has no argument '{next(iter(unknown))}'")
        if not isinstance(head, TaughtHead):
            head = TaughtHead.load(head)
        try:
            found = self._loaded(backbone or head.backbone, weights, network)
        except BackboneError as error:
            if backbone is not None:
                raise
            raise TeachingError(
                f"this head was taught on {head.backbone}, which cannot be loaded by that name "
                f"({error}); give the backbone that it was taught on"
            ) from error
        return Taught(self.features.put(head, found), head)

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
        x.check_weights()
        backbone, request = x.backbone, x.request
        tap = backbone.stage(stage).tap(request.tap)
        placement = self._explainer.placements(backbone, [tap], request.placement)[tap]
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

    def components(self, x: Explanation, stage: str) -> Components:
        """The features of a stage as colours; see `Components`. Independent of the class."""
        x.check_weights()
        backbone, request = x.backbone, x.request
        tap = backbone.stage(stage).tap(request.tap)
        placement = self._explainer.placements(backbone, [tap], request.placement)[tap]
        trace, fit = self._traces.get(backbone, x.picture, request.fit, [tap])
        with plain_arithmetic(backbone):
            raw, shares = principal_parts(trace.activations[tap.address])
        return Components(stage, raw, shares, placement, x.picture, fit)

    def attention(self, x: Explanation) -> dict[str, AttentionMaps]:
        """Where the tokens that the classifier reads attend to, by block, shallow to deep.

        Says where is read, and not what counts: the same for every class. Raises `MethodError` for
        a network that has no attention between all places.
        """
        x.check_weights()
        backbone, request = x.backbone, x.request
        attention = attention_of(backbone)
        trace, fit = self._traces.get(backbone, x.picture, request.fit, attention_taps(attention))
        taps = {block: backbone.stage(block.name).tap(request.tap) for block in attention.blocks}
        placements = self._explainer.placements(backbone, taps.values(), request.placement)
        return {
            block.name: AttentionMaps(
                block.name,
                *read_heads(trace, attention, block),
                placements[tap],
                x.picture,
                fit,
            )
            for block, tap in taps.items()
        }

    def steps(self, x: Explanation, stage: str, count: int = CHANNELS) -> ChannelSteps:
        """How the map of a stage was added up, channel by channel; see `ChannelSteps`.

        From the trace that x was computed from: the network is not run, unless that was given up
        for memory. count: of channels, those that add most. Raises `MethodError` for a map that is
        no such sum, `StageError` for a stage that has none.
        """
        check_steps(x, stage)
        method = METHODS[x.request.method]
        tap = x.backbone.stage(stage).tap("output" if method.uses_head else x.request.tap)
        trace, goal, gradients = self._explainer.reopen(x, [tap])
        head = None
        if method.uses_head:
            head = self._explainer.head_weights(
                x.backbone, x.picture, x.request.fit, trace, goal.index, self._traces
            )
        with plain_arithmetic(x.backbone):
            return channel_steps(
                x,
                stage,
                trace.activations[tap.address],
                gradients.get(tap.address),
                None if head is None else head.weights,
                count,
            )

    def truncation_steps(self, x: Explanation, stage: str) -> TruncationSteps:
        """The map of a stage at many levels of truncation; see `TruncationSteps`.

        From the trace that x was computed from, as for `steps`. Raises `MethodError` for a method
        that reads no gradient of a stage.
        """
        check_truncation_steps(x, stage)
        tap = x.backbone.stage(stage).tap(x.request.tap)
        trace, _, gradients = self._explainer.reopen(x, [tap])
        with plain_arithmetic(x.backbone):
            return truncation_steps(
                x, stage, trace.activations[tap.address], gradients[tap.address]
            )

    def head_steps(self, x: Explanation) -> HeadSteps:
        """What each head of a transformer added to the map of its last stage; see `HeadSteps`.

        From the trace that x was computed from, as for `steps`. Raises `MethodError` for methods
        other than GAE and DAAM.
        """
        check_head_steps(x)
        attention = attention_of(x.backbone)
        trace, goal, gradients = self._explainer.reopen(x, attention_taps(attention))
        inputs = MapInputs(
            request=x.request,
            target=goal,
            trace=trace,
            coarsest=0.0,
            gradients=gradients,
            attention=attention,
        )
        last = x.backbone.stage(x.stages[-1])
        read = of_attention(last, inputs)
        names = [block.name for block in attention.blocks][: len(read["attention"])]
        with plain_arithmetic(x.backbone):
            return head_steps(x, attention.layout, {**read, "blocks": names})

    def class_maps(self, x: Explanation) -> EveryClass:
        """CAM of every class of the network for an explained picture, from two passes of its head.

        Held with the trace of the picture, and the same object while it is. Raises `MethodError`
        where the head is not linear after average pooling, up to one norm.
        """
        x.check_weights()
        backbone, fit = x.backbone, x.request.fit
        trace, _ = self._traces.get(backbone, x.picture, fit, ())

        def read() -> EveryClass:
            found = self._runner.run(backbone, ReadClassMaps(x.picture, fit), self._traces)
            tap = backbone.discovery.pre_pool
            assert tap is not None, "or there are no such maps"
            placement = self._explainer.placements(backbone, [tap], x.request.placement)[tap]
            return EveryClass(
                found.values.numpy(), placement, found.kind,
                trace.logits.numpy(), backbone.labels, backbone.output,
            )  # fmt: skip

        return trace.memoize(("class maps", x.request.placement), read)

    def sanity(
        self,
        x: Explanation,
        *,
        steps: int = MOST_BLOCKS,
        of: str = FUSED,
        seed: int = 0,
        draws: int = DRAWS,
        progress: Progress | None = None,
    ) -> Sanity:
        """What becomes of a map when the network is made random, from its head down.

        steps: at most so many; of: "fused", "refined" or a stage; seed: of what is drawn; draws:
        how often everything is drawn at the end, by that seed and those that follow it.
        progress(done, of, in words) is called before each map; what it raises ends the work. A copy
        of the network is made random, one at a time: the network itself stays as it is. What was
        found last is held. `sanity_price` tells beforehand how long it takes. Raises `MethodError`
        for prototypes and for several views, `StageError` for a map that there is not,
        `BackboneError` if the network has other weights than those that were explained.
        """
        return self._sanity.result(x, of, steps, seed, draws, progress)

    def sanity_price(
        self,
        x: Explanation,
        steps: int = MOST_BLOCKS,
        draws: int = DRAWS,
        *,
        of: str = FUSED,
        seed: int = 0,
    ) -> float | None:
        """Seconds that `sanity` takes, an estimate: 0 for what is held, None before the network was
        timed.
        """
        return self._sanity.price(x, of, steps, seed, draws)

    def faithfulness(
        self,
        x: Explanation,
        of: str = FUSED,
        *,
        metrics: Sequence[str] | None = None,
        steps: int = STEPS,
        beside: Sequence[str] = BESIDE,
        progress: Progress | None = None,
    ) -> Faithfulness:
        """Measure whether a map shows what the score depends on, for an explained picture.

        of: a stage, "fused" or "refined". metrics: of `camviz.maps.metrics.METRICS`; None: all that
        exist for what the network gives. steps: of insertion and deletion. beside: what the same is
        measured of, for a figure alone means nothing. What was measured is kept with the trace, map
        by map. progress(pictures scored, in all, in words): what it raises ends the work, and
        leaves the network whole.

        Raises a `CamvizError`: for a network without classes, a map or a metric that is none.
        """
        measurement = faithfulness_of.check(x, of, metrics, steps, beside)
        return faithfulness_of.measure_maps(
            measurement, self._explain_once, self._runner, self._traces, progress
        )

    def faithfulness_price(
        self,
        x: Explanation,
        of: str = FUSED,
        *,
        metrics: Sequence[str] | None = None,
        steps: int = STEPS,
        beside: Sequence[str] = BESIDE,
    ) -> float | None:
        """Seconds that `faithfulness` takes with the same arguments; an estimate.

        0 for what was measured before. None: no pass of the network was timed. Raises what
        `faithfulness` does.
        """
        measurement = faithfulness_of.check(x, of, metrics, steps, beside)
        backbone, request = x.backbone, x.request
        trace, _ = self._traces.get(backbone, x.picture, request.fit, ())
        new = measurement.missing(trace)
        timing = self._traces.timings.of(backbone)
        if not new:
            return 0.0
        maps = price_of(backbone, request, timing, self._explainer.views(request.views, backbone))
        if timing is None or maps is None:
            return None
        return measurement.seconds(new, timing, maps)

    def _explain_once(self, picture: Picture, backbone: Backbone, **options: Any) -> Explanation:
        """Explain a picture that is not explained again: its trace is not kept."""
        x = self.explain(picture, backbone, **options)
        self._traces.drop(backbone, picture, x.request.fit)
        return x

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


def teach(
    pictures: Mapping[str, Sequence[PictureSource]],
    backbone: str | Backbone | None = None,
    **options: Any,
) -> Taught:
    """`Engine.teach` by an engine made for it."""
    return Engine().teach(pictures, backbone, **options)
