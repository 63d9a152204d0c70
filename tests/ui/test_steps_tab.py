"""The view How it works without a browser: stories, their numbers, and when there are none."""

import base64
import json
import re
from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image

from camviz.defaults import STORY_KEYS
from camviz.examples import example
from camviz.methods import METHODS
from camviz.resources import WEB
from camviz.ui import links, service
from camviz.ui.compute import engine
from camviz.ui.learn.stories import method, whole
from camviz.ui.learn.stories.common import pieces
from camviz.ui.state import BackboneChoice, Controls, Selection, Task
from camviz.ui.tabs import steps
from camviz.ui.viewer import stories as schema
from camviz.ui.viewer.stories import Maps, cells_for, shrunk

RAM = str(example("a-ram").path)
MOST_BYTES = 600_000


@pytest.fixture
def scene(fresh):
    return Controls(picture=RAM, backbone=BackboneChoice("scenes-resnet"))


@pytest.fixture
def on(scene):
    """on(network, **options): the same on another network, with other options."""

    def get(network, **options):
        return replace(scene, backbone=BackboneChoice(network)).with_options(**options)

    return get


def story_of(page, key):
    """The story of a key."""
    (found,) = [one for one in page["walk"]["stories"] if one["key"] == key]
    return found


def layer_of(story, stage):
    return next(layer["steps"] for layer in story["layers"] if layer["key"] == stage)


def figures_of(step, symbol):
    return next(group["figures"] for group in step["groups"] if group["symbol"] == symbol)


def bytes_of(page, figure):
    data = np.frombuffer(base64.b64decode(page["walk"]["maps"][figure["map"]]), np.uint8)
    return data.reshape(figure["grid"])


def all_steps(page):
    for story in page["walk"]["stories"]:
        for layer in story["layers"]:
            yield from layer["steps"]


def same(data, heat, peak=None):
    """Whether bytes are a map over its maximum."""
    peak = heat.max() if peak is None else peak
    return np.abs(data / 255 - heat / peak).max() <= 0.5 / 255 + 1e-6


# -- The method ----------------------------------------------------------------------------------


def test_maps_and_numbers_are_the_engines(shown, scene):
    page = shown(steps, scene)
    x = service.explain(scene)
    story = story_of(page, "method")
    assert [layer["key"] for layer in story["layers"]] == list(reversed(x.stages))
    for stage in x.stages:
        one, answers, slopes, weights, total, relu, pixels, fused = layer_of(story, stage)
        found = engine().steps(x, stage)
        assert "128\u00a0×\u00a0128" in one["says"]
        names = [f"channel {k}" for k in found.channels]
        for step, symbol, heats in (
            (answers, "activation", found.activations),
            (total, "part", found.contributions),
        ):
            figures = figures_of(step, symbol)
            assert [figure["name"] for figure in figures] == names
            for figure, heat in zip(figures, heats, strict=True):
                assert same(bytes_of(page, figure), heat)
                assert float(figure["text"]) == pytest.approx(heat.max(), rel=5e-3)
        for figure, heat in zip(figures_of(slopes, "gradient"), found.gradients, strict=True):
            data = bytes_of(page, figure).astype(float)
            assert figure["signed"]
            assert np.abs((data - 128) / 127 - heat / np.abs(heat).max()).max() <= 0.5 / 127 + 1e-6
        for figure, mean in zip(figures_of(weights, "mean"), found.means, strict=True):
            assert figure["grid"] == (1, 1)
            assert float(figure["text"].replace("−", "-")) == pytest.approx(mean, rel=5e-3)
        assert f"over all {found.count}" in total["says"]
        assert f"{found.share:.0%}" in total["says"]
        (sum_,) = figures_of(total, "map")
        assert same(bytes_of(page, sum_), x.raw[stage])
        (after,) = figures_of(relu, "positive")
        assert same(bytes_of(page, after), x.normalized[stage])
        (laid,) = figures_of(pixels, "laid")
        assert laid["over"] and laid["stride"] == x.placements[stage].stride
        assert same(bytes_of(page, laid), x.normalized[stage])
        assert len(figures_of(fused, "stage")) == len(x.stages)
        (whole_map,) = figures_of(fused, "fused")
        assert same(bytes_of(page, whole_map), x.fused_grid[0], 1.0)


