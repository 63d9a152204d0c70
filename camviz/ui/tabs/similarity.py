"""Places that a network holds to be similar to a chosen one, stage by stage, as maps to show.

The class has no say in it. Nothing here imports gradio.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from camviz.engine.drawing import draw
from camviz.engine.explanation import Explanation
from camviz.engine.similarity import SimilarityMap
from camviz.errors import CamvizError
from camviz.network.backbone import Backbone
from camviz.ui import html, service
from camviz.ui.compute import engine
from camviz.ui.layers import layer_name
from camviz.ui.state import NOBODY, TOP, Controls, Unavailable
from camviz.ui.tabs.prototype_cards import SIDE
from camviz.ui.viewer import Description, MapRow, Payload, RawPanel, Words, payload

HERE = "similar-here"  # the DOM id of the viewer whose tools serve both pictures
PICK = "Click a place to see similar ones; or point with the arrow keys and press Enter."
SUMMARY = "How like each place is to the one ringed: the cosine of what the layer answers at both."
SUMMARY_THERE = "How like each place is to the one chosen; the nearest is ringed."
FORMULA = "S = Σ_k A_k · A_k(point) / (|A| |A(point)|)"
SYMBOLS = "A: what the layer answers; k: the layer's channels."

Place = tuple[int, int]  # (x, y), a pixel of a picture


def similarity_maps(
    controls: Controls, across: float, down: float, other: str | None = None
) -> dict[str, SimilarityMap]:
    """How similar every place is to one place of the picture, at each stage, coarse to fine.

    across, down: where it is, in percent of the picture. other: the path of a second picture, to
    search that one instead.
    """
    x = _every_stage(controls)
    column = min(int(across / 100 * x.picture.width), x.picture.width - 1)
    row = min(int(down / 100 * x.picture.height), x.picture.height - 1)
    point = (column + 0.5, row + 0.5)
    there = None
    if other is not None:
        there = _every_stage(replace(controls, picture=other, target=TOP, versus=NOBODY))
    return {name: engine().similarity(x, name, point, there) for name in reversed(x.stages)}


def _every_stage(controls: Controls) -> Explanation:
    """An explanation at all stages that are ticked, by a method that is defined at each."""
    has_classes = service.load(controls.backbone).has_classes
    return service.explain(controls, method="layer_cam" if has_classes else "eigen_cam")


def in_this_picture(controls: Controls, across: float, down: float) -> Payload:
    """The maps of the picture itself, the place chosen ringed; a click there chooses another."""
    maps = similarity_maps(controls, across, down)
    places = {name: (int(each.point[0]), int(each.point[1])) for name, each in maps.items()}
    row = _row("In this picture", SUMMARY, maps, places, service.load(controls.backbone))
    return payload({"similarity": row}, pick=PICK)


def in_second_picture(
    controls: Controls, across: float, down: float, picture: str | None
) -> Payload:
    """The maps of a second picture, the nearest place of each stage ringed.

    picture: its path; None: there is none. What is wrong with it stands in its own place: the
    first picture is shown all the same.
    """
    if picture is None:
        return payload({})
    try:
        maps = similarity_maps(controls, across, down, picture)
    except CamvizError as error:
        return payload({"similarity": Unavailable(html.sentence(error))})
    places = {name: nearest(each) for name, each in maps.items()}
    backbone = service.load(controls.backbone)
    row = _row("In the second picture", SUMMARY_THERE, maps, places, backbone)
    return payload({"similarity": row}, follows=HERE)


def nearest(similarity: SimilarityMap) -> Place:
    """The place of the picture with the greatest cosine, to within a pixel of a small picture."""
    height, width = similarity.fit.picture_size
    scale = min(1.0, SIDE / max(height, width))
    fit = similarity.fit.scaled_to(max(1, round(height * scale)), max(1, round(width * scale)))
    drawn = draw(similarity.raw, similarity.placement, fit)
    row, column = np.unravel_index(int(drawn.argmax()), drawn.shape)
    return (
        int((column + 0.5) * width / drawn.shape[1]),
        int((row + 0.5) * height / drawn.shape[0]),
    )


def _row(
    title: str,
    summary: str,
    maps: Mapping[str, SimilarityMap],
    places: Mapping[str, Place],
    backbone: Backbone,
) -> MapRow:
    words = Words(summary, FORMULA, SYMBOLS)
    about = Description(
        "Similarity.", "cosine similarity", words, unit="cosine", signs=("unlike", "like")
    )
    panels = {
        name: replace(
            _panel(title, each, places[name]),
            name=layer_name(backbone, name, (each.raw.shape[0], each.raw.shape[1])),
            network=backbone.display_name,
        )
        for name, each in maps.items()
    }
    return MapRow(title, about, panels)


def _panel(title: str, similarity: SimilarityMap, place: Place) -> RawPanel:
    """A map with its place ringed. What is opposite is drawn where the viewer shows both signs."""
    lowest, highest = float(similarity.raw.min()), float(similarity.raw.max())
    empty = ("Empty: nothing here is like it.",) if highest <= 0 else ()
    return RawPanel(
        similarity,
        name=similarity.stage,
        module=similarity.stage,
        alt=f"{title}: what {similarity.stage} holds to be like the place chosen. Ringed: column "
        f"{place[0]}, row {place[1]}",
        facts=(f"cosine {lowest:.2f} to {highest:.2f}",),
        warnings=empty,
        notes=empty or (f"Cosines from {lowest:.2f} to {highest:.2f}.",),
        ring=place,
    )
