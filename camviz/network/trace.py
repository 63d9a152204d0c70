"""Tracing: run the network once on a picture and keep what it did as tensors of known shape.

    result = trace(backbone, image, taps)
    result.logits, result.activations[tap.address], result.gradients(Target(281))[tap.address]

    batch = trace_batch(backbone, images, taps)       # several pictures, one pass
    batch.differentiate([[Target(281)], [Target(3)]]); batch.traces[1].gradients(Target(3))

This module alone runs the network for an explanation, and it alone differentiates it. One forward
pass serves every stage, method and class; a further class costs one backward pass, to the
shallowest tap and no further.
"""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, is_dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from camviz.errors import BackboneError
from camviz.network.attention import is_attention, record_attention
from camviz.network.backbone import Backbone
from camviz.network.graph_memory import storages_in_graph
from camviz.network.outputs import shares
from camviz.network.settings import OutputKind
from camviz.network.taps import Address, Tap, frozen_eval, record_taps
from camviz.network.target import Part, Target
from camviz.network.timing import Stopwatch, Timing
from camviz.network.wrappers import check_precision, listed, not_finite
from camviz.turns import OneByOne, step


@dataclass(eq=False)
class Trace:
    """What a network did with one picture.

    `logits` and `probabilities`: (classes,), fp32 on the CPU; `output`: what the logits mean. Of a
    network without classes these are its pooled features, or the embedding of them.
    `activations`: per tap
    (1, C, H, W), fp32, in (N, C, H, W) order whatever the network's own. `features`: the map that
    enters the pooling, in the network's own layout, or None. Gradients are computed on demand
    and kept. A trace from another process, or one whose graph was dropped to save memory, has only
    the gradients that were computed before. `state`: of the weights it was made with, see
    `Backbone.fingerprint`. `timing`: how long the pass took.
    """

    taps: tuple[Tap, ...]
    logits: Tensor
    activations: dict[Address, Tensor]
    features: Tensor | None
    output: OutputKind = "softmax"
    state: tuple[int, str] | None = None
    timing: Timing | None = None
    _gradient_basis: dict[Part, dict[Address, Tensor]] = field(default_factory=dict, repr=False)
    _memo: dict[Hashable, "_Kept"] = field(default_factory=dict, repr=False)
    _graph: tuple[Tensor, dict[Address, Tensor]] | None = field(default=None, repr=False)
    # Storages that the graph keeps alive, by address: activations, and the network's weights.
    _graph_storages: dict[int, int] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)
    _one_by_one: OneByOne = field(default_factory=OneByOne, repr=False)

    @property
    def probabilities(self) -> Tensor:
        return shares(self.logits, self.output)

    @property
    def has_graph(self) -> bool:
        """Whether gradients of further classes need no other forward pass."""
        return self._graph is not None

    def has(self, target: Target) -> bool:
        """Whether the gradients of this target were computed before."""
        return all(part in self._gradient_basis for part in self._parts(target))

    def covers(self, taps: Sequence[Tap]) -> bool:
        """Whether all of these taps were recorded."""
        return all(tap.address in self.activations for tap in taps)

    def gradients(self, target: Target) -> dict[Address, Tensor]:
        """d target / d activation, (1, C, H, W) per tap; exactly zero where nothing depends on it.

        Raises `LookupError` if they need the graph and it is gone.
        """
        parts = self._parts(target)
        found = {part: self._gradient(part) for part in parts}
        if list(parts.values()) == [1.0]:
            return found[next(iter(parts))]
        (first, weight), *others = parts.items()
        total = {tap.address: weight * found[first][tap.address] for tap in self.taps}
        for part, factor in others:
            for address, gradient in found[part].items():
                if address in total:
                    total[address].add_(gradient, alpha=factor)
        return total

    def _gradient(self, part: Part) -> dict[Address, Tensor]:
        """The gradient of a part by tap, computed if it is not known: by one thread at a time."""
        known = self._recall(part)
        if known is None:
            with self.alone("graph"):
                known = self._recall(part)
                if known is None:
                    known = self._differentiate(part)
                    with self._lock:
                        self._gradient_basis[part] = known
        return known

    def _recall(self, part: Part) -> dict[Address, Tensor] | None:
        with self._lock:
            known = self._gradient_basis.pop(part, None)
            if known is not None:  # at the end: the first in the order is the least recently used
                self._gradient_basis[part] = known
            return known

    def alone(self, key: Hashable) -> AbstractContextManager[None]:
        """Within the block no other thread is in one with the same key: it waits, or gives up."""
        return self._one_by_one.alone(key)

    def memoize(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of `make()`, computed once for each key and kept with the trace.

        For what follows from picture, network and key alone: figures, weights, maps of all classes.
        Whoever wants a value that another thread is computing waits for it.
        """
        if key not in self._memo:
            with self.alone(key):
                if key not in self._memo:
                    self._memo[key] = _Kept(make())
        return self._memo[key].value

    def recalls(self, key: Hashable) -> bool:
        """Whether `memoize` has a value for this key."""
        return key in self._memo

    def cotangent(self, target: Target) -> Tensor:
        """(classes,): the weight of each logit in the gradient of a target."""
        parts = self._parts(target).items()
        return sum(weight * _cotangent(part, self.logits) for part, weight in parts)  # type: ignore

    def _parts(self, target: Target) -> dict[Part, float]:
        logits, index = self.logits.double(), target.index
        target = target.settle(self.logits)
        rest = float((-logits[index]).sigmoid())  # 1 - p, also where p rounds to 1
        return target.combination(float(shares(logits, self.output)[index]), self.output, rest)

    def _differentiate(self, part: Part) -> dict[Address, Tensor]:
        graph = self._graph  # another thread may drop it meanwhile
        if graph is None:
            raise LookupError(f"the graph is gone; trace the picture again for class {part[1]}")
        output, stored = graph
        cotangent = _cotangent(part, output[0].detach())[None]
        gradients = _backward(output, stored, self.taps, cotangent, keep=True)
        return {
            tap.address: torch.zeros_like(self.activations[tap.address])
            if gradient is None
            else tap.layout.to_nchw(gradient).float()
            for tap, gradient in zip(self.taps, gradients, strict=True)
        }

    def adopt(self, other: "Trace") -> None:
        """Take over what an earlier trace of the same picture led to, so that it is not made again.

        That are gradients at these taps, and what `memoize` keeps, but for the affinity, which
        holds the other's activations.
        """
        with self._lock:
            for key, value in list(other._memo.items()):
                if not (isinstance(key, tuple) and key[0] == "affinity"):
                    self._memo.setdefault(key, value)
            for part, gradients in list(other._gradient_basis.items()):
                if all(tap.address in gradients for tap in self.taps):
                    self._gradient_basis.setdefault(part, gradients)

    def shrink(self, limit: int, keep: Target | None) -> None:
        """Drop gradients of the least recently used classes, then the graph, until it fits.

        limit: in bytes. The gradients that the target `keep` needs always stay.
        """
        with self._lock:
            needed = {} if keep is None else self._parts(keep)
            for part in [part for part in self._gradient_basis if part not in needed]:
                if self.nbytes <= limit:
                    return
                del self._gradient_basis[part]
            if self.nbytes > limit:
                self._graph = None

    def drop_graph(self) -> None:
        """Free the memory that further classes would need; gradients computed so far stay."""
        with self._lock:
            self._graph = None

    @property
    def nbytes(self) -> int:
        """Bytes held by this trace, each storage counted once, the weights in its graph left out.

        Those are the network's, and held as long as it is.
        """
        held = [*self.activations.values(), self.logits]
        held += [] if self.features is None else [self.features]
        classes = list(self._gradient_basis.values())  # another thread may be adding one
        held += [tensor for part in classes for tensor in part.values()]
        storages = dict(self._graph_storages) if self._graph is not None else {}
        for tensor in held:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        return sum(storages.values()) + sum(kept.nbytes for kept in list(self._memo.values()))

    def to_arrays(self) -> dict[str, Any]:
        """Plain numpy arrays and names, without graph or device: fit to cross a process border."""
        with self._lock:
            return {
                "taps": self.taps,
                "logits": self.logits.numpy(),
                "output": self.output,
                "timing": self.timing,
                "features": None if self.features is None else self.features.cpu().numpy(),
                "activations": {a: t.cpu().numpy() for a, t in self.activations.items()},
                "basis": {
                    part: {a: t.cpu().numpy() for a, t in gradients.items()}
                    for part, gradients in self._gradient_basis.items()
                },
            }

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> "Trace":
        """The trace that `to_arrays` took apart; further classes need a new forward pass."""
        features = arrays["features"]
        return cls(
            arrays["taps"],
            torch.from_numpy(arrays["logits"]),
            {a: torch.from_numpy(t) for a, t in arrays["activations"].items()},
            None if features is None else torch.from_numpy(features),
            arrays["output"],
            None,
            arrays["timing"],
            {
                part: {a: torch.from_numpy(t) for a, t in gradients.items()}
                for part, gradients in arrays["basis"].items()
            },
        )


def trace(backbone: Backbone, image: Tensor, taps: Sequence[Tap], *, graph: bool = True) -> Trace:
    """Run a network on one prepared picture, (1, 3, h, w), and record the tapped tensors.

    Works under a caller's no_grad or inference_mode, with frozen weights, from any thread: the
    network's lock is held meanwhile. Whether it succeeds or not, no hook, mode or flag of the
    network is left changed. All arithmetic is fp32, whatever autocast is on outside. Without
    `graph` it is cheaper, and there are no gradients. Raises `BackboneError` for class scores that
    are not finite.
    """
    done = _run(backbone, image, taps, graph=graph)
    check_finite(backbone, done.output[0])
    result = done.trace(0)
    if done.output.requires_grad:
        result._graph = (done.output, done.stored)
        result._graph_storages = storages_in_graph(done.output, backbone.model, done.stored)
    return result


@dataclass(eq=False)
class BatchTrace:
    """What a network did with several pictures in one pass: `traces`, one of each picture.

    Those have no graph of their own: `differentiate` gives them gradients, and `drop_graph` frees
    what that needs.
    """

    traces: list[Trace]
    _pass: "_Pass | None" = field(repr=False)

    def differentiate(self, targets: Sequence[Sequence[Target]]) -> None:
        """Give each trace the gradients of its targets, any number of each picture.

        One backward pass serves all pictures. A picture whose targets have several parts takes one
        for each, together with the parts of the others. Raises `LookupError` without the graph.
        """
        missing = [
            [part for part in _parts_of(trace, wanted) if part not in trace._gradient_basis]
            for trace, wanted in zip(self.traces, targets, strict=True)
        ]
        rounds = list(zip_longest(*missing))
        for number, parts in enumerate(rounds):
            self._differentiate(parts, more=number + 1 < len(rounds))

    def _differentiate(self, parts: Sequence[Part | None], *, more: bool) -> None:
        """One backward pass, of at most one part a picture; more: whether another one follows."""
        if self._pass is None:
            raise LookupError("the graph is gone; trace the pictures again")
        output = self._pass.output
        cotangents = torch.zeros_like(output)
        for row, part in enumerate(parts):
            if part is not None:
                cotangents[row] = _cotangent(part, output[row].detach())
        gradients = _backward(output, self._pass.stored, self._pass.taps, cotangents, keep=more)
        for row, (each, part) in enumerate(zip(self.traces, parts, strict=True)):
            if part is not None:
                each._gradient_basis[part] = {
                    tap.address: torch.zeros_like(each.activations[tap.address])
                    if gradient is None
                    else tap.layout.to_nchw(gradient)[row : row + 1].float()
                    for tap, gradient in zip(self._pass.taps, gradients, strict=True)
                }
        if not more:
            self.drop_graph()

    def drop_graph(self) -> None:
        self._pass = None


def trace_batch(
    backbone: Backbone, images: Tensor, taps: Sequence[Tap], *, graph: bool = True
) -> BatchTrace:
    """Run a network on prepared pictures, (N, 3, h, w), in one pass; else as `trace`.

    Class scores that are not finite are left to the caller (`check_finite`): they are one
    picture's, and the others are as they should be.
    """
    done = _run(backbone, images, taps, graph=graph)
    traces = [done.trace(row) for row in range(len(images))]
    return BatchTrace(traces, done if done.output.requires_grad else None)


@dataclass(frozen=True, eq=False)
class _Pass:
    """A pass of a network on N pictures: its output, (N, classes), and the tensors of its taps.

    features: the map that enters the pooling, in the network's own layout, or None.
    """

    backbone: Backbone
    taps: tuple[Tap, ...]
    output: Tensor
    stored: dict[Address, Tensor]
    features: Tensor | None
    state: tuple[int, str]
    timing: Timing

    def trace(self, row: int) -> Trace:
        """The trace of one of the pictures, without graph."""
        one, alone = slice(row, row + 1), len(self.output) == 1
        with torch.inference_mode(False), torch.no_grad():
            activations = {
                tap.address: tap.layout.to_nchw(self.stored[tap.address].detach())[one].float()
                for tap in self.taps
            }
            if not alone:  # a copy: what is kept of one picture does not keep the others
                activations = {address: each.clone() for address, each in activations.items()}
            return Trace(
                self.taps,
                self.output[row].detach().float().cpu(),
                activations,
                None if self.features is None else self.features[one].detach(),
                self.backbone.output,
                self.state,
                self.timing if alone else None,
            )


def _run(backbone: Backbone, images: Tensor, taps: Sequence[Tap], *, graph: bool) -> _Pass:
    """One pass of a network on prepared pictures, recorded."""
    check_precision()
    taps = tuple(dict.fromkeys(taps))
    stored: dict[Address, Tensor] = {}
    with backbone.lock, frozen_eval(backbone.model, gradients=graph):
        state = backbone.fingerprint
        of_modules = [tap for tap in taps if not is_attention(tap)]
        watch = Stopwatch(backbone.device)
        with (
            record_taps(backbone.model, of_modules, stored, watch.mark),
            record_attention(taps, stored),
        ):
            # A caller's inference tensor cannot be saved for a backward pass; its clone can.
            output = backbone.scores(lambda: backbone.model(images.clone()))
        timing = watch.stop()
    missing = [tap.module for tap in taps if tap.address not in stored]
    assert not missing, f"{missing} ran at discovery, but not now"
    pre_pool = backbone.discovery.pre_pool
    features = None if pre_pool is None else stored.get(pre_pool.address)
    return _Pass(backbone, taps, output, stored, features, state, timing)


def _backward(
    output: Tensor,
    stored: Mapping[Address, Tensor],
    taps: Sequence[Tap],
    cotangents: Tensor,
    *,
    keep: bool,
) -> tuple[Tensor | None, ...]:
    """The gradients of every tap's tensor; None where nothing depends on it. keep: the graph."""
    with (
        step(),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(output.device.type, enabled=False),
    ):
        return torch.autograd.grad(
            output,
            [stored[tap.address] for tap in taps],
            cotangents,
            retain_graph=keep,
            allow_unused=True,
        )


def _parts_of(trace: Trace, targets: Sequence[Target]) -> list[Part]:
    """The parts of several targets of one picture, each once."""
    return list(dict.fromkeys(part for target in targets for part in trace._parts(target)))


def _cotangent(part: Part, logits: Tensor) -> Tensor:
    """The weight of each logit, (classes,), in the gradient of a part."""
    kind, index = part
    cotangent = torch.zeros_like(logits)
    if kind == "log_probability":
        # e_c - softmax(s) in double precision; 1 - p_c as the sum of all others, for it may be far
        # smaller than the rounding of p_c.
        others = logits.double().softmax(dim=0)
        others[index] = 0
        cotangent.copy_(-others)
        cotangent[index] = others.sum()
    else:
        cotangent[index] = 1
    return cotangent


def check_finite(backbone: Backbone, logits: Tensor) -> None:
    """Raise `BackboneError`, naming the cause, unless all that it puts out is finite."""
    wrong = int((~torch.isfinite(logits)).sum())
    if not wrong:
        return
    what = "class scores" if backbone.has_classes else "features"
    bad = not_finite(backbone.model)
    cause = (
        f"its weights hold NaN or infinite numbers ({listed(bad)}); load weights from before the "
        "training failed"
        if bad
        else "its values overflow on the way; look at mean, std and at the weights"
    )
    raise BackboneError(
        f"{wrong} of {logits.numel()} {what} of {backbone.display_name} for this picture "
        f"are NaN or infinite: {cause}"
    )


class _Kept:
    """A value that is kept with a trace, and its bytes.

    They are counted once, for a value may hold thousands of parts, and all traces are counted
    whenever one is put into the cache. A value that counts its own bytes may grow.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self._bytes = None if hasattr(value, "nbytes") else _size_of(value)

    @property
    def nbytes(self) -> int:
        return self.value.nbytes if self._bytes is None else self._bytes


def _size_of(value: Any) -> int:
    """Bytes of the tensors and arrays in a value, in whatever it holds them."""
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    if isinstance(value, Mapping):
        return sum(map(_size_of, value.values()))
    if isinstance(value, (tuple, list)):
        return sum(map(_size_of, value))
    return sum(map(_size_of, vars(value).values())) if is_dataclass(value) else 0
