"""The order of a visitor's events: that in which they happened in the browser.

Two events may overtake each other: each is a request of its own, and on the way to its handler one
waits more often than the other.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HOLD = 0.02  # seconds that an event waits for earlier ones that are on their way


class EventOrder:
    """Lets events in one after the other, earlier ones first."""

    def __init__(self) -> None:
        self._waiting: list[float] = []
        self._turn = asyncio.Condition()
        self._busy = False

    @asynccontextmanager
    async def turn(self, happened: float) -> AsyncIterator[None]:
        """The turn of an event; happened: when, by any clock that all events share."""
        self._waiting.append(happened)
        try:
            await asyncio.sleep(HOLD)
            async with self._turn:
                await self._turn.wait_for(lambda: not self._busy and happened == min(self._waiting))
                self._busy = True
            try:
                yield
            finally:
                async with self._turn:
                    self._busy = False
        finally:
            self._waiting.remove(happened)
            async with self._turn:
                self._turn.notify_all()


def time_of(value: object) -> float:
    """The time that a browser sent with an event; 0 for anything that is none."""
    try:
        time = float(str(value))
    except ValueError:
        return 0.0
    return time if math.isfinite(time) else 0.0
