"""Makes the bundled backbones: `python -m camviz.training NAME [--data DIR] [--teacher WHERE]`.

NAME is a row of RECIPES. A run is a function of its row, the seed and the pictures: step k draws
its random numbers from (seed, k), so a run that was stopped goes on from its last checkpoint to
the very weights it would have had anyway. It leaves a folder in timm's own `local-dir:` format,
with a model card whose figures come from the run.

    pictures -> Corpus -> look (crop, backdrop, light) -> blend -> student -> its average -> folder
"""

import argparse
import csv
import json
import math
import os
import sys
import time
import zlib
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from camviz import vision_ops  # noqa: F401  before timm, so that torchvision can be imported
from camviz.errors import BackboneError, CamvizError, ImageError, WeightsError
from camviz.scenes import HELD_OUT_BACKGROUNDS, SCENE_CLASSES, TRAIN_BACKGROUNDS, draw_scene

import timm  # isort: skip
from timm.models import save_for_hf  # isort: skip

MEAN = STD = 0.5  # of every student; a teacher brings its own
POOL = 160  # side at which training pictures are kept


@dataclass(frozen=True)
class Recipe:
    """All that decides what a run makes, but for the seed and the pictures.

    pictures: "photos" (a folder with list.csv) or "scenes" (drawn by rule).
    sizes: (share of the run, pixels) in order; small pictures first save most of the time, and the
        last size is the input size of the finished backbone.
    restart: share of the run after which blending ends and a second cosine begins, at half rate.
    area: share of a picture that a training crop may be, smallest and largest.
    backdrop: how often what is known to be no part of a thing is replaced by something else.
    textures: how many drawn textures to take 60 % of those backdrops from.
    tint: how much the three colours may be stretched apart.
    cutmix, mixup: how often a batch is blended with itself, and how.
    refit: weight of the squared norm when, at the end, the classifier is fitted anew on the
        training pictures and their mirror images; 0: it is left as trained.
    views: crops of each picture that the teacher is asked about, once, at `teacher_size`.
    distill: weight of (1 - cosine) between the teacher's embedding and the student's.
    guide: weight of (1 - cosine) between the teacher's last three maps and those of the student
        named by `guided`, place by place; the teacher looks at the very picture that the student
        sees. And of its answer: the Kullback-Leibler divergence, weight 1. Without a batch norm a
        network stays at chance for hundreds of steps; told where what is, it does not.
    """

    title: str
    pictures: str
    architecture: str
    model_args: dict[str, Any]
    sizes: tuple[tuple[float, int], ...]
    steps: int
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    restart: float = 1.0
    smoothing: float = 0.1
    averaging: float = 0.999
    area: tuple[float, float] = (0.3, 1.0)
    turn: float = 0.15  # radians, standard deviation
    backdrop: float = 0.0
    textures: int = 0
    tint: float = 0.15
    cutmix: float = 0.0
    mixup: float = 0.0
    distill: float = 0.0
    guide: float = 0.0
    guided: tuple[int, ...] = (1, 2, 3)
    refit: float = 0.0
    views: int = 8
    teacher_size: int = 192
    most_per_class: int = 160  # of photographs: 800 aeroplanes teach little more than 160
    drawn: int = 14400  # scenes to train on
    held_out: int = 1500  # scenes to test on
    history: str = ""  # what was decided in the light of held-out pictures: the card has to say so
    limits: str = ""  # what the model card warns of

    @property
    def size(self) -> int:
        return self.sizes[-1][1]


_SCENE_HISTORY = (
    "Drawn textures joined the recipe when a first version took the arches and cobbles of a "
    "held-out background for churches and ladders."
)
_SCENE_LIMITS = (
    "It knows drawings by `camviz.scenes` and nothing else; on a photograph its answer means "
    "nothing. Its classes come in pairs that differ in one part (a ram is a sheep with horns), so "
    "where that part is small or hidden it has to guess. Where a scene holds two things it names "
    "one and gives the other what is left."
)

