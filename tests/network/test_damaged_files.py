"""Files of weights and configurations that were cut short, emptied or garbled: a sentence each."""

import json
import random
import shutil
import struct

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from camviz import Engine, load_backbone
from camviz.errors import BackboneError, CamvizError, WeightsError
from camviz.examples import example
from camviz.network import bundled, checkpoints, hub, settings, weights
from camviz.network.bundled import bundled_folder, bundled_names
from camviz.network.catalogue import catalogue

GARBLED = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder of timm's own format."""
    folder = tmp_path_factory.mktemp("whole") / "tiny"
    with torch.random.fork_rng(devices=[]):
        timm.models.save_for_hf(
            timm.create_model("test_resnet", num_classes=5, zero_init_last=False),
            folder,
            safe_serialization=True,
        )
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "MARKER" / "tiny")


def cut(data):
    return data[: len(data) // 2]


DAMAGE = {
    "empty": lambda data: b"",
    "short": cut,
    "a few bytes": lambda data: data[:5],
    "garbled": lambda data: GARBLED,
    "another": lambda data: b"<!doctype html><title>404</title>",
    "nested": lambda data: b"[" * 100_000,
    "a list": lambda data: b"[1, 2]",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_damaged_file_of_a_folder(folder, file, damage):
    (folder / file).write_bytes(DAMAGE[damage]((folder / file).read_bytes()))
    for title, name in (("tiny", None), ("own", "own")):
        place = f"local-dir:{folder}"
        what = "weights" if file.startswith("model") else r"configuration of .* \(config\.json\)"
        with pytest.raises(WeightsError, match=f"{what}.*damaged") as caught:
            load_backbone(place, display_name=name)
        assert title in str(caught.value)
        assert name is None or "MARKER" not in str(caught.value)


def test_a_garbled_pickle_of_weights(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(GARBLED)
    with pytest.raises(WeightsError, match="own could not be made") as caught:
        load_backbone(f"local-dir:{folder}", display_name="own")
    assert "MARKER" not in str(caught.value)


def test_weights_that_are_no_numbers(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["fc.bias"][:] = float("nan")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(BackboneError, match=r"fc\.bias"):
        load_backbone(f"local-dir:{folder}", display_name="own")


WRONG = [None, "x", -1, 0, 1.5, [], {}, [None], "9" * 50, True]


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    "key",
    [
        "architecture", "num_classes", "num_features", "pretrained_cfg", "model_args",
        "label_names", "label_descriptions", "pretrained_cfg.input_size", "pretrained_cfg.mean",
        "pretrained_cfg.std", "pretrained_cfg.crop_pct", "pretrained_cfg.interpolation",
        "pretrained_cfg.classifier", "pretrained_cfg.first_conv", "pretrained_cfg.num_classes",
        "pretrained_cfg.crop_mode", "pretrained_cfg.label_names", "pretrained_cfg.license",
    ],
)  # fmt: skip
def test_a_configuration_with_wrong_values_is_a_network_or_a_sentence(folder, key):
    original = json.loads((folder / "config.json").read_text())
    for value in WRONG:
        config = json.loads(json.dumps(original))
        *path, last = key.split(".")
        table = config
        for part in path:
            table = table[part]
        table[last] = value
        (folder / "config.json").write_text(json.dumps(config))
        try:
            load_backbone(f"local-dir:{folder}", display_name="own")
        except CamvizError as error:
            assert "MARKER" not in str(error)


def test_one_damaged_configuration_leaves_the_others(tmp_path, monkeypatch, caplog):
    for name in ("scenes-resnet", "scenes-vit"):
        shutil.copytree(bundled_folder(name), tmp_path / name)
    (tmp_path / "scenes-vit" / "config.json").write_text("{")
    monkeypatch.setattr(bundled, "BUNDLED", tmp_path)
    assert set(bundled_names()) == {"scenes-resnet", "scenes-vit"}
    listed = {entry.name for entry in catalogue("scenes-*")}
    assert listed == {"scenes-resnet"}
    assert "scenes-vit is left out of the catalogue" in caplog.text
    with pytest.raises(WeightsError, match=r"configuration of scenes-vit \(config\.json\)"):
        load_backbone("scenes-vit")
    assert load_backbone("scenes-resnet").labels


def test_a_damaged_file_in_the_hubs_cache(tmp_path, monkeypatch):
    file = tmp_path / "MARKER" / "model.safetensors"
    file.parent.mkdir()
    monkeypatch.setattr(hub, "cached_file", lambda *_: file)
    for damaged in (b"", GARBLED, cut(GARBLED)):
        file.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"weights of resnet18\.a1_in1k are damaged"):
            load_backbone("resnet18.a1_in1k")


def generators():
    state = np.random.get_state()  # noqa: NPY002  what others may use
    return torch.get_rng_state().tolist(), state[1].tolist(), state[2:], random.getstate()


@pytest.mark.parametrize("name", ["scenes-resnet", "tf_efficientnet_lite0.in1k", "scenes-vit"])
def test_loading_a_network_moves_no_generator(name):
    before = generators()
    load_backbone(name)
    assert generators() == before


@pytest.mark.long
def test_nor_does_anything_else(monkeypatch):
    engine, before = Engine("cpu"), generators()
    ram = str(example("a-ram").path)
    x = engine.explain(ram, "scenes-resnet", placement="true", truncation="auto")
    engine.sanity(x, steps=1, draws=1)
    engine.faithfulness(x, steps=4)
    engine.build_prototypes([ram], "scenes-resnet", "ram", clusters=2)
    for method in ("score_cam", "lpcam"):
        engine.explain(ram, "scenes-resnet", method=method)
    assert generators() == before


def test_a_failed_load_moves_no_generator(folder):
    (folder / "model.safetensors").write_bytes(GARBLED)
    before = generators()
    with pytest.raises(WeightsError):
        weights.load_backbone(f"local-dir:{folder}")
    assert generators() == before


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cut short"),
        (b"\xff" * 64, "cut short"),
        (struct.pack("<Q", 5) + b"[1,2]", "no table of tensors"),
        (struct.pack("<Q", 9) + b"[" * 9, "cannot be read"),
        (struct.pack("<Q", 2**40) + b"x" * 64, "cut short"),
    ],
)
def test_a_checkpoint_whose_header_lies(tmp_path, data, words):
    file = tmp_path / "last.safetensors"
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=f"'last.safetensors' holds no tensors.*{words}"):
        load_backbone("test_resnet", file)


def test_a_checkpoint_with_a_header_of_many_megabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "MOST_HEADER", 1000)
    file = tmp_path / "last.safetensors"
    file.write_bytes(struct.pack("<Q", 2000) + b" " * 2000)
    with pytest.raises(WeightsError, match="header has 2,000 bytes, and 1,000 are the most"):
        load_backbone("test_resnet", file)


@pytest.mark.parametrize(
    ("text", "words"),
    [("[" * 100_000, "is not JSON"), ("{", "is not JSON"), ('[["a"]]', "a label is a name")],
)
def test_a_damaged_file_of_labels(tmp_path, text, words):
    file = tmp_path / "labels.json"
    file.write_text(text)
    with pytest.raises(BackboneError, match=words):
        load_backbone("test_resnet", "random", labels=file)


def test_a_file_of_labels_that_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "_MOST_BYTES", 100)
    (tmp_path / "film.txt").write_bytes(b"x" * 101)
    with pytest.raises(BackboneError, match=r"more than 0\.0001 MB"):
        load_backbone("test_resnet", "random", labels=tmp_path / "film.txt")
