"""Plots of a benchmark as SVG: curves by threshold, and figures with their intervals.

Text stays text, so that plots are crisp, can be searched and read aloud; the numbers stand in the
CSV files beside them.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure

from camviz.benchmark.location import FIGURES, Curves
from camviz.benchmark.parts import EVEN, PartsResult
from camviz.benchmark.rows import BASELINES, Row
from camviz.benchmark.tables import Interval, Located, named
from camviz.defaults import FUSED

_MOST_LINES = 9
_COLORS = tuple(colormaps["tab10"]([0, 1, 2, 3, 4, 5, 6, 8, 9]))  # without grey
_GREY = "0.5"  # of what reads no network
_DASHES = dict(zip(BASELINES, (":", "--"), strict=True))
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "camviz", "font.size": 9}
_SHOWN = ("ap", "best_iou", "pxap", "energy")


def draw_curves(curves: Mapping[str, Curves], title: str) -> str:
    """Precision and recall, boxes and seeds of a network's fused maps by threshold; SVG."""
    rows = _of_all_stages(curves)
    panels = {
        "precision": ("precision", "of all pixels at or above it"),
        "recall": ("recall", "of all pixels of things"),
        "box_acc": ("boxes", "share with IoU at least .5"),
        "seed_miou": ("seeds", "mIoU of classes and background"),
    }
    with rc_context(_STYLE):
        figure = Figure(figsize=(11, 3.4), layout="constrained")
        figure.suptitle(title)
        grid = figure.subplots(1, len(panels))
        for axes, (name, (heading, label)) in zip(grid, panels.items(), strict=True):
            for row, color in zip(rows, _colors(rows), strict=True):
                values = getattr(curves[row], name)
                there = np.isfinite(values)
                axes.plot(
                    curves[row].thresholds[there],
                    values[there],
                    color=color,
                    linestyle=_DASHES.get(Row.read(row).method, "-"),
                    label=_label(row),
                )
            axes.set(title=heading, xlabel="threshold", ylabel=label)
            axes.set(xlim=(0, 1), ylim=(0, 1))
            axes.grid(alpha=0.3)
        lines, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside right upper", frameon=False)
        return _svg(figure)


def draw_location(rows: Located, title: str) -> str:
    """Four figures of every row of a network with their intervals, best first; SVG."""
    order = sorted(rows, key=lambda row: rows[row]["ap"][0])
    columns = {FIGURES[name].title: [rows[row][name] for row in order] for name in _SHOWN}
    return _draw_intervals(order, columns, title)


def draw_parts(rows: Mapping[str, PartsResult], title: str) -> str:
    """Rank correlations of every row of a network with their intervals, best first; SVG."""
    order = sorted(rows, key=lambda row: rows[row].means.rho[0])
    columns = {
        "by the sum of heat": [rows[row].sums.rho for row in order],
        "by the mean of heat": [rows[row].means.rho for row in order],
    }
    return _draw_intervals(order, columns, title)


def _draw_intervals(
    order: Sequence[str], columns: Mapping[str, Sequence[Interval]], title: str
) -> str:
    with rc_context(_STYLE):
        height = 1.2 + 0.2 * len(order)
        figure = Figure(figsize=(3 + 2.2 * len(columns), height), layout="constrained")
        figure.suptitle(title)
        known = [Row.read(row).method not in (*BASELINES, EVEN) for row in order]
        grid = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
        for axes, (name, intervals) in zip(grid, columns.items(), strict=True):
            for place, (value, low, high) in enumerate(intervals):
                color = _COLORS[0] if known[place] else _GREY
                axes.plot([low, high], [place, place], color=color)
                axes.plot([value], [place], "o", color=color, markersize=4)
            axes.set(title=name, yticks=range(len(order)), ylim=(-0.8, len(order) - 0.2))
            axes.set_yticklabels([_label(row) for row in order])
            axes.grid(alpha=0.3)
        return _svg(figure)


def _of_all_stages(curves: Mapping[str, Curves]) -> list[str]:
    """The fused map of each method, its only one where nothing is fused, and what reads nothing."""
    by_method: dict[tuple[str, str], str] = {}
    for text in curves:
        row = Row.read(text)
        key = row.method, row.options
        if key not in by_method or row.map == FUSED:
            by_method[key] = text
    kept = [row for row in by_method.values() if Row.read(row).method not in BASELINES]
    return kept[:_MOST_LINES] + [row for row in curves if Row.read(row).method in BASELINES]


def _colors(rows: Sequence[str]) -> list[object]:
    colors = iter(_COLORS)
    return [_GREY if Row.read(row).method in BASELINES else next(colors) for row in rows]


def _label(row: str) -> str:
    return ", ".join(word for word in named(Row.read(row)) if word)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
