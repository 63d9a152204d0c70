"""Tensors inside a network: where they are, how they are read, and how they are recorded.

A tap is an address in a forward pass (module, call, place in a nested output) and a layout under
which the tensor found there is a map, (N, C, H, W). `record_taps` collects tapped tensors so that
they can be differentiated; no hook and no flag outlives its block.
"""

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


@contextmanager
def frozen_eval(model: nn.Module, *, gradients: bool) -> Iterator[None]:
    """Put a network into eval mode, freeze its weights, turn autocast off; undo it all after.

    Gradient checkpointing and compiled passes are put aside, too. gradients: whether autograd
    records in the block, whatever no_grad or inference_mode is on outside. Modes and flags belong
    to the network: another thread that runs it within the block, without its lock, runs it in
    eval mode.
    """
    training = [module for module in model.modules() if module.training]
    unfrozen = [parameter for parameter in model.parameters() if parameter.requires_grad]
    kind = next((parameter.device.type for parameter in model.parameters()), "cpu")
    try:
        for module in training:
            module.training = False
        for parameter in unfrozen:
            parameter.requires_grad_(False)
        faulty = gradients and kind == "cpu"
        norms = right_gradients(model, calls_of_this_thread()) if faulty else nullcontext()
        with (
            norms,
            _plain_passes(model),
            torch.inference_mode(False),
            torch.set_grad_enabled(gradients),
            torch.autocast(kind, enabled=False),
        ):
            yield
    finally:
        for module in training:
            module.training = True
        for parameter in unfrozen:
            parameter.requires_grad_(True)


# Switches of gradient checkpointing in timm, in transformers and in research code. A pass that is
# run again while differentiating would record its tensors twice.
_CHECKPOINTING = ("grad_checkpointing", "gradient_checkpointing", "use_checkpoint", "with_cp")


@contextmanager
def _plain_passes(model: nn.Module) -> Iterator[None]:
    """Within the block nothing is computed twice, and compiled modules run as they were written."""
    changed: list[tuple[nn.Module, str, Any]] = []

    def put_aside(module: nn.Module, name: str, value: Any) -> None:
        changed.append((module, name, module.__dict__[name]))
        module.__dict__[name] = value

    try:
        for module in model.modules():
            held = module.__dict__
            for name in _CHECKPOINTING:
                if held.get(name) is True:
                    put_aside(module, name, False)
            if held.get("_compiled_call_impl") is not None:  # model.compile()
                put_aside(module, "_compiled_call_impl", None)
            inner = module._modules.get("_orig_mod")
            if inner is not None and "forward" in held:  # a part that torch.compile wraps
                put_aside(module, "forward", inner.__call__)
        yield
    finally:
        for module, name, value in reversed(changed):
            module.__dict__[name] = value


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


def calls_of_this_thread() -> Callable[[], bool]:
    """Tells whether it is called from the thread in which it was made."""
    own = threading.get_ident()
    return lambda: threading.get_ident() == own


@contextmanager
def forward_hooks(
    modules: dict[str, nn.Module], observe: Callable[[str, nn.Module, int, Any], Any]
) -> Iterator[None]:
    """Call `observe(name, module, call number, output)` after every call of these modules.

    What `observe` returns, if not None, replaces the output. Calls made by other threads are none
    of its business and are left alone. No hook outlives the block.
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
    model: nn.Module, taps: Sequence[Tap], stored: dict[Address, Tensor]
) -> Iterator[None]:
    """Record the tapped tensors of the forward passes in this block, ready to be differentiated.

    What flows on is a clone, so that an in-place operation behind the tap can neither overwrite
    the stored tensor nor its gradient. A tensor that nothing before it needs a gradient for is
    cut off and becomes a leaf: frozen weights work, and nothing is kept of what lies before the
    shallowest tap. Of a module's several calls, only the tapped ones are recorded.
    """
    wanted: dict[str, dict[int, list[tuple[int | str, ...]]]] = {}
    for tap in taps:
        wanted.setdefault(tap.module, {}).setdefault(tap.call, []).append(tap.path)

    def record(name: str, module: nn.Module, call: int, output: Any) -> Any:
        paths = wanted[name].get(call)
        return None if paths is None else replace(output, set(paths), (), name, call)

    def replace(
        output: Any,
        paths: set[tuple[int | str, ...]],
        at: tuple[int | str, ...],
        name: str,
        call: int,
    ) -> Any:
        if isinstance(output, Tensor):
            if at not in paths:
                return output
            recorded = output if output.requires_grad else output.detach().requires_grad_(True)
            stored[(name, call, at)] = recorded
            return recorded.clone()
        if isinstance(output, dict):
            return type(output)(
                (key, replace(value, paths, (*at, key), name, call))
                for key, value in output.items()
            )
        if isinstance(output, tuple) and hasattr(output, "_fields"):
            return type(output)(
                *(replace(v, paths, (*at, i), name, call) for i, v in enumerate(output))
            )
        if isinstance(output, (list, tuple)):
            return type(output)(
                replace(v, paths, (*at, i), name, call) for i, v in enumerate(output)
            )
        return output

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
