"""The Spacefile: from this folder to a public Hugging Face Space in one command.

    found = spacefile()               # what the page reads its defaults from
    check(found)                      # what is not in order, in sentences
    render(readme, found)             # the README with its front matter
    publish(found, "owner/name")      # safe to repeat

Hugging Face reads a YAML block at the top of README.md and installs requirements.txt. Both follow
from the Spacefile, so that nobody types the same fact twice. Rules: Hugging Face's documentation
of Spaces and ZeroGPU, as of August 2026.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from camviz.errors import SpaceError

ROOT = Path(__file__).resolve().parent.parent
NAME = "Spacefile"
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
HEADERS = (
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
)
SHORT = 60  # characters of short_description; a longer one is refused when it is pushed

# ZeroGPU's own versions; others fail when the Space is built.
ZERO = "zero-"
ZERO_PYTHON = ("3.10.13", "3.12.12")
ZERO_TORCH = ("2.8.0", "2.9.1", "2.10.0", "2.11.0")
PRELOADED = "config.json,model.safetensors"

_SECRET = re.compile(r"hf_[A-Za-z0-9]{16,}")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY", re.I)
_FRONT = re.compile(r"\A---\n.*?^---\n+", re.S | re.M)
_HINT = "# from the Spacefile, by `python -m camviz space render`"


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

    Networks of `gpu_from` million parameters and more are computed on ZeroGPU, each look within
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
    """The one description of the Space, and of what the page shows first.

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
    """The Spacefile beside this package, read once."""
    return read(ROOT)


# -- Reading -------------------------------------------------------------------------------------


def read(root: Path) -> Spacefile:
    """The Spacefile of a folder. Raises `SpaceError` with everything that is wrong with its form.

    Whether what it says is true is `check`'s question.
    """
    file = root / NAME
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"there is no readable {NAME} in {root}: {error}") from error
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpaceError(f"the {NAME} is not YAML: {' '.join(str(error).split())}") from error
    return parse(said, root)


