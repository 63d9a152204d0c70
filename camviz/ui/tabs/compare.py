"""Look: one picture, three rows of maps side by side.

What the page is held against:

    A newcomer, in the first ten seconds, sees a picture, what the network says it is, and three
    rows of maps of that picture, each row with one plain sentence; nothing had to be clicked.
    The brightest spot explains itself: the same place in every panel, coarse to fine.
    A dozen thumbnails invite the next click; nothing that can be clicked needs a manual.
    A teacher clicks two classes in front of a class and everybody sees the maps move at once,
    asks "why this and not that?" with one more click, and drags the noise away from the shallow
    maps; a panel fills the beamer, the link on the board reopens exactly this view.
    A researcher has one click away: any timm network or module, the method, the tensor that is
    read, the raw numbers (zip, HTTP), and what is known to be wrong with each map.
    Nobody meets an empty page, a traceback, or a control that does not say what it is for.
"""

from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import dataclass
from typing import Any

import gradio as gr

from camviz.engine.explanation import Explanation
from camviz.engine.families import LAYER_CAM, default_method, family_of
from camviz.engine.notes import parts
from camviz.engine.option import option_table
from camviz.engine.options import AUTO, Options
from camviz.engine.truncation import LEVEL
from camviz.methods import METHODS, denoise
from camviz.ui import actions, html, links, verdict
from camviz.ui.features import FEATURES, features_row
from camviz.ui.hosting.pool import background
from camviz.ui.layers import layer_in_words, layer_name
from camviz.ui.learn import live
from camviz.ui.service import (
    COMING,
    DENOISED,
    LAYERCAM,
    PATIENCE,
    PROTOTYPES,
    Found,
    denoised_row,
    explain,
    prototype_row,
    seen_otherwise,
    stages_of,
    truth_of,
    versus_in_words,
)
from camviz.ui.state import DEFAULT, Controls, Session, Task, Unavailable, Update
from camviz.ui.tabs.base import Events
from camviz.ui.viewer import CameraAnswer, LiveCamera, MapRow, RawPanel, Viewer, payload
from camviz.ui.viewer.panels import Description, PlacedMap
from camviz.ui.viewer.schema import Words

ID, GROUP, TITLE = "compare", "Look", "Maps"
LABEL = "Looking at the picture …"
READS_COVER = False
SLIDER = "ask-truncation"  # id of what the viewer places in the denoised row
WHY = "why-method"  # id of what the viewer places in the first row
REMOVED = "removed"  # the key of the row of what was taken out
SHOW_LAYERCAM = "Show LayerCAM"
NO_PICTURE = "Give a picture, and the maps of it are shown here."


@dataclass(frozen=True)
class Parts:
    """The components of the tab."""

    verdict: Any
    why: Any
    other_method: Any
    automatic: Any
    truncation: Any
    truncation_mode: Any
    denoising: Any
    maps: Any
    learned: Any
    camera: Any
    camera_answer: Any


def build() -> Parts:
    """Three families of maps, side by side."""
    heading = gr.HTML(html.render("waiting.html"), elem_id="verdict", elem_classes="cv-lead")
    camera = LiveCamera(elem_id="camera")
    with gr.Row(elem_id=WHY):
        why = gr.HTML(elem_id="why")
        other = gr.Button(SHOW_LAYERCAM, size="sm", elem_id="other-method", min_width=0, scale=0)
    with gr.Row(elem_id=SLIDER):
        automatic = gr.Checkbox(
            True,
            label="Chosen for the picture",
            info="or set with the slider",
            elem_id="automatic",
            min_width=0,
        )
        truncation = gr.Slider(
            0,
            links.MAX_TRUNCATION,
            LEVEL,
            step=0.01,
            label="Denoise",
            info="how much noise is taken out",
            elem_id="truncation",
            buttons=[],
        )
        row = option_table(type(DEFAULT.options))["truncation_mode"]
        mode = gr.Dropdown(
            [(text, value) for value, text in (row.values or {}).items()],
            value=DEFAULT.options.truncation_mode,
            label="In the gradient",
            elem_id="truncation_mode",
            interactive=True,
            min_width=0,
        )
        denoising = gr.HTML(elem_id="denoising")
    maps = Viewer(elem_id="viewer")
    learned = gr.HTML(elem_id="learned", js_on_load=html.script("open-gallery.js"))
    return Parts(
        heading, why, other, automatic, truncation, mode, denoising, maps, learned, camera,
        CameraAnswer(),
    )  # fmt: skip


def wire(parts: Parts, events: Events) -> None:
    """What stands in the denoised row: who chooses the level, the level, and what it does."""
    automatic, level, mode = parts.automatic, parts.truncation, parts.truncation_mode
    events.on_change(parts.other_method.click, _choose_other_method)
    events.on_change(automatic.input, actions.set_automatic, automatic, level)
    events.on_change(level.input, actions.set_truncation, level)
    events.on_change(mode.input, actions.set_option("truncation_mode"), mode)
    events.on_gesture(parts.camera.input, live.look, parts.camera_answer)


