"""The Spacefile: from this folder to a public Hugging Face Space in one command.

    space = spacefile()               # the page reads its defaults from it
    check(space)                      # what is not in order, in sentences
    render(readme, space)             # the README with its front matter
    publish(space, "owner/name")      # safe to repeat

Hugging Face reads a YAML block at the top of README.md and installs requirements.txt. Both follow
from the Spacefile, so that no fact is typed twice. Rules: Hugging Face's documentation
of Spaces and ZeroGPU, as of August 2026.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from camviz.errors import SpaceError
from camviz.resources import CHECKOUT, SPACEFILE

ZERO = "zero-"  # begins the names of ZeroGPU hardware

ROOT = SPACEFILE.parent
NAME = SPACEFILE.name
README = "README.md"
REQUIREMENTS = "requirements.txt"
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
SDKS = ("gradio", "docker", "static")
# Every key of the front matter that Hugging Face reads, and what its value is.
CARD: dict[str, type | tuple[type, ...]] = {
    "title": str,
    "emoji": str,
    "colorFrom": str,
    "colorTo": str,
    "sdk": str,
    "sdk_version": str,
    "python_version": str,
    "suggested_hardware": str,
    "app_file": str,
    "app_build_command": str,
    "app_port": int,
    "base_path": str,
    "fullWidth": bool,
    "header": str,
    "short_description": str,
    "models": list,
    "datasets": list,
    "tags": list,
    "thumbnail": str,
    "pinned": bool,
    "hf_oauth": bool,
    "hf_oauth_scopes": list,
    "hf_oauth_expiration_minutes": int,
    "hf_oauth_authorized_org": (str, list),
    "disable_embedding": bool,
    "startup_duration_timeout": str,
    "custom_headers": dict,
    "preload_from_hub": list,
    "license": str,
}
NEEDED = ("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "app_file", "license")
DERIVED = ("suggested_hardware", "models", "preload_from_hub")  # they follow from other parts


@dataclass(frozen=True)
class Profile:
    """The Space on one kind of hardware."""

    name: str
    hardware: str
    requirements: tuple[str, ...]
    variables: Mapping[str, str]
    sleep_time: int | None = None

    @property
    def zero(self) -> bool:
        """Whether GPUs are lent to single calls of decorated functions."""
        return self.hardware.startswith(ZERO)


@dataclass(frozen=True)
class Limits:
    """What a public page allows: megabytes of a picture, millions of parameters, people waiting.

    Networks of `gpu_from` million parameters and more run on ZeroGPU, each explanation within
    `gpu_seconds`. All published files together take `bundle_mb` at most.
    """

    upload_mb: float
    parameters: float
    gpu_from: float
    gpu_seconds: int
    queue: int
    bundle_mb: float


@dataclass(frozen=True)
class Spacefile:
    """The description of the Space, and of what the page shows first.

    card: the front matter's keys, but for those that follow from the rest. backbone, examples:
    what the page begins with. models: timm's names, fetched when the Space is built. secrets:
    names only. files: patterns below `root`.
    """

    root: Path
    card: Mapping[str, Any]
    backbone: str
    examples: tuple[str, ...]
    models: tuple[str, ...]
    limits: Limits
    profiles: Mapping[str, Profile]
    secrets: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def title(self) -> str:
        return str(self.card["title"])

    def profile(self, name: str | None = None) -> Profile:
        """The profile of that name; None: the first, which is the default."""
        name = name or next(iter(self.profiles))
        if name not in self.profiles:
            raise SpaceError(f"no profile '{name}'; profiles: {', '.join(self.profiles)}")
        return self.profiles[name]


@lru_cache(maxsize=1)
def spacefile() -> Spacefile:
    """The Spacefile of this checkout, or the copy in an installed package; read once."""
    return read(ROOT)


def checkout() -> Spacefile:
    """The Spacefile, for what needs README, requirements and sources beside it.

    Raises `SpaceError` in an installed package, which has none of them.
    """
    if CHECKOUT is None:
        raise SpaceError(
            "`space` commands need a checkout of camviz, and this camviz is an installed package; "
            "clone the repository and run `python -m camviz space ...` in its folder"
        )
    return spacefile()


def read(root: Path) -> Spacefile:
    """The Spacefile of a folder. Raises `SpaceError` with everything that is wrong with its form.

    Whether its values hold is checked by `camviz.space.rules.check`.
    """
    file = root / NAME
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"there is no readable {NAME} in {root}: {error}") from error
    try:
        plain = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpaceError(f"the {NAME} is not YAML: {' '.join(str(error).split())}") from error
    return parse(plain, root)


def parse(plain: Any, root: Path) -> Spacefile:
    """A Spacefile from plain values; see `read`."""
    form = _Form()
    top = form.table(
        plain, "the Spacefile", ("v", "space", "page", "models", "limits", "profiles", "files"),
        ("secrets",),
    )  # fmt: skip
    if top.get("v") != 1:
        form.wrong.append(f"v is {top.get('v')!r}; this camviz reads version 1")
    card = form.table(
        top.get("space"), "space", NEEDED, [key for key in CARD if key not in (*NEEDED, *DERIVED)]
    )
    for key, value in card.items():
        form.value(value, f"space.{key}", CARD[key])
    page = form.table(top.get("page"), "page", ("backbone", "examples"))
    limits = form.table(top.get("limits"), "limits", tuple(Limits.__annotations__))
    for key, value in limits.items():
        kinds = (int,) if Limits.__annotations__[key] is int else (int, float)
        if form.value(value, f"limits.{key}", kinds) and value <= 0:
            form.wrong.append(f"limits.{key} is {value}; it must be more than 0")
    profiles = {}
    rows = top.get("profiles")
    if not isinstance(rows, dict) or not rows:
        form.wrong.append("profiles is a table with at least one profile")
    for name, values in rows.items() if isinstance(rows, dict) else ():
        where = f"profiles.{name}"
        row = form.table(values, where, ("hardware", "requirements"), ("variables", "sleep_time"))
        variables = row.get("variables") or {}
        for key, value in variables.items() if form.value(variables, where, dict) else ():
            form.value(value, f"{where}.variables.{key}", str)
        if row.get("sleep_time") is not None:
            form.value(row["sleep_time"], f"{where}.sleep_time", int)
        profiles[str(name)] = Profile(
            str(name),
            form.text(row.get("hardware"), f"{where}.hardware"),
            form.names(row.get("requirements"), f"{where}.requirements"),
            variables,
            row.get("sleep_time"),
        )
    rest = {
        "backbone": form.text(page.get("backbone"), "page.backbone"),
        "examples": form.names(page.get("examples"), "page.examples"),
        "models": form.names(top.get("models"), "models"),
        "secrets": form.names(top.get("secrets", []), "secrets"),
        "files": form.names(top.get("files"), "files"),
    }
    if form.wrong:
        raise SpaceError(f"the {NAME} is not in order: {'; '.join(form.wrong)}")
    return Spacefile(root, card, limits=Limits(**limits), profiles=profiles, **rest)  # type: ignore[arg-type]


class _Form:
    """Checks the form of plain values, and collects what is wrong with it."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def table(
        self, value: Any, where: str, needed: tuple[str, ...], allowed: Any = ()
    ) -> dict[str, Any]:
        """The known keys of a table; what is missing or unknown is noted as wrong."""
        if not isinstance(value, dict):
            self.wrong.append(f"{where} is a table with {', '.join(needed)}")
            return {}
        known = (*needed, *allowed)
        for key in needed:
            if key not in value:
                self.wrong.append(f"{where} lacks '{key}'")
        for key in value:
            if where == "space" and key in DERIVED:
                self.wrong.append(f"{where}.{key} follows from the rest and is not written here")
            elif key not in known:
                self.wrong.append(f"{where} has no '{key}'; it knows {', '.join(known)}")
        return {key: value[key] for key in value if key in known}

    def value(self, value: Any, where: str, kinds: type | tuple[type, ...]) -> bool:
        """Whether a value is of one of these types."""
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        right = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        if not right:
            wanted = " or ".join(kind.__name__ for kind in kinds)
            quote = "; put it in quotes" if kinds == (str,) else ""
            self.wrong.append(f"{where} is {value!r} and should be {wanted}{quote}")
        return right

    def text(self, value: Any, where: str) -> str:
        """A string."""
        return value if self.value(value, where, str) else ""

    def names(self, value: Any, where: str) -> tuple[str, ...]:
        """A list of different strings."""
        if not self.value(value, where, list):
            return ()
        good = tuple(item for item in value if self.value(item, where, str))
        if twice := sorted({item for item in good if good.count(item) > 1}):
            self.wrong.append(f"{where} names {', '.join(twice)} twice")
        return good
