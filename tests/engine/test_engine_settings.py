"""Settings at the engine's doors and on the command line; explanations that are copied."""

import copy
import json
import pickle
from dataclasses import asdict, dataclass

import numpy as np
import pytest

from camviz import Engine, Options, PrototypeBank, load_backbone, wrap_backbone
from camviz.cli import main
from camviz.engine.option import option
from camviz.errors import BackboneError, PrototypeError
from camviz.network.settings import Settings
from tests.support.networks import untrained

GIVEN = {
    "mean": (0.25, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "interpolation": "nearest",
    "crop_pct": 0.5,
    "input_size": (3, 96, 64),
    "output": "sigmoid",
}


def test_settings_reach_a_backbone_that_is_loaded_by_name(engine, photo):
    labels = [f"thing, {i}" for i in range(1000)]
    x = engine.explain(photo, "test_resnet", weights="random", labels=labels, **GIVEN)
    assert {name: getattr(x.backbone, name) for name in GIVEN} == GIVEN
    assert x.backbone.labels == tuple(labels)
    manifest = json.loads(json.dumps(x.manifest()))
    for name, value in GIVEN.items():
        written = list(value) if isinstance(value, tuple) else value
        assert manifest["request"][name] == manifest["backbone"][name] == written
    assert manifest["request"]["labels"] == labels
    again = Engine("cpu").explain(photo, **manifest["request"])
    assert np.array_equal(again.fused, x.fused) and again.predictions == x.predictions
    # Another network than without them, and the same when they are given once more.
    assert engine.explain(photo, "test_resnet", weights="random").backbone is not x.backbone
    same = engine.explain(photo, "test_resnet", weights="random", **{**GIVEN, "labels": labels})
    assert same.backbone is x.backbone


def test_settings_come_too_late_for_a_backbone(engine, photo, tiny):
    with pytest.raises(BackboneError, match=r"made already, so mean has no effect"):
        engine.explain(photo, tiny("test_resnet"), mean=0.5)
    backbone = wrap_backbone(untrained(), mean=0.5, device="cpu")
    x = engine.explain(photo, backbone)
    request = asdict(x.request) | {"backbone": backbone}
    del request["weights"]
    assert np.array_equal(engine.explain(photo, **request).fused, x.fused)


def test_the_command_line_takes_settings(photo_file, tmp_path, capsys):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"thing, {i}" for i in range(1000)))
    words = ["explain", photo_file, "--backbone", "test_resnet", "--weights", "random", "--json"]
    words += ["--mean", ".25,.5,.5", "--std", "0.5", "--interpolation", "nearest"]
    words += ["--crop-pct", "0.5", "--input-size", "96,64", "--output", "sigmoid"]
    assert main([*words, "--labels", str(names)]) == 0
    found = json.loads(capsys.readouterr().out)["backbone"]
    for name, value in GIVEN.items():
        assert found[name] == (list(value) if isinstance(value, tuple) else value)
    assert main([*words, "--labels", "a,b"]) == 2
    assert "1000 classes, but 2 labels" in capsys.readouterr().err


NAMES = tuple(f"thing {i}" for i in range(1000))
EACH = {**GIVEN, "labels": NAMES}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", EACH)
def test_each_setting_at_each_door(engine, photo, name):
    """Alone: what is not given stays as the configuration has it; the manifest has all."""
    given = {name: EACH[name]}
    plain = load_backbone("test_resnet", "random", "cpu")
    doors = {
        "wrap_backbone": wrap_backbone(untrained(), device="cpu", **given),
        "load_backbone": load_backbone("test_resnet", "random", "cpu", **given),
        "settings": load_backbone("test_resnet", "random", "cpu", settings=Settings(**given)),
        "Engine.backbone": engine.backbone("test_resnet", "random", **given),
        "explain": engine.explain(photo, "test_resnet", weights="random", **given).backbone,
    }
    for door, backbone in doors.items():
        for each in EACH:
            expected = EACH[name] if each == name else getattr(plain, each)
            assert getattr(backbone, each) == expected, (door, each)
        assert backbone.settings.given == given, door
        request = json.loads(json.dumps(engine.explain(photo, backbone).manifest()))["request"]
        written = list(given[name]) if isinstance(given[name], tuple) else given[name]
        assert {each: request[each] for each in EACH if request[each] is not None} == {
            name: written
        }, door


@pytest.mark.sampled
@pytest.mark.parametrize("name", EACH)
def test_prototypes_are_built_with_settings(engine, photo, name):
    given = {name: EACH[name]}
    bank = engine.build_prototypes([photo], "test_resnet", 291, weights="random", **given)
    backbone = load_backbone("test_resnet", "random", "cpu", **given)
    expected = Engine("cpu").build_prototypes([photo], backbone, 291)
    assert bank.id == expected.id and bank.label == expected.label
    plain = engine.build_prototypes([photo], "test_resnet", 291, weights="random")
    assert (bank.id != plain.id) == (name in ("mean", "interpolation", "input_size"))
    assert (bank.label == "thing 291") == (name == "labels")


def test_prototypes_refuse_what_is_no_setting(engine, photo, tiny):
    with pytest.raises(PrototypeError, match=r"no argument 'means'; those of a network are mean, "):
        engine.build_prototypes([photo], "test_resnet", 291, weights="random", means=0.5)
    with pytest.raises(BackboneError, match=r"made already, so mean has no effect"):
        engine.build_prototypes([photo], tiny("test_resnet"), 7, mean=0.5)


def test_the_command_line_builds_prototypes_with_settings(photo_file, tmp_path, capsys):
    words = ["prototypes", "build", photo_file, "--backbone", "test_resnet"]
    words += ["--weights", "random", "--mean", ".25,.5,.5", "--input-size", "96,64"]
    words += ["--labels", ",".join(NAMES), "--target", "thing 291"]
    assert main([*words, "--out", str(tmp_path / "a.safetensors")]) == 0
    found = PrototypeBank.load(tmp_path / "a.safetensors")
    expected = Engine("cpu").build_prototypes(
        [photo_file], "test_resnet", 291, weights="random", mean=(0.25, 0.5, 0.5),
        input_size=(96, 64), labels=NAMES,
    )  # fmt: skip
    assert found.label == "thing 291" and found.id == expected.id
    assert main([*words, "--std", "0", "--out", str(tmp_path / "b.safetensors")]) == 2
    assert "std is a positive number" in capsys.readouterr().err


@dataclass(frozen=True, kw_only=True)
class More(Options):
    warmth: float = option(0.0, "how warm", kind=float)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("options", [Options, More])
def test_explanations_can_be_copied(photo, tiny, copied, options):
    x = Engine("cpu", options=options).explain(photo, tiny("test_resnet"), truncation=0.9)
    drawn = x.fused, x.maps[x.stages[0]], x.predictions
    y = copied(x)
    assert y.request == x.request and type(y.request) is type(x.request)
    assert np.array_equal(y.fused, drawn[0]) and y.predictions == drawn[2]
    assert y.backbone.uid != x.backbone.uid and y.backbone.digest == x.backbone.digest
    again = Engine("cpu").explain(y.picture, y.backbone, truncation=0.9)
    assert np.array_equal(again.fused, x.fused)


def test_a_network_that_is_not_ready_is_said_to_be(engine, photo):
    for given in (untrained(), 3, b"resnet18", ["resnet18"]):
        with pytest.raises(BackboneError, match="a backbone is a name or a Backbone, not"):
            engine.explain(photo, given)
