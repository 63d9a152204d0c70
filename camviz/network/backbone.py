"""Backbone: a frozen timm classifier with everything needed to explain it."""

import difflib
import hashlib
import itertools
import operator
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import nn

from camviz.errors import BackboneError, TargetError, one_line
from camviz.images import Fit, Picture, fit_picture, to_grey, to_tensor
from camviz.network.labels import class_names, unique_labels
from camviz.network.modules import derive_stage
from camviz.network.names import display_name as default_display_name
from camviz.network.outputs import output_kind, two_sided
from camviz.network.settings import Labels, OutputKind, Settings, split_settings
from camviz.network.setup import data_config, find_stages
from camviz.network.stages import Discovery, Stage
from camviz.network.taps import primary_logits
from camviz.network.wrappers import check_network, find_network

WeightsSource = Literal["bundled", "cached", "hub", "local", "file", "random", "given"]
# `Request.weights` of a network that cannot be made again from its name.
GIVEN = "given"
_UIDS = itertools.count()


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
    """A frozen timm classifier in eval mode, with everything needed to explain its predictions.

    `name` is what `load_backbone` makes it from, `display_name` what sentences call it: never a
    path. `stages` run from shallow to deep; `default_stages` names those that are explained unless
    others are chosen. `labels` are unique and in the order of the logits, `synonyms` all names of
    each class. `lock` is held while the network runs. `confidence_threshold`: below this
    probability of its two best classes together, a prediction is marked as not sure; 0: never.
    `output`: what the logits mean, see `Settings`. `loaded_with`: the `weights` with which
    `load_backbone` makes this very network again from its name and `settings`, None if it cannot.
    `uid` differs between networks.
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
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _module_stages: dict[str, Stage] = field(default_factory=dict, repr=False)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.discovery.stages

    @property
    def default_stages(self) -> tuple[str, ...]:
        return self.discovery.defaults

    @cached_property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @cached_property
    def digest(self) -> str:
        """What this very network is: a hash over its modules and every tensor it holds."""
        return self._hash_tensors(repr(self.model), dtypes=True)

    @cached_property
    def weights_digest(self) -> str:
        """What its weights are, whichever version of timm built the network around them."""
        return self._hash_tensors("", dtypes=False)

    def _hash_tensors(self, start: str, *, dtypes: bool) -> str:
        """A hash over some text and every tensor: its name, type if that counts, shape, bytes."""
        digest = hashlib.blake2b(start.encode(), digest_size=16)
        for name, tensor in sorted(self.model.state_dict().items()):
            kind = f"{tensor.dtype} " if dtypes else ""
            digest.update(f"{name} {kind}{tuple(tensor.shape)}".encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        return digest.hexdigest()

    def scores(self, output: Any) -> torch.Tensor:
        """(N, labels) from what the network returns.

        A single logit with two labels becomes two, of its absence and its presence.
        """
        logits = primary_logits(output)
        return two_sided(logits) if logits.shape[1] < len(self.labels) else logits

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("lock", "uid")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy is a network of its own.
        vars(self).update(state, lock=threading.RLock(), uid=next(_UIDS))

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

        A network of one channel is shown the grey picture.
        """
        pixels, placed = fit_picture(
            picture,
            self.input_size[1:],
            mode=fit,
            interpolation=self.interpolation,
            crop_pct=self.crop_pct,
            crop_mode=self.crop_mode,
            mean=self.mean,
        )
        if self.input_size[0] == 1:
            pixels = to_grey(pixels)
        return to_tensor(pixels, self.mean, self.std).to(self.device), placed

    def target(self, wanted: int | str) -> int:
        """The index of a class given by index, label or synonym, upper or lower case.

        A part of a label will do if it fits one class only. Raises `TargetError` with the
        candidates otherwise.
        """
        if not isinstance(wanted, str):
            return self._index(wanted)
        text = wanted.strip().casefold()
        exact = [i for i, label in enumerate(self.labels) if label.casefold() == text]
        exact = exact or [
            i for i, names in enumerate(self.synonyms) if text in (n.casefold() for n in names)
        ]
        if len(exact) == 1:
            return exact[0]
        if not exact and re.fullmatch(r"-?[0-9]+", text):
            return self._index(int(text))
        matches = exact or [
            i
            for i, names in enumerate(self.synonyms)
            if text and any(text in name.casefold() for name in names)
        ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            named = ", ".join(f"{self.labels[i]} ({i})" for i in matches[:8])
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
            raise TargetError(f"a class is an index or a label, not {wanted!r}") from None
        if not 0 <= index < len(self.labels):
            raise TargetError(
                f"no class {index}: {self.display_name} knows classes 0 to {len(self.labels) - 1}"
            )
        return index


def wrap_backbone(
    model: nn.Module,
    *,
    name: str | None = None,
    display_name: str | None = None,
    weights: Weights | None = None,
    device: str | torch.device | None = None,
    confidence_threshold: float = 0.0,
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
    """A timm classifier that is already built, made ready to be explained: frozen, in eval mode.

    A compiled network and one in a wrapper (data parallelism, weight averages, Lightning) is taken
    out of it. display_name: what sentences call it; None: its name without prefix and path.

    mean, std, interpolation, crop_pct, input_size, labels, output: where they are not what the
    network's configuration says, see `Settings`; `settings` has them all in one. labels None: the
    configuration's own, else ImageNet's, if there are as many as logits, else "class 0", "class 1",
    ... A single logit may have two labels: of its absence, and of its presence.

    Raises a `BackboneError` that says what to pass if the network cannot be explained, or the
    labels are too few or too many; `StageError` if it keeps no maps.
    """
    if settings is None:
        given = {
            "mean": mean, "std": std, "interpolation": interpolation, "crop_pct": crop_pct,
            "input_size": input_size, "labels": labels, "output": output,
        }  # fmt: skip
        settings, _ = split_settings(given)
    model = find_network(model, settings.input_size)
    config = dict(getattr(model, "pretrained_cfg", None) or {})
    name = name or str(config.get("architecture") or type(model).__name__)
    display_name = display_name or default_display_name(name)
    check_network(model, display_name)
    model.eval().requires_grad_(False).float()  # maps are made in single precision
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise BackboneError(f"device '{device}' cannot be used: {one_line(error)}") from error
    discovery = discovery or find_stages(model.cpu(), settings, display_name)
    model.to(chosen)
    kind = output_kind(model, config, discovery.logits, settings.output, display_name)
    names = class_names(config, discovery.logits, settings.labels, display_name)
    if len(names) > discovery.logits and kind != "sigmoid":
        raise BackboneError(
            f"{display_name} gives one {kind}, and two labels need output 'sigmoid'; give one label"
        )
    data = data_config(model, settings, discovery.input_size[0], display_name)
    return Backbone(
        name=name,
        display_name=display_name,
        model=model,
        labels=unique_labels(names),
        synonyms=names,
        weights=weights or Weights("given", "given by the caller", config.get("license")),
        discovery=discovery,
        input_size=discovery.input_size,
        **data,
        device=chosen,
        confidence_threshold=confidence_threshold,
        output=kind,
        settings=settings,
        loaded_with=loaded_with,
    )
