"""Attention: which blocks of a network attend from every place to every place, and recording it.

    found = find_attention(model, image, stages)      # Attention, or why there is none
    with record_attention(taps, stored):              # taps of found.blocks
        model(image)

A network computes attention by `scaled_dot_product_attention`, which keeps no weights. Within
`record_attention` it is computed step by step, A = softmax(q k^T / sqrt(d) + mask) and T = A V, by
the calls of this thread alone, and nothing of the network is replaced. Which networks can be
explained by their attention is found out by running them, and proved by value: the logits stay the
same, and nothing but attention carries anything from one token to another.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from camviz.network.layouts import Layout
from camviz.network.squash import logits_of
from camviz.network.stages import Attention, AttentionBlock, Stage
from camviz.network.taps import Address, Tap, calls_of_this_thread, frozen_eval, record_taps

# What is recorded of one call: the last part of an address.
WEIGHTS, VALUES, OUTPUT = "attention", "values", "attended"
# Relative differences below these are rounding of single precision.
_SAME_LOGITS, _NO_GRADIENT = 1e-5, 1e-6
# Of a network's attention for one picture: above, it is not recorded, for its gradient is as large.
MOST_BYTES = 2**29
SDPA = functional.scaled_dot_product_attention
_SIGNATURE = inspect.Signature(
    [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
        for name, default in (
            ("query", inspect.Parameter.empty),
            ("key", inspect.Parameter.empty),
            ("value", inspect.Parameter.empty),
            ("attn_mask", None),
            ("dropout_p", 0.0),
            ("is_causal", False),
            ("scale", None),
            ("enable_gqa", False),
        )
    ]
)


def arguments_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call of `scaled_dot_product_attention` by name, defaults among them."""
    given = _SIGNATURE.bind(*args, **kwargs)
    given.apply_defaults()
    return dict(given.arguments)


def weights_of(given: Mapping[str, Any]) -> Tensor:
    """A = softmax(q k^T * scale + mask), (N, heads, queries, keys), of the arguments of a call."""
    query, key, mask = given["query"], given["key"], given["attn_mask"]
    scale = query.shape[-1] ** -0.5 if given["scale"] is None else given["scale"]
    scores = (query * scale) @ key.transpose(-2, -1)
    if given["is_causal"]:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~allowed, -math.inf)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -math.inf)
    elif mask is not None:
        scores = scores + mask
    return scores.softmax(dim=-1)


# attend(number of the call in the pass, its arguments by name) -> what it returns; None: as usual
Attend = Callable[[int, dict[str, Any]], Tensor | None]


class AttentionCalls(TorchFunctionMode):
    """Within the block, calls of `scaled_dot_product_attention` of this thread go to a function."""

    def __init__(self, attend: Attend) -> None:
        super().__init__()
        self._attend = attend
        self._count = -1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is SDPA:
            self._count += 1
            result = self._attend(self._count, arguments_of(args, kwargs or {}))
            if result is not None:
                return result
        return func(*args, **(kwargs or {}))


@contextmanager
def record_attention(taps: Sequence[Tap], stored: dict[Address, Tensor]) -> Iterator[None]:
    """Record the attention that taps name, of the passes in this block, to be differentiated.

    Weights and outputs are part of the graph of what follows; where nothing before them needs a
    gradient they are cut off and become leaves. Taps of anything else are left alone.
    """
    wanted: dict[int, dict[str, Address]] = {}
    for tap in taps:
        if is_attention(tap):
            wanted.setdefault(tap.call, {})[str(tap.path[0])] = tap.address

    def keep(kind: str, tensor: Tensor, addresses: Mapping[str, Address]) -> Tensor:
        if kind not in addresses:
            return tensor
        if kind == VALUES:  # a part of a larger tensor, which would be kept with it
            kept = tensor.detach().contiguous()
            stored[addresses[kind]] = kept.requires_grad_(torch.is_grad_enabled())
            return tensor
        if torch.is_grad_enabled() and not tensor.requires_grad:
            tensor = tensor.detach().requires_grad_(True)
        stored[addresses[kind]] = tensor
        return tensor

    def attend(number: int, given: dict[str, Any]) -> Tensor | None:
        addresses = wanted.get(number)
        if addresses is None:
            return None
        weights = keep(WEIGHTS, weights_of(given), addresses)
        values = keep(VALUES, given["value"], addresses)
        return keep(OUTPUT, weights @ values, addresses)

    with AttentionCalls(attend) if wanted else nullcontext():
        yield


