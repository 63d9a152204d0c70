"""Everything that is shown, as one zip: overlays, raw maps, and a manifest that can repeat it."""

import tempfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np

from camviz import render
from camviz.engine import Explanation
from camviz.export import file_name, write_folder
from camviz.ui.compare_tab import Ask, Row, link_of, rows_of

THRESHOLD, OPACITY = 0.2, 0.55


def zipped(ask: Ask, query: str = "") -> Path:
    """The three rows of an ask in a zip of its own.

    query: the address bar, in which the viewer keeps how the maps are coloured.
    """
    rows = rows_of(ask)
    x = rows["layercam"]
    assert isinstance(x, Explanation)
    place = Path(tempfile.mkdtemp(prefix="camviz-"))
    name = file_name(f"camviz-{ask.backbone}-{x.label}".replace(" ", "-"))
    folder = write_rows(rows, place / name, query, link_of(ask, x))
    return packed(folder)


def packed(folder: Path) -> Path:
    """The files of a folder in a zip beside it."""
    file = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return file


def write_rows(
    rows: dict[str, Row], folder: str | Path, query: str = "", link: dict[str, str] | None = None
) -> Path:
    """Overlays per row and layer, maps.npz with every raw map, and last manifest.json."""
    said = {key: values[-1] for key, values in parse_qs(query.lstrip("?")).items()}
    colors = said.get("colors", "viridis")
    colors = colors if colors in render.COLOR_MAPS else "viridis"
    threshold = _share(said.get("threshold"), THRESHOLD) or THRESHOLD
    opacity = _share(said.get("opacity"), OPACITY)
    pictures: dict[str, np.ndarray] = {}
    arrays: dict[str, np.ndarray] = {}
    manifest: dict[str, Any] = {"link": link or {}, "rows": {}}
    for key, x in rows.items():
        if isinstance(x, str):
            manifest["rows"][key] = {"said": x}
            continue
        pictures.setdefault("picture", x.picture.pixels)
        manifest["rows"][key] = x.manifest(threshold)
        seen = None if x.fit.seen else x.seen
        for name, heat in {**x.maps, "fused": x.fused}.items():
            drawn = render.overlay(x.picture.pixels, heat, name=colors, opacity=opacity, seen=seen)
            if name == "fused":
                boxes = [box.xyxy for box in x.boxes(threshold, multi=True)]
                drawn = render.draw_boxes(drawn, boxes)
            pictures[f"{key}_{name}"] = drawn
        arrays |= {f"{key}/{name}": raw for name, raw in x.raw.items()}
        arrays[f"{key}/fused"] = x.fused_grid[0]
        arrays.setdefault("logits", x.logits)
    return write_folder(folder, pictures, arrays, manifest)


def _share(text: str | None, otherwise: float) -> float:
    """A number from 0 to 1, or what is used in its place."""
    try:
        value = float(text or "")
    except ValueError:
        return otherwise
    return value if 0 <= value <= 1 else otherwise
