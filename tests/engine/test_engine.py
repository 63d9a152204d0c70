"""camviz.engine: one pass a picture, everything else arithmetic; what is explained and refused.

Passes are counted, not timed.
"""

import gc
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from camviz import Engine, load_backbone, open_picture, wrap_backbone
from camviz.errors import (
    BackboneError,
    ImageError,
    MethodError,
    StageError,
    TargetError,
    WeightsError,
)
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS, denoise
from camviz.network.target import Target
from camviz.network.trace import Trace
from tests.support.engines import Disapproving
from tests.support.networks import copy_of

import timm  # isort: skip  after vision_ops, which lets torchvision be imported

GRADIENT_METHODS = [name for name, row in METHODS.items() if row.truncates]


# --- what is computed when ---


def test_everything_but_picture_and_network_is_arithmetic(engine, tiny, photo, passes):
    backbone = copy_of(tiny("test_efficientnet"))
    engine.explain(photo, backbone, target=3)
    count = passes(backbone)

    def again(**options):
        x = engine.explain(photo.copy(), backbone, **{"target": 3, **options})
        assert x.fused.shape == photo.shape[:2]
        x.boxes(0.4), x.mask(0.1), [x.maps[name] for name in x.stages]
        return x

    for method in GRADIENT_METHODS:
        again(method=method)
    again(method="eigen_cam")
    for fusion in FUSIONS:
        again(fuse=fusion)
    for tap in ("activation", "output"):
        again(tap=tap)
    for checkerboard in ("auto", "smooth", "keep"):
        again(checkerboard=checkerboard)
    again(stages=["blocks.2"])
    again(stages=["blocks.3", "bn2"])
    engine.explain(Image.fromarray(photo), backbone, target=3)  # the same pixels otherwise given
    assert count == {"forward": 0, "backward": 0}


def test_cam_of_a_class_already_explained_runs_no_pass(engine, tiny, photo, passes):
    backbone = copy_of(tiny("test_efficientnet"))
    engine.explain(photo, backbone, target=3, method="cam")
    count = passes(backbone)
    engine.explain(photo, backbone, target=3, method="cam")
    engine.explain(photo, backbone, target=3, method="cam", fuse="mean")
    assert count == {"forward": 0, "backward": 0}


def test_a_further_class_costs_one_backward_and_no_forward(engine, tiny, photo, passes):
    backbone = copy_of(tiny("test_resnet"))
    engine.explain(photo, backbone, target=3)
    count = passes(backbone)
    engine.explain(photo, backbone, target=4)
    assert count == {"forward": 0, "backward": 1}
    engine.explain(photo, backbone, target=3)
    engine.explain(photo, backbone, target=4, method="grad_cam")
    engine.explain(photo, backbone, target=4, versus=3)  # from the two
    assert count == {"forward": 0, "backward": 1}
    engine.explain(photo, backbone, target=4, score="probability")  # that of its logarithm
    engine.explain(photo, backbone, target=4, score="log_probability")
    assert count == {"forward": 0, "backward": 2}


def test_methods_without_a_gradient_make_none(engine, tiny, photo, passes):
    backbone = copy_of(tiny("test_resnet"))
    count = passes(backbone)
    engine.explain(photo, backbone, method="eigen_cam")
    assert count["backward"] == 0 and count["forward"] > 0


def test_a_new_picture_fit_or_network_is_one_forward(engine, tiny, photo, passes):
    backbone = copy_of(tiny("test_vit"))  # its forward calls forward_features: two a pass
    count = passes(backbone)
    for options in ({}, {"fit": "crop"}, {}):
        engine.explain(photo, backbone, target=1, **options)
    assert count["forward"] == 4
    engine.explain(photo[:, ::-1], backbone, target=1)
    assert count["forward"] == 6


def test_a_named_module_is_added_to_the_trace(engine, tiny, photo, passes):
    backbone = copy_of(tiny("test_vit"))
    engine.explain(photo, backbone, target=1)
    backbone.stage("blocks.2.norm1")  # found out about before counting
    count = passes(backbone)
    first = engine.explain(photo, backbone, target=1, stages=["blocks.2.norm1"])
    assert count == {"forward": 2, "backward": 1} and first.request.method == "layer_cam"
    engine.explain(photo, backbone, target=1, stages=["blocks.2.norm1", "blocks.3"])
    engine.explain(photo, backbone, target=1)
    assert count == {"forward": 2, "backward": 1}
    assert list(first.maps) == ["blocks.2.norm1"]


