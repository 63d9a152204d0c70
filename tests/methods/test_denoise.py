"""camviz.methods.denoise against a literal twin, and the identities of truncation.

The twin sorts Python lists of numbers and looks at one entry after the other.
"""

import math

import pytest
import torch

from camviz.maps.fusion import is_empty
from camviz.methods import METHODS, denoise
from camviz.methods.denoise import (
    CALIBRATIONS,
    MODES,
    noise_report,
    noise_threshold,
    truncate,
    truncate_at,
)
from camviz.methods.gradient import hires_cam, layer_cam
from tests.support.tensors import noise64, same

LEVELS = (0.0, 0.1, 0.5, 0.8, 0.9, 0.98, 0.99, 1.0)
GRADIENT_METHODS = [row.function for row in METHODS.values() if row.truncates]


def quantile(values, q):
    return sorted(values)[round(q * (len(values) - 1))] if values else 0.0


def slow_level(entries, q, calibration):
    positive = [g for g in entries if g > 0]
    negative = [-g for g in entries if g < 0]
    if not positive:
        return 0.0
    if calibration == "self":
        return quantile(positive, q)
    if calibration == "relmax":
        return q * max(entries)
    return min(quantile(negative, q), quantile(positive, 0.99)) if negative else 0.0


def slow_truncate(gradients, q, mode, calibration):
    samples = []
    for sample in gradients:
        entries = sample.flatten().tolist()
        tau = slow_level(entries, q, "self" if mode == "cap" else calibration)
        out = {
            "threshold": [g if g > 0 and g >= tau else 0.0 for g in entries],
            "rectify": [max(g, 0.0) for g in entries],
            "cap": [min(max(g, 0.0), tau) for g in entries],
            "remove": [max(-g, 0.0) for g in entries],
        }[mode]
        samples.append(torch.tensor(out, dtype=gradients.dtype).reshape(sample.shape))
    return torch.stack(samples)


DEGENERATE = {
    "all negative": -noise64((1, 3, 4, 5)).abs() - 0.1,
    "all zero": torch.zeros(2, 3, 4, 5),
    "all positive": noise64((1, 3, 4, 5)).abs() + 0.1,
    "constant": torch.full((1, 2, 3, 3), 0.5),
    "one element": torch.tensor(2.0).reshape(1, 1, 1, 1),
    "one negative element": torch.tensor(-2.0).reshape(1, 1, 1, 1),
    "ties": torch.tensor([-2.0, -1.0, -1.0, 1.0, 1.0, 1.0, 2.0, 2.0]).reshape(1, 2, 2, 2),
    "one positive, many negative": torch.tensor([1.0, *[-3.0] * 7]).reshape(1, 2, 2, 2),
    "subnormal": torch.tensor([1e-42, -1e-42, 1.0, -1.0]).reshape(1, 1, 2, 2),
}


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("q", LEVELS)
def test_the_slow_twin_agrees(q, mode, calibration):
    for seed, shape in enumerate([(2, 3, 4, 5), (1, 1, 1, 2), (1, 7, 3, 1), (3, 2, 8, 8)]):
        gradients = noise64(shape, seed)
        expected = slow_truncate(gradients, q, mode, calibration)
        same(truncate(gradients, q, mode, calibration), expected)


@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("q", LEVELS)
def test_degenerate_gradients(kind, mode, q):
    gradients = DEGENERATE[kind]
    before = gradients.clone()
    for calibration in CALIBRATIONS:
        expected = slow_truncate(gradients, q, mode, calibration)
        same(truncate(gradients, q, mode, calibration), expected)
    same(gradients, before)  # nothing in place


