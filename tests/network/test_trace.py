"""Tracing: what one pass keeps equals plain autograd, through in-place operations and branches.

The reference is slow and takes no precautions: an unfrozen copy of the network, its input
requiring a gradient, plain hooks, one pass a target.
"""

import copy

import pytest
import torch
from torch import nn

from camviz import wrap_backbone
from camviz.errors import TargetError
from camviz.methods.gradient import checkerboard
from camviz.network.layouts import Layout
from camviz.network.taps import Tap
from camviz.network.target import Target
from camviz.network.trace import trace
from tests.support.networks import copy_of
from tests.support.tensors import close_to_scale, noise
from tests.support.toys import Branches, Net
from tests.support.traces import evidence_at, image_for, reference, taps_of

FAMILIES = (
    "test_resnet",
    "test_efficientnet",
    "test_convnext",
    "test_mambaout",
    "test_vit",
    "test_nfnet",
)


@pytest.mark.parametrize("name", FAMILIES)
def test_activations_and_gradients_are_those_of_plain_autograd(tiny, name):
    backbone = tiny(name)
    image, taps = image_for(backbone), taps_of(backbone)
    logits, activations, gradients = reference(backbone, image, taps, lambda s: s[7])
    traced = trace(backbone, image, taps)
    close_to_scale(traced.logits, logits)
    close_to_scale(traced.probabilities, logits.softmax(dim=0))
    found = traced.gradients(Target(7))
    assert list(found) == [tap.address for tap in taps]
    for tap in taps:
        close_to_scale(traced.activations[tap.address], activations[tap])
        close_to_scale(found[tap.address], gradients[tap])
        assert traced.activations[tap.address].dtype == found[tap.address].dtype == torch.float32
        assert found[tap.address].shape == (1, tap.channels, *tap.layout.grid)
    if name != "test_vit":  # its last block is silent
        assert all(found[tap.address].any() for tap in taps)


TARGETS = {
    "logit": (Target(3), lambda s: s[3]),
    "log_probability": (Target(3, "log_probability"), lambda s: s.log_softmax(dim=0)[3]),
    "probability": (Target(3, "probability"), lambda s: s.softmax(dim=0)[3]),
    "margin": (Target(3, versus=5), lambda s: s[3] - s[5]),
}


@pytest.mark.parametrize("name", ["test_resnet", "test_mambaout", "test_vit2"])
@pytest.mark.parametrize("kind", TARGETS)
def test_every_target_is_what_direct_autograd_gives(tiny, name, kind):
    backbone = tiny(name)
    target, score = TARGETS[kind]
    image, taps = image_for(backbone, 1), taps_of(backbone)
    _, _, gradients = reference(backbone, image, taps, score)
    found = trace(backbone, image, taps).gradients(target)
    for tap in taps:
        close_to_scale(found[tap.address], gradients[tap])


@pytest.mark.parametrize("kind", ["log_probability", "probability"])
@pytest.mark.parametrize("gap", [5, 13, 18.5, 25, 60])
def test_a_class_that_is_certain_has_its_exact_gradient(tiny, kind, gap):
    """1 - p = 2e-6 and below: the difference of two gradients was once nothing but rounding."""
    backbone = copy_of(tiny("test_resnet"))
    image, taps = image_for(backbone, 1), taps_of(backbone)
    with torch.no_grad():
        logits = backbone.model(image)[0]
        rival = logits.clone()
        rival[3] = -torch.inf
        classifier = backbone.model.get_classifier()
        classifier.bias[3] += rival.max() - logits[3] + gap
    double = copy.deepcopy(backbone.model).double()
    stored = {}
    for tap in taps:
        double.get_submodule(tap.module).register_forward_hook(keeper(stored, tap))
    scores = double(image.double().requires_grad_(True))[0]
    others = torch.arange(len(scores)) != 3
    assert float((scores[3] - scores[others].max()).detach()) == pytest.approx(gap, abs=0.01)
    # log p_c = -log(1 + sum_(j != c) exp(s_j - s_c)), in which nothing cancels
    surprise = torch.log1p((scores[others] - scores[3]).exp().sum())
    score = -surprise if kind == "log_probability" else (-surprise).exp()
    wanted = torch.autograd.grad(score, [stored[tap] for tap in taps])
    found = trace(backbone, image, taps).gradients(Target(3, kind))
    for tap, expected in zip(taps, wanted, strict=True):
        assert expected.any()
        close_to_scale(found[tap.address], tap.layout.to_nchw(expected).float())


