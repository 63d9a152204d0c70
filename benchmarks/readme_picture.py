"""Draw the README's pictures: stage maps from coarse to fine, and the two shallowest denoised.

python -m benchmarks.readme_picture local-dir:FOLDER [PICTURE [PICTURE]]
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from gradio.media import get_image
from PIL import Image

from camviz import Engine, Explanation
from camviz.maps.render import colorize, contact_sheet, draw_boxes, overlay

SIDE = 232


def stage_panels(x: Explanation) -> list[np.ndarray]:
    """The picture, the fused map with its box, and the stages, coarse to fine."""
    pixels = x.picture.pixels
    shown = [pixels, draw_boxes(overlay(pixels, x.fused), [x.boxes()[0].xyxy])]
    shown += [overlay(pixels, x.maps[stage]) for stage in reversed(x.stages)]
    return _resize(shown)


def denoised_rows(plain: Explanation, x: Explanation) -> list[list[np.ndarray]]:
    """For the two shallowest stages: the picture, plain, denoised, and what was removed."""
    pixels = x.picture.pixels
    return [
        _resize(
            [
                pixels,
                colorize(plain.maps[stage], "inferno"),
                colorize(x.maps[stage], "inferno"),
                colorize(x.removed[stage], "inferno"),
            ]
        )
        for stage in x.stages[:2]
    ]


def _resize(shown: list[np.ndarray]) -> list[np.ndarray]:
    return [cv2.resize(panel, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for panel in shown]


def _write(name: str, rows: list[list[np.ndarray]]) -> None:
    target = Path(__file__).resolve().parent.parent / "assets" / name
    Image.fromarray(contact_sheet(rows)).save(target, quality=88)


if __name__ == "__main__":
    backbone, *rest = sys.argv[1:]
    first, second, *_ = [*rest, *map(get_image, ("cheetah1.jpg", "lion.jpg")[len(rest) :])]
    engine = Engine()
    x = engine.explain(first, backbone)
    _write("readme.webp", [stage_panels(x)])
    print(x.label, x.stages)
    plain = engine.explain(second, backbone)
    x = engine.explain(second, backbone, truncation=0.9)
    _write("denoised.webp", denoised_rows(plain, x))
    print(x.label, *x.notes.values(), sep="\n")
