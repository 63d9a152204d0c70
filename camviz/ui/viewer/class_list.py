"""All classes of a network, each with its map: a list whose maps the browser has already.

    entries = ClassList(elem_id="classes-list")       # its value: classes_of(x, maps, "viewer")
    entries.select(choose)                            # a class was chosen: its label is the value

Every class is a map of a few cells in bytes, so that those of a thousand classes are smaller than
a photograph and following the pointer costs no request. In the browser it is <class-list>, in
assets/web/classes; the picture is that of a viewer on the same page.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr
import numpy as np

from camviz.engine.every_class import EveryClass
from camviz.engine.explanation import Explanation
from camviz.ui import html
from camviz.ui.viewer.convert import scene_of
from camviz.ui.viewer.encode import encode_map, number
from camviz.ui.viewer.schema import Scene

MOST_BYTES = 400_000  # of everything that is sent, as JSON
_CLASS_BYTES = 32  # of a class's share and peak, with what stands between them
_OTHER_BYTES = 500  # of what there is once


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Everything that <class-list> shows.

    `scene`, `grid`, `stride`, `offset`: as of a `Panel`. `labels`: the most probable first;
    `shares`: their probabilities in words; `peaks`: the maximum of each map, in logits. `data`:
    base64 of the positive parts over `peaks`, 0 .. 255, one map after the other. `explained`: the
    label that is marked. `follows`: the id of the viewer whose picture and settings are used.
    """

    scene: Scene
    grid: tuple[int, int]
    stride: tuple[float, float]
    offset: tuple[float, float]
    labels: tuple[str, ...]
    shares: tuple[str, ...]
    peaks: tuple[float, ...]
    data: str
    explained: str
    follows: str

    def to_json(self) -> dict[str, Any]:
        """The same in values that JSON knows."""
        return asdict(self)


def classes_of(x: Explanation, maps: EveryClass, follows: str) -> Classes:
    """The classes of an explanation's network, as many of the best as `MOST_BYTES` allow."""
    rows = _that_fit(x.predictions, maps.raw[0].size)
    raw = maps.raw[[index for index, *_ in rows]].clip(min=0)
    peaks = raw.max(axis=(1, 2))
    scaled = raw / np.where(peaks > np.finfo(np.float32).tiny, peaks, 1)[:, None, None]
    height, width = raw.shape[1:]
    return Classes(
        scene=scene_of(x.fit),
        grid=(height, width),
        stride=maps.placement.stride,
        offset=maps.placement.offset,
        labels=tuple(label for _, label, _ in rows),
        shares=tuple(html.percent(share) for *_, share in rows),
        peaks=tuple(map(number, peaks)),
        data=encode_map(scaled),
        explained=x.label,
        follows=follows,
    )


def _that_fit(
    rows: Sequence[tuple[int, str, float]], cells: int
) -> Sequence[tuple[int, str, float]]:
    """As many of the first (class, label, probability) as may be sent; one at least."""
    in_base64 = math.ceil(cells * 4 / 3)
    sizes = [in_base64 + len(json.dumps(label)) + _CLASS_BYTES for _, label, _ in rows]
    fitting = int(np.count_nonzero(np.cumsum(sizes) + _OTHER_BYTES <= MOST_BYTES))
    return rows[: max(1, fitting)]


def ClassList(**options: Any) -> gr.HTML:
    """The component. options: those of `gr.HTML`."""
    return gr.HTML(
        None,
        html_template=html.script("classes/class-list.html"),
        js_on_load=html.script("classes/gradio.js"),
        **options,
    )
