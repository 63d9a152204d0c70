"""camviz.engine.stage_map and notes: raw maps made by hand from a trace, and what is noted."""

import numpy as np
import pytest
import torch.nn.functional as F

from camviz import open_picture, wrap_backbone
from camviz.engine.notes import Denoising, parts
from camviz.engine.stage_map import CHECKERBOARD
from camviz.errors import (
    MethodError,
    StageError,
)
from camviz.methods import METHODS
from camviz.methods.denoise import MODES, truncate
from camviz.methods.gradient import smooth_checkerboard
from camviz.network.target import Target
from camviz.network.trace import trace as run_trace
from tests.support.engines import Disapproving
from tests.support.methods import network_with
from tests.support.networks import untrained

GRADIENT_METHODS = [name for name, row in METHODS.items() if row.truncates]


# --- raw maps ---


def test_the_map_of_a_stage_is_the_method_on_the_trace(engine, tiny, photo):
    backbone = tiny("test_nfnet")
    x = engine.explain(photo, backbone, target=5, checkerboard="keep")
    image, _ = backbone.prepare(open_picture(photo))
    stages = [backbone.stage(name) for name in backbone.default_stages]
    trace = run_trace(backbone, image, [stage.activation for stage in stages])
    for stage in stages:
        key = stage.activation.address
        activations, gradients = trace.activations[key], trace.gradients(Target(5))[key]
        raw = (gradients.relu() * activations).sum(dim=1)[0]
        assert np.allclose(x.raw[stage.name], raw, rtol=1e-4, atol=1e-6 * float(raw.abs().max()))
        # ReLU, over its maximum, bilinear to the picture
        heat = raw.relu() / raw.max()
        drawn = F.interpolate(heat[None, None], (60, 90), mode="bilinear", align_corners=False)
        assert np.allclose(x.maps[stage.name], drawn[0, 0], atol=1e-5)


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
    auto, smooth, keep = (
        engine.explain(photo, backbone, target=1, checkerboard=choice)
        for choice in ("auto", "smooth", "keep")
    )
    assert {note.smoothed for note in auto.notes.values()} == {True, False}
    for name in auto.stages:
        wanted = smooth if auto.notes[name].smoothed else keep
        assert np.array_equal(auto.raw[name], wanted.raw[name])
        assert auto.notes[name].smoothed == (auto.notes[name].checkerboard > CHECKERBOARD)
        assert smooth.notes[name].smoothed and not keep.notes[name].smoothed
    image, _ = backbone.prepare(open_picture(photo))
    tap = backbone.stage("layer2").activation
    trace = run_trace(backbone, image, [tap])
    gradients = smooth_checkerboard(trace.gradients(Target(1))[tap.address])
    expected = (gradients.relu() * trace.activations[tap.address]).sum(dim=1)[0].numpy()
    assert np.allclose(smooth.raw["layer2"], expected, rtol=1e-4, atol=1e-8)
    even = [engine.explain(photo, backbone, target=1, method="grad_cam", checkerboard=choice)
            for choice in ("smooth", "keep")]  # fmt: skip
    assert np.array_equal(even[0].fused, even[1].fused), "averaged gradients have no checkerboard"


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


# --- notes ---


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
        assert f"{note.positive_share:.0%} of the evidence speaks for the class." in str(note)
        assert ("Read at" in str(note)) == (stage.activation != stage.output)
    plain = engine.explain(photo, backbone, method="eigen_cam").notes["bn2"]
    assert plain.positive_share is plain.checkerboard is None
    assert "The same for every class." in str(plain) and "evidence" not in str(plain)
    frozen = engine.explain(photo, tiny("test_convnext"), method="cam")
    assert "frozen at this picture" in str(frozen.notes["stages.3"])
    linear = engine.explain(photo, tiny("test_mambaout"), method="cam")
    assert "linearised at this picture" in str(linear.notes["stages.3"])