def test_what_the_relu_removes_is_told(shown, on):
    controls = on("scenes-resnet", method="grad_cam")
    page = shown(steps, controls)
    x = service.explain(controls)
    for stage in x.stages:
        found = engine().steps(x, stage)
        says = layer_of(story_of(page, "method"), stage)[5]["says"]
        if found.negative_cells:
            assert f"{found.negative_cells} cell" in says and f"of {found.raw.size}" in says
            assert f"{found.negative_share:.0%}" in says
        else:
            assert "changes nothing" in says
    assert any(engine().steps(x, stage).negative_cells for stage in x.stages)


def test_the_stage_shown_first_shows_the_difference(shown, scene, on):
    """Before average pooling the gradient is even, and both weights are one."""
    story = story_of(shown(steps, scene), "method")
    assert story["first"] == "layer3"
    assert "same everywhere" in layer_of(story, "layer4")[3]["says"]
    assert "same everywhere" not in layer_of(story, "layer3")[3]["says"]
    assert story_of(shown(steps, on("scenes-resnet", method="cam")), "method")["first"] == "layer4"


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", sorted(METHODS))
def test_steps_are_of_the_method_or_say_why_not(shown, on, name):
    row = METHODS[name]
    controls = on("scenes-vit" if row.uses_attention else "scenes-resnet", method=name)
    page = shown(steps, controls)
    story = story_of(page, "method")
    label = row.label if method.has_steps(name) else METHODS["layer_cam"].label
    assert story["title"] == f"How {label} works"
    assert (story["note"] == "") == method.has_steps(name)
    if not method.has_steps(name):
        assert row.label in story["note"] and "steps of LayerCAM" in story["note"]
    formulas = {
        "".join(text for text, _ in line) for step in all_steps(page) for line in step["formulas"]
    }
    assert METHODS[name if method.has_steps(name) else "layer_cam"].formula in formulas


def test_every_sign_of_a_formula_has_its_picture(shown, on):
    for network, name in (
        ("scenes-vit", "daam"), ("scenes-vit", "gae"), ("scenes-resnet", "cam"),
        ("scenes-resnet", "xgrad_cam"), ("scenes-resnet", "hires_cam"),
        ("scenes-resnet", "layer_cam_elementwise"), ("scenes-convnext", "layer_cam"),
    ):  # fmt: skip
        page = shown(steps, on(network, method=name))
        for step in all_steps(page):
            assert step["title"] and step["says"].endswith((".", "!"))
            symbols = {group["symbol"] for group in step["groups"]}
            signs = {sign for line in step["formulas"] for _, sign in line if sign}
            if step["groups"]:
                assert signs & symbols == signs or step["cut"], (step["title"], signs, symbols)


def test_a_formula_is_cut_where_its_signs_are():
    assert pieces("M = Σ_k ReLU(g_k) · A_k", {"g_k": "g", "ReLU(g_k)": "w", "M": "m"}) == (
        ("M", "m"), (" = Σ_k ", ""), ("ReLU(g_k)", "w"), (" · A_k", ""),
    )  # fmt: skip
    assert pieces("max x", {"x": "input"}) == (("max ", ""), ("x", "input"))
    assert pieces("y", {}) == (("y", ""),)


# -- The other stories ---------------------------------------------------------------------------


def test_each_position_of_the_cut_is_the_engines(shown, scene):
    page = shown(steps, scene)
    x = service.explain(scene)
    found = engine().truncation_steps(x, x.stages[0])
    cut = story_of(page, "noise")["layers"][0]["steps"][2]["cut"]
    assert len(cut["positions"]) == len(found.cuts) == 21
    assert cut["positive"] == tuple(found.positive) and cut["negative"] == tuple(found.negative)
    peak = max(each.raw.max() for each in found.cuts)
    for position, each in zip(cut["positions"], found.cuts, strict=True):
        assert position["level"] == each.level
        assert position["tau"] == pytest.approx(each.tau, rel=1e-6)
        figure = {**cut["after"], "map": position["map"]}
        assert same(bytes_of(page, figure), np.maximum(each.raw, 0), peak)
    chosen = cut["positions"][cut["chosen"]]
    assert chosen["level"] == 0.9 and "q = 90%" in chosen["text"]
    assert f"{1 - found.cuts[cut['chosen']].removed:.0%} of the map" in chosen["text"]


