"""camviz.methods.activation: CAM, Eigen-CAM, LPCAM against slow twins, and what follows."""

import math

import numpy as np
import pytest
import torch

from camviz.maps.fusion import is_empty, normalize
from camviz.methods.activation import (
    cam,
    cosine_maps,
    eigen_cam,
    lp_cam,
    principal_components,
)
from tests.support.tensors import close64, generator

SHAPES = [
    (1, 1, 1, 1),
    (2, 3, 1, 1),
    (1, 1, 1, 7),
    (3, 2, 5, 1),
    (2, 1, 4, 3),
    (2, 5, 3, 4),
    (1, 30, 3, 4),
]


def features(shape, kind="signed", seed=0):
    values = torch.randn(shape, generator=generator(seed), dtype=torch.float64)
    return values.relu() if kind == "relu" else values


def slow_cam(activations, weights):
    heat = torch.zeros(len(activations), *activations.shape[2:], dtype=torch.float64)
    for n, sample in enumerate(activations.tolist()):
        for k, channel in enumerate(sample):
            for i, row in enumerate(channel):
                for j, value in enumerate(row):
                    heat[n, i, j] += weights[n, k].item() * value
    return heat


class TestCam:
    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_against_the_twin(self, shape, kind):
        activations = features(shape, kind)
        weights = features(shape[:2], seed=1)
        close64(cam(activations, weights), slow_cam(activations, weights))

    def test_by_hand(self):
        activations = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])
        close64(cam(activations, torch.tensor([[2.0, -1.0]])), torch.tensor([[[-1.0, 4.0]]]))

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    def test_its_mean_and_the_bias_are_the_logit(self, kind):  # T-CAM-1
        activations = features((3, 6, 5, 7), kind)
        head, bias = features((4, 6), seed=2), features((4,), seed=3)
        logits = torch.nn.functional.linear(activations.mean(dim=(2, 3)), head, bias)
        for target in range(4):
            heat = cam(activations, head[target].expand(3, -1))
            close64(heat.mean(dim=(1, 2)) + bias[target], logits[:, target])

    @pytest.mark.parametrize("scale", [1e-12, 0.3, 1e6])
    def test_ignores_the_scale_of_the_weights(self, scale):  # T-CAM-2
        activations, weights = features((1, 6, 5, 7), "relu"), features((1, 6), seed=2)
        heat = cam(activations, weights)[0]
        assert not is_empty(heat) and (heat < 0).any()
        close64(normalize(cam(activations, scale * weights)[0]), normalize(heat))


def slow_components(activations, count):
    """By numpy's decomposition of each sample, the signs put right in a loop."""
    samples, channels, height, width = activations.shape
    found = np.zeros((samples, count, height * width))
    for n in range(samples):
        x = activations[n].numpy().reshape(channels, -1).T
        x = x - np.array([sum(column) / len(column) for column in x.T])
        u, s, _ = np.linalg.svd(x, full_matrices=False)
        for i in range(min(count, len(s))):
            heat = s[i] * u[:, i] if s[i] > 1e-7 * s[0] else 0 * u[:, i]
            farthest = max(range(len(heat)), key=lambda place: abs(heat[place]))
            found[n, i] = heat if heat[farthest] >= 0 else -heat
    return torch.from_numpy(found.reshape(samples, count, height, width))


