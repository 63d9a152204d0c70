"""Networks for tests: untrained ones, copies, weights ready to be saved."""

from copy import deepcopy
from dataclasses import replace

import torch

import timm  # isort: skip  after vision_ops

# Families of timm that have no test network, and what makes a small one of each.
_FEW = {"num_classes": 7}
SMALL = {
    "swin_tiny_patch4_window7_224": {
        "embed_dim": 24, "depths": (1, 1, 2, 2), "num_heads": (1, 2, 2, 4), **_FEW
    },
    "deit_tiny_distilled_patch16_224": {"depth": 3, **_FEW},
    "vit_tiny_r_s16_p8_224": {"depth": 3, **_FEW},
    "eva02_tiny_patch14_224": {"depth": 3, **_FEW},
    "mobilenetv3_small_050": _FEW,
    "densenet121": {"block_config": (2, 2, 2, 2), **_FEW},
    "cait_xxs24_224": {"depth": 2, "init_values": 0.5, **_FEW},
    "hiera_tiny_224": {"embed_dim": 24, "num_heads": 1, "stages": (1, 1, 1, 1), **_FEW},
}  # fmt: skip


def untrained(name="test_resnet", **options):
    """One of timm's networks with random weights, the same at every call."""
    torch.manual_seed(11)
    return timm.create_model(name, **options).eval()


def small(name):
    """The network of `SMALL` of that name."""
    return untrained(name, **SMALL[name])


def weights_of(model):
    """A state dict as safetensors can save it."""
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def copy_of(backbone, change=None):
    """The same backbone around a copy of its network."""
    model = deepcopy(backbone.model)
    if change is not None:
        change(model)
    return replace(backbone, model=model, _module_stages={})
