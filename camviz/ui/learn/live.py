"""A live camera: what a network says of one frame, and the fused map of it.

    live.look(session, {"number": 7, "frame": base64 of a JPEG})

A frame is looked at and forgotten: it is written to no disk, and no trace or answer of it is kept.
The map goes out at its own resolution, and the browser colours it. Nothing here imports gradio.
"""

import base64
import binascii
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image, UnidentifiedImageError

from camviz.engine.explanation import Explanation
from camviz.errors import CamvizError, ImageError, RequestError, TooLargeError
from camviz.images import Picture, open_picture
from camviz.network.backbone import Backbone
from camviz.ui import html, service
from camviz.ui.compute import engine
from camviz.ui.given import read_text
from camviz.ui.hosting import limits
from camviz.ui.state import Session
from camviz.ui.viewer.convert import scene_of
from camviz.ui.viewer.encode import encode_map

MOST_PARAMETERS = 12e6  # of a network that is quick enough on one core
LONGEST_FRAME = 90_000  # characters of base64
MOST_SIDE = 320  # pixels
NO_FRAME = "a frame is the base64 of a JPEG of at most {0} × {0} pixels"
NO_CLASSES = "this network knows no classes, and a live camera shows what one says"


def look(session: Session, data: Any) -> dict[str, Any]:
    """What is shown of a frame, with its number; "says" has a sentence where that cannot be.

    map: base64 of bytes, row after row; grid, stride, offset, scene: as of the viewer's panels.
    """
    given: Mapping[str, Any] = data if isinstance(data, dict) else {}
    answer = {"number": given.get("number")}
    try:
        limits.frames().take(session.key)
        backbone = network_of(session)
        return answer | describe(explain(backbone, read_frame(given.get("frame"))))
    except CamvizError as error:
        return answer | {"says": html.sentence(error)}


def network_of(session: Session) -> Backbone:
    """The network that the page shows, which is loaded already.

    Raises a `CamvizError` for one that is too slow for a camera, or knows no classes.
    """
    loaded = session.loaded
    if loaded.name is None:
        raise RequestError("there is no network yet; the camera follows once the page has one")
    backbone = service.load(loaded)
    if not backbone.has_classes:
        raise RequestError(NO_CLASSES)
    if backbone.parameters > MOST_PARAMETERS:
        raise TooLargeError(
            f"{backbone.display_name} has {backbone.parameters / 1e6:.0f} million parameters, and "
            f"a live camera needs a network of at most {MOST_PARAMETERS / 1e6:.0f}: choose "
            "tf_efficientnet_lite0, say"
        )
    return backbone


def read_frame(given: Any) -> Picture:
    """A frame as a browser sends it. Raises `RequestError` for anything else."""
    try:
        data = base64.b64decode(read_text("a frame", given, LONGEST_FRAME), validate=True)
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            large = max(image.size) > MOST_SIDE
        if not large:
            return open_picture(data, name="camera")
    except (
        binascii.Error, ValueError, OSError, ImageError,
        UnidentifiedImageError, Image.DecompressionBombError,
    ):  # fmt: skip
        pass
    raise RequestError(NO_FRAME.format(MOST_SIDE))


def explain(backbone: Backbone, frame: Picture) -> Explanation:
    """The explanation of a frame by the network's own method, of which nothing is kept."""
    found = next(iter(engine().explain_many([frame], backbone, batch=1, refine="none")))
    if isinstance(found, CamvizError):
        raise found
    x: Explanation = found
    return x


def describe(x: Explanation) -> dict[str, Any]:
    """The answer of a network and its fused map, in values that JSON knows."""
    heat, placement = x.grid()
    scene = scene_of(x.fit)
    _, label, share = x.predictions[0]
    return {
        "label": label,
        "share": html.percent(share),
        "map": encode_map(heat),
        "grid": list(heat.shape),
        "stride": list(placement.stride),
        "offset": list(placement.offset),
        "rect": list(scene.rect),
        "input": list(scene.input),
        "width": x.picture.width,
        "height": x.picture.height,
    }
