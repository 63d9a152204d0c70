"""Weights: bundled, from a folder, from a checkpoint or random; nothing is unpickled."""

import os
import pickle
import random

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from camviz import catalogue, load_backbone, wrap_backbone
from camviz.errors import WeightsError
from camviz.network import bundled, hub
from camviz.network import weights as weights_module
from camviz.network.backbone import Weights
from tests.support.networks import untrained, weights_of


def test_random_weights_are_marked_and_always_the_same():
    first = load_backbone("test_resnet", "random", "cpu")
    torch.manual_seed(99)
    second = load_backbone("test_resnet", "random", "cpu")
    assert first.weights == Weights("random", "untrained")
    assert not first.weights.trained
    assert first.digest == second.digest


def test_random_weights_leave_the_callers_random_numbers_alone():
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  the global generator is what is tested
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    load_backbone("test_vit", "random", "cpu")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])  # noqa: NPY002


def test_a_local_folder_is_loaded_with_its_weights_and_labels(folder):
    path, model = folder
    backbone = load_backbone(f"local-dir:{path}", device="cpu")
    assert backbone.weights.source == "local" and backbone.weights.origin == "five"
    assert backbone.labels == ("ant", "bee", "cat", "dog", "eel")
    image = torch.randn(1, 3, 160, 160)
    assert torch.equal(backbone.model(image), model(image))
    assert backbone.digest == wrap_backbone(model, device="cpu").digest
    again = load_backbone(f"local-dir:{path}", "random", "cpu")
    assert again.weights.source == "random" and again.digest != backbone.digest


def test_a_local_folder_without_weights_is_not_filled_with_random_ones(folder):
    path, _ = folder
    for file in [*path.glob("*.safetensors"), *path.glob("*.bin")]:
        file.unlink()
    with pytest.raises(WeightsError, match=str(path)):
        load_backbone(f"local-dir:{path}")


def test_a_folder_that_is_none_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(WeightsError, match=r"not a timm model folder.*save_for_hf"):
            load_backbone(f"local-dir:{place}")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["weights.safetensors", "weights.pth", "wrapped.pth"])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_checkpoint_brings_its_own_number_of_classes(tmp_path, name, kind):
    model = untrained(name, num_classes=7)
    file = tmp_path / kind
    if kind.endswith("safetensors"):
        save_file(weights_of(model), file)
    elif kind.startswith("wrapped"):  # as data-parallel training leaves it
        state = {f"module.{name}": tensor for name, tensor in weights_of(model).items()}
        torch.save({"epoch": 3, "state_dict": state}, file)
    else:
        torch.save(weights_of(model), file)
    backbone = load_backbone(name, str(file), "cpu")
    done = " (its 'state_dict', without the prefix 'module.')" if kind == "wrapped.pth" else ""
    assert backbone.weights == Weights("file", kind + done)
    assert backbone.labels == tuple(f"class {i}" for i in range(7))
    assert backbone.digest == wrap_backbone(model, device="cpu").digest
    assert load_backbone(name, file, "cpu").digest == backbone.digest  # a Path does as well


class Malicious:
    """What a pickle can do on being opened."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return (os.mkdir, (str(self.proof),))


@pytest.mark.parametrize("place", ["pickle", "torch", "folder"])
def test_nothing_is_unpickled(tmp_path, folder, place):
    proof = tmp_path / "executed"
    file = tmp_path / "evil.pth"
    content = {"fc.weight": Malicious(proof)}
    if place == "pickle":
        file.write_bytes(pickle.dumps(content))
    elif place == "torch":
        torch.save(content, file)
    else:
        for old in folder[0].glob("*.safetensors"):
            old.unlink()
        torch.save(content, folder[0] / "pytorch_model.bin")
    with pytest.raises(WeightsError):
        if place == "folder":
            load_backbone(f"local-dir:{folder[0]}")
        else:
            load_backbone("test_resnet", file)
    assert not proof.exists()
    if place == "torch":  # the file would have done it
        torch.load(file, weights_only=False)
        assert proof.exists()


def write_spoiled(tmp_path, kind):
    """A file that is no checkpoint, each in one way."""
    file = tmp_path / ("x.safetensors" if kind == "not safetensors" else "x.pth")
    contents = {
        "a list": [1],
        "a tensor": torch.zeros(3),
        "a number for a tensor": {"fc.weight": 3},
        "a scalar for a matrix": {"fc.weight": torch.tensor(3.0)},
        "nothing": {},
        "a whole network": torch.nn.Linear(2, 2),
    }
    if kind in contents:
        torch.save(contents[kind], file)
    elif kind == "another network":
        torch.save(weights_of(untrained("test_convnext")), file)
    elif kind == "another size":
        state = weights_of(untrained(num_classes=7))
        state["conv1.0.weight"] = torch.zeros(2, 3, 3, 3)
        torch.save(state, file)
    else:
        file.write_bytes(b"" if kind == "an empty file" else b"hello, this is text")
    return file


@pytest.mark.parametrize(
    "kind",
    [
        "a list",
        "a tensor",
        "a number for a tensor",
        "a scalar for a matrix",
        "nothing",
        "a whole network",
        "another network",
        "another size",
        "an empty file",
        "text",
        "not safetensors",
    ],
)
def test_files_that_are_no_checkpoint_of_it_are_refused_in_a_sentence(tmp_path, kind):
    file = write_spoiled(tmp_path, kind)
    with pytest.raises(WeightsError) as caught:
        load_backbone("test_resnet", file, "cpu")
    assert file.name in str(caught.value)
    assert "\n" not in str(caught.value)  # a shell prints it on one line
    if kind in ("nothing", "another network"):
        assert "tensors are missing" in str(caught.value)


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path):
    for weights in (tmp_path / "none.pth", tmp_path, "rnadom"):
        with pytest.raises(WeightsError, match=r"no checkpoint at .*'auto', 'random'"):
            load_backbone("test_resnet", weights)


def test_bundled_networks_come_first(monkeypatch, folder, no_packages):
    path, model = folder
    monkeypatch.setattr(bundled, "BUNDLED", path.parent)
    assert bundled.bundled_names() == ("five",)
    backbone = load_backbone("five", device="cpu")
    assert backbone.weights.source == "bundled" and backbone.name == "five"
    assert backbone.confidence_threshold > 0, "five classes are not the world"
    assert backbone.digest == wrap_backbone(model, device="cpu").digest
    first = catalogue()[0]
    assert (first.name, first.source, first.classes) == ("five", "bundled", 5)
    assert first.input_size == (3, 160, 160) and first.classifier
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *names: None)
    assert weights_module.default_backbone() == "five"
    assert load_backbone(device="cpu").name == "five"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="Ready without a network: five"):
        load_backbone("resnet50")
