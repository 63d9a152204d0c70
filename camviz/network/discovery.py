"""Where a network keeps its feature maps: found by running it, proved by value.

timm returns the maps of a network's stages (`forward_intermediates`), but they are often copies
outside the graph of the logits, and the module names it lists are sometimes wrong. So every map is
matched, bit for bit, with the output of a module; a hook on that module gets the very tensor that
the logits depend on, and the view under which both agree is its layout. Nothing depends on a list
of architectures or on the number of tokens being a square.

Discovery costs five forward passes at the network's own input size, or about ten where it finds
attention blocks, and one backward pass, or two.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from camviz.errors import BackboneError, StageError
from camviz.network.attention import find_attention
from camviz.network.squash import find_squash, logits_of
from camviz.network.stages import Discovery, Stage
from camviz.network.survey import Survey
from camviz.network.taps import (
    Address,
    Tap,
    frozen_eval,
    primary_logits,
    probe_input,
    record_taps,
)
from camviz.network.wrappers import describe_unsuitable, has_classifier, is_timm


def discover(
    model: nn.Module, input_size: tuple[int, int, int], features: bool | None = None
) -> Discovery:
    """Find and prove the stages of a network in eval mode, on the device of its weights.

    input_size: (channels, height, width). features: whether what it gives are features and not
    logits; None: they are if there is no classifier behind its pooled features. Raises
    `StageError` if the network offers no intermediate maps, or if none of them can be found in its
    forward pass, `BackboneError` for a network without a classifier that is said to have one.
    """
    network: Any = model  # timm's methods are not part of nn.Module's type
    if not is_timm(model):
        raise StageError(describe_unsuitable(model))
    device = next(model.parameters()).device
    image = probe_input(input_size).to(device)
    with frozen_eval(model, gradients=False):
        references = [
            reference.clone()
            for reference in network.forward_intermediates(
                image, indices=None, intermediates_only=True, output_fmt="NCHW"
            )
            if isinstance(reference, Tensor) and reference.ndim == 4
        ]
        pooled = network.forward_features(image)
    hints = _hinted_modules(model, len(references))
    survey = Survey(model, references, pooled if isinstance(pooled, Tensor) else None)
    with frozen_eval(model, gradients=False):
        survey.run(image)
        features = _gives_features(model, image, survey.scores, features)
    best = [survey.best(index, hint) for index, hint in enumerate(hints)]
    missing = tuple(hint or f"map {i}" for i, hint in enumerate(hints) if best[i] is None)
    found = _name_taps([pair for pair in best if pair is not None])
    if not found:
        raise StageError(
            f"none of the {len(references)} intermediate maps of {type(model).__name__} is the "
            "output of a module; a module can still be asked for by name"
        )
    pre_pool = survey.pre_pool(found[-1][1])
    stages = _build_stages(
        model, image, survey, found, pre_pool, input_size, whatever_gradient=features
    )
    attention, no_attention = find_attention(model, image, stages)
    return Discovery(
        stages,
        default_stages(stages, whatever_gradient=features),
        pre_pool,
        missing,
        survey.scores.shape[1],
        input_size,
        None if features else find_squash(model, image, survey.scores),
        features,
        attention,
        no_attention,
    )


def _gives_features(model: nn.Module, image: Tensor, scores: Tensor, stated: bool | None) -> bool:
    """Whether a network gives features: as stated, else by what it does.

    Raises `BackboneError` for classes of a network that has no classifier.
    """
    if stated or has_classifier(model, image, scores):
        return bool(stated)
    if stated is None:
        return True
    raise BackboneError(
        f"{type(model).__name__} has no classifier: it gives {scores.shape[1]} features, no class "
        "scores; leave labels and output out to see what can be shown without classes, or give it "
        "a classifier (num_classes) with its weights"
    )


def _name_taps(pairs: list[tuple[Tap, Tap]]) -> list[tuple[str, Tap]]:
    """(name, tap) of each (tap that names it, tap): the module of the first.

    Several branches of one module are told apart by their place in its output.
    """
    shared = Counter(naming.module for naming, _ in pairs)
    return [
        (
            naming.module
            + ("".join(f"[{key}]" for key in naming.path) if shared[naming.module] > 1 else ""),
            tap,
        )
        for naming, tap in pairs
    ]


def _hinted_modules(model: nn.Module, count: int) -> list[str]:
    """The module names that timm lists for its maps: right nine times out of ten."""
    info = getattr(model, "feature_info", None) or []
    rows = list(getattr(info, "info", info))
    names = [str(row.get("module", "")) for row in rows]
    return names if len(names) == count else [""] * count


def _build_stages(
    model: nn.Module,
    image: Tensor,
    survey: Survey,
    found: list[tuple[str, Tap]],
    pre_pool: Tap | None,
    input_size: tuple[int, int, int],
    *,
    whatever_gradient: bool,
) -> tuple[Stage, ...]:
    """Stages with their post-activation taps; for those of zero gradient a substitute before it.

    whatever_gradient: no gradient will be read, so that those of zero gradient stay as they are.
    """
    if pre_pool is not None and survey.pre_pool_is_new():
        found = [*found, (pre_pool.module, pre_pool)]
    taps = [tap for _, tap in found]
    orders = [survey.order_of[tap.address] for tap in taps]
    end = survey.count
    activations: list[list[Tap]] = []
    for index, tap in enumerate(taps):
        if tap.address in survey.activated or tap.layout.kind != "NCHW":
            activations.append([])
            continue
        # What belongs to this stage ran after the one before it and, if a later stage has the
        # same grid, before that stage began.
        after = orders[index - 1] if index else -1
        rival = next((t for t in taps[index + 1 :] if t.layout.grid == tap.layout.grid), None)
        before = survey.start_of(rival.module) if rival is not None else end
        activations.append(survey.candidates(tap, after=after, before=before)[:3])
    reached = gradients_reach(model, image, [*taps, *(tap for row in activations for tap in row)])
    substitutes: dict[Address, list[Tap]] = {}
    for index, tap in enumerate(taps):
        if not reached[tap.address] and tap is not pre_pool and not whatever_gradient:
            # Stages that end in one module, like the branches of a block, share its order.
            after = max((order for order in orders[:index] if order < orders[index]), default=-1)
            substitutes[tap.address] = survey.substitutes(
                survey.index_of(tap), tap, after=after, before=orders[index]
            )
    if any(substitutes.values()):
        more = [tap for row in substitutes.values() for tap in row]
        reached |= gradients_reach(model, image, more)

    stages: list[Stage] = []
    for (name, tap), row in zip(found, activations, strict=True):
        activation = next((other for other in row if reached[other.address]), tap)
        stage = Stage(
            name,
            tap,
            activation,
            input_size[1] / tap.layout.grid[0],
            not reached[tap.address],
            activation.address in survey.activated,
        )
        if stage.zero_gradient and not whatever_gradient:
            if tap is pre_pool:
                continue  # a norm after the last block: of zero gradient like the block itself
            live = next((t for t in substitutes[tap.address] if reached[t.address]), None)
            if live is not None:
                stages.append(
                    replace(
                        stage,
                        name=live.module,
                        output=live,
                        activation=live,
                        zero_gradient=False,
                        activated=False,
                    )
                )
            stage = replace(stage, activation=tap)
        stages.append(stage)
    return tuple(stages)


def gradients_reach(model: nn.Module, image: Tensor, taps: Sequence[Tap]) -> dict[Address, bool]:
    """For each tap whether any logit depends on any cell of its map.

    Measured with one backward pass from a random mixture of all logits, or, while a zero head
    makes them constant, of the pooled features.
    """
    stored: dict[Address, Tensor] = {}
    with frozen_eval(model, gradients=True):
        with record_taps(model, taps, stored):
            output = logits_of(lambda: model(image))
        constant = output.numel() > 1 and bool((output == output.flatten()[0]).all())
        if not output.requires_grad or constant:
            stored.clear()
            with record_taps(model, taps, stored):
                network: Any = model
                features = network.forward_features(image)
                output = primary_logits(network.forward_head(features, pre_logits=True))
        generator = torch.Generator().manual_seed(1)
        mixture = torch.randn(output.shape, generator=generator).to(output)
        scale = output.detach().abs().max()
        mixture = mixture / scale if scale > 0 and torch.isfinite(1 / scale) else mixture
        tensors = list(stored.values())
        gradients: Sequence[Tensor | None] = (
            torch.autograd.grad(output, tensors, mixture, allow_unused=True)
            if output.requires_grad
            else [None] * len(tensors)
        )
    by_address = dict(zip(stored, gradients, strict=True))
    reached = {}
    for tap in taps:
        gradient = by_address.get(tap.address)
        reached[tap.address] = gradient is not None and bool(
            tap.layout.to_nchw(gradient).abs().max() > 0
        )
    return reached


def default_stages(stages: Sequence[Stage], *, whatever_gradient: bool = False) -> tuple[str, ...]:
    """The stages explained by default: one per resolution, the deepest there, from stride 4 on.

    A network of one resolution (a plain vision transformer) has four, equally spaced, the last
    always among them. Stages of zero gradient are never chosen, but where no gradient is read.
    """
    live = [stage for stage in stages if whatever_gradient or not stage.zero_gradient]
    by_grid = {stage.grid: stage.name for stage in live}  # the last of each grid wins
    if len(by_grid) > 1:
        fine_enough = [
            by_grid[stage.grid]
            for stage in live
            if stage.reduction > 3 and by_grid[stage.grid] == stage.name
        ]
        if fine_enough:
            return tuple(fine_enough[-5:])
    count = min(4, len(live))
    return tuple(live[round((i + 1) * len(live) / count) - 1].name for i in range(count))
