"""What is kept so as not to be made again, and no more of it than there is room for."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Shelf(Generic[Value]):
    """Things by key, of a bounded size in all; the least recently used goes first.

    limit: in what `size` counts; without a size: so many things. Threads may share a shelf.
    """

    def __init__(self, limit: int, size: Callable[[Value], int] = lambda _: 1) -> None:
        self._limit = limit
        self._size = size
        self._things: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._things:
                self._things.move_to_end(key)
            return self._things.get(key)

    def put(self, key: Hashable, value: Value) -> Value:
        """Keep a thing, and return it; it stays even if it alone is over the limit."""
        with self._lock:
            self._things[key] = value
            self._things.move_to_end(key)
            total = sum(map(self._size, self._things.values()))
            while total > self._limit and len(self._things) > 1:
                _, gone = self._things.popitem(last=False)
                total -= self._size(gone)
        return value

    def __len__(self) -> int:
        return len(self._things)

    def unlock(self) -> None:
        """For a forked process, where whoever held the lock is not."""
        self._lock = threading.Lock()
