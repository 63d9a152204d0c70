"""From the maps of a viewer to the panels of the wire format."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from camviz.defaults import REFINED, THRESHOLD, usual_threshold
from camviz.engine.explanation import Explanation
from camviz.fit import Fit
from camviz.maps.fusion import FUSIONS, Placement, normalize
from camviz.methods import METHODS
from camviz.ui.html import plural
from camviz.ui.layers import map_in_words, map_name
from camviz.ui.viewer.encode import encode_map, number
from camviz.ui.viewer.panels import ColorPanel, DifferencePanel, Heat, MapPanel, RawPanel, rasterize
from camviz.ui.viewer.schema import Panel, Scene, Words
from camviz.ui.viewer.similar import Similarity
from camviz.ui.viewer.words import (
    REFINED_WORDS,
    facts_of,
    found_by,
    location,
    refinement_words,
    words_of,
)

_CELLS = 96  # of the longer side, in which a difference is sent
_TINY = np.finfo(np.float32).tiny


def map_panel(
    key: str, panel: MapPanel, similar: Similarity | None, first: Fit, *, remark: bool
) -> Panel:
    """A map of an explanation.

    similar: an earlier map that says the same. remark: what is said of every map of its kind, or of
    one that says nearly the same, stands below it; else in the dialog.
    first: how the first map's network was shown the picture; a map that was shown less says so.
    """
    x = panel.x
    if panel.stage is not None:
        made = _stage_panel(panel, panel.stage)
    else:
        made = _refined_panel(panel) if panel.of == REFINED else _fused_panel(panel)
    facts, notes = (*panel.facts, *made.facts), made.notes
    remarks = made.remarks if remark else ()
    if similar is not None and (remark or similar.kind == "same"):
        remarks = (similar.sentence,)
    elif similar is not None:
        notes = (*notes, similar.sentence)
    if x.fit != first and not x.fit.shows_all:
        facts = (*facts, f"{x.fit.visible_share:.0%} of the picture seen")
    if panel.shares:
        peak = 1.0 if made.peak else 0.0
        made = replace(made, unit=None, peak=peak, top=peak, against=None, lowest=0.0)
    return replace(
        made,
        key=key,
        facts=facts,
        notes=(*panel.marks.values(), *notes),
        remarks=remarks,
    )


def _stage_panel(panel: MapPanel, stage: str) -> Panel:
    x = panel.x
    note, raw = x.notes[stage], x.raw[stage]
    signed = METHODS[x.request.method].signed
    against = -raw.clip(max=0) if signed else np.zeros_like(raw)
    named = panel.name is not None
    cells = f"{note.grid[0]} × {note.grid[1]} cells"
    return _panel(
        panel.heat,
        scene_of(x.fit),
        name=panel.name if panel.name is not None else map_name(x, stage),
        module="" if named else stage,
        last=bool(panel.last),
        unit=x.request.method,
        peak=raw.clip(min=0).max(),
        against=against,
        ring=panel.ring,
        marks=panel.marks,
        facts=((cells,) if named else ()) + facts_of(x, stage),
        warnings=(note.sentences[-1],) if note.empty or note.zero_gradient else (),
        notes=tuple(note.sentences),
        **_origin(x),
        alt=f"{found_by(x, map_in_words(x, stage))}: {location(x, panel.heat)}",
    )


def _fused_panel(panel: MapPanel) -> Panel:
    x, heat = panel.x, panel.heat
    fusion = FUSIONS[x.request.fuse]
    empty = [name for name in x.stages if not x.normalized[name].any()]
    height, width = heat.values.shape
    used = len(x.stages) - len(empty)
    notes = [f"{fusion.label} ({fusion.paper}) of {used} maps on {height} × {width} cells."]
    if empty and used:
        notes.append(f"Left out, because empty: {', '.join(empty)}.")
    return _panel_of_all(
        panel,
        name="Fused",
        facts=(f"{plural(used, 'stage')} on {height} × {width} cells",),
        notes=tuple(notes),
        words=words_of(fusion),
        alt=f"{found_by(x, 'all stages together')}: {location(x, heat)}",
    )


def _refined_panel(panel: MapPanel) -> Panel:
    x, heat = panel.x, panel.heat
    height, width = heat.values.shape
    return _panel_of_all(
        panel,
        name="Refined",
        facts=(f"{height} × {width} cells",),
        remarks=("Spread to what looks alike: which thing, not what exactly counted.",),
        notes=(refinement_words(x.refinement),),
        words=REFINED_WORDS,
        alt=f"The fused map{f' for {x.label}' if x.label else ''} spread to what looks alike: "
        f"{location(x, heat)}",
    )


def _panel_of_all(panel: MapPanel, *, name: str, words: Words, **others: Any) -> Panel:
    """A map of all stages: its unit is its own, and its maximum 1."""
    heat = panel.heat
    full = bool(heat.values.any())
    return _panel(
        heat,
        scene_of(panel.x.fit),
        name=name if panel.name is None else panel.name,
        last=panel.last is None or panel.last,
        unit=None,
        peak=float(full),
        cut=usual_threshold(panel.of),
        ring=panel.ring,
        marks=panel.marks,
        warnings=() if full else ("Empty: every stage is.",),
        words=words,
        **_origin(panel.x),
        **others,
    )


def raw_panel(key: str, panel: RawPanel, unit: str | None) -> Panel:
    """A map that belongs to no explanation. unit: that of its row."""
    raw = panel.map.raw
    height, width = raw.shape
    return _panel(
        Heat(normalize(torch.from_numpy(raw)).numpy(), panel.map.placement),
        scene_of(panel.map.fit),
        key=key,
        name=panel.name,
        module=panel.module,
        last=panel.last,
        unit=panel.unit or unit,
        peak=raw.clip(min=0).max(),
        against=-raw.clip(max=0),
        ends=panel.ends,
        top=panel.top,
        ring=panel.ring,
        facts=(*(() if panel.module else (f"{height} × {width} cells",)), *panel.facts),
        warnings=panel.warnings,
        notes=panel.notes,
        label=panel.label,
        network=panel.network,
        alt=panel.alt,
    )


def color_panel(key: str, panel: ColorPanel) -> Panel:
    """Features in colours: no heat, hence nothing that a threshold, a box or a scale is about."""
    found = panel.components
    height, width = found.raw.shape[1:]
    red, green, blue = (encode_map(found.cells[..., i] / 255) for i in range(3))
    return _panel(
        Heat(np.zeros((height, width), np.float32), found.placement),
        scene_of(found.fit),
        key=key,
        name=panel.name,
        module=panel.module,
        last=False,
        unit=None,
        peak=0.0,
        colors=(red, green, blue),
        facts=(f"{sum(found.shares):.0%} of the variance",),
        notes=(
            "Red, green and blue are the first three principal components: "
            f"{', '.join(f'{share:.0%}' for share in found.shares)} of the variance of the "
            "features.",
        ),
        label="",
        network=panel.network,
        alt=f"The features of {panel.name} ({panel.module}) in colours",
    )


def difference_panel(key: str, panel: DifferencePanel) -> Panel:
    """A signed map on the picture's own pixels; 0 where one of the two networks saw nothing."""
    (one, visible_to_one), (other, visible_to_other) = (
        rasterize(each, _CELLS) for each in (panel.one, panel.other)
    )
    heat = np.where(visible_to_one & visible_to_other, one - other, 0)
    for_one, for_other = heat.clip(min=0), (-heat).clip(min=0)
    picture = panel.one.x.picture
    width, height = picture.width, picture.height
    peak, lowest = float(for_one.max()), float(for_other.max())
    return _panel(
        Heat(
            for_one / peak if peak > _TINY else for_one,
            Placement((height / heat.shape[0], width / heat.shape[1])),
        ),
        Scene((0, 0, width, height), (height, width), True),
        key=key,
        name=panel.name,
        last=True,
        unit=None,
        ends=panel.ends,
        peak=peak,
        against=for_other,
        top=1.0,
        words=Words(
            "One map less the other, so that it is white where they agree.",
            "D = n_1 − n_2",
            "n_1, n_2: each map over its own maximum.",
        ),
        **_origin(panel.one.x, panel.other.x),
        alt=f"{panel.name}: from {-lowest:.0%} to {peak:.0%} of the maximum",
    )


