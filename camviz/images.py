"""Pictures: from a file, an image or an array to the exact input of a network, and back.

    picture = open_picture("cat.jpg")                # uint8 RGB of its own size, upright, opaque
    pixels, fit = fit_picture(picture, (224, 224))   # uint8 (224, 224, 3), and its geometry
    x = to_tensor(pixels, mean, std)                 # float32 (1, 3, 224, 224)

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

import numpy as np
import PIL
import torch
from PIL import Image, UnidentifiedImageError, features
from torch import Tensor

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

FIT_MODES = ("stretch", "crop")
CROP_MODES = ("center", "squash", "border")
INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}

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


@dataclass(frozen=True)
class Fit:
    """The geometry between a picture and the network's input, by which maps are drawn on it.

    mode: "stretch" or "crop".  picture_size: (H, W).  input_size: (h, w).
    rect: (x0, y0, x1, y1), the part of the picture that the input shows, in picture pixels
    with half-open edges; it reaches beyond the picture where the input is padded. The input
    pixel (i, j) shows the picture around x0 + (j + 1/2) (x1 - x0) / w, and y likewise.
    """

    mode: str
    picture_size: tuple[int, int]
    input_size: tuple[int, int]
    rect: tuple[float, float, float, float]

    @property
    def shows_all(self) -> bool:
        """Whether the input holds the whole picture."""
        x0, y0, x1, y1 = self.rect
        height, width = self.picture_size
        return x0 <= 0 and y0 <= 0 and x1 >= width and y1 >= height

    def scaled_to(self, height: int, width: int) -> "Fit":
        """The same geometry for the picture at another size."""
        down, across = height / self.picture_size[0], width / self.picture_size[1]
        x0, y0, x1, y1 = self.rect
        rect = (x0 * across, y0 * down, x1 * across, y1 * down)
        return replace(self, picture_size=(height, width), rect=rect)

    def visible_mask(self) -> np.ndarray:
        """bool (H, W): the pixels of the picture whose centre lies in the input."""
        x0, y0, x1, y1 = self.rect
        height, width = self.picture_size
        x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
        return np.outer((y >= y0) & (y < y1), (x >= x0) & (x < x1))


def fit_picture(
    picture: Picture,
    input_size: tuple[int, int],
    *,
    mode: str = "stretch",
    interpolation: str = "bicubic",
    crop_pct: float = 0.875,
    crop_mode: str = "center",
    mean: Sequence[float] = (0.485, 0.456, 0.406),
) -> tuple[np.ndarray, Fit]:
    """The picture at the network's input size, uint8 (h, w, 3), and its geometry.

    "stretch" shows the whole picture, its sides scaled independently. "crop" is timm's
    evaluation transform to the bit: resize to input / crop_pct, then cut the centre out.
    `crop_mode` chooses the resize: "center" the shorter edge, "squash" both edges, "border" the
    longer edge, padded with the colour `mean` (on the scale 0..1; nothing else uses it).

    Source: timm, `timm.data.transforms_factory.transforms_imagenet_eval`.
    """
    _check_choice("fit", mode, FIT_MODES)
    _check_choice("crop mode", crop_mode, CROP_MODES)
    _check_choice("interpolation", interpolation, INTERPOLATIONS)
    height, width = input_size
    if mode == "stretch":
        scaled_height, scaled_width = height, width
    else:
        scaled_height, scaled_width = _scaled_size(picture, input_size, crop_pct, crop_mode)
    if scaled_height * scaled_width > MAX_PIXELS:
        raise ImageError(
            f"{_quote(picture.name)} is {picture.width} x {picture.height} pixels, too long and "
            f"narrow to crop: it would first grow to {scaled_width} x {scaled_height}; "
            "use fit 'stretch', or cut it yourself"
        )

    scaled = Image.fromarray(picture.pixels).resize(
        (scaled_width, scaled_height), INTERPOLATIONS[interpolation]
    )
    left, top = _offset(scaled_width, width), _offset(scaled_height, height)
    padding = tuple(round(255 * v) for v in mean) if crop_mode == "border" else (0, 0, 0)
    shown = Image.new("RGB", (width, height), padding)
    shown.paste(scaled, (-left, -top))

    rect = (
        left * picture.width / scaled_width,
        top * picture.height / scaled_height,
        (left + width) * picture.width / scaled_width,
        (top + height) * picture.height / scaled_height,
    )
    fit = Fit(mode, (picture.height, picture.width), (height, width), rect)
    return np.array(shown), fit


def _check_choice(kind: str, given: str, choices: Sequence[str] | dict[str, object]) -> None:
    if given not in choices:
        raise ImageError(f"unknown {kind} '{given}'; choices: {', '.join(choices)}")


def _scaled_size(
    picture: Picture, input_size: tuple[int, int], crop_pct: float, crop_mode: str
) -> tuple[int, int]:
    """(height, width) before the crop, with the roundings of timm and torchvision."""
    height, width = picture.height, picture.width
    target_height, target_width = (math.floor(side / crop_pct) for side in input_size)
    if crop_mode == "squash":
        return target_height, target_width
    if crop_mode == "center" and target_height == target_width:
        # timm leaves this case to torchvision, which truncates where timm itself rounds
        if width <= height:
            return int(target_width * height / width), target_width
        return target_height, int(target_height * width / height)
    ratios = height / target_height, width / target_width
    ratio = max(ratios) if crop_mode == "border" else min(ratios)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def _offset(scaled: int, shown: int) -> int:
    """Where the input begins within the scaled picture; negative where it is padded."""
    return round((scaled - shown) / 2) if scaled >= shown else -((shown - scaled) // 2)


def to_tensor(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """The network's input: (pixels / 255 - mean) / std, channels first.

    pixels: uint8 (h, w, 3).  Returns float32 (1, 3, h, w), equal to the bit to what torchvision's
    ToTensor and Normalize give.
    """
    channels = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32)) / 255
    return ((channels - _per_channel(mean)) / _per_channel(std)).unsqueeze(0)


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3) -> (h, w, 1): the luma of ITU-R 601-2, as PIL's mode "L" has it."""
    return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]


def to_pixels(tensor: Tensor, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """The picture in a network input: the inverse of `to_tensor`, rounded and clipped.

    tensor: (1, 3, h, w), normalised.  Returns uint8 (h, w, 3).
    """
    channels = tensor.cpu().float().squeeze(0) * _per_channel(std) + _per_channel(mean)
    return (channels * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)
