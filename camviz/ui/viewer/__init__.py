"""The viewer: rows of maps on one picture, which the browser up-samples, colours and blends.

Viewer(payload({"layercam": x, "denoised": y, "prototypes": Unavailable("There are none.")}))
"""

from camviz.ui.viewer.camera import CameraAnswer, LiveCamera
from camviz.ui.viewer.class_list import (
    Classes,
    ClassList,
    classes_of,
    held_maps,
    map_of,
    names_of,
)
from camviz.ui.viewer.component import Viewer, viewer_head
from camviz.ui.viewer.cover_canvas import CoverCanvas, PaintedPart, Painting
from camviz.ui.viewer.curves import CurvePlots, Curves, curves_of
from camviz.ui.viewer.guess_canvas import GuessCanvas, Mark, Marking
from camviz.ui.viewer.map_slider import MapSlider, Steps
from camviz.ui.viewer.panels import (
    ColorPanel,
    Description,
    DifferencePanel,
    MapPanel,
    MapRow,
    PlacedMap,
    RawPanel,
    rasterize,
)
from camviz.ui.viewer.payload import TITLES, payload, title_of
from camviz.ui.viewer.schema import Payload, Words
from camviz.ui.viewer.words import symbols_in

__all__ = [
    "TITLES",
    "CameraAnswer",
    "ClassList",
    "Classes",
    "ColorPanel",
    "CoverCanvas",
    "CurvePlots",
    "Curves",
    "Description",
    "DifferencePanel",
    "GuessCanvas",
    "LiveCamera",
    "MapPanel",
    "MapRow",
    "MapSlider",
    "Mark",
    "Marking",
    "PaintedPart",
    "Painting",
    "Payload",
    "PlacedMap",
    "RawPanel",
    "Steps",
    "Viewer",
    "Words",
    "classes_of",
    "curves_of",
    "held_maps",
    "map_of",
    "names_of",
    "payload",
    "rasterize",
    "symbols_in",
    "title_of",
    "viewer_head",
]
