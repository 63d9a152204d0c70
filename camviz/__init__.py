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
    from camviz.backbones import Backbone, catalogue, load_backbone, wrap_backbone
    from camviz.engine import Engine
    from camviz.errors import (
        BackboneError,
        CamvizError,
        ImageError,
        MethodError,
        PrototypeError,
        SpaceError,
        StageError,
        TargetError,
        WeightsError,
    )
    from camviz.explanation import Explanation
    from camviz.images import Picture, open_picture
    from camviz.maps import FUSIONS
    from camviz.methods import METHODS
    from camviz.prototypes import PrototypeBank
    from camviz.scenes import draw_scenes
    from camviz.stages import Stage

__all__ = [
    "FUSIONS",
    "METHODS",
    "Backbone",
    "BackboneError",
    "CamvizError",
    "Engine",
    "Explanation",
    "ImageError",
    "MethodError",
    "Picture",
    "PrototypeBank",
    "PrototypeError",
    "SpaceError",
    "Stage",
    "StageError",
    "TargetError",
    "WeightsError",
    "catalogue",
    "draw_scenes",
    "load_backbone",
    "open_picture",
    "wrap_backbone",
]

_HOMES = {
    "backbones": ("Backbone", "catalogue", "load_backbone", "wrap_backbone"),
    "engine": ("Engine",),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "explanation": ("Explanation",),
    "images": ("Picture", "open_picture"),
    "maps": ("FUSIONS",),
    "methods": ("METHODS",),
    "prototypes": ("PrototypeBank",),
    "scenes": ("draw_scenes",),
    "stages": ("Stage",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'camviz' has no attribute '{name}'")
    return getattr(import_module(f"camviz.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
