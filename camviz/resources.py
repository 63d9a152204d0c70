"""Where the files that are not Python lie: the one module that has these paths.

In a checkout they are in `assets/` beside the package and the Spacefile is beside both; in an
installed package they are in it, as `camviz/assets`, the Spacefile among them (see setup.py).
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
INSTALLED = (_PACKAGE / "assets").is_dir()
CHECKOUT = None if INSTALLED else _PACKAGE.parent

ASSETS = (CHECKOUT or _PACKAGE) / "assets"
WEB = ASSETS / "web"  # CSS, JavaScript and templates of the page
GLOSSARY = CHECKOUT / "docs" / "glossary.md" if CHECKOUT else ASSETS / "glossary.md"
SPACEFILE = (CHECKOUT or ASSETS) / "Spacefile"
