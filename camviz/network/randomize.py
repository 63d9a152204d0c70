"""A network made random again, block by block, from its head down; the network itself stays whole.

    copied = duplicate(backbone)
    for block in find_blocks(backbone):       # the head first
        randomize_block(copied, block, seed=0)
        ...                                   # what does it say now?

A map that looks the same when everything above a layer is random does not show what was learned
there: cascading randomisation, Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018,
https://arxiv.org/abs/1810.03292
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from camviz.errors import BackboneError, one_line
from camviz.network.backbone import Backbone, Weights, around_copy
from camviz.network.generator import OwnGenerator
from camviz.network.taps import forward_hooks, frozen_eval, probe_input
from camviz.turns import step

MOST_BLOCKS = 10  # more steps than these are no longer quick to look through
_FEW_BLOCKS = 6  # with fewer, the largest block is split


@dataclass(frozen=True)
class Block:
    """What of a network is made random in one step.

    name: of the module that holds it, or of the first and the last of several. modules: those with
    parameters of their own, in the order in which they run; "" is the network itself.
    """

    name: str
    modules: tuple[str, ...]


@dataclass(frozen=True)
class _Group:
    """Modules with parameters whose names begin alike; prefix: None where it is not split again."""

    name: str
    prefix: str | None
    owners: tuple[str, ...]


# -- Which blocks --------------------------------------------------------------------------------


def find_blocks(backbone: Backbone, most: int = MOST_BLOCKS) -> tuple[Block, ...]:
    """The blocks of a network, from its head down: at most so many, which hold all parameters.

    They follow from the order in which modules run and from their names, not from the family: at
    first the network's own parts; while these are few, the largest of them is split into its parts.
    What has no matrix, such as a norm, goes with what runs before it. Costs one forward pass.
    """
    order = _modules_in_order(backbone)
    vectors = {name for name in order if _has_vectors_only(backbone.model.get_submodule(name))}
    groups = _parts(_Group("", "", tuple(order)))
    while len(merged := _merge(groups, vectors)) < min(_FEW_BLOCKS, most):
        splittable = [group for group in groups if len(_parts(group)) > 1]
        if not splittable:
            break
        largest = max(splittable, key=lambda group: len(group.owners))
        at, room = groups.index(largest), most - len(merged) + 1
        groups[at : at + 1] = _chunk(_merge(_parts(largest), vectors), room)
    found = _chunk(_merge(groups, vectors), most)
    return tuple(Block(group.name, group.owners) for group in reversed(found))


def _modules_in_order(backbone: Backbone) -> list[str]:
    """The names of all modules with parameters of their own, in the order in which they begin.

    One that is not called itself counts as the module that it is in.
    """
    model = backbone.model
    modules = dict(model.named_modules())
    calls: dict[str, int] = {}

    def note(name: str, *_: Any) -> None:
        calls.setdefault(name, len(calls))

    image = probe_input(backbone.input_size).to(backbone.device)
    with (
        backbone.lock,
        frozen_eval(model, gradients=False),
        forward_hooks(modules, note),
    ):
        model(image)

    def begins(name: str) -> int:
        inside = [at for called, at in calls.items() if _is_in(called, name)]
        return min(inside) if inside else begins(name.rpartition(".")[0])

    owners = [name for name, module in modules.items() if _own_parameters(module)]
    return sorted(owners, key=begins)


def _is_in(name: str, prefix: str) -> bool:
    """Whether a module is the one of that name, or in it; everything is in ""."""
    return not prefix or f"{name}.".startswith(f"{prefix}.")


def _own_parameters(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_parameters(recurse=False))


def _has_vectors_only(module: nn.Module) -> bool:
    return all(parameter.ndim < 2 for parameter in _own_parameters(module).values())


def _parts(group: _Group) -> list[_Group]:
    """The group by the next part of its modules' names; itself if there is nothing to split.

    Parameters of the module that holds all of them go with the first part.
    """
    prefix = group.prefix
    if prefix is None:
        return [group]
    parts: dict[str, list[str]] = {}
    held = [owner for owner in group.owners if owner == prefix]
    for owner in group.owners:
        if owner != prefix:
            rest = owner[len(prefix) + 1 :] if prefix else owner
            child = rest.split(".")[0]
            parts.setdefault(f"{prefix}.{child}" if prefix else child, []).append(owner)
    if not parts:
        return [group]
    found = [_Group(name, name, tuple(owners)) for name, owners in parts.items()]
    if len(found) == 1:
        found = _parts(found[0])
    first, *others = found
    return [replace(first, owners=(*held, *first.owners)), *others]


def _merge(groups: Sequence[_Group], vectors: set[str]) -> list[_Group]:
    """The groups, each without a matrix put to the one before it; the first to the second."""
    found: list[_Group] = []
    for group in groups:
        bare = vectors.issuperset(group.owners)
        if found and (bare or vectors.issuperset(found[-1].owners)):
            named = found[-1] if bare else group
            found[-1] = _Group(named.name, None, found[-1].owners + group.owners)
        else:
            found.append(group)
    return found


def _chunk(groups: Sequence[_Group], most: int) -> list[_Group]:
    """At most so many groups: neighbours are put together, those that run first before others."""
    sizes = [len(part) for part in np.array_split(range(len(groups)), min(most, len(groups)))]
    found, start = [], 0
    for size in sizes:
        some = groups[start : start + size]
        start += size
        owners = tuple(owner for group in some for owner in group.owners)
        name = f"{some[0].name} – {some[-1].name}"
        found.append(some[0] if size == 1 else _Group(name, None, owners))
    return found


# -- Making it random ----------------------------------------------------------------------------


def duplicate(backbone: Backbone) -> Backbone:
    """The same around a copy of its network, with a lock and a fingerprint of its own.

    Raises `BackboneError` for a network that cannot be copied.
    """
    with backbone.lock, step(), torch.inference_mode(False), torch.no_grad():
        try:
            model = copy.deepcopy(backbone.model)
        except (RuntimeError, TypeError) as error:
            raise BackboneError(
                f"{backbone.display_name} cannot be copied, and only a copy is made random: "
                f"{one_line(error)}"
            ) from error
    origin = f"{backbone.display_name}, made random"
    return around_copy(backbone, model.eval().requires_grad_(False), Weights("random", origin))


def randomize_block(copied: Backbone, block: Block, seed: int) -> None:
    """Draw the parameters of a block of a copied network anew, in place; see `_draw`.

    What is drawn for a module depends on the seed and on its place in the network alone, whatever
    was drawn before and on whichever device the network is.
    """
    places = {name: at for at, (name, _) in enumerate(copied.model.named_modules())}
    for name in block.modules:
        with copied.lock, step(), torch.inference_mode(False), torch.no_grad():
            module = copied.model.get_submodule(name)
            [state] = np.random.SeedSequence([seed, places[name]]).generate_state(1)
            for held, new in _draw(module, int(state)):
                held.copy_(new)


def _draw(module: nn.Module, seed: int) -> list[tuple[Tensor, Tensor]]:
    """(tensor, its new value): the parameters and buffers of one module, without those inside it.

    By the module's own `reset_parameters`, which clears the statistics of a batch norm as well. A
    parameter that has none, or a matrix that this leaves as it was, is drawn from a normal of its
    own mean and standard deviation: a single number stays.
    """
    held = _own_tensors(module)
    own = _own_parameters(module)
    alone = not any(_own_parameters(child) for child in list(module.modules())[1:])
    reset = alone and callable(getattr(module, "reset_parameters", None))
    with OwnGenerator(seed):
        new = {name: tensor.cpu().clone() for name, tensor in held.items()}
        if reset:
            fresh = copy.deepcopy(module).cpu()
            fresh.reset_parameters()  # type: ignore[operator]
            new = _own_tensors(fresh)
        for name, parameter in own.items():
            before = parameter.cpu()
            if not reset or (before.ndim > 1 and torch.equal(before, new[name])):
                spread = before.std(correction=0)
                new[name] = before.mean() + spread * torch.randn(before.shape, dtype=before.dtype)
    return [(held[name], new[name]) for name in held]


def _own_tensors(module: nn.Module) -> dict[str, Tensor]:
    return _own_parameters(module) | dict(module.named_buffers(recurse=False))
