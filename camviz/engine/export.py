"""A result as files: pictures, numbers, and last of all the manifest that says what they are.

The manifest is written last and the folder appears at once or not at all, so that a folder with
a manifest is a complete one.
"""

import io
import json
import platform
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from camviz.defaults import THRESHOLD
from camviz.files import output_folder
from camviz.maps import render
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS, denoise
from camviz.version import version_of

if TYPE_CHECKING:
    from camviz.engine.explanation import Explanation

PREVIEW = 480  # pixels of a longer side


def save_explanation(x: "Explanation", folder: str | Path, threshold: float = THRESHOLD) -> Path:
    """Write overlays, raw and fused maps, and the manifest of an explanation.

    threshold: the boxes drawn on the fused overlay are around this share of its maximum.
    """
    output_folder(folder)  # before the work, not after it
    visible = None if x.fit.shows_all else x.visible
    pixels = x.picture.pixels
    boxes = x.boxes(threshold, multi=True)
    pictures = {"picture": pixels}
    for name in x.stages:
        pictures[f"overlay_{name}"] = render.overlay(pixels, x.maps[name], visible=visible)
    fused = render.overlay(pixels, x.fused, visible=visible)
    pictures["overlay_fused"] = render.draw_boxes(fused, [box.xyxy for box in boxes])
    arrays = {f"raw/{name}": raw for name, raw in x.raw.items()}
    arrays |= {f"plain/{name}": raw for name, raw in x.plain.items()}
    arrays |= {"fused": x.fused, "fused_grid": x.fused_grid[0], "logits": x.logits}
    return write_folder(folder, pictures, arrays, manifest_of(x, threshold))


def preview(x: "Explanation") -> bytes:
    """A PNG of the picture and, beside it, the fused map on it with its largest box.

    Longer sides are made smaller, to `PREVIEW` pixels.
    """
    pixels = x.picture.pixels
    height, width = pixels.shape[:2]
    scale = min(1.0, PREVIEW / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    def smaller(array: np.ndarray) -> np.ndarray:
        return cv2.resize(array, size, interpolation=cv2.INTER_AREA)

    visible = None if x.fit.shows_all else smaller(x.visible.astype(np.float32)) >= 0.5
    drawn = render.overlay(smaller(pixels), smaller(x.fused), visible=visible)
    for box in x.boxes()[:1]:
        x0, y0, x1, y1 = (round(side * scale) for side in box.xyxy)
        drawn = render.draw_boxes(drawn, [(x0, y0, x1, y1)])
    file = io.BytesIO()
    Image.fromarray(render.contact_sheet([[smaller(pixels), drawn]])).save(file, "PNG")
    return file.getvalue()


def manifest_of(
    x: "Explanation", threshold: float = THRESHOLD, *, public: bool = False
) -> dict[str, Any]:
    """An explanation in plain values: request, network, geometry, notes, boxes.

    public: the request, too, names the backbone by its display name, for people who have no
    business with a path on this machine. Such a request cannot be repeated elsewhere.
    """
    method, fusion = METHODS[x.request.method], FUSIONS[x.request.fuse]
    request = asdict(x.request)
    figure = "value" if x.backbone.output == "value" else "probability"
    if public:
        request["backbone"] = x.backbone.display_name
    return {
        "camviz": version_of("camviz"),
        "versions": {name: version_of(name) for name in ("torch", "timm", "numpy")},
        "python": platform.python_version(),
        "request": request,
        "picture": {
            "name": x.picture.name,
            "sha256": x.picture.digest,
            "size": [x.picture.height, x.picture.width],
        },
        "backbone": {
            "name": x.backbone.display_name,
            "weights": asdict(x.backbone.weights),
            "digest": x.digest,
            "parameters": x.backbone.parameters,
            "input_size": list(x.backbone.input_size),
            "mean": list(x.backbone.mean),
            "std": list(x.backbone.std),
            "interpolation": x.backbone.interpolation,
            "crop_pct": x.backbone.crop_pct,
            "crop_mode": x.backbone.crop_mode,
            "output": x.backbone.output,
        },
        "geometry": {
            "fit": x.request.fit,
            "rect": list(x.fit.rect),
            "placements": {name: asdict(p) for name, p in x.placements.items()},
        },
        "target": {"index": x.target, "label": x.label},
        "sure": x.is_confident,
        "predictions": [
            {"index": i, "label": label, figure: p} for i, label, p in x.predictions[:10]
        ],
        "method": {
            "label": method.label,
            "paper": method.paper,
            "denoising": denoise.SOURCE if x.request.truncated else None,
            "fusion": fusion.label,
        },
        "prototypes": None if x.bank is None else x.bank.summary,
        "notes": {name: asdict(notes) for name, notes in x.notes.items()},
        "threshold": threshold,
        "boxes": [asdict(box) for box in x.boxes(threshold, multi=True)],
    }


def write_folder(
    folder: str | Path,
    pictures: Mapping[str, np.ndarray],
    arrays: Mapping[str, np.ndarray],
    manifest: Mapping[str, Any],
) -> Path:
    """Write `NAME.png` per picture, `maps.npz` and `manifest.json`; returns the folder.

    An existing folder keeps its other files; those of the same names are replaced. pictures:
    uint8 (H, W, 3). If anything fails, nothing of this result is left behind.
    """
    target = output_folder(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".camviz-") as work:
        files = []
        for name, pixels in pictures.items():
            file = Path(work) / f"{file_name(name)}.png"
            Image.fromarray(pixels).save(file)
            files.append(file)
        archive = Path(work) / "maps.npz"
        np.savez_compressed(archive, **dict(arrays))  # type: ignore[arg-type]
        sheet = Path(work) / "manifest.json"
        listed = {"files": [file.name for file in (*files, archive)]}
        sheet.write_text(json.dumps({**manifest, **listed}, indent=2, ensure_ascii=False) + "\n")
        # From here on the old manifest, if any, no longer describes the files.
        (target / sheet.name).unlink(missing_ok=True)
        placed = []
        try:
            for file in (*files, archive, sheet):
                placed.append(target / file.name)
                shutil.move(file, placed[-1])
        except BaseException:
            for file in placed:
                file.unlink(missing_ok=True)
            raise
    return target


def file_name(name: str) -> str:
    """A stage's name as part of a file name: letters, digits, dot, dash and underscore."""
    return "".join(c if c.isalnum() or c in ".-_" else "-" for c in name)
