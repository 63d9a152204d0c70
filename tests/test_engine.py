"""camviz.engine: one pass a picture, everything else arithmetic, the same again from the manifest.

Passes are counted, not timed; maps are made a second time by hand from the raw ones.
"""

import gc
import json
import threading
from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from camviz import Engine, load_backbone, open_picture, wrap_backbone
from camviz.engine.cache import Shelf
from camviz.engine.stage_map import CHECKERBOARD
from camviz.errors import (
    BackboneError,
    ImageError,
    MethodError,
    StageError,
    TargetError,
    WeightsError,
)
from camviz.maps.boxes import boxes_at, mask_at
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS, denoise
from camviz.methods.denoise import MODES, truncate
from camviz.methods.gradient import smooth_checkerboard
from camviz.network.trace import Target, Trace, trace

import timm  # isort: skip  after vision_ops, which lets torchvision be imported

GRADIENT_METHODS = [name for name, row in METHODS.items() if "gradients" in row.needs]
MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"


@pytest.fixture
def engine():
    return Engine("cpu")


def copy_of(backbone):
    return replace(
        backbone, model=deepcopy(backbone.model), lock=threading.RLock(), _module_stages={}
    )


@pytest.fixture
def passes(monkeypatch):
    """passes(backbone) -> {"forward": n, "backward": n} from now on, of that network."""

    def watch(backbone):
        count = {"forward": 0, "backward": 0}
        grad = torch.autograd.grad

        def counted_grad(*arguments, **options):
            count["backward"] += 1
            return grad(*arguments, **options)

        monkeypatch.setattr(torch.autograd, "grad", counted_grad)
        for method in ("forward", "forward_features"):
            plain = getattr(backbone.model, method)

            def counted(*arguments, plain=plain, **options):
                count["forward"] += 1
                return plain(*arguments, **options)

            monkeypatch.setattr(backbone.model, method, counted)
        return count

    return watch


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
    for grid in ("auto", "smooth", "raw"):
        again(grid=grid)
    again(stages=["blocks.2"])
    again(stages=["blocks.3", "bn2"])
    engine.explain(Image.fromarray(photo), backbone, target=3)  # the same pixels otherwise given
    assert count == {"forward": 0, "backward": 0}


def test_cam_of_a_class_already_seen_runs_no_pass(engine, tiny, photo, passes):
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
    engine.explain(photo, backbone, target=4, score="probability")  # and logsumexp
    engine.explain(photo, backbone, target=3, score="log_probability")
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
    assert count == {"forward": 2, "backward": 1}
    engine.explain(photo, backbone, target=1, stages=["blocks.2.norm1", "blocks.3"])
    engine.explain(photo, backbone, target=1)
    assert count == {"forward": 2, "backward": 1}
    assert list(first.maps) == ["blocks.2.norm1"]


def test_a_trace_without_its_graph_is_made_again_for_a_further_class(engine, tiny, photo, passes):
    backbone = copy_of(tiny("test_resnet"))
    first = engine.explain(photo, backbone, target=1)
    for seen, _ in engine._traces._things.values():
        seen.drop_graph()
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

    def meddling(seen, target):
        if not meddled:
            meddled.append(1)
            seen.shrink(0, Target(1))
        return gradients(seen, target)

    monkeypatch.setattr(Trace, "gradients", meddling)
    assert np.allclose(engine.explain(photo, backbone, target=2).fused, expected, atol=1e-6)


# --- the shelves ---


def test_a_shelf_forgets_what_was_used_least_recently():
    shelf = Shelf(10, len)
    shelf.put("a", "xxxx")
    shelf.put("b", "xxxx")
    assert shelf.get("a") == "xxxx"
    shelf.put("c", "xxxx")  # 12 bytes: b is the one not used since
    assert shelf.get("b") is None
    assert shelf.get("a") and shelf.get("c") and len(shelf) == 2
    shelf.put("large", "x" * 99)  # alone over the limit: kept, for it is being used
    assert len(shelf) == 1 and shelf.get("large")
    shelf.put("a", "x")
    assert shelf.get("large") is None
    shelf.put("a", "xxxxx")  # replaced, not added
    shelf.put("b", "xxxxx")
    assert len(shelf) == 2


def test_traces_are_bounded_in_bytes(tiny, photo, passes):
    backbone = copy_of(tiny("test_resnet"))
    probe = Engine("cpu")
    probe.explain(photo, backbone, target=0)
    (seen, _), = probe._traces._things.values()  # fmt: skip
    engine = Engine("cpu", trace_bytes=int(2.5 * seen.nbytes))
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
    held = sum(seen.nbytes for seen, _ in engine._traces._things.values())
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
        wrapped.append(wrap_backbone(model, device="cpu"))
    with torch.no_grad():
        logits = [b.model(b.prepare(picture)[0])[0].numpy() for b in wrapped]
    for turn in range(60):
        backbone = replace(wrapped[turn % 2])  # lives for this turn only
        x = engine.explain(picture, backbone)
        assert np.allclose(x.logits, logits[turn % 2], atol=1e-5), f"turn {turn}"
        del x, backbone
        gc.collect(0)


