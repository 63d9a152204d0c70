"""One look at a picture: run the network once, keep what it did as tensors of known shape.

    seen = trace(backbone, image, taps)
    seen.logits, seen.activations[tap.address], seen.gradients(Target(281))[tap.address]

This is the only place that runs the network for an explanation and the only one that
differentiates it. One forward pass serves every stage, method and class; a further class costs
one backward pass, to the shallowest tap and no further.
"""

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from camviz.backbones import Backbone
from camviz.errors import MethodError, TargetError
from camviz.taps import Address, Tap, first_logits, recorded, steady

Score = Literal["logit", "log_probability", "probability"]
# The cotangents from which every target is combined: one class's logit, or logsumexp of all.
_LOG_SUM_EXP = -1


@dataclass(frozen=True)
class Target:
    """The number that is explained: a class's logit, its log-probability or its probability.

    With `versus`, what speaks for `index` and against that class: the margin of their logits.
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

    def combination(self, probability: float) -> dict[int, float]:
        """The target's gradient as a weighted sum of gradients in the cotangent basis.

        log p_c = s_c - logsumexp(s);   dp_c = p_c * d(log p_c);   margin = s_c - s_d
        """
        if self.versus is not None:
            return {self.index: 1.0, self.versus: -1.0}
        if self.score == "logit":
            return {self.index: 1.0}
        weight = probability if self.score == "probability" else 1.0
        return {self.index: weight, _LOG_SUM_EXP: -weight}


@dataclass(eq=False)
class Trace:
    """What a network did with one picture.

    `logits` and `probabilities`: (classes,), fp32 on the CPU. `activations`: per tap
    (1, C, H, W), fp32, in (N, C, H, W) order whatever the network's own. `features`: the map that
    enters the pooling, in the network's own layout, or None. Gradients are made when asked for
    and kept. A trace that came from another process, or whose graph was dropped to save memory,
    has only the gradients it was given.
    """

    taps: tuple[Tap, ...]
    logits: Tensor
    activations: dict[Address, Tensor]
    features: Tensor | None
    _basis: dict[int, dict[Address, Tensor]] = field(default_factory=dict, repr=False)
    _remembered: dict[Hashable, Any] = field(default_factory=dict, repr=False)
    _graph: tuple[Tensor, dict[Address, Tensor]] | None = field(default=None, repr=False)
    _graph_bytes: int = field(default=0, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    @property
    def probabilities(self) -> Tensor:
        return self.logits.softmax(dim=0)

    @property
    def alive(self) -> bool:
        """Whether gradients of further classes can be had without another forward pass."""
        return self._graph is not None

    def has(self, target: Target) -> bool:
        """Whether the gradients of this target are here already."""
        return all(part in self._basis for part in self._parts(target))

    def covers(self, taps: Sequence[Tap]) -> bool:
        return all(tap.address in self.activations for tap in taps)

    def gradients(self, target: Target) -> dict[Address, Tensor]:
        """d target / d activation, (1, C, H, W) per tap; exactly zero where nothing depends on it.

        Raises `LookupError` if they would need the graph and it is gone.
        """
        with self._lock:
            parts = self._parts(target)
            for part in parts:
                # Put back at the end: the order says what was used last.
                known = self._basis.pop(part, None)
                self._basis[part] = self._differentiate(part) if known is None else known
            if parts == {target.index: 1.0}:
                return self._basis[target.index]
            return {
                tap.address: sum(  # type: ignore[misc]
                    weight * self._basis[part][tap.address] for part, weight in parts.items()
                )
                for tap in self.taps
            }

    def remember(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What was made of this trace before under that key, else made now and kept with it.

        For small things that follow from the trace alone: figures, weights, thresholds.
        """
        if key not in self._remembered:
            self._remembered[key] = make()
        return self._remembered[key]

    def _parts(self, target: Target) -> dict[int, float]:
        return target.combination(float(self.probabilities[target.index]))

    def _differentiate(self, part: int) -> dict[Address, Tensor]:
        if self._graph is None:
            raise LookupError(f"the graph is gone; trace the picture again for class {part}")
        output, stored = self._graph
        cotangent = torch.zeros_like(output)
        if part == _LOG_SUM_EXP:
            cotangent[0] = output[0].detach().float().softmax(dim=0)
        else:
            cotangent[0, part] = 1
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

    def learn(self, other: "Trace") -> None:
        """Take over the gradients that an earlier trace of the same picture has at these taps."""
        with self._lock:
            for part, gradients in list(other._basis.items()):
                if all(tap.address in gradients for tap in self.taps):
                    self._basis.setdefault(part, gradients)

    def shrink(self, limit: int, keep: Target) -> None:
        """Forget classes not used lately, then the graph, until `limit` bytes hold it."""
        with self._lock:
            needed = self._parts(keep)
            for part in [part for part in self._basis if part not in needed]:
                if self.nbytes <= limit:
                    return
                del self._basis[part]
            if self.nbytes > limit:
                self._graph = None

    def drop_graph(self) -> None:
        """Free the memory that further classes would need; the maps made so far stay."""
        with self._lock:
            self._graph = None

    @property
    def nbytes(self) -> int:
        """Bytes held by this trace; what the graph keeps is an estimate."""
        kept = [*self.activations.values(), self.logits]
        kept += [] if self.features is None else [self.features]
        classes = list(self._basis.values())  # another thread may be adding one
        kept += [tensor for part in classes for tensor in part.values()]
        graph = self._graph_bytes if self._graph is not None else 0
        return graph + sum(tensor.numel() * tensor.element_size() for tensor in kept)

    def to_arrays(self) -> dict[str, Any]:
        """Plain numpy arrays and names, without graph or device: fit to cross a process border."""
        with self._lock:
            return {
                "taps": self.taps,
                "logits": self.logits.numpy(),
                "features": None if self.features is None else self.features.cpu().numpy(),
                "activations": {a: t.cpu().numpy() for a, t in self.activations.items()},
                "basis": {
                    part: {a: t.cpu().numpy() for a, t in gradients.items()}
                    for part, gradients in self._basis.items()
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
            {
                part: {a: torch.from_numpy(t) for a, t in gradients.items()}
                for part, gradients in arrays["basis"].items()
            },
        )


def trace(backbone: Backbone, image: Tensor, taps: Sequence[Tap], *, graph: bool = True) -> Trace:
    """Run a network on one prepared picture, (1, 3, h, w), and record the tapped tensors.

    Works under a caller's no_grad or inference_mode, with frozen weights, from any thread: the
    network's lock is held meanwhile. Whether it succeeds or not, no hook, mode or flag of the
    network is left changed. All arithmetic is fp32, whatever autocast is on outside. graph False
    is cheaper; then there are no gradients to ask for.
    """
    taps = tuple(dict.fromkeys(taps))
    stored: dict[Address, Tensor] = {}
    with backbone.lock, steady(backbone.model, gradients=graph):
        # A caller's inference tensor cannot be saved for a backward pass; its clone can.
        with recorded(backbone.model, taps, stored):
            output = first_logits(backbone.model(image.clone()))
        missing = [tap.module for tap in taps if tap.address not in stored]
        assert not missing, f"{missing} ran at discovery, but not now"
        pre_pool = backbone.discovery.pre_pool
        raw = None if pre_pool is None else stored.get(pre_pool.address)
        return Trace(
            taps,
            output[0].detach().float().cpu(),
            {tap.address: tap.layout.to_nchw(stored[tap.address].detach()).float() for tap in taps},
            None if raw is None else raw.detach(),
            _graph=(output, stored) if output.requires_grad else None,
            _graph_bytes=backbone.discovery.graph_bytes,
        )


@dataclass(frozen=True)
class HeadWeights:
    """The classifier read as one weight a channel, (1, C), and how far that is the whole truth.

    "linear": average pooling and a linear layer, CAM is exact. "normalised": a norm acts on the
    pooled features, and its statistics are frozen at this picture. "linearised": more layers
    follow, and the weights are their derivative at this picture.
    """

    weights: Tensor
    kind: Literal["linear", "normalised", "linearised"]


def head_weights(backbone: Backbone, seen: Trace, index: int) -> HeadWeights:
    """What each channel of the last map is worth to a class: CAM's weights, for any head.

        v_k = H*W * d s_c / d A_k(i, j),  which must be the same at every place (i, j)

    For a linear head v is the class's row of the classifier. For a head with a LayerNorm after
    the pooling, v is taken with its variance held fixed: then mean_hw(sum_k v_k A_k) plus the
    bias terms is the logit, exactly. Without that, the map's sum would be 0 whatever the class,
    because the norm takes the scale out.

    Raises `MethodError` where no such weights exist: a class token, or weights over places.
    """
    pre_pool = backbone.discovery.pre_pool
    if pre_pool is None or seen.features is None:
        raise MethodError(
            f"CAM is not defined for {backbone.name}: no single map enters its classifier; "
            "LayerCAM and Grad-CAM are"
        )
    features = seen.features.to(backbone.device)
    network: Any = backbone.model
    frozen = _FrozenNorms()
    gradients = []
    with (
        backbone.lock,
        steady(backbone.model, gradients=True),
        frozen.watching(backbone.model),
    ):
        for scale in (1.0, 2.0):  # an affine head has the same gradient at both
            point = (features * scale).requires_grad_(True)
            score = first_logits(network.forward_head(point))[0, index]
            (gradient,) = torch.autograd.grad(score, point, allow_unused=True)
            if gradient is None:
                gradient = torch.zeros_like(point)
            gradients.append(pre_pool.layout.to_nchw(gradient).float())
    here, elsewhere = gradients
    size = here.abs().max()
    if size == 0 or (here - here.mean(dim=(2, 3), keepdim=True)).abs().max() > 1e-4 * size:
        reason = (
            "its head reads a class token, not the map"
            if size == 0
            else "its head weighs places differently"
        )
        raise MethodError(
            f"CAM is not defined for {backbone.name}: {reason}; LayerCAM and Grad-CAM are"
        )
    affine = bool((here - elsewhere).abs().max() <= 1e-4 * size)
    kind: Literal["linear", "normalised", "linearised"] = (
        "linearised" if not affine else "normalised" if frozen.used else "linear"
    )
    return HeadWeights(here.sum(dim=(2, 3)), kind)


def local_beliefs(backbone: Backbone, vectors: Tensor) -> Tensor:
    """What the classifier makes of single feature vectors, (n, C) -> (n, classes): probabilities.

    Each vector, at its raw scale, is shown to the whole head (norm and bias included) as a map of
    one cell; unit vectors would shrink the logits. Exact where the head pools by an average:
    then it sees what a picture full of that vector would give.

    Raises `MethodError` where the head does not read the map: it has a class token.
    """
    pre_pool = backbone.discovery.pre_pool
    if pre_pool is None:
        raise MethodError(f"no single map enters the classifier of {backbone.name}")
    cells = vectors.to(backbone.device)
    kind = pre_pool.layout.kind
    if kind in ("NCHW", "NHWC"):
        maps = cells[:, :, None, None] if kind == "NCHW" else cells[:, None, None]
    elif kind == "NCL":
        maps = cells[:, :, None]
    else:  # tokens: those before the grid's say nothing
        maps = torch.nn.functional.pad(cells[:, None], (0, 0, pre_pool.layout.prefix, 0))
    network: Any = backbone.model
    with backbone.lock, steady(backbone.model, gradients=False):
        try:
            # One vector more, all zero: a head that reads the map tells it from the others.
            probed = torch.cat([maps, torch.zeros_like(maps[:1])])
            logits = first_logits(network.forward_head(probed))
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise MethodError(
                f"the classifier of {backbone.name} cannot be shown a single place ({error})"
            ) from error
    if len(vectors) and bool((logits[:-1] == logits[-1]).all()):
        raise MethodError(f"the classifier of {backbone.name} reads a class token, not the map")
    return logits[:-1].float().softmax(dim=1).cpu()


class _FrozenNorms:
    """Lets norms over channels keep the scale that they first computed, as a constant."""

    def __init__(self) -> None:
        self.scales: dict[nn.Module, Tensor] = {}

    @property
    def used(self) -> bool:
        return bool(self.scales)

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        handles = []
        try:
            for module in model.modules():
                if isinstance(module, nn.LayerNorm) or type(module).__name__.startswith("RmsNorm"):
                    handles.append(module.register_forward_hook(self._freeze))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _freeze(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        (x,) = inputs
        axis = 1 if type(module).__name__.endswith("2d") else -1
        centred = x - x.mean(dim=axis, keepdim=True) if isinstance(module, nn.LayerNorm) else x
        if module not in self.scales:
            variance = centred.detach().square().mean(dim=axis, keepdim=True)
            self.scales[module] = (variance + module.eps).rsqrt()  # type: ignore[operator]
        y = centred * self.scales[module]
        shape = [1] * x.ndim
        shape[axis] = -1
        for name, combine in (("weight", torch.mul), ("bias", torch.add)):
            parameter = getattr(module, name, None)
            if parameter is not None:
                y = combine(y, parameter.reshape(shape))
        return y
