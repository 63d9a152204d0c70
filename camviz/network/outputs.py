"""What the numbers that a head gives mean, and how they become probabilities."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from camviz.errors import BackboneError
from camviz.network.settings import OUTPUT_KINDS, OutputKind

_PROBLEMS: dict[str, OutputKind] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "value",
}


def output_kind(
    model: nn.Module, config: dict[str, Any], logits: int, given: OutputKind | None, backbone: str
) -> OutputKind:
    """What was given, else what the configuration says, else what the head tells.

    The configuration: `output` or `problem_type`, in `pretrained_cfg` or in the model's own
    `config`. The head: one logit is a sigmoid's, for the softmax of one number is always 1.
    """
    if given is not None:
        if given == "softmax" and logits == 1:
            raise BackboneError(
                f"{backbone} gives one number, and the softmax of one is always 1; output is "
                "'sigmoid' or 'value'"
            )
        return given
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
    return "sigmoid" if logits == 1 else "softmax"


def shares(logits: Tensor, kind: OutputKind) -> Tensor:
    """What is shown of logits, along the last axis: probabilities, or the values themselves."""
    if kind == "softmax":
        return logits.softmax(dim=-1)
    return logits.sigmoid() if kind == "sigmoid" else logits


class Value(float):
    """A number that a head gives and that is no probability."""


def two_sided(logits: Tensor) -> Tensor:
    """(N, 1) -> (N, 2), of absence and presence: (-s, s), whose sigmoids are 1 - p and p."""
    return torch.cat([-logits, logits], dim=1)
