"""Checks that architectures can be explained: builds each, finds its stages, traces it once.

    for report in check(catalogue("resnet50")): print(report.line())

With random weights; a head that starts at zero is given small random numbers here, and here
only, because a zero head makes every gradient zero. Networks without a classifier get one.
"""

import gc
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from camviz.errors import CamvizError
from camviz.methods import METHODS
from camviz.network.backbone import wrap_backbone
from camviz.network.catalogue import Entry, catalogue
from camviz.network.taps import probe_input
from camviz.network.trace import Target, trace
from camviz.network.weights import build_untrained

# Larger inputs are halved where the network allows it: layouts need no detail.
_LARGEST_SIDE = 448
_CLASSES = 10  # of a classifier that is put on


@dataclass(frozen=True)
class CheckReport:
    """What was found out about one architecture; `problem` is "" if all is well."""

    name: str
    family: str
    stages: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()
    zero_gradient: tuple[str, ...] = ()
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
        return (
            f"{self.name:38} {self.family:24} {len(self.stages):3} stages  "
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
    options = {} if entry.classifier else {"num_classes": _CLASSES}
    model = build_untrained(entry.architecture, **options)
    _randomize_zero_heads(model)
    backbone = wrap_backbone(model, name=entry.architecture, input_size=_input_size(entry, model))
    stages = [backbone.stage(name) for name in backbone.default_stages]
    taps = [tap for stage in stages for tap in (stage.output, stage.activation)]
    traced = trace(backbone, probe_input(backbone.input_size).to(backbone.device), taps)
    gradients = traced.gradients(Target(int(traced.logits.argmax())))
    problem = ""
    for stage in stages:
        for tap in {stage.output, stage.activation}:
            heat = METHODS["layer_cam"].function(
                traced.activations[tap.address], gradients[tap.address]
            )
            if tuple(heat.shape[1:]) != tap.layout.grid or not bool(torch.isfinite(heat).all()):
                problem = f"no finite map at '{stage.name}'"
            elif not bool(gradients[tap.address].any()):
                problem = f"zero gradient at default stage '{stage.name}'"
    if backbone.discovery.missing:
        problem = f"no module carries the maps {', '.join(backbone.discovery.missing)}"
    if not stages:
        problem = "no stage has a gradient"
    return CheckReport(
        entry.architecture,
        entry.family,
        tuple(stage.name for stage in backbone.stages),
        tuple(dict.fromkeys(str(stage.layout) for stage in backbone.stages)),
        backbone.default_stages,
        tuple(stage.name for stage in backbone.stages if stage.zero_gradient),
        (time.perf_counter() - start) * 1000,
        problem,
    )


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
