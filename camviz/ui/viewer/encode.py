"""From arrays to text: pictures and masks as data URLs, maps as base64 of bytes."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from camviz.engine.cache import LRUCache
from camviz.images import Picture
from camviz.maps.render import color_table

LONGEST = 1200  # pixels of the longer side at which a picture is sent
MOST_BYTES = 300_000  # of the encoded picture
QUALITY = 84
_LEAST = 300  # pixels of the longer side below which nothing is made smaller


_encoded: LRUCache[str] = LRUCache(8)  # by digest: pictures themselves are large


def encode_picture(picture: Picture) -> str:
    """A picture as a data URL, at most `LONGEST` a side and, by and large, `MOST_BYTES` long."""
    return _encoded.get(picture.digest) or _encoded.put(picture.digest, _encode(picture))


def _encode(picture: Picture) -> str:
    longest = LONGEST
    while True:
        image = Image.fromarray(picture.pixels)
        if max(image.size) > longest:
            scale = longest / max(image.size)
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(size, reducing_gap=2.0)
        file = io.BytesIO()
        image.save(file, "WEBP", quality=QUALITY, method=0)
        if file.tell() <= MOST_BYTES or longest < _LEAST:
            return f"data:image/webp;base64,{to_base64(file.getvalue())}"
        longest = int(min(longest, max(image.size)) * 0.8)


def encode_pixels(pixels: np.ndarray) -> str:
    """A mask, bool (H, W), or uint8 (H, W) or (H, W, 3) as a data URL, every pixel exactly."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{to_base64(file.getvalue())}"


def encode_map(heat: np.ndarray) -> str:
    """Values in [0, 1] as base64 of bytes 0 .. 255, each within half a step."""
    return to_base64(np.rint(heat * 255).astype(np.uint8).tobytes())


def encode_colors(name: str) -> str:
    """A colour map as base64 of 256 RGB triples."""
    return to_base64(color_table(name).tobytes())


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def number(value: Any) -> float:
    """A float32 without the digits that it does not have."""
    return float(f"{float(value):.8g}")
