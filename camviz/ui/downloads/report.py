"""The report: everything about one picture in a single HTML file that opens offline.

    (folder / FILE).write_text(report_html(rows, address), encoding="utf-8")

The viewer in it is the page's own, source and all. The file requests nothing from anybody, and its
own policy forbids it to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from markupsafe import Markup

from camviz.defaults import usual_threshold
from camviz.engine.explanation import Explanation
from camviz.engine.options import Options, option_table
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.methods.denoise import SOURCE
from camviz.network.backbone import GIVEN
from camviz.ui import html, verdict
from camviz.ui.downloads.command import LOCAL, SHARED, command
from camviz.ui.service import Found, truth_of
from camviz.ui.state import Unavailable
from camviz.ui.viewer import TITLES, payload
from camviz.ui.viewer.source import configuration, inline, markup, style
from camviz.ui.viewer.words import REFINED_WORDS
from camviz.version import version_of

FILE = "report.html"
CLASSES = 10  # that are listed
TRUNCATIONS = option_table(Options)["truncation_mode"].values or {}
BOXES = 4
FITS = option_table(Options)["fit"].values or {}
PATHS = ("local", "file")  # weights whose origin is a place on the machine that made the report


@dataclass(frozen=True)
class Prediction:
    rank: int
    label: str
    share: float
    explained: bool


@dataclass(frozen=True)
class Figures:
    """A table of one row of maps, one line a layer. `label`: whose true place is known, if any."""

    title: str
    label: str | None
    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    boxes: Mapping[str, tuple[tuple[int, int, int, int], ...]]


def report_html(rows: Mapping[str, Found], address: str = "") -> str:
    """The report of the rows of a picture, the first of which is an explanation.

    address: what stands in the browser's address bar. How the maps are drawn is read off its
    query; where it has a host, it is the link that the report gives.
    """
    found = {key: x for key, x in rows.items() if isinstance(x, Explanation)}
    first = next(iter(found.values()))
    truth = truth_of(first)
    place = urlsplit(address)
    data = {
        "configuration": configuration().to_json(),
        "value": payload(rows, truth=truth).to_json(),
        "query": place.query,
    }
    return html.render(
        "report.html",
        name=first.picture.name or "picture",
        picture=first.picture,
        label=first.label,
        verdict=verdict.heading(first),
        predictions=_predictions(first),
        figures=[_figures(key, x, truth) for key, x in found.items()],
        notes={
            _title(key): x.reason if isinstance(x, Unavailable) else x.notes
            for key, x in rows.items()
        },
        usual=usual_threshold,
        settings=_settings(found),
        sources=_sources(found),
        link=address if place.scheme in ("http", "https") and place.netloc else None,
        uploaded="example=upload" in place.query,
        commands={_title(key): command(x) for key, x in found.items()},
        backbone=first.backbone.display_name,
        in_folder=first.request.backbone.startswith(LOCAL),
        in_memory=first.request.weights == GIVEN,
        own_prototypes=next((x.label for x in found.values() if _has_own_prototypes(x)), None),
        viewer=Markup(markup()),
        style=Markup(f"{html.script('report.css')}#viewer {{\n{style()}}}"),
        data=data,
        script=Markup(inline("report.js")),
    )


def _title(key: str) -> str:
    return TITLES.get(key, key)


def _has_own_prototypes(x: Explanation) -> bool:
    """Whether its prototypes are of no source that a shell can have too."""
    return x.request.prototypes not in (None, "", *SHARED)


def _predictions(x: Explanation) -> list[Prediction]:
    """The best classes, and the one explained."""
    ranked = [
        Prediction(rank, label, share, index == x.target)
        for rank, (index, label, share) in enumerate(x.predictions, 1)
    ]
    return ranked[:CLASSES] + [each for each in ranked[CLASSES:] if each.explained]


def _figures(key: str, x: Explanation, truth: Mapping[str, np.ndarray] | None) -> Figures:
    """The figures of a row; how well each map finds what is known to be there."""
    known = truth is not None and x.label in truth
    found = x.measure(truth[x.label]) if truth and known else {}
    measured = list(next(iter(found.values()))) if found else []
    heads = ["layer", "cells", "maximum", "for the class", "denoised"]
    heads += [name.replace("_", " ") for name in measured]
    lines = []
    for name in (*reversed(x.stages), *x.maps_of_all):
        note = x.notes.get(name)
        cells = x.grid(name)[0].shape
        positive = note.positive_share if note else None
        peak = "1" if note is None else f"{max(float(x.raw[name].max()), 0.0):.3g}"
        line = [
            name,
            f"{cells[0]} × {cells[1]}",
            peak,
            "" if positive is None else f"{positive:.0%}",
            note.denoising.kept if note and note.denoising else "",
            *(f"{found[name][figure]:.3f}" for figure in measured),
        ]
        lines.append(line)
    used = [i for i in range(len(heads)) if any(line[i] for line in lines)]
    return Figures(
        _title(key),
        x.label if found else None,
        tuple(heads[i] for i in used),
        tuple(tuple(line[i] for i in used) for line in lines),
        {
            name: tuple(box.xyxy for box in x.boxes(of=name, multi=True)[:BOXES])
            for name in x.maps_of_all
        },
    )


def _settings(found: Mapping[str, Explanation]) -> dict[str, str]:
    """How the maps were computed, as far as that is the same for all rows."""
    x = next(iter(found.values()))
    request, weights = x.request, x.backbone.weights
    origin = weights.source if weights.source in PATHS else f"{weights.source}: {weights.origin}"
    height, width = x.fit.input_size
    rival = None if request.versus is None else x.backbone.labels[request.versus]
    settings = {
        "Backbone": x.backbone.display_name,
        "Weights": f"{origin}, digest {(x.digest or 'unknown')[:12]}",
        "Parameters": f"{x.backbone.parameters:,}",
        "Picture": f"{x.picture.name}, SHA-256 of its pixels {x.picture.digest[:12]}",
        "The network sees": f"{FITS[request.fit]}, on {height} × {width} pixels",
        "Class explained": f"{x.label} ({x.target})",
        "Compared with": "nothing" if rival is None else f"{rival} ({request.versus})",
        "Score": request.score.replace("_", " "),
        "Method": METHODS[request.method].label,
        "Layers": ", ".join(x.stages),
        "A layer is read": {"activation": "after its last activation"}.get(
            request.tap, "as the stage puts it out"
        ),
        "Cells are drawn": {"plain": "evenly spread"}.get(
            request.placement, "where they were measured to look"
        ),
        "Fusion": FUSIONS[request.fuse].label,
        "Refined map": "none"
        if x.refined_grid is None
        else f"features alike to the power {request.refine_power:g}, "
        f"{html.plural(request.refine_steps, 'step')}",
    }
    truncated = [other.request for other in found.values() if other.request.truncation]
    for denoised in truncated[:1]:
        settings["Denoised row"] = (
            f"{TRUNCATIONS[denoised.truncation_mode]} at level {denoised.truncation:g} "
            f"({denoised.truncation_mode}, {denoised.calibration}) "
            f"at {', '.join(denoised.truncated)}"
        )
    settings["Made with"] = ", ".join(
        f"{name} {version}"
        for name in ("camviz", "torch", "timm", "numpy")
        if " " not in (version := version_of(name))
    )
    return settings


def _sources(found: Mapping[str, Explanation]) -> dict[str, str]:
    """Whose ideas the maps are, each once."""
    sources: dict[str, Any] = {}
    for x in found.values():
        method, fusion = METHODS[x.request.method], FUSIONS[x.request.fuse]
        sources[method.label] = f"{method.paper}. {method.summary} {method.formula}"
        if x.request.truncation:
            sources["Denoising"] = (
                f"in the gradient, {TRUNCATIONS[x.request.truncation_mode]}: {SOURCE}."
            )
        if len(x.stages) > 1:
            sources[fusion.label] = f"{fusion.paper}. {fusion.summary}"
        if x.refined_grid is not None:
            sources["Refined map"] = (
                f"{REFINED_WORDS.summary} {REFINED_WORDS.formula}. {REFINED_WORDS.symbols}"
            )
    return sources
