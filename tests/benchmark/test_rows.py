"""Which maps are compared, and what a data set's class is called by a network."""

import numpy as np
import pytest

from camviz import open_picture, wrap_backbone
from camviz.benchmark.rows import (
    CENTRE,
    METHODS_BY_DEFAULT,
    Maps,
    Row,
    Setting,
    baseline_maps,
    find_target,
    noise_map,
    read_settings,
    rows_of,
)
from camviz.errors import MethodError, TargetError
from camviz.methods import METHODS
from camviz.scenes import draw_scene


def test_every_method_with_every_set_of_options():
    settings = read_settings(["cam", "layer_cam"], [["truncation=0.9", "refine-steps=3"], []])
    wanted = (("truncation", 0.9), ("refine_steps", 3))
    assert settings == (
        Setting("cam", wanted), Setting("cam"), Setting("layer_cam", wanted), Setting("layer_cam"),
    )  # fmt: skip
    assert settings[0].text == "truncation=0.9 refine_steps=3" and settings[1].text == ""
    assert [each.method for each in read_settings(None)] == list(METHODS_BY_DEFAULT)
    assert all(METHODS[name].scoring is None for name in METHODS_BY_DEFAULT)


@pytest.mark.parametrize(
    ("methods", "words", "message"),
    [
        (["gradcam"], [], "unknown method 'gradcam'; choices"),
        (["cam"], [["truncate=0.9"]], "'truncate=0.9' is no option; write NAME=VALUE"),
        (["cam"], [["truncation"]], "'truncation' is no option"),
        (["cam"], [["method=cam"]], "is no option"),
        (["cam"], [["gamma=much"]], "gamma is no number in 'gamma=much'"),
        (["cam"], [["fuse=sum"]], "unknown fusion 'sum'"),
    ],
)
def test_what_cannot_be_compared(methods, words, message):
    with pytest.raises(MethodError, match=message):
        read_settings(methods, words)


def test_rows_are_every_map_of_an_explanation_and_read_back(engine, network):
    scene = draw_scene(0, 0, two_objects=0)
    settings = read_settings(["layer_cam", "cam", "gae"], [["refine=none"], []])
    maps = Maps(engine, network, settings)
    rows = {}
    for setting, x in maps.explain(open_picture(scene.image), 3):
        for row, name in rows_of(setting, x).items():
            assert x.heat(name).shape == (224, 224) and x.target == 3
            rows[row] = name
    stages = list(network.default_stages)
    assert [row.map for row in rows if row.method == "layer_cam" and not row.options] == [
        *stages, "fused", "refined",
    ]  # fmt: skip
    assert [row.map for row in rows if row.options] == [*stages, "fused", stages[-1]]
    assert [row.map for row in rows if row.method == "cam" and not row.options] == [
        stages[-1], "refined",
    ]  # fmt: skip
    assert all(Row.read(str(row)) == row for row in rows)
    assert [each.method for each in maps.refused] == ["gae", "gae"]
    assert "GAE does not exist" in maps.refused[Setting("gae")]


def test_a_method_that_does_not_exist_is_not_tried_again(engine, network, monkeypatch):
    scene = draw_scene(0, 0, two_objects=0)
    maps = Maps(engine, network, [Setting("gae")])
    assert list(maps.explain(open_picture(scene.image), 0)) == []
    monkeypatch.setattr(engine, "explain", lambda *_, **__: pytest.fail("tried again"))
    assert list(maps.explain(open_picture(scene.image), 0)) == []


def test_maps_that_read_no_network():
    heat = baseline_maps(40, 60, (1, 2))[Row(CENTRE, "", "")]
    assert heat[20, 30] == heat.max() == 1
    for y, x in ((0, 0), (20, 59), (33, 7)):
        down, across = (y + 0.5 - 20) / 10, (x + 0.5 - 30) / 15  # in deviations
        wanted = np.exp(-(down**2 + across**2) / 2)
        assert heat[y, x] == pytest.approx(wanted, rel=2e-3)
    one, same, other = (
        noise_map(40, 60, (1, 2)),
        noise_map(40, 60, (1, 2)),
        noise_map(40, 60, (2, 2)),
    )
    assert np.array_equal(one, same) and abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.6
    assert 0 <= one.min() < 0.3 and one.max() == 1
    assert [str(row) for row in baseline_maps(8, 9, (0,))] == [
        "7 x 7 noise||",
        "centred Gaussian||",
    ]


def test_the_class_that_is_meant(network, tiny):
    assert find_target(network, "ram", {}) == network.labels.index("ram")
    assert find_target(network, "aries", {"aries": "ram"}) == network.labels.index("ram")
    assert find_target(network, "x", {"x": "5"}) == 5
    with pytest.raises(TargetError, match="--classes FILE says which class is meant by 'aries'"):
        find_target(network, "aries", {})
    imagenet = tiny("test_resnet")
    assert find_target(imagenet, "n01440764", {}) == 0
    assert imagenet.labels[find_target(imagenet, "n02129165", {})].startswith("lion")
    with pytest.raises(TargetError, match="does not have ImageNet's classes in their order"):
        find_target(network, "n01440764", {})
    labels = [f"thing {number}" for number in range(1000)]
    other = wrap_backbone(imagenet.model, labels=labels)
    with pytest.raises(TargetError, match="ImageNet's classes"):
        find_target(other, "n01440764", {})
