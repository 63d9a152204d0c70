"""Every method at every stage, from one trace: rows are methods, columns stages and fusions.

The network's forward pass is that of the maps: cells are arithmetic on its record. Prototypes alone
may have to be made first, and the other rows do not wait for them. Of methods that take further
passes, those are shown that take no time worth a word, and the one that was chosen on the left; of
the others a sentence says how long they take.
"""

from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import dataclass, replace

import gradio as gr

from camviz.defaults import REFINED
from camviz.engine.explanation import Explanation
from camviz.engine.families import blocks_of, default_method, fusion_of
from camviz.engine.plan import exists
from camviz.engine.truncation import LEVEL
from camviz.engine.wording import wording
from camviz.errors import MethodError, PrototypeError, StageError
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.ui import html, service
from camviz.ui.features import FEATURES, features_row
from camviz.ui.hosting.pool import background
from camviz.ui.layers import layer_name, place_of
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
READS_COVER = False

PAPER, USUAL = "paper", "default"  # what a map can be marked with
COLUMNS = ("stretched_mean", "product", "max_tanh")  # the fusions that are shown beside stages
# The fusion of a method's own source, where that reads all stages; others read the last one alone.
FUSED_BY_PAPER = {"layer_cam": "max_tanh"}

SHOWN_BY_DEFAULT = "What camviz shows until another method or fusion is chosen."
AGAINST = "layer_cam_against"  # the key of the row below LayerCAM's
AGAINST_SUMMARY = "What LayerCAM leaves out: what {}."
AGAINST_FORMULA = "M = Σ_k ReLU(−g_k) · A_k"

SLOW = (
    "{method} takes {duration} on this picture. Choose it under Method, and its maps are here too."
)

MatrixRow = MapRow | Unavailable


@dataclass(frozen=True)
class Parts:
    """Its components."""

    heading: gr.HTML
    maps: gr.HTML


def build() -> Parts:
    return Parts(
        gr.HTML(elem_id="methods-heading", elem_classes="cv-lead"), Viewer(elem_id="methods-viewer")
    )


def wire(parts: Parts, events: Events) -> None:
    """Nothing of its own: it follows the controls on the left."""


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The matrix, as soon as there is one; again, once there are prototypes."""
    if controls.picture is None or controls.backbone.name is None:
        reason = "Give a picture, and every method's maps of it are shown here."
        maps = payload({ID: Unavailable(reason)})
        yield Update(tab={"heading": "", "maps": maps})
        return
    x = service.explain(controls, method=DEFAULT.options.method)
    truth = service.truth_of(x)
    if x.target is None:
        rows = matrix(controls, x) | {FEATURES: features_row(x)}
        maps = payload(rows, truth=truth, dense=True)
        yield Update(tab={"heading": _heading(controls, x), "maps": maps})
        return
    prototypes = background().begin(prototype_row, controls, x.target)
    rows = matrix(controls, x)
    rows[FEATURES] = features_row(x)
    parts = {"heading": _heading(controls, x)}
    if not wait([prototypes], service.PATIENCE).done:
        yield Update(tab={**parts, "maps": payload(rows, truth=truth, dense=True)})
        parts = {}
    rows["lpcam"] = prototypes.result()
    yield Update(tab={**parts, "maps": payload(rows, truth=truth, dense=True)})


def matrix(controls: Controls, x: Explanation) -> dict[str, MatrixRow]:
    """A row a method that exists for the network; a sentence in the place of one without maps here.

    x: the explanation by the default method. The row of prototypes is announced only.
    """
    rows: dict[str, MatrixRow] = {}
    prices = service.prices(controls)
    for name, method in METHODS.items():
        if not exists(method, x.backbone):
            continue
        if method.uses_prototypes:
            rows[name] = Unavailable(service.COMING)
            continue
        if name in prices and name != controls.options.method:
            rows[name] = Unavailable(SLOW.format(method=method.label, duration=prices[name]))
            continue
        try:
            known = name == x.request.method
            y = x if known else service.explain(controls, target=x.target, method=name)
            rows[name] = _row(y)
        except (MethodError, StageError) as error:
            rows[name] = Unavailable(html.sentence(error))
        if name == "layer_cam" and x.target is not None:
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
    signs = wording(x.backbone.output)
    summary = AGAINST_SUMMARY.format(signs.opposes_alone)
    words = Words(summary, AGAINST_FORMULA, symbols_in(AGAINST_FORMULA))
    return MapRow(
        f"{method.label}, {'what ' if x.backbone.output == 'value' else ''}{signs.ends[0]}",
        Description(method.label, "of the negative gradient", words),
        panels,
    )


def _against(name: str, each: PlacedMap, x: Explanation, unit: str | None = None) -> RawPanel:
    opposes = {"value": "lowers the value"}.get(x.backbone.output, "speaks against this class")
    empty = () if (each.raw > 0).any() else (f"Empty: nothing here {opposes}.",)
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
        place_of(x, name): MapPanel(x, name, marks=marks.get(name, {}))
        for name in reversed(x.stages)
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
    name, backbone = x.request.method, x.backbone
    method = METHODS[name]
    last = backbone.default_stages[-1] if backbone.default_stages else None
    every = set(backbone.default_stages) <= set(x.stages)
    marks: dict[str, dict[str, str]] = {}
    if method.uses_attention:
        return _marks_of_blocks(x)
    fuse = FUSED_BY_PAPER.get(name)
    if fuse is not None:
        if every and len(x.stages) > 1:
            words = f"Its own setting: all stages, {FUSIONS[fuse].paper}."
            marks[fuse] = {PAPER: words}
    elif last in x.stages and (x.bank is None or _is_paper_bank(x, last)) and _tries_all(x, last):
        words = f"Its own setting: the last stage alone, as in {method.paper}."
        marks[last] = {PAPER: words}
    if _is_default(x) and set(x.stages) == set(backbone.default_stages):
        marks.setdefault(fusion_of(backbone, name), {})[USUAL] = SHOWN_BY_DEFAULT
    return marks


def _marks_of_blocks(x: Explanation) -> dict[str, dict[str, str]]:
    """The same of a method whose last block holds what all blocks add."""
    method = METHODS[x.request.method]
    last = blocks_of(x.backbone)[-1].name
    marks: dict[str, dict[str, str]] = {}
    if method.fuse == "deepest" and x.stages[-1] == last:
        marks[last] = {PAPER: f"Its own setting: the last block, as in {method.paper}."}
        if _is_default(x):
            marks[last][USUAL] = SHOWN_BY_DEFAULT
    return marks


def _is_default(x: Explanation) -> bool:
    """Whether it is what camviz shows of this network, but for its stages."""
    default, request = DEFAULT.options, x.request
    usual = (default_method(x.backbone, default), default.tap, default.placement)
    return (request.method, request.tap, request.placement) == usual


def _tries_all(x: Explanation, stage: str) -> bool:
    """Whether a method that tries channels, as Score-CAM does, left none out."""
    return x.request.channels is None or x.request.channels >= x.backbone.stage(stage).channels


def _is_paper_bank(x: Explanation, last: str) -> bool:
    """Whether prototypes were built as the paper did: from many pictures, split at its tau."""
    bank = x.bank
    if bank is None or x.rivals:
        return False
    return last in bank.stages and bank.is_paper_setting


def _heading(controls: Controls, x: Explanation) -> str:
    references = x.reference_labels
    return html.render(
        "methods.html",
        label=x.label,
        versus=html.either(references) if references else None,
        backbone=controls.backbone.name,
        scored=[method.label for method in METHODS.values() if method.scoring is not None],
        paper=PAPER,
        usual=USUAL,
    )