def keeper(stored, tap):
    def hook(module, given, output):
        stored[tap] = output

    return hook


@pytest.mark.parametrize("logit", [-50.0, -120.0, -1e4])
def test_the_probability_of_an_improbable_class_has_the_map_of_its_logarithm(tiny, logit):
    """exp(-120) has no representation in single precision, and its gradient was once empty."""
    backbone = copy_of(tiny("test_resnet"))
    with torch.no_grad():
        backbone.model.get_classifier().bias[3] += logit
    traced = trace(backbone, image_for(backbone, 1), taps_of(backbone))
    of_itself, of_logarithm = (
        traced.gradients(Target(3, kind)) for kind in ("probability", "log_probability")
    )
    for address, gradient in of_itself.items():
        peak = gradient.abs().max()
        assert peak > 0
        logarithm = of_logarithm[address]
        close_to_scale(gradient / peak, logarithm / logarithm.abs().max())


def test_a_margin_is_antisymmetric_and_logits_alone_have_margins():
    three, five = ("logit", 3), ("logit", 5)
    assert Target(3, versus=5).combination(0.1) == {three: 1.0, five: -1.0}
    assert Target(5, versus=3).combination(0.1) == {five: 1.0, three: -1.0}
    with pytest.raises(TargetError, match="between logits, not probability"):
        Target(3, "probability", versus=5)
    with pytest.raises(TargetError, match="class 3 cannot be compared with itself"):
        Target(3, versus=3)


def test_one_forward_serves_all_targets_and_each_basis_vector_costs_one_backward(tiny, passes):
    backbone = copy_of(tiny("test_resnet"))
    forwards = []
    backbone.model.register_forward_pre_hook(lambda m, i: forwards.append(1))
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    assert (len(forwards), passes["backward"]) == (1, 0), "nothing is differentiated unasked"
    for target, backwards in (
        (Target(0), 1),
        (Target(0), 1),
        (Target(1), 2),
        (Target(0, versus=1), 2),
        (Target(0, "probability"), 3),  # of its logarithm
        (Target(0, "log_probability"), 3),
        (Target(1, "log_probability"), 4),
        (Target(1, "probability"), 4),
    ):
        assert traced.has(target) == (backwards == passes["backward"])
        traced.gradients(target)
        assert traced.has(target)
        assert (len(forwards), passes["backward"]) == (1, backwards), target


def test_a_silent_stage_has_a_gradient_of_exact_zeros(tiny):
    backbone = tiny("test_vit")
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    for name, zero in (("blocks.5", True), ("blocks.5.norm1", False)):
        tap = backbone.stage(name).output
        assert traced.gradients(Target(2))[tap.address].any().item() is not zero
        found = evidence_at(traced, Target(2), tap)
        assert found.zero_gradient is zero
        assert (found.positive_share is None) == zero


def test_evidence_describes_the_gradient(tiny):
    backbone = tiny("test_resnet")
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    for stage in backbone.stages:
        gradients = traced.gradients(Target(4))[stage.output.address]
        products = gradients * traced.activations[stage.output.address]
        found = evidence_at(traced, Target(4), stage.output)
        share = float(products.relu().sum() / products.abs().sum())
        assert 0 < found.positive_share < 1
        assert found.positive_share == pytest.approx(share, abs=1e-5)
        assert found.checkerboard == checkerboard(gradients)


