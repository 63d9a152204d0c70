"""What other programs may call: `explain`, `models` and `prototypes`, over HTTP.

Plain types in and out, so that the endpoints describe themselves; what `explain` takes besides
pictures and names is the table of `Options`. Files come by upload only, and a backbone is a name
that /models lists. With the extra `mcp` the same three are tools for agents, which send files as
data URLs, or as the address by which this server gave them out.
"""

import functools
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr
import numpy as np
from gradio.data_classes import FileData

from camviz.defaults import REFINED_THRESHOLD, THRESHOLD
from camviz.engine.explanation import Explanation
from camviz.engine.export import SCREEN, SIZES, check_size
from camviz.engine.options import Options, option_table
from camviz.errors import BackboneError, CamvizError, ImageError
from camviz.images import open_picture
from camviz.network.backbone import Backbone
from camviz.prototypes.bank import PrototypeBank
from camviz.ui.choices import available, default_choice
from camviz.ui.compute import engine
from camviz.ui.downloads.bundle import pack, write_rows
from camviz.ui.service import load
from camviz.ui.signature import Argument, number, option_argument, option_value, with_signature
from camviz.ui.state import BackboneChoice
from camviz.ui.uploads import upload_path, uploads_only

log = logging.getLogger(__name__)

MOST_MODELS, MOST_PICTURES = 500, 64

Given = ParamSpec("Given")
Result = TypeVar("Result")


