"""Make the prototypes that ship with the bundled backbones, one file a class.

    OMP_NUM_THREADS=1 python -m benchmarks.make_banks scenes-resnet
    OMP_NUM_THREADS=1 python -m benchmarks.make_banks photos-resnet --data FOLDER

To be run again whenever the weights change. Scenes are drawn, before training backgrounds, and
their thumbnails ship. Photographs are the training ones of Caltech 101 (FOLDER holds list.csv
and its pictures, as for `python -m training photos-resnet`); they are not ours to ship, so
those banks hold vectors and no picture, no file name and no member.
"""

import argparse
import csv
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from camviz import Engine, Picture, PrototypeBank, open_picture
from camviz.network.bundled import BUNDLED
from camviz.scenes import TRAIN_BACKGROUNDS, draw_scene

GALLERY_SEED = 4711
SCENES, PHOTOGRAPHS = 32, 48
SHOWN = 3  # thumbnails of a prototype


def draw_pictures(label: str) -> list[Picture]:
    """Scenes with one thing of a class."""
    scenes = (
        draw_scene(GALLERY_SEED, i, label=label, backgrounds=TRAIN_BACKGROUNDS, two_objects=0.0)
        for i in range(SCENES)
    )
    return [open_picture(s.image, name=f"scene {GALLERY_SEED}:{s.index}") for s in scenes]


def choose_photographs(folder: Path, name: int | str) -> list[Picture]:
    """An even choice of the training photographs of a class, by its index or name."""
    with (folder / "list.csv").open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["split"] == "train" and str(name) in (row["index"], row["class"])
        ]
    places = np.linspace(0, len(rows) - 1, min(PHOTOGRAPHS, len(rows))).round().astype(int)
    return [open_picture(folder / rows[place]["file"]) for place in places]


def without_pictures(bank: PrototypeBank) -> PrototypeBank:
    """Vectors and figures only: nothing that leads to a picture."""
    stages = {}
    for name, stage in bank.stages.items():
        prototypes = tuple(replace(p, members=()) for p in stage.prototypes)
        stages[name] = replace(stage, prototypes=prototypes, thumbnails=None)
    names = tuple(f"training photograph {i + 1}" for i in range(len(bank.pictures)))
    return replace(bank, stages=stages, pictures=names, skipped=())


def with_few_pictures(bank: PrototypeBank) -> PrototypeBank:
    """A few thumbnails of each prototype, none where a cell is too small to show anything."""
    stages = {}
    for name, stage in bank.stages.items():
        prototypes = tuple(replace(p, members=p.members[:SHOWN]) for p in stage.prototypes)
        cut = stage.thumbnails
        fine = len(stage.prototypes) and name == next(iter(bank.stages))
        kept = None if cut is None or fine else cut[:, :SHOWN]
        stages[name] = replace(stage, prototypes=prototypes, thumbnails=kept)
    return replace(bank, stages=stages)


def build_banks(engine: Engine, name: str, data: Path | None) -> Iterator[PrototypeBank]:
    """The bank of every class of a network, one after the other."""
    backbone = engine.backbone(name)
    for index, label in enumerate(backbone.labels):
        pictures = draw_pictures(label) if data is None else choose_photographs(data, index)
        bank = engine.build_prototypes(pictures, backbone, index)
        bank = with_few_pictures(bank) if data is None else without_pictures(bank)
        yield replace(bank, source="bundled")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--data", type=Path, help="the folder with the training photographs")
    options = parser.parse_args()
    if options.data is None and not options.name.startswith("scenes"):
        parser.error("only scenes can be drawn; photographs need --data")
    torch.set_num_threads(1)
    folder = BUNDLED / options.name / "prototypes"
    shutil.rmtree(folder, ignore_errors=True)
    total = 0
    for bank in build_banks(Engine(), options.name, options.data):
        file = bank.save(folder / f"{bank.target}.safetensors", compact=True)
        total += file.stat().st_size
        kept = ", ".join(f"{name} {a}+{b}" for name, (a, b) in bank.summary["kept"].items())
        print(f"{bank.label}: {len(bank.pictures)} pictures, {kept}", flush=True)
    print(f"{total / 1e6:.2f} MB in {folder}")
