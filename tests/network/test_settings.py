"""Settings: every way of writing them, and what is refused in a sentence."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from camviz import load_backbone, wrap_backbone
from camviz.errors import BackboneError
from camviz.network.settings import Settings, read_labels
from tests.support.networks import untrained
from tests.support.toys import Net


@pytest.mark.parametrize(
    "given",
    [
        ["ant", "bee", "cat"],
        ("ant", "bee", "cat"),
        np.array(["ant", "bee", "cat"]),
        {0: "ant", 2: "cat", 1: "bee"},
        {"0": "ant", "1": "bee", "2": "cat"},
        {"bee": 1, "ant": 0, "cat": 2},
        {"bee": np.int64(1), "ant": np.int64(0), "cat": np.int64(2)},
        "ant, bee,cat",
        np.array("ant, bee,cat"),
        np.array(["ant", "bee", "cat"], dtype=object),
        {"ant": 0, "bee": 1, "cat": 2}.keys(),
        {0: "ant", 1: "bee", 2: "cat"}.values(),
    ],
    ids=repr,
)
def test_labels_may_be_written_in_many_ways(given):
    assert read_labels(given) == ("ant", "bee", "cat")
    backbone = wrap_backbone(untrained(num_classes=3), labels=given, device="cpu")
    assert backbone.labels == ("ant", "bee", "cat")


def test_labels_may_be_made_one_after_the_other():
    assert read_labels(name for name in ("a", "b")) == ("a", "b") == read_labels(map(str, "ab"))


def test_names_that_are_numbers_are_not_taken_for_indices():
    assert read_labels({"7": 0, "9": 1}) == ("7", "9")
    assert read_labels({"1": 0, "2": 1}) == ("1", "2")
    assert read_labels({1: "5", 0: "3"}) == ("3", "5")


def test_labels_are_read_from_files(tmp_path):
    lines, table, listed = (tmp_path / name for name in ("a.txt", "b.json", "c.json"))
    lines.write_text("nevus, benign\n\ncafé\n", encoding="utf-8-sig")
    table.write_text(json.dumps({"1": "café", "0": "nevus, benign"}))
    listed.write_text(json.dumps(["nevus, benign", "café"]))
    for file in (lines, table, listed, str(lines)):
        assert read_labels(file) == ("nevus, benign", "café")


@pytest.mark.parametrize("count", [2, 1000])
def test_a_text_of_names_is_no_path_however_long(count):
    names = tuple(f"thing {i}" for i in range(count))
    assert read_labels(",".join(names)) == names
    assert read_labels("a\0,b") == ("a\0", "b")
    with pytest.raises(BackboneError, match=r"no file of labels '.{70,80}; give a file"):
        read_labels("x" * 5000)


def test_commas_belong_to_a_label():
    labels = ["nevus, benign", "nevus, malign"]
    backbone = wrap_backbone(untrained(num_classes=2), labels=labels, device="cpu")
    assert backbone.labels == tuple(labels)
    model = untrained(num_classes=2)
    model.pretrained_cfg["label_names"] = labels
    assert wrap_backbone(model, device="cpu").labels == tuple(labels)
    model.pretrained_cfg["label_names"] = ["n02123045", "n02123159"]
    model.pretrained_cfg["label_descriptions"] = {"n02123045": "tabby, tabby cat"}
    backbone = wrap_backbone(model, device="cpu")
    assert backbone.labels[0] == "tabby" and backbone.synonyms[0] == ("tabby", "tabby cat")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({0: "a", 5: "b"}, "0 to 1, and 1 has no name"),
        ({"a": "b", "c": "d"}, "neither side holds whole numbers"),
        ({"a", "b"}, "no order"),
        (5, "not 5"),
        (["a", None], "not None"),
        (np.array([["a"], ["b"]]), "a label is a name"),
        (np.array([b"a", b"b"]), "a label is a name, not b'a'"),
        (["a", float("nan")], "a label is a name, not nan"),
        (["a", " "], "a label is a name, not ' '"),
        ({0: "a", 1: ""}, "a label is a name, not ''"),
        (b"a,b", "not b'a,b'"),
        ("nowhere.txt", "no file of labels"),
    ],
)
def test_labels_that_are_none_are_refused(given, sentence):
    with pytest.raises(BackboneError, match=sentence):
        wrap_backbone(untrained(num_classes=2), labels=given, device="cpu")


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (96, (3, 96, 96)),
        ((96, 64), (3, 96, 64)),
        ([3, 96, 64], (3, 96, 64)),
        (torch.Size([96, 64]), (3, 96, 64)),
        (np.array([96, 64]), (3, 96, 64)),
        ("96", (3, 96, 96)),
        ("96x64", (3, 96, 64)),
    ],
    ids=repr,
)
def test_sizes_may_be_written_in_many_ways(given, size):
    backbone = wrap_backbone(untrained(), input_size=given, device="cpu")
    assert backbone.input_size == size
    assert backbone.stages[-1].grid == (3, size[2] // 32)


@pytest.mark.parametrize("given", [0, -5, 3.5, True, (0, 5), (1, 2, 3, 4), (), "large", None])
def test_sizes_that_are_none_are_refused(given):
    if given is None:
        assert Settings(input_size=given).given == {}
        return
    with pytest.raises(BackboneError, match=r"input_size is a side.*224"):
        wrap_backbone(untrained(), input_size=given, device="cpu")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"mean": "grey"}, "mean is a number for each channel"),
        ({"mean": [float("nan")] * 3}, "mean is a number"),
        ({"mean": (0.5, 0.5)}, "mean has 2 numbers, and .* takes pictures of 3 channels"),
        ({"std": 0}, "std is a positive number"),
        ({"crop_pct": 87.5}, "at most 1"),
        ({"crop_pct": "all"}, "at most 1"),
        ({"interpolation": "cubic"}, "choices: nearest, bilinear"),
        ({"output": "logits"}, "choices: softmax, sigmoid, value"),
    ],
)
def test_settings_that_are_none_are_refused(given, sentence):
    with pytest.raises(BackboneError, match=sentence):
        wrap_backbone(untrained(), device="cpu", **given)


def test_settings_reach_the_pixels(photo):
    from camviz import open_picture

    picture = open_picture(photo)
    given = {"mean": 0.5, "std": (0.5, 0.25, 0.5), "interpolation": "nearest", "crop_pct": 0.5}
    backbone = wrap_backbone(untrained(), device="cpu", **given)
    assert backbone.mean == (0.5, 0.5, 0.5) and backbone.std == (0.5, 0.25, 0.5)
    seen, _ = backbone.prepare(picture)
    pixels = (seen[0] * torch.tensor(backbone.std).view(3, 1, 1) + 0.5) * 255
    rows, columns = (((np.arange(160) + 0.5) * side / 160).astype(int) for side in (60, 90))
    expected = photo[rows][:, columns]
    np.testing.assert_allclose(pixels.permute(1, 2, 0).numpy(), expected, atol=1e-3)
    _, fit = backbone.prepare(picture, "crop")
    assert fit.rect[2] - fit.rect[0] == pytest.approx(30, abs=1)  # half of the shorter side


# -- names that nothing states -------------------------------------------------------------------


class Own(Net):
    """A network of somebody's own, with as many classes as ImageNet has."""

    num_classes = 1000

    def __init__(self, **config):
        super().__init__()
        self.pretrained_cfg |= config
        self.head = nn.Linear(4, 1000)

    def maps(self, x):
        return [self.a(x), self.b(self.a(x))]


