"""A data set of Hugging Face: data/train-*.parquet with pictures and maps, and a card.

    datasets.load_dataset("OUT")["train"][0]["image"], ...["map"], ...["boxes"]

The bytes of a picture's file are in it, as far as the file is on this machine; those of a PNG of
what was explained where a reader would see something else. A map is a grey PNG at its own
resolution. Features are described in the Parquet files themselves:
https://huggingface.co/docs/datasets/about_dataset_features
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from camviz.bulk.cut import Cut
from camviz.bulk.exports.files import picture_bytes, suffix_of
from camviz.bulk.pictures import picture_file
from camviz.bulk.run import PART_ROWS

_READ = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # by `datasets`, which turns them
_FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_COLUMNS = pa.schema([
    ("image", _FILE),
    ("map", _FILE),
    ("path", pa.string()),
    ("label", pa.int64()),
    ("score", pa.float32()),
    ("boxes", pa.list_(pa.list_(pa.int32(), 4))),  # half-open xyxy, in pixels
])  # fmt: skip
_CARD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
---

Class activation maps, made by camviz (run {name}): the {of} maps of {count} pictures. `map`: in
[0, 1] as 0 to 255, at its own resolution. `boxes`: half-open (x0, y0, x1, y1) in pixels of the
picture, around what reaches {level:g} of the map's maximum.
"""


def write_huggingface(cut: Cut, folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    total = len(cut.run)
    files = max(1, -(-total // PART_ROWS))
    schema = _COLUMNS.with_metadata(
        {"huggingface": json.dumps({"info": {"features": _kinds(cut)}})}
    )
    rows = (_row(cut, row) for row in cut.run.rows())
    for number, chunk in enumerate(_chunks(rows, PART_ROWS) if total else [[]]):
        table = pa.Table.from_pylist(chunk, schema=schema)
        pq.write_table(table, data / f"train-{number:05d}-of-{files:05d}.parquet")
    card = _CARD.format(name=cut.run.name, of=cut.of, count=total, level=cut.level)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _row(cut: Cut, row: Mapping[str, Any]) -> dict[str, Any]:
    file = picture_file(cut.run, row)
    image = None
    if file is not None:
        data, is_own = picture_bytes(file, _READ)
        suffix = suffix_of(row["path"]) if is_own else ".png"
        image = {"bytes": data, "path": f"{row['id']}{suffix}"}
    return {
        "image": image,
        "map": {"bytes": png_of(row, cut.of), "path": f"{row['id']}.png"},
        "path": row["path"],
        "label": cut.index(row),
        "score": row["score"],
        "boxes": [list(box.xyxy) for box in cut.boxes(row)],
    }


def png_of(row: Mapping[str, Any], of: str) -> bytes:
    """A map of a row as a grey picture at its own resolution."""
    kept, file = row[of], io.BytesIO()
    size = kept["width"], kept["height"]
    Image.frombytes("L", size, kept["map"]).save(file, "PNG")
    return file.getvalue()


def _kinds(cut: Cut) -> dict[str, Any]:
    """What the columns are, in the words of `datasets`."""
    picture = {"_type": "Image"}
    box = {"feature": _value("int32"), "length": 4, "_type": "Sequence"}
    return {
        "image": picture, "map": picture, "path": _value("string"),
        "label": {"names": list(cut.classes), "_type": "ClassLabel"}, "score": _value("float32"),
        "boxes": {"feature": box, "_type": "Sequence"},
    }  # fmt: skip


def _value(dtype: str) -> dict[str, str]:
    return {"dtype": dtype, "_type": "Value"}


Item = TypeVar("Item")


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
