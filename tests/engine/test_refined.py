"""The refined map of an explanation: made a second time by hand, and everywhere a map is named."""

import copy
import json
import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from camviz import Engine, load_backbone, open_picture
from camviz.engine.families import (
    FAMILIES,
    OF_PROTOTYPES,
    default_stages,
    family_of,
    feature_stages,
)
from camviz.errors import MethodError, StageError
from camviz.maps import localization, render
from camviz.maps.boxes import boxes_at, mask_at
from camviz.maps.fusion import FUSIONS
from camviz.maps.refine import MOST_CELLS, Affinity, refine
from camviz.methods import METHODS
from camviz.network.placement import plain_placement, true_placements
from camviz.network.trace import trace as run_trace
from camviz.scenes import TRAIN_BACKGROUNDS, draw_scene
from tests.support.methods import why_not
from tests.support.networks import copy_of

NETWORKS = ["test_resnet", "test_efficientnet", "test_vit", "test_convnext"]
RESNET = "test_resnet"


def affinity_by_hand(backbone, picture, fit="stretch", placement="plain"):
    """What looks alike, of a trace that records the stages of features and nothing else."""
    taps = [stage.activation for stage in feature_stages(backbone)]
    image, _ = backbone.prepare(open_picture(picture), fit)
    trace = run_trace(backbone, image, taps, graph=False)
    if placement == "true":
        places = true_placements(backbone, taps)
    else:
        places = {tap.address: plain_placement(tap, backbone.input_size) for tap in taps}
    return Affinity([(trace.activations[t.address][0], places[t.address]) for t in taps])


def refined_by_hand(x, affinity, how):
    """(the map on its own grid, where its cells look) from the fused map of an explanation."""
    fused, placement = x.fused_grid
    heat, onto = refine(torch.from_numpy(fused), placement, affinity, how)
    return heat.numpy(), onto


# -- The map -----------------------------------------------------------------------------------


@pytest.mark.sampled(14)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_it_has_the_pictures_size_and_lies_between_0_and_1(engine, tiny, photo, name, method):
    backbone = tiny(name)
    if reason := why_not(method, name):
        with pytest.raises(MethodError, match=reason):
            engine.explain(photo, backbone, method=method)
        return
    x = engine.explain(photo, backbone, method=method, target=3)
    assert x.refined.shape == (60, 90) and x.refined.dtype == np.float32
    assert np.isfinite(x.refined).all() and x.refined.min() >= 0 and x.refined.max() <= 1
    heat, placement = x.refined_grid
    assert heat.dtype == np.float32 and heat.size <= MOST_CELLS
    assert heat.min() == 0 and heat.max() == 1, "stretched"
    assert np.array_equal(x.refined, x.on_picture(heat, placement))
    assert np.abs(x.refined - x.fused).max() > 0.05, "and it is not the fused one"


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "eigen_cam", "stages": [-1]},
        {"fit": "crop", "fuse": "mean", "truncation": 0.9},
        {"fit": "pad", "tap": "output", "method": "grad_cam"},
        {"placement": "true"},
    ],
    ids=str,
)
def test_it_is_the_fused_map_spread_by_the_features_of_the_picture(
    engine, tiny, photo, name, options
):
    """Whichever stages and tensors are explained: features are those of the default stages."""
    backbone = tiny(name)
    if "stages" in options:
        options = options | {"stages": [backbone.stages[i].name for i in options["stages"]]}
    x = engine.explain(photo, backbone, target=3, **options)
    where = {key: value for key, value in options.items() if key in ("fit", "placement")}
    affinity = affinity_by_hand(backbone, photo, **where)
    heat, placement = refined_by_hand(x, affinity, family_of(backbone).refinement)
    assert x.refined_grid[1] == placement
    assert np.allclose(x.refined_grid[0], heat, atol=1e-5)
    assert np.allclose(x.refined, x.on_picture(heat, placement), atol=1e-5)


def test_its_grid_is_the_finest_that_is_not_too_fine(engine, tiny, photo):
    """40 x 40 cells would make a matrix of 2.56 million; 20 x 20 make one of 160 000."""
    x = engine.explain(photo, tiny(RESNET))
    assert x.fused_grid[0].shape == (40, 40) and x.refined_grid[0].shape == (20, 20)
    assert [features.shape[1:] for features, _ in x.affinity.features] == [
        (20, 20), (10, 10), (5, 5),
    ]  # fmt: skip
    y = engine.explain(photo, tiny("test_vit"))
    assert y.refined_grid[0].shape == (10, 10) and len(y.affinity.features) == 4


