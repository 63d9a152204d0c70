"""Tensors inside a network: where they are, how they are read, and how they are recorded.

A tap is an address in a forward pass (module, call, place in a nested output) and a layout under
which the tensor found there is a map, (N, C, H, W). `record_taps` collects tapped tensors so that
they can be differentiated; no hook and no flag outlives its block.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camviz.errors import BackboneError
from camviz.network.batch_norm import right_gradients
from camviz.network.layouts import Layout
from camviz.turns import step

# (module name, call number, path into a nested output): where in a forward pass a tensor is.
Address = tuple[str, int, tuple[int | str, ...]]


@dataclass(frozen=True)
class Tap:
    """One tensor of a forward pass: the output of a module, and how to read it."""

    module: str
    layout: Layout
    channels: int
    call: int = 0
    path: tuple[int | str, ...] = ()

    @property
    def address(self) -> Address:
        return (self.module, self.call, self.path)


class _Aside:
    """Attributes that blocks replace for a while: the last block to end puts them back.

    Networks may have layers in common, and be run by several threads at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # (id of the owner, name) -> [owner, value, number of blocks]
        self._held: dict[tuple[int, str], list[Any]] = {}

    @contextmanager
    def replace(self, wanted: Callable[[], Iterator[tuple[Any, str, Any, bool]]]) -> Iterator[None]:
        """Within the block these attributes have other values.

        wanted: (owner, name, other value, whether it is to be replaced) of each attribute; one that
        another block has replaced already stays so until both have ended.
        """
        mine = []
        try:
            with self._lock:
                for owner, name, value, needed in wanted():
                    if not (needed or self._held):
                        continue
                    key = (id(owner), name)
                    row = self._held.get(key)
                    if row is None and needed:
                        row = self._held[key] = [owner, getattr(owner, name), 0]
                        _set(owner, name, value)
                    if row is not None:
                        row[2] += 1
                        mine.append(key)
            yield
        finally:
            with self._lock:
                for key in reversed(mine):
                    owner, value, blocks = self._held[key]
                    self._held[key][2] = blocks - 1
                    if blocks == 1:
                        del self._held[key]
                        _set(owner, key[1], value)

    def unlock(self) -> None:
        """Take a new lock: in a forked process, the thread that held it does not exist."""
        self._lock = threading.Lock()


def _set(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, nn.Module):
        owner.__dict__[name] = value
    else:
        setattr(owner, name, value)


_aside = _Aside()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_aside.unlock)

# Switches of gradient checkpointing in timm, in transformers and in research code. A pass that is
# run again while differentiating would record its tensors twice.
_CHECKPOINTING = {"grad_checkpointing", "gradient_checkpointing", "use_checkpoint", "with_cp"}


def _put_aside(model: nn.Module) -> Iterator[tuple[Any, str, Any, bool]]:
    """What `frozen_eval` replaces: see `_Aside.replace`.

    Nothing is computed twice, and compiled modules run as they were written.
    """
    for module in model.modules():
        held = module.__dict__
        if "training" in held:  # a compiled module has that of the one in it
            yield module, "training", False, held["training"]
        for name in _CHECKPOINTING & held.keys():
            yield module, name, False, held[name] is True
        if "fused_attn" in held:  # timm's: attention by torch, where it can be recorded
            yield module, "fused_attn", True, held["fused_attn"] is False
        if "_compiled_call_impl" in held:  # model.compile()
            yield module, "_compiled_call_impl", None, held["_compiled_call_impl"] is not None
        inner = module._modules.get("_orig_mod")
        if inner is not None and "forward" in held:  # a part that torch.compile wraps
            yield module, "forward", inner.__call__, True
    for parameter in model.parameters():
        yield parameter, "requires_grad", False, parameter.requires_grad


@contextmanager
def frozen_eval(model: nn.Module, *, gradients: bool) -> Iterator[None]:
    """Put a network into eval mode, freeze its weights, turn autocast off; undo it all after.

    The block is a step of work, and waits for its turn (`camviz.turns`): what is in it should take
    no longer than a pass or two. Gradient checkpointing and compiled passes are put aside, too.
    gradients: whether autograd records in the block, whatever no_grad or inference_mode is on
    outside. Modes and flags belong to the network: another thread that runs it within the block,
    without its lock, runs it in eval mode.
    """
    kind = next((parameter.device.type for parameter in model.parameters()), "cpu")
    kind = "cpu" if kind == "meta" else kind  # shapes alone: those that it would have here
    faulty = gradients and kind == "cpu"
    norms = right_gradients(model, calls_of_this_thread()) if faulty else nullcontext()
    with (
        step(),
        _aside.replace(lambda: _put_aside(model)),
        norms,
        torch.inference_mode(False),
        torch.set_grad_enabled(gradients),
        torch.autocast(kind, enabled=False),
    ):
        yield


