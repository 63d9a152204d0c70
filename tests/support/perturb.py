"""Networks as people bring them: any architecture, changed or wrapped, from a seed.

case = draw_case(random.Random(7), architectures)
check_case(case, photo)       # raises AssertionError unless camviz is right or says why not
"""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from camviz import Engine, wrap_backbone
from camviz.errors import CamvizError

import timm  # isort: skip  after vision_ops


class Lightning(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.model = network

    def forward(self, x: torch.Tensor) -> Any:
        return self.model(x)


class Normalising(Lightning):
    def forward(self, x: torch.Tensor) -> Any:
        return self.model(x * 2 - 1)


@dataclass
class Case:
    """A network to be explained. `twin`: the timm network in it; None if it must be refused.

    `cause`: what the refusal must name. `labels`: how many are given.
    """

    seed: int
    architecture: str
    steps: list[str] = field(default_factory=list)
    create: dict[str, Any] = field(default_factory=dict)
    wrap: dict[str, Any] = field(default_factory=dict)
    cause: str | None = None

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.architecture}, {', '.join(self.steps) or 'as it is'}"


def _put_head(model: nn.Module, classes: int) -> nn.Module:
    """A new linear layer in the place of the classifier, without timm's help where it is one."""
    if not isinstance(model.get_classifier(), nn.Linear):
        model.reset_classifier(classes)
        return model
    for name, module in list(model.named_modules())[::-1]:
        if module is model.get_classifier():
            parent, _, last = name.rpartition(".")
            head = nn.Linear(module.in_features, classes)
            setattr(model.get_submodule(parent), last, head)
            return model
    raise AssertionError("no classifier")


def _squash_head(model: nn.Module) -> nn.Module:
    """A softmax behind the classifier, in the network itself."""
    for name, module in list(model.named_modules())[::-1]:
        if isinstance(module, nn.Linear) and module is model.get_classifier():
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, nn.Sequential(module, nn.Softmax(dim=1)))
    return model


def _spoil(model: nn.Module, value: float) -> nn.Module:
    with torch.no_grad():
        weight = next(p for p in model.parameters() if p.ndim > 1)
        weight[(0,) * weight.ndim] = value
    return model


def _checkpointing(model: nn.Module) -> nn.Module:
    with suppress(AttributeError, AssertionError):  # not every architecture has it
        model.set_grad_checkpointing()
    return model


def _trained(model: nn.Module) -> nn.Module:
    return model.train().requires_grad_(True)


def _picture_for(model: nn.Module) -> torch.Tensor:
    weight = next(m for m in model.modules() if isinstance(m, nn.Conv2d)).weight
    sides = model.pretrained_cfg["input_size"][1:]
    return torch.zeros(1, weight.shape[1], *sides, dtype=weight.dtype)


SQUASHED = "a softmax in the head"
# What is done to a built network, to end with a healthy one ...
CHANGES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "a head of its own": lambda model: _put_head(model, 6),
    "checkpointing": _checkpointing,
    "train mode": _trained,
    "half": lambda model: model.half(),
    "bfloat16": lambda model: model.bfloat16(),
    "double": lambda model: model.double(),
    "frozen": lambda model: model.requires_grad_(False),
    "channels last": lambda model: model.to(memory_format=torch.channels_last),
    SQUASHED: _squash_head,
}
# ... or with one that cannot be explained, and the word that the refusal must hold.
FAULTS: dict[str, tuple[Callable[[nn.Module], Any], str]] = {
    "NaN weights": (lambda model: _spoil(model, float("nan")), "NaN"),
    "infinite weights": (lambda model: _spoil(model, float("inf")), "infinite"),
    "on meta": (lambda model: model.to("meta"), "meta"),
    "quantised": (
        lambda model: torch.ao.quantization.quantize_dynamic(model, {nn.Linear}),
        "quantised",
    ),
    "traced": (
        lambda model: torch.jit.trace(model.eval(), _picture_for(model), check_trace=False),
        "scripted or traced",
    ),
    "normalising": (Normalising, "other class scores"),
    "a softmin behind": (
        lambda model: nn.Sequential(model, nn.Softmin(dim=1), nn.Dropout(0)),
        "pass the timm network",
    ),
    "a head that does not fit": (
        lambda model: nn.Sequential(model, nn.Linear(7, 2)),
        "pass the timm network",
    ),
    "not a network": (lambda model: model.state_dict(), "takes a network"),
}
WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "data parallel": nn.DataParallel,
    "average": AveragedModel,
    "compiled": torch.compile,
    "lightning": Lightning,
    "sequential": nn.Sequential,
    "a softmax behind": lambda model: nn.Sequential(model, nn.Softmax(dim=1), nn.Dropout(0)),
}
CREATIONS: list[tuple[str, dict[str, Any], str | None]] = [
    ("five classes", {"num_classes": 5}, None),
    ("one class", {"num_classes": 1}, None),
    ("grey", {"in_chans": 1}, None),
    ("four channels", {"in_chans": 4}, "4 channels"),
    ("features", {"num_classes": 0}, None),
]


