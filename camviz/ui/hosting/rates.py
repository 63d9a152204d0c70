"""How often something may be done in a minute.

rate = Rate(20, "files are made")
rate.take(session.key)   # RateError: "files are made: 20 a minute is what this server grants ..."
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from camviz.errors import RateError

MINUTE = 60.0


class Rate:
    """A bound on events a minute, for each key on its own.

    most: None for no bound. what: the subject of the sentence, in the plural. Nothing is kept of a
    key that was not used for a minute.
    """

    def __init__(
        self, most: int | None, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most, self.what = most, what
        self._clock = clock
        self._lock = threading.Lock()
        self._times: dict[str, deque[float]] = {}  # the key used last comes last

    def __len__(self) -> int:
        return len(self._times)

    def take(self, key: str) -> None:
        """Count an event of a key. Raises `RateError` if it is one too many, and counts it not."""
        if self.most is None:
            return
        with self._lock:
            now = self._clock()
            self._forget(now)
            times = self._times.pop(key, deque())
            while times and times[0] <= now - MINUTE:
                times.popleft()
            self._times[key] = times
            if len(times) >= self.most:
                wait = math.ceil(times[0] + MINUTE - now)
                raise RateError(
                    f"{self.what}: {self.most} a minute is what this server grants one visitor; "
                    f"please try again in {wait} s"
                )
            times.append(now)

    def _forget(self, now: float) -> None:
        while self._times:
            key = next(iter(self._times))
            times = self._times[key]
            if times and times[-1] > now - MINUTE:
                return
            del self._times[key]
