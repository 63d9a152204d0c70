"""The colours of a PIL image of any mode, as an array."""

import numpy as np
from PIL import Image

from camviz.errors import ImageError

_PLAIN = ("1", "L", "P", "RGB", "YCbCr", "CMYK")
_ROWS = 256  # that are copied at once

# EXIF orientation -> what turns the picture upright; 1 is upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_rgb(image: Image.Image, what: str) -> np.ndarray:
    """uint8 (H, W, 3) of a PIL image of any mode, upright and on white.

    what: how errors call it. Raises `ImageError` for pixels that are no numbers.
    """
    image.load()
    method = _UPRIGHT.get(orientation(image))
    if method is not None:
        image = image.transpose(method)
    if image.mode.startswith("I;16"):
        return _grey(from_16_bits(np.asarray(image)))  # PIL itself would clip at 255
    if image.mode in ("I", "F"):
        return _grey(on_usual_scale(np.asarray(image), what))
    if not image.has_transparency_data:
        return _copy(image if image.mode == "RGB" else image.convert("RGB"))
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return _copy(white)


def _copy(image: Image.Image) -> np.ndarray:
    """The pixels of a colour image, strip by strip: numpy's own copy needs twice their memory."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _ROWS):
        below = min(top + _ROWS, height)
        pixels[top:below] = np.asarray(image.crop((0, top, width, below)))
    return pixels


def is_plain(image: Image.Image) -> bool:
    """Whether all readers have the pixels of `to_rgb`, but for orientation: opaque, of 8 bits."""
    return image.mode in _PLAIN and not image.has_transparency_data


def orientation(image: Image.Image) -> int:
    """EXIF orientation: 1 is upright; from 5 on width and height change places."""
    # Read here and not by ImageOps.exif_transpose, which also rewrites all other metadata and
    # fails on some that is damaged. Damaged metadata means nothing for the pixels.
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:
        return 1


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def from_16_bits(values: np.ndarray) -> np.ndarray:
    """uint16 of any shape -> uint8, rounded: 65535 = 255 * 257."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def on_usual_scale(values: np.ndarray, what: str) -> np.ndarray:
    """Numbers without a stated range -> 0..255, on the smallest usual scale that holds them.

    what: how errors call the picture. Raises `ImageError` for NaN and infinity.
    """
    if not np.isfinite(values).all():
        raise ImageError(f"{what} has pixels that are not numbers (NaN or infinite); repair it")
    low, high = float(values.min()), float(values.max())
    scales = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
    scale = next((s for s in scales if low >= 0 and high <= s), None)
    if scale is None:
        values, scale = values - np.float64(low), (high - low) or 1.0
    return np.rint(values * (255.0 / scale))
