"""An explanation: maps of one class of one picture, and what to know about each.

Normalised, fused and drawn maps are made when they are first read, from the raw ones.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from camviz.defaults import FUSED, REFINED, usual_threshold
from camviz.engine import export
from camviz.engine.drawing import brightest, draw
from camviz.engine.notes import Notes
from camviz.engine.option import option_table
from camviz.engine.options import Request
from camviz.engine.truncation import TruncationChoice
from camviz.errors import BackboneError, StageError
from camviz.fit import Fit
from camviz.images import Picture
from camviz.maps import boxes as box_rules
from camviz.maps import localization
from camviz.maps.boxes import Box
from camviz.maps.fusion import Placement, fuse, normalize
from camviz.maps.refine import Affinity, Refinement, refine
from camviz.network.backbone import Backbone
from camviz.network.outputs import ranked
from camviz.prototypes.bank import PrototypeBank
from camviz.prototypes.prototype import Member, Prototype, StagePrototypes

# Of all maps of an explanation together, four bytes each; more are made whenever they are read.
_KEPT_PIXELS = 24_000_000


@dataclass(frozen=True, eq=False)
class PrototypeMap:
    """One prototype and where this picture is like it.

    index: its place in the bank's stage. raw: its cosine to every place, float32 (h, w), in
    [-1, 1]; `map` the same on the picture, (H, W). thumbnails: the members' patches, uint8
    (members, side, side, 3), or None.
    """

    stage: str
    index: int
    prototype: Prototype
    raw: np.ndarray = field(repr=False)
    thumbnails: np.ndarray | None = field(repr=False)
    _draw: Callable[[np.ndarray], np.ndarray] = field(repr=False)

    @property
    def kind(self) -> str:
        return self.prototype.kind

    @property
    def name(self) -> str:
        return self.prototype.name

    @property
    def score(self) -> float | None:
        """z, the class's probability by the classifier at the prototype."""
        return self.prototype.score

    @property
    def size(self) -> int:
        return self.prototype.size

    @property
    def kept(self) -> bool:
        return self.prototype.kept

    @property
    def members(self) -> tuple[Member, ...]:
        return self.prototype.members

    @cached_property
    def map(self) -> np.ndarray:
        return self._draw(self.raw)


