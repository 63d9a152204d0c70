"""Several views of one picture, mirrored and at other sizes, whose maps are averaged.

    VIEWS["flip"]       # (View(1.0, mirrored=False), View(1.0, mirrored=True))

Each view is explained by itself, and its map normalised by itself; the mean over views is taken on
the finest grid that one of them has. LPCAM is evaluated so in its paper: scales 1, 0.5, 1.5 and 2,
and each of them mirrored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from camviz.errors import BackboneError
from camviz.images import Picture, open_picture
from camviz.maps.fusion import Placement, normalize
from camviz.maps.refine import average
from camviz.network.backbone import Backbone, at_size, find_at_size, new_uid
from camviz.network.footprint import check_pass
from camviz.network.stages import Discovery

# progress(views done, views in all, the next view in words)
Progress = Callable[[int, int, str], None]


def within(progress: Progress, number: int, parts: int, which: str) -> Progress:
    """Reports what is done within one of several parts, called `which`, as a share of them all."""

    def report(done: int, of: int, text: str) -> None:
        progress(number * of + done, parts * of, f"{which}: {text}")

    return report


@dataclass(frozen=True)
class View:
    """How a picture is shown: at this multiple of the network's own input size, mirrored or not."""

    scale: float
    mirrored: bool

    def __str__(self) -> str:
        size = "as it is" if self.scale == 1 else f"at {self.scale:g} times the size"
        return f"{size}, mirrored" if self.mirrored else size


def _all(*scales: float) -> tuple[View, ...]:
    return tuple(View(scale, mirrored) for scale in scales for mirrored in (False, True))


VIEWS: dict[str, tuple[View, ...]] = {
    "one": (View(1.0, False),),
    "flip": _all(1.0),
    "paper": _all(1.0, 0.5, 1.5, 2.0),
}


def mirror(picture: Picture) -> Picture:
    """The picture, left and right exchanged."""
    seen = picture.pixels if picture.channels is None else picture.channels
    return open_picture(np.ascontiguousarray(seen[:, ::-1]), name=picture.name)


class Sizes:
    """Networks at multiples of their own input size: which they accept is found out once."""

    def __init__(self, pass_limit: int | None = None) -> None:
        """pass_limit: the bytes that one pass may hold; networks are shown no larger pictures."""
        self._pass_limit = pass_limit
        # By network: (uid of the backbone around it, scale) -> (its stages at that size, None if it
        # accepts none; a uid).
        self._found: WeakKeyDictionary[
            Any, dict[tuple[int, float], tuple[Discovery | None, int]]
        ] = WeakKeyDictionary()

    def refuses(self, backbone: Backbone, scale: float) -> bool:
        """Whether it was found out that the network accepts no picture of that size."""
        if scale == 1:
            return False
        known = self._found.get(backbone.model, {})
        return known.get((backbone.uid, scale), (True, 0))[0] is None

    def at(self, backbone: Backbone, scale: float) -> Backbone | None:
        """The network for pictures of that size; None if it accepts none."""
        if scale == 1:
            return backbone
        known = self._found.setdefault(backbone.model, {})
        key = backbone.uid, scale
        if key not in known:
            height, width = (max(1, round(side * scale)) for side in backbone.input_size[1:])
            try:
                if self._pass_limit is not None:
                    size = (backbone.input_size[0], height, width)
                    check_pass(backbone.model, size, self._pass_limit, backbone.display_name)
                known[key] = find_at_size(backbone, (height, width)), new_uid()
            except BackboneError:
                known[key] = None, -1
        discovery, uid = known[key]
        return None if discovery is None else at_size(backbone, discovery, uid)


def place_back(
    raw: np.ndarray, placement: Placement, view: View, own: Backbone, shown: Backbone
) -> tuple[torch.Tensor, Placement]:
    """The normalised map of a view and where its cells look, in pixels of the network's own input.

    own: the network at its own size; shown: at that of the view.
    """
    heat = normalize(torch.from_numpy(raw))
    strides, offsets = [], []
    for axis in (0, 1):
        size, full = shown.input_size[1 + axis], own.input_size[1 + axis]
        stride, offset = placement.stride[axis], placement.offset[axis]
        if view.mirrored and axis == 1:
            offset = size - stride * raw.shape[1] - offset
        strides.append(stride * full / size)
        offsets.append(offset * full / size)
    if view.mirrored:
        heat = heat.flip(1)
    return heat, Placement((strides[0], strides[1]), (offsets[0], offsets[1]))


def mean_map(maps: Sequence[tuple[torch.Tensor, Placement]]) -> tuple[torch.Tensor, Placement]:
    """The mean of normalised maps of one picture on the finest of their grids."""
    finest, onto = max(maps, key=lambda pair: pair[0].numel())
    height, width = finest.shape
    aligned = [
        heat
        if heat.shape == finest.shape and placement == onto
        else average(heat, placement, (height, width), onto)
        for heat, placement in maps
    ]
    return torch.stack(aligned).mean(dim=0), onto


def on_grid(
    maps: np.ndarray, placement: Placement, like: torch.Tensor, onto: Placement
) -> np.ndarray:
    """Maps, (n, h, w), on the grid of another map of the same picture."""
    height, width = like.shape
    return average(torch.from_numpy(maps), placement, (height, width), onto).numpy()


def sentence(used: Sequence[View], skipped: Sequence[View], backbone: Backbone) -> str:
    """What the maps are the mean of, and what the network does not accept."""
    text = f"Mean of {len(used)} views, each over its maximum: {'; '.join(map(str, used))}."
    if skipped:
        sizes = ", ".join(f"{scale:g}" for scale in dict.fromkeys(view.scale for view in skipped))
        text += f" {backbone.display_name} cannot be shown {sizes} times its size here."
    return f"{text} What is said above is of the picture as it is."
