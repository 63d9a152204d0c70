"""Every format that a run can be had in, and the export itself."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from camviz.bulk.cut import Cut
from camviz.bulk.exports.coco import write_coco
from camviz.bulk.exports.fiftyone import write_fiftyone
from camviz.bulk.exports.huggingface import write_huggingface
from camviz.bulk.exports.label_studio import write_label_studio
from camviz.bulk.exports.text import write_csv
from camviz.bulk.exports.voc import write_voc
from camviz.bulk.exports.yolo import write_yolo
from camviz.errors import DataError, OutputError
from camviz.files import output_folder


class Export(NamedTuple):
    """A format: what it is, in a line, and what fills an empty folder with it."""

    summary: str
    write: Callable[[Cut, Path], None]


EXPORTS = {
    "coco": Export("masks and boxes of COCO", write_coco),
    "yolo": Export("boxes as Ultralytics reads them", write_yolo),
    "voc": Export("boxes and seed masks of PASCAL VOC: pseudo-labels", write_voc),
    "label-studio": Export("tasks with boxes to be corrected", write_label_studio),
    "fiftyone": Export("detections of FiftyOne", write_fiftyone),
    "hf": Export("pictures, maps and boxes for Hugging Face datasets", write_huggingface),
    "csv": Export("tables of pictures and boxes", write_csv),
}


def export(cut: Cut, format: str, out: "str | os.PathLike[str]") -> Path:
    """Write a run in a format of the table to a folder; see `fill`, and `DataError` for others."""
    if format not in EXPORTS:
        raise DataError(f"there is no format '{format}'; formats: {', '.join(EXPORTS)}")
    return fill(cut, EXPORTS[format].write, out)


def fill(cut: Cut, write: Callable[[Cut, Path], None], out: "str | os.PathLike[str]") -> Path:
    """Have a run written to a folder that is new or empty; it is there as a whole or not at all.

    Raises `OutputError` for a folder that holds something, `DataError` for an empty run and for one
    without the map that is asked for.
    """
    folder = output_folder(output_folder(out).resolve())  # "." and ".." have no name
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"'{folder}' is not empty; give a new folder, or remove it")
    _check(cut)
    is_there = folder.is_dir()
    part = (folder if is_there else folder.parent) / f".{folder.name}.{os.getpid()}.tmp"
    part.mkdir(parents=True)
    try:
        write(cut, part)
        if is_there:  # it is kept, for somebody may be working in it
            for each in list(part.iterdir()):
                each.rename(folder / each.name)
        else:
            part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _check(cut: Cut) -> None:
    first = next(cut.run.rows([cut.of]), None)
    if first is None:
        raise DataError(f"the run in '{cut.run.path}' holds no picture yet")
    if first[cut.of] is None:
        raise DataError(f"the run has no {cut.of} maps: they were left out when it was made")
