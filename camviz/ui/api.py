"""What other programs may ask: `explain`, `models` and `prototypes`, over HTTP.

Plain types in and out, so that the endpoints describe themselves. Files come by upload only: no
path on this machine and no address elsewhere is ever opened, and a backbone is a name on offer.
With the extra `mcp` the same three are tools for agents, which send files as data URLs, or as the
address by which this server gave them out.
"""

import binascii
import functools
import json
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote

import gradio as gr
import numpy as np
from gradio.data_classes import FileData
from gradio.processing_utils import save_base64_to_cache
from gradio.utils import get_upload_folder

from camviz.errors import BackboneError, CamvizError, ImageError, MethodError
from camviz.images import MAX_BYTES, open_picture
from camviz.prototypes.bank import PrototypeBank
from camviz.space.spacefile import spacefile
from camviz.ui.choices import available, default_choice, discreet
from camviz.ui.compare_tab import Ask, network
from camviz.ui.compute import engine
from camviz.ui.downloads.bundle import packed, write_rows

log = logging.getLogger(__name__)

MOST_MODELS, MOST_PICTURES = 500, 64

Given = ParamSpec("Given")
Result = TypeVar("Result")


def speaking(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """An endpoint whose errors are sentences, and which shows nobody the inside of this server."""

    @functools.wraps(function)
    def answer(*given: Given.args, **named: Given.kwargs) -> Result:
        try:
            return function(*given, **named)
        except CamvizError as error:
            raise gr.Error(str(error), print_exception=False) from None
        except Exception:
            log.exception("unexpected, in %s", function.__name__)
            sentence = "something unexpected happened; it was written to the server's log"
            raise gr.Error(sentence, print_exception=False) from None

    return answer


@speaking
def explain(
    image: FileData,
    backbone: str = "",
    target: str = "",
    versus: str = "",
    method: str = "layer_cam",
    stages: list[str] | None = None,
    truncation: float = 0.0,
    fuse: str = "product",
    tap: str = "activation",
    fit: str = "stretch",
    placement: str = "plain",
    threshold: float = 0.2,
    untrained: bool = False,
    prototypes: FileData | None = None,
) -> tuple[dict[str, Any], FileData]:
    """Say where an image classifier looks to see a class in a picture.

    Returns what was found (predictions, target, a note per layer, boxes) and a zip with the
    overlays, the raw maps (maps.npz) and manifest.json.

    Args:
        image: The picture, uploaded (JPEG, PNG, WebP, GIF, BMP or TIFF).
        backbone: A name that /models lists; empty for this server's default.
        target: The class to explain, by label or index; empty for the top prediction.
        versus: A class to tell the target from; empty for none.
        method: layer_cam, grad_cam, grad_cam_pp, xgrad_cam, hires_cam, eigen_cam, cam, lpcam, ...
        stages: Names of stages or of any module; empty for one per resolution.
        truncation: From 0 (off) to 0.99: how much of what noise explains is taken out (0.9).
        fuse: How the layers become one map: product, mean or max_tanh.
        tap: Which tensor stands for a layer: activation or output.
        fit: stretch (the whole picture) or crop (the model's own centre crop).
        placement: Where cells are drawn: plain or true.
        threshold: Boxes are drawn at this share of the maximum.
        untrained: Use random weights, to try an architecture; its maps mean nothing.
        prototypes: A bank that /prototypes returned, for method lpcam; else the shipped one.
    """
    ask = _ask(backbone, untrained)
    model = network(ask)
    options: dict[str, Any] = {"truncation": _number("truncation", truncation)}
    if prototypes is not None:
        options["prototypes"] = PrototypeBank.load(uploaded(prototypes))
    x = engine().explain(
        open_picture(uploaded(image)),
        model,
        target=model.target(target) if target else None,
        versus=model.target(versus) if versus else None,
        method=method,
        stages=stages or None,
        fuse=fuse,
        tap=tap,
        fit=fit,
        placement=placement,
        **options,
    )
    said = json.loads(discreet(json.dumps(x.manifest(_number("threshold", threshold)))))
    said["stages"] = {
        name: {
            "grid": list(x.notes[name].grid),
            "peak": float(raw.max()),
            "brightest": _brightest(x.maps[name]),
            "notes": str(x.notes[name]),
        }
        for name, raw in x.raw.items()
    }
    return said, _file(packed(write_rows({method: x}, _place() / "camviz")))


@speaking
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
    for choice in found[: max(1, min(int(_number("limit", limit)), MOST_MODELS))]:
        known = {} if choice.entry is None else asdict(choice.entry)
        for inner in ("architecture", "source", "name"):
            known.pop(inner, None)
        listed.append({"name": choice.name, "weights": choice.source, **known})
    return listed


@speaking
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
    model = network(_ask(backbone, untrained))
    bank = engine().build_prototypes(
        [uploaded(image) for image in images],
        model,
        target,
        clusters=int(_number("clusters", clusters)),
        seed=int(_number("seed", seed)),
    )
    said = {
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
    return said, _file(bank.save(_place() / "prototypes.safetensors"))


ENDPOINTS = (explain, models, prototypes)


def publish(page: gr.Blocks) -> None:
    """Add the endpoints to a page, and let no file in that was not uploaded."""
    for endpoint in ENDPOINTS:
        gr.api(endpoint, concurrency_id="engine", concurrency_limit=1)
    uploads_only(page)


def agents() -> bool | None:
    """Whether the endpoints are tools for agents (MCP): yes, if the extra `mcp` is installed.

    None: GRADIO_MCP_SERVER says so, and gradio reads it.
    """
    return None if "GRADIO_MCP_SERVER" in os.environ else find_spec("mcp") is not None


def uploads_only(page: gr.Blocks) -> None:
    """Refuse addresses: gradio would fetch them, in the name of whoever runs this server.

    An address at which this server itself gave out a file stands for that file.
    """

    def guard(block: Any) -> None:
        move = block.async_move_resource_to_block_cache

        async def refuse_addresses(file: Any) -> Any:
            if isinstance(file, str) and "://" in file:
                file = _given_out(file)
                if file is None:
                    sentence = "files come by upload only, not by address"
                    raise gr.Error(sentence, print_exception=False)
            return await move(file)

        block.async_move_resource_to_block_cache = refuse_addresses

    for block in page.blocks.values():
        guard(block)


def _given_out(address: str) -> str | None:
    """The path of a file that this server gave out at an address; nothing is fetched from it."""
    path = unquote(address.partition("/gradio_api/file=")[2])
    return path if path and _in_uploads(path) and Path(path).is_file() else None


def _in_uploads(path: str) -> bool:
    return Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve())


def uploaded(file: Any) -> str:
    """The path of an upload. Anything else that a program may send is refused.

    Agents send lists of files as data URLs or as addresses on this server: gradio reads those of
    single files only.
    """
    if isinstance(file, str):
        path = _inline(file) if file.startswith("data:") else _given_out(file)
    else:
        path = file.get("path") if isinstance(file, dict) else getattr(file, "path", None)
    if not isinstance(path, str) or not _in_uploads(path):
        raise ImageError("a file must be uploaded; with gradio_client, give handle_file(PATH)")
    return path


def _inline(data: str) -> str:
    """What a data URL holds, as a file among the uploads."""
    if len(data) * 3 / 4 > upload_limit():
        raise ImageError(f"a picture may have {upload_limit() / 1e6:.0f} MB at most")
    try:
        return save_base64_to_cache(data, get_upload_folder())
    except (ValueError, binascii.Error):
        raise ImageError("a data URL could not be read; its data are base64") from None


def upload_limit() -> int:
    """Bytes that an uploaded file may have."""
    return min(MAX_BYTES, int(spacefile().limits.upload_mb * 1e6))


def _ask(backbone: str, untrained: bool) -> Ask:
    return Ask(None, None, backbone=backbone or default_choice(), untrained=bool(untrained))


def _number(name: str, given: Any) -> float:
    try:
        return float(given)
    except (TypeError, ValueError):
        raise MethodError(f"{name} is a number, not '{given}'") from None


def _brightest(heat: np.ndarray) -> list[int] | None:
    """(x, y) in pixels of the picture; None for an empty map."""
    if not heat.any():
        return None
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    return [int(x), int(y)]


def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="camviz-"))


def _file(path: Path) -> Any:
    return FileData(path=str(path)).model_dump()
