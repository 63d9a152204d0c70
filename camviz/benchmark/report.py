"""Writes what a run measured into its folder: tables, curves, plots and what failed."""

import csv
from pathlib import Path

from camviz.benchmark import plots, tables
from camviz.benchmark.records import name_of_file
from camviz.benchmark.runner import Run
from camviz.errors import CamvizError


def write_report(run: Run) -> list[Path]:
    """Write the tables and plots of a run, and return their paths, the table for people first.

    Raises `CamvizError` if nothing was measured.
    """
    records = {each.name: run.records(each) for each in run.backbones}
    records = {name: each for name, each in records.items() if each}
    if not records:
        raise CamvizError(f"no picture could be measured; '{run.folder.path}' holds no table")
    texts = _parts(records) if run.measure.kind == "parts" else _location(records)
    written = []
    for name, text in texts.items():
        file = run.folder.path / name
        file.write_text(text, encoding="utf-8")
        written.append(file)
    failures = run.folder.path / "failures.csv"
    with failures.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["backbone", "name", "reason"])
        writer.writerows([each.backbone, each.name, each.reason] for each in run.failures)
    return [*written, failures]


def _location(records: tables.Records) -> dict[str, str]:
    found = {name: tables.summarize_location(each) for name, each in records.items()}
    counts = {name: tables.row_counts(each) for name, each in records.items()}
    curves = {name: tables.all_curves(each) for name, each in records.items()}
    texts = {
        "results.md": tables.location_markdown(found, counts),
        "results.csv": tables.location_csv(found, counts),
        "curves.csv": tables.curves_csv(curves),
    }
    for name in found:
        texts[f"curves-{name_of_file(name)}.svg"] = plots.draw_curves(curves[name], name)
        texts[f"figures-{name_of_file(name)}.svg"] = plots.draw_location(found[name], name)
    return texts


def _parts(records: tables.Records) -> dict[str, str]:
    found = tables.summarize_all_parts(records)
    texts = {
        "results.md": f"# Parts as truth\n\n{tables.PARTS_MEANING}\n\n"
        + tables.parts_markdown(found),
        "results.csv": tables.parts_csv(found),
    }
    for name, rows in found.items():
        texts[f"figures-{name_of_file(name)}.svg"] = plots.draw_parts(rows, name)
    return texts
