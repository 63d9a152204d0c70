"""Cover it: part of the picture is covered, and what the network says then stands beside it.

A visitor paints on the picture, takes the hottest part of its map or everything but that, or takes
parts out of a drawn scene. What is covered is part of `Controls`, so that link and report have it.
While the brush moves, the probabilities alone follow.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from camviz.defaults import FUSED, REFINED
from camviz.engine.explanation import Explanation
from camviz.maps.cover import COVERS
from camviz.ui import covering, html, links, service
from camviz.ui.covering import CAUTION, Bar, Covered
from camviz.ui.hidden import hidden_value
from camviz.ui.state import Controls, Covering, Selection, Session, Task, Unavailable, Update
from camviz.ui.tabs.base import Events
from camviz.ui.viewer import (
    CoverCanvas,
    MapPanel,
    MapRow,
    PaintedPart,
    Painting,
    Viewer,
    payload,
)
from camviz.ui.viewer.encode import encode_picture

ID, GROUP, TITLE = "cover", "Test", "Cover it"
LABEL = "Covering it …"
READS_COVER = True
VIEWER = "cover-viewer"
NO_PICTURE = "Give a picture; here you cover part of it and see what the network says then."
NO_CLASSES = "This network knows no classes: it says nothing that could change. Its maps do."
BEFORE, AFTER, REAL = "As it is", "Covered", "Drawn without"
OUTLINE = "what is covered"


@dataclass(frozen=True)
class Parts:
    """Its components. live: what comes of the brush while it moves; it is not seen."""

    heading: Any
    canvas: Any
    conclusion: Any
    real: Any
    maps: Any
    live: Any


def build() -> Parts:
    return Parts(
        heading=gr.HTML(elem_id="cover-heading", elem_classes="cv-lead"),
        canvas=CoverCanvas(elem_id="cover-canvas"),
        conclusion=gr.HTML(elem_id="cover-conclusion", elem_classes="cv-lead"),
        real=gr.HTML(elem_id="cover-real"),
        maps=Viewer(elem_id=VIEWER, name="Maps before and after"),
        live=hidden_value("cover/live.js"),
    )


def wire(parts: Parts, events: Events) -> None:
    """A stroke that ended covers; one that goes on is looked at."""
    events.on_change(parts.canvas.select, choose)
    events.on_gesture(parts.canvas.input, glance, parts.live)


def choose(session: Session, selection: Selection) -> None:
    """Something was painted or pressed: that is what is covered now."""
    found = covering.check_covering(_covering(selection.value))
    session.change(replace(session.controls, cover=found))


def glance(session: Session, data: Any) -> dict[str, Any]:
    """The bars of what is being painted, and the number of the question that they answer."""
    given: Mapping[str, Any] = data if isinstance(data, dict) else {}
    found = covering.check_covering(_covering(given))
    bars, logit = covering.glance(session.controls, found)
    return {
        "number": given.get("number"),
        "bars": [bar.to_json() for bar in bars],
        "logit": logit,
    }


def _covering(value: Any) -> Covering:
    """A covering as the browser sends it, whatever it may send."""
    given: Mapping[str, Any] = value if isinstance(value, dict) else {}
    hottest = given.get("hottest")
    out = given.get("out")
    return Covering(
        kind=str(given.get("kind") or Covering().kind),
        painted=str(given.get("painted") or ""),
        hottest=hottest if isinstance(hottest, int) and not isinstance(hottest, bool) else None,
        others=given.get("others") is True,
        parts=tuple(map(str, out)) if isinstance(out, list) else (),
    )


# -- What stands in it ---------------------------------------------------------------------------


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The picture to paint on, what the network says before and after, and both maps."""
    if controls.picture is None or controls.backbone.name is None:
        yield Update(tab=_empty())
        return
    x = service.explain(controls, progress=task.report)
    found = covering.covered(controls, x)
    yield Update(
        tab={
            "heading": html.render("cover-heading.html", found=found, label=x.label, x=x),
            "canvas": painting(controls, x, found),
            "conclusion": conclusion(controls, x, found),
            "real": beside(found),
            "maps": maps(x, found),
        }
    )


def _empty() -> dict[str, Any]:
    maps = payload({"none": Unavailable(NO_PICTURE)})
    return {"heading": "", "canvas": None, "conclusion": "", "real": "", "maps": maps}


def painting(controls: Controls, x: Explanation, found: Covered | None) -> Painting:
    """What stands on the canvas, and beside it."""
    cover = controls.cover
    height, width = covering.raster_of(x.picture.height, x.picture.width)
    bars = covering.bars_of(x.predictions, x.predictions, x.target) if found is None else found.bars
    return Painting(
        picture=x.picture.digest[:16],
        follows=VIEWER,
        width=width,
        height=height,
        kinds={name: (row.label, row.summary) for name, row in COVERS.items()},
        kind=cover.kind,
        painted=covering.raster_text(covering.own_mask(cover, x)),
        hottest=cover.hottest,
        others=cover.others,
        out=cover.parts,
        parts=tuple(
            PaintedPart(name, *covering.names_of(name), covering.raster_text(mask))
            for name, mask in covering.parts_of(x.picture).items()
        ),
        covered="" if found is None else encode_picture(found.after.picture),
        bars=tuple(bar.to_json() for bar in bars),
        logits=None if found is None else found.logits,
        says="" if x.backbone.has_classes else NO_CLASSES,
    )


def conclusion(controls: Controls, x: Explanation, found: Covered | None) -> str:
    """What follows from it, and what to beware of."""
    empty = controls.cover.hottest is not None and not x.fused.any()
    return html.render(
        "cover-conclusion.html",
        found=found,
        caution=CAUTION,
        empty=empty,
        too_long=not links.fits(controls.cover),
    )


def beside(found: Covered | None) -> str:
    """The covered picture and the scene drawn without the same parts, side by side."""
    if found is None or found.real is None:
        return ""
    rows: list[tuple[str, str, tuple[Bar, ...]]] = [
        (name, encode_picture(y.picture), _best(found.before, y))
        for name, y in ((AFTER, found.after), (REAL, found.real))
    ]
    return html.render("cover-real.html", rows=rows, output=found.before.backbone.output)


def _best(x: Explanation, y: Explanation) -> tuple[Bar, ...]:
    return covering.bars_of(x.predictions, y.predictions, x.target)


def maps(x: Explanation, found: Covered | None) -> Any:
    """Each map before and after, both on the picture as it is, what is covered outlined."""
    shown = {"before": (x, BEFORE)}
    if found is not None:
        shown["after"] = (found.after, AFTER)
        if found.real is not None:
            shown["real"] = (found.real, REAL)
    rows = {
        key: MapRow(
            title,
            x,
            {
                place: MapPanel(replace(y, picture=x.picture), of, name=name, last=False)
                for place, (y, name) in shown.items()
            },
        )
        for key, (title, of) in _kinds_of_map(x).items()
    }
    truth = {} if found is None else {OUTLINE: found.mask}
    truth |= service.truth_of(x) or {}
    return payload(rows, truth=truth, outline=None if found is None else OUTLINE)


def _kinds_of_map(x: Explanation) -> dict[str, tuple[str, str]]:
    """The rows, by key: their title, and of what map they are."""
    found = {}
    if len(x.stages) > 1:
        found[FUSED] = ("All layers together", FUSED)
    if REFINED in x.maps_of_all:
        found[REFINED] = ("Which thing it is on", REFINED)
    return {**found, "deepest": ("The deepest layer", x.stages[-1])}
