"""File names of an export: safe on every system, each once; and pictures that are put beside."""

import io
import re
import shutil
import warnings
from collections.abc import Container, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image

from camviz.images import open_picture
from camviz.rgb import is_plain, orientation

# What a name of a file may not hold on some system, and white space, at which lists are split.
_UNSAFE = re.compile(r'[\x00-\x20<>:"/\\|?*\x7f\s]+')
_LONGEST = 120  # characters of a name without its suffix
# Names that Windows keeps for devices, whatever their suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)


class Names:
    """Names of files, one for each picture: that of the picture, made safe and unique."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, path: str, id: str) -> str:
        """A name without a suffix for the picture of this path; id: set behind one that is taken.

        Two names differ in more than capitals, which some systems hold for the same.
        """
        name = _UNSAFE.sub("_", stem_of(path))[:_LONGEST].strip(".") or id[:12]
        if name.casefold() in self._taken or _DEVICES.fullmatch(name):
            name = f"{name}-{id[:12]}"
        self._taken.add(name.casefold())
        return name


def stem_of(path: str) -> str:
    """The last part of a path without its suffix."""
    return PurePosixPath(path.replace("\\", "/")).stem


def suffix_of(path: str) -> str:
    """The suffix of a picture's path, with its dot; ".jpg" if it has none that is a word."""
    suffix = PurePosixPath(path.replace("\\", "/")).suffix
    return suffix if re.fullmatch(r"\.\w{1,8}", suffix, re.ASCII) else ".jpg"


def put_picture(
    file: Path,
    folder: Path,
    name: str,
    read: Mapping[str, str],
    size: tuple[int, int] | None = None,
    written: str = ".png",
) -> None:
    """Have a picture in an export, as every reader sees what was explained: upright and opaque.

    read: suffixes of the formats that the export's readers know, by PIL's names. A file in one of
    them that needs no turning, laying on white or scaling of its values is linked, or copied where
    links cannot be made. Of any other the pixels of `open_picture` are written, with the suffix
    `written`, at `size`, (H, W), if that is given.
    """
    kind = _kind_of(file)
    if kind is not None and kind.upright and kind.format in read:
        wanted = folder / f"{name}{read[kind.format]}"
        try:
            wanted.symlink_to(file.resolve())
        except OSError:
            shutil.copyfile(file, wanted)
        return
    image = Image.fromarray(open_picture(file).pixels)
    if size is not None and image.size != size[::-1]:
        image = image.resize(size[::-1])
    image.save(folder / f"{name}{written}", quality=95)  # which shows no trace in a JPEG


def picture_bytes(file: Path, read: Container[str]) -> tuple[bytes, bool]:
    """The bytes of a picture for a reader that turns it upright, and whether they are the file's.

    read: the formats that the reader knows. Of a file of another, one that is partly transparent or
    not of 8 bits they are those of a PNG of what was explained.
    """
    kind = _kind_of(file)
    if kind is not None and kind.format in read:
        return file.read_bytes(), True
    held = io.BytesIO()
    Image.fromarray(open_picture(file).pixels).save(held, "PNG")
    return held.getvalue(), False


class _Kind(NamedTuple):
    """What is in a file of plain pixels: PIL's name of its format, and whether it is upright."""

    format: str
    upright: bool


def _kind_of(file: Path) -> _Kind | None:
    """None of a file that is no picture to PIL, or none of opaque pixels of 8 bits."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nothing is decoded
            with Image.open(file) as image:
                if image.format is None or not is_plain(image):
                    return None
                return _Kind(image.format, orientation(image) == 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
