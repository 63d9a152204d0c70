"""Files on disk of all visitors: uploads, and what is made for them; bounded in bytes and in time.

    storage = Storage(folder, of_one=250e6, of_all=2e9, keep=7200)
    with storage.room(owner, size):      # the oldest files go, until there is room
        ...                              # the file is written
        storage.add(owner, path)
    storage.expire()                     # what is older than `keep` goes

An owner is the key of a session, or the address of a client that has none. A file may have several:
gradio names an upload after its content, so that two visitors can hold the very same.
"""

import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from camviz.errors import LimitError

BLOCK = 4096  # bytes that a file takes at least
ALL = None  # in place of an owner


@dataclass
class _File:
    """What is known of a file. owners: whoever holds it, by key or address."""

    size: int
    since: float
    owners: set[str] = field(default_factory=set)


class Storage:
    """A ledger of files below a folder: whose they are, how large, and since when.

    of_one, of_all: bytes of one owner and of all; keep: seconds. clock: seconds, as `time.time`.
    Its methods may be called by several threads at once.
    """

    def __init__(
        self,
        folder: str | Path,
        of_one: float,
        of_all: float,
        keep: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = Path(folder)
        self.of_one, self.of_all, self.keep = of_one, of_all, keep
        self._clock = clock
        self._lock = threading.RLock()
        self._files: dict[Path, _File] = {}  # the oldest first
        self._held: Counter[str | None] = Counter()  # bytes of each owner, and of all
        self._coming: Counter[str | None] = Counter()  # the same of files that are being written

    def held(self, owner: str | None = ALL) -> int:
        """Bytes of an owner, or of all, those included that are still being written."""
        with self._lock:
            return self._held[owner] + self._coming[owner]

    @contextmanager
    def room(self, owner: str, size: int) -> Iterator[None]:
        """Hold room for a file that is being written; the oldest files make way for it.

        Raises `LimitError` if it does not fit beside what is being written already.
        """
        with self._lock:
            self._make_room(owner, size)
            self._add_to(self._coming, (owner, ALL), size)
        try:
            yield
        finally:
            with self._lock:
                self._add_to(self._coming, (owner, ALL), -size)

    def _make_room(self, owner: str, size: int) -> None:
        bounds = ((owner, self.of_one), (ALL, self.of_all))
        for whose, most in bounds:
            if self._coming[whose] + size > most:
                raise LimitError(_too_much(size, most, whose is ALL))
        for whose, most in bounds:
            for path in list(self._files) if self.held(whose) + size > most else ():
                if whose is ALL or whose in self._files[path].owners:
                    self._take_from(path, whose)
                if self.held(whose) + size <= most:
                    break

    def add(self, owner: str, path: str | Path) -> None:
        """Note that an owner holds a file; it counts as new from now on."""
        path = Path(path).resolve()
        with self._lock, suppress(OSError):
            size = max(path.stat().st_size, BLOCK)
            known = self._files.pop(path, None)
            owners = {owner} | (known.owners if known else set())
            if known is not None:
                self._add_to(self._held, (*known.owners, ALL), -known.size)
            self._files[path] = _File(size, self._clock(), owners)
            self._add_to(self._held, (*owners, ALL), size)

    def take_in(self, owner: str, path: str | Path) -> None:
        """Note a file that is there already; the oldest files make way for it."""
        with self._lock:
            self.add(owner, path)
            self._make_room(owner, 0)

    def claim(self, owner: str, path: str | Path, before: str = "") -> None:
        """A file that is held goes over to an owner from the one before, if that one has it."""
        with self._lock:
            found = self._files.get(Path(path).resolve())
            if found is None or owner in found.owners:
                return
            lost = found.owners & {before}
            self._add_to(self._held, lost, -found.size)
            self._add_to(self._held, (owner,), found.size)
            found.owners = (found.owners - lost) | {owner}

    def keep_result(self, owner: str, made: Path) -> Path:
        """Move a file that was made for an owner to where gradio hands out files.

        Its folder has a name that nobody can guess. Raises `LimitError` if it is too large.
        """
        with self.room(owner, made.stat().st_size):
            place = self.folder / secrets.token_hex(32)
            place.mkdir(parents=True)
            kept = Path(shutil.move(made, place / made.name))
            self.add(owner, kept)
        return kept

    def release(self, owner: str) -> None:
        """An owner is gone: what nobody else holds is deleted."""
        with self._lock:
            for path in [path for path, file in self._files.items() if owner in file.owners]:
                self._take_from(path, owner)

    def expire(self) -> None:
        """Delete what was kept for longer than `keep`."""
        with self._lock:
            latest = self._clock() - self.keep
            for path in [path for path, file in self._files.items() if file.since <= latest]:
                self._take_from(path, ALL)

    def _take_from(self, path: Path, owner: str | None) -> None:
        """Take a file from an owner, or from all; delete it if nobody is left."""
        file = self._files[path]
        lost = set(file.owners) if owner is ALL else {owner}
        self._add_to(self._held, lost, -file.size)
        file.owners -= lost
        if file.owners:
            return
        self._add_to(self._held, (ALL,), -file.size)
        del self._files[path]
        path.unlink(missing_ok=True)
        with suppress(OSError):  # another file lies beside it
            path.parent.rmdir()

    @staticmethod
    def _add_to(totals: Counter[str | None], owners: Iterable[str | None], size: int) -> None:
        for owner in owners:
            totals[owner] += size
            if not totals[owner]:
                del totals[owner]


def _too_much(size: int, most: float, of_all: bool) -> str:
    whose = "all visitors together" if of_all else "one visitor"
    return (
        f"{size / 1e6:.1f} MB do not fit: {whose} may hold {most / 1e6:.0f} MB on this server; "
        "give fewer or smaller files, or wait until what is under way is done"
    )
