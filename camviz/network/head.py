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
    cells = vectors.to(backbone.device)
    kind = pre_pool.layout.kind
    if kind in ("NCHW", "NHWC"):
        maps = cells[:, :, None, None] if kind == "NCHW" else cells[:, None, None]
    elif kind == "NCL":
        maps = cells[:, :, None]
    else:  # tokens: those before the grid's are zero
        maps = torch.nn.functional.pad(cells[:, None], (0, 0, pre_pool.layout.prefix, 0))
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


class _FrozenNorms:
    """Holds the scale that each norm over channels computes first as a constant after that."""

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
                if isinstance(module, nn.LayerNorm) or type(module).__name__.startswith("RmsNorm"):
                    handles.append(module.register_forward_hook(self._freeze))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _freeze(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not self._own_calls():
            return output
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
