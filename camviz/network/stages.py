"""A stage: a resolution of a network at which it can be explained."""

from dataclasses import dataclass
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
class Discovery:
    """What `discover` finds in a network: its stages, shallow to deep, and what is missing.

    `defaults` are the names of the stages that are explained unless others are chosen.
    `pre_pool` is the map that enters the pooling, if the network has one. `missing` names maps
    that no module's output carries. `logits` is how many the network gives, `input_size` the
    (channels, height, width) at which it was run. `squash`: the softmax or sigmoid at its end, as
    `camviz.network.squash` has it; None: it gives logits.
    """

    stages: tuple[Stage, ...]
    defaults: tuple[str, ...]
    pre_pool: Tap | None
    missing: tuple[str, ...]
    logits: int
    input_size: tuple[int, int, int]
    squash: str | None = None
