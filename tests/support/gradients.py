"""Activations and gradients of every shape and sign for tests of methods."""

import torch

from tests.support.tensors import generator

SHAPES = [
    (1, 1, 1, 1),
    (2, 3, 1, 1),
    (1, 1, 1, 7),
    (3, 2, 5, 1),
    (2, 1, 4, 3),
    (2, 5, 3, 4),
    (1, 4, 7, 5),
]


def tensors(shape, kind="signed", seed=0):
    """Activations of a kind ("relu" has exact zeros) and gradients of both signs, in fp64."""
    source = generator(seed)
    activations = torch.randn(shape, generator=source, dtype=torch.float64)
    gradients = torch.randn(shape, generator=source, dtype=torch.float64)
    return activations.relu() if kind == "relu" else activations, gradients
