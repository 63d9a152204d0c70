"""What one pass of a network holds in memory, found out without running it.

    pass_bytes(model, (3, 224, 224))        # 82 MB of a ResNet-50, in a moment

The network is run on a picture that has a shape and no pixels: torch's meta device computes shapes
alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from camviz.errors import TooLargeError
from camviz.network.taps import frozen_eval


def pass_bytes(model: nn.Module, input_size: Sequence[int]) -> int | None:
    """Bytes that a forward pass keeps for a backward one, of one picture (C, H, W); about.

    All that its layers save, each tensor once, and none of its weights. None where its layers do
    more with their numbers than to compute with them, so that shapes alone will not do.
    """
    held = _Held(model)
    image = torch.empty((1, *input_size), device="meta", requires_grad=True)
    hooks = torch.autograd.graph.saved_tensors_hooks(held.note, _never)
    try:
        with frozen_eval(model, gradients=True), hooks:
            torch.func.functional_call(model, held.weights, (image,))
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AssertionError):
        return None
    return held.nbytes


def check_pass(model: nn.Module, input_size: Sequence[int], limit: int, backbone: str) -> bool:
    """Raise `TooLargeError` if one pass would hold more than so many bytes.

    Returns whether it could be found out.
    """
    needed = pass_bytes(model, input_size)
    if needed is not None and needed > limit:
        height, width = input_size[-2:]
        raise TooLargeError(
            f"{backbone} holds {megabytes(needed)} while it looks at one picture of {height} x "
            f"{width} pixels, and one pass may hold {megabytes(limit)} here; take a smaller "
            f"network, one for smaller pictures, or give a larger memory budget"
        )
    return needed is not None


def megabytes(nbytes: float) -> str:
    """ "512 MB", "3.8 GB"."""
    size = nbytes / 2**20
    return f"{size:.0f} MB" if size < 1000 else f"{size / 1024:.1f} GB"


class _Held:
    """What a pass has saved so far; `weights`: the network's tensors by name, shapes alone."""

    def __init__(self, model: nn.Module) -> None:
        self.nbytes = 0
        state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self.weights = {name: tensor.detach().to("meta") for name, tensor in state.items()}
        own = [tensor.untyped_storage() for tensor in self.weights.values()]
        self._storages = {storage._cdata: storage for storage in own}

    def note(self, tensor: Tensor) -> None:
        """Count a tensor that is saved, unless it was counted."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._storages:
            self._storages[storage._cdata] = storage
            self.nbytes += storage.nbytes()


def _never(_: Any) -> Tensor:
    raise AssertionError("nothing is differentiated")
