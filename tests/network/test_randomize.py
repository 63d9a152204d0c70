"""A copy of a network made random block by block: which blocks, what is drawn, what stays."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from camviz import BackboneError, wrap_backbone
from camviz.network.randomize import Block, duplicate, find_blocks, randomize_block
from tests.support.networks import small, untrained
from tests.support.randomized import randomized_by_hand

TINY = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet")
OTHERS = ("densenet121", "swin_tiny_patch4_window7_224", "cait_xxs24_224", "hiera_tiny_224")


def owners(model):
    return {n for n, module in model.named_modules() if list(module.parameters(recurse=False))}


def all_random(backbone, seed, most=10):
    copied = duplicate(backbone)
    for block in find_blocks(backbone, most):
        randomize_block(copied, block, seed)
    return copied


# --- which blocks ---


@pytest.mark.sampled(8)
@pytest.mark.parametrize("name", TINY + OTHERS)
@pytest.mark.parametrize("most", [1, 2, 5, 10])
def test_blocks_hold_every_parameter_once(tiny, name, most):
    backbone = tiny(name) if name in TINY else wrap_backbone(small(name), device="cpu")
    blocks = find_blocks(backbone, most)
    held = [module for block in blocks for module in block.modules]
    assert sorted(held) == sorted(owners(backbone.model))
    assert 1 <= len(blocks) <= most
    assert len(blocks) >= min(most, 4), "there is something to watch"
    assert len({block.name for block in blocks}) == len(blocks)


@pytest.mark.parametrize("name", TINY)
def test_blocks_go_from_the_head_down(tiny, name):
    backbone, order = tiny(name), []
    leaves = [(n, m) for n, m in backbone.model.named_modules() if not list(m.children())]
    handles = [m.register_forward_pre_hook(lambda *_, n=n: order.append(n)) for n, m in leaves]
    with torch.no_grad():
        backbone.model(torch.zeros(1, *backbone.input_size))
    for handle in handles:
        handle.remove()
    places = [
        [order.index(module) for module in block.modules if module in order]
        for block in find_blocks(backbone)
    ]
    for upper, lower in pairwise(places):
        assert min(upper) > max(lower)
    head = backbone.model.get_classifier()
    assert any(backbone.model.get_submodule(n) is head for n in find_blocks(backbone)[0].modules)


def test_every_block_has_a_matrix(tiny):
    for name in TINY:
        model = tiny(name).model
        for block in find_blocks(tiny(name)):
            held = [p for n in block.modules for p in model.get_submodule(n).parameters(False)]
            assert any(parameter.ndim > 1 for parameter in held), block.name


def test_many_blocks_are_put_together_near_the_picture():
    backbone = wrap_backbone(untrained("vit_tiny_patch16_224", num_classes=5), device="cpu")
    names = [block.name for block in find_blocks(backbone)]
    assert names[:3] == ["head", "blocks.11", "blocks.10"]
    assert names[-2:] == ["blocks.0 – blocks.1", "patch_embed"]
    assert len(names) == 10


def test_blocks_are_found_without_a_trace_of_it(tiny, unchanged):
    for name in TINY:
        with unchanged(tiny(name).model):
            find_blocks(tiny(name))


# --- what is drawn ---


@pytest.mark.parametrize("name", TINY)
def test_all_blocks_together_are_a_random_copy_made_by_hand(tiny, name):
    wanted = randomized_by_hand(tiny(name).model, seed=3).state_dict()
    found = all_random(tiny(name), seed=3).model.state_dict()
    for key, tensor in wanted.items():
        assert torch.allclose(found[key], tensor, atol=1e-6), key


@pytest.mark.parametrize("name", TINY)
def test_what_is_drawn_does_not_depend_on_the_steps(tiny, name):
    few, many = (all_random(tiny(name), 5, most).model.state_dict() for most in (1, 10))
    assert all(torch.equal(few[key], many[key]) for key in many)
    others = all_random(tiny(name), 6).model.state_dict()
    assert any(not torch.equal(others[key], many[key]) for key in many)


def test_a_block_leaves_the_others(tiny):
    backbone = tiny("test_resnet")
    head, *_ = find_blocks(backbone)
    copied = duplicate(backbone)
    randomize_block(copied, head, 0)
    for key, tensor in backbone.model.state_dict().items():
        inside = key.rpartition(".")[0] in head.modules
        assert torch.equal(copied.model.state_dict()[key], tensor) != inside, key


def test_statistics_of_batch_norms_are_cleared(tiny):
    copied = duplicate(tiny("test_resnet"))
    norms = [m for m in copied.model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.fill_(0.3)
        norm.running_var.fill_(2)
    for block in find_blocks(copied):
        randomize_block(copied, block, 0)
    assert norms
    for norm in norms:
        assert not norm.running_mean.any() and (norm.running_var == 1).all()


class Odd(nn.Module):
    """Parameters of every kind that has no `reset_parameters` of its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.scale = nn.Parameter(torch.tensor(7.0))
        self.places = nn.Parameter(3 + 0.5 * torch.randn(40, 50))
        self.stubborn = Stubborn()


class Stubborn(nn.Module):
    """Its reset leaves its matrix as it was, and touches what it does not hold itself."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(30, 30))
        self.bias = nn.Parameter(torch.ones(30))

    def reset_parameters(self):
        self.bias.data.zero_()


def test_without_a_reset_mean_and_spread_stay(tiny):
    copied = replace(tiny("test_resnet"), model=Odd(), uid=-1)
    before = {name: p.detach().clone() for name, p in copied.model.named_parameters()}
    randomize_block(copied, Block("all", ("", "stubborn")), 0)
    now = {name: p.detach() for name, p in copied.model.named_parameters()}
    assert float(now["scale"]) == 7.0, "a single number has no spread"
    for name in ("places", "stubborn.weight"):
        assert not torch.equal(now[name], before[name])
        assert float(now[name].mean()) == pytest.approx(float(before[name].mean()), abs=0.1)
        assert float(now[name].std()) == pytest.approx(float(before[name].std()), rel=0.1)
        together = torch.stack([now[name].flatten(), before[name].flatten()])
        assert abs(float(torch.corrcoef(together)[0, 1])) < 0.15
    assert not now["stubborn.bias"].any()


# --- what stays ---


@pytest.mark.parametrize("name", TINY)
def test_the_network_itself_stays(tiny, unchanged, name):
    backbone = tiny(name)
    state = backbone.fingerprint
    torch.manual_seed(4)
    wanted = torch.rand(3)
    torch.manual_seed(4)
    with unchanged(backbone.model):
        copied = all_random(backbone, 0)
    assert torch.equal(torch.rand(3), wanted), "nobody else's random numbers are others"
    assert backbone.fingerprint == state
    assert copied.fingerprint[0] != state[0] and copied.lock is not backbone.lock
    assert not copied.weights.trained and copied.loaded_with is None
    mine = {p.data_ptr() for p in backbone.model.parameters()}
    assert mine.isdisjoint(p.data_ptr() for p in copied.model.parameters())


def test_a_network_that_cannot_be_copied_says_so(tiny):
    model = untrained("test_resnet")
    backbone = wrap_backbone(model, device="cpu")
    model.kept = torch.ones(1, requires_grad=True) * 2  # no leaf: deepcopy refuses it
    with pytest.raises(BackboneError, match=r"cannot be copied.*only a copy is made random"):
        duplicate(backbone)
