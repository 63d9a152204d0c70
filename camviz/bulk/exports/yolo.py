"""YOLO, as Ultralytics reads it: data.yaml, labels/NAME.txt, and the pictures in images/.

A line a box: the network's index of the class, then the box's centre and size as shares of the
picture. A picture without a box has an empty file: it is background. A picture is a link to its
file where every reader sees there what was explained, else a PNG of that (`put_picture`).
Format: https://docs.ultralytics.com/datasets/detect/
"""

import json
from pathlib import Path

from camviz.bulk.cut import Cut
from camviz.bulk.exports.files import Names, put_picture
from camviz.bulk.pictures import by_picture, picture_file
from camviz.maps.boxes import Box

# Suffixes of the pictures that Ultralytics reads, by PIL's name of what is in them.
_READ = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif",
         "WEBP": ".webp"}  # fmt: skip


def write_yolo(cut: Cut, folder: Path) -> None:
    images, labels = folder / "images", folder / "labels"
    images.mkdir()
    labels.mkdir()
    names = Names()
    for rows in by_picture(cut.run):
        first = rows[0]
        name = names.of(first["path"], first["id"])
        height, width = cut.size(first)
        lines = [
            f"{cut.index(row)} {_in_shares(box, width, height)}\n"
            for row in rows
            for box in cut.boxes(row)
        ]
        (labels / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
        if (file := picture_file(cut.run, first)) is not None:
            put_picture(file, images, name, _READ)
    # A JSON string is a string of YAML, whatever stands in it.
    classes = "".join(f"  {index}: {_quoted(name)}\n" for index, name in enumerate(cut.classes))
    text = f"path: .\ntrain: images\nval: images\nnames:\n{classes}"
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def _quoted(text: str) -> str:
    return json.dumps(text)


def _in_shares(box: Box, width: int, height: int) -> str:
    x0, y0, x1, y1 = box.xyxy
    values = (
        (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height,
    )  # fmt: skip
    return " ".join(f"{value:.6f}" for value in values)
