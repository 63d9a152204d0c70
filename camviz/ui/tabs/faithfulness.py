"""Faithfulness of the fused map: curves, and a table of figures beside maps that know less.

The map itself is measured first and shown at once, then the others. Where the passes of
the network take long (`camviz.ui.on_request`), a button says how long, and nothing is begun before
it is pressed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from camviz.defaults import FUSED, REFINED
from camviz.engine.explanation import Explanation
from camviz.engine.faithfulness import BESIDE, GAUSSIAN, RANDOM, Faithfulness
from camviz.maps.metrics import METRICS, Metric
from camviz.resources import ASSETS
from camviz.ui import html, on_request, service
from camviz.ui.compute import engine
from camviz.ui.state import Controls, Session, Task, Update
from camviz.ui.tabs.base import Events
from camviz.ui.viewer import CurvePlots, curves_of

ID, GROUP, TITLE = "faithfulness", "Test", "Faithfulness"
LABEL = "Taking places away, hottest first …"
READS_COVER = False
CLAIMS = ASSETS / "claims.json"
NO_PICTURE = "Give a picture, and its map is put to the test here."
NO_CLASSES = (
    "This network knows no classes, so there is no score that could fall when a place is taken "
    "away. Choose a classifier to test its map."
)
NAMES = {FUSED: "This map", REFINED: "Refined", RANDOM: "Random", GAUSSIAN: "Centred Gaussian"}
IN_TURN = ((), BESIDE)  # what is measured beside the map itself: at first nothing, then all


@dataclass(frozen=True)
class Parts:
    """Its components. `start`: the button that begins what takes long."""

    heading: Any
    start: Any
    curves: Any
    table: Any


@dataclass(frozen=True)
class Row:
    """A metric in the table: its value for each map, in words, and whether it is the best one."""

    metric: Metric
    cells: tuple[tuple[str, bool], ...]


# -- The page's part -----------------------------------------------------------------------------


def build() -> Parts:
    parts = Parts(
        heading=gr.HTML(elem_id="faithfulness-heading", elem_classes="cv-lead"),
        start=gr.HTML(elem_id="faithfulness-start", js_on_load=html.script("click.js")),
        curves=CurvePlots(elem_id="faithfulness-curves"),
        table=gr.HTML(elem_id="faithfulness-table"),
    )
    gr.HTML(claims(), elem_id="claims")
    return parts


def claims() -> Markup:
    """What was asked of maps in general, and the answers (`camviz benchmark --claims`)."""
    return html.render("claims.html", **json.loads(CLAIMS.read_text()))


def wire(parts: Parts, events: Events) -> None:
    events.on_change(parts.start.select, begin)


def begin(session: Session, _: Any) -> None:
    """Measure what takes long, of what is set now."""
    on_request.ask_for(session, ID)


# -- What stands in it ---------------------------------------------------------------------------


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """What can be measured at once or was asked for, and a button for what was not."""
    if controls.picture is None or controls.backbone.name is None:
        yield Update(tab=_empty(NO_PICTURE))
        return
    x = service.explain(controls)
    if x.target is None:
        yield Update(tab=_empty(NO_CLASSES))
        return
    own = engine().faithfulness_price(x, beside=())
    everything = engine().faithfulness_price(x)
    if on_request.must_wait(session, ID, controls, own):
        duration = service.duration(everything)
        start = html.render("faithfulness-start.html", duration=duration, label=x.label)
        yield Update(tab={**_empty(""), "heading": _heading(x, None), "start": start})
        return
    yield from in_turn(x, task, IN_TURN if everything else IN_TURN[-1:])


def in_turn(x: Explanation, task: Task, turns: Sequence[Sequence[str]]) -> Iterator[Update]:
    """Measure the map, then others beside it; what is known already costs nothing."""
    for number, beside in enumerate(turns):
        progress = task.part(number, len(turns))
        found = engine().faithfulness(x, beside=beside, progress=progress)
        yield Update(tab=shown(x, found))


def shown(x: Explanation, found: Faithfulness) -> dict[str, Any]:
    """The parts of the view for what was measured so far."""
    return {
        "heading": _heading(x, found),
        "start": "",
        "curves": curves_of(found, NAMES, x.picture.name),
        "table": table(x, found),
    }


def _empty(reason: str) -> dict[str, Any]:
    heading = html.render("faithfulness-none.html", reason=reason) if reason else ""
    return {"heading": heading, "start": "", "curves": None, "table": ""}


def _heading(x: Explanation, found: Faithfulness | None) -> Markup:
    """What is done here, and whether the map is better than one of random blobs."""
    figures = None if found is None else found.figures
    return html.render(
        "faithfulness.html",
        label=x.label,
        own=None if figures is None else figures[FUSED],
        random=None if figures is None else figures.get(RANDOM),
        verdict=None if figures is None or RANDOM not in figures else verdict(figures),
        untrained=not x.backbone.weights.trained,
    )


def verdict(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Of deletion, insertion and ROAD, which the map does better in than a random one: "all three",
    "two of three", "one of three" or "none"."""
    tests = ("deletion", "insertion", "road")
    won = sum(is_better(METRICS[m], figures[FUSED][m], figures[RANDOM][m]) for m in tests)
    return ("none of the three", "one of three", "two of three", "all three")[won]


def is_better(metric: Metric, one: float, other: float) -> bool:
    """Whether one value of a metric is better than another."""
    return one > other if metric.better == "higher" else one < other


def table(x: Explanation, found: Faithfulness) -> Markup:
    """A row a metric, a column a map."""
    names = [name for name in NAMES if name in found.figures]
    rows = [
        row_of(key, {name: found.figures[name][key] for name in names})
        for key in found.figures[FUSED]
    ]
    return html.render(
        "faithfulness-table.html",
        names=[NAMES[name] for name in names],
        rows=rows,
        steps=found.steps,
        is_value=found.unit == "value",
        compared=any(name in found.figures for name in (RANDOM, GAUSSIAN)),
        label=x.label,
    )


def row_of(key: str, values: Mapping[str, float]) -> Row:
    """A metric for every map. The best as it is written is marked, unless all are the same.

    Maps that do not depend on the picture are as coherent as can be, which is no merit of theirs.
    """
    metric = METRICS[key]
    judged = {
        name: round(value, 3)
        for name, value in values.items()
        if not (metric.needs_again and name in (RANDOM, GAUSSIAN))
    }
    best = (max if metric.better == "higher" else min)(judged.values())
    differ = len(set(judged.values())) > 1
    return Row(
        metric,
        tuple((in_words(key, values[n]), differ and judged.get(n) == best) for n in values),
    )


def in_words(key: str, value: float) -> str:
    """A figure as the table has it."""
    if key == "increase":
        return "yes" if value else "no"
    return html.number(value, ".3f")
