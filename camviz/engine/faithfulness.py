"""Faithfulness of a map of an explanation, beside maps that know less.

    found = engine.faithfulness(x)             # of the fused map
    found.figures["fused"]["deletion"], found.figures["random"]["deletion"]
    found.measured["fused"].curves["deletion"].scores

A figure alone means nothing: how low a deletion is depends on the picture and on the network. So
the same is measured of a map of random blobs, of a Gaussian in the middle of the picture, and of
the refined map. The passes of the network are one piece of work, which another process can do as
well; what comes of them is kept with the trace, map by map.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from camviz.defaults import REFINED
from camviz.engine.drawing import draw
from camviz.engine.explanation import Explanation
from camviz.engine.prices import with_backward
from camviz.engine.views import Progress
from camviz.engine.work import Runner, Traces, Work, plain_arithmetic
from camviz.errors import MethodError
from camviz.fit import Fit, to_pixels
from camviz.images import Picture, open_picture
from camviz.maps import faithfulness as metrics_of
from camviz.maps.baselines import centred_gaussian, random_map
from camviz.maps.faithfulness import ROAD_SHARES, STEPS
from camviz.maps.metrics import METRICS, Measured, measure, passes_of
from camviz.network.backbone import Backbone
from camviz.network.outputs import shares
from camviz.network.tail import score_pictures
from camviz.network.timing import Timing
from camviz.network.trace import Trace
from camviz.turns import step

RANDOM, GAUSSIAN = "random", "gaussian"
# What a map is measured beside, where the explanation has it.
BESIDE = (REFINED, RANDOM, GAUSSIAN)

_IMPUTED = 4e-7  # seconds that a pixel of a mask takes to be filled in, on one core
_MOST_STEPS = 255  # a step of each pixel is a byte

# explain(picture, backbone, **options): `Engine.explain`.
Explain = Callable[..., Explanation]


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """How faithful a map is to the score of the class, and maps that it is held against.

    `of`: the map, as for `Explanation.grid`; `target`, `label`: the class. `measured`: by map,
    `of` first, then those of `BESIDE`. `heats`: the same maps on the network's input, float32
    (h, w), as they were measured. `steps`: of insertion and deletion. `picture` and `blurred`:
    uint8 (h, w, 3), what the network was shown, and what insertion begins with; `removed`: the
    colour of removed pixels, (r, g, b). `unit`: what the scores are, "probability" or "value".
    """

    of: str
    target: int
    label: str
    steps: int
    unit: str
    measured: dict[str, Measured] = field(repr=False)
    heats: dict[str, np.ndarray] = field(repr=False)
    picture: np.ndarray = field(repr=False)
    blurred: np.ndarray = field(repr=False)
    removed: tuple[int, int, int]

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """By map and metric; see `camviz.maps.metrics.METRICS`."""
        return {name: each.figures for name, each in self.measured.items()}

    @cached_property
    def changed_at(self) -> dict[str, np.ndarray]:
        """By map the step at which each pixel is removed, or inserted: uint8 (h, w), from 1 on."""
        return {
            name: metrics_of.steps_of(torch.from_numpy(heat), self.steps).numpy().astype(np.uint8)
            for name, heat in self.heats.items()
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasureMaps(Work[dict[str, Measured]]):
    """Metrics of several maps of a picture, each (h, w) on the network's input.

    again: by map, the map of the picture times that map, for the metrics that need it.
    progress(pictures scored, in all): what it raises ends the work.
    """

    slow = True

    picture: Picture
    fit: str
    index: int
    heats: Mapping[str, np.ndarray]
    again: Mapping[str, np.ndarray]
    metrics: tuple[str, ...]
    steps: int
    progress: Callable[[int, int], None] | None = None

    def do(self, backbone: Backbone, traces: Traces) -> dict[str, Measured]:
        image, _ = backbone.prepare(self.picture, self.fit)
        logits = score_pictures(backbone)
        passes = passes_of(self.metrics, self.steps)
        found: dict[str, Measured] = {}

        def report(done: int, of: int) -> None:
            if self.progress is not None:
                self.progress(len(found) * passes + done, len(self.heats) * passes)

        with plain_arithmetic(backbone):
            for name, heat in self.heats.items():
                again = self.again.get(name)
                found[name] = measure(
                    torch.from_numpy(heat),
                    image,
                    lambda pictures: shares(logits(pictures), backbone.output),
                    self.index,
                    metrics=self.metrics,
                    steps=self.steps,
                    again=None if again is None else torch.from_numpy(again),
                    progress=report,
                    turn=step,
                )
        return found

    def portable(self) -> "MeasureMaps":
        """The same work without its progress, which the other process cannot report."""
        if self.progress is not None:
            self.progress(0, len(self.heats) * passes_of(self.metrics, self.steps))
        return replace(self, progress=None)


@dataclass(frozen=True, eq=False)
class Measurement:
    """What is measured of an explanation: a map and those beside it, by which metrics.

    The fields are those arguments of `Engine.faithfulness`; `metrics`: never None, as `check` gives
    them.
    """

    x: Explanation
    of: str
    metrics: tuple[str, ...]
    steps: int
    beside: tuple[str, ...]

    @cached_property
    def heats(self) -> dict[str, np.ndarray]:
        """The map and those beside it on the network's input, float32 (h, w), by name."""
        x = self.x
        grid, placement = x.grid(self.of)
        height, width = grid.shape
        grids = {self.of: (grid, placement)}
        if REFINED in self.beside and REFINED in x.maps_of_all:
            grids.setdefault(REFINED, x.grid(REFINED))
        if RANDOM in self.beside:
            grids[RANDOM] = random_map((height, width)).numpy(), placement
        if GAUSSIAN in self.beside:
            grids[GAUSSIAN] = centred_gaussian((height, width)).numpy(), placement
        fit = input_fit(x)
        return {name: draw(each, where, fit) for name, (each, where) in grids.items()}

    @property
    def needs_again(self) -> bool:
        """Whether a metric needs the map of the picture times the map."""
        return any(METRICS[name].needs_again for name in self.metrics)

    def key(self, name: str) -> Hashable:
        """What the figures of a map follow from, within a trace.

        The request counts, too: by coherency, what a map would be of another picture.
        """
        x = self.x
        digest = hashlib.sha256(np.ascontiguousarray(self.heats[name]).tobytes()).hexdigest()
        request: Any = None
        if self.needs_again:
            request = repr(x.request), None if x.bank is None else x.bank.id
        return ("faithfulness", x.target, digest, request, self.metrics, self.steps)

    def missing(self, trace: Trace) -> list[str]:
        """The maps that were not measured yet."""
        return [name for name in self.heats if not trace.recalls(self.key(name))]

    def seconds(self, names: Sequence[str], timing: Timing, maps: float) -> float:
        """How long it takes to measure these maps; an estimate.

        maps: seconds that the maps of a picture take beside its trace.
        """
        height, width = self.x.fit.input_size
        each = passes_of(self.metrics, self.steps) * timing.whole
        if "road" in self.metrics:
            each += 2 * len(ROAD_SHARES) * height * width * _IMPUTED
        total = len(names) * each
        if self.needs_again:
            own = [name for name in names if name not in (RANDOM, GAUSSIAN)]
            total += len(own) * (with_backward(timing) + maps)
        return total


