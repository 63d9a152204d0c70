"""A network that others use at the same time: their calls are theirs, its lock is its own."""

import copy
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from camviz import Engine, wrap_backbone
from camviz.network import taps as network_taps
from camviz.network.modules import derive_stage
from camviz.network.placement import measure_offsets
from tests.support.networks import copy_of, untrained


@contextmanager
def running(model, results):
    """Another thread runs a network again and again within the block; results: what it gave."""
    over, started = threading.Event(), threading.Event()
    image = torch.full((1, 3, 160, 160), 0.3)

    def run():
        while not over.is_set():
            with torch.no_grad():
                results.append(model(image)[0])
            started.set()

    thread = threading.Thread(target=run)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    started.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval)


def pictures(photo, count):
    return [np.roll(photo, 5 * number, axis=1) for number in range(count)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_resnet", {"target": 3}),
        ("test_vit", {"target": 3}),
        ("test_convnext", {"target": 3, "method": "cam"}),
    ],
)
def test_maps_are_right_while_another_thread_runs_the_network(tiny, photo, name, options):
    backbone = copy_of(tiny(name))
    shown = pictures(photo, 12)
    expected = [Engine("cpu").explain(each, backbone, **options) for each in shown]
    with torch.no_grad():
        plain = backbone.model(torch.full((1, 3, 160, 160), 0.3))[0]
    theirs = []
    with running(backbone.model, theirs):
        found = [Engine("cpu").explain(each, backbone, **options) for each in shown]
    for x, y in zip(found, expected, strict=True):
        assert np.array_equal(x.logits, y.logits)
        assert all(np.array_equal(x.raw[stage], y.raw[stage]) for stage in y.raw)
    assert all(torch.equal(logits, plain) for logits in theirs), "nor are its results touched"


def test_stages_and_placements_are_right_while_another_thread_runs_the_network(tiny):
    backbone = copy_of(tiny("test_resnet"))
    model, size = backbone.model, backbone.input_size
    taps = [stage.activation for stage in backbone.stages[-2:]]
    expected = measure_offsets(model, taps, size)
    with running(model, []):
        other = wrap_backbone(model, device="cpu")
        assert derive_stage(model, "layer2.0", other.stages, size) == backbone.stage("layer2.0")
        assert measure_offsets(model, taps, size) == expected
    assert other.discovery == backbone.discovery


def test_two_backbones_around_one_network_take_turns(photo):
    model = untrained(zero_init_last=False).train()
    backbones = [wrap_backbone(model, device="cpu") for _ in range(2)]
    shown = pictures(photo, 12)
    expected = [Engine("cpu").explain(each, backbones[0], target=3) for each in shown]
    found, errors = [[], []], []

    def explain(number):
        try:
            for each in shown:
                found[number].append(Engine("cpu").explain(each, backbones[number], target=3))
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=explain, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors
    for row in found:
        for x, y in zip(row, expected, strict=True):
            assert np.array_equal(x.logits, y.logits)
            assert all(np.array_equal(x.raw[stage], y.raw[stage]) for stage in y.raw)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_networks_with_layers_in_common_do_not_wake_each_other(photo):
    """Two heads on one body, in train mode, each explained by its own thread."""
    first = untrained(zero_init_last=False).train()
    second = copy.copy(first)
    second._modules = dict(first._modules)
    second.fc = torch.nn.Linear(first.num_features, 1000)
    first.layer2.grad_checkpointing = True
    shown = pictures(photo, 12)
    backbones = [wrap_backbone(model, device="cpu") for model in (first, second)]
    expected = [[Engine("cpu").explain(p, b, target=3).raw for p in shown] for b in backbones]
    found = [[], []]

    def explain(number):
        engine = Engine("cpu")
        for picture in shown:
            found[number].append(engine.explain(picture, backbones[number], target=3).raw)

    threads = [threading.Thread(target=explain, args=(number,)) for number in (0, 1)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    for mine, theirs in zip(expected, found, strict=True):
        for x, y in zip(mine, theirs, strict=True):
            assert all(np.array_equal(x[stage], y[stage]) for stage in x)
    for model in (first, second):
        assert all(module.training for module in model.modules())
        assert all(parameter.requires_grad for parameter in model.parameters())
    assert first.layer2.grad_checkpointing is True and not network_taps._aside._held
