"""Versions of packages. That of camviz itself is written once, in pyproject.toml."""

import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from camviz.resources import CHECKOUT


@lru_cache(maxsize=8)
def version_of(package: str) -> str:
    """The version of an installed package; of camviz that of the checkout, where it is one."""
    try:
        if package == "camviz" and CHECKOUT is not None:
            project = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
            return re.findall(r'^version = "([^"]+)"', project, re.M)[0]
        return version(package)
    except (OSError, IndexError, PackageNotFoundError):
        return "not installed"
