"""Random copies of networks made by hand: one rule a module, one module after the other."""

import copy

import numpy as np
import torch
from torch import nn

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
WITH_RESET = (nn.Linear, nn.modules.conv._ConvNd, *NORMS)


def randomized_by_hand(model, seed, wanted=lambda name: True):
    """A copy whose modules of wanted names are drawn anew, as `randomize_block` says."""
    random = copy.deepcopy(model)
    for place, (name, module) in enumerate(random.named_modules()):
        own = dict(module.named_parameters(recurse=False))
        if not own or not wanted(name):
            continue
        [state] = np.random.SeedSequence([seed, place]).generate_state(1)
        before = torch.get_rng_state()
        torch.manual_seed(int(state))
        with torch.no_grad():
            if isinstance(module, WITH_RESET):
                module.reset_parameters()
            else:
                for parameter in own.values():
                    spread = (parameter - parameter.mean()).square().mean().sqrt()
                    parameter.copy_(parameter.mean() + spread * torch.randn(parameter.shape))
        torch.set_rng_state(before)
    return random
