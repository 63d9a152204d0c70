"""The table of metrics, all of them for one map, and maps that know nothing of the picture."""

import numpy as np
import pytest
import torch

from camviz.maps import faithfulness
from camviz.maps.baselines import centred_gaussian, random_map
from camviz.maps.metrics import METRICS, measure, passes_of

SIDES = (12, 12)


@pytest.fixture
def case():
    seeded = torch.Generator().manual_seed(0)
    heat, again = (torch.rand(*SIDES, generator=seeded) for _ in range(2))
    image = torch.randn(1, 3, *SIDES, generator=seeded)
    weights = torch.randn(2, 3, *SIDES, generator=seeded)
    scored = []

    def score(pictures):
        scored.append(len(pictures))
        return torch.einsum("bchw,kchw->bk", pictures, weights).div(20).softmax(dim=1)

    return heat, again, image, score, scored


def test_all_metrics_are_those_of_their_functions(case):
    heat, again, image, score, _ = case
    found = measure(heat, image, score, 1, again=again)
    assert list(found.figures) == list(METRICS)
    shown = faithfulness.confidence(heat, image, score, 1)
    coherency, complexity = faithfulness.coherency(heat, again), faithfulness.complexity(heat)
    assert found.figures == pytest.approx(
        {
            "deletion": faithfulness.deletion(heat, image, score, 1).area,
            "insertion": faithfulness.insertion(heat, image, score, 1).area,
            "average_drop": shown.drop,
            "increase": float(shown.rises),
            "complexity": complexity,
            "coherency": coherency,
            "adcc": faithfulness.adcc(coherency, complexity, shown.drop),
            "road": faithfulness.road(heat, image, score, 1).score,
        }
    )
    assert set(found.curves) == {"deletion", "insertion", "hottest", "coldest"}
    assert np.array_equal(
        found.curves["hottest"].scores, faithfulness.road(heat, image, score, 1).hottest.scores
    )
    for name, figure in found.figures.items():
        assert METRICS[name].range[0] <= figure <= METRICS[name].range[1]


@pytest.mark.parametrize("names", [*((name,) for name in METRICS), tuple(METRICS)])
def test_so_many_pictures_are_scored_as_was_said(case, names):
    heat, again, image, score, scored = case
    told = []
    found = measure(
        heat, image, score, 0, metrics=names, steps=5, again=again,
        progress=lambda done, of: told.append((done, of)),
    )  # fmt: skip
    assert sum(scored) == passes_of(names, 5)
    assert tuple(found.figures) == names
    assert all(of == passes_of(names, 5) for _, of in told)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_coherency_asks_for_the_other_map(case):
    heat, _, image, score, _ = case
    with pytest.raises(ValueError, match="again"):
        measure(heat, image, score, 0)
    assert "coherency" not in measure(heat, image, score, 0, metrics=["road"]).figures


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (7, 7), (14, 20), (56, 56)])
def test_maps_that_know_nothing(grid):
    for heat in (random_map(grid), centred_gaussian(grid)):
        assert heat.shape == grid
        assert float(heat.max()) == pytest.approx(1) and float(heat.min()) >= 0
    assert torch.equal(random_map(grid, seed=3), random_map(grid, seed=3))


def test_a_random_map_is_smooth_and_follows_from_its_seed():
    heat = random_map((28, 28))
    assert not torch.equal(heat, random_map((28, 28), seed=1))
    assert float((heat[1:] - heat[:-1]).abs().mean()) < 0.05 < float(heat.std())
    assert 0.3 < float((heat > 0).float().mean()) < 0.7


def test_a_centred_gaussian_is_by_its_formula():
    heat = centred_gaussian((9, 13))
    for y in range(9):
        for x in range(13):
            wanted = np.exp(-0.5 * (((y - 4) / (9 / 4)) ** 2 + ((x - 6) / (13 / 4)) ** 2))
            assert float(heat[y, x]) == pytest.approx(wanted, rel=1e-5)
