"""Tracing: run the network once on a picture and keep what it did as tensors of known shape.

    result = trace(backbone, image, taps)
    result.logits, result.activations[tap.address], result.gradients(Target(281))[tap.address]

This module alone runs the network for an explanation, and it alone differentiates it. One forward
pass serves every stage, method and class; a further class costs one backward pass, to the
shallowest tap and no further.
"""

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from camviz.errors import BackboneError, TargetError
from camviz.network.backbone import Backbone
from camviz.network.outputs import shares
from camviz.network.settings import OutputKind
from camviz.network.state import tensors_of
from camviz.network.taps import Address, Tap, frozen_eval, record_taps
from camviz.network.wrappers import check_precision, listed, not_finite

Score = Literal["logit", "log_probability", "probability"]
# What is differentiated, of which class: every target is a weighted sum of such gradients.
Part = tuple[Literal["logit", "log_probability"], int]
# Less probable classes are weighted as if they had this probability: the gradient of the true one
# has no representation in single precision, and the map over its maximum is the same.
_LEAST_PROBABILITY = 1e-25


@dataclass(frozen=True)
class Target:
    """The number that is explained: a class's logit, its log-probability or its probability.

    With `versus`, the margin between the logits of `index` and of that class.
    """

    index: int
    score: Score = "logit"
    versus: int | None = None

    def __post_init__(self) -> None:
        if self.versus is not None and self.score != "logit":
            raise TargetError(
                f"a comparison with another class is made between logits, not {self.score}"
            )
        if self.versus == self.index:
            raise TargetError(f"class {self.index} cannot be compared with itself")

    def combination(
        self, probability: float, output: OutputKind = "softmax", rest: float = 0.0
    ) -> dict[Part, float]:
        """The target's gradient as a weighted sum of gradients of parts.

        softmax: dp_c = p_c * d(log p_c);       margin = s_c - s_d
        sigmoid: d(log p_c) = (1 - p_c) ds_c,   with rest = 1 - p_c

        The gradient of log p_c is one of its own, and not that of s_c less that of logsumexp(s):
        where p_c is near 1, those are nearly equal, and their difference is rounding. Raises
        `TargetError` for the probability of an output that is none.
        """
        if self.versus is not None:
            return {("logit", self.index): 1.0, ("logit", self.versus): -1.0}
        if self.score == "logit":
            return {("logit", self.index): 1.0}
        if output == "value":
            raise TargetError(
                f"the network gives values, not probabilities, so score '{self.score}' does not "
                "exist; take score 'logit'"
            )
        weight = max(probability, _LEAST_PROBABILITY) if self.score == "probability" else 1.0
        if output == "sigmoid":
            return {("logit", self.index): max(weight * rest, _LEAST_PROBABILITY)}
        return {("log_probability", self.index): weight}