def _panel(
    heat: Heat,
    scene: Scene,
    *,
    key: str = "",
    name: str,
    last: bool,
    peak: Any,
    unit: str | None,
    alt: str,
    against: np.ndarray | None = None,
    top: float | None = None,
    facts: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    **others: Any,
) -> Panel:
    """The map itself: its values over its maximum in 255 steps, and where they belong."""
    rows, columns = heat.values.shape
    lowest = 0.0 if against is None else number(against.max())
    signed = against is not None and lowest > _TINY
    peak = number(peak)
    return Panel(
        key=key,
        name=name,
        last=last,
        scene=scene,
        grid=(rows, columns),
        stride=heat.placement.stride,
        offset=heat.placement.offset,
        data=encode_map(heat.values),
        peak=peak,
        against=encode_map(against / against.max()) if against is not None and signed else None,
        lowest=lowest,
        top=max(peak, lowest) if top is None else top,
        unit=unit,
        facts=facts,
        warnings=warnings,
        notes=notes,
        alt=alt,
        **({"marks": {}, "words": None, "remarks": (), "cut": THRESHOLD} | others),
    )


def _origin(*explanations: Explanation) -> dict[str, Any]:
    """The class and the network of a map, each once where maps of several were put together."""
    labels = dict.fromkeys(x.label for x in explanations)
    networks = dict.fromkeys(x.backbone.display_name for x in explanations)
    return {"label": " and ".join(labels), "network": " and ".join(networks)}


def scene_of(fit: Fit) -> Scene:
    """How a picture was shown to the network."""
    x0, y0, x1, y1 = fit.rect
    height, width = fit.input_size
    return Scene((x0, y0, x1, y1), (height, width), fit.shows_all)
