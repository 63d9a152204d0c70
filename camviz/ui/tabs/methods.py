"""Every method at every stage, from one trace: rows are methods, columns stages and fusions.

The network's forward pass is that of the maps: every cell here is arithmetic on its record.
Prototypes alone may have to be made first, and the other rows do not wait for them.
"""

from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import dataclass, replace

import gradio as gr

from camviz.defaults import REFINED
from camviz.engine.explanation import Explanation
from camviz.engine.families import default_method
from camviz.engine.truncation import LEVEL
from camviz.errors import MethodError, PrototypeError, StageError
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.ui import html, service
from camviz.ui.layers import layer_name
from camviz.ui.state import (
    DEFAULT,
    Controls,
    Session,
    Task,
    Unavailable,
    Update,
)
from camviz.ui.tabs.base import Events
from camviz.ui.viewer import (
    Description,
    MapPanel,
    MapRow,
    PlacedMap,
    RawPanel,
    Viewer,
    Words,
    payload,
    symbols_in,
)

ID, GROUP, TITLE = "methods", "Compare", "Methods × stages"
LABEL = "Computing every method …"

PAPER, USUAL = "paper", "default"  # what a map can be marked with
COLUMNS = ("stretched_mean", "product", "max_tanh")  # the fusions that are shown beside stages
# The fusion of a method's own source, where that reads all stages; others read the last one alone.
FUSED_BY_PAPER = {"layer_cam": "max_tanh"}

AGAINST = "layer_cam_against"  # the key of the row below LayerCAM's
AGAINST_SUMMARY = "What LayerCAM leaves out: what speaks against the class."
AGAINST_FORMULA = "M = Σ_k ReLU(−g_k) · A_k"

MatrixRow = MapRow | Unavailable


@dataclass(frozen=True)
class Parts:
    """Its components."""

    heading: gr.HTML
    maps: gr.HTML


def build() -> Parts:
    return Parts(
        gr.HTML(elem_id="methods-said", elem_classes="cv-lead"), Viewer(elem_id="methods-viewer")
    )


