"""The viewer: rows of maps on one picture, which the browser up-samples, colours and blends.

Viewer(payload({"layercam": x, "denoised": y, "prototypes": Unavailable("There are none.")}))
"""

from camviz.ui.viewer.component import Viewer, viewer_head
from camviz.ui.viewer.panels import (
    Description,
    DifferencePanel,
    MapPanel,
    MapRow,
    PlacedMap,
    RawPanel,
    rasterize,
)
from camviz.ui.viewer.payload import TITLES, payload
from camviz.ui.viewer.schema import Payload, Words
from camviz.ui.viewer.words import symbols_in

__all__ = [
    "TITLES",
    "Description",
    "DifferencePanel",
    "MapPanel",
    "MapRow",
    "Payload",
    "PlacedMap",
    "RawPanel",
    "Viewer",
    "Words",
    "payload",
    "rasterize",
    "symbols_in",
    "viewer_head",
]
