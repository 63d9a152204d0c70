"""Runs as the page shows them: which may be opened, what is sent of all pictures, and of a few.

    found = opened("marked-rams")
    run_value(found)                  # figures of all pictures: small
    tiles(found, [0, 1, 2])           # pictures and maps of those that are to be seen
    groups(found, "ram", 4)

Visitors name runs as this server lists them (`CAMVIZ_RUNS`) and pictures by number, never a path.
Needs pyarrow.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from camviz.bulk.collection import FIGURES, SIDE, Collection, disagreement, open_collection
from camviz.bulk.groups import GROUPS, LEAST, MOST_GROUPS, group_maps
from camviz.bulk.pictures import picture_file
from camviz.bulk.run import Run, runs_in
from camviz.defaults import FUSED
from camviz.environment import environment
from camviz.errors import CamvizError, DataError, ImageError
from camviz.files import user_path
from camviz.images import open_picture
from camviz.resources import ASSETS
from camviz.ui import html
from camviz.ui.viewer.encode import encode_map, to_base64

EXAMPLE, EXAMPLE_NAME = ASSETS / "runs" / "marked-rams", "Marked rams, an example"
TILE_SIDE = 112  # pixels of a tile's longer side
TILE_QUALITY = 70
TILE_CELLS = 28  # of a side of a tile's map
MOST_TILES = 64  # that are sent at once


# -- Which runs there are ------------------------------------------------------------------------


def runs() -> dict[str, Path]:
    """The runs that may be opened, by their names on the page: the operator's, then the example.

    Those of several methods, which were made together, stand by themselves: "birds, grad_cam".
    """
    found: dict[str, Path] = {}
    for text in environment().runs.split(os.pathsep):
        if text.strip():
            folder = user_path(text.strip())
            name = folder.resolve().name
            for each in runs_in(folder):
                found[_free(name if each == folder else f"{name}, {each.name}", found)] = each
    return found | {EXAMPLE_NAME: EXAMPLE}


def _free(name: str, taken: Mapping[str, Path]) -> str:
    number = 2
    wanted = name
    while wanted in taken or wanted == EXAMPLE_NAME:
        wanted, number = f"{name} ({number})", number + 1
    return wanted


def opened(name: str) -> Collection:
    """A run by its name on the page. Raises `DataError` for one that there is not."""
    found = runs()
    if name not in found:
        raise DataError(f"there is no run '{name}' here; runs: {', '.join(found)}")
    run = Run.open(found[name])
    stamp = tuple((part.name, part.stat().st_mtime_ns) for part in run.parts)
    return _opened(found[name], stamp, environment().run_pictures)


@lru_cache(maxsize=4)
def _opened(folder: Path, stamp: tuple[tuple[str, int], ...], most: int) -> Collection:
    """stamp: what changes when the run grows."""
    return open_collection(Run.open(folder), most)


# -- What is sent --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RunValue:
    """Everything that <run-collection> has of all pictures; see `RunValue` of sheet.js.

    figures: thousandths, None where nothing is known. grouped: "CLASS:GROUPS" -> groups.
    """

    key: str
    names: tuple[str, ...]
    explained: tuple[int, ...]
    answers: tuple[int, ...]
    truths: tuple[int, ...]
    figures: Mapping[str, list[int | None]]
    titles: Mapping[str, tuple[str, str]]
    side: int
    least: int
    groups: int
    most_groups: int
    grouped: Mapping[str, list[dict[str, Any]]]
    opens: bool

    def to_json(self) -> dict[str, Any]:
        """The same in values that JSON knows."""
        return asdict(self)


def run_value(
    found: Collection,
    other: Collection | None = None,
    *,
    grouped: Mapping[str, list[dict[str, Any]]] | None = None,
    opens: bool = True,
) -> RunValue:
    """What is sent of a run. other: the one that it is compared with."""
    figures = dict(found.figures)
    if other is not None:
        figures["disagreement"] = disagreement(found, other)
    figures = {name: values for name, values in figures.items() if np.isfinite(values).any()}
    texts = (*found.labels, *found.answers, *found.truths)
    place = {name: number for number, name in enumerate(dict.fromkeys(texts))}
    return RunValue(
        key=key_of(found, other),
        names=tuple(place),
        explained=tuple(place[name] for name in found.labels),
        answers=tuple(place[name] for name in found.answers),
        truths=tuple(place[name] if name else -1 for name in found.truths),
        figures={name: _thousandths(values) for name, values in figures.items()},
        titles={name: (FIGURES[name].title, FIGURES[name].meaning) for name in figures},
        side=SIDE,
        least=LEAST,
        groups=GROUPS,
        most_groups=MOST_GROUPS,
        grouped=grouped or {},
        opens=opens,
    )


def key_of(found: Collection, other: Collection | None = None) -> str:
    """What tells a run, as far as it is written, and the one beside it from others."""
    parts = [(each.run.name, len(each)) for each in (found, other) if each is not None]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _thousandths(values: np.ndarray) -> list[int | None]:
    return [None if np.isnan(value) else round(float(value) * 1000) for value in values]


def tiles(found: Collection, places: Sequence[int]) -> list[dict[str, Any]]:
    """Small pictures and maps of some pictures, by their numbers; others are left out."""
    inside = [place for place in places[:MOST_TILES] if 0 <= place < len(found)]
    columns = ["path", "width", "height", "rect", "fused"]
    rows = found.run.some([found.ids[place] for place in inside], columns)
    return [
        _tile(found.run, place, rows[found.ids[place]])
        for place in inside
        if found.ids[place] in rows
    ]


def _tile(run: Run, place: int, row: Mapping[str, Any]) -> dict[str, Any]:
    file = picture_file(run, row)
    return {
        "place": place,
        "name": Path(row["path"]).name,
        "picture": "" if file is None else small_picture(file, file.stat().st_mtime_ns),
        "map": encode_map(run.heat(row, FUSED, (TILE_CELLS, TILE_CELLS))),
        "side": TILE_CELLS,
        "aspect": round(row["width"] / row["height"], 3),
    }


@lru_cache(maxsize=4096)
def small_picture(file: Path, stamp: int) -> str:
    """A picture of a tile as a data URL, "" for what is none; stamp: when it was changed."""
    try:
        return html.data_url(_thumbnail(file), TILE_QUALITY)
    except (ImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""


def _thumbnail(file: Path) -> np.ndarray:
    """A JPEG is decoded at the size that is needed, many times as fast; all else as ever."""
    with Image.open(file) as image:
        if image.format == "JPEG":
            image.draft("RGB", (2 * TILE_SIDE, 2 * TILE_SIDE))
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return html.thumbnail(np.asarray(upright), TILE_SIDE)
    return html.thumbnail(open_picture(file).pixels, TILE_SIDE)


def groups(found: Collection, label: str, count: int) -> list[dict[str, Any]]:
    """The maps of a class by likeness, as <run-collection> takes them; none of too few maps."""
    places = found.places(label)
    if len(places) < LEAST or not 1 <= count <= MOST_GROUPS:
        return []
    return [
        {
            "members": places[group.members].tolist(),
            "mean": to_base64(
                np.rint(group.mean / max(group.mean.max(), 1e-9) * 255).astype(np.uint8).tobytes()
            ),
            "likeness": round(group.likeness, 4),
        }
        for group in group_maps(found.maps[places], count)
    ]


def file_of(found: Collection, place: int) -> Path:
    """The file of a picture. Raises `CamvizError` if there is none."""
    if not 0 <= place < len(found):
        raise CamvizError(f"the run has no picture of the number {place}")
    file = picture_file(found.run, {"path": found.paths[place]})
    if file is None:
        name = Path(found.paths[place]).name
        raise ImageError(f"'{name}' is not on this machine any more; only its map was kept")
    return file
