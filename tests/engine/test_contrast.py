"""Contrast with other classes: y = s_c - gamma * mean_d s_d, named, nearest, repeated, refused.

The reference is plain autograd of y on an unfrozen copy of the network, one pass a map.
"""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from camviz import load_backbone, wrap_backbone
from camviz.cli import main
from camviz.errors import MethodError, TargetError
from camviz.methods import METHODS
from camviz.network.target import Target, nearest_classes
from camviz.network.trace import trace
from tests.support.networks import copy_of
from tests.support.tensors import close_to_scale
from tests.support.traces import image_for, reference, taps_of

import timm  # isort: skip  after vision_ops, which lets torchvision be imported

PAIR = {"activations", "gradients"}
GRADIENT_METHODS = [name for name, row in METHODS.items() if set(row.needs) == PAIR]
RESNET = "test_resnet"


@pytest.fixture
def farm():
    """A network of four animals, one of which has a comma in its name."""
    model = timm.create_model(RESNET, num_classes=4, zero_init_last=False)
    labels = ["red fox", "grey fox", "hen, brooding", "cock"]
    return wrap_backbone(model, labels=labels, name="farm", device="cpu")


# --- the map ---


@pytest.mark.sampled(4)
@pytest.mark.parametrize("method", GRADIENT_METHODS)
@pytest.mark.parametrize("name", [RESNET, "test_vit2"])
def test_every_gradient_method_explains_the_margin_over_the_mean(engine, tiny, photo, name, method):
    backbone = tiny(name)
    options = {"method": method, "checkerboard": "keep", "refine": "none"}
    x = engine.explain(photo, backbone, target=3, versus=[5, 8, 2], gamma=0.6, **options)
    image, _ = backbone.prepare(x.picture)
    taps = [backbone.stage(stage).tap("activation") for stage in x.stages]
    _, activations, gradients = reference(
        backbone, image, taps, lambda s: s[3] - 0.6 * (s[5] + s[8] + s[2]) / 3
    )
    for stage, tap in zip(x.stages, taps, strict=True):
        wanted = METHODS[method].function(activations[tap], gradients[tap])[0]
        close_to_scale(torch.from_numpy(x.raw[stage]), wanted)
    plain = engine.explain(photo, backbone, target=3, **options)
    assert any(not np.allclose(plain.raw[n], x.raw[n], rtol=0.01) for n in x.stages)


def test_a_further_reference_costs_one_backward_and_gamma_none(engine, tiny, photo, passes):
    backbone = copy_of(tiny(RESNET))
    engine.explain(photo, backbone, target=3)
    count = passes(backbone)
    for versus, gamma, backwards in (
        (4, 1, 1), ([4, 5], 1, 2), ([5, 4], 0.6, 2), (5, 2, 2), ([4, 5, 6], 1, 3)
    ):  # fmt: skip
        engine.explain(photo, backbone, target=3, versus=versus, gamma=gamma)
        assert count == {"forward": 0, "backward": backwards}


# --- the nearest classes ---


def test_the_nearest_are_closest_in_logit_above_or_below():
    logits = torch.tensor([0.0, 5.0, 4.0, 7.5, 3.0, -9.0])
    assert nearest_classes(logits, 1) == (2, 4, 3)
    assert nearest_classes(logits, 5) == (0, 4, 2)
    assert nearest_classes(torch.tensor([1.0, 2.0, 0.0]), 0) == (1, 2), "of two at one distance"
    assert nearest_classes(torch.tensor([1.0, 2.0]), 1) == (0,)
    with pytest.raises(TargetError, match="knows one class only"):
        nearest_classes(torch.tensor([1.0]), 0)


def test_nearest_is_the_same_as_naming_them(engine, tiny, photo):
    backbone = tiny(RESNET)
    for options in ({"target": 3}, {}, {"views": "flip"}):
        x = engine.explain(photo, backbone, versus="nearest", gamma=0.6, **options)
        distances = np.abs(x.logits.astype(float) - x.logits[x.target])
        order = sorted(range(len(distances)), key=lambda i: distances[i])
        assert order[0] == x.target and list(x.request.references) == order[1:4]
        named = engine.explain(photo, backbone, versus=order[1:4], gamma=0.6, **options)
        assert named.request == x.request
        assert all(np.array_equal(named.raw[n], x.raw[n]) for n in x.stages)


