"""Tables of a benchmark: CSV for programs, Markdown for people."""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from camviz.benchmark.intervals import Resampled
from camviz.benchmark.location import FIGURES, Curves, curves_of, summarize
from camviz.benchmark.parts import EVEN, PartsResult, summarize_parts
from camviz.benchmark.records import Record
from camviz.benchmark.rows import BASELINES, CENTRE, NOISE, Row
from camviz.methods import METHODS

Interval = tuple[float, float, float]  # value, low, high
Records = Mapping[str, Sequence[Record]]  # by network
Located = Mapping[str, Mapping[str, Interval]]  # row -> figure -> value and interval

PARTS_MEANING = (
    "Per scene the rank correlation of the heat on each part of a thing with the drop of the "
    "class's logit when the scene is drawn without that part; means ± half of the 95 % interval "
    "(bootstrap over scenes). *By sum*: all heat on a part, which grows with its size, as what it "
    "counts for often does; *by mean*: heat per pixel, of which size says nothing. *Passes*: "
    "clearly above 0, above uniform noise on 7 x 7 cells and above a Gaussian at the centre, all "
    "paired."
)


def summarize_location(records: Sequence[Record]) -> dict[str, dict[str, Interval]]:
    """Row -> figures, of what was measured with one network."""
    found = {}
    for row in dict.fromkeys(row for record in records for row in record.rows):
        held = [record for record in records if row in record.rows]
        found[row] = summarize(held, row, Resampled.draw(len(held)))
    return found


def measured(value: float) -> str:
    """A figure with three digits, without a leading zero: ".685", "-.02" as "−.020"."""
    sign = "−" if round(value, 3) < 0 else ""
    return sign + f"{abs(value):.3f}".removeprefix("0")


def plus_minus(interval: Interval) -> str:
    """ ".685 ± .054": half the width of the interval; "" where there is none."""
    value, low, high = interval
    return f"{measured(value)} ± {measured((high - low) / 2)}" if math.isfinite(value) else ""


def named(row: Row) -> tuple[str, str, str]:
    """A row's method, options and map in words."""
    method = METHODS[row.method].label if row.method in METHODS else row.method
    return method, row.options, row.map


def location_csv(found: Mapping[str, Located], counts: Mapping[str, Mapping[str, int]]) -> str:
    """backbone, method, options, map, pictures, then each figure with both ends of its interval."""
    columns = [f"{name}{end}" for name in FIGURES for end in ("", "_low", "_high")]
    lines = [["backbone", "method", "options", "map", "pictures", *columns]]
    for backbone, rows in found.items():
        for text, figures in rows.items():
            values = [csv_number(value) for name in FIGURES for value in figures[name]]
            row = Row.read(text)
            lines.append(
                [backbone, row.method, row.options, row.map, str(counts[backbone][text]), *values]
            )
    return csv_text(lines)


def location_markdown(found: Mapping[str, Located], counts: Mapping[str, Mapping[str, int]]) -> str:
    """A table for each network, the best average precision first."""
    parts = []
    for backbone, rows in found.items():
        shown = [
            name
            for name in FIGURES
            if any(math.isfinite(figures[name][0]) for figures in rows.values())
        ]
        titles = ["method", "options", "map", *(FIGURES[name].title for name in shown)]
        order = sorted(rows, key=lambda row: -rows[row]["ap"][0])
        lines = [
            [*named(Row.read(row)), *(plus_minus(rows[row][name]) for name in shown)]
            for row in order
        ]
        pictures = max(counts[backbone].values())
        parts.append(f"## {backbone}, {pictures} pictures\n\n{markdown_table(titles, lines)}")
    meanings = "\n".join(f"- {each.title}: {each.meaning}." for each in FIGURES.values())
    return (
        "# Localisation\n\nMeans ± half of the 95 % interval (bootstrap over pictures); greater is "
        f"better.\n\n{meanings}\n\n" + "\n\n".join(parts) + "\n"
    )


