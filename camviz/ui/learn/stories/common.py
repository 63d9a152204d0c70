"""What all stories have in common: numbers, formulas, pictures and their maps."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from camviz.engine.explanation import Explanation
from camviz.maps.fusion import Placement
from camviz.ui import html
from camviz.ui.layers import TIMES
from camviz.ui.viewer.convert import scene_of
from camviz.ui.viewer.stories import Figure, Group, Maps, Piece, Stories, Story

SIDE = 480  # pixels of the longer side of the picture under all maps


def digits(value: float) -> str:
    """A value in three digits."""
    return html.number(float(value) + 0.0, ".3g")


def percent(share: float) -> str:
    """A share without decimals from 10 % on."""
    size = abs(share)
    text = f"{size:.1%}" if 0 < size < 0.1 else f"{size:.0%}"
    return f"−{text}" if share < 0 and text not in ("0%", "0.0%") else text


def size_of(shape: Sequence[int]) -> str:
    """ "14 × 14"."""
    return f"{shape[0]}{TIMES}{shape[1]}"


def pieces(text: str, signs: Mapping[str, str]) -> tuple[Piece, ...]:
    """A formula in pieces: those that stand for something are named by it.

    signs: a piece of the formula -> what it stands for. Where two fit, it is the longer one.
    """
    if not signs:
        return ((text, ""),)
    longest = sorted(signs, key=len, reverse=True)
    pattern = "|".join(rf"(?<!\w){re.escape(sign)}(?!\w)" for sign in longest)
    found: list[Piece] = []
    rest = 0
    for match in re.finditer(pattern, text):
        if match.start() > rest:
            found.append((text[rest : match.start()], ""))
        found.append((match[0], signs[match[0]]))
        rest = match.end()
    if rest < len(text):
        found.append((text[rest:], ""))
    return tuple(found)


def lines(*formulas: tuple[str, Mapping[str, str]]) -> tuple[tuple[Piece, ...], ...]:
    """Several formulas, one a line."""
    return tuple(pieces(text, signs) for text, signs in formulas)


def channel_group(
    maps: Maps,
    heats: np.ndarray,
    channels: np.ndarray,
    symbol: str,
    name: str,
    *,
    signed: bool | None = None,
    sign: str = "",
    peak: float | None = None,
) -> Group:
    """The maps of some channels, (n, h, w), side by side, each with its own strongest value.

    signed: None: where one of them is below 0. peak: at the end of the colours of all of them;
    None: each its own.
    """
    signed = bool((heats < 0).any()) if signed is None else signed
    figures = []
    for number, heat in zip(channels, heats, strict=True):
        strongest = float(heat.flat[int(np.abs(heat).argmax())])
        figures.append(
            maps.figure(
                heat,
                f"channel {number}",
                digits(strongest),
                alt=f"{name}, channel {number}: strongest {digits(strongest)}",
                signed=signed,
                peak=peak,
            )
        )
    return Group(symbol=symbol, name=name, figures=tuple(figures), sign=sign)


def on_picture(
    maps: Maps, heat: np.ndarray, placement: Placement, name: str, text: str = "", alt: str = ""
) -> Figure:
    """A normalised map, (h, w), laid on the picture."""
    return maps.figure(heat, name, text, alt=alt, peak=1.0, placement=placement)


def over_peak(raw: np.ndarray, peak: float) -> np.ndarray:
    """The positive part of a map over the maximum of another one; zeros if that is empty."""
    positive = np.maximum(raw, 0)
    return positive / peak if peak > np.finfo(np.float32).tiny else np.zeros_like(positive)


def outlined(figure: Figure, x: Explanation) -> Figure:
    """The picture with what the network was shown of it outlined, unless that is all."""
    if x.fit.shows_all:
        return figure
    height, width = x.fit.picture_size
    x0, y0, x1, y1 = x.fit.rect
    return replace(figure, rect=(x0 / width, y0 / height, x1 / width, y1 / height))


def stories_of(x: Explanation, maps: Maps, stories: Sequence[Story]) -> Stories:
    """Stories with everything that they show."""
    return Stories(
        picture=html.data_url(html.thumbnail(x.picture.pixels, SIDE)),
        size=(x.picture.width, x.picture.height),
        scene=scene_of(x.fit),
        maps=maps.data,
        stories=tuple(stories),
    )


def subject(x: Explanation) -> str:
    """What is differentiated, in words: "the logit of ram"."""
    label = f"“{x.label}”"
    if x.reference_labels:
        return f"the margin of {label} over {html.listed(x.reference_labels, 3)}"
    if x.backbone.output == "value":
        return f"the value of {label}"
    return f"the {x.request.score.replace('_', '-')} of {label}"
