"""Pictures: from a file, an image or an array to upright, opaque pixels.

    picture = open_picture("cat.jpg")   # uint8 RGB of its own size

A file is recognised by its content, never by its name. Its size is read from the header and
refused there, so that a decompression bomb is never unpacked. Embedded colour profiles are
ignored, as every ImageNet pipeline ignores them: networks are trained on bare numbers. The largest
JPEG files, of telephones mostly, are decoded at half their width and height.
"""

import hashlib
import io
import math
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError, features

from camviz.completeness import missing_share
from camviz.errors import ImageError, one_line
from camviz.files import legible, shown_name, user_path
from camviz.multichannel import read_channels
from camviz.rgb import orientation, to_rgb

MAX_PIXELS = 50_000_000
MAX_SIDE = 32_767  # pixels, of either side: what browsers draw at most
MAX_BYTES = 40_000_000
# A JPEG file may have more pixels: it is decoded at half its width and height if it has more than
# the first of these, and refused if it has more than the second.
EXACT_JPEG_PIXELS = 40_000_000
MAX_JPEG_PIXELS = 110_000_000
MIN_SIDE = 8
MAX_CHANNELS = 64  # of an array
MOST_MISSING = 0.01  # of a picture, for which its file has no data

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_NPY = b"\x93NUMPY"
_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
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


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright, opaque colour picture. Two pictures are equal when their pixels are.

    pixels: uint8 (H, W, 3) RGB, read-only.  channels: uint8 (H, W, C) of a picture that was given
    as an array of 2, 4 or more channels, for networks that take so many; None of any other.
    `pixels` are what is shown of it: its first three channels, and of four the colours on white.
    name: for display, "" if unknown.  reduction: 2 if a JPEG file of more than 40 million pixels
    was decoded at half its width and height, else 1: size, digest, maps and boxes are all those of
    `pixels`.  own_size: (H, W) of such a file, upright; None of any other.  Made by `open_picture`.
    """

    pixels: np.ndarray = field(repr=False)
    name: str = ""
    reduction: int = 1
    channels: np.ndarray | None = field(default=None, repr=False)
    own_size: tuple[int, int] | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of shape and pixels, or of the channels, in hex."""
        whole = self.pixels if self.channels is None else self.channels
        digest = hashlib.sha256(repr(whole.shape).encode())
        digest.update(whole.data)
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Picture) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def nbytes(self) -> int:
        """The bytes of its pixels, and of further channels."""
        return self.pixels.nbytes + (0 if self.channels is None else self.channels.nbytes)

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        return self.pixels.shape[1]


PictureSource: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Picture"


def open_picture(source: PictureSource, *, name: str | None = None) -> Picture:
    """A picture from a path, the bytes of a file, a PIL image, a uint8 array or another Picture.

    Arrays, in memory or in a .npy file, are (H, W) grey, (H, W, 3) RGB, (H, W, 4) RGBA or (H, W, C)
    for a network that takes C channels (`Picture.channels`), as is a TIFF file of two or more than
    four channels (`read_channels`). EXIF orientation is applied,
    transparency is laid on white, CMYK becomes RGB, an animation gives its first frame.
    16-bit grey is scaled from its full range. Numbers without a stated range (32-bit integers
    and floats) are read on the smallest usual scale that holds them (0..1 for floats, 0..255,
    0..65535), or else stretched from their least to their greatest.

    `name` is for display (`shown_name`); a path names itself. Whatever cannot be opened is an
    `ImageError`.
    """
    if isinstance(source, Picture):
        return source if name is None else replace(source, name=shown_name(name))
    if isinstance(source, (str, os.PathLike)):
        path = _local(source)
        return _from_bytes(_read(path), shown_name(path.name if name is None else name))
    name = shown_name(name or "")
    if isinstance(source, bytes):
        return _from_bytes(source, name)
    if isinstance(source, Image.Image):
        return _picture(_from_pil(source, _quote(name)), 1, name)
    if isinstance(source, np.ndarray):
        return _picture_of_array(source, name)
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
            f"'{legible(text[:80])}' is an address ({scheme[1].lower()}), and camviz opens files "
            "only; download the picture and give its path"
        )
    return user_path(source)


def _from_bytes(data: bytes, name: str) -> Picture:
    """The picture in the bytes of a file: an array if it has one, else what PIL decodes."""
    if data.startswith(_NPY) and len(data) <= MAX_BYTES:
        return _picture_of_array(_read_array(data, _quote(name)), name)
    if len(data) <= MAX_BYTES:
        channels = read_channels(data, _quote(name), _check_array)
        if channels is not None:
            return _picture_of_array(channels, name)
    pixels, reduction, own_size = _decode(data, _quote(name))
    return replace(_picture(pixels, reduction, name), own_size=own_size)


def _picture_of_array(array: np.ndarray, name: str) -> Picture:
    pixels = _from_array(array, _quote(name))
    more = array.ndim == 3 and array.shape[2] != 3
    return _picture(pixels, 1, name, array.copy() if more else None)


