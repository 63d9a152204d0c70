"""camviz.methods.gradient: every equation once more, slowly, and the identities that follow.

The twins below are written one place at a time from the papers' equations, in Python numbers.
The identities are those of a small ReLU network with a linear head after average pooling.
"""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from camviz.maps.fusion import is_empty, normalize
from camviz.methods import gradient
from camviz.methods.activation import cam
from camviz.methods.gradient import (
    grad_cam,
    grad_cam_pp,
    hires_cam,
    layer_cam,
    layer_cam_elementwise,
    xgrad_cam,
)
from tests.support.gradients import SHAPES, tensors
from tests.support.tensors import close64, generator, same


def normalized(maps):
    return torch.stack([normalize(heat) for heat in maps])


def twin(place):
    def method(activations, gradients):
        height, width = activations.shape[2:]
        samples = zip(activations.tolist(), gradients.tolist(), strict=True)
        return torch.tensor(
            [
                [[place(A, g, i, j) for j in range(width)] for i in range(height)]
                for A, g in samples
            ],
            dtype=torch.float64,
        )

    return method


def numbers(channel):
    return [value for row in channel for value in row]


@twin
def slow_grad_cam(A, g, i, j):
    heat = 0.0
    for A_k, g_k in zip(A, g, strict=True):
        z = len(numbers(g_k))
        heat += math.fsum(numbers(g_k)) / z * A_k[i][j]
    return heat


@twin
def slow_grad_cam_pp(A, g, i, j):
    heat = 0.0
    for A_k, g_k in zip(A, g, strict=True):
        mass = max(math.fsum(numbers(A_k)), 0.0)  # the deviation; A >= 0 is the paper's case
        weight = 0.0
        for slope in numbers(g_k):
            if slope > 0:  # relu(g) is 0 elsewhere, and so is the summand
                alpha = slope**2 / (2 * slope**2 + mass * slope**3)  # equation 19
                weight += alpha * slope  # equation 5
        heat += weight * A_k[i][j]
    return heat


def alphas(A_k, g_k):
    """The paper's, equation 19, at the places that count: where the gradient is positive."""
    mass = math.fsum(numbers(A_k))
    return {
        place: slope**2 / (2 * slope**2 + mass * slope**3)
        for place, slope in enumerate(numbers(g_k))
        if slope > 0
    }


@twin
def papers_grad_cam_pp(A, g, i, j):
    heat = 0.0
    for A_k, g_k in zip(A, g, strict=True):
        slopes = numbers(g_k)
        weight = sum(alpha * slopes[place] for place, alpha in alphas(A_k, g_k).items())
        heat += weight * A_k[i][j]  # equation 5
    return heat


@twin
def authors_grad_cam_pp(A, g, i, j):
    """The authors' TensorFlow code, which also divides the alphas of a channel by their sum."""
    heat = 0.0
    for A_k, g_k in zip(A, g, strict=True):
        slopes, found = numbers(g_k), alphas(A_k, g_k)
        total = math.fsum(found.values())
        heat += sum(alpha / total * slopes[place] for place, alpha in found.items()) * A_k[i][j]
    return heat


@twin
def slow_xgrad_cam(A, g, i, j):
    heat = 0.0
    for A_k, g_k in zip(A, g, strict=True):
        mass = math.fsum(numbers(A_k))
        if abs(mass) <= 1e-6 * math.fsum(map(abs, numbers(A_k))):
            continue
        weight = 0.0
        for value, slope in zip(numbers(A_k), numbers(g_k), strict=True):
            weight += value / mass * slope
        heat += weight * A_k[i][j]
    return heat


@twin
def slow_hires_cam(A, g, i, j):
    return math.fsum(g[k][i][j] * A[k][i][j] for k in range(len(A)))


@twin
def slow_layer_cam(A, g, i, j):
    return math.fsum(max(g[k][i][j], 0.0) * A[k][i][j] for k in range(len(A)))


@twin
def slow_layer_cam_elementwise(A, g, i, j):
    return math.fsum(max(g[k][i][j] * A[k][i][j], 0.0) for k in range(len(A)))


