"""Ridge regression of kinds on pooled features: the classifier in closed form, and how good it is.

    found = solve(features, kinds, 3)          # features (n, C), kinds (n,)
    found.scores(features)                     # (n, 3); the largest is the answer
    leave_one_out(features, kinds, 3)          # each picture by the classifier of all others

With Z the features less their mean, each row of unit length, and T a row for each picture with 1
in the column of its kind and 0 elsewhere,

    W = Z^T (Z Z^T + lambda I)^-1 (T - t),     scores = z W + t,

t the mean of T's rows. Everything is in double precision, on the CPU.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

LAMBDA = 0.1
TINY = 1e-12  # a row shorter than that is none


@dataclass(frozen=True, eq=False)
class Ridge:
    """A solution: mean (C,), weights (C, K) and shares (K,), the t of the formula."""

    mean: Tensor
    weights: Tensor
    shares: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """The scores of all kinds, (n, K), for features, (n, C)."""
        return _unit_rows(features.double() - self.mean) @ self.weights + self.shares


def solve(features: Tensor, kinds: Tensor, count: int, penalty: float = LAMBDA) -> Ridge:
    """The ridge regression of `count` kinds on features.

    features: (n, C). kinds: (n,), the kind of each. penalty: lambda, above 0. The system is n x n:
    there are fewer pictures than channels.
    """
    given = features.double()
    mean = given.mean(dim=0)
    rows = _unit_rows(given - mean)
    targets = _one_hot(kinds, count)
    shares = targets.mean(dim=0)
    system = rows @ rows.T + penalty * torch.eye(len(rows), dtype=torch.float64)
    weights = rows.T @ torch.linalg.solve(system, targets - shares)
    return Ridge(mean, weights, shares)


def leave_one_out(
    features: Tensor, kinds: Tensor, count: int, penalty: float = LAMBDA
) -> list[Tensor | None]:
    """For each picture the scores, (K,), by the classifier of all the others; exact.

    None for the only picture of its kind: a classifier of the others does not have that kind.
    The mean is that of the others, too, so that nothing of a picture is in its own answer. All of
    it follows from the inner products of the features, which are computed once:

        (p_a - m) . (p_b - m) = G_ab - r_a - r_b + s,   G_ab = p_a . p_b,

    r_a the mean of G_ao over the others o, and s the mean of r_o.
    """
    given = features.double()
    centred = given - given.mean(dim=0)  # any shift is the same, and this one loses no digits
    gram, targets = centred @ centred.T, _one_hot(kinds, count)
    held = torch.bincount(kinds, minlength=count)
    return [
        _without(gram, targets, index, penalty) if held[kinds[index]] > 1 else None
        for index in range(len(given))
    ]


def _without(gram: Tensor, targets: Tensor, left_out: int, penalty: float) -> Tensor:
    """The scores of one picture by the classifier of all others. gram: (n, n)."""
    others = torch.arange(len(gram)) != left_out
    to_others = gram[:, others].mean(dim=1)
    products = gram - to_others[:, None] - to_others[None, :] + to_others[others].mean()
    lengths = products.diagonal().clamp_min(TINY**2).sqrt()
    cosines = products / lengths[:, None] / lengths[None, :]
    shares = targets[others].mean(dim=0)
    among = cosines[others][:, others]
    system = among + penalty * torch.eye(len(among), dtype=torch.float64)
    return cosines[left_out, others] @ torch.linalg.solve(system, targets[others] - shares) + shares


def _unit_rows(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(TINY)


def _one_hot(kinds: Tensor, count: int) -> Tensor:
    return torch.eye(count, dtype=torch.float64)[kinds]
