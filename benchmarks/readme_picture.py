"""Draw the README's first picture: one photograph, its stage maps from coarse to fine, the fusion.

python benchmarks/readme_picture.py local-dir:FOLDER [PICTURE]
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from gradio.media import get_image
from PIL import Image

from camviz import Engine, Explanation
from camviz.render import contact_sheet, draw_boxes, overlay

SIDE = 232


def panels(x: Explanation) -> list[np.ndarray]:
    """The picture, the fused map with its box, and the stages, coarse to fine."""
    pixels = x.picture.pixels
    shown = [pixels, draw_boxes(overlay(pixels, x.fused), [x.boxes()[0].xyxy])]
    shown += [overlay(pixels, x.maps[stage]) for stage in reversed(x.stages)]
    return [cv2.resize(panel, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for panel in shown]


if __name__ == "__main__":
    backbone, *rest = sys.argv[1:]
    x = Engine().explain(rest[0] if rest else get_image("cheetah1.jpg"), backbone)
    sheet = contact_sheet([panels(x)])
    target = Path(__file__).resolve().parent.parent / "assets" / "readme.webp"
    Image.fromarray(sheet).save(target, quality=88)
    print(target.name, x.label, x.stages)
