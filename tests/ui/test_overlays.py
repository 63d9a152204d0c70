"""The pictures in a zip are drawn as the viewer draws them. Beside the viewer: tests/browser."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from camviz.defaults import REFINED_THRESHOLD, THRESHOLD
from camviz.maps import render
from camviz.ui import service
from camviz.ui.downloads import bundle
from camviz.ui.downloads.overlays import TRUE_OUTLINE, Look
from camviz.version import version_of


@pytest.fixture
def hires(controls):
    """The rows of a method whose maps have two signs."""
    controls = replace(controls, target="great white shark")
    return service.rows(controls.with_options(method="hires_cam"))


@pytest.fixture
def drawn(tmp_path):
    """drawn(rows, query): the pictures of a zip by name, and its manifest."""

    def get(rows, query):
        folder = bundle.write_rows(rows, tmp_path / query.replace("/", "-"), query)
        pictures = {file.stem: np.asarray(Image.open(file)) for file in folder.glob("*.png")}
        return pictures, json.loads((folder / "manifest.json").read_text())

    return get


def near(one, other):
    """Whether two pictures are the same within a step of rounding."""
    return np.abs(one.astype(int) - other.astype(int)).max() <= 2


def test_for_and_against_is_drawn_on_the_scale_of_two_signs(hires, drawn):
    x = hires["layercam"]
    pictures, manifest = drawn(hires, "?signed=1&view=map&colors=magma")
    assert manifest["view"]["signed"] is True
    assert (x.raw["layer1"] < 0).any() and x.fused.any()
    for name in x.stages:
        wanted = render.colorize((x.signed(name) + 1) / 2, render.DIVERGING)
        assert near(pictures[f"layercam_{name}"], wanted), name
    for name in ("fused", "refined"):
        wanted = render.colorize((x.heat(name) + 1) / 2, render.DIVERGING)
        assert near(pictures[f"layercam_{name}"], wanted), name


def test_a_method_without_signs_has_nothing_against(controls, drawn):
    rows = service.rows(controls)
    signed, plain = (drawn(rows, f"?signed={on}&view=map")[0] for on in "10")
    assert np.array_equal(signed["layercam_layer4"], plain["layercam_layer4"])
    assert not np.array_equal(signed["prototypes_layer4"], plain["prototypes_layer4"])


@pytest.mark.parametrize("view", ["overlay", "map"])
def test_what_is_below_the_threshold_is_hidden(controls, drawn, view):
    rows = service.rows(controls)
    x = rows["layercam"]
    cut, whole = (drawn(rows, f"?view={view}&threshold={t}")[0] for t in ("0.4", "0"))
    for name in (*x.stages, "fused", "refined"):
        heat = x.heat(name)
        above = heat >= 0.4 * heat.max()
        bare = x.picture.pixels if view == "overlay" else np.zeros_like(x.picture.pixels)
        wanted = np.where(above[..., None], whole[f"layercam_{name}"], bare)
        assert np.array_equal(cut[f"layercam_{name}"], wanted), name


def test_a_threshold_of_two_signs_is_a_share_of_the_largest_magnitude(hires, drawn):
    x = hires["layercam"]
    pictures, _ = drawn(hires, "?view=map&signed=1&threshold=0.5")
    for name in x.stages:
        values = x.signed(name)
        hidden = (pictures[f"layercam_{name}"] == 0).all(axis=2)
        clear = np.abs(np.abs(values) - 0.5) > 0.01
        assert np.array_equal(hidden[clear], (np.abs(values) < 0.5)[clear])


def test_one_scale_for_all_maps_of_a_method(controls, drawn):
    rows = service.rows(controls)
    pictures, _ = drawn(rows, "?view=map&scale=same&colors=gray")
    both = [rows["layercam"], rows["denoised"]]
    top = max(float(raw.max()) for x in both for raw in x.raw.values())
    for key, x in zip(("layercam", "denoised"), both, strict=True):
        for name in x.stages:
            wanted = render.colorize(x.maps[name] * x.raw[name].max() / top, "gray")
            assert near(pictures[f"{key}_{name}"], wanted)
    for name in ("fused", "refined"):  # shares have a scale of their own
        wanted = render.colorize(rows["layercam"].heat(name), "gray")
        assert wanted.max() > 240 and near(pictures[f"layercam_{name}"], wanted)


def test_the_picture_alone_with_lines(controls, drawn):
    rows = service.rows(controls)
    x = rows["layercam"]
    bare, _ = drawn(rows, "?view=picture")
    assert np.array_equal(bare["layercam_layer4"], x.picture.pixels)
    boxes, _ = drawn(rows, "?view=picture&boxes=largest")
    contours, _ = drawn(rows, "?view=picture&contours=1")
    for name in ("layer4", "fused", "refined"):
        cut = REFINED_THRESHOLD if name == "refined" else THRESHOLD
        wanted = render.draw_boxes(x.picture.pixels, [x.boxes(cut, of=name)[0].xyxy])
        assert np.array_equal(boxes[f"layercam_{name}"], wanted), name
        wanted = render.draw_contour(x.picture.pixels, x.mask(cut, of=name))
        assert np.array_equal(contours[f"layercam_{name}"], wanted), name
    lines, _ = drawn(rows, "?view=picture&contours=1&threshold=0.5")
    wanted = render.draw_contour(x.picture.pixels, x.mask(0.5, stage="layer4"))
    assert np.array_equal(lines["layercam_layer4"], wanted)
    wanted = render.draw_contour(x.picture.pixels, x.mask(0.5, of="refined"))
    assert np.array_equal(lines["layercam_refined"], wanted)
    even, manifest = drawn(rows, "?blend=even&opacity=0.55")  # no boxes: as the viewer draws it
    assert np.array_equal(even["layercam_fused"], render.overlay(x.picture.pixels, x.fused))
    assert manifest["rows"]["layercam"]["boxes"]


def test_opacity_follows_the_heat(controls, hires, drawn):
    def blended(picture, heat, colors):
        share = (0.7 * np.minimum(1, heat / 0.5))[..., None]
        return (1 - share) * picture + share * colors

    x = service.rows(controls)["layercam"]
    usual, _ = drawn({"layercam": x}, "")
    for name in ("layer4", "fused", "refined"):
        heat = x.heat(name)
        wanted = blended(x.picture.pixels, heat, render.colorize(heat))
        assert near(usual[f"layercam_{name}"], wanted), name
    x = hires["layercam"]
    signed, _ = drawn(hires, "?signed=1")
    values = x.signed("layer4")
    colors = render.colorize((values + 1) / 2, render.DIVERGING)
    assert near(signed["layercam_layer4"], blended(x.picture.pixels, np.abs(values), colors))


def test_the_true_outline(controls, drawn, monkeypatch):
    rows = service.rows(controls)
    mask = np.zeros(rows["layercam"].picture.pixels.shape[:2], bool)
    mask[10:40, 20:60] = True
    monkeypatch.setattr(bundle, "truth_of", lambda x: {"box": mask})
    pixels = rows["layercam"].picture.pixels
    wanted = render.draw_contour(pixels, mask, TRUE_OUTLINE)
    pictures, _ = drawn(rows, "?view=picture&outline=box")
    assert np.array_equal(pictures["layercam_fused"], wanted)
    assert np.array_equal(drawn(rows, "?view=picture&outline=no")[0]["layercam_fused"], pixels)


def test_what_the_network_was_not_shown_stays_hatched(controls, drawn):
    rows = service.rows(controls.with_options(fit="crop"))
    x = rows["layercam"]
    assert not x.visible.all()
    plain, cut = (drawn(rows, f"?threshold={t}")[0]["layercam_layer4"] for t in ("0", "0.9"))
    assert np.array_equal(plain[~x.visible], cut[~x.visible])
    assert not np.array_equal(plain[~x.visible], x.picture.pixels[~x.visible])


def test_an_empty_map_is_the_picture_alone(controls, drawn):
    x = service.explain(controls)
    empty = replace(x, raw={name: np.zeros_like(raw) for name, raw in x.raw.items()})
    for query in ("", "?view=map&signed=1&threshold=0.5&contours=1&boxes=all"):
        pictures, _ = drawn({"layercam": empty}, query)
        assert np.array_equal(pictures["layercam_layer4"], x.picture.pixels)


def test_settings_are_read_as_the_viewer_reads_them():
    usual = Look.read()
    assert Look.read("?view=1&opacity=x&threshold=-1&colors=rainbow&boxes=<b>&scale=") == usual
    look = Look.read("?signed=1&contours=0&opacity=0.333&threshold=1&row=denoised")
    assert (look.signed, look.contours, look.opacity, look.threshold) == (True, False, 0.33, 0.95)
    assert usual.cut is None and look.cut == 0.95  # None: each map's own


def test_the_manifest_names_the_version_of_camviz(controls, drawn):
    _, manifest = drawn({"layercam": service.explain(controls)}, "")
    assert manifest["rows"]["layercam"]["camviz"] == version_of("camviz")
    assert manifest["rows"]["layercam"]["camviz"][0].isdigit()
