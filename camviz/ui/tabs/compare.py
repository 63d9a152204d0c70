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
from camviz.engine.notes import times
from camviz.ui import actions, html, links, verdict
from camviz.ui.layers import layer_in_words
from camviz.ui.service import (
    COMING,
    DENOISED,
    LAYERCAM,
    PATIENCE,
    PROTOTYPES,
    Found,
    background,
    denoised_row,
    explain,
    link_of,
    prototype_row,
    seen_otherwise,
    stages_of,
    truth_of,
)
from camviz.ui.state import NOBODY, TRUNCATION, Controls, Session, Task, Unavailable, Update
from camviz.ui.tabs.base import Events
from camviz.ui.viewer import Viewer, payload

ID, GROUP, TITLE = "compare", "Look", "Maps"
LABEL = "Looking at the picture …"
SLIDER = "ask-truncation"  # id of what the viewer places in the denoised row
NO_PICTURE = "Give a picture, and the maps of it are shown here."


@dataclass(frozen=True)
class Parts:
    """The components of the tab."""

    verdict: Any
    truncation: Any
    denoising: Any
    maps: Any
    learned: Any


def build() -> Parts:
    """Three families of maps, side by side."""
    heading = gr.HTML(html.render("waiting.html"), elem_id="verdict", elem_classes="cv-lead")
    with gr.Row(elem_id=SLIDER):
        truncation = gr.Slider(
            0,
            links.MAX_TRUNCATION,
            TRUNCATION,
            step=0.01,
            label="Denoise",
            info="how much noise is taken away",
            elem_id="truncation",
            buttons=[],
        )
        denoising = gr.HTML(elem_id="denoising")
    maps = Viewer(elem_id="viewer")
    learned = gr.HTML(elem_id="learned", js_on_load=html.script("open-gallery.js"))
    return Parts(heading, truncation, denoising, maps, learned)


def wire(parts: Parts, events: Events) -> None:
    """The slider of the denoised row."""
    events.on_change(parts.truncation.input, actions.set_truncation, parts.truncation)


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The three rows of a picture, and everything said about them.

    Prototypes that must be made first take their time: the two other rows do not wait for them.
    """
    new: dict[str, Any] = {}
    mirror = {"truncation": controls.truncation}
    if session.differs("truncation", controls.truncation):
        new["truncation"] = controls.truncation
    if controls.picture is None:
        yield Update(tab=new | _without_picture(controls), mirror=mirror)
        return
    x = explain(controls)
    made = background().submit(prototype_row, controls, x.target)
    rows: dict[str, Found] = {
        LAYERCAM: x,
        DENOISED: denoised_row(controls),
        PROTOTYPES: Unavailable(COMING),
    }
    new |= {"verdict": verdict.heading(x), "denoising": _denoising(rows[DENOISED])}
    given: dict[str, Any] = {
        "truth": truth_of(x),
        "link": link_of(controls, x),
        "holds": {DENOISED: SLIDER},
    }
    if not wait([made], PATIENCE).done:
        yield Update(tab={**new, "maps": payload(rows, **given)}, mirror=mirror)
        new = {}
    rows[PROTOTYPES] = made.result()
    new["maps"] = payload(rows, **given)
    new["learned"] = _learned(rows[PROTOTYPES], controls)
    yield Update(tab=new, mirror=mirror)
    if x.backbone.weights.trained and (otherwise := seen_otherwise(x)) is not None:
        yield Update(tab={"verdict": verdict.heading(x, otherwise)})


def _without_picture(controls: Controls) -> dict[str, Any]:
    return {
        "verdict": html.render("no-picture.html"),
        "maps": payload({LAYERCAM: Unavailable(NO_PICTURE)}, link=link_of(controls)),
        "denoising": "",
        "learned": "",
    }


def _denoising(row: Found) -> str:
    """What truncation took away, of the maps and of the noise, in figures."""
    if isinstance(row, Unavailable):
        return ""
    found = [note.denoising for note in row.notes.values() if note.denoising is not None]
    maps = [d.removed for d in found if d.removed is not None]
    noise = [1 - d.noise.noise for d in found if d.noise and d.noise.noise is not None]
    weaker, stronger = [s for s in maps if s >= 0], [-s for s in maps if s < 0]
    which = html.plural(len(weaker), "map") if stronger else "the maps"
    taken = {which: weaker, "noise": noise}
    return html.render(
        "denoising.html",
        nothing=not maps,
        taken={name: _range(shares) for name, shares in taken.items() if shares},
        stronger=_grown(stronger, len(maps)),
    )


def _grown(shares: list[float], of: int) -> tuple[str, str, str] | None:
    """A sentence in three parts, the figures the second, on maps that are stronger than before.

    shares: of what they were, that have come on top.
    """
    if not shares:
        return None
    count = len(shares)
    subject = (
        ("the maps are" if count > 1 else "the map is")
        if count == of
        else (f"{count} maps are" if count > 1 else "one map is")
    )
    if max(shares) > 1:
        return subject, times(*(1 + share for share in shares)), " as strong."
    return f"{subject} stronger, by", _range(shares), "."


def _range(shares: list[float]) -> str:
    """ "53–61%", "60%"; nothing for no shares."""
    if not shares:
        return ""
    least, most = f"{min(shares):.0%}", f"{max(shares):.0%}"
    return most if least == most else f"{least[:-1]}–{most}"


def _learned(row: Found, controls: Controls) -> str:
    """What the prototypes of a picture's maps were learned from, and what they do not depend on."""
    if not isinstance(row, Explanation) or row.bank is None:
        return ""
    return html.render(
        "learned.html",
        bank=row.bank,
        edited=row.bank.source == "bundled" and row.request.prototypes != "shipped",
        fine=[layer_in_words(row.backbone, n) for n in stages_of(controls) if n not in row.stages],
        rival=None if controls.versus == NOBODY else controls.versus,
    )
