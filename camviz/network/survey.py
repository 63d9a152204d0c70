"""One pass of a network with every module watched: which of them gives which map.

    survey = Survey(model, maps, features)
    survey.run(image)
    survey.best(3, "layer4")        # (tap that names it, tap): the tensor of map 3, proved by value

Every output is compared, bit for bit, with the maps that are looked for, under every view in which
it could be one of them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camviz.errors import BackboneError
from camviz.network.layouts import Layout, channels, layout_by_shape
from camviz.network.taps import (
    Address,
    Tap,
    class_scores,
    forward_hooks,
    tensors_in,
)
from camviz.network.wrappers import listed

# The least value that an activation function can give; a lower one proves that the tensor is
# not its output. Kinds that are not here (GELU, leaky ReLU) keep the stage output: for the
# hidden layers of transformers and ConvNeXt it is not measured which tensor is better.
_FLOORS = {
    "ReLU": 0.0,
    "ReLU6": 0.0,
    "SiLU": -0.2785,
    "Swish": -0.2785,
    "Mish": -0.3089,
    "Hardswish": -0.375,
    "HardSwish": -0.375,
    "HardMish": -0.375,
}
_MOST_PREFIX_TOKENS = 64


def _views(tensor: Tensor, shape: Sequence[int]) -> Iterator[tuple[Layout, Tensor]]:
    """Every reading of a tensor as a map of this (N, C, H, W) shape."""
    samples, channels, height, width = shape
    grid, cells = (height, width), height * width
    if tensor.ndim == 4:
        if tuple(tensor.shape) == tuple(shape):
            yield Layout("NCHW", grid), tensor
        if tuple(tensor.shape) == (samples, height, width, channels):
            yield Layout("NHWC", grid), tensor.permute(0, 3, 1, 2)
    elif tensor.ndim == 3 and tensor.shape[0] == samples:
        extra = tensor.shape[1] - cells
        if tensor.shape[2] == channels and 0 <= extra <= _MOST_PREFIX_TOKENS:
            for prefix in sorted({extra, 0}, reverse=True):
                layout = Layout("NLC", grid, prefix)
                yield layout, layout.to_nchw(tensor)
        if tuple(tensor.shape[1:]) == (channels, cells):
            yield Layout("NCL", grid), tensor.reshape(tuple(shape))


def _equal(view: Tensor, reference: Tensor) -> bool:
    head = (0, slice(None, 2), slice(None, 2), slice(None, 2))  # cheap, before the whole
    return torch.equal(view[head], reference[head]) and torch.equal(view, reference)


def _permutation(tensor: Tensor, reference: Tensor) -> tuple[int, ...] | None:
    """The index of each cell of a (1, C, H, W) reference among a tensor's tokens, or None."""
    channels = reference.shape[1]
    if tensor.numel() != reference.numel() or tensor.shape[-1] != channels:
        return None
    rows = tensor.reshape(-1, channels)
    wanted = reference[0].flatten(1).T
    if not torch.equal(rows[:, 0].sort().values, wanted[:, 0].sort().values):
        return None
    places = {row.numpy().tobytes(): index for index, row in enumerate(rows.contiguous())}
    order = [places.get(row.numpy().tobytes()) for row in wanted.contiguous()]
    if None in order or len(set(order)) != len(order):
        return None
    return tuple(index for index in order if index is not None)


@dataclass(frozen=True)
class _Output:
    """A module's output in the survey pass, kept as facts rather than as a tensor."""

    order: int
    shape: tuple[int, ...]
    address: Address


