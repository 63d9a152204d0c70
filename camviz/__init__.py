"""camviz: see why an image classifier decided what it decided.

    import camviz

    x = camviz.Engine().explain("cat.jpg", backbone="resnet50")
    x.fused, x.maps, x.boxes(), x.save("out/")

This page is the table of contents; every name is documented where it is defined. A name is
imported when it is first used, so that `python -m camviz --help` need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camviz.engine.engine import Engine, teach
    from camviz.engine.explanation import Explanation
    from camviz.engine.options import Options
    from camviz.errors import (
        BackboneError,
        CamvizError,
        DataError,
        ImageError,
        LimitError,
        MethodError,
        OutputError,
        PrototypeError,
        RateError,
        RequestError,
        SpaceError,
        StageError,
        TargetError,
        TeachingError,
        TooLargeError,
        WeightsError,
    )
    from camviz.images import Picture, open_picture
    from camviz.maps.fusion import FUSIONS
    from camviz.methods import METHODS
    from camviz.network.backbone import Backbone, wrap_backbone
    from camviz.network.catalogue import catalogue
    from camviz.network.stages import Stage
    from camviz.network.weights import load_backbone
    from camviz.prototypes.bank import PrototypeBank
    from camviz.scenes import draw_scenes
    from camviz.teaching.head import TaughtHead

__all__ = [
    "FUSIONS",
    "METHODS",
    "Backbone",
    "BackboneError",
    "CamvizError",
    "DataError",
    "Engine",
    "Explanation",
    "ImageError",
    "LimitError",
    "MethodError",
    "Options",
    "OutputError",
    "Picture",
    "PrototypeBank",
    "PrototypeError",
    "RateError",
    "RequestError",
    "SpaceError",
    "Stage",
    "StageError",
    "TargetError",
    "TaughtHead",
    "TeachingError",
    "TooLargeError",
    "WeightsError",
    "catalogue",
    "draw_scenes",
    "load_backbone",
    "open_picture",
    "teach",
    "wrap_backbone",
]

# Where each public name is defined; read off by `__getattr__` when it is first used.
_MODULES = {
    "engine.engine": ("Engine", "teach"),
    "engine.explanation": ("Explanation",),
    "engine.options": ("Options",),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "images": ("Picture", "open_picture"),
    "maps.fusion": ("FUSIONS",),
    "methods": ("METHODS",),
    "network.backbone": ("Backbone", "wrap_backbone"),
    "network.catalogue": ("catalogue",),
    "network.stages": ("Stage",),
    "network.weights": ("load_backbone",),
    "prototypes.bank": ("PrototypeBank",),
    "scenes": ("draw_scenes",),
    "teaching.head": ("TaughtHead",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

# timm can be imported after this, also beside a CPU-only torch; loads no torch itself.
import_module("camviz.network.torchvision_ops").install()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("camviz.version").version_of("camviz")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'camviz' has no attribute '{name}'")
    return getattr(import_module(f"camviz.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
