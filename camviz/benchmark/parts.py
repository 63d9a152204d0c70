"""Parts as truth: does a map rank the parts of a thing as the network needs them?

A scene is drawn again without each part of its thing, and the drop of the class's logit is
measured: an intervention on the scene itself, so that no unnatural picture comes of it. The heat on
each part is read off the map, and both are compared by their ranks.

    rho = Spearman(sum of M over part p, f_c(scene) - f_c(scene without p))    over the parts p

A large part has more heat on any map, and often counts for more; so three maps that know nothing of
the network are measured beside: noise on 7 x 7 cells, a Gaussian at the centre, and an even one,
whose heat on a part is its size. By the mean heat on a part instead of the sum, the even map ranks
nothing.

Interventions on parts as the truth of explanations: Hesse et al., "FunnyBirds", ICCV 2023.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from camviz.benchmark.datasets import Scenes
from camviz.benchmark.intervals import Resampled
from camviz.benchmark.records import Record
from camviz.benchmark.rows import (
    CENTRE,
    NOISE,
    Maps,
    Row,
    find_target,
    noise_map,
    rows_of,
)
from camviz.engine.engine import Engine
from camviz.errors import DataError
from camviz.images import open_picture
from camviz.maps.baselines import centred_gaussian
from camviz.maps.ranks import rank_correlation
from camviz.network.backbone import Backbone
from camviz.scenes import HELD_OUT_BACKGROUNDS, SCENE_CLASSES, Scene, draw_scene

EVEN = "even map"
LEAST_PARTS = 3  # two can only be ranked right or wrong
LEAST_PIXELS = 12  # that must be seen of a part
_NOISE_MAPS = 8  # whose correlations are averaged


@dataclass(frozen=True)
class PartScenes:
    """Drawn scenes of one thing of at least three visible parts, each drawn without them too."""

    count: int
    seed: int

    def __post_init__(self) -> None:
        Scenes(self.count, self.seed)  # which checks both

    @property
    def name(self) -> str:
        return "parts"

    @property
    def identity(self) -> str:
        return f"seed {self.seed}"

    @property
    def names(self) -> Sequence[str]:
        return [f"scene {self.seed}:{index}" for index in range(self.count)]

    def scene(self, index: int) -> Scene:
        """The scene; its class is the next in turn that has parts enough."""
        options: dict[str, Any] = {"two_objects": 0.0, "backgrounds": HELD_OUT_BACKGROUNDS}
        scene = draw_scene(self.seed, index, **options)
        first = SCENE_CLASSES.index(scene.labels[0])
        for step in range(1, len(SCENE_CLASSES)):
            if len(visible_parts(scene)) >= LEAST_PARTS:
                return scene
            label = SCENE_CLASSES[(first + step) % len(SCENE_CLASSES)]
            scene = draw_scene(self.seed, index, label=label, **options)
        raise DataError(f"{self.names[index]}: no class shows {LEAST_PARTS} parts there")

    def without(self, index: int, scene: Scene, part: str) -> Scene:
        """The same scene without a part of its thing."""
        label = scene.labels[0]
        return draw_scene(
            self.seed,
            index,
            label=label,
            two_objects=0.0,
            backgrounds=HELD_OUT_BACKGROUNDS,
            without={label: [part]},
        )


def visible_parts(scene: Scene) -> dict[str, np.ndarray]:
    """The parts of the only thing of a scene, of which enough is seen."""
    parts = scene.objects[0].parts
    return {name: mask for name, mask in parts.items() if np.count_nonzero(mask) >= LEAST_PIXELS}


def measured_drops(
    engine: Engine, backbone: Backbone, data: PartScenes, index: int, scene: Scene, target: int
) -> np.ndarray:
    """f_c(scene) - f_c(scene without p) of every visible part, by drawing each scene: (parts,)."""
    others = [data.without(index, scene, part).image for part in visible_parts(scene)]
    logits = engine.logits([scene.image, *others], backbone)[:, target].astype(np.float64)
    return logits[0] - logits[1:]


def correlations(
    heat: np.ndarray, parts: Mapping[str, np.ndarray], drops: np.ndarray
) -> tuple[float, float]:
    """Rank correlation with the drops of a map's heat on each part: of its sum, and of its mean."""
    sums = [float(heat[mask].sum(dtype=np.float64)) for mask in parts.values()]
    sizes = [np.count_nonzero(mask) for mask in parts.values()]
    means = [total / size for total, size in zip(sums, sizes, strict=True)]
    found = (rank_correlation(sums, drops), rank_correlation(np.round(means, 9), drops))
    return found[0] or 0.0, found[1] or 0.0  # what is the same everywhere ranks nothing


