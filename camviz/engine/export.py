"""A result as files: pictures, numbers, and last of all the manifest that says what they are.

The manifest is written last and the folder appears at once or not at all, so that a folder with
a manifest is a complete one.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def write_folder(
    folder: str | Path,
    pictures: Mapping[str, np.ndarray],
    arrays: Mapping[str, np.ndarray],
    manifest: Mapping[str, Any],
) -> Path:
    """Write `NAME.png` per picture, `maps.npz` and `manifest.json`; returns the folder.

    An existing folder keeps its other files; those of the same names are replaced. pictures:
    uint8 (H, W, 3). If anything fails, nothing of this result is left behind.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".camviz-") as work:
        files = []
        for name, pixels in pictures.items():
            file = Path(work) / f"{file_name(name)}.png"
            Image.fromarray(pixels).save(file)
            files.append(file)
        archive = Path(work) / "maps.npz"
        np.savez_compressed(archive, **dict(arrays))  # type: ignore[arg-type]
        sheet = Path(work) / "manifest.json"
        listed = {"files": [file.name for file in (*files, archive)]}
        sheet.write_text(json.dumps({**manifest, **listed}, indent=2, ensure_ascii=False) + "\n")
        # From here on the old manifest, if any, no longer tells the truth.
        (target / sheet.name).unlink(missing_ok=True)
        placed = []
        try:
            for file in (*files, archive, sheet):
                placed.append(target / file.name)
                shutil.move(file, placed[-1])
        except BaseException:
            for file in placed:
                file.unlink(missing_ok=True)
            raise
    return target


def file_name(name: str) -> str:
    """A stage's name as part of a file name: letters, digits, dot, dash and underscore."""
    return "".join(c if c.isalnum() or c in ".-_" else "-" for c in name)
