"""Label Studio: tasks.json with boxes as predictions, to be corrected, and label-config.xml.

Pictures are named as Label Studio's local storage serves them (`/data/local-files/?d=PATH`): set
LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT to the folder that paths begin from.
Format: https://labelstud.io/guide/predictions
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from camviz.bulk.cut import Cut
from camviz.bulk.pictures import by_picture
from camviz.maps.boxes import Box


def write_label_studio(cut: Cut, folder: Path) -> None:
    tasks, used = [], set()
    for rows in by_picture(cut.run):
        first = rows[0]
        used |= {cut.index(row) for row in rows}
        boxes = [(row, box) for row in rows for box in cut.boxes(row)]
        tasks.append({
            "data": {
                "image": f"/data/local-files/?d={quote(first['path'])}",
                "path": first["path"],
                "camviz_id": first["id"],
            },
            "predictions": [{
                "model_version": f"camviz {cut.run.name[:12]}",
                "score": first["score"],
                "result": [
                    _region(cut, row, box, f"{row['id'][:12]}-{number}")
                    for number, (row, box) in enumerate(boxes)
                ],
            }],
        })  # fmt: skip
    (folder / "tasks.json").write_text(json.dumps(tasks, indent=1), encoding="utf-8")
    root = ElementTree.Element("View")
    ElementTree.SubElement(root, "Image", name="image", value="$image")
    labels = ElementTree.SubElement(root, "RectangleLabels", name="label", toName="image")
    for index in sorted(used):
        ElementTree.SubElement(labels, "Label", value=cut.classes[index])
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(folder / "label-config.xml", encoding="utf-8")


def _region(cut: Cut, row: Mapping[str, Any], box: Box, id: str) -> dict[str, Any]:
    x0, y0, x1, y1 = box.xyxy
    height, width = cut.size(row)
    across, down = 100 / width, 100 / height
    return {
        "id": id,
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": row["score"],
        "value": {
            "x": x0 * across, "y": y0 * down,
            "width": (x1 - x0) * across, "height": (y1 - y0) * down,
            "rotation": 0, "rectanglelabels": [cut.name(row)],
        },
    }  # fmt: skip
