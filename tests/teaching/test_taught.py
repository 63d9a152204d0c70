"""A taught network is a network like any other: its logits, gradients, maps, prototypes, digest."""

import pickle
from typing import ClassVar

import pytest
import torch

import camviz
from camviz import load_backbone, wrap_backbone
from camviz.errors import BackboneError, TargetError, TeachingError
from camviz.methods.activation import cam
from camviz.network.head import class_maps, head_weights
from camviz.network.target import Target
from camviz.network.taught import pooled_features
from camviz.network.trace import trace
from camviz.teaching.ridge import solve
from tests.support.tensors import close_to_scale
from tests.support.toys import Toy
from tests.support.traces import image_for, taps_of

NAMES = ("test_resnet", "test_efficientnet", "test_convnext", "test_vit")


@pytest.fixture(scope="session")
def taught_on(tiny, engine, pictures):
    """taught_on("test_vit"): that network, taught two kinds."""
    found = {}

    def get(name):
        if name not in found:
            found[name] = engine.teach(pictures, tiny(name))
        return found[name]

    return get


@pytest.mark.parametrize("name", NAMES)
def test_its_logits_are_the_scores_of_the_regression(taught_on, tiny, engine, pictures, name):
    taught, backbone = taught_on(name), tiny(name)
    images = [image for images in pictures.values() for image in images]
    opened = [camviz.open_picture(image) for image in images]
    rows = torch.cat([pooled_features(backbone, backbone.prepare(p)[0]) for p in opened])
    scores = solve(rows, torch.tensor([0, 0, 0, 1, 1, 1]), 2).scores(rows)
    logits = torch.from_numpy(engine.logits(images, taught.backbone))
    close_to_scale(logits, (taught.head.scale * scores).float(), 1e-4)
    assert taught.backbone.labels == ("church", "house") and taught.backbone.output == "softmax"
    assert scores.argmax(dim=1).tolist() == [0, 0, 0, 1, 1, 1]


def test_the_mean_of_cam_and_a_constant_are_the_logit(taught_on, tiny):
    """CAM is r w_c . A with r = 1 / ||p - m||; what is left over is b_c - r w_c . m."""
    taught = taught_on("test_efficientnet")
    backbone, head = taught.backbone, taught.head
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    activation = traced.activations[backbone.discovery.pre_pool.address]
    length = (activation.mean(dim=(2, 3))[0] - head.mean).norm()
    for index in (0, 1):
        found = head_weights(backbone, traced, index)
        assert found.kind == "normalised"
        close_to_scale(found.weights[0], head.weights[index] / length)
        heat = cam(activation, found.weights)
        left_over = head.offsets[index] - head.weights[index] @ head.mean / length
        total = float(heat.mean() + left_over)
        assert total == pytest.approx(float(traced.logits[index]), abs=1e-3)
        maps = class_maps(backbone, traced)
        assert maps.kind == "normalised"
        close_to_scale(maps.values[index], heat[0])


def test_gradients_are_those_of_the_true_logits(taught_on):
    """The length in the denominator is differentiated, too."""
    backbone = taught_on("test_resnet").backbone
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    tap = backbone.discovery.pre_pool
    gradient = traced.gradients(Target(1))[tap.address]
    activation = traced.activations[tap.address]
    head = backbone.model.fc
    epsilon = 1e-2
    for place in ((0, 3, 0, 0), (0, 50, 1, 1)):
        moved = []
        for step in (epsilon, -epsilon):
            changed = activation.clone()
            changed[place] += step
            moved.append(float(head(changed.mean(dim=(2, 3)))[0, 1]))
        slope = (moved[0] - moved[1]) / (2 * epsilon)
        assert float(gradient[place]) == pytest.approx(slope, rel=0.05, abs=1e-4)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_a_network_without_classes_is_taught_as_well(engine, pictures, name):
    backbone = load_backbone(name, "random", "cpu", num_classes=0)
    assert not backbone.has_classes
    taught = engine.teach(pictures, backbone)
    x = engine.explain(pictures["house"][0], taught.backbone, target="house", method="layer_cam")
    assert x.backbone.has_classes and x.label == "house" and x.fused.max() > 0


def test_two_heads_never_share_a_trace(engine, pictures, tiny):
    backbone = tiny("test_resnet")
    first = engine.teach(pictures, backbone).backbone
    swapped = {"church": pictures["house"], "house": pictures["church"]}
    second = engine.teach(swapped, backbone).backbone
    picture = pictures["church"][0]
    x, y = (engine.explain(picture, each) for each in (first, second))
    assert first.fingerprint != second.fingerprint != backbone.fingerprint
    assert first.weights_digest != second.weights_digest != backbone.weights_digest
    assert x.label == "church" and y.label == "house"
    assert engine.explain(picture, first).logits.tolist() == x.logits.tolist()


def test_the_network_stays_as_it_was_and_shares_its_weights(engine, pictures):
    backbone = load_backbone("test_resnet", "random", "cpu")
    before = backbone.digest
    taught = engine.teach(pictures, backbone).backbone
    assert backbone.digest == before and backbone.model.fc.out_features == 1000
    assert taught.model.layer1 is not backbone.model.layer1
    shared = [p.data_ptr() for p in taught.model.layer1.parameters()]
    assert shared == [p.data_ptr() for p in backbone.model.layer1.parameters()]


