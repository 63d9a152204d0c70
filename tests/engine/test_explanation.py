"""camviz.engine.explanation: maps made a second time by hand from the raw ones."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from camviz import Engine, open_picture
from camviz.engine.families import family_of
from camviz.errors import (
    MethodError,
)
from camviz.maps.boxes import boxes_at, mask_at
from camviz.methods import METHODS
from tests.support.methods import why_not

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"


# --- maps ---


@pytest.mark.sampled(14)
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_mambaout", "test_vit"])
@pytest.mark.parametrize("method", METHODS)
def test_maps_are_of_the_pictures_size_and_between_0_and_1(engine, tiny, photo, name, method):
    backbone = tiny(name)
    if reason := why_not(method, name):
        with pytest.raises(MethodError, match=reason):
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


def test_fusion_is_on_the_finest_grid_before_the_picture(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_nfnet"), target=5, fuse="product")
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
    usual = engine.explain(photo, tiny("test_nfnet"), target=5)
    assert usual.request.fuse == family_of(usual.backbone).fuse == "stretched_mean"
    assert engine.explain(photo, tiny("test_nfnet"), method="lpcam").request.fuse == "product"


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


def test_signed_maps_keep_the_sign(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"), method="hires_cam", target=1)
    heat = x.signed("layer3")
    assert heat.shape == (60, 90) and heat.min() < 0 < heat.max()
    assert np.abs(heat).max() <= 1
    raw = torch.from_numpy(x.raw["layer3"] / np.abs(x.raw["layer3"]).max())[None, None]
    drawn = F.interpolate(raw, (60, 90), mode="bilinear", align_corners=False)
    assert np.allclose(heat, drawn[0, 0], atol=1e-5)


def test_maps_are_made_when_they_are_read(engine, tiny, photo):
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


def test_what_was_removed_and_what_is_left_make_the_whole(engine, photo):
    plain = engine.explain(photo, "test_resnet", weights="random")
    x = engine.explain(photo, "test_resnet", weights="random", truncation=0.9)
    for name in x.stages[:-1]:
        share = max(x.raw[name].max(), 0) / plain.raw[name].max()
        assert np.allclose(x.removed[name] + x.maps[name] * share, plain.maps[name], atol=1e-5)
        notes = x.notes[name].denoising
        mass = plain.raw[name].clip(0).sum()
        assert notes.removed == pytest.approx(1 - x.raw[name].clip(0).sum() / mass, abs=1e-5)
        assert notes.tau > 0
        assert 0 < notes.noise.kept < 0.3
        assert 0 < notes.noise.noise < 1
        assert "our reading of Dong et al., 2025, arXiv 2308.02118" in str(x.notes[name])
    assert not x.removed[x.stages[-1]].any()
    assert json.dumps(x.manifest()["notes"])


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


def test_a_network_that_knows_few_things_may_be_unsure(engine, tiny, photo):
    assert engine.explain(
        photo, tiny("test_resnet")
    ).is_confident  # untrained ones have no threshold
    unsure = replace(tiny("test_resnet"), confidence_threshold=0.5)
    x = engine.explain(photo, unsure)
    assert not x.is_confident and x.manifest()["sure"] is False
    certain = replace(tiny("test_resnet"), confidence_threshold=x.predictions[0][2])
    assert engine.explain(photo, certain).is_confident


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


@pytest.mark.sampled(2)
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
