"""A stage: a resolution of a network at which it can be explained."""

from dataclasses import dataclass, field
from typing import Literal

from camviz.network.layouts import Layout
from camviz.network.taps import Tap

TapKind = Literal["output", "activation"]


@dataclass(frozen=True)
class Stage:
    """A resolution of the network at which its predictions can be explained.

    `output` is the tensor that timm calls the stage; `activation` the last post-activation
    tensor at that resolution, which is where class evidence is non-negative and local (the
    linear bottlenecks of MobileNets and EfficientNets are neither). Where the output is already
    post-activation, or nothing else is, both are the same tap. `activated`: `activation` is the
    result of an activation function. `reduction` is input pixels per cell. `zero_gradient`: the
    logits do not depend on this map (the last block of a network that pools a class token), so
    that its gradient is exactly zero.
    """

    name: str
    output: Tap
    activation: Tap
    reduction: float
    zero_gradient: bool = False
    activated: bool = False

    @property
    def layout(self) -> Layout:
        return self.output.layout

    @property
    def channels(self) -> int:
        return self.output.channels

    @property
    def grid(self) -> tuple[int, int]:
        return self.output.layout.grid

    def tap(self, kind: TapKind) -> Tap:
        return self.activation if kind == "activation" else self.output


@dataclass(frozen=True)
class AttentionBlock:
    """A block of a transformer, in which every token attends to every token.

    `name`: of the block, `module`: of what attends in it. `call`: which call of attention it is in
    a pass. `width`: of each head.
    """

    name: str
    module: str
    call: int
    heads: int
    tokens: int
    width: int

    @property
    def nbytes(self) -> int:
        """Bytes of its attention for one picture, in single precision."""
        return 4 * self.heads * self.tokens**2


@dataclass(frozen=True)
class Attention:
    """The attention blocks of a network: nothing else in it passes from one token to another.

    `layout`: how tokens are read as a map. `readers`: the tokens from which the head reads: the
    class token in most networks, all places where it takes their mean.
    """

    blocks: tuple[AttentionBlock, ...]
    layout: Layout
    readers: tuple[int, ...] = field(repr=False)

    @property
    def nbytes(self) -> int:
        """Bytes of the attention of all blocks for one picture, in single precision."""
        return sum(block.nbytes for block in self.blocks)

    def block(self, name: str) -> AttentionBlock | None:
        """The block of that name, or the one that a module of that name is in."""
        for block in self.blocks:
            if f"{name}.".startswith(f"{block.name}."):
                return block
        return None


@dataclass(frozen=True)
class Discovery:
    """What `discover` finds in a network: its stages, shallow to deep, and what is missing.

    `defaults` are the names of the stages that are explained unless others are chosen.
    `pre_pool` is the map that enters the pooling, if the network has one. `missing` names maps
    that no module's output carries. `logits` is how many the network gives, `input_size` the
    (channels, height, width) at which it was run. `squash`: the softmax or sigmoid at its end, as
    `camviz.network.squash` has it; None: it gives logits. `features`: what it gives are no logits
    but pooled features or an embedding of them. It has no classes then, and the default stages are
    chosen without regard to gradients. `attention`: None where it does not explain the network, for
    the reason `no_attention`.
    """

    stages: tuple[Stage, ...]
    defaults: tuple[str, ...]
    pre_pool: Tap | None
    missing: tuple[str, ...]
    logits: int
    input_size: tuple[int, int, int]
    squash: str | None = None
    features: bool = False
    attention: Attention | None = None
    no_attention: str = ""
