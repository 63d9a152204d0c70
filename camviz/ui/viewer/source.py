"""The source of the element <map-viewer>, and its configuration.

Its parts are ES modules in assets/web/viewer. gradio and the offline report, whose policy forbids
it to load any file, take one script each: `inline` joins the modules without their imports,
exports and types, so that there is nothing to build.
"""

import re
from html import escape
from pathlib import Path

from camviz import defaults
from camviz.engine.option import option_table
from camviz.engine.options import Options
from camviz.maps.render import COLOR_MAPS, DIVERGING
from camviz.resources import WEB
from camviz.ui.viewer.encode import encode_colors
from camviz.ui.viewer.schema import Configuration

FILES = WEB / "viewer"
# Keys of a link beside the options with page=True; those behind "weights" say what is covered, the
# last three which round of a guessing game is played.
LINK_KEYS = (
    "backbone", "example", "class", "weights", "cover", "covered", "hottest", "others", "without",
    "game", "seed", "count",
)  # fmt: skip

_IMPORT = re.compile(r'^import [^;]*?"([^"]+)";\n', re.M)
_EXPORT = re.compile(r"^export (?:\{\};\n)?", re.M)
_TYPES = re.compile(r"^(?:// @ts-check|[ \t]*/\*\*.*?\*/)\n?", re.M | re.S)


def inline(*names: str) -> str:
    """Modules of assets/web and everything that they import, as one script."""
    parts: dict[Path, str] = {}

    def add(path: Path) -> None:
        if path not in parts:
            text = path.read_text(encoding="utf-8")
            for imported in _IMPORT.findall(text):
                add((path.parent / imported).resolve())
            parts[path] = _TYPES.sub("", _EXPORT.sub("", _IMPORT.sub("", text)))

    for name in names:
        add((WEB / name).resolve())
    return "\n".join(parts.values())


def markup(name: str = "Maps") -> str:
    """The element with everything that stands inside of it. name: what is read out of it."""
    text = (FILES / "viewer.html").read_text(encoding="utf-8")
    return text.replace('aria-label="Maps"', f'aria-label="{escape(name)}"', 1)


def style() -> str:
    """Its rules, which have to be nested in those of something around it."""
    return (FILES / "viewer.css").read_text(encoding="utf-8")


def configuration() -> Configuration:
    """What the element has to have before its first value."""
    options = [name for name, row in option_table(Options).items() if row.page]
    return Configuration(
        settings=defaults.VIEWER_SETTINGS,
        choices=defaults.VIEWER_CHOICES,
        tables={name: encode_colors(name) for name in (*COLOR_MAPS, DIVERGING)},
        diverging=DIVERGING,
        uneven=defaults.UNEVEN_COLORS,
        hot=defaults.HOT,
        threshold=defaults.THRESHOLD,
        max_threshold=defaults.MAX_THRESHOLD,
        speck_area=defaults.SPECK_AREA,
        speck_heat=defaults.SPECK_HEAT,
        link_keys=(*LINK_KEYS, *options),
    )