def test_a_crop_shows_it_only_where_the_network_looked(engine, tiny, photo):
    x = engine.explain(photo, tiny(RESNET), fit="crop")
    assert not x.visible.all() and x.refined.shape == (60, 90)
    assert not x.refined[~x.visible].any()
    assert x.refined[x.visible].max() > 0.5 and (x.refined[x.visible] > 0).mean() > 0.5
    for box in x.boxes(0.5, of="refined"):
        assert x.visible[box.y0 : box.y1, box.x0 : box.x1].any(axis=0).all()


def test_where_nothing_speaks_for_a_class_it_is_empty(engine, tiny, photo):
    x = engine.explain(photo, tiny(RESNET))
    nothing = replace(x, raw={name: -np.abs(raw) for name, raw in x.raw.items()})
    assert x.refined.any() and not nothing.refined.any()
    assert nothing.refined.shape == (60, 90) and nothing.boxes(of="refined") == []
    assert "refined" in nothing.maps_of_all


def test_it_covers_a_drawn_thing_better(engine, knowing):
    """What it is for: at their own best thresholds, and over all of them."""
    gains = {"best_iou": [], "ap": []}
    for label in ("ram", "zebra", "windmill"):
        for index in range(4):
            scene = draw_scene(
                5, index, label=label, backgrounds=TRAIN_BACKGROUNDS, two_objects=0.0
            )
            x = engine.explain(scene.image, knowing, target=label)
            found = x.measure(scene.objects[0].mask)
            for figure, values in gains.items():
                values.append(found["refined"][figure] - found["fused"][figure])
    assert np.mean(gains["best_iou"]) > 0.03 and np.mean(gains["ap"]) > 0.02


# -- Options -----------------------------------------------------------------------------------


def test_without_refinement_there_is_none(engine, tiny, photo, tmp_path):
    x = engine.explain(photo, tiny(RESNET), refine="none")
    assert x.refined is None and x.refined_grid is None and x.affinity is None
    assert x.maps_of_all == ("fused",) and x.request.refine == "none"
    for read in (x.boxes, x.mask, x.heat, x.grid):
        with pytest.raises(StageError, match="no refined map: it was computed with refine 'none'"):
            read(of="refined")
    assert "refined" not in x.measure(np.ones((60, 90), bool))
    manifest = json.loads((x.save(tmp_path) / "manifest.json").read_text())
    assert not any("refined" in name for name in manifest["files"])
    with np.load(tmp_path / "maps.npz") as arrays:
        assert not any("refined" in name for name in arrays)
    usual = engine.explain(photo, tiny(RESNET))
    assert usual.maps_of_all == ("fused", "refined") and usual.request.refine == "affinity"
    assert np.array_equal(x.fused, usual.fused), "nothing else is different"


@pytest.mark.parametrize("name", [RESNET, "test_vit"])
@pytest.mark.parametrize(
    "given",
    [
        {"power": 2.5, "steps": 4, "keep": 0.75},
        {"power": 3},
        {"steps": 1},
        {"keep": 0},
        {"keep": 4},
        {"power": 64, "steps": 16},
        {},
    ],
    ids=str,
)
def test_the_refinement_is_the_one_given_or_that_of_the_family(engine, tiny, photo, name, given):
    backbone = tiny(name)
    x = engine.explain(photo, backbone, **{f"refine_{key}": value for key, value in given.items()})
    how = replace(family_of(backbone).refinement, **given)
    assert x.refinement == how
    assert x.manifest()["method"]["refinement"] == {
        "power": how.power, "steps": how.steps, "keep": how.keep,
    }  # fmt: skip
    heat, _ = refined_by_hand(x, affinity_by_hand(backbone, photo), how)
    assert np.allclose(x.refined_grid[0], heat, atol=1e-5)
    usual = engine.explain(photo, backbone)
    assert np.array_equal(x.refined, usual.refined) == (how == family_of(backbone).refinement)
    again = Engine("cpu").explain(photo, backbone, **options_of(x))
    assert again.request == x.request and np.array_equal(again.refined, x.refined)


def options_of(x):
    """The options of a request that are not those of its network, as a manifest has them."""
    request = json.loads(json.dumps(x.manifest()["request"]))
    names = ("target", "method", "fuse", "refine", "refine_power", "refine_steps", "refine_keep")
    return {name: request[name] for name in names}


