"""The networks that ship with camviz, and the configuration in a folder of timm's format."""

import json
from pathlib import Path
from typing import Any

from camviz.errors import WeightsError, one_line
from camviz.resources import ASSETS

_MOST_BYTES = 20_000_000  # of a config.json; one with the names of 20,000 classes has two

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


def read_config(folder: Path, title: str) -> dict[str, Any]:
    """The configuration in a folder of timm's format, and of its `pretrained_cfg` a table.

    title: what the error calls the network. Raises `WeightsError` for a file that is damaged.
    """
    file = folder / "config.json"
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES / 1e6:g} MB")
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
            raise ValueError("it names no architecture")
        if not isinstance(config.get("pretrained_cfg", {}), dict):
            raise ValueError("its pretrained_cfg is no table")
    except (OSError, ValueError, RecursionError) as error:
        cause = "it cannot be read" if isinstance(error, OSError) else one_line(error)
        raise WeightsError(
            f"the configuration of {title} (config.json) is damaged: {cause}; put the file in its "
            "place once more"
        ) from error
    return config
