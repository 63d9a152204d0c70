"""Weights change, files change: what is explained is what is there now."""

import gc
import os
import shutil
import weakref

import numpy as np
import pytest
import torch

from camviz import Engine, load_backbone, wrap_backbone
from camviz.engine.remote import RemoteRunner
from camviz.network.backbone import GIVEN

import timm  # isort: skip  after vision_ops
from timm.models import save_for_hf  # isort: skip
from tests.support.networks import untrained


def alive(seed=1):
    torch.manual_seed(seed)
    return timm.create_model("test_resnet", zero_init_last=False).eval()


def train_step(model, seed=0):
    torch.manual_seed(seed)
    images, labels = torch.randn(2, 3, 64, 64), torch.tensor([3, 4])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.2)
    loss = torch.nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimiser.step()
    optimiser.zero_grad()
    return float(loss.detach())


CHANGES = {
    "load_state_dict": lambda model: model.load_state_dict(alive(2).state_dict()),
    "an optimiser's step": train_step,
    "data": lambda model: [p.data.mul_(1.2) for p in model.parameters()],
    "norms": lambda model: model.train()(torch.randn(4, 3, 64, 64)) is None or model.eval(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "options",
    [
        {"target": 3},
        {"target": 3, "method": "cam"},
        {"target": 3, "method": "eigen_cam", "placement": "true"},
        {},
    ],
)
def test_new_weights_are_a_new_explanation(engine, photo, change, options):
    model = alive()
    backbone = wrap_backbone(model, device="cpu")
    before, digest = engine.explain(photo, backbone, **options), backbone.weights_digest
    assert before.digest == backbone.digest
    CHANGES[change](model)
    after = engine.explain(photo, backbone, **options)
    expected = Engine("cpu").explain(photo, wrap_backbone(model, device="cpu"), **options)
    assert not np.array_equal(after.logits, before.logits)
    assert np.array_equal(after.logits, expected.logits)
    assert all(np.array_equal(after.raw[name], expected.raw[name]) for name in after.raw)
    assert after.placements == expected.placements
    assert backbone.weights_digest != digest and after.digest == expected.digest
    assert before.digest is None, "its weights are nowhere any more"
    assert len(engine._traces._traces) == 1, "what can never be used again is dropped"


def test_training_goes_on_as_if_nothing_had_been_explained(engine, photo):
    losses = []
    for explains in (False, True):
        model = alive().train()
        backbone = wrap_backbone(model, device="cpu") if explains else None
        run = []
        for number in range(3):
            run.append(train_step(model, number))
            if explains:
                engine.explain(photo, backbone, target=number)
        losses.append(run)
    assert losses[0] == losses[1]


def test_an_explanation_between_forward_and_backward_harms_neither(engine, photo):
    grads = []
    for explains in (False, True):
        model = alive().train()
        torch.manual_seed(0)
        loss = model(torch.randn(2, 3, 64, 64))[:, 3].sum()
        if explains:
            engine.explain(photo, wrap_backbone(model, device="cpu"), target=3)
        loss.backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_a_network_changed_since_it_was_loaded_cannot_be_made_again_from_its_name(photo):
    sent = []

    def send(task):
        sent.append(task)
        return Engine("cpu").run(task)

    engine = Engine("cpu", runner=RemoteRunner(send))
    backbone = engine.backbone("test_resnet", "random", zero_init_last=False)
    backbone = engine.backbone("test_vit", "random")
    before = engine.explain(photo, backbone, target=3)
    assert before.request.weights == "random" and sent
    with torch.no_grad():
        backbone.model.head.weight.mul_(-1)
    sent.clear()
    after = engine.explain(photo, "test_vit", weights="random", target=3)
    assert after.request.weights == GIVEN and not sent
    assert not np.allclose(after.logits, before.logits)


# --- files ---


def save(path, seed, how="whole"):
    state = untrained().state_dict() if seed is None else alive(seed).state_dict()
    if how == "whole":
        torch.save(state, path)
    else:  # another file in its place, as old and as large
        old = path.stat()
        new = path.with_suffix(".new")
        torch.save(state, new)
        os.utime(new, ns=(old.st_atime_ns, old.st_mtime_ns))
        new.replace(path)


@pytest.mark.parametrize("how", ["whole", "as old"])
def test_an_overwritten_checkpoint_is_loaded_anew(engine, photo, tmp_path, how):
    file = tmp_path / "mine.pth"
    save(file, 1)
    before = engine.explain(photo, "test_resnet", weights=file, target=3)
    assert engine.backbone("test_resnet", file) is before.backbone
    save(file, 2, how)
    after = engine.explain(photo, "test_resnet", weights=file, target=3)
    expected = load_backbone("test_resnet", file, "cpu")
    assert after.backbone.digest == expected.digest != before.backbone.digest
    assert not np.array_equal(after.logits, before.logits)
    file.unlink()
    assert engine.backbone("test_resnet", file) is after.backbone


def test_an_overwritten_folder_is_loaded_anew(engine, tmp_path):
    folder = tmp_path / "five"
    digests = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = timm.create_model("test_resnet", num_classes=5)
        shutil.rmtree(folder, ignore_errors=True)
        save_for_hf(model, folder)
        digests.append(engine.backbone(f"local-dir:{folder}").digest)
    assert digests[0] != digests[1]


# --- networks that are gone ---


def graphs_of(engine):
    return [trace.has_graph for trace, _ in engine._traces._traces.values()]


def test_a_network_that_leaves_takes_the_graphs_of_its_traces_along(photo):
    names = ("test_resnet", "test_vit", "test_convnext")
    size = max(load_backbone(name, "random", "cpu").nbytes for name in names)
    engine = Engine("cpu", backbone_bytes=size)
    held = []  # somebody else may still use it
    for name in names:
        held.append(engine.backbone(name, "random"))
        engine.explain(photo, held[-1], target=3)
    assert graphs_of(engine) == [False, False, True]
    x = engine.explain(photo, held[0], target=5)
    assert x.backbone is held[0]


def test_the_traces_of_a_given_network_go_with_it(engine, photo):
    model = alive()
    reference = weakref.ref(model.fc.weight)
    x = engine.explain(photo, wrap_backbone(model, device="cpu"), target=3)
    assert graphs_of(engine) == [True]
    del model, x
    gc.collect()
    assert graphs_of(engine) == [] and reference() is None


def test_an_engine_is_not_kept_by_the_networks_it_explained(photo):
    model = alive()
    engine = Engine("cpu")
    engine.explain(photo, wrap_backbone(model, device="cpu"), target=3)
    reference = weakref.ref(engine)
    del engine
    gc.collect()
    assert reference() is None
