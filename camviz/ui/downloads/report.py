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
from camviz.engine.option import option_table
from camviz.engine.options import Options
from camviz.maps.cover import COVERS
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.methods.denoise import SOURCE
from camviz.network.backbone import GIVEN
from camviz.ui import html, verdict
from camviz.ui.covering import CAUTION, Covered
from camviz.ui.downloads.command import LOCAL, SHARED, command
from camviz.ui.downloads.paper import grey_maps
from camviz.ui.downloads.printed_stories import printed_stories
from camviz.ui.downloads.printed_tests import cascade_known, figures_known
from camviz.ui.features import FEATURES, features_row
from camviz.ui.hosting.policy import script_hash
from camviz.ui.service import Found, truth_of
from camviz.ui.state import Unavailable
from camviz.ui.viewer import MapRow, payload, title_of
from camviz.ui.viewer.encode import encode_picture
from camviz.ui.viewer.source import configuration, inline, markup, style
from camviz.ui.viewer.words import REFINED_WORDS, refinement_words
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


def report_html(
    rows: Mapping[str, Found], address: str = "", covered: Covered | None = None
) -> str:
    """The report of the rows of a picture, the first of which is an explanation.

    covered: what becomes of the first one where part of the picture is covered; None: nothing is.
    address: what stands in the browser's address bar. How the maps are drawn is read off its
    query; where it has a host, it is the link that the report gives.
    """
    found = {key: x for key, x in rows.items() if isinstance(x, Explanation)}
    first = next(iter(found.values()))
    truth = truth_of(first)
    place = urlsplit(address)
    data = {
        "configuration": configuration().to_json(),
        "value": payload(_shown(rows), truth=truth).to_json(),
        "query": place.query,
    }
    script = f"\n{inline('report.js')}\n"
    return html.render(
        "report.html",
        name=first.picture.name or "picture",
        picture=first.picture,
        label=first.label,
        verdict=verdict.heading(first),
        predictions=_predictions(first),
        covered=covered,
        shown=_pictures(covered),
        cover=None if covered is None else COVERS[covered.covering.kind],
        caution=CAUTION,
        figures=[_figures(key, x, truth) for key, x in found.items()],
        grey={_title(key, x): grey_maps(x) for key, x in found.items()},
        stories=printed_stories(found),
        tests=figures_known(first),
        cascade=cascade_known(first),
        notes={
            _title(key, x): x.reason if isinstance(x, Unavailable) else x.notes
            for key, x in rows.items()
        },
        usual=usual_threshold,
        settings=_settings(found),
        sources=_sources(found),
        link=address if place.scheme in ("http", "https") and place.netloc else None,
        uploaded="example=upload" in place.query,
        commands={_title(key, x): command(x) for key, x in found.items()},
        backbone=first.backbone.display_name,
        in_folder=first.request.backbone.startswith(LOCAL),
        in_memory=first.request.weights == GIVEN,
        own_prototypes=next((x.label for x in found.values() if _has_own_prototypes(x)), None),
        viewer=Markup(markup()),
        style=Markup(f"{html.script('report.css')}#viewer {{\n{style()}}}"),
        data=data,
        script=Markup(script),
        script_hash=script_hash(script.encode()),
    )


def _shown(rows: Mapping[str, Found]) -> dict[str, Found | MapRow]:
    """The rows that the viewer shows: of a network without classes its features in colours, too."""
    shown: dict[str, Found | MapRow] = dict(rows)
    first = next(x for x in rows.values() if isinstance(x, Explanation))
    if not first.backbone.has_classes:
        shown[FEATURES] = features_row(first)
    return shown


def _pictures(covered: Covered | None) -> dict[str, str]:
    """What stands under the covered picture, and beside it the scene drawn without -> data URL."""
    if covered is None:
        return {}
    found = {f"Covered: {covered.share:.1%} of the picture": covered.after}
    if covered.real is not None:
        found["The same scene, drawn without"] = covered.real
    return {name: encode_picture(x.picture) for name, x in found.items()}


def _title(key: str, x: Found) -> str:
    """As above the row on the page."""
    if isinstance(x, Unavailable):
        return title_of(key)
    return title_of(key, x.request.method, len(x.stages))


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
    favour = "raises it" if x.backbone.output == "value" else "for the class"
    heads = ["layer", "cells", "maximum", favour, "denoised"]
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
        _title(key, x),
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
    settings = {
        "Backbone": x.backbone.display_name,
        "Weights": f"{origin}, digest {(x.digest or 'unknown')[:12]}",
        "Parameters": f"{x.backbone.parameters:,}",
        "Picture": f"{x.picture.name}, SHA-256 of its pixels {x.picture.digest[:12]}",
        "The network sees": f"{FITS[request.fit]}, on {height} × {width} pixels",
        **_score(x),
        "Method": METHODS[request.method].label,
        "Layers": ", ".join(x.stages),
        "A layer is read": {"activation": "after its last activation"}.get(
            request.tap, "as the stage puts it out"
        ),
        "Cells are drawn": {"plain": "evenly spread"}.get(
            request.placement, "where they were measured to look"
        ),
        "Fusion": FUSIONS[request.fuse].label,
        "Refined map": "none" if x.refined_grid is None else refinement_words(x.refinement),
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


def _score(x: Explanation) -> dict[str, str]:
    """What was explained."""
    if not x.backbone.has_classes:
        return {"Class explained": "none: this network knows no classes"}
    return {
        "Class explained": f"{x.label} ({x.target})",
        "Compared with": _compared(x),
        "Score": x.request.score.replace("_", " "),
    }


def _compared(x: Explanation) -> str:
    """The classes that the target is compared with, and how much they count."""
    named = zip(x.reference_labels, x.request.references, strict=True)
    classes = ", ".join(f"{label} ({index})" for label, index in named)
    weight = "" if x.request.gamma == 1 else f", γ = {x.request.gamma:g}"
    return f"{classes}{weight}" if classes else "nothing"


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