# In one dimension: A = (1 2), (3 0) and g = (2 -1), (-1 1).
BY_HAND = {
    "grad_cam": (slow_grad_cam, [0.5, 1.0]),  # w = 1/2, 0
    "grad_cam_pp": (slow_grad_cam_pp, [0.85, 0.5]),  # w = 2/(2 + 3*2), 1/(2 + 3*1)
    "xgrad_cam": (slow_xgrad_cam, [-3.0, 0.0]),  # w = 0/3, -3/3
    "hires_cam": (slow_hires_cam, [-1.0, -2.0]),
    "layer_cam": (slow_layer_cam, [2.0, 0.0]),
    "layer_cam_elementwise": (slow_layer_cam_elementwise, [2.0, 0.0]),
}


@pytest.mark.parametrize("name", BY_HAND)
class TestEveryEquation:
    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_against_the_twin(self, name, shape, kind):
        for seed in range(3):
            activations, gradients = tensors(shape, kind, seed)
            close64(
                getattr(gradient, name)(activations, gradients),
                BY_HAND[name][0](activations, gradients),
            )

    def test_by_hand(self, name):
        activations = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]], dtype=torch.float64)
        gradients = torch.tensor([[[[2.0, -1.0]], [[-1.0, 1.0]]]], dtype=torch.float64)
        slow, expected = BY_HAND[name]
        for method in (getattr(gradient, name), slow):
            close64(method(activations, gradients), torch.tensor([[expected]], dtype=torch.float64))


def test_every_method_of_the_module_has_a_twin():
    methods = {name for name in vars(gradient) if name.endswith(("_cam", "_cam_pp", "wise"))}
    assert methods == set(BY_HAND)


class Toy:
    """Three convolutions of stride 1 with ReLU, average pooling, a linear head; fp64."""

    def __init__(self, seed=0, biases=True, channels=(3, 6, 8, 7), classes=4):
        def random(*shape, scale):
            values = torch.randn(shape, generator=generator_, dtype=torch.float64) * scale
            return values.requires_grad_()

        generator_ = generator(seed)
        self.kernels = [
            random(out, into, 3, 3, scale=(2 / (9 * into)) ** 0.5)
            for into, out in pairwise(channels)
        ]
        self.biases = [random(out, scale=0.3 * biases) for out in channels[1:]]
        self.head = random(classes, channels[-1], scale=1.0)
        self.bias = random(classes, scale=1.0 * biases)

    def __call__(self, x):
        """(logits, the map after every ReLU)."""
        maps = []
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            x = F.conv2d(x, kernel, bias, padding=1).relu()
            maps.append(x)
        return x.mean(dim=(2, 3)) @ self.head.T + self.bias, maps

    def trace(self, x, target, score=lambda logits: logits):
        """(logits, maps, gradients of score(logits)[target] at the maps)."""
        logits, maps = self(x)
        gradients = torch.autograd.grad(score(logits)[:, target].sum(), maps)
        return logits.detach(), [a.detach() for a in maps], list(gradients)


@pytest.fixture(params=[0, 1, 2], ids=["seed 0", "seed 1", "seed 2"])
def toy(request):
    return Toy(request.param)


@pytest.fixture
def x():
    return torch.randn(2, 3, 9, 7, generator=generator(9), dtype=torch.float64)


def test_the_toy_is_not_vacuous(toy, x):
    """Every identity below would hold on a dead network, or with gradients of one sign."""
    logits, maps, gradients = toy.trace(x, 1)
    assert logits.std() > 0.1
    for activations, slopes in zip(maps, gradients, strict=True):
        assert (activations >= 0).all() and (activations > 0).double().mean() > 0.2
        assert (slopes > 0).any() and (slopes < 0).any()


def head_case(toy, x, target=1, **options):
    """(score - bias, last map, its gradient, the class's row as (N, C), places)."""
    logits, maps, gradients = toy.trace(x, target, **options)
    row = toy.head[target].detach().expand(len(x), -1)
    share = logits[:, target] - toy.bias[target].detach()
    return share, maps[-1], gradients[-1], row, maps[-1][0, 0].numel()


