"""What the figures and maps of a network depend on beside its weights, in plain values.

    preprocessing_of(backbone)["input_size"], outputs_of(backbone)["kind"]

Two networks of the same weights give other maps where pictures reach them otherwise: a run or a
benchmark of the one does not go on with the other.
"""

import hashlib
from typing import Any

from camviz.network.backbone import Backbone


def preprocessing_of(backbone: Backbone) -> dict[str, Any]:
    """How a picture reaches the network, whoever decided it: settings, or its configuration."""
    return {
        "input_size": list(backbone.input_size),
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        "interpolation": backbone.interpolation,
        "crop_pct": backbone.crop_pct,
        "crop_mode": backbone.crop_mode,
    }


def outputs_of(backbone: Backbone) -> dict[str, Any]:
    """What the outputs are: their kind, and the SHA-256 of the labels of its classes, in order."""
    labels = "\n".join(backbone.labels).encode(errors="backslashreplace")
    return {"kind": backbone.output, "labels": hashlib.sha256(labels).hexdigest()}