@dataclass(eq=False)
class Trace:
    """What a network did with one picture.

    `logits` and `probabilities`: (classes,), fp32 on the CPU; `output`: what the logits mean.
    `activations`: per tap
    (1, C, H, W), fp32, in (N, C, H, W) order whatever the network's own. `features`: the map that
    enters the pooling, in the network's own layout, or None. Gradients are computed on demand
    and kept. A trace from another process, or one whose graph was dropped to save memory, has only
    the gradients that were computed before. `state`: of the weights it was made with, see
    `Backbone.fingerprint`.
    """

    taps: tuple[Tap, ...]
    logits: Tensor
    activations: dict[Address, Tensor]
    features: Tensor | None
    output: OutputKind = "softmax"
    state: tuple[int, str] | None = None
    _gradient_basis: dict[Part, dict[Address, Tensor]] = field(default_factory=dict, repr=False)
    _memo: dict[Hashable, Any] = field(default_factory=dict, repr=False)
    _graph: tuple[Tensor, dict[Address, Tensor]] | None = field(default=None, repr=False)
    # Storages that the graph keeps alive, by address: activations, and the network's weights.
    _graph_storages: dict[int, int] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

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
        with self._lock:
            parts = self._parts(target)
            for part in parts:
                # Put back at the end: the first in the order is the least recently used.
                known = self._gradient_basis.pop(part, None)
                self._gradient_basis[part] = self._differentiate(part) if known is None else known
            if list(parts.values()) == [1.0]:
                return self._gradient_basis[next(iter(parts))]
            return {
                tap.address: sum(  # type: ignore[misc]
                    weight * self._gradient_basis[part][tap.address]
                    for part, weight in parts.items()
                )
                for tap in self.taps
            }

    def memoize(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of `make()`, computed once for each key and kept with the trace.

        For small things that follow from the trace alone: figures, weights, thresholds.
        """
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]

    def _parts(self, target: Target) -> dict[Part, float]:
        logits, index = self.logits.double(), target.index
        rest = float((-logits[index]).sigmoid())  # 1 - p, also where p rounds to 1
        return target.combination(float(shares(logits, self.output)[index]), self.output, rest)

    def _differentiate(self, part: Part) -> dict[Address, Tensor]:
        kind, index = part
        if self._graph is None:
            raise LookupError(f"the graph is gone; trace the picture again for class {index}")
        output, stored = self._graph
        cotangent = torch.zeros_like(output)
        if kind == "log_probability":
            # e_c - softmax(s) in double precision; 1 - p_c as the sum of all others, for it may be
            # far smaller than the rounding of p_c.
            others = output[0].detach().double().softmax(dim=0)
            others[index] = 0
            cotangent[0] = -others
            cotangent[0, index] = others.sum()
        else:
            cotangent[0, index] = 1
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(output.device.type, enabled=False),
        ):
            gradients = torch.autograd.grad(
                output,
                [stored[tap.address] for tap in self.taps],
                cotangent,
                retain_graph=True,
                allow_unused=True,
            )
        return {
            tap.address: torch.zeros_like(self.activations[tap.address])
            if gradient is None
            else tap.layout.to_nchw(gradient).float()
            for tap, gradient in zip(self.taps, gradients, strict=True)
        }

    def adopt_gradients(self, other: "Trace") -> None:
        """Take over the gradients that an earlier trace of the same picture has at these taps."""
        with self._lock:
            for part, gradients in list(other._gradient_basis.items()):
                if all(tap.address in gradients for tap in self.taps):
                    self._gradient_basis.setdefault(part, gradients)

    def shrink(self, limit: int, keep: Target) -> None:
        """Drop gradients of the least recently used classes, then the graph, until it fits.

        limit: in bytes. The gradients that the target `keep` needs always stay.
        """
        with self._lock:
            needed = self._parts(keep)
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
        memo = sum(getattr(value, "nbytes", 0) for value in list(self._memo.values()))
        return sum(storages.values()) + memo

    def to_arrays(self) -> dict[str, Any]:
        """Plain numpy arrays and names, without graph or device: fit to cross a process border."""
        with self._lock:
            return {
                "taps": self.taps,
                "logits": self.logits.numpy(),
                "output": self.output,
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
    check_precision()
    taps = tuple(dict.fromkeys(taps))
    stored: dict[Address, Tensor] = {}
    with backbone.lock, frozen_eval(backbone.model, gradients=graph):
        state = backbone.fingerprint
        # A caller's inference tensor cannot be saved for a backward pass; its clone can.
        with record_taps(backbone.model, taps, stored):
            output = backbone.scores(lambda: backbone.model(image.clone()))
        _check_finite(backbone, output)
        missing = [tap.module for tap in taps if tap.address not in stored]
        assert not missing, f"{missing} ran at discovery, but not now"
        pre_pool = backbone.discovery.pre_pool
        raw = None if pre_pool is None else stored.get(pre_pool.address)
        return Trace(
            taps,
            output[0].detach().float().cpu(),
            {tap.address: tap.layout.to_nchw(stored[tap.address].detach()).float() for tap in taps},
            None if raw is None else raw.detach(),
            backbone.output,
            state,
            _graph=(output, stored) if output.requires_grad else None,
            _graph_storages=(
                _storages_in_graph(output, backbone.model, stored) if output.requires_grad else {}
            ),
        )


def _check_finite(backbone: Backbone, logits: Tensor) -> None:
    """Raise `BackboneError`, naming the cause, unless every class score is a finite number."""
    wrong = int((~torch.isfinite(logits)).sum())
    if not wrong:
        return
    bad = not_finite(backbone.model)
    cause = (
        f"its weights hold NaN or infinite numbers ({listed(bad)}); load weights from before the "
        "training failed"
        if bad
        else "its values overflow on the way; look at mean, std and at the weights"
    )
    raise BackboneError(
        f"{wrong} of {logits.numel()} class scores of {backbone.display_name} for this picture "
        f"are NaN or infinite: {cause}"
    )


def _storages_in_graph(
    output: Tensor, model: nn.Module, stored: dict[Address, Tensor]
) -> dict[int, int]:
    """Address and bytes of every storage that a graph keeps alive, except those of the network.

    What each node saved for its backward pass is read off its attributes.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in tensors_of(model)}
    found: dict[int, int] = {}

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            storage = value.untyped_storage()
            if storage.data_ptr() not in own:
                found[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, (list, tuple)):
            for each in value:
                add(each)

    add([output, *stored.values()])
    nodes, visited = [output.grad_fn], set()
    while nodes:
        node: Any = nodes.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        nodes += [following for following, _ in node.next_functions]
        kind: Any = type(node)
        for name in _saved_names(kind):
            add(getattr(node, name, None))
    return found


@lru_cache(maxsize=512)
def _saved_names(kind: type) -> tuple[str, ...]:
    """The attributes of a kind of graph node that hold tensors."""
    names = [name for name in dir(kind) if name.startswith("_saved_")]
    return (*names, "saved_tensors") if hasattr(kind, "saved_tensors") else tuple(names)
