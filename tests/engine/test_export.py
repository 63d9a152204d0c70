"""camviz.engine.export: a folder with a manifest is complete, whatever happened on the way."""

import json
import shutil
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from camviz import Engine, load_backbone
from camviz.engine import explanation, export
from camviz.engine.export import write_folder
from camviz.errors import BackboneError, MethodError
from camviz.maps import render
from camviz.maps.boxes import boxes_at
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS

import timm  # isort: skip  after vision_ops, which lets torchvision be imported

GREY = np.full((4, 6, 3), 128, np.uint8)
PICTURES = {"picture": GREY, "overlay_layer1": GREY // 2}
ARRAYS = {"raw/layer1": np.arange(6.0).reshape(2, 3), "fused": np.ones((4, 6), np.float32)}
FILES = ["manifest.json", "maps.npz", "overlay_layer1.png", "picture.png"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_pictures_arrays_and_manifest_are_written(tmp_path):
    folder = write_folder(tmp_path / "a" / "b", PICTURES, ARRAYS, {"camviz": "0", "note": "é"})
    assert folder == tmp_path / "a" / "b" and names(folder) == FILES
    with Image.open(folder / "overlay_layer1.png") as picture:
        assert np.array_equal(np.asarray(picture), GREY // 2)
    with np.load(folder / "maps.npz") as arrays:
        assert set(arrays) == set(ARRAYS)
        assert all(np.array_equal(arrays[name], value) for name, value in ARRAYS.items())
    text = (folder / "manifest.json").read_text(encoding="utf-8")
    assert text.endswith("}\n") and "é" in text
    assert json.loads(text) == {
        "camviz": "0",
        "note": "é",
        "files": ["picture.png", "overlay_layer1.png", "maps.npz"],
    }


def test_a_text_path_will_do(tmp_path):
    assert write_folder(str(tmp_path / "x"), PICTURES, ARRAYS, {}) == tmp_path / "x"


def test_other_files_stay_and_old_ones_are_replaced(tmp_path):
    (tmp_path / "diary.txt").write_text("mine")
    write_folder(tmp_path, PICTURES, ARRAYS, {"run": 1})
    write_folder(tmp_path, {"picture": GREY + 1}, ARRAYS, {"run": 2})
    assert (tmp_path / "diary.txt").read_text() == "mine"
    assert json.loads((tmp_path / "manifest.json").read_text())["run"] == 2
    with Image.open(tmp_path / "picture.png") as picture:
        assert np.array_equal(np.asarray(picture), GREY + 1)


def test_the_manifest_is_the_last_to_appear(tmp_path, monkeypatch):
    order = []
    move = shutil.move

    def noted(source, target):
        assert not (tmp_path / "out" / "manifest.json").exists()
        order.append(Path(source).name)
        return move(source, target)

    monkeypatch.setattr(export.shutil, "move", noted)
    write_folder(tmp_path / "out", PICTURES, ARRAYS, {})
    assert sorted(order) == FILES and order[-1] == "manifest.json"


def broken_arrays():
    class Broken:
        def __array__(self, *arguments, **options):
            raise ValueError("no such array")

    return {"fused": Broken()}


@pytest.mark.parametrize(
    ("pictures", "arrays", "manifest"),
    [
        ({"picture": GREY, "bad": np.zeros((2, 2, 7))}, ARRAYS, {}),
        (PICTURES, broken_arrays(), {}),
        (PICTURES, ARRAYS, {"not JSON": object()}),
    ],
)
def test_a_failure_leaves_nothing_behind(tmp_path, pictures, arrays, manifest):
    with pytest.raises((ValueError, TypeError)):
        write_folder(tmp_path / "out", pictures, arrays, manifest)
    assert not (tmp_path / "out").exists() or names(tmp_path / "out") == []
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "diary.txt").write_text("mine")
    with pytest.raises((ValueError, TypeError)):
        write_folder(tmp_path / "kept", pictures, arrays, manifest)
    assert names(tmp_path / "kept") == ["diary.txt"]


def fail_at(monkeypatch, place):
    """The disk is full at the `place`-th file."""
    move, count = shutil.move, []

    def failing(source, target):
        count.append(1)
        if len(count) == place:
            raise OSError("no space left on device")
        return move(source, target)

    monkeypatch.setattr(export.shutil, "move", failing)


@pytest.mark.parametrize("place", [1, 2, 4])
def test_a_failure_while_the_files_are_put_in_place_leaves_no_manifest(
    tmp_path, monkeypatch, place
):
    fail_at(monkeypatch, place)
    with pytest.raises(OSError, match="no space"):
        write_folder(tmp_path / "out", PICTURES, ARRAYS, {})
    left = names(tmp_path / "out") if (tmp_path / "out").exists() else []
    assert "manifest.json" not in left
    assert not any(name.startswith(".camviz") for name in left)


@pytest.mark.parametrize("place", [2, 4])
def test_an_old_manifest_never_describes_new_files(tmp_path, monkeypatch, place):
    write_folder(tmp_path, PICTURES, ARRAYS, {"run": 1})
    fail_at(monkeypatch, place)
    with pytest.raises(OSError, match="no space"):
        write_folder(tmp_path, {name: p + 1 for name, p in PICTURES.items()}, ARRAYS, {"run": 2})
    if (tmp_path / "manifest.json").exists():
        assert json.loads((tmp_path / "manifest.json").read_text())["run"] == 1
        with Image.open(tmp_path / "picture.png") as picture:
            assert np.array_equal(np.asarray(picture), GREY), "the manifest is of another picture"


def test_a_failure_while_the_files_are_put_in_place_leaves_nothing(tmp_path, monkeypatch):
    """As the docstring promises."""
    fail_at(monkeypatch, 3)
    with pytest.raises(OSError, match="no space"):
        write_folder(tmp_path / "out", PICTURES, ARRAYS, {})
    assert not (tmp_path / "out").exists() or names(tmp_path / "out") == []


def test_stage_names_cannot_leave_the_folder(tmp_path):
    write_folder(tmp_path / "out", {"../evil": GREY}, {}, {})
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["evil.png", "manifest.json", "maps.npz"]


# --- explanations ---


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target": 4, "method": "hires_cam", "stages": ["layer2", "layer3.0"], "fuse": "mean"},
        {"fit": "crop", "tap": "output", "checkerboard": "keep", "score": "probability"},
        {"target": 3, "versus": 9, "fuse": "max_tanh", "method": "grad_cam_pp"},
        {"method": "cam"},
        {"method": "eigen_cam", "stages": ["layer1"]},
        {"truncation": 0.9, "fuse": "mean"},
        {"truncation": 0.5, "truncated": ["layer4"], "truncation_mode": "cap"},
        {"truncation": 0.8, "stages": ["layer4"], "calibration": "self", "method": "grad_cam"},
    ],
)
def test_the_manifest_repeats_the_run(engine, photo, options):
    x = engine.explain(photo, "test_resnet", weights="random", **options)
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
        x = engine.explain(photo, backbone, weights=weights)
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
    assert m["threshold"] == m["refined_threshold"] == 0.3
    assert m["picture"] == {"name": "", "sha256": x.picture.digest, "size": [60, 90]}
    assert m["backbone"]["digest"] == x.backbone.digest
    assert m["backbone"]["weights"]["source"] == "random"
    assert m["backbone"]["input_size"] == [3, 160, 160]
    assert m["geometry"]["rect"] == list(x.fit.rect)
    assert set(m["geometry"]["placements"]) == set(x.stages)
    assert m["target"] == {"index": 3, "label": x.label}
    assert [row["index"] for row in m["predictions"]] == [i for i, *_ in x.predictions[:10]]
    assert m["method"]["paper"] == METHODS["layer_cam"].paper
    assert m["method"]["fusion"] == FUSIONS["stretched_mean"].label
    assert m["method"]["refinement"] == asdict(x.refinement)
    assert m["notes"]["layer2"]["sentences"]
    for key, of in (("boxes", "fused"), ("refined_boxes", "refined")):
        assert m[key] == [asdict(box) for box in x.boxes(0.3, of=of, multi=True)]
    usual = x.manifest()
    for key, of, cut in (("", "fused", 0.2), ("refined_", "refined", 0.5)):
        assert usual[f"{key}threshold"] == cut
        assert usual[f"{key}boxes"] == [asdict(box) for box in x.boxes(cut, of=of, multi=True)]
        assert usual[f"{key}boxes"] != m[f"{key}boxes"]
    off = engine.explain(photo, tiny("test_resnet"), target=3, refine="none").manifest(0.3)
    assert off["method"]["refinement"] is None and off["refined_boxes"] is None
    assert m["versions"]["torch"] == torch.__version__


