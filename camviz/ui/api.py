"""What other programs may call: `explain`, `models` and `prototypes`, over HTTP.

Plain types in and out, so that the endpoints describe themselves; what `explain` takes besides
pictures and names is the table of `Options`. Files come by upload only, and a backbone is a name
that /models lists. With the extra `mcp` the same three are tools for agents, which send files as
data URLs, or as the address by which this server gave them out.
"""

import functools
import inspect
import os
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import gradio as gr
from gradio.data_classes import FileData

from camviz.defaults import REFINED_THRESHOLD, THRESHOLD
from camviz.engine.explanation import Explanation
from camviz.engine.export import SCREEN, SIZES, check_size
from camviz.engine.option import option_table
from camviz.engine.options import Options
from camviz.environment import environment
from camviz.errors import BackboneError, LimitError, quote
from camviz.images import open_picture
from camviz.network.backbone import Backbone
from camviz.prototypes.bank import CLUSTERS, PrototypeBank
from camviz.prototypes.prototype import MOST_CLUSTERS
from camviz.turns import Stopped
from camviz.ui.choices import available, default_choice
from camviz.ui.compute import engine
from camviz.ui.costs import check_drawing, check_layers
from camviz.ui.downloads.bundle import MAPS_OF_ALL, pack, write_rows
from camviz.ui.given import read_list, read_number, read_switch, read_text, read_whole
from camviz.ui.hosting.caller import Caller
from camviz.ui.hosting.limits import calls, storage
from camviz.ui.hosting.pool import Pool, ended, give_up
from camviz.ui.hosting.records import recorded, sentence_for
from camviz.ui.hosting.uploads import upload_path, uploads_only
from camviz.ui.service import load
from camviz.ui.signature import Argument, option_argument, with_signature
from camviz.ui.state import BackboneChoice, Task

MOST_MODELS, MOST_PICTURES = 500, 64
GONE = "nobody waited for the answer any more"

Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Call:
    """A call of an endpoint. owner: whose the files are that are made for it."""

    task: Task
    owner: str


@functools.lru_cache(maxsize=1)
def _pool() -> Pool:
    return Pool(environment().works, "call")


def endpoint(
    function: Callable[Concatenate[Call, Given], Result],
) -> Callable[Given, Coroutine[Any, Any, Result]]:
    """The endpoint of a function whose first argument is the call.

    It ends when the client goes or the time is over. Every error becomes a sentence that shows
    nobody the inside of this server.
    """

    @functools.wraps(function)
    async def call(*values: Given.args, **named: Given.kwargs) -> Result:
        try:
            caller, task = Caller.current(), Task()
            calls().take(caller.address)
            work = functools.partial(function, Call(task, caller.address), *values, **named)
            with recorded("api", function.__name__):
                return await _attended(work, task, caller)
        except Exception as error:
            raise gr.Error(sentence_for(error, function.__name__), print_exception=False) from None

    signature = inspect.signature(function)
    first, *rest = signature.parameters.values()
    call.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
    call.__annotations__ = {k: v for k, v in function.__annotations__.items() if k != first.name}
    return call


async def _attended(work: Callable[[], Result], task: Task, caller: Caller) -> Result:
    """What work returns, as long as its client waits for it. Raises `LimitError` if it may not."""
    begun = _pool().begin(work)
    try:
        while not await ended(begun):
            caller.check(task)
            if task.cancelled:
                raise LimitError(task.reason or GONE)
        return begun.result()
    except Stopped:
        raise LimitError(task.reason or GONE) from None
    finally:
        task.cancel()
        give_up(begun)


# -- explain -------------------------------------------------------------------------------------


def _read_file(name: str, given: Any) -> str:
    """The path of an upload; see `upload_path`."""
    return upload_path(given)


def _read_files(name: str, given: Any) -> list[str]:
    return [upload_path(file) for file in read_list(name, given, "pictures", MOST_PICTURES)]


