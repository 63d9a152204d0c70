"""Pictures: from a file, an image or an array to upright, opaque pixels.

    picture = open_picture("cat.jpg")   # uint8 RGB of its own size

A file is recognised by its content, never by its name. Its size is read from the header and
refused there, so that a decompression bomb is never unpacked. Embedded colour profiles are
ignored, as every ImageNet pipeline ignores them: networks are trained on bare numbers. The largest
JPEG files, of telephones mostly, are decoded at half their width and height.
"""

import hashlib
import io
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError, features

from camviz.errors import ImageError
from camviz.files import user_path
from camviz.rgb import to_rgb

MAX_PIXELS = 50_000_000
MAX_BYTES = 40_000_000
# A JPEG file may have more pixels: it is decoded at half its width and height if it has more than
# the first of these, and refused if it has more than the second.
EXACT_JPEG_PIXELS = 40_000_000
MAX_JPEG_PIXELS = 110_000_000
MIN_SIDE = 8

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_JPEG = ("JPEG", "MPO")  # the latter holds several, as telephones make them
_WHAT_WOULD_DO = "give a JPEG, PNG, WebP, GIF, BMP or TIFF picture"

# Files that are uploaded by mistake, by what stands near their beginning (in lower case).
_NOT_PICTURES = {
    b"<svg": "an SVG drawing",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML document",
    b"%pdf": "a PDF document",
    b"jp  \r\n\x87\n": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51".lower(): "a JPEG 2000 picture",
    b"jxl \r\n\x87\n": "a JPEG XL picture",
    b"ftyp": "a video",
    b"pk\x03\x04": "a zip archive",
    b"8bps": "a Photoshop document",
}
# What a file that begins with "ftyp" and one of these brands is.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIC"),
    **dict.fromkeys((b"mif1", b"msf1"), "HEIC"),
}


@dataclass(frozen=True)
class Picture:
    """An upright, opaque colour picture. Two pictures are equal when their pixels are.

    pixels: uint8 (H, W, 3) RGB, read-only.  digest: SHA-256 of shape and pixels, in hex.
    name: for display, "" if unknown.  reduction: 2 if a JPEG file of more than 40 million pixels
    was decoded at half its width and height, else 1: size, digest, maps and boxes are all those of
    `pixels`.  Made by `open_picture`.
    """

    pixels: np.ndarray = field(compare=False, repr=False)
    digest: str
    name: str = field(default="", compare=False)
    reduction: int = field(default=1, compare=False)

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        return self.pixels.shape[1]


PictureSource: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Picture"


def open_picture(source: PictureSource, *, name: str | None = None) -> Picture:
    """A picture from a path, the bytes of a file, a PIL image, a uint8 array or another Picture.

    Arrays are (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA. EXIF orientation is applied,
    transparency is laid on white, CMYK becomes RGB, an animation gives its first frame.
    16-bit grey is scaled from its full range. Numbers without a stated range (32-bit integers
    and floats) are read on the smallest usual scale that holds them (0..1 for floats, 0..255,
    0..65535), or else stretched from their least to their greatest.

    `name` is for display; a path names itself. Whatever cannot be opened is an `ImageError`.
    """
    if isinstance(source, Picture):
        return source if name is None else replace(source, name=name)
    if isinstance(source, (str, os.PathLike)):
        path = _local(source)
        name = path.name if name is None else name
        return _picture(*_decode(_read(path), _quote(name)), name)
    name = name or ""
    if isinstance(source, bytes):
        return _picture(*_decode(source, _quote(name)), name)
    if isinstance(source, Image.Image):
        return _picture(_from_pil(source, _quote(name)), 1, name)
    if isinstance(source, np.ndarray):
        return _picture(_from_array(source, _quote(name)), 1, name)
    raise ImageError(
        f"cannot open a {type(source).__name__} as a picture; "
        "give a path, bytes, a PIL image or a uint8 array"
    )


def _local(source: "str | os.PathLike[str]") -> Path:
    """The path of a picture, "~" replaced. Raises `ImageError` for an address on the web."""
    text = os.fspath(source)
    scheme = (
        re.match(r"(?i)(https?|ftp|s3|gs|data|file|hf):", text) if isinstance(text, str) else None
    )
    if scheme:
        raise ImageError(
            f"'{text[:80]}' is an address ({scheme[1].lower()}), and camviz opens files only; "
            "download the picture and give its path"
        )
    return user_path(source)


def _picture(pixels: np.ndarray, reduction: int, name: str) -> Picture:
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.data)
    return Picture(pixels, digest.hexdigest(), name, reduction)


def _quote(name: str) -> str:
    return f"'{name}'" if name else "the picture"


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a folder" if path.is_dir() else "not an ordinary file"
            raise ImageError(f"'{path}' is {kind}; give the path of one picture")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)  # one more than allowed shows that it is too long
    except FileNotFoundError:
        raise ImageError(f"there is no file '{path}'; check the path") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot read '{path}': {error}; check the path and its rights") from error


