"""What a map can tell and what it cannot: points in plain words, each with a live example.

    for section in SECTIONS:
        for point in section.points:
            point.address          # a link that opens the view in the state of the example
            found_of(point)        # a sentence with figures of that very state

Every figure is computed from what the link opens. Nothing here imports gradio.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import urlencode

import numpy as np

from camviz.engine.explanation import Explanation
from camviz.errors import CamvizError
from camviz.maps.localization import energy_inside
from camviz.ui import actions, covering, html, links, service
from camviz.ui.compute import engine
from camviz.ui.learn.pairs import likeness
from camviz.ui.state import Controls, Session

SCENES, PHOTOS = "scenes-resnet", "tf_efficientnet_lite0.in1k"
OTHER_SCENES = "scenes-vit"  # with which *Models* compares at first


@dataclass(frozen=True)
class Point:
    """A limit of maps. says: two or three sentences. tries: what the link to the example says.

    query: the parameters of that link. found: a sentence of figures for the controls that it sets;
    None where the view itself shows all.
    """

    title: str
    says: str
    tries: str
    query: Mapping[str, str]
    found: Callable[[Controls], str] | None = None

    @property
    def address(self) -> str:
        """The link, relative to wherever the page is."""
        return f"?{urlencode(self.query)}"

    @property
    def is_here(self) -> bool:
        """Whether the network and the picture of the example are there."""
        return not links.read(self.query)[1]


@dataclass(frozen=True)
class Section:
    """Points about one question."""

    title: str
    points: tuple[Point, ...]


def controls_of(point: Point) -> Controls:
    """What the link of a point sets, as the page opens it."""
    session = Session()
    actions.open_link(session, dict(point.query), None)
    return session.controls


@lru_cache(maxsize=64)
def _found(title: str) -> str:
    point = next(each for section in SECTIONS for each in section.points if each.title == title)
    return "" if point.found is None else point.found(controls_of(point))


def found_of(point: Point) -> str:
    """Figures of a point's example in a sentence; computed once. "" if there are none to be had."""
    if not point.is_here:
        return ""
    try:
        return _found(point.title)
    except CamvizError:
        return ""


# -- Figures of examples -------------------------------------------------------------------------


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """The rank correlation of two maps of a picture, 0 where one is flat."""
    return likeness(one, other) or 0.0


def on_thing(x: Explanation, label: str | None = None) -> tuple[float, float]:
    """(share of a fused map's heat on a drawn thing, share of the picture that the thing takes).

    label: of the thing; None: the class that is explained.
    """
    truth = service.truth_of(x) or {}
    mask = truth[label or x.label]
    return energy_inside(x.fused, mask), float(mask.mean())


def _of_two_classes(controls: Controls) -> str:
    x, first = service.explain(controls), service.explain(controls, target=None)
    own, other = on_thing(x)[0], on_thing(first, x.label)[0]
    return (
        f"Asked about “{x.label}”, {own:.0%} of the heat lies on the {x.label}; asked "
        f"about “{first.label}”, {other:.0%} of it does."
    )


def _of_a_wrong_answer(controls: Controls) -> str:
    _, label, share = service.explain(controls).predictions[0]
    return f"Here the first answer is “{label}”, with {share:.0%}."


def _outside(controls: Controls) -> str:
    x = service.explain(controls)
    inside, area = on_thing(x)
    return (
        f"Here {1 - inside:.0%} of the heat lies outside of the {x.label}, which takes {area:.0%} "
        "of the picture."
    )


def _of_two_methods(controls: Controls) -> str:
    pair = [service.explain(controls, method=name).fused for name in ("layer_cam", "grad_cam")]
    return (
        "The rank correlation of LayerCAM and Grad-CAM is "
        f"{html.number(alike(*pair), '.2f')} here; 1 would be the same order of all places, and 0 "
        "no relation."
    )


def _of_two_layers(controls: Controls) -> str:
    x = service.explain(controls)
    first, last = x.stages[0], x.stages[-1]
    return (
        "The rank correlation of the shallowest map and the deepest is "
        f"{html.number(alike(x.maps[first], x.maps[last]), '.2f')} here."
    )


def _of_two_networks(controls: Controls) -> str:
    one = service.explain(controls)
    choice = replace(controls.backbone, name=OTHER_SCENES)
    other = service.explain(replace(controls, backbone=choice))
    return (
        f"{one.backbone.display_name} says “{one.label}” and {other.backbone.display_name} "
        f"“{other.label}”; the rank correlation of their maps is "
        f"{html.number(alike(one.fused, other.fused), '.2f')}."
    )


def _of_an_untrained_one(controls: Controls) -> str:
    x = service.explain(controls)
    trained = service.explain(
        replace(controls, backbone=replace(controls.backbone, untrained=False))
    )
    (random, area), (learned, _) = on_thing(x), on_thing(trained)
    return (
        f"{random:.0%} of its heat lies on the {x.label}, which takes {area:.0%} of the picture; "
        f"of the trained network's, {learned:.0%} does."
    )


def _of_random_weights(controls: Controls) -> str:
    found = engine().sanity(service.explain(controls.with_options(views="one")))
    return (
        f"With all weights random, drawn {len(found.draws)} times, the map still has a mean rank "
        f"correlation of {html.number(found.chance or 0.0, '.2f')} with that of the trained "
        "network."
    )


