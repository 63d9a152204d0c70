"""Layer-wise relevance propagation of transformers, as a backward pass with other rules.

    found = propagate_relevance(backbone, image, cotangent, blocks)
    found.tokens["blocks.0"] * found.gradients["blocks.0"]      # (1, tokens, d)

Within the block, calls of this thread compute what they always do, and are differentiated by the
rules of AttnLRP: a normalisation's standard deviation is a constant, an activation f(x) has the
slope f(x) / x, of a product of two tensors each gets half (so that gradients into queries and keys
are quarters, into values halves), and a sigmoid gate is a constant. Nothing of the network is
replaced.

Achtibat et al., "AttnLRP: Attention-Aware Layer-wise Relevance Propagation for Transformers", ICML
2024, https://arxiv.org/abs/2402.05602
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from camviz.network.attention import SDPA, arguments_of, weights_of
from camviz.network.backbone import Backbone
from camviz.network.stages import AttentionBlock
from camviz.network.taps import calls_of_this_thread, frozen_eval

_PRODUCTS = {
    torch.mul, torch.matmul, torch.bmm, Tensor.mul, Tensor.__mul__, Tensor.__rmul__, Tensor.matmul,
    Tensor.__matmul__, Tensor.bmm,
}  # fmt: skip
_ACTIVATIONS = {
    functional.gelu, functional.silu, functional.mish, functional.softplus, functional.elu,
    functional.hardswish, functional.leaky_relu, torch.tanh, Tensor.tanh,
}  # fmt: skip
_GATES = {torch.sigmoid, Tensor.sigmoid, functional.hardsigmoid}
# Below it a number and its activation are divided as if it were this.
_LEAST = 1e-6


def _share(tensor: Tensor, share: float) -> Tensor:
    """The same tensor, of whose gradient only a share is passed on."""
    return tensor * share + (tensor * (1 - share)).detach()


class RelevanceRules(TorchFunctionMode):
    """Within the block, operations of this thread are differentiated by the rules above."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is SDPA:
            return _attend(arguments_of(args, kwargs))
        if func is functional.layer_norm:
            return _layer_norm(*args, **kwargs)
        if func is functional.rms_norm:
            return _rms_norm(*args, **kwargs)
        if func in _ACTIVATIONS:
            return _by_ratio(func, args, kwargs)
        if func in _GATES:
            return func(*args, **kwargs).detach()
        if func in _PRODUCTS and len(args) == 2 and all(map(_depends, args)):
            return func(_share(args[0], 0.5), _share(args[1], 0.5), **kwargs)
        return func(*args, **kwargs)


def _depends(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _attend(given: dict[str, Any]) -> Tensor:
    """Attention, of whose gradient queries and keys get a quarter and values a half."""
    given = {**given, "query": _share(given["query"], 0.5), "key": _share(given["key"], 0.5)}
    return _share(weights_of(given), 0.5) @ _share(given["value"], 0.5)


def _layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    axes = tuple(range(-len(normalized_shape), 0))
    centred = x - x.mean(dim=axes, keepdim=True)
    deviation = (centred.square().mean(dim=axes, keepdim=True) + eps).sqrt().detach()
    scaled = centred / deviation
    scaled = scaled if weight is None else scaled * weight
    return scaled if bias is None else scaled + bias


def _rms_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    axes = tuple(range(-len(normalized_shape), 0))
    least = torch.finfo(x.dtype).eps if eps is None else eps
    size = (x.square().mean(dim=axes, keepdim=True) + least).sqrt().detach()
    return x / size if weight is None else x / size * weight


def _by_ratio(func: Callable[..., Tensor], args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    """f(x) with the slope f(x) / x."""
    x, *others = args
    kwargs = {name: value for name, value in kwargs.items() if name != "inplace"}
    constant = x.detach()
    near = constant.abs() < _LEAST
    safe = torch.where(near, _LEAST, constant)
    value = func(constant, *others, **kwargs)
    slope = torch.where(near, func(safe, *others, **kwargs), value) / safe
    return x * slope + (value - constant * slope)


@dataclass(frozen=True, eq=False)
class TokenRelevance:
    """What enters each block, by its name, and its gradient by the rules: (1, tokens, d) each."""

    tokens: dict[str, Tensor]
    gradients: dict[str, Tensor]

    @property
    def nbytes(self) -> int:
        held = (*self.tokens.values(), *self.gradients.values())
        return sum(tensor.numel() * tensor.element_size() for tensor in held)


def propagate_relevance(
    backbone: Backbone, image: Tensor, cotangent: Tensor, blocks: Sequence[AttentionBlock]
) -> TokenRelevance:
    """The relevance of a target, passed back from the answer to what enters each block.

    One forward pass and one backward pass of their own. cotangent: (classes,), the weights of the
    logits in what is explained (`Trace.cotangent`).
    """
    model = backbone.model
    modules = dict(model.named_modules())
    entering: dict[str, Tensor] = {}
    own_calls = calls_of_this_thread()

    def hook_for(name: str) -> Callable[[nn.Module, Any], Any]:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> Any:
            if not own_calls():
                return None
            tokens = inputs[0]
            if not tokens.requires_grad:
                tokens = tokens.detach().requires_grad_(True)
            entering[name] = tokens
            return (tokens.clone(), *inputs[1:])

        return hook

    handles = []
    with backbone.lock, frozen_eval(model, gradients=True):
        try:
            for block in blocks:
                pre_hook = hook_for(block.name)
                handles.append(modules[block.name].register_forward_pre_hook(pre_hook))
            with RelevanceRules():
                output = backbone.scores(lambda: model(image.clone()))
        finally:
            for handle in handles:
                handle.remove()
        names = list(entering)
        gradients = torch.autograd.grad(
            output, [entering[name] for name in names], cotangent.to(output)[None]
        )
    return TokenRelevance(
        {name: tokens.detach().float() for name, tokens in entering.items()},
        {name: gradient.float() for name, gradient in zip(names, gradients, strict=True)},
    )
