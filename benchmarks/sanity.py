"""Which maps depend on what a network learned: what remains of them when its weights are random.

    OMP_NUM_THREADS=1 python -m benchmarks.sanity [NAME ...] [--methods METHOD ...] [--count 20]

Cascading randomisation (`Engine.sanity`) on drawn scenes of one thing, for the class that is drawn:
Spearman's rank correlation with the map of the trained network once the classifier is random, the
mean over all steps, and once everything is random, drawn four times; means over pictures and two
seeds, with a 95 % interval over pictures. Beside them the same of *unrelated* maps, the trained
ones of two pictures: their mean, and what 19 of 20 pairs stay below. The last column: the shares of
pictures whose map depends on what was learned, may or may not, and shows the picture
(`Sanity.verdict`).
"""

import argparse
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.cases import SEEDS, Case, scenes
from benchmarks.defaults import mean_and_interval
from camviz import Backbone, Engine
from camviz.engine.explanation import Explanation
from camviz.engine.plan import exists
from camviz.engine.sanity import Sanity
from camviz.maps.ranks import rank_correlation
from camviz.methods import METHODS
from camviz.network.bundled import bundled_names
from camviz.network.weights import default_backbone

SEEDS_OF_WEIGHTS = (0, 100)
ROWS = ("fused", "refined")


def measure(engine: Engine, backbone: Backbone, method: str, of: str, cases: Sequence[Case]) -> str:
    """One row of the table."""
    found: list[list[Sanity]] = []
    trained: list[Explanation] = []
    for case in cases:
        target = case.target if case.target in backbone.labels else None
        x = engine.explain(np.asarray(case.picture), backbone, target=target, method=method)
        trained.append(x)
        found.append([engine.sanity(x, of=of, seed=seed) for seed in SEEDS_OF_WEIGHTS])
    first = [np.mean([_rank(s, 1) for s in pair]) for pair in found]
    every = [np.mean([_rank(s, i) for s in pair for i in range(1, len(s.steps))]) for pair in found]
    last = [np.mean([rank or 0.0 for s in pair for rank in s.draws]) for pair in found]
    pairs = zip(trained, trained[1:] + trained[:1], strict=True)
    apart = [rank_correlation(one.grid(of)[0], two.grid(of)[0]) or 0.0 for one, two in pairs]
    counts = Counter(s.verdict for pair in found for s in pair)
    shares = " / ".join(f"{counts[each] / counts.total():.0%}" for each in VERDICT_ORDER)
    cells = [mean_and_interval(np.array(each), signed=True) for each in (first, every, last, apart)]
    limit = f"{np.quantile(apart, 0.95):+.3f}"
    name = f"{METHODS[method].label}{'' if of == 'fused' else f', {of}'}"
    return f"| {backbone.name} | {name} | {' | '.join(cells)} | {limit} | {shares} |"


VERDICT_ORDER = ("learned", "unclear", "picture")


def _rank(found: Sanity, step: int) -> float:
    """The rank correlation at a step; 0 of a map that is flat."""
    rank = found.steps[step].rank
    return 0.0 if rank is None else rank


def _methods(backbone: Backbone, wanted: Sequence[str]) -> list[str]:
    """The methods to be measured that the network has."""
    cheap = [n for n, row in METHODS.items() if row.scoring is None and not row.uses_prototypes]
    return [name for name in wanted or cheap if exists(METHODS[name], backbone)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--methods", nargs="*", default=[], choices=list(METHODS))
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", choices=SEEDS, default="report")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine = Engine("cpu")
    drawn = list(scenes(SEEDS[arguments.seed], arguments.count))
    print(
        "| network | map | classifier random | all steps | all random | unrelated | 19 of 20 |"
        " learned / unclear / picture |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments.names or [*bundled_names(), default_backbone()]:
        backbone = engine.backbone(name)
        for method in _methods(backbone, arguments.methods):
            for of in ROWS if method == "layer_cam" else ROWS[:1]:
                print(measure(engine, backbone, method, of, drawn), flush=True)
