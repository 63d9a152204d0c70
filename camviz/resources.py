"""Where the files that are not Python lie: the one place that knows.

In a checkout they are in `assets/` beside this package; in an installed package they are in it, as
`camviz/assets`, with the Spacefile among them.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent

INSTALLED = (_PACKAGE / "assets").is_dir()
ASSETS = _PACKAGE / "assets" if INSTALLED else _CHECKOUT / "assets"
WEB = ASSETS / "web"  # CSS, JavaScript and templates of the page
