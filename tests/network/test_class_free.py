"""Networks without classes: what they are told by, and where their features are."""

import pytest
import timm
import torch
from torch import nn

from camviz import load_backbone, wrap_backbone
from camviz.errors import BackboneError, TargetError
from camviz.network.taps import probe_input
from camviz.network.target import Target
from camviz.network.trace import trace
from tests.support.networks import untrained
from tests.support.outputs import by_hand, outputs_of

# name, options -> numbers that it gives, default stages. Small inputs, random weights.
NETWORKS = {
    "DINOv2": (
        "vit_small_patch14_dinov2.lvd142m",
        {"img_size": 56},
        384,
        ("blocks.2", "blocks.5", "blocks.9", "norm"),
    ),
    "SigLIP, attention pooling": (
        "vit_base_patch16_siglip_224.v2_webli",
        {"img_size": 32, "depth": 2},
        768,
        ("blocks.0", "blocks.1", "norm"),
    ),
    "CLIP, embedding": (
        "vit_base_patch32_clip_224.openai",
        {"img_size": 64, "depth": 2},
        512,
        ("blocks.0", "blocks.1", "norm"),
    ),
    "CLIP of a ResNet": (
        "resnet50_clip.openai",
        {},
        1024,
        ("stages.0", "stages.1", "stages.2", "final_conv"),
    ),
    "MAE": (
        "vit_base_patch16_224.mae",
        {"img_size": 32, "depth": 2},
        768,
        ("blocks.0", "blocks.1", "norm"),
    ),
    "convolutional": (
        "test_resnet",
        {"num_classes": 0},
        96,
        ("layer1", "layer2", "layer3", "layer4"),
    ),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", NETWORKS)
def test_features_are_told_from_classes(kind):
    name, options, numbers, defaults = NETWORKS[kind]
    backbone = wrap_backbone(untrained(name, **options), device="cpu")
    assert (backbone.output, backbone.labels, backbone.synonyms) == ("features", (), ())
    assert not backbone.has_classes and backbone.confidence_threshold == 0
    assert backbone.discovery.logits == numbers
    assert backbone.default_stages == defaults


@pytest.mark.sampled
@pytest.mark.parametrize("kind", ["DINOv2", "CLIP, embedding", "convolutional"])
def test_what_is_traced_is_what_the_modules_put_out(kind):
    name, options, numbers, _ = NETWORKS[kind]
    model = untrained(name, **options)
    backbone = wrap_backbone(model, device="cpu")
    taps = [backbone.stage(n).output for n in backbone.default_stages]
    image = probe_input(backbone.input_size)
    traced = trace(backbone, image, taps)
    expected = outputs_of(model, [tap.module for tap in taps], image)
    for tap in taps:
        there = by_hand(expected[tap.module][tap.call], tap.layout)
        assert torch.equal(traced.activations[tap.address], there)
    with torch.no_grad():
        assert torch.allclose(traced.logits, model(image)[0], atol=1e-6)
    assert traced.logits.shape == (numbers,)


def test_gradients_reach_the_taps_from_the_features():
    """As from a logit; the stages of a class token's network whose gradient is 0 are known."""
    backbone = wrap_backbone(untrained("test_vit", num_classes=0), device="cpu")
    dead = [stage.name for stage in backbone.stages if stage.zero_gradient]
    assert dead == ["blocks.5", "norm"] and "norm" in backbone.default_stages
    taps = [stage.output for stage in backbone.stages]
    traced = trace(backbone, probe_input(backbone.input_size), taps)
    for stage in backbone.stages:
        gradient = traced.gradients(Target(3))[stage.output.address]
        assert bool(gradient.any()) != stage.zero_gradient


@pytest.mark.long
def test_as_many_classes_as_an_embedding_are_classes_when_that_is_said():
    model = untrained("resnet50_clip.openai")
    assert wrap_backbone(model, device="cpu", output="softmax").labels[5] == "class 5"
    names = [f"thing {i}" for i in range(1024)]
    assert wrap_backbone(model, device="cpu", labels=names).labels == tuple(names)
    assert len(wrap_backbone(untrained("resnet50_clip.openai", num_classes=7)).labels) == 7


@pytest.mark.long
def test_a_head_of_ones_own_is_no_embedding():
    model = untrained("resnet50_clip.openai", num_classes=0)
    assert not wrap_backbone(model, device="cpu").has_classes
    model = untrained("test_resnet", num_classes=512)
    assert len(wrap_backbone(model, device="cpu").labels) == 512


def test_logits_can_be_taken_for_features():
    model = untrained("test_resnet")
    backbone = wrap_backbone(model, device="cpu", output="features")
    assert backbone.labels == () and backbone.discovery.logits == 1000
    model.pretrained_cfg["output"] = "features"
    assert not wrap_backbone(model, device="cpu").has_classes


@pytest.mark.parametrize("settings", [{"labels": ["a", "b"]}, {"output": "sigmoid"}])
def test_classes_of_a_network_without_a_classifier_are_refused(settings):
    with pytest.raises(BackboneError, match=r"no classifier: it gives 96 features, no class scor"):
        load_backbone("test_resnet", "random", "cpu", num_classes=0, **settings)


def test_a_class_of_it_is_refused():
    backbone = load_backbone("test_resnet", "random", "cpu", num_classes=0)
    for wanted in ("zebra", 3):
        with pytest.raises(TargetError, match=rf"^test_resnet knows no classes.*{wanted!r}; leave"):
            backbone.target(wanted)


def test_features_that_are_not_finite_are_named():
    backbone = wrap_backbone(untrained("test_resnet", num_classes=0), device="cpu")
    with torch.no_grad():
        next(backbone.model.parameters()).fill_(torch.nan)
    with pytest.raises(
        BackboneError, match=r"^96 of 96 features of test_resnet .*weights hold NaN"
    ):
        trace(backbone, probe_input(backbone.input_size), [])


def test_a_softmax_behind_features_changes_nothing():
    model = nn.Sequential(untrained("test_resnet", num_classes=0), nn.Softmax(dim=1))
    assert not wrap_backbone(model, device="cpu").has_classes


def test_tags_of_clip_hold_the_width_of_their_embedding():
    assert timm.get_pretrained_cfg("vit_base_patch32_clip_224.openai").num_classes == 512
