"""Who is there: which connections to the server are open, by a key, however many each has."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Presence:
    """Counts open connections by key. Its methods may be called by several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def __contains__(self, key: str) -> bool:
        return key in self._open

    @contextmanager
    def connected(self, key: str) -> Iterator[None]:
        """A connection of a key, open until the context ends."""
        with self._lock:
            self._open[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[key] -= 1
                if not self._open[key]:
                    del self._open[key]
