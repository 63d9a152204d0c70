"""Seeds for segmentation: their mIoU on drawn scenes of two things, as pictures are shown once or
at several scales and mirrored (`views=paper`).

    python -m benchmarks.seeds [--scenes 20] [--backbone scenes-resnet]

Every class of a scene is explained, as in weakly supervised segmentation; the run is written to a
folder of its own, and read back from it.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from camviz.benchmark.datasets import SEED, Scenes
from camviz.benchmark.seeds import score_seeds, seeds_markdown
from camviz.bulk.run import Geometry, Run, RunWriter
from camviz.bulk.schema import row_of
from camviz.engine.engine import Engine

VIEWS = ("one", "paper")


def make_run(folder: Path, data: Scenes, backbone: str, views: str) -> Run:
    """A run with a row for every thing of every scene."""
    engine = Engine()
    writer: RunWriter | None = None
    for number, name in enumerate(data.names):
        case = data.case(number)
        for thing in case.things:
            x = engine.explain(case.picture, backbone, target=thing.label, views=views)
            if writer is None:
                configuration = {"backbone": backbone, "options": {"fit": x.options["fit"]}}
                writer = RunWriter(folder, configuration, Geometry.of(x))
            writer.add(row_of(x, f"{name} {thing.label}", name, truth=thing.label))
    assert writer is not None
    writer.flush()
    return Run.open(folder)


def main() -> None:
    """Print the tables of both ways."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds", description=__doc__)
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--backbone", default="scenes-resnet")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = Scenes(arguments.scenes, SEED, two=1)
    for views in VIEWS:
        with tempfile.TemporaryDirectory() as folder:
            run = make_run(Path(folder), data, arguments.backbone, views)
            print(f"views={views}\n\n{seeds_markdown(score_seeds(run, data, {}))}")


if __name__ == "__main__":
    main()
