"""Maps on paper: the darker a place, the more it counts; readable without colour."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from camviz.engine.drawing import draw
from camviz.engine.explanation import Explanation
from camviz.maps.fusion import Placement
from camviz.ui import html

SIDE = 260  # pixels of a map, its longer side
LINE = 0.5  # of the maximum, where a line is drawn
PALEST = 110  # how dark the darkest place of a picture is without heat, of 255


@dataclass(frozen=True)
class Still:
    """A small picture. `cells`: it has a pixel a cell, and is enlarged without blur."""

    name: str
    text: str
    alt: str
    src: str
    cells: bool = False


class Paper:
    """A picture at the size at which it is printed, and maps on it."""

    def __init__(self, x: Explanation) -> None:
        self.x = x
        self.pixels = html.thumbnail(x.picture.pixels, SIDE)
        grey = np.asarray(Image.fromarray(self.pixels).convert("L"), np.float32)
        self._pale = PALEST + grey * (255 - PALEST) / 255
        self._fit = x.fit.scaled_to(*grey.shape)

    @property
    def plain(self) -> str:
        """The picture as it is, as a data URL."""
        return html.data_url(self.pixels)

    def with_map(self, of: str) -> str:
        """The picture with one of its maps; of: its name."""
        return self.with_heat(*self.x.grid(of))

    def with_heat(self, heat: np.ndarray, placement: Placement) -> str:
        """The picture without colour, pale where a map is cold, as a data URL.

        Brightness is p (1 - 0.8 h),  p in [`PALEST`, 255], h the heat in [0, 1]; a white line with
        a dark one around it stands where h crosses `LINE`.
        """
        hot = draw(heat, placement, self._fit)
        grey = self._pale * (1 - 0.8 * hot)
        inside = hot >= LINE
        outer, inner = _grown(inside) & ~inside, inside & _grown(~inside)
        grey[outer], grey[inner] = 0, 255
        return html.data_url(np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2), quality=70)


def grey_maps(x: Explanation) -> dict[str, str]:
    """Name of a map -> data URL of the picture, the darker the more a place counts."""
    paper = Paper(x)
    return {of: paper.with_map(of) for of in (*reversed(x.stages), *x.maps_of_all)}


def _grown(mask: np.ndarray) -> np.ndarray:
    """A mask with all pixels that touch it by a side."""
    padded = np.pad(mask, 1)
    return (
        padded[1:-1, 1:-1]
        | padded[:-2, 1:-1]
        | padded[2:, 1:-1]
        | padded[1:-1, :-2]
        | padded[1:-1, 2:]
    )
