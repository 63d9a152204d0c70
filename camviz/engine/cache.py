"""A thread-safe LRU cache, bounded by the total size of what it holds."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LRUCache(Generic[Value]):
    """Values by key; the least recently used are dropped until the rest fits.

    maxsize: in what `getsizeof` counts; without it: a number of values. Sizes are taken again at
    every `put`, because values may grow while they are held.
    """

    def __init__(self, maxsize: int, getsizeof: Callable[[Value], int] = lambda _: 1) -> None:
        self.maxsize = maxsize
        self._getsizeof = getsizeof
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> Value:
        """Hold a value, and return it; one that is larger than maxsize is held alone."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            total = sum(map(self._getsizeof, self._values.values()))
            while total > self.maxsize and len(self._values) > 1:
                _, dropped = self._values.popitem(last=False)
                total -= self._getsizeof(dropped)
        return value

    def values(self) -> list[Value]:
        """What is held, the least recently used first."""
        with self._lock:
            return list(self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def unlock(self) -> None:
        """Replace the lock: in a forked process, the thread that held it does not exist."""
        self._lock = threading.Lock()