def draw_case(seed: int, architectures: Sequence[str]) -> Case:
    """A case, the same for the same seed."""
    source = random.Random(seed)
    case = Case(seed, source.choice(list(architectures)))
    if source.random() < 0.5:
        name, case.create, case.cause = source.choice(CREATIONS)
        case.steps.append(name)
    if case.cause is None and case.create.get("num_classes", 2) > 1 and source.random() < 0.3:
        case.wrap["output"] = source.choice(["softmax", "sigmoid", "value"])
        case.steps.append(f"output {case.wrap['output']}")
    if case.cause is None:
        # A softmax contradicts another output, and is always 1 of one class.
        plain = case.wrap or case.create.get("num_classes", 2) < 2
        left_out = {SQUASHED, "a softmax behind"} if plain else set()
        names = source.sample(sorted(set(CHANGES) - left_out), source.choice([0, 1, 2]))
        names.sort(key=lambda name: name == SQUASHED)  # behind the head that is put on
        if {"half", "bfloat16", "double"} & set(names) and source.random() < 0.5:
            names = names[:1]
        case.steps += names
        if source.random() < 0.35:
            name = source.choice(sorted(FAULTS))
            case.cause = FAULTS[name][1]
            case.steps.append(name)
        elif source.random() < 0.5:
            case.steps.append(source.choice(sorted(set(WRAPPERS) - left_out)))
        if source.random() < 0.2:
            case.wrap["input_size"] = source.choice([96, (96, 128), (128, 96)])
            case.steps.append(f"size {case.wrap['input_size']}")
        single = case.create.get("num_classes") == 1 and "a head of its own" not in case.steps
        if single and source.random() < 0.5:
            case.wrap["labels"] = ["without", "with"]
            case.steps.append("two labels")
    return case


def build(case: Case) -> tuple[Any, nn.Module]:
    """(what is given to camviz, the timm network in it)."""
    torch.manual_seed(case.seed)
    try:
        model = timm.create_model(case.architecture, zero_init_last=False, **case.create)
    except TypeError:  # only ResNets have it, and not all
        model = timm.create_model(case.architecture, **case.create)
    for module in model.modules():  # zero heads make every map empty
        if isinstance(module, (nn.Linear, nn.Conv2d)) and not bool(module.weight.any()):
            nn.init.normal_(module.weight, std=0.02)
    given: Any = model
    for step in case.steps:
        if step in CHANGES:
            given = model = CHANGES[step](model)
    for step in case.steps:
        if step in FAULTS:
            given = FAULTS[step][0](model)
        elif step in WRAPPERS:
            given = WRAPPERS[step](model)
    return given, model


def check_case(case: Case, photo: np.ndarray) -> str:
    """ "refused" or "explained"; an AssertionError, or any raw error, if camviz is wrong."""
    given, model = build(case)
    if _is_harmless(case, given, model):
        case.cause = None
    try:
        backbone = wrap_backbone(given, device="cpu", **case.wrap)
        method = "layer_cam" if backbone.has_classes else "eigen_cam"
        x = Engine("cpu").explain(photo, backbone, method=method, checkerboard="keep")
    except CamvizError as error:
        size_refused = "input_size" in case.wrap and "that was set" in str(error)
        assert size_refused or (case.cause and case.cause in str(error)), f"{case}: {error}"
        return "refused"
    assert case.cause is None, f"{case}: explained, though {case.cause}"
    if case.create.get("num_classes") == 0 and "a head of its own" not in case.steps:
        _check_features(case, x, model)
        return "explained"
    _check_labels(case, x, model.num_classes)
    _check_maps(case, x, model)
    return "explained"


def _is_harmless(case: Case, given: Any, model: nn.Module) -> bool:
    """Whether what should spoil a network left this one as it was."""
    if case.cause == "quantised":  # layers of timm's own classes are not quantised
        return not any("quantized" in type(m).__module__ for m in given.modules())
    if case.cause == "4 channels":  # ignored by stems that need colour
        weight = next(model.parameters())
        with suppress(RuntimeError), torch.no_grad():
            model(torch.zeros(1, 3, *model.pretrained_cfg["input_size"][1:]).to(weight))
            return True
    if case.cause == "other class scores":  # an untrained network may give the same for all
        sides = case.wrap.get("input_size", model.pretrained_cfg["input_size"][1:])
        sides = (sides, sides) if isinstance(sides, int) else sides
        channels = case.create.get("in_chans", 3)
        pixels = torch.randn(1, channels, *sides).to(next(model.parameters()))
        training = model.training
        with suppress(RuntimeError, AssertionError), torch.no_grad():
            here, there = (model.eval()(each) for each in (pixels, pixels * 2 - 1))
            model.train(training)
            here, there = (y[0] if isinstance(y, (list, tuple)) else y for y in (here, there))
            return bool((here - there).abs().max() < 2e-3 * here.abs().max())
    return False


