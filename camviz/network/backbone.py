"""Backbone: a timm network with everything needed to explain it."""

import copy
import difflib
import hashlib
import itertools
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import nn

from camviz.errors import BackboneError, TargetError, one_line
from camviz.fit import Fit, fit_picture, to_grey, to_tensor
from camviz.images import Picture
from camviz.network.class_search import named_exactly, named_partly
from camviz.network.classifier import Classifier
from camviz.network.labels import class_names, unique_labels
from camviz.network.modules import derive_stage
from camviz.network.names import display_name as default_display_name
from camviz.network.outputs import output_kind, two_sided
from camviz.network.settings import Labels, OutputKind, Settings, split_settings
from camviz.network.setup import data_config, find_stages
from camviz.network.squash import logits_of
from camviz.network.stages import Discovery, Stage
from camviz.network.state import Copy, fingerprint, is_plain, network_lock, tensors_of
from camviz.network.taps import primary_logits
from camviz.network.wrappers import check_network, find_network
from camviz.turns import Fair

WeightsSource = Literal["bundled", "package", "cached", "hub", "local", "file", "random", "given"]
# `Request.weights` of a network that cannot be made again from its name.
GIVEN = "given"
_UIDS = itertools.count()

# The `confidence_threshold` of a network for which none was measured: a rule, and no measurement.
# Below it most of the probability is with classes other than the two best. Networks trained with
# label smoothing or a sigmoid for each class keep it low even where they are right.
HALF = 0.5


@dataclass(frozen=True)
class Weights:
    """What a network's weights are: `source`, and `origin` in words (a hub id, a file name)."""

    source: WeightsSource
    origin: str
    license: str | None = None

    @property
    def trained(self) -> bool:
        return self.source != "random"


