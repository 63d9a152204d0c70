"""What is sent to the viewer: the wire format, every key of it.

`Payload.to_json()` gives plain values that JSON knows. The browser's part reads them by the same
names: assets/web/viewer/schema.js holds these classes as types, and a test compares both.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Picture:
    """The picture under all maps. `src`: a data URL, which may be smaller; the size is its own."""

    src: str
    width: int
    height: int
    name: str


@dataclass(frozen=True)
class Truth:
    """The pixels of one thing that is in the picture.

    `src`: data URL of a mask of one bit a pixel. `note`: how much of the thing the network was not
    shown. `explained`: whether it is the class that is explained.
    """

    label: str
    src: str
    note: str | None
    explained: bool = False


@dataclass(frozen=True)
class Scene:
    """How the picture was shown to a network.

    `rect`: x0, y0, x1, y1 of the part that it was shown, in pixels of the picture. `input`: height
    and width of its input. `shows_all`: whether the part is the whole.
    """

    rect: tuple[float, float, float, float]
    input: tuple[int, int]
    shows_all: bool


@dataclass(frozen=True)
class Words:
    """What is written of a method, a fusion or a difference.

    `summary`: what it does, in a sentence. `formula`: a_b is a subscript, a^(b) a superscript; ""
    for none. `symbols`: what the letters of the formula stand for.
    """

    summary: str
    formula: str = ""
    symbols: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One map, at its own resolution, and everything that is said of it.

    `key`: the same in every row for what stands in one column. `module`: whose output it is, where
    `name` does not say it. `last`: it stands behind the stages,
    as a fused map does. `cut`: the share of its maximum at which boxes and contours are drawn until
    a visitor sets one. `grid`: (rows, columns); `stride` and `offset` place its cells in pixels of
    the network's input, (y, x) each (`camviz.maps.fusion.Placement`). `data`: base64 of the
    positive part over `peak`, 0 .. 255; `against`: of the negative part over `lowest`, None if
    there is none. `top`: the largest magnitude on a scale with two signs. `peak`, `lowest` and
    `top` are in true units.

    `colors`: base64 of red, green and blue on the same grid, 0 .. 255, in place of heat, of which
    there is none then; None: a map of heat. `unit`: maps of one unit share a colour scale; None:
    only shares of the maximum mean something.
    `ends`: of a difference, which is always drawn with two signs, what the low and the high end of
    the scale are called. `ring`: a place (x, y) of the picture to be seen at a glance. `marks`:
    word on the map -> the sentence that explains it. `facts`, `warnings` and `remarks` stand below
    the map, `notes` in the dialog. `words`: None for the row's. `label`: the class explained, and
    `network`: whose map it is; "" for none. `alt`: where it is strongest.
    """

    key: str
    name: str
    module: str = ""
    last: bool
    scene: Scene
    cut: float
    grid: tuple[int, int]
    stride: tuple[float, float]
    offset: tuple[float, float]
    data: str
    peak: float
    against: str | None
    colors: tuple[str, str, str] | None = None
    lowest: float
    top: float
    unit: str | None
    ends: tuple[str, str] | None = None
    ring: tuple[int, int] | None = None
    marks: Mapping[str, str]
    facts: tuple[str, ...]
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]
    notes: tuple[str, ...]
    words: Words | None
    label: str
    network: str
    alt: str


@dataclass(frozen=True)
class Absent:
    """What stands in the place of a map that cannot be had."""

    key: str
    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """The maps of one method. `reason`: why there are none, in which case all else is empty.

    `key`: its name in links. `tag`: a remark on the whole row. `ends`: what the low and the high
    end of its scale are called; `signs`: those of a scale with two signs. `holds`: the
    id of an element of the page that stands in this row, above its maps, such as a slider that
    changes them.
    """

    key: str
    title: str
    reason: str | None = None
    method: str = ""
    paper: str = ""
    tag: str | None = None
    words: Words | None = None
    ends: tuple[str, str] = ("counts little", "counts most")
    signs: tuple[str, str] = ("against", "for")
    holds: str | None = None
    panels: tuple[Panel, ...] = ()
    absent: tuple[Absent, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Payload:
    """Everything that a viewer shows; see `camviz.ui.viewer.payload.payload`.

    `picture`: None if there are no maps, only sentences. `crop_note`: how much of the picture the
    network was not shown. `linked`: what a visitor sets is kept in the address bar, beside the
    server's part. `dense`: a table, the titles beside the rows. `small`: many maps side by side,
    with nothing written below them. `has_signs`: some map has values below zero that can be shown.
    `pick`: what a click does where it chooses a place, in a sentence; None: it enlarges the map.
    `follows`: the id of a viewer whose settings serve this one too. `outline`: label of the truth
    that is outlined until a visitor chooses; None: none.
    """

    rows: tuple[Row, ...]
    picture: Picture | None = None
    truth: tuple[Truth, ...] = ()
    crop_note: str | None = None
    linked: bool = False
    dense: bool = False
    small: bool = False
    has_signs: bool = False
    pick: str | None = None
    follows: str | None = None
    outline: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The same in values that JSON knows."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What is the same for every payload.

    `settings`: what a visitor can change, and what it is at first. `choices`: what some of them may
    be. `tables`: colour map -> base64 of 256 RGB triples; `diverging`: the one for two signs;
    `uneven`: those whose steps do not look even. `hot`: share of the colour scale from which on
    opacity that follows the heat is full. `threshold`: of boxes and contours, until a visitor sets
    one. `speck_area`, `speck_heat`: what is no object of its own (`camviz.defaults`).
    `link_keys`: everything that the server's part of the address bar may hold.
    """

    settings: Mapping[str, str | float | bool]
    choices: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, str]
    diverging: str
    uneven: tuple[str, ...]
    hot: float
    threshold: float
    max_threshold: float
    speck_area: float
    speck_heat: float
    link_keys: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The same in values that JSON knows."""
        return asdict(self)
