"""A thread-safe LRU cache, bounded by the total size of what it holds."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from camviz.turns import OneByOne

Value = TypeVar("Value")


class LRUCache(Generic[Value]):
    """Values by key; the least recently used are dropped until the rest fits.

    maxsize: in what `getsizeof` counts; without it: a number of values. Values may grow while they
    are held: the size of one is taken when it is put, and those of all are taken again before any
    is dropped, and whenever as many were put as there are. on_drop: called with every value that
    has to leave, but not with one that another takes the place of.
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
        self._sizes: dict[Hashable, int] = {}  # of the same keys
        self._since = 0  # values put since the sizes of all were taken
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
            self._sizes[key] = self._getsizeof(value)
            self._since += 1
            if self._since > len(self._values) or self._total() > self.maxsize:
                self._measure()
            while self._total() > self.maxsize and len(self._values) > 1:
                dropped.append(self._pop(next(iter(self._values))))
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
            self._measure()
            while self._values and self._total() + size > self.maxsize:
                dropped.append(self._pop(next(iter(self._values))))
        for each in dropped:
            self._on_drop(each)

    @property
    def size(self) -> int:
        """Of all that is held, as it was taken last."""
        with self._lock:
            return self._total()

    def _total(self) -> int:
        return sum(self._sizes.values())

    def _measure(self) -> None:
        self._sizes = {key: self._getsizeof(value) for key, value in self._values.items()}
        self._since = 0

    def _pop(self, key: Hashable) -> Value:
        del self._sizes[key]
        return self._values.pop(key)

    def remove(self, keys: Iterable[Hashable]) -> None:
        """Drop the values of these keys, of those that are held."""
        with self._lock:
            dropped = [self._pop(key) for key in keys if key in self._values]
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
            key = self._doomed.pop()
            if key in self._values:
                self._pop(key)

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
