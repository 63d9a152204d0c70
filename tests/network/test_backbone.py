"""Backbone: what wrap_backbone refuses, its options, labels, targets and digests."""

import numpy as np
import pytest
import torch

from camviz import Engine, load_backbone, open_picture, wrap_backbone
from camviz.errors import BackboneError, StageError, TargetError
from camviz.network.class_search import EVERYDAY

import timm  # isort: skip  after vision_ops
from tests.support.networks import untrained


def test_a_loaded_backbone_is_frozen_and_in_eval_mode():
    backbone = load_backbone("test_resnet", "random", "cpu")
    assert not any(module.training for module in backbone.model.modules())
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
    assert backbone.parameters == sum(p.numel() for p in backbone.model.parameters())
    assert wrap_backbone(untrained(), device="cpu").weights.source == "given"


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_given_network_stays_as_it_is(unchanged, photo, dtype):
    model = untrained(zero_init_last=False).train().to(dtype)
    model.conv1[0].requires_grad_(False)
    model.layer1.eval()
    with unchanged(model):
        backbone = wrap_backbone(model, device="cpu")
        Engine("cpu").explain(photo, backbone, target=3, placement="true")
        Engine("cpu").explain(photo, backbone, target=3, stages=["layer2.0"])
        Engine("cpu").explain(photo, backbone, target=3, method="cam")
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert {p.dtype for p in backbone.model.parameters()} == {torch.float32}
    assert (backbone.model is model) == (dtype == torch.float32)


def test_a_copy_of_a_half_network_follows_its_weights(photo):
    model = untrained(zero_init_last=False).half()
    backbone, engine = wrap_backbone(model, device="cpu"), Engine("cpu")
    before, digest = engine.explain(photo, backbone, target=3), backbone.digest
    other = untrained(zero_init_last=False)
    for parameter in other.parameters():
        parameter.data.mul_(1.5)
    model.load_state_dict(other.state_dict())
    after = engine.explain(photo, backbone, target=3)
    expected = engine.explain(photo, wrap_backbone(model, device="cpu"), target=3)
    assert backbone.digest != digest and not np.array_equal(after.logits, before.logits)
    assert np.array_equal(after.logits, expected.logits)
    model.fc = torch.nn.Linear(7, 5)
    with pytest.raises(BackboneError, match=r"layers of this ResNet were changed.*wrap it again"):
        engine.explain(photo, backbone)


def test_a_list_of_feature_maps_is_refused():
    with pytest.raises(BackboneError, match="no classifier"):
        wrap_backbone(timm.create_model("test_resnet", features_only=True), device="cpu")


def test_options_that_do_not_exist_are_refused():
    with pytest.raises(BackboneError, match=r"test_resnet could not be made.*colour"):
        load_backbone("test_resnet", "random", "cpu", colour="red")


def test_a_network_without_maps_is_named():
    model = torch.nn.Linear(2, 2)
    model.num_classes = 2
    model.pretrained_cfg = {"input_size": (3, 8, 8)}
    with pytest.raises(StageError, match=r"^mine: Linear has no forward_intermediates"):
        wrap_backbone(model, name="mine", device="cpu")


def test_options_reach_the_network():
    backbone = load_backbone("test_vit", "random", "cpu", img_size=(96, 64), num_classes=3)
    assert backbone.input_size == (3, 96, 64)
    assert {stage.grid for stage in backbone.stages} == {(6, 4)}
    assert len(backbone.labels) == 3


def test_weights_of_other_precision_are_refused_or_understood():
    """Not with torch's own message about CPU tensors."""
    for change in (torch.nn.Module.double, torch.nn.Module.half):
        try:
            wrap_backbone(change(untrained()), device="cpu")
        except BackboneError as error:
            assert "float" in str(error)


def test_what_a_picture_becomes(tiny, photo):
    backbone = tiny("test_resnet")
    x, fit = backbone.prepare(open_picture(photo))
    assert x.shape == (1, 3, 160, 160) and x.dtype == torch.float32
    assert fit.mode == "stretch" and fit.input_size == (160, 160)
    assert backbone.prepare(open_picture(photo), "crop")[1].mode == "crop"
    white = np.full((20, 20, 3), 255, np.uint8)
    expected = (1 - torch.tensor(backbone.mean)) / torch.tensor(backbone.std)
    found = backbone.prepare(open_picture(white))[0].mean(dim=(0, 2, 3))
    assert torch.allclose(found, expected, atol=1e-5)


def labelled(labels):
    return wrap_backbone(untrained(num_classes=len(labels)), labels=labels, name="n", device="cpu")


def test_imagenet_labels_and_synonyms(tiny):
    backbone = tiny("test_resnet")
    assert len(backbone.labels) == len(set(backbone.labels)) == 1000
    assert backbone.labels[282] == "tiger cat" and backbone.labels[291] == "lion"
    for wanted in (291, "291", " 291 ", "lion", "LION", "king of beasts", "Panthera leo"):
        assert backbone.target(wanted) == 291
    assert backbone.target("tench") == backbone.target("Tinca tinca") == 0
    assert backbone.target(np.int64(7)) == 7


