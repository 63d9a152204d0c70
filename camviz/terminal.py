"""What all commands share: how many threads a network has, and a line that shows progress."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from camviz.environment import environment


def set_threads() -> None:
    """Use CAMVIZ_THREADS threads, by default one: on shared cores two can be ten times slower."""
    import torch

    torch.set_num_threads(environment().threads)


@contextmanager
def silenced_libraries() -> Iterator[None]:
    """Keep what C libraries print about damaged files off the terminal, which gets a sentence.

    For a process with one thread: all of them share standard error.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def progress_line() -> Callable[[int, int, str], None] | None:
    """Shows (done, of, in words) on one line of the terminal; None where there is no terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, of: int, text: str) -> None:
        print(f"\r{done}/{of} {text:.60}\033[K", end="", file=sys.stderr, flush=True)

    return show


def clear_line() -> None:
    """Take the line of progress away."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
