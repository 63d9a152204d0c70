"""Gradients through batch norms of one picture, whose channels come last."""

import pytest
import torch
from torch import nn

from camviz import Engine, wrap_backbone
from camviz.network.batch_norm import right_gradients
from camviz.network.taps import frozen_eval
from tests.support.networks import untrained

C, H, W = 12, 5, 7


def ordered(tensor, order):
    """The same numbers: "first" channels, "last", or last with a sample's stride of C."""
    if order == "first":
        return tensor.contiguous()
    if order == "last":
        return tensor.contiguous(memory_format=torch.channels_last)
    return torch.empty_strided((1, C, H, W), (C, 1, W * C, C)).copy_(tensor)


@pytest.mark.parametrize("given", ["first", "last", "unusual"])
@pytest.mark.parametrize("order", ["first", "last", "unusual"])
def test_a_gradient_of_any_order_is_right(given, order):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(C)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    pixels, gradient = torch.randn(1, C, H, W), torch.randn(1, C, H, W)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    with frozen_eval(norm, gradients=True):
        x = ordered(pixels, given).requires_grad_(True)
        (found,) = torch.autograd.grad(norm(x), x, ordered(gradient, order))
    torch.testing.assert_close(found, gradient * scale.detach()[:, None, None])


def test_what_torch_has_right_stays_bit_for_bit():
    norm = nn.BatchNorm2d(C).eval()
    for given in ("first", "last"):
        for order in ("first", "last"):
            gradients = []
            for own in (lambda: True, lambda: False):
                x = ordered(torch.ones(1, C, H, W), given).requires_grad_(True)
                with right_gradients(norm, own):
                    gradients += torch.autograd.grad(norm(x), x, ordered(x.detach() + 1, order))
            assert torch.equal(*gradients) and gradients[0].stride() == gradients[1].stride()
    assert not norm._forward_hooks


@pytest.mark.long
def test_a_network_of_attention_and_batch_norms(photo):
    """NextViT: 37 % of the largest gradient was the error at its first stage."""
    model = untrained("nextvit_small")
    x = Engine("cpu").explain(photo, wrap_backbone(model, device="cpu"), checkerboard="keep")
    image, _ = x.backbone.prepare(x.picture)
    twin, stored = model.double(), {}
    for name in x.stages:
        tap = x.backbone.stage(name).activation

        def keep(module, inputs, output, name=name):
            stored[name] = output
            return output.clone()

        twin.get_submodule(tap.module).register_forward_hook(keep)
    # Two pictures, for the stride of a sample is then what it should be.
    pair = image.double().repeat(2, 1, 1, 1).requires_grad_(True)
    score = twin(pair)[0, x.target]
    gradients = torch.autograd.grad(score, list(stored.values()))
    for name, gradient in zip(stored, gradients, strict=True):
        expected = (gradient[0].clamp(min=0) * stored[name][0]).sum(dim=0).detach().float()
        found = torch.from_numpy(x.raw[name])
        assert (found - expected).abs().max() < 5e-3 * expected.abs().max()  # ties of a ReLU