@dataclass(frozen=True, eq=False)
class Backbone:
    """A timm network with everything needed to explain its predictions.

    One without classes (`has_classes`) predicts nothing: it has no labels, and its output is
    "features".

    Whatever runs `model` for an explanation does so in eval mode, its weights frozen, and puts
    both back afterwards. Its weights may change between two explanations: `fingerprint` says so.

    `name` is what `load_backbone` makes it from, `display_name` what sentences call it: never a
    path. `stages` run from shallow to deep; `default_stages` names those that are explained unless
    others are chosen. `labels` are unique and in the order of the logits, `synonyms` all names of
    each class. `confidence_threshold`: below this
    probability of its two best classes together, a prediction is marked as not sure; 0: never.
    `output`: what the logits mean, see `Settings`. `loaded_with`: the `weights` with which
    `load_backbone` made this very network from its name and `settings`, None if it did not.
    `uid` differs between networks. `taught_on`, `classifier`: of a network with a taught classifier
    (`camviz.network.taught`) the one that it was taught on, and what was put into it.
    """

    name: str
    display_name: str
    model: nn.Module
    labels: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...] = field(repr=False)
    weights: Weights
    discovery: Discovery = field(repr=False)
    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float
    crop_mode: str
    device: torch.device
    confidence_threshold: float = 0.0
    output: OutputKind = "softmax"
    settings: Settings = field(default=Settings(), repr=False)
    loaded_with: str | None = None
    uid: int = field(default_factory=_UIDS.__next__, repr=False)
    taught_on: "Backbone | None" = field(default=None, repr=False)
    classifier: Classifier | None = field(default=None, repr=False)
    _copy: Copy | None = field(default=None, repr=False)
    _loaded_state: str | None = field(default=None, repr=False)
    _digests: dict[bool, tuple[str, str]] = field(default_factory=dict, repr=False)
    _module_stages: dict[str, Stage] = field(default_factory=dict, repr=False)

    @property
    def lock(self) -> Fair:
        """Held while the network runs: one for each network, however many Backbones share it.

        Code that calls `model` itself, from another thread, need not hold it to be safe from hooks,
        which concern camviz's own thread alone. It then may see eval mode, and weights that need
        no gradient, while an explanation is being made; with the lock it does not.
        """
        return network_lock(self.model)

    @property
    def fingerprint(self) -> tuple[int, str]:
        """What tells this network with its present weights from all others, and from itself with
        other weights; see `camviz.network.state.fingerprint`.
        """
        if self._copy is not None:
            with self.lock:
                self._copy.update()
        return self.uid, fingerprint(self.model)

    @property
    def reloads_with(self) -> str | None:
        """`loaded_with`, or None if the weights were changed since."""
        return None if self.loaded_with is None else self.reloads_as(self.fingerprint)

    def reloads_as(self, fingerprint: tuple[int, str] | None) -> str | None:
        """`loaded_with` if it gives the weights of that fingerprint, else None."""
        return self.loaded_with if fingerprint and fingerprint[1] == self._loaded_state else None

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.discovery.stages

    @property
    def default_stages(self) -> tuple[str, ...]:
        return self.discovery.defaults

    @property
    def has_classes(self) -> bool:
        """Whether it names classes; else there are only maps of its features."""
        return self.output != "features"

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def nbytes(self) -> int:
        """Bytes of all weights and buffers."""
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors_of(self.model))

    @property
    def digest(self) -> str:
        """What this very network is: a hash over its modules and every tensor it holds."""
        return self._hash(whole=True)

    @property
    def weights_digest(self) -> str:
        """What its weights are, whichever version of timm built the network around them."""
        return self._hash(whole=False)

    @property
    def normalisation(self) -> str:
        """What pictures are normalised by, in words."""
        mean, std = (" ".join(f"{v:g}" for v in values) for values in (self.mean, self.std))
        return f"mean {mean}, deviation {std}"

    def differs_from(self, digest: str, name: str, normalisation: str = "") -> str | None:
        """Of which other network something is, in words; None if it is of this one.

        digest: of the weights of that network; name: its display name; normalisation: of its
        pictures, "" if that is not known.
        """
        if digest == self.weights_digest:
            if normalisation in ("", self.normalisation):
                return None
            return f"of pictures normalised by {normalisation}, and not by {self.normalisation}"
        if name == self.display_name:
            return f"of other weights of {name} than the ones at hand"
        return f"of {name}, not of {self.display_name}"

    def _hash(self, *, whole: bool) -> str:
        """A hash over every tensor: name, shape, bytes; of the whole network modules and types too.

        Computed once for each state of the weights.
        """
        _, state = self.fingerprint
        known = self._digests.get(whole)
        if known is not None and known[0] == state:
            return known[1]
        digest = hashlib.blake2b((repr(self.model) if whole else "").encode(), digest_size=16)
        for name, tensor in sorted(self.model.state_dict().items()):
            kind = f"{tensor.dtype} " if whole else ""
            digest.update(f"{name} {kind}{tuple(tensor.shape)}".encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        self._digests[whole] = (state, digest.hexdigest())
        return self._digests[whole][1]

    def scores(self, compute: Callable[[], Any]) -> torch.Tensor:
        """(N, labels) from what `compute` returns, which runs the network or its head.

        Of a network without classes (N, C): its pooled features, or the embedding of them.
        Logits are read before the softmax or sigmoid in which a network ends. A single logit with
        two labels becomes two, of its absence and its presence.
        """
        plain = self.discovery.squash is None or self.output == "value"
        logits = primary_logits(compute()) if plain else logits_of(compute)
        if not self.has_classes:
            return logits
        return two_sided(logits) if logits.shape[1] < len(self.labels) else logits

    def __getstate__(self) -> dict[str, Any]:
        # Whether the weights are those that were loaded is found out by addresses in memory.
        state = {name: value for name, value in vars(self).items() if name != "uid"}
        return {**state, "_loaded_state": None, "_unchanged": self.reloads_with is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy is a network of its own.
        unchanged = state.pop("_unchanged")
        vars(self).update(state, uid=next(_UIDS))
        if unchanged:
            vars(self).update(_loaded_state=fingerprint(self.model))

    def stage(self, name: str) -> Stage:
        """The stage of that name; for the name of any other module a stage at its output."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        if name not in self._module_stages:
            with self.lock:
                self._module_stages[name] = derive_stage(
                    self.model, name, self.stages, self.input_size
                )
        return self._module_stages[name]

    def prepare(self, picture: Picture, fit: str = "stretch") -> tuple[torch.Tensor, Fit]:
        """(1, C, h, w) on the network's device, and how the picture was brought to that size.

        A network of one channel is shown the grey picture, one of other than three a picture of as
        many. Raises `BackboneError` for a picture of other channels.
        """
        wanted = self.input_size[0]
        self._check_channels(picture, wanted)
        pixels, placed = fit_picture(
            picture,
            self.input_size[1:],
            mode=fit,
            interpolation=self.interpolation,
            crop_pct=self.crop_pct,
            crop_mode=self.crop_mode,
            mean=self.mean,
            channels=3 if wanted == 1 else wanted,
        )
        if wanted == 1:
            pixels = to_grey(pixels)
        return to_tensor(pixels, self.mean, self.std).to(self.device), placed

    def _check_channels(self, picture: Picture, wanted: int) -> None:
        """Raise `BackboneError` for a picture with other channels than the network takes."""
        has = 3 if picture.channels is None else picture.channels.shape[2]
        if has == wanted or (wanted in (1, 3) and has in (3, 4)):
            return
        of = f"'{picture.name}'" if picture.name else "the picture"
        cure = (
            "give a picture of its colours alone"
            if wanted in (1, 3)
            else f"give a uint8 array of shape (H, W, {wanted}), also as a .npy or TIFF file"
        )
        raise BackboneError(
            f"{self.display_name} takes pictures of {wanted} channels, and {of} has {has}; {cure}, "
            f"or a network made with in_chans={has}"
        )

    def target(self, wanted: int | str) -> int:
        """The index of a class given by index, label or synonym, upper or lower case.

        A part of a label, or its words in any order, will do if it fits one class only. Raises
        `TargetError` with the candidates otherwise, and of a network without classes.
        """
        if not self.has_classes:
            raise TargetError(
                f"{self.display_name} knows no classes, so there is no class {wanted!r}; leave the "
                "class out: its maps are of its features"
            )
        if not isinstance(wanted, str):
            return self._index(wanted)
        text = wanted.strip()
        exact = named_exactly(text, self.labels, self.synonyms)
        if len(exact) == 1:
            return exact[0]
        if not exact and re.fullmatch(r"-?[0-9]{1,18}", text):
            return self._index(int(text))
        matches = exact or named_partly(text, self.labels, self.synonyms)
        if len(matches) == 1:
            return matches[0]
        if matches:
            shown = [f"{self.labels[i].removesuffix(f' ({i})')} ({i})" for i in matches[:8]]
            named = ", ".join(shown)
            more = f" and {len(matches) - 8} more" if len(matches) > 8 else ""
            raise TargetError(
                f"'{wanted}' fits several classes of {self.display_name}: {named}{more}"
            )
        near = difflib.get_close_matches(wanted, self.labels, n=3, cutoff=0.5)
        hint = f"; similar: {', '.join(near)}" if near else ""
        raise TargetError(f"{self.display_name} knows no class '{wanted}'{hint}")

    def _index(self, wanted: Any) -> int:
        try:
            index = operator.index(wanted)
        except TypeError:
            index = None
        if index is None or isinstance(wanted, bool):
            raise TargetError(f"a class is an index or a label, not {wanted!r}")
        if not 0 <= index < len(self.labels):
            raise TargetError(
                f"no class {index}: {self.display_name} knows classes 0 to {len(self.labels) - 1}"
            )
        return index


def _threshold(given: float | None, output: OutputKind, weights: Weights) -> float:
    """The `confidence_threshold` that was given, else `HALF` for a trained softmax network."""
    if given is not None:
        return given
    return HALF if output == "softmax" and weights.trained else 0.0


def wrap_backbone(
    model: nn.Module,
    *,
    name: str | None = None,
    display_name: str | None = None,
    weights: Weights | None = None,
    device: str | torch.device | None = None,
    confidence_threshold: float | None = None,
    loaded_with: str | None = None,
    discovery: Discovery | None = None,
    settings: Settings | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    interpolation: str | None = None,
    crop_pct: float | None = None,
    input_size: int | Sequence[int] | None = None,
    labels: Labels | None = None,
    output: OutputKind | None = None,
) -> Backbone:
    """A timm network that is already built, made ready to be explained.

    The network stays as it is: its mode, its flags and its weights are the caller's, training can
    go on, and the next explanation is of the weights as they are then. One that is not in single
    precision, or not on the device, is explained by a copy that follows its weights.

    A compiled network and one in a wrapper (data parallelism, weight averages, Lightning) is taken
    out of it. display_name: what sentences call it; None: its name without prefix and path.

    mean, std, interpolation, crop_pct, input_size, labels, output: where they are not what the
    network's configuration says, see `Settings`; `settings` has them all in one. labels None: the
    configuration's own, else ImageNet's, if there are as many as logits, else "class 0", "class 1",
    ... A single logit may have two labels: of its absence, and of its presence. A network without a
    classifier has no labels, and its output is "features".

    confidence_threshold: see `Backbone`; None: a half for a softmax network with trained weights,
    none for others.

    Raises a `BackboneError` that says what to pass if the network cannot be explained, or the
    labels are too few or too many; `StageError` if it keeps no maps.
    """
    if settings is None:
        given = {
            "mean": mean, "std": std, "interpolation": interpolation, "crop_pct": crop_pct,
            "input_size": input_size, "labels": labels, "output": output,
        }  # fmt: skip
        settings, _ = split_settings(given)
    model, behind = find_network(model, settings.input_size)
    config = dict(getattr(model, "pretrained_cfg", None) or {})
    name = name or str(config.get("architecture") or type(model).__name__)
    display_name = display_name or default_display_name(name)
    check_network(model, display_name)
    chosen = find_device(device)
    mine = None if is_plain(model, chosen) else Copy(model, chosen)
    if mine is not None:
        model = mine.model
    if discovery is None:
        with network_lock(model):
            there = model if chosen.type == "cpu" else copy.deepcopy(model).cpu()
            discovery = find_stages(there, settings, display_name)
    kind = output_kind(model, config, discovery, settings.output, display_name, behind)
    names = (
        ()
        if kind == "features"
        else class_names(model, config, discovery.logits, settings.labels, display_name)
    )
    if len(names) > discovery.logits and kind != "sigmoid":
        raise BackboneError(
            f"{display_name} gives one {kind}, and two labels need output 'sigmoid'; give one label"
        )
    data = data_config(model, settings, discovery.input_size[0], display_name)
    origin = weights or Weights("given", "given by the caller", config.get("license"))
    return Backbone(
        name=name,
        display_name=display_name,
        model=model,
        labels=unique_labels(names),
        synonyms=names,
        weights=origin,
        discovery=discovery,
        input_size=discovery.input_size,
        **data,
        device=chosen,
        confidence_threshold=_threshold(confidence_threshold, kind, origin),
        output=kind,
        settings=settings,
        loaded_with=loaded_with,
        _copy=mine,
        _loaded_state=None if loaded_with is None else fingerprint(model),
    )


def find_at_size(backbone: Backbone, size: tuple[int, int]) -> Discovery:
    """The stages of a network where it is shown pictures of another (height, width).

    Raises `BackboneError` if it accepts none of that size.
    """
    with backbone.lock:
        model = backbone.model
        there = model if backbone.device.type == "cpu" else copy.deepcopy(model).cpu()
        settings = replace(backbone.settings, input_size=size)
        return find_stages(there, settings, backbone.display_name)


def at_size(backbone: Backbone, discovery: Discovery, uid: int) -> Backbone:
    """The same network with the same weights, for pictures of another size.

    discovery: of `find_at_size`; uid: that tells it from the network at other sizes.
    """
    return replace(
        backbone, discovery=discovery, input_size=discovery.input_size, uid=uid, _module_stages={}
    )


def around_copy(backbone: Backbone, model: nn.Module, weights: Weights) -> Backbone:
    """The same around a copy of its network, whose weights may become others.

    Stages are those that were found; what was loaded, or follows another network, is no matter.
    """
    return replace(
        backbone,
        model=model,
        weights=weights,
        loaded_with=None,
        taught_on=None,
        classifier=None,
        uid=new_uid(),
        _copy=None,
        _loaded_state=None,
        _digests={},
        _module_stages=dict(backbone._module_stages),
    )


def new_uid() -> int:
    """A number that no other `Backbone` has."""
    return next(_UIDS)


def find_device(wanted: str | torch.device | None = None) -> torch.device:
    """A device by name; None: the GPU if there is one. Raises `BackboneError` if it cannot be."""
    try:
        device = torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise BackboneError(f"device '{wanted}' cannot be used: {one_line(error)}") from error
