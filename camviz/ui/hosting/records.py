"""What a server did: for each request one line of the log, and figures; never of whom or of what.

    with recorded("api", "explain"):
        ...
    steps = recorded_steps("answer", "look", steps)

Kinds and names are words of camviz's own code. Outcomes: done; refused, by a `CamvizError`;
stopped, because nobody waits for it any more; failed, by anything else, with the number that the
visitor reads.
"""

import logging
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as Total

from camviz.engine.lookups import Counts, counted
from camviz.errors import CamvizError
from camviz.ui.sentences import public_sentence

log = logging.getLogger(__name__)

REGISTRY = CollectorRegistry()
REQUESTS = Total(
    "camviz_requests", "What was asked for, by how it ended.", ("kind", "name", "outcome"),
    registry=REGISTRY,
)  # fmt: skip
SECONDS = Histogram(
    "camviz_request_seconds", "How long it took, in seconds.", ("kind", "name"),
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180), registry=REGISTRY,
)  # fmt: skip
UNEXPECTED = "something unexpected happened; it was written to the server's log as error {}"

Item = TypeVar("Item")


class Record:
    """One request: since when it runs, and what it looked for in caches."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        self.since = time.monotonic()
        self.found: Counts = Counter()

    def end(self, error: BaseException | None = None) -> None:
        """Log and count how it ended. error: by what, if it did not come to its end."""
        outcome, seconds = outcome_of(error), time.monotonic() - self.since
        REQUESTS.labels(self.kind, self.name, outcome).inc()
        SECONDS.labels(self.kind, self.name).observe(seconds)
        made, held = self.found["traces", False], self.found["traces", True]
        fields = {
            "kind": self.kind,
            "name": self.name,
            "outcome": outcome,
            "seconds": round(seconds, 3),
            "cached": None if made + held == 0 else made == 0,
        }
        if outcome == "failed" and error is not None:
            fields["number"] = error_number(error)
        log.info("request", extra={"fields": fields})


def outcome_of(error: BaseException | None) -> str:
    """The word for how a request ended."""
    if error is None:
        return "done"
    if isinstance(error, CamvizError):
        return "refused"
    return "failed" if isinstance(error, Exception) else "stopped"


@contextmanager
def recorded(kind: str, name: str) -> Iterator[None]:
    """Record what is done within, however it ends."""
    record = Record(kind, name)
    try:
        with counted(record.found):
            yield
    except BaseException as error:
        record.end(error)
        raise
    record.end()


def recorded_steps(kind: str, name: str, steps: Iterator[Item]) -> Iterator[Item]:
    """The same of steps that are made one after the other, each perhaps in another thread."""
    record, end = Record(kind, name), object()
    try:
        while True:
            with counted(record.found):
                step = next(steps, end)
            if step is end:
                break
            yield step  # type: ignore[misc]
    except BaseException as error:
        record.end(error)
        raise
    record.end()


def error_number(error: BaseException) -> str:
    """The number of an error: the same whenever it is requested, another for each error."""
    number = getattr(error, "camviz_number", None)
    if number is None:
        number = error.camviz_number = secrets.token_hex(4)  # type: ignore[attr-defined]
    return str(number)


def log_unexpected(error: Exception, where: str) -> str:
    """Log a defect with its traceback; returns the sentence for the visitor, with its number."""
    number = error_number(error)
    fields = {"number": number, "where": where}
    log.error("unexpected error in %s", where, exc_info=error, extra={"fields": fields})
    return UNEXPECTED.format(number)


def sentence_for(error: Exception, where: str) -> str:
    """What a visitor reads of an error; what nobody foresaw is logged, with its number."""
    known = public_sentence(error)
    if known is None:
        return log_unexpected(error, where)
    if not isinstance(error, CamvizError):  # a full disk, for instance: the operator's to mend
        log.error("%s: %s", where, type(error).__name__)
    return known