def test_two_who_ask_for_the_same_picture_wait_for_one_pass(engine, tiny, photo, passes):
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


# --- maps ---


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_mambaout", "test_vit"])
@pytest.mark.parametrize("method", METHODS)
def test_maps_are_of_the_pictures_size_and_between_0_and_1(engine, tiny, photo, name, method):
    backbone = tiny(name)
    if method == "cam" and name == "test_vit":
        with pytest.raises(MethodError, match="CAM is not defined for test_vit"):
            engine.explain(photo, backbone, method=method)
        return
    x = engine.explain(photo, backbone, method=method)
    assert x.stages and tuple(x.maps) == x.stages == tuple(x.raw) == tuple(x.notes)
    for stage in x.stages:
        assert x.raw[stage].shape == backbone.stage(stage).grid
        assert x.raw[stage].dtype == np.float32
    for heat in (*x.maps.values(), x.fused):
        assert heat.shape == (60, 90) and heat.dtype == np.float32
        assert np.isfinite(heat).all() and heat.min() >= 0 and heat.max() <= 1
    assert any(heat.max() > 0.5 for heat in x.maps.values()), "not all of them empty"


def test_the_map_of_a_stage_is_the_method_on_the_trace(engine, tiny, photo):
    backbone = tiny("test_nfnet")
    x = engine.explain(photo, backbone, target=5, grid="raw")
    image, _ = backbone.prepare(open_picture(photo))
    stages = [backbone.stage(name) for name in backbone.default_stages]
    seen = trace(backbone, image, [stage.activation for stage in stages])
    for stage in stages:
        key = stage.activation.address
        activations, gradients = seen.activations[key], seen.gradients(Target(5))[key]
        raw = (gradients.relu() * activations).sum(dim=1)[0]
        assert np.allclose(x.raw[stage.name], raw, rtol=1e-4, atol=1e-6 * float(raw.abs().max()))
        # ReLU, over its maximum, bilinear to the picture
        heat = raw.relu() / raw.max()
        drawn = F.interpolate(heat[None, None], (60, 90), mode="bilinear", align_corners=False)
        assert np.allclose(x.maps[stage.name], drawn[0, 0], atol=1e-5)


