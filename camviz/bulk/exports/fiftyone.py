"""FiftyOne's FiftyOneImageDetectionDataset: labels.json, and data.json with the pictures' paths.

    fiftyone.Dataset.from_dir(
        dataset_type=fiftyone.types.FiftyOneImageDetectionDataset,
        data_path="OUT/data.json", labels_path="OUT/labels.json",
    )

Boxes are shares of the picture: left, top, width, height.
Format: https://docs.voxel51.com/user_guide/import_datasets.html#fiftyoneimagedetectiondataset
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camviz.bulk.cut import Cut
from camviz.bulk.pictures import by_picture, picture_file
from camviz.maps.boxes import Box


def write_fiftyone(cut: Cut, folder: Path) -> None:
    files, labels = {}, {}
    for rows in by_picture(cut.run):
        first = rows[0]
        file = picture_file(cut.run, first)
        files[first["id"]] = first["path"] if file is None else str(file.resolve())
        labels[first["id"]] = [_detection(cut, row, box) for row in rows for box in cut.boxes(row)]
    for name, held in (("data.json", files), ("labels.json", {"labels": labels})):
        (folder / name).write_text(json.dumps(held, indent=1), encoding="utf-8")


def _detection(cut: Cut, row: Mapping[str, Any], box: Box) -> dict[str, Any]:
    x0, y0, x1, y1 = box.xyxy
    height, width = cut.size(row)
    return {
        "label": cut.name(row),
        "bounding_box": [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height],
        "confidence": row["score"],
        "attributes": {"area": box.area_fraction, "heat": box.heat_fraction},
    }