def _check_labels(case: Case, x: Any, own: int) -> None:
    """As many labels as logits, and probabilities of the right kind."""
    classes = 6 if "a head of its own" in case.steps else case.create.get("num_classes", own)
    count = 2 if "labels" in case.wrap else classes
    assert len(x.backbone.labels) == len(x.logits) == len(x.predictions) == count, str(case)
    figures = np.array([p for *_, p in sorted(x.predictions)])
    kind = case.wrap.get("output", "sigmoid" if classes == 1 else "softmax")
    assert x.backbone.output == kind, str(case)
    logits = x.logits.astype(np.float64)
    expected = {
        "softmax": np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum(),
        "sigmoid": 1 / (1 + np.exp(-logits)),
        "value": logits,
    }[kind]
    np.testing.assert_allclose(figures, expected, rtol=1e-4, atol=1e-6, err_msg=str(case))


def _check_features(case: Case, x: Any, model: nn.Module) -> None:
    """No classes, and what the network gives are its pooled features, from its last map."""
    assert (x.backbone.output, x.backbone.labels, x.predictions) == ("features", (), []), str(case)
    image, _ = x.backbone.prepare(x.picture)
    with torch.no_grad():
        given = model.float().eval()(image)
    given = given[0] if isinstance(given, (list, tuple)) else given
    np.testing.assert_allclose(x.logits, given[0], rtol=1e-4, atol=1e-5, err_msg=str(case))
    assert all(np.isfinite(raw).all() and raw.any() for raw in x.raw.values()), str(case)


def _check_maps(case: Case, x: Any, model: nn.Module) -> None:
    """Every LayerCAM map equals plain autograd's: relu(g) * A summed over channels."""
    image, _ = x.backbone.prepare(x.picture)
    stored: dict[Any, torch.Tensor] = {}
    taps = {name: x.backbone.stage(name).activation for name in x.stages}
    handles = []
    for tap in taps.values():
        calls = [0]

        def keep(module: Any, inputs: Any, output: Any, tap: Any = tap, calls: Any = calls) -> Any:
            calls[0] += 1
            if calls[0] - 1 != tap.call or tap.path:
                return None
            stored[tap] = output
            return output.clone()

        handles.append(model.get_submodule(tap.module).register_forward_hook(keep))
    switches = [m for m in model.modules() if vars(m).get("grad_checkpointing") is True]
    for module in switches:
        module.grad_checkpointing = False
    squash = next((m for m in [*model.modules()][::-1] if isinstance(m, nn.Softmax)), None)
    before: list[Any] = []
    if SQUASHED in case.steps and squash is not None:
        handles.append(squash.register_forward_pre_hook(lambda m, inputs: before.extend(inputs)))
    # Two pictures: alone, torch differentiates batch norms wrongly (camviz.network.batch_norm).
    pair = 1 if any(tap.layout.kind == "permuted" for tap in taps.values()) else 2
    logits = model.float().eval()(image.repeat(pair, 1, 1, 1).requires_grad_(True))
    logits = logits[0] if isinstance(logits, (list, tuple)) else logits
    if before and torch.equal(before[-1].softmax(dim=1), logits):  # and not one of two heads
        logits = before[-1]
    sign = -1 if "labels" in case.wrap and x.target == 0 else 1
    number = sign * logits.flatten(1)[0, 0 if "labels" in case.wrap else x.target]
    for module in switches:
        module.grad_checkpointing = True
    for handle in handles:
        handle.remove()
    kept = {name: tap for name, tap in taps.items() if tap in stored}
    assert kept, f"{case}: no map to compare"
    gradients = torch.autograd.grad(number, [stored[tap] for tap in kept.values()])
    for (name, tap), gradient in zip(kept.items(), gradients, strict=True):
        g, a = (tap.layout.to_nchw(each.detach())[:1].double() for each in (gradient, stored[tap]))
        expected = (g.clamp(min=0) * a).sum(dim=1)[0].numpy()
        scale = np.abs(expected).max() or 1.0
        error = np.abs(x.raw[name] - expected).max() / scale
        assert error < 1e-3, f"{case}: {name} differs from autograd by {error:.2g}"
