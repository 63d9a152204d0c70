"""Inputs, taps and copies of backbones for traces."""

from copy import deepcopy

import torch

from camviz.methods.gradient import evidence
from camviz.network.taps import primary_logits
from tests.support.tensors import noise


def evidence_at(traced, target, tap):
    return evidence(traced.activations[tap.address], traced.gradients(target)[tap.address])


def image_for(backbone, seed=0):
    return noise((1, *backbone.input_size), seed)


def taps_of(backbone):
    taps = [tap for stage in backbone.stages for tap in (stage.output, stage.activation)]
    pre_pool = backbone.discovery.pre_pool
    return list(dict.fromkeys(taps if pre_pool is None else [*taps, pre_pool]))


def reference(backbone, image, taps, score):
    """(logits, tap -> activation, tap -> gradient of `score(logits)`), in NCHW."""
    model = deepcopy(backbone.model).requires_grad_(True)
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    kept = {}
    for tap in taps:
        assert tap.call == 0 and not tap.path
        model.get_submodule(tap.module).register_forward_hook(
            lambda m, i, o, name=tap.module: kept.update({name: o})
        )
    logits = primary_logits(model(image.clone().requires_grad_(True)))[0]
    gradients = torch.autograd.grad(
        score(logits), [kept[tap.module] for tap in taps], allow_unused=True
    )
    activations = {tap: tap.layout.to_nchw(kept[tap.module]).detach() for tap in taps}
    gradients = {
        tap: torch.zeros_like(activations[tap]) if g is None else tap.layout.to_nchw(g)
        for tap, g in zip(taps, gradients, strict=True)
    }
    return logits.detach(), activations, gradients