def test_a_silent_stage_is_empty_and_says_why(engine, tiny, photo):
    options = {"method": "layer_cam"}
    x = engine.explain(photo, tiny("test_vit"), stages=["blocks.5"], **options)
    note = x.notes["blocks.5"]
    assert note.empty and note.zero_gradient and note.positive_share is None
    assert "does not depend on this map" in str(note) and "class token" in str(note)
    assert not x.maps["blocks.5"].any() and not x.fused.any()
    assert x.boxes() == [] and not x.mask().any()
    both = engine.explain(photo, tiny("test_vit"), stages=["blocks.3", "blocks.5"], **options)
    options["target"] = both.target
    alone = engine.explain(photo, tiny("test_vit"), stages=["blocks.3"], **options)
    assert np.allclose(both.fused, alone.fused), "empty stages have no say"


@pytest.mark.parametrize("target", [1, 7])
def test_where_the_channels_are_normalised_next_a_sum_says_nothing_and_says_why(
    engine, tiny, photo, target
):
    """ConvNeXt: HiRes-CAM was drawn of rounding there, and "50 %" printed for any class."""
    backbone = tiny("test_convnext")
    x = engine.explain(photo, backbone, target=target, method="hires_cam")
    silent = [name for name in x.stages if x.notes[name].cancels]
    assert silent == list(x.stages)[: len(silent)] and silent
    for name in silent:
        note = x.notes[name]
        assert note.empty and not note.zero_gradient and note.positive_share is None
        assert note.sentences[-1] == (
            "Empty: HiRes-CAM adds up at each place what speaks for the class and against it, and "
            "here the sum is 0 whatever the class, because the channels are normalised next."
        )
        assert not x.raw[name].any() and not x.maps[name].any()
    other = engine.explain(photo, backbone, target=target)
    for name in silent:
        note = other.notes[name]
        assert not note.empty and note.positive_share is None and "50%" not in str(note)
        assert "For and against are equal at every place, whatever the class" in str(note)


