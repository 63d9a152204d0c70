"""Where cases come from: drawn scenes, PASCAL VOC, ImageNet-S, and boxes in a CSV file.

    data = open_dataset("voc:/data/VOC2012", count=500)
    data.names[0], data.case(0)

Layouts are those in which the data sets are published. Nothing is downloaded. What is not laid out
as it should be is a `DataError`, for the set at once or for one picture when it is read.
"""

import csv
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image, UnidentifiedImageError

from camviz.benchmark.cases import Case, Dataset, Thing, box_around, box_mask
from camviz.bulk.voc_classes import VOC_CLASSES
from camviz.errors import DataError
from camviz.files import user_path
from camviz.images import Picture, open_picture
from camviz.scenes import HELD_OUT_BACKGROUNDS, draw_scene

SEED = 6002  # of scenes, and of the choice among many pictures: nothing was tuned on it
SCENES = 100
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_VOC_IGNORED = 255
_IMAGENET_S_IGNORED = 1000


def open_dataset(text: str, count: int | None = None, seed: int = SEED) -> Dataset:
    """A data set by its name: "scenes", "voc:PATH", "imagenet-s:PATH" or "boxes:FILE".

    count: how many pictures, drawn at random by `seed` where there are more; None for all of them,
    of scenes for a hundred. Raises `DataError` for what is none of these, or not laid out so.
    """
    kind, _, path = text.partition(":")
    if kind == "scenes" and not path:
        return Scenes(SCENES if count is None else count, seed)
    readers: dict[str, Callable[[Path], Dataset]] = {
        "voc": Voc.open,
        "imagenet-s": ImageNetS.open,
        "boxes": Boxes.open,
    }
    if kind not in readers or not path:
        raise DataError(
            f"there is no data '{text}'; give scenes, parts, voc:FOLDER, imagenet-s:FOLDER or "
            "boxes:FILE"
        )
    return _Sample.of(readers[kind](user_path(path)), count, seed)


@dataclass(frozen=True)
class Scenes:
    """Drawn scenes before backgrounds that no bundled network was trained on.

    two: share of scenes with a second thing, which is asked for as well.
    """

    count: int
    seed: int
    two: float = 0.2

    def __post_init__(self) -> None:
        if self.count < 1:
            raise DataError(f"count is a whole number from 1, not {self.count}")
        if self.seed < 0:
            raise DataError(f"seed is a whole number from 0, not {self.seed}")

    @property
    def name(self) -> str:
        return "scenes"

    @property
    def identity(self) -> str:
        return f"seed {self.seed}, two things in {self.two:g} of them"

    @property
    def names(self) -> Sequence[str]:
        return [f"scene {self.seed}:{index}" for index in range(self.count)]

    def case(self, index: int) -> Case:
        scene = draw_scene(self.seed, index, two_objects=self.two, backgrounds=HELD_OUT_BACKGROUNDS)
        things = tuple(
            Thing(thing.label, thing.mask, np.array([thing.box])) for thing in scene.objects
        )
        return Case(self.names[index], open_picture(scene.image), things)


