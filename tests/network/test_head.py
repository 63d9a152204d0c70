"""The classifier as one weight a channel, and on single places."""

import pytest
import torch
from timm import layers
from timm.layers import norm
from torch import nn

from camviz import wrap_backbone
from camviz.errors import MethodError
from camviz.methods.activation import cam
from camviz.network.head import _FrozenNorms, class_maps, head_weights, patch_probabilities
from camviz.network.target import Target
from camviz.network.trace import trace
from tests.support.networks import copy_of
from tests.support.tensors import close_to_scale, noise
from tests.support.toys import Branches, Net
from tests.support.traces import image_for, taps_of


def last_map(backbone, index, seed=0):
    traced = trace(backbone, image_for(backbone, seed), taps_of(backbone))
    head = head_weights(backbone, traced, index)
    tap = backbone.discovery.pre_pool
    heat = cam(traced.activations[tap.address], head.weights)
    return traced, head, heat


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_efficientnet", "test_nfnet", "test_byobnet", "test_maxvit"]
)
def test_t_cam_1_the_mean_of_the_map_and_the_bias_are_the_logit(tiny, name):
    def move_bias(model):
        with torch.no_grad():
            model.get_classifier().bias.copy_(noise((1000,), 4))

    backbone = copy_of(tiny(name), move_bias)
    for index in (0, 999):
        traced, head, heat = last_map(backbone, index)
        classifier = backbone.model.get_classifier()
        assert head.kind == "linear"
        close_to_scale(head.weights[0], classifier.weight[index])
        total = heat.mean() + classifier.bias[index]
        assert float(total) == pytest.approx(float(traced.logits[index]), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "norm"),
    [("test_convnext", "head.norm"), ("test_vit2", "fc_norm"), ("test_vit_relpos", "fc_norm")],
)
def test_t_cam_3_with_frozen_statistics_the_map_and_the_constants_are_the_logit(tiny, name, norm):
    def wake(model):
        with torch.no_grad():
            layer = model.get_submodule(norm)
            layer.weight.copy_(1 + 0.3 * noise(len(layer.weight), 5))
            layer.bias.copy_(0.3 * noise(len(layer.bias), 6))
            model.get_classifier().bias.copy_(noise((1000,), 7))

    backbone = copy_of(tiny(name), wake)
    layer, classifier = backbone.model.get_submodule(norm), backbone.model.get_classifier()
    for index in (1, 500):
        traced, head, heat = last_map(backbone, index)
        assert head.kind == "normalised"
        row = classifier.weight[index]
        pooled = traced.activations[backbone.discovery.pre_pool.address].mean(dim=(2, 3))[0]
        sigma = (pooled.var(unbiased=False) + layer.eps).sqrt()
        expected = (row * layer.weight - (row * layer.weight).mean()) / sigma
        close_to_scale(head.weights[0], expected)
        constants = row @ layer.bias + classifier.bias[index]
        assert float(heat.mean() + constants) == pytest.approx(
            float(traced.logits[index]), abs=1e-4
        )
        # while the norm's true derivative, which takes the scale out, sums to nothing
        tap = backbone.discovery.pre_pool
        products = traced.gradients(Target(index))[tap.address] * traced.activations[tap.address]
        assert abs(float(products.sum())) < 1e-3 * float(products.abs().sum())