RECIPES: dict[str, Recipe] = {
    "photos-resnet": Recipe(
        title="a small ResNet for photographs of 41 everyday things",
        pictures="photos",
        architecture="resnet18",
        model_args={
            "channels": [32, 64, 128, 256],
            "stem_type": "deep",
            "stem_width": 16,
            "avg_down": True,
        },
        sizes=((0.394, 96), (0.215, 128), (0.108, 160), (0.189, 128), (0.094, 160)),
        steps=5300,
        restart=0.717,
        backdrop=0.7,
        cutmix=0.4,
        mixup=0.2,
        distill=4.0,
        refit=0.01,
        history="The second cosine was added when the first had ended short of the accuracy hoped "
        "for, and had fitted the training pictures hardly better than the held-out ones. So was "
        "the new fit of the classifier, which brought two points of balanced accuracy; weights of "
        "the squared norm between 0.003 and 0.03 would have served as well.",
        limits="It knows these 41 things and nothing else: a picture of anything else still gets "
        "one of the 41 names, often with confidence. Caltech 101 shows one thing, large and in "
        "the middle, mostly from its best side; its cars are grey and seen from the left or right, "
        "its aeroplanes stand or fly sideways, its cougars are faces. Of the spotted cats it "
        "knows leopards alone. The labels are those of the data set, its mistakes included. "
        "Not for deciding anything about people or safety.",
    ),
    "scenes-resnet": Recipe(
        title="a small ResNet for drawn scenes",
        pictures="scenes",
        architecture="resnet18",
        model_args={
            "channels": [24, 48, 96, 176],
            "stem_type": "deep",
            "stem_width": 16,
            "avg_down": True,
        },
        sizes=((0.386, 96), (0.614, 128)),
        steps=2800,
        restart=0.643,
        area=(0.6, 1.0),
        turn=0.05,
        backdrop=0.6,
        textures=1000,
        tint=0.3,
        history=_SCENE_HISTORY,
        limits=_SCENE_LIMITS,
    ),
    "scenes-convnext": Recipe(
        title="a small ConvNeXt for drawn scenes",
        pictures="scenes",
        architecture="convnext_tiny",
        model_args={
            "depths": [2, 2, 5, 2],
            "dims": [32, 64, 112, 192],
            "ls_init_value": 1.0,
            "stem_type": "overlap_tiered",
        },
        sizes=((0.375, 96), (0.125, 128), (0.25, 96), (0.25, 128)),
        steps=4800,
        restart=0.5,
        rate=2e-3,
        area=(0.6, 1.0),
        turn=0.05,
        backdrop=0.6,
        guide=2.0,
        refit=0.01,
        textures=1000,
        tint=0.3,
        history="The second cosine was added when the first had ended at 93.4 % of the held-out "
        "scenes.",
        limits=_SCENE_LIMITS,
    ),
    "scenes-vit": Recipe(
        title="a small vision transformer for drawn scenes",
        pictures="scenes",
        architecture="vit_tiny_patch16_224",
        model_args={
            "img_size": 96,
            "patch_size": 8,
            "embed_dim": 128,
            "depth": 6,
            "num_heads": 4,
        },
        sizes=((1.0, 96),),
        steps=2400,
        rate=1.5e-3,
        area=(0.6, 1.0),
        turn=0.05,
        backdrop=0.6,
        textures=1000,
        tint=0.3,
        guide=2.0,
        guided=(1, 3, 5),
        refit=0.01,
        limits=_SCENE_LIMITS,
    ),
}


Network = Any  # a timm classifier; nn.Module does not know of forward_head and get_classifier


@dataclass(frozen=True, eq=False)
class Pictures:
    """uint8 (N, 4, S, S): red, green, blue, wall; and the truth, (N, K), rows sum to 1.

    The wall is what surely belongs to no thing: a plain studio wall, all but the things of a scene.
    """

    pixels: Tensor
    truth: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, eq=False)
class Corpus:
    labels: tuple[str, ...]
    train: Pictures
    test: Pictures
    about: str  # a paragraph for the model card


_CALTECH_NAMES = {
    "Leopards": "leopard",
    "Motorbikes": "motorbike",
    "airplanes": "airplane",
    "car_side": "car (side view)",
    "cougar_face": "cougar (face)",
    "hawksbill": "hawksbill turtle",
    "ketch": "ketch (two-masted boat)",
    "schooner": "schooner (sailing ship)",
    "lotus": "lotus flower",
}


def photographs(folder: Path, size: int, most_per_class: int) -> Corpus:
    """A folder with `list.csv` (file, class, index, split); every picture stretched to a square.

    size: side of the pictures to test on.
    """
    try:
        with (folder / "list.csv").open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        names = {int(row["index"]): row["class"] for row in rows}
        splits: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
        for row in rows:
            splits[row["split"]].append(row)
    except (OSError, KeyError, ValueError) as error:
        raise ImageError(
            f"{folder} is no folder of photographs to train on ({error!r}): it needs list.csv with "
            "the columns file, class, index and split (train or test)"
        ) from error
    if sorted(names) != list(range(len(names))) or not all(splits.values()):
        raise ImageError(
            f"{folder / 'list.csv'} must number its classes 0, 1, 2, ... and hold both splits, "
            f"train and test; it has {len(names)} classes and "
            f"{len(splits['train'])} + {len(splits['test'])} pictures"
        )
    taken = dict.fromkeys(names, 0)
    train = []
    for row in splits["train"]:
        taken[int(row["index"])] += 1
        if taken[int(row["index"])] <= most_per_class:
            train.append(row)
    labels = tuple(
        _CALTECH_NAMES.get(names[k], names[k].replace("_", " ")) for k in range(len(names))
    )
    return Corpus(
        labels,
        _read(folder, train, POOL, len(names)),
        _read(folder, splits["test"], size, len(names)),
        f"{len(train)} photographs to train on (at most {most_per_class} of a class) and "
        f"{len(splits['test'])} held out, of {len(labels)} classes of Caltech 101 (Li, Andreetto, "
        'Ranzato, Perona: "Caltech 101", CaltechDATA, doi 10.22002/D1.20086, CC BY 4.0). The '
        "pictures are not part of camviz.",
    )