def _against_room(controls: Controls) -> str:
    x = service.explain(controls)
    inside, area = on_thing(x)
    return (
        f"{inside:.0%} of the heat lies on the {x.label}, and the {x.label} takes {area:.0%} of "
        f"the picture: {inside / area:.1f} times what an even map would have there."
    )


def _of_a_cover(controls: Controls) -> str:
    x = service.explain(controls)
    found = covering.covered(controls, x)
    bar = next(bar for bar in found.bars if bar.explained) if found else None
    if bar is None:
        return ""
    return f"“{x.label}” goes from {html.percent(bar.before)} to {html.percent(bar.after)}."


def _of_a_contrast(controls: Controls) -> str:
    x = service.explain(controls)
    alone = service.explain(controls, versus=None)
    against, usual = on_thing(x)[0], on_thing(alone)[0]
    return (
        f"By itself, {usual:.0%} of the heat for “{x.label}” lies on the {x.label}; against "
        f"“{x.reference_labels[0]}”, {against:.0%}."
    )


# -- The points ----------------------------------------------------------------------------------


def _scene(name: str, **more: str) -> dict[str, str]:
    return {"backbone": SCENES, "example": name, **more}


SECTIONS = (
    Section(
        "What a map shows, and what it does not",
        (
            Point(
                "It answers one question about one class",
                "A map shows where in the picture the score of one class comes from. Ask about "
                "another class, and it is another map; often it is much the same one.",
                "Ask about the ram, not the fire engine",
                _scene("a-fire-engine-and-a-ram", **{"class": "ram"}),
                _of_two_classes,
            ),
            Point(
                "It does not say that the answer is right",
                "A wrong answer has a map as neat as a right one. This network knows no Eiffel "
                "Tower, says something else, and still has a tidy map of it.",
                "See a neat map of a wrong answer",
                {"backbone": PHOTOS, "example": "tower"},
                _of_a_wrong_answer,
            ),
            Point(
                "It does not outline the thing",
                "Heat spreads over what lies around, and some of it may lie on the backdrop. That "
                "may be a shortcut, or only coarse cells: the map alone cannot tell which.",
                "See heat on the sea",
                _scene("a-rowing-boat", outline="rowing boat"),
                _outside,
            ),
        ),
    ),
    Section(
        "What makes maps disagree",
        (
            Point(
                "The method",
                "Every method has its own rule for what counts. On the same picture, with the same "
                "network, two of them can point to different places.",
                "See all methods on one picture",
                _scene("a-house-behind-a-crate", tab="methods"),
                _of_two_methods,
            ),
            Point(
                "The layer",
                "A deep layer has few large cells, a shallow one many small ones that know edges "
                "and colours. A map of one layer is never the map of the network.",
                "See the layers side by side",
                _scene("a-ram-far-away"),
                _of_two_layers,
            ),
            Point(
                "The network",
                "Two networks that give the same answer can have different reasons. A map is about "
                "one network, not about the picture.",
                "Compare two networks",
                _scene("a-windmill", tab="models"),
                _of_two_networks,
            ),
        ),
    ),
    Section(
        "Why a pretty map proves nothing",
        (
            Point(
                "A network that learned nothing has maps, too",
                "This one has random weights: it has never seen a fire engine. Its map may please "
                "you all the same, because things have edges and edges are hot.",
                "See the map of an untrained network",
                _scene(
                    "a-fire-engine-and-a-ram",
                    weights="untrained",
                    outline="fire engine",
                    **{"class": "fire engine"},
                ),
                _of_an_untrained_one,
            ),
            Point(
                "What stays the same was never learned",
                "Make the network random, layer by layer, and watch its map. What remains of it "
                "comes from the picture and not from anything that was learned.",
                "Make it random step by step",
                _scene("a-zebra", tab="sanity"),
                _of_random_weights,
            ),
        ),
    ),
    Section(
        "Which figures to ask for",
        (
            Point(
                "How fast the score falls",
                "Take the hottest places away first. If the map is faithful, the score falls "
                "sooner than with a map of random blobs; ask for both figures.",
                "Measure how faithful a map is",
                _scene("a-ram", tab="faithfulness"),
            ),
            Point(
                "How much heat for how much room",
                "Where it is known what is where, ask how much of the heat lies on the thing, and "
                "how much room the thing takes. Only both together say anything.",
                "See the ram outlined",
                _scene("a-ram", outline="ram"),
                _against_room,
            ),
        ),
    ),
    Section(
        "How to ask",
        (
            Point(
                "Guess first",
                "Whoever knows the map finds reasons for it. Mark where you think the network "
                "looks before you see anything.",
                "Guess on three pictures",
                {"tab": "guess", "backbone": SCENES, "game": "where", "seed": "7", "count": "3"},
            ),
            Point(
                "Cover it",
                "If a place matters, the answer should change without it. Here the horns are taken "
                "out of the picture; paint over any other place and see.",
                "Cover the horns",
                _scene("a-ram", tab="cover", without="ram/horns"),
                _of_a_cover,
            ),
            Point(
                "Compare it with another class",
                "Much of a map is shared by many classes. Held against a rival, it shows what "
                "tells the two apart.",
                "A sailing boat, and no rowing boat",
                _scene("two-boats", versus="rowing boat", **{"class": "sailing boat"}),
                _of_a_contrast,
            ),
        ),
    ),
)
