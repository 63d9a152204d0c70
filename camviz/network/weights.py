"""Classifiers that can be explained: where they come from, what they expect, what they know.

    backbone = load_backbone("resnet50")
    backbone.stages, backbone.labels, backbone.model

Weights are looked for offline first: bundled with camviz, then in the hub's cache on this
machine, then on the hub. If they cannot be had the answer is a `WeightsError` that says what to
do, within seconds and never a network with random weights in disguise.
"""

import difflib
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub.utils import validate_repo_id
from timm.models import load_state_dict
from torch import nn

from camviz.errors import BackboneError, WeightsError
from camviz.network.backbone import GIVEN, Backbone, Source, Weights, wrap_backbone
from camviz.network.bundled import bundled_folder, bundled_names
from camviz.network.hub import WEIGHT_FILES, _instead, cached_file, hub_file
from camviz.network.stages import Discovery
from camviz.network.text import one_line

# Preferred over the bundled ones as soon as its weights are on the machine.
DEFAULT_HUB_BACKBONE = "resnet50.a1_in1k"
# The bundled networks know few things; whatever else they are shown gets one of those names. With
# this bound photos-resnet says "not sure" to 91 % of drawn scenes and 17 % of its held-out
# photographs, scenes-resnet to 28 % of photographs and 1 % of its held-out scenes.
CONFIDENCE_THRESHOLD = 0.6
_PREFIXES = ("local-dir:", "hf-hub:", "hf_hub:")


def default_backbone() -> str:
    """The best that is at hand: cached ImageNet weights, else a bundled network."""
    config = timm.get_pretrained_cfg(DEFAULT_HUB_BACKBONE)
    if cached_file(config.hf_hub_id, WEIGHT_FILES) is not None:
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
        location = f"local-dir:{bundled_folder(name)}"
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
        confidence_threshold=CONFIDENCE_THRESHOLD if origin.source == "bundled" else 0.0,
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
        config, _ = hub_file(repository, ["config.json"], name)  # the architecture, too, is there
        if weights == "auto":
            file, where = hub_file(repository, WEIGHT_FILES, name)
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
    names = (config.hf_hub_filename,) if config.hf_hub_filename else WEIGHT_FILES
    file, source = hub_file(config.hf_hub_id, names, name)
    overlay = {"file": str(file), "custom_load": False}
    model = _timm_model(location, pretrained=True, pretrained_cfg_overlay=overlay, **kwargs)
    return model, Weights(source, config.hf_hub_id, config.license)


def _timm_model(location: str, **kwargs: Any) -> nn.Module:
    try:
        return timm.create_model(location, **kwargs)
    except (RuntimeError, OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{location} could not be made: {one_line(error)}") from error


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
        raise WeightsError(f"'{file.name}' does not fit {location}: {one_line(error)}") from error
    if missing or unexpected:
        raise WeightsError(
            f"'{file.name}' is not a checkpoint of {location}: {len(missing)} tensors are missing"
            f" ({', '.join(missing[:3])}), {len(unexpected)} are unknown"
            f" ({', '.join(unexpected[:3])})"
        )
    return model, Weights("file", file.name)
