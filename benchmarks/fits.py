"""How a picture is best brought to a network's size: stretched, padded or cut.

    OMP_NUM_THREADS=1 python -m benchmarks.fits --photos FOLDER [NAME ...]
        [--most 20] [--mosaics 60]

FOLDER: photographs with list.csv (file, class, split), as the training takes it. Of its classes
those count that ImageNet has, too (`NAMES`).

**Accuracy**: held-out photographs in their own shapes, so many of a class at most: how often the
first and one of the first five predictions is a right class.

**Mosaics** of four photographs of four classes, in quarters of 3 to 2 (the whole is cut by "crop"
and squeezed by "stretch"): of each class, the share of the fused LayerCAM map inside its own
quarter (chance: 25 %), and average precision. The even half of them is to choose from, the odd half
to report.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.defaults import mean_and_interval
from camviz import Backbone, Engine
from camviz.fit import FIT_MODES
from camviz.maps.localization import measure

# Of the even and of the odd mosaics: what was compared -> (energy inside, average precision).
Halves = tuple[dict[str, list[tuple[float, float]]], dict[str, list[tuple[float, float]]]]

SEED = 2028
QUARTER = (300, 200)  # width, height in pixels
# Classes of Caltech-101 -> what counts as right among ImageNet's labels.
NAMES = {
    "Leopards": "leopard, snow leopard, jaguar",
    "airplanes": "airliner, warplane",
    "butterfly": "admiral, ringlet, monarch, cabbage butterfly, sulphur butterfly, lycaenid",
    "cougar_face": "cougar",
    "crab": "Dungeness crab, rock crab, fiddler crab, king crab, hermit crab",
    "crayfish": "crayfish, American lobster",
    "dalmatian": "dalmatian",
    "dragonfly": "dragonfly, damselfly",
    "electric_guitar": "electric guitar",
    "elephant": "Indian elephant, African elephant, tusker",
    "ewer": "pitcher",
    "flamingo": "flamingo",
    "grand_piano": "grand piano",
    "hawksbill": "loggerhead, leatherback turtle",
    "kangaroo": "wallaby",
    "ketch": "yawl, schooner",
    "laptop": "laptop, notebook",
    "llama": "llama",
    "revolver": "revolver",
    "schooner": "schooner, yawl",
    "scorpion": "scorpion",
    "soccer_ball": "soccer ball",
    "starfish": "starfish",
    "umbrella": "umbrella",
}


def photographs(folder: Path, most: int) -> dict[str, list[Image.Image]]:
    """Held-out photographs of the classes in `NAMES`, in their own shapes."""
    with (folder / "list.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "test"]
    found = defaultdict(list)
    for number in np.random.default_rng(SEED).permutation(len(rows)):
        name = rows[number]["class"]
        if name in NAMES and len(found[name]) < most:
            found[name].append(Image.open(folder / rows[number]["file"]).convert("RGB"))
    return dict(sorted(found.items()))


def right_classes(backbone: Backbone, name: str) -> set[int]:
    """The indices of the labels that are right for a class of the photographs."""
    return {backbone.target(label) for label in NAMES[name].split(", ")}


def accuracy(engine: Engine, backbone: Backbone, pictures: dict[str, list[Image.Image]]) -> None:
    """Print how often the first and one of the first five predictions is right."""
    rows: dict[str, list[tuple[float, float]]] = {mode: [] for mode in FIT_MODES}
    for name, several in pictures.items():
        right = right_classes(backbone, name)
        for picture in several:
            for mode in FIT_MODES:
                best = [row[0] for row in _predictions(engine, backbone, picture, mode)[:5]]
                rows[mode].append((best[0] in right, bool(right & set(best))))
    print(f"\n{backbone.name}: {len(rows['crop'])} photographs of {len(pictures)} classes")
    print("| fit | top-1 | top-5 | top-1 less that of stretch |\n| --- | --- | --- | --- |")
    plain = np.array(rows["stretch"], float)
    for mode, values in rows.items():
        array = np.array(values, float)
        change = mean_and_interval(array[:, 0] - plain[:, 0])
        print(f"| {mode} | {array[:, 0].mean():.3f} | {array[:, 1].mean():.3f} | {change} |")


def _predictions(engine: Engine, backbone: Backbone, picture: Image.Image, mode: str) -> list:
    return engine.explain(picture, backbone, fit=mode, method="cam").predictions


def mosaics(
    engine: Engine, backbone: Backbone, pictures: dict[str, list[Image.Image]], count: int
) -> None:
    """Print how much of a class's map lies in its own quarter of a mosaic."""
    halves: Halves = (defaultdict(list), defaultdict(list))
    for index in range(count):
        whole, quarters = draw_mosaic(pictures, index)
        for name, truth in quarters.items():
            target = min(right_classes(backbone, name))
            for mode in FIT_MODES:
                x = engine.explain(whole, backbone, target=target, fit=mode)
                found = measure(x.fused, truth)
                halves[index % 2][mode].append((found["energy_inside"], found["ap"]))
    print_halves(backbone.name, "fit", halves)


def print_halves(name: str, kind: str, halves: Halves) -> None:
    """Print energy inside and average precision, to choose from and to report."""
    for half, rows in zip(("choose", "report"), halves, strict=True):
        count = len(next(iter(rows.values())))
        print(f"\n{name}: {count} classes in mosaics to {half}")
        print(f"| {kind} | energy inside | average precision |\n| --- | --- | --- |")
        for title, values in rows.items():
            array = np.array(values)
            cells = (mean_and_interval(array[:, 0]), mean_and_interval(array[:, 1]))
            print(f"| {title} | {' | '.join(cells)} |", flush=True)


def draw_mosaic(
    pictures: dict[str, list[Image.Image]], index: int
) -> tuple[Image.Image, dict[str, np.ndarray]]:
    """Photographs of four classes in the quarters of a picture, and the quarter of each class."""
    width, height = QUARTER
    random = np.random.default_rng([SEED, index])
    whole = Image.new("RGB", (2 * width, 2 * height))
    quarters = {}
    for place, name in enumerate(random.choice(list(pictures), 4, replace=False)):
        left, top = width * (place % 2), height * (place // 2)
        quarters[str(name)] = truth = np.zeros((2 * height, 2 * width), bool)
        truth[top : top + height, left : left + width] = True
    for name, truth in quarters.items():
        picture = pictures[name][random.integers(len(pictures[name]))]
        top, left = np.argwhere(truth)[0]
        whole.paste(_cut(picture), (int(left), int(top)))
    return whole, quarters


def _cut(picture: Image.Image) -> Image.Image:
    """The largest part of a picture in the shape of a quarter, scaled to its size."""
    width, height = QUARTER
    scale = min(picture.width / width, picture.height / height)
    size = scale * width, scale * height
    left, top = max(0, picture.width - size[0]) / 2, max(0, picture.height - size[1]) / 2
    right, bottom = min(picture.width, left + size[0]), min(picture.height, top + size[1])
    return picture.resize(QUARTER, Image.Resampling.BICUBIC, box=(left, top, right, bottom))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["tf_efficientnet_lite0"])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--most", type=int, default=20)
    parser.add_argument("--mosaics", type=int, default=60)
    arguments = parser.parse_args()
    engine = Engine()
    for name in arguments.names:
        backbone = engine.backbone(name)
        pictures = photographs(arguments.photos, arguments.most)
        accuracy(engine, backbone, pictures)
        mosaics(engine, backbone, pictures, arguments.mosaics)
