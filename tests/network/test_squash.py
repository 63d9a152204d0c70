"""Heads that end in a softmax or sigmoid: squashed once, and explained by what enters it."""

import numpy as np
import pytest
import torch
from torch import nn

from camviz import Engine, wrap_backbone
from camviz.errors import BackboneError
from tests.support.networks import untrained


def network(classes=4):
    return untrained(num_classes=classes, zero_init_last=False)


def in_head(layer):
    def build(classes=4):
        model = network(classes)
        model.fc = nn.Sequential(model.fc, layer())
        return model

    return build


def at_the_end(function):
    """A call at the end of the forward pass."""

    def build(classes=4):
        model = network(classes)
        forward = model.forward
        model.forward = lambda x: function(forward(x))
        return model

    return build


def in_forward_head(classes=4):
    model = network(classes)
    forward_head = model.forward_head

    def squashed(x, pre_logits=False):
        y = forward_head(x, pre_logits=pre_logits)
        return y if pre_logits else y.softmax(-1)

    model.forward_head = squashed
    return model


def behind(*layers):
    return lambda classes=4: nn.Sequential(network(classes), *(layer() for layer in layers))


SOFTMAX = {
    "Softmax": in_head(lambda: nn.Softmax(dim=1)),
    "Softmax without dim": in_head(nn.Softmax),
    "LogSoftmax": in_head(lambda: nn.LogSoftmax(dim=-1)),
    "softmax()": at_the_end(lambda y: y.softmax(dim=1)),
    "F.softmax": at_the_end(lambda y: nn.functional.softmax(input=y, dim=1)),
    "torch.log_softmax": at_the_end(lambda y: torch.log_softmax(y, -1)),
    "special": at_the_end(lambda y: torch.special.softmax(y, 1)),
    "in a tuple": at_the_end(lambda y: (y.softmax(1), y)),
    "over places": at_the_end(lambda y: y[:, :, None, None].softmax(1)),
    "forward_head": in_forward_head,
    "behind": behind(lambda: nn.Softmax(dim=1)),
    "behind, dropout": behind(lambda: nn.Softmax(dim=1), nn.Dropout),
    "log behind": behind(lambda: nn.LogSoftmax(dim=1)),
}
SIGMOID = {
    "Sigmoid": in_head(nn.Sigmoid),
    "LogSigmoid": in_head(nn.LogSigmoid),
    "sigmoid()": at_the_end(torch.Tensor.sigmoid),
    "sigmoid_()": at_the_end(torch.Tensor.sigmoid_),
    "expit": at_the_end(torch.special.expit),
    "behind": behind(nn.Sigmoid),
}


@pytest.mark.sampled(8)
@pytest.mark.filterwarnings("ignore:Implicit dimension")
@pytest.mark.parametrize(("kind", "case"), [("softmax", k) for k in SOFTMAX]
                         + [("sigmoid", k) for k in SIGMOID])  # fmt: skip
@pytest.mark.parametrize("method", ["layer_cam", "cam"])
def test_a_squash_at_the_end_is_not_repeated(photo, kind, case, method):
    squashed = (SOFTMAX if kind == "softmax" else SIGMOID)[case]()
    backbone = wrap_backbone(squashed, device="cpu")
    x = Engine("cpu").explain(photo, backbone, method=method)
    plain = wrap_backbone(network(), device="cpu", output=kind)
    y = Engine("cpu").explain(photo, plain, method=method)
    assert backbone.output == kind
    np.testing.assert_array_equal(x.logits, y.logits)
    assert x.predictions == y.predictions and x.stages == y.stages
    for name in x.stages:
        np.testing.assert_array_equal(x.raw[name], y.raw[name])
        assert x.raw[name].any()


