"""Places on this machine that people name: "~" replaced, and what is in the way found early."""

import os
from pathlib import Path

from camviz.errors import OutputError


def user_path(path: "str | os.PathLike[str]") -> Path:
    """A path with "~" replaced by the home folder, unless there is a file of that very name."""
    given = Path(path)
    if not given.parts or not given.parts[0].startswith("~") or given.exists():
        return given
    try:
        return given.expanduser()
    except RuntimeError:  # no such user
        return given


def output_folder(path: "str | os.PathLike[str]") -> Path:
    """A folder to write into, which may not exist yet; nothing is made or changed.

    Raises `OutputError` if a file is in the way or the place cannot be written to.
    """
    folder = user_path(_path(path))
    return _writable(folder, folder)


def output_file(path: "str | os.PathLike[str]") -> Path:
    """A file to write, which may exist; raises `OutputError` as `output_folder` does."""
    file = user_path(_path(path))
    if file.is_dir():
        raise OutputError(f"'{file}' is a folder; give the path of a file in it")
    _writable(file.parent, file)
    return file


def _path(given: "str | os.PathLike[str]") -> "str | os.PathLike[str]":
    if isinstance(given, (str, os.PathLike)):
        return given
    raise OutputError(f"a place to write to is a path, not {type(given).__name__}")


def _writable(folder: Path, wanted: Path) -> Path:
    nearest = next((each for each in (folder, *folder.parents) if os.path.lexists(each)), Path())
    if not nearest.is_dir():
        raise OutputError(
            f"cannot write to '{wanted}': '{nearest}' is a file; give a folder, or another name"
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(
            f"cannot write to '{wanted}': no rights in '{nearest}'; give another folder"
        )
    return folder
