"""Which stages of a network are explained, at which tensors, and for which class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from camviz.engine.options import Options
from camviz.errors import MethodError, StageError, TargetError
from camviz.methods import METHODS
from camviz.network.backbone import Backbone
from camviz.network.stages import Stage, TapKind
from camviz.network.taps import Tap
from camviz.network.trace import Target
from camviz.prototypes.bank import PrototypeBank
from camviz.prototypes.build import FINEST_GRID, FINEST_STRIDE, split_tap


@dataclass(frozen=True, eq=False)
class Plan:
    """What has to be traced for an explanation.

    `stages` run from shallow to deep. `taps`: the tensor of each, by the stage's name.
    `truncated`: names of the stages whose gradient is truncated. `target`: None for the top
    prediction, which is known once the picture is traced.
    """

    stages: tuple[Stage, ...]
    taps: dict[str, Tap]
    truncated: tuple[str, ...]
    target: Target | None


def make_plan(
    backbone: Backbone,
    options: Options,
    target: int | str | None,
    bank: PrototypeBank | None = None,
) -> Plan:
    """The plan of an explanation; a bank brings its own target, and stages where none are named.

    Raises `StageError`, `TargetError` or `MethodError` for what the network does not have.
    """
    method = METHODS[options.method]
    names: Sequence[str] | None = options.stages
    if bank is not None:
        target, names = bank.target, prototype_stages(backbone, names, tuple(bank.stages))
    stages = head_stage(backbone, names) if method.uses_head else select_stages(backbone, names)
    kind: TapKind = "output" if method.uses_head else options.tap
    goal = None
    if target is not None:
        goal = resolve_target(backbone, backbone.target(target), options)
    return Plan(
        stages=tuple(stages),
        taps={stage.name: stage.tap(kind) for stage in stages},
        truncated=truncated_stages(backbone, stages, options.truncated)
        if options.truncation
        else (),
        target=goal,
    )


def resolve_target(backbone: Backbone, index: int, options: Options) -> Target:
    """The number that is explained of a class: its score, or its margin over another class."""
    if options.versus is None:
        return Target(index, options.score)
    rival = backbone.target(options.versus)
    if rival == index:
        raise TargetError(
            f"'{backbone.labels[index]}' cannot be compared with itself; give another class"
        )
    return Target(index, options.score, rival)


def select_stages(backbone: Backbone, names: Sequence[str] | None) -> list[Stage]:
    """The stages of these names, or the default ones; shallow to deep as far as that is known."""
    if names is None and not backbone.default_stages:
        raise StageError(
            f"every stage of {backbone.display_name} has zero gradient: no class score depends on "
            "any of them"
        )
    stages = [backbone.stage(name) for name in dict.fromkeys(names or backbone.default_stages)]
    depth = {stage.name: index for index, stage in enumerate(backbone.stages)}
    return sorted(
        stages,
        key=lambda stage: (-stage.grid[0] * stage.grid[1], depth.get(stage.name, len(depth))),
    )


def head_stage(backbone: Backbone, names: Sequence[str] | None) -> list[Stage]:
    """The one stage at which CAM exists: the map that enters the pooling."""
    pre_pool = backbone.discovery.pre_pool
    for stage in backbone.stages:
        if pre_pool is not None and stage.output.address == pre_pool.address:
            if names is not None and [stage.name] != list(names):
                raise MethodError(
                    f"CAM exists at '{stage.name}' of {backbone.display_name} only, the map that "
                    f"enters its classifier; '{', '.join(names)}' was asked for"
                )
            return [stage]
    raise MethodError(
        f"CAM is not defined for {backbone.display_name}: no map enters its classifier through "
        "pooling; LayerCAM and Grad-CAM are"
    )


def prototype_stages(
    backbone: Backbone, names: Sequence[str] | None, available: Sequence[str]
) -> Sequence[str]:
    """The stages of these names, or the available ones that are coarse enough for parts of things.

    Every available one if none is coarse enough.
    """
    if names is not None:
        return names
    coarse = []
    for stage in map(backbone.stage, available):
        if stage.reduction >= FINEST_STRIDE or max(stage.grid) <= FINEST_GRID:
            coarse.append(stage.name)
    return coarse or available


def truncated_stages(
    backbone: Backbone, stages: Sequence[Stage], names: Sequence[str] | None
) -> tuple[str, ...]:
    """Names of the stages at which the gradient is truncated.

    By default none at the deepest resolution: negative gradients there are counter-evidence
    rather than noise, and dropping them costs more than it brings. Where all stages have one
    resolution, none from the last default stage on.
    """
    if names is not None:
        known = {stage.name for stage in stages}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise StageError(
                f"'{', '.join(unknown)}' cannot be truncated: it is not among the stages explained "
                f"({', '.join(known)})"
            )
        return tuple(stage.name for stage in stages if stage.name in names)
    last = backbone.stage((backbone.default_stages or [backbone.stages[-1].name])[-1])
    if backbone.stages[0].reduction < last.reduction:
        return tuple(stage.name for stage in stages if stage.reduction < last.reduction)
    depth = {stage.name: index for index, stage in enumerate(backbone.stages)}
    deepest = depth[last.name]
    return tuple(stage.name for stage in stages if depth.get(stage.name, 0) < deepest)


def with_split_taps(backbone: Backbone, taps: Iterable[Tap]) -> list[Tap]:
    """These taps, and those of the class map that splits features for prototypes."""
    pre_pool = backbone.discovery.pre_pool
    more = [split_tap(backbone), *([] if pre_pool is None else [pre_pool])]
    return list(dict.fromkeys([*taps, *more]))
