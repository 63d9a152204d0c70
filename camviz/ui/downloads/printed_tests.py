"""Tests of a map that were made on the page before its report: nothing is measured for a report."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from camviz.defaults import FUSED, REFINED
from camviz.engine.explanation import Explanation
from camviz.engine.faithfulness import BESIDE, GAUSSIAN, RANDOM
from camviz.errors import CamvizError
from camviz.maps.metrics import METRICS
from camviz.ui import html, sanity_plot
from camviz.ui.compute import engine
from camviz.ui.downloads.paper import Paper, Still

NAMES = {FUSED: "this map", REFINED: "refined", RANDOM: "random", GAUSSIAN: "centred Gaussian"}


@dataclass(frozen=True)
class KnownFigure:
    """A figure of faithfulness, for each map that it was measured of, by the map's name."""

    label: str
    better: str
    meaning: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class PrintedCascade:
    """The maps of a network that was made random step by step, and what follows.

    chance: the mean rank correlation of networks that are random altogether, drawn `draws` times.
    averaged: the other maps of the report are means of several views, these are not.
    """

    conclusion: str
    maps: tuple[Still, ...]
    chance: str
    draws: int
    averaged: bool


def figures_known(x: Explanation) -> list[KnownFigure]:
    """The figures of faithfulness that are known; an empty list where none is."""
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


def cascade_known(x: Explanation) -> PrintedCascade | None:
    """The maps of *Sanity*, which is of one view; None where it was not looked at."""
    averaged = x.request.views != "one"
    if averaged:
        x = replace(x, request=replace(x.request, views="one"))
    try:
        if engine().sanity_price(x) != 0:
            return None
        found = engine().sanity(x)
    except CamvizError:  # such as for prototypes
        return None
    paper = Paper(x)
    maps = tuple(
        Still(
            sanity_plot.label_of(step),
            f"rank correlation {sanity_plot.rank_text(step.rank)}" if step.name else "",
            f"The map: {sanity_plot.label_of(step)}",
            paper.with_heat(step.heat, found.placement),
        )
        for step in found.steps
    )
    return PrintedCascade(
        sanity_plot.conclusion(x, found),
        maps,
        sanity_plot.rank_text(found.chance),
        len(found.draws),
        averaged,
    )
