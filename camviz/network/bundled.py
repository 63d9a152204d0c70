"""The networks that ship with camviz."""

from pathlib import Path

from camviz.resources import ASSETS

BUNDLED = ASSETS / "models"


def bundled_names() -> tuple[str, ...]:
    """The names of the networks that ship with camviz, those for photographs first."""
    if not BUNDLED.is_dir():
        return ()
    names = [path.parent.name for path in BUNDLED.glob("*/config.json")]
    return tuple(sorted(names, key=lambda name: (not name.startswith("photos"), name)))


def bundled_folder(name: str) -> Path:
    """The folder of a bundled network: timm's `local-dir:` format, with prototypes beside."""
    return BUNDLED / name
