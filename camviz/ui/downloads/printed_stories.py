"""The stories of How it works as still pictures: what the explanations of a report hold already.

The network does not run again, but for what the engine has forgotten meanwhile.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from camviz.engine.explanation import Explanation
from camviz.engine.head_steps import METHODS_OF_HEADS
from camviz.errors import CamvizError
from camviz.maps.fusion import Placement
from camviz.methods import METHODS
from camviz.ui.downloads.paper import Paper, Still
from camviz.ui.learn.stories import attending, method, noise, whole
from camviz.ui.service import DENOISED, PROTOTYPES
from camviz.ui.viewer.encode import encode_pixels
from camviz.ui.viewer.stories import CutSlider, Figure, Maps, Story, StoryStep

CELLS = 32  # cells of a side of a map that is no larger than a thumb
# What the page's colours are on paper.
IN_GREY = {
    "(orange)": "(dark)",
    "(violet)": "(pale)",
    "(warm)": "(strong colours)",
    "(cold)": "(pale ones)",
}


Tell = Callable[[Explanation, Maps], Story]


@dataclass(frozen=True)
class PrintedStep:
    """A step: a title, a sentence or two, formulas, and pictures in groups.

    groups: (name, pictures), with the sign that stands before it in the name.
    """

    title: str
    says: str
    formulas: tuple[str, ...]
    groups: tuple[tuple[str, tuple[Still, ...]], ...]


@dataclass(frozen=True)
class PrintedStory:
    """The steps of a story. layer: the stage they are of, note: what to know before; or ""."""

    title: str
    layer: str
    note: str
    steps: tuple[PrintedStep, ...]


def printed_stories(rows: Mapping[str, Explanation]) -> list[PrintedStory]:
    """The stories that the rows of a picture tell, in the order of the page.

    rows: by key, the first one by the method that is shown.
    """
    first = next(iter(rows.values()))
    found = [_printed_story(x, tell) for x, tell in _tellers(rows, first) if x is not None]
    return [each for each in found if each is not None]


def _tellers(
    rows: Mapping[str, Explanation], first: Explanation
) -> Iterator[tuple[Explanation | None, Tell]]:
    """For each story, the explanation that it is of, None if there is none, and what tells it."""
    if not first.backbone.has_classes:
        return
    shown = first.request.method
    stepwise = next((x for x in rows.values() if method.has_steps(x.request.method)), None)
    yield stepwise, lambda x, maps: method.story(x, maps, shown)
    denoised, prototypes = rows.get(DENOISED), rows.get(PROTOTYPES)
    whole_gradient = (x for x in rows.values() if not x.request.truncation)
    truncates = next((x for x in whole_gradient if METHODS[x.request.method].truncates), None)
    choice = None if denoised is None else denoised.truncation_choice
    yield truncates, lambda x, maps: noise.story(x, choice, maps)
    if prototypes is not None:
        of_class = METHODS[shown].class_specific and not METHODS[shown].uses_prototypes
        yield first if of_class else stepwise, lambda x, maps: whole.story(x, prototypes, "", maps)
    yield first if shown in METHODS_OF_HEADS else None, attending.story


def _printed_story(x: Explanation, tell: Tell) -> PrintedStory | None:
    """A story at the stage that the page shows first; None if it cannot be told any more."""
    maps = Maps(CELLS)
    try:
        story = tell(x, maps)
    except CamvizError:  # such as of a network whose weights have changed meanwhile
        return None
    layer = next((each for each in story.layers if each.key == story.first), story.layers[-1])
    paper = Paper(x)
    steps = tuple(_printed(step, maps, paper) for step in layer.steps)
    return PrintedStory(story.title, layer.name, story.note, steps)


def _printed(step: StoryStep, maps: Maps, paper: Paper) -> PrintedStep:
    groups = [
        (f"{group.sign} {group.name}".strip(), tuple(_still(f, maps, paper) for f in group.figures))
        for group in step.groups
    ]
    if step.cut is not None:
        groups.append(_positions(step.cut, maps, paper))
    says = step.says
    for color, grey in IN_GREY.items():
        says = says.replace(color, grey)
    formulas = tuple("".join(text for text, _ in line) for line in step.formulas)
    return PrintedStep(step.title, says, formulas, tuple(groups))


def _positions(cut: CutSlider, maps: Maps, paper: Paper) -> tuple[str, tuple[Still, ...]]:
    """The map before the cut and after it."""
    before, after = (_still(figure, maps, paper) for figure in (cut.before, cut.after))
    return cut.positions[cut.chosen].text, (before, after)


def _still(figure: Figure, maps: Maps, paper: Paper) -> Still:
    cells = False
    if figure.src:
        src = figure.src
    elif figure.map < 0:
        src = paper.plain
    else:
        encoded = base64.b64decode(maps.data[figure.map])
        values = np.frombuffer(encoded, np.uint8).reshape(figure.grid)
        if figure.over and not figure.signed:
            heat = values.astype(np.float32) / 255
            src = paper.with_heat(heat, Placement(figure.stride, figure.offset))
        else:
            src, cells = encode_pixels(255 - values), True  # the more, the darker
    return Still(figure.name, figure.text, figure.alt, src, cells)
