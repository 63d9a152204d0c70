"""Vectors of unit length, as a layer."""

from torch import Tensor, nn

TINY = 1e-12  # a vector shorter than that stays as short as it is


class UnitLength(nn.Module):
    """Each row divided by its Euclidean length: x / ||x||, of (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x / x.norm(dim=-1, keepdim=True).clamp_min(TINY)
