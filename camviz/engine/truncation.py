"""Whether the gradient is truncated, chosen for one picture and class without knowing the truth.

At a quantile of .9 truncation takes the noise of shallow maps away, where there is noise; where
their weak gradient is evidence, too, it takes that away (docs/figures.md). What tells the two apart
is the deepest map, which is coarse and free of that noise: a shallow map that has lost noise agrees
with it as before, one that has lost evidence agrees less. Chosen on drawn scenes and mosaics of
photographs of one seed, reported on another (`python -m benchmarks.truncation`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from camviz.engine.stage_map import MapInputs, StageMap, compute_stage_map
from camviz.maps.fusion import Placement, normalize, resample
from camviz.network.stages import Stage
from camviz.network.taps import Tap

LEVEL = 0.9  # the quantile of the noise, where it is truncated
# The correlation with the deepest map that a shallow one may lose at most.
MOST_LOST = 0.07

Reason = Literal["agrees", "disagrees", "cancels", "nothing", "mode"]


@dataclass(frozen=True)
class TruncationChoice:
    """What "auto" chose. `level`: the quantile, 0 for none.

    `agreement`: of each stage the correlation of its map with the deepest one, before and after
    truncation at `LEVEL`. `reason`: "agrees" and "disagrees" say whether that held up; "cancels":
    the channels are normalised next, so that the negative gradient, of which the noise is read,
    mirrors the positive one whatever the class; "nothing": there is no shallow stage, or none with
    a map; "mode": the rule is for small gradients that are set to 0, and for no other mode.
    """

    level: float
    reason: Reason
    agreement: Mapping[str, tuple[float, float]]

    @property
    def worst(self) -> tuple[str, tuple[float, float]]:
        """The stage whose map would lose most of its agreement, and its two correlations."""
        return max(self.agreement.items(), key=lambda item: item[1][0] - item[1][1])


def choose_truncation(
    last: Stage,
    taps: Mapping[str, Tap],
    inputs: MapInputs,
    maps: Mapping[str, StageMap],
    placements: Mapping[Tap, Placement],
) -> TruncationChoice:
    """Whether these maps, which are truncated, should be.

    last: the deepest stage. maps: by stage; taps: of those stages; placements: of the taps of all.
    """
    request = inputs.request
    if request.truncation_mode != "threshold":
        return TruncationChoice(LEVEL, "mode", {})
    tap = last.tap(request.tap)
    plain = replace(inputs, request=replace(request, truncated=()))
    deepest = torch.from_numpy(compute_stage_map(last, tap, plain).raw)
    shallow = {
        name: (torch.from_numpy(each.plain), torch.from_numpy(each.raw), placements[taps[name]])
        for name, each in maps.items()
        if each.plain is not None
    }
    return choose_level(
        (deepest, placements[tap]), shallow, cancels=lambda name: maps[name].notes.cancels
    )


def choose_level(
    deepest: tuple[Tensor, Placement],
    shallow: Mapping[str, tuple[Tensor, Tensor, Placement]],
    *,
    cancels: Callable[[str], bool],
) -> TruncationChoice:
    """`LEVEL`, unless a shallow map would lose more than `MOST_LOST` of its agreement.

    deepest: the raw map of the deepest stage, (h, w), and where its cells look. shallow: by stage
    its raw map without and with truncation at `LEVEL`. cancels: whether for and against are equal
    at every place of a stage.
    """
    agreement = {}
    if any(cancels(name) for name in shallow):
        return TruncationChoice(0.0, "cancels", {})
    for name, (plain, truncated, placement) in shallow.items():
        before, after = (
            _correlation(normalize(heat), placement, *deepest) for heat in (plain, truncated)
        )
        if before is not None:
            agreement[name] = (before, after if after is not None else 0.0)
    if not agreement:
        return TruncationChoice(0.0, "nothing", {})
    choice = TruncationChoice(LEVEL, "agrees", agreement)
    before, after = choice.worst[1]
    if before - after > MOST_LOST:
        return TruncationChoice(0.0, "disagrees", agreement)
    return choice


def _correlation(heat: Tensor, placement: Placement, deep: Tensor, onto: Placement) -> float | None:
    """Pearson's correlation of a map with the deepest one, on its own grid; None if one is flat."""
    rows, columns = (placement.centres(axis, heat.shape[axis]) for axis in (0, 1))
    pair = torch.stack([heat, resample(normalize(deep), onto, rows, columns)]).flatten(1).double()
    centred = pair - pair.mean(dim=1, keepdim=True)
    lengths = centred.norm(dim=1)
    if bool((lengths <= 1e-9 * pair.shape[1] ** 0.5).any()):
        return None
    return float(centred[0] @ centred[1] / lengths.prod())