def replaced(head, place="fc", name="test_resnet"):
    model = untrained(name)
    setattr(model, place, head(model))
    return model


def pooled(model):
    head = nn.Linear(model.num_features, 1000)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


@pytest.mark.parametrize(
    "model",
    [
        Own,
        lambda: Own(num_classes=1000),
        lambda: Own(num_classes=1000, architecture="mine"),
        lambda: Own(num_classes=1000, architecture="resnet18"),  # no tag: not timm's weights
        lambda: Own(num_classes=1000, architecture="resnet18", tag="birds"),
        lambda: replaced(lambda m: nn.Sequential(nn.Dropout(), nn.Linear(m.num_features, 1000))),
        lambda: replaced(pooled, "head", "test_convnext"),
        lambda: untrained(pretrained_cfg_overlay={"tag": "birds"}),
        lambda: untrained(pretrained_cfg={"num_classes": 1000, "input_size": (3, 64, 64)}),
    ],
)
def test_imagenets_names_need_a_reason(model):
    backbone = wrap_backbone(model(), device="cpu")
    assert backbone.labels[:2] == ("class 0", "class 1") and len(backbone.labels) == 1000


def test_names_of_the_configuration_are_of_its_own_head():
    model = untrained(num_classes=2)
    model.pretrained_cfg["label_names"] = ["ant", "bee"]
    assert wrap_backbone(model, device="cpu").labels == ("ant", "bee")
    model.fc = nn.Sequential(nn.Dropout(), nn.Linear(model.num_features, 2))
    assert wrap_backbone(model, device="cpu").labels == ("class 0", "class 1")


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "botnet26t_256"])
def test_timms_own_networks_have_imagenets_names(name):
    size = {"input_size": 64} if "resnet" in name else {}
    assert wrap_backbone(untrained(name), device="cpu", **size).labels[0] == "tench"
    assert load_backbone(name, "random", "cpu", **size).labels[0] == "tench"
