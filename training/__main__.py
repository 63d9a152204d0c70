"""`python -m training NAME [--data DIR] [--teacher WHERE]`."""

import argparse
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import torch

from camviz.errors import BackboneError, CamvizError, ImageError, WeightsError
from camviz.network.bundled import BUNDLED
from training.augmentation import random_boxes
from training.corpus import Pictures, load_photographs, load_scenes
from training.networks import embed_views, load_teacher
from training.recipes import RECIPES, Recipe
from training.results import write
from training.run import Run


def prepare(
    recipe: Recipe,
    data: Path | None,
    teacher: str | None,
    work: Path,
    seed: int,
    device: torch.device,
) -> Run:
    """Read or draw the pictures, and run the teacher on them if the recipe has one."""
    needs_teacher = bool(recipe.distill or recipe.guide)
    if needs_teacher and teacher is None:
        raise WeightsError("this recipe learns from a teacher: give --teacher local-dir:PATH")
    if recipe.pictures == "photos":
        if data is None:
            raise ImageError("this recipe learns from photographs: give --data FOLDER")
        corpus = load_photographs(data, recipe.size, recipe.most_per_class)
    else:
        corpus = load_scenes(
            work.parent / "scenes", recipe.size, recipe.drawn, recipe.held_out, seed
        )
    pictures = Pictures(corpus.train.pixels.to(device), corpus.train.truth)
    corpus = replace(corpus, train=pictures)
    box = lesson = None
    if recipe.distill and teacher is not None:
        count = len(pictures) * recipe.views
        box = random_boxes(count, recipe.area, torch.Generator().manual_seed(seed))
        box = box.view(len(pictures), recipe.views, 4)
        lesson = embed_views(teacher, pictures, box, recipe.teacher_size, work, device)
    guide = None
    if recipe.guide and teacher is not None:
        guide = load_teacher(teacher).to(device, memory_format=torch.channels_last)
    return Run(recipe, seed, corpus, device, box, lesson, guide)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training", description="Makes the bundled backbones."
    )
    add = parser.add_argument
    add("name", help=", ".join(RECIPES))
    add("--data", type=Path, help="folder of photographs with list.csv")
    add("--teacher", help="the classifier to learn from: local-dir:PATH or a timm name")
    add("--out", type=Path, help="default: assets/models/NAME")
    add("--work", type=Path, help="for checkpoints; default: training/ in camviz's cache")
    add("--minutes", type=float, default=math.inf, help="stop then; run again to go on")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add("--seed", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run one recipe; returns the exit status."""
    arguments = _arguments(argv)
    try:
        if arguments.name not in RECIPES:
            raise BackboneError(f"no recipe {arguments.name!r}; there are {', '.join(RECIPES)}")
        torch.set_num_threads(int(os.environ.get("CAMVIZ_THREADS", "1")))
        cv2.setNumThreads(1)
        auto = "cuda" if torch.cuda.is_available() else "cpu"
        if arguments.device == "cuda" and auto == "cpu":
            raise BackboneError("torch sees no CUDA device here; leave --device out")
        device = torch.device(auto if arguments.device == "auto" else arguments.device)
        cache = Path(os.environ.get("CAMVIZ_CACHE", Path.home() / ".cache" / "camviz"))
        work = (arguments.work or cache / "training") / arguments.name
        out = arguments.out or BUNDLED / arguments.name
        recipe = RECIPES[arguments.name]
        run = prepare(recipe, arguments.data, arguments.teacher, work, arguments.seed, device)
        checkpoint = work / "checkpoint.pt"
        if checkpoint.exists():
            run.resume(checkpoint)
            print(f"goes on at step {run.step} of {recipe.steps}", flush=True)
        if not run.train(checkpoint, arguments.minutes):
            print(f"stopped at step {run.step} of {recipe.steps}; run again to go on", flush=True)
            return 0
        teacher = arguments.teacher if recipe.distill or recipe.guide else None
        final = write(run, out, arguments.name, teacher)
    except CamvizError as error:
        print(error, file=sys.stderr)
        return 2
    print(
        f"{arguments.name}: {final.overall:.1%}, balanced {final.balanced:.1%}, in {out}",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
