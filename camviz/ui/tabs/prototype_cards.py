"""The prototypes of a stage as cards, and what stands above them. Nothing here imports gradio."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from markupsafe import Markup
from PIL import Image

from camviz.engine.drawing import draw
from camviz.engine.explanation import Explanation, PrototypeMap
from camviz.fit import Fit
from camviz.images import Picture
from camviz.maps import render
from camviz.maps.fusion import Placement
from camviz.prototypes.bank import PrototypeBank
from camviz.prototypes.prototype import Kind, Member, StagePrototypes
from camviz.ui import html

SIDE = 168  # pixels of the longer side of a card's map
PATCH = 40  # pixels of a patch, square
# kind, the usual name of one, the title of the column, and what its cards are
COLUMNS: tuple[tuple[Kind, str, str, str], ...] = (
    (
        "foreground",
        "Part",
        "Parts of {label}",
        "Where the class's own map is bright. They count for it.",
    ),
    (
        "context",
        "Context",
        "What surrounds it",
        "Where the class's own map is dark. They count against it.",
    ),
)
_TINY = np.finfo(np.float32).tiny

# The pixels of a box in the picture of a name.
Cut = Callable[[str, tuple[int, int, int, int]], np.ndarray]


@dataclass(frozen=True)
class Figure:
    """A small picture with its description; without an `src` its source stands there in words."""

    text: str
    source: str = ""
    src: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Card:
    """A prototype: its map, the range of its cosines, and the places nearest to it."""

    index: int
    usual_name: str
    name: str
    kept: bool
    score: str
    size: int
    map: Figure
    lowest: float
    highest: float
    patches: list[Figure]
    origin: str


@dataclass(frozen=True)
class Column:
    """The prototypes of one kind."""

    kind: Kind
    title: str
    text: str
    cards: list[Card]

    @property
    def kept(self) -> int:
        return sum(card.kept for card in self.cards)


def introduction(x: Explanation) -> Markup:
    """What prototypes are, and where these come from."""
    return html.render("prototypes.html", bank=x.bank, backbone=x.backbone.display_name)


def legend(bank: PrototypeBank, name: str) -> Markup:
    """What a score means at a stage, and why there may be no patches."""
    stage = bank.stage(name)
    missing = missing_patches(bank, stage)
    return html.render("prototypes-legend.html", bank=bank, stage=stage, missing=missing)


def missing_patches(bank: PrototypeBank, stage: StagePrototypes) -> str:
    """Why no patches are shown, in a sentence; empty if there are some."""
    if stage.thumbnails is not None or bank.source == "picture":
        return ""
    if bank.source == "bundled" and not any(p.members for p in stage.prototypes):
        return (
            "No patches: these were learned from photographs, which are not camviz's to hand on. "
            "Prototypes from your own pictures come with theirs."
        )
    if bank.source == "bundled":
        return "Patches of this layer do not ship, to keep the files small; where they are, does."
    return "The file that was loaded holds no patches."


def cards(x: Explanation, stage: str) -> Markup:
    """Every prototype of a stage as a card: parts of the class, and what surrounds it."""
    bank = x.bank
    assert bank is not None
    small = shrink(x.picture, x.fit)
    placement = x.placements[stage]
    cut = patches_of(x.picture) if bank.source == "picture" else None
    columns = []
    for kind, usual, title, text in COLUMNS:
        ranked = sorted(
            (p for p in x.prototypes[stage] if p.kind == kind),
            key=lambda p: (-(p.score or 0), -p.size, p.index),
        )
        found = [
            _card(small.draw(p, placement), bank, p, f"{usual} {number}", cut)
            for number, p in enumerate(ranked, start=1)
        ]
        columns.append(Column(kind, title.format(label=bank.label), text, found))
    return html.render("cards.html", columns=columns)


def _card(
    drawn: np.ndarray, bank: PrototypeBank, p: PrototypeMap, usual_name: str, cut: Cut | None
) -> Card:
    patches = [_patch(bank, p, index, member, cut) for index, member in enumerate(p.members)]
    sources = dict.fromkeys(bank.pictures[member.picture] for member in p.members)
    text = f"Where this picture is like {p.name or usual_name}"
    return Card(
        index=p.index,
        usual_name=usual_name,
        name=p.name,
        kept=p.kept,
        score="not scored" if p.score is None else f"z {_probability(p.score)}",
        size=p.size,
        map=_figure(drawn, text),
        lowest=float(p.raw.min()),
        highest=float(p.raw.max()),
        patches=patches,
        # where a source stands in the place of a patch, it is named already
        origin=", ".join(sources) if all(patch.src for patch in patches) else "",
    )


def _patch(
    bank: PrototypeBank, p: PrototypeMap, index: int, member: Member, cut: Cut | None
) -> Figure:
    """One of the nearest places: its pixels if there are any, and the picture that it is of."""
    source = bank.pictures[member.picture]
    if bank.source == "picture":
        source = f"this picture, {source}"
    text = f"{source}, cosine {member.similarity:.2f}"
    pixels = cut("", member.box) if cut else None
    if p.thumbnails is not None:
        pixels = p.thumbnails[index]
    if pixels is None:
        return Figure(text, source)
    return _figure(np.asarray(Image.fromarray(pixels).resize((PATCH, PATCH))), text)


def patches_of(picture: Picture) -> Cut:
    """Cuts patches out of the picture explained, whose own prototypes are places in it."""

    def cut(_: str, box: tuple[int, int, int, int]) -> np.ndarray:
        left, top, right, bottom = box
        return picture.pixels[top:bottom, left:right]

    return cut


@dataclass(frozen=True)
class Small:
    """A small picture, and how it would have been shown to the network, to draw small maps on."""

    pixels: np.ndarray
    fit: Fit

    def draw(self, p: PrototypeMap, placement: Placement) -> np.ndarray:
        """A cosine map over the picture, from its least value to its greatest."""
        raw = p.raw
        span = float(raw.max() - raw.min())
        heat = (raw - raw.min()) / span if span > _TINY else np.zeros_like(raw)
        visible = None if self.fit.shows_all else self.fit.visible_mask()
        drawn = draw(heat, placement, self.fit)
        return render.overlay(self.pixels, drawn, opacity=0.6, visible=visible)


def shrink(picture: Picture, fit: Fit) -> Small:
    """The picture, its longer side at most `SIDE` pixels."""
    scale = min(1.0, SIDE / max(picture.height, picture.width))
    height, width = (max(1, round(side * scale)) for side in (picture.height, picture.width))
    pixels = np.asarray(Image.fromarray(picture.pixels).resize((width, height), reducing_gap=2.0))
    return Small(pixels, fit.scaled_to(height, width))


def _figure(pixels: np.ndarray, text: str) -> Figure:
    height, width = pixels.shape[:2]
    src = _data_url(np.ascontiguousarray(pixels).tobytes(), height, width)
    return Figure(text, "", src, width, height)


@lru_cache(maxsize=512)
def _data_url(pixels: bytes, height: int, width: int) -> str:
    """`html.data_url`, cached: most pictures of the tab are the same as a moment ago."""
    return html.data_url(np.frombuffer(pixels, np.uint8).reshape(height, width, 3))


def _probability(z: float) -> str:
    """A probability, with enough digits to be told from 0 and 1."""
    return "< 0.001" if z < 0.001 else "> 0.999" if z > 0.999 else f"{z:.3f}"
