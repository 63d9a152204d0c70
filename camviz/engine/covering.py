"""Pictures with part of them covered."""

import numpy as np

from camviz.images import Picture, PictureSource, open_picture
from camviz.maps.cover import cover_pixels


def cover_picture(
    picture: Picture,
    mask: np.ndarray,
    cover: str = "blur",
    background: "PictureSource | None" = None,
    channels: int | None = None,
) -> Picture:
    """The picture with what lies inside of a mask, bool (H, W), covered; see `cover_pixels`.

    channels: how many the network takes; None: all that the picture has.
    """
    pixels = _values(picture, channels)
    other = None if background is None else _values(open_picture(background), channels)
    return open_picture(cover_pixels(pixels, mask, cover, other), name=picture.name)


def _values(picture: Picture, channels: int | None) -> np.ndarray:
    """What such a network is shown of a picture, uint8 (H, W, C): its colours, or all channels."""
    return picture.pixels if picture.channels is None or channels in (1, 3) else picture.channels