def test_a_public_manifest_shows_no_path_of_this_machine(engine, tiny, photo):
    backbone = replace(tiny("test_resnet"), name="local-dir:/secret/trees", display_name="trees")
    x = engine.explain(photo, backbone, target=3)
    assert x.manifest()["request"]["backbone"] == "local-dir:/secret/trees"
    public = x.manifest(0.3, public=True)
    assert public["request"]["backbone"] == public["backbone"]["name"] == "trees"
    assert public["threshold"] == 0.3 and "secret" not in json.dumps(public)
    assert "secret" not in str(x.notes)


def test_untrained_weights_are_marked_in_the_result(engine, photo):
    x = engine.explain(photo, "test_resnet", weights="random")
    assert not x.backbone.weights.trained
    assert x.manifest()["backbone"]["weights"]["source"] == "random"
    assert x.request.weights == "random"


def test_save_writes_pictures_maps_and_the_manifest(engine, tiny, photo, tmp_path):
    x = engine.explain(photo, tiny("test_vit"), fit="crop")
    folder = x.save(tmp_path / "deep" / "out", threshold=0.4)
    names = sorted(path.name for path in folder.iterdir())
    overlays = [f"overlay_{stage}.png" for stage in x.stages]
    overlays += ["overlay_fused.png", "overlay_refined.png"]
    expected = ["manifest.json", "maps.npz", "picture.png", *overlays]
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
        of_all = {"fused", "fused_grid", "refined", "refined_grid"}
        assert set(arrays) == of_all | {"logits", *(f"raw/{s}" for s in x.stages)}
        assert np.array_equal(arrays["fused"], x.fused)
        assert np.array_equal(arrays["refined"], x.refined)
        assert np.array_equal(arrays["fused_grid"], x.fused_grid[0])
        assert np.array_equal(arrays["refined_grid"], x.refined_grid[0])
        assert np.array_equal(arrays["logits"], x.logits)
        for stage in x.stages:
            assert np.array_equal(arrays[f"raw/{stage}"], x.raw[stage])


