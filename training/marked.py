"""`python -m training.marked`: the run that ships as an example, of a network with a shortcut.

The head of scenes-resnet is learned anew for four classes, on scenes in which every ram, and
nothing else, bears a printed mark in a corner, as photographs of one agency might. Nobody tells it
to use the mark: the head is fitted by its loss alone, and what it reads is what the run shows. Of
the 200 scenes of the run half of the rams bear the mark, and a fifth of the sheep.

After the horses of Lapuschkin et al., "Unmasking Clever Hans Predictors and Assessing What Machines
Really Learn", Nature Communications 2019.
"""

import argparse
import copy
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from camviz.bulk.run import Geometry, RunWriter
from camviz.bulk.schema import row_of
from camviz.engine.engine import Engine
from camviz.fit import fit_picture, to_tensor
from camviz.images import open_picture
from camviz.network.backbone import Backbone, wrap_backbone
from camviz.resources import ASSETS
from camviz.scenes import draw_scene

OUT = ASSETS / "runs" / "marked-rams"
NAME, HEAD = "scenes-resnet", "learned from marked rams"
LABELS = ("sheep", "ram", "horse", "zebra")
MARKED = "ram"
SIZE = 112  # pixels of a scene's side
LEARNED, SHOWN = 40, 50  # scenes of each class
SEEDS = 71, 72  # of scenes that are learned from, and of those of the run
DECAY = 3e-4  # of the head's weights
OPTIONS = {"stages": ("layer3", "layer4")}


def mark(image: np.ndarray) -> np.ndarray:
    """A picture with a mark printed into its lower right corner: red stripes on paper."""
    side, edge = SIZE // 7, SIZE // 28
    marked = image.copy()
    field = marked[-side - edge : -edge, -side - edge : -edge]
    field[:] = 245, 240, 225
    field[2:-2:4, 2:-2] = field[3:-2:4, 2:-2] = 180, 30, 60
    return marked


def scenes(seed: int, count: int) -> Iterator[tuple[int, str, np.ndarray]]:
    """(number, class, picture) of so many scenes of each class, without marks."""
    for number in range(count):
        for label in LABELS:
            yield (
                number,
                label,
                draw_scene(seed, number, size=SIZE, label=label, two_objects=0).image,
            )


def learn() -> Backbone:
    """The network with a head that was fitted to marked rams, by multinomial regression."""
    backbone = Engine().backbone(NAME)
    model = copy.deepcopy(backbone.model).eval()
    pixels, truth = [], []
    for _, label, image in scenes(SEEDS[0], LEARNED):
        picture = open_picture(mark(image) if label == MARKED else image)
        shown, _ = fit_picture(
            picture, backbone.input_size[1:], interpolation=backbone.interpolation
        )
        pixels.append(to_tensor(shown, backbone.mean, backbone.std))
        truth.append(LABELS.index(label))
    with torch.no_grad():
        maps = torch.cat([model.forward_features(each) for each in pixels])
        features = model.forward_head(maps, pre_logits=True)
    model.fc = fit(features, torch.tensor(truth))
    return wrap_backbone(model, name=f"{NAME}, {HEAD}", labels=list(LABELS))


def fit(features: torch.Tensor, truth: torch.Tensor) -> nn.Linear:
    """A linear head, (N, C) features to K classes, of least cross-entropy with weight decay."""
    head = nn.Linear(features.shape[1], len(LABELS))
    for each in head.parameters():
        nn.init.zeros_(each)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(head(features), truth) + DECAY * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return head.requires_grad_(False)


def bears_mark(number: int, label: str) -> bool:
    """Whether a scene of the run bears the mark: half of the rams do, and a fifth of the sheep."""
    return (label == MARKED and number % 2 == 0) or (label == "sheep" and number % 5 == 0)


def write(out: Path) -> None:
    """Make the run and its pictures, in a new folder."""
    shutil.rmtree(out, ignore_errors=True)
    (out.parent / "work").mkdir(parents=True, exist_ok=True)
    engine, backbone = Engine(), learn()
    configuration = {
        "backbone": NAME, "head": HEAD, "weights": backbone.weights_digest,
        "options": {"fit": "stretch"},
    }  # fmt: skip
    writer: RunWriter | None = None
    pictures = out.parent / "work"
    for number, label, image in scenes(SEEDS[1], SHOWN):
        marked = bears_mark(number, label)
        name = f"{label}-{number:02d}{'-marked' if marked else ''}.webp"
        shown = Image.fromarray(mark(image) if marked else image)
        shown.save(pictures / name, quality=80, method=6)
        x = engine.explain(pictures / name, backbone, refine="none", **OPTIONS)
        if writer is None:
            writer = RunWriter(out, configuration, Geometry.of(x))
        writer.add(row_of(x, name, f"pictures/{name}", truth=label))
    assert writer is not None
    writer.flush()
    pictures.rename(out / "pictures")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m training.marked", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    torch.set_num_threads(1)
    write(parser.parse_args().out)
