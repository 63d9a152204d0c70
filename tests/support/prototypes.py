"""Features with planted directions, and comparisons of banks."""

import torch

from camviz.maps.fusion import Placement
from tests.support.tensors import noise

CELLS = Placement((8.0, 8.0))  # of a stage of stride 8


def planted(count, width=16, groups=3, spread=0.05, seed=0):
    """Vectors around a few directions, scales from 0.1 to 10, and the group of each."""
    directions = torch.linalg.qr(noise((width, groups), seed))[0].T
    group = torch.arange(count) % groups
    scale = 10 ** (2 * torch.rand(count, generator=torch.Generator().manual_seed(seed + 1)) - 1)
    vectors = directions[group] + spread * noise((count, width), seed + 2) / width**0.5
    return vectors * scale[:, None], group


def same_bank(one, other):
    plain = [{k: v for k, v in vars(b).items() if k != "stages"} for b in (one, other)]
    assert plain[0] == plain[1] and list(one.stages) == list(other.stages)
    for a, b in zip(one.stages.values(), other.stages.values(), strict=True):
        assert torch.equal(a.vectors, b.vectors)
        assert (a.prototypes, a.scoring, a.relaxed) == (b.prototypes, b.scoring, b.relaxed)
        assert (a.thumbnails is None) == (b.thumbnails is None)
