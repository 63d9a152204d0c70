"""How a transformer attends: heads, how the gradient weighs them, and the map that comes of it."""

import numpy as np
import torch

from camviz.engine.explanation import Explanation
from camviz.engine.head_steps import BlockSteps, HeadSteps
from camviz.maps.fusion import normalize
from camviz.methods import METHODS
from camviz.ui.compute import engine
from camviz.ui.layers import readers_in_words
from camviz.ui.learn.stories.common import digits, lines, on_picture, percent, size_of
from camviz.ui.viewer.stories import Figure, Group, Maps, Story, StoryLayer, StoryStep

KEY, TITLE = "attention", "How a transformer attends"
BLOCKS, HEADS = 3, 4  # that are shown
_SIGNS = {
    "gae": {"ReLU(g_b · α_b)": "head"},
    "daam": {"α_b · Σ_d ReLU(c_b) · V_b": "head"},
}


def story(x: Explanation, maps: Maps) -> Story:
    """The heads that added most in the last blocks. x: by GAE or DAAM."""
    found = engine().head_steps(x)
    steps = (
        _tokens(x, found),
        _heads(x, found, maps),
        _weighed(x, found, maps),
        _map(x, found, maps),
    )
    layer = StoryLayer(key="", name="", steps=steps)
    return Story(
        key=KEY,
        title=TITLE,
        note=f"The map is that of {METHODS[found.method].label}.",
        layers=(layer,),
    )


def blocks_shown(found: HeadSteps) -> tuple[BlockSteps, ...]:
    """The last blocks whose heads add anything, shallow to deep."""
    adding = [block for block in found.blocks if block.heads.any()]
    return tuple((adding or list(found.blocks))[-BLOCKS:])


def heads_shown(block: BlockSteps) -> list[int]:
    """The heads of a block that add most, the greatest first."""
    totals = block.heads.sum(axis=(1, 2))
    return [int(head) for head in np.argsort(-totals, kind="stable")[:HEADS]]


def _tokens(x: Explanation, found: HeadSteps) -> StoryStep:
    attention = x.backbone.discovery.attention
    assert attention is not None
    height, width = found.raw.shape
    block = attention.blocks[0]
    places = height * width
    others = block.tokens - places
    stands = "stands" if others == 1 else "stand"
    more = f", and adds {others} that {stands} for no place" if others else ""
    tokens = Figure(
        name=f"{size_of(found.raw.shape)} patches",
        alt=f"The picture in {size_of(found.raw.shape)} patches",
        grid=(height, width),
    )
    return StoryStep(
        title="A picture becomes tokens",
        says=f"The network cuts the picture into {places} patches and makes a token of each{more}. "
        f"In each of its {len(found.blocks)} blocks, {block.heads} heads let every token read the "
        "others.",
        groups=(Group(symbol="tokens", name="the patches", figures=(tokens,), size="large"),),
    )


def _heads(x: Explanation, found: HeadSteps, maps: Maps) -> StoryStep:
    readers, groups = readers_in_words(x.backbone), []
    for block in reversed(blocks_shown(found)):
        figures = []
        for head in heads_shown(block):
            attention = torch.from_numpy(block.attention[head])
            share = float(attention.sum())
            figures.append(
                on_picture(
                    maps, normalize(attention).numpy(), x.placements[x.stages[-1]],
                    f"head {head + 1}",
                    "" if share > 0.995 else f"{percent(share)} to places",
                    alt=f"Head {head + 1} of {_number(found, block)}: what {readers} reads",
                )
            )  # fmt: skip
        name = f"α of {_number(found, block)}"
        groups.append(Group(symbol="attention", name=name, figures=tuple(figures), size="medium"))
    return StoryStep(
        title="Each head reads elsewhere",
        says=f"Bright is where {readers} reads in the last blocks. It is the same for every class: "
        "attention alone does not say what counted.",
        formulas=lines(("a_hj = mean_r α_hrj", {"α_hrj": "attention", "a_hj": "attention"})),
        groups=tuple(groups),
    )


def _number(found: HeadSteps, block: BlockSteps) -> str:
    names = [each.name for each in found.blocks]
    return f"block {names.index(block.name) + 1} of {len(names)}"


def _weighed(x: Explanation, found: HeadSteps, maps: Maps) -> StoryStep:
    groups = []
    for block in reversed(blocks_shown(found)):
        whole = float(np.abs(block.heads).sum()) or 1.0
        figures = tuple(
            maps.figure(
                block.heads[head],
                f"head {head + 1}",
                percent(float(block.heads[head].sum()) / whole),
                alt=f"What head {head + 1} of {_number(found, block)} adds",
                signed=bool((block.heads < 0).any()),
            )
            for head in heads_shown(block)
        )
        groups.append(
            Group(symbol="head", name=f"added in {_number(found, block)}", figures=figures)
        )
    how = {
        "gae": "Attention that would raise the score counts, the rest does not",
        "daam": "What a head passes on counts by the channels that would raise the score",
    }[found.method]
    return StoryStep(
        title=f"The gradient for “{x.label}” weighs them",
        says=f"{how}. The numbers are shares of what all heads of a block add and take away.",
        formulas=lines((METHODS[found.method].formula, _SIGNS[found.method])),
        groups=tuple(groups),
    )


def _map(x: Explanation, found: HeadSteps, maps: Maps) -> StoryStep:
    stage, whole = x.stages[-1], float(found.raw.sum()) or 1.0
    blocks = tuple(
        maps.figure(
            block.raw, f"block {number}", percent(float(block.raw.sum()) / whole),
            alt=f"What block {number} adds",
        )
        for number, block in enumerate(found.blocks, 1)
    )[-12:]  # fmt: skip
    laid = on_picture(
        maps, x.normalized[stage], x.placements[stage], "on the picture",
        f"up to {digits(found.raw.max())}", alt="The map of all blocks on the picture",
    )  # fmt: skip
    return StoryStep(
        title="Block after block adds up to the map",
        says=f"What the {len(found.blocks)} blocks add makes the map of “{x.label}”.",
        formulas=lines((METHODS[found.method].formula, {"M": "map"})),
        groups=(
            Group(symbol="blocks", name="what each block adds", figures=blocks),
            Group(symbol="map", name="M: all of them", figures=(laid,), sign="=", size="large"),
        ),
    )
