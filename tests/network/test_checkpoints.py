"""Checkpoints as training code writes them: found, renamed, and refused with what does not fit."""

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from camviz import Engine, load_backbone, wrap_backbone
from camviz.errors import BackboneError, WeightsError
from tests.support.networks import untrained, weights_of


def written(file, content):
    torch.save(content, file)
    return file


def prefixed(state, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def training(state):
    """What stands beside the weights: an optimiser's state, which is a table of tensors, too."""
    moments = {0: {"exp_avg": torch.zeros(3)}, 1: {"exp_avg": torch.zeros(4)}}
    return {"epoch": 7, "lr": torch.tensor(0.1), "optimizer": {"state": moments}, **state}


KINDS = {
    "plain": (lambda s: s, ""),
    "model_state_dict": (lambda s: training({"model_state_dict": s}), "its 'model_state_dict'"),
    "state_dict": (lambda s: training({"state_dict": s}), "its 'state_dict'"),
    "net": (lambda s: {"net": s, "acc": 93.1}, "its 'net'"),
    "model": (lambda s: {"model": s}, "its 'model'"),
    "nested": (lambda s: {"checkpoint": {"net": s}}, "its 'checkpoint.net'"),
    "unusual": (lambda s: {"teacher_of_mine": s, "epoch": 1}, "its 'teacher_of_mine'"),
    "data parallel": (lambda s: prefixed(s, "module."), "without the prefix 'module.'"),
    "lightning": (
        lambda s: training({"state_dict": {**prefixed(s, "model."), "loss.weight": torch.ones(5)}}),
        "its 'state_dict', without the prefix 'model.'",
    ),
    "compiled": (lambda s: prefixed(s, "_orig_mod."), "without the prefix '_orig_mod.'"),
    "both": (lambda s: prefixed(s, "model._orig_mod."), "without the prefix 'model._orig_mod.'"),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("kind", KINDS)
def test_the_state_dict_is_found(tmp_path, kind):
    make, said = KINDS[kind]
    model = untrained(num_classes=5)
    file = written(tmp_path / "last.ckpt", make(weights_of(model)))
    backbone = load_backbone("test_resnet", file, "cpu")
    assert backbone.weights_digest == wrap_backbone(model, device="cpu").weights_digest
    assert len(backbone.labels) == 5
    assert backbone.weights.origin == ("last.ckpt" if not said else f"last.ckpt ({said})")


def test_averaged_weights_are_preferred(tmp_path):
    first, second = untrained(num_classes=5), untrained(num_classes=5)
    with torch.no_grad():
        second.fc.bias += 1
    content = {"state_dict": weights_of(first), "model_ema": weights_of(second)}
    backbone = load_backbone("test_resnet", written(tmp_path / "a.pth", content), "cpu")
    assert torch.equal(backbone.model.fc.bias, second.fc.bias)


def test_the_weights_of_an_average_are_found(tmp_path):
    model = untrained(num_classes=5)
    file = written(tmp_path / "swa.pth", AveragedModel(model).state_dict())
    backbone = load_backbone("test_resnet", file, "cpu")
    assert backbone.weights.origin == "swa.pth (without the prefix 'module.')"


def test_what_does_not_fit_is_listed(tmp_path):
    state = weights_of(untrained(num_classes=5))
    lost = [name for name in state if name.startswith("layer1")][:7]
    content = {name: tensor for name, tensor in state.items() if name not in lost}
    content["extra.weight"] = torch.ones(2)
    with pytest.raises(WeightsError) as caught:
        load_backbone("test_resnet", written(tmp_path / "x.pth", content), "cpu")
    text = str(caught.value)
    assert f"{len([n for n in lost if 'num_batches' not in n])} tensors are missing" in text
    assert "1 tensors are unknown (extra.weight)" in text
    assert text.count("layer1.") == 5 and "more" in text
    content = prefixed(content, "module.")
    with pytest.raises(WeightsError, match=r"without the prefix 'module\.'"):
        load_backbone("test_resnet", written(tmp_path / "y.pth", content), "cpu")


def test_damaged_weights_in_a_file_are_named(tmp_path):
    state = weights_of(untrained(num_classes=5))
    state["fc.bias"] = state["fc.bias"] * float("nan")
    with pytest.raises(BackboneError, match=r"NaN.*fc\.bias"):
        load_backbone("test_resnet", written(tmp_path / "x.pth", state), "cpu")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("{folder}", "is a folder; give it as 'local-dir:{folder}'"),
        ("timm/resnet50.a1_in1k", "give 'resnet50.a1_in1k'"),
        ("google/vit-base-patch16-224", "give 'hf-hub:google/vit-base-patch16-224'"),
        ("https://huggingface.co/timm/resnet18.a1_in1k", "give 'hf-hub:timm/resnet18.a1_in1k'"),
        ("best.pth", "give the name of its architecture"),
    ],
)
def test_a_place_in_the_place_of_a_name_is_explained(tmp_path, name, sentence):
    with pytest.raises(BackboneError) as caught:
        load_backbone(name.format(folder=tmp_path))
    assert sentence.format(folder=tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "not NoneType"),
        (True, "not bool"),
        ({}, r"not dict; for those in memory.* wrap_backbone\(\)"),
        ("https://example.com/a.pth", "is an address; download"),
        ("S3://bucket/a.pth", "is an address"),
    ],
)
def test_what_is_no_file_of_weights_is_named(given, sentence, photo):
    with pytest.raises(WeightsError, match=sentence):
        load_backbone("test_resnet", given, "cpu")
    with pytest.raises(WeightsError, match=sentence):
        Engine("cpu").explain(photo, "test_resnet", weights=given)
