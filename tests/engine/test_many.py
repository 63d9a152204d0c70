"""Many pictures in batches: the maps of `explain`, in order, whatever goes wrong with one."""

import logging
import threading
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from camviz import METHODS, Engine, draw_scenes, load_backbone, wrap_backbone
from camviz.defaults import REFINED
from camviz.engine import many
from camviz.engine.explanation import Explanation
from camviz.engine.plan import exists
from camviz.engine.remote import RemoteRunner
from camviz.errors import (
    CamvizError,
    ImageError,
    MethodError,
    StageError,
    TargetError,
)  # fmt: skip
from camviz.images import open_picture

# Convolutions, batch normalisation and matrix products of a batch are summed in another order than
# those of a picture alone, for their kernels are chosen by the number of pictures. That leaves
# rounding of single precision: of a map's maximum so much on average, and at most at one place.
_ROUNDING = (1e-6, 2e-5)
# Its share is larger where a map is a small difference of large numbers: XGrad-CAM divides by sums
# that nearly cancel, and the refined map of little contrast is stretched.
_STRETCHED = (2e-5, 1e-4)
NETWORKS = ("scenes-resnet", "scenes-convnext", "scenes-vit")  # NCHW, NHWC, NLC
ONE_PASS = [name for name, row in METHODS.items() if not (row.scoring or row.uses_prototypes)]


@pytest.fixture(scope="module")
def engine():
    return Engine("cpu")


@pytest.fixture(scope="module")
def pictures():
    """Seven pictures, no two of one size."""
    scenes = [scene.image for scene in draw_scenes(7, seed=31)]
    return [scene[: 128 - 6 * n, : 100 + 3 * n] for n, scene in enumerate(scenes)]


def check_equal(x, y):
    """Bit for bit."""
    assert x.target == y.target and x.request == y.request and x.picture == y.picture
    for of in (*x.stages, *x.maps_of_all):
        assert np.array_equal(x.grid(of)[0], y.grid(of)[0]), of


def check_same(x, y):
    """But for rounding."""
    assert x.target == y.target and x.request == y.request and x.picture == y.picture
    assert np.allclose(x.logits, y.logits, atol=1e-5)
    assert x.fit == y.fit and x.stages == y.stages and x.placements == y.placements
    for of in (*x.stages, *x.maps_of_all):
        wrong = np.abs(x.grid(of)[0] - y.grid(of)[0])
        stretched = of == REFINED or x.request.method == "xgrad_cam"
        mean, most = _STRETCHED if stretched else _ROUNDING
        assert wrong.mean() <= mean and wrong.max() <= most, of


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch", [1, 3, 7, 32])
def test_maps_are_those_of_explain_whatever_the_batch(engine, pictures, name, batch):
    found = list(engine.explain_many(pictures, name, batch=batch))
    assert len(found) == len(pictures)
    check = check_equal if batch == 1 else check_same
    for x, picture in zip(found, pictures, strict=True):
        check(x, engine.explain(picture, name))


def in_double_precision(name):
    """A network whose weights and passes are float64; what is recorded of them is float32."""
    backbone = load_backbone(name, device="cpu")
    backbone.model.double()
    first = next(each for each in backbone.model.modules() if isinstance(each, nn.Conv2d))
    first.register_forward_pre_hook(lambda _, given: (given[0].double(),))
    return backbone


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("name", "batch"), [(name, batch) for batch in (2, 3, 5, 1) for name in NETWORKS]
)
def test_a_batch_differs_by_rounding_alone(engine, pictures, name, batch):
    """The sums of float64 round away in float32: every map of every method is the same."""
    backbone = in_double_precision(name)
    rows = [{"method": method} for method in ONE_PASS if exists(METHODS[method], backbone)]
    assert len(rows) >= 8
    found = list(engine.explain_many(pictures[:batch], backbone, rows=rows, batch=batch))
    assert len(found) == batch
    for each, picture in zip(found, pictures, strict=False):
        for x, row in zip(each, rows, strict=True):
            check_equal(x, engine.explain(picture, backbone, **row))


