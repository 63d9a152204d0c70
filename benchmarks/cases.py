"""Pictures whose truth is known: drawn scenes, mosaics of photographs, and pasted photographs.

A case is a picture, the class explained, and a mask of where it is; `others` masks everything else
that could be meant. Each kind is made of a seed: one to choose from, another to report.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.denoising import CERTAIN, classify_photographs
from camviz import Backbone, Engine
from camviz.scenes import draw_scene

SEEDS = {"choose": 6001, "report": 6002}
QUARTER = 224  # pixels of a side
SIDE = 320  # of a picture that something is pasted into
PASTED = (150, 280)  # pixels of the longer side of what is pasted
BEST = 5  # a pasted thing is explained if it is among so many predictions

# Photographs before a plain ground, from which things can be cut.
_FRAME = 3  # pixels
_EVEN = 14  # the most by which a pixel of a plain ground differs from its median
_OTHER = 24  # the least by which a pixel of the thing does
_AREAS = (0.06, 0.7)
_FULL = 0.93  # of its bounding box: a picture within a picture, not a thing


@dataclass(frozen=True)
class Case:
    """A picture, the class explained, and where it is; `others`: where something else is."""

    picture: Image.Image
    target: str | int
    truth: np.ndarray
    others: np.ndarray


def scenes(
    seed: int, count: int, two: bool = False, backgrounds: Sequence[str] | None = None
) -> Iterator[Case]:
    """Drawn scenes of one thing, or of two, each of which is asked for in turn.

    backgrounds: those that the bundled networks were trained on if None.
    """
    for index in range(count):
        scene = draw_scene(seed, index, two_objects=float(two), backgrounds=backgrounds)
        picture = Image.fromarray(np.asarray(scene.image))
        things = scene.objects if two else scene.objects[:1]
        for thing in things:
            rest = [each.mask for each in things if each is not thing]
            others = np.any(rest, axis=0) if rest else np.zeros_like(thing.mask)
            yield Case(picture, thing.label, thing.mask, others)


def mosaics(folder: Path, backbone: Backbone, seed: int, count: int) -> Iterator[Case]:
    """Four photographs of four classes; the truth is the quarter of the first."""
    known = classify_photographs(folder, backbone)
    for index in range(count):
        random = np.random.default_rng([seed, index])
        classes = random.choice(sorted(known), 4, replace=False)
        whole = Image.new("RGB", (2 * QUARTER, 2 * QUARTER))
        for place, which in enumerate(classes):
            picture = known[which][random.integers(len(known[which]))]
            whole.paste(picture, (QUARTER * (place % 2), QUARTER * (place // 2)))
        truth = np.zeros((2 * QUARTER, 2 * QUARTER), bool)
        truth[:QUARTER, :QUARTER] = True
        yield Case(whole, int(classes[0]), truth, ~truth)


def pasted(
    folder: Path, engine: Engine, backbone: Backbone, seed: int, count: int
) -> Iterator[Case]:
    """Things cut out of photographs with a plain ground, on photographs of other classes.

    The class is the one that the network is certain of before the plain ground.
    """
    random = np.random.default_rng(seed)
    with (folder / "list.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    found = 0
    for number in random.permutation(len(rows)):
        pixels = _read(folder / rows[number]["file"])
        mask = cut_out(pixels)
        if mask is None:
            continue
        index, _, share = engine.predict(pixels, backbone)[0]
        ground = rows[random.integers(len(rows))]
        if share < CERTAIN or ground["class"] == rows[number]["class"]:
            continue
        picture, truth = _paste(pixels, mask, _read(folder / ground["file"]), random)
        best = [i for i, *_ in engine.predict(picture, backbone)[:BEST]]
        if index in best:
            found += 1
            yield Case(Image.fromarray(picture), index, truth, ~truth)
        if found == count:
            return


def cut_out(pixels: np.ndarray) -> np.ndarray | None:
    """bool (H, W): the thing before a plain ground; None where the ground is not plain."""
    frame = np.concatenate(
        [
            part.reshape(-1, 3)
            for part in (
                pixels[:_FRAME],
                pixels[-_FRAME:],
                pixels[:, :_FRAME],
                pixels[:, -_FRAME:],
            )
        ]
    )
    ground = np.median(frame, axis=0)
    if (np.abs(frame - ground).max(axis=1) < _EVEN).mean() < 0.985:
        return None
    alike = (np.abs(pixels.astype(int) - ground).max(axis=2) <= _OTHER).astype(np.uint8)
    _, labels = cv2.connectedComponents(alike)
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    around = np.isin(labels, edge[edge > 0]) & (alike > 0)
    thing = cv2.morphologyEx((~around).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
    _, labels, sizes, _ = cv2.connectedComponentsWithStats(thing)
    large = [i for i in range(1, len(sizes)) if sizes[i, cv2.CC_STAT_AREA] >= 0.02 * thing.size]
    mask = np.isin(labels, large)
    if not _AREAS[0] < mask.mean() < _AREAS[1]:
        return None
    rows, columns = np.nonzero(mask)
    box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    return mask if mask.sum() < _FULL * box else None


def _paste(
    pixels: np.ndarray, mask: np.ndarray, ground: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A thing somewhere on another picture, and where it is."""
    ground = cv2.resize(ground, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    scale = random.uniform(*PASTED) / max(mask.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    thing = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=how)
    share = cv2.resize(mask.astype(np.float32), thing.shape[1::-1])
    height, width = share.shape
    y, x = random.integers(0, SIDE - height + 1), random.integers(0, SIDE - width + 1)
    place = (slice(y, y + height), slice(x, x + width))
    alpha = cv2.erode(share, np.ones((2, 2)))[..., None]  # without the seam of its old ground
    ground[place] = ground[place] * (1 - alpha) + thing * alpha
    truth = np.zeros((SIDE, SIDE), bool)
    truth[place] = share >= 0.5
    return ground.round().clip(0, 255).astype(np.uint8), truth


def _read(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"))
