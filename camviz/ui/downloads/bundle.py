"""Everything that is shown, as one zip: a report, overlays, raw maps, and a manifest.

Of several pictures each has a folder of its own in the zip, with a file beside them that leads to
their reports.
"""

import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np
from PIL import Image

from camviz.defaults import FUSED, REFINED, VIEWER_SETTINGS
from camviz.engine.explanation import Explanation
from camviz.engine.export import Canvas, Drawing, Size, write_folder
from camviz.engine.views import Progress
from camviz.errors import CamvizError
from camviz.files import file_name, shown_name
from camviz.maps.runs import resize_mask
from camviz.ui import covering, html, service, strip
from camviz.ui.compute import engine
from camviz.ui.costs import check_drawing
from camviz.ui.covering import Covered
from camviz.ui.downloads.overlays import Look, draw_rows
from camviz.ui.downloads.report import FILE, report_html
from camviz.ui.features import FEATURES
from camviz.ui.hosting.limits import storage
from camviz.ui.service import Found, truth_of
from camviz.ui.state import NOBODY, TOP, Controls, Task, Unavailable

MOST_BYTES = 14_000_000  # of the pictures of one picture's folder
COMPRESSED = (".jpg", ".png", ".npz")
MAPS_OF_ALL = (FUSED, REFINED)


@dataclass(frozen=True)
class Entry:
    """A picture in the zip: its folder, None if there is none, and what was found, or why not.

    map: the file of its fused map, in the folder.
    """

    name: str
    folder: str | None
    text: str
    share: float | None = None
    map: str = ""


def make_zip(
    controls: Controls,
    address: str = "",
    task: Task | None = None,
    size: Size = "screen",
    owner: str = "",
) -> Path:
    """The three rows of a picture in a zip of its own; of every picture, when there are several.

    address: the address bar, in which the viewer keeps how the maps are coloured. size: of the
    overlays, see `Canvas.of`. Several pictures are explained for the class that was chosen, or each
    for its own top one. The task reports before every picture and every map, and ends the work when
    it is cancelled. A picture that cannot be explained has its reason in the zip in place of a
    folder. Nothing is left on disk but the zip, which is in the storage as one of the owner's
    files.
    """
    task = task or Task()
    with tempfile.TemporaryDirectory(prefix="camviz-") as work:
        folder = _write_everything(controls, Path(work), address, task, size)
        return storage().keep_result(owner, pack(folder, task.check))


def _write_everything(
    controls: Controls, place: Path, address: str, task: Task, size: Size
) -> Path:
    """The folder with all that goes into the zip, in a place where nothing else is."""
    pictures, _ = strip.present(controls)
    if len(pictures) < 2:
        rows, link, covered = _explain(controls, size, task.report)
        task.start("Drawing the maps …")
        words = ["camviz", controls.backbone.name, _first(rows).label or "features"]
        name = file_name("-".join(map(str, words)).replace(" ", "-"))
        return _write(rows, place / name, address, link, covered, size, task.report)
    if controls.picture is not None and not _is_among(controls.picture, pictures):
        pictures = (controls.picture, *pictures)
    top = place / file_name(f"camviz-{controls.backbone.name}-{len(pictures)}-pictures")
    top.mkdir()
    entries = []
    for number, path in enumerate(pictures):
        task.label = f"Packing picture {number + 1} of {len(pictures)} …"
        task.report(number, len(pictures))
        folder = top / f"{number + 1:02}-{file_name(Path(path).stem)}"
        part = task.part(number, len(pictures))
        here = controls
        if path != controls.picture:
            here = controls.with_picture(path)
            if here.target == TOP:  # the rival is one of the class of the picture that is shown
                here = replace(here, versus=NOBODY)
        entries.append(_write_picture(here, folder, address, size, part))
    (top / "index.html").write_text(html.render("index.html", entries=entries), encoding="utf-8")
    return top


def _write_picture(
    controls: Controls, folder: Path, address: str, size: Size, progress: Progress
) -> Entry:
    """Write one of several pictures to a folder; returns its entry in the index."""
    try:
        rows, link, covered = _explain(controls, size, progress)
    except CamvizError as error:
        return Entry(shown_name(str(controls.picture)), None, html.sentence(error))
    _write(rows, folder, address, link, covered, size, progress)
    x = _first(rows)
    share = next((p for index, _, p in x.predictions if index == x.target), None)
    fused = next(folder.glob(f"{service.LAYERCAM}_{FUSED}.*")).name
    return Entry(x.picture.name, folder.name, x.label, share, fused)


