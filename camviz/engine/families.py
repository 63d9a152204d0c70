"""Families of networks, and what is the default for each: a table that follows from figures.

    refinement_of(backbone, "layer_cam")  # Refinement(power=8, steps=3, keep=0.25)
    default_method(backbone, options)     # "layer_cam"

Which map is truest was measured on pictures whose truth is known (`python -m benchmarks.defaults`;
docs/figures.md has its tables). A network belongs to the first family whose `holds` is true of it;
nothing is told by its name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from camviz.engine.options import Options
from camviz.engine.plan import Plan
from camviz.maps.refine import MOST_CELLS, Refinement
from camviz.methods import METHODS
from camviz.network.backbone import Backbone
from camviz.network.stages import AttentionBlock, Stage
from camviz.network.taps import Tap

LAYER_CAM = "layer_cam"


@dataclass(frozen=True)
class Family:
    """Networks that are alike in what is true of their maps.

    `refinement`: of the fused map. `method`: what shows best where they look. `reason`: why that is
    not LayerCAM, as the end of a sentence.
    """

    name: str
    holds: Callable[[Backbone], bool]
    refinement: Refinement
    method: str = LAYER_CAM
    reason: str = ""


def blocks_of(backbone: Backbone) -> tuple[AttentionBlock, ...]:
    """The attention blocks of a network, shallow to deep; none if there are none."""
    attention = backbone.discovery.attention
    return () if attention is None else attention.blocks


def _reads_class_token(backbone: Backbone) -> bool:
    """A transformer whose head reads no place, but tokens that attend to all places."""
    attention = backbone.discovery.attention
    return attention is not None and max(attention.readers) < attention.layout.prefix


def _without_classes(backbone: Backbone) -> bool:
    """A network that gives features: it has no score of a class that could be differentiated.

    How far its fused map is best spread was not measured; it has the setting of plain transformers.
    """
    return not backbone.has_classes


def _of_one_resolution(backbone: Backbone) -> bool:
    """A plain vision transformer: all default stages, of which there are several, have one grid."""
    stages = default_stages(backbone)
    return len(stages) > 1 and len({stage.grid for stage in stages}) == 1


def _after_activations(backbone: Backbone) -> bool:
    """A convolutional network whose taps follow an activation function, such as ReLU."""
    return all(stage.activated for stage in default_stages(backbone))


def _any(backbone: Backbone) -> bool:
    """What is left: maps of a residual stream, as of ConvNeXt and of windowed transformers."""
    return True


FAMILIES = (
    Family("features only", _without_classes, Refinement(8, 3), "eigen_cam"),
    Family(
        "class-token transformer",
        _reads_class_token,
        Refinement(8, 3, 0.35),
        "daam",
        "its class token reads the picture through attention, and LayerCAM does not follow that",
    ),
    Family("plain transformer", _of_one_resolution, Refinement(8, 3)),
    Family("convolutional", _after_activations, Refinement(8, 3, 0.25)),
    Family("residual stream", _any, Refinement(8, 3)),
)


def family_of(backbone: Backbone) -> Family:
    """The family of a network."""
    return next(family for family in FAMILIES if family.holds(backbone))


# Of maps of prototypes: those of other classes tell things apart already, and weighting lowers the
# average precision of the refined LPCAM in mosaics from .902 to .871.
OF_PROTOTYPES = Refinement(8, 2)


def refinement_of(backbone: Backbone, method: str) -> Refinement:
    """How far the fused map of a method is spread unless it is chosen otherwise."""
    return OF_PROTOTYPES if METHODS[method].uses_prototypes else family_of(backbone).refinement


def default_method(backbone: Backbone, options: Options) -> str:
    """The method of the network's family; LayerCAM if an option needs what that one lacks.

    That is a gradient to truncate, another score than the logit, or a map of a module in a block.
    """
    name = family_of(backbone).method
    method = METHODS[name]
    scored = options.versus is not None or options.score != "logit"
    lacks = (options.truncation and not method.truncates) or (
        scored and not method.explains_any_score
    )
    if method.uses_attention and options.stages is not None:
        usual = {*backbone.default_stages, *(block.name for block in blocks_of(backbone))}
        lacks = lacks or not usual.issuperset(options.stages)
    return LAYER_CAM if lacks else name


def default_stages(backbone: Backbone, others: Sequence[Stage] = ()) -> Sequence[Stage]:
    """The stages that are explained unless others are chosen; those others if there are none."""
    if backbone.default_stages:
        return [backbone.stage(name) for name in backbone.default_stages]
    return others or backbone.stages[-1:]


def feature_stages(backbone: Backbone) -> Sequence[Stage]:
    """The default stages whose features say what looks alike: those of at most `MOST_CELLS` cells.

    All of them, if none is so coarse.
    """
    stages = default_stages(backbone)
    return [stage for stage in stages if stage.grid[0] * stage.grid[1] <= MOST_CELLS] or stages


def feature_taps(backbone: Backbone, plan: Plan) -> list[Tap]:
    """Where their features are read; of stages that are not traced by default, as planned."""
    if not backbone.default_stages:
        return list(plan.taps.values())
    return list(dict.fromkeys(stage.activation for stage in feature_stages(backbone)))