class AsMap(nn.Module):
    """A norm over the last axis on pooled maps, (n, C, 1, 1)."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x.flatten(1))[..., None, None]


def variance(values):
    return values.var(unbiased=False)


def square(values):
    return values.square().mean()


# Every norm that a head of timm's may have: how it is made, and the square that it divides by.
NORMS = {
    "LayerNorm2d": (layers.LayerNorm2d, variance),
    "LayerNorm2dFp32": (norm.LayerNorm2dFp32, variance),
    "RmsNorm2d": (layers.RmsNorm2d, square),
    "RmsNorm2dFp32": (norm.RmsNorm2dFp32, square),
    "SimpleNorm2d": (layers.SimpleNorm2d, torch.var),
    "SimpleNorm2dFp32": (norm.SimpleNorm2dFp32, torch.var),
    "GroupNorm1": (layers.GroupNorm1, variance),
    "SimpleNorm": (lambda size: AsMap(layers.SimpleNorm(size)), torch.var),
    "RMSNorm": (lambda size: AsMap(nn.RMSNorm(size, eps=1e-6)), square),
    "LayerNorm": (lambda size: AsMap(nn.LayerNorm(size, eps=1e-6)), variance),
}


@pytest.mark.parametrize("name", NORMS)
def test_t_cam_3_holds_for_every_norm_of_a_head(tiny, name):
    """The mean of the map and the constants are the logit, by hand from the pooled features."""
    make, square_of = NORMS[name]

    def replace_norm(model):
        former = model.head.norm
        model.head.norm = layer = make(len(former.weight)).eval().requires_grad_(False)
        inner = getattr(layer, "norm", layer)
        with torch.no_grad():
            inner.weight.copy_(1 + 0.3 * noise(len(inner.weight), 5))
            if getattr(inner, "bias", None) is not None:
                inner.bias.copy_(0.3 * noise(len(inner.bias), 6))
            model.get_classifier().bias.copy_(noise((1000,), 7))

    backbone = copy_of(tiny("test_convnext"), replace_norm)
    layer, classifier = backbone.model.head.norm, backbone.model.get_classifier()
    layer = getattr(layer, "norm", layer)
    for index in (1, 500):
        traced, head, heat = last_map(backbone, index)
        assert head.kind == "normalised"
        pooled = traced.activations[backbone.discovery.pre_pool.address].mean(dim=(2, 3))[0]
        row = classifier.weight[index] * layer.weight
        if name.startswith(("Layer", "Group")):  # these subtract the mean
            row = row - row.mean()
        expected = row / (square_of(pooled) + layer.eps).sqrt()
        close_to_scale(head.weights[0], expected)
        bias = getattr(layer, "bias", None)
        shift = 0 if bias is None else classifier.weight[index] @ bias
        total = float(heat.mean() + shift + classifier.bias[index])
        assert total == pytest.approx(float(traced.logits[index]), abs=1e-3)
        assert class_maps(backbone, traced).values[index].mean() == pytest.approx(
            float(heat.mean()), abs=1e-3
        )


def test_an_activation_within_a_norm_acts():
    """No head of timm's has one, but one that is given may."""
    frozen, layer = _FrozenNorms(), layers.LayerNormAct2d(6)
    x = noise((1, 6, 2, 2), 3)
    wanted = layer(x)
    with frozen.hooks(layer):
        assert torch.allclose(layer(x), wanted, atol=1e-6) and (wanted == 0).any()


def test_groups_are_normalised_each_by_itself():
    frozen, layer = _FrozenNorms(), nn.GroupNorm(3, 6)
    with torch.no_grad():
        layer.weight.copy_(noise(6, 1))
        layer.bias.copy_(noise(6, 2))
    x = noise((2, 6, 2, 3), 3)
    with frozen.hooks(layer):
        assert torch.allclose(layer(x), layer.__class__.forward(layer, x), atol=1e-5)


def test_a_head_of_several_layers_is_linearised_at_the_picture(tiny):
    backbone = tiny("test_mambaout")
    traced, head, heat = last_map(backbone, 11)
    assert head.kind == "linearised"
    # by hand: pool, normalise with the spread held, two layers, classify
    part = backbone.model.head
    pooled = traced.features.mean(dim=(1, 2))[0].requires_grad_(True)
    spread = (pooled.detach().var(unbiased=False) + part.norm.eps).sqrt()
    normal = (pooled - pooled.mean()) / spread * part.norm.weight + part.norm.bias
    score = part.fc(part.pre_logits(normal))[11]
    assert score.item() == pytest.approx(float(traced.logits[11]), abs=1e-5)
    (derivative,) = torch.autograd.grad(score, pooled)
    close_to_scale(head.weights[0], derivative)
    _, other, _ = last_map(backbone, 12)
    assert not torch.allclose(head.weights, other.weights)
    assert heat.shape == (1, *backbone.stages[-1].grid)