def test_a_trace_without_its_graph_is_made_again_for_a_further_class(engine, tiny, photo, passes):
    backbone = copy_of(tiny("test_resnet"))
    first = engine.explain(photo, backbone, target=1)
    for trace, _ in engine._traces._traces.values():
        trace.drop_graph()
    count = passes(backbone)
    again = engine.explain(photo, backbone, target=1, method="hires_cam")
    assert count == {"forward": 0, "backward": 0}
    assert again.target == first.target
    engine.explain(photo, backbone, target=2)
    assert count["backward"] == 1 and count["forward"] > 0


def test_a_graph_that_somebody_else_gives_up_meanwhile_is_made_again(
    engine, tiny, photo, monkeypatch
):
    """Two people, one picture, little memory: one's shrinking must not be the other's error."""
    backbone = tiny("test_resnet")
    expected = Engine("cpu").explain(photo, backbone, target=2).fused
    engine.explain(photo, backbone, target=1)
    gradients, meddled = Trace.gradients, []

    def meddling(trace, target):
        if not meddled:
            meddled.append(1)
            trace.shrink(0, Target(1))
        return gradients(trace, target)

    monkeypatch.setattr(Trace, "gradients", meddling)
    assert np.allclose(engine.explain(photo, backbone, target=2).fused, expected, atol=1e-6)


def test_truncation_never_runs_the_network(engine, photo, tiny, passes):
    backbone = tiny("test_resnet")
    engine.explain(photo, backbone)
    count = passes(backbone)
    for q in (0.5, 0.9, 0.0):
        engine.explain(photo, backbone, truncation=q)
    engine.explain(photo, backbone, truncation=0.9, truncation_mode="remove", method="grad_cam")
    assert count == {"forward": 0, "backward": 0}


def test_a_threshold_is_computed_once(engine, photo, tiny, monkeypatch):
    backbone = tiny("test_resnet")
    calls = []
    plain = denoise.noise_threshold
    monkeypatch.setattr(denoise, "noise_threshold", lambda *a: calls.append(a) or plain(*a))
    for method in ("layer_cam", "layer_cam", "grad_cam"):
        engine.explain(photo, backbone, method=method, checkerboard="keep", truncation=0.9)
    assert len(calls) == 3  # three shallow stages
    engine.explain(photo, backbone, checkerboard="keep", truncation=0.8)
    assert len(calls) == 6


# --- caches ---


def test_traces_are_bounded_in_bytes(tiny, photo, passes):
    backbone = copy_of(tiny("test_resnet"))
    probe = Engine("cpu")
    probe.explain(photo, backbone, target=0)
    (trace, _), = probe._traces._traces.values()  # fmt: skip
    engine = Engine("cpu", trace_bytes=int(2.5 * trace.nbytes))
    pictures = [photo, photo[::-1], photo[:, ::-1]]
    count = passes(backbone)

    def runs(picture):
        before = count["forward"]
        engine.explain(picture, backbone, target=0)
        return count["forward"] > before

    assert runs(pictures[0]) and runs(pictures[1])
    assert not runs(pictures[0])
    assert runs(pictures[2])  # room is made for it by the second, used longest ago
    assert not runs(pictures[0])
    assert runs(pictures[1])


def test_the_classes_of_one_picture_are_bounded_too(tiny, photo):
    backbone = tiny("test_resnet")
    limit = 10_000_000
    engine = Engine("cpu", trace_bytes=limit)
    for target in range(80):  # some 350 kB of gradients each
        engine.explain(photo, backbone, target=target)
    held = sum(trace.nbytes for trace, _ in engine._traces._traces.values())
    assert held <= limit


def test_networks_are_loaded_once_and_bounded_in_bytes():
    sizes = {
        name: 4 * load_backbone(name, "random", "cpu").parameters
        for name in ("test_resnet", "test_vit", "test_convnext")
    }
    engine = Engine("cpu", backbone_bytes=sum(sizes.values()) - 1)
    resnet = engine.backbone("test_resnet", "random")
    vit = engine.backbone("test_vit", "random")
    assert engine.backbone("test_resnet", "random") is resnet
    assert engine.backbone("test_resnet", "random", num_classes=5) is not resnet
    engine = Engine("cpu", backbone_bytes=sum(sizes.values()) - 1)
    resnet, vit = (engine.backbone(name, "random") for name in ("test_resnet", "test_vit"))
    engine.backbone("test_resnet", "random")
    convnext = engine.backbone("test_convnext", "random")
    assert engine.backbone("test_resnet", "random") is resnet
    assert engine.backbone("test_convnext", "random") is convnext
    assert engine.backbone("test_vit", "random") is not vit


