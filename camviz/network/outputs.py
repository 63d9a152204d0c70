"""What the numbers that a head gives mean, and how they become probabilities."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from camviz.errors import BackboneError
from camviz.network.labels import has_own_head, is_class_count, is_timms
from camviz.network.settings import OUTPUT_KINDS, OutputKind, Settings
from camviz.network.squash import MISPLACED, UNKNOWN
from camviz.network.stages import Discovery

_PROBLEMS: dict[str, OutputKind] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "value",
}


def states_features(model: nn.Module, settings: Settings) -> bool | None:
    """Whether a network is said to give features and not logits; None if nothing is said.

    Settings come first: output "features", or labels and other outputs, which only classes have.
    Then timm's own configurations: those of CLIP's image towers count the width of an embedding as
    classes, and no set of labels in timm has so few.
    """
    if settings.output is not None:
        return settings.output == "features"
    if settings.labels is not None:
        return False
    config = dict(getattr(model, "pretrained_cfg", None) or {})
    if config.get("output") == "features":
        return True
    width = getattr(model, "num_classes", None) or 0
    embeds = width > 0 and not is_class_count(width)
    return True if embeds and has_own_head(model, config) and is_timms(config, width) else None


def output_kind(
    model: nn.Module,
    config: dict[str, Any],
    discovery: Discovery,
    given: OutputKind | None,
    backbone: str,
    behind: str | None = None,
) -> OutputKind:
    """What was given, else what the configuration says, else what the head tells.

    The configuration: `output` or `problem_type`, in `pretrained_cfg` or in the model's own
    `config`. The head: none, or that of an embedding ("features"); the softmax or sigmoid in which
    it ends; one logit without either is a sigmoid's, for the softmax of one number is always 1.
    behind: a softmax or sigmoid that came after the network, in a wrapper. Raises `BackboneError`
    for what contradicts another.
    """
    if discovery.features:
        return "features"
    stated = given or _stated(model, config, backbone)
    squash = discovery.squash or behind
    if squash is not None:
        return _squashed_kind(squash, stated, discovery, backbone, behind)
    if given == "softmax" and discovery.logits == 1:
        raise BackboneError(
            f"{backbone} gives one number, and the softmax of one is always 1; output is "
            "'sigmoid' or 'value'"
        )
    return stated or ("sigmoid" if discovery.logits == 1 else "softmax")


def _stated(model: nn.Module, config: dict[str, Any], backbone: str) -> OutputKind | None:
    """The output by the configuration."""
    own = getattr(model, "config", None)
    for table in (config, own if isinstance(own, dict) else vars(own) if own is not None else {}):
        stated = table.get("output") or _PROBLEMS.get(str(table.get("problem_type")))
        if stated is not None:
            if stated not in OUTPUT_KINDS:
                raise BackboneError(
                    f"unknown output {stated!r} in the configuration of {backbone}; choices: "
                    f"{', '.join(OUTPUT_KINDS)}"
                )
            return cast(OutputKind, stated)
    return None


def _squashed_kind(
    squash: str,
    stated: OutputKind | None,
    discovery: Discovery,
    backbone: str,
    behind: str | None,
) -> OutputKind:
    """The output of a network that ends in a softmax or sigmoid.

    "value" takes its numbers as they are; else logits are read before it.
    """
    if stated == "value" and behind is None:
        return "value"
    as_it_is = "" if behind else ", or output 'value' to explain its numbers as they are"
    if squash == UNKNOWN:
        raise BackboneError(
            f"{backbone} gives probabilities, which sum to 1, and not by a softmax at its end, so "
            f"that its logits cannot be read; give the network without that step{as_it_is}"
        )
    if squash == MISPLACED:
        raise BackboneError(
            f"{backbone} ends in a softmax over another axis than that of its classes; give it "
            f"dim=1{as_it_is}"
        )
    kind: OutputKind = "softmax" if squash.endswith("softmax") else "sigmoid"
    if kind == "softmax" and discovery.logits == 1:
        raise BackboneError(
            f"{backbone} ends in the softmax of one number, which is always 1; give it a sigmoid"
        )
    if stated not in (None, kind):
        raise BackboneError(
            f"{backbone} ends in a {squash.replace('_', ' ')}, so its output is '{kind}' and not "
            f"'{stated}'; leave output out{as_it_is}"
        )
    return kind


def shares(logits: Tensor, kind: OutputKind) -> Tensor:
    """What is shown of logits, along the last axis: probabilities, or the values themselves."""
    if kind == "softmax":
        return logits.softmax(dim=-1)
    return logits.sigmoid() if kind == "sigmoid" else logits


class Value(float):
    """A number that a head gives and that is no probability."""


def ranked(
    logits: np.ndarray,
    labels: Sequence[str],
    kind: OutputKind,
    indices: Sequence[int] | np.ndarray | None = None,
) -> list[tuple[int, str, float]]:
    """(class index, label, probability or value) of every class, best first; none of features.

    indices: of these classes alone, in this order.
    """
    if kind == "features":
        return []
    if kind == "softmax":
        shifted = np.exp(logits - logits.max())
        figures = shifted / shifted.sum()
    else:
        figures = shares(torch.from_numpy(logits), kind).numpy()
    order = best_first(logits) if indices is None else indices
    figure = Value if kind == "value" else float
    return [(int(i), labels[i], figure(figures[i])) for i in order]


def best_first(logits: np.ndarray) -> np.ndarray:
    """The indices of all classes, the highest logit first."""
    return np.argsort(-logits, kind="stable")


def two_sided(logits: Tensor) -> Tensor:
    """(N, 1) -> (N, 2), of absence and presence: (-s, s), whose sigmoids are 1 - p and p."""
    return torch.cat([-logits, logits], dim=1)