def endpoint(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Make every error of a function a sentence that shows nobody the inside of this server."""

    @functools.wraps(function)
    def call(*values: Given.args, **named: Given.kwargs) -> Result:
        try:
            return function(*values, **named)
        except CamvizError as error:
            raise gr.Error(str(error), print_exception=False) from None
        except Exception:
            log.exception("unexpected, in %s", function.__name__)
            sentence = "something unexpected happened; it was written to the server's log"
            raise gr.Error(sentence, print_exception=False) from None

    return call


# -- explain -------------------------------------------------------------------------------------


# What `explain` takes before its options, and after them.
_SUBJECT = (
    Argument("image", FileData, "The picture, uploaded (JPEG, PNG, WebP, GIF, BMP or TIFF)."),
    Argument("backbone", str, "A name that /models lists; empty for this server's default.", ""),
    Argument(
        "target", str, "The class to explain, by label or index; empty for the top prediction.", ""
    ),
)
_REST = (
    Argument(
        "threshold",
        float,
        f"Boxes are at this share of the maximum; 0 for the usual one: {THRESHOLD}, of the refined "
        f"map {REFINED_THRESHOLD}.",
        0.0,
    ),
    Argument(
        "untrained",
        bool,
        "Use random weights, to try an architecture; its maps mean nothing.",
        False,
    ),
    Argument(
        "prototypes",
        FileData | None,
        "A bank that /prototypes returned, for method lpcam; else the shipped one.",
        None,
    ),
    Argument(
        "size",
        str,
        f"How large the overlays are: screen (at most {SCREEN} pixels a side) or original (as the "
        "picture is).",
        SIZES[0],
    ),
)
_EXPLAIN = """Say where an image classifier looks to see a class in a picture.

Returns what was found (predictions, target, a note per layer, boxes) and a zip with the
overlays, the raw maps (maps.npz) and manifest.json."""


def explain_endpoint(options: type[Options] = Options) -> Callable[..., Any]:
    """The endpoint `explain`, with a parameter for every option that the page has a control for."""
    rows = {name: row for name, row in option_table(options).items() if row.page}
    arguments = (*_SUBJECT, *map(option_argument, rows.values()), *_REST)

    def explain(given: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        size = check_size(given["size"])
        model = _backbone(given["backbone"], given["untrained"])
        chosen = {name: option_value(row, given[name]) for name, row in rows.items()}
        if given["prototypes"] is not None:
            chosen["prototypes"] = PrototypeBank.load(upload_path(given["prototypes"]))
        picture = open_picture(upload_path(given["image"]))
        x = engine().explain(picture, model, target=given["target"] or None, **chosen)
        folder = write_rows({x.request.method: x}, _new_folder() / "camviz", size=size)
        threshold = number("threshold", given["threshold"]) or None
        return _findings(x, threshold), _file_data(pack(folder))

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
            "brightest": _brightest(x.maps[name]),
            "notes": str(x.notes[name]),
        }
        for name, raw in x.raw.items()
    }
    return found


def _brightest(heat: np.ndarray) -> list[int] | None:
    """(x, y) in pixels of the picture; None for an empty map."""
    if not heat.any():
        return None
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    return [int(x), int(y)]


# -- models and prototypes -----------------------------------------------------------------------


@endpoint
def models(pattern: str = "", limit: int = 50) -> list[dict[str, Any]]:
    """List the backbones that may be asked here, the ready ones first.

    Each has a name, where its weights are (own, bundled, cached, hub or untrained), its family,
    parameters, input size, number of classes and licence.

    Args:
        pattern: Part of a name; empty for all of them.
        limit: How many are listed at most.
    """
    found = [
        choice for choice in available().values() if pattern.casefold() in choice.name.casefold()
    ]
    if not found:
        raise BackboneError(f"no backbone that is offered here is called like '{pattern}'")
    listed = []
    for choice in found[: max(1, min(int(number("limit", limit)), MOST_MODELS))]:
        entry = {} if choice.entry is None else asdict(choice.entry)
        for inner in ("architecture", "source", "name"):
            entry.pop(inner, None)
        listed.append({"name": choice.name, "weights": choice.source, **entry})
    return listed


@endpoint
def prototypes(
    images: list[FileData],
    target: str,
    backbone: str = "",
    clusters: int = 12,
    seed: int = 0,
    untrained: bool = False,
) -> tuple[dict[str, Any], FileData]:
    """Learn what a class looks like to a network, place by place, from pictures of it.

    Returns what was found per layer (foreground and context prototypes with their scores) and
    the bank as a .safetensors file, which /explain takes as `prototypes` with method lpcam.

    Args:
        images: Pictures of the class, uploaded; a dozen will do, 64 at most.
        target: The class, by label or index.
        backbone: A name that /models lists; empty for this server's default.
        clusters: How many prototypes of each kind are sought in a layer.
        seed: The same seed gives the same prototypes.
        untrained: Use random weights, to try an architecture; its maps mean nothing.
    """
    if not images:
        raise ImageError("no pictures were given; upload some of the class")
    if len(images) > MOST_PICTURES:
        raise ImageError(f"{len(images)} pictures were given; {MOST_PICTURES} are the most")
    model = _backbone(backbone, untrained)
    bank = engine().build_prototypes(
        [upload_path(image) for image in images],
        model,
        target,
        clusters=int(number("clusters", clusters)),
        seed=int(number("seed", seed)),
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
    return found, _file_data(bank.save(_new_folder() / "prototypes.safetensors"))


ENDPOINTS = (explain, models, prototypes)


def publish(page: gr.Blocks) -> None:
    """Add the endpoints to a page, and let no file in that was not uploaded."""
    for function in ENDPOINTS:
        gr.api(function, concurrency_id="engine", concurrency_limit=1)
    uploads_only(page)


def agents() -> bool | None:
    """Whether the endpoints are tools for agents (MCP): yes, if the extra `mcp` is installed.

    None: GRADIO_MCP_SERVER decides, and gradio reads it.
    """
    return None if "GRADIO_MCP_SERVER" in os.environ else find_spec("mcp") is not None


def _backbone(name: str, untrained: bool) -> Backbone:
    return load(BackboneChoice(name or default_choice(), bool(untrained)))


def _new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="camviz-"))


def _file_data(path: Path) -> Any:
    return FileData(path=str(path)).model_dump()
