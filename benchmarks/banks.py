"""Whether prototypes from photographs of a class beat those of the picture itself.

    OMP_NUM_THREADS=1 python -m benchmarks.banks --photos FOLDER [--mosaics 60]

FOLDER: photographs with list.csv, as for `python -m training photos-resnet`; the classes are those
that ImageNet has, too (`LABELS`), the photographs of a bank its training ones. Mosaics of four
held-out photographs of four classes, as in `benchmarks.fits`: of each class, the share of the fused
map inside its own quarter (chance: 25 %), and average precision, for LPCAM with prototypes from the
photographs, LPCAM with those of the mosaic itself, and LayerCAM. The even half of the mosaics is to
choose from, the odd half to report.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.fits import Halves, draw_mosaic, photographs, print_halves
from benchmarks.make_banks import choose_photographs
from camviz import Engine, PrototypeBank
from camviz.maps.localization import measure

# Classes of Caltech 101 -> the one label of ImageNet that is right for all their photographs.
LABELS = {
    "cougar_face": "cougar",
    "dalmatian": "dalmatian",
    "electric_guitar": "electric guitar",
    "flamingo": "flamingo",
    "grand_piano": "grand piano",
    "llama": "llama",
    "revolver": "revolver",
    "scorpion": "scorpion",
    "soccer_ball": "soccer ball",
    "starfish": "starfish",
    "umbrella": "umbrella",
}


def measure_maps(
    engine: Engine, whole: Image.Image, truth: np.ndarray, name: str, bank: PrototypeBank
) -> dict[str, tuple[float, float]]:
    """Energy inside and average precision of each kind of map of a class."""
    maps = {
        "LPCAM, prototypes of photographs": {"method": "lpcam", "prototypes": bank},
        "LPCAM, prototypes of the picture": {"method": "lpcam", "prototypes": "picture"},
        "LayerCAM": {"method": "layer_cam"},
    }
    found = {}
    for title, options in maps.items():
        x = engine.explain(whole, name, target=bank.target, **options)
        values = measure(x.fused, truth)
        found[title] = (values["energy_inside"], values["ap"])
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default="tf_efficientnet_lite0.in1k")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--mosaics", type=int, default=60)
    arguments = parser.parse_args()
    engine, name = Engine(), arguments.name
    held_out = photographs(arguments.photos, 20)
    held_out = {kind: several for kind, several in held_out.items() if kind in LABELS}
    banks = {
        kind: engine.build_prototypes(choose_photographs(arguments.photos, kind), name, label)
        for kind, label in LABELS.items()
    }
    halves: Halves = (defaultdict(list), defaultdict(list))
    for index in range(arguments.mosaics):
        whole, quarters = draw_mosaic(held_out, index)
        for kind, truth in quarters.items():
            for title, values in measure_maps(engine, whole, truth, name, banks[kind]).items():
                halves[index % 2][title].append(values)
    print_halves(name, "map", halves)
