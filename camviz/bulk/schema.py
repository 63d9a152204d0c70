"""What is kept of a picture in a run: one row of a Parquet file.

    row = row_of(x, key="train/cat-1.jpg", path="train/cat-1.jpg", truth="cat")
    decode(row["fused"])        # float32 (h, w), in [0, 1]

A map is kept at its own resolution, as bytes: rint(255 n) of the map n in [0, 1], beside the
maximum of the raw one. No threshold is baked in but that of the boxes, which are made again for
any other from the maps (`camviz.bulk.run.Run.heat`).
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from camviz.defaults import FUSED, REFINED
from camviz.engine.explanation import Explanation

# Of the rows, in the configuration that names a run: raised when they, or the maps that a network
# gives, are others than before. Versions of camviz that give the same have the same runs.
VERSION = 1
BEST = 5  # classes of a picture that are kept
# What UTF-8 has no form for: in group 1 the bytes of a file's name that are no text.
_SURROGATE = re.compile("([\udc80-\udcff])|[\ud800-\udfff]")
_STORED = re.compile("\ufffd([89a-f][0-9a-f])")

_MAP = pa.struct([
    ("height", pa.int16()),
    ("width", pa.int16()),
    ("maximum", pa.float32()),  # of the raw map, in the method's own units; of others 1, or 0
    ("map", pa.binary()),  # uint8, row by row
])  # fmt: skip
_STAGE = pa.struct([("name", pa.string()), *((field.name, field.type) for field in _MAP)])
_CLASS = pa.struct([("index", pa.int32()), ("label", pa.string()), ("share", pa.float32())])
_BOX = pa.struct([
    ("of", pa.string()),  # "fused" or "refined"
    *((name, pa.int32()) for name in ("x0", "y0", "x1", "y1")),  # half-open, in pixels
    ("area", pa.float32()),  # the part's pixels over the picture's
    ("heat", pa.float32()),  # the part's heat over all of the map's
])  # fmt: skip
ROWS = pa.schema([
    ("id", pa.string()),  # SHA-256 of the key, in hex
    ("path", pa.string()),  # as of `storable`
    ("width", pa.int32()),  # of the picture as it was opened, in whose pixels boxes and rect are
    ("height", pa.int32()),
    ("own_width", pa.int32()),  # of its file, which is larger where it was decoded at half its size
    ("own_height", pa.int32()),  # not kept by earlier versions: null stands for width and height
    ("truth", pa.string()),  # the label that the source gives the picture, if it gives one
    ("top", pa.list_(_CLASS)),
    ("sure", pa.bool_()),
    ("target", pa.int32()),  # null: the network knows no classes
    ("label", pa.string()),
    ("score", pa.float32()),  # the target's probability or value
    ("stages", pa.list_(_STAGE)),  # shallow to deep, or as chosen: in the order of the run's stages
    ("fused", _MAP),
    ("refined", _MAP),  # null: it is off
    ("removed", pa.float32()),  # share of the evidence, mean over stages; null: not denoised
    ("boxes", pa.list_(_BOX)),
    ("notes", pa.list_(pa.string())),  # one of each stage
    ("rect", pa.list_(pa.float64(), 4)),  # what the network was shown, see `camviz.fit.Fit`
])  # fmt: skip
# Pictures of which there are no maps.
ERRORS = pa.schema([("id", pa.string()), ("path", pa.string()), ("error", pa.string())])


def id_of(key: str) -> str:
    """The name of a picture in a run: SHA-256 of its key, in hex."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def storable(text: str) -> str:
    """A text as Parquet can hold it, and people read it: all of it that is UTF-8 as it is.

    A byte of a file's name that is not ("\\udcff" to Python) becomes "\ufffd" and the byte in hex,
    so that two names stay two; see `restored`. Whatever else has no form in UTF-8 is "\ufffd".
    """
    return _SURROGATE.sub(
        lambda found: f"\ufffd{ord(found[0]) - 0xDC00:02x}" if found[1] else "\ufffd", text
    )


def restored(text: str) -> str:
    """The name of a file of which `storable` made this text."""
    return _STORED.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)


def row_of(x: Explanation, key: str, path: str, truth: str | None = None) -> dict[str, Any]:
    """The row of an explanation, in values that pyarrow takes. Its columns are those of `ROWS`."""
    size = x.picture.height, x.picture.width
    own_height, own_width = x.picture.own_size or size
    shares = {index: share for index, _, share in x.predictions}
    return {
        "id": id_of(key),
        "path": storable(path),
        "width": x.picture.width,
        "height": x.picture.height,
        "own_width": own_width,
        "own_height": own_height,
        "truth": None if truth is None else storable(truth),
        "top": [
            {"index": index, "label": label, "share": share}
            for index, label, share in x.predictions[:BEST]
        ],
        "sure": x.is_confident if x.backbone.has_classes else None,
        "target": x.target,
        "label": x.label,
        "score": None if x.target is None else shares[x.target],
        "stages": [
            {"name": name, **encode(x.normalized[name], max(float(raw.max()), 0.0))}
            for name, raw in x.raw.items()
        ],
        "fused": encode(x.fused_grid[0]),
        "refined": None if x.refined_grid is None else encode(x.refined_grid[0]),
        "removed": _removed(x),
        "boxes": [
            {"of": of, **dict(zip(("x0", "y0", "x1", "y1"), box.xyxy, strict=True)),
             "area": box.area_fraction, "heat": box.heat_fraction}
            for of in x.maps_of_all
            for box in x.boxes(of=of, multi=True)
        ],
        "notes": [f"{name}: {notes}" for name, notes in x.notes.items()],
        "rect": list(x.fit.rect),
    }  # fmt: skip


def _removed(x: Explanation) -> float | None:
    """The share of the evidence that denoising took out, mean over stages; None if it did not."""
    denoised = [notes.denoising for notes in x.notes.values() if notes.denoising is not None]
    shares = [each.removed for each in denoised if each.removed is not None]
    return sum(shares) / len(shares) if shares else None


def encode(heat: np.ndarray, maximum: float | None = None) -> dict[str, Any]:
    """A map in [0, 1], (h, w), as it is kept. maximum: of the raw map; None: of this one."""
    height, width = heat.shape
    return {
        "height": height,
        "width": width,
        "maximum": float(heat.max()) if maximum is None else maximum,
        "map": np.rint(heat * 255).astype(np.uint8).tobytes(),
    }


def decode(kept: Mapping[str, Any]) -> np.ndarray:
    """The map in [0, 1], float32 (h, w), each value within 1/510."""
    values = np.frombuffer(kept["map"], np.uint8).reshape(kept["height"], kept["width"])
    return values.astype(np.float32) / 255


def map_in(row: Mapping[str, Any], of: str = FUSED) -> np.ndarray | None:
    """A map of a row, in [0, 1]; None if it holds none of that name. of: as for `Run.heat`."""
    if of in (FUSED, REFINED):
        return None if row[of] is None else decode(row[of])
    return next((decode(stage) for stage in row["stages"] if stage["name"] == of), None)