@pytest.mark.parametrize("q", [0.0, 0.3, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("kind", ["noise", "mostly ties", "sorted", "few positive"])
def test_the_fast_selection_is_exact_on_many_entries(q, kind):
    gradients = noise64((1, 20, 64, 64), 5, torch.float32)
    if kind == "mostly ties":
        gradients = (gradients * 2).round() / 2
    if kind == "sorted":  # the sample's worst case but one
        gradients = gradients.flatten().sort().values.reshape(gradients.shape)
    if kind == "few positive":
        gradients = gradients - 3.5
    assert gradients.numel() >= denoise._MANY
    entries = gradients.flatten().tolist()
    for calibration in CALIBRATIONS:
        expected = slow_level(entries, q, calibration)
        assert float(noise_threshold(gradients, q, "threshold", calibration)) == pytest.approx(
            expected, rel=1e-7, abs=0
        )


def test_signs_are_counted_exactly_however_many():
    many = torch.ones(2**24 + 3)  # one more is lost in a single float
    many[:5], many[5:7] = -1, 0
    assert denoise._signs(many) == (2**24 + 3 - 7, 5)
    assert denoise._reaching(many, torch.tensor(1.0)) == 2**24 + 3 - 7


@pytest.mark.parametrize("sign", [1, -1])
def test_a_misleading_sample_does_not_mislead(sign):
    """Every entry of the sample is large, or small: the bound misses, the whole is searched."""
    gradients = noise64((1, 1, 256, 512), 6, torch.float32).flatten()
    gradients[::61] = sign * (100 + gradients[::61].abs())
    gradients = gradients.reshape(1, 1, 256, 512)
    for q, calibration in ((0.9, "mirror"), (0.1, "mirror"), (0.9, "self"), (0.1, "self")):
        assert float(noise_threshold(gradients, q, "threshold", calibration)) == pytest.approx(
            slow_level(gradients.flatten().tolist(), q, calibration), rel=1e-7
        )


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "remove"])
def test_without_a_positive_gradient_the_map_is_empty(mode):  # T-D-1
    gradients = -noise64((1, 4, 5, 5)).abs()
    heat = layer_cam(noise64((1, 4, 5, 5), 1).relu(), truncate(gradients, 0.9, mode))
    assert is_empty(heat)


def test_at_zero_it_is_layercam():  # T-D-2
    activations, gradients = noise64((2, 4, 5, 5), 1).relu(), noise64((2, 4, 5, 5))
    same(
        layer_cam(activations, truncate(gradients, 0.0, calibration="self")),
        layer_cam(activations, gradients),
    )


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_the_map_falls_as_q_rises(calibration):  # T-D-3
    activations, gradients = noise64((1, 6, 7, 7), 1).relu(), noise64((1, 6, 7, 7))
    before = layer_cam(activations, gradients)
    taus = [-1.0]
    for q in LEVELS:
        heat = layer_cam(activations, truncate(gradients, q, calibration=calibration))
        assert bool((heat <= before + 1e-12).all())
        before = heat
        taus.append(float(noise_threshold(gradients, q, calibration=calibration)))
    assert taus == sorted(taus)


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("mode", MODES)
def test_the_scale_of_the_logit_does_not_matter(mode, calibration):  # T-D-4
    gradients = noise64((2, 3, 6, 6))
    for scale in (0.25, 1024.0):  # powers of two: exact
        same(
            truncate(scale * gradients, 0.9, mode, calibration),
            scale * truncate(gradients, 0.9, mode, calibration),
        )


def test_the_highest_cap_is_rectification():  # T-D-5
    gradients = noise64((2, 3, 6, 6))
    same(truncate(gradients, 1.0, "cap"), truncate(gradients, 0.3, "rectify"))


def test_a_gate_is_a_truncated_gradient_for_element_wise_methods():  # T-D-6
    activations, gradients = noise64((2, 3, 6, 6), 1), noise64((2, 3, 6, 6))
    tau = noise_threshold(gradients, 0.8)
    least = tau.view(-1, 1, 1, 1)
    gated = torch.where((gradients >= least) & (gradients > 0), activations, 0)
    same(layer_cam(gated, gradients), layer_cam(activations, truncate_at(gradients, tau)))
    same(hires_cam(gated, gradients), hires_cam(activations, truncate_at(gradients, tau)))


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9, 0.98])
def test_of_symmetric_noise_both_sides_tell_the_same(q):  # T-D-7
    half = noise64((1, 4, 5, 5))
    gradients = torch.cat([half, -half], dim=1)
    same(
        noise_threshold(gradients, q, calibration="mirror"),
        noise_threshold(gradients, q, calibration="self"),
    )