class _LazyMaps(Mapping[str, np.ndarray]):
    """Maps by stage, each made when it is first read; keep: and held from then on."""

    def __init__(
        self, names: Sequence[str], make: Callable[[str], np.ndarray], *, keep: bool
    ) -> None:
        self._names = tuple(names)
        self._make = make
        self._keep = keep
        self._made: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        if not self._keep:
            return self._make(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(eq=False)
class Explanation:
    """Where a backbone looks, for one class of one picture; without classes, what it answers to.

    `logits`: of all classes; of a network without classes its pooled features, or their embedding.
    `raw`: per stage float32 (h, w) at the stage's own resolution, in the method's own units,
    before any ReLU. `maps`: per stage float32 (H, W) of the picture's own size, in [0, 1];
    `fused` the same of all stages together, `refined` the fused one spread over what looks alike
    to the network (`affinity`; see `camviz.maps.refine`). `plain`: what `raw` would be without
    truncation, for the stages that were truncated; `truncation_choice`: why they were, or were
    not, if "auto" was to choose. `bank`: the prototypes that the picture was compared with,
    `cosines` the cosine of each to every place, (n, h, w) per stage; `rivals`: classes whose
    prototypes were context beside it. `state`: the fingerprint of
    the network, with the weights it had. Where a crop did not show the picture to the network
    (`fit`), maps are 0 and `visible` is False.
    """

    request: Request
    picture: Picture
    fit: Fit
    backbone: Backbone = field(repr=False)
    logits: np.ndarray = field(repr=False)
    raw: dict[str, np.ndarray] = field(repr=False)
    notes: dict[str, Notes] = field(repr=False)
    placements: dict[str, Placement] = field(repr=False)
    plain: dict[str, np.ndarray] = field(repr=False, default_factory=dict)
    bank: PrototypeBank | None = field(repr=False, default=None)
    rivals: tuple[str, ...] = ()
    cosines: dict[str, np.ndarray] = field(repr=False, default_factory=dict)
    state: Hashable = field(repr=False, default=None)
    truncation_choice: TruncationChoice | None = field(repr=False, default=None)
    affinity: Affinity | None = field(repr=False, default=None)
    # What was made of all this so far: no part of a copy with other values.
    _drawn: dict[str, np.ndarray] = field(repr=False, init=False, default_factory=dict)
    _boxes: dict[Hashable, list[Box]] = field(repr=False, init=False, default_factory=dict)

    @property
    def target(self) -> int | None:
        """The index of the class explained; None of a network without classes."""
        return self.request.target

    @property
    def label(self) -> str:
        """The name of the class explained; "" of a network without classes."""
        return "" if self.target is None else self.backbone.labels[self.target]

    @property
    def reference_labels(self) -> tuple[str, ...]:
        """The names of the classes that it is compared with (`versus`)."""
        return tuple(self.backbone.labels[index] for index in self.request.references)

    @property
    def options(self) -> dict[str, Any]:
        """Every option as it was decided, by which another picture is explained in the same way.

        engine.explain(other, x.backbone, target=x.target, **x.options)
        """
        found = {name: getattr(self.request, name) for name in option_table(type(self.request))}
        return found if self.bank is None else found | {"prototypes": self.bank}

    def check_weights(self) -> None:
        """Raise `BackboneError` if the network has other weights now than when it was explained."""
        if self.state not in (None, self.backbone.fingerprint):
            raise BackboneError(
                f"the weights of {self.backbone.display_name} are no longer those that were "
                "explained; explain the picture again"
            )

    @property
    def digest(self) -> str | None:
        """`Backbone.digest` of what was explained; None if its weights are others now."""
        same = self.state in (None, self.backbone.fingerprint)
        return self.backbone.digest if same else None

    @property
    def stages(self) -> tuple[str, ...]:
        return self.request.stages

    @cached_property
    def predictions(self) -> list[tuple[int, str, float]]:
        """(class index, label, probability) of every class, best first.

        By `Backbone.output` the probabilities sum to 1 (softmax), are one of each class (sigmoid),
        or are values, which are no probabilities (each a `Value`). Empty of a network without
        classes.
        """
        return ranked(self.logits, self.backbone.labels, self.backbone.output)

    @property
    def is_confident(self) -> bool:
        """Whether the two best classes together reach `Backbone.confidence_threshold`.

        Two, because a picture may hold two things that share the probability. Where each class
        has its own (sigmoid), the best alone; values are never in doubt, nor is a network that
        says nothing.
        """
        if self.backbone.output in ("value", "features"):
            return True
        best = self.predictions[: 2 if self.backbone.output == "softmax" else 1]
        return sum(p for *_, p in best) >= self.backbone.confidence_threshold

    def __getstate__(self) -> dict[str, Any]:
        """What it was made of: what is drawn on demand is made again in a copy."""
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        state |= {"_drawn": {}, "_boxes": {}}
        return {**state, "state": "" if self.digest is None else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.state is None:  # the copy of the network is the one that was explained
            self.state = self.backbone.fingerprint

    @cached_property
    def normalized(self) -> dict[str, np.ndarray]:
        """Per stage the positive part over its maximum, (h, w), at the stage's own resolution."""
        return {name: normalize(torch.from_numpy(raw)).numpy() for name, raw in self.raw.items()}

    @cached_property
    def maps(self) -> Mapping[str, np.ndarray]:
        return _LazyMaps(
            self.stages,
            lambda name: self.on_picture(self.normalized[name], self.placements[name]),
            keep=self._is_small,
        )

    @cached_property
    def fused_grid(self) -> tuple[np.ndarray, Placement]:
        """The fused map at the finest stage's resolution, and where its cells look."""
        heat, placement = fuse(
            [torch.from_numpy(self.normalized[name]) for name in self.stages],
            [self.placements[name] for name in self.stages],
            self.request.fuse,
        )
        return heat.numpy(), placement

    @property
    def fused(self) -> np.ndarray:
        return self._of_all(FUSED, self.fused_grid)

    @property
    def refinement(self) -> Refinement:
        """How the fused map is spread."""
        request = self.request
        return Refinement(request.refine_power, request.refine_steps, request.refine_keep)

    @cached_property
    def refined_grid(self) -> tuple[np.ndarray, Placement] | None:
        """The refined map at its own resolution, and where its cells look; None: it is off."""
        if self.affinity is None:
            return None
        fused, placement = self.fused_grid
        fused_map = torch.from_numpy(fused)
        heat, placement = refine(fused_map, placement, self.affinity, self.refinement)
        return heat.cpu().numpy(), placement

    @property
    def refined(self) -> np.ndarray | None:
        """The fused map spread over the places that look alike to the network, (H, W), in [0, 1].

        It shows which thing the evidence lies on, not what exactly counted. None with
        refine="none".
        """
        return None if self.refined_grid is None else self._of_all(REFINED, self.refined_grid)

    def _of_all(self, name: str, grid: tuple[np.ndarray, Placement]) -> np.ndarray:
        """A map of all stages together on the picture, held if it is small."""
        if name in self._drawn:
            return self._drawn[name]
        heat = self.on_picture(*grid)
        if self._is_small:
            self._drawn[name] = heat
        return heat

    @property
    def _is_small(self) -> bool:
        """Whether maps of the picture's size are held once they are made."""
        maps = len(self.stages) + len(self.maps_of_all)
        return self.picture.height * self.picture.width * maps <= _KEPT_PIXELS

    def signed(self, stage: str) -> np.ndarray:
        """The map before the ReLU over its largest magnitude, (H, W), in [-1, 1]: for and against.

        Not every method has a sign to show; LayerCAM drops negative evidence channel by channel.
        """
        raw = self.raw[stage]
        peak = np.abs(raw).max()
        heat = raw / peak if peak > np.finfo(np.float32).tiny else np.zeros_like(raw)
        return self.on_picture(heat, self.placements[stage])

    @cached_property
    def removed(self) -> Mapping[str, np.ndarray]:
        """By stage what truncation took away, (H, W), as a share of the plain map's maximum.

        relu(plain) - relu(denoised) over max relu(plain), in [-1, 1] for LayerCAM where activations
        are not negative; below 0 where the denoised map is the larger. All zero for a stage that
        was not truncated.
        """

        def draw_removed(name: str) -> np.ndarray:
            peak = max(float(self.plain.get(name, self.raw[name]).max()), 0.0)
            raw = self.removed_raw(name)
            heat = raw / peak if peak > np.finfo(np.float32).tiny else raw * 0
            return self.on_picture(heat, self.placements[name])

        return _LazyMaps(self.stages, draw_removed, keep=self._is_small)

    def removed_raw(self, stage: str) -> np.ndarray:
        """What truncation took out of a stage's map, (h, w), in the method's own units."""
        after = np.maximum(self.raw[stage], 0)
        return np.maximum(self.plain.get(stage, after), 0) - after

    @cached_property
    def prototypes(self) -> dict[str, tuple[PrototypeMap, ...]]:
        """Per stage every prototype of the bank, with its own map; empty for other methods."""
        if self.bank is None:
            return {}
        return {name: self._prototype_maps(name, self.bank.stage(name)) for name in self.stages}

    def _prototype_maps(self, name: str, held: StagePrototypes) -> tuple[PrototypeMap, ...]:
        thumbnails = held.thumbnails
        return tuple(
            PrototypeMap(
                name,
                index,
                prototype,
                self.cosines[name][index],
                None if thumbnails is None else thumbnails[index, : len(prototype.members)],
                lambda raw: self.on_picture(raw, self.placements[name]),
            )
            for index, prototype in enumerate(held.prototypes)
        )

    def on_picture(self, heat: np.ndarray, placement: Placement) -> np.ndarray:
        """A map at its own resolution, (h, w), drawn where it looks on the picture, (H, W)."""
        return draw(heat, placement, self.fit)

    @cached_property
    def visible(self) -> np.ndarray:
        """bool (H, W): which pixels the network was shown."""
        return self.fit.visible_mask()

    @property
    def maps_of_all(self) -> tuple[str, ...]:
        """The maps of all stages together: "fused", and "refined" unless that is off."""
        return (FUSED,) if self.affinity is None else (FUSED, REFINED)

    def grid(self, of: str = FUSED) -> tuple[np.ndarray, Placement]:
        """A map at its own resolution, normalised, and where its cells look.

        of: a stage, "fused" or "refined". Raises `StageError` for what is none of these.
        """
        if of in self.raw:
            return self.normalized[of], self.placements[of]
        if of == FUSED:
            return self.fused_grid
        if of == REFINED and self.refined_grid is not None:
            return self.refined_grid
        if of == REFINED:
            raise StageError("there is no refined map: it was computed with refine 'none'")
        raise StageError(
            f"there is no map of '{of}'; maps: {', '.join((*self.stages, FUSED, REFINED))}"
        )

    def brightest(self, of: str = FUSED) -> tuple[int, int] | None:
        """(x, y) of the pixel where a map is highest; None if it is empty. of: as for `grid`."""
        return brightest(*self.grid(of), self.fit)

    def heat(self, of: str = FUSED) -> np.ndarray:
        """A map on the picture, (H, W). of: as for `grid`."""
        grid = self.grid(of)
        return self.maps[of] if of in self.raw else self._of_all(of, grid)

    def boxes(
        self,
        threshold: float | None = None,
        *,
        stage: str | None = None,
        of: str = FUSED,
        multi: bool = False,
    ) -> list[Box]:
        """Boxes around what is at or above a share of the maximum, largest first.

        Half-open xyxy in pixels of the picture, one a connected component. threshold: None for
        `usual_threshold`. of: the map, as for `grid`; `stage` names one, too.
        `multi` leaves out specks.
        """
        of = of if stage is None else stage
        threshold = usual_threshold(of) if threshold is None else threshold
        key = (threshold, of, multi)
        if key not in self._boxes:
            self._boxes[key] = (
                box_rules.boxes_at(self.heat(of), threshold, multi=multi)
                if self._is_small
                else self._boxes_in_strips(of, threshold, multi=multi)
            )
        return list(self._boxes[key])

    def _boxes_in_strips(self, of: str, threshold: float, *, multi: bool) -> list[Box]:
        heat, placement = self.grid(of)
        return box_rules.boxes_of(
            lambda rows: draw(heat, placement, self.fit, rows),
            self.fit.picture_size,
            threshold,
            multi=multi,
        )

    def mask(
        self, threshold: float | None = None, *, stage: str | None = None, of: str = FUSED
    ) -> np.ndarray:
        """bool (H, W): what is at or above a share of the maximum of a map, as for `boxes`."""
        of = of if stage is None else stage
        threshold = usual_threshold(of) if threshold is None else threshold
        return box_rules.mask_at(self.heat(of), threshold)

    def measure(
        self,
        truth: np.ndarray,
        *,
        parts: Mapping[str, np.ndarray] | None = None,
        threshold: float | None = None,
    ) -> dict[str, dict[str, float]]:
        """How well every map finds what is known to be there: per stage, "fused" and "refined".

        truth: bool (H, W), the object's pixels in the picture; parts: the same by name. threshold:
        None for each map's `usual_threshold`. See `localization.measure` for the figures.
        """
        heats = {**self.maps, **{name: self.heat(name) for name in self.maps_of_all}}
        return {
            name: localization.measure(
                heat,
                truth,
                threshold=usual_threshold(name) if threshold is None else threshold,
                parts=parts,
            )
            for name, heat in heats.items()
        }

    def save(
        self, folder: str | Path, *, threshold: float | None = None, size: export.Size = "screen"
    ) -> Path:
        """Write overlays, maps.npz and, last, manifest.json with all that repeats this.

        size: "screen": pictures at most 1600 pixels a side; "original": as large as the picture.
        Those of a larger picture are JPEG files, and maps.npz holds `fused` at the picture's own
        size only with "original" then: the raw maps and `fused_grid` are always there.
        """
        return export.save_explanation(self, folder, threshold, size)

    def manifest(self, threshold: float | None = None, *, public: bool = False) -> dict[str, Any]:
        """Plain values that say what this is; public: without paths of this machine."""
        return export.manifest_of(self, threshold, public=public)

    def _repr_html_(self) -> str:
        """The interactive viewer, for notebooks."""
        # By name and only now: the page, whose viewer it is, stands above the engine.
        return str(import_module("camviz.notebook").frame(self))

    def _repr_png_(self) -> bytes:
        """The picture and its fused map, for notebooks that show no HTML."""
        return export.preview(self)
