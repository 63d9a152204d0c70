"""Lets torchvision, and with it timm, be imported beside a CPU-only torch.

PyPI's torchvision is built for CUDA. Beside a torch without CUDA its compiled operators cannot
load, and `import torchvision` then fails, because it describes two of them (`nms`, `qnms`)
that nobody has declared. camviz calls neither: a declaration without a body is enough.
Where the operators do load, nothing is declared and nothing changes.

Import this module before timm.
"""

import importlib.util
import sys
from pathlib import Path

import torch

_DETECTION_OPERATORS = ("nms", "qnms")


def _operators_load() -> bool:
    """True if torchvision's own operators are, or can be, registered in this process."""
    spec = importlib.util.find_spec("torchvision")  # finds the package without importing it
    if spec is None or spec.origin is None:
        return True  # no torchvision at all: timm's own message is the clear one
    for library in sorted(Path(spec.origin).parent.glob("_C*.*")):
        try:
            torch.ops.load_library(str(library))
        except (OSError, ImportError):
            continue
        if hasattr(torch.ops.torchvision, "nms"):
            return True
    return False


def declare_missing() -> torch.library.Library | None:
    """Declare the operators that torchvision describes but could not load; None if none are."""
    if "torchvision" in sys.modules or _operators_load():
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _DETECTION_OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


# The declarations live as long as this object does.
_declared = declare_missing()
