"""Everything that is shown, as one zip: a report, overlays, raw maps, and a manifest.

Of several pictures each has a folder of its own in the zip, with a file beside them that leads to
their reports.
"""

import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np

from camviz.defaults import VIEWER_SETTINGS
from camviz.engine.explanation import Explanation
from camviz.engine.export import Canvas, Drawing, Size, file_name, write_folder
from camviz.errors import CamvizError
from camviz.ui import html, service, strip
from camviz.ui.downloads.overlays import Look, draw_rows
from camviz.ui.downloads.report import FILE, report_html
from camviz.ui.service import Found, truth_of
from camviz.ui.state import NOBODY, TOP, Controls, Task, Unavailable


@dataclass(frozen=True)
class Entry:
    """A picture in the zip: its folder, None if there is none, and what was found, or why not."""

    name: str
    folder: str | None
    text: str
    share: float | None = None


def make_zip(controls: Controls, address: str = "", task: Task | None = None) -> Path:
    """The three rows of a picture in a zip of its own; of every picture, when there are several.

    address: the address bar, in which the viewer keeps how the maps are coloured. Several pictures
    are explained for the class that was chosen, or each for its own top one. The task reports
    before every picture, and ends the work when it is cancelled. A picture that cannot be
    explained has its reason in the zip in place of a folder.
    """
    task = task or Task()
    place = Path(tempfile.mkdtemp(prefix="camviz-"))
    pictures, _ = strip.present(controls)
    if len(pictures) < 2:
        rows, link = _explain(controls)
        name = file_name(f"camviz-{controls.backbone.name}-{_first(rows).label}".replace(" ", "-"))
        return pack(_write(rows, place / name, address, link))
    if controls.picture is not None and not _is_among(controls.picture, pictures):
        pictures = (controls.picture, *pictures)
    top = place / file_name(f"camviz-{controls.backbone.name}-{len(pictures)}-pictures")
    top.mkdir()
    entries = []
    for number, path in enumerate(pictures):
        task.label = f"Packing picture {number + 1} of {len(pictures)} …"
        task.report(number, len(pictures))
        folder = top / f"{number + 1:02}-{file_name(Path(path).stem)}"
        entries.append(_write_picture(replace(controls, picture=path), folder, address))
    (top / "index.html").write_text(html.render("index.html", entries=entries), encoding="utf-8")
    return pack(top)


def _write_picture(controls: Controls, folder: Path, address: str) -> Entry:
    """Write one of several pictures to a folder; returns its entry in the index."""
    if controls.target == TOP:  # a rival belongs to the picture that is shown, and to no other
        controls = replace(controls, versus=NOBODY)
    try:
        rows, link = _explain(controls)
    except CamvizError as error:
        return Entry(Path(str(controls.picture)).name, None, str(error))
    _write(rows, folder, address, link)
    x = _first(rows)
    share = next(p for index, _, p in x.predictions if index == x.target)
    return Entry(x.picture.name, folder.name, x.label, share)


def _explain(controls: Controls) -> tuple[dict[str, Found], dict[str, str]]:
    """The three rows, and the query of the link that reopens them."""
    rows = service.rows(controls)
    return rows, service.link_of(controls, _first(rows))


def _first(rows: Mapping[str, Found]) -> Explanation:
    x = rows[service.LAYERCAM]
    assert isinstance(x, Explanation)
    return x


def _is_among(picture: str, pictures: Sequence[str]) -> bool:
    """Whether a picture is one of several, if need be by another path."""
    if picture in pictures:
        return True
    digest = strip.digest_of(picture)
    return digest is not None and digest in map(strip.digest_of, pictures)


def _write(rows: dict[str, Found], folder: Path, address: str, link: dict[str, str]) -> Path:
    """Write a folder with its report, and last of all the manifest: with it, it is complete."""
    folder.mkdir()
    page = report_html(rows, _address(address, link))
    (folder / FILE).write_text(page, encoding="utf-8")
    return write_rows(rows, folder, urlsplit(address).query, link)


def _address(address: str, link: dict[str, str]) -> str:
    """The address bar as it would be with this very picture in sight."""
    place = urlsplit(address)
    kept = {k: v for k, v in parse_qsl(place.query) if k in VIEWER_SETTINGS}
    return urlunsplit(place._replace(query=urlencode({**link, **kept}), fragment=""))


def pack(folder: Path) -> Path:
    """The files of a folder, and of the folders in it, in a zip beside it."""
    file = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return file


def write_rows(
    rows: dict[str, Found],
    folder: str | Path,
    query: str = "",
    link: dict[str, str] | None = None,
    size: Size = "screen",
) -> Path:
    """Overlays per row and layer, maps.npz with every raw map, and last manifest.json.

    query: how the overlays are drawn, as the viewer keeps it in the address bar. size: of the
    overlays, see `Canvas.of`.
    """
    look = Look.read(query)
    found = {key: x for key, x in rows.items() if isinstance(x, Explanation)}
    pictures: dict[str, Drawing] = {}
    arrays: dict[str, np.ndarray] = {}
    manifest: dict[str, Any] = {"link": link or {}, "view": asdict(look), "rows": {}}
    suffix = ".png"
    if found:  # all rows are of one picture
        first = next(iter(found.values()))
        canvas = Canvas.of(first, size)
        truth = (truth_of(first) or {}).get(look.outline)
        pictures = {"picture": canvas.pixels, **draw_rows(found, canvas, look, truth)}
        arrays["logits"] = first.logits
        manifest |= canvas.description
        suffix = canvas.suffix
    for key, row in rows.items():
        if isinstance(row, Unavailable):
            manifest["rows"][key] = {"said": row.reason}
            continue
        manifest["rows"][key] = row.manifest(look.cut, public=True)
        arrays |= {f"{key}/{name}": raw for name, raw in row.raw.items()}
        arrays |= {f"{key}/{name}": row.grid(name)[0] for name in row.maps_of_all}
    return write_folder(folder, pictures, arrays, manifest, suffix)