@pytest.mark.parametrize("value", [0, "a", True, 65, -1, 0.5, float("nan"), float("inf")])
def test_a_power_that_is_none_is_refused(engine, tiny, photo, value):
    with pytest.raises(MethodError, match=r"^refine power is a number from 1 to 64, not "):
        engine.explain(photo, tiny(RESNET), refine_power=value)


@pytest.mark.parametrize("value", [0, "a", True, 17, -1, 1.5, float("nan")])
def test_a_number_of_steps_that_is_none_is_refused(engine, tiny, photo, value):
    with pytest.raises(MethodError, match=r"^refine steps is a whole number from 1 to 16, not "):
        engine.explain(photo, tiny(RESNET), refine_steps=value)


@pytest.mark.parametrize("value", ["a", True, -0.1, 4.5, float("nan"), float("inf")])
def test_a_keep_that_is_none_is_refused(engine, tiny, photo, value):
    with pytest.raises(MethodError, match=r"^refine keep is a number from 0 to 4, not "):
        engine.explain(photo, tiny(RESNET), refine_keep=value)


@pytest.mark.parametrize("name", ["refine power", "refine steps", "refine keep"])
def test_several_powers_or_steps_are_refused(engine, tiny, photo, name):
    with pytest.raises(MethodError, match=rf"^{name} takes a number, not \[8\]$"):
        engine.explain(photo, tiny(RESNET), **{name.replace(" ", "_"): [8]})


@pytest.mark.parametrize("value", ["maybe", None, True, ""])
def test_a_refinement_that_is_none_is_refused(engine, tiny, photo, value):
    with pytest.raises(MethodError, match=r"^unknown refine .*; choices: affinity, none$"):
        engine.explain(photo, tiny(RESNET), refine=value)


# -- What is computed, and how often -----------------------------------------------------------


def test_another_method_or_class_has_the_same_affinity_and_runs_nothing(
    engine, tiny, photo, passes, monkeypatch
):
    backbone = copy_of(tiny(RESNET))
    made, plain = [], Affinity.cosines.func
    monkeypatch.setattr(Affinity.cosines, "func", lambda self: made.append(self) or plain(self))
    x = engine.explain(photo, backbone, target=3)
    assert made == [], "nothing is computed before it is read"
    assert x.refined.any() and made == [x.affinity]
    engine.explain(photo, backbone, target=3, method="cam")  # reads the classifier's weights
    count = passes(backbone)
    for options in (
        {"method": "grad_cam"},
        {"method": "cam"},
        {"method": "eigen_cam"},
        *({"fuse": name} for name in FUSIONS),
        {"truncation": 0.9},
        {"tap": "output"},
        {"stages": ["layer4"]},
        {"refine_power": 2, "refine_steps": 1},
        {"refine_keep": 1.5},
        {"target": 4},
        {"target": 3, "versus": 4},
        {"refine": "none"},
        {},
    ):
        y = engine.explain(photo, backbone, **{"target": 3, **options})
        if options.get("refine") == "none":
            assert y.affinity is None
        else:
            assert y.affinity is x.affinity and y.refined.any(), options
    assert count == {"forward": 0, "backward": 1}, "the gradient of the other class"
    assert made == [x.affinity]


def test_another_picture_view_or_network_has_another_affinity(engine, tiny, photo):
    x = engine.explain(photo, tiny(RESNET), target=3)
    others = [
        engine.explain(photo[:, ::-1], tiny(RESNET), target=3),
        engine.explain(photo, tiny(RESNET), target=3, fit="crop"),
        engine.explain(photo, tiny(RESNET), target=3, placement="true"),
        engine.explain(photo, copy_of(tiny("test_efficientnet")), target=3),
    ]
    assert len({id(each.affinity) for each in (x, *others)}) == 5
    mirrored = others[0].affinity.cosines
    assert mirrored.shape == x.affinity.cosines.shape
    assert not torch.allclose(mirrored, x.affinity.cosines, atol=1e-3)


def test_what_a_caller_does_to_it_stays_with_it(engine, tiny, photo):
    x = engine.explain(photo, tiny(RESNET), target=3)
    expected = x.refined.copy()
    x.refined[...] = 7
    x.refined_grid[0][...] = 7
    assert np.array_equal(engine.explain(photo, tiny(RESNET), target=3).refined, expected)


