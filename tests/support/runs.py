"""Runs of thousands of pictures, written as files without a network."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from camviz.bulk.run import PART_ROWS, Run, RunWriter
from camviz.bulk.schema import ROWS, id_of
from camviz.defaults import FUSED
from camviz.ui.collection import EXAMPLE

SHOWN = 20  # different pictures
CLASSES = 200  # too many for groups, whose clusters take longer than all else


@dataclass(frozen=True)
class LargeRun:
    """A run; and by name the figure of each picture in its order, in whole thousandths."""

    run: Run
    figures: dict[str, np.ndarray]


def write_large_run(folder: Path, count: int) -> LargeRun:
    """Rows of the example again and again, each with an id, a class and figures of its own."""
    example = Run.open(EXAMPLE)
    rows = list(example.rows())[:SHOWN]
    draw = np.random.default_rng(4)
    figures = {
        name: draw.integers(10, 990, count) / 1000 for name in ("doubt", "outside", "removed")
    }
    RunWriter(folder, {**example.configuration, "source": str(EXAMPLE)}, example.geometry)
    for first in range(0, count, PART_ROWS):
        made = []
        for number in range(first, min(first + PART_ROWS, count)):
            row = rows[number % SHOWN]
            doubt, outside, removed = (float(each[number]) for each in figures.values())
            box = {"of": FUSED, "x0": 0, "y0": 0, "x1": 8, "y1": 8, "area": 0.1}
            made.append({
                **row,
                "id": id_of(str(number)),
                "label": f"class {number % CLASSES}",
                "top": [{**row["top"][0], "share": 1 - doubt}, *row["top"][1:]],
                "boxes": [{**box, "heat": 1 - outside}],
                "removed": removed,
            })  # fmt: skip
        file = folder / f"part-{first:06d}-large.parquet"
        pq.write_table(pa.Table.from_pylist(made, schema=ROWS), file, compression="zstd")
    return LargeRun(Run.open(folder), figures)