class TestGradCam:
    def test_is_cam_on_a_linear_head(self, toy, x):  # T-GC-1
        _, activations, gradients, row, places = head_case(toy, x)
        heat, plain = grad_cam(activations, gradients), cam(activations, row)
        close64(heat.relu(), plain.relu() / places)
        assert not any(is_empty(one) for one in heat)
        close64(normalized(heat), normalized(plain))

    @pytest.mark.parametrize("scale", [1e-9, 0.3, 7.0])
    def test_ignores_the_scale_of_the_logits(self, toy, x, scale):  # T-GC-2
        for stage in range(3):
            _, maps, gradients = toy.trace(x, 1)
            _, _, scaled = toy.trace(x, 1, score=lambda logits: scale * logits)
            heat = grad_cam(maps[stage], gradients[stage])
            close64(grad_cam(maps[stage], scaled[stage]) / scale, heat)
            close64(
                normalized(grad_cam(maps[stage], scaled[stage])),
                normalized(heat),
            )

    def test_ignores_a_constant_in_the_logit(self, toy, x):  # T-GC-3
        _, maps, gradients = toy.trace(x, 1)
        _, _, shifted = toy.trace(x, 1, score=lambda logits: logits + 5)
        for activations, one, other in zip(maps, gradients, shifted, strict=True):
            same(grad_cam(activations, other), grad_cam(activations, one))

    def test_sums_to_the_score_on_a_linear_head(self, toy, x):  # T-GC-4
        share, activations, gradients, _, _ = head_case(toy, x)
        close64(grad_cam(activations, gradients).sum(dim=(1, 2)), share)


class TestGradCamPp:
    def test_closed_form_on_a_linear_head(self, toy, x):  # T-PP-1
        _, activations, gradients, row, _ = head_case(toy, x)
        weights = row.relu() / (2 + row * activations.mean(dim=(2, 3)))
        expected = (weights[:, :, None, None] * activations).sum(dim=1)
        assert (expected > 0).any()
        close64(grad_cam_pp(activations, gradients), expected)

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_is_the_papers_where_no_channel_sums_below_zero(self, shape):
        activations, gradients = tensors(shape, "relu")
        close64(grad_cam_pp(activations, gradients), papers_grad_cam_pp(activations, gradients))
        activations, gradients = tensors(shape, "signed")
        lacking = (0.5 - activations.sum(dim=(2, 3), keepdim=True)).relu()
        activations += lacking / activations[0, 0].numel()  # sums above zero, of both signs
        close64(grad_cam_pp(activations, gradients), papers_grad_cam_pp(activations, gradients))

    def test_a_channel_that_sums_below_zero_counts_as_if_the_sum_were_zero(self):
        """The deviation from the paper, and all of it: there half of the positive gradient."""
        differ = 0
        for seed in range(20):
            activations, gradients = tensors((2, 1, 3, 4), "signed", seed)
            ours, papers = (
                method(activations, gradients) for method in (grad_cam_pp, papers_grad_cam_pp)
            )
            below = activations.sum(dim=(1, 2, 3)) < 0
            half = gradients.relu().sum(dim=(1, 2, 3)) / 2
            close64(ours[below], half[below, None, None] * activations[below, 0])
            close64(ours[~below], papers[~below])
            differ += int(((ours - papers).abs().amax(dim=(1, 2))[below] > 1e-3).sum())
        assert differ > 10

    def test_the_alphas_of_a_channel_are_not_divided_by_their_sum(self):
        """As the authors' TensorFlow code does, and the paper does not."""
        for seed in range(5):
            activations, gradients = tensors((1, 1, 3, 4), "relu", seed)
            total = math.fsum(alphas(activations[0, 0].tolist(), gradients[0, 0].tolist()).values())
            ours, theirs = (
                method(activations, gradients) for method in (grad_cam_pp, authors_grad_cam_pp)
            )
            close64(ours, total * theirs)
            assert not 0.99 < total < 1.01 and ours.any()

    def test_depends_on_the_scale_of_the_logits(self, toy, x):  # T-PP-2, a negative identity
        _, maps, gradients = toy.trace(x, 1)
        _, _, scaled = toy.trace(x, 1, score=lambda logits: 50 * logits)
        one = normalized(grad_cam_pp(maps[-1], gradients[-1]))
        other = normalized(grad_cam_pp(maps[-1], scaled[-1]))
        assert (one - other).abs().max() > 0.01

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_small_logits_leave_half_the_positive_gradient(self, toy, x, dtype):  # T-PP-2
        _, maps, gradients = toy.trace(x, 1)
        activations, gradients = maps[-1].to(dtype), gradients[-1].to(dtype)
        weights = gradients.relu().sum(dim=(2, 3), keepdim=True) / 2
        limit = (weights * activations).sum(dim=1)
        heat = grad_cam_pp(activations, gradients * 1e-12)
        close64(heat * 1e12, limit, tolerance=1e-9 if dtype == torch.float64 else 1e-5)

    def test_no_positive_gradient_gives_nothing(self):  # T-PP-3
        activations, gradients = tensors((2, 5, 3, 4), "relu")
        same(grad_cam_pp(activations, -gradients.abs()), torch.zeros(2, 3, 4, dtype=torch.float64))

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    def test_weights_are_not_negative(self, kind):  # T-PP-4
        for seed in range(50):
            activations, gradients = tensors((2, 1, 3, 4), kind, seed)
            assert (grad_cam_pp(activations, gradients) * activations[:, 0] >= 0).all()

    def test_the_denominator_cannot_cross_zero(self):
        # 2 + S * g is exactly 0 at S = -2, g = 1, and 1e-9 next to it; the clipped sum gives 1/2.
        for mass in (-2.0, -2.0 + 1e-9, -50.0):
            activations = torch.tensor([[[[mass - 1, 1.0]]]], dtype=torch.float64)
            gradients = torch.tensor([[[[1.0, 0.0]]]], dtype=torch.float64)
            close64(grad_cam_pp(activations, gradients), activations[:, 0] / 2)


