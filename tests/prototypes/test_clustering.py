"""camviz.prototypes.clustering: planted directions are found; centres are at rest."""

import pytest
import torch

from camviz.prototypes.clustering import cluster
from tests.support.prototypes import planted
from tests.support.tensors import close, noise


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("groups", [1, 2, 5, 12])
def test_planted_directions_are_found(groups, seed):
    vectors, group = planted(40 * groups, width=20, groups=groups, seed=seed)
    found = cluster(vectors, groups, seed)
    assert len(found) == groups
    for number in range(groups):
        (label,) = found.member[group == number].unique().tolist()
        close(found.centres[label], vectors[group == number].mean(dim=0))


def test_more_restarts_are_never_worse_and_centres_are_at_rest():
    vectors = noise((600, 10), 3)

    def quality(found):
        unit = torch.nn.functional.normalize(vectors, dim=1)
        total = torch.tensor(0.0)
        for index in range(len(found)):
            total += unit[found.member == index].sum(dim=0).norm()
        return float(total)

    best = max(quality(cluster(vectors, 8, seed, restarts=1)) for seed in range(6))
    many = cluster(vectors, 8, 0, restarts=40)
    assert quality(many) >= best - 1e-3
    assert len(many) == 8 and many.member.bincount().min() >= 1


def test_scale_has_no_say_in_membership():
    vectors, _ = planted(200, groups=4)
    scaled = vectors * torch.rand(200, 1, generator=torch.Generator().manual_seed(0)).add(0.1)
    one, other = cluster(vectors, 4).member, cluster(scaled, 4).member
    # The same groups; rounding may number them otherwise.
    assert torch.equal(one[:, None] == one, other[:, None] == other)


def test_zero_vectors_belong_nowhere_and_equal_ones_together():
    vectors, _ = planted(64, groups=2)
    vectors[::4] = 0
    found = cluster(vectors, 2)
    assert (found.member[::4] == -1).all() and (found.member[1::4] >= 0).all()
    same = torch.ones(64, 3)
    found = cluster(same, 5)
    assert len(found) == 1 and torch.equal(found.centres, torch.ones(1, 3))
    nothing = cluster(torch.zeros(9, 3), 4)
    assert len(nothing) == 0 and (nothing.member == -1).all()


@pytest.mark.parametrize(("count", "clusters"), [(1, 1), (15, 1), (16, 2), (95, 11), (96, 12)])
def test_there_are_eight_vectors_to_a_cluster(count, clusters):
    assert len(cluster(noise((count, 30)), 12)) == clusters


def test_opposite_vectors_that_cancel_are_no_trouble():
    half = noise((40, 6), 2)
    found = cluster(torch.cat([half, -half]), 1)
    assert len(found) == 1 and torch.isfinite(found.centres).all()


def test_an_empty_cluster_starts_again(monkeypatch):
    """Starts that all coincide: without a fresh start, one cluster would stay the only one."""
    from camviz.prototypes import clustering

    vectors, _ = planted(120, groups=3, spread=0.01)
    monkeypatch.setattr(
        clustering,
        "_spread_out",
        lambda unit, count, restarts, generator: unit[:1].repeat(restarts, count, 1),
    )
    assert len(cluster(vectors, 3)) == 3


def test_many_vectors_are_clustered_by_a_sample():
    vectors, group = planted(15000, groups=3, width=8)
    found = cluster(vectors, 3)
    assert len(found) == 3 and int((found.member >= 0).sum()) == 15000
    for number in range(3):
        assert len(found.member[group == number].unique()) == 1
