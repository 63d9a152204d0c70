"""Training and held-out pictures: photographs from a folder, or drawn scenes."""

import csv
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from camviz.errors import ImageError
from camviz.scenes import HELD_OUT_BACKGROUNDS, SCENE_CLASSES, TRAIN_BACKGROUNDS, draw_scene

POOL = 160  # side at which training pictures are kept


@dataclass(frozen=True, eq=False)
class Pictures:
    """uint8 (N, 4, S, S): red, green, blue, wall; and the truth, (N, K), rows sum to 1.

    The wall is what surely belongs to no thing: a plain studio wall, all but the things of a scene.
    """

    pixels: Tensor
    truth: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def checksum(self) -> str:
        """A hash of these pictures and labels."""
        parts = (self.pixels.numpy(), self.truth.numpy())
        return f"{zlib.crc32(parts[1].tobytes(), zlib.crc32(parts[0].data)):08x}"


@dataclass(frozen=True, eq=False)
class Corpus:
    """The classes of a training run and its pictures."""

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


def load_photographs(folder: Path, size: int, most_per_class: int) -> Corpus:
    """A folder with `list.csv` (file, class, index, split); every picture stretched to a square.

    size: side of the pictures to test on.
    """
    try:
        with (folder / "list.csv").open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        names = {int(row["index"]): row["class"] for row in rows}
        splits: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
        for row in rows:
            splits[row["split"]].append({**row, "file": row["file"]})
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
    for split, some in splits.items():
        if missing := sorted(set(names) - {int(row["index"]) for row in some}):
            raise ImageError(
                f"{folder / 'list.csv'} has no picture of {names[missing[0]]!r} in split {split}; "
                "every class needs one to train on and one to test on"
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

    A network can learn the wall instead of the thing: half of Caltech 101 stands before white
    paper. What fills under 15 % or over 90 % of a picture is not taken for a wall.
    """
    height, width = picture.shape[:2]
    wall = np.zeros((height + 2, width + 2), np.uint8)  # floodFill needs a rim of one pixel
    flags = 4 | (255 << 8) | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
    smooth = cv2.medianBlur(np.ascontiguousarray(picture), 3)
    for x, y in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
        if not wall[y + 1, x + 1]:
            cv2.floodFill(
                smooth, wall, (x, y), (0, 0, 0), (tolerance,) * 3, (tolerance,) * 3, flags
            )
    inner = wall[1:-1, 1:-1]
    return inner if 0.15 < (inner > 0).mean() < 0.9 else np.zeros_like(inner)


def load_scenes(work: Path, size: int, train: int, test: int, seed: int) -> Corpus:
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