def test_fusion_is_on_the_finest_grid_before_the_picture(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_nfnet"), target=5)
    size = x.raw[x.stages[0]].shape
    fine = []
    for raw in x.raw.values():
        heat = torch.from_numpy(raw).relu()
        heat = (heat / heat.max())[None, None]
        fine.append(F.interpolate(heat, size, mode="bilinear", align_corners=False)[0, 0])
    product = torch.stack(fine).double().prod(dim=0) ** (1 / len(fine))
    product = (product / product.max()).float()
    assert np.allclose(x.fused_grid[0], product, atol=1e-5)
    drawn = F.interpolate(product[None, None], (60, 90), mode="bilinear", align_corners=False)
    assert np.allclose(x.fused, drawn[0, 0], atol=1e-5)
    mean = engine.explain(photo, tiny("test_nfnet"), target=5, fuse="mean")
    average = torch.stack(fine).mean(dim=0)
    assert np.allclose(mean.fused_grid[0], average / average.max(), atol=1e-5)


def test_both_taps_are_there(engine, tiny, photo):
    backbone = tiny("test_efficientnet")
    activation, output = (
        engine.explain(photo, backbone, target=1, tap=tap) for tap in ("activation", "output")
    )
    for name in activation.stages:
        stage = backbone.stage(name)
        assert activation.notes[name].tensor == stage.activation.module
        assert output.notes[name].tensor == stage.output.module
        moved = stage.activation != stage.output
        assert np.array_equal(activation.raw[name], output.raw[name]) != moved


def test_the_checkerboard_is_smoothed_where_there_is_one(engine, tiny, photo):
    backbone = tiny("test_resnet")
    auto, smooth, raw = (
        engine.explain(photo, backbone, target=1, grid=grid) for grid in ("auto", "smooth", "raw")
    )
    assert {note.smoothed for note in auto.notes.values()} == {True, False}
    for name in auto.stages:
        wanted = smooth if auto.notes[name].smoothed else raw
        assert np.array_equal(auto.raw[name], wanted.raw[name])
        assert auto.notes[name].smoothed == (auto.notes[name].checkerboard > CHECKERBOARD)
        assert smooth.notes[name].smoothed and not raw.notes[name].smoothed
    image, _ = backbone.prepare(open_picture(photo))
    tap = backbone.stage("layer2").activation
    seen = trace(backbone, image, [tap])
    gradients = smooth_checkerboard(seen.gradients(Target(1))[tap.address])
    expected = (gradients.relu() * seen.activations[tap.address]).sum(dim=1)[0].numpy()
    assert np.allclose(smooth.raw["layer2"], expected, rtol=1e-4, atol=1e-8)
    even = [engine.explain(photo, backbone, target=1, method="grad_cam", grid=g)
            for g in ("smooth", "raw")]  # fmt: skip
    assert np.array_equal(even[0].fused, even[1].fused), "averaged gradients have no grid"


def test_a_crop_shows_the_map_only_where_the_network_looked(engine, tiny, photo):
    """90 x 60 pixels become 252 x 168 (160 / 0.95 = 168.4); the middle 160 x 160 are shown."""
    backbone = tiny("test_resnet")
    assert backbone.crop_pct == 0.95
    x = engine.explain(photo, backbone, fit="crop")
    left, top, scale = (252 - 160) / 2, (168 - 160) / 2, 90 / 252
    expected = (left * scale, top * scale, (left + 160) * scale, (top + 160) * scale)
    assert x.fit.rect == pytest.approx(expected)
    rows, columns = np.mgrid[0:60, 0:90] + 0.5
    inside = (
        (columns > expected[0]) & (columns < expected[2])
        & (rows > expected[1]) & (rows < expected[3])
    )  # fmt: skip
    assert x.visible.dtype == bool and np.array_equal(x.visible, inside)
    for heat in (*x.maps.values(), x.fused, x.signed(x.stages[0])):
        assert heat.shape == (60, 90) and not heat[~x.visible].any()
    assert x.fused[x.visible].max() > 0.5
    for box in x.boxes():
        assert box.x0 >= int(expected[0]) and box.x1 <= np.ceil(expected[2])
    # drawn at the right place: the raw map over the rectangle, and not over the picture
    name = x.stages[-1]
    heat = torch.from_numpy(np.maximum(x.raw[name], 0) / x.raw[name].max())[None, None]
    at = F.interpolate(heat, (160, 160), mode="bilinear", align_corners=False)[0, 0].numpy()
    y, c = 30, 45
    v, u = (y + 0.5 - expected[1]) / scale - 0.5, (c + 0.5 - expected[0]) / scale - 0.5
    assert x.maps[name][y, c] == pytest.approx(at[round(v), round(u)], abs=0.05)
    whole = engine.explain(photo, backbone)
    assert whole.fit.rect == (0, 0, 90, 60) and whole.visible.all()


def test_pictures_of_any_shape(engine, tiny):
    rng = np.random.default_rng(2)
    for height, width in ((8, 8), (9, 200), (200, 9), (161, 160)):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for fit in ("stretch", "crop"):
            x = engine.explain(pixels, tiny("test_resnet"), fit=fit)
            assert x.fused.shape == (height, width) and np.isfinite(x.fused).all()
            assert x.maps["layer4"].shape == (height, width)


def test_networks_of_any_input_shape(photo):
    backbone = load_backbone("test_vit", "random", "cpu", img_size=(96, 64))
    x = Engine("cpu").explain(photo, backbone)
    assert all(raw.shape == (6, 4) for raw in x.raw.values())
    assert x.fused.shape == (60, 90) and x.fused.max() > 0.5


def test_signed_maps_keep_the_sign(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"), method="hires_cam", target=1)
    heat = x.signed("layer3")
    assert heat.shape == (60, 90) and heat.min() < 0 < heat.max()
    assert np.abs(heat).max() <= 1
    raw = torch.from_numpy(x.raw["layer3"] / np.abs(x.raw["layer3"]).max())[None, None]
    drawn = F.interpolate(raw, (60, 90), mode="bilinear", align_corners=False)
    assert np.allclose(heat, drawn[0, 0], atol=1e-5)


def test_maps_are_made_when_asked_for(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"))
    assert x.maps._made == {}
    assert x.maps["layer2"] is x.maps["layer2"]
    assert list(x.maps._made) == ["layer2"] and len(x.maps) == 4
    with pytest.raises(KeyError):
        x.maps["layer9"]


def test_boxes_and_masks_are_those_of_the_map(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"))
    assert x.boxes() == boxes_at(x.fused, 0.2) and x.boxes()
    assert x.boxes(0.5, stage="layer4") == boxes_at(x.maps["layer4"], 0.5)
    assert x.boxes(0.1, multi=True) == boxes_at(x.fused, 0.1, multi=True)
    assert np.array_equal(x.mask(0.3, stage="layer2"), mask_at(x.maps["layer2"], 0.3))
    areas = [box.area_fraction for box in x.boxes(0.5, stage="layer1")]
    assert areas == sorted(areas, reverse=True)


def test_what_a_caller_does_to_a_result_stays_with_it(engine, tiny, photo):
    backbone = tiny("test_resnet")
    for method in ("layer_cam", "cam", "eigen_cam"):
        x = engine.explain(photo, backbone, target=2, method=method)
        expected = {name: raw.copy() for name, raw in x.raw.items()}
        predictions, fused = x.predictions, x.fused.copy()
        for array in (*x.raw.values(), x.logits, x.fused, *x.maps.values()):
            array[...] = 7
        y = engine.explain(photo, backbone, target=2, method=method)
        assert all(np.array_equal(y.raw[name], raw) for name, raw in expected.items())
        assert np.array_equal(y.fused, fused) and y.predictions == predictions


# --- predictions, targets, notes ---


def test_predictions_are_sorted_and_sum_to_one(engine, tiny, photo):
    backbone = tiny("test_convnext")
    x = engine.explain(photo, backbone)
    indices, labels, probabilities = zip(*x.predictions, strict=True)
    assert sorted(indices) == list(range(1000))
    assert labels == tuple(backbone.labels[i] for i in indices)
    assert list(probabilities) == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    image, _ = backbone.prepare(open_picture(photo))
    with torch.no_grad():
        expected = backbone.model(image)[0].softmax(dim=0)
    assert np.allclose([p for *_, p in sorted(x.predictions)], expected, atol=1e-6)
    assert x.target == indices[0] == int(expected.argmax()) and x.label == labels[0]


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
        ("hen", r"hen \(2\) \(2\), hen \(3\) \(3\)"),
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
        for unheard in ({"versus": 0}, {"score": "probability"}):
            with pytest.raises(MethodError, match="takes no gradient and cannot heed"):
                engine.explain(photo, backbone, target=1, method=method, **unheard)


def test_a_map_that_truncation_made_larger_says_why(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"), target=3, method="grad_cam", truncation=0.9)
    grown = [n for n in x.notes.values() if n.denoising and n.denoising.removed < 0]
    assert grown  # activations are positive here: only what was subtracted can be missing
    for note in grown:
        said = " ".join(note.sentences)
        assert "what was subtracted there is gone too" in said and "negative" not in said
        assert note.denoising.change == f"{-note.denoising.removed:.0%} added"


def test_scores_and_margins_change_the_map(engine, tiny, photo):
    backbone = tiny("test_resnet")
    kinds = [{}, {"score": "log_probability"}, {"score": "probability"}, {"versus": 2}]
    plain, log, share, margin = (
        engine.explain(photo, backbone, target=1, method="hires_cam", **kind) for kind in kinds
    )
    assert not np.allclose(plain.raw["layer3"], log.raw["layer3"])
    probability = next(p for i, _, p in plain.predictions if i == 1)
    assert np.allclose(share.raw["layer3"], probability * log.raw["layer3"], rtol=1e-3, atol=1e-9)
    other = engine.explain(photo, backbone, target=2, method="hires_cam")
    difference = plain.raw["layer3"] - other.raw["layer3"]
    assert np.allclose(margin.raw["layer3"], difference, rtol=1e-3, atol=1e-6)


def test_cam_is_the_logit_spread_over_the_picture(engine, tiny, photo):
    backbone = tiny("test_resnet")
    x = engine.explain(photo, backbone, target=9, method="cam")
    assert x.stages == ("layer4",)
    bias = float(backbone.model.fc.bias[9])
    assert float(x.raw["layer4"].mean()) + bias == pytest.approx(float(x.logits[9]), abs=1e-4)
    assert engine.explain(photo, backbone, target=9, method="cam", stages="layer4").raw
    assert engine.explain(photo, backbone, target=9, method="cam", stages=["layer4"]).raw
    with pytest.raises(MethodError, match=r"CAM exists at 'layer4'.*'layer2' was asked for"):
        engine.explain(photo, backbone, method="cam", stages=["layer2"])


def test_notes_say_what_to_know(engine, tiny, photo):
    backbone = tiny("test_efficientnet")
    x = engine.explain(photo, backbone, target=3, tap="activation")
    for name, note in x.notes.items():
        stage = backbone.stage(name)
        assert (note.stage, note.grid, note.layout) == (name, stage.grid, "NCHW")
        assert not note.empty and not note.zero_gradient
        assert 0 <= note.positive_share <= 1 and note.checkerboard >= 1
        height, width = stage.grid
        assert f"{height} × {width} cells of {stage.reduction:.3g} pixels." in str(note)
        assert f"{note.positive_share:.0%} of the evidence is positive." in str(note)
        assert ("Read at" in str(note)) == (stage.activation != stage.output)
    plain = engine.explain(photo, backbone, method="eigen_cam").notes["bn2"]
    assert plain.positive_share is plain.checkerboard is None
    assert "The same for every class." in str(plain) and "evidence" not in str(plain)
    frozen = engine.explain(photo, tiny("test_convnext"), method="cam")
    assert "frozen at this picture" in str(frozen.notes["stages.3"])
    linear = engine.explain(photo, tiny("test_mambaout"), method="cam")
    assert "linearised at this picture" in str(linear.notes["stages.3"])


def test_a_silent_stage_is_empty_and_says_why(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_vit"), stages=["blocks.5"])
    note = x.notes["blocks.5"]
    assert note.empty and note.zero_gradient and note.positive_share is None
    assert "does not depend on this map" in str(note) and "class token" in str(note)
    assert not x.maps["blocks.5"].any() and not x.fused.any()
    assert x.boxes() == [] and not x.mask().any()
    both = engine.explain(photo, tiny("test_vit"), stages=["blocks.3", "blocks.5"])
    alone = engine.explain(photo, tiny("test_vit"), stages=["blocks.3"], target=both.target)
    assert np.allclose(both.fused, alone.fused), "empty stages have no say"


class Disapproving(nn.Module):
    """Whatever it sees speaks against its first class and for its second."""

    num_classes = 2
    pretrained_cfg = {"input_size": (3, 32, 32)}  # noqa: RUF012

    def __init__(self, strides=(2, 2)):
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Sequential(nn.Conv2d(3, 8, 3, strides[0], 1), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(8, 8, 3, strides[1], 1), nn.ReLU())
        for part in (self.a, self.b):
            part[0].weight.data.abs_()
        self.head = nn.Linear(8, 2)
        self.head.weight.data = torch.tensor([[-1.0], [1.0]]).repeat(1, 8)

    def forward_intermediates(self, x, **options):
        a = self.a(x)
        return [a.clone(), self.b(a)]

    def forward_features(self, x):
        return self.b(self.a(x))

    def forward_head(self, x, pre_logits=False):
        return x.mean(dim=(2, 3)) if pre_logits else self.head(x.mean(dim=(2, 3)))

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


def test_a_map_without_positive_evidence_is_empty_and_says_so(engine, photo):
    backbone = wrap_backbone(Disapproving(), name="no", device="cpu")
    x = engine.explain(photo, backbone, target=0)
    note = x.notes["b"]
    assert note.empty and not note.zero_gradient and note.positive_share == 0
    assert "nothing here speaks for this class" in str(note)
    assert not x.fused.any() and x.boxes() == []
    y = engine.explain(photo, backbone, target=1)
    assert y.notes["b"].positive_share == 1 and y.fused.max() > 0.5


def test_a_network_of_small_strides_is_explained_unasked(engine, photo):
    backbone = wrap_backbone(Disapproving((1, 2)), name="small", device="cpu")
    x = engine.explain(photo, backbone, target=1)
    assert x.fused.max() > 0.5


def test_a_network_without_any_living_stage_is_refused_in_words(engine, photo):
    class Constant(Disapproving):
        def forward_head(self, x, pre_logits=False):
            return torch.tensor([[0.3, 0.7]])

    with pytest.raises(StageError):
        engine.explain(photo, wrap_backbone(Constant(), name="constant", device="cpu"))


# --- what is refused ---


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "gradcam"}, MethodError, "unknown method 'gradcam'.*grad_cam"),
        ({"fuse": "sum"}, MethodError, "unknown fusion 'sum'; choices: product, mean, max_tanh"),
        ({"tap": "input"}, MethodError, "unknown tap 'input'; choices: activation, output"),
        ({"placement": "exact"}, MethodError, "unknown placement 'exact'; choices: plain, true"),
        ({"score": "loss"}, MethodError, "unknown score 'loss'; choices: logit"),
        ({"grid": "none"}, MethodError, "unknown grid 'none'; choices: auto"),
        ({"fit": "zoom"}, ImageError, "unknown fit 'zoom'; choices: stretch, crop"),
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
        Engine("gpu7").explain(photo, "test_resnet", "random")


def test_values_that_overflow_are_refused_in_words(engine, photo):
    class Overflowing(Disapproving):
        def forward_features(self, x):
            return super().forward_features(x)

    backbone = wrap_backbone(Overflowing(), name="large", device="cpu")
    with torch.no_grad():
        backbone.model.a[0].weight.fill_(3e38)
    for method in ("layer_cam", "eigen_cam", "cam"):
        with pytest.raises(MethodError, match=r"not finite|overflow"):
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


# --- truncation ---


@pytest.mark.parametrize("method", METHODS)
def test_without_truncation_it_is_the_plain_method(engine, photo, method):
    plain = engine.explain(photo, "test_resnet", "random", method=method)
    same = engine.explain(photo, "test_resnet", "random", method=method, truncation=0.0)
    assert all(np.array_equal(plain.raw[name], same.raw[name]) for name in plain.stages)
    assert same.plain == {}
    assert all(notes.denoising is None for notes in same.notes.values())
    assert not same.removed(same.stages[0]).any()


@pytest.mark.parametrize("grid", ["raw", "smooth"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_truncated_maps_made_by_hand(engine, photo, method, mode, grid):
    how = {"method": method, "grid": grid}
    plain = engine.explain(photo, "test_resnet", "random", **how)
    x = engine.explain(photo, "test_resnet", "random", truncation=0.8, truncation_mode=mode, **how)
    assert x.request.truncated == x.stages[:-1]
    seen, _ = engine._traces.get((x.picture.digest, x.backbone.uid, "stretch"))
    for name in x.stages:
        tap = x.backbone.stage(name).tap("activation").address
        gradients = seen.gradients(Target(x.target))[tap]
        if grid == "smooth" and METHODS[method].smooth:
            gradients = smooth_checkerboard(gradients)
        if name in x.request.truncated:
            gradients = truncate(gradients, 0.8, mode)
            assert np.array_equal(x.plain[name], plain.raw[name])
        heat = METHODS[method].function(seen.activations[tap], gradients)[0].numpy()
        assert np.array_equal(x.raw[name], heat)


def test_what_was_removed_and_what_is_left_make_the_whole(engine, photo):
    plain = engine.explain(photo, "test_resnet", "random")
    x = engine.explain(photo, "test_resnet", "random", truncation=0.9)
    for name in x.stages[:-1]:
        share = max(x.raw[name].max(), 0) / plain.raw[name].max()
        assert np.allclose(x.removed(name) + x.maps[name] * share, plain.maps[name], atol=1e-5)
        notes = x.notes[name].denoising
        mass = plain.raw[name].clip(0).sum()
        assert notes.removed == pytest.approx(1 - x.raw[name].clip(0).sum() / mass, abs=1e-5)
        assert notes.tau > 0
        assert 0 < notes.floor.kept < 0.3
        assert 0 < notes.floor.noise < 1
        assert "truncated (our reading of arXiv 2308.02118) at" in str(x.notes[name])
    assert not x.removed(x.stages[-1]).any()
    assert json.dumps(x.manifest()["notes"])


def test_truncation_never_runs_the_network(engine, photo, tiny, passes):
    backbone = tiny("test_resnet")
    engine.explain(photo, backbone)
    count = passes(backbone)
    for q in (0.5, 0.9, 0.0):
        engine.explain(photo, backbone, truncation=q)
    engine.explain(photo, backbone, truncation=0.9, truncation_mode="remove", method="grad_cam")
    assert count == {"forward": 0, "backward": 0}


def test_a_level_is_looked_for_once(engine, photo, tiny, monkeypatch):
    backbone = tiny("test_resnet")
    asked = []
    plain = denoise.noise_threshold
    monkeypatch.setattr(denoise, "noise_threshold", lambda *a: asked.append(a) or plain(*a))
    for method in ("layer_cam", "layer_cam", "grad_cam"):
        engine.explain(photo, backbone, method=method, grid="raw", truncation=0.9)
    assert len(asked) == 3  # three shallow stages
    engine.explain(photo, backbone, grid="raw", truncation=0.8)
    assert len(asked) == 6


def test_where_all_stages_have_one_resolution_the_last_is_left_alone(engine, photo):
    x = engine.explain(photo, "test_vit", "random", truncation=0.9)
    assert x.request.truncated == x.stages[:-1]
    assert x.request.truncated


def test_which_stages_are_truncated_can_be_said(engine, photo):
    def asked(**options):
        return engine.explain(photo, "test_resnet", "random", truncation=0.9, **options).request

    assert asked(truncated=["layer4", "layer1"]).truncated == ("layer1", "layer4")
    assert asked(truncated="layer2").truncated == ("layer2",)
    assert asked(truncated=[]).truncated == ()
    assert asked(stages=["layer4"]).truncated == ()  # the deepest, even alone
    assert asked(stages=["layer1", "layer2.0"]).truncated == ("layer1", "layer2.0")


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"truncation": 1.0}, MethodError, "below 1"),
        ({"truncation": -0.1}, MethodError, "below 1"),
        ({"truncation": float("nan")}, MethodError, "nan"),
        ({"truncation": 0.9, "method": "eigen_cam"}, MethodError, "uses no gradient"),
        ({"truncation": 0.9, "method": "cam"}, MethodError, "uses no gradient"),
        ({"truncation": 0.9, "truncated": ["layer9"]}, StageError, "layer9"),
        ({"truncated": ["layer1"]}, MethodError, "truncation is 0"),
        ({"truncation": 0.9, "truncation_mode": "cut"}, MethodError, "threshold, rectify"),
        ({"truncation": 0.9, "calibration": "guess"}, MethodError, "mirror, self"),
    ],
)
def test_truncation_that_cannot_be(engine, photo, options, error, says):
    with pytest.raises(error, match=says):
        engine.explain(photo, "test_resnet", "random", **options)


# --- the manifest, and what is written ---


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target": 4, "method": "hires_cam", "stages": ["layer2", "layer3.0"], "fuse": "mean"},
        {"fit": "crop", "tap": "output", "grid": "raw", "score": "probability"},
        {"target": 3, "versus": 9, "fuse": "max_tanh", "method": "grad_cam_pp"},
        {"method": "cam"},
        {"method": "eigen_cam", "stages": ["layer1"]},
        {"truncation": 0.9, "fuse": "mean"},
        {"truncation": 0.5, "truncated": ["layer4"], "truncation_mode": "cap"},
        {"truncation": 0.8, "stages": ["layer4"], "calibration": "self", "method": "grad_cam"},
    ],
)
def test_the_manifest_repeats_the_run(engine, photo, options):
    x = engine.explain(photo, "test_resnet", "random", **options)
    manifest = json.loads(json.dumps(x.manifest()))
    y = Engine("cpu").explain(photo, **manifest["request"])
    assert np.array_equal(x.fused, y.fused)
    assert all(np.array_equal(x.raw[name], y.raw[name]) for name in x.stages)
    assert x.request == y.request
    assert json.loads(json.dumps(y.manifest())) == manifest


