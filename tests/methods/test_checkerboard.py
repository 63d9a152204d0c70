"""The checkerboard of strided layers, its smoothing, and the description of a gradient."""

import pytest
import torch
import torch.nn.functional as F

from camviz.methods.gradient import (
    checkerboard,
    evidence,
    smooth_checkerboard,
)
from tests.support.gradients import SHAPES, tensors
from tests.support.tensors import close64, generator, same


def stripes(height, width, values, axis):
    """(1, 1, height, width): two values that take turns along an axis."""
    turn = torch.arange((height, width)[axis]) % 2
    line = torch.tensor(values, dtype=torch.float64)[turn]
    return (line[:, None] if axis == 0 else line[None, :]).expand(height, width)[None, None]


class TestSmoothCheckerboard:
    def test_against_the_kernel_written_out(self):
        gradients = torch.randn(2, 3, 6, 7, generator=generator(0), dtype=torch.float64)
        smoothed = smooth_checkerboard(gradients)
        for n, k in ((0, 0), (1, 2)):
            g = gradients[n, k].tolist()
            for i in range(1, 5):
                for j in range(1, 6):
                    expected = 0.0
                    for di, down in ((-1, 0.25), (0, 0.5), (1, 0.25)):
                        for dj, across in ((-1, 0.25), (0, 0.5), (1, 0.25)):
                            expected += down * across * g[i + di][j + dj]
                    assert smoothed[n, k, i, j].item() == pytest.approx(expected, abs=1e-14)

    @pytest.mark.parametrize("size", [(7, 7), (8, 8), (6, 9), (3, 3)])
    def test_removes_every_pattern_of_period_two(self, size):
        tile = torch.tensor([[1.0, 4.0], [-2.0, 8.0]], dtype=torch.float64)
        pattern = tile.repeat(5, 5)[: size[0], : size[1]][None, None]
        inside = smooth_checkerboard(pattern)[:, :, 1:-1, 1:-1]
        same(inside, torch.full_like(inside, 2.75))

    @pytest.mark.parametrize("size", [(7, 7), (8, 8)])
    @pytest.mark.parametrize("axis", [0, 1])
    def test_removes_the_alternation_at_the_border_too(self, size, axis):
        smoothed = smooth_checkerboard(stripes(*size, (1.0, -1.0), axis))
        same(smoothed, torch.zeros_like(smoothed))

    @pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 2), (2, 1), (5, 3), (8, 8)])
    def test_keeps_constants_exactly(self, size):
        for value in (1.0, -0.1, 1 / 3, 1e-30, 12345.678):
            for dtype in (torch.float32, torch.float64):
                constant = torch.full((2, 3, *size), value, dtype=dtype)
                same(smooth_checkerboard(constant), constant)

    def test_keeps_a_ramp(self):
        ramp = torch.arange(9, dtype=torch.float64).expand(1, 1, 5, 9)
        same(smooth_checkerboard(ramp)[..., 1:-1], ramp[..., 1:-1])

    def test_an_impulse_stays_where_it_is(self):
        impulse = torch.zeros(1, 1, 7, 9, dtype=torch.float64)
        impulse[0, 0, 2, 5] = 16
        expected = torch.zeros(7, 9, dtype=torch.float64)
        expected[1:4, 4:7] = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
        same(smooth_checkerboard(impulse)[0, 0], expected)

    @pytest.mark.parametrize("size", [(1, 4), (2, 2), (3, 5), (6, 7)])
    def test_is_an_average(self, size):
        """Linear, with weights that are nowhere negative and add up to one."""
        cells = size[0] * size[1]
        impulses = torch.eye(cells, dtype=torch.float64).view(cells, 1, *size)
        weights = smooth_checkerboard(impulses).view(cells, cells).T
        assert (weights >= 0).all()
        close64(weights.sum(dim=1), torch.ones(cells, dtype=torch.float64))
        gradients = torch.randn(2, 3, *size, generator=generator(1), dtype=torch.float64)
        close64(smooth_checkerboard(gradients).view(6, cells), gradients.view(6, cells) @ weights.T)

    @pytest.mark.parametrize("size", [(1, 4), (2, 2), (3, 5), (6, 7)])
    @pytest.mark.parametrize("axes", [(2,), (3,), (2, 3)])
    def test_commutes_with_flips(self, size, axes):
        gradients = torch.randn(2, 3, *size, generator=generator(2), dtype=torch.float64)
        close64(
            smooth_checkerboard(gradients.flip(axes)), smooth_checkerboard(gradients).flip(axes)
        )

    def test_commutes_with_transposing(self):
        gradients = torch.randn(2, 3, 5, 8, generator=generator(2), dtype=torch.float64)
        close64(smooth_checkerboard(gradients.mT), smooth_checkerboard(gradients).mT)

    def test_one_and_two_places(self):
        single = torch.tensor([[[[3.0]]]])
        same(smooth_checkerboard(single), single)
        pair = torch.tensor([[[[1.0, 5.0]]]])
        low, high = smooth_checkerboard(pair).flatten().tolist()
        assert 1 < low <= high < 5 and low + high == 6
        same(smooth_checkerboard(pair.mT), smooth_checkerboard(pair).mT)

    def test_keeps_the_scale(self):
        gradients = torch.randn(1, 2, 6, 6, generator=generator(4), dtype=torch.float64)
        for scale in (2.0**-60, 2.0**20):
            same(smooth_checkerboard(scale * gradients), scale * smooth_checkerboard(gradients))

    def test_leaves_its_input_alone(self):
        gradients = torch.randn(1, 2, 6, 6, generator=generator(4))
        before = gradients.clone()
        assert smooth_checkerboard(gradients).data_ptr() != gradients.data_ptr()
        same(gradients, before)


