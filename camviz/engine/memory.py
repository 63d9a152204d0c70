"""How much memory an engine may take, and giving back what it takes no more.

    Engine(memory=4096 * 2**20)     # half for networks, a quarter each for traces and for one pass

What is held is counted in bytes, and the least recently used makes room. What is computed on the
way is freed, but the C library keeps it for itself: in small pieces, one large pass leaves
gigabytes behind. These are given back to the system when they have become many.
"""

import ctypes
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from camviz.errors import TooLargeError
from camviz.network.catalogue import architecture_counts
from camviz.network.footprint import megabytes
from camviz.network.names import LOCAL

SLACK = 256 * 2**20  # bytes that may be unused before they are given back
_PAUSE = 2.0  # seconds between two attempts to give back
_SINGLE = 4  # bytes of a parameter


@dataclass(frozen=True)
class Budget:
    """Bytes that an engine may take: half for networks, a quarter for traces of pictures.

    The last quarter is for what comes and goes: one pass, and what a network takes twice while it
    is loaded. So neither a pass nor the weights of a network may be larger than that.
    """

    total: int

    @property
    def networks(self) -> int:
        return self.total // 2

    @property
    def traces(self) -> int:
        return self.total // 4

    @property
    def one(self) -> int:
        """For the weights of one network, and for one pass."""
        return self.total // 4

    def check_weights(self, nbytes: int, backbone: str) -> None:
        """Raise `TooLargeError` for a network that is too large to be loaded."""
        if nbytes > self.one:
            raise TooLargeError(
                f"{backbone} holds {megabytes(nbytes)} of weights, and one network may hold "
                f"{megabytes(self.one)} here; take a smaller one, or give a larger memory budget "
                f"({megabytes(4 * nbytes)} would do)"
            )


def weights_bytes(name: str, weights: str | Path) -> int | None:
    """The size of a network before it is loaded: from timm's counts, else of its files.

    None: not known.
    """
    count, _ = architecture_counts().get(name.partition(".")[0], (None, None))
    if count is not None:
        return count * _SINGLE
    paths = [] if weights in ("auto", "random") else [Path(weights).expanduser()]
    with suppress(OSError, RuntimeError):  # loading it says what is wrong
        if name.startswith(LOCAL):
            folder = Path(name.removeprefix(LOCAL)).expanduser()
            paths += [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
        return max((path.stat().st_size for path in paths), default=None)
    return None


class Unused:
    """Memory that was freed, and that the C library keeps: given back when it has become much.

    held: gives the bytes that are in use, beside what this process took when this was made.
    """

    def __init__(self, held: Callable[[], int]) -> None:
        self._held = held
        self._base = resident() or 0
        self._lock = threading.Lock()
        self._next = 0.0

    def give_back(self, *, much: bool = False) -> None:
        """Give memory back if more than a little of it is unused.

        much: something large was freed just now; else it is tried once in a while.
        """
        now, taken = time.monotonic(), resident()
        if taken is None or (now < self._next and not much):
            return
        if taken <= self._base + self._held() + SLACK or not self._lock.acquire(blocking=False):
            return
        try:
            trim()
            self._next = time.monotonic() + _PAUSE
        finally:
            self._lock.release()


def trim() -> None:
    """Give memory that is free back to the system, where the C library can."""
    function = _malloc_trim()
    if function is not None:
        function(0)


def resident() -> int | None:
    """Bytes of memory that this process takes now; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


@lru_cache(maxsize=1)
def _malloc_trim() -> Any:
    """The function of GNU's C library, or None; others give memory back by themselves."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
