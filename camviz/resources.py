"""Where the files that are not Python lie."""

from pathlib import Path

ASSETS = Path(__file__).resolve().parent.parent / "assets"
