"""What a server takes from its environment: every CAMVIZ_* variable once, with default and meaning.

    environment().disk_mb            # CAMVIZ_DISK_MB, checked, or its default
    variable_table()                 # what docs/operating.md lists

With CAMVIZ_PUBLIC=1 (`camviz serve --public`, and always on a Space) the defaults are those for
visitors whom nobody knows; a variable that is set counts in any case. Importing this module loads
nothing else of camviz but its errors.
"""

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from camviz.errors import CamvizError

PREFIX = "CAMVIZ_"
GRADIO_NUMBERS = ("GRADIO_SERVER_PORT", "GRADIO_NUM_PORTS")  # others end in a traceback of gradio's
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


@dataclass(frozen=True)
class Variable:
    """A variable: its name in the environment, kind, defaults and meaning.

    default: where it is not set; public: the same with CAMVIZ_PUBLIC. None: see `help`. least: the
    smallest number that it may be. choices: the only texts that it may be; none: any text.
    """

    name: str
    kind: type
    default: Any
    public: Any
    least: float
    help: str
    choices: tuple[str, ...] = ()

    def read(self, text: str) -> Any:
        """The value that a text stands for. Raises `CamvizError` for one that is none."""
        if self.kind is bool:
            if text.lower() not in (*_YES, *_NO):
                raise CamvizError(f"{self.name} is 1 or 0, not '{text}'")
            return text.lower() in _YES
        if self.kind in (int, float):
            return self._number(text)
        if self.choices and text not in self.choices:
            raise CamvizError(f"{self.name} is one of {', '.join(self.choices)}, not '{text}'")
        return self.kind(text)

    def _number(self, text: str) -> float:
        try:
            value = self.kind(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= self.least):
            whole = "a whole number" if self.kind is int else "a number"
            raise CamvizError(f"{self.name} is {whole} from {self.least:g}, not '{text}'")
        return value


