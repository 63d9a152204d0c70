"""CSV: pictures.csv, a line a row of the run, and boxes.csv, a line a box.

boxes.csv begins with the columns that `camviz benchmark --data boxes:FILE` reads. Texts stand there
as they are, in quotation marks where they must: a spreadsheet may take one that begins with "=" for
a formula.
"""

import csv
from pathlib import Path

from camviz.bulk.cut import Cut

_PICTURES = (
    "id", "file", "width", "height", "truth", "top", "top_share", "sure", "class", "score", "boxes",
)  # fmt: skip
_BOXES = ("file", "class", "x0", "y0", "x1", "y1", "area", "heat", "score", "id")


def write_csv(cut: Cut, folder: Path) -> None:
    with (
        (folder / "pictures.csv").open("w", newline="", encoding="utf-8") as of_pictures,
        (folder / "boxes.csv").open("w", newline="", encoding="utf-8") as of_boxes,
    ):
        pictures, boxes = csv.writer(of_pictures), csv.writer(of_boxes)
        pictures.writerow(_PICTURES)
        boxes.writerow(_BOXES)
        for row in cut.run.rows():
            found, name = cut.boxes(row), cut.name(row)
            height, width = cut.size(row)
            best = row["top"][0] if row["top"] else {"label": None, "share": None}
            pictures.writerow([
                row["id"], row["path"], width, height, row["truth"], best["label"], best["share"],
                row["sure"], name, row["score"], len(found),
            ])  # fmt: skip
            boxes.writerows(
                [row["path"], name, *box.xyxy, box.area_fraction, box.heat_fraction, row["score"],
                 row["id"]]
                for box in found
            )  # fmt: skip
