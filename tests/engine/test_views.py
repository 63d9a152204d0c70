"""camviz.engine.views: maps of several views, made a second time by hand and averaged."""

import numpy as np
import pytest
import torch

from camviz import Engine, open_picture
from camviz.engine.views import VIEWS, Sizes, View, mean_map, mirror, place_back
from camviz.engine.work import LocalRunner
from camviz.errors import MethodError
from camviz.maps.fusion import Placement, normalize
from camviz.methods import METHODS
from tests.support.methods import network_with
from tests.support.networks import copy_of


def over_its_maximum(raw):
    return normalize(torch.from_numpy(raw)).numpy()


def test_the_table_is_the_papers():
    assert VIEWS["one"] == (View(1.0, False),)
    assert set(VIEWS["flip"]) == {View(1.0, False), View(1.0, True)}
    shown = {(view.scale, view.mirrored) for view in VIEWS["paper"]}
    assert shown == {(scale, mirrored) for scale in (1, 0.5, 1.5, 2) for mirrored in (False, True)}
    assert all(views[0] == View(1.0, False) for views in VIEWS.values()), "it decides the class"


@pytest.mark.sampled(4)
@pytest.mark.parametrize("method", METHODS)
def test_flip_is_the_mean_of_the_map_and_of_the_mirrored_one(engine, tiny, photo, method):
    backbone = tiny(network_with(method))
    x = engine.explain(photo, backbone, target=3, method=method, views="flip")
    one = engine.explain(photo, backbone, target=3, method=method)
    mirrored = np.ascontiguousarray(open_picture(photo).pixels[:, ::-1])
    given = {} if one.bank is None else {"prototypes": one.bank}
    other = engine.explain(mirrored, backbone, target=3, method=method, **given)
    assert x.stages == one.stages and x.request.views == "flip"
    for name in x.stages:
        wanted = (over_its_maximum(one.raw[name]) + over_its_maximum(other.raw[name])[:, ::-1]) / 2
        assert np.allclose(x.raw[name], wanted, atol=1e-6)
        assert x.placements[name] == one.placements[name]
        assert "Mean of 2 views, each over its maximum" in x.notes[name].sentences[-1]


def test_flip_of_the_mirrored_picture_is_the_mirrored_map(engine, tiny, photo):
    backbone = tiny("test_efficientnet")
    mirrored = mirror(open_picture(photo))
    one, other = (
        engine.explain(each, backbone, target=3, views="flip") for each in (photo, mirrored)
    )
    assert np.allclose(one.fused, other.fused[:, ::-1], atol=1e-5)


@pytest.mark.sampled
@pytest.mark.parametrize("placement", ["plain", "true"])
def test_views_at_other_sizes_are_put_back_where_they_look(engine, tiny, photo, placement):
    backbone = tiny("test_resnet")
    options = {"target": 3, "placement": placement}
    x = engine.explain(photo, backbone, views="paper", **options)
    sizes = Sizes()
    for name in x.stages:
        maps = []
        for view in VIEWS["paper"]:
            network = sizes.at(backbone, view.scale)
            seen = mirror(open_picture(photo)) if view.mirrored else photo
            y = engine.explain(seen, network, stages=list(x.stages), **options)
            side = backbone.input_size[1] * view.scale
            assert network.input_size[1:] == (side, side)
            maps.append(place_back(y.raw[name], y.placements[name], view, backbone, network))
        heat, at = mean_map(maps)
        assert np.allclose(x.raw[name], heat, atol=1e-5)
        rows, columns = backbone.stage(name).grid
        assert heat.shape == (2 * rows, 2 * columns)  # the finest: twice the size
        if placement == "plain":
            assert at.stride[0] * heat.shape[0] == pytest.approx(backbone.input_size[1])
            assert at.offset == pytest.approx((0, 0))
    assert x.fused.shape == x.refined.shape == (60, 90)


@pytest.mark.parametrize("offset", [(0.0, 0.0), (1.5, -2.0)])
def test_a_cell_of_a_mirrored_and_enlarged_view_looks_where_it_did(tiny, offset):
    backbone = tiny("test_resnet")
    double = Sizes().at(backbone, 2)
    raw, placement = np.zeros((4, 8), np.float32), Placement((80.0, 40.0), offset)
    raw[1, 2] = 1
    heat, at = place_back(raw, placement, View(2.0, True), backbone, double)
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    assert (row, column) == (1, 5)
    side = double.input_size[2]
    seen = float(placement.centres(1, 8)[2]) + 0.5  # from the left of the mirrored picture
    assert float(at.centres(1, 8)[column]) + 0.5 == pytest.approx((side - seen) / 2)
    assert float(at.centres(0, 4)[row]) + 0.5 == pytest.approx(
        (float(placement.centres(0, 4)[1]) + 0.5) / 2
    )


def test_a_network_of_one_size_leaves_the_others_out_and_says_so(engine, photo):
    backbone = engine.backbone("scenes-vit")
    x = engine.explain(photo, backbone, target=3, views="paper")
    flip = engine.explain(photo, backbone, target=3, views="flip")
    for name in x.stages:
        assert np.array_equal(x.raw[name], flip.raw[name])
        said = x.notes[name].sentences[-1]
        assert "scenes-vit cannot be shown 0.5, 1.5, 2 times its size here." in said
        assert "cannot" not in flip.notes[name].sentences[-1]


def test_views_are_priced_by_what_was_measured_and_what_is_known_of_sizes(photo):
    engine = Engine("cpu")
    backbone = engine.backbone("scenes-vit")

    def price(views):
        return engine.price(backbone, "layer_cam", views=views)

    assert price("one") == 0 and price("flip") is None, "nothing was measured yet"
    engine.explain(photo, backbone, target=3)
    assert price("paper") == pytest.approx(14 * price("flip"))  # 1 + 2 (.25 + 2.25 + 4)
    engine.explain(photo, backbone, target=3, views="paper")
    assert price("paper") == price("flip") > 0, "the other sizes turned out to be refused"


