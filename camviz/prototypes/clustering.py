"""Spherical k-means of feature vectors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from camviz.turns import step

# A cluster of fewer vectors than this is an accident.
_FEWEST = 8
_FITS = 1 - 1e-6  # a cosine above this is 1

_RESTARTS = 4  # ten gain 0.0001 of cosine
_ITERATIONS = 100
# Above this many vectors the centres are sought on a sample; membership is always of all.
_SAMPLE = 6000


@dataclass(frozen=True, eq=False)
class Clusters:
    """Vectors by angle: `centres` (k, C), raw-scale means; `member` (n,), -1 for zero vectors."""

    centres: Tensor
    member: Tensor

    def __len__(self) -> int:
        return len(self.centres)


def cluster(
    vectors: Tensor, clusters: int, seed: int = 0, *, restarts: int = _RESTARTS
) -> Clusters:
    """K-means by cosine: each vector belongs to the centre at the smallest angle.

    vectors: (n, C), of any scale; zero vectors have no direction and belong nowhere. At most
    n // 8 clusters, at least one. k-means++ starts, all restarts at once, until no membership
    changes (100 rounds at most); an empty cluster starts again from the vector that fits worst.
    The best restart has the largest sum of cosines. The same seed gives the same bits on the same
    machine. A centre is the arithmetic mean of the raw vectors, at the classifier's own scale.
    """
    usable = vectors.norm(dim=1) > 0
    full = vectors[usable]
    count = len(full)
    member = torch.full((len(vectors),), -1)
    if count == 0:
        return Clusters(vectors[:0], member)
    wanted = min(clusters, max(1, count // _FEWEST))
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize(full, dim=1, eps=0)
    sample = unit
    if count > _SAMPLE:
        sample = unit[torch.randperm(count, generator=generator)[:_SAMPLE].sort().values]
    centres = _best_centres(sample, wanted, restarts if wanted > 1 else 1, generator)
    nearest = (unit @ centres.T).argmax(dim=1)
    used, nearest = nearest.unique(return_inverse=True)  # equal vectors leave clusters empty
    sums = torch.zeros(len(used), vectors.shape[1]).index_add_(0, nearest, full)
    sizes = torch.bincount(nearest, minlength=len(used))
    member[usable] = nearest
    return Clusters(sums / sizes.unsqueeze(1), member)


def _best_centres(unit: Tensor, count: int, restarts: int, generator: torch.Generator) -> Tensor:
    """(count, C) unit vectors: the best of several runs of Lloyd's algorithm on the sphere."""
    centres = _spread_out(unit, count, restarts, generator)
    members = torch.full((restarts, len(unit)), -1)
    quality = torch.zeros(restarts)
    running = torch.arange(restarts)
    for _ in range(_ITERATIONS):
        with step():
            cosines = (unit @ centres[running].flatten(0, 1).T).view(len(unit), len(running), count)
            fit, nearest = cosines.max(dim=2)
        quality[running] = fit.sum(dim=0)
        moved = (members[running] != nearest.T).any(dim=1)
        members[running] = nearest.T
        running = running[moved]
        if not len(running):
            break
        for place, run in zip(moved.nonzero()[:, 0].tolist(), running.tolist(), strict=True):
            sums = torch.zeros_like(centres[run]).index_add_(0, members[run], unit)
            empty = torch.bincount(members[run], minlength=count) == 0
            for index in empty.nonzero()[:, 0].tolist():
                worst = int(fit[:, place].argmin())
                if fit[worst, place] < _FITS:
                    sums[index] = unit[worst]
                    fit[worst, place] = 1
            # Opposite vectors can cancel; such a centre stays where it was.
            norms = sums.norm(dim=1, keepdim=True)
            centres[run] = torch.where(norms > 1e-6, sums / norms.clamp_min(1e-6), centres[run])
    return centres[int(quality.argmax())]


def _spread_out(unit: Tensor, count: int, restarts: int, generator: torch.Generator) -> Tensor:
    """(restarts, count, C): k-means++ starts, each far from those before it.

    Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007.
    """
    first = torch.randint(len(unit), (restarts,), generator=generator)
    chosen = [first]
    nearest = unit @ unit[first].T  # (n, restarts)
    for _ in range(count - 1):
        distance = (1 - nearest).clamp_min(0).T
        # Where all that is left coincides with a start, any will do.
        distance = torch.where(distance.sum(dim=1, keepdim=True) > 1e-6, distance, 1.0)
        pick = torch.multinomial(distance, 1, generator=generator)[:, 0]
        chosen.append(pick)
        with step():
            nearest = torch.maximum(nearest, unit @ unit[pick].T)
    return unit[torch.stack(chosen, dim=1)]
