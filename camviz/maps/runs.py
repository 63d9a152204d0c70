"""Masks as short texts, for links: the lengths of runs, row after row.

    text = write_mask(mask)          # "224x168.YgOSAw..."
    mask = read_mask(text)           # bool (168, 224)

The text is WIDTHxHEIGHT, a dot, and base64 (URL-safe, without padding) of the lengths of runs that
are in turn outside and inside of the mask, the first one outside. A length is written in groups of
seven bits, the lowest first; all groups but its last have the eighth bit set.
"""

import base64
import binascii
import re

import numpy as np

MOST_SIDE = 512  # pixels of a mask that is read
_FORM = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,3})\.([A-Za-z0-9_-]*)")


def write_mask(mask: np.ndarray) -> str:
    """A mask, bool (h, w), as text."""
    height, width = mask.shape
    flat = mask.ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    lengths = np.diff(np.concatenate([[0], changes, [flat.size]]))
    data = bytearray()
    for length in lengths.tolist():
        while length >= 128:
            data.append(length & 127 | 128)
            length >>= 7
        data.append(length)
    return f"{width}x{height}.{base64.urlsafe_b64encode(data).decode().rstrip('=')}"


def read_mask(text: str) -> np.ndarray:
    """The mask of a text, bool (h, w). Raises ValueError for a text that is none."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("a mask is written as WIDTHxHEIGHT.RUNS")
    width, height = int(found[1]), int(found[2])
    if max(width, height) > MOST_SIDE:
        raise ValueError(f"a mask has at most {MOST_SIDE} pixels a side, not {width} x {height}")
    try:
        data = base64.urlsafe_b64decode(found[3] + "=" * (-len(found[3]) % 4))
    except binascii.Error:
        raise ValueError("the runs of a mask are base64") from None
    lengths = _lengths(data)
    if sum(lengths) != width * height:
        raise ValueError(f"the runs of a mask of {width} x {height} do not fill it")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(height, width)


def _lengths(data: bytes) -> list[int]:
    lengths, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            lengths.append(value)
            value = shift = 0
        elif shift > 21:
            raise ValueError("a run of a mask is longer than any mask")
    if shift:
        raise ValueError("the last run of a mask is cut off")
    return lengths


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask at another size: each pixel as the one of the mask that its centre lies in."""
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)
    return mask[rows][:, columns]
