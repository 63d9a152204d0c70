"""Families of networks, and what is the default for each: a table that follows from figures.

    refinement_of(backbone, "layer_cam")  # Refinement(power=8, steps=3, keep=0.25)
    default_method(backbone, options)     # "layer_cam"
    fusion_of(backbone, "layer_cam")      # "stretched_mean"

Which map is truest was measured on pictures whose truth is known; `FAMILIES` has the defaults that
follow, with their figures beside them. A network belongs to the first family whose `holds` is true
of it; nothing is told by its name. The rest is the same for all: one stage per resolution, read
after its last activation, and no truncation but in the row that shows it.
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

    `refinement`: of the fused map. `figures`: what was measured with these defaults, and by which
    command; docs/figures.md has what others came to. `method`: what shows best where they look.
    `fuse`: how the maps of its stages become one, unless the method says itself which of them holds
    all others. `reason`: why the method is not LayerCAM, as the end of a sentence.
    """

    name: str
    holds: Callable[[Backbone], bool]
    refinement: Refinement
    figures: str
    method: str = LAYER_CAM
    fuse: str = "stretched_mean"
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


# Average precision of the fused and the refined map on 60 drawn scenes of a seed that nothing was
# chosen on, and of the heat on two things the share on the one asked for; 95 % intervals.
FAMILIES = (
    Family(
        "features only",
        _without_classes,
        Refinement(8, 3),
        "not measured: no class, no truth",
        method="eigen_cam",
    ),
    Family(
        "class-token transformer",
        _reads_class_token,
        Refinement(8, 3, 0.35),
        "scenes-vit: .780 ± .027, refined .806 ± .025; share .797 ± .024, refined .809 ± .026 "
        "(python -m benchmarks.refinement scenes-vit --seed report --count 60)",
        method="daam",
        reason="its class token reads the picture through attention, and LayerCAM does not follow "
        "that",
    ),
    Family(
        "plain transformer",
        _of_one_resolution,
        Refinement(8, 3),
        "not measured: no trained one is at hand; as of residual streams",
    ),
    Family(
        "convolutional",
        _after_activations,
        Refinement(8, 3, 0.25),
        "scenes-resnet: .740 ± .034, refined .832 ± .024; share .643 ± .018, refined .650 ± .021 "
        "(python -m benchmarks.refinement scenes-resnet --seed report --count 60)",
    ),
    Family(
        "residual stream",
        _any,
        Refinement(8, 3),
        "scenes-convnext: .685 ± .034, refined .849 ± .020; share .878 ± .013, refined .892 ± .014 "
        "(python -m benchmarks.refinement scenes-convnext --seed report --count 60)",
    ),
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


def fusion_of(backbone: Backbone, method: str) -> str:
    """How the maps of a method become one unless it is chosen otherwise."""
    return METHODS[method].fuse or family_of(backbone).fuse


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
