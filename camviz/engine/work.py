"""Work on a network that can be done in this process or in another one.

    runner.run(backbone, TracePicture(picture, "stretch", taps), traces)    # (trace, fit)

A `Work` is a frozen dataclass of plain values; its `do` runs the network. A `Runner` decides
where: `LocalRunner` calls `do`, `camviz.engine.remote.RemoteRunner` sends the work to another
process. The engine does not know which of them it has.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch

from camviz.engine.memory import Unused
from camviz.fit import Fit
from camviz.images import Picture
from camviz.maps.fusion import Placement
from camviz.network.backbone import Backbone
from camviz.network.head import ClassMaps, HeadWeights, class_maps, head_weights
from camviz.network.placement import true_placements
from camviz.network.relevance import TokenRelevance, propagate_relevance
from camviz.network.stages import AttentionBlock, Discovery
from camviz.network.taps import Tap
from camviz.network.target import Target
from camviz.network.trace import Trace
from camviz.network.trace import trace as run_trace
from camviz.network.weights import load_backbone

Result = TypeVar("Result")
Device = str | torch.device | None


@contextmanager
def plain_arithmetic(backbone: Backbone) -> Iterator[None]:
    """Single precision and ordinary tensors, whatever modes the caller has on."""
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast(backbone.device.type, enabled=False),
    ):
        yield


class Traces(Protocol):
    """Traces of pictures that work may use; see `camviz.engine.traces.TraceCache`."""

    def cached(self, backbone: Backbone, picture: Picture, fit: str) -> tuple[Trace, Fit] | None:
        """The trace of a picture if there is one."""

    def get(
        self,
        backbone: Backbone,
        picture: Picture,
        fit: str,
        taps: Iterable[Tap],
        target: Target | None = None,
    ) -> tuple[Trace, Fit]:
        """The trace of a picture that covers these taps, made if there is none."""


@dataclass(frozen=True, eq=False)
class Work(ABC, Generic[Result]):
    """A piece of work on a network.

    `slow`: it takes many passes of the network rather than one. `recurs`: another one follows that
    takes the same memory again, so that none is given back in between. For another process,
    `portable` gives the same work in values that can be pickled, `pack` turns the result into
    such values there, and `unpack` turns them back here.
    """

    slow: ClassVar[bool] = False
    recurs: ClassVar[bool] = False

    @abstractmethod
    def do(self, backbone: Backbone, traces: Traces) -> Result:
        """Run the network in this process."""

    def portable(self) -> "Work[Result]":
        return self

    def pack(self, result: Result) -> Any:
        return result

    def unpack(self, packed: Any) -> Result:
        return packed


class Runner(Protocol):
    """Loads networks and does work on them, in this process or in another one.

    resizes: whether it can run a network on pictures of another size than the one it was loaded
    for.
    """

    resizes: bool

    def load(self, name: str, weights: str | Path, device: Device, **options: Any) -> Backbone:
        """A backbone by name; options: those of `load_backbone`."""

    def run(self, backbone: Backbone, work: Work[Result], traces: Traces) -> Result:
        """The result of a piece of work."""


class LocalRunner:
    """Does all work in this process, and gives back the memory that was freed on the way."""

    resizes = True

    def __init__(self, unused: Unused | None = None) -> None:
        self._unused = unused or Unused(lambda: 0)

    def load(self, name: str, weights: str | Path, device: Device, **options: Any) -> Backbone:
        try:
            return load_backbone(name, weights, device, **options)
        finally:
            self._unused.give_back(much=True)

    def run(self, backbone: Backbone, work: Work[Result], traces: Traces) -> Result:
        try:
            return work.do(backbone, traces)
        finally:
            if not work.recurs:
                self._unused.give_back()


@dataclass(frozen=True, eq=False)
class FindStages(Work[Discovery]):
    """Find the stages of a network."""

    def do(self, backbone: Backbone, traces: Traces) -> Discovery:
        return backbone.discovery


@dataclass(frozen=True, eq=False)
class TracePicture(Work[tuple[Trace, Fit]]):
    """Run the network on a picture; with the gradients of a target if one is given.

    A network without classes has no score to differentiate, and leaves no graph.

    A trace that comes from another process has no graph, hence always the gradients of one
    target: by default of the top prediction.
    """

    picture: Picture
    fit: str
    taps: tuple[Tap, ...]
    target: Target | None = None

    def do(self, backbone: Backbone, traces: Traces) -> tuple[Trace, Fit]:
        image, fit = backbone.prepare(self.picture, self.fit)
        trace = run_trace(backbone, image, self.taps, graph=backbone.has_classes)
        if self.target is not None:
            trace.gradients(self.target)  # before any other thread can reach the trace
        return trace, fit

    def pack(self, result: tuple[Trace, Fit]) -> tuple[dict[str, Any], Fit]:
        trace, fit = result
        if self.target is None and trace.output != "features":
            trace.gradients(Target(int(trace.logits.argmax())))
        return trace.to_arrays(), fit

    def unpack(self, packed: tuple[dict[str, Any], Fit]) -> tuple[Trace, Fit]:
        arrays, fit = packed
        return Trace.from_arrays(arrays), fit


@dataclass(frozen=True, eq=False)
class ReadHead(Work[HeadWeights]):
    """Read the classifier's weights of a class at a picture; see `head_weights`."""

    picture: Picture
    fit: str
    index: int

    def do(self, backbone: Backbone, traces: Traces) -> HeadWeights:
        trace, _ = traces.get(backbone, self.picture, self.fit, ())
        return head_weights(backbone, trace, self.index)

    def pack(self, result: HeadWeights) -> tuple[np.ndarray, str]:
        return result.weights.cpu().numpy(), result.kind

    def unpack(self, packed: tuple[np.ndarray, Any]) -> HeadWeights:
        weights, kind = packed
        return HeadWeights(torch.from_numpy(weights), kind)


