"""Networks for tests: untrained ones, copies, weights ready to be saved."""

from copy import deepcopy
from dataclasses import replace

import torch

import timm  # isort: skip  after vision_ops


def untrained(name="test_resnet", **options):
    """One of timm's networks with random weights, the same at every call."""
    torch.manual_seed(11)
    return timm.create_model(name, **options).eval()


def weights_of(model):
    """A state dict as safetensors can save it."""
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def copy_of(backbone, change=None):
    """The same backbone around a copy of its network."""
    model = deepcopy(backbone.model)
    if change is not None:
        change(model)
    return replace(backbone, model=model, _module_stages={})
