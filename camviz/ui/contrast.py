"""Classes of one picture held against each other: on one scale, as a difference, in words.

Nothing here imports gradio.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from camviz.engine.explanation import Explanation
from camviz.examples import example
from camviz.maps.fusion import fuse, normalize, signed_mean
from camviz.maps.localization import HOTTEST, energy_inside, hottest_shared
from camviz.methods import METHODS
from camviz.network.target import nearest_classes
from camviz.scenes import PAIRS
from camviz.ui import links, service
from camviz.ui.comparison import correlation, correlation_words
from camviz.ui.state import DEFAULT, Controls
from camviz.ui.viewer import MapPanel, PlacedMap, rasterize

MOST = 6  # classes on the sheet
RASTER = 256  # pixels of the longer side, on which two maps are compared
# Shares of the hottest fifth from which on two classes are seen at the same place, or at partly
# the same: maps that have nothing to do with each other share a fifth of it.
SAME, PARTLY = 0.6, 0.4
MARGIN_METHOD = "hires_cam"


# -- Which classes, and how ----------------------------------------------------------------------


def settled(controls: Controls) -> Controls:
    """The controls with which classes are compared: one view, a method that tells them apart."""
    usual = DEFAULT.options.method
    method = usual if replaced(controls) else controls.options.method
    return controls.with_options(views="one", method=method)


def replaced(controls: Controls) -> str | None:
    """The method chosen, where another is shown: it is the same for every class, or slow."""
    name = controls.options.method
    row = METHODS.get(name)
    return name if row is not None and (row.scoring or not row.class_specific) else None


def class_of(x: Explanation) -> int:
    """The class explained, of a network that has classes."""
    assert x.target is not None
    return x.target


def rival_of(x: Explanation) -> int | None:
    """The class that the explained one is held against: the one chosen, else the nearest.

    None if the network knows no other.
    """
    if x.request.references:
        return x.request.references[0]
    if len(x.logits) < 2:
        return None
    return nearest_classes(torch.from_numpy(x.logits), class_of(x), 1)[0]


def best_classes(x: Explanation) -> list[tuple[int, str, float]]:
    """(class, label, probability): the best ones, and behind them the explained one if it is none.

    Best first.
    """
    return [
        row
        for place, row in enumerate(x.predictions)
        if place < MOST or row[0] == x.target
    ]  # fmt: skip


def alone(controls: Controls, target: int) -> Explanation:
    """One class without comparison."""
    return service.explain(controls, target=target, versus=None)


# -- One scale -----------------------------------------------------------------------------------


def on_one_scale(explanations: Sequence[Explanation]) -> list[np.ndarray]:
    """The fused maps of several classes on one scale, (h, w) each: the largest maximum is 1.

    At every stage the maps of all classes are divided by the largest maximum among them, and what
    is fused of them once more. All are of one picture, method, fusion and stages.
    """
    first = explanations[0]
    maps = [
        normalize(torch.stack([torch.from_numpy(x.raw[name]) for x in explanations]))
        for name in first.stages
    ]
    placements = [first.placements[name] for name in first.stages]
    fused, _ = fuse(maps, placements, first.request.fuse)
    return list(fused.numpy())


# -- One class less another ----------------------------------------------------------------------


def margin_method(controls: Controls) -> str:
    """The method of the difference: the one chosen if it is linear in the gradient, or HiRes-CAM.

    For these the map of s_A - s_B is the map of A less that of B, and that of s_B - s_A its
    negative, before any ReLU.
    """
    method = controls.options.method
    return method if method in METHODS and METHODS[method].linear else MARGIN_METHOD


def margin(controls: Controls, one: int, other: int) -> tuple[Explanation, PlacedMap]:
    """What speaks for a class rather than another, with two signs, all stages together."""
    x = service.explain(
        controls, target=one, versus=other, gamma=1.0, method=margin_method(controls)
    )
    heat, placement = signed_mean(
        [torch.from_numpy(x.raw[name]) for name in x.stages],
        [x.placements[name] for name in x.stages],
    )
    return x, PlacedMap(heat.numpy(), placement, x.picture, x.fit)


def rather(controls: Controls, one: int, other: int) -> Explanation:
    """A class rather than another, by the method chosen; by the usual one if that uses no gradient.

    The other counts as much as the visitor set it to (`Controls.gamma`).
    """
    method = controls.options.method
    if method in METHODS and not METHODS[method].explains_any_score:
        method = DEFAULT.options.method
    return service.explain(controls, target=one, versus=other, gamma=controls.gamma, method=method)


# -- In words ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Overlap:
    """How far two classes are seen at the same place.

    shared: of the hottest fifth of what the network was shown (`hottest_shared`). r: Pearson's,
    over the same pixels; None where a map is the same everywhere. empty: a map holds nothing.
    """

    shared: float
    r: float | None
    empty: bool = False

    @property
    def words(self) -> str:
        if self.empty:
            return "One of the two maps is empty"
        if self.shared >= SAME:
            return "Both are seen at the same place"
        if self.shared >= PARTLY:
            return "They are seen at partly the same place"
        return "They are seen at different places"

    @property
    def correlation(self) -> str:
        return correlation_words(self.r)


def overlap(one: Explanation, other: Explanation) -> Overlap:
    """How far the fused maps of two classes of one picture agree."""
    (a, visible), (b, _) = (rasterize(MapPanel(x), RASTER) for x in (one, other))
    r = correlation(a[visible], b[visible])
    shared = hottest_shared(a, b, HOTTEST, visible)
    return Overlap(shared, r, empty=not (a.any() and b.any()))


@dataclass(frozen=True, eq=False)
class TellingPart:
    """The part of a drawn thing that makes it what it is: the horns of a ram, which a sheep lacks.

    mask: bool (H, W). `area`: its share of the picture.
    """

    label: str
    plain: str
    name: str
    mask: np.ndarray

    @property
    def title(self) -> str:
        return f"{self.name} of the {self.label}"

    @property
    def area(self) -> float:
        return float(self.mask.mean())

    def share(self, x: Explanation) -> float:
        """How much of the heat of a class's fused map lies on it."""
        return energy_inside(x.fused, self.mask)


def telling_part(x: Explanation, rival: int) -> TellingPart | None:
    """The telling part that is in the picture, of the explained class or its rival.

    None in a photograph, and where neither of both has one.
    """
    name = links.example_of(x.picture.digest)
    labels = {x.label, x.backbone.labels[rival]}
    for thing in () if name is None else example(name).truth:
        for plain, special, part in PAIRS:
            mask = thing.parts.get(part)
            if thing.label == special and special in labels and mask is not None and mask.any():
                return TellingPart(special, plain, part, mask)
    return None
