"""Lets torchvision, and with it timm, be imported beside a CPU-only torch.

PyPI's torchvision is built for CUDA. Beside a torch without CUDA its compiled operators cannot
load, and `import torchvision` then fails, because it describes two of them (`nms`, `qnms`)
that nobody has declared. camviz calls neither: a declaration without a body is enough.
Where the operators do load, nothing is declared and nothing changes.

`import camviz` installs a finder that does this when torchvision is first imported, by whomever,
and then removes itself. This module imports no torch before that.
"""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.library import Library

_DETECTION_OPERATORS = ("nms", "qnms")
_declared: "Library | None" = None  # the declarations live as long as this object does


class DeclareFirst:
    """Declares the missing operators before torchvision is imported; finds no module itself."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "torchvision" and self in sys.meta_path:
            global _declared
            sys.meta_path.remove(self)
            _declared = declare_missing()


def install() -> None:
    """Have the missing operators declared once torchvision is imported; safe to repeat."""
    there = any(isinstance(finder, DeclareFirst) for finder in sys.meta_path)
    if "torchvision" not in sys.modules and not there:
        sys.meta_path.insert(0, DeclareFirst())


def declare_missing() -> "Library | None":
    """Declare the operators that torchvision describes but could not load; None if none are."""
    if "torchvision" in sys.modules or _operators_load():
        return None
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _DETECTION_OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def _operators_load() -> bool:
    """True if torchvision's own operators are, or can be, registered in this process."""
    spec = importlib.util.find_spec("torchvision")  # finds the package without importing it
    if spec is None or spec.origin is None:
        return True  # no torchvision at all: timm's own message is the clear one
    import torch

    for library in sorted(Path(spec.origin).parent.glob("_C*.*")):
        try:
            torch.ops.load_library(str(library))
        except (OSError, ImportError):
            continue
        if hasattr(torch.ops.torchvision, "nms"):
            return True
    return False
