"""Stages at any module of a network, by name; the layout follows from the shape of its output."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from camviz.errors import StageError
from camviz.network.discovery import gradients_reach
from camviz.network.layouts import Layout, channels, layout_by_shape
from camviz.network.stages import Stage
from camviz.network.taps import Address, Tap, forward_hooks, frozen_eval, probe_input, tensors_in


def derive_stage(
    model: nn.Module, name: str, stages: Sequence[Stage], input_size: tuple[int, int, int]
) -> Stage:
    """A stage at the output of any module, its layout derived from the shape of that output.

    Of several calls of the module the last counts. Raises `StageError` if there is no such
    module, if it does not run, or if its output is not a map on a grid of this network.
    """
    modules = dict(model.named_modules())
    if name not in modules or not name:
        near = [known for known in modules if name and str(name) in known][:8]
        raise StageError(
            f"unknown stage or module '{name}'; stages: {', '.join(s.name for s in stages)}"
            + (f"; modules like it: {', '.join(near)}" if near else "")
        )
    shapes: dict[Address, tuple[int, ...]] = {}

    def record(module_name: str, module: nn.Module, call: int, output: Any) -> None:
        for path, tensor in tensors_in(output):
            shapes[(module_name, call, path)] = tuple(tensor.shape)

    image = probe_input(input_size).to(next(model.parameters()).device)
    with frozen_eval(model, gradients=False), forward_hooks({name: modules[name]}, record):
        model(image)
    if not shapes:
        raise StageError(f"module '{name}' does not run when the network classifies a picture")
    known = [stage.layout for stage in stages]
    known += _halved_grids(input_size)
    last_call = max(call for _, call, _ in shapes)
    for (_, call, path), shape in shapes.items():
        nearest = min(stages, key=lambda s: -_shared_prefix(s.name, name)).layout
        layout = layout_by_shape(shape, known, nearest) if call == last_call else None
        if layout is not None:
            scrambled = [k for k in known if k.kind == "permuted" and k.grid == layout.grid]
            if scrambled and layout.kind in ("permuted", "NLC"):
                raise StageError(
                    f"module '{name}' puts out tokens, and this network keeps tokens now in the "
                    "order of the picture, now in one of its own; ask for one of its stages"
                )
            tap = Tap(name, layout, channels(shape, layout), call, path)
            if path and not gradients_reach(model, image, [tap])[tap.address]:
                raise StageError(
                    f"module '{name}' returns several tensors, and the class scores do not depend "
                    "on the one that is a map once it is returned; ask for one of its parts"
                )
            return Stage(name, tap, tap, input_size[1] / layout.grid[0])
    raise StageError(
        f"module '{name}' carries no map: its output has shape "
        f"{' and '.join(str(shape) for shape in shapes.values())}, on no grid of this network "
        f"({', '.join(f'{h}x{w}' for h, w in sorted({s.grid for s in stages}, reverse=True))})"
    )


def _halved_grids(input_size: tuple[int, int, int]) -> list[Layout]:
    """The grids of a network that halves its input again and again, rounding up."""
    height, width = input_size[1:]
    grids = []
    for _ in range(7):
        grids.append(Layout("NCHW", (height, width)))
        height, width = (height + 1) // 2, (width + 1) // 2
    return grids


def _shared_prefix(a: str, b: str) -> int:
    pairs = zip(a.split("."), b.split("."), strict=False)
    return next(
        (i for i, (x, y) in enumerate(pairs) if x != y), min(a.count("."), b.count(".")) + 1
    )