def test_a_target_that_is_not_settled_has_the_gradients_of_the_settled_one(tiny):
    backbone = tiny(RESNET)
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    target = Target(3, versus="nearest", gamma=0.5)
    settled = target.settle(traced.logits)
    assert settled == Target(3, versus=nearest_classes(traced.logits, 3), gamma=0.5)
    assert settled.settle(traced.logits) is settled and not traced.has(target)
    found, wanted = traced.gradients(target), traced.gradients(settled)
    assert traced.has(target) and all(torch.equal(found[a], wanted[a]) for a in wanted)


# --- names ---


def test_classes_are_named_in_every_way(engine, farm, photo):
    for versus, found in (
        ("red,cock", (0, 3)),
        (" cock , 0", (3, 0)),
        (["hen, brooding", 3], (2, 3)),
        ("hen, brooding", 2),
        (("cock",), 3),
        ("2,cock", (2, 3)),
    ):
        x = engine.explain(photo, farm, target="grey fox", versus=versus)
        assert x.request.versus == found
        assert x.request.references == (found if isinstance(found, tuple) else (found,))
        assert x.reference_labels == tuple(farm.labels[i] for i in x.request.references)


@pytest.mark.parametrize(
    ("versus", "words"),
    [
        ("cock,wolf", "knows no class 'wolf'"),
        (["cock", 4], "no class 4: farm knows classes 0 to 3"),
        ("cock,fox", r"'fox' fits several classes of farm: red fox \(0\), grey fox \(1\)"),
        ("cock,red fox", "'red fox' cannot be compared with itself"),
        ([3, "cock"], "'cock' is compared with twice; name every class once"),
        (",,", "knows no class ',,'"),
        (["nearest", "cock"], "knows no class 'nearest'"),
    ],
)
def test_the_class_that_is_wrong_is_named(engine, farm, photo, versus, words):
    with pytest.raises(TargetError, match=words):
        engine.explain(photo, farm, target="red fox", versus=versus)


def test_what_values_and_single_numbers_can_be_compared_with(engine, photo):
    model = timm.create_model(RESNET, num_classes=3, zero_init_last=False)
    values = wrap_backbone(model, output="value", name="prices", device="cpu")
    with pytest.raises(TargetError, match=r"prices gives values, each in a unit of its own, so no"):
        engine.explain(photo, values, target=1, versus="nearest")
    assert engine.explain(photo, values, target=1, versus=[0, 2]).request.versus == (0, 2)
    tags = wrap_backbone(model, output="sigmoid", device="cpu")
    x = engine.explain(photo, tags, target=1, versus="nearest")
    assert sorted(x.request.references) == [0, 2], "margins of logits exist for sigmoids, too"
    with pytest.raises(MethodError, match=r"gamma 0\.6 has no effect without versus"):
        engine.explain(photo, tags, gamma=0.6)


# --- repeating it ---


@pytest.mark.parametrize("versus", [4, [4, 9], "nearest"])
def test_a_request_repeats_a_contrast(engine, tiny, photo, versus):
    backbone = tiny(RESNET)
    x = engine.explain(photo, backbone, target=3, versus=versus, gamma=0.6)
    request = json.loads(json.dumps(x.manifest()))["request"]
    assert request["gamma"] == 0.6
    for given in (request, asdict(x.request)):
        given = {k: v for k, v in given.items() if k not in ("backbone", "weights")}
        y = engine.explain(photo, backbone, **given)
        assert y.request == x.request and np.array_equal(y.fused, x.fused)


def test_a_contrast_from_a_shell(photo_file, capsys):
    explain = ["explain", photo_file, "--backbone", RESNET, "--weights", "random", "--json"]
    backbone = load_backbone(RESNET, "random", "cpu")
    for words, wanted in (
        (["--versus", "7"], (7, 1.0)),
        (["--versus", f"{backbone.labels[8]},9"], ([8, 9], 1.0)),
    ):
        assert main([*explain, "--target", "5", *words]) == 0
        request = json.loads(capsys.readouterr().out)["request"]
        assert (request["versus"], request["gamma"]) == wanted
    assert main([*explain, "--target", "5", "--versus", "nearest", "--gamma", ".6"]) == 0
    request = json.loads(capsys.readouterr().out)["request"]
    assert len(request["versus"]) == 3 and request["gamma"] == 0.6
    assert main([*explain, "--gamma", ".6"]) == 2
    assert "has no effect without versus" in capsys.readouterr().err
    assert main([*explain, "--target", "5", "--versus", "7,unicorn"]) == 2
    assert "knows no class 'unicorn'" in capsys.readouterr().err
