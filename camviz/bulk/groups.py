"""The maps of one class, sorted by likeness: how a network's shortcuts are found.

    for group in group_maps(found.maps[places], groups=4):
        group.members, group.mean, group.likeness

Things stand now here and now there, and maps of them differ. What a picture was made with stays
where it is (a photographer's mark, a date, a rail along the lower edge), and maps of it are alike:
a group of very similar maps is worth a look. Lapuschkin et al., "Unmasking Clever Hans Predictors
and Assessing What Machines Really Learn", Nature Communications 2019, find shortcuts in clusters of
maps so.
"""

from dataclasses import dataclass

import numpy as np
import torch

from camviz.prototypes.clustering import cluster

GROUPS = 4
MOST_GROUPS = 8
LEAST = 16  # maps, below which there is nothing to group


@dataclass(frozen=True, eq=False)
class Group:
    """Maps that are alike. members: their numbers, the most typical first. mean: float32 (h, w).

    likeness: the mean cosine of its members to `mean`: 1 if all of them are the same.
    """

    members: np.ndarray
    mean: np.ndarray
    likeness: float


def group_maps(maps: np.ndarray, groups: int = GROUPS, seed: int = 0) -> list[Group]:
    """Groups of maps, (N, h, w) of at least 0, by k-means of their cosines; the most alike first.

    Empty maps belong to no group. There are at most N // 8 groups, and at least one.
    """
    flat = torch.from_numpy(np.ascontiguousarray(maps, np.float32)).flatten(1)
    found = cluster(flat, groups, seed)
    unit = torch.nn.functional.normalize(flat, dim=1)
    made = []
    for number, centre in enumerate(found.centres):
        members = (found.member == number).nonzero()[:, 0]
        cosines = unit[members] @ torch.nn.functional.normalize(centre, dim=0)
        order = members[cosines.argsort(descending=True, stable=True)]
        mean = centre.view(maps.shape[1:]).numpy()
        made.append(Group(order.numpy(), mean, float(cosines.mean())))
    return sorted(made, key=lambda group: -group.likeness)
