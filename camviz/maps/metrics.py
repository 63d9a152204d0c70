"""The metrics of faithfulness by name, and all of them for one map.

METRICS["deletion"].meaning, METRICS["deletion"].better      # "lower"
measure(heat, image, score_fn, target, again=again).figures["deletion"]
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from camviz.maps import faithfulness
from camviz.maps.faithfulness import (
    ROAD_SHARES,
    STEPS,
    Confidence,
    Curve,
    Progress,
    ScoreFn,
    Turn,
)


@dataclass(frozen=True)
class Metric:
    """A metric: what it is called, which direction is good, and what it says in one line.

    formula, paper: as in the docstring of its function. range: the least and the largest value.
    of: what it is computed from: pictures in "steps", the picture through its map ("shown"), the
    picture "filled" in, or the map "alone"; `needs_again`: the map of the picture through the map,
    too. of_probability: it has no meaning for a value that may be negative.
    """

    label: str
    better: Literal["higher", "lower"]
    meaning: str
    formula: str
    paper: str
    range: tuple[float, float]
    of: Literal["steps", "shown", "filled", "alone"]
    needs_again: bool = False
    of_probability: bool = False


METRICS: dict[str, Metric] = {
    "deletion": Metric(
        "Deletion",
        "lower",
        "How much of the score is left, on average, while the hottest places are removed first.",
        "AUC of p(x without the k hottest pixels)",
        "Petsiuk et al. 2018",
        (0, 1),
        "steps",
    ),
    "insertion": Metric(
        "Insertion",
        "higher",
        "How high the score is, on average, while a blurred picture becomes sharp there first.",
        "AUC of p(blur(x) with the k hottest pixels of x)",
        "Petsiuk et al. 2018",
        (0, 1),
        "steps",
    ),
    "average_drop": Metric(
        "Average drop",
        "lower",
        "Which share of the score is lost when the picture is seen through the map.",
        "AD = max(0, Y − O) / Y",
        "Chattopadhay et al. 2018",
        (0, 1),
        "shown",
        of_probability=True,
    ),
    "increase": Metric(
        "Increase in confidence",
        "higher",
        "Whether the score is higher when the picture is seen through the map.",
        "IC = 1 if Y < O, else 0",
        "Chattopadhay et al. 2018",
        (0, 1),
        "shown",
        of_probability=True,
    ),
    "complexity": Metric(
        "Complexity",
        "lower",
        "How much of the picture the map lights.",
        "Com = mean |M|",
        "Poppi et al. 2021",
        (0, 1),
        "alone",
    ),
    "coherency": Metric(
        "Coherency",
        "higher",
        "Whether the map stays the same when the picture is seen through it.",
        "Coh = (1 + r(M(x), M(x · M(x)))) / 2",
        "Poppi et al. 2021",
        (0, 1),
        "alone",
        needs_again=True,
    ),
    "adcc": Metric(
        "ADCC",
        "higher",
        "Average drop, coherency and complexity in one: high where all three are good.",
        "3 / (1 / Coh + 1 / (1 − Com) + 1 / (1 − AD))",
        "Poppi et al. 2021",
        (0, 1),
        "shown",
        needs_again=True,
        of_probability=True,
    ),
    "road": Metric(
        "ROAD",
        "higher",
        "How much more is lost without the hottest places than without the coldest, filled in.",
        "mean (LeRF − MoRF) / 2",
        "Rong et al. 2022",
        (-0.5, 0.5),
        "filled",
    ),
}


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of one map: figures by metric, and the curves behind some of them.

    Curves are "insertion" and "deletion", and of ROAD "hottest" and "coldest". `confidence`: the
    score of the picture and of the picture through the map; None if no metric is of it.
    """

    figures: dict[str, float]
    curves: dict[str, Curve] = field(repr=False)
    confidence: Confidence | None = None


def passes_of(metrics: Sequence[str], steps: int = STEPS) -> int:
    """How many pictures are scored for these metrics of one map."""
    kinds = [METRICS[name].of for name in metrics]
    filled = 2 * len(ROAD_SHARES) if "filled" in kinds else 0
    shown = 2 if "shown" in kinds else 0
    return kinds.count("steps") * (steps + 1) + filled + shown


def measure(
    heat: Tensor,
    image: Tensor,
    score_fn: ScoreFn,
    target: int,
    *,
    metrics: Sequence[str] = tuple(METRICS),
    steps: int = STEPS,
    again: Tensor | None = None,
    progress: Progress | None = None,
    turn: Turn = nullcontext,
) -> Measured:
    """Metrics of one map, by the functions of `camviz.maps.faithfulness`, which see.

    again: the map of the picture times this map, for the metrics that need it. progress(pictures
    done, pictures in all) counts those of all metrics. turn: see `faithfulness.road`. Raises
    KeyError for a metric that is none, ValueError where `again` is missing.
    """
    rows = {name: METRICS[name] for name in metrics}
    if again is None and any(row.needs_again for row in rows.values()):
        raise ValueError("coherency needs `again`, the map of the picture times this map")
    total, done = passes_of(metrics, steps), 0
    figures: dict[str, float] = {}
    curves: dict[str, Curve] = {}

    def counted(passes: int) -> Progress:
        nonlocal done
        start, done = done, done + passes
        return lambda now, of: progress and progress(start + now, total)

    shown = None
    if any(row.of == "shown" for row in rows.values()):
        counted(2)(0, 2)
        shown = faithfulness.confidence(heat, image, score_fn, target)
    along: dict[str, Callable[..., Curve]] = {
        "deletion": faithfulness.deletion,
        "insertion": faithfulness.insertion,
    }
    for name in (name for name in along if name in rows):
        report = counted(steps + 1)
        curves[name] = along[name](heat, image, score_fn, target, steps=steps, progress=report)
        figures[name] = curves[name].area
    if "road" in rows:
        report = counted(2 * len(ROAD_SHARES))
        found = faithfulness.road(heat, image, score_fn, target, progress=report, turn=turn)
        curves |= {"hottest": found.hottest, "coldest": found.coldest}
        figures["road"] = found.score
    if shown is not None:
        figures |= {"average_drop": shown.drop, "increase": float(shown.rises)}
    figures["complexity"] = faithfulness.complexity(heat)
    if again is not None:
        figures["coherency"] = faithfulness.coherency(heat, again)
    if "adcc" in rows and shown is not None:
        parts = figures["coherency"], figures["complexity"], shown.drop
        figures["adcc"] = faithfulness.adcc(*parts)
    return Measured({name: figures[name] for name in rows}, curves, shown)
