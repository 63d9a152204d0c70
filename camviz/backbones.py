"""Classifiers that can be explained: where they come from, what they expect, what they know.

    backbone = load_backbone("resnet50")
    backbone.stages, backbone.labels, backbone.model

Weights are looked for offline first: bundled with camviz, then in the hub's cache on this
machine, then on the hub. If they cannot be had the answer is a `WeightsError` that says what to
do, within seconds and never a network with random weights in disguise.
"""

import difflib
import fnmatch
import hashlib
import itertools
import json
import operator
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from camviz import vision_ops  # noqa: F401  (before timm: it lets torchvision be imported)

# isort: split
import timm
import torch
from huggingface_hub import (
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.utils import tqdm as hub_bar
from huggingface_hub.utils import validate_repo_id
from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_model_data_config
from timm.models import load_state_dict
from torch import nn

from camviz.errors import BackboneError, StageError, TargetError, WeightsError
from camviz.images import Fit, Picture, fit_picture, to_tensor
from camviz.stages import Discovery, Stage, describe_module, discover

Source = Literal["bundled", "cached", "hub", "local", "file", "random", "given"]
Report = Callable[[int, int], None]  # bytes that have come, bytes in all (0: not known)

ASSETS = Path(__file__).resolve().parent.parent / "assets"
BUNDLED = ASSETS / "models"
# Preferred over the bundled ones as soon as its weights are on the machine.
DEFAULT_HUB_BACKBONE = "resnet50.a1_in1k"
# The bundled networks know few things; whatever else they are shown gets one of those names. With
# this bound photos-resnet says "not sure" to 91 % of drawn scenes and 17 % of its held-out
# photographs, scenes-resnet to 28 % of photographs and 1 % of its held-out scenes.
UNSURE_BELOW = 0.6
HUB_TIMEOUT = 2.5  # seconds until the hub counts as out of reach

# What a request says of weights that no name leads back to.
GIVEN = "given"
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_PREFIXES = ("local-dir:", "hf-hub:", "hf_hub:")


@dataclass(frozen=True)
class Weights:
    """What a network's weights are: `source`, and `origin` in words (a hub id, a file name)."""

    source: Source
    origin: str
    license: str | None = None

    @property
    def trained(self) -> bool:
        return self.source != "random"


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen timm classifier in eval mode, with everything needed to ask it about a picture.

    `stages` run from shallow to deep; `default_stages` names those that are shown unasked.
    `labels` are unique and in the order of the logits. `lock` is held while the network runs.
    `unsure_below`: with less probability on its two best classes the network does not know what
    it sees; 0 where nobody has said. `loaded_with`: the `weights` with which `load_backbone` makes
    this very network again from its name, None if it cannot. `uid` differs between networks.
    """

    name: str
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
    unsure_below: float = 0.0
    loaded_with: str | None = None
    uid: int = field(default_factory=itertools.count().__next__, repr=False)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _asked: dict[str, Stage] = field(default_factory=dict, repr=False)

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
        digest = hashlib.blake2b(repr(self.model).encode(), digest_size=16)
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        return digest.hexdigest()

    @cached_property
    def weights_digest(self) -> str:
        """What its weights are, whichever version of timm built the network around them."""
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        return digest.hexdigest()

    def stage(self, name: str) -> Stage:
        """The stage of that name, or any module of the network, its layout derived from shapes."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        if name not in self._asked:
            with self.lock:
                self._asked[name] = describe_module(self.model, name, self.stages, self.input_size)
        return self._asked[name]

    def prepare(self, picture: Picture, fit: str = "stretch") -> tuple[torch.Tensor, Fit]:
        """(1, 3, h, w) on the network's device, and how the picture was brought there."""
        pixels, how = fit_picture(
            picture,
            self.input_size[1:],
            mode=fit,
            interpolation=self.interpolation,
            crop_pct=self.crop_pct,
            crop_mode=self.crop_mode,
            mean=self.mean,
        )
        return to_tensor(pixels, self.mean, self.std).to(self.device), how

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
            raise TargetError(f"'{wanted}' fits several classes of {self.name}: {named}{more}")
        near = difflib.get_close_matches(wanted, self.labels, n=3, cutoff=0.5)
        hint = f"; similar: {', '.join(near)}" if near else ""
        raise TargetError(f"{self.name} knows no class '{wanted}'{hint}")

    def _index(self, wanted: Any) -> int:
        try:
            index = operator.index(wanted)
        except TypeError:
            raise TargetError(f"a class is an index or a label, not {wanted!r}") from None
        if not 0 <= index < len(self.labels):
            raise TargetError(
                f"no class {index}: {self.name} knows classes 0 to {len(self.labels) - 1}"
            )
        return index


@dataclass(frozen=True)
class Entry:
    """A row of the catalogue: a name to load and what is known without loading it."""

    name: str
    architecture: str
    family: str
    source: Literal["bundled", "cached", "hub", "untrained"]
    classes: int
    input_size: tuple[int, int, int]
    parameters: int | None
    license: str | None

    @property
    def classifier(self) -> bool:
        """Whether its outputs are classes: 0 is a feature extractor, and timm's label sets have
        1,000 names or more than 10,000; widths between are those of CLIP's embeddings."""
        return self.source == "bundled" or self.classes == 1000 or self.classes > 10_000

    @property
    def megabytes(self) -> float | None:
        """The size of a download in 32-bit floats."""
        return None if self.parameters is None else self.parameters * 4 / 1e6


@lru_cache(maxsize=1)
def _counts() -> dict[str, tuple[int, int]]:
    """Architecture -> (parameters, classes), counted once for all of timm by benchmarks/."""
    path = ASSETS / "architectures.json"
    return json.loads(path.read_text()) if path.exists() else {}


def bundled_names() -> tuple[str, ...]:
    """The backbones that ship with camviz, those for photographs first."""
    if not BUNDLED.is_dir():
        return ()
    names = [path.parent.name for path in BUNDLED.glob("*/config.json")]
    return tuple(sorted(names, key=lambda name: (not name.startswith("photos"), name)))


def catalogue(pattern: str = "*") -> list[Entry]:
    """Every classifier that can be asked for, as far as its name fits the pattern.

    Bundled ones lead; then come those with trained weights, by name; then architectures without
    any. The pattern is a shell pattern; one without a wildcard matches anywhere in a name.
    Networks without a classifier close the list.
    """
    entries = [_bundled_entry(name) for name in bundled_names()]
    cached = set(_cached_repositories())
    tags = timm.list_models(pretrained=True)
    for name in tags:
        config = timm.get_pretrained_cfg(name)
        source: Literal["cached", "hub"] = "cached" if config.hf_hub_id in cached else "hub"
        entries.append(_timm_entry(name, config, source))
    tagged = {entry.architecture for entry in entries}
    entries += [
        _timm_entry(name, timm.get_pretrained_cfg(name), "untrained")
        for name in timm.list_models()
        if name not in tagged
    ]
    wild = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    fitting = [entry for entry in entries if fnmatch.fnmatch(entry.name, wild)]
    return sorted(fitting, key=lambda entry: (not entry.classifier, entry.architecture != pattern))


def _bundled_entry(name: str) -> Entry:
    config = json.loads((BUNDLED / name / "config.json").read_text())
    details = config.get("pretrained_cfg", config)
    architecture = config["architecture"]
    return Entry(
        name,
        architecture,
        timm.models.model_entrypoint(architecture).__module__.rsplit(".", 1)[-1],
        "bundled",
        config["num_classes"],
        tuple(details["input_size"]),
        config.get("parameters", details.get("parameters")),
        details.get("license"),
    )


def _timm_entry(name: str, config: Any, source: Literal["cached", "hub", "untrained"]) -> Entry:
    architecture = name.split(".")[0]
    parameters, classes = _counts().get(architecture, (None, None))
    if source != "untrained" or classes is None:
        classes = config.num_classes if config is not None else 0
    return Entry(
        name,
        architecture,
        timm.models.model_entrypoint(architecture).__module__.rsplit(".", 1)[-1],
        source,
        classes,
        tuple(config.input_size) if config is not None else (3, 224, 224),
        parameters,
        config.license if config is not None else None,
    )


def _cached_repositories() -> Iterator[str]:
    """Hub ids of timm weights in the hub's cache on this machine."""
    from huggingface_hub.constants import HF_HUB_CACHE

    for folder in Path(HF_HUB_CACHE).glob("models--*"):
        repository = folder.name.removeprefix("models--").replace("--", "/", 1)
        if _cached_file(repository, _WEIGHT_FILES) is not None:
            yield repository


def _cached_file(repository: str, names: Iterable[str]) -> Path | None:
    for name in names:
        path = try_to_load_from_cache(repository, name)
        if isinstance(path, str):
            return Path(path)
    return None


def hub_reachable(repository: str = "timm/resnet18.a1_in1k") -> bool:
    """Does the model hub answer within `HUB_TIMEOUT` seconds? One look, no retries."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    answered = threading.Event()

    def look() -> None:
        with suppress(Exception):  # no network, no such host, refused: all of them mean no
            with suppress(EntryNotFoundError):  # no such file, but the hub has answered
                get_hf_file_metadata(hf_hub_url(repository, "config.json"), timeout=HUB_TIMEOUT)
            answered.set()
        over.set()

    over = threading.Event()
    # A thread of its own, because a name server may be slower than any timeout of the request;
    # a daemon, because nobody should have to wait for it, not even to leave.
    threading.Thread(target=look, name="hub-probe", daemon=True).start()
    over.wait(HUB_TIMEOUT)
    return answered.is_set()


class Stopped(Exception):
    """What a `Report` raises to give a download up; what has come is kept for the next attempt."""


def download(name: str, report: Report) -> None:
    """Bring the weights of a catalogue name to this machine, if they are only on the hub.

    `report` is told how much has come, every few megabytes. Raises `WeightsError` if they cannot
    be had, and whatever `report` raises.
    """
    place = _hub_place(name)
    if place is not None:
        _hub_file(*place, name, report)


def needs_download(name: str) -> bool:
    """Whether the weights of a catalogue name are on the hub only, and not yet on this machine."""
    place = _hub_place(name)
    return place is not None and _cached_file(*place) is None


def hub_repository(name: str) -> str | None:
    """Where on the hub the weights of a catalogue name and their model card are, if anywhere."""
    place = _hub_place(name)
    return None if place is None else place[0]


def _hub_place(name: str) -> tuple[str, Sequence[str]] | None:
    """The repository of a catalogue name, and the file in it; None where the hub has no part."""
    config = timm.get_pretrained_cfg(name) if name not in bundled_names() else None
    if config is None or not config.hf_hub_id:
        return None
    names = (config.hf_hub_filename,) if config.hf_hub_filename else _WEIGHT_FILES
    return config.hf_hub_id, names


def _reporting(report: Report) -> Any:
    """A progress bar, as `hf_hub_download` asks for one, that is seen by nobody but `report`."""

    class Bar(hub_bar):  # type: ignore[misc]
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **{**named, "disable": True})
            self.come = int(named.get("initial") or 0)

        def update(self, n: float | None = 1) -> None:
            self.come += int(n or 0)
            report(self.come, int(self.total or 0))

    return Bar


def _hub_file(
    repository: str, names: Sequence[str], what: str, report: Report | None = None
) -> tuple[Path, Source]:
    """A file of a hub repository: from the cache, else downloaded, else `WeightsError`."""
    cached = _cached_file(repository, names)
    if cached is not None:
        return cached, "cached"
    if not hub_reachable(repository):
        raise WeightsError(
            f"the weights of {what} are not on this machine and the model hub cannot be reached. "
            + _instead()
        )
    for name in names:
        try:
            watched = {} if report is None else {"tqdm_class": _reporting(report)}
            return Path(hf_hub_download(repository, name, **watched)), "hub"
        except EntryNotFoundError:
            continue
        except Stopped:
            raise
        except Exception as error:
            raise WeightsError(
                f"downloading the weights of {what} failed: {error}. " + _instead()
            ) from error
    raise WeightsError(f"{repository} holds none of {', '.join(names)}. " + _instead())


def _instead() -> str:
    ready = ", ".join(bundled_names())
    return (
        (f"Ready without a network: {ready}. Or give" if ready else "Give")
        + " a checkpoint file, a folder as local-dir:PATH, or ask for weights='random' "
        "(untrained: its maps mean nothing)."
    )


def default_backbone() -> str:
    """The best that is at hand: cached ImageNet weights, else a bundled network."""
    config = timm.get_pretrained_cfg(DEFAULT_HUB_BACKBONE)
    if _cached_file(config.hf_hub_id, _WEIGHT_FILES) is not None:
        return DEFAULT_HUB_BACKBONE
    names = bundled_names()
    return names[0] if names else DEFAULT_HUB_BACKBONE


def load_backbone(
    name: str | None = None,
    weights: str | Path = "auto",
    device: str | torch.device | None = None,
    *,
    discovery: Discovery | None = None,
    **timm_kwargs: Any,
) -> Backbone:
    """A classifier by name, frozen, in eval mode, its stages found and proved.

    name: a bundled name, a timm architecture with or without a tag, "local-dir:PATH" (timm's own
    folder format) or "hf-hub:ORG/NAME"; None: the best at hand. weights: "auto" (bundled, else
    cached, else hub), "random" (untrained, the same at every call), or a checkpoint: a
    .safetensors file or a pickled state dict, of which only tensors are ever loaded.
    timm_kwargs go to `timm.create_model`. discovery: its stages, if they were found before.

    Raises `BackboneError` for an unknown name or a network without a classifier, `WeightsError`
    if the weights cannot be had or do not fit.
    """
    name = name or default_backbone()
    if name in bundled_names():
        location = f"local-dir:{BUNDLED / name}"
    else:
        location = name
        _check_name(name)
    with torch.inference_mode(False), torch.no_grad():
        model, origin = _create(name, location, weights, timm_kwargs)
    return wrap_backbone(
        model,
        name=name,
        weights=origin,
        device=device,
        unsure_below=UNSURE_BELOW if origin.source == "bundled" else 0.0,
        loaded_with=None if timm_kwargs else str(weights),
        discovery=discovery,
    )


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        what = "wrap_backbone(model) makes a network ready" if isinstance(name, nn.Module) else ""
        raise BackboneError(
            f"a backbone is a name or a Backbone, not {type(name).__name__}"
            + (f"; {what}" if what else f" {name!r}")
        )
    if name.startswith("local-dir:"):
        return
    if name.startswith(_PREFIXES):
        try:
            validate_repo_id(name.partition(":")[2])
        except ValueError as error:
            raise BackboneError(f"'{name}' is not hf-hub:ORG/NAME") from error
        return
    architecture, dot, tag = name.partition(".")
    if not timm.is_model(architecture):
        known = [*bundled_names(), *timm.list_models()]
        near = difflib.get_close_matches(architecture, known, n=4)
        hint = f"; similar: {', '.join(near)}" if near else ""
        raise BackboneError(f"unknown backbone '{name}'{hint}")
    if dot:
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
        if tag not in tags:
            raise BackboneError(
                f"unknown backbone '{name}': {architecture} has no weights tagged '{tag}'; "
                f"tags: {', '.join(tags) or 'none'}"
            )


def _create(
    name: str, location: str, weights: str | Path, kwargs: dict[str, Any]
) -> tuple[nn.Module, Weights]:
    if location.startswith("local-dir:"):
        folder = Path(location.removeprefix("local-dir:")).expanduser()
        if not (folder / "config.json").is_file():
            raise WeightsError(
                f"'{folder}' is not a timm model folder: it holds no config.json "
                "(timm.models.save_for_hf writes such folders)"
            )
    if weights == GIVEN:
        raise WeightsError(
            f"the weights of this {name} were given in memory; build it again, wrap_backbone() it "
            "and pass the result"
        )
    if location.startswith(("hf-hub:", "hf_hub:")):
        repository = location.partition(":")[2]
        config, _ = _hub_file(repository, ["config.json"], name)  # the architecture, too, is there
        if weights == "auto":
            file, where = _hub_file(repository, _WEIGHT_FILES, name)
            model = _timm_model(f"local-dir:{config.parent}", pretrained=True, **kwargs)
            return model, Weights(where, repository, _license(model))
        location = f"local-dir:{config.parent}"
    if weights == "random":
        return build_untrained(location, **kwargs), Weights("random", "untrained")
    if weights != "auto":
        return _from_file(location, Path(weights).expanduser(), kwargs)
    if location.startswith("local-dir:"):
        source: Source = "bundled" if location != name else "local"
        model = _timm_model(location, pretrained=True, **kwargs)
        return model, Weights(source, folder.name, _license(model))
    config = timm.get_pretrained_cfg(location)
    if config is None or not config.hf_hub_id:
        raise WeightsError(f"timm knows no weights for {name}. " + _instead())
    names = (config.hf_hub_filename,) if config.hf_hub_filename else _WEIGHT_FILES
    file, source = _hub_file(config.hf_hub_id, names, name)
    overlay = {"file": str(file), "custom_load": False}
    model = _timm_model(location, pretrained=True, pretrained_cfg_overlay=overlay, **kwargs)
    return model, Weights(source, config.hf_hub_id, config.license)


def _timm_model(location: str, **kwargs: Any) -> nn.Module:
    try:
        return timm.create_model(location, **kwargs)
    except (RuntimeError, OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{location} could not be made: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _license(model: nn.Module) -> str | None:
    return (getattr(model, "pretrained_cfg", None) or {}).get("license")


def build_untrained(location: str, **kwargs: Any) -> nn.Module:
    """A network with random weights, the same ones at every call."""
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        torch.manual_seed(0)
        return _timm_model(location, pretrained=False, **kwargs)


def _from_file(location: str, file: Path, kwargs: dict[str, Any]) -> tuple[nn.Module, Weights]:
    """A named architecture with the tensors of a checkpoint file, its class count read off it."""
    if not file.is_file():
        raise WeightsError(
            f"no checkpoint at '{file}'; weights are 'auto', 'random' or a .safetensors or "
            "state-dict file"
        )
    try:
        state = load_state_dict(str(file), device="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"'{file.name}' holds no tensors that can be loaded safely ({type(error).__name__}); "
            "save it as .safetensors or as a plain state dict"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise WeightsError(f"'{file.name}' holds no table of tensors; save model.state_dict()")
    if "num_classes" not in kwargs:
        config = timm.get_pretrained_cfg(location) if not location.startswith(_PREFIXES) else None
        heads = getattr(config, "classifier", None)
        head = heads[0] if isinstance(heads, (list, tuple)) else heads
        rows = state.get(f"{head}.weight")
        if rows is not None and rows.ndim > 0:
            kwargs = {**kwargs, "num_classes": rows.shape[0]}
    model = _timm_model(location, pretrained=False, **kwargs)
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"'{file.name}' does not fit {location}: {_one_line(error)}") from error
    if missing or unexpected:
        raise WeightsError(
            f"'{file.name}' is not a checkpoint of {location}: {len(missing)} tensors are missing"
            f" ({', '.join(missing[:3])}), {len(unexpected)} are unknown"
            f" ({', '.join(unexpected[:3])})"
        )
    return model, Weights("file", file.name)


def wrap_backbone(
    model: nn.Module,
    *,
    name: str | None = None,
    labels: Sequence[str] | None = None,
    weights: Weights | None = None,
    device: str | torch.device | None = None,
    input_size: tuple[int, int, int] | None = None,
    unsure_below: float = 0.0,
    loaded_with: str | None = None,
    discovery: Discovery | None = None,
) -> Backbone:
    """A timm classifier that is already built, made ready to be explained: frozen, in eval mode.

    labels: one name a class, in the order of the logits; None: the model's own, else ImageNet's
    if the class count fits, else "class 0", "class 1", ... input_size: (3, height, width) if it
    is not the network's own. Raises `BackboneError` if the network
    has no classifier or the labels are too few or too many.
    """
    config = dict(getattr(model, "pretrained_cfg", None) or {})
    name = name or str(config.get("architecture") or type(model).__name__)
    classes = int(getattr(model, "num_classes", 0))
    if classes < 1:
        raise BackboneError(f"{name} has no classifier: it gives features, no class scores")
    model.eval().requires_grad_(False).float()  # maps are made in single precision
    data = resolve_model_data_config(model)
    size = getattr(getattr(model, "patch_embed", None), "img_size", None)
    own_size = (data["input_size"][0], *(size or data["input_size"][1:]))
    input_size = input_size or own_size
    try:
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:
        raise BackboneError(f"device '{device}' cannot be used: {_one_line(error)}") from error
    with torch.inference_mode(False):
        try:
            discovery = discovery or discover(model.cpu(), input_size)
        except StageError as error:
            raise StageError(f"{name}: {error}") from error
        model.to(where)
    names = _label_names(model, config, classes, labels, name)
    return Backbone(
        name=name,
        model=model,
        labels=_unique(names),
        synonyms=names,
        weights=weights or Weights("given", "given by the caller", config.get("license")),
        discovery=discovery,
        input_size=input_size,
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        interpolation=data["interpolation"],
        crop_pct=data["crop_pct"],
        crop_mode=data["crop_mode"],
        device=where,
        unsure_below=unsure_below,
        loaded_with=loaded_with,
    )


def _label_names(
    model: nn.Module, config: dict[str, Any], classes: int, given: Sequence[str] | None, name: str
) -> tuple[tuple[str, ...], ...]:
    """For every class its names: the label first, then synonyms."""
    own = given or config.get("label_names")
    if own:
        if len(own) != classes:
            raise BackboneError(f"{name} has {classes} classes, but {len(own)} labels were given")
        described = config.get("label_descriptions") or {}
        texts = [str(described.get(label, label)) for label in own]
        if given:
            return tuple((text,) for text in texts)
    else:
        subset = infer_imagenet_subset(model)
        if subset is None:
            return tuple((f"class {index}",) for index in range(classes))
        info = ImageNetInfo(subset)
        texts = [info.index_to_description(index) for index in range(classes)]
    return tuple(tuple(part.strip() for part in text.split(",")) for text in texts)


def _unique(names: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """One label a class: its first name, all its names if that is taken, at last its index."""
    first = Counter(synonyms[0] for synonyms in names)
    labels = [synonyms[0] if first[synonyms[0]] == 1 else ", ".join(synonyms) for synonyms in names]
    taken = Counter(labels)
    return tuple(
        label if taken[label] == 1 else f"{label} ({index})" for index, label in enumerate(labels)
    )