class TestXGradCam:
    @pytest.mark.parametrize("kind", ["relu", "signed"])
    def test_conserves_the_contribution(self, kind):  # T-X-1
        for seed in range(20):
            activations, gradients = tensors((2, 3, 5, 4), kind, seed)
            close64(
                xgrad_cam(activations, gradients).sum(dim=(1, 2)),
                (gradients * activations).sum(dim=(1, 2, 3)),
                tolerance=1e-9,
            )

    def test_is_cam_on_a_linear_head(self, toy, x):  # T-X-2
        _, activations, gradients, row, places = head_case(toy, x)
        close64(xgrad_cam(activations, gradients), cam(activations, row) / places)

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    def test_is_grad_cam_for_a_constant_gradient(self, kind):  # T-X-3
        activations, gradients = tensors((2, 5, 3, 4), kind)
        constant = gradients[:, :, :1, :1].expand_as(gradients)
        close64(xgrad_cam(activations, constant), grad_cam(activations, constant))

    def test_a_channel_that_cancels_has_no_weight(self):
        _, gradients = tensors((1, 2, 1, 2))
        kept = torch.tensor([[1.0, 2.0]])
        for excess, counts in ((0.0, False), (1e-6, False), (4e-6, True)):  # over 1e-6 * 2
            cancelling = torch.tensor([[1.0 + excess, -1.0]], dtype=torch.float64)
            activations = torch.stack([kept.double(), cancelling]).unsqueeze(0)
            alone = xgrad_cam(activations[:, :1], gradients[:, :1])
            difference = xgrad_cam(activations, gradients) - alone
            assert bool((difference.abs() > 1).any()) == counts
            if not counts:
                same(difference, torch.zeros_like(difference))

    def test_a_negative_channel_keeps_its_sign(self):
        activations = torch.tensor([[[[-1.0, -3.0]]]], dtype=torch.float64)
        gradients = torch.tensor([[[[2.0, 6.0]]]], dtype=torch.float64)
        close64(xgrad_cam(activations, gradients), 5 * activations[:, 0])  # (2*1 + 6*3) / 4


