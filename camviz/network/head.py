"""The classifier of a network: as one weight a channel, or applied to single places."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from camviz.errors import MethodError
from camviz.network.backbone import Backbone
from camviz.network.layouts import Layout
from camviz.network.lengths import TINY, UnitLength
from camviz.network.outputs import shares
from camviz.network.taps import calls_of_this_thread, frozen_eval
from camviz.network.trace import Trace


@dataclass(frozen=True)
class HeadWeights:
    """The classifier as one weight a channel, (1, C), and how exact that is.

    "linear": average pooling and a linear layer, CAM is exact. "normalised": a norm acts on the
    pooled features, and its statistics are frozen at this picture. "linearised": more layers
    follow, and the weights are their derivative at this picture.
    """

    weights: Tensor
    kind: Literal["linear", "normalised", "linearised"]


@dataclass(frozen=True)
class ClassMaps:
    """CAM of every class at the map that enters the pooling, float32 (classes, h, w), on the CPU.

    `kind`: "linear" or "normalised", as of `HeadWeights`.
    """

    values: Tensor
    kind: Literal["linear", "normalised"]


def head_weights(backbone: Backbone, trace: Trace, index: int) -> HeadWeights:
    """The weight of each channel of the last map for a class: CAM's weights, for any head.

        v_k = H*W * d s_c / d A_k(i, j),  which must be the same at every place (i, j)

    For a linear head v is the class's row of the classifier. For a head with a LayerNorm after
    the pooling, v is taken with its variance held fixed: then mean_hw(sum_k v_k A_k) plus the
    bias terms is the logit, exactly. Without that, the map's sum would be 0 whatever the class,
    because the norm takes the scale out.

    Raises `MethodError` where no such weights exist: a class token, or weights over places.
    """
    pre_pool = backbone.discovery.pre_pool
    if pre_pool is None or trace.features is None:
        raise MethodError(
            f"CAM is not defined for {backbone.display_name}: no single map enters its classifier; "
            "LayerCAM and Grad-CAM are"
        )
    features = trace.features.to(backbone.device)
    network: Any = backbone.model
    frozen = _FrozenNorms()
    gradients = []
    with (
        backbone.lock,
        frozen_eval(backbone.model, gradients=True),
        frozen.hooks(backbone.model),
    ):
        for scale in (1.0, 2.0):  # an affine head has the same gradient at both
            point = (features * scale).requires_grad_(True)
            score = backbone.scores(partial(network.forward_head, point))[0, index]
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
            f"CAM is not defined for {backbone.display_name}: {reason}; LayerCAM and Grad-CAM are"
        )
    affine = bool((here - elsewhere).abs().max() <= 1e-4 * size)
    kind: Literal["linear", "normalised", "linearised"] = (
        "linearised" if not affine else "normalised" if frozen.used else "linear"
    )
    return HeadWeights(here.sum(dim=(2, 3)), kind)


def patch_probabilities(backbone: Backbone, vectors: Tensor) -> Tensor:
    """Class probabilities of single feature vectors by the head: (n, C) -> (n, classes).

    Each vector, at its raw scale, goes through the whole head (norm and bias included) as a map of
    one cell; unit vectors would shrink the logits. Exact where the head pools by an average: a
    picture full of that vector has the same probabilities.

    Raises `MethodError` where the head does not read the map: it has a class token.
    """
    pre_pool = backbone.discovery.pre_pool
    if pre_pool is None:
        raise MethodError(f"no single map enters the classifier of {backbone.display_name}")
    maps = _one_cell_maps(pre_pool.layout, vectors.to(backbone.device))
    network: Any = backbone.model
    with backbone.lock, frozen_eval(backbone.model, gradients=False):
        try:
            # One vector more, all zero: a head that reads the map gives it other logits.
            probed = torch.cat([maps, torch.zeros_like(maps[:1])])
            logits = backbone.scores(lambda: network.forward_head(probed))
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise MethodError(
                f"the classifier of {backbone.display_name} cannot be shown a single place "
                f"({error})"
            ) from error
    if len(vectors) and bool((logits[:-1] == logits[-1]).all()):
        raise MethodError(
            f"the classifier of {backbone.display_name} reads a class token, not the map"
        )
    return shares(logits[:-1].float(), backbone.output).cpu()


def class_maps(backbone: Backbone, trace: Trace) -> ClassMaps:
    """CAM of every class at once, without a gradient: what the head says of each place alone.

        M_c(i, j) = h_c(A(i, j)) - h_c(0),  the mean of which is s_c - h_c(0)

    h is the head on a map of one cell, the scale of a norm behind the pooling held as it is for
    this picture. Two passes of the head, whatever the number of classes. That the means are right
    for every class is what proves that the head is affine after average pooling.

    Raises `MethodError` where it is not: `head_weights` may still linearise it, class by class.
    """
    pre_pool = backbone.discovery.pre_pool
    if pre_pool is None or trace.features is None:
        raise MethodError(
            f"no single map enters the classifier of {backbone.display_name}, so its classes have "
            "no maps that could be read off it"
        )
    features = trace.features.to(backbone.device)
    cells = pre_pool.layout.to_nchw(features).float()[0]
    vectors = cells.flatten(1).T.to(features)
    frozen = _FrozenNorms()
    network: Any = backbone.model
    with (
        backbone.lock,
        frozen_eval(backbone.model, gradients=False),
        frozen.hooks(backbone.model),
    ):
        try:
            whole = backbone.scores(lambda: network.forward_head(features))[0].double()
            single = _one_cell_maps(pre_pool.layout, torch.cat([vectors, vectors[:1] * 0]))
            scores = backbone.scores(lambda: network.forward_head(single)).double()
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise MethodError(
                f"the classifier of {backbone.display_name} cannot be shown a single place "
                f"({error})"
            ) from error
    contributions = scores[:-1] - scores[-1]
    wrong = (contributions.mean(dim=0) + scores[-1] - whole).abs().max()
    if not wrong <= 1e-4 * contributions.abs().max():
        raise MethodError(
            f"the classifier of {backbone.display_name} is not linear in the places of its map, so "
            "its classes have no maps that could be read off it"
        )
    values = contributions.T.reshape(-1, *cells.shape[1:]).float().cpu()
    return ClassMaps(values, "normalised" if frozen.used else "linear")


def _one_cell_maps(layout: Layout, vectors: Tensor) -> Tensor:
    """Feature vectors, (n, C), as n maps of one cell in the layout in which a head is given them.

    Tokens before those of the grid are zero.
    """
    if layout.kind in ("NCHW", "NHWC"):
        return vectors[:, :, None, None] if layout.kind == "NCHW" else vectors[:, None, None]
    if layout.kind == "NCL":
        return vectors[:, :, None]
    return torch.nn.functional.pad(vectors[:, None], (0, 0, layout.prefix, 0))


class _FrozenNorms:
    """Holds the scale that each norm over channels computes first as a constant after that.

    So it does the length by which a taught classifier divides.
    """

    def __init__(self) -> None:
        self.scales: dict[nn.Module, Tensor] = {}
        self._own_calls = calls_of_this_thread()

    @property
    def used(self) -> bool:
        return bool(self.scales)

    @contextmanager
    def hooks(self, model: nn.Module) -> Iterator[None]:
        """Replace the outputs of the norms of a network within the block."""
        handles = []
        try:
            for module in model.modules():
                if _kind_of_norm(module) is not None:
                    handles.append(module.register_forward_hook(self._freeze))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _freeze(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not self._own_calls():
            return output
        (x,) = inputs
        kind = _kind_of_norm(module)
        groups, axis = 1, 1 if "2d" in type(module).__name__ else -1
        if isinstance(module, nn.GroupNorm):
            groups, axis = module.num_groups, 1
        # (n, groups, values of one) for a group norm; else the channels along `axis`.
        grouped = x.unflatten(1, (groups, -1)).flatten(2) if kind == "group" else x
        along = -1 if kind == "group" else axis
        centred = grouped
        if kind in ("layer", "group"):
            centred = grouped - grouped.mean(dim=along, keepdim=True)
        if module not in self.scales:
            self.scales[module] = _scale(module, kind, centred.detach(), along)
        y = (centred * self.scales[module]).reshape(x.shape)
        shape = [1] * x.ndim
        shape[axis] = -1
        for name, combine in (("weight", torch.mul), ("bias", torch.add)):
            parameter = getattr(module, name, None)
            if parameter is not None:
                y = combine(y, parameter.reshape(shape))
        for name in ("drop", "act"):  # of timm's norms that an activation is part of
            following = getattr(module, name, None)
            if isinstance(following, nn.Module):
                y = following(y)
        return y


NormKind = Literal["layer", "group", "rms", "simple", "length"]


def _kind_of_norm(module: nn.Module) -> NormKind | None:
    """How a module brings its channels to one scale; None if it does not."""
    if isinstance(module, UnitLength):
        return "length"
    if isinstance(module, nn.LayerNorm):
        return "layer"
    if isinstance(module, nn.GroupNorm):
        return "group"
    name = type(module).__name__.lower()
    return (
        "rms" if name.startswith("rmsnorm") else "simple" if name.startswith("simplenorm") else None
    )


def _scale(module: Any, kind: NormKind | None, values: Tensor, axis: int) -> Tensor:
    """What a norm multiplies its values by; centred ones, where it centres them."""
    if kind == "length":
        return values.square().sum(dim=axis, keepdim=True).sqrt().clamp_min(TINY).reciprocal()
    eps = torch.finfo(values.dtype).eps if module.eps is None else module.eps
    if kind == "simple":
        return (values.var(dim=axis, keepdim=True) + eps).rsqrt()
    return (values.square().mean(dim=axis, keepdim=True) + eps).rsqrt()
