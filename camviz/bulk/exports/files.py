"""File names of an export: safe on every system, each once; and pictures that are put beside."""

import re
import shutil
from pathlib import Path, PurePosixPath

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


def put_beside(file: Path, wanted: Path) -> None:
    """Have a picture in an export: by a link, or as a copy where links cannot be made."""
    try:
        wanted.symlink_to(file.resolve())
    except OSError:
        shutil.copyfile(file, wanted)
