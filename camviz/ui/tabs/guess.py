"""Guess first: where does the network look? A visitor marks it, and only then sees the map.

Two games. In the first a guess is held against the map, and both against the truth where that is
known; in the second the task is to say which network or class one of two maps is of. A round
stands in the address (`Round`), so that a link opens the very same one. Nothing of a map is part
of any update before the guess is there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import numpy as np

from camviz.defaults import FULL_OPACITY, FUSED
from camviz.maps.render import heat_opacity, overlay_strips
from camviz.ui import html, service
from camviz.ui.covering import raster_of, raster_text
from camviz.ui.learn import guessing, pairs
from camviz.ui.learn.guessing import Puzzle, Total, scored
from camviz.ui.learn.pairs import Pair
from camviz.ui.learn.playing import OWN, SIDES, Play, current, play_of, press
from camviz.ui.state import GUESS, Controls, Round, Session, Task, Update
from camviz.ui.tabs.base import Events
from camviz.ui.viewer import GuessCanvas, MapPanel, MapRow, Mark, Marking, Viewer, payload
from camviz.ui.viewer.encode import encode_picture

ID, GROUP, TITLE = GUESS, "Learn", "Guess first"
LABEL = "Getting the picture ready …"
READS_COVER = False
KEY = "g"
VIEWER = "guess-viewer"
NO_CLASSES = (
    "This network knows no classes, so there is no answer whose reason could be guessed. Choose "
    "another backbone."
)
NO_PAIRS = (
    "The maps of this network and these pictures are too much alike to be told apart fairly. "
    "Choose a backbone for drawn scenes, or play another round."
)
LONGEST_SHOWN = 560  # pixels of a picture of the second game


@dataclass(frozen=True)
class Parts:
    """Its components. heading: what stands above the picture, with the buttons."""

    heading: Any
    canvas: Any
    maps: Any
    below: Any


def build() -> Parts:
    click = html.script("guess-buttons.js")
    heading = gr.HTML(elem_id="guess-heading", elem_classes="cv-lead", js_on_load=click)
    with gr.Row(elem_id="guess-board"):
        canvas = GuessCanvas(elem_id="guess-canvas")
        maps = Viewer(elem_id=VIEWER, name="The map that was guessed")
    return Parts(heading, canvas, maps, gr.HTML(elem_id="guess-below", js_on_load=click))


def wire(parts: Parts, events: Events) -> None:
    """Whatever is pressed, and a guess, come to one place."""
    for part in (parts.heading, parts.canvas, parts.below):
        events.on_change(part.select, press)


# -- What stands in it ---------------------------------------------------------------------------


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The beginning, a picture to guess on, the map beside the guess, or the score."""
    played, play = current(session), play_of(session, controls)
    if controls.backbone.name is None:
        yield Update(tab=_nothing(""))
    elif not service.load(controls.backbone).has_classes:
        yield Update(tab=_nothing(html.render("guess-none.html", reason=NO_CLASSES)))
    elif played is None or (played.game == OWN and controls.picture is None):
        yield Update(tab=_nothing(_start(controls)))
    elif played.game == "which":
        yield from _which(played, play, controls, task)
    else:
        yield from _where(played, play, controls, task)


def _nothing(heading: Any, below: Any = "") -> dict[str, Any]:
    """The view without a picture to mark on."""
    return {"heading": heading, "canvas": None, "maps": payload({}), "below": below}


def _start(controls: Controls) -> Any:
    drawn = guessing.is_drawn(controls.backbone)
    return html.render(
        "guess-start.html",
        backbone=controls.backbone.name,
        drawn=drawn,
        counts=(3, 5, 10) if drawn else (len(guessing.photographs()),),
        own=controls.picture is not None,
        drawn_networks=pairs.NETWORKS,
    )


# -- Where does it look? -------------------------------------------------------------------------


