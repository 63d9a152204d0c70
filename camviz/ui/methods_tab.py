"""Every method at every stage, from one trace: rows are methods, columns stages and fusions.

The network has looked already, for Compare: every cell here is arithmetic on what it did then.
Prototypes alone may have to be made first, and the other rows do not wait for them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import replace
from html import escape
from typing import Any

import gradio as gr

from camviz.engine.explanation import Explanation
from camviz.errors import MethodError, PrototypeError, StageError
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.ui import compare_tab, viewer
from camviz.ui.compare_tab import DEFAULT, Ask, View, explain, likeness
from camviz.ui.viewer import Row, Shown, Viewer

ID, TITLE = "methods", "Methods × stages"
DOING = "Computing every method …"
PARTS: tuple[str, ...] = ("methods said", "methods maps")
INPUTS: tuple[str, ...] = ()

PAPER, USUAL = "paper", "default"  # what a map can be marked with
NAMES = {"product": "Product", "mean": "Mean", "max_tanh": "Max of tanh"}  # of the last columns
# Where a method's own source reads it: all others at the last stage alone.
FUSED_BY_PAPER = {"layer_cam": "max_tanh"}


def build() -> dict[str, Any]:
    return {
        "methods said": gr.HTML(elem_id="methods-said"),
        "methods maps": Viewer(elem_id="methods-viewer"),
    }


def show(ask: Ask) -> Iterator[View]:
    """The matrix, as soon as there is one; again, once there are prototypes."""
    if ask.picture is None or ask.backbone is None:
        said = "Give a picture, and every method's maps of it are shown here."
        yield View(None, tab={"methods said": "", "methods maps": viewer.payload({"none": said})})
        return
    x = explain(ask, method=DEFAULT.method)
    made = compare_tab.aside().submit(_likeness, ask, x.target)
    rows = matrix(ask, x)
    words = {"methods said": _words(ask, x)}
    truth = compare_tab.truth_of(x)

    def view(tab: dict[str, Any]) -> View:
        maps = viewer.payload(rows, truth=truth, dense=True)
        return View(None, tab={**tab, "methods maps": maps})

    if not wait([made], compare_tab.PATIENCE).done:
        yield view(words)
        words = {}
    rows["lpcam"] = made.result()
    yield view(words)


def matrix(ask: Ask, x: Explanation) -> dict[str, Row | str]:
    """A row a method; a sentence in the place of one that cannot be had here.

    x: the first row's. The row of prototypes says that it is coming.
    """
    rows: dict[str, Row | str] = {}
    for name, method in METHODS.items():
        if method.uses_prototypes:
            rows[name] = compare_tab.COMING
            continue
        try:
            found = x if name == x.request.method else explain(ask, target=x.target, method=name)
            rows[name] = _row(found)
        except (MethodError, StageError) as error:
            rows[name] = _missing(error)
    return rows


def _likeness(ask: Ask, target: int) -> Row | str:
    try:
        return _row(likeness(ask, target, stages=ask.stages or None))
    except (PrototypeError, MethodError, StageError) as error:
        return _missing(error)


def _missing(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _row(x: Explanation) -> Row:
    """A method's maps: stages coarse to fine, then each fusion of them."""
    marks = marked(x)
    panels: dict[str, Shown] = {
        name: Shown(x, name, marks=marks.get(name, {})) for name in reversed(x.stages)
    }
    if len(x.stages) > 1:
        for fuse in FUSIONS:
            fused = replace(x, request=replace(x.request, fuse=fuse))
            panels[fuse] = Shown(fused, name=NAMES[fuse], marks=marks.get(fuse, {}))
    return Row(METHODS[x.request.method].label, x, panels)


def marked(x: Explanation) -> dict[str, dict[str, str]]:
    """By panel, what sets it apart: that the method's own source reads it there, or camviz does.

    Nothing is marked that is not exactly so: a fusion of other stages than all, or prototypes that
    were learned otherwise, are not the paper's.
    """
    name, request = x.request.method, x.request
    method, backbone = METHODS[name], x.backbone
    last = backbone.default_stages[-1] if backbone.default_stages else None
    every = set(backbone.default_stages) <= set(x.stages)
    found: dict[str, dict[str, str]] = {}
    fuse = FUSED_BY_PAPER.get(name)
    if fuse is not None:
        if every and len(x.stages) > 1:
            says = f"Its own setting: all stages, as in {FUSIONS[fuse].paper}."
            found[fuse] = {PAPER: says}
    elif last in x.stages and (x.bank is None or _papers(x, last)):
        says = f"Its own setting: the last stage alone, as in {method.paper}."
        found[last] = {PAPER: says}
    usual = (DEFAULT.method, DEFAULT.tap, DEFAULT.placement)
    if (name, request.tap, request.placement) == usual and set(x.stages) == set(
        backbone.default_stages
    ):
        says = "What camviz shows until another method or fusion is chosen."
        found.setdefault(DEFAULT.fuse, {})[USUAL] = says
    return found


def _papers(x: Explanation, last: str) -> bool:
    """Whether prototypes were learned as the paper did: from many pictures, split at its tau."""
    bank = x.bank
    return bank is not None and last in bank.stages and bank.is_paper_setting


def _words(ask: Ask, x: Explanation) -> str:
    """What is seen here, in a few plain sentences."""
    label = f"<em>{escape(x.label)}</em>"
    against = ""
    if x.request.versus is not None:
        against = f" rather than <em>{escape(x.backbone.labels[x.request.versus])}</em>"
    return (
        f"<h2>Where each method looks for {label}{against}</h2>"
        "<p>A row is a method, a column a layer of the network, coarse to fine; the last three "
        "make one map of all layers. All of it comes from one look of "
        f"{escape(ask.backbone or '')} at the picture.</p>"
        f'<p class="cv-key"><span><b>{PAPER}</b> what the method’s own source uses</span>'
        f"<span><b>{USUAL}</b> what camviz shows by default</span></p>"
    )


def wire(parts: Mapping[str, Any], asked: Sequence[Any], ask: Callable[..., Any]) -> None:
    """Nothing of its own: it follows what is asked on the left."""
