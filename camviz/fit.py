"""A picture as the input of a network, and the geometry between the two.

pixels, fit = fit_picture(picture, (224, 224))   # uint8 (224, 224, 3), and its geometry
x = to_tensor(pixels, mean, std)                 # float32 (1, 3, 224, 224)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camviz.errors import ImageError
from camviz.images import Picture

MOST_SCALED = 16_000_000  # pixels of a picture before it is cropped
FIT_MODES = ("stretch", "pad", "crop")
CROP_MODES = ("center", "squash", "border")
INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


@dataclass(frozen=True)
class Fit:
    """The geometry between a picture and the network's input, by which maps are drawn on it.

    mode: one of `FIT_MODES`.  picture_size: (H, W).  input_size: (h, w).
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

    def visible_mask(self, part: slice = slice(None)) -> np.ndarray:
        """bool (H, W): the pixels of the picture whose centre lies in the input.

        part: some rows of the picture only.
        """
        rows, columns = self.visible_axes
        return np.outer(rows[part], columns)

    @property
    def visible_share(self) -> float:
        """The share of the picture's pixels that `visible_mask` holds."""
        rows, columns = self.visible_axes
        return float(rows.mean() * columns.mean())

    def extent(self, axis: int) -> tuple[float, float]:
        """The part of the picture that the input shows along one axis, 0 for rows."""
        x0, y0, x1, y1 = self.rect
        return ((y0, y1), (x0, x1))[axis]

    @property
    def visible_axes(self) -> tuple[np.ndarray, np.ndarray]:
        """bool (H,) and (W,): the rows and the columns whose centre lies in the input."""
        x0, y0, x1, y1 = self.rect
        height, width = self.picture_size
        x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
        return (y >= y0) & (y < y1), (x >= x0) & (x < x1)


def fit_picture(
    picture: Picture,
    input_size: tuple[int, int],
    *,
    mode: str = "stretch",
    interpolation: str = "bicubic",
    crop_pct: float = 0.875,
    crop_mode: str = "center",
    mean: Sequence[float] = (0.485, 0.456, 0.406),
    channels: int = 3,
) -> tuple[np.ndarray, Fit]:
    """The picture at the network's input size, uint8 (h, w, 3), and its geometry.

    channels: of a picture that has so many (`Picture.channels`) all of them, (h, w, channels).
    "stretch" shows the whole picture, its sides scaled independently. "pad" shows the whole picture
    in its own shape, centred, the rest in the colour `mean`. "crop" is timm's evaluation transform
    to the bit: resize to input / crop_pct, then cut the centre out. `crop_mode` chooses the resize:
    "center" the shorter edge, "squash" both edges, "border" the longer edge, padded with the colour
    `mean` (on the scale 0..1).

    Source: timm, `timm.data.transforms_factory.transforms_imagenet_eval`.
    """
    _check_choice("fit", mode, FIT_MODES)
    _check_choice("crop mode", crop_mode, CROP_MODES)
    _check_choice("interpolation", interpolation, INTERPOLATIONS)
    height, width = input_size
    if mode == "stretch":
        scaled_height, scaled_width = height, width
    elif mode == "pad":
        scale = min(height / picture.height, width / picture.width)
        scaled_height = max(1, round(picture.height * scale))
        scaled_width = max(1, round(picture.width * scale))
    else:
        scaled_height, scaled_width = _scaled_size(picture, input_size, crop_pct, crop_mode)
    if scaled_height * scaled_width > MOST_SCALED:
        raise ImageError(
            f"'{picture.name}' is {picture.width} x {picture.height} pixels, too long and "
            f"narrow to crop: it would first grow to {scaled_width} x {scaled_height}; "
            "use fit 'stretch', or cut it yourself"
        )

    left, top = _offset(scaled_width, width), _offset(scaled_height, height)
    grey = mode == "pad" or crop_mode == "border"
    colour = [round(255 * v) for v in mean] if grey else [0]
    padding = colour if len(colour) == channels else colour[:1] * channels

    def place(pixels: np.ndarray, ground: Any) -> np.ndarray:
        image = Image.fromarray(pixels)
        size = (scaled_width, scaled_height)
        shown = Image.new(image.mode, (width, height), ground)
        shown.paste(image.resize(size, INTERPOLATIONS[interpolation]), (-left, -top))
        return np.array(shown)

    if channels == 3 or picture.channels is None:
        pixels = place(picture.pixels, tuple(padding))
    else:  # PIL knows no picture of so many channels: one after the other
        bands = np.moveaxis(picture.channels, 2, 0)
        pixels = np.stack([place(*each) for each in zip(bands, padding, strict=True)], axis=2)

    rect = (
        left * picture.width / scaled_width,
        top * picture.height / scaled_height,
        (left + width) * picture.width / scaled_width,
        (top + height) * picture.height / scaled_height,
    )
    fit = Fit(mode, (picture.height, picture.width), (height, width), rect)
    return pixels, fit


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

    pixels: uint8 (h, w, C).  Returns float32 (1, C, h, w), equal to the bit to what torchvision's
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
