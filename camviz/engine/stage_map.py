"""One map of one stage: from what was traced to a raw map, and what to know about it."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camviz.engine.notes import Denoising, Notes, scoring_sentence, write_sentences
from camviz.engine.options import Request
from camviz.engine.plan import Plan
from camviz.errors import MethodError, PrototypeError
from camviz.maps.fusion import is_empty
from camviz.methods import METHODS, Method, denoise
from camviz.methods.activation import cosine_maps
from camviz.methods.gradient import Evidence, evidence, smooth_checkerboard
from camviz.network.attention import output_tap, values_tap, weights_tap
from camviz.network.head import HeadWeights
from camviz.network.relevance import TokenRelevance
from camviz.network.stages import Attention, Stage
from camviz.network.taps import Address, Tap
from camviz.network.target import Target
from camviz.network.trace import Trace
from camviz.prototypes.bank import PrototypeBank
from camviz.prototypes.prototype import StagePrototypes

# From this unevenness on, a gradient in front of a strided layer is smoothed: on drawn scenes with
# exact masks that raises average precision by 0.013 (stride 8) and 0.016 (stride 16) where the
# unevenness is only 1.04 to 1.06, and costs nothing at stride 4 (benchmarks/against_truth.py).
CHECKERBOARD = 1.02


@dataclass(frozen=True, eq=False)
class MapInputs:
    """What the maps of all stages of one explanation are computed from.

    `target`: None of a network without classes. `coarsest`: the largest reduction of the network's
    stages. `gradients`: d target / d
    activation by tap; `head`, `bank`: for methods that use them; `rivals`: prototypes of other
    classes, which count as context. `attention`: of a transformer, for methods that read it;
    `relevance`: what enters each of its blocks, for methods that pass it back. `scored`: the
    target's map by tap, (1, h, w), for methods that score changes of the network's maps or of the
    picture.
    """

    request: Request
    target: Target | None
    trace: Trace
    coarsest: float
    gradients: Mapping[Address, Tensor] = field(default_factory=dict)
    head: HeadWeights | None = None
    bank: PrototypeBank | None = None
    rivals: tuple[PrototypeBank, ...] = ()
    attention: Attention | None = None
    relevance: TokenRelevance | None = None
    scored: Mapping[Address, Tensor] = field(default_factory=dict)

    @property
    def method(self) -> Method:
        return METHODS[self.request.method]


@dataclass(frozen=True, eq=False)
class StageMap:
    """The map of one stage at its own resolution, and what to know about it.

    `raw`: float32 (h, w) before any ReLU. `plain`: the same without truncation, if the gradient
    was truncated. `cosines`: float32 (n, h, w), of each prototype of a bank.
    """

    raw: np.ndarray
    plain: np.ndarray | None
    notes: Notes
    cosines: np.ndarray | None


def compute_stage_map(stage: Stage, tap: Tap, inputs: MapInputs) -> StageMap:
    """The map of one stage by the method of the request, at one of its tensors.

    Raises `MethodError` if the map is not finite, `PrototypeError` if the bank does not fit.
    """
    method, trace, request = inputs.method, inputs.trace, inputs.request
    available: dict[str, Any] = {}
    if method.uses_attention:
        available |= of_attention(stage, inputs)
    else:
        available["activations"] = trace.activations[tap.address]
    found: Evidence | None = None
    smoothed = False
    options: dict[str, Any] = {}
    prototypes = None
    if inputs.head is not None:
        available |= {"features": available["activations"], "weights": inputs.head.weights}
    if inputs.bank is not None:
        prototypes = _fitting_prototypes(inputs.bank, stage, tap)
        device = available["activations"].device
        for kind in ("foreground", "context"):
            available[kind] = prototypes.kept(kind).to(device)
        options["aggregate"] = request.aggregate
        options["rivals"] = [
            rival.stage(stage.name).kept("foreground").to(device) for rival in inputs.rivals
        ]
    if method.truncates:
        gradient = inputs.gradients[tap.address]
        found = trace.memoize(
            ("evidence", inputs.target, tap.address),
            lambda: evidence(available["activations"], gradient),
        )
        smoothed = method.smooth and _is_smoothed(found, stage, inputs)
        available["gradients"] = smooth_checkerboard(gradient) if smoothed else gradient
    unread = False
    if method.scoring is not None:
        raw = inputs.scored[tap.address][0]
        unread = not method.scoring.whole and not bool(raw.any())  # no change of it changed a score
    else:
        raw = method.function(**{name: available[name] for name in method.needs}, **options)[0]
    if method.uses_attention:
        raw = tap.layout.to_nchw(raw[None, :, None])[0, 0]
    if not bool(torch.isfinite(raw).all()):
        raise MethodError(
            f"{method.label} at '{stage.name}' gave numbers that are not finite; the network's "
            "own values overflow there"
        )
    denoising, plain = None, None
    if stage.name in request.truncated:
        plain = raw
        key = (inputs.target, tap.address, smoothed)
        available["gradients"], tau, report = _truncate(available, trace, key, request)
        raw = method.function(**{name: available[name] for name in method.needs})[0]
        mass = float(plain.relu().sum())
        removed = 1 - float(raw.relu().sum()) / mass if mass > 0 else None
        denoising = Denoising(tau, removed, report)
    notes = Notes(
        stage=stage.name,
        tensor=tap.module,
        grid=tap.layout.grid,
        layout=str(tap.layout),
        empty=is_empty(raw),
        zero_gradient=unread or (found is not None and found.zero_gradient),
        positive_share=None if found is None else found.positive_share,
        cancels=found is not None and found.cancels,
        checkerboard=None if found is None else found.checkerboard,
        smoothed=smoothed,
        denoising=denoising,
        sentences=(),
        floor=max(float(raw.min()), 0.0) / float(raw.max()) if not is_empty(raw) else 0.0,
    )
    sentences = write_sentences(
        notes, stage, tap, method, inputs.head, request.truncation_mode, trace.output
    )
    if method.scoring is not None:
        sentences = (*sentences[:1], scoring_sentence(method, tap, request), *sentences[1:])
    cosines = None
    if inputs.bank is not None and prototypes is not None:
        about = inputs.bank.sentences(stage.name)
        if inputs.rivals:
            others = ", ".join(f"'{rival.label}'" for rival in inputs.rivals)
            about.append(f"What is like the prototypes of {others}, predicted too, counts against.")
        sentences = (*sentences[:1], *about, *sentences[1:])
        activations = available["activations"]
        vectors = prototypes.vectors.to(activations.device)
        cosines = cosine_maps(activations, vectors)[0].cpu().numpy()
    return StageMap(
        raw=raw.cpu().numpy(),
        plain=None if plain is None else plain.cpu().numpy(),
        notes=replace(notes, sentences=sentences),
        cosines=cosines,
    )


def compute_maps(plan: Plan, inputs: MapInputs) -> dict[str, StageMap]:
    """The maps of all stages of a plan, by their names."""
    return {
        stage.name: compute_stage_map(stage, plan.taps[stage.name], inputs) for stage in plan.stages
    }


def of_attention(stage: Stage, inputs: MapInputs) -> dict[str, Any]:
    """What methods read of the blocks up to one of them, by the names of their arguments."""
    if inputs.relevance is not None:
        found = inputs.relevance
        return {
            "tokens": found.tokens[stage.name],
            "token_gradients": found.gradients[stage.name],
        }
    assert inputs.attention is not None
    names = [block.name for block in inputs.attention.blocks]
    blocks = inputs.attention.blocks[: names.index(stage.name) + 1]
    kept = inputs.trace.activations
    weights = [weights_tap(block).address for block in blocks]
    readers = kept[weights[0]].new_zeros(1, blocks[0].tokens)
    readers[0, list(inputs.attention.readers)] = 1 / len(inputs.attention.readers)
    available: dict[str, Any] = {
        "attention": [kept[address] for address in weights],
        "values": [kept[values_tap(block).address] for block in blocks],
        "readers": readers,
    }
    if inputs.gradients:
        outputs = [output_tap(block).address for block in blocks]
        available["attention_gradients"] = [inputs.gradients[address] for address in weights]
        available["output_gradients"] = [inputs.gradients[address] for address in outputs]
    return available


def _fitting_prototypes(bank: PrototypeBank, stage: Stage, tap: Tap) -> StagePrototypes:
    prototypes = bank.stage(stage.name)
    if prototypes.vectors.shape[1] != tap.channels:
        raise PrototypeError(
            f"prototypes at '{stage.name}' have {prototypes.vectors.shape[1]} channels, and the "
            f"stage has {tap.channels}; build them again"
        )
    return prototypes


def _is_smoothed(found: Evidence, stage: Stage, inputs: MapInputs) -> bool:
    """Whether the checkerboard is removed here: "auto" does so before strided layers only."""
    if inputs.request.checkerboard == "auto":
        return inputs.coarsest > stage.reduction and found.checkerboard > CHECKERBOARD
    return inputs.request.checkerboard == "smooth"


def _truncate(
    available: Mapping[str, Tensor], trace: Trace, key: Hashable, request: Request
) -> tuple[Tensor, float, denoise.NoiseReport | None]:
    """A truncated gradient, the threshold (computed once a trace), and what it does to noise."""
    gradient, mode = available["gradients"], request.truncation_mode

    def find_threshold() -> tuple[Tensor, denoise.NoiseReport | None]:
        tau = denoise.noise_threshold(gradient, request.truncation, mode, request.calibration)
        if mode != "threshold":
            return tau, None
        return tau, denoise.noise_report(available["activations"], gradient, tau)

    settings = (key, request.truncation, mode, request.calibration)
    tau, report = trace.memoize(("truncation", settings), find_threshold)
    return denoise.truncate_at(gradient, tau, mode), float(tau), report
