"""Prototype banks for the engine: those given, shipped ones, or learned from pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from camviz.engine.options import Options
from camviz.engine.plan import prototype_stages, select_stages, with_split_taps
from camviz.engine.work import Runner, Traces, Work, plain_arithmetic
from camviz.errors import ImageError, PrototypeError
from camviz.files import shown_name
from camviz.fit import Fit
from camviz.images import Picture, PictureSource, open_picture
from camviz.network.backbone import Backbone
from camviz.network.taps import Tap
from camviz.network.trace import Trace
from camviz.network.trace import trace as run_trace
from camviz.prototypes.bank import PrototypeBank, shipped_bank, with_thumbnails
from camviz.prototypes.build import BuildSettings, Progress, augmented_views, build_bank
from camviz.prototypes.prototype import MOST_PICTURES

# What `prototypes` may be instead of a bank or its file.
SHIPPED: Final = "shipped"
PICTURE: Final = "picture"
# Other classes whose prototypes are context: so probable at least, and so many at most.
LEAST_SHARE, MOST_RIVALS = 0.05, 5
_MEMORY = "bank:"  # begins the name, in a request, of a bank that was given in memory
_KEPT_SIDE = 512  # pixels of a gallery's picture that are kept until its bank is built


def choose_bank(
    options: Options,
    picture: Picture,
    backbone: Backbone,
    target: int | str | None,
    runner: Runner,
    traces: Traces,
) -> PrototypeBank:
    """The prototypes that a picture is compared with.

    Those given; else the shipped ones of the target, by default the top prediction, if there are
    any for the tap and the stages; else those of the picture itself. Raises `PrototypeError` for
    a bank of another network, class or tap.
    """
    given = options.prototypes
    index = None if target is None else backbone.target(target)
    bank = given_bank(options, backbone, index)
    if bank is not None:
        return bank
    if index is None:
        index = int(traces.get(backbone, picture, options.fit, ())[0].logits.argmax())
    shipped = shipped_bank(backbone, index) if given != PICTURE else None
    if (
        shipped is not None
        and shipped.tap == options.tap
        and set(options.stages or ()) <= set(shipped.stages)
    ):
        return shipped
    if given == SHIPPED:
        raise PrototypeError(
            f"no prototypes of '{backbone.labels[index]}' ship with {backbone.display_name} for "
            f"this tap and these stages; '{PICTURE}' makes some of the picture alone, "
            "build_prototypes() of many"
        )
    return bank_from_picture(options, picture, backbone, index, runner, traces)


def given_bank(options: Options, backbone: Backbone, index: int | None) -> PrototypeBank | None:
    """The prototypes that were given, as a bank or its file, if any were. index: of the target.

    Raises `PrototypeError` for a bank of another network, class or tap.
    """
    given = options.prototypes
    if given in (None, SHIPPED, PICTURE):
        return None
    bank = given if isinstance(given, PrototypeBank) else _load_bank(given)
    check_bank(bank, backbone, index, options)
    return bank


def rival_banks(
    bank: PrototypeBank, backbone: Backbone, trace: Trace, options: Options
) -> tuple[PrototypeBank, ...]:
    """The shipped prototypes of other classes that the picture may show, best first.

    Those of at least `LEAST_SHARE`, `MOST_RIVALS` at most, that were learned at the same tap and
    stages. None beside prototypes of the picture itself, whose context it is.
    """
    if options.rivals == "none" or bank.source == PICTURE or backbone.output == "value":
        return ()
    found = []
    for index in trace.probabilities.argsort(descending=True)[: MOST_RIVALS + 1].tolist():
        if index == bank.target or float(trace.probabilities[index]) < LEAST_SHARE:
            continue
        rival = shipped_bank(backbone, index)
        if rival is not None and rival.tap == bank.tap and set(bank.stages) <= set(rival.stages):
            found.append(rival)
    return tuple(found[:MOST_RIVALS])


def bank_from_picture(
    options: Options,
    picture: Picture,
    backbone: Backbone,
    index: int,
    runner: Runner,
    traces: Traces,
) -> PrototypeBank:
    """Prototypes of one picture, from itself, mirrored and enlarged: made once a trace."""
    names = prototype_stages(backbone, options.stages, backbone.default_stages)
    taps = {stage.name: stage.tap(options.tap) for stage in select_stages(backbone, names)}
    needed = with_split_taps(backbone, taps.values())
    trace, _ = traces.get(backbone, picture, options.fit, needed)
    work = BankFromPicture(picture, index, taps, options.tap, options.fit)
    bank: PrototypeBank = trace.memoize(
        ("prototypes of the picture", index, tuple(taps.items())),
        lambda: runner.run(backbone, work, traces),
    )
    return bank


def bank_name(bank: PrototypeBank, given: Any, backbone: Backbone) -> str:
    """The origin of prototypes, as a request has it; those changed by hand are others."""
    shipped = shipped_bank(backbone, bank.target)
    if shipped is not None and shipped.id == bank.id:
        return SHIPPED
    if bank.source == PICTURE and not isinstance(given, PrototypeBank):
        return PICTURE
    return f"{_MEMORY}{bank.id}"


@dataclass(frozen=True, eq=False)
class _BankWork(Work[PrototypeBank]):
    """Work whose result is a bank: another process sends numpy arrays for its tensors."""

    slow = True

    def pack(self, result: PrototypeBank) -> PrototypeBank:
        stages: dict[str, Any] = dict(result.stages)
        for name, stage in stages.items():
            stages[name] = replace(stage, vectors=stage.vectors.cpu().numpy())
        return replace(result, stages=stages)

    def unpack(self, packed: PrototypeBank) -> PrototypeBank:
        stages = {
            name: replace(stage, vectors=torch.as_tensor(stage.vectors))
            for name, stage in packed.stages.items()
        }
        return replace(packed, stages=stages)


@dataclass(frozen=True, eq=False)
class BankFromPicture(_BankWork):
    """Learn the prototypes of a class from one picture as it is, mirrored and enlarged."""

    picture: Picture
    target: int
    taps: Mapping[str, Tap]
    tap: str
    fit: str

    def do(self, backbone: Backbone, traces: Traces) -> PrototypeBank:
        needed = with_split_taps(backbone, self.taps.values())
        image, geometry = backbone.prepare(self.picture, self.fit)
        views = augmented_views(image, geometry)

        def trace_of(number: int, graph: bool) -> tuple[Trace, Fit]:
            _, view, where = views[number]
            if number == 0 and not graph:
                return traces.get(backbone, self.picture, self.fit, needed)[0], where
            return run_trace(backbone, view, needed, graph=graph), where

        with plain_arithmetic(backbone):
            return build_bank(
                backbone,
                self.target,
                self.taps,
                [label for label, *_ in views],
                trace_of,
                BuildSettings(tap=self.tap, fit=self.fit),
                source=PICTURE,
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class BankFromGallery(_BankWork):
    """Learn the prototypes of a class from pictures of it; see `Engine.build_prototypes`.

    names: of the pictures, no two alike. skipped: (name, reason) of pictures that could not be
    opened before the work was sent to another process.
    """

    images: Sequence[PictureSource]
    names: Sequence[str]
    target: int
    taps: Mapping[str, Tap]
    settings: BuildSettings
    progress: Progress | None = None
    skipped: tuple[tuple[str, str], ...] = ()

    def do(self, backbone: Backbone, traces: Traces) -> PrototypeBank:
        needed = with_split_taps(backbone, self.taps.values())
        patches = _Patches()

        def trace_of(number: int, graph: bool) -> tuple[Trace, Fit]:
            picture = open_picture(self.images[number])
            patches.add(self.names[number], picture)
            cached = traces.cached(backbone, picture, self.settings.fit)
            if cached is not None and cached[0].covers(needed) and not graph:
                return cached
            image, geometry = backbone.prepare(picture, self.settings.fit)
            return run_trace(backbone, image, needed, graph=graph), geometry

        with plain_arithmetic(backbone):
            bank = build_bank(
                backbone,
                self.target,
                self.taps,
                self.names,
                trace_of,
                self.settings,
                progress=self.progress,
            )
        return with_thumbnails(bank, patches.cut)

    def portable(self) -> "BankFromGallery":
        """The same work on opened pictures. The other process reports no progress."""
        pictures: list[Picture] = []
        skipped: list[tuple[str, str]] = []
        for image, name in zip(self.images, self.names, strict=True):
            try:
                pictures.append(replace(open_picture(image), name=name))
            except ImageError as error:
                # a bank is passed on to others, and must not hold the paths of this machine
                skipped.append((name, str(error).replace(str(image), name)))
        if not pictures:
            raise PrototypeError(f"no picture could be opened ({skipped[0][0]}: {skipped[0][1]})")
        if self.progress is not None:
            self.progress(0, len(pictures), "")
        return replace(
            self,
            images=tuple(pictures),
            names=tuple(picture.name for picture in pictures),
            progress=None,
            skipped=tuple(skipped),
        )

    def unpack(self, packed: PrototypeBank) -> PrototypeBank:
        bank = super().unpack(packed)
        return replace(bank, skipped=(*bank.skipped, *self.skipped))


@dataclass
class _Patches:
    """Pictures small enough to keep 64 of them, large enough to cut thumbnails from."""

    _shrunk: dict[str, tuple[np.ndarray, float]] = field(default_factory=dict)

    def add(self, name: str, picture: Picture) -> None:
        scale = min(1.0, _KEPT_SIDE / max(picture.height, picture.width))
        pixels = picture.pixels
        if scale < 1:
            size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
            pixels = np.asarray(Image.fromarray(pixels).resize(size))
        self._shrunk[name] = (pixels, scale)

    def cut(self, name: str, box: tuple[int, int, int, int]) -> np.ndarray:
        """The pixels of a box, half-open xyxy in pixels of the picture; never empty."""
        pixels, scale = self._shrunk[name]
        left, top, right, bottom = (round(edge * scale) for edge in box)
        left, top = min(left, pixels.shape[1] - 1), min(top, pixels.shape[0] - 1)
        return pixels[top : max(bottom, top + 1), left : max(right, left + 1)]


def picture_names(images: Sequence[PictureSource]) -> list[str]:
    """A name for every picture, no two alike: its own, else its number."""
    names: list[str] = []
    for number, image in enumerate(images):
        name = shown_name(image) if isinstance(image, (str, Path)) else ""
        name = image.name if isinstance(image, Picture) else name
        names.append(name if name and name not in names else f"{number + 1} {name}".strip())
    return names


def check_gallery(images: Sequence[PictureSource]) -> None:
    """Raise `PrototypeError` unless there is a list of pictures, not too many."""
    if isinstance(images, (str, bytes, Path, Picture)) or not isinstance(images, Sequence):
        raise PrototypeError("give a list of pictures, even if it holds one only")
    if not 1 <= len(images) <= MOST_PICTURES:
        raise PrototypeError(
            f"prototypes are built from 1 to {MOST_PICTURES} pictures, not {len(images)}"
        )


def _load_bank(given: Any) -> PrototypeBank:
    if str(given).startswith(_MEMORY):
        raise PrototypeError(
            f"the prototypes of this request ({given}) were given in memory; pass the bank itself, "
            "or its file"
        )
    if not isinstance(given, (str, Path)):
        raise PrototypeError(
            f"prototypes are a PrototypeBank, its file, '{SHIPPED}' or '{PICTURE}', not {given!r}"
        )
    return PrototypeBank.load(given)


def check_bank(
    bank: PrototypeBank, backbone: Backbone, index: int | None, options: Options
) -> None:
    """Raise `PrototypeError` if a bank is of another network, class or tap."""
    bank.check(backbone)
    if index is not None and index != bank.target:
        raise PrototypeError(
            f"these are prototypes of '{bank.label}', and '{backbone.labels[index]}' was "
            "to be explained; leave the target out, or build a bank for it"
        )
    if bank.tap != options.tap:
        raise PrototypeError(
            f"these prototypes were built with tap '{bank.tap}', and '{options.tap}' was asked for"
        )
