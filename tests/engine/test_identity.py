"""Weights change, files change: what is explained is what is there now."""

import gc
import json
import os
import shutil
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from huggingface_hub import constants, try_to_load_from_cache
from safetensors.torch import save_file

from camviz import Engine, load_backbone, wrap_backbone
from camviz.engine.remote import RemoteRunner
from camviz.network import hub
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


@pytest.mark.sampled(3)
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


@pytest.mark.sampled
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


class Hub:
    """A cache as the hub's own library lays it out: blobs, snapshots of links, refs/main."""

    def __init__(self, root, repository):
        self.folder = root / f"models--{repository.replace('/', '--')}"

    def update(self, seed, **files):
        """A new snapshot, with the weights of that seed."""
        name = f"{seed:040d}"
        snapshot = self.folder / "snapshots" / name
        blobs = self.folder / "blobs"
        for folder in (snapshot, blobs, self.folder / "refs"):
            folder.mkdir(parents=True, exist_ok=True)
        weights = {k: v.contiguous() for k, v in alive(seed).state_dict().items()}
        save_file(weights, blobs / name)
        (snapshot / "model.safetensors").symlink_to(blobs / name)
        for file, text in files.items():
            (snapshot / f"{file}.json").write_text(text)
        (self.folder / "refs" / "main").write_text(name)


CONFIG = {"architecture": "test_resnet", "num_classes": 1000, "global_pool": "avg",
          "pretrained_cfg": {"input_size": [3, 64, 64]}}  # fmt: skip


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("test_resnet", "timm/test_resnet.r160_in1k"),
        ("test_resnet.r160_in1k", "timm/test_resnet.r160_in1k"),
        ("hf-hub:somebody/mine", "somebody/mine"),
    ],
)
def test_an_updated_snapshot_of_the_hub_is_loaded_anew(
    engine, photo, tmp_path, monkeypatch, name, repository
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(
        hub, "try_to_load_from_cache", partial(try_to_load_from_cache, cache_dir=tmp_path)
    )
    cache = Hub(tmp_path, repository)
    cache.update(1, config=json.dumps(CONFIG))
    before = engine.explain(photo, name, target=3)
    assert engine.backbone(name) is before.backbone
    cache.update(2, config=json.dumps(CONFIG))
    after = engine.explain(photo, name, target=3)
    assert after.backbone.digest != before.backbone.digest
    assert not np.array_equal(after.logits, before.logits)
    shutil.rmtree(cache.folder)
    assert engine.backbone(name) is after.backbone  # gone: the one in memory stays


def test_a_download_is_not_loaded_twice(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(
        hub, "try_to_load_from_cache", partial(try_to_load_from_cache, cache_dir=tmp_path)
    )
    cache = Hub(tmp_path, "timm/test_resnet.r160_in1k")

    def download(repository, file, **options):
        cache.update(1)
        return str(next(cache.folder.glob(f"snapshots/*/{file}")))

    monkeypatch.setattr(hub, "hub_reachable", lambda repository: True)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    first = engine.backbone("test_resnet")
    assert first.weights.source == "hub" and engine.backbone("test_resnet") is first


def test_names_of_a_repository_are_read_anew(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(
        hub, "try_to_load_from_cache", partial(try_to_load_from_cache, cache_dir=tmp_path)
    )
    cache = Hub(tmp_path, "somebody/mine")
    cache.update(1, config=json.dumps(CONFIG))
    assert engine.backbone("hf-hub:somebody/mine", "random").labels[7] == "class 7"
    names = [f"t{i}" for i in range(1000)]
    cache.update(2, config=json.dumps({**CONFIG, "label_names": names}))
    assert engine.backbone("hf-hub:somebody/mine", "random").labels[7] == "t7"
    assert engine.backbone("hf-hub:somebody/mine").labels[7] == "t7"


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