def parse(said: Any, root: Path) -> Spacefile:
    """A Spacefile from plain values; see `read`."""
    form = _Form()
    top = form.table(
        said, "the Spacefile", ("v", "space", "page", "models", "limits", "profiles", "files"),
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
    for name, given in rows.items() if isinstance(rows, dict) else ():
        where = f"profiles.{name}"
        row = form.table(given, where, ("hardware", "requirements"), ("variables", "sleep_time"))
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
    found = {
        "backbone": form.text(page.get("backbone"), "page.backbone"),
        "examples": form.names(page.get("examples"), "page.examples"),
        "models": form.names(top.get("models"), "models"),
        "secrets": form.names(top.get("secrets", []), "secrets"),
        "files": form.names(top.get("files"), "files"),
    }
    if form.wrong:
        raise SpaceError(f"the {NAME} is not in order: {'; '.join(form.wrong)}")
    return Spacefile(root, card, limits=Limits(**limits), profiles=profiles, **found)  # type: ignore[arg-type]


class _Form:
    """Collects what is wrong with the form of plain values."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def table(
        self, value: Any, where: str, needed: tuple[str, ...], allowed: Any = ()
    ) -> dict[str, Any]:
        """The value as a table: what is missing or unknown is told, what is known returned."""
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
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        right = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        if not right:
            wanted = " or ".join(kind.__name__ for kind in kinds)
            quote = "; put it in quotes" if kinds == (str,) else ""
            self.wrong.append(f"{where} is {value!r} and should be {wanted}{quote}")
        return right

    def text(self, value: Any, where: str) -> str:
        return value if self.value(value, where, str) else ""

    def names(self, value: Any, where: str) -> tuple[str, ...]:
        """A list of different strings."""
        if not self.value(value, where, list):
            return ()
        good = tuple(item for item in value if self.value(item, where, str))
        if twice := sorted({item for item in good if good.count(item) > 1}):
            self.wrong.append(f"{where} names {', '.join(twice)} twice")
        return good


# -- What follows from it ------------------------------------------------------------------------


def front_matter(found: Spacefile, profile: str | None = None) -> dict[str, Any]:
    """The keys at the top of the README, all of them."""
    card = dict(found.card)
    card["suggested_hardware"] = found.profile(profile).hardware
    card["models"] = [f"timm/{name}" for name in found.models]
    card["preload_from_hub"] = [f"timm/{name} {PRELOADED}" for name in found.models]
    return card


def render(readme: str, found: Spacefile, profile: str | None = None) -> str:
    """The README with its front matter, made anew; what stands below it stays as it is."""
    said = yaml.safe_dump(
        front_matter(found, profile), sort_keys=False, allow_unicode=True, width=1000
    )
    return f"---\n{_HINT}\n{said}---\n\n{_FRONT.sub('', readme, count=1)}"


def requirements(found: Spacefile, profile: str | None = None) -> str:
    """requirements.txt for a profile: options first, then its own lines in place of the general.

    Raises `SpaceError` if a line is not a requirement.
    """
    chosen = found.profile(profile)
    options = [line for line in chosen.requirements if line.startswith("-")]
    own = {_requirement(line).name: line for line in chosen.requirements if line not in options}
    own = {canonicalize_name(name): line for name, line in own.items()}
    lines = [f"# For Hugging Face Spaces, profile '{chosen.name}': from requirements.txt and the"]
    lines += ["# Spacefile, by `python -m camviz space publish`.", *options]
    for line in _requirement_lines(found.root):
        lines.append(own.pop(canonicalize_name(_requirement(line).name), line))
    return "\n".join([*lines, *own.values()]) + "\n"


def _requirement_lines(root: Path) -> list[str]:
    try:
        text = (root / REQUIREMENTS).read_text(encoding="utf-8")
    except OSError as error:
        raise SpaceError(f"there is no {REQUIREMENTS} in {root}") from error
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _requirement(line: str) -> Requirement:
    try:
        return Requirement(line)
    except InvalidRequirement as error:
        raise SpaceError(f"'{line}' is not a requirement that pip understands") from error


def bundle(found: Spacefile, profile: str | None = None) -> dict[str, bytes | Path]:
    """Everything that is published, by its path in the Space: a file of this folder, or its text.

    Raises `SpaceError` if a pattern finds nothing or leads out of the folder.
    """
    paths: dict[str, bytes | Path] = {}
    root = found.root.resolve()
    for pattern in found.files:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise SpaceError(f"files: '{pattern}' leads out of this folder")
        hits = [path for path in sorted(found.root.glob(pattern)) if path.is_file()]
        hits = [path for path in hits if "__pycache__" not in path.parts]
        if not hits:
            raise SpaceError(f"files: '{pattern}' finds nothing in {found.root}")
        for path in hits:
            if not path.resolve().is_relative_to(root):
                raise SpaceError(f"files: '{path.relative_to(found.root)}' is a link to elsewhere")
            paths[path.relative_to(found.root).as_posix()] = path
    paths[README] = render(_readme(found.root), found, profile).encode()
    paths[REQUIREMENTS] = requirements(found, profile).encode()
    return dict(sorted(paths.items()))


def _readme(root: Path) -> str:
    try:
        return (root / README).read_text(encoding="utf-8")
    except OSError as error:
        raise SpaceError(f"there is no {README} in {root}") from error


def size(content: bytes | Path) -> int:
    """Bytes of something in a bundle."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def write_bundle(found: Spacefile, profile: str | None, folder: Path) -> None:
    """Everything that is published, in a folder of its own."""
    for name, content in bundle(found, profile).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            shutil.copyfile(content, target)


# -- Checking ------------------------------------------------------------------------------------


def check(found: Spacefile) -> list[str]:
    """What is not in order, one sentence each; empty if the Space can be published."""
    wrong = [*_card_rules(found.card), *_page_rules(found), *_secret_rules(found)]
    try:
        files = bundle(found)
        base = [_requirement(line) for line in _requirement_lines(found.root)]
        for name in found.profiles:
            requirements(found, name)
    except SpaceError as error:
        return [*wrong, str(error)]
    wrong += _file_rules(found, files)
    version = found.card["sdk_version"]
    gradio = next((line for line in base if canonicalize_name(line.name) == "gradio"), None)
    if gradio is None:
        wrong.append(f"{REQUIREMENTS} does not name gradio")
    elif _version(version) and not gradio.specifier.contains(version):
        wrong.append(f"sdk_version {version} is not within {REQUIREMENTS}: {gradio}")
    sources = _sources(files)
    for profile in found.profiles.values():
        wrong += [f"profile {profile.name}: {said}" for said in _hardware_rules(found, profile)]
        if profile.zero:
            wrong += [f"profile {profile.name}: {said}" for said in _zero_rules(found, profile)]
            wrong += _zero_code_rules(sources)
    if "mcp-server" in found.card.get("tags", ()) and "mcp_server=True" not in "".join(
        text for _, text in sources
    ):
        wrong.append("the tag mcp-server is set, but nothing is launched with mcp_server=True")
    readme = _readme(found.root)
    if render(readme, found) != readme:
        wrong.append(
            f"the head of {README} is not what the {NAME} says; `python -m camviz space render` "
            "writes it"
        )
    return wrong


def _card_rules(card: Mapping[str, Any]) -> Iterator[str]:
    for key in ("colorFrom", "colorTo"):
        if card[key] not in COLOURS:
            yield f"{key} '{card[key]}' is not one of {', '.join(COLOURS)}"
    if card["sdk"] not in SDKS:
        yield f"sdk '{card['sdk']}' is not one of {', '.join(SDKS)}"
    for key, sdk in (("app_port", "docker"), ("app_build_command", "static")):
        if key in card and card["sdk"] != sdk:
            yield f"{key} is for the {sdk} SDK only, and sdk is {card['sdk']}"
    emoji = card["emoji"]
    if not 1 <= len(emoji) <= 8 or any(ord(c) < 0x200D or c.isalnum() for c in emoji):
        yield f"emoji is one emoji, not {emoji!r}"
    if not card["title"].strip():
        yield "title is empty"
    short = card.get("short_description", "")
    if len(short) > SHORT:
        yield f"short_description has {len(short)} characters; {SHORT} are allowed at most"
    if not _version(card["sdk_version"]):
        yield f"sdk_version '{card['sdk_version']}' is not a version such as 6.31.0"
    if not re.fullmatch(r"3\.\d+(\.\d+)?", card.get("python_version", "3.10")):
        yield f"python_version '{card['python_version']}' is not a version such as 3.12"
    if card.get("header", "default") not in ("mini", "default"):
        yield f"header is mini or default, not '{card['header']}'"
    if not re.fullmatch(r"\d+[smhd]?|\d+m\d+s", card.get("startup_duration_timeout", "30m")):
        yield f"startup_duration_timeout '{card['startup_duration_timeout']}' is not like 30m or 1h"
    for header in card.get("custom_headers", ()):
        if header not in HEADERS:
            yield f"custom_headers may set {', '.join(HEADERS)}, not '{header}'"
    for key in ("hf_oauth_scopes", "hf_oauth_expiration_minutes", "hf_oauth_authorized_org"):
        if key in card and not card.get("hf_oauth"):
            yield f"{key} has no effect without hf_oauth: true"
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", card["license"]):
        yield f"license '{card['license']}' is not an identifier such as apache-2.0"
    for key in ("tags", "datasets"):
        for item in card.get(key, ()):
            if not isinstance(item, str) or not item.strip():
                yield f"{key} holds {item!r}, which is not a name"


def _page_rules(found: Spacefile) -> Iterator[str]:
    if found.backbone not in found.models:
        yield (
            f"page.backbone '{found.backbone}' is not among the models: a visitor would wait for "
            "its download"
        )
    try:
        known = json.loads((found.root / "assets" / "architectures.json").read_text())
        index = json.loads((found.root / "assets" / "examples" / "index.json").read_text())
    except (OSError, ValueError) as error:
        yield f"the tables of architectures and examples cannot be read: {error}"
        return
    for name in found.models:
        architecture, _, tag = name.partition(".")
        if architecture not in known:
            yield f"models: timm knows no architecture '{architecture}'"
            continue
        if not tag:
            yield f"models: '{name}' names no weights; give the tag too, as in resnet50.a1_in1k"
        parameters, classes = known[architecture]
        if not classes:
            yield f"models: {name} has no classifier"
        if parameters > found.limits.parameters * 1e6:
            yield f"models: {name} is larger than limits.parameters allows"
    titles = {row["name"] for row in index}
    for name in found.examples:
        if name not in titles:
            yield f"page.examples: no example is called '{name}'"


def _secret_rules(found: Spacefile) -> Iterator[str]:
    """Values of secrets are never written down: a Spacefile is public."""
    for name in found.secrets:
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            yield f"secrets holds names such as HF_TOKEN and nothing else, not '{_clean(name)}'"
    for profile in found.profiles.values():
        for name, value in profile.variables.items():
            where = f"profile {profile.name}: the variable {name}"
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                yield f"{where} has no valid name"
            if _SECRET.search(value) or _SECRET_NAME.search(name):
                yield f"{where} looks like a secret, and everybody can read it; list its name only"
            if name == "HF_HOME" and found.models:
                yield f"{where} hides the models that were fetched when the Space was built"


def _file_rules(found: Spacefile, files: Mapping[str, bytes | Path]) -> Iterator[str]:
    app = found.card["app_file"]
    if app not in files:
        yield f"app_file {app} is not among the files"
    if NAME not in files:
        yield f"the page reads the {NAME}, which is not among the files"
    package = {
        path.relative_to(found.root).as_posix()
        for path in (found.root / "camviz").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    if missing := sorted(package - set(files)):
        yield f"files leave out {', '.join(missing)}"
    for name, content in files.items():
        if _SECRET.search(_text(content)):
            yield f"{name} holds what looks like a token; take it out before anybody sees it"
    total = sum(map(size, files.values())) / 1e6
    if total > found.limits.bundle_mb:
        yield f"the files take {total:.1f} MB; limits.bundle_mb is {found.limits.bundle_mb:g}"


def _hardware_rules(found: Spacefile, profile: Profile) -> Iterator[str]:
    from huggingface_hub import SpaceHardware

    known = [hardware.value for hardware in SpaceHardware]
    if profile.hardware not in known:
        yield f"hardware '{profile.hardware}' is not one of {', '.join(known)}"
    if profile.sleep_time is not None and (profile.zero or profile.hardware == "cpu-basic"):
        yield f"the sleep time of {profile.hardware} cannot be chosen"
    lines = [line for line in profile.requirements if not line.startswith("-")]
    local = [line for line in lines if "+cpu" in line]
    if local and not any(line.endswith("/whl/cpu") for line in profile.requirements):
        yield f"{', '.join(local)} are not on PyPI; name the index with --extra-index-url"
    base = {canonicalize_name(r.name): r for r in map(_requirement, _requirement_lines(found.root))}
    for line in lines:
        own = _requirement(line)
        general = base.get(canonicalize_name(own.name))
        exact = [s.version for s in own.specifier if s.operator == "=="]
        if general and exact and not general.specifier.contains(exact[0]):
            yield f"{line} contradicts {general} in {REQUIREMENTS}"


def _zero_rules(found: Spacefile, profile: Profile) -> Iterator[str]:
    if found.card["sdk"] != "gradio":
        yield f"ZeroGPU needs the gradio SDK, not {found.card['sdk']}"
    python = found.card.get("python_version", "3.10")
    if not any(known == python or known.startswith(f"{python}.") for known in ZERO_PYTHON):
        yield f"ZeroGPU knows Python {' and '.join(ZERO_PYTHON)}, not {python}"
    lines = (_requirement(line) for line in requirements(found, profile.name).splitlines()
             if line and not line.startswith(("#", "-")))  # fmt: skip
    torch = next((line for line in lines if canonicalize_name(line.name) == "torch"), None)
    if torch is None:
        yield "torch is not among the requirements"
        return
    newest = max(map(Version, ZERO_TORCH))
    newer = [f"{newest.major}.{newest.minor + step}.0" for step in range(1, 20)]
    if not any(torch.specifier.contains(known) for known in ZERO_TORCH):
        yield f"ZeroGPU knows torch {', '.join(ZERO_TORCH)}; '{torch}' allows none of them"
    elif any(torch.specifier.contains(later) for later in [*newer, "3.0.0"]):
        yield f"'{torch}' lets pip take a torch newer than {newest}, which ZeroGPU does not know"


def _sources(files: Mapping[str, bytes | Path]) -> list[tuple[str, str]]:
    return [(name, _text(content)) for name, content in files.items() if name.endswith(".py")]


def _text(content: bytes | Path) -> str:
    data = content if isinstance(content, bytes) else content.read_bytes()
    return data.decode("utf-8", errors="ignore")


def _zero_code_rules(sources: list[tuple[str, str]]) -> Iterator[str]:
    """A ZeroGPU Space without a decorated function fails when it starts; none can compile."""
    decorated = False
    for name, text in sources:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for decorator in node.decorator_list:
                    call = decorator.func if isinstance(decorator, ast.Call) else decorator
                    decorated |= ast.unparse(call) == "spaces.GPU"
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.compile":
                yield f"{name}:{node.lineno}: torch.compile does not work on ZeroGPU"
    if not decorated:
        yield "no function is decorated with @spaces.GPU, and ZeroGPU ends a Space without one"


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


# -- The hub -------------------------------------------------------------------------------------


def calls(found: Spacefile, profile: str | None = None) -> list[str]:
    """What `publish` asks of the hub, in order, in words."""
    chosen = found.profile(profile)
    files = bundle(found, profile)
    total = sum(map(size, files.values())) / 1e6
    named = ", ".join(f"{key}={value}" for key, value in chosen.variables.items()) or "none"
    steps = [
        f"create the Space unless it exists: sdk {found.card['sdk']}, hardware {chosen.hardware}",
        f"set variables: {named}",
        f"upload {len(files)} files, {total:.1f} MB, in one commit; older files are deleted",
        f"ask for {chosen.hardware} if it runs on something else",
    ]
    if found.secrets:
        steps.append(f"left to you, on its settings page: the secrets {', '.join(found.secrets)}")
    return steps


def publish(
    found: Spacefile,
    name: str,
    profile: str | None = None,
    *,
    private: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> str:
    """Make the Space, or bring it up to date; returns its address. Safe to repeat.

    name: OWNER/NAME. private: nobody else sees it; leaving it out changes no Space that exists.
    token, endpoint: those of huggingface_hub if None. A Space that was not published from a
    Spacefile is left alone. Raises `SpaceError` that says what went wrong and what would do.
    """
    if wrong := check(found):
        raise SpaceError(f"not published: {wrong[0]}" + _more(len(wrong) - 1))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.A):
        raise SpaceError(f"a Space is called OWNER/NAME, not '{_clean(name, token)}'")
    chosen = found.profile(profile)

    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    token = token or get_token()
    if token is None:
        raise SpaceError(
            "nobody is logged in to Hugging Face; `hf auth login` keeps a token with write access "
            "on this machine, or set HF_TOKEN"
        )
    api = HfApi(endpoint=endpoint, token=token, library_name="camviz")
    try:
        return _published(api, found, name, chosen, private, say)
    except HfHubHTTPError as error:
        raise SpaceError(_refusal(error, name, chosen, token)) from None
    except HFValidationError as error:
        raise SpaceError(f"'{name}' cannot be the name of a Space: {_clean(error)}") from None
    except (HTTPError, OSError) as error:
        raise SpaceError(
            f"{api.endpoint} cannot be reached ({type(error).__name__}); what was done before this "
            "stays, and the same command goes on from there"
        ) from None
    except ValueError as error:  # what the hub says of the front matter
        raise SpaceError(f"the hub does not take it: {_clean(error, token)}") from None


def _published(
    api: Any,
    found: Spacefile,
    name: str,
    chosen: Profile,
    private: bool,
    say: Callable[[str], None],
) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(
            name,
            repo_type="space",
            private=private,
            space_sdk=found.card["sdk"],
            space_hardware=chosen.hardware,
            space_sleep_time=chosen.sleep_time,
            space_variables=[{"key": k, "value": value} for k, value in chosen.variables.items()],
        )
    except HfHubHTTPError as error:
        # 409: it is there. Who may not create Spaces, or not for nothing, may still update theirs.
        status = error.response.status_code
        if status != 409 and not (
            status in (402, 403) and api.repo_exists(name, repo_type="space")
        ):
            raise
    info = api.space_info(name)
    there = {row.rfilename for row in info.siblings or ()} - {".gitattributes", README}
    if there and NAME not in there:
        raise SpaceError(
            f"{name} exists and was not published from a {NAME} ({len(there)} other files are in "
            "it); it is left alone: choose another name"
        )
    url = f"{api.endpoint}/spaces/{name}"
    say(f"{url} is there")
    if private and not info.private:
        api.update_repo_settings(name, repo_type="space", private=True)
        say("made private")
    known = api.get_space_variables(name)
    for key, value in chosen.variables.items():
        if key not in known or known[key].value != value:
            api.add_space_variable(name, key, value)
            say(f"{key} set")
    files = bundle(found, chosen.name)
    commit = api.create_commit(
        name,
        repo_type="space",
        commit_message=f"camviz, profile {chosen.name}",
        operations=[
            *(CommitOperationAdd(path, content) for path, content in files.items()),
            *(CommitOperationDelete(path) for path in sorted(there - set(files))),
        ],
    )
    say(f"files are there: {commit.oid[:10]}")
    runtime = info.runtime
    wanted = runtime and (runtime.requested_hardware or runtime.hardware)
    if wanted and wanted != chosen.hardware:
        api.request_space_hardware(name, chosen.hardware, sleep_time=chosen.sleep_time)
        say(f"{chosen.hardware} asked for")
    for secret in found.secrets:
        say(f"the secret {secret} is yours to set: {url}/settings")
    return url


def _refusal(error: Any, name: str, chosen: Profile, token: str) -> str:
    """What a refusal of the hub means, and what would do."""
    status = error.response.status_code
    owner = name.partition("/")[0]
    if status == 401:
        return (
            "the hub does not accept this token (401): it has expired, or was typed wrongly; "
            "`hf auth login` takes a new one"
        )
    if status == 402:
        needs = {
            "cpu-basic": "creating a Space on cpu-basic needs a PRO account or a paid team; "
            "`--profile` with hardware zero-a10g is free for accounts older than 30 days",
        }.get(
            chosen.hardware,
            "a free account may have two ZeroGPU Spaces, once it is 30 days old and its address "
            "is confirmed"
            if chosen.zero
            else f"{chosen.hardware} needs a way of payment: https://huggingface.co/settings/billing",
        )
        return f"the hub asks for payment (402): {needs}"
    if status == 403:
        return (
            f"this token may not write to {owner} (403): it needs write access, and you the right "
            f"to create Spaces there; https://huggingface.co/settings/tokens"
        )
    if status == 404:
        return f"the hub finds no {name} (404), or hides it from this token"
    if status == 409:
        return (
            f"{name} is being changed by somebody else at this moment (409); run the same command "
            "again"
        )
    if status == 429:
        after = error.response.headers.get("retry-after", "")
        wait = f"{after} seconds" if after.isdigit() else "a few minutes"
        return f"the hub was asked too often (429); run the same command again in {wait}"
    said = _clean(error.server_message or error, token)
    return f"the hub answered {status}: {said}"


def _clean(text: object, token: str | None = None) -> str:
    """One line without anything that looks like a token."""
    line = " ".join(str(text).split())
    if token:
        line = line.replace(token, "hf_…")
    return _SECRET.sub("hf_…", line)[:300]


def _more(count: int) -> str:
    return f" (and {count} more; `python -m camviz space check` lists them)" if count else ""


def serve(found: Spacefile, profile: str | None = None, port: int = 7860) -> int:
    """Run here what the Space would run, from a copy of its files; returns the exit status.

    Its own variables are set, and nothing of this folder is seen but what would be published.
    """
    chosen = found.profile(profile)
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(found, profile, Path(folder))
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= chosen.variables
        environment |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
        app = [sys.executable, found.card["app_file"]]
        try:
            return subprocess.run(app, cwd=folder, env=environment).returncode
        except KeyboardInterrupt:
            return 0