class TestHiResCam:
    def test_sums_to_the_score_on_a_linear_head(self, toy, x):  # T-H-1
        share, activations, gradients, _, _ = head_case(toy, x)
        close64(hires_cam(activations, gradients).sum(dim=(1, 2)), share)

    def test_sums_to_the_score_and_the_later_biases_anywhere(self, toy, x):  # T-H-2
        for image in x.split(1):
            logits, maps = toy(image)
            score = logits[0, 1]
            slopes = torch.autograd.grad(score, [*maps, *toy.biases], retain_graph=True)
            at_maps, at_biases = slopes[:3], slopes[3:]
            for stage in range(3):
                heat = hires_cam(maps[stage], at_maps[stage])
                later = [
                    (bias * slope).sum()
                    for bias, slope in list(zip(toy.biases, at_biases, strict=True))[stage + 1 :]
                ]
                close64(heat.sum() + sum(later) + toy.bias[1], score)

    def test_sums_to_the_score_anywhere_without_biases(self, x):  # T-H-2
        logits, maps, gradients = Toy(biases=False).trace(x, 1)
        for activations, slopes in zip(maps, gradients, strict=True):
            close64(hires_cam(activations, slopes).sum(dim=(1, 2)), logits[:, 1])

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    def test_is_evidence_for_less_evidence_against(self, kind):  # T-H-4
        activations, gradients = tensors((2, 5, 3, 4), kind)
        positive = (gradients.clamp(min=0) * activations).sum(dim=1)
        negative = ((-gradients).clamp(min=0) * activations).sum(dim=1)
        close64(hires_cam(activations, gradients), positive - negative)

    def test_a_margin_is_antisymmetric(self, toy, x):
        _, maps, forth = toy.trace(x, 0, score=lambda s: s - s[:, 2:3])
        _, _, back = toy.trace(x, 2, score=lambda s: s - s[:, 0:1])
        for activations, one, other in zip(maps, forth, back, strict=True):
            close64(hires_cam(activations, one), -hires_cam(activations, other))

    def test_what_cancels_is_0_and_not_rounding(self):
        """In front of a normalisation of the channels; single precision leaves 1e-8."""
        generator = torch.Generator().manual_seed(0)
        activations = torch.randn(1, 96, 7, 7, generator=generator).requires_grad_(True)
        norm = torch.nn.functional.layer_norm(activations.movedim(1, 3), (96,), eps=0)
        weights = torch.randn(96, generator=generator)
        score = (norm.mean(dim=(1, 2)) @ weights).sum()
        (gradients,) = torch.autograd.grad(score, activations)
        activations = activations.detach()
        rounding = (gradients * activations).sum(dim=1)
        assert 0 < rounding.abs().max() < 1e-6
        same(hires_cam(activations, gradients), torch.zeros(1, 7, 7))
        assert hires_cam(activations, gradients.relu()).min() != 0

    def test_a_place_counts_from_a_ten_thousandth_of_what_speaks_there_on(self):
        gradients = torch.tensor([1.0, -1.0]).double().reshape(1, 2, 1, 1).expand(1, 2, 1, 3)
        activations = torch.tensor([[1, 1, 1], [1 - 1.9e-4, 1 - 2.1e-4, 0.5]], dtype=torch.float64)
        heat = hires_cam(activations.reshape(1, 2, 1, 3), gradients)[0, 0]
        assert heat.tolist() == [0, pytest.approx(2.1e-4), 0.5]

    def test_where_nearly_all_cancels_the_few_places_that_do_not_are_none(self):
        gradients = torch.tensor([1.0, -1.0]).double().reshape(1, 2, 1, 1).expand(1, 2, 1, 9)
        activations = torch.ones(1, 2, 1, 9, dtype=torch.float64)
        activations[0, 1, 0, 0] -= 5e-4
        assert not hires_cam(activations, gradients).any()