def _picture(
    pixels: np.ndarray, reduction: int, name: str, channels: np.ndarray | None = None
) -> Picture:
    whole = np.ascontiguousarray(pixels if channels is None else channels)
    pixels = np.ascontiguousarray(pixels)
    for array in (pixels, whole):
        array.flags.writeable = False
    return Picture(pixels, name, reduction, None if channels is None else whole)


def _read_array(data: bytes, what: str) -> np.ndarray:
    """The array of a .npy file. Nothing is unpickled, and nothing made but what can be shown."""
    file = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"numpy\.")  # about headers of Python 2
            read = _NPY_HEADERS[np.lib.format.read_magic(file)]
            shape, by_columns, dtype = read(file)
    except Exception as error:  # the header is text, and may be any
        raise ImageError(
            f"{what} is a .npy file whose header cannot be read ({one_line(error)}); "
            "give an array of uint8, (H, W, channels)"
        ) from error
    _check_array(dtype, shape, what)
    size, start = math.prod(shape), file.tell()
    if size > len(data) - start:
        raise ImageError(
            f"{what} is cut short: {1 - (len(data) - start) / size:.0%} of the array is missing "
            "from the file; download or save it again"
        )
    found = np.frombuffer(data, np.uint8, size, start)
    return found.reshape(shape, order="F" if by_columns else "C")


def _quote(name: str) -> str:
    return f"'{name}'" if name else "the picture"


def _read(path: Path) -> bytes:
    shown = legible(str(path))
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a folder" if path.is_dir() else "not an ordinary file"
            raise ImageError(f"'{shown}' is {kind}; give the path of one picture")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)  # one more than allowed shows that it is too long
    except FileNotFoundError:
        raise ImageError(f"there is no file '{shown}'; check the path") from None
    except (OSError, ValueError) as error:
        raise ImageError(
            f"cannot read '{shown}': {one_line(error)}; check the path and its rights"
        ) from error


def _decode(data: bytes, what: str) -> tuple[np.ndarray, int, tuple[int, int] | None]:
    """uint8 (H, W, 3) from the bytes of a file, by what its sides were divided, and its own size.

    The last is None if they were divided by 1."""
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
            if brand is not None:
                raise ImageError(
                    f"{what} begins as an {brand} picture and is none further on; it looks damaged "
                    "or cut short: download or save it again"
                ) from error
            raise ImageError(f"{what} is {_describe(data)}; {_WHAT_WOULD_DO}") from error
        reduction, own_size = 1, None
        is_large = image.format in _JPEG and image.width * image.height > EXACT_JPEG_PIXELS
        _check_size(image.width, image.height, what, MAX_JPEG_PIXELS if is_large else None)
        _check_completeness(data, image.format, what)
        if is_large:
            width, height = image.size
            image.draft(image.mode, (width // 2, height // 2))
            reduction = round(width / image.width)
            if reduction > 1:
                own_size = (width, height) if orientation(image) >= 5 else (height, width)
        return _pixels(image, what), reduction, own_size


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


def _check_array(dtype: np.dtype, shape: tuple[int, ...], what: str) -> None:
    """Raise `ImageError` for an array that is no picture."""
    shaped = len(shape) == 2 or (len(shape) == 3 and 2 <= shape[2] <= MAX_CHANNELS)
    if dtype != np.uint8 or not shaped:
        raise ImageError(
            f"{what} is an array of {one_line(dtype)} of shape {one_line(shape)}; "
            "give uint8 of shape (H, W), (H, W, 3) or (H, W, 4), or (H, W, channels) for a network "
            "that takes so many"
        )
    _check_size(shape[1], shape[0], what)


def _from_array(array: np.ndarray, what: str) -> np.ndarray:
    _check_array(array.dtype, array.shape, what)
    if array.shape[2:] == (3,):
        return array.copy()
    if array.shape[2:] not in ((), (4,)):
        shown = np.zeros((*array.shape[:2], 3), np.uint8)
        shown[..., : array.shape[2]] = array[..., :3]
        return shown
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
            f"{what} cannot be decoded ({one_line(error)}); "
            "it looks damaged or cut short: download or save it again"
        ) from error


def _check_completeness(data: bytes, kind: str | None, what: str) -> None:
    share = missing_share(data, kind)
    if share > MOST_MISSING:
        raise ImageError(
            f"{what} is cut short: {share:.0%} of the picture is missing from the file; "
            "download or save it again"
        )


def _check_size(width: int, height: int, what: str, most: int | None = None) -> None:
    most = most or MAX_PIXELS
    if width * height > most:
        raise _too_large(what, f"{width} x {height} pixels", most)
    if max(width, height) > MAX_SIDE:
        raise ImageError(
            f"{what} is too long ({width} x {height} pixels); a side has at most {MAX_SIDE:,} "
            "pixels: scale it down, or cut it into parts"
        )
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
