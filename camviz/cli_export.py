"""`camviz export`: a run in the format of another tool."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from camviz.arguments import read_fraction
from camviz.defaults import FUSED, REFINED, REFINED_THRESHOLD, THRESHOLD
from camviz.files import user_path

if TYPE_CHECKING:
    from camviz.bulk.cut import Cut

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

SHEET = "sheet"  # made of the page's own parts
# The formats of `camviz.bulk.exports.table`, which loads pyarrow; a test holds them alike.
FORMATS = ("coco", "yolo", "voc", "label-studio", "fiftyone", "hf", "csv", SHEET)

_DESCRIPTION = """\
A run (`camviz maps`) in the format of another tool. Boxes and masks are made from the maps as they
are kept, so that any threshold can be had from one run.

formats:
  coco          instances.json: masks and boxes
  yolo          data.yaml, labels and links to the pictures
  voc           Annotations, and seed masks in SegmentationClass: pseudo-labels
  label-studio  tasks.json with predictions to be corrected, label-config.xml
  fiftyone      labels.json and data.json
  hf            Parquet for Hugging Face datasets: pictures, maps and boxes
  csv           pictures.csv and boxes.csv
  sheet         index.html: all pictures with their maps, opened without a server
"""


def add_export(commands: Commands) -> None:
    export = commands.add_parser(
        "export",
        help="a run of `camviz maps` as COCO, YOLO, VOC, a sheet of pictures and more",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    export.add_argument("run_folder", metavar="RUN", help="the folder of a run")
    export.add_argument("--to", required=True, choices=FORMATS, help="the format", metavar="FORMAT")
    export.add_argument(
        "--of", choices=(FUSED, REFINED), default=FUSED, help="the map that is cut (fused)"
    )
    export.add_argument(
        "--threshold",
        type=read_fraction,
        metavar="SHARE",
        help=f"of the map's maximum ({THRESHOLD}; of the refined map {REFINED_THRESHOLD})",
    )
    export.add_argument("--out", metavar="DIR", help="a new folder; default: RUN-FORMAT")
    export.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> int:
    from camviz.bulk import require

    require()
    from camviz.bulk.cut import Cut
    from camviz.bulk.exports.table import EXPORTS, fill
    from camviz.bulk.run import Run

    folder = user_path(arguments.run_folder)
    run = Run.open(folder)
    place = folder.resolve() if folder.name in ("", "..") else folder  # as "." and ".." are
    out = arguments.out or place.parent / f"{folder.resolve().name}-{arguments.to}"
    write = _sheet_writer() if arguments.to == SHEET else EXPORTS[arguments.to].write
    written = fill(Cut(run, arguments.of, arguments.threshold), write, out)
    print(f"{len(run)} rows written to {written}")
    return 0


def _sheet_writer() -> "Callable[[Cut, Path], None]":
    from camviz.ui.downloads.sheet import write_sheet

    return write_sheet
