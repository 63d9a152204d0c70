"""Gradients of batch norms of one picture, which torch computes wrongly on the CPU.

A picture alone, (1, C, H, W), whose channels come last may have any stride for its only sample:
tokens that are turned into a map have C. Where the input of a batch norm has such strides and the
gradient of its output is contiguous, or the other way round, the backward pass of torch (2.13 at
the latest) reads the one in the order of the other, and what it returns is wrong by more than its
own size. Architectures with both attention and batch norms run into it, NextViT for one. Here the
gradient is given the order of the input first.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def right_gradients(model: nn.Module, own_calls: Callable[[], bool]) -> Iterator[None]:
    """Within the block, batch norms are run such that differentiating them gives what it should.

    own_calls: whether a call of a layer belongs to this block.
    """

    def follow(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        given = inputs[0]
        if given.ndim == 4 and len(given) == 1 and own_calls() and output.requires_grad:
            shape, strides = given.shape, given.stride()
            last, unusual = _channels_last(given), _is_unusual(given)

            def reorder(gradient: Tensor) -> Tensor | None:
                if last == _channels_last(gradient) or not (unusual or _is_unusual(gradient)):
                    return None  # and every bit as it would be
                if not last:
                    return gradient.contiguous()
                return torch.empty_strided(shape, strides).to(gradient).copy_(gradient)

            output.register_hook(reorder)

    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    handles = []
    try:
        for norm in norms:
            handles.append(norm.register_forward_hook(follow))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _channels_last(tensor: Tensor) -> bool:
    return not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


def _is_unusual(tensor: Tensor) -> bool:
    """Whether channels come last, and the stride of the only sample is not its size."""
    return _channels_last(tensor) and tensor.stride(0) != tensor.numel()