def variable(
    kind: type,
    default: Any,
    help: str,
    *,
    public: Any = ...,
    least: float = 0,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of `Environment`. public: the default on a public server, if it is another one."""
    row = {
        "kind": kind, "default": default, "public": default if public is ... else public,
        "least": least, "help": help, "choices": choices,
    }  # fmt: skip
    return field(default=default, metadata=row)


@dataclass(frozen=True)
class Environment:
    """The value of every variable; a field is CAMVIZ_ and its name in capitals."""

    public: bool = variable(bool, False, "1: visitors are strangers; the safe defaults hold")
    backbone: str | None = variable(
        str, None, "the network of this server's own: a name, a path or hf-hub:NAME"
    )
    threads: int = variable(int, 1, "threads of a network; on shared cores 1 is fastest", least=1)
    steps: int | None = variable(
        int, None, "heavy steps of work that are done at once, such as passes of networks; "
        "default: a core less than there are", least=1
    )  # fmt: skip
    memory_budget: int | None = variable(
        int, None, "MB of memory for networks, traces of pictures and one pass; larger networks "
        "are refused", public=4096, least=64
    )  # fmt: skip
    batch_mb: int = variable(
        int, 2048, "megabytes of activations that a batch of pictures may take; fewer pictures are "
        "shown to a network together where they would take more", least=1
    )  # fmt: skip
    cache: Path | None = variable(
        Path, None, "where measured placements are kept; default: ~/.cache/camviz"
    )
    runs: str = variable(
        str, "", "folders of runs that visitors may look through in *Collection*, with "
        f"{os.pathsep} between them; `camviz serve --run DIR` adds one"
    )  # fmt: skip
    run_pictures: int = variable(
        int, 50_000, "pictures of a run that *Collection* opens, 300 bytes of memory each; of a "
        "longer one the first", public=10_000, least=1
    )  # fmt: skip
    max_parameters: float | None = variable(
        float, None, "millions of parameters of a network that a visitor may choose; default: the "
        "Spacefile's"
    )  # fmt: skip
    metrics: bool = variable(
        bool, True, "1: figures for Prometheus at /metrics; they name nobody and nothing of "
        "visitors", public=False
    )  # fmt: skip
    log: str = variable(
        str, "text", "how each line of the log is written: text (key=value), json, or off",
        public="json", choices=("text", "json", "off"),
    )  # fmt: skip
    log_level: str = variable(
        str, "warning", "what is logged: debug, info (each request), warning or error",
        public="info", choices=("debug", "info", "warning", "error"),
    )  # fmt: skip
    stop_seconds: float = variable(
        float, 8, "seconds that requests under way are given to end when the server is stopped"
    )
    embed: str = variable(
        str, "http://localhost:* http://127.0.0.1:*", "addresses of pages that may show this one "
        "in a frame, separated by spaces; a Space adds https://huggingface.co", public=""
    )  # fmt: skip
    session_mb: float = variable(
        float, 1000.0, "megabytes on disk that one visitor may hold, uploads and files made for "
        "them; the oldest go first", public=250.0, least=1,
    )  # fmt: skip
    disk_mb: float = variable(
        float, 10000.0, "the same of all visitors together", public=2000.0, least=1
    )
    keep_minutes: float = variable(
        float, 120.0, "minutes after which uploads, zips and results are deleted", least=0.01
    )
    session_minutes: float = variable(
        float,
        60.0,
        "minutes that what was set is kept after a page was closed",
        public=30.0,
    )
    request_seconds: float = variable(
        float, 3600.0, "seconds that one request may take, waiting for its turn included",
        public=300.0, least=1,
    )  # fmt: skip
    claim_seconds: float = variable(
        float, 10.0, "seconds within which the answer to a queued request must be asked for, or "
        "the request is dropped", least=0.1,
    )  # fmt: skip
    works: int = variable(
        int, 4, "zips, banks of prototypes and sets of pictures that are worked on at once",
        public=2, least=1,
    )  # fmt: skip
    uploads_per_minute: int | None = variable(
        int, None, "uploads a minute from one address; default: no bound", public=60, least=1
    )
    works_per_minute: int | None = variable(
        int, None, "zips, banks and sets of pictures a minute of one visitor; default: no bound",
        public=20, least=1,
    )  # fmt: skip
    frames_per_minute: int | None = variable(
        int, None, "frames of a live camera a minute of one visitor; default: no bound",
        public=720, least=1,
    )  # fmt: skip
    calls_per_minute: int | None = variable(
        int, None, "calls of the HTTP API a minute from one address; default: no bound",
        public=60, least=1,
    )  # fmt: skip
    layers: int = variable(int, 256, "layers that one explanation may have", public=128, least=1)
    drawn_megapixels: float = variable(
        float,
        2000,
        "millions of pixels that the pictures of one zip, or of one answer of "
        "/explain, may have together, for each picture that was given",
        public=400,
        least=1,
    )
    hosts: str = variable(
        str, "", "names by which this server is reached, such as maps.example.org, separated by "
        "spaces; the endpoint for agents refuses others. Empty: localhost; on a public server any, "
        "for programs, and none for pages in browsers"
    )  # fmt: skip


def variable_table() -> Mapping[str, Variable]:
    """Every variable by the name of its field, in their order."""
    return MappingProxyType(
        {each.name: Variable(PREFIX + each.name.upper(), **each.metadata)
         for each in fields(Environment)}
    )  # fmt: skip


def environment() -> Environment:
    """The settings of this process. Raises `CamvizError` for a variable that cannot be read."""
    table = variable_table()
    for name in GRADIO_NUMBERS:
        _check_gradio(name)
    given = tuple((name, os.environ.get(row.name)) for name, row in table.items())
    return _environment(given, on_space="SPACE_ID" in os.environ)


def exit_if_unreadable() -> None:
    """End this process with one sentence and status 2 if a variable cannot be read."""
    try:
        environment()
    except CamvizError as error:
        print(f"camviz: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _check_gradio(name: str) -> None:
    """Raises `CamvizError` for a variable of gradio's that is no number as it takes them."""
    text = os.environ.get(name, "1")
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise CamvizError(f"{name} is a whole number from 1 to 65535, not '{text}'")


@lru_cache(maxsize=8)
def _environment(given: tuple[tuple[str, str | None], ...], on_space: bool) -> Environment:
    table, texts = variable_table(), dict(given)
    values = {name: table[name].read(text) for name, text in texts.items() if text}
    public = values.setdefault("public", on_space)
    rest = {name: row.public if public else row.default for name, row in table.items()}
    return Environment(**(rest | values))