def wire(parts: Parts, events: Events) -> None:
    """Nothing of its own: it follows the controls on the left."""


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The matrix, as soon as there is one; again, once there are prototypes."""
    if controls.picture is None or controls.backbone.name is None:
        reason = "Give a picture, and every method's maps of it are shown here."
        maps = payload({"none": Unavailable(reason)})
        yield Update(tab={"heading": "", "maps": maps})
        return
    x = service.explain(controls, method=DEFAULT.options.method)
    prototypes = service.background().submit(prototype_row, controls, x.target)
    rows = matrix(controls, x)
    truth = service.truth_of(x)
    parts = {"heading": _heading(controls, x)}
    if not wait([prototypes], service.PATIENCE).done:
        yield Update(tab={**parts, "maps": payload(rows, truth=truth, dense=True)})
        parts = {}
    rows["lpcam"] = prototypes.result()
    yield Update(tab={**parts, "maps": payload(rows, truth=truth, dense=True)})


def matrix(controls: Controls, x: Explanation) -> dict[str, MatrixRow]:
    """A row a method; a sentence in the place of one that cannot be had here.

    x: the explanation by the default method. The row of prototypes is announced only.
    """
    rows: dict[str, MatrixRow] = {}
    for name, method in METHODS.items():
        if method.uses_prototypes:
            rows[name] = Unavailable(service.COMING)
            continue
        try:
            known = name == x.request.method
            y = x if known else service.explain(controls, target=x.target, method=name)
            rows[name] = _row(y)
        except (MethodError, StageError) as error:
            rows[name] = Unavailable(html.sentence(error))
        if name == "layer_cam":
            rows[AGAINST] = against_row(controls, x.target)
    return rows


def against_row(controls: Controls, target: int) -> MatrixRow:
    """What LayerCAM leaves out: the same maps of the negative gradient."""
    try:
        x = service.explain(
            controls,
            target=target,
            method="layer_cam",
            truncation=LEVEL,  # of no account in this mode, but not 0
            truncation_mode="remove",
            truncated=service.stages_of(controls),
        )
    except (MethodError, StageError) as error:
        return Unavailable(html.sentence(error))
    maps = {n: PlacedMap(x.raw[n], x.placements[n], x.picture, x.fit) for n in reversed(x.stages)}
    panels = {
        name: replace(
            _against(name, each, x, unit="layer_cam"),
            name=layer_name(x.backbone, name, x.notes[name].grid),
            module=name,
        )
        for name, each in maps.items()
    }
    if len(x.stages) > 1:
        for fuse in COLUMNS:
            fused = replace(x, request=replace(x.request, fuse=fuse))
            each = PlacedMap(*fused.fused_grid, x.picture, x.fit)
            panels[fuse] = replace(_against(FUSIONS[fuse].short, each, x), last=True)
    method = METHODS["layer_cam"]
    words = Words(AGAINST_SUMMARY, AGAINST_FORMULA, symbols_in(AGAINST_FORMULA))
    return MapRow(
        f"{method.label}, against",
        Description(method.label, "of the negative gradient", words),
        panels,
    )


def _against(name: str, each: PlacedMap, x: Explanation, unit: str | None = None) -> RawPanel:
    empty = () if (each.raw > 0).any() else ("Empty: nothing here speaks against this class.",)
    return RawPanel(
        each,
        name,
        alt=f"What {name} found against {x.label}",
        warnings=empty,
        notes=empty,
        unit=unit,
        label=x.label,
        network=x.backbone.display_name,
    )


def prototype_row(controls: Controls, target: int) -> MatrixRow:
    """The row of prototypes, at every stage that is explained, or why there is none."""
    try:
        stages = service.stages_of(controls)
        return _row(service.prototype_map(controls, target, stages=stages))
    except (PrototypeError, MethodError, StageError) as error:
        return Unavailable(html.sentence(error))


def _row(x: Explanation) -> MapRow:
    """A method's maps: stages coarse to fine, then fusions of them, and the refined map."""
    marks = marks_of(x)
    panels: dict[str, MapPanel] = {
        name: MapPanel(x, name, marks=marks.get(name, {})) for name in reversed(x.stages)
    }
    if len(x.stages) > 1:
        for fuse in COLUMNS:
            fused = replace(x, request=replace(x.request, fuse=fuse))
            panels[fuse] = MapPanel(fused, name=FUSIONS[fuse].short, marks=marks.get(fuse, {}))
    if REFINED in x.maps_of_all:
        panels[REFINED] = MapPanel(x, REFINED)
    return MapRow(METHODS[x.request.method].label, x, panels)


def marks_of(x: Explanation) -> dict[str, dict[str, str]]:
    """By panel, what sets it apart: the setting of the method's own source, or the default.

    Nothing is marked that is not exactly so: a fusion of other stages than all, or prototypes that
    were built otherwise, are not the paper's.
    """
    name, request = x.request.method, x.request
    method, backbone = METHODS[name], x.backbone
    last = backbone.default_stages[-1] if backbone.default_stages else None
    every = set(backbone.default_stages) <= set(x.stages)
    marks: dict[str, dict[str, str]] = {}
    fuse = FUSED_BY_PAPER.get(name)
    if fuse is not None:
        if every and len(x.stages) > 1:
            words = f"Its own setting: all stages, {FUSIONS[fuse].paper}."
            marks[fuse] = {PAPER: words}
    elif last in x.stages and (x.bank is None or _is_paper_bank(x, last)):
        words = f"Its own setting: the last stage alone, as in {method.paper}."
        marks[last] = {PAPER: words}
    default = DEFAULT.options
    usual = (default_method(backbone, default), default.tap, default.placement)
    if (name, request.tap, request.placement) == usual and set(x.stages) == set(
        backbone.default_stages
    ):
        words = "What camviz shows until another method or fusion is chosen."
        marks.setdefault(method.fuse, {})[USUAL] = words
    return marks


def _is_paper_bank(x: Explanation, last: str) -> bool:
    """Whether prototypes were built as the paper did: from many pictures, split at its tau."""
    bank = x.bank
    if bank is None or x.rivals:
        return False
    return last in bank.stages and bank.is_paper_setting


def _heading(controls: Controls, x: Explanation) -> str:
    versus = x.request.versus
    return html.render(
        "methods.html",
        label=x.label,
        versus=None if versus is None else x.backbone.labels[versus],
        backbone=controls.backbone.name,
        paper=PAPER,
        usual=USUAL,
    )