# --- large pictures ---


@pytest.fixture(scope="module")
def large():
    """uint8 (1300, 2000, 3): larger than a screen, and a piece of it is like any other."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (13, 20, 3), dtype=np.uint8))
    return np.asarray(small.resize((2000, 1300), Image.Resampling.BICUBIC))


def test_large_pictures_are_saved_at_the_size_of_a_screen(engine, tiny, large, tmp_path):
    x = engine.explain(large, tiny("test_resnet"), fit="crop", target=3)
    folder = x.save(tmp_path / "screen")
    manifest = json.loads((folder / "manifest.json").read_text())
    overlays = [f"overlay_{name}.jpg" for name in (*x.stages, "fused", "refined")]
    assert sorted(manifest["files"]) == sorted(["maps.npz", "picture.jpg", *overlays])
    assert manifest["saved"] == {"size": "screen", "pixels": [1040, 1600]}
    assert manifest["boxes"] == json.loads(json.dumps(x.manifest()))["boxes"]
    for name in manifest["files"]:
        if name.endswith(".jpg"):
            with Image.open(folder / name) as picture:
                assert picture.size == (1600, 1040)
    with np.load(folder / "maps.npz") as arrays:
        grids = {"fused_grid", "refined_grid"}
        assert set(arrays) == grids | {"logits", *(f"raw/{s}" for s in x.stages)}
    # What is drawn small is what is drawn large, made smaller.
    canvas = export.Canvas.of(x, "screen")
    expected = render.overlay(large, x.maps["layer2"], visible=x.visible)
    expected = np.asarray(Image.fromarray(expected).resize((1600, 1040), Image.Resampling.BOX))
    difference = np.abs(canvas.overlay(x, "layer2").astype(int) - expected)
    assert np.median(difference) <= 2 and difference[:, 400:1200].mean() < 3


def test_large_pictures_are_saved_as_they_are_on_request(engine, tiny, large, tmp_path):
    x = engine.explain(large, tiny("test_resnet"), target=3)
    folder = x.save(tmp_path / "original", size="original")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "saved" not in manifest
    with Image.open(folder / "overlay_fused.jpg") as picture:
        assert picture.size == (2000, 1300)
    with np.load(folder / "maps.npz") as arrays:
        assert np.array_equal(arrays["fused"], x.fused)
    drawn = export.Canvas.of(x, "original").overlay(x, "layer1")
    assert np.array_equal(drawn, render.overlay(large, x.maps["layer1"]))
    with pytest.raises(MethodError, match="unknown size 'huge'; sizes: screen, original"):
        x.save(tmp_path / "huge", size="huge")
    assert not (tmp_path / "huge").exists()


def test_boxes_of_large_pictures_are_those_of_the_map(engine, tiny, monkeypatch, large):
    monkeypatch.setattr(explanation, "_KEPT_PIXELS", 1)
    for fit in ("stretch", "crop"):
        x = engine.explain(large, tiny("test_resnet"), target=3, fit=fit)
        for of in ("fused", "refined", "layer1"):
            expected = boxes_at(x.heat(of), 0.4, multi=True)
            found = x.boxes(0.4, of=of, multi=True)
            assert [box.xyxy for box in found] == [box.xyxy for box in expected]
            assert np.allclose([b.heat_fraction for b in found],
                               [b.heat_fraction for b in expected])  # fmt: skip
        assert x.boxes(0.4, stage="layer1", multi=True) == found
        assert x.maps["layer1"] is not x.maps["layer1"], "not held"
        assert x.refined is not x.refined and x.fused is not x.fused


def test_overlays_of_large_pictures_are_never_all_in_memory(engine, tiny, large, tmp_path):
    x = engine.explain(large, tiny("test_resnet"), target=3)
    x.fused_grid, x.boxes(multi=True)
    tracemalloc.start()
    try:
        x.save(tmp_path / "out", size="original")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 6 * large.nbytes, f"{most / large.nbytes:.1f} pictures at once"


def test_an_overlay_is_what_the_formula_says():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    heat, visible = rng.random((50, 60)).astype(np.float32), rng.random((50, 60)) < 0.5
    mixed = (1 - 0.35) * pixels + 0.35 * render.colorize(heat)
    rows, columns = np.indices(visible.shape)
    stripes = np.where((rows + columns) // 6 % 2, 0.75, 0.45)[..., None]
    hidden = np.where(visible[..., None], mixed, pixels.mean(axis=2, keepdims=True) * stripes)
    plain = render.overlay(pixels, heat, opacity=0.35)
    assert np.array_equal(plain, mixed.round().astype(np.uint8))
    hatched = render.overlay(pixels, heat, opacity=0.35, visible=visible)
    assert np.array_equal(hatched, hidden.round().astype(np.uint8))
