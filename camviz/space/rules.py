"""The rules of Hugging Face for a Space, checked before anything is sent."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from camviz.errors import SpaceError
from camviz.network.packaged import PACKAGES
from camviz.space.files import (
    bundle,
    readme_of,
    render,
    requirement_lines,
    requirement_of,
    requirements,
    size,
)
from camviz.space.spacefile import COLOURS, NAME, README, REQUIREMENTS, SDKS, Profile, Spacefile
from camviz.space.tokens import TOKEN_PATTERN, redact_tokens

HEADERS = (
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
)
SHORT = 60  # characters of short_description; a longer one is refused when it is pushed
ZERO_PYTHON = ("3.10.13", "3.12.12")
ZERO_TORCH = ("2.8.0", "2.9.1", "2.10.0", "2.11.0")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY", re.I)


def check(space: Spacefile) -> list[str]:
    """What is not in order, one sentence each; empty if the Space can be published."""
    wrong = [*_card_rules(space.card), *_page_rules(space), *_secret_rules(space)]
    try:
        files = bundle(space)
        base = [requirement_of(line) for line in requirement_lines(space.root)]
        for name in space.profiles:
            requirements(space, name)
    except SpaceError as error:
        return [*wrong, str(error)]
    wrong += _file_rules(space, files)
    package = PACKAGES.get(space.backbone)
    if package is not None and package.requirement not in map(str, base):
        wrong.append(
            f"page.backbone '{space.backbone}' needs {package.requirement} in {REQUIREMENTS}"
        )
    version = space.card["sdk_version"]
    gradio = next((line for line in base if canonicalize_name(line.name) == "gradio"), None)
    if gradio is None:
        wrong.append(f"{REQUIREMENTS} does not name gradio")
    elif _version(version) and not gradio.specifier.contains(version):
        wrong.append(f"sdk_version {version} is not within {REQUIREMENTS}: {gradio}")
    sources = _sources(files)
    for profile in space.profiles.values():
        rules = [*_hardware_rules(space, profile)]
        if profile.zero:
            rules += _zero_rules(space, profile)
        wrong += [f"profile {profile.name}: {sentence}" for sentence in rules]
        if profile.zero:
            wrong += _zero_code_rules(sources)
    if "mcp-server" in space.card.get("tags", ()):
        wrong += _mcp_rules(space, sources)
    readme = readme_of(space.root)
    if render(readme, space) != readme:
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


def _page_rules(space: Spacefile) -> Iterator[str]:
    if space.backbone not in space.models and space.backbone not in PACKAGES:
        yield (
            f"page.backbone '{space.backbone}' is not among the models: a visitor would wait for "
            "its download"
        )
    try:
        known = json.loads((space.root / "assets" / "architectures.json").read_text())
        index = json.loads((space.root / "assets" / "examples" / "index.json").read_text())
    except (OSError, ValueError) as error:
        yield f"the tables of architectures and examples cannot be read: {error}"
        return
    for name in space.models:
        architecture, _, tag = name.partition(".")
        if architecture not in known:
            yield f"models: timm knows no architecture '{architecture}'"
            continue
        if not tag:
            yield f"models: '{name}' names no weights; give the tag too, as in resnet50.a1_in1k"
        parameters, _ = known[architecture]
        if parameters > space.limits.parameters * 1e6:
            yield f"models: {name} is larger than limits.parameters allows"
    titles = {row["name"] for row in index}
    for name in space.examples:
        if name not in titles:
            yield f"page.examples: no example is called '{name}'"


def _secret_rules(space: Spacefile) -> Iterator[str]:
    """Values of secrets are never written down: a Spacefile is public."""
    for name in space.secrets:
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            yield (
                "secrets holds names such as HF_TOKEN and nothing else, not "
                f"'{redact_tokens(name)}'"
            )
    for profile in space.profiles.values():
        for name, value in profile.variables.items():
            where = f"profile {profile.name}: the variable {name}"
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                yield f"{where} has no valid name"
            if TOKEN_PATTERN.search(value) or _SECRET_NAME.search(name):
                yield f"{where} looks like a secret, and everybody can read it; list its name only"
            if name == "HF_HOME" and space.models:
                yield f"{where} hides the models that were fetched when the Space was built"


def _file_rules(space: Spacefile, files: Mapping[str, bytes | Path]) -> Iterator[str]:
    app = space.card["app_file"]
    if app not in files:
        yield f"app_file {app} is not among the files"
    if NAME not in files:
        yield f"the page reads the {NAME}, which is not among the files"
    package = {
        path.relative_to(space.root).as_posix()
        for path in (space.root / "camviz").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    if missing := sorted(package - set(files)):
        yield f"files leave out {', '.join(missing)}"
    for name, content in files.items():
        if TOKEN_PATTERN.search(_text(content)):
            yield f"{name} holds what looks like a token; take it out before anybody sees it"
    total = sum(map(size, files.values())) / 1e6
    if total > space.limits.bundle_mb:
        yield f"the files take {total:.1f} MB; limits.bundle_mb is {space.limits.bundle_mb:g}"


def _hardware_rules(space: Spacefile, profile: Profile) -> Iterator[str]:
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
    base = {
        canonicalize_name(r.name): r for r in map(requirement_of, requirement_lines(space.root))
    }
    for line in lines:
        own = requirement_of(line)
        general = base.get(canonicalize_name(own.name))
        exact = [s.version for s in own.specifier if s.operator == "=="]
        if general and exact and not general.specifier.contains(exact[0]):
            yield f"{line} contradicts {general} in {REQUIREMENTS}"


def _zero_rules(space: Spacefile, profile: Profile) -> Iterator[str]:
    if space.card["sdk"] != "gradio":
        yield f"ZeroGPU needs the gradio SDK, not {space.card['sdk']}"
    python = space.card.get("python_version", "3.10")
    if not any(known == python or known.startswith(f"{python}.") for known in ZERO_PYTHON):
        yield f"ZeroGPU knows Python {' and '.join(ZERO_PYTHON)}, not {python}"
    lines = (requirement_of(line) for line in requirements(space, profile.name).splitlines()
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


def _sources(files: Mapping[str, bytes | Path]) -> dict[str, ast.Module]:
    """The syntax trees of the Python files of a bundle, by name."""
    return {
        name: ast.parse(_text(content)) for name, content in files.items() if name.endswith(".py")
    }


def _text(content: bytes | Path) -> str:
    data = content if isinstance(content, bytes) else content.read_bytes()
    return data.decode("utf-8", errors="ignore")


def _mcp_rules(space: Spacefile, sources: Mapping[str, ast.Module]) -> Iterator[str]:
    """A Space with the tag mcp-server launches one, which takes gradio's extra "mcp"."""
    if not any(_sets_option(tree, "mcp_server") for tree in sources.values()):
        yield "the tag mcp-server is set, but nothing is launched with mcp_server"
    for name in space.profiles:
        lines = requirements(space, name).splitlines()
        installed = [requirement_of(line) for line in lines if line[:1] not in ("", "#", "-")]
        if not any(r.name == "mcp" or "mcp" in r.extras for r in installed):
            yield f"profile {name}: the tag mcp-server is set, but gradio[mcp] is not required"


def _sets_option(tree: ast.Module, option: str) -> bool:
    """Whether a keyword argument or a key of a table has this name and is not plainly off."""
    pairs: list[tuple[Any, ast.expr]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            pairs += [(keyword.arg, keyword.value) for keyword in node.keywords]
        elif isinstance(node, ast.Dict):
            names = [getattr(key, "value", None) for key in node.keys]
            pairs += zip(names, node.values, strict=True)
    return any(
        name == option and getattr(value, "value", True) not in (False, None)
        for name, value in pairs
    )


def _zero_code_rules(sources: Mapping[str, ast.Module]) -> Iterator[str]:
    """A ZeroGPU Space without a decorated function fails when it starts; none can compile."""
    decorated = False
    for name, tree in sources.items():
        for node in ast.walk(tree):
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
