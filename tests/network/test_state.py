"""camviz.network.state: a fingerprint follows the weights, a lock belongs to the network."""

import copy
import gc
import time
import weakref
from dataclasses import replace

import pytest
import torch

from camviz import wrap_backbone
from camviz.network.state import fingerprint, network_lock
from tests.support.networks import untrained


def step(model):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.randn(2, 3, 64, 64))[:, 3].sum().backward()
    optimiser.step()
    optimiser.zero_grad()


def in_training(model):
    """Batch norm learns from what it sees."""
    model.train()(torch.randn(2, 3, 64, 64))
    model.eval()


CHANGES = {
    "load_state_dict": lambda m: m.load_state_dict(untrained("test_resnet").state_dict()),
    "the same again": lambda m: m.load_state_dict(copy.deepcopy(m.state_dict())),
    "assign": lambda m: m.load_state_dict(untrained("test_resnet").state_dict(), assign=True),
    "an optimiser's step": step,
    "batch norm": in_training,
    "data, one bias": lambda m: m.fc.bias.data[2].add_(1),
    "data, all": lambda m: [p.data.mul_(1.1) for p in m.parameters()],
    "data, one layer": lambda m: m.layer3[0].conv1.weight.data.zero_(),
    "data, another tensor": lambda m: setattr(m.fc.weight, "data", m.fc.weight.data + 1),
    "init": lambda m: torch.nn.init.normal_(m.fc.weight),
    "a buffer": lambda m: m.conv1[1].running_mean.add_(1),
    "a buffer by name": lambda m: setattr(m.conv1[1], "running_mean", torch.ones(8)),
    "another layer": lambda m: setattr(m, "fc", torch.nn.Linear(m.fc.in_features, 1000)),
    "another activation": lambda m: setattr(m, "global_pool", torch.nn.Identity()),
    "precision": lambda m: m.double(),
    "channels last": lambda m: m.to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_weights_is_another_fingerprint(change):
    model = untrained(zero_init_last=False)
    before = fingerprint(model)
    assert fingerprint(model) == before
    CHANGES[change](model)
    assert fingerprint(model) != before
    assert fingerprint(model) == fingerprint(model)


def test_data_of_networks_in_other_memory_formats_is_compared_too():
    model = untrained().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        frozen = copy.deepcopy(model)  # its tensors have no version
    for network in (model, frozen):
        before = fingerprint(network)
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.data.neg_()
        assert fingerprint(network) != before


def test_using_a_network_does_not_change_its_fingerprint(tiny):
    for name in ("test_resnet", "test_vit", "test_convnext", "test_efficientnet"):
        model = tiny(name).model
        before = fingerprint(model)
        with torch.no_grad():
            model(torch.randn(1, *tiny(name).input_size))
        assert fingerprint(model) == before


def test_a_network_that_was_fingerprinted_can_be_freed():
    model = untrained()
    fingerprint(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_weights_that_are_not_numbers_are_the_same_weights():
    model = untrained()
    model.fc.bias.data[:] = float("nan")
    assert fingerprint(model) == fingerprint(model)


def test_a_fingerprint_costs_next_to_nothing():
    model = untrained()
    fingerprint(model)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        fingerprint(model)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3


def test_one_lock_for_a_network_however_many_backbones():
    model = untrained()
    first, second = wrap_backbone(model, device="cpu"), wrap_backbone(model, device="cpu")
    assert first.lock is second.lock is network_lock(model)
    assert first.lock is replace(first, display_name="mine").lock
    assert first.lock is not wrap_backbone(untrained(), device="cpu").lock
    assert first.uid != second.uid
    assert (
        copy.deepcopy(model) is not model and network_lock(copy.deepcopy(model)) is not first.lock
    )