def check(
    x: Explanation, of: str, metrics: Iterable[str] | None, steps: int, beside: Iterable[str]
) -> Measurement:
    """What these arguments measure; metrics=None: by all that exist for what the network gives.

    Raises a `CamvizError` for what cannot be measured.
    """
    x.grid(of)
    if x.target is None:
        raise MethodError(
            f"{x.backbone.display_name} knows no classes, so there is no score that could fall "
            "when a place is covered; take a classifier"
        )
    x.check_weights()
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= _MOST_STEPS:
        raise MethodError(
            f"steps is a whole number from 1 to {_MOST_STEPS}, not {steps!r}; {STEPS} is usual"
        )
    for kind, given, known in (("metric", metrics, METRICS), ("map beside it", beside, BESIDE)):
        for name in given or ():
            if name not in known:
                raise MethodError(f"unknown {kind} '{name}'; choices: {', '.join(known)}")
    is_value = x.backbone.output == "value"
    if metrics is None:
        metrics = [name for name, row in METRICS.items() if not (is_value and row.of_probability)]
    for name in metrics:
        if is_value and METRICS[name].of_probability:
            raise MethodError(
                f"{METRICS[name].label} is a share of a probability, and "
                f"{x.backbone.display_name} gives values; take deletion, insertion or road"
            )
    return Measurement(x, of, tuple(dict.fromkeys(metrics)), steps, tuple(beside))


