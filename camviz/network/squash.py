"""A softmax or sigmoid at the end of a network: found by running it, and what enters it read.

    find_squash(model, image, scores)                    # "softmax"; None for plain logits
    logits_of(lambda: model(image))                      # what enters it

Maps are of logits. A network that ends in a softmax (a layer in its head, or a call at the end of
its forward pass) would be squashed a second time, and where a class is certain its probability has
no gradient left. Every call of such a function is recorded with its argument; the one whose result
is what the network returns is the end.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from camviz.network.taps import frozen_eval, primary_logits, probe_input

# What a function at the end is called, by the names that torch has for it; a name with "_" behind
# works in place.
_NAMES = {
    "softmax": "softmax",
    "special_softmax": "softmax",
    "log_softmax": "log_softmax",
    "special_log_softmax": "log_softmax",
    "sigmoid": "sigmoid",
    "special_expit": "sigmoid",
    "logsigmoid": "log_sigmoid",
    "log_sigmoid": "log_sigmoid",
}
_FORMULAS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda logits: logits.softmax(dim=1),
    "log_softmax": lambda logits: logits.log_softmax(dim=1),
    "sigmoid": torch.sigmoid,
    "log_sigmoid": torch.nn.functional.logsigmoid,
}
# Scores that are probabilities, though nothing that is known made them.
UNKNOWN = "probabilities"
# Over another axis than that of the classes.
MISPLACED = "misplaced"
_SAMPLES = 4  # on which numbers are measured to be probabilities


class _Recorder(TorchFunctionMode):
    """Keeps (name, argument, result) of every call that may be the end of a network."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[str, Tensor, Tensor]] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        called = getattr(function, "__name__", "")
        name = _NAMES.get(called.rstrip("_"))
        given = args[0] if args else kwargs.get("input")
        if name is None or not isinstance(given, Tensor) or not _are_scores(given):
            return function(*args, **kwargs)
        if called.endswith("_"):
            given = given.clone()
        result = function(*args, **kwargs)
        self._calls.append((name, given, result))
        return result

    def end(self, scores: Tensor) -> tuple[str, Tensor] | None:
        """(name, argument) of the call whose result these (N, classes) scores are."""
        for name, given, result in reversed(self._calls):
            if torch.equal(_flat(result), scores):
                return name, _flat(given)
        return None


def logits_of(compute: Callable[[], Any]) -> Tensor:
    """(N, classes) that enter the softmax or sigmoid at the end of what `compute` runs, if any."""
    with _Recorder() as recorder:
        scores = primary_logits(compute())
    end = recorder.end(scores)
    return scores if end is None else end[1]


def end_of(compute: Callable[[], Any]) -> tuple[str | None, Tensor]:
    """What ends the computation, as `find_squash` has it, and the logits that enter it."""
    with _Recorder() as recorder:
        scores = primary_logits(compute())
    end = recorder.end(scores)
    if end is None:
        return None, scores
    name, logits = end
    same = torch.allclose(_FORMULAS[name](logits), scores, atol=1e-5)
    return (name if same else MISPLACED), logits


def find_squash(model: Any, image: Tensor, scores: Tensor) -> str | None:
    """The function at the end of a network: one of `_FORMULAS`, `MISPLACED`, or `UNKNOWN`.

    scores: what the network gives for `image`, (1, classes). `UNKNOWN`: for several pictures its
    numbers are at least 0 and sum to 1, and no known function made them.
    """
    if not _may_be_squashed(scores):
        return None
    with frozen_eval(model, gradients=False):
        end, _ = end_of(lambda: model(image))
        if end is not None or not _share_one(scores):
            return end
        noise = probe_input(image.shape[1:], _SAMPLES).to(image)
        pictures = (torch.zeros_like(image), *(3 * noise).split(1))
        others = [primary_logits(model(picture)) for picture in pictures]
    # Constants say nothing: a head of zeros whose biases sum to 1 by chance.
    differ = any(not torch.equal(other, scores) for other in others)
    return UNKNOWN if differ and all(map(_share_one, others)) else None


def _are_scores(tensor: Tensor) -> bool:
    """Whether a tensor has the shape of class scores: (N, classes), perhaps with 1 x 1 places."""
    return tensor.ndim >= 2 and tensor.shape[2:].numel() == 1


def _flat(tensor: Tensor) -> Tensor:
    return tensor.flatten(1) if tensor.ndim > 2 else tensor


def _may_be_squashed(scores: Tensor) -> bool:
    """Whether scores are all in [0, 1] or all negative, as those of every such function are."""
    return bool(((scores >= 0) & (scores <= 1)).all() or (scores <= 0).all())


def _share_one(scores: Tensor) -> bool:
    """Whether scores are those of several classes, at least 0, and sum to 1."""
    if scores.shape[1] < 2 or bool((scores < 0).any()):
        return False
    return bool(((scores.sum(dim=1) - 1).abs() < 1e-4).all())