def test_the_picture_as_it_is_decides_class_stages_and_truncation(engine, tiny, photo):
    backbone = tiny("test_resnet")
    one = engine.explain(photo, backbone, truncation="auto")
    x = engine.explain(photo, backbone, truncation="auto", views="paper")
    assert (x.target, x.stages) == (one.target, one.stages)
    assert x.request.truncation == one.request.truncation
    assert x.truncation_choice == one.truncation_choice
    assert np.array_equal(x.logits, one.logits)
    again = engine.explain(photo, backbone, **{
        name: getattr(x.request, name) for name in ("target", "stages", "views", "truncation")
    })  # fmt: skip
    assert all(np.array_equal(again.raw[name], raw) for name, raw in x.raw.items())


def test_another_method_or_fusion_of_the_same_views_runs_nothing(engine, tiny, photo, passes):
    backbone = copy_of(tiny("test_resnet"))
    engine.explain(photo, backbone, target=3, views="paper")
    count = passes(backbone)
    for options in ({"method": "grad_cam"}, {"fuse": "mean"}, {"stages": ["layer4"]}):
        engine.explain(photo, backbone, target=3, views="paper", **options)
    assert count == {"forward": 0, "backward": 0}


def test_maps_of_single_prototypes_lie_where_the_map_does(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"), target=3, method="lpcam", views="paper")
    one = engine.explain(photo, tiny("test_resnet"), target=3, method="lpcam")
    for name in x.stages:
        assert x.cosines[name].shape[1:] == x.raw[name].shape
        for shown, plain in zip(x.prototypes[name], one.prototypes[name], strict=True):
            assert np.abs(shown.map - plain.map).max() < 0.2  # resampled once more


def test_every_view_is_reported_and_what_progress_raises_ends_the_work(engine, tiny, photo):
    seen = []
    engine.explain(
        photo, tiny("test_resnet"), views="paper", progress=lambda *row: seen.append(row)
    )
    assert [row[0] for row in seen] == list(range(8)) and {row[1] for row in seen} == {8}
    assert seen[0][2] == "as it is" and seen[3][2] == "at 0.5 times the size, mirrored"

    class Enough(Exception):
        pass

    def stop(done, of, view):
        if done == 3:
            raise Enough

    with pytest.raises(Enough):
        engine.explain(photo, tiny("test_resnet"), views="paper", target=5, progress=stop)


def test_the_network_is_what_it_was(engine, tiny, photo):
    backbone = copy_of(tiny("test_resnet"))
    before = engine.explain(photo, backbone, target=3)
    engine.explain(photo, backbone, target=3, views="paper")
    after = Engine(device="cpu").explain(photo, backbone, target=3)
    assert all(np.array_equal(before.raw[name], raw) for name, raw in after.raw.items())
    assert backbone.input_size == before.backbone.input_size


def test_unknown_views_are_refused(engine, tiny, photo):
    with pytest.raises(MethodError, match="unknown views 'ten'; choices: one, flip, paper"):
        engine.explain(photo, tiny("test_resnet"), views="ten")


def test_a_runner_that_cannot_resize_looks_for_no_sizes(photo, tiny, monkeypatch):
    backbone = tiny("test_resnet")
    runner = LocalRunner()
    runner.resizes = False
    engine = Engine("cpu", runner=runner)
    monkeypatch.setattr(
        "camviz.engine.views.find_at_size", lambda *_: pytest.fail("a network was run at a size")
    )
    x = engine.explain(photo, backbone, target=3, views="paper")
    flip = engine.explain(photo, backbone, target=3, views="flip")
    assert np.array_equal(x.fused, flip.fused)
    said = x.notes[x.stages[0]].sentences[-1]
    assert "cannot be shown 0.5, 1.5, 2 times its size here" in said


@pytest.mark.sampled
@pytest.mark.parametrize(("views", "passes"), [("flip", [2]), ("paper", [2, 2, 2, 2])])
def test_a_picture_and_its_mirror_image_take_one_pass(tiny, photo, views, passes):
    engine, backbone = Engine(), copy_of(tiny("test_resnet"))
    engine.explain(np.zeros((8, 8, 3), np.uint8), backbone, target=3, views=views)
    sizes = []
    backbone.model.register_forward_hook(lambda *given: sizes.append(len(given[1][0])))
    x = engine.explain(photo, backbone, target=3, views=views)
    assert sizes == passes
    again = engine.explain(photo, backbone, target=3, views=views, truncation=0.5)
    assert sizes == passes and again.stages == x.stages


def test_a_mirror_image_is_explained_for_the_class_of_the_picture(tiny, photo):
    """By itself it would be explained for another one: its own top prediction."""
    backbone, picture = copy_of(tiny("test_resnet")), open_picture(photo)
    own, other = (
        torch.from_numpy(Engine().explain(each, backbone).logits)
        for each in (picture, mirror(picture))
    )
    first, second = int((own - other).argmax()), int((own - other).argmin())
    bias = backbone.model.fc.bias
    with torch.no_grad():  # the two are on top, in one order of the picture and the other of both
        bias[first] += 1000
        bias[second] += 1000 + (own + other)[first].item() / 2 - (own + other)[second].item() / 2
    assert Engine().explain(mirror(picture), backbone).target == second
    x = Engine().explain(picture, backbone, views="flip")
    y = Engine().explain(picture, backbone, target=first, views="flip")
    assert x.target == first
    for name in x.stages:
        assert np.allclose(x.raw[name], y.raw[name], atol=1e-5)
