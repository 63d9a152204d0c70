"""The maps of all classes of a network for one picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from camviz.maps.fusion import Placement
from camviz.network.settings import OutputKind


@dataclass(frozen=True, eq=False)
class EveryClass:
    """CAM of every class of a network, at the map that enters its classifier.

    `raw`: float32 (classes, h, w), before any ReLU; the mean of a map is the class's logit without
    its bias. `placement`: where the cells look. `kind`: "linear" where CAM is exact, "normalised"
    where the statistics of a norm are held as they are for this picture. `logits`, `labels` and
    `output`: of the network for the same picture, in the order of its classes.
    """

    raw: np.ndarray = field(repr=False)
    placement: Placement
    kind: Literal["linear", "normalised"]
    logits: np.ndarray = field(repr=False)
    labels: Sequence[str] = field(repr=False)
    output: OutputKind
