"""TIFF files of two or more than four channels, as cameras on drones and satellites write them.

PIL reads grey pictures and colours only. Compressed ones are refused: how much a strip holds is
known after it has been unpacked only, and it may be a thousand times the file.
"""

import io
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile

from camviz.errors import ImageError, one_line
from camviz.rgb import from_16_bits, on_usual_scale

_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are of files beyond 4 GB
_COLOURS = (1, 3, 4)  # channels of what PIL reads
# What is wrong with a file is said in an error, not line by line in a server's log.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_COMPRESSED = "save it without compression, or as a .npy file"


def read_channels(
    data: bytes, what: str, check: Callable[[np.dtype, tuple[int, ...], str], None]
) -> np.ndarray | None:
    """uint8 (H, W, C) of the first page, or None if it is grey, coloured or no TIFF file.

    Whole numbers of 8 or 16 bits are scaled from their full range, others as `on_usual_scale`
    does, all channels alike.

    what: how errors call it. check: raises an error for an array that is no picture, by its type,
    shape and name, before it is made. Raises `ImageError` for a compressed or damaged file.
    """
    if not data.startswith(_BEGINNINGS):
        return None
    try:
        page = tifffile.TiffFile(io.BytesIO(data)).pages[0]
        if page.samplesperpixel in _COLOURS:
            return None
        shape = (int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel))
        kind, size = getattr(page.compression, "name", page.compression), int(page.nbytes)
    except Exception:  # a damaged file can raise nearly anything; PIL says what is wrong
        return None
    check(np.dtype(np.uint8), shape, what)
    if page.compression != 1:
        raise ImageError(
            f"{what} is a TIFF picture of {shape[2]} channels, compressed ({kind}); {_COMPRESSED}"
        )
    if size > len(data):
        raise ImageError(
            f"{what} is cut short: {1 - len(data) / size:.0%} of the picture is missing "
            "from the file; download or save it again"
        )
    return _to_bytes(_decoded(page, shape, what), what)


def _decoded(page: Any, shape: tuple[int, int, int], what: str) -> np.ndarray:
    """(H, W, C) of whatever type the file has."""
    try:
        values = page.asarray()
        if page.axes == "SYX":
            values = values.transpose(1, 2, 0)
        return values.reshape(shape)
    except Exception as error:  # a damaged file can raise nearly anything
        raise ImageError(
            f"{what} is a TIFF picture of {shape[2]} channels that cannot be decoded "
            f"({one_line(error)}); save it again, or as a .npy file"
        ) from error


def _to_bytes(values: np.ndarray, what: str) -> np.ndarray:
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype == np.uint16:
        return from_16_bits(values)
    if values.dtype.kind not in "iuf":
        raise ImageError(
            f"{what} has pixels of type {values.dtype}; save it with whole numbers or floats"
        )
    return on_usual_scale(values, what).astype(np.uint8)
