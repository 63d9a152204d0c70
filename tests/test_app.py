"""The page without a browser: handlers are plain functions, called directly."""

import asyncio
import json
import os
import re
import urllib.request
from dataclasses import fields, replace
from html import escape
from pathlib import Path
from typing import get_args

import gradio as gr
import numpy as np
import pytest
from PIL import Image

import camviz
from camviz.errors import BackboneError, StageError
from camviz.images import FIT_MODES, open_picture
from camviz.maps import FUSIONS
from camviz.methods import METHODS
from camviz.render import COLOR_MAPS
from camviz.ui import build_app, explain_tab, launch_options, page
from camviz.ui.explain_tab import (
    EMPTY,
    TOP,
    Ask,
    chosen,
    default_choice,
    for_screen,
    new_backbone,
    new_picture,
    offer,
    same_picture,
)

RESNET = "test_resnet.r160_in1k"
VIT = "test_vit.r160_in1k"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No server's own backbone, and nothing remembered about what is on offer."""
    monkeypatch.delenv("CAMVIZ_BACKBONE", raising=False)
    monkeypatch.delenv("CAMVIZ_MAX_PARAMETERS", raising=False)
    offer.cache_clear()
    yield
    offer.cache_clear()


@pytest.fixture
def picture(tmp_path, photo):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    return str(path)


@pytest.fixture
def ask(picture):
    """Everything as the page opens, on a network that needs no weights."""
    stages = list(explain_tab.engine().backbone(RESNET, "random").default_stages)
    return Ask(picture, RESNET, untrained=True, stages=stages)


def pictures(html):
    """The pictures in a piece of HTML, with their data."""
    return re.findall(r'<img src="data:image/webp;base64,[^"]+" width="\d+"', html)


# -- What is on offer ----------------------------------------------------------------------------


def test_offer_is_the_classifiers_up_to_a_size():
    entries = {entry.name: entry for entry in camviz.catalogue()}
    offered = offer()
    assert len(offered) > 1000
    for name in offered:
        assert entries[name].classifier
        assert entries[name].source == "bundled" or entries[name].parameters <= 150e6
    left_out = [name for name in entries if name not in offered and entries[name].classifier]
    assert all(entries[name].parameters > 150e6 for name in left_out)


def test_limit_is_a_setting(monkeypatch):
    monkeypatch.setenv("CAMVIZ_MAX_PARAMETERS", "1")
    assert RESNET in offer()
    assert "resnet50.a1_in1k" not in offer()


def test_labels_say_where_the_weights_are():
    offered = offer()
    assert offered["resnet50.a1_in1k"].label == "resnet50.a1_in1k · 25.6 M · to download, 102 MB"
    assert offered["test_maxvit"].label == "test_maxvit · 1.1 M · no trained weights"


def test_own_backbone_leads_and_keeps_its_path_to_itself(monkeypatch):
    monkeypatch.setenv("CAMVIZ_BACKBONE", "local-dir:/secret/place/garden")
    first = next(iter(offer().values()))
    assert (first.name, first.load) == ("garden", "local-dir:/secret/place/garden")
    assert "secret" not in first.label
    assert default_choice() == "garden"


def test_own_backbone_that_is_not_there_is_missed_by_its_name_alone(monkeypatch):
    monkeypatch.setenv("CAMVIZ_BACKBONE", "local-dir:/secret/place/garden")
    offer.cache_clear()
    with pytest.raises(BackboneError, match="garden") as caught:
        explain_tab._backbone(explain_tab.Ask(None, "garden"))
    assert "secret" not in str(caught.value)


def test_own_backbone_may_be_larger_than_the_limit(monkeypatch):
    monkeypatch.setenv("CAMVIZ_MAX_PARAMETERS", "1")
    monkeypatch.setenv("CAMVIZ_BACKBONE", "resnet50.a1_in1k")
    assert next(iter(offer())) == "resnet50.a1_in1k"


def test_default_is_on_offer(monkeypatch):
    assert default_choice() in offer()
    monkeypatch.setenv("CAMVIZ_MAX_PARAMETERS", "1")
    offer.cache_clear()
    assert default_choice() in offer()


@pytest.mark.parametrize(
    "name", [None, "", "local-dir:/etc", "hf-hub:some/one", "/etc/passwd", "no_such_net"]
)
def test_whatever_is_not_on_offer_is_refused(name):
    with pytest.raises(BackboneError, match="choose one from the list"):
        chosen(name)