@dataclass(frozen=True, eq=False)
class Voc:
    """PASCAL VOC as it is unpacked: JPEGImages, Annotations, SegmentationClass, ImageSets.

    Where there are segmentations, pictures are those that have one, and masks are exact; pixels of
    value 255 do not count. Without them boxes of Annotations are the truth. A class whose boxes are
    all "difficult" is not asked for.

    Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010.
    """

    folder: Path
    names: Sequence[str]
    segmented: bool
    name: str = "voc"

    @classmethod
    def open(cls, folder: Path) -> "Voc":
        _check_folder(folder / "JPEGImages", "VOC")
        segmented = (folder / "SegmentationClass").is_dir()
        kind = "SegmentationClass" if segmented else "Annotations"
        lists = "Segmentation" if segmented else "Main"
        _check_folder(folder / kind, "VOC")
        there = {path.stem for path in (folder / kind).iterdir()}
        listed = next(
            (
                path.read_text().split()
                for split in ("val", "test", "trainval")
                if (path := folder / "ImageSets" / lists / f"{split}.txt").is_file()
            ),
            sorted(there),
        )
        return cls(folder, _some([name for name in listed if name in there], folder), segmented)

    @property
    def identity(self) -> str:
        return _digest([str(self.folder.resolve()), *self.names])

    def case(self, index: int) -> Case:
        name = self.names[index]
        picture = open_picture(self.folder / "JPEGImages" / f"{name}.jpg")
        boxes = self._boxes(name)
        if not self.segmented:
            size = picture.height, picture.width
            boxes = {label: _in_pixels_of(picture, each) for label, each in boxes.items()}
            things = [
                Thing(label, box_mask(each, *size), each) for label, each in sorted(boxes.items())
            ]
            return Case(name, picture, _not_empty(things, name), exact=False)
        labels = _read_indexed(self.folder / "SegmentationClass" / f"{name}.png", picture)
        things = []
        for number in np.unique(labels[(labels > 0) & (labels != _VOC_IGNORED)]):
            if number > len(VOC_CLASSES):
                raise DataError(f"{name}: {number} is none of VOC's {len(VOC_CLASSES)} classes")
            label, mask = VOC_CLASSES[number - 1], labels == number
            known = boxes.get(label)
            around = box_around(mask) if known is None else _in_pixels_of(picture, known)
            things.append(Thing(label, mask, around))
        return Case(name, picture, _not_empty(things, name), ignored=labels == _VOC_IGNORED)

    def _boxes(self, name: str) -> dict[str, np.ndarray]:
        """Boxes by class, half-open: those in the files begin at 1 and include their last pixel."""
        file = self.folder / "Annotations" / f"{name}.xml"
        if not file.is_file() and self.segmented:
            return {}
        found: dict[str, list[list[int]]] = {}
        easy = set()
        try:
            for entry in ElementTree.parse(file).iter("object"):
                label, box = entry.findtext("name", "").strip(), entry.find("bndbox")
                assert box is not None
                x0, y0, x1, y1 = (
                    round(float(box.findtext(key, ""))) for key in ("xmin", "ymin", "xmax", "ymax")
                )
                found.setdefault(label, []).append([x0 - 1, y0 - 1, x1, y1])
                if entry.findtext("difficult", "0").strip() != "1":
                    easy.add(label)
        except (OSError, ElementTree.ParseError, AssertionError, ValueError) as error:
            raise DataError(f"'{file.name}' holds no boxes as VOC writes them: {error}") from None
        return {label: np.array(boxes) for label, boxes in found.items() if label in easy}


@dataclass(frozen=True, eq=False)
class ImageNetS:
    """ImageNet-S as it is prepared: validation and validation-segmentation, by WordNet id.

    A segmentation holds the number of a class, the place of its id among the folders counted from
    1, as red + 256 · green; 0 is other, 1000 does not count.

    Gao et al., "Large-scale Unsupervised Semantic Segmentation", TPAMI 2022.
    """

    folder: Path
    names: Sequence[str]
    classes: Sequence[str]
    name: str = "imagenet-s"

    @classmethod
    def open(cls, folder: Path) -> "ImageNetS":
        pictures, truths = folder / "validation", folder / "validation-segmentation"
        for each in (pictures, truths):
            _check_folder(each, "ImageNet-S")
        classes = sorted(path.name for path in truths.iterdir() if path.is_dir())
        names = sorted(
            f"{path.parent.name}/{path.stem}" for path in truths.glob("*/*.png") if path.is_file()
        )
        return cls(folder, _some(names, folder), classes)

    @property
    def identity(self) -> str:
        return _digest([str(self.folder.resolve()), *self.names])

    def case(self, index: int) -> Case:
        name = self.names[index]
        picture = open_picture(_with_suffix(self.folder / "validation" / name))
        path = self.folder / "validation-segmentation" / f"{name}.png"
        labels = _read_colors(path, picture)
        things = []
        for number in np.unique(labels[(labels > 0) & (labels != _IMAGENET_S_IGNORED)]):
            if number > len(self.classes):
                raise DataError(
                    f"{name}: class {number} of {len(self.classes)}; is the folder of one missing?"
                )
            mask = labels == number
            things.append(Thing(self.classes[number - 1], mask, box_around(mask)))
        ignored = labels == _IMAGENET_S_IGNORED
        return Case(name, picture, _not_empty(things, name), ignored=ignored)


