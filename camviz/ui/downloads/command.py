"""The command line that repeats an explanation.

    command(x)  # "python -m camviz explain photo.png --backbone resnet50 --target zebra"

Only what differs from the command's defaults is written, but for backbone, class and layers, whose
defaults may differ elsewhere.
"""

import shlex
from collections.abc import Sequence

from camviz.engine.explanation import Explanation
from camviz.engine.families import refinement_of
from camviz.engine.option import option_table
from camviz.engine.options import Options
from camviz.errors import TargetError
from camviz.methods import METHODS

SHARED = ("shipped", "picture")  # prototypes that a shell can have too
SAVED = "prototypes.safetensors"  # stands for prototypes that were given in memory
LOCAL = "local-dir:"


def command(x: Explanation, picture: str | None = None, out: str | None = None) -> str:
    """`python -m camviz explain ...`, which does the same from a shell.

    picture: the file, else the picture's own name. out: the folder to write.
    """
    return shlex.join(["python", "-m", "camviz", *arguments(x, picture, out)])


def arguments(x: Explanation, picture: str | None = None, out: str | None = None) -> list[str]:
    """What `camviz.cli.main` takes for an explanation like this one."""
    request = x.request
    given = {"backbone": _backbone(x)}
    if request.target is not None:
        given["target"] = _class(x, request.target)
    if request.weights != "auto":
        given["weights"] = request.weights
    for name, row in option_table(Options).items():
        value = getattr(request, name)
        if name == "versus":
            value = _classes(x, request.references)
        elif name == "prototypes" and value not in (None, *SHARED):
            value = SAVED
        if value != row.default and not _needless(x, name):
            given[name] = row.write(value) if row.many else str(value)
    for name, value in x.backbone.settings.given.items():
        given[name] = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    if out is not None:
        given["out"] = out
    words = ["explain", _file(picture or x.picture.name or "picture.png")]
    for name, text in given.items():
        option = f"--{name.replace('_', '-')}"
        words += [f"{option}={text}"] if text.startswith("-") else [option, text]
    return words


def _needless(x: Explanation, option: str) -> bool:
    """Whether an option cannot be chosen, or has no effect, in a request like this one."""
    if option == "stages":
        return METHODS[x.request.method].uses_head
    if option in ("refine_power", "refine_steps", "refine_keep"):
        return x.request.refine == "none" or x.refinement == refinement_of(
            x.backbone, x.request.method
        )
    scoring = METHODS[x.request.method].scoring
    if scoring is not None and scoring.budget is not None and option == scoring.budget[0]:
        return bool(getattr(x.request, option) == scoring.budget[1])
    if option in ("truncated", "truncation_mode", "calibration"):
        return not (x.request.truncation and x.request.truncated)
    return False


def _file(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name


def _backbone(x: Explanation) -> str:
    """Its name, without the place of a folder on the machine that made the explanation."""
    name = x.request.backbone
    return x.backbone.display_name if name.startswith(LOCAL) else name


def _classes(x: Explanation, indices: Sequence[int]) -> str | None:
    """Several classes with commas between them, by number where a label holds one itself."""
    names = [_class(x, index) for index in indices]
    if len(names) > 1:
        pairs = zip(names, indices, strict=True)
        names = [str(index) if "," in name else name for name, index in pairs]
    return ",".join(names) or None


def _class(x: Explanation, index: int) -> str:
    """A class by its label, or by its number where the label would be read as another."""
    label = x.backbone.labels[index]
    try:
        return label if x.backbone.target(label) == index else str(index)
    except TargetError:
        return str(index)
