"""Missing pixels filled in: against a dense system, solved without iteration."""

import numpy as np
import pytest
import torch

from camviz.maps.imputation import NOISE, impute


def dense(image, missing):
    """The same by its equations, one a missing pixel, solved by elimination."""
    channels, height, width = image.shape
    places = [(y, x) for y in range(height) for x in range(width) if missing[y, x]]
    number = {place: i for i, place in enumerate(places)}
    left, right = np.zeros((len(places), len(places))), np.zeros((len(places), channels))
    for (y, x), i in number.items():
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                row, column = y + down, x + across
                outside = not (0 <= row < height and 0 <= column < width)
                if outside or not (down or across):
                    continue
                weight = 1 / 12 if down and across else 1 / 6
                left[i, i] += weight
                if (row, column) in number:
                    left[i, number[row, column]] -= weight
                else:
                    right[i] += weight * image[:, row, column].double().numpy()
    filled = image.double().numpy().copy()
    solved = np.linalg.solve(left, right)
    for (y, x), i in number.items():
        filled[:, y, x] = solved[i]
    return filled


@pytest.fixture
def image():
    return torch.randn(3, 17, 22, generator=torch.Generator().manual_seed(0)) * 2


def masks(shape, *shares):
    draws = torch.rand(*shape, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.avg_pool2d(draws[None], 5, 1, 2)[0]
    order = smooth.flatten().argsort().argsort().reshape(shape)
    return torch.stack([order < share * order.numel() for share in shares])


def test_it_solves_the_equations(image):
    missing = masks(image.shape[1:], 0.05, 0.4, 0.8, 0.97)
    filled = impute(image[None], missing, noise=0)
    for each, mask in zip(filled, missing, strict=True):
        wanted = dense(image, mask)
        assert abs(each.numpy() - wanted).max() < NOISE / 2
        assert abs(each.numpy() - wanted).mean() < NOISE / 10


def test_one_known_pixel_is_everywhere(image):
    missing = torch.ones(1, 17, 22, dtype=torch.bool)
    missing[0, 3, 4] = False
    filled = impute(image, missing, noise=0)
    assert torch.allclose(filled, image[:, 3, 4][None, :, None, None].expand_as(filled), atol=1e-3)


def test_what_is_known_stays_and_what_is_missing_has_noise(image):
    missing = masks(image.shape[1:], 0.5, 0.0)
    plain, noisy = impute(image, missing, noise=0), impute(image, missing)
    for result in (plain, noisy):
        assert torch.equal(result[0][:, ~missing[0]], image[:, ~missing[0]])
        assert torch.equal(result[1], image)
    added = (noisy - plain)[0][:, missing[0]]
    assert float(added.std()) == pytest.approx(NOISE, rel=0.15)
    assert torch.equal(noisy, impute(image, missing)), "the same at every run"
    assert not torch.equal(noisy, impute(image, missing, seed=1))


def test_a_pause_between_iterations_changes_nothing():
    image, missing = torch.rand(3, 24, 24), torch.zeros(1, 24, 24, dtype=torch.bool)
    missing[:, 6:18] = True
    pauses = []
    filled = impute(image, missing, pause=lambda: pauses.append(1))
    assert len(pauses) > 3 and torch.equal(filled, impute(image, missing))


def test_a_linear_slope_is_continued_within():
    """Harmonic: a plane is the mean of its neighbours, so it is filled in as it was."""
    plane = torch.arange(12.0)[None, :, None] + 2 * torch.arange(15.0)[None, None, :]
    missing = torch.zeros(1, 12, 15, dtype=torch.bool)
    missing[0, 3:8, 4:11] = True
    assert torch.allclose(impute(plane, missing, noise=0)[0], plane, atol=5e-3)


def test_masks_that_do_not_fit_are_refused(image):
    with pytest.raises(ValueError, match="no pixel is known"):
        impute(image, torch.ones(2, 17, 22, dtype=torch.bool))
    with pytest.raises(ValueError, match="bool, one"):
        impute(image, torch.zeros(1, 17, 22))
    with pytest.raises(ValueError, match="bool, one"):
        impute(image, torch.zeros(1, 17, 21, dtype=torch.bool))