def test_the_manifest_repeats_a_checkpoint(engine, photo, tmp_path):
    torch.manual_seed(3)
    model = timm.create_model("test_resnet", num_classes=6, zero_init_last=False)
    torch.save(model.state_dict(), tmp_path / "mine.pth")
    for backbone, weights in (
        ("test_resnet", str(tmp_path / "mine.pth")),
        ("test_resnet", tmp_path / "mine.pth"),
    ):
        x = engine.explain(photo, backbone, weights)
        request = json.loads(json.dumps(x.manifest()))["request"]
        assert np.array_equal(Engine("cpu").explain(photo, **request).fused, x.fused)
    # given as a loaded backbone, the weights are as much part of the request
    x = engine.explain(photo, load_backbone("test_resnet", tmp_path / "mine.pth", "cpu"))
    request = json.loads(json.dumps(x.manifest()))["request"]
    assert request["weights"] != "auto"


def test_a_request_that_cannot_be_repeated_by_name_says_so(engine, photo, tiny):
    """timm options are not part of the name: repeating it would explain another network."""
    x = engine.explain(photo, tiny("test_resnet"))  # with zero_init_last=False
    request = json.loads(json.dumps(x.manifest()))["request"]
    try:
        again = Engine("cpu").explain(photo, **request)
    except (BackboneError, TypeError):
        return
    assert again.backbone.digest == x.backbone.digest


