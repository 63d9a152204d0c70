"""How good a classifier is that was taught from one, two, three or five photographs a kind.

    OMP_NUM_THREADS=1 python -m benchmarks.teach --photos FOLDER [--backbone NAME]
        [--kinds 5] [--draws 20] [--seeds 1,2] [--most 10]

FOLDER: photographs with list.csv (file, class, split), as the training takes it. A draw takes so
many classes, and of each so many photographs of the training half to teach from; it is tried on
the held-out ones, `--most` of a class. Of each number of photographs: the share that is right, with
its 95 % interval over draws, the share by leaving
one out of those that were taught from, and the mean logarithm of the probability of the right kind
for several scales of the scores (`camviz.teaching.head.SCALE`).
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.defaults import mean_and_interval
from camviz import Backbone, Engine, open_picture
from camviz.engine.teaching import Features
from camviz.teaching.ridge import leave_one_out, solve

COUNTS = (1, 2, 3, 5)
SCALES = (4.0, 6.0, 8.0, 10.0, 14.0, 20.0)

# class -> (features to teach from, features to try it on), (n, C) each
Halves = Mapping[str, tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Draw:
    """Of one draw: shares of right answers, and the mean log-probability by scale."""

    right: float
    left_out: float
    likelihood: Mapping[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--backbone", default=None)
    parser.add_argument("--kinds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--most", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine = Engine()
    backbone = engine.backbone(arguments.backbone)
    halves = read_halves(engine, backbone, arguments.photos, arguments.most)
    print(f"{backbone.display_name}: {arguments.kinds} of {len(halves)} classes a draw")
    for seed in map(int, arguments.seeds.split(",")):
        for count in COUNTS:
            generator = np.random.default_rng((seed, count))
            draws = [
                try_out(halves, count, arguments.kinds, generator) for _ in range(arguments.draws)
            ]
            print(line(seed, count, draws))


def read_halves(engine: Engine, backbone: Backbone, folder: Path, most: int) -> Halves:
    """The pooled features of `most` photographs of each half of each class."""
    files: dict[str, dict[str, list[Path]]] = defaultdict(lambda: {"train": [], "test": []})
    for row in csv.DictReader((folder / "list.csv").open()):
        of = files[row["class"]][row["split"]]
        if len(of) < most:
            of.append(folder / row["file"])
    features = Features(engine._runner, engine._traces)

    def read(paths: Sequence[Path]) -> torch.Tensor:
        return features.of([open_picture(path) for path in paths], backbone, "stretch")

    return {name: (read(of["train"]), read(of["test"])) for name, of in sorted(files.items())}


def try_out(halves: Halves, count: int, kinds: int, generator: np.random.Generator) -> Draw:
    """Teach some classes from some photographs each, and try it on others."""
    names = generator.choice(sorted(halves), kinds, replace=False)
    rows = [halves[name][0][generator.permutation(len(halves[name][0]))[:count]] for name in names]
    given, of = torch.cat(rows), torch.arange(kinds).repeat_interleave(count)
    tests = [halves[name][1] for name in names]
    wanted = torch.cat([torch.full((len(each),), kind) for kind, each in enumerate(tests)])
    scores = solve(given, of, kinds).scores(torch.cat(tests))
    answers = [
        None if each is None else int(each.argmax()) for each in leave_one_out(given, of, kinds)
    ]
    pairs = zip(answers, of.tolist(), strict=True)
    tried = [predicted == kind for predicted, kind in pairs if predicted is not None]
    return Draw(
        right=float((scores.argmax(dim=1) == wanted).double().mean()),
        left_out=float(np.mean(tried)) if tried else np.nan,
        likelihood={
            scale: float((scale * scores).log_softmax(dim=1)[range(len(wanted)), wanted].mean())
            for scale in SCALES
        },
    )


def line(seed: int, count: int, draws: Sequence[Draw]) -> str:
    """What is printed of the draws with one seed and so many photographs."""
    right = mean_and_interval(np.array([draw.right for draw in draws]))
    left_out = np.mean([draw.left_out for draw in draws])
    likely = ", ".join(
        f"{scale:g}: {np.mean([draw.likelihood[scale] for draw in draws]):.3f}" for scale in SCALES
    )
    return (
        f"seed {seed}, {count} a kind: {right} right, left out "
        f"{left_out:.1%}; log-likelihood by scale {likely}"
    )


if __name__ == "__main__":
    main()