class TestPrincipalComponents:
    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @pytest.mark.parametrize("shape", [*SHAPES, (1, 200, 7, 7), (2, 48, 7, 8)], ids=str)
    def test_against_the_twin(self, shape, kind):
        activations = features(shape, kind, seed=12)
        close64(principal_components(activations), slow_components(activations, 3), tolerance=1e-7)

    def test_by_hand(self):
        # Two channels of four places: (-3 -1 1 3), its mean taken off, and (1 -1 -1 1) across it.
        activations = torch.tensor([[[[7.0, 9.0, 11.0, 13.0]], [[3.0, 1.0, 1.0, 3.0]]]])
        first, second, none = principal_components(activations)[0]
        close64(first, torch.tensor([[3.0, 1.0, -1.0, -3.0]]), tolerance=1e-6)
        close64(second, torch.tensor([[1.0, -1.0, -1.0, 1.0]]), tolerance=1e-6)
        assert not none.any()

    @pytest.mark.parametrize("channels", [9, 90])
    def test_they_are_orthogonal_and_hold_all_of_the_variance(self, channels):
        activations = features((1, channels, 4, 5), seed=13)
        found = principal_components(activations, count=20)[0].flatten(1)
        inner = found @ found.T
        close64(inner, torch.diag(inner.diagonal()), tolerance=1e-9)
        assert (inner.diagonal().diff() <= 1e-9).all()
        centred = activations - activations.mean(dim=(2, 3), keepdim=True)
        assert inner.trace() == pytest.approx(float(centred.square().sum()))
        assert int((inner.diagonal() > 1e-9).sum()) == min(channels, 19)

    def test_ignores_an_orthogonal_mixing_and_a_shift_of_channels(self):
        activations = features((2, 12, 5, 4), seed=14)
        mixing, _ = torch.linalg.qr(features((12, 12), seed=15))
        mixed = torch.einsum("kc,nchw->nkhw", mixing, activations) + 3
        close64(principal_components(mixed), principal_components(activations), tolerance=1e-8)

    def test_nothing_is_changed_in_place(self):
        activations = features((1, 5, 3, 4), seed=16)
        kept = activations.clone()
        assert principal_components(activations.float()).dtype == torch.float32
        principal_components(activations)
        assert torch.equal(activations, kept)

    def test_constant_and_broken_features(self):
        activations = torch.full((2, 4, 3, 3), 0.1)
        activations[1, 0, 0, 0] = torch.inf
        found = principal_components(activations)
        assert not found[0].any() and found[1].isnan().all()


def slow_product(rows, columns):
    return [
        [math.fsum(x * y for x, y in zip(row, column, strict=True)) for column in columns]
        for row in rows
    ]


def slow_eigen_cam(activations):
    """The power method, the power doubled sixty times: (X X^T)^(2^60) / norm = u u^T."""
    height, width = activations.shape[2:]
    maps = []
    for sample in activations.tolist():
        flat = [[value for row in channel for value in row] for channel in sample]  # (C, H*W)
        places = range(height * width)
        energy = [sum(channel[p] ** 2 for channel in flat) for p in places]
        signed = any(value < 0 for channel in flat for value in channel)
        if signed:
            flat = [[v - math.fsum(channel) / len(places) for v in channel] for channel in flat]
        x = [[channel[p] for channel in flat] for p in places]  # (H*W, C)
        gram = slow_product(x, x)
        power = gram
        for _ in range(60):
            size = math.sqrt(math.fsum(v * v for row in power for v in row))
            if size == 0:
                break
            power = [[v / size for v in row] for row in power]
            power = slow_product(power, power)  # symmetric: rows are columns
        column = max(power, key=lambda row: sum(v * v for v in row))
        size = math.sqrt(sum(v * v for v in column)) or 1.0
        u = [v / size for v in column]
        value = sum(u[p] * gram[p][q] * u[q] for p in places for q in places)
        heat = [math.sqrt(max(value, 0)) * v for v in u]
        mean_heat, mean_energy = sum(heat) / len(heat), sum(energy) / len(energy)
        agreement = sum(
            (h - mean_heat) * (e - mean_energy) for h, e in zip(heat, energy, strict=True)
        )
        if (agreement if signed else sum(heat)) < 0:
            heat = [-v for v in heat]
        maps.append(heat)
    return torch.tensor(maps, dtype=torch.float64).view(-1, height, width)


