"""What a stranger reads of an error: a sentence without any path of this machine.

    public_sentence(ImageError("cannot read '/srv/uploads/3f/a.png'"))   # "cannot read 'a.png'"

Errors are raised with names for display; the paths that some of them quote, which help at a command
line, are cut down to their last part here, whoever raised them.
"""

import errno
import os
import re
import tempfile
from functools import lru_cache
from pathlib import Path

from camviz.environment import environment
from camviz.errors import CamvizError
from camviz.resources import ASSETS

DISK_FULL = "this server has no room left on its disk; please try again in a few minutes"
NO_MEMORY = (
    "this server has not enough memory for that now; try a smaller picture, a smaller network, or "
    "again in a few minutes"
)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def public_sentence(error: BaseException) -> str | None:
    """What went wrong, for anybody; None for what nobody foresaw, which is to be logged."""
    if isinstance(error, CamvizError):
        return hide_paths(str(error))
    if isinstance(error, OSError) and error.errno in _FULL:
        return DISK_FULL
    return NO_MEMORY if isinstance(error, MemoryError) else None


def hide_paths(text: str) -> str:
    """A text with every path below a folder of this server cut down to its last part."""
    return _paths(_folders()).sub("", text) if "/" in text or "\\" in text else text


def _folders() -> tuple[str, ...]:
    """Where this server has its files: uploads, weights, its code, whoever runs it."""
    own = (environment().backbone or "").partition(":")[2]
    cache = environment().cache
    found = [
        tempfile.gettempdir(),
        os.environ.get("GRADIO_TEMP_DIR"),
        os.environ.get("HF_HOME"),
        Path.cwd(),
        Path.home(),
        ASSETS,
        Path(__file__).parents[2],
        cache,
        Path(own).expanduser().parent if own else None,
    ]
    places = {str(place) for each in found if each for place in (Path(each), Path(each).resolve())}
    # The longest first, so that no beginning of a path is cut off alone; never the root itself.
    return tuple(sorted((p for p in places if len(p) > 1), key=len, reverse=True))


@lru_cache(maxsize=8)
def _paths(folders: tuple[str, ...]) -> re.Pattern[str]:
    """Matches the folders that a path below one of these begins with, or one of these itself."""
    places = "|".join(map(re.escape, folders))
    return re.compile(rf"(?<![\w.])(?:{places})(?:[/\\](?:[^/\\'\"\n]+[/\\])*|(?=[\s'\",:;]|$))")