# Other families that normalise the channels of a place behind a stage: what makes a small network
# of each (EdgeNeXt's and CAFormer's are the smallest that timm has), and its stages where a sum
# does say something: what is pooled first, or goes on beside the normalisation, too.
NORMALISED = {
    "cait_xxs24_224": ({"depth": 2, "init_values": 0.5}, ["blocks.0"]),
    "davit_tiny": (
        {"depths": (1,) * 4, "embed_dims": (24, 48, 96, 96), "num_heads": (1, 2, 4, 4)},
        ["stages.3"],
    ),
    "edgenext_xx_small": ({}, ["stages.3"]),
    "caformer_s18": ({}, ["stages.3"]),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", NORMALISED)
def test_hires_cam_is_empty_wherever_a_family_normalises_the_channels_next(engine, photo, name):
    options, others = NORMALISED[name]
    backbone = wrap_backbone(untrained(name, num_classes=7, **options), device="cpu")
    x = engine.explain(photo, backbone, target=3, method="hires_cam", tap="output", refine="none")
    assert [stage for stage in x.stages if not x.notes[stage].empty] == others
    for stage in set(x.stages) - set(others):
        assert not x.raw[stage].any() and x.notes[stage].cancels
        assert x.notes[stage].sentences[-1].endswith("because the channels are normalised next.")
    assert set(x.stages) > set(others)


def test_a_map_without_positive_evidence_is_empty_and_says_so(engine, photo):
    backbone = wrap_backbone(Disapproving(), name="no", device="cpu")
    x = engine.explain(photo, backbone, target=0)
    note = x.notes["b"]
    assert note.empty and not note.zero_gradient and note.positive_share == 0
    assert "nothing here speaks for this class" in str(note)
    assert not x.fused.any() and x.boxes() == []
    y = engine.explain(photo, backbone, target=1)
    assert y.notes["b"].positive_share == 1 and y.fused.max() > 0.5


def test_what_a_map_holds_of_the_plain_one_is_one_sentence_whatever_the_sign(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"), target=3, method="grad_cam", truncation=0.9)
    grown = [n for n in x.notes.values() if n.denoising and n.denoising.removed < 0]
    assert grown  # activations are positive here: only what was subtracted can be missing
    for note in grown:
        text = " ".join(note.sentences)
        assert f"the map holds {parts(1 - note.denoising.removed)} the plain map's evidence" in text
        assert "gone" not in text and "added" not in text and "negative" not in text


def test_what_denoising_did_to_a_map_in_words():
    words = {0.6: "40% of", 0.0: "100% of", -0.12: "112% of", -1.5: "2.5 times"}
    words |= {-1637249.9: "more than 100 times"}
    for removed, share in words.items():
        assert Denoising(0.1, removed, None).kept == f"{share} the plain map"
    assert Denoising(0.1, None, None).kept == ""
    assert parts(0.39, 0.47, 0.4) == "39 to 47% of"
    assert parts(0.394, 0.388) == "39% of"
    assert parts(0.8, 3) == "0.8 to 3 times"
    assert parts(200, 300) == "more than 100 times"


# --- truncation ---


@pytest.mark.sampled(5)
@pytest.mark.parametrize("method", METHODS)
def test_without_truncation_it_is_the_plain_method(engine, photo, method):
    options = {"weights": "random", "method": method}
    plain = engine.explain(photo, network_with(method), **options)
    same = engine.explain(photo, network_with(method), **options, truncation=0.0)
    assert all(np.array_equal(plain.raw[name], same.raw[name]) for name in plain.stages)
    assert same.plain == {}
    assert all(notes.denoising is None for notes in same.notes.values())
    assert not same.removed[same.stages[0]].any()


@pytest.mark.sampled(12)
@pytest.mark.parametrize("checkerboard", ["keep", "smooth"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_truncated_maps_made_by_hand(engine, photo, method, mode, checkerboard):
    options = {"method": method, "checkerboard": checkerboard}
    plain = engine.explain(photo, "test_resnet", weights="random", **options)
    x = engine.explain(
        photo, "test_resnet", weights="random", truncation=0.8, truncation_mode=mode, **options
    )
    assert x.request.truncated == x.stages[:-1]
    trace, _ = engine._traces.cached(x.backbone, x.picture, "stretch")
    for name in x.stages:
        tap = x.backbone.stage(name).tap("activation").address
        gradients = trace.gradients(Target(x.target))[tap]
        if checkerboard == "smooth" and METHODS[method].smooth:
            gradients = smooth_checkerboard(gradients)
        if name in x.request.truncated:
            gradients = truncate(gradients, 0.8, mode)
            assert np.array_equal(x.plain[name], plain.raw[name])
        heat = METHODS[method].function(trace.activations[tap], gradients)[0].numpy()
        assert np.array_equal(x.raw[name], heat)


def test_where_all_stages_have_one_resolution_the_last_is_left_alone(engine, photo):
    x = engine.explain(photo, "test_vit", weights="random", truncation=0.9)
    assert x.request.truncated == x.stages[:-1]
    assert x.request.truncated


def test_which_stages_are_truncated_can_be_chosen(engine, photo):
    def request(**options):
        return engine.explain(
            photo, "test_resnet", weights="random", truncation=0.9, **options
        ).request

    assert request(truncated=["layer4", "layer1"]).truncated == ("layer1", "layer4")
    assert request(truncated="layer2").truncated == ("layer2",)
    assert request(truncated=[]).truncated == ()
    assert request(stages=["layer4"]).truncated == ()  # the deepest, even alone
    assert request(stages=["layer1", "layer2.0"]).truncated == ("layer1", "layer2.0")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"truncation": 1.0}, MethodError, "below 1"),
        ({"truncation": -0.1}, MethodError, "below 1"),
        ({"truncation": float("nan")}, MethodError, "nan"),
        ({"truncation": 0.9, "method": "eigen_cam"}, MethodError, "uses no gradient"),
        ({"truncation": 0.9, "method": "cam"}, MethodError, "uses no gradient"),
        ({"truncation": 0.9, "truncated": ["layer9"]}, StageError, "layer9"),
        ({"truncated": ["layer1"]}, MethodError, "truncation is 0"),
        (
            {"truncation": 0.9, "truncation_mode": "cut"},
            MethodError,
            "threshold, cap, remove, rectify",
        ),
        ({"truncation": 0.9, "calibration": "guess"}, MethodError, "mirror, self"),
    ],
)
def test_truncation_that_cannot_be(engine, photo, options, error, words):
    with pytest.raises(error, match=words):
        engine.explain(photo, "test_resnet", weights="random", **options)
