"""Checks that architectures can be explained: builds each, finds its stages, traces it once.

    for report in check(catalogue("resnet50")): print(report.line())

With random weights; a head that starts at zero is given small random numbers here, and here
only, because a zero head makes every gradient zero. Networks without classes are checked by the
maps of their features.
"""

import gc
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from camviz.errors import CamvizError
from camviz.methods import METHODS
from camviz.network.backbone import Backbone, wrap_backbone
from camviz.network.catalogue import Entry, catalogue
from camviz.network.stages import Stage
from camviz.network.taps import probe_input
from camviz.network.target import Target
from camviz.network.trace import Trace, trace
from camviz.network.weights import build_untrained

# Larger inputs are halved where the network allows it: layouts need no detail.
_LARGEST_SIDE = 448


@dataclass(frozen=True)
class CheckReport:
    """What was found out about one architecture; `problem` is "" if all is well.

    `blocks`: in how many blocks every token attends to all; `no_attention`: why in none.
    """

    name: str
    family: str
    stages: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()
    classes: int = 0
    zero_gradient: tuple[str, ...] = ()
    blocks: int = 0
    no_attention: str = ""
    milliseconds: float = 0
    problem: str = ""

    @property
    def ok(self) -> bool:
        return not self.problem

    def line(self) -> str:
        """The report on one line, in columns."""
        if not self.ok:
            return f"{self.name:38} {self.family:24} FAILED  {self.problem}"
        zero = f"  zero gradient: {', '.join(self.zero_gradient)}" if self.zero_gradient else ""
        zero = zero if self.classes else "  features only"
        attention = f"{self.blocks} blocks" if self.blocks else "-"
        return (
            f"{self.name:38} {self.family:24} {len(self.stages):3} stages  {attention:10} "
            f"{'/'.join(self.layouts):12} {self.milliseconds:6.0f} ms  "
            f"{' '.join(self.defaults)}{zero}"
        )


def smallest_of_each_family() -> list[Entry]:
    """One architecture of every timm module: the smallest, if possible one that classifies."""
    best: dict[str, tuple[bool, int, Entry]] = {}
    for entry in catalogue():
        if entry.name.startswith("test_") or entry.source == "bundled":
            continue
        rank = (not entry.classifier, entry.parameters or 10**12, entry)
        if entry.family not in best or rank[:2] < best[entry.family][:2]:
            best[entry.family] = rank
    return [entry for *_, entry in sorted(best.values(), key=lambda rank: rank[2].family)]


def check(entries: Iterable[Entry]) -> Iterator[CheckReport]:
    """A report for each catalogue entry's architecture, one after the other."""
    for entry in entries:
        try:
            yield _check(entry)
        except CamvizError as error:
            yield CheckReport(entry.architecture, entry.family, problem=str(error))
        gc.collect()


def _check(entry: Entry) -> CheckReport:
    start = time.perf_counter()
    model = build_untrained(entry.architecture)
    _randomize_zero_heads(model)
    backbone = wrap_backbone(model, name=entry.architecture, input_size=_input_size(entry, model))
    stages = [backbone.stage(name) for name in backbone.default_stages]
    taps = [tap for stage in stages for tap in (stage.output, stage.activation)]
    traced = trace(backbone, probe_input(backbone.input_size).to(backbone.device), taps)
    problem = _problem_of_maps(backbone, stages, traced)
    if backbone.discovery.missing:
        problem = f"no module carries the maps {', '.join(backbone.discovery.missing)}"
    if not stages:
        problem = "no stage has a gradient"
    attention = backbone.discovery.attention
    return CheckReport(
        entry.architecture,
        entry.family,
        tuple(stage.name for stage in backbone.stages),
        tuple(dict.fromkeys(str(stage.layout) for stage in backbone.stages)),
        backbone.default_stages,
        len(backbone.labels),
        tuple(stage.name for stage in backbone.stages if stage.zero_gradient),
        0 if attention is None else len(attention.blocks),
        backbone.discovery.no_attention,
        (time.perf_counter() - start) * 1000,
        problem,
    )


def _problem_of_maps(backbone: Backbone, stages: Sequence[Stage], traced: Trace) -> str:
    """What is wrong with the maps of the default stages; "" if nothing is.

    LayerCAM of the top class; Eigen-CAM of a network without classes.
    """
    method = METHODS["layer_cam" if backbone.has_classes else "eigen_cam"]
    gradients = {}
    if method.uses_gradients:
        gradients = traced.gradients(Target(int(traced.logits.argmax())))
    problem = ""
    for stage in stages:
        for tap in {stage.output, stage.activation}:
            arguments = [traced.activations[tap.address]]
            arguments += [gradients[tap.address]] if gradients else []
            heat = method.function(*arguments)
            if tuple(heat.shape[1:]) != tap.layout.grid or not bool(torch.isfinite(heat).all()):
                problem = f"no finite map at '{stage.name}'"
            elif gradients and not bool(gradients[tap.address].any()):
                problem = f"zero gradient at default stage '{stage.name}'"
    return problem


def _randomize_zero_heads(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)) and not bool(module.weight.any()):
            nn.init.trunc_normal_(module.weight, std=0.02, generator=generator)


def _input_size(entry: Entry, model: nn.Module) -> tuple[int, int, int]:
    """The network's own input size, or half of it if that is large and half will do."""
    channels, height, width = entry.input_size
    if max(height, width) <= _LARGEST_SIDE:
        return entry.input_size
    half = (channels, height // 64 * 32, width // 64 * 32)
    try:
        with torch.no_grad():
            model.eval()(probe_input(half))
    except (RuntimeError, AssertionError, ValueError):
        return entry.input_size
    return half