def test_a_given_network_may_go_on_learning(engine, pictures):
    model = load_backbone("test_resnet", "random", "cpu").model
    taught = engine.teach(pictures, wrap_backbone(model)).backbone
    before = taught.weights_digest
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    assert taught.weights_digest == before


def test_it_can_be_pickled(taught_on, engine, pictures):
    taught = taught_on("test_resnet").backbone
    copied = pickle.loads(pickle.dumps(taught))
    logits = [engine.logits([pictures["house"][1]], each) for each in (taught, copied)]
    assert logits[0].tolist() == logits[1].tolist()


def test_prototypes_are_built_from_the_same_pictures(engine, pictures):
    taught = engine.teach(pictures, "scenes-resnet").backbone
    bank = engine.build_prototypes(pictures["church"], taught, "church")
    x = engine.explain(pictures["church"][0], taught, target="church", method="lpcam",
                       prototypes=bank)  # fmt: skip
    assert x.bank is bank and bank.label == "church" and len(bank.pictures) == 3


def test_what_is_told_of_each_picture(engine, pictures, tiny):
    wrong = {"church": [*pictures["church"], pictures["house"][0]], "house": pictures["house"][1:]}
    taught = engine.teach(wrong, tiny("test_resnet"))
    assert [each.kind for each in taught.answers] == [0, 0, 0, 0, 1, 1]
    assert taught.head.tried == 6 and taught.head.right == sum(e.is_right for e in taught.answers)
    assert taught.answers[3] in taught.mistaken  # a house among the churches
    assert sum(taught.answers[3].shares) == pytest.approx(1)


def test_pictures_are_left_out_of_the_very_regression(engine, pictures, tiny):
    """With so large a penalty nothing is learned, and no picture is told by the others."""
    weak = engine.teach(pictures, tiny("test_resnet"), penalty=1e6)
    shares = [answer.shares[answer.kind] for answer in weak.answers]
    assert max(abs(share - 0.5) for share in shares) > 0.01
    assert weak.accuracy < engine.teach(pictures, tiny("test_resnet")).accuracy


def test_with_one_picture_a_kind_nothing_can_be_told(engine, pictures, tiny):
    few = {kind: images[:1] for kind, images in pictures.items()}
    taught = engine.teach(few, tiny("test_resnet"))
    assert taught.accuracy is None and taught.mistaken == ()
    assert [each.predicted for each in taught.answers] == [None, None]


def test_one_picture_more_is_one_pass_more(pictures, tiny):
    engine = camviz.Engine("cpu")
    asked = []
    report = lambda done, of, name: asked.append((done, of))  # noqa: E731
    backbone = tiny("test_resnet")
    few = {"church": pictures["church"], "house": pictures["house"][:2]}
    engine.teach(few, backbone, progress=report)
    assert asked == [(n, 5) for n in range(5)]
    asked.clear()
    engine.teach(pictures, backbone, progress=report)
    assert asked == [(0, 1)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "2 to 50 kinds apart, not 0"),
        ({"cup": ["x"]}, "2 to 50 kinds apart, not 1"),
        ({"cup": [], "plate": ["x"]}, "no picture of 'cup'"),
        ({"cup": "a.jpg", "plate": ["x"]}, "a list of pictures of 'cup'"),
        ({"cup": ["x"], " cup ": ["y"]}, "two kinds are called 'cup'"),
        ({"": ["x"], "plate": ["y"]}, "1 to 60 characters"),
        ({3: ["x"], "plate": ["y"]}, "1 to 60 characters, not 3"),
        ({"cup": ["x"] * 300, "plate": ["y"] * 300}, "600 pictures are too many"),
        (["a", "b"], "give the pictures of each kind"),
    ],
)
def test_what_cannot_be_taught(engine, tiny, given, words):
    with pytest.raises(TeachingError, match=words):
        engine.teach(given, tiny("test_resnet"))


def test_arguments_that_are_none(engine, pictures, tiny):
    with pytest.raises(TeachingError, match="penalty is a number above 0"):
        engine.teach(pictures, tiny("test_resnet"), penalty=0)
    with pytest.raises(TeachingError, match="no argument 'lambda_'"):
        engine.teach(pictures, tiny("test_resnet"), lambda_=1)
    taught = engine.teach(pictures, tiny("test_resnet"))
    with pytest.raises(TargetError, match="church"):
        taught.backbone.target("plate of church")


class Doubled(Toy):
    """Does more with its classifier's answer than to return it."""

    pretrained_cfg: ClassVar = {"input_size": (3, 32, 32), "classifier": "head"}

    def forward(self, x):
        return 2 * super().forward(x)


def test_a_network_that_has_no_place_for_it(engine, pictures):
    with pytest.raises(BackboneError, match="than one layer can take the place of; choose another"):
        engine.teach(pictures, wrap_backbone(Doubled()))


def test_camviz_teach_is_one_call(pictures, tmp_path):
    taught = camviz.teach(pictures, "scenes-resnet")
    file = taught.save(tmp_path / "head.safetensors")
    again = camviz.Engine().use_head(file)
    x = camviz.Engine().explain(pictures["house"][2], again.backbone)
    assert x.label == "house" and x.backbone.display_name == "scenes-resnet, taught"
    assert x.request.weights == "given"