@pytest.mark.sampled(7)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", ONE_PASS)
def test_every_method_of_one_pass_gives_its_maps(engine, pictures, name, method):
    backbone = engine.backbone(name)
    if not exists(METHODS[method], backbone):
        with pytest.raises(MethodError):
            engine.explain_many(pictures, name, method=method)
        return
    for x, picture in zip(
        engine.explain_many(pictures, backbone, method=method, batch=4), pictures, strict=True
    ):
        check_same(x, engine.explain(picture, backbone, method=method))


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "options",
    [
        {"method": "recipro_cam"},
        {"method": "score_cam", "channels": 4},
        {"method": "group_cam", "groups": 4},
        {"method": "lpcam"},
        {"method": "lpcam", "prototypes": "picture"},
        {"views": "flip"},
    ],
    ids=str,
)
def test_methods_of_several_traces_take_pictures_one_by_one(engine, pictures, options):
    for x, picture in zip(
        engine.explain_many(pictures[:3], "scenes-resnet", **options), pictures, strict=False
    ):
        check_same(x, engine.explain(picture, "scenes-resnet", **options))


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "options",
    [
        {"versus": "nearest"},
        {"versus": "bucket,tower", "gamma": 0.6},
        {"score": "probability"},
        {"score": "log_probability", "fit": "crop"},
        {"truncation": "auto", "placement": "true"},
        {"truncation": 0.9, "truncation_mode": "cap", "fit": "pad"},
        {"refine": "none", "tap": "output", "stages": ("layer2",)},
    ],
    ids=str,
)
def test_options_mean_the_same(engine, pictures, options):
    targets = [None, "ram", 3, "ram", None, 0, 9]
    found = engine.explain_many(
        pictures, "scenes-resnet", targets=targets, method="layer_cam", batch=4, **options
    )
    for x, picture, target in zip(found, pictures, targets, strict=True):
        check_same(
            x,
            engine.explain(picture, "scenes-resnet", target=target, method="layer_cam", **options),
        )


def test_several_ways_share_the_passes(engine, pictures, passes):
    backbone = load_backbone("scenes-resnet", device="cpu")
    rows = [
        {"method": "layer_cam"},
        {"method": "grad_cam", "stages": ("layer3", "layer4")},
        {"method": "eigen_cam"},
        {"method": "cam"},
    ]
    list(engine.explain_many(pictures[:1], backbone, rows=rows))  # tries the network once
    count = passes(backbone)
    found = list(engine.explain_many(pictures, backbone, rows=rows[:3], batch=4))
    assert count == {"forward": 2 * 2, "backward": 2}  # forward calls forward_features
    for each, picture in zip(found, pictures, strict=True):
        for x, row in zip(each, rows, strict=False):
            check_same(x, engine.explain(picture, backbone, **row))


def test_a_contrast_takes_one_more_backward_pass_a_class(engine, pictures, passes):
    backbone = load_backbone("scenes-resnet", device="cpu")
    options = {"method": "layer_cam", "targets": "ram"}
    list(engine.explain_many(pictures[:1], backbone, **options))
    count = passes(backbone)
    list(engine.explain_many(pictures, backbone, batch=8, versus="sheep,horse", **options))
    assert count["backward"] == 3


def test_a_bank_that_was_given_is_used_in_batches(engine, knowing, learned, rams):
    for x, picture in zip(
        engine.explain_many(rams, knowing, method="lpcam", prototypes=learned, batch=4),
        rams,
        strict=True,
    ):
        check_same(x, engine.explain(picture, knowing, method="lpcam", prototypes=learned))
    wrong = next(engine.explain_many(
        rams[:1], knowing, targets=["sheep"], method="lpcam", prototypes=learned
    ))  # fmt: skip
    assert "prototypes of 'ram'" in str(wrong)


def test_what_cannot_be_opened_gives_its_error_in_its_place(engine, pictures, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture at all")
    given = CamvizError("the shard ends here")
    mixed = [pictures[0], str(broken), given, pictures[1], b"", pictures[2]]
    found = list(engine.explain_many(mixed, "scenes-resnet", batch=2))
    kinds = [type(each) for each in found]
    assert kinds == [Explanation, ImageError, CamvizError, Explanation, ImageError, Explanation]
    assert found[2] is given
    check_same(found[5], engine.explain(pictures[2], "scenes-resnet"))


def test_a_target_that_one_picture_lacks_is_its_error_alone(engine, pictures):
    targets = ["ram", "no such thing", "ram"]
    found = list(
        engine.explain_many(
            pictures[:3], "scenes-resnet", targets=targets, method="layer_cam", versus="ram"
        )
    )
    assert all(isinstance(each, TargetError) for each in found)
    found = list(engine.explain_many(pictures[:3], "scenes-resnet", targets=targets))
    assert [isinstance(each, TargetError) for each in found] == [False, True, False]


def test_a_picture_whose_reference_is_its_own_target_does_not_stop_the_others(engine, pictures):
    tops = [engine.explain(picture, "scenes-resnet").label for picture in pictures]
    found = list(engine.explain_many(pictures, "scenes-resnet", method="layer_cam", versus=tops[0]))
    assert [isinstance(each, TargetError) for each in found] == [top == tops[0] for top in tops]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"method": "no_cam"}, MethodError),
        ({"stages": ("layer9",)}, StageError),
        ({"targets": "no such thing"}, TargetError),
        ({"batch": 0}, MethodError),
        ({"threads": 0}, MethodError),
        ({"rows": [{"method": "gae"}]}, MethodError),
    ],
    ids=str,
)
def test_what_fits_no_picture_is_refused_at_once(engine, options, error):
    with pytest.raises(error):
        engine.explain_many(iter([]), "scenes-resnet", **options)


