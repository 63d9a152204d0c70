"""The viewer: rows of maps on one picture, which the browser up-samples, colours and blends.

Viewer(payload({"layercam": x, "denoised": y, "prototypes": Unavailable("There are none.")}))
"""

from camviz.ui.viewer.component import Viewer, viewer_head
from camviz.ui.viewer.panels import (
    Description,
    DifferencePanel,
    MapPanel,
    MapRow,
    RawPanel,
    rasterize,
)
from camviz.ui.viewer.payload import TITLES, payload
from camviz.ui.viewer.schema import Payload, Words

__all__ = [
    "TITLES",
    "Description",
    "DifferencePanel",
    "MapPanel",
    "MapRow",
    "Payload",
    "RawPanel",
    "Viewer",
    "Words",
    "payload",
    "rasterize",
    "viewer_head",
]
