"""Targets: the number that is explained of a class, and what its gradient is made of."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from camviz.defaults import NEAREST, NEAREST_CLASSES
from camviz.errors import TargetError
from camviz.network.settings import OutputKind

Score = Literal["logit", "log_probability", "probability"]
# What is differentiated, of which class: every target is a weighted sum of such gradients.
Part = tuple[Literal["logit", "log_probability"], int]
# Less probable classes are weighted as if they had this probability: the gradient of the true one
# has no representation in single precision, and the map over its maximum is the same.
_LEAST_PROBABILITY = 1e-25


@dataclass(frozen=True)
class Target:
    """The number that is explained: a class's logit, its log-probability or its probability.

    With `versus`, the margin of its logit over the mean of those of other classes, its references:

        y = s_c - gamma * mean_d s_d

    versus: a class, several, or "nearest", which `settle` replaces by `nearest_classes`.

    Zhang et al., "Finer-CAM: Spotting the Difference Reveals Finer Details for Visual
    Explanation", CVPR 2025, https://arxiv.org/abs/2501.11309
    """

    index: int
    score: Score = "logit"
    versus: int | tuple[int, ...] | str | None = None
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if self.versus is not None and self.score != "logit":
            raise TargetError(
                f"a comparison with another class is made between logits, not {self.score}"
            )
        if isinstance(self.versus, str):
            assert self.versus == NEAREST
        elif self.index in self.references:
            raise TargetError(f"class {self.index} cannot be compared with itself")

    @property
    def references(self) -> tuple[int, ...]:
        """The classes that it is compared with."""
        assert not isinstance(self.versus, str), "settle the target first"
        if self.versus is None:
            return ()
        return self.versus if isinstance(self.versus, tuple) else (self.versus,)

    def settle(self, logits: Tensor) -> "Target":
        """The same target with its references named, as these logits, (classes,), have them."""
        if self.versus != NEAREST:
            return self
        found = nearest_classes(logits, self.index)
        return replace(self, versus=found if len(found) > 1 else found[0])

    def combination(
        self, probability: float, output: OutputKind = "softmax", rest: float = 0.0
    ) -> dict[Part, float]:
        """The target's gradient as a weighted sum of gradients of parts.

        softmax: dp_c = p_c * d(log p_c);       margin = s_c - gamma * mean_d s_d
        sigmoid: d(log p_c) = (1 - p_c) ds_c,   with rest = 1 - p_c

        The gradient of log p_c is one of its own, and not that of s_c less that of logsumexp(s):
        where p_c is near 1, those are nearly equal, and their difference is rounding. Raises
        `TargetError` for the probability of an output that is none.
        """
        if self.versus is not None:
            parts: dict[Part, float] = {("logit", self.index): 1.0}
            weight = -self.gamma / len(self.references)
            return parts | {("logit", reference): weight for reference in self.references}
        if self.score == "logit":
            return {("logit", self.index): 1.0}
        if output in ("value", "features"):
            raise TargetError(
                f"the network gives values, not probabilities, so score '{self.score}' does not "
                "exist; take score 'logit'"
            )
        weight = max(probability, _LEAST_PROBABILITY) if self.score == "probability" else 1.0
        if output == "sigmoid":
            return {("logit", self.index): max(weight * rest, _LEAST_PROBABILITY)}
        return {("log_probability", self.index): weight}


def nearest_classes(logits: Tensor, index: int, count: int = NEAREST_CLASSES) -> tuple[int, ...]:
    """The classes whose logits are closest to that of a class, the closest first.

    By |s_d - s_c|, whether above or below, the lower index first where two are equally close; as
    many as there are below `count`. The rule and the number are those of the authors' and of
    torch-cam's Finer-CAM. logits: (classes,). Raises `TargetError` if there is no other class.
    """
    distances = (logits.double() - logits[index].double()).abs()
    distances[index] = torch.inf
    found = distances.argsort(stable=True)[: min(count, len(logits) - 1)].tolist()
    if not found:
        raise TargetError("the network knows one class only, so there is none to compare it with")
    return tuple(found)
