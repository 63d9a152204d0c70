"""What every head of a transformer adds to a map of attention, block by block.

found = engine.head_steps(x)           # x by GAE or DAAM
found.raw == found.start + sum(block.raw for block in found.blocks)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camviz.engine.explanation import Explanation
from camviz.errors import MethodError
from camviz.methods import METHODS
from camviz.methods.attention import daam
from camviz.network.layouts import Layout

METHODS_OF_HEADS = ("gae", "daam")


@dataclass(frozen=True, eq=False)
class BlockSteps:
    """What one block adds to the map.

    `attention`: what the reading tokens read of each place, (heads, h, w), as shares. `heads`: what
    each head adds, (heads, h, w), with DAAM before the ReLU of the block. `raw`: what all of them
    add, (h, w).
    """

    name: str
    attention: np.ndarray = field(repr=False)
    heads: np.ndarray = field(repr=False)
    raw: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class HeadSteps:
    """The map of the last block, and what it is added up from.

    `start`: what the places had before the first block, (h, w): 0 unless the classifier reads the
    places themselves. `blocks`: shallow to deep.
    """

    method: str
    start: np.ndarray = field(repr=False)
    blocks: tuple[BlockSteps, ...]
    raw: np.ndarray = field(repr=False)


# What one block adds: of each head, (heads, n), and in all, (n,).
Added = tuple[Tensor, Tensor]


def check_head_steps(x: Explanation) -> None:
    """Raise `MethodError` for a map that is not added up from heads, or of several views."""
    if x.request.method not in METHODS_OF_HEADS:
        names = " and ".join(METHODS[name].label for name in METHODS_OF_HEADS)
        raise MethodError(
            f"the map of {METHODS[x.request.method].label} is not added up from heads; those of "
            f"{names} are"
        )
    if x.request.views != "one":
        raise MethodError("the maps of several views were averaged; take views 'one'")


def heads_of_gae(
    attention: Sequence[Tensor], attention_gradients: Sequence[Tensor], readers: Tensor
) -> list[Added]:
    """What each block adds to `camviz.methods.attention.gae`, shallow to deep; one picture.

        R ← R + mean_h relu(g_b · α_b) R:   head h adds r relu(g_b · α_b)_h / heads

    r: what has come down to the block from those behind it.
    """
    relevance, found = readers, []
    for weights, gradient in zip(reversed(attention), reversed(attention_gradients), strict=True):
        raised = (weights * gradient).relu()
        heads = torch.einsum("ni,nhij->nhj", relevance, raised)[0] / weights.shape[1]
        found.append((heads, heads.sum(dim=0)))
        relevance = relevance + heads.sum(dim=0)
    return found[::-1]


def heads_of_daam(
    attention: Sequence[Tensor],
    values: Sequence[Tensor],
    output_gradients: Sequence[Tensor],
    readers: Tensor,
) -> list[Added]:
    """What each block adds to `camviz.methods.attention.daam`, shallow to deep; one picture.

    head h: mean_r α_b · Σ_d ReLU(c_b) · V_b;   the block: mean_r ReLU of their sum
    """
    found, reading = [], readers[0].nonzero().flatten()
    for weights, value, gradient in zip(attention, values, output_gradients, strict=True):
        raising = gradient[0][:, reading].relu() @ value[0].transpose(-2, -1)
        taken = weights[0][:, reading] * raising  # (heads, readers, n)
        heads = torch.einsum("r,hrj->hj", readers[0, reading], taken)
        found.append((heads, daam([weights], [value], [gradient], readers)[0]))
    return found


def head_steps(x: Explanation, layout: Layout, read: Mapping[str, Any]) -> HeadSteps:
    """Lay open the map of the deepest stage of an explanation.

    layout: how tokens are read as a map. read: what methods of attention read of all blocks, by the
    names of their arguments (`camviz.engine.stage_map.of_attention`), and "blocks", their names.
    """
    method, readers = x.request.method, read["readers"]
    if method == "gae":
        added = heads_of_gae(read["attention"], read["attention_gradients"], readers)
    else:
        added = heads_of_daam(read["attention"], read["values"], read["output_gradients"], readers)

    def places(tokens: Tensor) -> np.ndarray:  # (m, n) -> (m, h, w)
        return layout.to_nchw(tokens[:, :, None])[:, 0].float().cpu().numpy()

    blocks = []
    for name, weights, (heads, total) in zip(read["blocks"], read["attention"], added, strict=True):
        attended = torch.einsum("i,hij->hj", readers[0], weights[0])
        blocks.append(BlockSteps(name, places(attended), places(heads), places(total[None])[0]))
    start = readers if method == "gae" else torch.zeros_like(readers)
    return HeadSteps(method, places(start)[0], tuple(blocks), x.raw[x.stages[-1]])