# -- Copies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("read", [False, True])
def test_a_copy_has_the_same_map(tiny, photo, copied, read):
    """Whether or not it was drawn before."""
    x = Engine("cpu").explain(photo, tiny(RESNET), target=3)
    if read:
        assert x.refined.any() and x.boxes(of="refined")
    y = copied(x)
    assert y.affinity is not x.affinity and y.affinity.nbytes == 0, "the matrix is made again"
    assert np.array_equal(y.refined, x.refined) and y.refined is not x.refined
    assert np.array_equal(y.refined_grid[0], x.refined_grid[0])
    assert y.boxes(of="refined") == x.boxes(of="refined")
    assert y.maps_of_all == x.maps_of_all


def test_a_copy_of_one_without_it_has_none(tiny, photo):
    x = Engine("cpu").explain(photo, tiny(RESNET), refine="none")
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y.refined is None and y.maps_of_all == ("fused",)


def test_another_fusion_by_replacement_has_another_map(engine, tiny, photo):
    """What was drawn and boxed before is no part of it."""
    x = engine.explain(photo, tiny(RESNET), target=3, fuse="product")
    before = x.refined, x.fused, x.boxes(0.6, of="refined"), x.boxes(0.6)
    y = replace(x, request=replace(x.request, fuse="mean"))
    wanted = Engine("cpu").explain(photo, tiny(RESNET), target=3, fuse="mean")
    assert np.array_equal(y.refined, wanted.refined) and np.array_equal(y.fused, wanted.fused)
    assert not np.allclose(y.refined, before[0], atol=0.01)
    assert y.boxes(0.6, of="refined") == wanted.boxes(0.6, of="refined") != before[2]
    assert y.boxes(0.6) == wanted.boxes(0.6) != before[3]
    assert np.array_equal(x.refined, before[0]) and x.boxes(0.6, of="refined") == before[2]
    z = replace(x, request=replace(x.request, refine_power=2, refine_steps=1, refine_keep=0.5))
    wanted = engine.explain(photo, tiny(RESNET), target=3, fuse="product", refine_power=2,
                            refine_steps=1, refine_keep=0.5)  # fmt: skip
    assert np.array_equal(z.refined, wanted.refined) and np.array_equal(z.fused, x.fused)
    assert not np.allclose(z.refined, x.refined, atol=0.01)


# -- Wherever a map is named -------------------------------------------------------------------


def test_boxes_and_masks_are_those_of_the_map(engine, tiny, photo):
    x = engine.explain(photo, tiny(RESNET))
    for threshold in (0.2, 0.6):
        for multi in (False, True):
            found = x.boxes(threshold, of="refined", multi=multi)
            assert found == boxes_at(x.refined, threshold, multi=multi) and found
        assert np.array_equal(x.mask(threshold, of="refined"), mask_at(x.refined, threshold))
    assert x.boxes(0.6, of="refined") != x.boxes(0.6) == boxes_at(x.fused, 0.6)
    assert x.boxes(0.6, of="layer4") == x.boxes(0.6, stage="layer4")
    assert x.boxes(0.6, of="layer4") == boxes_at(x.maps["layer4"], 0.6)
    assert np.array_equal(x.mask(0.6, of="layer4"), x.mask(0.6, stage="layer4"))
    assert x.boxes(0.6, of="fused") == x.boxes(0.6)
    assert np.array_equal(x.mask(0.6, of="fused"), x.mask(0.6))


def test_it_is_measured_as_the_others_are(engine, tiny, photo):
    x = engine.explain(photo, tiny(RESNET))
    truth = np.zeros((60, 90), bool)
    truth[10:40, 20:70] = True
    parts = {"left": truth & (np.arange(90) < 40)}
    found = x.measure(truth, parts=parts, threshold=0.4)
    assert list(found) == [*x.stages, "fused", "refined"]
    for name in found:
        heat = x.heat(name)
        wanted = localization.measure(heat, truth, threshold=0.4, parts=parts)
        assert found[name] == wanted
    assert found["refined"] != found["fused"]


def test_every_map_has_a_name(engine, tiny, photo):
    x = engine.explain(photo, tiny(RESNET))
    for name in x.stages:
        assert np.array_equal(x.heat(name), x.maps[name])
        assert np.array_equal(x.grid(name)[0], x.normalized[name])
        assert x.grid(name)[1] == x.placements[name]
    assert x.heat("fused") is x.fused and x.heat() is x.fused and x.heat("refined") is x.refined
    assert x.grid() is x.fused_grid and x.grid("refined") is x.refined_grid