def test_what_camviz_decides_is_what_it_does(shown, scene, on):
    for controls in (scene, on("scenes-convnext"), on("scenes-vit", method="layer_cam")):
        says = story_of(shown(steps, controls), "noise")["layers"][0]["steps"][3]["says"]
        x = service.explain(controls, truncation="auto")
        assert ("it does:" in says) == bool(x.request.truncation)
        if x.truncation_choice.reason == "disagrees":
            assert f"{x.truncation_choice.worst[1][1]:.2f}" in says


def test_prototypes_are_those_of_the_class(shown, scene):
    page = shown(steps, scene)
    _, places, nearest, together, refined = story_of(page, "whole")["layers"][0]["steps"]
    x = service.explain(scene)
    y = service.prototype_map(scene, x.target)
    kept = [p for p in y.prototypes[y.stages[-1]] if p.kept]
    assert f"{sum(p.kind == 'foreground' for p in kept)} prototypes of the class" in places["says"]
    labels = whole.nearest_prototype(kept)
    share = np.mean([kept[k].kind == "foreground" for k in labels.ravel()])
    assert f"{share:.0%} of the places" in figures_of(places, "places")[0]["text"]
    slow = [[max(range(len(kept)), key=lambda k: kept[k].raw[i, j])
             for j in range(labels.shape[1])] for i in range(labels.shape[0])]  # fmt: skip
    assert np.array_equal(labels, slow)
    assert [group["symbol"] for group in nearest["groups"]] == ["foreground"] * 4 + ["context"] * 2
    assert all(group["figures"][1]["src"] for group in nearest["groups"])
    assert same(bytes_of(page, figures_of(together, "fused")[0]), y.fused_grid[0], 1.0)
    assert same(bytes_of(page, figures_of(refined, "refined")[0]), x.refined_grid[0], 1.0)


@pytest.mark.parametrize("name", ["lpcam", "eigen_cam", "grad_cam"])
def test_the_whole_begins_with_a_map_of_the_class(shown, on, name):
    first = story_of(shown(steps, on("scenes-resnet", method=name)), "whole")["layers"][0]["steps"][
        0
    ]
    label = METHODS["grad_cam" if name == "grad_cam" else "layer_cam"].label
    assert first["groups"][0]["name"] == f"{label}, all stages"


def test_prototypes_that_take_passes_wait_for_a_click(shown, session, controls, merged):
    page = shown(steps, controls)
    (_, waits, *_) = story_of(page, "whole")["layers"][0]["steps"]
    assert waits["ask"] == steps.ASK and waits["says"] == steps.NOT_YET
    session.change(controls)
    steps.begin(session, Selection("go"))
    page = merged(steps.show(session, controls, Task())).tab
    found = story_of(page, "whole")["layers"][0]["steps"]
    assert not any(step["ask"] for step in found) and len(found) == 5
    assert "this picture alone" in found[1]["says"]


def test_a_transformer_tells_of_its_heads(shown, on, scene):
    assert [one["key"] for one in shown(steps, scene)["walk"]["stories"]] == [
        "method", "noise", "whole",
    ]  # fmt: skip
    page = shown(steps, on("scenes-vit"))
    x = service.explain(on("scenes-vit"))
    assert x.request.method == "daam"
    found = engine().head_steps(x)
    _, heads, weighed, last = story_of(page, "attention")["layers"][0]["steps"]
    assert [len(group["figures"]) for group in heads["groups"]] == [4, 4, 4]
    block = found.blocks[-1]
    first = weighed["groups"][0]
    assert first["name"] == "added in block 6 of 6"
    order = np.argsort(-block.heads.sum(axis=(1, 2)), kind="stable")
    assert [each["name"] for each in first["figures"]] == [f"head {h + 1}" for h in order]
    share = block.heads[order[0]].sum() / np.abs(block.heads).sum()
    assert first["figures"][0]["text"] == f"{share:.0%}"
    assert len(figures_of(last, "blocks")) == 6
    (laid,) = figures_of(last, "map")
    assert same(bytes_of(page, laid), x.normalized[x.stages[-1]], 1.0)


@pytest.mark.parametrize("network", ["scenes-resnet", "scenes-convnext", "scenes-vit"])
def test_the_network_is_not_run(shown, on, write, network):
    controls = on(network)
    model = service.explain(controls).backbone.model
    calls = []
    handle = model.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        shown(steps, controls)
        assert calls == []
        service.explain(replace(controls, picture=write("seen by no other test.png", seed=284)))
        assert calls, "passes are counted"
    finally:
        handle.remove()


# -- What stands in their place, and size --------------------------------------------------------