class TestCheckerboard:
    def test_even_is_one(self):
        for size in ((4, 4), (5, 7), (14, 14)):
            assert checkerboard(torch.full((2, 3, *size), -0.3)) == pytest.approx(1)

    @pytest.mark.parametrize("row", [0, 1])
    @pytest.mark.parametrize("column", [0, 1])
    def test_one_place_in_four_is_four(self, row, column):
        for size in ((4, 4), (5, 7), (14, 14)):
            gradients = torch.zeros(2, 3, *size)
            gradients[:, :, row::2, column::2] = -2e-9
            assert checkerboard(gradients) == pytest.approx(4)

    @pytest.mark.parametrize("axis", [0, 1])
    def test_one_line_in_two_is_two(self, axis):
        assert checkerboard(stripes(6, 8, (0.0, 1.0), axis)) == pytest.approx(2)

    @pytest.mark.parametrize("size", [(1, 1), (3, 3), (3, 30), (30, 2), (2, 2)])
    def test_small_grids_are_even(self, size):
        gradients = torch.zeros(1, 1, *size)
        gradients[:, :, ::2, ::2] = 1
        assert checkerboard(gradients) == 1

    def test_nothing_is_even(self):
        assert checkerboard(torch.zeros(1, 2, 8, 8)) == 1

    def test_signs_do_not_cancel(self):
        gradients = torch.zeros(1, 2, 4, 4)
        gradients[:, 0, ::2, ::2], gradients[:, 1, ::2, ::2] = 1, -1
        assert checkerboard(gradients) == pytest.approx(4)

    @pytest.mark.parametrize("size", [(4, 4), (5, 7), (6, 4), (9, 8)])
    def test_against_loops(self, size):
        gradients = torch.randn(2, 3, *size, generator=generator(5), dtype=torch.float64)
        phases = [0.0] * 4
        for n in range(2):
            for k in range(3):
                for i in range(size[0] - size[0] % 2):
                    for j in range(size[1] - size[1] % 2):
                        phases[2 * (i % 2) + j % 2] += abs(gradients[n, k, i, j].item())
        assert checkerboard(gradients) == pytest.approx(4 * max(phases) / sum(phases))

    def test_of_a_convolution_of_stride_two(self):
        features = torch.randn(1, 3, 8, 8, generator=generator(6), requires_grad=True)
        kernel = torch.randn(5, 3, 1, 1, generator=generator(7))
        for stride, expected in ((1, 1), (2, 4)):
            score = F.conv2d(features, kernel, stride=stride).sum()
            (gradients,) = torch.autograd.grad(score, features)
            assert checkerboard(gradients) == pytest.approx(expected)

    def test_the_smoothed_gradient_is_even_inside(self):
        gradients = torch.zeros(1, 1, 10, 10)
        gradients[:, :, ::2, ::2] = 1
        assert checkerboard(smooth_checkerboard(gradients)[:, :, 1:-1, 1:-1]) == pytest.approx(1)


class TestEvidence:
    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_against_loops(self, shape, kind):
        activations, gradients = tensors(shape, kind, seed=3)
        positive = total = 0.0
        for value, slope in zip(
            activations.flatten().tolist(), gradients.flatten().tolist(), strict=True
        ):
            positive += max(value * slope, 0.0)
            total += abs(value * slope)
        found = evidence(activations, gradients)
        assert found.positive_share == (pytest.approx(positive / total) if total else None)
        assert found.checkerboard == checkerboard(gradients)
        assert not found.zero_gradient

    def test_by_hand(self):
        activations = torch.tensor([[[[1.0, 2.0, -3.0, 5.0]]]])
        gradients = torch.tensor([[[[3.0, -1.0, -1.0, 0.0]]]])
        assert evidence(activations, gradients).positive_share == pytest.approx(6 / 8)

    @pytest.mark.parametrize("scale", [1e-12, 1e12])
    def test_does_not_depend_on_the_units(self, scale):
        activations, gradients = tensors((2, 5, 3, 4))
        share = evidence(activations, gradients).positive_share
        assert evidence(activations, scale * gradients).positive_share == pytest.approx(share)

    def test_for_and_against(self):
        activations = tensors((2, 5, 3, 4), "relu")[0]
        ones = torch.ones_like(activations)
        assert evidence(activations, ones).positive_share == 1
        assert evidence(activations, -ones).positive_share == 0

    def test_what_cancels_is_no_evidence(self):
        """1/2 wherever the channels are normalised next, whatever the class: that is no finding."""
        activations = torch.tensor([[[[1.0, 3.0]], [[1.0, 3.0]]]])
        gradients = torch.tensor([[[[2.0, 1.0]], [[-2.0, -1.0]]]])
        found = evidence(activations, gradients)
        assert found.positive_share is None and found.cancels and not found.zero_gradient
        gradients[0, 1] = torch.tensor([[-1.0, -4 / 3]])  # in sum, and at no place
        found = evidence(activations, gradients)
        assert found.positive_share is None and not found.cancels
        gradients[0, 1, 0, 1] = -1
        assert evidence(activations, gradients).positive_share == pytest.approx(5 / 9)

    def test_nothing_is_no_evidence(self):
        activations = torch.ones(1, 2, 4, 4)
        none = evidence(activations, torch.zeros_like(activations))
        assert (none.zero_gradient, none.positive_share, none.checkerboard) == (True, None, 1)
        assert not none.cancels
        dead = evidence(torch.zeros_like(activations), activations)
        assert (dead.zero_gradient, dead.positive_share, dead.checkerboard) == (False, None, 1)
