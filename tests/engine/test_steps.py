"""What a map is added up from: equal to the map, to slow sums, and without a pass."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from camviz import Engine, MethodError, StageError
from camviz.engine.steps import ONE_WEIGHT, SUMS, network_input
from camviz.engine.truncation_steps import LEVELS, histogram
from camviz.examples import example
from camviz.methods import METHODS, denoise

NETWORKS = ("scenes-resnet", "scenes-convnext", "scenes-vit")
RAM = str(example("a-ram").path)


@pytest.fixture(scope="module")
def own():
    """An engine whose networks are loaded once for this file."""
    return Engine("cpu")


@pytest.fixture(scope="module")
def explained(own):
    """explained(network, method, **options): the explanation of a ram."""

    def get(network, method, **options):
        return own.explain(RAM, network, method=method, **options)

    return get


def recorded(own, x, stage):
    """Activations and gradient of a stage as the trace has them, (C, h, w) each."""
    tap = x.backbone.stage(stage).tap(x.request.tap)
    trace, _, gradients = own._explainer.reopen(x, [tap])
    return trace.activations[tap.address][0], gradients[tap.address][0]


def close(found, wanted):
    assert np.abs(found - wanted).max() <= 2e-5 * max(np.abs(wanted).max(), 1e-30)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", ["layer_cam", "grad_cam"])
def test_all_channels_together_are_the_map_at_every_stage(own, explained, network, method):
    x = explained(network, method)
    assert len(x.stages) >= 3
    for stage in x.stages:
        found = own.steps(x, stage, count=10**6)
        assert len(found.channels) == found.count == x.backbone.stage(stage).channels
        close(found.contributions.sum(axis=0, dtype=np.float64), x.raw[stage])
        assert found.raw is x.raw[stage]
        positive = np.maximum(found.raw, 0)
        close(positive / positive.max(), x.normalized[stage])


@pytest.mark.parametrize("method", sorted(set(SUMS) - {"cam"}))
def test_every_method_that_is_a_sum_adds_up(own, explained, method):
    x = explained("scenes-resnet", method)
    for stage in x.stages:
        found = own.steps(x, stage, count=10**6)
        close(found.contributions.sum(axis=0, dtype=np.float64), x.raw[stage])


def test_cam_adds_up_by_the_weights_of_the_classifier(own, explained):
    x = explained("scenes-resnet", "cam")
    (stage,) = x.stages
    found = own.steps(x, stage, count=10**6)
    close(found.contributions.sum(axis=0, dtype=np.float64), x.raw[stage])
    weights = x.backbone.model.get_classifier().weight[x.target].detach().numpy()
    active = found.activations.any(axis=(1, 2))
    close(found.weights[active], weights[found.channels[active]])
    assert found.gradients is None and found.means is None


@pytest.mark.parametrize("network", NETWORKS)
def test_every_step_is_what_loops_give(own, explained, network):
    x = explained(network, "layer_cam", checkerboard="keep")
    stage = x.stages[-2]
    activations, gradient = recorded(own, x, stage)
    _, height, width = activations.shape
    totals = []
    for a, g in zip(activations.tolist(), gradient.tolist(), strict=True):
        totals.append(sum(max(g[i][j], 0) * a[i][j] for i in range(height) for j in range(width)))
    found = own.steps(x, stage)
    close(found.totals, np.array(totals))
    assert list(found.channels) == sorted(range(len(totals)), key=lambda k: -totals[k])[:8]
    for place, k in enumerate(found.channels):
        assert np.array_equal(found.activations[place], activations[k])
        assert np.array_equal(found.gradients[place], gradient[k])
        mean = sum(sum(row) for row in gradient[k].tolist()) / (height * width)
        assert found.means[place] == pytest.approx(mean, rel=1e-4, abs=1e-9)
        rows = zip(gradient[k].tolist(), activations[k].tolist(), strict=True)
        wanted = [[max(g, 0) * a for g, a in zip(*row, strict=True)] for row in rows]
        close(found.contributions[place], np.array(wanted))
    best = sum(max(totals[k], 0) for k in found.channels)
    assert found.share == pytest.approx(best / sum(max(t, 0) for t in totals), rel=1e-4)
    values = x.raw[stage].ravel().tolist()
    lost = sum(-value for value in values if value < 0)
    assert found.negative_share == pytest.approx(lost / sum(map(abs, values)), rel=1e-4)
    assert found.negative_cells == sum(value < 0 for value in values)


def test_one_weight_a_channel(own, explained):
    for method in ONE_WEIGHT:
        x = explained("scenes-resnet", method)
        found = own.steps(x, x.stages[-1])
        close(found.weights[:, None, None] * found.activations, found.contributions)
        if method == "grad_cam":
            close(found.weights, found.means)
    assert own.steps(explained("scenes-resnet", "layer_cam"), "layer4").weights is None


def test_the_gradient_is_the_one_that_was_read(own, explained):
    """Smoothed where the note says so, and truncated where the map is."""
    smooth = explained("scenes-resnet", "layer_cam", checkerboard="smooth", truncation=0.9)
    stage = smooth.stages[0]
    assert smooth.notes[stage].smoothed and stage in smooth.request.truncated
    found = own.steps(smooth, stage, count=10**6)
    close(found.contributions.sum(axis=0, dtype=np.float64), smooth.raw[stage])
    tau = smooth.notes[stage].denoising.tau
    values = found.gradients[found.gradients != 0]
    assert values.min() >= tau * (1 - 1e-6)


def test_no_pass_is_taken(engine, passes):
    backbone = engine.backbone("scenes-vit")
    x = engine.explain(RAM, backbone, method="layer_cam")
    y = engine.explain(RAM, backbone, method="daam")
    count = passes(backbone)
    for stage in x.stages:
        engine.steps(x, stage)
        engine.truncation_steps(x, stage)
    engine.head_steps(y)
    network_input(x)
    assert count == {"forward": 0, "backward": 0}
    engine.explain(RAM, backbone, method="layer_cam", target="sheep")
    assert count["backward"] == 1, "passes are counted"


def test_a_margin_and_another_score_are_laid_open(own, explained):
    for options in ({"versus": "sheep"}, {"score": "log_probability"}, {"target": "zebra"}):
        x = explained("scenes-resnet", "hires_cam", **options)
        found = own.steps(x, "layer3", count=10**6)
        close(found.contributions.sum(axis=0, dtype=np.float64), x.raw["layer3"])


def test_what_is_no_sum_over_channels_is_refused(own, explained):
    for method in ("eigen_cam", "lpcam", "daam", "recipro_cam"):
        network = "scenes-vit" if method == "daam" else "scenes-resnet"
        x = explained(network, method)
        with pytest.raises(MethodError, match=METHODS[method].label):
            own.steps(x, x.stages[-1])
    x = explained("scenes-resnet", "layer_cam")
    with pytest.raises(StageError, match="layer9"):
        own.steps(x, "layer9")
    with pytest.raises(MethodError, match="views"):
        own.steps(explained("scenes-resnet", "layer_cam", views="flip"), "layer4")
    with pytest.raises(MethodError, match="CAM reads no gradient"):
        own.truncation_steps(explained("scenes-resnet", "cam"), "layer4")
    capped = explained("scenes-resnet", "layer_cam", truncation=0.9, truncation_mode="cap")
    with pytest.raises(MethodError, match="truncated by 'cap', and only 'threshold'"):
        own.truncation_steps(capped, capped.request.truncated[0])
    with pytest.raises(MethodError, match="heads"):
        own.head_steps(x)
    with pytest.raises(MethodError, match="views"):
        own.head_steps(explained("scenes-vit", "gae", views="flip"))


def test_the_picture_as_the_network_sees_it(explained):
    for fit in ("stretch", "crop"):
        x = explained("scenes-resnet", "layer_cam", fit=fit)
        found = network_input(x)
        assert found.pixels.shape == (*x.backbone.input_size[1:], 3)
        mean, std = np.array(x.backbone.mean), np.array(x.backbone.std)
        values = (found.pixels / 255 - mean) / std
        assert found.lowest == pytest.approx(values.min(), abs=1e-5)
        assert found.highest == pytest.approx(values.max(), abs=1e-5)


# -- Truncation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_each_cut_is_the_engines_own(own, explained, network):
    x = explained(network, "layer_cam")
    stage = x.stages[0]
    found = own.truncation_steps(x, stage)
    assert [cut.level for cut in found.cuts] == list(LEVELS) and len(LEVELS) == 21
    assert np.array_equal(found.cuts[0].raw, x.raw[stage]) and found.cuts[0].removed == 0
    for place in (1, 10, found.nearest(0.9), 20):
        cut = found.cuts[place]
        y = explained(network, "layer_cam", truncation=cut.level, truncated=[stage])
        assert np.array_equal(cut.raw, y.raw[stage])
        denoising = y.notes[stage].denoising
        assert cut.tau == denoising.tau
        assert cut.removed == pytest.approx(denoising.removed, abs=1e-6)
        assert cut.kept == pytest.approx(denoising.noise.kept, abs=1e-9)
    assert found.cuts[found.nearest(0.9)].level == 0.9


@pytest.mark.parametrize("calibration", denoise.CALIBRATIONS)
def test_many_levels_at_once_are_each_by_itself(calibration):
    chance = torch.Generator().manual_seed(1)
    kinds = [torch.randn(1, 5, 7, 6, generator=chance) for _ in range(2)]
    kinds += [kinds[0].relu(), -kinds[0].relu(), torch.zeros(1, 2, 3, 3), kinds[1].round()]
    for gradient in kinds:
        found = denoise.noise_thresholds(gradient, LEVELS, calibration)
        for level, tau in zip(LEVELS, found, strict=True):
            assert tau == denoise.noise_threshold(gradient, level, "threshold", calibration)[0]


def test_the_histogram_counts_every_value():
    values = torch.randn(1, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    values[0, 0, 0, :4] = 0
    edges, positive, negative = histogram(values, bins=7)
    flat = values.flatten().tolist()
    for counts, sign in ((positive, 1), (negative, -1)):
        magnitudes = [sign * v for v in flat if sign * v > 0]
        assert counts.sum() == len(magnitudes)
        inner = [sum(low <= m < high for m in magnitudes) for low, high in pairwise(edges)]
        assert np.abs(counts[:-1] - inner[:-1]).max() <= 1
        assert counts[-1] >= inner[-1]
    assert [each.sum() for each in histogram(torch.zeros(1, 1, 2, 2))[1:]] == [0, 0]


# -- Heads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["gae", "daam"])
def test_heads_and_blocks_add_up_to_the_map(own, explained, method):
    x = explained("scenes-vit", method)
    found = own.head_steps(x)
    assert len(found.blocks) == len(x.backbone.discovery.attention.blocks)
    total = found.start + sum(block.raw for block in found.blocks)
    close(total, x.raw[x.stages[-1]])
    attention = own.attention(x)
    for block in found.blocks:
        close(block.attention, attention[block.name].heads)
        together = block.heads.sum(axis=0)
        close(block.raw, together if method == "gae" else np.maximum(together, 0))
    assert any(block.raw.max() > 0 for block in found.blocks)


def test_an_explanation_of_other_weights_is_refused(engine):
    from camviz import BackboneError, wrap_backbone
    from tests.support.networks import untrained

    backbone = wrap_backbone(untrained("test_resnet"), device="cpu")
    x = engine.explain(RAM, backbone, method="layer_cam")
    with torch.no_grad():
        next(backbone.model.parameters()).mul_(2)
    with pytest.raises(BackboneError, match="weights"):
        engine.steps(replace(x), x.stages[-1])
