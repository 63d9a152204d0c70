"""Metrics of faithfulness: each against a second, slow implementation, and their identities."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from camviz.maps import faithfulness as metrics
from camviz.maps.faithfulness import Confidence, Curve
from camviz.maps.imputation import impute

SIDES = (10, 12)
CLASSES = 3


@pytest.fixture
def image():
    return torch.randn(1, 3, *SIDES, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def heat():
    return torch.rand(*SIDES, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def score_fn():
    """Probabilities of three classes, which depend on every pixel, each in its own way."""
    weights = torch.randn(CLASSES, 3, *SIDES, generator=torch.Generator().manual_seed(3))

    def score(pictures):
        assert len(pictures) <= 8, "memory is bounded"
        return torch.einsum("bchw,kchw->bk", pictures, weights).div(10).softmax(dim=1)

    return score


def slow_order(heat):
    """(row, column) of every pixel, the hottest first, in reading order where they are equal."""
    places = [(y, x) for y in range(heat.shape[0]) for x in range(heat.shape[1])]
    return sorted(places, key=lambda place: -float(heat[place]))


def slow_curve(heat, before, after, score_fn, target, steps):
    """One picture after the other, pixel by pixel."""
    order, picture, scores, shares, changed = slow_order(heat), before.clone(), [], [], 0
    for step in range(steps + 1):
        wanted = round(step * len(order) / steps)
        for y, x in order[changed:wanted]:
            for channel in range(picture.shape[1]):
                picture[0, channel, y, x] = after[0, channel, y, x]
        changed = wanted
        scores.append(float(score_fn(picture)[0, target]))
        shares.append(wanted / len(order))
    return shares, scores


def slow_blur(image):
    """RISE's blur by its definition: scipy's gaussian_filter of one pixel, as loops, then a sum."""
    channels, height, width = image.shape[1:]

    def kernel(side):
        radius, deviation = max(1, round(side * 5 / 224)), side * 5 / 224
        places = 2 * radius + 1
        found = [0.0] * places
        for distance in range(-int(4 * deviation + 0.5), int(4 * deviation + 0.5) + 1):
            place = radius + distance
            while not 0 <= place < places:  # (d c b a | a b c d | d c b a), scipy's "reflect"
                place = -1 - place if place < 0 else 2 * places - 1 - place
            found[place] += math.exp(-0.5 * (distance / deviation) ** 2)
        return radius, [value / sum(found) for value in found]

    (up, down), (left, across) = kernel(height), kernel(width)
    out = torch.zeros_like(image)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                for i, one in enumerate(down):
                    for j, other in enumerate(across):
                        row, column = y + i - up, x + j - left
                        if 0 <= row < height and 0 <= column < width:
                            out[0, c, y, x] += one * other * image[0, c, row, column]
    return out


# --- insertion and deletion ---


@pytest.mark.parametrize("steps", [1, 7, 28, 120])
def test_deletion_is_its_slow_twin(heat, image, score_fn, steps):
    curve = metrics.deletion(heat, image, score_fn, 1, steps=steps)
    shares, scores = slow_curve(heat, image, torch.zeros_like(image), score_fn, 1, steps)
    assert np.allclose(curve.shares, shares) and np.allclose(curve.scores, scores, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 28])
def test_insertion_is_its_slow_twin(heat, image, score_fn, steps):
    curve = metrics.insertion(heat, image, score_fn, 2, steps=steps)
    shares, scores = slow_curve(heat, slow_blur(image), image, score_fn, 2, steps)
    assert np.allclose(curve.shares, shares) and np.allclose(curve.scores, scores, atol=1e-5)


@pytest.mark.sampled
@pytest.mark.parametrize("sides", [(10, 12), (64, 50)])
def test_the_blur_is_rises(sides):
    image = torch.randn(1, 2, *sides, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(metrics.blurred(image), slow_blur(image), atol=1e-5)


def test_at_224_pixels_the_kernel_has_rises_eleven():
    kernel = metrics._folded_gaussian(5, 5.0)
    assert len(kernel) == 11 and float(kernel.sum()) == pytest.approx(1)
    # scipy.ndimage.gaussian_filter(unit impulse of 11, 5)[5:], computed once
    wanted = [0.09398206, 0.09348939, 0.09219112, 0.0904742, 0.08889612, 0.08795815]
    assert kernel[5:].tolist() == pytest.approx(wanted, abs=1e-7)


def test_curves_begin_and_end_where_they_must(heat, image, score_fn):
    whole, nothing, soft = (
        float(score_fn(each)[0, 0]) for each in (image, image * 0, metrics.blurred(image))
    )
    gone = metrics.deletion(heat, image, score_fn, 0).scores
    came = metrics.insertion(heat, image, score_fn, 0).scores
    assert (gone[0], gone[-1]) == pytest.approx((whole, nothing))
    assert (came[0], came[-1]) == pytest.approx((soft, whole))


def test_only_the_order_of_the_pixels_counts(heat, image, score_fn):
    for metric in (metrics.deletion, metrics.insertion):
        one, other = (metric(each, image, score_fn, 0) for each in (heat, heat**3 / 2))
        assert np.array_equal(one.scores, other.scores)
    one, other = (metrics.road(each, image, score_fn, 0) for each in (heat, heat**3 / 2))
    assert np.array_equal(one.hottest.scores, other.hottest.scores)
    assert np.array_equal(one.coldest.scores, other.coldest.scores)


def test_a_flat_map_is_read_line_by_line(image, score_fn):
    flat = torch.ones(SIDES)
    assert torch.equal(metrics.ranks(flat).flatten(), torch.arange(flat.numel()))
    wanted = slow_curve(flat, image, image * 0, score_fn, 0, 5)[1]
    assert metrics.deletion(flat, image, score_fn, 0, steps=5).scores == pytest.approx(wanted)


def test_the_area_is_rises(heat, image, score_fn):
    curve = metrics.deletion(heat, image, score_fn, 0, steps=12)
    p = curve.scores  # RISE's evaluation.py: auc(arr)
    assert curve.area == pytest.approx((p.sum() - p[0] / 2 - p[-1] / 2) / (len(p) - 1))
    uneven = Curve(np.array([0.2, 0.3, 0.8]), np.array([1.0, 0.0, 0.5]))
    assert uneven.area == pytest.approx((0.1 * 0.5 + 0.5 * 0.25) / 0.6)


@pytest.mark.parametrize("steps", [1, 7, 28])
def test_the_step_of_each_pixel_is_that_of_the_curve(heat, image, score_fn, steps):
    curve = metrics.deletion(heat, image, score_fn, 0, steps=steps)
    step = metrics.steps_of(heat, steps)
    assert int(step.min()) == 1 and int(step.max()) == steps
    for number in range(steps + 1):
        picture = torch.where(step <= number, 0, image)
        assert float(score_fn(picture)[0, 0]) == pytest.approx(curve.scores[number], abs=1e-6)


# --- the picture through its map ---


def test_drop_and_increase(heat, image, score_fn):
    found = metrics.confidence(heat, image, score_fn, 1)
    seen = image.clone()
    for y in range(SIDES[0]):
        for x in range(SIDES[1]):
            seen[0, :, y, x] *= heat[y, x]
    y, o = float(score_fn(image)[0, 1]), float(score_fn(seen)[0, 1])
    assert (found.whole, found.through) == pytest.approx((y, o))
    assert found.drop == pytest.approx(max(0, y - o) / y) and found.rises == (y < o)


def test_drop_is_a_share_of_the_score_and_never_negative():
    assert Confidence(0.8, 0.2).drop == pytest.approx(0.75)
    assert Confidence(0.2, 0.8).drop == 0 and Confidence(0.2, 0.8).rises
    assert not Confidence(0.5, 0.5).rises
    assert Confidence(0.0, 0.0).drop == 0


def test_a_map_that_is_one_everywhere_loses_nothing(image, score_fn):
    ones = torch.ones(SIDES)
    found = metrics.confidence(ones, image, score_fn, 0)
    assert found.drop == 0 and not found.rises
    assert metrics.complexity(ones) == 1
    assert metrics.adcc(1.0, 1.0, found.drop) == 0


def test_an_empty_map_shows_nothing(image, score_fn):
    nothing = torch.zeros(SIDES)
    found = metrics.confidence(nothing, image, score_fn, 0)
    y, o = float(score_fn(image)[0, 0]), float(score_fn(image * 0)[0, 0])
    assert found.drop == pytest.approx(max(0, y - o) / y, rel=1e-4)
    assert metrics.complexity(nothing) == 0
    assert metrics.coherency(nothing, torch.rand(SIDES)) == 0
    assert metrics.adcc(0.0, 0.0, found.drop) == 0


def test_complexity_is_the_mean(heat):
    assert metrics.complexity(heat) == pytest.approx(sum(map(float, heat.flatten())) / heat.numel())


def test_coherency_is_pearsons_correlation(heat):
    other = torch.rand(*SIDES, generator=torch.Generator().manual_seed(9))
    a, b = heat.double().flatten().tolist(), other.double().flatten().tolist()
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    over = sum((u - mean_a) * (v - mean_b) for u, v in zip(a, b, strict=True))
    below = math.sqrt(sum((u - mean_a) ** 2 for u in a) * sum((v - mean_b) ** 2 for v in b))
    assert metrics.coherency(heat, other) == pytest.approx((1 + over / below) / 2)
    assert metrics.coherency(heat, heat) == pytest.approx(1)
    assert metrics.coherency(heat, 1 - heat) == pytest.approx(0, abs=1e-9)
    assert metrics.coherency(heat, 0.2 * heat + 0.3) == pytest.approx(1)
    assert metrics.coherency(heat, torch.full(SIDES, 0.3)) == 0


def test_adcc_is_the_harmonic_mean():
    assert metrics.adcc(0.9, 0.25, 0.4) == pytest.approx(3 / (1 / 0.9 + 1 / 0.75 + 1 / 0.6))
    assert metrics.adcc(0.7, 0.3, 0.3) == pytest.approx(0.7)
    assert metrics.adcc(0.9, 0.25, 1.0) == metrics.adcc(0.0, 0.25, 0.4) == 0


# --- ROAD ---


def test_road_fills_in_each_picture_within_a_turn(heat, image, score_fn):
    turns = []

    @contextmanager
    def turn():
        turns.append("begun")
        yield
        turns.append("over")

    found = metrics.road(heat, image, score_fn, 1, turn=turn)
    assert turns == ["begun", "over"] * 2 * len(metrics.ROAD_SHARES)
    assert np.array_equal(
        found.hottest.scores, metrics.road(heat, image, score_fn, 1).hottest.scores
    )


def test_road_takes_out_exactly_so_many_pixels(heat, image, score_fn):
    sparse = torch.where(heat > 0.7, heat, 0)  # most are equal: a percentile would take them all
    found = metrics.road(sparse, image, score_fn, 1, shares=(0.25, 0.5), seed=5)
    order = slow_order(sparse)
    for at, share in enumerate((0.25, 0.5)):
        count = round(share * len(order))
        for curve, gone in ((found.hottest, order[:count]), (found.coldest, order[-count:])):
            missing = torch.zeros(1, *SIDES, dtype=torch.bool)
            for y, x in gone:
                missing[0, y, x] = True
            assert int(missing.sum()) == count
            score = float(score_fn(impute(image, missing, seed=5))[0, 1])
            assert curve.scores[at] == pytest.approx(score, abs=1e-5)
            assert curve.shares[at] == pytest.approx(count / len(order))


def test_roads_figure_is_half_the_mean_difference(heat, image, score_fn):
    found = metrics.road(heat, image, score_fn, 0)
    pairs = zip(found.hottest.scores, found.coldest.scores, strict=True)
    assert found.score == pytest.approx(sum(cold - hot for hot, cold in pairs) / 4 / 2)
    assert len(found.hottest.scores) == 4
    other = metrics.road(1 - heat, image, score_fn, 0)
    assert other.score == pytest.approx(-found.score, abs=1e-4), "the opposite map"


def test_the_map_of_what_counts_is_better_than_its_opposite():
    """One pixel decides: the map that has it first is the best by all metrics of order."""
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, 4, 5] = 4.0

    def score(pictures):
        p = pictures[:, 0, 4, 5].sub(2).mul(3).sigmoid()
        return torch.stack([p, 1 - p], dim=1)

    good = image[0, 0] / 4
    for other in (1 - good, torch.zeros(16, 16)):
        assert metrics.deletion(good, image, score, 0).area < 0.05
        better, worse = (metrics.deletion(each, image, score, 0).area for each in (good, other))
        assert better < worse
        better, worse = (metrics.insertion(each, image, score, 0).area for each in (good, other))
        assert better > worse > 0
        assert metrics.road(good, image, score, 0).score == pytest.approx(0.5, abs=0.01)


# --- work that is long ---


def test_progress_is_told_before_each_chunk_and_can_end_it(heat, image, score_fn):
    calls = []
    metrics.deletion(
        heat, image, score_fn, 0, steps=20, progress=lambda done, of: calls.append((done, of))
    )
    assert calls == [(0, 21), (8, 21), (16, 21)]

    class Stop(Exception):
        pass

    def stop(done, of):
        if done:
            raise Stop

    with pytest.raises(Stop):
        metrics.insertion(heat, image, score_fn, 0, progress=stop)


def test_nothing_is_changed_in_place(heat, image, score_fn):
    before = heat.clone(), image.clone()
    metrics.deletion(heat, image, score_fn, 0)
    metrics.insertion(heat, image, score_fn, 0)
    metrics.road(heat, image, score_fn, 0)
    metrics.confidence(heat, image, score_fn, 0)
    assert torch.equal(heat, before[0]) and torch.equal(image, before[1])


# --- what is refused ---


def test_maps_of_another_size_and_without_numbers_are_refused(heat, image, score_fn):
    for metric in (metrics.deletion, metrics.insertion, metrics.road, metrics.confidence):
        with pytest.raises(ValueError, match="does not fit"):
            metric(heat[1:], image, score_fn, 0)
        with pytest.raises(ValueError, match="not finite"):
            metric(heat / 0, image, score_fn, 0)
    with pytest.raises(ValueError, match="from 1 to the 120 pixels"):
        metrics.deletion(heat, image, score_fn, 0, steps=0)
    with pytest.raises(ValueError, match="from 1 to the 120 pixels"):
        metrics.deletion(heat, image, score_fn, 0, steps=121)
    for shares in ((), (0.0, 0.5), (0.5, 1.0), (0.5, 0.2)):
        with pytest.raises(ValueError, match="shares"):
            metrics.road(heat, image, score_fn, 0, shares=shares)
    with pytest.raises(ValueError, match="maps are"):
        metrics.coherency(heat, heat[1:])
