"""A thread-safe LRU cache, bounded by the total size of what it holds."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from camviz.turns import OneByOne

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
            total = self._total()
            while total > self.maxsize and len(self._values) > 1:
                _, oldest = self._values.popitem(last=False)
                total -= self._getsizeof(oldest)
                dropped.append(oldest)
        for each in dropped:
            self._on_drop(each)
        return value

    def get_or_make(self, key: Hashable, one_by_one: OneByOne, make: Callable[[], Value]) -> Value:
        """The value of a key, made if there is none; of several threads that want it, by one."""
        value = self.get(key)
        if value is None:
            with one_by_one.alone(key):
                value = self.get(key)
                if value is None:
                    value = self.put(key, make())
        return value

    def make_room(self, size: int) -> None:
        """Drop the least recently used until something of that size fits, or nothing is left."""
        dropped = []
        with self._lock:
            self._remove_doomed()
            while self._values and self._total() + size > self.maxsize:
                dropped.append(self._values.popitem(last=False)[1])
        for each in dropped:
            self._on_drop(each)

    @property
    def size(self) -> int:
        """Of all that is held, taken anew."""
        with self._lock:
            return self._total()

    def _total(self) -> int:
        return sum(map(self._getsizeof, self._values.values()))

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

    def keys(self) -> list[Hashable]:
        """The keys of what is held, the least recently used first."""
        with self._lock:
            return list(self._values)

    def values(self) -> list[Value]:
        """What is held, the least recently used first."""
        with self._lock:
            return list(self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def unlock(self) -> None:
        """Replace the lock: in a forked process, the thread that held it does not exist."""
        self._lock = threading.Lock()
