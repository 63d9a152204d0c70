"""Maps that know nothing of a picture, beside which a figure of a map means something.

random_map((14, 14), seed=0), centred_gaussian((14, 14))
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from camviz.maps.fusion import normalize

_BLOB = 1 / 10  # deviation of the smoothing, as a share of the longer side
_WIDTH = 1 / 4  # deviation of the Gaussian, as a share of each side


def random_map(grid: tuple[int, int], seed: int = 0) -> Tensor:
    """A map of smooth blobs in random places, (h, w), in [0, 1]; the same for the same seed.

        b = G * n,  M = relu(b - mean b) / max,   n: independent normal numbers, one a cell

    G: a Gaussian whose deviation is a tenth of the longer side of the grid. About half of the map
    is 0, as in maps of a method that keeps what is positive. A grid of one cell is 1.
    """
    if grid == (1, 1):
        return torch.ones(grid)
    noise = torch.randn(grid, generator=torch.Generator().manual_seed(seed))
    deviation = max(grid) * _BLOB
    reach = max(1, round(3 * deviation))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    smooth = noise[None, None]
    smooth = F.conv2d(smooth, kernel.reshape(1, 1, -1, 1), padding=(reach, 0))
    smooth = F.conv2d(smooth, kernel.reshape(1, 1, 1, -1), padding=(0, reach))
    return normalize(smooth[0, 0] - smooth.mean())


def centred_gaussian(grid: tuple[int, int]) -> Tensor:
    """A map that is highest in the middle, (h, w), in (0, 1]: where most things are photographed.

    M = exp(-(y^2 / (h/4)^2 + x^2 / (w/4)^2) / 2),   x, y from the middle;   over its maximum
    """
    height, width = grid
    down = (torch.arange(height) - (height - 1) / 2) / (height * _WIDTH)
    across = (torch.arange(width) - (width - 1) / 2) / (width * _WIDTH)
    return normalize(torch.exp(-0.5 * (down[:, None] ** 2 + across[None, :] ** 2)))
