"""Where the cells of a feature map are centred on the input: measured, not assumed.

A 3x3 convolution of stride 2 that pads both sides centres cell i on pixel 2i; one that pads as
TensorFlow does, on 2i + 1. Five of them move a whole map by 15 pixels to one side or the other,
and trained kernels, being asymmetric, move it again. The gradient of a cell with respect to the
input is the cell's receptive field at that input; its centre of mass, averaged over cells and
pictures, minus the place that the stride puts the cell at, is the stage's offset.

The stride is measured, too: where it does not divide the input (32 into 100 pixels: 3 cells, which
plain up-sampling draws 33.3 apart), the input moved by one stride gives the same map moved by one
cell, and moved by anything else it does not.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from camviz.environment import environment
from camviz.errors import BackboneError
from camviz.maps.fusion import Placement
from camviz.network.backbone import Backbone
from camviz.network.state import network_lock
from camviz.network.taps import Address, Tap, frozen_eval, record_taps

_BATCH = 8
_AT_ONCE = 2  # pictures of a batch in one pass, whose whole graph is held
# Standard error, in strides, at which a measured offset is precise enough.
PRECISION = 1 / 20
# A spread estimated from fewer than 24 samples is too uncertain itself.
# The right stride leaves less than this share of the mismatch that the next best one leaves.
_CLEAR = 0.7
_FEWEST_BATCHES, _MOST_BATCHES = 3, 48


@dataclass(frozen=True)
class Offset:
    """An offset, (y, x) in input pixels, its standard error and the number of samples behind it.

    `settled`: the standard error is below a twentieth of the stride on both axes. `samples` is 0
    where the offset needs no measuring: cells of non-overlapping patches. `stride`: the distance
    of neighbouring cells, (y, x) in input pixels.
    """

    offset: tuple[float, float]
    error: tuple[float, float]
    samples: int
    settled: bool
    stride: tuple[float, float]


def plain_placement(tap: Tap, input_size: Sequence[int]) -> Placement:
    """Cells evenly spread over the input: what every plain up-sampling draws."""
    height, width = tap.layout.grid
    return Placement((input_size[-2] / height, input_size[-1] / width))


def true_placements(backbone: Backbone, taps: Sequence[Tap]) -> dict[Address, Placement]:
    """Placements with measured strides and offsets, from the cache on disk if they are there.

    The first call for a network takes some seconds to a minute; the cache is in
    ~/.cache/camviz, or in the folder that CAMVIZ_CACHE names, keyed by the weights.
    """
    offsets = measured_offsets(backbone, taps)
    return {
        tap.address: Placement(offsets[tap.address].stride, offsets[tap.address].offset)
        for tap in taps
    }


def measured_offsets(backbone: Backbone, taps: Sequence[Tap]) -> dict[Address, Offset]:
    """Offsets of these taps, from the cache on disk or measured now."""
    file = _cache_file(backbone)
    known = _read(file)
    missing = [tap for tap in taps if _key(tap) not in known]
    if missing:
        state = backbone.fingerprint
        fresh = measure_offsets(
            backbone.model, missing, backbone.input_size, device=backbone.device
        )
        if backbone.fingerprint != state:
            raise BackboneError(
                f"the weights of {backbone.display_name} were changed while it was measured where "
                "its cells look; explain the picture again"
            )
        known |= {_key(tap): fresh[tap.address] for tap in missing}
        _write(file, known)
    return {tap.address: known[_key(tap)] for tap in taps}


def measure_offsets(
    model: nn.Module,
    taps: Sequence[Tap],
    input_size: tuple[int, int, int],
    *,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> dict[Address, Offset]:
    """Measure where the cells of each tap are centred, on noise with the spectrum of photographs.

    Each picture of a batch measures a cell of its own; cells lie symmetrically about the middle,
    so that the border of the input, which cuts receptive fields off, has no net effect.
    """
    generator = torch.Generator().manual_seed(seed)
    result: dict[Address, Offset] = {}
    open_taps = []
    for tap in taps:
        if _patches_do_not_overlap(model, tap, input_size):
            projection: Any = model.patch_embed.proj  # type: ignore[union-attr]
            rows, columns = projection.stride
            stride = (float(rows), float(columns))
            result[tap.address] = Offset((0.0, 0.0), (0.0, 0.0), 0, True, stride)
        else:
            open_taps.append(tap)
    strides = measure_strides(model, open_taps, input_size, device=device, seed=seed)
    samples: dict[Address, list[Tensor]] = {tap.address: [] for tap in open_taps}
    for round_ in range(_MOST_BATCHES):
        if not open_taps:
            break
        images = _natural_noise(input_size, _BATCH, generator).to(device)
        for tap, centres in _measure_centres(model, images, open_taps, input_size, round_).items():
            samples[tap.address].append(centres)
        for tap in list(open_taps):
            estimate = _estimate(torch.cat(samples[tap.address]), strides[tap.address])
            result[tap.address] = estimate
            if estimate.settled and round_ + 1 >= _FEWEST_BATCHES:
                open_taps.remove(tap)
    return result


def _patches_do_not_overlap(model: nn.Module, tap: Tap, input_size: tuple[int, int, int]) -> bool:
    """Whether a cell is exactly one patch, as in a plain vision transformer."""
    projection = getattr(getattr(model, "patch_embed", None), "proj", None)
    if not isinstance(projection, nn.Conv2d):
        return False
    height, width = tap.layout.grid
    stride = tuple(projection.stride)
    return (
        tuple(projection.kernel_size) == stride
        and stride == (input_size[1] // height, input_size[2] // width)
        and tuple(projection.padding) == (0, 0)
    )


def _natural_noise(size: tuple[int, int, int], count: int, generator: torch.Generator) -> Tensor:
    """Noise whose amplitude falls with frequency as that of photographs does, 1/f; unit spread."""
    channels, height, width = size
    noise = torch.randn(count, channels, height, width, generator=generator, dtype=torch.float32)
    frequency = torch.hypot(
        torch.fft.fftfreq(height).unsqueeze(1), torch.fft.rfftfreq(width).unsqueeze(0)
    )
    frequency[0, 0] = frequency[0, 1]
    shaped = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency, s=(height, width))
    return shaped / shaped.std(dim=(1, 2, 3), keepdim=True)


def _cells(count: int, turn: int) -> Tensor:
    """For each picture of a batch a cell near the middle of an axis, mirrored ones in pairs."""
    reach = max(1, (count + 3) // 8)
    low = (count - 1) // 2 - (reach - 1) + torch.arange(reach)
    pairs = torch.stack([low, count - 1 - low], dim=1).flatten()
    return pairs[(torch.arange(_BATCH) + turn) % len(pairs)]


def _measure_centres(
    model: nn.Module,
    images: Tensor,
    taps: Sequence[Tap],
    input_size: tuple[int, int, int],
    round_: int,
) -> dict[Tap, Tensor]:
    """Per tap, (batch, 4): centre of mass (y, x) of a cell's gradient, the cell's (row, column)."""
    found: dict[Tap, list[Tensor]] = {tap: [] for tap in taps}
    for some in torch.arange(len(images)).split(_AT_ONCE):
        for tap, centres in _centres_of(model, images, some, taps, input_size, round_).items():
            found[tap].append(centres)
    return {tap: torch.cat(parts) for tap, parts in found.items()}


def _centres_of(
    model: nn.Module,
    images: Tensor,
    some: Tensor,
    taps: Sequence[Tap],
    input_size: tuple[int, int, int],
    round_: int,
) -> dict[Tap, Tensor]:
    """The same of some pictures of the batch: one step of the work."""
    stored: dict[Address, Tensor] = {}
    centres = {}
    with network_lock(model), frozen_eval(model, gradients=True):
        shown = images[some].requires_grad_(True)
        with record_taps(model, taps, stored):
            model(shown)
        every = torch.arange(len(some))
        for tap in taps:
            heat = tap.layout.to_nchw(stored[tap.address]).float()
            rows = _cells(heat.shape[2], round_)[some]
            columns = _cells(heat.shape[3], 3 * round_ + 1)[some]
            responses = heat[every, :, rows, columns].abs().sum()
            (gradient,) = torch.autograd.grad(responses, shown, retain_graph=True)
            mass = gradient.detach().abs().sum(dim=1).double().cpu()
            total = mass.sum(dim=(1, 2))
            y = (mass.sum(dim=2) * torch.arange(input_size[1])).sum(dim=1) / total
            x = (mass.sum(dim=1) * torch.arange(input_size[2])).sum(dim=1) / total
            found = torch.stack([y, x, rows.double(), columns.double()], dim=1)
            centres[tap] = found[total > 0]  # a zero gradient has no centre
    return centres


def _estimate(samples: Tensor, stride: tuple[float, float]) -> Offset:
    if len(samples) < 2:
        return Offset((0.0, 0.0), (math.inf, math.inf), len(samples), False, stride)
    offsets, errors = [], []
    for axis in (0, 1):
        expected = samples[:, 2 + axis] * stride[axis] + (stride[axis] - 1) / 2
        difference = samples[:, axis] - expected
        offsets.append(float(difference.mean()))
        errors.append(float(difference.std() / len(difference) ** 0.5))
    settled = all(error < PRECISION * side for error, side in zip(errors, stride, strict=True))
    return Offset((offsets[0], offsets[1]), (errors[0], errors[1]), len(samples), settled, stride)


def measure_strides(
    model: nn.Module,
    taps: Sequence[Tap],
    input_size: tuple[int, int, int],
    *,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> dict[Address, tuple[float, float]]:
    """The distance of neighbouring cells of each tap, (y, x) in pixels of the input.

    The window of the network is moved over a larger picture, by every whole number of pixels that
    the stride may be. The right one moves the map by one cell; it is taken if the maps differ by
    clearly less than after any other. Where none is clear (few cells, each of which sees nearly all
    of the input) it is a multiple of the next finer tap's stride, and for a single cell, or where
    that does not fit either, cells are evenly spread over the input.
    """
    generator = torch.Generator().manual_seed(seed)
    found = {tap.address: list(plain_placement(tap, input_size).stride) for tap in taps}
    for axis in (0, 1):
        moves = {
            tap.address: _possible_strides(tap.layout.grid[axis], input_size[1 + axis])
            for tap in taps
        }
        wanted = sorted(set().union(*moves.values()))
        if not wanted:
            continue
        size = list(input_size)
        size[1 + axis] += wanted[-1]
        canvas = _natural_noise((size[0], size[1], size[2]), 1, generator).to(device)
        windows = [canvas.narrow(2 + axis, move, input_size[1 + axis]) for move in (0, *wanted)]
        errors: dict[Address, dict[int, float]] = {tap.address: {} for tap in taps}
        first: dict[Address, Tensor] = {}
        for move, window in zip((0, *wanted), windows, strict=True):
            stored: dict[Address, Tensor] = {}
            with (
                network_lock(model),
                frozen_eval(model, gradients=False),
                record_taps(model, taps, stored),
            ):
                model(window.clone())
            for tap in taps:
                heat = tap.layout.to_nchw(stored[tap.address].detach()).float()
                if move == 0:
                    first[tap.address] = heat
                elif move in moves[tap.address]:
                    errors[tap.address][move] = _mismatch(first[tap.address], heat, 2 + axis)
        finer: tuple[int, float] | None = None  # cells and stride of the tap before
        for tap in sorted(taps, key=lambda t: -t.layout.grid[axis]):
            cells, winner = tap.layout.grid[axis], _clear_winner(errors[tap.address])
            if winner is None and finer is not None and moves[tap.address]:
                multiple = finer[1] * round(finer[0] / cells)
                winner = multiple if multiple in moves[tap.address] else None
            if winner is not None:
                finer = (cells, winner)
                found[tap.address][axis] = winner
    return {address: (stride[0], stride[1]) for address, stride in found.items()}


def _possible_strides(cells: int, side: int) -> list[int]:
    """Whole numbers of pixels, from unpadded layers (cells end early) to padded ones (they reach
    beyond the input); none for a single cell."""
    if cells < 2:
        return []
    low, high = side / (1.25 * cells + 1), side / (cells - 1)
    return list(range(max(1, math.ceil(low)), math.floor(high) + 1))


def _mismatch(first: Tensor, moved: Tensor, dim: int) -> float:
    """How unlike a map is to another moved on by one cell: in the middle, as a share of its spread.

    The border of the input, where layers pad, moves along with the window and is left out.
    """
    count = first.shape[dim] - 1
    margin = count // 3
    before = first.narrow(dim, 1 + margin, count - 2 * margin)
    after = moved.narrow(dim, margin, count - 2 * margin)
    spread = before - before.mean(dim=(2, 3), keepdim=True)
    scale = float(spread.square().sum()) or float(before.square().sum())
    return float((before - after).square().sum()) / scale if scale > 0 else math.inf


def _clear_winner(errors: dict[int, float]) -> float | None:
    """The move of least mismatch if all others are clearly worse."""
    if not errors:
        return None
    best, *others = sorted(errors.values())
    if not math.isfinite(best) or (others and best >= _CLEAR * others[0]):
        return None
    return float(min(errors, key=lambda move: errors[move]))


def _key(tap: Tap) -> str:
    return f"{tap.module}#{tap.call}{list(tap.path) or ''}"


def _cache_file(backbone: Backbone) -> Path:
    root = environment().cache or Path.home() / ".cache" / "camviz"
    height, width = backbone.input_size[1:]
    return root / "placements" / f"{backbone.digest}-{height}x{width}.json"


def _read(file: Path) -> dict[str, Offset]:
    try:
        rows = json.loads(file.read_text())
        return {
            key: Offset(tuple(row[0]), tuple(row[1]), row[2], row[3], tuple(row[4]))
            for key, row in rows.items()
        }
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}  # not measured yet, or half written: measured again


def _write(file: Path, offsets: dict[str, Offset]) -> None:
    rows = {key: [o.offset, o.error, o.samples, o.settled, o.stride] for key, o in offsets.items()}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(rows))
        part.replace(file)
    except OSError:
        pass  # without a place to write, each process measures anew
