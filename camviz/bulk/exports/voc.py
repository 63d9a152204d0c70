"""PASCAL VOC: boxes in Annotations, seeds in SegmentationClass, JPEGImages, and lists.

A seed gives each pixel to one of the classes explained in its picture, or to background: the
pseudo-labels that networks for segmentation are trained on (`Cut.seed`). Its numbers are those of
VOC where all classes explained are VOC's own, else the network's indices + 1; labels.txt lists
them, from background on. A picture of bytes holds 254 classes: with more there are boxes only.
A picture is a link to its file if that is an upright JPEG, else a JPEG of what was explained.
Format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from camviz.bulk.cut import Cut
from camviz.bulk.exports.files import Names, put_picture
from camviz.bulk.pictures import by_picture, picture_file
from camviz.bulk.voc_classes import VOC_CLASSES

_READ = {"JPEG": ".jpg", "MPO": ".jpg"}
_MOST_CLASSES = 254  # 255 are pixels that do not count
# What XML 1.0 has no way to write: control characters, and two that are none.
_NOT_XML = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF), "\ufffd")


def write_voc(cut: Cut, folder: Path) -> None:
    for name in ("JPEGImages", "Annotations", "SegmentationClass"):
        (folder / name).mkdir()
    numbers = seed_numbers(cut)
    names, listed = Names(), []
    for rows in by_picture(cut.run):
        first = rows[0]
        name = names.of(first["path"], first["id"])
        listed.append(name)
        annotation = _annotation(cut, rows, name, numbers is not None)
        annotation.write(folder / "Annotations" / f"{name}.xml", encoding="utf-8")
        if numbers is not None:
            seed = numbers[1][cut.seed(rows)]
            _paletted(seed).save(folder / "SegmentationClass" / f"{name}.png")
        if (file := picture_file(cut.run, first)) is not None:
            put_picture(file, folder / "JPEGImages", name, _READ, cut.size(first), ".jpg")
    kinds = ["Main"] if numbers is None else ["Main", "Segmentation"]
    for kind in kinds:
        lists = folder / "ImageSets" / kind
        lists.mkdir(parents=True)
        (lists / "trainval.txt").write_text("".join(f"{name}\n" for name in listed), "utf-8")
    if numbers is None:
        (folder / "SegmentationClass").rmdir()
    else:
        lines = "".join(f"{one_line(name)}\n" for name in ("background", *numbers[0]))
        (folder / "labels.txt").write_text(lines, encoding="utf-8")


def seed_numbers(cut: Cut) -> tuple[tuple[str, ...], np.ndarray] | None:
    """The classes that seeds hold, and their number by that of `Cut.seed`; None: too many."""
    used = {target or 0 for target in cut.run.table(["target"])["target"].to_pylist()}
    numbers = np.arange(len(cut.classes) + 1, dtype=np.int64)
    if all(cut.classes[index] in VOC_CLASSES for index in used):
        numbers[:] = 0
        for index in used:
            numbers[index + 1] = VOC_CLASSES.index(cut.classes[index]) + 1
        return VOC_CLASSES, numbers
    return None if len(cut.classes) > _MOST_CLASSES else (cut.classes, numbers)


def one_line(text: str) -> str:
    return " ".join(text.split())


def _annotation(cut: Cut, rows: Sequence[Mapping[str, Any]], name: str, segmented: bool) -> Any:
    first = rows[0]
    root = ElementTree.Element("annotation")
    _add(root, folder="JPEGImages", filename=f"{name}.jpg")
    _add(_child(root, "source"), database=f"camviz run {cut.run.name}", image=first["path"])
    height, width = cut.size(first)
    _add(_child(root, "size"), width=width, height=height, depth=3)
    _add(root, segmented=int(segmented))
    for row in rows:
        for box in cut.boxes(row):
            thing = _child(root, "object")
            _add(thing, name=cut.name(row), pose="Unspecified", truncated=0, difficult=0)
            # Corners begin at 1, and the last pixel is inside.
            _add(
                _child(thing, "bndbox"), xmin=box.x0 + 1, ymin=box.y0 + 1, xmax=box.x1, ymax=box.y1
            )
    return ElementTree.ElementTree(root)


def _child(parent: Any, name: str) -> Any:
    return ElementTree.SubElement(parent, name)


def _add(parent: Any, **texts: object) -> None:
    for name, text in texts.items():
        _child(parent, name).text = str(text).translate(_NOT_XML)


def _paletted(seed: np.ndarray) -> Image.Image:
    image = Image.fromarray(seed.astype(np.uint8)).convert("P")
    image.putpalette(voc_palette().ravel().tolist())
    return image


def voc_palette() -> np.ndarray:
    """VOC's colours, uint8 (256, 3): the bits of the number, spread over red, green and blue."""
    colors = np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= (np.arange(256) >> (3 * bit + channel) & 1) << (7 - bit)
    return colors.astype(np.uint8)