def is_attention(tap: Tap) -> bool:
    """Whether a tap is of attention, and not of a module's output."""
    return tap.path[:1] in ((WEIGHTS,), (VALUES,), (OUTPUT,))


def weights_tap(block: AttentionBlock) -> Tap:
    """Where the attention of a block is recorded: (1, heads, tokens, tokens)."""
    return _tap(block, WEIGHTS, block.tokens)


def values_tap(block: AttentionBlock) -> Tap:
    """Where its values are recorded: (1, heads, tokens, d)."""
    return _tap(block, VALUES, block.width)


def output_tap(block: AttentionBlock) -> Tap:
    """Where what it attended to is recorded, T = A V: (1, heads, tokens, d)."""
    return _tap(block, OUTPUT, block.width)


def _tap(block: AttentionBlock, kind: str, columns: int) -> Tap:
    layout = Layout("NCHW", (block.tokens, columns))
    return Tap(block.module, layout, block.heads, block.call, (kind,))


# -- Discovery -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    """A call of attention in a pass: in which modules, outermost first, and the shapes."""

    modules: tuple[str, ...]
    query: tuple[int, ...]
    key: tuple[int, ...]

    @property
    def is_square(self) -> bool:
        return self.query == self.key


def find_attention(
    model: nn.Module, image: Tensor, stages: Sequence[Stage]
) -> tuple[Attention | None, str]:
    """The attention blocks of a network, or None and why it cannot be explained by its attention.

    Costs one forward pass, and for a network that has such blocks four more and a small backward
    pass.
    """
    with frozen_eval(model, gradients=False):
        calls = _survey(model, image)
    if not calls:
        return None, "no attention that can be recorded was found in it"
    if any(call.query[0] != image.shape[0] or len(call.query) != 4 for call in calls):
        return None, (
            "its attention stays within windows or groups, so that no token attends to the whole "
            "picture"
        )
    square = [(number, call) for number, call in enumerate(calls) if call.is_square]
    tokens = {call.query[2] for _, call in square}
    if not square:
        return None, "it attends from other tokens than it attends to, such as a class token alone"
    if len(tokens) > 1:
        return None, "its tokens are merged between its layers, so that attention does not add up"
    count = tokens.pop()
    layout = next(
        (
            stage.layout
            for stage in stages
            if stage.layout.kind == "NLC"
            and stage.layout.grid[0] * stage.layout.grid[1] + stage.layout.prefix == count
        ),
        None,
    )
    if layout is None:
        return None, "its attention is not from place to place of one of its maps"
    blocks = tuple(_block(number, call, calls) for number, call in square)
    needed = 2 * sum(block.nbytes for block in blocks)
    if needed > 2 * MOST_BYTES:
        height, width = layout.grid
        return None, (
            f"its attention at {height} x {width} places and the gradient of it would take "
            f"{needed / 1e9:.1f} GB, so it needs a smaller input_size"
        )
    if not _same_logits(model, image, blocks):
        return None, "it gives other scores where its attention is computed step by step"
    if not _only_attention_mixes(model, image, blocks, layout):
        return None, "its places are mixed by more than attention, such as by convolutions"
    readers = _reading_tokens(model, image, blocks[-1])
    if not readers:
        return None, "its scores do not depend on what its last block attends to"
    return Attention(blocks, layout, readers), ""


