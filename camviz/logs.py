"""The log of a server: one line an event, as JSON or as key=value, without a single path.

    configure_logs("json", "info")
    log.info("done", extra={"fields": {"kind": "answer", "seconds": 0.31}})

Nothing that a visitor gave is logged by camviz; what an error of another package quotes is cut
where it looks like a path. Tracebacks name modules, functions and lines, not files.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

# A quoted text with a separator in it; what else begins like a path or an address; a file below a
# folder.
_PATHS = re.compile(
    r"""'[^'\n]*[\\/][^'\n]*' | "[^"\n]*[\\/][^"\n]*"
    | (?:\b\w+:|(?<!\w))[\\/]{1,2}[\w.~%@+-][^\s'",;)]*
    | \b[\w.-]+(?:[\\/][\w.-]+)+\.\w{1,6}\b""",
    re.X,
)
CUT = "…"
DEPTH = 30  # frames of a traceback, the innermost ones
LONGEST = 500  # characters of a message


def configure_logs(style: str, level: str) -> None:
    """Write what is logged to standard error. style: json, text or off; level: the lowest one."""
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if isinstance(each.formatter, Line)]:
        root.removeHandler(earlier)
    handler: logging.Handler
    handler = logging.NullHandler() if style == "off" else logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line(as_json=style == "json"))
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("camviz").setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error"):  # it has handlers of its own
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


class Line(logging.Formatter):
    """Formats a record as one line."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self.as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields = line_fields(record)
        if self.as_json:
            return json.dumps(fields, ensure_ascii=False, default=str)
        return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


def line_fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a line says, by name."""
    when = datetime.fromtimestamp(record.created, timezone.utc)
    fields = {
        "time": when.isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": without_paths(record.getMessage()),
        **getattr(record, "fields", {}),
    }
    if record.exc_info and record.exc_info[1] is not None:
        fields |= error_fields(record.exc_info[1])
    return fields


def error_fields(error: BaseException) -> dict[str, Any]:
    """The type, text and traceback of an error, and the types of those that led to it."""
    fields: dict[str, Any] = {
        "error": type(error).__name__,
        "text": without_paths(str(error)),
        "traceback": [*_frames(error.__traceback__)][-DEPTH:],
    }
    earlier = error.__cause__ or error.__context__
    if earlier is not None:
        fields["after"] = error_fields(earlier)
    return fields


def _frames(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        frame = traceback.tb_frame
        module = frame.f_globals.get("__name__", "?")
        yield f"{module}.{frame.f_code.co_name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next


def without_paths(text: str) -> str:
    """A text on one line, with "…" in the place of each path and address."""
    return _PATHS.sub(CUT, " ".join(text.split()))[:LONGEST]


def _value(value: Any) -> str:
    """A value as text that has an end: quoted where it has to be."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    plain = text and not re.search(r'[\s="]', text)
    return text if plain else json.dumps(text, ensure_ascii=False)