def test_no_picture_and_no_classes_have_a_sentence(shown, scene, monkeypatch):
    page = shown(steps, replace(scene, picture=None))
    assert steps.NO_PICTURE in page["heading"] and page["walk"] is None
    from camviz import Engine, wrap_backbone
    from tests.support.networks import untrained

    backbone = wrap_backbone(untrained("test_resnet", num_classes=0), device="cpu")
    x = Engine("cpu").explain(RAM, backbone)
    monkeypatch.setattr(service, "explain", lambda *_, **__: x)
    page = shown(steps, scene)
    assert steps.NO_CLASSES in page["heading"] and page["walk"] is None


def test_several_views_are_not_averaged_here(shown, scene):
    page = shown(steps, scene.with_options(views="flip"))
    assert "here the picture is shown as it is" in page["heading"]
    assert page["walk"] == shown(steps, scene)["walk"]


def test_a_cut_picture_is_outlined(shown, controls, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "wide.png")
    wide = replace(controls, picture=str(tmp_path / "wide.png"))
    for fit in ("crop", "stretch"):
        figure = figures_of(next(all_steps(shown(steps, wide.with_options(fit=fit)))), "picture")[0]
        x0, y0, x1, y1 = service.explain(wide.with_options(fit=fit)).fit.rect
        wanted = (x0 / 90, y0 / 60, x1 / 90, y1 / 60)
        assert figure["rect"] == (None if fit == "stretch" else pytest.approx(wanted))


@pytest.mark.sampled
@pytest.mark.parametrize("network", ["scenes-resnet", "scenes-vit"])
def test_what_is_sent_stays_small(shown, on, network):
    assert len(json.dumps(shown(steps, on(network))["walk"])) < MOST_BYTES
    modules = service.load(BackboneChoice(network)).model.named_modules()
    names = [n for n, _ in modules if re.fullmatch(r"(layer\d|blocks)\.\d(\.act\d)?", n)]
    many = on(network, stages=tuple(names[:12]), method="layer_cam")
    page = shown(steps, many)
    layers = story_of(page, "method")["layers"]
    assert len(layers) == min(len(names), method.MOST_STAGES, 12)
    assert len(json.dumps(page["walk"])) < MOST_BYTES


def test_where_there_is_little_room_maps_are_coarser(shown, scene, monkeypatch):
    fine, x = shown(steps, scene), service.explain(scene)
    monkeypatch.setattr(method, "MOST_BYTES", 4000)
    coarse = shown(steps, scene)
    assert sum(map(len, coarse["walk"]["maps"])) < 0.5 * sum(map(len, fine["walk"]["maps"]))
    for page, cells in ((fine, 32), (coarse, 8)):
        (laid,) = figures_of(layer_of(story_of(page, "method"), "layer1")[6], "laid")
        assert laid["grid"] == (cells, cells)
        assert laid["stride"] == (x.fit.input_size[0] / cells, x.fit.input_size[1] / cells)


def test_fine_maps_are_averaged_over_blocks():
    heat = np.arange(5 * 7, dtype=np.float32).reshape(5, 7)
    found, factor = shrunk(heat, 4)
    assert factor == 2 and found.shape == (3, 4)
    assert found[0, 0] == heat[:2, :2].mean() and found[2, 3] == heat[4, 6]
    assert shrunk(heat, 7)[0] is heat
    assert cells_for([(56, 56)], 36, 10**6) == 64
    assert cells_for([(56, 56)] * 9, 36, 200_000) < 28
    maps = Maps(4)
    one = maps.figure(heat, "a")
    assert maps.figure(heat * 2, "b").map == one.map and len(maps.data) == 1, "sent once"


def test_a_link_may_name_a_step():
    assert links.read({"story": "noise", "step": "3", "layer": "layer1"})[1] == []


def test_the_browser_reads_what_is_sent():
    source = (WEB / "steps" / "model.js").read_text(encoding="utf-8")
    assert tuple(re.findall(r'write\("(\w+)"', source)) == ("story", "layer", "step")
    assert set(STORY_KEYS) == {"story", "layer", "step"}
    for kind in ("Figure", "Group", "CutPosition", "CutSlider", "StoryStep", "StoryLayer", "Story",
                 "Stories"):  # fmt: skip
        block = re.search(rf"@typedef \{{object\}} {kind}\n(.*?)\*/", source, re.S)[1]
        names = re.findall(r"@property \{.*\} (\w+)", block)
        assert names == [each.name for each in fields(getattr(schema, kind))], kind