def test_visit_looks_up_what_is_on_offer_anew(monkeypatch):
    offer()
    monkeypatch.setenv("CAMVIZ_BACKBONE", "hf-hub:org/fresh")
    update = page.opened_page()
    assert update["value"] == "fresh"
    assert update["choices"][0] == ("fresh · this server's own", "fresh")


def test_examples_that_the_default_backbone_knows_come_first(monkeypatch):
    offer.cache_clear()
    monkeypatch.delenv("CAMVIZ_BACKBONE", raising=False)
    shown = page.examples_first_known()
    assert len(shown) == len(page.examples())
    drawn = (default_choice() or "").startswith(explain_tab.DRAWN)
    assert (shown[0].backbones == explain_tab.DRAWN) == drawn
    monkeypatch.setenv("CAMVIZ_BACKBONE", "local-dir:/secret/place/garden")
    offer.cache_clear()
    assert page.examples_first_known()[0].backbones != explain_tab.DRAWN


def test_an_example_brings_a_backbone_that_knows_it():
    offer.cache_clear()
    drawn = next(row for row in page.examples() if row.backbones == explain_tab.DRAWN)
    photo = next(row for row in page.examples() if row.backbones != explain_tab.DRAWN)
    assert explain_tab.knowing(drawn, "scenes-resnet") == "scenes-resnet"
    assert explain_tab.knowing(photo, "resnet50.a1_in1k") == "resnet50.a1_in1k"
    assert explain_tab.knowing(drawn, "resnet50.a1_in1k").startswith(explain_tab.DRAWN)
    assert not explain_tab.knowing(photo, "scenes-resnet").startswith(explain_tab.DRAWN)


# -- Handlers ------------------------------------------------------------------------------------


def test_first_result(ask):
    view = new_backbone(replace(ask, stages=[]))
    assert view.stages.value == ask.stages
    assert view.stages.choices[0] == ("act1 · 80 × 80", "act1")
    assert len(pictures(view.verdict)) == 1
    assert len(pictures(view.layers)) == len(ask.stages)
    assert view.bars.count("<button") == 5
    assert view.bars.count('aria-pressed="true"') == 1


def test_stages_run_from_coarse_to_fine(ask):
    shown = re.findall(r"<strong>(\w+)</strong>", same_picture(ask).layers)
    assert shown == ["layer4", "layer3", "layer2", "layer1"]


def test_every_picture_has_an_alternative_text(ask):
    view = same_picture(ask)
    for image in re.findall(r"<img [^>]*>", view.verdict + view.layers):
        assert re.search(r' alt="[^"]+"', image)


def test_class_menu_has_the_best_first_and_every_class_once(ask):
    view = new_picture(ask)
    labels = [value for _, value in view.targets.choices]
    network = explain_tab.engine().backbone(RESNET, "random")
    assert labels[0] == view.targets.value == TOP
    assert sorted(labels[1:]) == sorted(network.labels)
    assert re.findall(r'data-label="([^"]+)"', view.bars) == [escape(s) for s in labels[1:6]]


def test_chosen_class_is_explained_and_among_the_bars(ask):
    view = same_picture(replace(ask, target="tennis ball"))
    assert "<em>tennis ball</em>" in view.verdict
    (explained,) = re.findall(r'data-label="([^"]+)" aria-pressed="true"', view.bars)
    assert explained == "tennis ball"


def test_another_picture_is_asked_for_its_own_best_class(ask):
    assert new_picture(replace(ask, target="tennis ball")).targets.value == TOP


def test_another_backbone_keeps_a_class_that_it_knows(ask):
    asked = replace(ask, backbone=VIT, target="tennis ball")
    view = new_backbone(asked)
    assert view.targets.value == "tennis ball"
    assert "<em>tennis ball</em>" in view.verdict
    assert new_backbone(replace(asked, target="no such thing")).targets.value == TOP


def test_no_stage_ticked(ask):
    with pytest.raises(StageError, match="tick at least one"):
        same_picture(replace(ask, stages=[]))
    assert new_picture(replace(ask, stages=[])).stages.value == ask.stages