def _where(played: Round, play: Play, controls: Controls, task: Task) -> Iterator[Update]:
    size = 1 if played.game == OWN else guessing.size_of(played, controls.backbone)
    if play.position >= size:
        yield Update(tab=_nothing(*_results(played, play, controls, task)))
        return
    own = played.game == OWN
    puzzle = (
        guessing.own_puzzle(controls)
        if own
        else guessing.puzzle_of(played, controls.backbone, play.position)
    )
    around = {"number": play.position, "size": size, "own": own, "puzzle": puzzle}
    if not play.answered:
        heading = html.render("guess-ask.html", **around, most=guessing.MOST_MARKED)
        yield Update(tab={**_nothing(heading), "canvas": _marking(puzzle, play)})
        return
    picture = puzzle.picture
    guess = guessing.read_guess(play.answers[play.position], picture.height, picture.width)
    score = guessing.score_guess(puzzle, guess)
    marks = _marks(puzzle, guess)
    following = "" if own else "Next picture" if play.position + 1 < size else "See the score"
    yield Update(
        tab={
            "heading": html.render("guess-answer.html", **around, score=score),
            "canvas": replace(
                _marking(puzzle, play),
                done=True,
                marks=tuple(Mark(*names, raster_text(mask)) for names, mask in marks.items()),
                next=following,
            ),
            "maps": _map(puzzle, {name: mask for (_, name), mask in marks.items()}),
            "below": html.render("guess-own.html") if own else "",
        }
    )


def _marking(puzzle: Puzzle, play: Play) -> Marking:
    height, width = raster_of(puzzle.picture.height, puzzle.picture.width)
    return Marking(
        number=play.position,
        picture=encode_picture(puzzle.picture),
        width=width,
        height=height,
        most=guessing.MOST_MARKED,
    )


def _marks(puzzle: Puzzle, guess: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """(kind, name) -> mask of everything that is outlined."""
    found = {
        ("guess", "your guess"): guess,
        ("map", "the map's hottest"): guessing.hottest_like(puzzle.explained.fused, guess),
    }
    thing, truth = guessing.thing_of(puzzle)
    if truth is not None and truth.any():
        found["truth", f"the {thing}"] = truth
    return found


def _map(puzzle: Puzzle, outlines: Mapping[str, np.ndarray]) -> Any:
    x = puzzle.explained
    of = FUSED if len(x.stages) > 1 else x.stages[-1]
    panel = MapPanel(x, of, name="The map", last=False)
    row = MapRow("Where it looked", x, {"map": panel})
    return payload({"guess": row}, truth=dict(outlines), outline="your guess")


def _results(played: Round, play: Play, controls: Controls, task: Task) -> tuple[Any, Any]:
    """What the round came to, and the table of all guesses."""
    scores = []
    for number, painted in enumerate(play.answers):
        task.report(number, len(play.answers))
        scores.append(scored(played, controls.backbone, number, painted))
    total = Total(tuple(scores))
    given = {"total": total, "played": played, "backbone": controls.backbone.name}
    return html.render("guess-score.html", **given), html.render("guess-table.html", **given)


# -- Which one made it? --------------------------------------------------------------------------


def _which(played: Round, play: Play, controls: Controls, task: Task) -> Iterator[Update]:
    past = [pairs.pair_at(played, controls.backbone, place) for place in range(play.position)]
    pair = None
    if play.position < played.count:
        pair = pairs.pair_at(played, controls.backbone, play.position)
    known = [each for each in past if each is not None]
    if pair is None:
        task.check()
        reason = NO_PAIRS if not known else ""
        heading = html.render("guess-which-score.html", rows=_rows(known, play), reason=reason)
        yield Update(tab=_nothing(heading))
        return
    answered = play.answers[play.position] if play.answered else None
    heading = html.render(
        "guess-which.html",
        pair=pair,
        backbone=controls.backbone.name,
        number=play.position,
        size=played.count,
        pictures=[_overlaid(pair, side) for side in (0, 1)],
        answered=answered,
        correct=answered == SIDES[pair.right],
        clue=pairs.clue_of(pair) if answered else "",
        bound=pairs.MOST_ALIKE,
        points=sum(row["correct"] for row in _rows([*known, pair], play)),
    )
    yield Update(tab=_nothing(heading))


def _rows(known: list[Pair], play: Play) -> list[dict[str, Any]]:
    """The pairs that were answered, each with whether rightly."""
    return [
        {
            "names": sorted(made.by for made in pair.maps),
            "maker": pair.maker,
            "alike": pair.alike,
            "correct": answer == SIDES[pair.right],
        }
        for pair, answer in zip(known, play.answers, strict=False)
    ]


def _overlaid(pair: Pair, side: int) -> str:
    """One of the two maps over the picture, as a data URL that says nothing of its maker."""
    opacity = heat_opacity(FULL_OPACITY, signed=False)
    heat = pair.maps[side].heat
    pixels = overlay_strips(pair.picture.pixels, lambda rows: heat[rows], opacity=opacity)
    return html.data_url(html.thumbnail(pixels, LONGEST_SHOWN))