@pytest.mark.parametrize("count", [1, 3])
def test_there_are_as_many_targets_as_pictures(engine, pictures, count):
    with pytest.raises(TargetError, match=f"only {min(count, 2)} "):
        list(engine.explain_many(pictures[:2], "scenes-resnet", targets=["ram"] * count))


def test_pictures_are_taken_as_they_are_needed(engine, pictures):
    taken = []

    def endless():
        while True:
            taken.append(None)
            yield pictures[len(taken) % len(pictures)]

    found = engine.explain_many(endless(), "scenes-resnet", batch=2)
    assert len(list(islice(found, 5))) == 5
    found.close()
    assert len(taken) <= 5 + 3 * 4


def test_pictures_are_opened_and_maps_made_beside_the_network(engine, pictures, monkeypatch):
    """In threads; and what tells a picture from others is not computed for nothing."""
    threads = {"open": set(), "trace": set(), "maps": set()}

    def noted(what, function):
        def noting(*arguments, **options):
            threads[what].add(threading.get_ident())
            return function(*arguments, **options)

        return noting

    monkeypatch.setattr(many, "open_picture", noted("open", many.open_picture))
    monkeypatch.setattr(many, "trace_batch", noted("trace", many.trace_batch))
    monkeypatch.setattr(many.Batches, "_explain", noted("maps", many.Batches._explain))
    for x in engine.explain_many(pictures, "scenes-resnet", batch=3):
        assert "digest" not in vars(x.picture)
    assert threads["trace"] == {threading.get_ident()}
    assert threads["open"] and threads["maps"]
    assert not threads["trace"] & (threads["open"] | threads["maps"])


def test_nothing_is_kept_of_many(pictures):
    engine = Engine("cpu")
    for options in ({}, {"method": "recipro_cam"}, {"views": "flip"}):
        assert len(list(engine.explain_many(pictures, "scenes-resnet", **options))) == 7
        assert not len(engine._traces._traces), options


def test_a_kept_explanation_does_not_keep_its_batch(engine, pictures):
    x, *_ = engine.explain_many(pictures, "scenes-resnet", batch=8)
    for tensor, _ in x.affinity.features:
        assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_a_batch_fits_the_memory_that_it_may_take(engine, pictures, passes, monkeypatch):
    backbone = load_backbone("scenes-convnext", device="cpu")
    list(engine.explain_many(pictures[:1], backbone))
    monkeypatch.setenv("CAMVIZ_BATCH_MB", "15")
    count = passes(backbone)
    found = list(engine.explain_many(pictures, backbone))
    assert 1 < count["backward"] < len(pictures)
    monkeypatch.setenv("CAMVIZ_BATCH_MB", "1")
    count.update(forward=0, backward=0)
    for x, y in zip(found, engine.explain_many(pictures, backbone), strict=True):
        check_same(x, y)
    assert count["backward"] == len(pictures)


class OverTheBatch(nn.Module):
    """Subtracts the mean over the batch: what a picture gets depends on those beside it."""

    def forward(self, x):
        return x - 0.5 * x.mean(dim=0, keepdim=True)


def test_pictures_that_change_each_other_are_shown_one_by_one(engine, pictures, caplog):
    model = load_backbone("scenes-resnet", device="cpu").model
    model.global_pool.add_module("couple", OverTheBatch())
    pool = model.global_pool.forward
    model.global_pool.forward = lambda x: model.global_pool.couple(pool(x))
    backbone = wrap_backbone(model, device="cpu", display_name="coupled")
    with caplog.at_level(logging.WARNING):
        found = list(engine.explain_many(pictures, backbone))
    assert "coupled gives a picture other scores beside others" in caplog.text
    for x, picture in zip(found, pictures, strict=True):
        check_same(x, engine.explain(picture, backbone))
    caplog.clear()
    list(engine.explain_many(pictures[:2], backbone))
    assert not caplog.text  # found out once


def test_networks_without_classes(engine, pictures, tiny):
    backbone = load_backbone("test_vit", "random", "cpu", num_classes=0)
    for x, picture in zip(engine.explain_many(pictures, backbone, batch=3), pictures, strict=True):
        assert x.target is None
        check_same(x, engine.explain(picture, backbone))


def test_another_process_gives_the_same(engine, pictures):
    def send(task):
        return Engine("cpu").run(task)

    remote = Engine("cpu", runner=RemoteRunner(send))
    found = remote.explain_many(pictures[:3], "scenes-resnet", batch=2, versus="nearest")
    for x, y in zip(
        found, engine.explain_many(pictures[:3], "scenes-resnet", versus="nearest"), strict=True
    ):
        check_same(x, replace(y))


def test_a_network_is_left_as_it_was(engine, pictures, unchanged):
    backbone = load_backbone("scenes-resnet", device="cpu")
    with unchanged(backbone.model):
        with torch.no_grad():
            found = list(engine.explain_many(pictures[:2], backbone))
        engine.explain_many(pictures, backbone).close()
    check_same(found[0], engine.explain(open_picture(pictures[0]), backbone))