class InPlace(Net):
    """a's output is added to and rectified where it lies."""

    def __init__(self):
        super().__init__()
        self.b = nn.Conv2d(3, 4, 3, 2, 1)
        self.act = nn.ReLU(inplace=True)
        self.requires_grad_(False)

    def maps(self, x):
        y = self.a(x)
        y += self.b(x)
        return [self.act(y)]

    def forward_intermediates(self, x, **options):
        return [self.a(x)]


def test_in_place_operations_touch_neither_the_stored_tensor_nor_the_logits():
    backbone = wrap_backbone(InPlace(), device="cpu")
    model, image = backbone.model, noise((1, 3, 16, 16))
    a, b, plain = model.a(image), model.b(image), model(image)
    taps = [backbone.stage(name).output for name in ("a", "b", "act")]
    traced = trace(backbone, image, taps)
    assert torch.equal(traced.logits, plain[0])
    for name, value in (("a", a), ("b", b), ("act", (a + b).relu())):
        assert torch.equal(traced.activations[(name, 0, ())], value), name
    # by hand, without in-place operations
    leaf, side = a.clone().requires_grad_(True), b.clone().requires_grad_(True)
    rectified = (leaf + side).relu()
    score = model.head(rectified.mean(dim=(2, 3)))[0, 1]
    expected = torch.autograd.grad(score, [leaf, side, rectified])
    for tap, gradient in zip(taps, expected, strict=True):
        close_to_scale(traced.gradients(Target(1))[tap.address], gradient)
    # the reason for the precaution: a plain hook sees what became of the tensor
    kept = []
    model.a.register_forward_hook(lambda m, i, o: kept.append(o))
    model(image)
    assert torch.equal(kept[0], (a + b).relu())


@pytest.mark.parametrize("order", ["abc", "cba", "b", "bc", "ac", "ca"])
def test_branches_that_do_not_follow_each_other(order):
    backbone = wrap_backbone(Branches(), device="cpu")
    model, image = backbone.model, noise((1, 3, 16, 16))
    a, b = (model.get_submodule(n)(image).requires_grad_(True) for n in "ab")
    c = model.c(a.sigmoid() * b)
    score = model.head(c.mean(dim=(2, 3)))[0, 2]
    expected = dict(zip("abc", torch.autograd.grad(score, [a, b, c]), strict=True))
    traced = trace(backbone, image, [backbone.stage(name).output for name in order])
    for name in order:
        close_to_scale(traced.gradients(Target(2))[(name, 0, ())], expected[name])
        assert traced.gradients(Target(2))[(name, 0, ())].any()


class Shared(Net):
    """One block run three times."""

    def maps(self, x):
        first = self.b(self.a(x).tanh()).tanh()
        second = self.b(first).tanh()
        return [first, second, self.b(second)]

    def forward_intermediates(self, x, **options):
        return self.maps(x)[-1:]


def test_calls_of_one_module_are_kept_apart():
    backbone = wrap_backbone(Shared(), device="cpu")
    model, image = backbone.model, noise((1, 3, 16, 16))
    first = model.b(model.a(image).tanh()).requires_grad_(True)
    second = model.b(first.tanh())
    third = model.b(second.tanh())
    score = model.head(third.mean(dim=(2, 3)))[0, 0]
    expected = torch.autograd.grad(score, [first, second, third])
    taps = [Tap("b", Layout("NCHW", (8, 8)), 4, call=call) for call in (2, 0, 1)]
    traced = trace(backbone, image, taps)
    for call, (value, gradient) in enumerate(zip((first, second, third), expected, strict=True)):
        close_to_scale(traced.activations[("b", call, ())], value.detach())
        close_to_scale(traced.gradients(Target(0))[("b", call, ())], gradient)


def test_a_tap_named_twice_is_recorded_once(tiny):
    backbone = tiny("test_resnet")
    tap = backbone.stages[-1].output
    traced = trace(backbone, image_for(backbone), [tap, tap])
    assert traced.taps == (tap,)
    assert traced.covers([tap]) and not traced.covers([backbone.stages[0].output])