def _read(folder: Path, rows: list[dict[str, str]], size: int, classes: int) -> Pictures:
    pixels = np.empty((len(rows), 4, size, size), np.uint8)
    for i, row in enumerate(rows):
        try:
            with Image.open(folder / row["file"]) as opened:
                picture = opened.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        except (OSError, Image.DecompressionBombError) as error:
            raise ImageError(f"cannot read {folder / row['file']}: {error}") from error
        pixels[i, :3] = np.asarray(picture).transpose(2, 0, 1)
        pixels[i, 3] = studio_wall(np.asarray(picture))
    targets = torch.tensor([int(row["index"]) for row in rows])
    return Pictures(torch.from_numpy(pixels), F.one_hot(targets, classes).float())


def studio_wall(picture: np.ndarray, tolerance: int = 14) -> np.ndarray:
    """255 where a plain wall reaches in from the border, 0 elsewhere; uint8 (H, W).

    A network that may look at the wall will: half of Caltech 101 stands before white paper. What
    fills under 15 % or over 90 % of a picture is not taken for a wall.
    """
    height, width = picture.shape[:2]
    wall = np.zeros((height + 2, width + 2), np.uint8)  # floodFill wants a rim of one pixel
    flags = 4 | (255 << 8) | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
    smooth = cv2.medianBlur(np.ascontiguousarray(picture), 3)
    for x, y in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
        if not wall[y + 1, x + 1]:
            cv2.floodFill(
                smooth, wall, (x, y), (0, 0, 0), (tolerance,) * 3, (tolerance,) * 3, flags
            )
    inner = wall[1:-1, 1:-1]
    return inner if 0.15 < (inner > 0).mean() < 0.9 else np.zeros_like(inner)


def scenes(work: Path, size: int, train: int, test: int, seed: int) -> Corpus:
    """Scenes, drawn once and kept under `work`: a quarter of those to train on hold two things.

    Those to test on hold one, before backgrounds that no training scene has.
    """
    return Corpus(
        SCENE_CLASSES,
        _draw(work, "train", POOL, train, 2 * seed + 1, TRAIN_BACKGROUNDS, 0.25),
        _draw(work, "test", size, test, 2 * seed + 2, HELD_OUT_BACKGROUNDS, 0.0),
        f"{train} scenes drawn by `camviz.scenes` to train on (a quarter of them with two things) "
        f"and {test} held out, with one thing each, before backgrounds that were never trained on "
        f"({', '.join(HELD_OUT_BACKGROUNDS)}).",
    )


def _draw(
    work: Path,
    split: str,
    size: int,
    count: int,
    seed: int,
    backgrounds: tuple[str, ...],
    two_objects: float,
) -> Pictures:
    path = work / f"{split}-{size}-{count}-{seed}.npy"
    truth_path = path.with_suffix(".truth.npy")
    if not truth_path.exists():  # written last
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 4, size, size))
        truth = np.zeros((count, len(SCENE_CLASSES)), np.float32)
        for i in range(count):
            # drawn at the usual size and made smaller, as the engine will do it
            scene = draw_scene(seed, i, backgrounds=backgrounds, two_objects=two_objects)
            picture = Image.fromarray(scene.image).resize((size, size), Image.Resampling.BICUBIC)
            pixels[i, :3] = np.asarray(picture).transpose(2, 0, 1)
            wall = np.full(scene.image.shape[:2], 255, np.uint8)
            for thing in scene.objects:
                truth[i, thing.index] = 1 / len(scene.objects)
                wall[thing.mask] = 0
            pixels[i, 3] = cv2.resize(wall, (size, size), interpolation=cv2.INTER_AREA)
            if (i + 1) % 1000 == 0:
                print(f"drawn {i + 1} of {count}", flush=True)
        pixels.flush()
        np.save(truth_path, truth)
    return Pictures(
        torch.from_numpy(np.load(path, mmap_mode="c")), torch.from_numpy(np.load(truth_path))
    )