def test_a_trace_is_never_taken_for_that_of_a_network_that_is_gone(engine, photo):
    """Python gives the addresses of the dead to the living."""
    picture = open_picture(photo)
    wrapped = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = timm.create_model("test_resnet", zero_init_last=False, num_classes=5)
        wrapped.append(wrap_backbone(model.eval(), device="cpu"))
    with torch.no_grad():
        logits = [b.model(b.prepare(picture)[0])[0].numpy() for b in wrapped]
    for turn in range(60):
        backbone = replace(wrapped[turn % 2])  # lives for this turn only
        x = engine.explain(picture, backbone)
        assert np.allclose(x.logits, logits[turn % 2], atol=1e-5), f"turn {turn}"
        del x, backbone
        gc.collect(0)


def test_threads_with_the_same_picture_wait_for_one_pass(engine, tiny, photo, passes):
    backbone = copy_of(tiny("test_convnext"))
    count = passes(backbone)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(engine.explain(photo, backbone, target=1)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count == {"forward": 2, "backward": 1}  # forward and its forward_features
    assert len(found) == 4
    assert all(np.array_equal(x.fused, found[0].fused) for x in found)


# --- targets, stages and networks ---


def test_targets_by_index_and_by_name(engine, photo):
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=4, zero_init_last=False)
    backbone = wrap_backbone(
        model, labels=["red fox", "grey fox", "hen", "hen"], name="farm", device="cpu"
    )
    assert engine.explain(photo, backbone, target="Red Fox").target == 0
    assert engine.explain(photo, backbone, target="grey").label == "grey fox"
    assert engine.explain(photo, backbone, target=3).label == "hen (3)"
    x = engine.explain(photo, backbone, target="grey fox", versus="red")
    assert (x.target, x.request.versus) == (1, 0)
    for wanted, words in (
        ("fox", r"'fox' fits several classes of farm: red fox \(0\), grey fox \(1\)"),
        ("hen", r"hen \(2\), hen \(3\)"),
        ("wolf", "knows no class 'wolf'"),
        (4, "classes 0 to 3"),
    ):
        with pytest.raises(TargetError, match=words):
            engine.explain(photo, backbone, target=wanted)
    with pytest.raises(TargetError, match="cannot be compared with itself"):
        engine.explain(photo, backbone, target=1, versus="grey fox")
    with pytest.raises(TargetError, match="between logits"):
        engine.explain(photo, backbone, target=1, versus=0, score="probability")
    for method in ("cam", "eigen_cam", "lpcam"):
        for unused in ({"versus": 0}, {"score": "probability"}):
            with pytest.raises(MethodError, match=r"does not use gradients, so .* has no effect"):
                engine.explain(photo, backbone, target=1, method=method, **unused)


def test_a_network_of_ones_own_is_explained(engine, photo):
    backbone = wrap_backbone(Disapproving(), labels=["no", "yes"], device="cpu")
    x = engine.explain(photo, backbone, target="yes")
    assert x.backbone.name == "Disapproving" and x.label == "yes"
    assert x.stages == ("b",) and x.raw["b"].shape == (8, 8)
    both = engine.explain(photo, backbone, target="yes", stages=["a", "b"])
    assert both.stages == ("a", "b")
    assert both.raw["a"].shape == (16, 16)


def test_stages_go_from_shallow_to_deep_whatever_the_order_asked(engine, tiny, photo):
    resnet = engine.explain(photo, tiny("test_resnet"), stages=["layer4", "layer1", "layer4"])
    assert resnet.stages == ("layer1", "layer4")
    vit = engine.explain(photo, tiny("test_vit"), stages=["blocks.3", "blocks.1"])
    assert vit.stages == ("blocks.1", "blocks.3")


def test_a_network_of_small_strides_is_explained_unasked(engine, photo):
    backbone = wrap_backbone(Disapproving((1, 2)), name="small", device="cpu")
    x = engine.explain(photo, backbone, target=1)
    assert x.fused.max() > 0.5


