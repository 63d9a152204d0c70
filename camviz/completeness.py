"""How much of a picture's data is missing from its file, where a decoder does not say so.

    missing_share(data, "JPEG")     # 0.0, or 0.93 of a file whose data end after its first rows

A JPEG decoder paints grey, a PNG decoder black, where data end too early but are closed properly.
What is cut off without a proper end is refused by the decoders themselves.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

# Any marker in the data of a scan but a restart; 0xFF 0x00 is a byte of the data.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SCAN, _END = 0xDA, 0xD9
# Bytes without any meaning, each part after another restart: a decoder may be waiting for any.
_PART = np.random.default_rng(0).integers(0, 255, 128, np.uint8).tobytes()
_NOISE = _PART + b"".join(bytes([0xFF, 0xD0 + number]) + _PART for number in range(8))
_REDUCTION = 8  # at which a JPEG decoder is quickest: one pixel for each block that it codes
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# First row and column, and their steps, of the passes of an interlaced PNG.
_ADAM7 = (
    (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)
)  # fmt: skip
_CHUNK = 2**18  # bytes that are unpacked at once


def missing_share(data: bytes, kind: str | None) -> float:
    """The share of a picture for which its file has no data; 0 for kinds whose decoders say so.

    data: a file. kind: what PIL calls its format. Damage of another kind is left to the decoder.
    """
    if kind in ("JPEG", "MPO"):
        return _missing_of_jpeg(data)
    return _missing_of_png(data) if kind == "PNG" else 0.0


def _missing_of_jpeg(data: bytes) -> float:
    """The share of the picture from the first place on that noise behind the data changes.

    A decoder skips what follows the last pixel of a scan, and takes it for pixels that are missing.
    """
    noisy = _with_noise(data)
    if noisy is None:
        return 0.0
    one, other = _reduced(data), _reduced(noisy)
    differs = (one != other).ravel()
    return 1 - float(differs.argmax()) / differs.size if differs.any() else 0.0


def _with_noise(data: bytes) -> bytes | None:
    """A JPEG file up to its end, noise behind the data of each scan; None if it has no end."""
    parts, start, place = [], 0, 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        kind = data[place + 1]
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
        if kind != _SCAN:
            continue
        found = _MARKER.search(data, place)
        if found is None:
            return None
        place = found.start()
        parts += [data[start:place], _NOISE]
        start = place
        if data[place + 1] == _END:
            return b"".join(parts) + data[place : place + 2]
    return None


def _reduced(data: bytes) -> np.ndarray:
    """A JPEG picture at an eighth of its width and height, in grey where that is quicker."""
    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    image.draft("L", (image.width // _REDUCTION, image.height // _REDUCTION))
    return np.asarray(image)


def _missing_of_png(data: bytes) -> float:
    """The share of the bytes of all rows that the file's compressed data do not give."""
    header: bytes | None = None
    unpack = zlib.decompressobj()
    found = 0
    for kind, content in _chunks(data):
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            found += _unpacked(unpack, content)
        elif found:
            break
    if header is None or len(header) != 13:
        return 0.0
    return max(0.0, 1 - found / _bytes_of_png(*struct.unpack(">IIBBBBB", header)))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of the chunks of a PNG file."""
    place = 8
    while place + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


def _unpacked(unpack: "zlib._Decompress", content: bytes) -> int:
    """How many bytes compressed ones give; nothing of them is kept."""
    found = 0
    while content:
        found += len(unpack.decompress(content, _CHUNK))
        content = unpack.unconsumed_tail
    return found


def _bytes_of_png(
    width: int, height: int, depth: int, color: int, _packing: int, _filter: int, interlaced: int
) -> int:
    """The bytes of all rows of a picture, each with the byte that says how it is filtered."""
    bits = depth * _PNG_CHANNELS.get(color, 1)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for top, left, down, across in passes:
        rows, columns = -((top - height) // down), -((left - width) // across)
        if columns > 0:
            total += max(rows, 0) * (1 + (columns * bits + 7) // 8)
    return max(total, 1)
