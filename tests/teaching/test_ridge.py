"""The head in closed form, beside a slow twin of loops; leaving one out, beside brute force."""

import math

import numpy as np
import pytest
import torch

from camviz.teaching.ridge import LAMBDA, leave_one_out, solve


def a_lesson(seed, counts, channels=7):
    """(features, kinds): each kind about a centre of its own."""
    random = np.random.default_rng(seed)
    kinds = [kind for kind, count in enumerate(counts) for _ in range(count)]
    centres = random.normal(size=(len(counts), channels))
    rows = centres[kinds] + 0.7 * random.normal(size=(len(kinds), channels)) + 3
    return torch.from_numpy(rows).float(), torch.tensor(kinds)


def slow_scores(features, kinds, count, penalty, asked):
    """By the definition, in loops and without a kernel: the C x C normal equations."""
    rows = [[float(v) for v in row] for row in features]
    n, channels = len(rows), len(rows[0])
    mean = [sum(row[c] for row in rows) / n for c in range(channels)]

    def unit(row):
        centred = [value - mean[c] for c, value in enumerate(row)]
        length = math.sqrt(sum(value * value for value in centred))
        return [value / length for value in centred]

    z = [unit(row) for row in rows]
    shares = [sum(1 for kind in kinds if int(kind) == k) / n for k in range(count)]
    left = np.zeros((channels, channels))
    right = np.zeros((channels, count))
    for row, kind in zip(z, kinds, strict=True):
        for a in range(channels):
            for b in range(channels):
                left[a, b] += row[a] * row[b]
            for k in range(count):
                right[a, k] += row[a] * ((int(kind) == k) - shares[k])
    weights = np.linalg.solve(left + penalty * np.eye(channels), right)
    return np.array(unit([float(v) for v in asked])) @ weights + shares


@pytest.mark.parametrize("counts", [(3, 3), (1, 1), (5, 2, 4)])
@pytest.mark.parametrize("penalty", [LAMBDA, 2.0])
def test_the_kernel_form_is_the_ridge_regression(counts, penalty):
    features, kinds = a_lesson(1, counts)
    found = solve(features, kinds, len(counts), penalty)
    others, _ = a_lesson(2, counts)
    for row in others:
        slow = slow_scores(features, kinds, len(counts), penalty, row)
        assert found.scores(row[None])[0].numpy() == pytest.approx(slow, abs=1e-9)


def test_scores_sum_to_one():
    features, kinds = a_lesson(3, (4, 2, 3))
    assert solve(features, kinds, 3).scores(features).sum(dim=1).numpy() == pytest.approx(1.0)


@pytest.mark.parametrize("counts", [(3, 3), (2, 5, 3), (1, 4)])
def test_leaving_one_out_is_a_new_classifier_of_the_others(counts):
    features, kinds = a_lesson(4, counts)
    found = leave_one_out(features, kinds, len(counts))
    for index, scores in enumerate(found):
        others = [i for i in range(len(kinds)) if i != index]
        if counts[int(kinds[index])] == 1:
            assert scores is None
            continue
        again = solve(features[others], kinds[others], len(counts))
        brute = again.scores(features[index : index + 1])[0]
        assert scores.numpy() == pytest.approx(brute.numpy(), abs=1e-9)


def test_far_from_the_origin_no_digits_are_lost():
    features, kinds = a_lesson(5, (3, 4))
    near, far = (leave_one_out(f.double(), kinds, 2) for f in (features, features + 1000))
    for one, other in zip(near, far, strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), abs=1e-3)


def test_a_picture_says_nothing_of_itself():
    """With its own kind's mean inside, noise would be told rightly more often than by chance."""
    random = torch.Generator().manual_seed(6)
    right = 0
    for _ in range(40):
        features = torch.randn(8, 400, generator=random)
        kinds = torch.tensor([0, 1] * 4)
        scores = leave_one_out(features, kinds, 2)
        right += sum(int(s.argmax()) == int(k) for s, k in zip(scores, kinds, strict=True))
    assert right / 320 < 0.6


def test_pictures_that_are_all_the_same_give_no_preference():
    features = torch.ones(4, 5)
    kinds = torch.tensor([0, 0, 1, 1])
    scores = solve(features, kinds, 2).scores(features)
    assert scores.numpy() == pytest.approx(0.5)
    assert all(torch.isfinite(each).all() for each in leave_one_out(features, kinds, 2))