_BACKBONE = Argument(
    "backbone", str, "A name that /models lists; empty for this server's default.", "", read_text
)
_UNTRAINED = Argument(
    "untrained",
    bool,
    "Use random weights, to try an architecture; its maps mean nothing.",
    False,
    read_switch,
)

# What `explain` takes before its options, and after them.
_SUBJECT = (
    Argument(
        "image",
        FileData,
        "The picture, uploaded (JPEG, PNG, WebP, GIF, BMP, TIFF or NPY).",
        read=_read_file,
    ),
    _BACKBONE,
    Argument(
        "target",
        str,
        "The class to explain, by label or index; empty for the top prediction.",
        "",
        read_text,
    ),
)
_REST = (
    Argument(
        "threshold",
        float,
        f"Boxes are at this share of the maximum; 0 for the usual one: {THRESHOLD}, of the refined "
        f"map {REFINED_THRESHOLD}.",
        0.0,
        partial(read_number, least=0, most=1),
    ),
    _UNTRAINED,
    Argument(
        "prototypes",
        FileData | None,
        "A bank that /prototypes returned, for method lpcam; else the shipped one.",
        None,
        _read_file,
    ),
    Argument(
        "size",
        str,
        f"How large the overlays are: screen (at most {SCREEN} pixels a side) or original (as the "
        "picture is).",
        SIZES[0],
        read_text,
    ),
)
_EXPLAIN = """Say where an image classifier looks to see a class in a picture.

Returns what was found (predictions, target, a note per layer, boxes) and a zip with the
overlays, the raw maps (maps.npz) and manifest.json."""


