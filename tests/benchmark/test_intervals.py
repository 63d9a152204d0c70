"""Intervals: weights against pictures drawn by hand, and whether they hold what they should."""

import numpy as np
import pytest

from camviz.benchmark.intervals import Resampled


def test_the_first_row_is_the_set_itself_and_every_row_draws_as_many():
    resampled = Resampled.draw(12, resamples=50)
    assert resampled.weights.shape == (51, 12)
    assert (resampled.weights[0] == 1).all()
    assert (resampled.weights.sum(axis=1) == 12).all()
    assert (Resampled.draw(12).weights == Resampled.draw(12).weights).all()


def test_things_of_a_picture_are_drawn_together():
    resampled = Resampled.draw(5)
    weights = resampled.of(np.array([0, 0, 3]))
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == resampled.weights[:, 3]).all()


def test_a_mean_against_pictures_drawn_one_by_one():
    values = np.random.default_rng(0).normal(2, 1, 40)
    value, low, high = Resampled.draw(40).mean(values)
    random = np.random.default_rng(5)
    means = [random.choice(values, 40).mean() for _ in range(4000)]
    assert value == pytest.approx(values.mean())
    assert low == pytest.approx(np.percentile(means, 2.5), abs=0.05)
    assert high == pytest.approx(np.percentile(means, 97.5), abs=0.05)


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says():
    random = np.random.default_rng(3)
    resampled = Resampled.draw(60, resamples=300)
    held = [low <= 1 <= high for _, low, high in
            (resampled.mean(random.exponential(1, 60)) for _ in range(200))]  # fmt: skip
    assert 0.86 < np.mean(held) < 0.99


def test_what_is_no_number_has_no_interval():
    assert np.isnan(Resampled.draw(3).interval(np.full(1001, np.nan))).all()
    values = np.ones(1001)
    values[5:9] = np.nan  # resamples in which the figure is not defined
    assert Resampled.draw(3).interval(values) == (1.0, 1.0, 1.0)
