"""Curves of insertion and deletion, with the picture at each of their steps.

    plots = CurvePlots(elem_id="curves")       # its value: curves_of(found, names, "photo")

The picture, its blurred copy and, for every map, the step at which each pixel is changed are sent
once; the browser composes all steps of them. There it is <curve-plots>, in assets/web/curves.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

import gradio as gr
import numpy as np

from camviz.engine.faithfulness import Faithfulness
from camviz.files import file_name
from camviz.ui import html
from camviz.ui.viewer.encode import encode_pixels, number


@dataclass(frozen=True, kw_only=True)
class CurveLine:
    """The curves of one map: scores at each step, figures by metric, `changed` a data URL.

    The latter is a grey picture of the network's input: the step at which each pixel is changed.
    """

    key: str
    name: str
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    figures: dict[str, float]
    changed: str


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Everything that <curve-plots> shows.

    `name`: of the picture, for files. `unit`: of scores, "probability" or "value". `size`: width
    and height of the network's input, which `picture` and `blurred` show as data URLs; `removed`:
    the colour of removed pixels. `shares`: of the pixels that are changed, at each step. `lines`:
    the map itself first.
    """

    name: str
    label: str
    unit: str
    size: tuple[int, int]
    picture: str
    blurred: str
    removed: tuple[int, int, int]
    shares: tuple[float, ...]
    lines: tuple[CurveLine, ...]

    def to_json(self) -> dict[str, Any]:
        """The same in values that JSON knows."""
        return asdict(self)


def curves_of(found: Faithfulness, names: Mapping[str, str], picture: str) -> Curves:
    """The curves of what was measured. names: of the maps, by key; picture: its file's name."""
    height, width = found.picture.shape[:2]
    shares = found.measured[found.of].curves["deletion"].shares
    return Curves(
        name=file_name(PurePath(picture or "picture").stem),
        label=found.label,
        unit=found.unit,
        size=(width, height),
        picture=encode_pixels(found.picture),
        blurred=encode_pixels(found.blurred),
        removed=found.removed,
        shares=_numbers(shares),
        lines=tuple(
            CurveLine(
                key=key,
                name=names[key],
                deletion=_numbers(each.curves["deletion"].scores),
                insertion=_numbers(each.curves["insertion"].scores),
                figures={metric: number(value) for metric, value in each.figures.items()},
                changed=encode_pixels(found.changed_at[key]),
            )
            for key, each in found.measured.items()
        ),
    )


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    return tuple(map(number, values))


def CurvePlots(**options: Any) -> gr.HTML:
    """The component. options: those of `gr.HTML`."""
    return gr.HTML(
        None,
        html_template=html.script("curves/curve-plots.html"),
        js_on_load=html.script("curves/gradio.js"),
        **options,
    )