def test_a_map_that_is_none_is_said_with_those_there_are(engine, tiny, photo):
    x = engine.explain(photo, tiny(RESNET), stages=["layer3", "layer4"])
    for read in (x.heat, x.grid, partial(x.boxes, 0.2), partial(x.mask, 0.2)):
        for name in ("nonsense", "layer2"):
            with pytest.raises(
                StageError, match=f"no map of '{name}'; maps: layer3, layer4, fused, refined$"
            ):
                read(of=name)
    with pytest.raises(StageError, match="no map of 'nonsense'"):
        x.boxes(stage="nonsense")


def test_it_is_saved_beside_the_others(engine, tiny, photo, tmp_path):
    x = engine.explain(photo, tiny("test_convnext"), target=3)
    folder = x.save(tmp_path, threshold=0.6)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "overlay_refined.png" in manifest["files"]
    with Image.open(folder / "overlay_refined.png") as image:
        drawn = np.asarray(image)
    boxes = [box.xyxy for box in x.boxes(0.6, of="refined", multi=True)]
    assert boxes != [box.xyxy for box in x.boxes(0.6, multi=True)]
    assert np.array_equal(drawn, render.draw_boxes(render.overlay(photo, x.refined), boxes))
    with np.load(folder / "maps.npz") as arrays:
        assert np.array_equal(arrays["refined"], x.refined)
        assert np.array_equal(arrays["refined_grid"], x.refined_grid[0])
    said = [(b["x0"], b["y0"], b["x1"], b["y1"]) for b in manifest["refined_boxes"]]
    assert said == boxes


# -- Families ----------------------------------------------------------------------------------


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("test_resnet", "convolutional"),
        ("test_efficientnet", "convolutional"),
        ("test_nfnet", "convolutional"),
        ("resnet18", "convolutional"),
        ("mobilenetv3_small_050", "convolutional"),
        ("regnetx_002", "convolutional"),
        ("test_convnext", "residual stream"),
        ("convnext_atto", "residual stream"),
        ("swin_tiny_patch4_window7_224", "residual stream"),
        ("pvt_v2_b0", "residual stream"),
        ("test_maxvit", "residual stream"),
        ("test_vit", "class-token transformer"),
        ("vit_tiny_patch16_224", "class-token transformer"),
        ("deit_tiny_distilled_patch16_224", "class-token transformer"),
        ("vit_relpos_small_patch16_224", "plain transformer"),
    ],
)
def test_networks_belong_to_families(tiny, name, family):
    backbone = tiny(name) if name.startswith("test_") else load_backbone(name, "random", "cpu")
    found = family_of(backbone)
    assert found.name == family and found in FAMILIES
    stages = default_stages(backbone)
    assert [stage.name for stage in stages] == list(backbone.default_stages)
    cells = {stage.name: stage.grid[0] * stage.grid[1] for stage in stages}
    wanted = [name for name, count in cells.items() if count <= MOST_CELLS]
    assert [stage.name for stage in feature_stages(backbone)] == wanted


def test_maps_of_prototypes_are_not_weighted(engine, photo, tiny):
    backbone = tiny(RESNET)
    x = engine.explain(photo, backbone, target=3, method="lpcam", prototypes="picture")
    assert x.refinement == OF_PROTOTYPES and not OF_PROTOTYPES.keep
    assert engine.explain(photo, backbone, target=3).refinement == family_of(backbone).refinement


def test_a_family_is_told_by_figures_and_not_by_a_name(tiny):
    backbone = replace(tiny("test_vit"), name="resnet50", display_name="resnet50")
    assert family_of(backbone).name == "class-token transformer"


def test_families_have_defaults_that_can_be_chosen_by_hand(engine, tiny, photo):
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert family.method in METHODS and family.fuse in FUSIONS
        measured = "(python -m benchmarks." in family.figures and " ± " in family.figures
        assert measured or family.figures.startswith("not measured: ")
        how = family.refinement
        x = engine.explain(
            photo,
            tiny(RESNET),
            refine_power=how.power,
            refine_steps=how.steps,
            refine_keep=how.keep,
        )
        assert x.refinement == how
    assert FAMILIES[-1].holds(tiny(RESNET)), "every network belongs to one"
