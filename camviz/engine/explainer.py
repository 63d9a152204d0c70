"""From a picture, a loaded network and options to an explanation: traces, maps, and several views.

    explainer = Explainer(runner, traces, Options, OneByOne())
    x = explainer.explain(picture, backbone, "cat", options, None, keep=True)

The engine loads networks and has the operations for everybody; what they have in common is here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace

import torch

from camviz.engine.banks import (
    bank_name,
    choose_bank,
    given_bank,
    rival_banks,
)
from camviz.engine.cache import LRUCache
from camviz.engine.explanation import Explanation
from camviz.engine.families import default_stages, feature_taps, fusion_of, refinement_of
from camviz.engine.many import (
    Together,
    TraceBatch,
    TryTogether,
    Wanted,
    Way,
    decided,
    goal_of,
    is_single,
)
from camviz.engine.options import AUTO, Options, PlacementKind
from camviz.engine.plan import Plan, make_plan, resolve_target
from camviz.engine.prices import budget_of
from camviz.engine.scoring import score_stages
from camviz.engine.stage_map import MapInputs, compute_maps
from camviz.engine.traces import TraceCache, default_taps
from camviz.engine.truncation import LEVEL, choose_truncation
from camviz.engine.views import (
    VIEWS,
    Progress,
    Sizes,
    View,
    mean_map,
    mirror,
    on_grid,
    place_back,
    sentence,
    within,
)
from camviz.engine.work import (
    MeasurePlacements,
    PropagateRelevance,
    ReadHead,
    Runner,
    Traces,
)
from camviz.environment import environment
from camviz.errors import (
    CamvizError,
)
from camviz.fit import Fit
from camviz.images import Picture
from camviz.maps.fusion import Placement
from camviz.maps.refine import Affinity, Refinement
from camviz.methods import METHODS
from camviz.network.backbone import GIVEN, Backbone
from camviz.network.head import HeadWeights
from camviz.network.placement import plain_placement
from camviz.network.taps import Address, Tap
from camviz.network.target import Target
from camviz.network.trace import Trace
from camviz.prototypes.bank import PrototypeBank
from camviz.turns import OneByOne

Gradients = Mapping[Address, torch.Tensor]  # by tap
MEASURED = 256  # sets of placements, and of other things found of a network, that are held


class Explainer:
    """Explains pictures with networks that are loaded.

    runner: who runs networks; traces: where what they did is kept. options: the options of an
    explanation. one_by_one: lets one thread at a time find out the same thing. pass_limit: bytes
    that one pass may hold; networks are shown no larger pictures.
    """

    def __init__(
        self,
        runner: Runner,
        traces: TraceCache,
        options: type[Options],
        one_by_one: OneByOne,
        pass_limit: int | None = None,
    ) -> None:
        self._runner = runner
        self._traces = traces
        self._options = options
        self._one_by_one = one_by_one
        self._sizes = Sizes(pass_limit)
        self._measured: LRUCache[dict[Tap, Placement]] = LRUCache(MEASURED)
        self._together: LRUCache[Together] = LRUCache(MEASURED)

    def explain(
        self,
        picture: Picture,
        backbone: Backbone,
        target: int | str | None,
        chosen: Options,
        progress: Progress | None,
        *,
        keep: bool,
    ) -> Explanation:
        """Steps 3 to 7 of `Engine.explain`. keep: whether the trace of the picture is held."""
        if chosen.views != "one":
            return self._explain_views(picture, backbone, target, chosen, progress, keep=keep)
        method = METHODS[chosen.method]

        # 3. Plan stages, taps and target.
        bank = None
        if method.uses_prototypes:
            bank = choose_bank(chosen, picture, backbone, target, self._runner, self._traces)
        plan = make_plan(backbone, chosen, target, bank)

        # 4. Trace the picture, or take the trace from the cache if it covers the taps.
        differentiated = plan.target if method.uses_gradients else None
        trace, fit = self._traces.get(backbone, picture, chosen.fit, plan.recorded, differentiated)
        goal = goal_of(backbone, plan.target, chosen, trace.logits)

        # 5. Compute gradients, and 6. one map a stage.
        gradients: Gradients = {}
        if method.uses_gradients and goal is not None:
            trace, fit, gradients = self._differentiate(backbone, picture, trace, fit, goal)
        x = self.explain_trace(
            picture, fit, backbone, chosen, replace(plan, target=goal), bank, trace, gradients,
            self._traces, progress,
        )  # fmt: skip
        if keep:
            self._traces.keep(backbone, picture, trace, fit, goal)
        else:
            self._traces.drop(backbone, picture, chosen.fit)
        return x

    def explain_trace(
        self,
        picture: Picture,
        fit: Fit,
        backbone: Backbone,
        chosen: Options,
        plan: Plan,
        bank: PrototypeBank | None,
        trace: Trace,
        gradients: Gradients,
        traces: Traces,
        progress: Progress | None = None,
    ) -> Explanation:
        """The explanation of a picture that was traced, for the target of the plan.

        The same for a picture alone and for one of a batch. Reads the classifier's weights, or
        scores changes, for methods that use them; traces: what such work may use.
        """
        method, goal = METHODS[chosen.method], plan.target
        head, scored = None, {}
        if method.uses_head and goal is not None:
            head = self.head_weights(backbone, picture, chosen.fit, trace, goal.index, traces)

        relevance = None
        if method.uses_relevance and goal is not None:
            blocks = () if plan.attention is None else plan.attention.blocks
            weights_of_logits = trace.cotangent(goal).numpy()
            work = PropagateRelevance(picture, chosen.fit, weights_of_logits, blocks)
            relevance = trace.memoize(
                ("relevance", goal), lambda: self._runner.run(backbone, work, traces)
            )

        if method.scoring is not None and goal is not None:
            scored = score_stages(
                plan, chosen, backbone, picture, trace, goal, gradients,
                self._runner, traces, progress,
            )  # fmt: skip

        request = chosen.resolve(
            **vars(backbone.settings),
            backbone=backbone.name,
            weights=backbone.reloads_as(trace.state) or GIVEN,
            target=None if goal is None else goal.index,
            versus=None if goal is None else goal.versus,
            stages=tuple(plan.taps),
            truncated=plan.truncated,
            fuse=fusion_of(backbone, chosen.method) if chosen.fuse == AUTO else chosen.fuse,
            truncation=LEVEL if chosen.truncation == AUTO else chosen.truncation,
            **_refinement(chosen, refinement_of(backbone, chosen.method)),
            prototypes=None if bank is None else bank_name(bank, chosen.prototypes, backbone),
            **_budget(chosen),
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
            scored=scored,
            attention=plan.attention,
            relevance=relevance,
        )
        last = default_stages(backbone, plan.stages)[-1]
        features = [] if chosen.refine == "none" else feature_taps(backbone, plan)
        wanted = [*plan.taps.values(), *features]
        wanted += [last.tap(chosen.tap)] if chosen.truncation == AUTO else []
        placements = self.placements(backbone, wanted, chosen.placement)
        choice = None
        with torch.autocast(backbone.device.type, enabled=False):
            maps = compute_maps(plan, inputs)
            if chosen.truncation == AUTO:
                choice = choose_truncation(last, plan.taps, inputs, maps, placements)
            if choice is not None and not choice.level:
                inputs = replace(inputs, request=replace(request, truncation=0.0, truncated=()))
                maps = compute_maps(plan, inputs)

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
        *,
        keep: bool = True,
    ) -> Explanation:
        """The mean of the maps of several views of a picture; see `camviz.engine.views`."""
        possible = self.views(chosen.views, backbone)
        shown = [(view, self._sizes.at(backbone, view.scale)) for view in possible]
        used = [(view, network) for view, network in shown if network is not None]
        skipped = [view for view in VIEWS[chosen.views] if view not in [each for each, _ in used]]
        alike = replace(chosen, views="one")
        x = None
        collected: dict[str, list[tuple[torch.Tensor, Placement]]] = {}
        mirrored = mirror(picture)
        for number, (view, network) in enumerate(used):
            report = None
            if progress is not None:
                progress(number, len(used), str(view))
                report = within(progress, number, len(used), str(view))
            if not view.mirrored:  # the mirrored one of the same size comes next
                self._trace_together(network, (picture, mirrored), target, alike)
            given = mirrored if view.mirrored else picture
            y = self.explain(given, network, target, alike, report, keep=keep)
            if x is None:  # the picture as it is decides what the others show
                x, target, alike = y, y.target, self._options.from_mapping(y.options)
            else:
                self._traces.drop_graph(network, given, chosen.fit)
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

    def _trace_together(
        self,
        backbone: Backbone,
        pictures: Sequence[Picture],
        target: int | str | None,
        chosen: Options,
    ) -> None:
        """Hold the traces of pictures, made by one pass, where that is possible and none is held.

        Each is differentiated for the target, or for its own top prediction. A picture that cannot
        be traced is left out.
        """
        way, fit = self.way(backbone, chosen, target), chosen.fit
        if way.plan is None or any(self._traces.cached(backbone, p, fit) for p in pictures):
            return
        taps = tuple(dict.fromkeys([*default_taps(backbone), *way.recorded(backbone)]))
        if self.batch_size(backbone, taps, len(pictures)) < len(pictures):
            return
        prepared = [backbone.prepare(picture, fit) for picture in pictures]
        wanted = Wanted(way.plan.target, way.options, way.method.uses_gradients)
        work = TraceBatch(
            torch.cat([image for image, _ in prepared]), taps, [[wanted]] * len(pictures)
        )
        state = backbone.fingerprint
        traced = self._runner.run(backbone, work, self._traces)
        for picture, (_, geometry), found in zip(pictures, prepared, traced, strict=True):
            if not isinstance(found, CamvizError):
                trace, (goal,) = found
                trace.state = trace.state or state  # from another process it comes without
                self._traces.keep(backbone, picture, trace, geometry, goal)

    def way(self, backbone: Backbone, chosen: Options, target: int | str | None) -> Way:
        """A way to explain pictures; raises what it cannot be used with. target: of all of them."""
        chosen = decided(backbone, chosen, target)
        index = None if target is None else backbone.target(target)
        uses_bank = METHODS[chosen.method].uses_prototypes
        bank = given_bank(chosen, backbone, index) if uses_bank else None
        if uses_bank and bank is None:
            return Way(chosen, None)
        plan = make_plan(backbone, chosen, target, bank)
        return Way(chosen, None if is_single(chosen, bank is not None) else plan, bank)

    def batch_size(self, backbone: Backbone, taps: tuple[Tap, ...], most: int) -> int:
        """How many pictures are shown to a network together; found out once."""
        if not taps:
            return most
        key = (backbone.fingerprint, taps)
        work = TryTogether(taps)
        together = self._together.get_or_make(
            key, self._one_by_one, lambda: self._runner.run(backbone, work, self._traces)
        )
        return together.batch(most, environment().batch_mb * 2**20)

    def reopen(self, x: Explanation, taps: Sequence[Tap]) -> tuple[Trace, Target, Gradients]:
        """The trace of an explanation, what was explained, and its gradients if its method reads
        any.
        """
        x.check_weights()
        assert x.target is not None
        backbone, picture, fit = x.backbone, x.picture, x.request.fit
        trace, geometry = self._traces.get(backbone, picture, fit, taps)
        goal = resolve_target(backbone, x.target, x.request).settle(trace.logits)
        if not METHODS[x.request.method].uses_gradients:
            return trace, goal, {}
        trace, _, gradients = self._differentiate(backbone, picture, trace, geometry, goal)
        return trace, goal, gradients

    def _differentiate(
        self, backbone: Backbone, picture: Picture, trace: Trace, fit: Fit, goal: Target
    ) -> tuple[Trace, Fit, Gradients]:
        """The gradients of a target, and the trace that has them.

        Another trace than the given one where its graph was given up for memory, perhaps a moment
        ago.
        """
        try:
            return trace, fit, trace.gradients(goal)
        except LookupError:
            trace, fit = self._traces.run(backbone, picture, fit.mode, trace.taps, goal)
            return trace, fit, trace.gradients(goal)

    def head_weights(
        self, backbone: Backbone, picture: Picture, fit: str, trace: Trace, index: int,
        traces: Traces,
    ) -> HeadWeights:  # fmt: skip
        """What the classifier weighs features with for a class; read once of a trace."""
        reading = ReadHead(picture, fit, index)
        return trace.memoize(("head", index), lambda: self._runner.run(backbone, reading, traces))

    def placements(
        self, backbone: Backbone, taps: Iterable[Tap], kind: PlacementKind
    ) -> dict[Tap, Placement]:
        """Where the cells of each tap are drawn; measured once."""
        taps = sorted(set(taps), key=lambda tap: str(tap.address))
        if kind == "plain":
            return {tap: plain_placement(tap, backbone.input_size) for tap in taps}
        key = (backbone.fingerprint, *taps)
        work = MeasurePlacements(taps)
        measured = self._measured.get_or_make(
            key, self._one_by_one, lambda: self._runner.run(backbone, work, self._traces)
        )
        return dict(measured)

    def views(self, kind: str, backbone: Backbone) -> list[View]:
        """The views of a kind that can be shown to a network here, as far as is known."""
        possible = [view for view in VIEWS[kind] if view.scale == 1 or self._runner.resizes]
        return [view for view in possible if not self._sizes.refuses(backbone, view.scale)]


def _refinement(options: Options, usual: Refinement) -> dict[str, float]:
    """The options of the refined map: what was chosen, else what is usual."""
    names = {f"refine_{name}": value for name, value in asdict(usual).items()}
    chosen = {name: getattr(options, name) for name in names}
    return {name: names[name] if value is None else value for name, value in chosen.items()}


def _budget(options: Options) -> dict[str, int]:
    """The option that bounds the passes of a method, resolved."""
    scoring = METHODS[options.method].scoring
    if scoring is None or scoring.budget is None:
        return {}
    return {scoring.budget[0]: budget_of(options)}


def _affinity(
    trace: Trace, features: Sequence[Tap], placements: Mapping[Tap, Placement]
) -> Affinity:
    """What looks alike in a traced picture: one for all methods and classes."""
    key = ("affinity", *((tap.address, placements[tap]) for tap in features))
    return trace.memoize(
        key, lambda: Affinity([(trace.activations[t.address][0], placements[t]) for t in features])
    )