def explain_endpoint(options: type[Options] = Options) -> Callable[..., Any]:
    """The endpoint `explain`, with a parameter for every option that the page has a control for."""
    rows = {name: row for name, row in option_table(options).items() if row.page}
    arguments = (*_SUBJECT, *map(option_argument, rows.values()), *_REST)

    def explain(call: Call, given: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        size = check_size(given["size"])
        chosen = {name: given[name] for name in rows}
        options.from_mapping(chosen)  # what is wrong is said before anything is loaded
        model = _backbone(given["backbone"], given["untrained"])
        if given["prototypes"] is not None:
            chosen["prototypes"] = PrototypeBank.load(_taken_in(given["prototypes"], call))
        picture = open_picture(_taken_in(given["image"], call))
        stages = chosen["stages"] or model.default_stages
        check_layers(stages)
        check_drawing(picture, 1 + len(stages) + len(MAPS_OF_ALL), size)
        target, report = given["target"] or None, call.task.report
        x = engine().explain(picture, model, target=target, progress=report, **chosen)
        with tempfile.TemporaryDirectory(prefix="camviz-") as work:
            folder = write_rows(
                {x.request.method: x}, Path(work) / "camviz", size=size, progress=report
            )
            file = storage().keep_result(call.owner, pack(folder, call.task.check))
            return _findings(x, given["threshold"] or None), _file_data(file)

    returns = tuple[dict[str, Any], FileData]
    return endpoint(with_signature(explain, "explain", _EXPLAIN, arguments, returns))


explain = explain_endpoint()


def _findings(x: Explanation, threshold: float | None) -> dict[str, Any]:
    """The manifest of an explanation, with a few figures of every stage."""
    found = x.manifest(threshold, public=True)
    found["stages"] = {
        name: {
            "grid": list(x.notes[name].grid),
            "peak": float(raw.max()),
            "brightest": x.brightest(name),
            "notes": str(x.notes[name]),
        }
        for name, raw in x.raw.items()
    }
    return found


# -- models and prototypes -----------------------------------------------------------------------


_MODELS = """List the backbones that may be asked here, the ready ones first.

Each has a name, where its weights are (own, bundled, cached, hub or untrained), its family,
parameters, input size, number of classes and licence."""
_LISTED = (
    Argument("pattern", str, "Part of a name; empty for all of them.", "", read_text),
    Argument(
        "limit",
        int,
        f"How many are listed at most, from 1 to {MOST_MODELS}.",
        50,
        partial(read_whole, least=1, most=MOST_MODELS),
    ),
)


def _models(call: Call, given: dict[str, Any]) -> list[dict[str, Any]]:
    pattern = given["pattern"].casefold()
    found = [choice for choice in available().values() if pattern in choice.name.casefold()]
    if not found:
        raise BackboneError(
            f"no backbone that is offered here is called like {quote(given['pattern'])}"
        )
    listed = []
    for choice in found[: given["limit"]]:
        entry = {} if choice.entry is None else asdict(choice.entry)
        for inner in ("architecture", "source", "name", "repository"):
            entry.pop(inner, None)
        listed.append({"name": choice.name, "weights": choice.source, **entry})
    return listed


models = endpoint(with_signature(_models, "models", _MODELS, _LISTED, list[dict[str, Any]]))

_PROTOTYPES = """Learn what a class looks like to a network, place by place, from pictures of it.

Returns what was found per layer (foreground and context prototypes with their scores) and
the bank as a .safetensors file, which /explain takes as `prototypes` with method lpcam."""
_GALLERY = (
    Argument(
        "images",
        list[FileData],
        f"Pictures of the class, uploaded; a dozen will do, {MOST_PICTURES} at most.",
        read=_read_files,
    ),
    Argument("target", str, "The class, by label or index.", read=read_text),
    _BACKBONE,
    Argument(
        "clusters",
        int,
        "How many prototypes of each kind are sought in a layer.",
        CLUSTERS,
        partial(read_whole, least=1, most=MOST_CLUSTERS),
    ),
    Argument("seed", int, "The same seed gives the same prototypes.", 0, read_whole),
    _UNTRAINED,
)


def _prototypes(call: Call, given: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    model = _backbone(given["backbone"], given["untrained"])
    bank = engine().build_prototypes(
        [_taken_in(path, call) for path in given["images"]],
        model,
        given["target"],
        clusters=given["clusters"],
        seed=given["seed"],
        progress=call.task.report,
    )
    found = {
        "target": {"index": bank.target, "label": bank.label},
        "pictures": len(bank.pictures),
        "skipped": [list(row) for row in bank.skipped],
        "stages": {
            name: [
                {"kind": p.kind, "size": p.size, "score": p.score, "kept": p.kept}
                for p in stage.prototypes
            ]
            for name, stage in bank.stages.items()
        },
    }
    with tempfile.TemporaryDirectory(prefix="camviz-") as work:
        file = bank.save(Path(work) / "prototypes.safetensors")
        return found, _file_data(storage().keep_result(call.owner, file))


prototypes = endpoint(
    with_signature(
        _prototypes, "prototypes", _PROTOTYPES, _GALLERY, tuple[dict[str, Any], FileData]
    )
)


ENDPOINTS = (explain, models, prototypes)


def publish(page: gr.Blocks) -> None:
    """Add the endpoints to a page, and let no file in that was not uploaded."""
    for function in ENDPOINTS:
        gr.api(function, concurrency_id="engine", concurrency_limit=environment().works)
    uploads_only(page)


def agents() -> bool | None:
    """Whether the endpoints are tools for agents (MCP): yes, if the extra `mcp` is installed.

    None: GRADIO_MCP_SERVER decides, and gradio reads it.
    """
    return None if "GRADIO_MCP_SERVER" in os.environ else find_spec("mcp") is not None


def _backbone(name: str, untrained: bool) -> Backbone:
    return load(BackboneChoice(name or default_choice(), bool(untrained)))


def _taken_in(path: str, call: Call) -> str:
    """The path of an upload, which the caller holds: agents' files come by no route of uploads."""
    storage().take_in(call.owner, path)
    return path


def _file_data(path: Path) -> Any:
    return FileData(path=str(path)).model_dump()
