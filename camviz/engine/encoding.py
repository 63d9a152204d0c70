"""Pictures as files: to the bit as long as they are small, else as JPEG, of a bounded size.

suffix = suffix_for(height, width)
data = encode(pixels, suffix, most_bytes)
"""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

MOST_EXACT = 1_000_000  # pixels of a picture that is saved as PNG
_FAST = 3  # level of PNG's compression: a few per cent larger than the usual 6, in half the time
# Quality and chroma subsampling of JPEG, the first that fits being taken. Overlays have sharp edges
# between colours, which the best keeps.
_QUALITIES = ((90, 0), (85, 2), (75, 2), (65, 2), (55, 2), (45, 2))
_BLOCK = 16  # rows that JPEG compresses together at most
_SAMPLED = 500_000  # pixels from which the size of a file is told


def suffix_for(height: int, width: int) -> str:
    """The end of the name of a picture's file."""
    return ".png" if height * width <= MOST_EXACT else ".jpg"


def encode(pixels: np.ndarray, suffix: str, most_bytes: int | None = None) -> bytes:
    """The file of a picture, uint8 (H, W, 3).

    most_bytes: of a JPEG file, whose quality is lowered for it, though never below 45.
    """
    if suffix == ".png":
        return _encode(pixels, "PNG", compress_level=_FAST)
    quality, subsampling = _QUALITIES[0] if most_bytes is None else _fitting(pixels, most_bytes)
    return _encode(pixels, "JPEG", quality=quality, subsampling=subsampling)


def _fitting(pixels: np.ndarray, most_bytes: int) -> tuple[int, int]:
    """The best quality and subsampling at which a picture, told by a part, has so many bytes."""
    part = np.concatenate(list(_blocks(pixels)))
    share = part.size / pixels.size
    for quality, subsampling in _QUALITIES:
        size = len(_encode(part, "JPEG", quality=quality, subsampling=subsampling))
        if size <= most_bytes * share:
            break
    return quality, subsampling


def _blocks(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Rows that are spread evenly, in the blocks that JPEG compresses together."""
    height, width = pixels.shape[:2]
    step = max(1, round(height * width / _SAMPLED))
    for top in range(0, height, _BLOCK * step):
        yield pixels[top : top + _BLOCK]


def _encode(pixels: np.ndarray, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()