def _survey(model: nn.Module, image: Tensor) -> list[_Call]:
    """Every call of attention in a pass, in order."""
    stack: list[str] = []
    calls: list[_Call] = []
    own_calls = calls_of_this_thread()

    def enter(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            if own_calls():
                stack.append(name)

        return hook

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        if own_calls():
            stack.pop()

    def attend(number: int, given: dict[str, Any]) -> None:
        query, key = given["query"], given["key"]
        calls.append(_Call(tuple(stack), tuple(query.shape), tuple(key.shape)))

    handles = []
    try:
        for name, module in model.named_modules():
            if name:
                handles.append(module.register_forward_pre_hook(enter(name)))
                handles.append(module.register_forward_hook(leave))
        with AttentionCalls(attend):
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _block(number: int, call: _Call, calls: Sequence[_Call]) -> AttentionBlock:
    """The block of a call: the outermost module that computes no other attention."""
    others = {name for i, other in enumerate(calls) if i != number for name in other.modules}
    alone = [name for name in call.modules if name not in others]
    _, heads, tokens, width = call.query
    return AttentionBlock(
        name=alone[0] if alone else call.modules[-1],
        module=call.modules[-1],
        call=number,
        heads=heads,
        tokens=tokens,
        width=width,
    )


def _same_logits(model: nn.Module, image: Tensor, blocks: Sequence[AttentionBlock]) -> bool:
    with frozen_eval(model, gradients=False):
        usual = logits_of(lambda: model(image))
        with record_attention([weights_tap(block) for block in blocks], {}):
            explicit = logits_of(lambda: model(image))
    return bool((usual - explicit).abs().max() <= _SAME_LOGITS * usual.abs().max().clamp_min(1))


def _reading_tokens(model: nn.Module, image: Tensor, last: AttentionBlock) -> tuple[int, ...]:
    """The tokens whose output of the last attention the scores depend on.

    After it nothing passes from one token to another. Where the head's weights are all zero, and so
    all scores equal, the tokens that the pooled features depend on.
    """
    tap = output_tap(last)
    network: Any = model  # timm's methods are not part of nn.Module's type
    stored: dict[Address, Tensor] = {}

    def pooled() -> Tensor:
        return network.forward_head(network.forward_features(image), pre_logits=True)

    with frozen_eval(model, gradients=True):
        for compute in (lambda: model(image), pooled):
            with record_attention([tap], stored):
                output = logits_of(compute)
            generator = torch.Generator().manual_seed(1)
            mixture = torch.randn(output.shape, generator=generator).to(output)
            (gradient,) = torch.autograd.grad(
                output, [stored[tap.address]], mixture, allow_unused=True
            )
            if gradient is not None and gradient.any():
                return tuple(gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten().tolist())
    return ()


def _only_attention_mixes(
    model: nn.Module, image: Tensor, blocks: Sequence[AttentionBlock], layout: Layout
) -> bool:
    """Whether, with what is attended to held constant, every token goes its own way.

    One token behind the last block is differentiated with respect to all behind the first one.
    """
    first, last = (
        Tap(block.name, Layout("NLC", (block.tokens, 1)), 1) for block in (blocks[0], blocks[-1])
    )
    if first == last:
        return True
    stored: dict[Address, Tensor] = {}

    def constant(number: int, given: dict[str, Any]) -> Tensor:
        return (weights_of(given) @ given["value"]).detach()

    with frozen_eval(model, gradients=True):
        with record_taps(model, [first, last], stored), AttentionCalls(constant):
            model(image)
        tokens, ends = stored.get(first.address), stored.get(last.address)
        if tokens is None or ends is None or tokens.shape != ends.shape or tokens.ndim != 3:
            return False
        middle = layout.prefix + layout.grid[0] * layout.grid[1] // 2 + layout.grid[1] // 2
        generator = torch.Generator().manual_seed(0)
        mixture = torch.randn(ends.shape[2], generator=generator).to(ends)
        (gradient,) = torch.autograd.grad((ends[0, middle] * mixture).sum(), [tokens])
    sizes = gradient[0].abs().amax(dim=1)
    own = float(sizes[middle])
    sizes[middle] = 0
    return own > 0 and float(sizes.max()) <= _NO_GRADIENT * own