def _explain(
    controls: Controls, size: Size, progress: Progress
) -> tuple[dict[str, Found], dict[str, str], Covered | None]:
    """The three rows, the query of the link that reopens them, and what is covered, if anything.

    Raises `ImageError` before any work if they are too much to draw at this size.
    """
    if controls.picture is not None:
        maps = len(service.stages_of(controls)) + len(MAPS_OF_ALL)
        drawn = 1 + maps * len(service.rows_of(service.load(controls.backbone)))
        check_drawing(service.picture_at(controls.picture), drawn, size)
    rows = service.rows(controls, progress)
    first = _first(rows)
    covered = None if controls.cover.is_empty else covering.covered(controls, first)
    return rows, service.link_of(controls, first), covered


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


def _write(
    rows: dict[str, Found],
    folder: Path,
    address: str,
    link: dict[str, str],
    covered: Covered | None,
    size: Size,
    progress: Progress,
) -> Path:
    """Write a folder with its report, and last of all the manifest: with it, it is complete."""
    folder.mkdir()
    page = report_html(rows, _address(address, link), covered)
    (folder / FILE).write_text(page, encoding="utf-8")
    query = urlsplit(address).query
    return write_rows(rows, folder, query, link, size, covered=covered, progress=progress)


def _address(address: str, link: dict[str, str]) -> str:
    """The address bar as it would be with this very picture in sight."""
    place = urlsplit(address)
    kept = {k: v for k, v in parse_qsl(place.query) if k in VIEWER_SETTINGS}
    return urlunsplit(place._replace(query=urlencode({**link, **kept}), fragment=""))


def pack(folder: Path, check: Callable[[], object] = lambda: None) -> Path:
    """The files of a folder, and of the folders in it, in a zip beside it.

    What is compressed already is stored as it is. check: called before each file; it may raise to
    end the work.
    """
    file = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            check()
            if path.is_file():
                kind = zipfile.ZIP_STORED if path.suffix in COMPRESSED else zipfile.ZIP_DEFLATED
                archive.write(path, path.relative_to(folder).as_posix(), kind)
    return file


def write_rows(
    rows: dict[str, Found],
    folder: str | Path,
    query: str = "",
    link: dict[str, str] | None = None,
    size: Size = "screen",
    *,
    covered: Covered | None = None,
    progress: Progress | None = None,
) -> Path:
    """Overlays per row and layer, maps.npz with every raw map, and last manifest.json.

    query: how the overlays are drawn, as the viewer keeps it in the address bar. size: of the
    overlays, see `Canvas.of`; all pictures together have `MOST_BYTES` by and large. covered: the
    picture as it is covered, and the mask, are written, too. progress: called before each picture
    that is drawn; it may raise to end the work.
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
        arrays["logits" if first.backbone.has_classes else "features"] = first.logits
        if not first.backbone.has_classes:
            for name in first.stages:
                components = engine().components(first, name)
                pictures[f"{FEATURES}_{name}"] = replace(components, fit=canvas.fit).colors
                arrays[f"{FEATURES}/{name}"] = components.raw
        if covered is not None:
            pictures["covered"] = partial(canvas.shown, covered.after.picture.pixels)
            _write_mask(covered.mask, canvas, Path(folder) / "mask.png")
        manifest |= canvas.description
        suffix = canvas.suffix
    for key, row in rows.items():
        if isinstance(row, Unavailable):
            manifest["rows"][key] = {"reason": row.reason}
            continue
        manifest["rows"][key] = row.manifest(look.cut, public=True)
        arrays |= {f"{key}/{name}": raw for name, raw in row.raw.items()}
        arrays |= {f"{key}/{name}": row.grid(name)[0] for name in row.maps_of_all}
    return write_folder(
        folder, pictures, arrays, manifest, suffix, most_bytes=MOST_BYTES, progress=progress
    )


def _write_mask(mask: np.ndarray, canvas: Canvas, file: Path) -> None:
    """What is covered, one bit a pixel, at the size of the overlays."""
    Image.fromarray(resize_mask(mask, *canvas.pixels.shape[:2])).save(file)
