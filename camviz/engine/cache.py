"""A thread-safe LRU cache, bounded by the total size of what it holds."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LRUCache(Generic[Value]):
    """Values by key; the least recently used are dropped until the rest fits.

    maxsize: in what `getsizeof` counts; without it: a number of values. Sizes are taken again at
    every `put`, because values may grow while they are held. on_drop: called with every value
    that has to leave, but not with one that another takes the place of.
    """

    def __init__(
        self,
        maxsize: int,
        getsizeof: Callable[[Value], int] = lambda _: 1,
        on_drop: Callable[[Value], object] = lambda _: None,
    ) -> None:
        self.maxsize = maxsize
        self._getsizeof = getsizeof
        self._on_drop = on_drop
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._doomed: list[Hashable] = []
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            self._remove_doomed()
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> Value:
        """Hold a value, and return it; one that is larger than maxsize is held alone."""
        dropped = []
        with self._lock:
            self._remove_doomed()
            self._values[key] = value
            self._values.move_to_end(key)
            total = sum(map(self._getsizeof, self._values.values()))
            while total > self.maxsize and len(self._values) > 1:
                _, oldest = self._values.popitem(last=False)
                total -= self._getsizeof(oldest)
                dropped.append(oldest)
        for each in dropped:
            self._on_drop(each)
        return value

    def remove(self, keys: Iterable[Hashable]) -> None:
        """Drop the values of these keys, of those that are held."""
        with self._lock:
            dropped = [self._values.pop(key) for key in keys if key in self._values]
        for each in dropped:
            self._on_drop(each)

    def remove_soon(self, keys: Iterable[Hashable]) -> None:
        """Drop values, at the latest when the cache is next used; `on_drop` is not called.

        Never waits: for a finalizer, which may run while this very thread holds the lock.
        """
        self._doomed += keys
        if self._lock.acquire(blocking=False):
            try:
                self._remove_doomed()
            finally:
                self._lock.release()

    def _remove_doomed(self) -> None:
        while self._doomed:
            self._values.pop(self._doomed.pop(), None)

    def values(self) -> list[Value]:
        """What is held, the least recently used first."""
        with self._lock:
            return list(self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def unlock(self) -> None:
        """Replace the lock: in a forked process, the thread that held it does not exist."""
        self._lock = threading.Lock()