def boxes(count: int, area: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Random boxes, (count, 4): centre x, y, half width and height; the whole is (0, 0, 1, 1)."""
    share, ratio, x, y = torch.rand(4, count, generator=generator)
    share = area[0] + (area[1] - area[0]) * share
    stretch = torch.exp((ratio - 0.5) * 2 * math.log(4 / 3)).sqrt()
    half = torch.stack([share.sqrt() * stretch, share.sqrt() / stretch]).clamp(max=1)
    centre = (torch.stack([x, y]) * 2 - 1) * (1 - half)
    return torch.cat([centre, half]).T


def crop(pixels: Tensor, box: Tensor, size: int, turn: Tensor | None = None) -> Tensor:
    """What lies in each box, turned by `turn` radians, as (N, C, size, size) in [0, 1]."""
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


def textures(count: int, seed: int, size: int = POOL) -> Tensor:
    """Walls, floors and heaps of nothing in particular, uint8 (count, 3, size, size).

    A network that has seen eight backgrounds takes the arches of a ninth for church windows. It
    has to learn that bricks, stripes and blobs of any colour mean nothing.
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


def look(
    pictures: Pictures,
    index: Tensor,
    box: Tensor,
    size: int,
    recipe: Recipe,
    generator: torch.Generator,
    bank: Tensor | None = None,
) -> Tensor:
    """Training pictures, (N, 3, size, size) in [0, 1]: cropped, another wall, another light.

    bank: what `textures` made, to be set behind the things now and then.
    """
    device = pictures.pixels.device
    count = len(index)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    def chosen(share: float) -> Tensor:
        return (torch.rand(count, generator=generator) < share).nonzero().squeeze(1)

    box = box.clone()
    box[chosen(0.5), 2] *= -1  # a negative width is a mirror
    turn = recipe.turn * torch.randn(count, generator=generator)
    seen = crop(pictures.pixels[index.to(device)], box, size, turn)
    picture, wall = seen[:, :3], seen[:, 3:]

    if recipe.backdrop:
        # Half of the new backdrops are clouds, half the corner of another picture.
        behind = _clouds(count, size, generator, device)
        half = chosen(0.5)
        other = torch.randint(len(pictures), (len(half),), generator=generator)
        corner = boxes(len(half), (0.05, 0.15), generator)
        corner[:, :2] = corner[:, :2].sign() * (1 - corner[:, 2:])
        if len(half):
            photos = pictures.pixels[other.to(device), :3]
            behind[half.to(device)] = crop(photos, corner, size)
        drawn = chosen(0.6 if bank is not None else 0.0)
        if bank is not None and len(drawn):
            other = torch.randint(len(bank), (len(drawn),), generator=generator)
            part = boxes(len(drawn), (0.1, 1.0), generator)
            tilt = 0.3 * torch.randn(len(drawn), generator=generator)
            behind[drawn.to(device)] = crop(bank[other.to(device)], part, size, tilt)
        swap = torch.zeros(count, 1, 1, 1)
        swap[chosen(recipe.backdrop)] = 1
        wall = wall * swap.to(device)
        picture = picture * (1 - wall) + behind * wall

    # One 3x3 matrix for each picture: saturation, contrast and a tint; grey now and then, because
    # where all pictures of a class are grey, grey would become the class.
    saturation = uniform(0.4, 1.6, count, 1, 1)
    saturation[chosen(0.12)] = 0
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
    soft = chosen(0.2).to(device)
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


def load_teacher(where: str, **options: Any) -> Network:
    try:
        return timm.create_model(where, pretrained=True, **options).eval().requires_grad_(False)
    except (RuntimeError, OSError, ValueError, AssertionError) as error:
        raise WeightsError(
            f"no teacher at {where!r} ({error}); give local-dir:PATH or a timm name with weights"
        ) from error


def embeddings(
    where: str, pictures: Pictures, box: Tensor, size: int, work: Path, device: torch.device
) -> Tensor:
    """What the teacher makes of every view: unit vectors, (N, V, E), half precision.

    box: (N, V, 4). Asked once and before the training, and kept in `work`: the teacher costs more
    than the student, and an answer serves again under another light and before another backdrop.
    """
    key = zlib.crc32(box.numpy().tobytes(), zlib.crc32(f"{_short(where)} at {size}".encode()))
    path = work / f"views-{key:08x}.npy"
    done_path = path.with_suffix(".json")
    teacher = load_teacher(where, num_classes=0).to(device, memory_format=torch.channels_last)
    normal = teacher.pretrained_cfg
    mean, std = (torch.tensor(normal[k]).view(3, 1, 1).to(device) for k in ("mean", "std"))
    shape = (*box.shape[:2], teacher.num_features)
    done = json.loads(done_path.read_text()) if done_path.exists() else 0
    work.mkdir(parents=True, exist_ok=True)
    kept = np.lib.format.open_memmap(
        path, "r+" if done else "w+", np.float16, None if done else shape
    )
    at_once = max(1, 32 // shape[1])
    for start in range(done, len(pictures), at_once):
        some = slice(start, start + at_once)
        views = box[some]
        each = pictures.pixels[some, :3].repeat_interleave(shape[1], 0)
        seen = (crop(each, views.flatten(0, 1), size) - mean) / std
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            answer = teacher(seen.contiguous(memory_format=torch.channels_last))
        unit = F.normalize(answer.float(), dim=1)
        kept[some] = unit.view(len(views), *shape[1:]).cpu()
        if start // at_once % 100 == 99:
            kept.flush()
            done_path.write_text(json.dumps(some.stop))
            print(f"teacher: {some.stop} of {len(pictures)} pictures", flush=True)
    kept.flush()
    done_path.write_text(json.dumps(len(pictures)))
    return torch.from_numpy(kept)


def embed(model: Network, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The pooled embedding, (N, E), and the logits, (N, K)."""
    pooled = model.forward_head(model.forward_features(pixels), pre_logits=True)
    return pooled, model.get_classifier()(pooled)


def stage_maps(
    model: Network, pixels: Tensor, which: int | tuple[int, ...]
) -> tuple[Tensor, list[Tensor]]:
    """What enters the head, and (N, C, h, w) maps on the way: these, or the last so many."""
    last, maps = model.forward_intermediates(
        pixels, indices=which if isinstance(which, int) else list(which), output_fmt="NCHW"
    )
    return last, maps


def build(recipe: Recipe, classes: int) -> Network:
    return timm.create_model(
        recipe.architecture, pretrained=False, num_classes=classes, **recipe.model_args
    )


@dataclass
class Run:
    """One training run: what a checkpoint holds, and how to take a step."""

    recipe: Recipe
    seed: int
    corpus: Corpus
    device: torch.device
    box: Tensor | None = None  # (N, V, 4), the views that the teacher saw
    taught: Tensor | None = None  # (N, V, E), what it made of them
    teacher: Network | None = None  # one that looks at every picture along with the student
    step: int = 0
    seconds: float = 0.0
    model: Network = field(init=False)
    average: Network = field(init=False)
    bridge: Any = field(init=False)  # from the student's embedding to the teacher's
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = build(self.recipe, len(self.corpus.labels))
            width = 0 if self.taught is None else self.taught.shape[-1]
            bridge: Any = nn.Linear(model.num_features, width) if width else nn.Identity()
            if self.teacher is not None:
                ours = [model.feature_info[k]["num_chs"] for k in self.recipe.guided]
                theirs = [stage["num_chs"] for stage in self.teacher.feature_info[-3:]]
                pairs = zip(ours, theirs, strict=True)
                bridge = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in pairs)
        for module in model.modules():
            if self.device.type == "cpu" and hasattr(module, "fused_attn"):
                module.fused_attn = False  # its backward pass takes twice as long there
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.average = deepcopy(self.model).eval()
        self.bridge = bridge.to(self.device)
        every = [*self.model.parameters(), *self.bridge.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in every if p.ndim >= 2]},
            {"params": [p for p in every if p.ndim < 2], "weight_decay": 0.0},  # biases and norms
        ]
        self.optimizer = torch.optim.AdamW(groups, self.recipe.rate, weight_decay=self.recipe.decay)
        count = self.recipe.textures
        self._bank = textures(count, self.seed).to(self.device) if count else None
        # Every class equally often, whatever the number of its pictures.
        truth = self.corpus.train.truth
        self._weights = truth @ (1 / truth.sum(0).clamp(min=1))

    @property
    def fingerprint(self) -> str:
        """What must be the same for a checkpoint to be gone on with."""
        width = 0 if self.taught is None else self.taught.shape[-1]
        if self.teacher is not None:
            width = self.teacher.num_features
        recipe = asdict(replace(self.recipe, title="", history="", limits="", refit=0.0))
        return json.dumps([recipe, self.seed, len(self.corpus.train), width])

    @property
    def size(self) -> int:
        progress, until = self.step / self.recipe.steps, 0.0
        for share, size in self.recipe.sizes:
            until += share
            if progress < until - 1e-9:
                return size
        return self.recipe.size

    @property
    def rate(self) -> float:
        """Warm-up, then one cosine, or two (Loshchilov & Hutter, "SGDR", ICLR 2017)."""
        recipe = self.recipe
        again = round(recipe.restart * recipe.steps)
        if self.step >= again:
            progress = (self.step - again) / max(1, recipe.steps - again)
            return recipe.rate * (1 + math.cos(math.pi * progress)) / 4
        warm = max(1, recipe.steps // 20)
        progress = max(0, self.step - warm) / max(1, again - warm)
        return recipe.rate * min((self.step + 1) / warm, (1 + math.cos(math.pi * progress)) / 2)

    def advance(self) -> float:
        """One step; returns the loss."""
        recipe, train = self.recipe, self.corpus.train
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate

        index = torch.multinomial(
            self._weights, recipe.batch, replacement=True, generator=generator
        )
        if self.box is None or self.taught is None:
            box, lesson = boxes(recipe.batch, recipe.area, generator), None
        else:
            view = torch.randint(self.box.shape[1], (recipe.batch,), generator=generator)
            box = self.box[index, view]
            lesson = self.taught[index, view].float().to(self.device)
        picture = look(train, index, box, self.size, recipe, generator, self._bank)
        first = self.step < recipe.restart * recipe.steps
        mixing = recipe if first else replace(recipe, cutmix=0.0, mixup=0.0)
        picture, partner, share = blend(picture, mixing, generator)
        truth = train.truth[index].to(self.device)
        truth = share * truth + (1 - share) * truth[partner]
        truth = truth * (1 - recipe.smoothing) + recipe.smoothing / truth.shape[1]

        self.model.train()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # drop-path draws from the global generator
            torch.manual_seed(self.seed * 1_000_003 + self.step)
            pixels = ((picture - MEAN) / STD).contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, torch.bfloat16):
                if self.teacher is None:
                    pooled, logits = embed(self.model, pixels)
                    guess = self.bridge(pooled)
                else:
                    last, maps = stage_maps(self.model, pixels, recipe.guided)
                    logits = self.model.forward_head(last)
        loss = F.cross_entropy(logits.float(), truth)
        if self.teacher is not None:
            loss = loss + self._guidance(self.teacher, picture, logits.float(), maps)
        if lesson is not None:
            lesson = share * lesson + (1 - share) * lesson[partner]
            agreement = F.cosine_similarity(guess.float(), lesson)
            loss = loss + recipe.distill * (1 - agreement).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1

        keep = min(recipe.averaging, self.step / (self.step + 10))
        with torch.no_grad():
            now = self.model.state_dict()
            for name, mean in self.average.state_dict().items():
                if mean.is_floating_point():
                    mean.lerp_(now[name], 1 - keep)
                else:
                    mean.copy_(now[name])
        return loss.item()

    def _guidance(
        self, teacher: Network, picture: Tensor, logits: Tensor, maps: list[Tensor]
    ) -> Tensor:
        """How far the student's answer and maps are from the teacher's."""
        normal = teacher.pretrained_cfg
        mean, std = (picture.new_tensor(normal[k]).view(3, 1, 1) for k in ("mean", "std"))
        pixels = ((picture - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16):
            last, wanted = stage_maps(teacher, pixels, 3)
            answer = teacher.forward_head(last).float()
        loss = F.kl_div(logits.log_softmax(1), answer.softmax(1), reduction="batchmean")
        for bridge, ours, theirs in zip(self.bridge, maps, wanted, strict=True):
            # Each channel with mean 0 and deviation 1: or most of the cosine is the mean.
            theirs = F.batch_norm(theirs.float(), None, None, training=True)
            guess = bridge(F.adaptive_avg_pool2d(ours.float(), (theirs.shape[2], theirs.shape[3])))
            apart = 1 - F.cosine_similarity(guess, theirs, dim=1).mean()
            loss = loss + self.recipe.guide * apart
        return loss

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "fingerprint": self.fingerprint,
                "step": self.step,
                "seconds": self.seconds,
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "bridge": self.bridge.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            partial,
        )
        partial.replace(path)  # never half a checkpoint

    def resume(self, path: Path) -> None:
        kept = torch.load(path, map_location=self.device, weights_only=True)
        if kept["fingerprint"] != self.fingerprint:
            raise WeightsError(
                f"{path} belongs to another recipe, seed or data set; give another --work, or "
                "delete it to start again"
            )
        self.step, self.seconds = kept["step"], kept["seconds"]
        for name in ("model", "average", "bridge", "optimizer"):
            getattr(self, name).load_state_dict(kept[name])

    def train(self, path: Path, minutes: float = math.inf, every: float = 180.0) -> bool:
        """Go on until all steps are done (True) or time is up (False); checkpoints at `path`."""
        start = saved = told = time.monotonic()
        before, since, losses = self.seconds, self.step, []
        while self.step < self.recipe.steps:
            losses.append(self.advance())
            now = time.monotonic()
            self.seconds = before + now - start
            if now - told > 30:
                speed = (self.step - since) * self.recipe.batch / (now - told)
                print(
                    f"step {self.step} of {self.recipe.steps}, {self.size} px, "
                    f"loss {np.mean(losses):.3f}, {speed:.0f} pictures/s, "
                    f"{self.seconds / 60:.1f} min",
                    flush=True,
                )
                told, since, losses = now, self.step, []
            if now - saved > every:
                self.save(path)
                saved = now
            if now - start > 60 * minutes:
                break
        self.save(path)
        return self.step >= self.recipe.steps


@dataclass(frozen=True)
class Score:
    """Accuracy on held-out pictures; `balanced` is the mean over the classes."""

    overall: float
    by_class: tuple[float, ...]
    count: int

    @property
    def balanced(self) -> float:
        return float(np.mean(self.by_class))


def score(model: Network, pictures: Pictures, device: torch.device) -> Score:
    """In single precision, each picture once: no flips, no crops."""
    model = model.eval().to(device)
    truth = pictures.truth.argmax(1)
    guesses = []
    with torch.inference_mode():
        for pixels in pictures.pixels.split(32):
            guesses.append(model((pixels[:, :3].to(device).float() / 255 - MEAN) / STD).argmax(1))
    right = (torch.cat(guesses).cpu() == truth).float()
    by_class = [right[truth == k].mean().item() for k in range(pictures.truth.shape[1])]
    return Score(right.mean().item(), tuple(by_class), len(pictures))


def refit(model: Network, train: Pictures, weight: float, smoothing: float, size: int) -> None:
    """Fit the linear classifier anew, in place, on features as they are at the end.

        min  mean_c mean_(i in c) CE(softmax(V z_i + b), y_i) + weight / 2 * |V|^2

    z is the pooled embedding with mean 0 and deviation 1 in each entry. While the features were
    still moving, blended and cropped, the classifier could only follow; and the mean over classes
    lets those with few pictures count as much as those with many.
    """
    with torch.inference_mode():
        pooled = []
        for pixels in train.pixels.split(64):
            seen = (F.interpolate(pixels[:, :3].cpu().float(), (size, size)) / 255 - MEAN) / STD
            pooled += [embed(model, picture)[0] for picture in (seen, seen.flip(3))]
    features = torch.cat(pooled).clone()
    truth = train.truth.cpu()
    label = torch.cat([part.argmax(1).repeat(2) for part in truth.split(64)])
    mean, deviation = features.mean(0), features.std(0).clamp_min(1e-6)
    features = (features - mean) / deviation
    importance = 1 / torch.bincount(label, minlength=truth.shape[1]).clamp_min(1)[label]
    importance = importance / importance.mean()
    matrix = torch.zeros(truth.shape[1], features.shape[1], requires_grad=True)
    offset = torch.zeros(truth.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([matrix, offset], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        logits = features @ matrix.T + offset
        each = F.cross_entropy(logits, label, reduction="none", label_smoothing=smoothing)
        total = (each * importance).mean() + weight / 2 * matrix.square().sum()
        total.backward()
        return total

    solver.step(loss)
    head = model.get_classifier()
    with torch.no_grad():
        head.weight.copy_(matrix / deviation)
        head.bias.copy_(offset - (matrix / deviation) @ mean)


def write(run: Run, out: Path, name: str, teacher: str | None) -> Score:
    """The finished backbone as a `local-dir:` folder. What is scored is what was written."""
    recipe, size = run.recipe, run.recipe.size
    model = deepcopy(run.average).cpu().to(memory_format=torch.contiguous_format)
    if recipe.refit:
        refit(model, run.corpus.train, recipe.refit, recipe.smoothing, size)
    model = model.half()
    save_for_hf(
        model,
        str(out),
        model_config={"label_names": list(run.corpus.labels)},
        model_args=dict(recipe.model_args),
        safe_serialization=True,
        data_config={
            "input_size": (3, size, size),
            "mean": (MEAN,) * 3,
            "std": (STD,) * 3,
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "interpolation": "bicubic",
        },
    )
    final = score(
        timm.create_model(f"local-dir:{out}", pretrained=True), run.corpus.test, run.device
    )
    path = out / "config.json"
    config = json.loads(path.read_text())
    for key in ("license", "tag", "origin_url", "paper_ids", "label_descriptions"):
        config["pretrained_cfg"].pop(key, None)  # those of the weights timm would have fetched
    config["pretrained_cfg"] |= {"tag": name, "license": "apache-2.0"}
    config["camviz"] = {
        "name": name,
        "title": recipe.title,
        "accuracy": round(final.overall, 4),
        "balanced_accuracy": round(final.balanced, 4),
        "held_out": final.count,
        "seed": run.seed,
    }
    path.write_text(json.dumps(config, indent=2) + "\n")
    (out / "README.md").write_text(card(run, name, teacher, final, out))
    return final


_TEACHERS = {
    "scenes-resnet": "of camviz itself",
    "mobilenetv2_100.tf2_ptq_in1k": "the quantised TFLite MobileNetV2 of google-coral/test_data, "
    "commit 104342d, its weights de-quantised, Apache-2.0",
    "mobilenetv1_100.tf1_qat_in1k": "the quantised TFLite MobileNetV1 of google-coral/test_data, "
    "commit 104342d, its weights de-quantised, Apache-2.0",
}


_KNOWN = {
    "photos": "a plain wall that reaches in from the border",
    "scenes": "by the exact masks",
}


def _short(where: str) -> str:
    """The name of a model without the way to it: no path of this machine goes into a card."""
    return where.rstrip("/").rsplit("/", 1)[-1].removeprefix("local-dir:")


def card(run: Run, name: str, teacher: str | None, final: Score, out: Path) -> str:
    """The model card. Every figure in it comes from the run."""
    recipe, labels = run.recipe, run.corpus.labels
    count = sum(p.numel() for p in run.average.parameters())
    megabytes = (out / "model.safetensors").stat().st_size / 1e6
    sizes = ", ".join(f"{share:.0%} of the steps at {size} px" for share, size in recipe.sizes)
    tricks = [
        f"crops of {recipe.area[0]:.0%} to {recipe.area[1]:.0%} of the picture, mirrored half the "
        f"time, turned by {recipe.turn} rad (standard deviation)",
        "random saturation, contrast, brightness and tint; some pictures grey, some blurred",
    ]
    if recipe.backdrop:
        tricks.append(
            f"what is known to be background ({_KNOWN[recipe.pictures]}) is replaced "
            f"{recipe.backdrop:.0%} of the time by coloured clouds"
            + ", drawn bricks, stripes and blobs" * bool(recipe.textures)
            + " or the corner of another picture, so that the network has to look at the thing"
        )
    if recipe.cutmix or recipe.mixup:
        tricks.append(
            f"CutMix in {recipe.cutmix:.0%} and MixUp in {recipe.mixup:.0%} of the batches"
            + f" of the first {recipe.restart:.0%} of the steps" * (recipe.restart < 1)
        )
    if teacher is not None and recipe.guide:
        about = _TEACHERS.get(_short(teacher), "given by whoever ran this")
        tricks.append(
            f"guided by `{_short(teacher)}` ({about}), which looks at every picture along with it: "
            f"cosine to its last three maps, place by place, weight {recipe.guide}, and "
            "Kullback-Leibler divergence from its answer, weight 1"
        )
    elif teacher is not None:
        about = _TEACHERS.get(_short(teacher), "given by whoever ran this")
        tricks.append(
            f"distilled from `{_short(teacher)}` ({about}): cosine to its embedding of the same "
            f"crop ({recipe.views} of each picture, at {recipe.teacher_size} px), weight "
            f"{recipe.distill}"
        )
    if recipe.refit:
        tricks.append(
            "at the end the classifier was fitted anew, by L-BFGS, on the final embedding of the "
            f"training pictures and their mirror images, squared norm {recipe.refit}, classes "
            "equally important"
        )
    command = f"python -m camviz.training {name} --seed {run.seed}"
    command += " --data FOLDER" if recipe.pictures == "photos" else ""
    command += f" --teacher local-dir:PATH/{_short(teacher)}" if teacher is not None else ""
    counts = run.corpus.test.truth.sum(0)
    cosine = "one cosine" if recipe.restart == 1 else f"a second cosine after {recipe.restart:.0%}"
    order = sorted(range(len(labels)), key=lambda k: (final.by_class[k], labels[k]))
    rows = "\n".join(f"| {labels[k]} | {final.by_class[k]:.1%} |" for k in order)
    bullets = "\n".join(f"- {trick}" for trick in tricks)
    return f"""---
library_name: timm
license: apache-2.0
tags: [image-classification, timm, camviz]
---

# {name}: {recipe.title}

| | |
|---|---|
| architecture | timm `{recipe.architecture}`, `{json.dumps(recipe.model_args)}` |
| parameters | {count / 1e6:.2f} M, {megabytes:.2f} MB in half precision |
| input | {recipe.size} x {recipe.size}, the whole picture stretched, mean and std {MEAN} |
| classes | {len(labels)} |
| accuracy | {final.overall:.1%} of {final.count} held-out pictures |
| balanced accuracy | {final.balanced:.1%}, the mean over the classes |

```python
timm.create_model("local-dir:assets/models/{name}", pretrained=True)
camviz.load_backbone("{name}")
```

## Training

From random weights, on {run.corpus.about}

{recipe.steps} steps of {recipe.batch} pictures ({sizes}), classes equally often; AdamW, rate
{recipe.rate}, {cosine}, weight decay {recipe.decay}, label smoothing {recipe.smoothing}; what ships
is the running average of the weights ({recipe.averaging}). bfloat16 autocast, seed {run.seed},
{run.seconds / 60:.0f} minutes on {_machine(run.device)}. No held-out picture was trained on, and no
checkpoint was chosen by them: the last one ships. {recipe.history}

{bullets}

Again: `{command}`

## Limits

{recipe.limits}

## Accuracy by class, hardest first

A class has {counts.min():.0f} to {counts.max():.0f} held-out pictures: in the smallest, one picture
is {1 / counts.min().item():.1%}.

| class | held-out accuracy |
|---|---|
{rows}
"""


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"a CPU, {torch.get_num_threads()} thread" + "s" * (torch.get_num_threads() > 1)


def prepare(
    recipe: Recipe,
    data: Path | None,
    teacher: str | None,
    work: Path,
    seed: int,
    device: torch.device,
) -> Run:
    """Read or draw the pictures, ask the teacher, and go on from a checkpoint if there is one."""
    learns = bool(recipe.distill or recipe.guide)
    if learns and teacher is None:
        raise WeightsError("this recipe learns from a teacher: give --teacher local-dir:PATH")
    if recipe.pictures == "photos":
        if data is None:
            raise ImageError("this recipe learns from photographs: give --data FOLDER")
        corpus = photographs(data, recipe.size, recipe.most_per_class)
    else:
        corpus = scenes(work.parent / "scenes", recipe.size, recipe.drawn, recipe.held_out, seed)
    pictures = Pictures(corpus.train.pixels.to(device), corpus.train.truth)
    corpus = replace(corpus, train=pictures)
    box = taught = None
    if recipe.distill and teacher is not None:
        count = len(pictures) * recipe.views
        box = boxes(count, recipe.area, torch.Generator().manual_seed(seed))
        box = box.view(len(pictures), recipe.views, 4)
        taught = embeddings(teacher, pictures, box, recipe.teacher_size, work, device)
    guide = None
    if recipe.guide and teacher is not None:
        guide = load_teacher(teacher).to(device, memory_format=torch.channels_last)
    return Run(recipe, seed, corpus, device, box, taught, guide)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m camviz.training", description="Makes the bundled backbones."
    )
    add = parser.add_argument
    add("name", help=", ".join(RECIPES))
    add("--data", type=Path, help="folder of photographs with list.csv")
    add("--teacher", help="the classifier to learn from: local-dir:PATH or a timm name")
    add("--out", type=Path, help="default: assets/models/NAME")
    add("--work", type=Path, help="for checkpoints; default: training/ in camviz's cache")
    add("--minutes", type=float, default=math.inf, help="stop then; run again to go on")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--seed", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    asked = _arguments(argv)
    try:
        if asked.name not in RECIPES:
            raise BackboneError(f"no recipe {asked.name!r}; there are {', '.join(RECIPES)}")
        torch.set_num_threads(int(os.environ.get("CAMVIZ_THREADS", "1")))
        cv2.setNumThreads(1)
        auto = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(auto if asked.device == "auto" else asked.device)
        cache = Path(os.environ.get("CAMVIZ_CACHE", Path.home() / ".cache" / "camviz"))
        work = (asked.work or cache / "training") / asked.name
        out = asked.out or Path(__file__).parents[1] / "assets/models" / asked.name
        recipe = RECIPES[asked.name]
        run = prepare(recipe, asked.data, asked.teacher, work, asked.seed, device)
        checkpoint = work / "checkpoint.pt"
        if checkpoint.exists():
            run.resume(checkpoint)
            print(f"goes on at step {run.step} of {recipe.steps}", flush=True)
        if not run.train(checkpoint, asked.minutes):
            print(f"stopped at step {run.step} of {recipe.steps}; run again to go on", flush=True)
            return 0
        final = write(
            run, out, asked.name, asked.teacher if recipe.distill or recipe.guide else None
        )
    except CamvizError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{asked.name}: {final.overall:.1%}, balanced {final.balanced:.1%}, in {out}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
