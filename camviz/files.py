"""Places on this machine that people name, and the names of files: shown to people, and safe."""

import hashlib
import os
import re
import unicodedata
from pathlib import Path

from camviz.errors import OutputError

MOST_SHOWN = 120  # characters of a name
MOST_WRITTEN = 200  # bytes of a file's name, without its suffix
_JOINER = "\u200d"  # between the parts of an emoji
# Names that Windows gives to devices, whatever follows a dot.
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def shown_name(name: "str | os.PathLike[str]") -> str:
    """The name of a file as people are shown it: `legible`, and never with its folder.

    One of more than `MOST_SHOWN` characters is shortened in its middle.
    """
    text = legible(re.split(r"[/\\]", os.fspath(name).rstrip("/\\"))[-1])
    if len(text) > MOST_SHOWN:
        text = f"{text[: MOST_SHOWN // 2]}…{text[1 - MOST_SHOWN // 2 :]}"
    return text


def legible(text: str) -> str:
    """A text as one line, "\ufffd" for what cannot be seen or changes how the rest is read.

    These are controls, marks of direction and other formats, and bytes that are no text.
    """
    return "".join(_legible(character) for character in text)


def _legible(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    hidden = category in ("Cc", "Cf", "Cs", "Zl", "Zp") and character != _JOINER
    return "\ufffd" if hidden else character


def file_name(name: str) -> str:
    """A name as that of a file, on every system: letters, digits, dot, dash and underscore.

    Neither hidden nor an option of a shell's commands nor one of Windows' devices; a long one is
    cut, with a few digits that tell it from others. "_" for nothing.
    """
    text = unicodedata.normalize("NFC", name)
    text = "".join(c if c.isalnum() or c in ".-_" else "-" for c in text)
    text = text.lstrip(".-").rstrip(".") or "_"
    data = text.encode()
    if len(data) > MOST_WRITTEN:
        kept = data[: MOST_WRITTEN - 9].decode(errors="ignore")
        text = f"{kept}-{hashlib.sha256(data).hexdigest()[:8]}"
    return f"_{text}" if _DEVICES.match(text) else text


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