def test_further_modules_by_name(ask):
    names = page.chosen_stages(["layer4"], " layer2.0.conv1 , layer1")
    view = same_picture(replace(ask, stages=names))
    assert re.findall(r"<strong>([\w.]+)</strong>", view.layers) == [
        "layer4", "layer2.0.conv1", "layer1"
    ]  # fmt: skip


def test_no_picture(ask):
    for work in (new_picture, same_picture, explain_tab.new_view):
        assert work(replace(ask, picture=None)) == EMPTY
    assert new_backbone(replace(ask, picture=None)).stages.value == ask.stages


@pytest.mark.parametrize(
    ("method", "fuse"),
    [*((method, "mean") for method in METHODS), *(("layer_cam", fuse) for fuse in FUSIONS)],
)
def test_every_method_and_fusion(ask, method, fuse):
    view = same_picture(replace(ask, method=method, fuse=fuse))
    one_stage = "features" in METHODS[method].needs
    assert len(pictures(view.layers)) == (1 if one_stage else len(ask.stages))
    assert METHODS[method].label in view.verdict and METHODS[method].paper in view.verdict
    assert (FUSIONS[fuse].paper in view.verdict) is not one_stage


def test_a_papers_own_setting_is_named(ask):
    assert "setting of the LayerCAM paper" in same_picture(replace(ask, fuse="max_tanh")).verdict
    assert "setting of the" not in same_picture(ask).verdict
    assert "setting of the" not in same_picture(replace(ask, method="grad_cam")).verdict


def test_untrained_weights_are_said_to_be_so(ask):
    assert "untrained: maps mean nothing" in same_picture(ask).verdict


def test_zero_gradient_in_words(ask):
    view = same_picture(replace(ask, backbone=VIT, stages=["blocks.5"]))
    assert "does not depend on this map" in view.layers
    assert "The fused map is empty" in view.verdict


def test_threshold_colours_and_opacity_change_the_picture(ask):
    plain = pictures(same_picture(ask).verdict)
    for change in ({"threshold": 0.7}, {"colors": "gray"}, {"opacity": 0.1}):
        assert pictures(same_picture(replace(ask, **change)).verdict) != plain


def test_unseen_part_is_named(ask):
    assert "hatched" in same_picture(replace(ask, fit="crop")).verdict
    assert "hatched" not in same_picture(ask).verdict


def test_names_from_outside_are_escaped(ask, tiny, monkeypatch):
    evil = "<script>alert('x')</script>"
    network = tiny("test_resnet")
    labels = tuple(f"{evil} {index}" for index in range(len(network.labels)))
    backbone = replace(network, labels=labels)
    monkeypatch.setattr(explain_tab, "_backbone", lambda ask: backbone)
    view = same_picture(ask)
    assert "<script" not in view.verdict + view.bars + view.layers
    assert "&lt;script&gt;" in view.verdict and "&lt;script&gt;" in view.bars


# -- Drawn at another size -----------------------------------------------------------------------


def test_same_size_is_the_same_explanation(ask):
    x = explain_tab.explain(replace(ask, fit="crop"))
    again = for_screen(x, max(x.picture.height, x.picture.width))
    assert np.array_equal(again.fused, x.fused)
    assert np.array_equal(again.picture.pixels, x.picture.pixels)


@pytest.mark.parametrize("fit", FIT_MODES)
def test_other_size_shows_the_same_places(ask, fit):
    x = explain_tab.explain(replace(ask, fit=fit))
    double = for_screen(x, 2 * max(x.picture.height, x.picture.width))
    assert double.fused.shape == (2 * x.picture.height, 2 * x.picture.width)
    assert double.fit.rect == pytest.approx([2 * edge for edge in x.fit.rect])
    four = (x.picture.height, 2, x.picture.width, 2)
    inside = double.seen.reshape(four).all(axis=(1, 3)) & x.seen
    halved = double.fused.reshape(four).mean(axis=(1, 3))
    assert inside.sum() > 0.9 * x.seen.sum()
    assert np.abs(halved - x.fused)[inside].max() < 0.05


def test_small_side_stays_a_picture(ask, tmp_path):
    path = tmp_path / "ribbon.png"
    Image.fromarray(np.full((9, 3000, 3), 90, np.uint8)).save(path)
    x = for_screen(explain_tab.explain(replace(ask, picture=str(path))), 400)
    assert x.fused.shape == (8, 400)


# -- Errors --------------------------------------------------------------------------------------


def values(ask):
    return [getattr(ask, field.name) for field in fields(Ask)]


