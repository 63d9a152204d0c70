"""A taught head: the classifier that was learned from a few pictures of each kind, and its file.

    head = learn_head(backbone, ["cup", "plate"], features, kinds)
    taught = head.on(backbone)            # a Backbone like any other
    head.save("head.safetensors")

The file holds numbers and names: no picture, and no path.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from camviz.errors import TeachingError
from camviz.files import output_file
from camviz.network.backbone import Backbone
from camviz.network.classifier import Classifier
from camviz.network.taught import with_head
from camviz.network.tensor_file import (
    TensorRow,
    read_described,
    reading_description,
    write_described,
)
from camviz.teaching.checks import MOST_CHANNELS, MOST_KINDS, check_head, check_kinds
from camviz.teaching.ridge import LAMBDA, solve

# Logits are so many times the scores of the regression, which lie near 0 and 1. Of held-out
# photographs, taught from three a kind, the log-likelihood is best near it; see docs/teach_it.md.
SCALE = 14.0
MOST_HEADER = 1_000_000  # bytes; that of the largest head has a twentieth of it
_FORMAT = 1
_KEY = "camviz.head"
_TENSORS = ("mean", "weights", "offsets")


@dataclass(frozen=True, eq=False)
class TaughtHead:
    """A classifier of kinds on the pooled features of one network.

    backbone: its display name; digest: of its weights. kinds: their names; counts: pictures of
    each. penalty: lambda of the regression. scale: by which its scores are multiplied. fit: how
    pictures were brought to the network's size, `input_size`. tried, right: how many pictures were
    left out in turn, and how many of them the others classified rightly. normalisation: of the
    pictures, see `Backbone`. mean (C,), weights (K, C)
    and offsets (K,): see `camviz.network.taught`.
    """

    backbone: str
    digest: str
    kinds: tuple[str, ...]
    counts: tuple[int, ...]
    penalty: float
    scale: float
    fit: str
    input_size: tuple[int, int, int]
    normalisation: str
    tried: int
    right: int
    mean: Tensor
    weights: Tensor
    offsets: Tensor

    @property
    def accuracy(self) -> float | None:
        """The share of pictures that the others classify rightly; None where none was tried."""
        return self.right / self.tried if self.tried else None

    @property
    def table(self) -> dict[str, Any]:
        """Everything but the numbers of the classifier, in plain values."""
        return {name: value for name, value in vars(self).items() if name not in _TENSORS}

    def check(self, backbone: Backbone) -> None:
        """Raise `TeachingError` if this is a head of another network, or for another input size."""
        what = backbone.differs_from(self.digest, self.backbone, self.normalisation)
        if what is not None:
            raise TeachingError(
                f"this head ({', '.join(self.kinds)}) is {what}; what one network's features mean "
                "says nothing of another's: choose its own, or teach it again with this one"
            )
        if self.input_size != tuple(backbone.input_size):
            raise TeachingError(
                f"this head was taught with pictures of {_size(self.input_size)}, and "
                f"{backbone.display_name} is shown {_size(backbone.input_size)}; teach it again"
            )

    @property
    def classifier(self) -> Classifier:
        """What takes the place of the network's own classifier."""
        numbers = {name: getattr(self, name).numpy() for name in _TENSORS}
        return Classifier(kinds=self.kinds, pictures=sum(self.counts), **numbers)

    def on(self, backbone: Backbone) -> Backbone:
        """The network with this head in the place of its classifier.

        Raises `TeachingError` if it is a head of another network.
        """
        self.check(backbone)
        return with_head(backbone, self.classifier)

    def save(self, file: str | Path) -> Path:
        """Write one .safetensors file: three tensors, everything else in its header.

        Raises `OutputError` or `TeachingError` if it cannot be written.
        """
        path = output_file(file)
        write_described(
            path,
            _KEY,
            {"format": _FORMAT, **self.table},
            {name: getattr(self, name).contiguous() for name in _TENSORS},
            lambda why: TeachingError(f"the head cannot be written to '{path}': {why}"),
        )
        return path

    @classmethod
    def load(cls, file: str | Path) -> "TaughtHead":
        """The head that `save` wrote. Nothing is unpickled.

        Raises `TeachingError` for what is no such file, or damaged.
        """
        path = Path(file)
        if not path.is_file():
            raise TeachingError(f"there is no file '{path}' with a taught head; check the path")
        header, tensors = read_described(path, _KEY, MOST_HEADER, _wanted, TeachingError)
        if header is None:
            raise TeachingError(
                f"'{path.name}' holds tensors but no taught head; `camviz teach` and the view "
                "Teach it write such files"
            )
        return _read(cls, path.name, header, tensors)


def learn_head(
    backbone: Backbone,
    kinds: Sequence[str],
    features: Tensor,
    of: Tensor,
    *,
    tried: int,
    right: int,
    penalty: float = LAMBDA,
    fit: str = "stretch",
) -> TaughtHead:
    """The head that ridge regression gives of pooled features, (n, C).

    of: (n,), the kind of each. tried, right: see `TaughtHead`. Raises `TeachingError` for kinds
    without names or pictures.
    """
    counts = tuple(torch.bincount(of, minlength=len(kinds)).tolist())
    names = check_kinds(kinds, counts)
    found = solve(features, of, len(names), penalty)
    return TaughtHead(
        backbone=backbone.display_name,
        digest=backbone.weights_digest,
        kinds=names,
        counts=counts,
        penalty=penalty,
        scale=SCALE,
        fit=fit,
        input_size=backbone.input_size,
        normalisation=backbone.normalisation,
        tried=tried,
        right=right,
        mean=found.mean.float(),
        weights=(SCALE * found.weights.T).float(),
        offsets=(SCALE * found.shares).float(),
    )


def _wanted(rows: Any) -> tuple[str, ...]:
    """The tensors of a head among those of a file. Raises ValueError for what cannot be one's."""
    for name, dimensions in zip(_TENSORS, (1, 2, 1), strict=True):
        row: TensorRow | None = rows.get(name)
        if row is None:
            return ()
        most = (MOST_KINDS, MOST_CHANNELS) if dimensions == 2 else (MOST_CHANNELS,)
        fits = len(row.shape) == dimensions and all(
            0 < side <= bound for side, bound in zip(row.shape, most, strict=True)
        )
        if row.dtype != "F32" or not fits:
            raise ValueError(f"{name} of {row.dtype} {row.shape}")
    return _TENSORS


def _read(cls: type[TaughtHead], name: str, header: str, tensors: dict[str, Tensor]) -> TaughtHead:
    """The head of a file's description and tensors."""
    with reading_description(f"the head in '{name}'", TeachingError):
        plain: dict[str, Any] = json.loads(header)
        version = plain.pop("format")
        if version != _FORMAT:
            raise TeachingError(
                f"'{name}' was written in format {version!r}, and this camviz reads format "
                f"{_FORMAT}; teach it again"
            )
        for each in ("kinds", "counts", "input_size"):
            plain[each] = tuple(plain[each])
        head = cls(**{**plain, **tensors})
        check_head(head)
        return head


def _size(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[2]} pixels in {size[0]} channels"
