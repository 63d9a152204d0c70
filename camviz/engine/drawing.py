"""Maps drawn where they look on a picture."""

import numpy as np
import torch

from camviz.images import Fit
from camviz.maps.fusion import Placement, resample


def draw(heat: np.ndarray, placement: Placement, fit: Fit, part: slice = slice(None)) -> np.ndarray:
    """A map at its own resolution, (h, w), drawn where it looks on the picture, (H, W).

    0 where a crop did not show the picture to the network. part: some rows of the picture only.
    """
    x0, y0, x1, y1 = fit.rect
    height, width = fit.input_size
    rows = (torch.arange(fit.picture_size[0])[part] + 0.5 - y0) / (y1 - y0) * height - 0.5
    columns = (torch.arange(fit.picture_size[1]) + 0.5 - x0) / (x1 - x0) * width - 0.5
    drawn = resample(torch.from_numpy(heat), placement, rows, columns).numpy()
    return drawn if fit.shows_all else drawn * fit.visible_mask()[part]
