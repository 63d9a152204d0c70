"""What makes a report a hand-out: steps as still pictures, tests, and maps in black and white.

    printed_steps(x)     # the steps of How it works at one stage
    figures_known(x)    # faithfulness figures that were measured before; nothing is measured here
    grey_maps(x)      # every map on its picture, readable without colour

Nothing runs the network again but for what the engine has forgotten meanwhile.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from camviz.defaults import FUSED, REFINED
from camviz.engine.drawing import draw
from camviz.engine.explanation import Explanation
from camviz.engine.faithfulness import BESIDE, GAUSSIAN, RANDOM
from camviz.errors import CamvizError
from camviz.maps.metrics import METRICS
from camviz.ui import html
from camviz.ui.compute import engine
from camviz.ui.learn.stories import method
from camviz.ui.learn.stories.common import on_picture
from camviz.ui.viewer.encode import encode_pixels
from camviz.ui.viewer.stories import Figure, Maps, StoryStep

SIDE = 260  # pixels of a map in black and white, its longer side
CELLS = 32  # cells of a side of a map that is no larger than a thumb
LINE = 0.5  # of the maximum, where a line is drawn
PALEST = 110  # how dark the darkest place of a picture is without heat, of 255
IN_GREY = {"(orange)": "(dark)", "(violet)": "(pale)"}  # what the page's colours are on paper
NAMES = {FUSED: "this map", REFINED: "refined", RANDOM: "random", GAUSSIAN: "centred Gaussian"}


@dataclass(frozen=True)
class Still:
    """A small picture of a step. `cells`: it has a pixel a cell, and is enlarged without blur."""

    name: str
    text: str
    alt: str
    src: str
    cells: bool = False


@dataclass(frozen=True)
class PrintedStep:
    """A step of How it works: a title, a sentence or two, formulas, and pictures in groups.

    groups: (name, pictures), with the sign that stands before it in the name.
    """

    title: str
    says: str
    formulas: tuple[str, ...]
    groups: tuple[tuple[str, tuple[Still, ...]], ...]


@dataclass(frozen=True)
class PrintedSteps:
    """The steps of a method at a stage. note: what to know before, "" for nothing."""

    title: str
    layer: str
    note: str
    steps: tuple[PrintedStep, ...]


@dataclass(frozen=True)
class KnownFigure:
    """A figure of faithfulness, for each map that it was measured of, by the map's name."""

    label: str
    better: str
    meaning: str
    values: Mapping[str, str]


# -- Steps ---------------------------------------------------------------------------------------


def printed_steps(x: Explanation) -> PrintedSteps | None:
    """The steps at the stage that How it works shows first; None if the method has none to tell."""
    if not x.backbone.has_classes or not method.has_steps(x.request.method):
        return None
    maps = Maps(CELLS)
    try:
        story = method.story(x, maps, x.request.method)
    except CamvizError:  # such as a network whose weights have changed meanwhile
        return None
    layer = next(layer for layer in story.layers if layer.key == story.first)
    stills = _Stills(maps.data, _laid(x, maps), Paper(x))
    steps = tuple(_printed(step, stills) for step in layer.steps)
    return PrintedSteps(story.title, layer.name, story.note, steps)


def _laid(x: Explanation, maps: Maps) -> dict[int, str]:
    """Place in `Maps` -> name of the map, of all that are laid on the picture.

    Bytes are kept once, so that a map that is added again comes to the place where it is.
    """
    return {on_picture(maps, *x.grid(of), "").map: of for of in (*x.stages, FUSED)}


@dataclass(frozen=True)
class _Stills:
    """What the pictures of steps are made of. laid: see `_laid`."""

    data: Sequence[str]
    laid: Mapping[int, str]
    paper: "Paper"

    def of(self, figure: Figure) -> Still:
        cells = False
        if figure.src:
            src = figure.src
        elif figure.map < 0:
            src = html.data_url(self.paper.pixels)
        elif figure.over and figure.map in self.laid:
            src = self.paper.with_map(self.laid[figure.map])
        else:
            encoded = base64.b64decode(self.data[figure.map])
            values = np.frombuffer(encoded, np.uint8).reshape(figure.grid)
            src, cells = encode_pixels(255 - values), True  # the more, the darker
        return Still(figure.name, figure.text, figure.alt, src, cells)


def _printed(step: StoryStep, stills: _Stills) -> PrintedStep:
    formulas = tuple("".join(text for text, _ in line) for line in step.formulas)
    groups = tuple(
        (
            f"{group.sign} {group.name}".strip(),
            tuple(stills.of(each) for each in group.figures),
        )
        for group in step.groups
    )
    says = step.says
    for color, grey in IN_GREY.items():
        says = says.replace(color, grey)
    return PrintedStep(step.title, says, formulas, groups)


# -- Tests ---------------------------------------------------------------------------------------


def figures_known(x: Explanation) -> list[KnownFigure]:
    """Figures of faithfulness that were measured already; none is measured for a report."""
    if x.target is None:
        return []
    for beside in (BESIDE, ()):
        try:
            if engine().faithfulness_price(x, beside=beside) != 0:
                continue
            figures = engine().faithfulness(x, beside=beside).figures
        except CamvizError:
            return []
        return [
            KnownFigure(
                METRICS[key].label,
                METRICS[key].better,
                METRICS[key].meaning,
                {NAMES[n]: html.number(figures[n][key], ".3f") for n in NAMES if n in figures},
            )
            for key in figures[FUSED]
        ]
    return []


# -- Black and white -----------------------------------------------------------------------------


class Paper:
    """A picture at the size at which it is printed, and maps on it."""

    def __init__(self, x: Explanation) -> None:
        self.x = x
        self.pixels = html.thumbnail(x.picture.pixels, SIDE)
        grey = np.asarray(Image.fromarray(self.pixels).convert("L"), np.float32)
        self._pale = PALEST + grey * (255 - PALEST) / 255
        self._fit = x.fit.scaled_to(*grey.shape)

    def with_map(self, of: str) -> str:
        """The picture without colour, pale where a map is cold, as a data URL. of: its name.

        Brightness is p (1 - 0.8 h),  p in [`PALEST`, 255], h the heat in [0, 1]; a white line with
        a dark one around it stands where h crosses `LINE`.
        """
        hot = draw(*self.x.grid(of), self._fit)
        grey = self._pale * (1 - 0.8 * hot)
        inside = hot >= LINE
        outer, inner = _grown(inside) & ~inside, inside & _grown(~inside)
        grey[outer], grey[inner] = 0, 255
        return html.data_url(np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2), quality=70)


def grey_maps(x: Explanation) -> dict[str, str]:
    """Name of a map -> data URL of the picture, the darker the more a place counts."""
    paper = Paper(x)
    return {of: paper.with_map(of) for of in (*reversed(x.stages), *x.maps_of_all)}


def _grown(mask: np.ndarray) -> np.ndarray:
    """A mask with all pixels that touch it by a side."""
    padded = np.pad(mask, 1)
    return (
        padded[1:-1, 1:-1]
        | padded[:-2, 1:-1]
        | padded[2:, 1:-1]
        | padded[1:-1, :-2]
        | (padded[1:-1, 2:])
    )