def test_a_part_of_a_name_does_if_it_fits_one_class_only(tiny):
    backbone = tiny("test_resnet")
    assert backbone.target("tiger ca") == 282
    with pytest.raises(TargetError, match=r"'shark' fits several classes of test_resnet: .*great"):
        backbone.target("shark")


def test_words_of_a_name_do_in_any_order(tiny):
    assert tiny("test_resnet").target("cat tiger") == 282


def test_everyday_words_are_understood(tiny):
    backbone = tiny("test_resnet")
    assert {label for labels in EVERYDAY.values() for label in labels} <= set(backbone.labels)
    assert backbone.target("cow") == 345 and backbone.target("Lifting machine") == 517
    with pytest.raises(TargetError) as caught:
        backbone.target("house cat")
    for label in ("tabby (281)", "Siamese cat (284)"):
        assert label in str(caught.value)


def test_one_name_for_two_classes_is_answered_with_both(tiny):
    backbone = tiny("test_resnet")
    with pytest.raises(TargetError) as caught:
        backbone.target("crane")  # the bird and the machine
    assert "(134)" in str(caught.value) and "(517)" in str(caught.value)
    assert backbone.target(backbone.labels[134]) == 134
    assert backbone.target(backbone.labels[517]) == 517


def test_many_candidates_are_counted(tiny):
    with pytest.raises(TargetError, match=r" and \d+ more$"):
        tiny("test_resnet").target("terrier")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (1000, "no class 1000: test_resnet knows classes 0 to 999"),
        (-1, "no class -1"),
        ("-1", "no class -1"),
        ("1000", "no class 1000"),
        ("tigr cat", "similar: .*tiger cat"),
        ("", "knows no class ''"),
        ("   ", "knows no class"),
        ("--5", "'--5'"),
        ("²", "²"),
        (2.5, "2.5"),
        (float("nan"), "nan"),
        ([1], "1"),
    ],
)
def test_targets_that_do_not_exist_are_refused(tiny, wanted, words):
    with pytest.raises(TargetError, match=words):
        tiny("test_resnet").target(wanted)


def test_given_labels_are_kept_and_told_apart():
    backbone = labelled(["cat", "dog", "cat", "Maine Coon, long-haired"])
    assert backbone.labels == ("cat (0)", "dog", "cat (2)", "Maine Coon, long-haired")
    assert backbone.target("DOG") == 1
    assert backbone.target("cat (2)") == 2
    assert backbone.target("maine") == 3
    with pytest.raises(TargetError, match=r": cat \(0\), cat \(2\)$"):
        backbone.target("cat")
    for wrong in (["a"], ["a"] * 9):
        with pytest.raises(BackboneError, match=rf"4 classes, but {len(wrong)} labels"):
            wrap_backbone(untrained(num_classes=4), labels=wrong, device="cpu")


def test_a_label_that_is_a_number_is_a_label_first():
    """As digits, ages or years are: what is written on the class is what is meant."""
    backbone = labelled(["1", "2", "3"])
    assert backbone.target("1") == 0
    assert backbone.target(1) == 1


def test_classes_without_names_are_numbered():
    backbone = wrap_backbone(untrained(num_classes=3), device="cpu")
    assert backbone.labels == ("class 0", "class 1", "class 2")
    assert backbone.target("class 2") == 2


def test_the_digest_says_which_weights_these_are():
    model = untrained(num_classes=4)
    first = wrap_backbone(model, device="cpu").digest
    assert first == wrap_backbone(untrained(num_classes=4), device="cpu").digest
    with torch.no_grad():
        model.fc.bias[2] += 1e-6
    second = wrap_backbone(model, device="cpu").digest
    with torch.no_grad():
        model.fc.bias[2] -= 1e-6
        model.get_buffer("conv1.1.running_mean")[0] += 1e-6
    assert len({first, second, wrap_backbone(model, device="cpu").digest}) == 3


def test_the_same_weights_in_another_network_are_another_digest():
    """Padding is no weight, and yet it moves the map (what placement measures, and keeps)."""
    plain, same = (timm.create_model("test_efficientnet", pad_type=kind) for kind in ("", "same"))
    same.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 160, 160)
    assert not torch.allclose(plain.eval()(image), same.eval()(image))
    digests = {wrap_backbone(model, device="cpu").digest for model in (plain, same)}
    assert len(digests) == 2


def test_stages_asked_for_by_name_are_remembered(tiny):
    backbone = tiny("test_resnet")
    assert backbone.stage("layer2") is backbone.stages[2]
    assert backbone.stage("layer2.0") is backbone.stage("layer2.0")
    assert backbone.default_stages == ("layer1", "layer2", "layer3", "layer4")
    with pytest.raises(StageError, match="unknown stage or module 'layer9'"):
        backbone.stage("layer9")


def test_what_is_no_class_is_refused(tiny):
    backbone = tiny("test_resnet")
    for wanted in (True, 1.0, float("nan"), [1], b"lion", "1.0", "", "9" * 5000, -1, 10**30):
        with pytest.raises(TargetError):
            backbone.target(wanted)
    for wanted in (np.int64(7), np.array(7), torch.tensor(7), torch.tensor([7]), np.str_("7")):
        assert backbone.target(wanted) == 7