@dataclass(frozen=True, eq=False)
class Boxes:
    """Pictures with boxes in a CSV file: the columns file, class, x0, y0, x1, y1, a box a line.

    Boxes are half-open, in pixels of the picture's file; paths are relative to the file.
    """

    file: Path
    rows: dict[str, list[tuple[str, tuple[int, ...]]]] = field(repr=False)
    name: str = "boxes"

    @classmethod
    def open(cls, file: Path) -> "Boxes":
        columns = ("file", "class", "x0", "y0", "x1", "y1")
        rows: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
        try:
            with file.open(newline="", encoding="utf-8-sig") as lines:
                reader = csv.DictReader(lines)
                if not set(columns) <= set(reader.fieldnames or ()):
                    raise DataError(
                        f"'{file.name}' has no columns {', '.join(columns)} in its first line"
                    )
                for row in reader:
                    box = tuple(round(float(row[key])) for key in columns[2:])
                    rows.setdefault(row["file"].strip(), []).append((row["class"].strip(), box))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read '{file}': {error}") from None
        except (ValueError, TypeError, AttributeError, csv.Error) as error:
            raise DataError(f"'{file.name}', line {reader.line_num}: {error}") from None
        if not rows:
            raise DataError(f"'{file.name}' holds no box")
        return cls(file, rows)

    @property
    def names(self) -> Sequence[str]:
        return list(self.rows)

    @property
    def identity(self) -> str:
        return _digest([str(self.file.resolve()), str(self.rows)])

    def case(self, index: int) -> Case:
        name = self.names[index]
        picture = open_picture(self.file.parent / name)
        height, width = picture.own_size or (picture.height, picture.width)
        things = []
        for label in dict.fromkeys(label for label, _ in self.rows[name]):
            boxes = np.array([box for each, box in self.rows[name] if each == label])
            for x0, y0, x1, y1 in boxes:
                if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                    raise DataError(
                        f"{name}: the box {x0}, {y0}, {x1}, {y1} is empty or leaves the picture of "
                        f"{width} x {height} pixels"
                    )
            boxes = _in_pixels_of(picture, boxes)
            things.append(Thing(label, box_mask(boxes, picture.height, picture.width), boxes))
        return Case(name, picture, tuple(things), exact=False)


@dataclass(frozen=True, eq=False)
class _Sample:
    """Some of the cases of a data set."""

    whole: Dataset
    chosen: Sequence[int]

    @classmethod
    def of(cls, whole: Dataset, count: int | None, seed: int) -> Dataset:
        """So many cases, drawn at random and in the order of the whole; all if count is None."""
        total = len(whole.names)
        if count is None or count >= total:
            return whole
        if count < 1:
            raise DataError(f"count is a whole number from 1, not {count}")
        chosen = np.random.default_rng(seed).choice(total, count, replace=False)
        return cls(whole, sorted(chosen.tolist()))

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def identity(self) -> str:
        return _digest([self.whole.identity, *self.names])

    @property
    def names(self) -> Sequence[str]:
        return [self.whole.names[index] for index in self.chosen]

    def case(self, index: int) -> Case:
        return self.whole.case(self.chosen[index])


def _check_folder(folder: Path, kind: str) -> None:
    if not folder.is_dir():
        raise DataError(
            f"'{folder}' is no folder; {kind} is read as it is published, see `camviz benchmark "
            "--help`"
        )


def _some(names: Sequence[str], folder: Path) -> Sequence[str]:
    if not names:
        raise DataError(f"'{folder}' holds no picture with its truth")
    return names


def _not_empty(things: Sequence[Thing], name: str) -> tuple[Thing, ...]:
    if not things:
        raise DataError(f"{name}: nothing in it is asked for")
    return tuple(things)


def _with_suffix(path: Path) -> Path:
    """The picture of this name, whatever its suffix."""
    for suffix in (*_SUFFIXES, *(suffix.upper() for suffix in _SUFFIXES)):
        if (file := path.with_name(path.name + suffix)).is_file():
            return file
    raise DataError(f"there is no picture '{path.name}' with the suffix {', '.join(_SUFFIXES)}")


def _read_indexed(file: Path, picture: Picture) -> np.ndarray:
    """int (H, W): the numbers of a palette image."""
    return _truth_of(file, picture, ("P", "L"))


def _read_colors(file: Path, picture: Picture) -> np.ndarray:
    """int (H, W): red + 256 · green."""
    pixels = _truth_of(file, picture, ("RGB", "RGBA"))
    return pixels[..., 0] + 256 * pixels[..., 1]


def _in_pixels_of(picture: Picture, boxes: np.ndarray) -> np.ndarray:
    """Half-open boxes, in pixels of a picture's file, in those of the picture as it was opened."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.hstack([low // picture.reduction, -(-high // picture.reduction)])


def _truth_of(file: Path, picture: Picture, modes: tuple[str, ...]) -> np.ndarray:
    try:
        with Image.open(file) as image:
            mode, pixels = image.mode, np.asarray(image).astype(np.int64)
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"cannot read the segmentation '{file.name}': {error}") from None
    if mode not in modes:
        raise DataError(f"'{file.name}' is a picture of mode {mode}, not {' or '.join(modes)}")
    if pixels.shape[:2] == picture.own_size:  # which was decoded smaller
        pixels = pixels[:: picture.reduction, :: picture.reduction]
    if pixels.shape[:2] != (picture.height, picture.width):
        raise DataError(
            f"'{file.name}' has {pixels.shape[1]} x {pixels.shape[0]} pixels, its picture "
            f"{picture.width} x {picture.height}"
        )
    return pixels


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