class Survey:
    """One forward pass with every module hooked, compared with the reference maps on the way."""

    def __init__(self, model: nn.Module, references: list[Tensor], features: Tensor | None) -> None:
        self.model = model
        self.references = references
        self.features = features
        self.modules = dict(model.named_modules())
        self.matches: list[list[tuple[Tap, int]]] = [[] for _ in references]
        self.feature_matches: list[tuple[Address, int]] = []
        self.outputs: list[_Output] = []
        self.activated: set[Address] = set()
        self.order_of: dict[Address, int] = {}
        self.count = 0  # of modules that ran
        self._last_activated: Tensor | None = None
        self.scores = torch.zeros(0)  # of the classes, (1, classes)

    def run(self, image: Tensor) -> None:
        """Run the network, and once more if a map is not found in its usual order."""
        with forward_hooks(self.modules, self._observe):
            self.scores = class_scores(self.model(image))
        if not bool(torch.isfinite(self.scores).all()):
            negative = [
                name
                for name, buffer in self.model.named_buffers()
                if name.endswith("running_var") and bool((buffer < 0).any())
            ]
            cause = (
                f"the running variance of {listed(negative)} is negative"
                if negative
                else "its values overflow on the way"
            )
            raise BackboneError(f"its class scores are NaN or infinite: {cause}")
        lost = [index for index, matches in enumerate(self.matches) if not matches]
        if lost:  # a second pass, for maps whose tokens are kept in another order

            def match_permuted(name: str, module: nn.Module, call: int, output: Any) -> None:
                for path, tensor in tensors_in(output):
                    for index in lost:
                        self._match_permuted((name, call, path), tensor, index)

            with forward_hooks(self.modules, match_permuted):
                self.model(image)

    def _observe(self, name: str, module: nn.Module, call: int, output: Any) -> None:
        order = self.count
        self.count += 1
        for path, tensor in tensors_in(output):
            address = (name, call, path)
            self.order_of[address] = order
            self.outputs.append(_Output(order, tuple(tensor.shape), address))
            if self._is_activated(module, tensor):
                self.activated.add(address)
            for index, reference in enumerate(self.references):
                if tensor.numel() < reference.numel():
                    continue
                for layout, view in _views(tensor, reference.shape):
                    if _equal(view, reference):
                        tap = Tap(name, layout, reference.shape[1], call, path)
                        self.matches[index].append((tap, order))
                        break
            if (
                self.features is not None
                and tensor.shape == self.features.shape
                and torch.equal(tensor, self.features)
            ):
                self.feature_matches.append((address, order))

    def _is_activated(self, module: nn.Module, tensor: Tensor) -> bool:
        """Whether a tensor is the result of an activation with a lower bound near zero."""
        if self._last_activated is tensor:  # a container that ends in the activation
            return True
        floor = _FLOORS.get(type(module).__name__)
        least = float(tensor.min()) if tensor.numel() else -math.inf
        rectified = least == 0.0 and bool(tensor.max() > 0)
        if rectified or (floor is not None and least >= floor):
            self._last_activated = tensor
            return True
        return False

    def _match_permuted(self, address: Address, tensor: Tensor, index: int) -> None:
        reference = self.references[index]
        order = _permutation(tensor.cpu(), reference.cpu())
        if order is not None:
            grid = (reference.shape[2], reference.shape[3])
            name, call, path = address
            layout = Layout("permuted", grid, order=order)
            tap = Tap(name, layout, reference.shape[1], call, path)
            self.matches[index].append((tap, self.order_of[address]))

    def best(self, index: int, hint: str) -> tuple[Tap, Tap] | None:
        """(tap that names a map, tap to record it): at timm's module, else the outermost and last.

        A module that returns several maps may return one that was used before, to make the next
        stage's input for example. Cut off at such an output, the graph would miss that use: then
        the tap is where the map arises, under the same name.
        """
        if not self.matches[index]:
            return None
        tap, order = min(
            self.matches[index],
            key=lambda match: (
                match[0].module != hint,
                match[0].module.count(".") if match[0].module else -1,
                -match[1],
            ),
        )
        carriers = {o: t for t, o in self.matches[index]}
        first = min(carriers)
        used_before = any(o not in carriers for o in range(first, order))
        return tap, carriers[first] if tap.path and used_before else tap

    def pre_pool(self, last: Tap) -> Tap | None:
        """Where the map that enters the pooling can be tapped, if the network has such a map."""
        addresses = [address for address, _ in self.feature_matches]
        if self.features is None or not addresses:
            return None
        layout = last.layout
        if last.address not in addresses:
            found = layout_by_shape(tuple(self.features.shape), [last.layout], last.layout)
            if found is None:
                return None
            layout = found
        name, call, path = (
            last.address
            if last.address in addresses
            else min(self.feature_matches, key=lambda m: (m[0][0].count("."), -m[1]))[0]
        )
        return Tap(name, layout, channels(self.features.shape, layout), call, path)

    def pre_pool_is_new(self) -> bool:
        """Whether the map that enters the pooling differs from the last intermediate map."""
        assert self.features is not None
        last = self.references[-1]
        return not any(_equal(view, last) for _, view in _views(self.features, last.shape))

    def candidates(self, tap: Tap, *, after: int, before: int) -> list[Tap]:
        """Post-activation taps at the grid of `tap`, as wide or wider, last executed first."""
        return [
            other
            for other in self._taps_like([tap.layout], after, before, activated=True)
            if other.channels >= tap.channels and other.layout.kind == tap.layout.kind
        ]

    def substitutes(self, index: int, tap: Tap, *, after: int, before: int) -> list[Tap]:
        """Taps that may replace one of zero gradient: as wide, on its grid, last executed first.

        The layouts under which the map itself was proved are allowed. Linear projections come
        last: queries, keys and values are a block's parts, not its map.
        """
        proved = [match.layout for match, _ in self.matches[index]] if index >= 0 else []
        found = [
            other
            for other in self._taps_like([tap.layout, *proved], after, before, activated=False)
            if other.channels == tap.channels
        ]
        return sorted(found, key=lambda t: isinstance(self.modules[t.module], nn.Linear))

    def _taps_like(
        self, layouts: list[Layout], after: int, before: int, *, activated: bool
    ) -> Iterator[Tap]:
        for output in reversed(self.outputs):
            right_kind = output.address in self.activated or not activated
            if after < output.order < before and right_kind:
                layout = layout_by_shape(output.shape, layouts, layouts[0])
                if layout is not None:
                    name, call, path = output.address
                    yield Tap(name, layout, channels(output.shape, layout), call, path)

    def index_of(self, tap: Tap) -> int:
        """Which of the reference maps a tap carries; -1 if none."""
        return next(
            (i for i, row in enumerate(self.matches) if any(tap == match for match, _ in row)), -1
        )

    def start_of(self, module: str) -> int:
        """The place in the order of the first output that this module or a part of it gave."""
        return min(
            output.order
            for output in self.outputs
            if f"{output.address[0]}.".startswith(f"{module}.")
        )
