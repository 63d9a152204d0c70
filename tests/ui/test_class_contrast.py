"""Classes held against each other: one scale, a difference with two signs, and its sentence."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from camviz.defaults import NEAREST
from camviz.examples import example
from camviz.maps.fusion import FUSIONS, fuse, normalize
from camviz.methods import METHODS
from camviz.ui import contrast, service
from camviz.ui.contrast import Overlap
from camviz.ui.state import BackboneChoice, Controls
from camviz.ui.viewer import MapPanel, rasterize

RAM = str(example("a-ram").path)


@pytest.fixture
def scene(fresh):
    """A ram on a network that knows it."""
    return Controls(picture=RAM, backbone=BackboneChoice("scenes-resnet"), target="ram")


# --- which classes ---


def test_the_rival_is_the_one_chosen_or_the_nearest(controls):
    x = service.explain(controls)
    order = sorted(range(len(x.logits)), key=lambda i: abs(float(x.logits[i] - x.logits[x.target])))
    assert order[0] == x.target and contrast.rival_of(x) == order[1]
    assert contrast.rival_of(service.explain(controls, versus=NEAREST)) == order[1]
    assert contrast.rival_of(service.explain(controls, versus=[order[5], order[3]])) == order[5]


def test_the_best_classes_and_the_explained_one(controls):
    x = service.explain(controls)
    assert contrast.best_classes(x) == x.predictions[:6]
    last = x.predictions[-1]
    y = service.explain(controls, target=last[0])
    assert contrast.best_classes(y) == [*x.predictions[:6], last]


def test_a_method_that_is_the_same_for_every_class_or_slow_gives_way(controls):
    for method in ("eigen_cam", "rollout", "score_cam"):
        chosen = controls.with_options(method=method, views="flip")
        assert contrast.settled(chosen).options == controls.with_options(method="auto").options
    for method, row in METHODS.items():
        if row.class_specific and not row.uses_prototypes and row.scoring is None:
            kept = controls.with_options(method=method)
            assert contrast.settled(kept) == kept
            margin = contrast.margin_method(kept)
            assert METHODS[margin].linear and (margin == method) == row.linear


# --- one scale ---


@pytest.mark.parametrize("mode", FUSIONS)
def test_all_classes_share_one_scale(controls, mode):
    chosen = controls.with_options(fuse=mode)
    found = [contrast.alone(chosen, target) for target in (3, 7, 500)]
    maps = contrast.on_one_scale(found)
    assert max(heat.max() for heat in maps) == 1.0
    assert any(heat.max() < 0.999 for heat in maps), "the others are paler"
    stacked = {
        name: normalize(torch.from_numpy(np.stack([x.raw[name] for x in found])))
        for name in found[0].stages
    }
    for name, heat in stacked.items():
        peak = max(x.raw[name].max() for x in found)
        for x, one in zip(found, heat, strict=True):
            assert np.allclose(one, x.raw[name].clip(min=0) / peak, atol=1e-6), name
    placements = [found[0].placements[name] for name in found[0].stages]
    wanted, _ = fuse(list(stacked.values()), placements, mode)
    assert np.array_equal(np.stack(maps), wanted.numpy())


def test_a_class_alone_has_its_usual_map(controls):
    x = contrast.alone(replace(controls, versus=NEAREST), 7)
    assert np.allclose(contrast.on_one_scale([x])[0], x.fused_grid[0], atol=1e-6)
    assert x.request.versus is None


# --- A − B ---


@pytest.mark.parametrize("method", ["layer_cam", "grad_cam", "xgrad_cam", "hires_cam"])
def test_the_difference_has_the_other_sign_the_other_way_round(scene, method):
    controls = scene.with_options(method=method)
    there, map_there = contrast.margin(controls, 1, 0)
    back, map_back = contrast.margin(controls, 0, 1)
    one, other = (
        service.explain(controls, target=t, versus=None, method=there.request.method)
        for t in (1, 0)
    )
    for name in there.stages:
        scale = np.abs(there.raw[name]).max()
        assert np.allclose(there.raw[name], -back.raw[name], atol=1e-5 * scale), name
        difference = one.raw[name] - other.raw[name]
        assert np.allclose(there.raw[name], difference, atol=1e-4 * scale), name
    assert np.allclose(map_there.raw, -map_back.raw, atol=1e-5)
    assert np.abs(map_there.raw).max() == 1.0
    assert there.request.versus == 0 and there.request.gamma == 1.0


def test_a_class_rather_than_another_follows_the_method_and_the_contrast(scene):
    controls = replace(scene.with_options(method="grad_cam"), gamma=0.6)
    x = contrast.rather(controls, 1, 0)
    request = x.request
    assert (request.method, request.target, request.versus, request.gamma) == (
        "grad_cam",
        1,
        0,
        0.6,
    )
    assert contrast.rather(scene.with_options(method="cam"), 1, 0).request.method == "layer_cam"
    _, heat = contrast.margin(controls, 1, 0)
    _, plain = contrast.margin(scene.with_options(method="grad_cam"), 1, 0)
    assert np.array_equal(heat.raw, plain.raw), "the difference itself is that of the scores"


# --- in words ---


def test_the_share_of_the_hottest_fifth_by_hand(scene):
    one, other = contrast.alone(scene, 1), contrast.alone(scene, 8)
    found = contrast.overlap(one, other)
    places = []
    for x in (one, other):
        heat, visible = rasterize(MapPanel(x), 256)
        assert visible.all()
        flat = [float(value) for value in heat.ravel()]
        order = sorted(range(len(flat)), key=lambda i: -flat[i])[: round(len(flat) / 5)]
        assert min(flat[i] for i in order) > 0
        places.append(set(order))
    shared = len(places[0] & places[1]) / len(places[0])
    assert found.shared == pytest.approx(shared, abs=1e-9) and 0 < shared < 1
    a, b = (rasterize(MapPanel(x), 256)[0].ravel().astype(float) for x in (one, other))
    centred = (a - a.mean(), b - b.mean())
    r = (centred[0] * centred[1]).sum() / np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    assert found.r == pytest.approx(r, abs=1e-6) and not found.empty


def test_the_words_follow_the_figure():
    same, partly, different = Overlap(0.6, 0.9), Overlap(0.4, None), Overlap(0.399, -0.2)
    assert same.words == "Both are seen at the same place"
    assert partly.words == "They are seen at partly the same place"
    assert different.words == "They are seen at different places"
    assert Overlap(0.0, None, empty=True).words == "One of the two maps is empty"
    assert [x.correlation for x in (same, partly, different)] == [
        "r = 0.90", "r unknown", "r = −0.20",
    ]  # fmt: skip


def test_what_is_left_out_of_sight_is_not_compared(controls):
    one, other = (contrast.alone(controls.with_options(fit="crop"), t) for t in (3, 7))
    (a, visible), (b, _) = (rasterize(MapPanel(x), 256) for x in (one, other))
    assert 0.3 < visible.mean() < 0.9
    count = round(visible.sum() / 5)
    hottest = [set(np.argsort(-heat[visible], kind="stable")[:count].tolist()) for heat in (a, b)]
    shared = len(hottest[0] & hottest[1]) / count
    assert contrast.overlap(one, other).shared == pytest.approx(shared, abs=1e-9)


# --- the telling part ---


def test_the_telling_part_is_found_where_it_is(scene, controls):
    ram, sheep = contrast.alone(scene, 1), contrast.alone(scene, 0)
    horns = example("a-ram").truth[0].parts["horns"]
    for x, rival in ((ram, 0), (sheep, 1), (ram, 5)):
        part = contrast.telling_part(x, rival)
        assert (part.label, part.plain, part.name) == ("ram", "sheep", "horns")
        assert np.array_equal(part.mask, horns) and part.area == pytest.approx(horns.mean())
    assert contrast.telling_part(sheep, 5) is None, "neither class has it"
    part = contrast.telling_part(ram, 0)
    assert part.share(ram) == pytest.approx(ram.fused[horns].sum() / ram.fused.sum(), rel=1e-5)
    assert part.share(contrast.rather(scene, 1, 0)) > part.share(ram), "contrast shows the part"
    assert contrast.telling_part(contrast.alone(controls, 3), 4) is None, "a photograph"
