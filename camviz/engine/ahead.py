"""Work that runs ahead in threads: results in order, a bounded number of them at a time."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, waiting: int
) -> "Generator[Result, None, None]":
    """The results of a function, in the order of the items, computed in threads beforehand.

    waiting: so many items at most are taken that no result was taken of. Items are taken by the
    thread that takes results. What the function or the items raise is raised there; the rest is
    given up then, and when the iterator is closed.
    """
    queue: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                queue.append(pool.submit(function, item))
                if len(queue) >= waiting:
                    yield queue.popleft().result()
            while queue:
                yield queue.popleft().result()
        finally:
            for future in queue:
                future.cancel()
