"""Checkpoints of every usual kind: the state dict found in the file, its names made the network's.

found = read_checkpoint(Path("last.ckpt"))       # {"state_dict": {"model.conv1.weight": ...
load_checkpoint(model, found, "resnet50")        # "model." is taken off
found.origin                                     # "last.ckpt ('state_dict', without 'model.')"
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from camviz.errors import WeightsError, one_line
from camviz.files import user_path
from camviz.network.tensor_file import read_header
from camviz.network.wrappers import listed

# Names under which training code keeps a state dict, the better one first: averaged weights are
# what was evaluated, as timm has it too.
_PLACES = (
    "state_dict_ema", "model_ema", "ema_state_dict", "ema", "state_dict", "model_state_dict",
    "model_state", "model", "net", "network", "module", "weights", "params",
)  # fmt: skip
_DEEPEST = 3
MOST_HEADER = 30_000_000  # bytes of a .safetensors file's header; those of the largest have one
# What averages and batch norms count, without meaning for the scores.
_COUNTERS = ("n_averaged", "num_batches_tracked")


@dataclass(frozen=True)
class Checkpoint:
    """Tensors of a file. `place`: where in it they were, `prefix`: what their names began with."""

    file: str
    tensors: dict[str, Tensor] = field(repr=False)
    place: str = ""
    prefix: str = ""

    @property
    def origin(self) -> str:
        """The file, and what was done with it, in words."""
        did = [f"its '{self.place}'"] if self.place else []
        did += [f"without the prefix '{self.prefix}'"] if self.prefix else []
        return f"{self.file} ({', '.join(did)})" if did else self.file

    def rows(self, module: str) -> int | None:
        """How many rows the weight of a module has here, whatever prefix stands before its name."""
        wanted = f"{module}.weight"
        for name, tensor in self.tensors.items():
            if (name == wanted or name.endswith(f".{wanted}")) and tensor.ndim > 0:
                return tensor.shape[0]
        return None


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The state dict in a .safetensors file or a pickled one; nothing but tensors is loaded."""
    if not isinstance(path, (str, os.PathLike)):
        raise WeightsError(
            f"weights are 'auto', 'random' or a file, not {type(path).__name__}; for those in "
            "memory, load them into the network and wrap_backbone() it"
        )
    if re.match(r"(?i)(https?|ftp|s3|gs|file):", str(path)):
        raise WeightsError(f"'{path}' is an address; download the file and give its path")
    file = user_path(path)
    if not file.is_file():
        kind = ", which is a folder" if file.is_dir() else ""
        raise WeightsError(
            f"no checkpoint at '{file}'{kind}; weights are 'auto', 'random' or a .safetensors or "
            "state-dict file"
        )
    content: Any
    try:
        if file.suffix == ".safetensors":
            read_header(file, MOST_HEADER)
            content = safetensors.torch.load_file(str(file), device="cpu")
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"'{file.name}' holds no tensors that can be loaded safely ({_cause(error)}); "
            "save it as .safetensors or as a plain state dict, model.state_dict()"
        ) from error
    tables = dict(_state_dicts(content)) or ({"": {}} if content == {} else {})
    if not tables:
        raise WeightsError(f"'{file.name}' holds no table of tensors; save model.state_dict()")
    place = min(tables, key=lambda key: (_rank(key), -len(tables[key])))
    return Checkpoint(file.name, tables[place], place)


def _cause(error: Exception) -> str:
    """What was wrong with a file: in words where the words are ours."""
    return str(error) if type(error) is ValueError else type(error).__name__


def load_checkpoint(model: nn.Module, found: Checkpoint, backbone: str) -> Checkpoint:
    """Put a checkpoint's tensors into a network, one common prefix taken off their names.

    Returns the checkpoint with that prefix; raises `WeightsError`, with what is missing and what
    is unknown, if it does not fit. backbone: what the error calls the network.
    """
    own = model.state_dict()
    prefix = _common_prefix(found.tensors, own)
    found = replace(found, prefix=prefix)
    # What lies outside the prefix belongs to other parts: a loss, a metric, a teacher.
    state = {
        name.removeprefix(prefix): tensor
        for name, tensor in found.tensors.items()
        if name.startswith(prefix)
    }
    missing = [n for n in own if n not in state and not n.endswith(_COUNTERS)]
    unknown = [n for n in state if n not in own and not n.endswith(_COUNTERS)]
    if missing or unknown:
        after = f" without the prefix '{prefix}'" if prefix else ""
        parts = [
            f"{len(names)} tensors are {what} ({listed(names)})"
            for names, what in ((missing, "missing"), (unknown, "unknown"))
            if names
        ]
        raise WeightsError(
            f"'{found.file}'{after} is not a checkpoint of {backbone}: {', '.join(parts)}"
        )
    try:
        model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"'{found.file}' does not fit {backbone}: {one_line(error)}") from error
    return found


def _state_dicts(content: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(place, tensors by name) of every table of tensors in nested ones."""
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    tensors = {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    # One tensor among other things (a learning rate, an epoch) is no state dict.
    if len(tensors) > 1 or (tensors and len(tensors) == len(content)):
        yield place, tensors
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Mapping):
            yield from _state_dicts(value, f"{place}.{key}".lstrip("."), depth + 1)


def _rank(place: str) -> int:
    """How early a place is to be taken: the whole file first, unknown names last."""
    if not place:
        return -1
    names = [_PLACES.index(part) if part in _PLACES else 99 for part in place.split(".")]
    return min(names)


def _common_prefix(given: Iterable[str], own: Iterable[str]) -> str:
    """What stands before the network's own names in those of a checkpoint, most often; or ""."""
    own = set(own)
    lengths = {name.count(".") for name in own}
    found: Counter[str] = Counter()
    for name in given:
        parts = name.split(".")
        for cut in range(len(parts)):
            if len(parts) - cut - 1 in lengths and ".".join(parts[cut:]) in own:
                found[".".join([*parts[:cut], ""]) if cut else ""] += 1
    return max(found, key=lambda prefix: (found[prefix], -len(prefix)), default="")