def input_fit(x: Explanation) -> Fit:
    """The geometry of the network's input as a picture of its own."""
    height, width = x.fit.input_size
    return Fit("stretch", (height, width), (height, width), (0, 0, width, height))


def measure_maps(
    measurement: Measurement,
    explain: Explain,
    runner: Runner,
    traces: Traces,
    progress: Progress | None,
) -> Faithfulness:
    """What `Engine.faithfulness` gives."""
    x, heats = measurement.x, measurement.heats
    assert x.target is not None
    trace, _ = traces.get(x.backbone, x.picture, x.request.fit, ())
    with trace.alone(("faithfulness", x.target)):  # of two visitors, one computes it
        new = measurement.missing(trace)
        found = _measure_new(measurement, new, explain, runner, traces, progress) if new else {}
        kept = {
            name: trace.memoize(measurement.key(name), partial(found.get, name)) for name in heats
        }
    image, _ = x.backbone.prepare(x.picture, x.request.fit)
    gone = pixels_of(torch.zeros_like(image), x.backbone)[0, 0]
    return Faithfulness(
        measurement.of,
        x.target,
        x.label,
        measurement.steps,
        "value" if x.backbone.output == "value" else "probability",
        kept,
        heats,
        pixels_of(image, x.backbone),
        pixels_of(metrics_of.blurred(image), x.backbone),
        (int(gone[0]), int(gone[1]), int(gone[2])),
    )


def _measure_new(
    measurement: Measurement,
    names: Sequence[str],
    explain: Explain,
    runner: Runner,
    traces: Traces,
    progress: Progress | None,
) -> dict[str, Measured]:
    """The figures of some of the maps, measured now."""
    x, heats = measurement.x, measurement.heats
    assert x.target is not None
    total = len(names) * passes_of(measurement.metrics, measurement.steps)

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, "Measuring how faithful the map is")

    again = {}
    for name in names if measurement.needs_again else ():
        report(0, total)
        again[name] = map_again(x, name, heats[name], explain)
    work = MeasureMaps(
        picture=x.picture,
        fit=x.request.fit,
        index=x.target,
        heats={name: heats[name] for name in names},
        again=again,
        metrics=measurement.metrics,
        steps=measurement.steps,
        progress=None if progress is None else report,
    )
    return runner.run(x.backbone, work, traces)


def map_again(x: Explanation, name: str, heat: np.ndarray, explain: Explain) -> np.ndarray:
    """M(x * M(x)): the same map of the picture times that map, (h, w) on the network's input.

    The product is rounded to the 256 levels of a picture. A map that knows nothing of a picture is
    the same for every one.
    """
    if name in (RANDOM, GAUSSIAN):
        return heat
    image, _ = x.backbone.prepare(x.picture, x.request.fit)
    product = metrics_of.multiplied(torch.from_numpy(heat), image)
    pixels = to_pixels(product, x.backbone.mean, x.backbone.std)
    picture = open_picture(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    refine = x.request.refine if name == REFINED else "none"
    options = x.options | {"fit": "stretch", "refine": refine}
    y = explain(picture, x.backbone, target=x.target, **options)
    return draw(*y.grid(name), input_fit(x))


def pixels_of(image: torch.Tensor, backbone: Backbone) -> np.ndarray:
    """A prepared picture as uint8 (h, w, 3), as it is shown; of other channels, the first three."""
    pixels = to_pixels(image, backbone.mean, backbone.std)
    channels = pixels.shape[2]
    if channels == 1:
        return np.repeat(pixels, 3, axis=2)
    if channels == 2:
        return np.concatenate([pixels, np.zeros_like(pixels[..., :1])], axis=2)
    return pixels[..., :3]
