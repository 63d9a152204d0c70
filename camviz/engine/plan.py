"""Which stages of a network are explained, at which tensors, and for which class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from camviz.defaults import NEAREST
from camviz.engine.options import AUTO, Options
from camviz.errors import MethodError, StageError, TargetError
from camviz.methods import METHODS, Method
from camviz.network.attention import output_tap, values_tap, weights_tap
from camviz.network.backbone import Backbone
from camviz.network.class_search import named_exactly
from camviz.network.stages import Attention, Stage, TapKind
from camviz.network.taps import Tap
from camviz.network.target import Target
from camviz.prototypes.bank import PrototypeBank
from camviz.prototypes.build import FINEST_GRID, FINEST_STRIDE, split_tap


@dataclass(frozen=True, eq=False)
class Plan:
    """What has to be traced for an explanation.

    `stages` run from shallow to deep. `taps`: the tensor of each, by the stage's name.
    `truncated`: names of the stages whose gradient is truncated. `target`: None for the top
    prediction, which is known once the picture is traced, and of a network without classes.
    `attention`: of the network, for methods that read it in place of what the stages put out.
    """

    stages: tuple[Stage, ...]
    taps: dict[str, Tap]
    truncated: tuple[str, ...]
    target: Target | None
    attention: Attention | None = None

    @property
    def recorded(self) -> tuple[Tap, ...]:
        """What a trace has to record: the stages, or the attention of all blocks."""
        if self.attention is not None:
            return tuple(attention_taps(self.attention))
        return tuple(self.taps.values())


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
    if method.scoring is not None and names is None:
        names = deepest_stage(backbone)
    attention = backbone.discovery.attention if method.uses_attention else None
    if method.uses_attention:
        stages = attention_stages(backbone, names, method)
    elif method.uses_head:
        stages = head_stage(backbone, names)
    else:
        stages = select_stages(backbone, names)
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
        attention=attention,
    )


def check_class_free(backbone: Backbone, options: Options, target: int | str | None) -> None:
    """Refuse what only a network with classes has: a class, and whatever needs one.

    Raises `TargetError` for a class, `MethodError` for an option or a method, with what would do.
    """
    network = f"{backbone.display_name} knows no classes"
    able = [name for name, method in METHODS.items() if exists(method, backbone)]
    cure = f"method {listed_or([AUTO, *able])} shows what is in its features"
    for given in (target, options.versus):
        if given is not None:
            raise TargetError(f"{network}, so there is no class {given!r}; leave it out: {cure}")
    if options.score != "logit":
        raise MethodError(
            f"{network}, so there is no score '{options.score}' of one; leave it out: {cure}"
        )
    if options.prototypes is not None:
        raise MethodError(
            f"{network}, and prototypes are of a class; leave them out: {cure}, and "
            "Engine.similarity() which places are alike"
        )
    if options.truncation:
        raise MethodError(
            f"{network}, so there is no gradient of one to truncate; leave truncation at 0: {cure}"
        )
    if options.method != AUTO and METHODS[options.method].class_specific:
        raise MethodError(
            f"{network}, and {METHODS[options.method].label} shows where a class is seen; {cure}"
        )


def listed_or(names: Sequence[str]) -> str:
    """Names in quotation marks, "or" before the last."""
    *others, last = [f"'{name}'" for name in names]
    return f"{', '.join(others)} or {last}" if others else last


def resolve_target(backbone: Backbone, index: int, options: Options) -> Target:
    """The number that is explained of a class: its score, or its margin over other classes."""
    if options.versus is None:
        return Target(index, options.score)
    if options.versus == NEAREST:
        if backbone.output == "value":
            raise TargetError(
                f"{backbone.display_name} gives values, each in a unit of its own, so none is "
                "nearest to another; name the classes to compare with"
            )
        return Target(index, options.score, NEAREST, options.gamma)
    references = find_references(backbone, options.versus)
    if index in references:
        raise TargetError(
            f"'{backbone.labels[index]}' cannot be compared with itself; give another class"
        )
    versus = references if len(references) > 1 else references[0]
    return Target(index, options.score, versus, options.gamma)


def find_references(
    backbone: Backbone, versus: int | str | tuple[int | str, ...]
) -> tuple[int, ...]:
    """The classes that a target is compared with: one, several, or a text of several ("A,B").

    A text that is the name of one class is that one, commas and all. Raises `TargetError` for what
    is no class, and for one that is named twice.
    """
    names = versus if isinstance(versus, tuple) else (versus,)
    if isinstance(versus, str) and not named_exactly(versus, backbone.labels, backbone.synonyms):
        names = tuple(part for part in versus.split(",") if part.strip()) or (versus,)
    found: list[int] = []
    for name in names:
        index = backbone.target(name)
        if index in found:
            raise TargetError(
                f"'{backbone.labels[index]}' is compared with twice; name every class once"
            )
        found.append(index)
    return tuple(found)


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


def deepest_stage(backbone: Backbone) -> Sequence[str] | None:
    """The last default stage alone, by name: where methods that score changed maps are cheapest."""
    return backbone.default_stages[-1:] or None


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


def exists(method: Method, backbone: Backbone) -> bool:
    """Whether a network can have maps by a method at all."""
    if method.class_specific and not backbone.has_classes:
        return False
    try:
        if method.uses_attention:
            attention_stages(backbone, None, method)
        elif method.uses_head:
            head_stage(backbone, None)
    except MethodError:
        return False
    return True


def attention_stages(
    backbone: Backbone, names: Sequence[str] | None, method: Method
) -> list[Stage]:
    """The blocks of these names, or those that the default stages are in, the last among them.

    A stage or module stands for the block that it is in. Raises `MethodError` where the network
    has no attention that explains it, or a name is in no block.
    """
    attention = backbone.discovery.attention
    instead = METHODS["layer_cam" if backbone.has_classes else "eigen_cam"].label
    if attention is None:
        raise MethodError(
            f"{method.label} does not exist for {backbone.display_name}: "
            f"{backbone.discovery.no_attention}; {instead} does"
        )
    wanted = backbone.default_stages if names is None else names
    found = {name: attention.block(name) for name in wanted}
    for name, block in found.items():
        if block is None and names is not None:
            raise MethodError(
                f"{method.label} exists at blocks that attend, and '{name}' is in none; blocks: "
                f"{', '.join(block.name for block in attention.blocks)}"
            )
    chosen = {block.name for block in found.values() if block is not None}
    if names is None:
        chosen.add(attention.blocks[-1].name)
    return [backbone.stage(block.name) for block in attention.blocks if block.name in chosen]


def attention_taps(attention: Attention) -> list[Tap]:
    """What is recorded of attention: weights, values and outputs of each block."""
    return [
        tap(block) for block in attention.blocks for tap in (weights_tap, values_tap, output_tap)
    ]


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
