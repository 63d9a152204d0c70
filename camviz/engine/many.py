"""Many pictures at once: one forward and one backward pass of a network for a batch of them.

What follows a trace is the same for one picture and for many (`Engine.explain`); here is what a
batch needs beside: the goals of each picture, the work of tracing them together, and whether and
how many of them a network can be shown together.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice, zip_longest
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from camviz.engine.ahead import ahead
from camviz.engine.banks import check_bank
from camviz.engine.explanation import Explanation
from camviz.engine.families import default_method, default_stages, feature_taps
from camviz.engine.options import AUTO, Options
from camviz.engine.plan import Plan, check_class_free, resolve_target
from camviz.engine.work import Runner, Traces, Work
from camviz.errors import CamvizError, TargetError
from camviz.fit import Fit
from camviz.images import Picture, open_picture
from camviz.methods import METHODS, Method
from camviz.network.backbone import Backbone
from camviz.network.taps import Tap, probe_input
from camviz.network.target import Target
from camviz.network.trace import Trace, check_finite, trace, trace_batch
from camviz.prototypes.bank import PrototypeBank

# A batch gives the scores of single pictures but for rounding, which is below this share of them.
_ROUNDING = 1e-4
_PROBES = 3
Value = TypeVar("Value")
Class = int | str | None  # index or label; None: the top prediction
_log = logging.getLogger(__name__)


def decided(backbone: Backbone, chosen: Options, target: Class = None) -> Options:
    """The options with the method of the network's family, where it was left open.

    Raises a `CamvizError` for what needs classes, of a network that has none.
    """
    if not backbone.has_classes:
        check_class_free(backbone, chosen, target)
    if chosen.method == AUTO:
        return replace(chosen, method=default_method(backbone, chosen))
    return chosen


def goal_of(
    backbone: Backbone, target: Target | None, options: Options, logits: Tensor
) -> Target | None:
    """What is explained of a picture: a target that was planned, else that of its top prediction.

    Its references are named as these logits have them. None of a network without classes.
    """
    if not backbone.has_classes:
        return None
    goal = target or resolve_target(backbone, int(logits.argmax()), options)
    return goal.settle(logits)


@dataclass(frozen=True, eq=False)
class Way:
    """One way in which all pictures are explained: options whose method is settled.

    plan: without a target; None where the method needs more than one trace of a picture, so that
    it is explained alone.
    """

    options: Options
    plan: Plan | None
    bank: PrototypeBank | None = None

    @property
    def method(self) -> Method:
        return METHODS[self.options.method]

    def target(self, backbone: Backbone, wanted: Class) -> Target | None:
        """What is explained of a picture whose target was given; None: its top prediction."""
        if self.plan is None or wanted is None or not backbone.has_classes:
            return None if self.plan is None else self.plan.target
        index = backbone.target(wanted)
        if self.bank is not None:
            check_bank(self.bank, backbone, index, self.options)
            return self.plan.target
        return resolve_target(backbone, index, self.options)

    def recorded(self, backbone: Backbone) -> list[Tap]:
        """Every tap that its maps are made of."""
        if self.plan is None:
            return []
        taps = list(self.plan.recorded)
        if self.options.refine != "none":
            taps += feature_taps(backbone, self.plan)
        if self.options.truncation == AUTO:
            taps.append(default_stages(backbone, self.plan.stages)[-1].tap(self.options.tap))
        pre_pool = backbone.discovery.pre_pool
        if self.method.uses_head and pre_pool is not None:
            taps.append(pre_pool)
        return taps


@dataclass(frozen=True)
class Wanted:
    """What one picture is explained for in one way: `target`, None for the top prediction.

    differentiated: whether its gradients are needed.
    """

    target: Target | None
    options: Options
    differentiated: bool


# A traced picture with its goal in each way; or why there is none.
Traced = tuple[Trace, tuple[Target | None, ...]] | CamvizError


@dataclass(frozen=True, eq=False)
class TraceBatch(Work[list[Traced]]):
    """Run a network on prepared pictures, (N, C, h, w), with the gradients of their goals.

    wanted: of each picture, in each way. A picture that has none of what is wanted, or whose class
    scores are not finite, gives its error in its place.
    """

    recurs = True

    images: Any = field(repr=False)
    taps: tuple[Tap, ...]
    wanted: Sequence[Sequence[Wanted]]

    def do(self, backbone: Backbone, traces: Traces) -> list[Traced]:
        images = torch.as_tensor(self.images).to(backbone.device)
        graph = any(each.differentiated for row in self.wanted for each in row)
        batch = trace_batch(backbone, images, self.taps, graph=graph and backbone.has_classes)
        found = [
            _with_goals(backbone, each, row)
            for each, row in zip(batch.traces, self.wanted, strict=True)
        ]
        if graph and backbone.has_classes:
            batch.differentiate(
                [_differentiated(*pair) for pair in zip(found, self.wanted, strict=True)]
            )
        return found

    def portable(self) -> "TraceBatch":
        return replace(self, images=self.images.cpu().numpy())

    def pack(self, result: list[Traced]) -> list[Any]:
        return [
            each if isinstance(each, CamvizError) else (each[0].to_arrays(), each[1])
            for each in result
        ]

    def unpack(self, packed: list[Any]) -> list[Traced]:
        return [
            each if isinstance(each, CamvizError) else (Trace.from_arrays(each[0]), each[1])
            for each in packed
        ]


def _with_goals(backbone: Backbone, one: Trace, wanted: Sequence[Wanted]) -> Traced:
    try:
        check_finite(backbone, one.logits)
        return one, tuple(goal_of(backbone, w.target, w.options, one.logits) for w in wanted)
    except CamvizError as error:
        return error


def _differentiated(found: Traced, wanted: Sequence[Wanted]) -> list[Target]:
    """The goals of a picture whose gradients are needed."""
    if isinstance(found, CamvizError):
        return []
    pairs = zip(found[1], wanted, strict=True)
    return [goal for goal, each in pairs if goal is not None and each.differentiated]


@dataclass(frozen=True, eq=False)
class HeldTrace:
    """The traces that work on one picture of a batch may use: its own, and no other."""

    trace: Trace
    fit: Fit

    def cached(self, backbone: Backbone, picture: Picture, fit: str) -> tuple[Trace, Fit]:
        return self.trace, self.fit

    def get(
        self,
        backbone: Backbone,
        picture: Picture,
        fit: str,
        taps: Iterable[Tap],
        target: Target | None = None,
    ) -> tuple[Trace, Fit]:
        assert self.trace.covers(tuple(taps)), "a way records all that its maps are made of"
        return self.trace, self.fit


@dataclass(frozen=True)
class Together:
    """Whether a network can be shown pictures together, and the bytes that each of them takes."""

    possible: bool
    nbytes: int

    def batch(self, wanted: int, budget: int) -> int:
        """How many pictures are shown together, within a budget of bytes."""
        return max(1, min(wanted, budget // max(self.nbytes, 1))) if self.possible else 1


@dataclass(frozen=True, eq=False)
class TryTogether(Work[Together]):
    """Show a network three pictures of noise together and one by one, and compare its scores.

    Where a batch couples its pictures, as by statistics over all of them, the scores differ.
    """

    taps: tuple[Tap, ...]

    def do(self, backbone: Backbone, traces: Traces) -> Together:
        images = probe_input(backbone.input_size, _PROBES).to(backbone.device)
        alone = [trace(backbone, each[None], self.taps) for each in images]
        nbytes = 2 * alone[0].nbytes  # and as much again while it is differentiated
        try:
            together = trace_batch(backbone, images, self.taps, graph=False).traces
        except (RuntimeError, ValueError, IndexError, AssertionError):
            return self._refuse(backbone, nbytes)
        for one, other in zip(alone, together, strict=True):
            wrong = (one.logits - other.logits).abs().max()
            if not wrong <= _ROUNDING * one.logits.abs().max().clamp_min(1):
                return self._refuse(backbone, nbytes)
        return Together(True, nbytes)

    def _refuse(self, backbone: Backbone, nbytes: int) -> Together:
        _log.warning(
            "%s gives a picture other scores beside others than alone, so pictures are shown to "
            "it one by one",
            backbone.display_name,
        )
        return Together(False, nbytes)


@dataclass(frozen=True, eq=False)
class _Ready:
    """A picture that is ready for a network: by fit its input, (1, C, h, w), and geometry.

    wanted: its target as it was given; targets: what that is in each way.
    """

    picture: Picture
    wanted: Class
    targets: tuple[Target | None, ...]
    inputs: dict[str, tuple[Tensor, Fit]]


# By fit, what became of a picture in a batch.
_Traces = dict[str, Traced]


@dataclass(frozen=True, eq=False)
class Batches:
    """Explains pictures in batches, each in several ways.

    explain_trace, explain_one: `Explainer.explain_trace` and `Explainer.explain`, which end the
    work on a picture that was traced, and do all of it.
    """

    backbone: Backbone
    ways: Sequence[Way]
    runner: Runner
    traces: Traces
    explain_trace: Callable[..., Explanation]
    explain_one: Callable[..., Explanation]

    @cached_property
    def taps(self) -> tuple[Tap, ...]:
        """Every tap that is recorded."""
        return tuple(dict.fromkeys(tap for way in self.ways for tap in way.recorded(self.backbone)))

    def explain(
        self, pairs: Iterable[tuple[Any, Class]], size: int, threads: int
    ) -> Iterator[tuple[Explanation, ...] | CamvizError]:
        """What became of each picture, in order. pairs: pictures and their targets."""
        ready = ahead(self._prepare, pairs, threads=threads, waiting=size + threads)
        traced = (pair for group in _grouped(ready, size) for pair in self._trace(group))
        return ahead(self._finish, traced, threads=threads, waiting=size + threads)

    def _prepare(self, pair: tuple[Any, Class]) -> _Ready | CamvizError:
        image, wanted = pair
        if isinstance(image, CamvizError):
            return image
        try:
            picture = open_picture(image)
            return _Ready(
                picture,
                wanted,
                tuple(way.target(self.backbone, wanted) for way in self.ways),
                {way.options.fit: self.backbone.prepare(picture, way.options.fit)
                 for way in self._together()},
            )  # fmt: skip
        except CamvizError as error:
            return error

    def _together(self, fit: str | None = None) -> list[Way]:
        """The ways in which pictures are traced together; fit: those that show them so."""
        return [way for way in self.ways if way.plan is not None and fit in (None, way.options.fit)]

    def _trace(
        self, group: Sequence[_Ready | CamvizError]
    ) -> Iterator[tuple[_Ready | CamvizError, _Traces]]:
        """A batch, traced by one pass for each fit."""
        good = [each for each in group if isinstance(each, _Ready)]
        found: dict[_Ready, _Traces] = {each: {} for each in good}
        state = self.backbone.fingerprint
        for fit in dict.fromkeys(way.options.fit for way in self._together()) if good else ():
            work = TraceBatch(
                torch.cat([each.inputs[fit][0] for each in good]),
                self.taps,
                self._wanted(good, fit),
            )
            traced = self.runner.run(self.backbone, work, self.traces)
            for each, result in zip(good, traced, strict=True):
                if not isinstance(result, CamvizError):
                    result[0].state = result[0].state or state  # from another process without
                found[each][fit] = result
        for one in group:
            yield one, found[one] if isinstance(one, _Ready) else {}

    def _wanted(self, good: Sequence[_Ready], fit: str) -> list[list[Wanted]]:
        """What each picture is explained for, in each way that shows it so."""
        mine = self._together(fit)
        return [
            [
                Wanted(target, way.options, way.method.uses_gradients)
                for way, target in zip(self.ways, each.targets, strict=True)
                if way in mine
            ]
            for each in good
        ]

    def _finish(
        self, pair: tuple[_Ready | CamvizError, _Traces]
    ) -> tuple[Explanation, ...] | CamvizError:
        """The explanations of a traced picture, one for each way."""
        ready, traced = pair
        if isinstance(ready, CamvizError):
            return ready
        try:
            return tuple(self._explain(way, ready, traced) for way in self.ways)
        except CamvizError as error:
            return error

    def _explain(self, way: Way, ready: _Ready, traced: _Traces) -> Explanation:
        if way.plan is None:
            return self.explain_one(
                ready.picture, self.backbone, ready.wanted, way.options, None, keep=False
            )
        result, (_, fit) = traced[way.options.fit], ready.inputs[way.options.fit]
        if isinstance(result, CamvizError):
            raise result
        trace, goals = result
        goal = goals[self._together(way.options.fit).index(way)]
        gradients = trace.gradients(goal) if goal and way.method.uses_gradients else {}
        plan, held = replace(way.plan, target=goal), HeldTrace(trace, fit)
        return self.explain_trace(
            ready.picture, fit, self.backbone, way.options, plan, way.bank, trace, gradients, held
        )


def _grouped(items: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Items in lists of so many, in order; the last list may be shorter."""
    rest = iter(items)
    while group := list(islice(rest, size)):
        yield group


def is_single(options: Options, bank_given: bool) -> bool:
    """Whether a method needs more than one trace of a picture, or other pictures beside it."""
    method = METHODS[options.method]
    of_itself = method.uses_prototypes and not bank_given
    return options.views != "one" or method.scoring is not None or of_itself


def with_targets(images: Iterable[Any], targets: Any) -> Iterator[tuple[Any, Class]]:
    """Each picture with its target. targets: one for all, or one of each, None for the top one.

    Raises `TargetError` for more or fewer targets than pictures.
    """
    if targets is None or isinstance(targets, (str, int, np.integer)):
        everyone: Any = targets
        return ((image, everyone) for image in images)
    return _paired(images, targets)


def _paired(images: Iterable[Any], targets: Iterable[Class]) -> Iterator[tuple[Any, Class]]:
    missing: Any = object()
    for number, (image, target) in enumerate(zip_longest(images, targets, fillvalue=missing)):
        if image is missing or target is missing:
            fewer = "pictures" if image is missing else "targets"
            raise TargetError(
                f"there are only {number} {fewer}; give one target for all pictures, or one of each"
            )
        yield image, target