def tensors_in(output: Any, path: tuple[int | str, ...] = ()) -> Iterator[tuple[Any, Tensor]]:
    """Every floating-point tensor in a module's output, with its path into nested containers."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield path, output
    elif isinstance(output, dict):
        for key, value in output.items():
            yield from tensors_in(value, (*path, key))
    elif isinstance(output, (list, tuple)):
        for index, value in enumerate(output):
            yield from tensors_in(value, (*path, index))


def map_tensors(
    output: Any, change: Callable[[Any, Tensor], Tensor], path: tuple[int | str, ...] = ()
) -> Any:
    """A module's output with `change(path, tensor)` for each tensor in its nested containers."""
    if isinstance(output, Tensor):
        return change(path, output)
    if isinstance(output, dict):
        return type(output)(
            (key, map_tensors(value, change, (*path, key))) for key, value in output.items()
        )
    if isinstance(output, (list, tuple)):
        parts = (map_tensors(v, change, (*path, i)) for i, v in enumerate(output))
        named = isinstance(output, tuple) and hasattr(output, "_fields")
        return type(output)(*parts) if named else type(output)(parts)
    return output


def calls_of_this_thread() -> Callable[[], bool]:
    """Tells whether it is called from the thread in which it was made."""
    own = threading.get_ident()
    return lambda: threading.get_ident() == own


@contextmanager
def forward_hooks(
    modules: dict[str, nn.Module], observe: Callable[[str, nn.Module, int, Any], Any]
) -> Iterator[None]:
    """Call `observe(name, module, call number, output)` after every call of these modules.

    What `observe` returns, if not None, replaces the output. Calls made by other threads are not
    observed. All hooks are removed at the end of the block.
    """
    calls = dict.fromkeys(modules, -1)
    own_calls = calls_of_this_thread()

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
            if not own_calls():
                return None
            calls[name] += 1
            return observe(name, module, calls[name], output)

        return hook

    handles = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(hook_for(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def record_taps(
    model: nn.Module,
    taps: Sequence[Tap],
    stored: dict[Address, Tensor],
    recorded_now: Callable[[Address], None] | None = None,
) -> Iterator[None]:
    """Record the tapped tensors of the forward passes in this block, ready to be differentiated.

    What flows on is a clone, so that an in-place operation behind the tap can neither overwrite
    the stored tensor nor its gradient. A tensor that nothing before it needs a gradient for is
    cut off and becomes a leaf: frozen weights work, and nothing is kept of what lies before the
    shallowest tap. Of a module's several calls, only the tapped ones are recorded. recorded_now is
    called with the address of each tensor as soon as it is there.
    """
    wanted: dict[str, dict[int, list[tuple[int | str, ...]]]] = {}
    for tap in taps:
        wanted.setdefault(tap.module, {}).setdefault(tap.call, []).append(tap.path)

    def record(name: str, module: nn.Module, call: int, output: Any) -> Any:
        paths = wanted[name].get(call)
        if paths is None:
            return None

        def keep(path: tuple[int | str, ...], tensor: Tensor) -> Tensor:
            if path not in paths:
                return tensor
            recorded = tensor if tensor.requires_grad else tensor.detach().requires_grad_(True)
            stored[(name, call, path)] = recorded
            if recorded_now is not None:
                recorded_now((name, call, path))
            return recorded.clone()

        return map_tensors(output, keep)

    modules = dict(model.named_modules())
    with forward_hooks({name: modules[name] for name in wanted}, record):
        yield


def primary_logits(output: Any) -> Tensor:
    """(N, classes) from what a network returns: some return one tensor per head."""
    while isinstance(output, (list, tuple)):
        output = output[0]
    return output.flatten(1) if output.ndim > 2 else output


def class_scores(output: Any) -> Tensor:
    """`primary_logits` of a network that is seen for the first time.

    Raises `BackboneError` for what is no (N, classes) tensor of numbers.
    """
    first = output
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if not (isinstance(first, Tensor) and first.is_floating_point()):
        raise BackboneError(
            f"it returns a {type(first).__name__}, and camviz needs a tensor of class scores"
        )
    if first.ndim < 2 or first.shape[2:].numel() != 1:
        raise BackboneError(
            f"it returns a tensor of shape {tuple(first.shape)}, and camviz needs class scores, "
            "(pictures, classes); give it a pooling (global_pool) and a head"
        )
    scores = primary_logits(output)
    if not scores.numel():
        raise BackboneError("its head has no classes; give it one that has")
    return scores


def probe_input(input_size: Sequence[int], samples: int = 1) -> Tensor:
    """The same noise for every network, from a generator of its own."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(samples, *input_size, generator=generator, dtype=torch.float32)
