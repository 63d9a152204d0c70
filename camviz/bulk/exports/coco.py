"""COCO: instances.json with a mask and a box for each connected part.

Masks are runs of pixels down the columns, the first one outside, as numbers
(`{"counts": [...], "size": [H, W]}`), which pycocotools reads as they are. Category ids are the
network's indices + 1. Format: https://cocodataset.org/#format-data
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from camviz.bulk.cut import Cut, Part
from camviz.bulk.pictures import by_picture
from camviz.version import version_of


def write_coco(cut: Cut, folder: Path) -> None:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, rows in enumerate(by_picture(cut.run), 1):
        first = rows[0]
        height, width = cut.size(first)
        images.append({
            "id": number, "file_name": first["path"], "width": width, "height": height,
            "camviz_id": first["id"],
        })  # fmt: skip
        for row in rows:
            for part in cut.parts(row):
                annotations.append({
                    "id": len(annotations) + 1, "image_id": number,
                    "category_id": cut.index(row) + 1, "iscrowd": 0, "score": row["score"],
                    **_annotation(part),
                })  # fmt: skip
    held = {
        "info": {
            "description": f"Run {cut.run.name}: the {cut.of} maps, cut at {cut.level:g} of their "
            "maximum",
            "contributor": f"camviz {version_of('camviz')}",
        },
        "licenses": [],
        "categories": [
            {"id": index + 1, "name": name, "supercategory": ""}
            for index, name in enumerate(cut.classes)
        ],
        "images": images,
        "annotations": annotations,
    }
    (folder / "instances.json").write_text(json.dumps(held), encoding="utf-8")


def _annotation(part: Part) -> dict[str, Any]:
    x0, y0, x1, y1 = part.box.xyxy
    return {
        "segmentation": {"counts": count_runs(part.mask), "size": list(part.mask.shape)},
        "area": int(part.mask.sum()),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
    }


def count_runs(mask: np.ndarray) -> list[int]:
    """The lengths of runs of a mask, bool (H, W), column after column, the first one outside."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    return np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
