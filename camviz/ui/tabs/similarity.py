"""Places that a network holds to be similar to a chosen one, stage by stage, as maps to show.

The class has no say in it. Nothing here imports gradio.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from camviz.engine.explanation import Explanation, Notes
from camviz.errors import CamvizError
from camviz.ui import service
from camviz.ui.compute import engine
from camviz.ui.state import NOBODY, TOP, Controls, Unavailable, sentence
from camviz.ui.tabs.prototype_cards import shrink
from camviz.ui.uploads import uploaded
from camviz.ui.viewer import MapPanel, MapRow, Words, payload

HERE = "kin-here"  # the DOM id of the viewer whose tools serve both pictures
PICK = "Click a place to see similar ones; or point with the arrow keys and press Enter."
SAYS = "How like each place is to the one ringed: the cosine of what the layer answers at both."
SAYS_THERE = "How like each place is to the one chosen; the nearest is ringed."
FORMULA = "S = Σ_k A_k · A_k(point) / (|A| |A(point)|)"
SYMBOLS = "A: what the layer answers; k: the layer's channels."

Place = tuple[int, int]  # (x, y), a pixel of a picture


def similarity_maps(
    controls: Controls, across: float, down: float, other: str | None = None
) -> tuple[Explanation, Place]:
    """Cosines of every place to one place of the picture at every stage, as `raw`; and that place.

    across, down: where it is, in percent of the picture. other: the path of a second picture, to
    compare the places of that one.
    """
    x = _every_stage(controls)
    column = min(int(across / 100 * x.picture.width), x.picture.width - 1)
    row = min(int(down / 100 * x.picture.height), x.picture.height - 1)
    shown, there = x, None
    if other is not None:
        shown = there = _every_stage(replace(controls, picture=other, target=TOP, versus=NOBODY))
    raw = {
        name: engine().similarity(x, name, (column + 0.5, row + 0.5), there).raw
        for name in x.stages
    }
    notes = {name: _note(shown, name, cosines) for name, cosines in raw.items()}
    return replace(shown, raw=raw, notes=notes, bank=None, cosines={}), (column, row)


def _every_stage(controls: Controls) -> Explanation:
    """An explanation at all stages that are ticked, by a method that is defined at each."""
    return service.explain(controls, method="layer_cam")


def _note(x: Explanation, name: str, cosines: np.ndarray) -> Notes:
    """What to know of a map of cosines at a stage."""
    lowest, highest = float(cosines.min()), float(cosines.max())
    empty = highest <= 0
    text = f"Cosines from {lowest:.2f} to {highest:.2f}."
    return replace(
        x.notes[name],
        empty=empty,
        zero_gradient=False,
        positive_share=None,
        denoising=None,
        sentences=("Empty: nothing here is like it." if empty else text,),
    )


# -- As rows of the viewer -----------------------------------------------------------------------


def in_this_picture(controls: Controls, across: float, down: float) -> Any:
    """The maps of the picture itself, the place chosen ringed; a click there chooses another."""
    x, point = similarity_maps(controls, across, down)
    row = _row(x, "In this picture", SAYS, dict.fromkeys(x.stages, point))
    return payload({"similarity": row}, pick=PICK)


def in_second_picture(controls: Controls, across: float, down: float, picture: Any) -> Any:
    """The maps of a second picture, the nearest place of each stage ringed.

    picture: an upload; None: there is none. What is wrong with it is said in its own place: the
    first picture is shown all the same.
    """
    if picture is None:
        return payload({})
    try:
        x, _ = similarity_maps(controls, across, down, uploaded(picture))
    except CamvizError as error:
        return payload({"similarity": Unavailable(sentence(error))})
    row = _row(x, "In the second picture", SAYS_THERE, _nearest(x))
    return payload({"similarity": row}, follows=HERE)


def _nearest(x: Explanation) -> dict[str, Place]:
    """The place of the greatest cosine at every stage."""
    small = shrink(x)
    scale = x.picture.width / small.picture.width, x.picture.height / small.picture.height
    places = {}
    for name, raw in x.raw.items():
        drawn = small.on_picture(raw, x.placements[name])
        line, column = np.unravel_index(int(drawn.argmax()), drawn.shape)
        places[name] = int((column + 0.5) * scale[0]), int((line + 0.5) * scale[1])
    return places


def _row(x: Explanation, title: str, summary: str, places: Mapping[str, Place]) -> MapRow:
    """A map a stage, coarse to fine, each with its place ringed."""
    return MapRow(
        title=title,
        of=x,
        panels={name: _panel(x, title, name, places[name]) for name in reversed(x.stages)},
        method="Similarity.",
        paper="cosine similarity",
        words=Words(summary, FORMULA, SYMBOLS),
        unit="cosine",
        compared=False,
    )


def _panel(x: Explanation, title: str, name: str, place: Place) -> MapPanel:
    raw, (column, row) = x.raw[name], place
    return MapPanel(
        x,
        name,
        ring=place,
        facts=(f"cosine {raw.min():.2f} to {raw.max():.2f}",),
        alt=f"{title}: what {name} holds to be like the place chosen. Ringed: column {column}, "
        f"row {row}",
    )
