"""Augmentation of training pictures: crop, backdrop, light, and blending of two pictures."""

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.corpus import POOL, Pictures
from training.recipes import Recipe


def random_boxes(count: int, area: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Random boxes, (count, 4): centre x, y, half width and height; the whole is (0, 0, 1, 1)."""
    share, ratio, x, y = torch.rand(4, count, generator=generator)
    share = area[0] + (area[1] - area[0]) * share
    stretch = torch.exp((ratio - 0.5) * 2 * math.log(4 / 3)).sqrt()
    half = torch.stack([share.sqrt() * stretch, share.sqrt() / stretch]).clamp(max=1)
    centre = (torch.stack([x, y]) * 2 - 1) * (1 - half)
    return torch.cat([centre, half]).T


def crop(pixels: Tensor, box: Tensor, size: int, turn: Tensor | None = None) -> Tensor:
    """The pixels of each box, turned by `turn` radians, as (N, C, size, size) in [0, 1]."""
    x, y, wide, high = box.T
    turn = torch.zeros_like(x) if turn is None else turn
    cos, sin = turn.cos(), turn.sin()
    rows = [
        torch.stack([wide * cos, -high * sin, x], 1),
        torch.stack([wide.abs() * sin, high * cos, y], 1),
    ]
    grid = F.affine_grid(
        torch.stack(rows, 1).to(pixels.device),
        [len(box), pixels.shape[1], size, size],
        align_corners=False,
    )
    return F.grid_sample(pixels.float() / 255, grid, padding_mode="reflection", align_corners=False)


def _clouds(count: int, size: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Coloured clouds, (count, 3, size, size) in [0, 1]."""
    total = torch.zeros(count, 3, size, size, device=device)
    for cells, height in ((2, 1.0), (6, 0.5), (24, 0.4)):
        coarse = torch.rand(count, 3, cells, cells, generator=generator) - 0.5
        total += height * F.interpolate(coarse.to(device), size=(size, size), mode="bilinear")
    return (total + 0.5).clamp(0, 1)


def draw_textures(count: int, seed: int, size: int = POOL) -> Tensor:
    """Walls, floors and heaps of nothing in particular, uint8 (count, 3, size, size).

    A network trained on eight backgrounds takes the arches of a ninth for church windows. With
    these it learns that bricks, stripes and blobs of any colour mean nothing.
    """
    rng = np.random.default_rng(seed)
    bank = np.empty((count, 3, size, size), np.uint8)
    for i in range(count):
        picture = _texture(rng, size)
        if rng.random() < 0.6:  # a wall and a floor
            horizon = rng.integers(size // 4, 3 * size // 4)
            picture[horizon:] = _texture(rng, size)[horizon:]
        picture *= 1 + rng.normal(0, rng.uniform(0, 0.12), (size, size, 1))
        blurred = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.2))
        bank[i] = np.clip(blurred, 0, 255).astype(np.uint8).transpose(2, 0, 1)
    return torch.from_numpy(bank)


