"""Draw the examples that ship with camviz, with their truth, into assets/examples.

    python -m benchmarks.make_examples

Each was picked by eye, for its story. The last column printed is the prediction of scenes-resnet;
a picture of which it is not confident does not belong here.
"""

import json

import numpy as np
from PIL import Image

from camviz import Engine
from camviz.examples import EXAMPLES, QUALITY, redraw

# index of the scene, title, story
STORIES = (
    (6, "A ram", "A ram is a sheep with horns: does the network look at anything else?"),
    (4, "A zebra", "A zebra is a horse with stripes, and the stripes are all over it."),
    (17, "A windmill", "A windmill is a tower with sails, before a desert it never trained on."),
    (33, "A green fire engine", "Colour tells nothing here: a lorry with a ladder it is."),
    (45, "A watering can", "A bucket with a spout; the body is the same."),
    (19, "A ram, far away", "Small, before a busy wood: how much of the map is on it?"),
    (11, "Two boats", "One has a sail and one has none: compare the two classes."),
    (37, "A fire engine and a ram", "Two things: explain one, then the other."),
    (40, "A house behind a crate", "Partly hidden, at dusk, which was never trained on."),
    (15, "A dark sheep", "Little light, little contrast, and no horns to see."),
    (44, "A rowing boat", "Small on a wide sea; the ball is nothing it knows."),
    (38, "A church at sea", "The place tells nothing: a steeple makes it a church."),
)
PHOTOGRAPHS = (
    ("lion", "lion.jpg", "Two lions", "ImageNet knows lions; the second is easily missed."),
    ("cheetah", "cheetah1.jpg", "A cheetah", "Face and spots: which stage sees which?"),
    ("tower", "tower.jpg", "A tower", "ImageNet has no Eiffel Tower: what does it say instead?"),
)


def main() -> None:
    EXAMPLES.mkdir(exist_ok=True)
    engine, rows = Engine(), []
    for index, title, story in STORIES:
        scene = redraw(index)
        name = title.lower().replace(",", "").replace(" ", "-")
        Image.fromarray(scene.image).save(EXAMPLES / f"{name}.webp", **QUALITY)
        masks = {}
        for thing in scene.objects:
            masks[thing.label] = thing.mask
            masks |= {f"{thing.label}/{part}": mask for part, mask in thing.parts.items()}
        np.savez_compressed(EXAMPLES / f"{name}.npz", **masks)  # type: ignore[arg-type]
        row = {"name": name, "title": title, "story": story, "backbones": "scenes"}
        rows.append({**row, "file": f"{name}.webp", "scene": index})
        x = engine.explain(EXAMPLES / f"{name}.webp", "scenes-resnet")
        _, label, probability = x.predictions[0]
        shown = ", ".join(scene.labels)
        print(f"{name:28} {shown:28} {label} {probability:.0%} sure: {x.is_confident}")
    for name, file, title, story in PHOTOGRAPHS:
        row = {"name": name, "title": title, "story": story, "backbones": ""}
        rows.append({**row, "photograph": file})
    (EXAMPLES / "index.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
