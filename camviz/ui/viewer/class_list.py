"""All classes of a network, each with its map: a list whose maps the browser has already.

    entries = ClassList(elem_id="classes-list")       # its value: classes_of(x, maps, "viewer")
    entries.select(choose)                            # a class was chosen: its label is the value
    entries.input(answer)                             # what of a long list was not sent is wanted

Every class is a map of a few cells in bytes, so that those of a thousand classes are smaller than
a photograph and following the pointer costs no request. Of more than `MOST_BYTES` allow the most
probable ones are sent; names and maps of the others are read off what is held of the picture
(`held_maps`, `names_of`, `map_of`), without a pass of the network. In the browser it is
<class-list>, in assets/web/classes; the picture is that of a viewer on the same page.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr
import numpy as np

from camviz.engine.every_class import EveryClass
from camviz.engine.explanation import Explanation
from camviz.errors import DataError
from camviz.network.outputs import best_first, ranked
from camviz.ui import html
from camviz.ui.viewer.convert import scene_of
from camviz.ui.viewer.encode import encode_map, number
from camviz.ui.viewer.schema import Scene

MOST_BYTES = 400_000  # of everything that is sent, as JSON
ANSWER_BYTES = 20_000  # of the names in one answer
_CLASS_BYTES = 32  # of a class's share and peak, with what stands between them
_OTHER_BYTES = 500  # of what there is once
NOT_HELD = "the maps of this picture are not held any more; open the view again"

# By key, as long as the traces that they belong to are held.
_held: WeakValueDictionary[str, EveryClass] = WeakValueDictionary()


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Everything that <class-list> shows.

    `scene`, `grid`, `stride`, `offset`: as of a `Panel`. `labels`: the most probable first;
    `shares`: their probabilities in words; `peaks`: the maximum of each map, in logits. `data`:
    base64 of the positive parts over `peaks`, 0 .. 255, one map after the other. `explained`: the
    label that is marked, and `place`: where it stands among all. `follows`: the id of the viewer
    whose picture and settings are used. `known`: how many classes there are; those that are not
    among `labels` are asked for by `key`.
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
    place: int
    follows: str
    known: int
    key: str

    def to_json(self) -> dict[str, Any]:
        """The same in values that JSON knows."""
        return asdict(self)


def classes_of(x: Explanation, maps: EveryClass, follows: str) -> Classes:
    """The classes of an explanation's network, as many of the best as `MOST_BYTES` allow."""
    rows = x.predictions
    rows = rows[: _fitting([label for _, label, _ in rows], maps.raw[0].size, MOST_BYTES)]
    peaks, data = _encoded(maps.raw[[index for index, *_ in rows]])
    identity = repr((x.picture.digest, x.state, x.request.fit, x.request.placement))
    key = hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
    _held[key] = maps
    return Classes(
        scene=scene_of(x.fit),
        grid=(maps.raw.shape[1], maps.raw.shape[2]),
        stride=maps.placement.stride,
        offset=maps.placement.offset,
        labels=tuple(label for _, label, _ in rows),
        shares=tuple(html.percent(share) for *_, share in rows),
        peaks=peaks,
        data=data,
        explained=x.label,
        place=next((i for i, row in enumerate(x.predictions) if row[0] == x.target), 0),
        follows=follows,
        known=len(maps.raw),
        key=key,
    )


def held_maps(key: str) -> EveryClass:
    """The maps of which `classes_of` sent a part. Raises `DataError` if they are held no more."""
    maps = _held.get(key)
    if maps is None:
        raise DataError(NOT_HELD)
    return maps


def names_of(maps: EveryClass, text: str, start: int) -> dict[str, Any]:
    """Classes whose names have all words of a text, the most probable first.

    "rows": (place, label, probability in words) from the one of that number on, as many as
    `ANSWER_BYTES` allow; "total": how many there are.
    """
    words = text.lower().split()
    order = best_first(maps.logits)
    labels = maps.labels
    named = {
        index
        for index, label in enumerate(labels if words else ())
        if all(word in label.lower() for word in words)
    }
    found = [place for place, index in enumerate(order.tolist()) if not words or index in named]
    shown = found[start : start + ANSWER_BYTES // _CLASS_BYTES]  # no label takes less
    shown = shown[: _fitting([labels[order[place]] for place in shown], 0, ANSWER_BYTES)]
    rows = ranked(maps.logits, labels, maps.output, order[shown])
    return {
        "rows": [
            (place, label, html.percent(share))
            for place, (_, label, share) in zip(shown, rows, strict=True)
        ],
        "total": len(found),
    }


def map_of(maps: EveryClass, place: int) -> dict[str, Any]:
    """The class that stands at a place: its "label", "share", "peak" and "data", as `Classes`.

    Raises `DataError` for a place that no class has.
    """
    if not 0 <= place < len(maps.raw):
        raise DataError(f"there are {len(maps.raw)} classes, and none is at {place}")
    at = best_first(maps.logits)[place : place + 1]
    ((index, label, share),) = ranked(maps.logits, maps.labels, maps.output, at)
    (peak,), data = _encoded(maps.raw[[index]])
    return {
        "place": place, "label": label, "share": html.percent(share), "peak": peak, "data": data
    }  # fmt: skip


def _encoded(raw: np.ndarray) -> tuple[tuple[float, ...], str]:
    """(peaks, data) of maps, (n, h, w), as `Classes`."""
    positive = raw.clip(min=0)
    peaks = positive.max(axis=(1, 2))
    scaled = positive / np.where(peaks > np.finfo(np.float32).tiny, peaks, 1)[:, None, None]
    return tuple(map(number, peaks)), encode_map(scaled)


def _fitting(labels: Sequence[str], cells: int, most: int) -> int:
    """How many of the first classes may be sent, with maps of so many cells; one at least."""
    bytes_each = math.ceil(cells * 4 / 3) + _CLASS_BYTES
    sizes = [bytes_each + len(json.dumps(label)) for label in labels[: most // bytes_each]]
    return max(1, int(np.count_nonzero(np.cumsum(sizes) + _OTHER_BYTES <= most)))


def ClassList(**options: Any) -> gr.HTML:
    """The component. options: those of `gr.HTML`."""
    return gr.HTML(
        None,
        html_template=html.script("classes/class-list.html"),
        js_on_load=html.script("classes/gradio.js"),
        **options,
    )