def test_error_becomes_a_sentence_in_sight(ask):
    def work(asked):
        raise StageError("no <such> stage")

    with pytest.warns(UserWarning, match="No &lt;such&gt; stage"):
        verdict, bars, layers, *rest = page.handler(work)(*values(ask))
    assert 'role="alert">No &lt;such&gt; stage<' in verdict
    assert (bars, layers) == ("", "")
    assert all(update == gr.skip() for update in rest)  # what was chosen stays


def test_bad_picture_is_a_sentence(ask, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no picture at all")
    handle = page.handler(new_picture)
    with pytest.warns(UserWarning, match="not a picture"):
        verdict, *_ = handle(*values(replace(ask, picture=str(path))))
    assert "notes.png" in verdict


def test_without_a_backbone_its_menus_are_empty(ask, monkeypatch):
    monkeypatch.setattr("camviz.backbones.hub_reachable", lambda *_: False)
    asked = replace(ask, backbone="resnet50.a1_in1k", untrained=False)
    with pytest.warns(UserWarning, match="tick &#x27;untrained weights&#x27;"):
        verdict, _, _, *rest = page.handler(new_backbone)(*values(asked))
    assert "hub cannot be reached" in verdict
    targets, target, stages, ticked, modules = rest
    assert (targets["value"], target) == (TOP, TOP)
    assert (stages["choices"], ticked, modules) == ([], [], "")


def test_unexpected_is_logged_and_not_shown(ask, caplog):
    def work(asked):
        raise RuntimeError("inner secret")

    with pytest.warns(UserWarning, match="unexpected"):
        verdict, *_ = page.handler(work)(*values(ask))
    assert "secret" not in verdict
    assert "inner secret" in caplog.text


# -- The page ------------------------------------------------------------------------------------


def in_a_loop(work):
    """work(), while an event loop runs: without one gradio makes some and never closes them."""

    async def run():
        return work()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def config():
    return in_a_loop(build_app).get_config_file()


def choices(config, label):
    (found,) = [c["props"] for c in config["components"] if c["props"].get("label") == label]
    return [value for _, value in found["choices"]]


def test_controls_offer_what_the_engine_knows(config):
    assert choices(config, "Method") == list(METHODS)
    assert choices(config, "Fusion") == list(FUSIONS)
    assert choices(config, "Colour map") == list(COLOR_MAPS)
    assert choices(config, "The network sees") == list(FIT_MODES)
    assert set(choices(config, "A stage is read at its")) == set(get_args(camviz.stages.TapKind))
    assert set(choices(config, "Cells are drawn")) == set(get_args(camviz.engine.PlacementKind))


def test_defaults_are_the_engines_own():
    import inspect

    engine = inspect.signature(camviz.Engine.explain).parameters
    for name in ("method", "fuse", "tap", "fit", "placement"):
        assert getattr(Ask(None, None), name) == engine[name].default


def test_events_are_private_and_models_are_run_one_at_a_time():
    app = in_a_loop(build_app)
    assert all(fn.api_visibility == "private" for fn in app.fns.values())
    asking = [fn for fn in app.fns.values() if len(fn.inputs) == len(fields(Ask))]
    assert len(asking) > 10
    assert {(fn.concurrency_id, fn.concurrency_limit) for fn in asking} == {("engine", 1)}


def test_one_heading_and_nothing_of_this_machine_in_it(config):
    text = json.dumps(config, default=str)
    assert text.count("<h1>") == 1
    assert str(Path.home()) not in text or str(Path.home()) == "/"


def test_nothing_is_reported_to_anyone():
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"]
    options = launch_options()
    assert not (options["run_history"] or options["enable_monitoring"] or options["show_error"])
    assert options["max_file_size"] <= 25_000_000


def test_launch_and_close():
    def visit():
        app = build_app()
        try:
            _, address, _ = app.launch(
                **launch_options(), server_name="127.0.0.1", prevent_thread_lock=True, quiet=True
            )
            with urllib.request.urlopen(address, timeout=20) as answer:
                return answer.read().decode()
        finally:
            app.close(verbose=False)

    text = in_a_loop(visit)
    assert '"title":"camviz"' in text
    assert ".cv-bar" in text  # the style sheet


def test_opened_pictures_are_the_engines(picture):
    assert explain_tab._opened(picture) == open_picture(picture)