def test_pure_noise_falls_to_what_theory_says():  # T-D-8
    edges = noise64((1, 1, 28, 28), 2).exp()  # more happens at some places than at others
    activations, gradients = noise64((1, 256, 28, 28), 1).relu() * edges, noise64((1, 256, 28, 28))
    energy = activations.sum(dim=1).flatten()
    plain = layer_cam(activations, gradients)
    assert torch.corrcoef(torch.stack([plain.flatten(), energy]))[0, 1] > 0.9
    denoised = layer_cam(activations, truncate(gradients, 0.9))
    assert float(denoised.mean() / plain.mean()) == pytest.approx(0.258, abs=0.02)
    left = noise_report(activations, gradients, noise_threshold(gradients, 0.9))
    assert left.noise == pytest.approx(0.258, abs=0.02)
    assert left.expected == pytest.approx(0.258, abs=0.02)
    assert left.kept == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("seed", range(8))
def test_constant_channels_are_never_all_deleted(seed):  # T-D-9
    channels = noise64((1, 96, 1, 1), seed)
    gradients = channels.expand(1, 96, 7, 7).contiguous()
    for q in (0.9, 0.98, 0.99, 1.0):
        assert bool(truncate(gradients, q).any())


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("mode", MODES)
def test_order_and_flip_commute(mode, calibration):  # T-D-10
    gradients = noise64((1, 24, 64, 64), 2, torch.float32)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    whole = truncate(gradients, 0.9, mode, calibration)
    same(truncate(gradients[:, order], 0.9, mode, calibration), whole[:, order])
    same(truncate(gradients.flip(3), 0.9, mode, calibration), whole.flip(3))


def test_without_noise_nothing_changes():  # T-D-11
    gradients = noise64((1, 4, 5, 5)).abs() + 1e-3
    assert float(noise_threshold(gradients, 0.9)) == 0
    same(truncate(gradients, 0.9), gradients)
    assert noise_report(gradients, gradients, noise_threshold(gradients, 0.9)).noise is None


def test_every_sample_has_its_own_level():
    gradients = torch.cat([noise64((1, 3, 6, 6)), 100 * noise64((1, 3, 6, 6), 1)])
    for mode in MODES:
        whole = truncate(gradients, 0.9, mode)
        for i in range(2):
            same(whole[i : i + 1], truncate(gradients[i : i + 1], 0.9, mode))


@pytest.mark.parametrize("function", GRADIENT_METHODS)
def test_it_composes_with_every_gradient_method(function):
    """By the gradient alone: what was cut counts as if it had been zero."""
    activations, gradients = noise64((1, 5, 6, 6), 1).relu(), noise64((1, 5, 6, 6))
    cut = torch.where(gradients >= noise_threshold(gradients, 0.9), gradients, 0).clamp_min(0)
    same(function(activations, truncate(gradients, 0.9)), function(activations, cut))


def test_the_floor_counted_by_hand():
    gradients = torch.tensor([4.0, 1.0, -1.0, -3.0]).reshape(1, 1, 2, 2)
    activations = torch.tensor([1.0, 1.0, 2.0, 1.0]).reshape(1, 1, 2, 2)
    left = noise_report(activations, gradients, torch.tensor([3.0]))
    assert left.kept == 1 / 2
    assert left.noise == pytest.approx(3 / 5)  # |A g|: 2 and 3, of which only 3 reaches 3
    assert left.expected == pytest.approx(math.exp(-9 / (2 * (1 + 9) / 2)))