def _choose_other_method(session: Session, _: Any) -> None:
    """LayerCAM instead of the network's default method, or that again."""
    by_hand = session.controls.options.method == LAYER_CAM
    session.change(session.controls.with_options(method=AUTO if by_hand else LAYER_CAM))


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The three rows of a picture, and everything said about them.

    Prototypes that must be made first take their time: the two other rows do not wait for them.
    """
    mode = controls.options.truncation_mode
    mirror: dict[str, Any] = {
        "automatic": controls.truncation == AUTO,
        "truncation_mode": mode,
    }
    new = {name: value for name, value in mirror.items() if session.differs(name, value)}
    if controls.picture is None:
        yield Update(tab=new | _without_picture(), mirror=mirror)
        return
    x = explain(controls)
    if not x.backbone.has_classes:
        yield Update(tab=new | _without_classes(x), mirror=mirror)
        return
    made = background().begin(prototype_row, controls, x.target)
    denoised = denoised_row(controls)
    rows: dict[str, Found | MapRow] = {LAYERCAM: x, DENOISED: denoised}
    if isinstance(denoised, Explanation) and any(
        denoised.removed_raw(name).any() for name in denoised.plain
    ):
        rows[REMOVED] = _removed(denoised)
    rows[PROTOTYPES] = Unavailable(COMING)
    shown = _levels(controls, denoised)
    mirror |= shown
    new |= {name: value for name, value in shown.items() if session.differs(name, value)}
    new |= {"verdict": verdict.heading(x), "denoising": _denoising(denoised)}
    why = _why_method(controls, x)
    new |= why
    given: dict[str, Any] = {
        "truth": truth_of(x),
        "linked": True,
        "holds": {DENOISED: SLIDER} | ({LAYERCAM: WHY} if why["why"] else {}),
    }
    if not wait([made], PATIENCE).done:
        yield Update(tab={**new, "maps": payload(rows, **given)}, mirror=mirror)
        new = {}
    prototypes = rows[PROTOTYPES] = made.result()
    new["maps"] = payload(rows, **given)
    new["learned"] = _learned(prototypes, controls)
    yield Update(tab=new, mirror=mirror)
    if x.backbone.weights.trained and (otherwise := seen_otherwise(x)) is not None:
        yield Update(tab={"verdict": verdict.heading(x, otherwise)})


def _levels(controls: Controls, row: Found) -> dict[str, float]:
    """What the slider stands at: what was set, or what was chosen for the picture."""
    if controls.truncation != AUTO:
        return {"truncation": controls.truncation}
    return {} if isinstance(row, Unavailable) else {"truncation": row.request.truncation}


def _without_picture() -> dict[str, Any]:
    return {
        "verdict": html.render("no-picture.html"),
        "maps": payload({LAYERCAM: Unavailable(NO_PICTURE)}, linked=True),
        "why": "",
        "denoising": "",
        "learned": "",
    }


def _without_classes(x: Explanation) -> dict[str, Any]:
    """A network without classes: its features, as maps and in colours."""
    rows: dict[str, Found | MapRow] = {LAYERCAM: x, FEATURES: features_row(x)}
    return {
        "verdict": verdict.heading(x),
        "maps": payload(rows, truth=truth_of(x), linked=True),
        "why": "",
        "denoising": "",
        "learned": "",
    }


def _why_method(controls: Controls, x: Explanation) -> dict[str, str]:
    """Why the first row is not LayerCAM where it is not by default, and what the button does."""
    usual = default_method(x.backbone, Options())
    by_hand = controls.options.method == LAYER_CAM
    if usual == LAYER_CAM or not (by_hand or x.request.method == usual):
        return {"why": ""}
    label = METHODS[usual].label
    text = html.render(
        "why-method.html",
        by_hand=by_hand,
        label=label,
        backbone=x.backbone.display_name,
        reason=family_of(x.backbone).reason,
    )
    return {"why": text, "other_method": f"Back to {label}" if by_hand else SHOW_LAYERCAM}


def _denoising(row: Found) -> str:
    """What truncation did to the maps, in a sentence, and why it was chosen."""
    if isinstance(row, Unavailable):
        return ""
    found = [note.denoising for note in row.notes.values() if note.denoising is not None]
    shares = [1 - each.removed for each in found if each.removed is not None]
    return html.render(
        "denoising.html",
        kept=parts(*shares) if shares else "",
        choice=row.truncation_choice,
        mode=row.request.truncation_mode,
        label=row.label,
        output=row.backbone.output,
        level=row.request.truncation,
        averaged=row.request.views != "one",
        layer={name: layer_in_words(row.backbone, name) for name in row.stages},
    )


def _removed(row: Explanation) -> MapRow:
    """What truncation took out of each map, signed and on the scale of the plain map."""
    method = METHODS[row.request.method]
    panels = {}
    for name in reversed(tuple(row.plain)):
        layer = layer_in_words(row.backbone, name)
        heat = PlacedMap(row.removed_raw(name), row.placements[name], row.picture, row.fit)
        panels[name] = RawPanel(
            heat,
            layer_name(row.backbone, name, row.notes[name].grid),
            alt=f"What was taken out of the map of {layer} for {row.label}",
            module=name,
            unit=row.request.method,
            ends=("added", "taken"),
            top=max(float(row.plain[name].max()), 0.0),
            label=row.label,
            network=row.backbone.display_name,
        )
    words = Words(
        "The plain maps less the denoised ones"
        + (": what was held to be noise." if row.request.truncation_mode == "threshold" else "."),
        "D = ReLU(M) − ReLU(M_denoised)",
        "M: the plain map; the colours end at its maximum.",
    )
    return MapRow("Taken out", Description(method.label, denoise.SOURCE, words), panels)


def _learned(row: Found, controls: Controls) -> str:
    """What the prototypes of a picture's maps were learned from, and what they do not depend on."""
    if not isinstance(row, Explanation) or row.bank is None:
        return ""
    return html.render(
        "learned.html",
        bank=row.bank,
        edited=row.bank.source == "bundled" and row.request.prototypes != "shipped",
        others=row.rivals,
        fine=[layer_in_words(row.backbone, n) for n in stages_of(controls) if n not in row.stages],
        rival=versus_in_words(controls),
    )