def _decode(data: bytes, what: str) -> tuple[np.ndarray, int]:
    """uint8 (H, W, 3) from the bytes of a file, and by what its sides were divided."""
    if not data:
        raise ImageError(f"{what} is empty (0 bytes); {_WHAT_WOULD_DO}")
    if len(data) > MAX_BYTES:
        raise ImageError(
            f"{what} is larger than {MAX_BYTES / 1e6:g} MB; scale it down or compress it"
        )
    with _pil_errors_as_ours(what):
        brand = _brand(data)
        formats = _FORMATS if brand is None else (_format_of_brand(brand, what),)
        try:
            image = Image.open(io.BytesIO(data), formats=formats)
        except UnidentifiedImageError as error:
            raise ImageError(f"{what} is {_describe(data)}; {_WHAT_WOULD_DO}") from error
        reduction = 1
        if image.format in _JPEG and image.width * image.height > EXACT_JPEG_PIXELS:
            _check_size(image.width, image.height, what, MAX_JPEG_PIXELS)
            width = image.width
            image.draft(image.mode, (width // 2, image.height // 2))
            reduction = round(width / image.width)
        return _pixels(image, what), reduction


def _brand(data: bytes) -> str | None:
    """ "AVIF" or "HEIC" by the brands in the file's first box, None if it is neither."""
    if data[4:8] != b"ftyp":
        return None
    brands = [data[8:12], *(data[i : i + 4] for i in range(16, min(data[3], 64), 4))]
    found = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    return "AVIF" if "AVIF" in found else found[0] if found else None


def _format_of_brand(brand: str, what: str) -> str:
    """What PIL calls AVIF or HEIC, ready to be read; `ImageError` if it cannot be here."""
    if brand == "AVIF":
        if not features.check("avif"):
            raise ImageError(
                f"{what} is an AVIF picture, which pillow {PIL.__version__} does not read here "
                f"(11.3 and newer do); {_WHAT_WOULD_DO}"
            )
        return "AVIF"
    try:
        plugin = import_module("pillow_heif")
    except ImportError:
        raise ImageError(
            f"{what} is an HEIC picture, which camviz reads with the extra 'heic' only "
            f"(pip install pillow-heif); {_WHAT_WOULD_DO}"
        ) from None
    plugin.register_heif_opener()
    return "HEIF"


def _from_pil(image: Image.Image, what: str) -> np.ndarray:
    # A lazily opened image is still a file: PIL reads many kinds, some through other programs.
    if image.format not in (None, "MPO", "AVIF", "HEIF", *_FORMATS):
        raise ImageError(f"{what} is in {image.format} format; {_WHAT_WOULD_DO}")
    with _pil_errors_as_ours(what):
        return _pixels(image, what)


def _pixels(image: Image.Image, what: str) -> np.ndarray:
    _check_size(image.width, image.height, what)  # before they are decoded
    return to_rgb(image, what)


def _from_array(array: np.ndarray, what: str) -> np.ndarray:
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not shaped:
        raise ImageError(
            f"{what} is a {array.dtype} array of shape {array.shape}; "
            "give uint8 of shape (H, W), (H, W, 3) or (H, W, 4)"
        )
    _check_size(array.shape[1], array.shape[0], what)
    if array.shape[2:] == (3,):
        return array.copy()
    return to_rgb(Image.fromarray(array), what)


@contextmanager
def _pil_errors_as_ours(what: str) -> Iterator[None]:
    """Turn every error of PIL about a damaged or dangerous file into an `ImageError`."""
    try:
        with warnings.catch_warnings():
            # Only PIL's own, about odd metadata or a bomb (which _check_size refuses): filters
            # are shared by all threads, so nothing else may fall silent if two interleave.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        # PIL has read the size but does not pass it on; it raises beyond twice its own limit.
        limit = 2 * Image.MAX_IMAGE_PIXELS / 1e6
        raise _too_large(what, f"more than {limit:.0f} million pixels", MAX_PIXELS) from error
    except Exception as error:  # a damaged file can raise nearly anything
        raise ImageError(
            f"{what} cannot be decoded ({error}); "
            "it looks damaged or cut short: download or save it again"
        ) from error


def _check_size(width: int, height: int, what: str, most: int | None = None) -> None:
    most = most or MAX_PIXELS
    if width * height > most:
        raise _too_large(what, f"{width} x {height} pixels", most)
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"{what} is {width} x {height} pixels, too small to explain; "
            f"give one of at least {MIN_SIDE} x {MIN_SIDE}"
        )


def _too_large(what: str, size: str, most: int) -> ImageError:
    return ImageError(
        f"{what} is too large ({size}); "
        f"at most {most / 1e6:g} million pixels are opened: scale it down first"
    )


def _describe(data: bytes) -> str:
    head = data[:1024].lower()
    for mark, kind in _NOT_PICTURES.items():
        if mark in head:
            return kind
    return f"not a picture, or its header is damaged (it begins with the bytes {data[:8].hex(' ')})"