@dataclass(frozen=True, eq=False)
class PropagateRelevance(Work[TokenRelevance]):
    """Propagate the relevance of a target to what enters each block; see `propagate_relevance`.

    cotangent: (classes,), the weight of each logit in the target, see `Trace.cotangent`.
    """

    picture: Picture
    fit: str
    cotangent: np.ndarray
    blocks: tuple[AttentionBlock, ...]

    def do(self, backbone: Backbone, traces: Traces) -> TokenRelevance:
        image, _ = backbone.prepare(self.picture, self.fit)
        cotangent = torch.from_numpy(self.cotangent)
        return propagate_relevance(backbone, image, cotangent, self.blocks)

    def pack(self, result: TokenRelevance) -> tuple[dict[str, np.ndarray], ...]:
        held = (result.tokens, result.gradients)
        return tuple({name: each.cpu().numpy() for name, each in kind.items()} for kind in held)

    def unpack(self, packed: tuple[dict[str, np.ndarray], ...]) -> TokenRelevance:
        held = ({name: torch.from_numpy(each) for name, each in kind.items()} for kind in packed)
        return TokenRelevance(*held)


@dataclass(frozen=True, eq=False)
class ReadClassMaps(Work[ClassMaps]):
    """Read the maps of all classes off the classifier; see `class_maps`."""

    picture: Picture
    fit: str

    def do(self, backbone: Backbone, traces: Traces) -> ClassMaps:
        trace, _ = traces.get(backbone, self.picture, self.fit, ())
        return class_maps(backbone, trace)

    def pack(self, result: ClassMaps) -> tuple[np.ndarray, str]:
        return result.values.numpy(), result.kind

    def unpack(self, packed: tuple[np.ndarray, Any]) -> ClassMaps:
        values, kind = packed
        return ClassMaps(torch.from_numpy(values), kind)


@dataclass(frozen=True, eq=False)
class MeasurePlacements(Work[dict[Tap, Placement]]):
    """Measure where the cells of taps look; see `true_placements`."""

    taps: Sequence[Tap]
    slow = True

    def do(self, backbone: Backbone, traces: Traces) -> dict[Tap, Placement]:
        measured = true_placements(backbone, self.taps)
        return {tap: measured[tap.address] for tap in self.taps}