def curves_csv(curves: Mapping[str, Mapping[str, Curves]]) -> str:
    """backbone, method, options, map, threshold, precision, recall, box_acc, seed_miou."""
    titles = ["backbone", "method", "options", "map", "threshold"]
    lines = [[*titles, "precision", "recall", "box_acc", "seed_miou"]]
    for backbone, rows in curves.items():
        for text, curve in rows.items():
            row = Row.read(text)
            for values in zip(*vars(curve).values(), strict=True):
                lines.append([backbone, row.method, row.options, row.map, *map(csv_number, values)])
    return csv_text(lines)


def all_curves(records: Sequence[Record]) -> dict[str, Curves]:
    """Row -> curves, of what was measured with one network."""
    rows = dict.fromkeys(row for record in records for row in record.rows)
    return {row: curves_of([r for r in records if row in r.rows], row) for row in rows}


def parts_csv(found: Mapping[str, Mapping[str, PartsResult]]) -> str:
    """backbone, method, options, map, pictures, and by sum and by mean rho and what it is above."""
    ends = ("", "_low", "_high")
    above = {NOISE: "above_noise", CENTRE: "above_centre", EVEN: "above_even"}
    columns = [
        f"{kind}_{name}{end}"
        for kind in ("sum", "mean")
        for name in ("rho", *above.values())
        for end in ends
    ]
    lines = [["backbone", "method", "options", "map", "pictures", *columns, "passes"]]
    for backbone, rows in found.items():
        for text, result in rows.items():
            row = Row.read(text)
            values = [
                csv_number(value)
                for each in (result.sums, result.means)
                for interval in (each.rho, *(each.above[name] for name in above))
                for value in interval
            ]
            head = [backbone, row.method, row.options, row.map, str(result.pictures)]
            lines.append([*head, *values, passes(result)])
    return csv_text(lines)


def passes(result: PartsResult) -> str:
    """By what a row passes, in words: "sum and mean", "mean", ""."""
    return " and ".join(
        name
        for name, agreement in (("sum", result.sums), ("mean", result.means))
        if agreement.passes
    )


def parts_markdown(
    found: Mapping[str, Mapping[str, PartsResult]],
    chosen: Callable[[Row], bool] = lambda row: True,
    level: str = "##",
) -> str:
    """A table for each network, the best correlation by the mean heat first."""
    parts = []
    for backbone, rows in found.items():
        titles = ["method", "options", "map", "by sum", "less Gaussian", "by mean"]
        titles += ["less Gaussian", "passes by"]
        kept = [row for row in rows if chosen(Row.read(row))]
        order = sorted(kept, key=lambda row: -rows[row].means.rho[0])
        lines = []
        for text in order:
            result, name = rows[text], Row.read(text)
            known = name.method not in (*BASELINES, EVEN)
            cells = []
            for each in (result.sums, result.means):
                cells += [plus_minus(each.rho), plus_minus(each.above[CENTRE]) if known else ""]
            lines.append([*named(name), *cells, passes(result) if known else ""])
        pictures = max(result.pictures for result in rows.values())
        table = markdown_table(_without_empty(titles, lines), _columns_kept(titles, lines))
        parts.append(f"{level} {backbone}, {pictures} scenes\n\n{table}")
    return "\n\n".join(parts) + "\n"


def summarize_all_parts(records: Records) -> dict[str, dict[str, PartsResult]]:
    """Network -> row -> result."""
    return {backbone: summarize_parts(each) for backbone, each in records.items()}


def row_counts(records: Sequence[Record]) -> dict[str, int]:
    """Row -> of how many pictures it was measured."""
    counts: dict[str, int] = {}
    for record in records:
        for row in record.rows:
            counts[row] = counts.get(row, 0) + 1
    return counts


def markdown_table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [titles, ["---"] * len(titles), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def _filled(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> list[int]:
    return [n for n in range(len(titles)) if any(line[n] for line in lines)]


def _without_empty(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return [titles[n] for n in _filled(titles, lines)]


def _columns_kept(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> list[list[str]]:
    kept = _filled(titles, lines)
    return [[line[n] for n in kept] for line in lines]


def csv_number(value: float) -> str:
    """A figure with six digits, "" for none."""
    return f"{value:.6g}" if np.isfinite(value) else ""


def csv_text(lines: Sequence[Sequence[str]]) -> str:
    """Lines as CSV, each ended by "\\n"."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
