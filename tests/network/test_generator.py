"""camviz.network.generator: the numbers of a seed, whoever else draws meanwhile."""

import sys
import threading

import pytest
import timm
import torch
from torch import nn

from camviz.network.generator import OwnGenerator


def drawn():
    """A little of everything that draws."""
    module = nn.Sequential(nn.Linear(3, 4), nn.Conv2d(2, 3, 3), nn.Embedding(4, 2))
    filled = torch.empty(5)
    found = [*module.parameters(), torch.randn(3), torch.rand(2, 2), torch.randperm(9)]
    found += [torch.randint(0, 9, (4,)), torch.bernoulli(torch.full((6,), 0.5))]
    found += [filled.normal_().clone(), filled.uniform_(-1, 1).clone(), filled.random_().clone()]
    found += [torch.rand_like(filled), torch.randn_like(filled, dtype=torch.float64)]
    found += [nn.init.trunc_normal_(torch.empty(3, 3)), nn.init.orthogonal_(torch.empty(3, 3))]
    return found


@pytest.mark.parametrize("seed", [0, 7])
def test_the_numbers_are_those_of_the_seed(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = drawn()
    before = torch.random.get_rng_state()
    with OwnGenerator(seed):
        found = drawn()
    assert all(map(torch.equal, found, expected))
    assert torch.equal(torch.random.get_rng_state(), before), "nobody else's are touched"


def test_a_generator_that_is_given_is_used():
    with OwnGenerator(0):
        one = torch.randn(3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(one, torch.randn(3, generator=torch.Generator().manual_seed(5)))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_networks_that_are_made_at_once_are_those_that_are_made_alone(name):
    def make():
        with OwnGenerator(0):
            return timm.create_model(name).state_dict()

    expected, found = make(), []
    threads = [threading.Thread(target=lambda: found.append(make())) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        torch.randn(1000)
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(found) == 4
    for state in found:
        assert all(torch.equal(state[key], tensor) for key, tensor in expected.items())
