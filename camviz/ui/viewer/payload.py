"""Rows of maps on one picture, as the viewer takes them.

    payload({"layercam": x, "denoised": y, "prototypes": Unavailable("There are none.")})

The server sends the picture once and every map once, at its own resolution, as 8-bit values with
their maximum and where its cells look. What a visitor then does to the maps (opacity, colours,
threshold, contours, boxes, crosshair) needs no server; assets/web/viewer/maps.js repeats
`Explanation.on_picture` to the pixel.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from camviz.engine.explanation import Explanation
from camviz.engine.wording import wording
from camviz.fit import Fit
from camviz.images import Picture
from camviz.methods import METHODS
from camviz.ui.state import Unavailable
from camviz.ui.viewer import schema
from camviz.ui.viewer.convert import color_panel, difference_panel, map_panel, raw_panel
from camviz.ui.viewer.encode import encode_picture, encode_pixels
from camviz.ui.viewer.panels import (
    ColorPanel,
    Description,
    DifferencePanel,
    MapPanel,
    MapRow,
    RawPanel,
    panels_of,
)
from camviz.ui.viewer.schema import Absent, Panel, Payload, Row
from camviz.ui.viewer.similar import Similarity, find_similar
from camviz.ui.viewer.words import words_of_request

TITLES = {
    "layercam": "Hierarchical LayerCAM",
    "denoised": "Denoised shallow maps",
    "prototypes": "Prototype similarity",
}
_LEAST_HIDDEN = 0.005  # share of a thing outside the crop from which on it is worth a sentence

Similar = Mapping[tuple[str, str], Similarity]


def payload(
    rows: Mapping[str, Explanation | MapRow | Unavailable],
    *,
    truth: Mapping[str, np.ndarray] | None = None,
    linked: bool = False,
    dense: bool = False,
    small: bool = False,
    pick: str | None = None,
    follows: str | None = None,
    holds: Mapping[str, str] | None = None,
    outline: str | None = None,
) -> Payload:
    """What the viewer shows.

    rows: by key, in the order in which they are shown. All explanations are of the same picture,
    and those that are rows of their own were shown to the network in the same way. truth: label ->
    bool (H, W), the object's pixels. linked: what a visitor sets is kept in the address bar; of
    one viewer on a page. dense: many rows, as a table with the titles beside and the columns'
    names above. small: as many side by side as can be told apart, with nothing written below
    them. pick: what a click does where it chooses a place (`select`, value [x, y] in pixels)
    instead of enlarging a map, in a sentence. follows: the elem_id of a viewer whose tools serve
    this one too. holds: by key of a row with maps, the elem_id of what stands above them. outline:
    the label in truth that is outlined at first; None: none.

    Raises ValueError where pictures or masks do not belong together.
    """
    sources = list(_sources(rows.values()))
    titles = {key: _title(key, row) for key, row in rows.items()}
    similar = find_similar(rows, titles)
    fit = sources[0][1] if sources else None
    made = tuple(_row(key, titles[key], row, similar, fit) for key, row in rows.items())
    panels = [panel for row in made for panel in row.panels]
    found = Payload(
        rows=tuple(
            replace(row, holds=(holds or {}).get(row.key) if row.panels else None) for row in made
        ),
        linked=linked,
        dense=dense,
        small=small,
        has_signs=any(panel.against is not None and panel.ends is None for panel in panels),
        pick=pick,
        follows=follows,
        outline=outline if outline in (truth or {}) else None,
    )
    return _with_picture(found, sources, truth or {}, _labels_explained(rows)) if sources else found


def _labels_explained(rows: Mapping[str, Explanation | MapRow | Unavailable]) -> set[str]:
    """The labels of the classes that are explained."""
    found = [row.of if isinstance(row, MapRow) else row for row in rows.values()]
    return {x.label for x in found if isinstance(x, Explanation) and x.label}


def _title(key: str, row: Explanation | MapRow | Unavailable) -> str:
    """What stands above a row; the first is named after whatever method was chosen for it."""
    if isinstance(row, MapRow):
        return row.title
    if key in METHODS:
        return METHODS[key].label
    if isinstance(row, Explanation):
        return title_of(key, row.request.method, len(row.stages))
    return title_of(key)


def title_of(key: str, method: str = "layer_cam", stages: int = 2) -> str:
    """What stands above maps of a method at so many stages. key: of the row."""
    if key == "layercam" and method != "layer_cam":
        label = METHODS[method].label
        return label if stages == 1 else f"Hierarchical {label}"
    return TITLES.get(key, key.replace("_", " ").capitalize())


def _sources(
    rows: Iterable[Explanation | MapRow | Unavailable],
) -> Iterator[tuple[Picture, Fit, bool]]:
    """Of every map its picture, how that was fitted, and whether its row is one explanation."""
    for row in rows:
        if isinstance(row, Explanation):
            yield row.picture, row.fit, True
        elif isinstance(row, MapRow):
            for panel in row.panels.values():
                if isinstance(panel, MapPanel):
                    yield panel.x.picture, panel.x.fit, False
                elif isinstance(panel, RawPanel):
                    yield panel.map.picture, panel.map.fit, False
                elif isinstance(panel, ColorPanel):
                    yield panel.components.picture, panel.components.fit, False


# -- Rows ----------------------------------------------------------------------------------------


def _row(
    key: str,
    title: str,
    row: Explanation | MapRow | Unavailable,
    similar: Similar,
    first: Fit | None,
) -> Row:
    if isinstance(row, Unavailable):
        return Row(key=key, title=title, reason=row.reason)
    assert first is not None
    if isinstance(row, Explanation):
        about = _description(row)
        panels = tuple(
            map_panel(name, panel, similar.get((key, name)), first, remark=True)
            for name, panel in panels_of(row).items()
        )
        return _row_about(key, title, about, panels=panels)
    about = row.of if isinstance(row.of, Description) else _description(row.of)
    if row.summary is not None:
        about = replace(about, words=replace(about.words, summary=row.summary))
    repeats = {similar.get((key, name)) for name in row.panels}
    found = next(iter(repeats)) if len(repeats) == 1 and len(row.panels) > 1 else None
    if found is not None and found.kind == "same" and found.counterpart:
        about, similar = replace(about, tag=found.tag), {}  # once for the row, not below every map
    return _row_about(
        key,
        title,
        about,
        panels=tuple(_panels(key, row, about.unit, similar, first)),
        absent=tuple(
            Absent(name, name, panel.reason)
            for name, panel in row.panels.items()
            if isinstance(panel, Unavailable)
        ),
    )


def _row_about(key: str, title: str, about: Description, **maps: Any) -> Row:
    return Row(
        key=key,
        title=title,
        method=about.method,
        paper=about.paper,
        tag=about.tag,
        words=about.words,
        ends=about.ends,
        signs=about.signs,
        **maps,
    )


def _panels(
    key: str, row: MapRow, unit: str | None, similar: Similar, first: Fit
) -> Iterator[Panel]:
    for name, panel in row.panels.items():
        if isinstance(panel, MapPanel):
            yield map_panel(name, panel, similar.get((key, name)), first, remark=False)
        elif isinstance(panel, RawPanel):
            yield raw_panel(name, panel, unit)
        elif isinstance(panel, ColorPanel):
            yield color_panel(name, panel)
        elif isinstance(panel, DifferencePanel):
            yield difference_panel(name, panel)


def _description(x: Explanation) -> Description:
    """What is written of the method of an explanation."""
    method = METHODS[x.request.method]
    return Description(
        method.label,
        method.paper,
        words_of_request(x.request, x.backbone.output),
        unit=x.request.method,
        signs=wording(x.backbone.output).ends,
        tag="from this picture alone" if x.request.prototypes == "picture" else None,
    )


# -- The picture ---------------------------------------------------------------------------------


def _with_picture(
    found: Payload,
    sources: Sequence[tuple[Picture, Fit, bool]],
    masks: Mapping[str, np.ndarray],
    explained: set[str],
) -> Payload:
    picture, fit, _ = sources[0]
    fits = [each for _, each, whole_row in sources if whole_row]
    if any(each != picture for each, *_ in sources) or any(each != fit for each in fits):
        raise ValueError("the rows of a viewer must be of one picture, fitted in one way")
    crop_note = None
    visible = fit.visible_mask()
    if not fit.shows_all:
        share = 1 - float(visible.mean())
        crop_note = (
            f"Outside the crop: {share:.0%} of the picture was not shown to the network and is "
            "hatched."
        )
    return replace(
        found,
        picture=schema.Picture(
            encode_picture(picture), picture.width, picture.height, picture.name
        ),
        truth=tuple(
            _truth(label, mask, visible, explained=label in explained)
            for label, mask in _check_masks(masks, visible).items()
        ),
        crop_note=crop_note,
    )


def _check_masks(masks: Mapping[str, np.ndarray], visible: np.ndarray) -> dict[str, np.ndarray]:
    """The masks that are not empty, as bool. Raises ValueError for one of another size."""
    for label, mask in masks.items():
        if mask.shape != visible.shape:
            raise ValueError(
                f"the mask of '{label}' has shape {mask.shape}, its picture {visible.shape}"
            )
    return {label: mask.astype(bool) for label, mask in masks.items() if mask.any()}


def _truth(label: str, mask: np.ndarray, visible: np.ndarray, *, explained: bool) -> schema.Truth:
    """A mask, and how much of what it covers the network was not shown."""
    hidden = float((mask & ~visible).sum() / mask.sum())
    note = f"{hidden:.0%} of the {label} lies outside the crop."
    return schema.Truth(
        label, encode_pixels(mask), note if hidden >= _LEAST_HIDDEN else None, explained
    )
