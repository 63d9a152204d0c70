"""What a head's numbers mean: probabilities of each kind, their scores and gradients."""

import numpy as np
import pytest
import torch

from camviz import Engine, load_backbone, wrap_backbone
from camviz.errors import BackboneError, CamvizError
from camviz.network.outputs import Value, shares
from camviz.network.taps import probe_input
from camviz.network.target import Target
from camviz.network.trace import Trace, trace
from tests.support.networks import untrained


def network(classes, **options):
    return wrap_backbone(
        untrained(num_classes=classes, zero_init_last=False), device="cpu", **options
    )


def test_one_logit_is_a_sigmoids(photo):
    backbone = network(1)
    with torch.no_grad():
        backbone.model.fc.bias -= 5.7
    x = Engine("cpu").explain(photo, backbone)
    assert backbone.output == "sigmoid" and len(x.logits) == 1
    expected = 1 / (1 + np.exp(-float(x.logits[0])))
    assert expected < 0.05
    assert x.predictions == [(0, "class 0", pytest.approx(expected))]


def test_two_labels_of_one_logit_are_its_absence_and_its_presence(photo):
    backbone = network(1, labels=["healthy", "ill"])
    x = Engine("cpu").explain(photo, backbone, target="ill")
    absent = Engine("cpu").explain(photo, backbone, target="healthy")
    assert backbone.labels == ("healthy", "ill") and len(x.logits) == 2
    figures = {label: p for _, label, p in x.predictions}
    assert sum(figures.values()) == pytest.approx(1)
    assert figures["ill"] == pytest.approx(1 / (1 + np.exp(-float(x.logits[1]))))
    for name in x.stages:  # what speaks for the one speaks against the other
        image, _ = backbone.prepare(x.picture)
        tap = backbone.stage(name).activation
        traced = trace(backbone, image, [tap])
        here, there = (traced.gradients(Target(i))[tap.address] for i in (1, 0))
        assert torch.equal(here, -there)
    assert absent.label == "healthy"


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
@pytest.mark.parametrize("score", ["logit", "log_probability", "probability"])
def test_scores_are_differentiated_as_the_output_says(tiny, kind, score):
    backbone = network(4, output=kind)
    tap = backbone.stages[-1].output
    image = probe_input(backbone.input_size)
    traced = trace(backbone, image, [tap])
    found = traced.gradients(Target(2, score))[tap.address]
    # Again from Trace.from_arrays, as another process sends it.
    copied = Trace.from_arrays(traced.to_arrays())
    assert torch.equal(copied.probabilities, traced.probabilities)
    assert torch.equal(copied.gradients(Target(2, score))[tap.address], found)

    stored = {}

    def keep(module, inputs, output):
        stored["map"] = output.detach().requires_grad_(True)
        return stored["map"].clone()

    handle = backbone.model.get_submodule(tap.module).register_forward_hook(keep)
    logits = backbone.model(image)[0]
    handle.remove()
    probabilities = shares(logits, kind)
    number = {
        "logit": logits[2],
        "log_probability": probabilities[2].log(),
        "probability": probabilities[2],
    }[score]
    (expected,) = torch.autograd.grad(number, stored["map"])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-9)
    assert bool(found.any())


def test_the_probability_of_a_certain_class_still_has_a_gradient():
    """1 - p is not 0 where p rounds to 1."""
    backbone = network(1)
    with torch.no_grad():
        backbone.model.fc.bias += 40
    tap = backbone.stages[-1].output
    traced = trace(backbone, probe_input(backbone.input_size), [tap])
    assert float(traced.probabilities[0]) == 1
    assert bool(traced.gradients(Target(0, "log_probability"))[tap.address].any())


def test_independent_probabilities_do_not_share(photo):
    backbone = network(3, output="sigmoid", confidence_threshold=0.9)
    with torch.no_grad():
        backbone.model.fc.bias += 6
    x = Engine("cpu").explain(photo, backbone)
    assert all(p > 0.99 for *_, p in x.predictions) and x.is_confident
    with torch.no_grad():
        backbone.model.fc.bias -= 6
    y = Engine("cpu").explain(photo, backbone)
    assert not y.is_confident  # the best alone counts, not the sum of the two best
    assert y.predictions[0][2] + y.predictions[1][2] > 0.9


def test_values_are_no_probabilities(photo):
    backbone = network(3, output="value", confidence_threshold=0.9)
    engine = Engine("cpu")
    x = engine.explain(photo, backbone)
    assert [p for *_, p in x.predictions] == sorted(map(float, x.logits), reverse=True)
    assert all(isinstance(p, Value) for *_, p in x.predictions) and x.is_confident
    assert x.manifest()["predictions"][0].keys() == {"index", "label", "value"}
    assert x.manifest()["backbone"]["output"] == "value"
    with pytest.raises(CamvizError, match=r"values, not probabilities.*score 'logit'"):
        engine.explain(photo, backbone, score="probability")


def test_the_configuration_says_what_the_output_is():
    model = untrained(num_classes=3)
    model.pretrained_cfg["output"] = "sigmoid"
    assert wrap_backbone(model, device="cpu").output == "sigmoid"
    assert wrap_backbone(model, device="cpu", output="value").output == "value"
    model.pretrained_cfg["output"] = "logits"
    with pytest.raises(BackboneError, match="unknown output 'logits' in the configuration"):
        wrap_backbone(model, device="cpu")
    del model.pretrained_cfg["output"]
    model.config = {"problem_type": "multi_label_classification"}
    assert wrap_backbone(model, device="cpu").output == "sigmoid"
    with pytest.raises(BackboneError, match="softmax of one is always 1"):
        network(1, output="softmax")
    with pytest.raises(BackboneError, match="need output 'sigmoid'"):
        network(1, output="value", labels=["small", "large"])


def test_a_trained_softmax_network_is_not_sure_below_a_half():
    assert network(3).confidence_threshold == 0.5
    assert network(3, confidence_threshold=0.2).confidence_threshold == 0.2
    for output in ("sigmoid", "value"):
        assert network(3, output=output).confidence_threshold == 0
    assert load_backbone("test_resnet", "random").confidence_threshold == 0