class TestEigenCam:
    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_against_the_twin(self, shape, kind):
        activations = features(shape, kind, seed=4)
        close64(eigen_cam(activations), slow_eigen_cam(activations), tolerance=1e-8)

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @pytest.mark.parametrize("channels", [7, 48, 49, 50, 200])
    def test_against_the_singular_value_decomposition(self, channels, kind):
        activations = features((2, channels, 7, 7), kind, seed=5)
        for sample, heat in zip(activations, eigen_cam(activations), strict=True):
            x = sample.flatten(1).T
            x = x - x.mean(dim=0) if kind == "signed" else x
            u, s, _ = torch.linalg.svd(x, full_matrices=False)
            expected = s[0] * u[:, 0].view(7, 7)
            sign = 1 if (expected * heat).sum() > 0 else -1  # the decomposition leaves it open
            close64(heat, sign * expected, tolerance=1e-9)

    def test_by_hand(self):
        # X = (3 4; 0 0): s = 5, u = (1, 0). Signed: (1, -1) is centred, and both energies are 1.
        activations = torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]]])
        close64(eigen_cam(activations), torch.tensor([[[5.0, 0.0]]]), tolerance=1e-6)
        # Two channels (-1 3), (-1 3): centred (-2 2) twice, s = 4, u = (-1 1)/sqrt 2; 9 > 1 at 3.
        signed = torch.tensor([[[[-1.0, 3.0]], [[-1.0, 3.0]]]])
        root = math.sqrt(8)
        close64(eigen_cam(signed), torch.tensor([[[-root, root]]]), tolerance=1e-6)

    @pytest.mark.parametrize("channels", [4, 40])
    def test_ignores_an_orthogonal_mixing_of_channels(self, channels):  # T-E-2
        activations = features((2, channels, 5, 4), seed=6)
        mixing, _ = torch.linalg.qr(features((channels, channels), seed=7))
        mixed = torch.einsum("kc,nchw->nkhw", mixing, activations)
        assert (mixed - activations).abs().max() > 0.1
        close64(eigen_cam(mixed), eigen_cam(activations), tolerance=1e-9)

    @pytest.mark.parametrize("channels", [1, 3, 60])
    def test_has_one_sign_for_features_of_one_sign(self, channels):  # T-E-3
        for seed in range(20):
            heat = eigen_cam(features((2, channels, 5, 4), "relu", seed))
            assert (heat >= -1e-12).all() and (heat > 0.1).any()

    @pytest.mark.parametrize("channels", [3, 60])
    def test_of_a_single_pattern_is_that_pattern(self, channels):  # T-E-4
        pattern = features((5, 4), "relu", seed=8)
        strengths = features((channels,), seed=9).abs()
        one_sign = (strengths[:, None, None] * pattern).unsqueeze(0)
        close64(eigen_cam(one_sign)[0], strengths.norm() * pattern)

    @pytest.mark.parametrize("channels", [3, 60])
    def test_of_a_signed_pattern_is_that_pattern_centred(self, channels):  # T-E-4
        pattern = features((5, 4), "relu", seed=8)
        strengths = features((channels,), seed=9)
        signed = (strengths[:, None, None] * pattern).unsqueeze(0)
        assert (signed < 0).any()
        close64(eigen_cam(signed)[0], strengths.norm() * (pattern - pattern.mean()))

    @pytest.mark.parametrize("channels", [3, 60])
    def test_the_sign_agrees_with_the_energy(self, channels):
        for seed in range(20):
            activations = features((1, channels, 5, 4), seed=seed) + 0.3
            heat = eigen_cam(activations)[0]
            energy = activations[0].square().sum(dim=0)
            assert torch.corrcoef(torch.stack([heat.flatten(), energy.flatten()]))[0, 1] >= 0
            close64(eigen_cam(-activations)[0], heat)

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    def test_dead_channels_change_nothing(self, kind):
        activations = features((2, 6, 4, 5), kind)
        dead = torch.zeros(2, 40, 4, 5, dtype=torch.float64)  # 6 < 20 < 46: the other Gram matrix
        close64(eigen_cam(torch.cat([activations, dead], dim=1)), eigen_cam(activations))

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    def test_keeps_the_units_of_the_features(self, kind):
        activations = features((2, 6, 4, 5), kind)
        for scale in (1e-12, 1e-40, 1e9):
            close64(eigen_cam(scale * activations) / scale, eigen_cam(activations))

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    def test_single_precision_is_good_enough(self, kind):
        activations = features((2, 20, 4, 5), kind)
        heat = eigen_cam(activations.float())
        assert heat.dtype == torch.float32
        close64(heat.double(), eigen_cam(activations), tolerance=1e-5)

    def test_samples_are_judged_one_by_one(self):
        both = torch.cat([features((1, 6, 4, 5), "relu"), features((1, 6, 4, 5))])
        for i in range(2):
            close64(eigen_cam(both)[i], eigen_cam(both[i : i + 1])[0])

    def test_a_constant_of_one_sign_is_constant(self):
        close64(
            eigen_cam(torch.full((1, 4, 3, 3), 2.0)), torch.full((1, 3, 3), 4.0), tolerance=1e-6
        )

    def test_no_features_no_map(self):
        for channels in (2, 40):
            assert not eigen_cam(torch.zeros(2, channels, 3, 4)).any()

    def test_a_signed_constant_has_no_pattern(self):
        for seed in range(60):
            constant = features((1, 8, 1, 1), seed=seed).expand(1, 8, 7, 5)
            assert is_empty(eigen_cam(constant)[0])


