"""Holds the versions that camviz allows against known holes; see scripts/audit.

python -m scripts.audit           # 1 if a version with a hole is allowed
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
HOLES = ROOT / "scripts" / "known_holes.yaml"
LOWER = (">=", "==", "~=", ">")


def holes() -> list[dict[str, str]]:
    """Every known hole: package, the version in which it is closed, its name and its source."""
    rows: list[dict[str, str]] = yaml.safe_load(HOLES.read_text(encoding="utf-8"))
    return rows


def allowed() -> Iterator[tuple[str, Requirement]]:
    """Every requirement that stands somewhere: (file, requirement)."""
    for name in ("requirements.txt", "constraints.txt"):
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                yield name, Requirement(line)
    quoted = re.findall(r'"([^"\s]+)"', _tables("pyproject.toml"))
    spacefile: Any = yaml.safe_load((ROOT / "Spacefile").read_text(encoding="utf-8"))
    for profile in spacefile["profiles"].values():
        quoted += [line for line in profile["requirements"] if not line.startswith("-")]
    for line in quoted:
        yield "pyproject.toml or Spacefile", Requirement(line)


def _tables(name: str) -> str:
    """What pyproject.toml requires to build, and for its extras."""
    text = (ROOT / name).read_text(encoding="utf-8")
    (build,) = re.findall(r"^requires = \[(.*?)\]$", text, re.M | re.S)
    (extras,) = re.findall(r"^\[project.optional-dependencies\]\n(.*?)\n\n", text, re.M | re.S)
    return f"{build} {extras}"


def lowest(requirement: Requirement) -> Version | None:
    """The lowest version that a requirement allows; None: any."""
    bounds = [Version(each.version) for each in requirement.specifier if each.operator in LOWER]
    return max(bounds, default=None)


def wrong() -> list[str]:
    """A sentence for each hole that a version which is allowed still has."""
    found = []
    for file, requirement in allowed():
        for hole in holes():
            if canonicalize_name(requirement.name) != hole["package"]:
                continue
            least = lowest(requirement)
            if least is None or least < Version(hole["fixed"]):
                found.append(
                    f"{file}: {requirement} allows {hole['hole']}, closed in {hole['fixed']} "
                    f"({hole['source']})"
                )
    return found


def audited() -> tuple[list[str], int]:
    """What pip-audit finds in constraints.txt, and how many packages it could not look up."""
    command = ["pip-audit", "-r", "constraints.txt", "--no-deps", "--disable-pip", "-f", "json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    packages = json.loads(run.stdout)["dependencies"] if run.stdout else []
    found = [
        f"{each['name']} {each['version']}: {hole['id']}, closed in {hole['fix_versions']}"
        for each in packages
        for hole in each.get("vulns", ())
    ]
    return found, sum("vulns" not in each for each in packages) if packages else -1


def main() -> int:
    sentences = wrong()
    print(f"{len(holes())} known holes: {len(sentences)} are allowed")
    found, unknown = audited()
    if unknown:
        print("pip-audit: its database cannot be reached" if unknown < 0 else
              f"pip-audit: {unknown} packages are not in its database")  # fmt: skip
    for sentence in [*sentences, *found]:
        print(sentence, file=sys.stderr)
    return bool(sentences or found)


if __name__ == "__main__":
    sys.exit(main())
