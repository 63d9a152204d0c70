"""The files of a Space: front matter, requirements, bundle."""

import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from camviz.errors import SpaceError
from camviz.space.spacefile import README, REQUIREMENTS, Spacefile

PRELOADED = "config.json,model.safetensors"
_FRONT_MATTER = re.compile(r"\A---\n.*?^---\n+", re.S | re.M)
_HINT = "# from the Spacefile, by `python -m camviz space render`"


def front_matter(space: Spacefile, profile: str | None = None) -> dict[str, Any]:
    """The keys at the top of the README, all of them."""
    card = dict(space.card)
    card["suggested_hardware"] = space.profile(profile).hardware
    card["models"] = [f"timm/{name}" for name in space.models]
    card["preload_from_hub"] = [f"timm/{name} {PRELOADED}" for name in space.models]
    return card


def render(readme: str, space: Spacefile, profile: str | None = None) -> str:
    """The README with its front matter written anew; what stands below it stays as it is."""
    head = yaml.safe_dump(
        front_matter(space, profile), sort_keys=False, allow_unicode=True, width=1000
    )
    return f"---\n{_HINT}\n{head}---\n\n{_FRONT_MATTER.sub('', readme, count=1)}"


def requirements(space: Spacefile, profile: str | None = None) -> str:
    """requirements.txt for a profile: options first, then its own lines in place of the general.

    Raises `SpaceError` if a line is not a requirement.
    """
    chosen = space.profile(profile)
    options = [line for line in chosen.requirements if line.startswith("-")]
    own = {requirement_of(line).name: line for line in chosen.requirements if line not in options}
    own = {canonicalize_name(name): line for name, line in own.items()}
    lines = [f"# For Hugging Face Spaces, profile '{chosen.name}': from requirements.txt and the"]
    lines += ["# Spacefile, by `python -m camviz space publish`.", *options]
    for line in requirement_lines(space.root):
        lines.append(own.pop(canonicalize_name(requirement_of(line).name), line))
    return "\n".join([*lines, *own.values()]) + "\n"


def requirement_lines(root: Path) -> list[str]:
    """The requirements of a folder's requirements.txt, without comments."""
    try:
        text = (root / REQUIREMENTS).read_text(encoding="utf-8")
    except OSError as error:
        raise SpaceError(f"there is no {REQUIREMENTS} in {root}") from error
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def requirement_of(line: str) -> Requirement:
    """A line of requirements.txt, parsed. Raises `SpaceError` if pip could not read it."""
    try:
        return Requirement(line)
    except InvalidRequirement as error:
        raise SpaceError(f"'{line}' is not a requirement that pip understands") from error


def bundle(space: Spacefile, profile: str | None = None) -> dict[str, bytes | Path]:
    """Everything that is published, by its path in the Space: a file of this folder, or its text.

    Raises `SpaceError` if a pattern finds nothing or leads out of the folder.
    """
    paths: dict[str, bytes | Path] = {}
    root = space.root.resolve()
    for pattern in space.files:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise SpaceError(f"files: '{pattern}' leads out of this folder")
        hits = [path for path in sorted(space.root.glob(pattern)) if path.is_file()]
        hits = [path for path in hits if "__pycache__" not in path.parts]
        if not hits:
            raise SpaceError(f"files: '{pattern}' finds nothing in {space.root}")
        for path in hits:
            if not path.resolve().is_relative_to(root):
                raise SpaceError(f"files: '{path.relative_to(space.root)}' is a link to elsewhere")
            paths[path.relative_to(space.root).as_posix()] = path
    paths[README] = render(readme_of(space.root), space, profile).encode()
    paths[REQUIREMENTS] = requirements(space, profile).encode()
    return dict(sorted(paths.items()))


def readme_of(root: Path) -> str:
    """The text of a folder's README."""
    try:
        return (root / README).read_text(encoding="utf-8")
    except OSError as error:
        raise SpaceError(f"there is no {README} in {root}") from error


def size(content: bytes | Path) -> int:
    """The size of a file or text in a bundle, in bytes."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def write_bundle(space: Spacefile, profile: str | None, folder: Path) -> None:
    """Write everything that is published into a folder."""
    for name, content in bundle(space, profile).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            shutil.copyfile(content, target)