@dataclass(frozen=True)
class Parts:
    """What `camviz benchmark --data parts` measures of every scene."""

    data: PartScenes
    kind: ClassVar[str] = "parts"

    @property
    def configuration(self) -> dict[str, Any]:
        return {}

    def measure(self, maps: Maps, index: int) -> Callable[[], Record]:
        """Run the network on a scene, whole and without each part."""
        scene = self.data.scene(index)
        parts = visible_parts(scene)
        target = find_target(maps.backbone, scene.labels[0], {})
        drops = measured_drops(maps.engine, maps.backbone, self.data, index, scene, target)
        found = {
            row: correlations(x.heat(name), parts, drops)
            for setting, x in maps.explain(open_picture(scene.image), target)
            for row, name in rows_of(setting, x).items()
        }
        found |= baseline_correlations(parts, drops, index)
        values = {"correlation": np.array(list(found.values())), "drops": drops}
        return partial(Record, tuple(map(str, found)), tuple(parts), values)


def baseline_correlations(
    parts: Mapping[str, np.ndarray], drops: np.ndarray, index: int
) -> dict[Row, tuple[float, float]]:
    """The correlations of maps that read no network; that of noise is a mean of several."""
    height, width = next(iter(parts.values())).shape
    drawn = [
        correlations(noise_map(height, width, (index, number)), parts, drops)
        for number in range(_NOISE_MAPS)
    ]
    sums, means = np.mean(drawn, axis=0)
    return {
        Row(NOISE, "", ""): (float(sums), float(means)),
        Row(CENTRE, "", ""): correlations(centred_gaussian((height, width)).numpy(), parts, drops),
        Row(EVEN, "", ""): correlations(np.ones((height, width), np.float32), parts, drops),
    }


Interval = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Agreement:
    """A map's mean rank correlation, and how far it is above that of maps that read no network."""

    rho: Interval
    above: Mapping[str, Interval]

    @property
    def passes(self) -> bool:
        """Whether it is clearly above 0, above noise and above a centred Gaussian."""
        return self.rho[1] > 0 and all(self.above[name][1] > 0 for name in (NOISE, CENTRE))


@dataclass(frozen=True)
class PartsResult:
    """One row of the table. sums, means: by the sum and by the mean of the heat on a part."""

    sums: Agreement
    means: Agreement
    pictures: int


def summarize_parts(records: Sequence[Record]) -> dict[str, PartsResult]:
    """Row -> its result, of what was measured with one network."""
    results = {}
    for row in dict.fromkeys(row for record in records for row in record.rows):
        held = [record for record in records if row in record.rows]
        resampled = Resampled.draw(len(held))
        own = _of_row(held, row)
        above = {
            name: own - _of_row(held, str(Row(name, "", ""))) for name in (NOISE, CENTRE, EVEN)
        }
        sums, means = (
            Agreement(
                resampled.mean(own[:, kind]),
                {name: resampled.mean(gain[:, kind]) for name, gain in above.items()},
            )
            for kind in (0, 1)
        )
        results[row] = PartsResult(sums, means, len(held))
    return results


def _of_row(records: Sequence[Record], row: str) -> np.ndarray:
    """The correlations of one row, (pictures, 2)."""
    return np.array([record.values["correlation"][record.rows.index(row)] for record in records])
