"""Names of backbones: which are refused, and how they are shown."""

import pytest
from safetensors.torch import save_file

from camviz import load_backbone, wrap_backbone
from camviz.errors import BackboneError, TargetError
from camviz.network.names import display_name
from tests.support.networks import untrained, weights_of


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("resnet50.a1_in1k", "resnet50.a1_in1k"),
        ("local-dir:/srv/models/trees", "trees"),
        ("local-dir:/srv/models/trees/", "trees"),
        ("local-dir:/srv/models/other/../trees", "trees"),
        ("local-dir:/", "local-dir"),
        ("hf-hub:timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k"),
        ("my network", "my network"),
    ],
)
def test_a_name_is_shown_without_prefix_and_path(name, shown):
    assert display_name(name) == shown
    assert wrap_backbone(untrained(), name=name, device="cpu").display_name == shown


def test_no_sentence_about_a_local_network_holds_its_path(folder):
    path, _ = folder
    backbone = load_backbone(f"local-dir:{path}", device="cpu")
    assert (backbone.name, backbone.display_name) == (f"local-dir:{path}", "five")
    for wanted in (99, "zebra", "e"):  # no such index, no such class, several
        with pytest.raises(TargetError, match="five") as caught:
            backbone.target(wanted)
        assert str(path.parent) not in str(caught.value)
    named = load_backbone(f"local-dir:{path}", device="cpu", display_name="insects and others")
    assert named.name == f"local-dir:{path}" and named.display_name == "insects and others"
    with pytest.raises(TargetError, match=r"^insects and others knows no class 'zebra'"):
        named.target("zebra")


@pytest.mark.parametrize("damage", ["no config", "no weights", "other weights", "no classifier"])
def test_errors_of_a_network_with_a_display_name_hold_no_path(folder, damage):
    path, _ = folder
    options, weights = {}, "auto"
    if damage == "no config":
        (path / "config.json").unlink()
    elif damage == "no weights":
        for file in [*path.glob("*.safetensors"), *path.glob("*.bin")]:
            file.unlink()
    elif damage == "other weights":
        save_file(weights_of(untrained("test_vit")), path / "model.safetensors")
    else:
        options, weights = {"num_classes": 0, "output": "sigmoid"}, "random"
    with pytest.raises(BackboneError, match="my trees") as caught:
        load_backbone(f"local-dir:{path}", weights, "cpu", display_name="my trees", **options)
    assert str(path.parent) not in str(caught.value)
    if damage != "no classifier":
        with pytest.raises(BackboneError, match=str(path)):  # the path was given: it is shown
            load_backbone(f"local-dir:{path}", weights, "cpu", **options)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet999", ["unknown backbone 'resnet999'", "similar", "resnet50"]),
        ("zzzzzzzz", ["unknown backbone 'zzzzzzzz'"]),
        ("resnet50.nope", ["no weights tagged 'nope'", "a1_in1k"]),
        ("resnet50.", ["resnet50."]),
        ("hf-hub:", ["hf-hub:"]),
        ("hf-hub:a b/c", ["a b/c"]),
    ],
)
def test_names_that_do_not_exist_are_refused(offline, name, words):
    with pytest.raises(BackboneError) as caught:
        load_backbone(name)
    for word in words:
        assert word in str(caught.value)
