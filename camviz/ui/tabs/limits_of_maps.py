"""Honest limits: what a map shows and what it does not, each point with an example to open.

The points stand there at once; the figures of their examples follow, and are computed once for
everybody, since the examples are always the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from camviz.ui import html
from camviz.ui.learn.map_limits import SECTIONS, Section, found_of
from camviz.ui.state import Controls, Session, Task, Update
from camviz.ui.tabs.base import Events

ID, GROUP, TITLE = "limits", "Learn", "Honest limits"
KEY = "l"  # the digits are taken
LABEL = "Computing the examples …"
READS_COVER = False


@dataclass(frozen=True)
class Parts:
    """Its components."""

    points: Any


def build() -> Parts:
    return Parts(gr.HTML(elem_id="limits", elem_classes="cv-lead"))


def wire(parts: Parts, events: Events) -> None:
    """Nothing is set here: its links open other views."""


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The points at once, then their figures, section by section."""
    found: dict[str, str] = {}
    yield Update(tab={"points": _page(found)})
    for number, section in enumerate(SECTIONS):
        task.report(number, len(SECTIONS))
        found |= _figures(section)
        yield Update(tab={"points": _page(found)})


def _figures(section: Section) -> dict[str, str]:
    """title -> the sentence of figures, of the points of a section."""
    return {point.title: found_of(point) for point in section.points}


def _page(found: dict[str, str]) -> Markup:
    return html.render("limits.html", sections=SECTIONS, found=found)
