"""Writes constraints.txt: the version of every package at hand that a server needs.

    python -m scripts.pins

Run it in the environment whose tests have passed; the container installs these versions.
"""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "constraints.txt"
HEAD = "# Written by `python -m scripts.pins`: versions that were tested together.\n"


def needed() -> list[Requirement]:
    """What requirements.txt names."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    """name -> version of every package that is needed, and of those that these need."""
    found: dict[str, str] = {}
    todo = needed()
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        if name in found:
            continue
        try:
            here = distribution(name)
        except PackageNotFoundError:  # for another system or Python
            continue
        found[name] = here.version
        for line in here.requires or ():
            other = Requirement(line)
            extras = one.extras or {""}
            if other.marker is None or any(other.marker.evaluate({"extra": e}) for e in extras):
                todo.append(other)
    return dict(sorted(found.items()))


def main() -> None:
    FILE.write_text(HEAD + "".join(f"{name}=={version}\n" for name, version in pins().items()))


if __name__ == "__main__":
    main()