def test_networks_of_any_input_shape(photo):
    backbone = load_backbone("test_vit", "random", "cpu", img_size=(96, 64))
    x = Engine("cpu").explain(photo, backbone)
    assert all(raw.shape == (6, 4) for raw in x.raw.values())
    assert x.fused.shape == (60, 90) and x.fused.max() > 0.5


# --- what is refused ---


def test_a_network_without_any_living_stage_is_refused_in_words(engine, photo):
    class Constant(Disapproving):
        def forward_head(self, x, pre_logits=False):
            return torch.tensor([[0.3, 0.7]])

    with pytest.raises(StageError):
        engine.explain(photo, wrap_backbone(Constant(), name="constant", device="cpu"))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "gradcam"}, MethodError, "unknown method 'gradcam'.*grad_cam"),
        (
            {"fuse": "sum"},
            MethodError,
            "unknown fusion 'sum'; choices: auto, stretched_mean, product",
        ),
        ({"tap": "input"}, MethodError, "unknown tap 'input'; choices: activation, output"),
        ({"placement": "exact"}, MethodError, "unknown placement 'exact'; choices: plain, true"),
        ({"score": "loss"}, MethodError, "unknown score 'loss'; choices: logit"),
        ({"checkerboard": "no"}, MethodError, "unknown checkerboard 'no'; choices: auto, smooth"),
        ({"fit": "zoom"}, MethodError, "unknown fit 'zoom'; choices: stretch, pad, crop"),
        ({"stages": []}, MethodError, "no stages were given"),
        ({"stages": ["layer9"]}, StageError, "'layer9'.*stages: act1, layer1"),
        ({"stages": "layer9"}, StageError, "'layer9'"),
        ({"stages": ["fc"]}, StageError, "'fc' carries no map"),
        ({"stages": [3]}, StageError, "3"),
        ({"target": 1000}, TargetError, "no class 1000"),
        ({"target": "no such thing"}, TargetError, "knows no class 'no such thing'"),
        ({"versus": "no such thing"}, TargetError, "knows no class 'no such thing'"),
        ({"target": [1]}, TargetError, "1"),
        ({"backbone": "resnet999"}, BackboneError, "unknown backbone 'resnet999'"),
        ({"backbone": 3}, BackboneError, "3"),
        ({"weights": "nowhere.pth", "backbone": "test_vit"}, WeightsError, "no checkpoint at"),
    ],
)
def test_odd_wishes_are_refused_in_a_sentence(engine, tiny, photo, options, error, words):
    with pytest.raises(error, match=words) as caught:
        engine.explain(photo, **{"backbone": tiny("test_resnet"), **options})
    assert "\n" not in str(caught.value)


def test_a_bare_network_is_answered_with_what_would_do(engine, tiny, photo):
    with pytest.raises(BackboneError, match="wrap_backbone"):
        engine.explain(photo, tiny("test_resnet").model)


def test_pictures_that_are_none_are_refused(engine, tiny, tmp_path):
    for picture in (tmp_path / "none.png", tmp_path, 7, np.zeros((9, 9, 3)), b"no picture"):
        with pytest.raises(ImageError):
            engine.explain(picture, tiny("test_resnet"))


def test_a_device_that_is_not_there_is_refused_in_words(photo):
    with pytest.raises(BackboneError, match="gpu7"):
        Engine("gpu7").explain(photo, "test_resnet", weights="random")


def test_values_that_overflow_are_refused_in_words(engine, photo):
    class Overflowing(Disapproving):
        def forward_features(self, x):
            return super().forward_features(x)

    backbone = wrap_backbone(Overflowing(), name="large", device="cpu")
    with torch.no_grad():
        backbone.model.a[0].weight.fill_(3e38)
    for method in ("layer_cam", "eigen_cam", "cam"):
        with pytest.raises((MethodError, BackboneError), match="overflow"):
            engine.explain(photo, backbone, target=1, method=method)


def test_explaining_works_inside_the_callers_modes(engine, tiny, photo):
    expected = engine.explain(photo, tiny("test_vit2"), target=1, method="hires_cam")
    for mode in (
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    ):
        with mode():
            for method in ("hires_cam", "grad_cam", "eigen_cam", "cam"):
                x = Engine("cpu").explain(photo, tiny("test_vit2"), target=1, method=method)
                assert x.fused.dtype == np.float32
                if method == "hires_cam":
                    assert np.allclose(x.fused, expected.fused, atol=1e-5)