def slow_cosine(a, b):
    size = math.hypot(*a) * math.hypot(*b)
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / size if size else 0.0


def slow_lp_cam(activations, foreground, context, pool):
    """Equation 5 of the paper and the difference under equation 6's ReLU, place by place."""
    heat = torch.zeros(len(activations), *activations.shape[2:], dtype=torch.float64)
    for n, sample in enumerate(activations):
        for i in range(sample.shape[1]):
            for j in range(sample.shape[2]):
                place = sample[:, i, j].tolist()
                for sign, prototypes in ((1, foreground), (-1, context)):
                    cosines = [slow_cosine(place, p) for p in prototypes.tolist()]
                    heat[n, i, j] += sign * pool(cosines) if cosines else 0
    return heat


def average(cosines):
    return math.fsum(cosines) / len(cosines)


class TestLpCam:
    def given(self, shape=(2, 5, 3, 4), kind="relu", counts=(4, 3)):
        foreground = features((counts[0], shape[1]), kind, seed=11)
        return features(shape, kind), foreground, features((counts[1], shape[1]), kind, seed=12)

    @pytest.mark.parametrize(("aggregate", "pool"), [("mean", average), ("max", max)])
    @pytest.mark.parametrize("counts", [(4, 3), (1, 1), (3, 0), (0, 2), (0, 0)])
    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_against_the_twin(self, shape, kind, counts, aggregate, pool):
        given = self.given(shape, kind, counts)
        close64(lp_cam(*given, aggregate), slow_lp_cam(*given, pool))

    @pytest.mark.parametrize(("aggregate", "pool"), [("mean", average), ("max", max)])
    @pytest.mark.parametrize("counts", [(4, 3), (3, 0)])
    @pytest.mark.parametrize("rivals", [(2,), (1, 4)])
    def test_prototypes_of_other_classes_are_half_of_the_context(
        self, aggregate, pool, counts, rivals
    ):
        activations, foreground, context = self.given(counts=counts)
        others = [features((count, 5), "relu", seed=30 + count) for count in rivals]
        nothing = torch.zeros(0, 5, dtype=torch.float64)
        own, *rest = (slow_lp_cam(activations, nothing, each, pool) for each in (context, *others))
        against = (own + sum(rest) / len(rest)) / 2
        wanted = slow_lp_cam(activations, foreground, nothing, pool) + against
        close64(lp_cam(activations, foreground, context, aggregate, others), wanted)
        close64(
            lp_cam(activations, foreground, context, aggregate, []),
            lp_cam(activations, foreground, context, aggregate),
        )

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    def test_the_mean_of_cosine_maps_is_one_linear_map(self, kind):  # T-LP-1
        activations, foreground, context = self.given(kind=kind)
        maps = cosine_maps(activations, foreground).mean(1) - cosine_maps(
            activations, context
        ).mean(1)
        close64(lp_cam(activations, foreground, context), maps)

    @pytest.mark.parametrize("aggregate", ["mean", "max"])
    def test_ignores_the_scale_of_every_place_and_prototype(self, aggregate):  # T-LP-2
        activations, foreground, context = self.given(kind="signed")
        heat = lp_cam(activations, foreground, context, aggregate)
        for scale in (1e-200, 1e-12, 0.5, 1e200):
            close64(lp_cam(scale * activations, foreground, context, aggregate), heat)
            close64(lp_cam(activations, scale * foreground, context / scale, aggregate), heat)
        uneven = activations * torch.rand(2, 1, 3, 4, generator=generator(1), dtype=torch.float64)
        close64(lp_cam(uneven, foreground, context, aggregate), heat)

    @pytest.mark.parametrize("aggregate", ["mean", "max"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_equal_prototypes_cancel(self, aggregate, dtype):  # T-LP-4
        for seed in range(20):
            activations = features((1, 30, 3, 4), seed=seed).to(dtype)
            same = features((7, 30), seed=seed + 50).to(dtype)
            heat = lp_cam(activations, same, same[torch.randperm(7, generator=generator(0))])
            assert is_empty(heat) or aggregate == "max"
            heat = lp_cam(activations, same, same, aggregate)
            assert is_empty(heat) and not normalize(heat[0]).any()

    def test_prototypes_count_once_each_in_any_order(self):  # T-LP-5
        activations, foreground, context = self.given()
        heat = lp_cam(activations, foreground, context)
        order = torch.tensor([2, 0, 3, 1])
        close64(lp_cam(activations, foreground[order], context.flip(0)), heat)
        doubled = torch.cat([foreground, foreground[:1]])
        weights = torch.tensor([2.0, 1, 1, 1], dtype=torch.float64) / 5
        expected = torch.einsum("k,nkhw->nhw", weights, cosine_maps(activations, foreground))
        expected -= cosine_maps(activations, context).mean(1)
        assert (expected - heat).abs().max() > 1e-3
        close64(lp_cam(activations, doubled, context), expected)
        nearest = lp_cam(activations, foreground, context, "max")
        close64(lp_cam(activations, doubled, context, "max"), nearest)

    def test_prototypes_may_differ_from_picture_to_picture(self):
        activations, foreground, context = self.given()
        other = features((4, 5), "relu", seed=20)
        for aggregate in ("mean", "max"):
            both = lp_cam(activations, torch.stack([foreground, other]), context, aggregate)
            close64(both[:1], lp_cam(activations[:1], foreground, context, aggregate))
            close64(both[1:], lp_cam(activations[1:], other, context, aggregate))
        maps = cosine_maps(activations, torch.stack([foreground, other]))
        close64(maps[1:], cosine_maps(activations[1:], other))

    def test_by_hand(self):
        # Places (3, 4) and (0, 5); foreground (1, 0), context (0, 2).
        activations = torch.tensor([[[[3.0, 0.0]], [[4.0, 5.0]]]])
        heat = lp_cam(activations, torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
        close64(heat, torch.tensor([[[0.6 - 0.8, 0.0 - 1.0]]]), tolerance=1e-6)

    def test_cosines_are_cosines(self):
        activations, foreground, _ = self.given(kind="signed")
        maps = cosine_maps(activations, foreground)
        assert maps.shape == (2, 4, 3, 4) and maps.abs().max() <= 1 + 1e-12
        own = cosine_maps(activations[:1], activations[0, :, 1, 2][None])
        close64(own[0, 0, 1, 2], torch.tensor(1.0, dtype=torch.float64))
        activations[:, :, 0, 0] = 0
        foreground[1] = 0
        maps = cosine_maps(activations, foreground)
        assert not maps[:, :, 0, 0].any() and not maps[:, 1].any() and torch.isfinite(maps).all()

    def test_single_precision_is_good_enough(self):
        given = self.given((2, 200, 4, 5), "relu")
        for aggregate in ("mean", "max"):
            heat = lp_cam(*(one.float() for one in given), aggregate)
            assert heat.dtype == torch.float32
            close64(heat.double(), lp_cam(*given, aggregate), tolerance=1e-6)
