"""The rank correlations of a cascade as a plot, a table and files, and what follows from them.

Nothing here imports gradio.
"""

import csv
import io
from dataclasses import dataclass

from markupsafe import Markup

from camviz.engine.explanation import Explanation
from camviz.engine.sanity import SAME, UNRELATED, Sanity, SanityStep
from camviz.ui import html
from camviz.ui.viewer.encode import to_base64

AS_IT_IS = "network as it is"
_LEFT, _RIGHT, _TOP, _ROW, _BELOW = 170, 400, 26, 24, 26  # pixels
_MARGIN = 20  # pixels on the right, for the text of a tick
_LONGEST = 24  # letters of a block's name that have room
_LOWEST, _HIGHEST = -1.0, 1.0
_TICKS = ((-1.0, False), (0.0, False), (UNRELATED, True), (SAME, True), (1.0, False))


@dataclass(frozen=True)
class Tick:
    """A line across the plot: where, what stands above it, and whether it is a threshold."""

    x: float
    text: str
    dashed: bool


@dataclass(frozen=True)
class Point:
    """A step: its line of the plot, and where its correlation is; None: it has none."""

    x: float | None
    y: float
    label: str


@dataclass(frozen=True)
class Plot:
    """Places in the plot, in pixels. line: the points of the curve, as SVG writes them."""

    width: int
    height: int
    left: int
    top: int
    bottom: int
    row: int
    ticks: tuple[Tick, ...]
    points: tuple[Point, ...]
    line: str


def conclusion(x: Explanation, found: Sanity) -> str:
    """What is to be concluded, as a heading."""
    if found.verdict == "learned":
        late = found.changed_at is not found.random[0]
        rest = f", though little on the {head_of(x)}" if late else ""
        return f"This map depends on what was learned{rest}"
    return {
        "picture": "This map shows the picture, not what was learned",
        "unclear": "It is not settled whether this map was learned",
        "empty": "There is no map to compare",
    }[found.verdict]


def head_of(x: Explanation) -> str:
    """What the first random block of a network is called."""
    return "classifier" if x.backbone.has_classes else "last layers"


def rank_text(rank: float | None) -> str:
    """ "−0.36"; "none" where one of the maps is flat."""
    return "none" if rank is None else html.number(rank, ".2f")


def label_of(step: SanityStep) -> str:
    """What a step is called."""
    return f"+ {step.name}" if step.name else AS_IT_IS


def figure(x: Explanation, found: Sanity) -> Markup:
    """The plot with its files and its table."""
    plot, alt = plot_of(found), alt_of(found)
    files = {
        "svg_data": html.render("sanity-plot.svg", plot=plot, alt=alt, standalone=True),
        "csv_data": csv_of(found),
    }
    return html.render(
        "sanity-plot.html",
        svg=html.render("sanity-plot.svg", plot=plot, alt=alt, standalone=False),
        **{name: to_base64(str(text).encode()) for name, text in files.items()},
        name="camviz-sanity",
        steps=found.steps,
        classes=x.backbone.has_classes,
        rank=rank_text,
        same=SAME,
        unrelated=UNRELATED,
    )


def plot_of(found: Sanity) -> Plot:
    """A line a step, the network as it is on top; correlations from left to right."""
    points = tuple(
        Point(
            None if step.rank is None else _across(step.rank),
            _TOP + _ROW * (i + 0.5),
            _shortened(label_of(step)),
        )
        for i, step in enumerate(found.steps)
    )
    bottom = _TOP + _ROW * len(points)
    return Plot(
        width=_RIGHT + _MARGIN,
        height=bottom + _BELOW,
        left=_LEFT,
        top=_TOP,
        bottom=bottom,
        row=_ROW,
        ticks=tuple(
            Tick(_across(value), html.number(value, "g"), dashed) for value, dashed in _TICKS
        ),
        points=points,
        line=" ".join(f"{point.x},{point.y}" for point in points if point.x is not None),
    )


def _across(rank: float) -> float:
    return round(_LEFT + (rank - _LOWEST) / (_HIGHEST - _LOWEST) * (_RIGHT - _LEFT), 1)


def _shortened(label: str) -> str:
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"


def alt_of(found: Sanity) -> str:
    """The plot in words."""
    each = [f"{label_of(step)} {rank_text(step.rank)}" for step in found.steps]
    return f"Rank correlation with the map of the network as it is: {', '.join(each)}"


def csv_of(found: Sanity) -> str:
    """The figures of all steps; an empty cell where there is none."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(("step", "block", "rank", "absolute", "signed", "says", "share", "modules"))
    for number, step in enumerate(found.steps):
        figures = (step.rank, step.absolute, step.signed)
        written = ["" if value is None else f"{value:.6f}" for value in figures]
        share = "" if step.share is None else f"{float(step.share):.6g}"
        rows.writerow((number, step.name, *written, step.label, share, " ".join(step.modules)))
    return file.getvalue()