@pytest.mark.parametrize("score", ["log_probability", "probability"])
def test_scores_of_squashed_networks(photo, score):
    for build in (SOFTMAX["Softmax"], SOFTMAX["LogSoftmax"]):
        x = Engine("cpu").explain(photo, wrap_backbone(build(), device="cpu"), score=score)
        y = Engine("cpu").explain(photo, wrap_backbone(network(), device="cpu"), score=score)
        for name in x.stages:
            np.testing.assert_array_equal(x.raw[name], y.raw[name])


def test_a_certain_class_has_a_map(photo):
    """Where a probability rounds to 1, its own gradient is 0."""
    for squash, output in ((nn.Softmax(dim=1), None), (nn.Sigmoid(), "sigmoid")):
        model = network()
        model.fc.bias.data += torch.tensor([200.0, 0, 0, 0])
        model.fc = nn.Sequential(model.fc, squash)
        x = Engine("cpu").explain(photo, wrap_backbone(model, device="cpu", output=output))
        assert x.target == 0 and x.predictions[0][2] == 1
        assert all(raw.any() for raw in x.raw.values())


def test_a_sigmoid_of_one_logit_may_have_two_labels(photo):
    model = SIGMOID["Sigmoid"](classes=1)
    backbone = wrap_backbone(model, device="cpu", labels=["healthy", "ill"])
    x = Engine("cpu").explain(photo, backbone)
    image, _ = backbone.prepare(x.picture)
    with torch.no_grad():
        expected = float(model(image))
    assert {label: p for _, label, p in x.predictions}["ill"] == pytest.approx(expected)


@pytest.mark.parametrize("build", [SIGMOID["Sigmoid"], SOFTMAX["Softmax"]])
def test_values_are_the_numbers_as_they_are(photo, build):
    model = build()
    backbone = wrap_backbone(model, device="cpu", output="value")
    x = Engine("cpu").explain(photo, backbone)
    image, _ = backbone.prepare(x.picture)
    with torch.no_grad():
        np.testing.assert_array_equal(x.logits, model(image)[0].numpy())


def hand_written(y):
    e = (y - y.amax(1, keepdim=True)).exp()
    return e / e.sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("build", "options", "sentence"),
    [
        (at_the_end(hand_written), {}, "sum to 1, and not by a softmax at its end.*'value'"),
        (
            at_the_end(lambda y: (y.softmax(1) + (y * 2).softmax(1)) / 2),
            {},
            "sum to 1, and not by a softmax",
        ),
        (in_head(lambda: nn.Softmax(dim=0)), {}, r"another axis.* give it dim=1"),
        (behind(lambda: nn.Softmax(dim=0)), {}, r"another axis.* give it dim=1$"),
        (in_head(nn.Sigmoid), {"output": "softmax"}, "ends in a sigmoid, so its output is 'sigm"),
        (
            in_head(lambda: nn.LogSoftmax(1)),
            {"output": "sigmoid"},
            "ends in a log softmax, so its output is 'softmax' and not 'sigmoid'",
        ),
        (behind(nn.Sigmoid), {"output": "value"}, "ends in a sigmoid.* leave output out$"),
        (behind(nn.Tanh), {}, "other class scores"),
        (lambda: SOFTMAX["Softmax"](1), {}, "softmax of one number, which is always 1"),
    ],
)
def test_what_cannot_be_read_is_refused(build, options, sentence):
    with pytest.raises(BackboneError, match=sentence):
        wrap_backbone(build(), device="cpu", **options)


def test_plain_logits_are_no_probabilities():
    """Numbers between 0 and 1 that nothing squashed stay logits."""
    model = network(1)
    model.fc.bias.data.fill_(0.5)
    backbone = wrap_backbone(model, device="cpu")
    assert backbone.discovery.squash is None and backbone.output == "sigmoid"
    model = network()
    model.fc.weight.data.zero_()
    model.fc.bias.data = torch.tensor([0.1, 0.2, 0.3, 0.5])
    assert wrap_backbone(model, device="cpu", output="sigmoid").discovery.squash is None
