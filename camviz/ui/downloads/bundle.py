"""Everything that is shown, as one zip: a report, overlays, raw maps, and a manifest.

Of several pictures each has a folder of its own in the zip, with a file beside them that leads to
their reports.
"""

import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit, urlunsplit

import numpy as np

from camviz.engine.explanation import Explanation
from camviz.engine.export import file_name, write_folder
from camviz.errors import CamvizError
from camviz.maps import render
from camviz.ui import pictures_tab, viewer
from camviz.ui.choices import discreet
from camviz.ui.compare_tab import NOBODY, TOP, Ask, Row, link_of, rows_of
from camviz.ui.downloads.report import FILE, report_html

THRESHOLD, OPACITY = 0.2, 0.55
Report = Callable[[int, int], None]  # pictures that are done, pictures in all


@dataclass(frozen=True)
class Entry:
    """A picture in the zip: its folder, None if there is none, and what was found, or why not."""

    name: str
    folder: str | None
    said: str
    share: float | None = None


def zipped(ask: Ask, address: str = "", report: Report | None = None) -> Path:
    """The three rows of an ask in a zip of its own; of every picture, when there are several.

    address: the address bar, in which the viewer keeps how the maps are coloured. Several pictures
    are explained for the class that was chosen, or each for its own top one. report(done, of) is
    called before every picture; what it raises ends the work. A picture that cannot be explained
    has its reason in the zip in place of a folder.
    """
    place = Path(tempfile.mkdtemp(prefix="camviz-"))
    pictures, _ = pictures_tab.present(ask)
    if len(pictures) < 2:
        rows, link = _explained(ask)
        name = file_name(f"camviz-{ask.backbone}-{_first(rows).label}".replace(" ", "-"))
        return packed(_written(rows, place / name, address, link))
    if ask.picture is not None and not _held(ask, pictures):
        pictures = (ask.picture, *pictures)
    top = place / file_name(f"camviz-{ask.backbone}-{len(pictures)}-pictures")
    top.mkdir()
    entries: list[Entry] = []
    for number, path in enumerate(pictures):
        if report is not None:
            report(number, len(pictures))
        folder = f"{number + 1:02}-{file_name(Path(path).stem)}"
        # Without a class a rival is one of the picture that is shown, and of no other.
        one = replace(ask, picture=path, versus=NOBODY if ask.target == TOP else ask.versus)
        try:
            rows, link = _explained(one)
        except CamvizError as error:
            entries.append(Entry(Path(path).name, None, str(error)))
            continue
        _written(rows, top / folder, address, link)
        x = _first(rows)
        share = next(p for index, _, p in x.predictions if index == x.target)
        entries.append(Entry(x.picture.name, folder, x.label, share))
    (top / "index.html").write_text(index_html(entries), encoding="utf-8")
    return packed(top)


def _explained(ask: Ask) -> tuple[dict[str, Row], dict[str, str]]:
    rows = rows_of(ask)
    return rows, link_of(ask, _first(rows))


def _first(rows: Mapping[str, Row]) -> Explanation:
    x = rows["layercam"]
    assert isinstance(x, Explanation)
    return x


def _held(ask: Ask, pictures: Sequence[str]) -> bool:
    """Whether the picture shown is one of them, if need be by another path."""
    if ask.picture in pictures:
        return True
    return ask.shown in {pictures_tab.thumbnail(path).digest for path in pictures}


def _written(rows: dict[str, Row], folder: Path, address: str, link: dict[str, str]) -> Path:
    """A folder with its report; the manifest, last of all, says that it is complete."""
    folder.mkdir()
    page = report_html(rows, _address(address, link))
    (folder / FILE).write_text(page, encoding="utf-8")
    return write_rows(rows, folder, urlsplit(address).query, link)


def _address(address: str, link: dict[str, str]) -> str:
    """The address bar as it would be with this very picture in sight."""
    place = urlsplit(address)
    kept = {k: v for k, v in parse_qsl(place.query) if k in viewer.SETTINGS}
    return urlunsplit(place._replace(query=urlencode({**link, **kept}), fragment=""))


def packed(folder: Path) -> Path:
    """The files of a folder, and of the folders in it, in a zip beside it."""
    file = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
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
        manifest["rows"][key] = json.loads(discreet(json.dumps(x.manifest(threshold))))
        visible = None if x.fit.shows_all else x.visible
        for name, heat in {**x.maps, "fused": x.fused}.items():
            drawn = render.overlay(
                x.picture.pixels, heat, name=colors, opacity=opacity, visible=visible
            )
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


def index_html(entries: Sequence[Entry]) -> str:
    """A page that leads to the reports of all pictures, with the fused map of each."""
    cells = []
    for entry in entries:
        name, said = escape(entry.name), escape(entry.said)
        if entry.folder is None:
            cells.append(f"<li><b>{name}</b><span>{said}</span></li>")
            continue
        share = "" if entry.share is None else f" {entry.share:.1%}"
        place = quote(entry.folder)
        cells.append(
            f'<li><a href="{place}/{FILE}"><img src="{place}/layercam_fused.png" '
            f'alt="" loading="lazy"><b>{said}{share}</b><span>{name}</span></a></li>'
        )
    return Template(_INDEX).substitute(count=len(entries), cells="\n".join(cells))


_INDEX = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$count pictures · camviz</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 1280px; padding: 1.25rem; }
ol {
  display: grid; gap: 1rem; padding: 0; list-style: none;
  grid-template-columns: repeat(auto-fill, minmax(180px, 1fr));
}
a { color: inherit; text-decoration: none; display: block; }
a:is(:hover, :focus-visible) b { text-decoration: underline; }
img { width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 10px; }
b, span { display: block; overflow-wrap: anywhere; }
span { opacity: 0.7; font-size: 0.85rem; }
</style>
</head>
<body>
<h1>$count pictures</h1>
<p>Under each, the class that is explained: the map shows where the network sees it, all layers
together. A click opens the report.</p>
<ol>
$cells
</ol>
</body>
</html>
"""
