"""The maps that can stand in a viewer: what `payload` is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from camviz.defaults import FUSED
from camviz.engine.components import Components
from camviz.engine.explanation import Explanation
from camviz.fit import Fit
from camviz.images import Picture
from camviz.maps.fusion import Placement, resample
from camviz.ui.layers import place_of
from camviz.ui.state import Unavailable
from camviz.ui.viewer.schema import Words


@dataclass(frozen=True)
class Heat:
    """A normalised map, (h, w), and where its cells look."""

    values: np.ndarray
    placement: Placement


@dataclass(frozen=True)
class MapPanel:
    """One map of a `MapRow`: of a stage, or of all stages, "fused" or "refined".

    name: what stands under it; None: the stage's own. marks: a word that sets it apart -> the
    sentence that explains it. facts: before what is said of any map. shares: its values are given
    as shares of its maximum only, because its unit is not that of its neighbours. last: it stands
    behind the stages, as a fused map does; None: if it is of all stages. ring: a place (x, y) of
    the picture to be seen at a glance.
    """

    x: Explanation
    of: str = FUSED
    name: str | None = None
    marks: Mapping[str, str] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    shares: bool = False
    last: bool | None = None
    ring: tuple[int, int] | None = None

    @property
    def stage(self) -> str | None:
        """The stage that it is of; None: it is of all."""
        return self.of if self.of in self.x.raw else None

    @property
    def heat(self) -> Heat:
        return Heat(*self.x.grid(self.of))


class AnyMap(Protocol):
    """A map of whatever origin: raw values, where they look, and the picture they are of."""

    @property
    def raw(self) -> np.ndarray: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def picture(self) -> Picture: ...
    @property
    def fit(self) -> Fit: ...


@dataclass(frozen=True)
class PlacedMap:
    """A map that is not an object of its own elsewhere, as `AnyMap`."""

    raw: np.ndarray
    placement: Placement
    picture: Picture
    fit: Fit


@dataclass(frozen=True)
class RawPanel:
    """A map that belongs to no explanation, such as a `SimilarityMap`.

    Nothing is said of it but what is given here, and the number of its cells, unless it is named
    after a layer, whose module is `module`. unit: None for that of its row. ends, top: of a map
    with two signs, what the ends of its scale are called, and where they are; None: at its own
    extremes. label: the class explained, network: whose map it is; "" where there is none.
    """

    map: AnyMap
    name: str
    alt: str
    facts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ring: tuple[int, int] | None = None
    unit: str | None = None
    ends: tuple[str, str] | None = None
    top: float | None = None
    last: bool = False
    module: str = ""
    label: str = ""
    network: str = ""


@dataclass(frozen=True)
class ColorPanel:
    """The features of a stage in colours."""

    components: Components
    name: str
    module: str
    network: str


@dataclass(frozen=True)
class DifferencePanel:
    """One map less another of the same picture, each as shares of its maximum: in [-1, 1].

    ends: what the two ends of its scale are called, that of the second map first.
    """

    one: MapPanel
    other: MapPanel
    name: str
    ends: tuple[str, str]


@dataclass(frozen=True)
class MapRow:
    """A row put together by hand, of maps that need not be of one network.

    panels: by key; an `Unavailable` stands in the place of a map that cannot be had. The same key
    stands in the same column in all rows: first the stages, then what is fused or a difference.
    of: what the row is about: an explanation, whose method is named and explained beside the title
    (`summary`: in other words), or a `Description`.
    """

    title: str
    of: "Explanation | Description"
    panels: Mapping[str, "MapPanel | RawPanel | ColorPanel | DifferencePanel | Unavailable"]
    summary: str | None = None


@dataclass(frozen=True)
class Description:
    """What is written of a row whose maps are of no method in `METHODS`.

    method, paper: what it is called, and after whom. unit: of the values of its maps; those of one
    unit share a colour scale. ends: what the ends of that scale are called. signs: what values
    below and above zero speak for.
    """

    method: str
    paper: str
    words: Words
    unit: str | None = None
    tag: str | None = None
    ends: tuple[str, str] = ("counts little", "counts most")
    signs: tuple[str, str] = ("against", "for")


def panels_of(x: Explanation) -> dict[str, MapPanel]:
    """The maps of an explanation that is a row of its own, by key."""
    panels = {place_of(x, name): MapPanel(x, name) for name in reversed(x.stages)}
    for name in x.maps_of_all:
        if name != FUSED or len(x.stages) > 1:  # of one stage, the fused map is its own
            panels[name] = MapPanel(x, name)
    return panels


def rasterize(panel: MapPanel, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """A map on a raster of its whole picture, `longest` pixels its longer side, or fewer.

    Returns (heat, visible): float32 (h, w) in [0, 1], read at the centres of the raster's pixels,
    0 where the network was not shown the picture; and bool (h, w), where it was.
    """
    x, heat = panel.x, panel.heat
    sides = (x.picture.height, x.picture.width)
    scale = min(1.0, longest / max(sides))
    places = [
        (torch.arange(count) + 0.5) * (side / count)
        for side in sides
        for count in [max(1, round(side * scale))]
    ]
    x0, y0, x1, y1 = x.fit.rect
    edges = ((y0, y1), (x0, x1))
    inside = [(at >= low) & (at < high) for at, (low, high) in zip(places, edges, strict=True)]
    rows, columns = (
        (at - low) / (high - low) * size - 0.5
        for at, (low, high), size in zip(places, edges, x.fit.input_size, strict=True)
    )
    visible = (inside[0][:, None] & inside[1]).numpy()
    values = resample(torch.from_numpy(heat.values), heat.placement, rows, columns).numpy()
    return values * visible, visible