class Flattened(Net):
    """A classifier that weighs every place by itself."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4 * 64, 3)
        self.requires_grad_(False)

    def maps(self, x):
        return [self.a(x)]

    def forward_head(self, x, pre_logits=False):
        return self.head(x.flatten(1))


def test_heads_without_one_weight_a_channel_are_refused_with_the_reason(tiny):
    with pytest.raises(MethodError, match=r"not defined for test_vit.*class token.*LayerCAM"):
        last_map(tiny("test_vit"), 0)
    with pytest.raises(MethodError, match="weighs places differently"):
        last_map(wrap_backbone(Flattened(), name="flat", device="cpu"), 0)
    backbone = wrap_backbone(Branches(), device="cpu")
    traced = trace(backbone, noise((1, 3, 16, 16)), [backbone.stages[0].output])  # not the last map
    with pytest.raises(MethodError, match="no single map"):
        head_weights(backbone, traced, 0)


@pytest.mark.parametrize(
    "name",
    ["test_resnet", "test_efficientnet", "test_convnext", "test_mambaout", "test_vit2"],
)
def test_a_place_is_judged_like_a_picture_full_of_it(tiny, name, unchanged):
    """Pooling by an average sees no difference; norm, bias and hidden layers all have their say."""
    backbone = tiny(name)
    tap = backbone.discovery.pre_pool
    traced = trace(backbone, noise((1, *backbone.input_size)), [tap])
    vectors = traced.activations[tap.address][0].flatten(1).T[:3] * 3
    with unchanged(backbone.model):
        found = patch_probabilities(backbone, vectors)
    assert found.shape == (3, len(backbone.labels))
    for vector, beliefs in zip(vectors, found, strict=True):
        full = torch.zeros_like(traced.features)
        tap.layout.to_nchw(full)[:] = vector[:, None, None]  # a view, whatever the layout
        assert full.any()
        close_to_scale(beliefs, backbone.model.forward_head(full)[0].softmax(dim=0))
    assert patch_probabilities(backbone, vectors[:0]).shape == (0, len(backbone.labels))


def test_heads_that_cannot_be_shown_a_place_say_so(tiny):
    with pytest.raises(MethodError, match="test_vit reads a class token"):
        patch_probabilities(tiny("test_vit"), noise((2, 64)))
    with pytest.raises(MethodError, match="cannot be shown a single place"):
        patch_probabilities(wrap_backbone(Flattened(), name="flat", device="cpu"), noise((2, 64)))


def test_without_a_graph_the_same_but_for_gradients(tiny, unchanged):
    backbone = tiny("test_resnet")
    taps = [stage.output for stage in backbone.stages]
    image = noise((1, *backbone.input_size))
    full = trace(backbone, image, taps)
    with unchanged(backbone.model):
        bare = trace(backbone, image, taps, graph=False)
    assert torch.equal(bare.logits, full.logits) and not bare.has_graph
    for tap in taps:
        assert torch.equal(bare.activations[tap.address], full.activations[tap.address])
    with pytest.raises(LookupError):
        bare.gradients(Target(0))


# --- all classes at once ---


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("test_resnet", "linear"),
        ("test_efficientnet", "linear"),
        ("test_convnext", "normalised"),
        ("test_vit2", "normalised"),
    ],
)
def test_the_maps_of_all_classes_are_cam_of_each(tiny, name, kind):
    backbone = tiny(name)
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    found = class_maps(backbone, traced)
    assert found.kind == kind and found.values.dtype == torch.float32
    tap = backbone.discovery.pre_pool
    assert found.values.shape == (1000, *tap.layout.grid)
    for index in (0, 7, 999):
        head = head_weights(backbone, traced, index)
        close_to_scale(found.values[index], cam(traced.activations[tap.address], head.weights)[0])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test_vit", "is not linear in the places of its map"),  # a class token
        ("test_mambaout", "is not linear in the places of its map"),  # several layers
    ],
)
def test_a_head_that_is_not_linear_has_no_maps_of_all_classes(tiny, name, words, unchanged):
    backbone = tiny(name)
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    with unchanged(backbone.model), pytest.raises(MethodError, match=words):
        class_maps(backbone, traced)


def test_the_maps_of_all_classes_need_no_gradient(tiny, monkeypatch, unchanged):
    backbone = tiny("test_convnext")
    traced = trace(backbone, image_for(backbone), taps_of(backbone), graph=False)
    monkeypatch.setattr(torch.autograd, "grad", None)
    with unchanged(backbone.model):
        assert class_maps(backbone, traced).values.abs().max() > 0