def _texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """One material, float32 (size, size, 3) in 0 to 255: tiles, stripes, or blobs on each other."""
    base, spread = rng.uniform(20, 235, 3), rng.uniform(5, 60)

    def color() -> list[float]:
        return [float(v) for v in np.clip(base + rng.normal(0, spread, 3), 0, 255)]

    picture = np.full((size, size, 3), color(), np.float32)
    kind = rng.integers(3)
    if kind == 0:  # stones, bricks, windows, arches
        wide, high = (int(v) for v in rng.integers(6, 48, 2))
        share, round_, shift = rng.uniform(0.4, 0.95), rng.integers(3), rng.random()
        for row, y in enumerate(range(-high, size + high, high)):
            for x in range(-wide, size + wide, wide):
                left = int(x + (row % 2) * shift * wide)
                right, bottom = left + int(share * wide), y + int(share * high)
                middle, half = (left + right) // 2, max(1, (right - left) // 2)
                ink = color()
                if round_ == 0:
                    axes = (half, max(1, (bottom - y) // 2))
                    cv2.ellipse(picture, (middle, (y + bottom) // 2), axes, 0, 0, 360, ink, -1)
                    continue
                cv2.rectangle(picture, (left, y), (right, bottom), ink, -1)
                if round_ == 1:
                    cv2.circle(picture, (middle, y), half, ink, -1)
    elif kind == 1:
        angle, wave, bend = rng.uniform(0, math.pi), rng.uniform(4, 40), rng.uniform(0, 6)
        y, x = np.mgrid[:size, :size].astype(np.float32)
        along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle)
        phase = along * 2 * math.pi / wave + bend * np.sin(across / rng.uniform(8, 40))
        picture += (np.sin(phase)[..., None] > rng.uniform(-0.8, 0.8)) * (color() - base)
    else:
        for _ in range(int(rng.integers(20, 150))):
            x, y = (int(v) for v in rng.integers(0, size, 2))
            a, b = (int(v) for v in rng.integers(2, rng.integers(5, 40), 2))
            turn, ink = float(rng.uniform(0, 180)), color()
            if rng.random() < 0.5:
                cv2.ellipse(picture, (x, y), (a, b), turn, 0, 360, ink, -1, cv2.LINE_AA)
            else:
                corners = cv2.boxPoints(((x, y), (2 * a, 2 * b), turn))
                cv2.fillPoly(picture, [corners.astype(np.int32)], ink, cv2.LINE_AA)
    return picture


def augment(
    pictures: Pictures,
    index: Tensor,
    box: Tensor,
    size: int,
    recipe: Recipe,
    generator: torch.Generator,
    bank: Tensor | None = None,
) -> Tensor:
    """Training pictures, (N, 3, size, size) in [0, 1]: cropped, another wall, another light.

    bank: from `draw_textures`, to be set behind the things now and then.
    """
    device = pictures.pixels.device
    count = len(index)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    def pick(share: float) -> Tensor:
        return (torch.rand(count, generator=generator) < share).nonzero().squeeze(1)

    box = box.clone()
    box[pick(0.5), 2] *= -1  # a negative width is a mirror
    turn = recipe.turn * torch.randn(count, generator=generator)
    views = crop(pictures.pixels[index.to(device)], box, size, turn)
    picture, wall = views[:, :3], views[:, 3:]

    if recipe.backdrop:
        # Half of the new backdrops are clouds, half the corner of another picture.
        behind = _clouds(count, size, generator, device)
        half = pick(0.5)
        other = torch.randint(len(pictures), (len(half),), generator=generator)
        corner = random_boxes(len(half), (0.05, 0.15), generator)
        corner[:, :2] = corner[:, :2].sign() * (1 - corner[:, 2:])
        if len(half):
            photos = pictures.pixels[other.to(device), :3]
            behind[half.to(device)] = crop(photos, corner, size)
        drawn = pick(0.6 if bank is not None else 0.0)
        if bank is not None and len(drawn):
            other = torch.randint(len(bank), (len(drawn),), generator=generator)
            part = random_boxes(len(drawn), (0.1, 1.0), generator)
            tilt = 0.3 * torch.randn(len(drawn), generator=generator)
            behind[drawn.to(device)] = crop(bank[other.to(device)], part, size, tilt)
        swap = torch.zeros(count, 1, 1, 1)
        swap[pick(recipe.backdrop)] = 1
        wall = wall * swap.to(device)
        picture = picture * (1 - wall) + behind * wall

    # One 3x3 matrix for each picture: saturation, contrast and a tint; grey now and then, because
    # where all pictures of a class are grey, grey would become the class.
    saturation = uniform(0.4, 1.6, count, 1, 1)
    saturation[pick(0.12)] = 0
    grey = torch.tensor([0.299, 0.587, 0.114]).expand(3, 3)
    mixing = saturation * torch.eye(3) + (1 - saturation) * grey
    mixing = (
        mixing
        * uniform(0.6, 1.4, count, 1, 1)
        * uniform(1 - recipe.tint, 1 + recipe.tint, count, 3, 1)
    )
    mixing = mixing.to(device)
    mean = picture.mean((2, 3))
    shift = mean * uniform(0.7, 1.3, count, 1).to(device) - (mixing @ mean[..., None])[..., 0]
    picture = torch.baddbmm(shift[..., None], mixing, picture.flatten(2)).view_as(picture)
    soft = pick(0.2).to(device)
    if len(soft):
        picture[soft] = F.avg_pool2d(picture[soft], 3, 1, 1, count_include_pad=False)
    return picture.clamp(0, 1)


def blend(
    picture: Tensor, recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, Tensor, float]:
    """CutMix, MixUp or neither: the batch, who was mixed into whom, and the share each one keeps.

    Yun et al., "CutMix", ICCV 2019; Zhang et al., "mixup", ICLR 2018.
    """
    kind, draw, x, y = torch.rand(4, generator=generator).tolist()
    partner = torch.randperm(len(picture), generator=generator).to(picture.device)
    if kind < recipe.cutmix:
        size = picture.shape[-1]
        side = round(size * math.sqrt(draw * 0.6))
        left, top = round(x * (size - side)), round(y * (size - side))
        picture = picture.clone()
        area = (..., slice(top, top + side), slice(left, left + side))
        picture[area] = picture[partner][area]
        return picture, partner, 1 - (side / size) ** 2
    if kind < recipe.cutmix + recipe.mixup:
        share = 0.5 + draw / 2
        return share * picture + (1 - share) * picture[partner], partner, share
    return picture, partner, 1.0
