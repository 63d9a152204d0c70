"""Where the tokens that the classifier reads attend to, in every head of a transformer's block."""

from dataclasses import dataclass, field

import numpy as np

from camviz.engine.plan import attention_stages
from camviz.fit import Fit
from camviz.images import Picture
from camviz.maps.fusion import Placement
from camviz.methods import METHODS
from camviz.network.attention import weights_tap
from camviz.network.backbone import Backbone
from camviz.network.stages import Attention, AttentionBlock
from camviz.network.trace import Trace


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Attention from the reading tokens to every place, in one block.

        a[h, j] = mean_r alpha[h, r, j]

    `heads`: float32 (heads, h, w), as shares of all that is attended to. `elsewhere`: float32
    (heads,), the share that goes to tokens that are no places, such as the class token itself;
    with it each head sums to 1. `block`: its name.
    """

    block: str
    heads: np.ndarray = field(repr=False)
    elsewhere: np.ndarray
    placement: Placement
    picture: Picture
    fit: Fit

    @property
    def mean(self) -> np.ndarray:
        """The mean of all heads, (h, w)."""
        return self.heads.mean(axis=0)


def attention_of(backbone: Backbone) -> Attention:
    """The attention of a network. Raises `MethodError` if it has none that can be shown."""
    attention_stages(backbone, None, METHODS["rollout"])
    attention = backbone.discovery.attention
    assert attention is not None
    return attention


def read_heads(
    trace: Trace, attention: Attention, block: AttentionBlock
) -> tuple[np.ndarray, np.ndarray]:
    """(heads, h, w) of places and (heads,) of other tokens: `AttentionMaps` of a trace."""
    weights = trace.activations[weights_tap(block).address]
    read = weights[0, :, list(attention.readers)].mean(dim=1)  # (heads, tokens)
    places = attention.layout.to_nchw(read[:, :, None])[:, 0]
    elsewhere = read.sum(dim=1) - places.sum(dim=(1, 2))
    return places.cpu().numpy(), elsewhere.clamp(min=0).cpu().numpy()
