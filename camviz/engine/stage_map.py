"""One map of one stage: from what was traced to a raw map, and what to know about it."""

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camviz.engine.explanation import Denoising, GridKind, Notes, Request
from camviz.errors import MethodError, PrototypeError
from camviz.maps.fusion import is_empty
from camviz.methods import Method, denoise
from camviz.methods.gradient import Evidence, evidence, smooth_checkerboard
from camviz.network.head import HeadWeights
from camviz.network.stages import Stage
from camviz.network.taps import Address, Tap
from camviz.network.trace import Target, Trace
from camviz.prototypes.bank import PrototypeBank

# From this unevenness on, a gradient in front of a strided layer is smoothed: on drawn scenes with
# exact masks that raises average precision by 0.013 (stride 8) and 0.016 (stride 16) where the
# unevenness is only 1.04 to 1.06, and costs nothing at stride 4 (benchmarks/against_truth.py).
CHECKERBOARD = 1.02


def compute_stage_map(
    method: Method,
    stage: Stage,
    tap: Tap,
    seen: Trace,
    target: Target,
    gradients: Mapping[Address, Tensor],
    grid: GridKind,
    head: HeadWeights | None,
    request: Request,
    bank: PrototypeBank | None = None,
) -> tuple[np.ndarray, Notes, np.ndarray | None]:
    """One stage's raw map, (h, w), what to know about it, and the map before truncation."""
    available: dict[str, Tensor] = {"activations": seen.activations[tap.address]}
    found: Evidence | None = None
    smoothed = False
    if head is not None:
        available |= {"features": seen.activations[tap.address], "weights": head.weights}
    options: dict[str, Any] = {}
    if bank is not None:
        held = bank.stage(stage.name)
        if held.vectors.shape[1] != tap.channels:
            raise PrototypeError(
                f"prototypes at '{stage.name}' have {held.vectors.shape[1]} channels, and the "
                f"stage has {tap.channels}; build them again"
            )
        for kind in ("foreground", "context"):
            available[kind] = held.kept(kind).to(available["activations"].device)
        options["aggregate"] = request.aggregate
    if method.uses_gradients:
        gradient = gradients[tap.address]
        found = seen.memoize(
            ("evidence", target, tap.address),
            lambda: evidence(seen.activations[tap.address], gradient),
        )
        smoothed = method.smooth and (
            grid == "smooth" or (grid == "auto" and found.checkerboard > CHECKERBOARD)
        )
        available["gradients"] = smooth_checkerboard(gradient) if smoothed else gradient
    raw = method.function(**{name: available[name] for name in method.needs}, **options)[0]
    if not bool(torch.isfinite(raw).all()):
        raise MethodError(
            f"{method.label} at '{stage.name}' gave numbers that are not finite; the network's "
            "own values overflow there"
        )
    denoising, plain = None, None
    if stage.name in request.truncated:
        plain = raw
        key = (target, tap.address, smoothed)
        available["gradients"], tau, floor = _truncate(available, seen, key, request)
        raw = method.function(**{name: available[name] for name in method.needs})[0]
        mass = float(plain.relu().sum())
        removed = 1 - float(raw.relu().sum()) / mass if mass > 0 else None
        denoising = Denoising(tau, removed, floor)
    notes = Notes(
        stage=stage.name,
        tensor=tap.module,
        grid=tap.layout.grid,
        layout=str(tap.layout),
        empty=is_empty(raw),
        zero_gradient=found is not None and found.zero_gradient,
        positive_share=None if found is None else found.positive_share,
        checkerboard=None if found is None else found.checkerboard,
        smoothed=smoothed,
        denoising=denoising,
        sentences=(),
    )
    sentences = _sentences(notes, stage, tap, method, head, request.truncation_mode)
    if bank is not None:
        sentences = (*sentences[:1], *bank.sentences(stage.name), *sentences[1:])
    before = None if plain is None else plain.cpu().numpy()
    return raw.cpu().numpy(), replace(notes, sentences=sentences), before


def _truncate(
    available: Mapping[str, Tensor], seen: Trace, key: Hashable, request: Request
) -> tuple[Tensor, float, denoise.NoiseReport | None]:
    """A gradient truncated as asked for; the level, looked for once; what that does to noise."""
    gradient, mode = available["gradients"], request.truncation_mode

    def look() -> tuple[Tensor, denoise.NoiseReport | None]:
        level = denoise.noise_threshold(gradient, request.truncation, mode, request.calibration)
        if mode != "threshold":
            return level, None
        return level, denoise.noise_report(available["activations"], gradient, level)

    how = (key, request.truncation, mode, request.calibration)
    level, floor = seen.memoize(("truncation", how), look)
    return denoise.truncate_at(gradient, level, mode), float(level), floor


def _sentences(
    notes: Notes,
    stage: Stage,
    tap: Tap,
    method: Method,
    head: HeadWeights | None,
    mode: denoise.Mode,
) -> tuple[str, ...]:
    """The notes in plain words, the most important last."""
    height, width = notes.grid
    said = [f"{height} × {width} cells of {stage.reduction:.3g} pixels."]
    if notes.tensor != stage.name:
        said.append(f"Read at '{notes.tensor}', the last post-activation tensor there.")
    if head is not None and head.kind == "normalised":
        said.append("CAM with the head's normalisation statistics frozen at this picture.")
    if head is not None and head.kind == "linearised":
        said.append("CAM of the classifier linearised at this picture.")
    if not method.class_specific:
        said.append("The same for every class.")
    if notes.positive_share is not None:
        said.append(f"{notes.positive_share:.0%} of the evidence is positive.")
    if notes.smoothed:
        said.append("The checkerboard of a strided layer behind it was smoothed out.")
    if not notes.zero_gradient:
        said += _denoising_sentences(notes.denoising, mode)
    if notes.zero_gradient:
        said.append(
            "Empty: the class score does not depend on this map"
            + (
                ", because the network reads its class token from here on."
                if stage.zero_gradient or tap.layout.prefix
                else "."
            )
        )
    elif notes.empty:
        said.append("Empty: nothing here speaks for this class.")
    return tuple(said)


# What was done to the gradient, by mode.
_DONE = {
    "threshold": "Positive gradient truncated ({source}) at {tau:.3g}",
    "rectify": "Negative gradient removed ({source})",
    "cap": "Positive gradient capped ({source}) at {tau:.3g}",
    "remove": "Positive gradient removed ({source}): the map shows what speaks against the class",
}


def _denoising_sentences(denoising: Denoising | None, mode: denoise.Mode) -> list[str]:
    if denoising is None:
        return []
    said = [_DONE[mode].format(source=denoise.SOURCE, tau=denoising.tau)]
    if denoising.floor is not None:
        said[0] += f", which {denoising.floor.kept:.0%} of it reaches"
    if denoising.removed is not None and denoising.removed >= 0:
        said[0] += f"; {denoising.removed:.0%} of the plain map's evidence is gone"
    elif denoising.removed is not None:
        said[0] += (
            f"; {-denoising.removed:.0%} has come on top of the plain map's evidence, for what was "
            "subtracted there is gone too"
        )
    said[0] += "."
    if denoising.floor is not None and denoising.floor.noise is not None:
        said.append(
            f"Of the noise, {denoising.floor.noise:.0%} is left (normal noise: "
            f"{denoising.floor.expected:.0%})."
        )
    return said
