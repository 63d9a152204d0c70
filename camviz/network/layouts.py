"""How the output of a module is read as a map, (N, C, H, W)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

LayoutKind = Literal["NCHW", "NHWC", "NLC", "NCL", "permuted"]


@dataclass(frozen=True)
class Layout:
    """How a module's output is read as (N, C, H, W).

    kind: "NCHW", "NHWC", "NLC" (tokens; `prefix` of them before the grid's, any further ones
    after it), "NCL", or "permuted" (tokens in another order: `order[i]` is where grid cell i,
    counted row by row, is found; Hiera keeps its tokens so).
    """

    kind: LayoutKind
    grid: tuple[int, int]
    prefix: int = 0
    order: tuple[int, ...] = field(default=(), repr=False)

    def to_nchw(self, tensor: Tensor) -> Tensor:
        """(N, C, H, W) view or copy of a tensor of this layout; differentiable and linear."""
        samples, (height, width) = tensor.shape[0], self.grid
        if self.kind == "NCHW":
            return tensor
        if self.kind == "NHWC":
            return tensor.permute(0, 3, 1, 2)
        if self.kind == "NCL":
            return tensor.reshape(samples, -1, height, width)
        tokens = tensor.flatten(1, -2)
        if self.kind == "permuted":
            tokens = tokens[:, list(self.order)]
        else:
            tokens = tokens[:, self.prefix : self.prefix + height * width]
        return tokens.transpose(1, 2).reshape(samples, -1, height, width)

    def from_nchw(self, maps: Tensor, like: Tensor) -> Tensor:
        """The inverse of `to_nchw`: maps, (N, C, H, W), as a tensor of this layout.

        like: a tensor of this layout, of one picture or of N: what is not on the grid (a class
        token, registers) is taken from it. Maps that are in this layout already are returned as
        they are, not copied.
        """
        samples, cells = maps.shape[0], self.grid[0] * self.grid[1]
        shape = (samples, *like.shape[1:])
        if self.kind == "NCHW":
            return maps
        if self.kind == "NHWC":
            return maps.permute(0, 2, 3, 1)
        if self.kind == "NCL":
            return maps.reshape(shape)
        tokens = like.expand(shape).flatten(1, -2).clone()
        rows = maps.flatten(2).transpose(1, 2)
        if self.kind == "permuted":
            tokens[:, list(self.order)] = rows
        else:
            tokens[:, self.prefix : self.prefix + cells] = rows
        return tokens.reshape(shape)

    def __str__(self) -> str:
        tokens = f"+{self.prefix}" if self.kind == "NLC" and self.prefix else ""
        return f"{self.kind}{tokens}"


def channels(shape: Sequence[int], layout: Layout) -> int:
    """The number of channels of an output of this shape under a layout."""
    return shape[1] if layout.kind in ("NCHW", "NCL") else shape[-1]


def layout_by_shape(
    shape: tuple[int, ...], known: Sequence[Layout], prefer: Layout | None = None
) -> Layout | None:
    """The layout of an output of this shape, given layouts proved elsewhere in the network.

    The shape is that of one picture. A grid is recognised if it is one of theirs; token counts
    may include their prefixes. Where both readings of a (1, a, b, c) shape fit, `prefer`'s kind
    wins. None: it is not a map.
    """
    if shape[:1] != (1,):  # windows of an attention, folded into the batch
        return None
    grids = {layout.grid for layout in known}
    prefixes = {layout.prefix for layout in known} | {0}
    fits: list[Layout] = []
    if len(shape) == 4:
        _, a, b, c = shape
        fits += [Layout("NCHW", (b, c))] if (b, c) in grids else []
        fits += [Layout("NHWC", (a, b))] if (a, b) in grids else []
    elif len(shape) == 3:
        for layout in known:
            cells = layout.grid[0] * layout.grid[1]
            if layout.kind == "permuted" and shape[1] == cells:
                fits.append(layout)
            for prefix in sorted(prefixes):
                if shape[1] == cells + prefix:
                    fits.append(Layout("NLC", layout.grid, prefix))
            if shape[2] == cells:
                fits.append(Layout("NCL", layout.grid))
    if not fits:
        return None
    return min(fits, key=lambda fit: (prefer is not None and fit.kind != prefer.kind,))
