"""Tracing under every mode of the caller, from several threads, and after errors."""

import sys
import threading

import pytest
import torch

from camviz.methods.gradient import layer_cam
from camviz.network.head import head_weights
from camviz.network.target import Target
from camviz.network.trace import trace
from tests.support.networks import copy_of
from tests.support.traces import image_for, taps_of


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_mambaout"])
@pytest.mark.parametrize(
    "surroundings",
    [
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    ],
    ids=["no_grad", "inference_mode", "autocast"],
)
def test_the_callers_modes_make_no_difference(tiny, name, surroundings):
    backbone = tiny(name)
    taps = taps_of(backbone)
    plain = trace(backbone, image_for(backbone), taps)
    with surroundings():
        image = image_for(backbone)  # under inference_mode a tensor that autograd refuses
        traced = trace(backbone, image, taps)
        inside = traced.gradients(Target(1))
        margin = traced.gradients(Target(1, versus=2))
    outside = traced.gradients(Target(4))
    assert torch.equal(traced.logits, plain.logits) and traced.logits.dtype == torch.float32
    for tap in taps:
        key = tap.address
        assert torch.equal(traced.activations[key], plain.activations[key])
        assert torch.equal(inside[key], plain.gradients(Target(1))[key])
        assert torch.equal(margin[key], plain.gradients(Target(1, versus=2))[key])
        assert torch.equal(outside[key], plain.gradients(Target(4))[key])
        assert inside[key].dtype == torch.float32


def in_training(model):
    """As a user may leave it: half of it training, half of it unfrozen, old gradients around."""
    model.train()
    model.get_submodule("layer2").eval()
    for index, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(index % 2 == 0)
        if index % 3 == 0:
            parameter.grad = torch.full_like(parameter, 0.5)


def test_a_network_in_training_is_traced_in_eval_mode_and_given_back(tiny, unchanged):
    backbone = tiny("test_resnet")
    taps = taps_of(backbone)
    plain = trace(backbone, image_for(backbone), taps)
    trained = copy_of(backbone, in_training)
    with unchanged(trained.model):
        traced = trace(trained, image_for(backbone), taps)
        gradients = traced.gradients(Target(0))
        head_weights(trained, traced, 0)
    assert torch.equal(traced.logits, plain.logits)
    for tap in taps:
        assert torch.equal(gradients[tap.address], plain.gradients(Target(0))[tap.address])


def free(lock):
    """Whether another thread can take the lock."""
    taken = []

    def take():
        taken.append(lock.acquire(timeout=0.2))
        if taken[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return taken[0]


class Crash(Exception):
    pass


@pytest.mark.parametrize("error", [Crash, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["layer1", "layer4", "fc"])
def test_a_pass_that_fails_leaves_nothing_behind(tiny, unchanged, error, place):
    backbone = copy_of(tiny("test_resnet"), in_training)
    module = backbone.model.get_submodule(place)
    working = module.forward

    def fail(*inputs):
        assert not free(backbone.lock), "the lock is held while the network runs"
        raise error

    module.forward = fail
    with unchanged(backbone.model), pytest.raises(error):
        trace(backbone, image_for(backbone), taps_of(backbone))
    assert free(backbone.lock)
    module.forward = working
    again = trace(backbone, image_for(backbone), taps_of(backbone))
    assert torch.equal(
        again.logits, trace(tiny("test_resnet"), image_for(backbone), taps_of(backbone)).logits
    )


def test_a_pass_that_succeeds_leaves_nothing_behind(tiny, unchanged):
    for name in ("test_resnet", "test_vit"):
        backbone = tiny(name)
        with unchanged(backbone.model):
            traced = trace(backbone, image_for(backbone), taps_of(backbone))
            traced.gradients(Target(0, "probability"))
        assert free(backbone.lock)


@pytest.mark.parametrize("error", [Crash, KeyboardInterrupt])
def test_a_head_probe_that_fails_leaves_nothing_behind(tiny, unchanged, error):
    backbone = copy_of(tiny("test_convnext"))
    traced = trace(backbone, image_for(backbone), taps_of(backbone))

    def fail(*inputs):
        raise error

    backbone.model.head.fc.forward = fail
    with unchanged(backbone.model), pytest.raises(error):
        head_weights(backbone, traced, 0)
    assert free(backbone.lock)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_threads_get_the_maps_that_one_thread_gets(tiny, name):
    backbone = tiny(name)
    taps = taps_of(backbone)
    images = [image_for(backbone, seed) for seed in range(4)]

    def maps(image, index):
        traced = trace(backbone, image, taps)
        gradients = traced.gradients(Target(index))
        return [layer_cam(traced.activations[t.address], gradients[t.address]) for t in taps]

    alone = [maps(image, index) for index, image in enumerate(images)]
    found, errors = {}, []

    def work(index, rounds=3):
        try:
            for turn in range(rounds):
                found[index, turn] = maps(images[index], index)
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # change threads as often as possible
    try:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(images))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors and len(found) == 12
    for (index, _), heats in found.items():
        assert all(torch.equal(a, b) for a, b in zip(heats, alone[index], strict=True))


def test_threads_that_share_one_trace_differentiate_once_per_class(tiny, passes):
    backbone = tiny("test_resnet")
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(traced.gradients(Target(1)))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert passes["backward"] == 1 and len(found) == 6
    assert all(gradients is found[0] for gradients in found)