def test_the_manifest_says_what_this_is(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"), target=3, fit="crop")
    m = x.manifest(0.3)
    assert m["threshold"] == 0.3
    assert m["picture"] == {"name": "", "sha256": x.picture.digest, "size": [60, 90]}
    assert m["backbone"]["digest"] == x.backbone.digest
    assert m["backbone"]["weights"]["source"] == "random"
    assert m["backbone"]["input_size"] == [3, 160, 160]
    assert m["geometry"]["rect"] == list(x.fit.rect)
    assert set(m["geometry"]["placements"]) == set(x.stages)
    assert m["target"] == {"index": 3, "label": x.label}
    assert [row["index"] for row in m["predictions"]] == [i for i, *_ in x.predictions[:10]]
    assert m["method"]["paper"] == METHODS["layer_cam"].paper
    assert m["method"]["fusion"] == FUSIONS["product"].label
    assert m["notes"]["layer2"]["sentences"]
    assert len(m["boxes"]) == len(x.boxes(0.3, multi=True))
    assert m["versions"]["torch"] == torch.__version__


def test_untrained_weights_are_marked_in_the_result(engine, photo):
    x = engine.explain(photo, "test_resnet", "random")
    assert not x.backbone.weights.trained
    assert x.manifest()["backbone"]["weights"]["source"] == "random"
    assert x.request.weights == "random"


def test_a_network_that_knows_few_things_may_be_unsure(engine, tiny, photo):
    assert engine.explain(photo, tiny("test_resnet")).is_confident  # nobody said when it is not
    unsure = replace(tiny("test_resnet"), confidence_threshold=0.5)
    x = engine.explain(photo, unsure)
    assert not x.is_confident and x.manifest()["sure"] is False
    certain = replace(tiny("test_resnet"), confidence_threshold=x.predictions[0][2])
    assert engine.explain(photo, certain).is_confident


def test_save_writes_pictures_maps_and_the_manifest(engine, tiny, photo, tmp_path):
    x = engine.explain(photo, tiny("test_vit"), fit="crop")
    folder = x.save(tmp_path / "deep" / "out", threshold=0.4)
    names = sorted(path.name for path in folder.iterdir())
    overlays = [f"overlay_{stage}.png" for stage in x.stages]
    expected = ["manifest.json", "maps.npz", "overlay_fused.png", "picture.png", *overlays]
    assert names == sorted(expected)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(manifest["files"]) == sorted(set(names) - {"manifest.json"})
    assert manifest["request"] == json.loads(json.dumps(x.manifest(0.4)))["request"]
    assert manifest["threshold"] == 0.4
    for name in names:
        if name.endswith(".png"):
            with Image.open(folder / name) as picture:
                assert picture.size == (90, 60) and picture.mode == "RGB"
    with Image.open(folder / "picture.png") as picture:
        assert np.array_equal(np.asarray(picture), photo)
    with np.load(folder / "maps.npz") as arrays:
        assert set(arrays) == {"fused", "fused_grid", "logits", *(f"raw/{s}" for s in x.stages)}
        assert np.array_equal(arrays["fused"], x.fused)
        assert np.array_equal(arrays["logits"], x.logits)
        for stage in x.stages:
            assert np.array_equal(arrays[f"raw/{stage}"], x.raw[stage])


# --- other people's networks ---


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


# --- on something real ---


@pytest.fixture(scope="module")
def real():
    folder = MODELS / "mobilenetv2_100.tf2_ptq_in1k"
    if not (folder / "model.safetensors").is_file():
        pytest.skip(f"there is no trained network in {folder}")
    spec = find_spec("gradio")
    if spec is None:
        pytest.skip("gradio, whose wheel holds the photographs, is not installed")
    pictures = Path(spec.origin).parent / "media_assets" / "images"
    engine = Engine("cpu")

    def explain(name, **options):
        if not (pictures / name).is_file():
            pytest.skip(f"this gradio ships no {name}")
        return engine.explain(pictures / name, f"local-dir:{folder}", **options)

    return explain


@pytest.mark.parametrize(
    ("name", "label", "animal", "head"),
    [
        # shares of width and height, seen with the eye: x0, y0, x1, y1
        ("lion.jpg", "lion", (0.0, 0.0, 1.0, 0.8), (0.3, 0.1, 0.7, 0.55)),
        ("cheetah.jpg", "cheetah", (0.13, 0.27, 0.82, 0.73), (0.5, 0.27, 0.82, 0.73)),
        ("cheetah1.jpg", "cheetah", (0.1, 0.08, 0.95, 1.0), (0.15, 0.1, 0.85, 0.75)),
    ],
)
@pytest.mark.parametrize("fuse", ["product", "mean"])
def test_a_real_network_sees_the_animal_where_it_is(real, name, label, animal, head, fuse):
    x = real(name, fuse=fuse)
    assert x.label == label and x.predictions[0][2] > 0.5
    assert x.backbone.weights.source == "local" and x.backbone.weights.trained
    height, width = x.fused.shape

    def part(fractions):
        inside = np.zeros((height, width), bool)
        x0, y0, x1, y1 = fractions
        inside[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)] = 1
        return inside

    assert part(head).flat[x.fused.argmax()], "the peak is on the animal's front"
    if fuse == "product":
        share = x.fused[part(animal)].sum() / x.fused.sum()
        assert share > 2 * part(animal).mean() or share > 0.8
        box = x.boxes()[0]
        centre = ((box.x0 + box.x1) / 2 / width, (box.y0 + box.y1) / 2 / height)
        assert animal[0] < centre[0] < animal[2] and animal[1] < centre[1] < animal[3]


def test_a_real_network_tells_classes_apart(real):
    lion, dog = (real("lion.jpg", target=target, method="grad_cam") for target in ("lion", "pug"))
    deepest = lion.stages[-1]
    assert np.corrcoef(lion.maps[deepest].ravel(), dog.maps[deepest].ravel())[0, 1] < 0.9
