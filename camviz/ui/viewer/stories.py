"""Computations told step by step: what <story-walk> shows in the browser, in assets/web/steps.

    walk = StoryWalk(elem_id="steps-walk")          # its value: Stories(...).to_json()

All steps of all stories are sent at once, so that going through them needs no server. Maps are
bytes on their own grids, each sent once however many steps show it; the browser colours them.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import gradio as gr
import numpy as np

from camviz.maps.fusion import Placement
from camviz.ui import html
from camviz.ui.viewer.encode import encode_map, to_base64
from camviz.ui.viewer.schema import Scene

MOST_CELLS = 64  # of a side of a map that is sent; a finer one is averaged over blocks of cells
_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A small picture: a map, or pixels.

    `name`, `text`: what stands below it. `alt`: what is read out. `map`: the place of its bytes in
    `Stories.maps`; -1: it is the picture `src`, or the picture of the explanation if that is "",
    too. `grid`, `stride`, `offset`: as of a `Panel`. `signed`: byte 128 is zero. `over`: drawn on
    the picture, from cell to cell evenly; else cell by cell. `rect`: x0, y0, x1, y1, shares of the
    picture that are outlined.
    """

    name: str
    text: str = ""
    alt: str
    map: int = -1
    grid: tuple[int, int] = (0, 0)
    stride: tuple[float, float] = (0, 0)
    offset: tuple[float, float] = (0, 0)
    signed: bool = False
    over: bool = False
    src: str = ""
    rect: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Figures of one kind, side by side.

    `symbol`: the sign of the formula that they stand for. `name`: what stands above them. `sign`:
    what stands before it, such as "=". `size`: of its figures.
    """

    symbol: str
    name: str
    figures: tuple[Figure, ...]
    sign: str = ""
    size: Literal["small", "trio", "medium", "third", "large"] = "small"


@dataclass(frozen=True, kw_only=True)
class CutPosition:
    """One position of a cut through a gradient.

    `text`: its figures in words. `map`: the place of its map in `Stories.maps`.
    """

    level: float
    tau: float
    text: str
    map: int


@dataclass(frozen=True, kw_only=True)
class CutSlider:
    """A histogram with a cut in it that can be moved, and the maps before and after.

    `end`: of the axis of magnitudes. `positive`, `negative`: counts by bin. `positions`: of the
    cut; `chosen`: the one that is shown first. `before`, `after`: figures, `after.map` the first of
    as many maps as there are positions.
    """

    end: float
    positive: tuple[int, ...]
    negative: tuple[int, ...]
    positions: tuple[CutPosition, ...]
    chosen: int
    before: Figure
    after: Figure


# A piece of a formula, and the sign that it stands for, "" for none.
Piece = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class StoryStep:
    """One step: a title, a sentence or two, formulas line by line, and figures.

    `ask`: what stands on a button that begins what takes a while, "" for none.
    """

    title: str
    says: str
    formulas: tuple[tuple[Piece, ...], ...] = ()
    groups: tuple[Group, ...] = ()
    cut: CutSlider | None = None
    ask: str = ""


@dataclass(frozen=True, kw_only=True)
class StoryLayer:
    """The steps of a story at one stage. `key`: the stage, "" where there is nothing to choose."""

    key: str
    name: str
    steps: tuple[StoryStep, ...]


@dataclass(frozen=True, kw_only=True)
class Story:
    """A computation. `note`: what to know of it before its steps. `first`: the key of the stage
    that is shown until another one is chosen.
    """

    key: str
    title: str
    note: str
    layers: tuple[StoryLayer, ...]
    first: str = ""


@dataclass(frozen=True, kw_only=True)
class Stories:
    """Everything that <story-walk> shows. `picture`: a data URL; `size`: its width and height."""

    picture: str
    size: tuple[int, int]
    scene: Scene
    maps: tuple[str, ...]
    stories: tuple[Story, ...]

    def to_json(self) -> dict[str, Any]:
        """The same in values that JSON knows."""
        return asdict(self)


class Maps:
    """The bytes of maps, each kept once, in the order in which they were first added.

    most: cells of a side; finer maps are averaged over blocks of cells (`shrunk`).
    """

    def __init__(self, most: int = MOST_CELLS) -> None:
        self._most = most
        self._places: dict[str, int] = {}

    @property
    def data(self) -> tuple[str, ...]:
        return tuple(self._places)

    def figure(
        self,
        heat: np.ndarray,
        name: str,
        text: str = "",
        *,
        alt: str = "",
        peak: float | None = None,
        signed: bool = False,
        placement: Placement | None = None,
    ) -> Figure:
        """A figure of a map, (h, w), in its own units.

        peak: the magnitude at the end of the colours; None: the map's own. placement: where its
        cells look, for a map that is drawn on the picture.
        """
        heat, factor = shrunk(heat, self._most)
        peak = float(np.abs(heat).max()) if peak is None else peak
        share = heat / peak if peak > _TINY else np.zeros_like(heat)
        return Figure(
            name=name,
            text=text,
            alt=alt or name,
            map=self._add(signed_bytes(share) if signed else encode_map(share.clip(0, 1))),
            grid=(heat.shape[0], heat.shape[1]),
            # Blocks are centred where their cells are on average: the offset stays.
            stride=(0, 0)
            if placement is None
            else (placement.stride[0] * factor, placement.stride[1] * factor),
            offset=(0, 0) if placement is None else placement.offset,
            signed=signed,
            over=placement is not None,
        )

    def _add(self, data: str) -> int:
        return self._places.setdefault(data, len(self._places))


def signed_bytes(share: np.ndarray) -> str:
    """Values in [-1, 1] as base64 of bytes, 0 as 128."""
    return to_base64((128 + np.rint(share.clip(-1, 1) * 127)).astype(np.uint8).tobytes())


def shrunk(heat: np.ndarray, most: int = MOST_CELLS) -> tuple[np.ndarray, int]:
    """A map with at most so many cells a side, and how many cells were averaged along each.

    Means of blocks of cells; those at the end may have fewer.
    """
    factor = -(-max(heat.shape) // most)
    if factor <= 1:
        return heat, 1
    rows, columns = (-(-side // factor) * factor for side in heat.shape)
    padded = np.full((rows, columns), np.nan)
    padded[: heat.shape[0], : heat.shape[1]] = heat
    blocks = padded.reshape(rows // factor, factor, columns // factor, factor)
    return np.nanmean(blocks, axis=(1, 3)).astype(np.float32), factor


def cells_for(grids: Iterable[tuple[int, int]], maps: int, budget: int) -> int:
    """How many cells a side a map may have, so that `maps` of each grid are within a budget.

    In bytes, one a cell. At least 8.
    """
    for most in range(MOST_CELLS, 8, -4):
        factors = [(-(-max(grid) // most), grid) for grid in grids]
        if maps * sum(-(-h // f) * -(-w // f) for f, (h, w) in factors) <= budget:
            return most
    return 8


def StoryWalk(**options: Any) -> gr.HTML:
    """The component. options: those of `gr.HTML`. A step that asks is `select`, with its story."""
    return gr.HTML(
        None,
        html_template=html.script("steps/story-walk.html"),
        css_template=html.script("steps/story-walk.css"),
        js_on_load=html.script("steps/gradio.js"),
        apply_default_css=False,
        **options,
    )