class TestLayerCam:
    def test_closed_form_on_a_linear_head(self, toy, x):  # T-L-1
        _, activations, gradients, row, places = head_case(toy, x)
        close64(layer_cam(activations, gradients), cam(activations, row.relu()) / places)

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    def test_less_the_evidence_against_is_hires_cam(self, kind):  # T-L-2
        activations, gradients = tensors((2, 5, 3, 4), kind)
        against = ((-gradients).relu() * activations).sum(dim=1)
        close64(layer_cam(activations, gradients) - against, hires_cam(activations, gradients))

    def test_is_no_less_than_hires_cam(self, toy, x):  # T-L-3
        for activations, gradients in zip(*toy.trace(x, 1)[1:], strict=True):
            heat = layer_cam(activations, gradients)
            positive = hires_cam(activations, gradients).relu()
            assert (heat >= positive - 1e-12).all()
            alone = ((activations == 0) | (gradients >= 0)).all(dim=1)
            close64(heat[alone], positive[alone])
            assert (heat[~alone] > positive[~alone]).any()

    def test_is_not_the_positive_part_of_hires_cam(self, toy, x):  # a negative identity
        _, activations, gradients, _, _ = head_case(toy, x)
        assert (gradients == gradients[:, :, :1, :1]).all()  # constant, and yet:
        heat, positive = layer_cam(activations, gradients), hires_cam(activations, gradients)
        assert (normalized(heat) - normalized(positive)).abs().max() > 0.05

    def test_no_positive_gradient_gives_nothing(self):  # T-L-4
        activations, gradients = tensors((2, 5, 3, 4), "relu")
        heat = layer_cam(activations, -gradients.abs())
        same(heat, torch.zeros_like(heat))
        assert is_empty(heat[0])

    def test_ignores_the_scale_of_the_logits_and_the_order_of_channels(self, toy, x):  # T-L-5
        _, maps, gradients = toy.trace(x, 1)
        _, _, scaled = toy.trace(x, 1, score=lambda logits: 3e-7 * logits)
        for activations, one, other in zip(maps, gradients, scaled, strict=True):
            heat = normalized(layer_cam(activations, one))
            close64(normalized(layer_cam(activations, other)), heat)
            order = torch.randperm(one.shape[1], generator=generator(3))
            close64(normalized(layer_cam(activations[:, order], one[:, order])), heat)

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_is_the_elementwise_form_for_features_of_one_sign(self, shape):  # T-L-6
        activations, gradients = tensors(shape, "relu")
        close64(layer_cam(activations, gradients), layer_cam_elementwise(activations, gradients))

    def test_is_not_the_elementwise_form_for_signed_features(self):  # a negative identity
        # g < 0, A < 0 adds in one and is dropped in the other; g > 0, A < 0 subtracts in one.
        activations = torch.tensor([[[[-1.0, -1.0]]]])
        gradients = torch.tensor([[[[-2.0, 2.0]]]])
        same(layer_cam(activations, gradients), torch.tensor([[[-0.0, -2.0]]]))
        same(layer_cam_elementwise(activations, gradients), torch.tensor([[[2.0, 0.0]]]))

    def test_of_one_channel_is_the_positive_part_of_hires_cam(self):  # T-L-7
        activations, gradients = tensors((3, 1, 5, 4), "relu")
        close64(layer_cam(activations, gradients), hires_cam(activations, gradients).relu())


HOMOGENEOUS = [name for name in BY_HAND if name != "grad_cam_pp"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_tiny_gradients_give_the_same_map(name, dtype):
    for kind in ("relu", "signed"):
        activations, gradients = (one.to(dtype) for one in tensors((2, 5, 6, 4), kind))
        method = getattr(gradient, name)
        heat = method(activations, gradients)
        assert not any(is_empty(one) for one in heat)
        for scale in (1e-12, 1e-25):
            close64(
                normalized(method(activations, gradients * scale)),
                normalized(heat),
                tolerance=1e-5 if dtype == torch.float32 else 1e-11,
            )


@pytest.mark.parametrize("name", BY_HAND)
def test_classes_with_equal_weights_have_equal_maps(name, toy, x):
    with torch.no_grad():
        toy.head[3] = toy.head[0]
    method = getattr(gradient, name)
    one, twin_, other = (toy.trace(x, target)[1:] for target in (0, 3, 1))
    for stage in range(3):
        heat = method(one[0][stage], one[1][stage])
        same(method(twin_[0][stage], twin_[1][stage]), heat)
        assert (method(other[0][stage], other[1][stage]) - heat).abs().max() > 1e-6
