"""camviz.network.relevance: relevance is conserved where it must be, by rules done by hand."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional

from camviz import wrap_backbone
from camviz.network.relevance import RelevanceRules, propagate_relevance
from camviz.network.taps import probe_input
from tests.support.networks import copy_of
from tests.support.tensors import close, noise64

import timm  # isort: skip  after vision_ops, which lets torchvision be imported


def relevance(function, *inputs):
    """x * dy/dx of each input, by the rules."""
    leaves = [each.clone().requires_grad_(True) for each in inputs]
    with RelevanceRules():
        output = function(*leaves)
    gradients = torch.autograd.grad(output.sum(), leaves)
    return output.detach(), [x.detach() * g for x, g in zip(leaves, gradients, strict=True)]


@pytest.mark.parametrize(
    "function",
    [
        nn.Linear(6, 4, bias=False).double(),
        functional.gelu,
        functional.silu,
        torch.tanh,
        functional.relu,
        functional.hardswish,
        lambda x: functional.leaky_relu(x, 0.2),
        lambda x: functional.layer_norm(x, (6,), eps=0),
        lambda x: functional.rms_norm(x, (6,), eps=0),
        lambda x: functional.layer_norm(x, (6,), torch.arange(6.0).double(), eps=0),
        lambda x: x * torch.sigmoid(1.7 * x),
        lambda x: x.softmax(dim=-1).detach() @ x,
    ],
)
def test_a_layer_passes_on_what_it_gave(function):
    """sum x * dy/dx = sum y for every layer without a bias."""
    x = noise64((2, 6, 6))
    output, (passed,) = relevance(function, x)
    with torch.no_grad():
        close(output, function(x), 1e-10)
    close(passed.sum(), output.sum(), 1e-10)


def test_a_product_is_shared_in_halves_and_attention_with_it():
    x, y = noise64((2, 3, 4)), noise64((2, 3, 4), 1)
    output, (to_x, to_y) = relevance(lambda a, b: a * b, x, y)
    close(to_x, x * y / 2, 1e-12), close(to_y, x * y / 2, 1e-12)
    output, (to_x, to_y) = relevance(lambda a, b: a @ b.mT, x, y)
    close(to_x.sum(), output.sum() / 2, 1e-10), close(to_y.sum(), output.sum() / 2, 1e-10)
    query, key, value = (noise64((1, 2, 5, 3), seed) for seed in range(3))
    attend = functional.scaled_dot_product_attention
    output, found = relevance(attend, query, key, value)
    leaves = [each.clone().requires_grad_(True) for each in (query, key, value)]
    plain = attend(*leaves)
    close(output, plain.detach(), 1e-10)
    slopes = torch.autograd.grad(plain.sum(), leaves)
    for share, passed, x, slope in zip((0.25, 0.25, 0.5), found, leaves, slopes, strict=True):
        close(passed, share * x.detach() * slope, 1e-10)


def test_an_activation_at_zero_has_the_slope_that_it_has_beside_it():
    for function, slope in ((functional.gelu, 0.5), (functional.silu, 0.5), (torch.tanh, 1.0)):
        x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        with RelevanceRules():
            y = function(x)
        (gradient,) = torch.autograd.grad(y.sum(), [x])
        close(gradient, torch.full_like(gradient, slope), 1e-5)
        assert not y.any()


class LinearTransformer(nn.Module):
    """Blocks without bias or attention: every layer conserves what it is given."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.LayerNorm(8, eps=0, bias=False)
        self.one, self.two = (nn.Linear(8, 8, bias=False) for _ in range(2))
        self.head = nn.Linear(8, 4, bias=False)

    def forward(self, tokens):
        tokens = tokens + self.two(functional.gelu(self.one(self.norm(tokens))))
        return self.head(tokens.mean(dim=1))


def test_relevance_is_conserved_from_the_logit_to_the_tokens():
    model = LinearTransformer().double()
    tokens = noise64((1, 5, 8)).requires_grad_(True)
    for rules, holds in ((RelevanceRules(), True), (nullcontext(), False)):
        with rules:
            logits = model(tokens)
        (gradient,) = torch.autograd.grad(logits[0, 2], [tokens])
        passed = float((tokens * gradient).sum().detach())
        assert (passed == pytest.approx(logits[0, 2].item(), rel=1e-9)) is holds


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["test_vit", "beitv2_base_patch16_224", "eva02_small_patch14_336"])
def test_logits_stay_and_the_network_is_left_as_it_was(name):
    torch.manual_seed(0)
    arguments = {"depth": 2} if name != "test_vit" else {}
    arguments |= {"img_size": 112, "num_classes": 5} if name.startswith("eva") else {}
    model = timm.create_model(name, **arguments).eval()
    backbone = wrap_backbone(model, device="cpu")
    image = probe_input(backbone.input_size)
    with torch.no_grad():
        usual = model(image)
        with RelevanceRules():
            close(model(image), usual, 1e-4)
    blocks = backbone.discovery.attention.blocks
    cotangent = torch.zeros(len(backbone.labels))
    cotangent[1] = 1
    found = propagate_relevance(backbone, image, cotangent, blocks)
    assert list(found.tokens) == list(found.gradients) == [block.name for block in blocks]
    assert all(each.shape == found.tokens["blocks.0"].shape for each in found.gradients.values())
    assert found.nbytes == 4 * 2 * len(blocks) * found.tokens["blocks.0"].numel()
    assert all(bool(each.any()) for each in found.gradients.values())
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert all(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        assert torch.equal(model(image), usual)


def test_hooks_are_removed_when_the_network_fails(tiny, monkeypatch):
    backbone = copy_of(tiny("test_vit"))
    monkeypatch.setattr(type(backbone.model), "forward_head", lambda *_, **__: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        propagate_relevance(
            backbone,
            probe_input(backbone.input_size),
            torch.zeros(1000),
            backbone.discovery.attention.blocks,
        )
    assert not any(module._forward_pre_hooks for module in backbone.model.modules())
