"""Names of backbones: which exist, and how they are shown to people.

check_name("resnet50")                        # raises BackboneError if there is none
display_name("local-dir:/srv/models/trees")   # "trees"
"""

import difflib
import os
import re
from pathlib import Path
from typing import Any

import timm
from huggingface_hub.utils import validate_repo_id
from torch import nn

from camviz.errors import BackboneError
from camviz.files import user_path
from camviz.network.bundled import bundled_names

LOCAL = "local-dir:"  # followed by a folder in timm's own format
_CHECKPOINTS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")
HUB = ("hf-hub:", "hf_hub:")  # followed by ORG/NAME


_configs: dict[str, Any] = {}


def pretrained_config(name: str) -> Any:
    """timm's configuration of the weights of a name, not to be changed; None if it has none.

    timm makes a deep copy at every call, and the catalogue needs thousands. Raises `RuntimeError`
    for a tag that the architecture does not have.
    """
    if name not in _configs:
        config = timm.get_pretrained_cfg(name)
        if config is None:
            return None  # it may be registered yet
        _configs[name] = config
    return _configs[name]


def display_name(name: str) -> str:
    """How a backbone is called in sentences: no path, no prefix.

    The folder's own name of "local-dir:PATH", the repository of "hf-hub:ORG/NAME", else `name`.
    """
    prefix, _, place = name.partition(":")
    if name.startswith(LOCAL):
        return Path(place).expanduser().resolve().name or prefix
    return place if name.startswith(HUB) and place else name


def check_name(name: str) -> None:
    """Raise `BackboneError` with similar names unless `load_backbone` has a meaning for this one.

    Whether a folder or a repository exists is found out when it is read.
    """
    check_name_type(name)
    if name.startswith(LOCAL):
        return
    if name.startswith(HUB):
        try:
            validate_repo_id(name.partition(":")[2])
        except ValueError as error:
            raise BackboneError(f"'{name}' is not hf-hub:ORG/NAME") from error
        return
    architecture, dot, tag = name.partition(".")
    if not timm.is_model(architecture) and name not in bundled_names():
        _check_place(name)
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


def check_name_type(name: object) -> None:
    """Raise `BackboneError` for what is no text at all, a network among others."""
    if isinstance(name, str):
        return
    given = f"a backbone is a name or a Backbone, not {type(name).__name__}"
    if isinstance(name, nn.Module):
        raise BackboneError(f"{given}; wrap_backbone(model) makes a network ready")
    raise BackboneError(f"{given} {name!r}")


def _check_place(name: str) -> None:
    """Raise `BackboneError` for what is no name, but a place: with the name of what is there."""
    bare = name.removeprefix("timm/")
    if bare != name and timm.is_model(bare.partition(".")[0]):
        raise BackboneError(
            f"unknown backbone '{name}': timm's own are called without 'timm/'; give '{bare}'"
        )
    path = user_path(name)
    looks_like_path = name.startswith(("/", ".", "~")) or os.sep in name or "\\" in name
    if looks_like_path and path.is_dir():
        raise BackboneError(f"'{name}' is a folder; give it as '{LOCAL}{name}'")
    if (looks_like_path and path.is_file()) or Path(name).suffix in _CHECKPOINTS:
        raise BackboneError(
            f"'{name}' is a file; give the name of its architecture as the backbone, and the file "
            "as weights"
        )
    if re.fullmatch(r"https?://huggingface\.co/[\w.-]+/[\w.-]+/?", name):
        repository = "/".join(name.rstrip("/").split("/")[-2:])
        raise BackboneError(f"'{name}' is an address; give 'hf-hub:{repository}'")
    if re.fullmatch(r"[\w-]+/[\w.-]+", name):
        raise BackboneError(
            f"unknown backbone '{name}'; if it is a repository on the hub, give 'hf-hub:{name}', "
            f"if a folder, '{LOCAL}{name}'"
        )
