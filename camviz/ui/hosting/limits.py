"""What this process grants its visitors: one of each bound, made from the environment when needed.

storage().keep_result(owner, file); calls().take(address)
"""

from functools import lru_cache

from gradio.utils import get_upload_folder

from camviz.environment import environment
from camviz.ui.hosting.presence import Presence
from camviz.ui.hosting.rates import Rate
from camviz.ui.hosting.storage import Storage


@lru_cache(maxsize=1)
def storage() -> Storage:
    """The files of all visitors, which lie where gradio keeps uploads."""
    given = environment()
    return Storage(
        get_upload_folder(), given.session_mb * 1e6, given.disk_mb * 1e6, given.keep_minutes * 60
    )


@lru_cache(maxsize=1)
def uploads() -> Rate:
    """Uploads, by address."""
    return Rate(environment().uploads_per_minute, "uploads")


@lru_cache(maxsize=1)
def works() -> Rate:
    """What takes a while, by session: zips, banks of prototypes, sets of pictures."""
    return Rate(environment().works_per_minute, "files and sets of pictures")


@lru_cache(maxsize=1)
def frames() -> Rate:
    """Frames of a live camera, by session."""
    return Rate(environment().frames_per_minute, "frames of a camera")


@lru_cache(maxsize=1)
def calls() -> Rate:
    """Calls of the HTTP API, by address."""
    return Rate(environment().calls_per_minute, "calls")


@lru_cache(maxsize=1)
def present() -> Presence:
    """Whose streams are open: of pages, by session; of single calls, by their event."""
    return Presence()


def renew() -> None:
    """Make all of them anew from the environment as it is now."""
    for bound in (storage, uploads, works, frames, calls, present):
        bound.cache_clear()
