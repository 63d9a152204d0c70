"""Random numbers from a generator of this thread alone, apart from those that torch shares.

    with OwnGenerator(0):
        timm.create_model("resnet50")       # the same at every call, from any thread

Modules draw their weights from the one generator that torch has for the CPU. Were it seeded, two
threads that make networks at once would take each other's numbers, or wait for each other.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_DRAWING = {
    Tensor.bernoulli_, Tensor.cauchy_, Tensor.exponential_, Tensor.geometric_, Tensor.log_normal_,
    Tensor.normal_, Tensor.random_, Tensor.uniform_, Tensor.bernoulli, Tensor.multinomial,
    torch.bernoulli, torch.multinomial, torch.normal, torch.poisson, torch.rand, torch.randint,
    torch.randn, torch.randperm,
    nn.init.kaiming_normal_, nn.init.kaiming_uniform_, nn.init.normal_, nn.init.orthogonal_,
    nn.init.sparse_, nn.init.trunc_normal_, nn.init.uniform_, nn.init.xavier_normal_,
    nn.init.xavier_uniform_,
}  # fmt: skip
# These take no generator: the same numbers come from others that do.
_LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}


class OwnGenerator(TorchFunctionMode):
    """Within the block, what this thread draws on the CPU comes from a generator of its own.

    The numbers are those of torch's generator with the same seed.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _LIKE and args[0].device.type == "cpu":
            like = args[0]
            kwargs = {"dtype": like.dtype, "generator": self._generator} | kwargs
            return _LIKE[func](like.shape, **kwargs)
        if func in _DRAWING and kwargs.get("generator") is None and _on_cpu(args, kwargs):
            kwargs["generator"] = self._generator
        return func(*args, **kwargs)


def _on_cpu(args: Any, kwargs: Any) -> bool:
    """Whether a call draws on the CPU: where its tensor is, or the device that it names."""
    tensor = next((each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)), None)
    device = kwargs.get("device") or torch.get_default_device()
    return (torch.device(device) if tensor is None else tensor.device).type == "cpu"
