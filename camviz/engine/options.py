"""How a map is computed: every option once, with its choices, default and meaning.

    Options(method="grad_cam", truncation=0.9)      # checked; a MethodError names what would do
    option_table(Options)                           # what command line, API, links and menus read

A field of `Options` is all that a new option needs to be found by `camviz explain --help`, the
schema of the HTTP endpoint, links and manifest. Importing this module loads no torch, so that
`camviz --help` answers at once; tables of methods and fusions are read when they are needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from numbers import Real
from typing import Any

from camviz.errors import MethodError


@dataclass(frozen=True)
class Option:
    """A row of the table: what an option is called, may be and means.

    `label` is its name in a sentence ("truncation mode"). `choices`: value -> what it is called
    for people, None where any value of `kind` will do. `many`: a sequence of names, written
    "A,B" in a shell and in a link. `page`: the page has a control for it, the HTTP endpoint a
    parameter and links a key. `metavar` stands for its value in a shell's help.
    """

    name: str
    label: str
    kind: type
    default: Any
    help: str
    choices: Callable[[], Mapping[str, str]] | Mapping[str, str] | None = None
    many: bool = False
    page: bool = False
    metavar: str | None = None

    @property
    def values(self) -> Mapping[str, str] | None:
        """value -> label of each choice; None where there are no choices."""
        return self.choices() if callable(self.choices) else self.choices

    def check(self, value: Any) -> None:
        """Raise `MethodError` if the value is not one of the choices."""
        values = self.values
        if values is not None and value not in values:
            raise MethodError(f"unknown {self.label} '{value}'; choices: {', '.join(values)}")

    def parse(self, text: str) -> Any:
        """The value that a text stands for, from a shell, a form or a link.

        Raises `ValueError` if it stands for none.
        """
        if self.many:
            return tuple(part.strip() for part in text.split(",") if part.strip()) or None
        return self.kind(text)

    def write(self, value: Any) -> str:
        """The text that `parse` reads as this value."""
        if self.many:
            return ",".join(value)
        return f"{value:g}" if isinstance(value, float) else str(value)


def option(
    default: Any,
    help: str,
    *,
    kind: type = str,
    label: str | None = None,
    choices: Callable[[], Mapping[str, str]] | Mapping[str, str] | None = None,
    many: bool = False,
    page: bool = False,
    metavar: str | None = None,
) -> Any:
    """A field of `Options` with everything that its row in `option_table` says."""
    row = {
        "help": help, "kind": kind, "label": label, "choices": choices, "many": many,
        "page": page, "metavar": metavar,
    }  # fmt: skip
    return field(default=default, metadata={"option": row})


def option_table(options: "type[Options]") -> dict[str, Option]:
    """The options by name, in their order; those of a subclass come after its parent's."""
    table = {}
    for each in fields(options):
        row = dict(each.metadata["option"])
        row["label"] = row["label"] or each.name.replace("_", " ")
        assert each.default is not MISSING
        table[each.name] = Option(name=each.name, default=each.default, **row)
    return table


def _methods() -> Mapping[str, str]:
    from camviz.methods import METHODS

    return {name: row.label for name, row in METHODS.items()}


def _fusions() -> Mapping[str, str]:
    from camviz.maps.fusion import FUSIONS

    return {name: row.label for name, row in FUSIONS.items()}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How maps are computed. Choices are checked here and nowhere else.

    Raises `MethodError` with the choices for a value that is none of them, and for options that
    the method has no use for.
    """

    versus: int | str | None = option(
        None, "explain the target against this class", metavar="CLASS", page=True
    )
    method: str = option(
        "layer_cam", "how a layer becomes a map", choices=_methods, page=True, metavar="NAME"
    )
    stages: tuple[str, ...] | None = option(
        None,
        "names of stages or of any module; none: one per resolution",
        many=True,
        page=True,
        metavar="A,B",
    )
    truncation: float = option(
        0.0,
        "denoise shallow stages: truncate their positive gradient at this quantile of the noise, "
        "0.9 is usual; 0: off",
        kind=float,
        page=True,
        metavar="Q",
    )
    fuse: str = option(
        "product",
        "how the maps of all stages become one",
        label="fusion",
        choices=_fusions,
        page=True,
        metavar="NAME",
    )
    tap: Any = option(
        "activation",
        "which tensor stands for a stage",
        choices={
            "activation": "after the last activation",
            "output": "as the stage puts it out",
        },
        page=True,
    )
    fit: str = option(
        "stretch",
        "how a picture is brought to the network's size",
        choices={
            "stretch": "the whole picture, stretched",
            "crop": "the model's own centre crop",
        },
        page=True,
    )
    placement: Any = option(
        "plain",
        "where the cells of a map are drawn",
        choices={"plain": "evenly spread", "true": "where they were measured to look"},
        page=True,
    )
    score: Any = option(
        "logit",
        "the number that is explained",
        choices={
            "logit": "the logit",
            "log_probability": "the logarithm of the probability",
            "probability": "the probability",
        },
    )
    checkerboard: Any = option(
        "auto",
        "smooth the checkerboard that strided layers leave in a gradient: where there is one, "
        "always, or never",
        choices={"auto": "where there is one", "smooth": "always", "keep": "never"},
    )
    truncated: tuple[str, ...] | None = option(
        None, "stages to truncate; none: all but the deepest", many=True, metavar="A,B"
    )
    truncation_mode: Any = option(
        "threshold",
        "what truncation does to a gradient",
        choices={
            "threshold": "keep what reaches the level",
            "rectify": "keep what is positive",
            "cap": "cut positive values at the level",
            "remove": "keep what is negative, with its sign turned",
        },
    )
    calibration: Any = option(
        "mirror",
        "how the level of truncation is found",
        choices={
            "mirror": "from the negative gradient",
            "self": "from the positive gradient",
            "relmax": "as a share of the maximum",
        },
    )
    prototypes: Any = option(
        None,
        "for method lpcam: a file of `camviz prototypes build`, 'shipped' or 'picture'",
        kind=str,
        metavar="FILE",
    )
    aggregate: Any = option(
        "mean",
        "how the similarities to all prototypes become one",
        choices={"mean": "the mean", "max": "the greatest"},
    )

    def __post_init__(self) -> None:
        for name, row in option_table(type(self)).items():
            value = getattr(self, name)
            if row.many and value is not None:
                names = (value,) if isinstance(value, str) else tuple(value)
                object.__setattr__(self, name, names)
            row.check(value)
        self._check_method()

    def _check_method(self) -> None:
        """Raise `MethodError` for options that the method has no use for."""
        from camviz.methods import METHODS

        method = METHODS[self.method]
        q = self.truncation
        if not (isinstance(q, Real) and 0 <= q < 1):
            raise MethodError(
                f"truncation is 0 (off) or a quantile below 1, such as 0.9; not {q!r}"
            )
        if q and not method.uses_gradients:
            raise MethodError(
                f"{method.label} uses no gradient, so there is nothing to truncate; leave "
                "truncation at 0, or take LayerCAM or another gradient method"
            )
        if self.truncated and not q:
            raise MethodError("stages to truncate were named, but truncation is 0; 0.9 is usual")
        if not method.uses_gradients and (self.versus is not None or self.score != "logit"):
            given = f"score '{self.score}'" if self.versus is None else f"versus '{self.versus}'"
            raise MethodError(
                f"{method.label} does not use gradients, so {given} has no effect; leave it out, "
                "or choose a method that does, such as layer_cam"
            )
        if self.prototypes is not None and not method.uses_prototypes:
            raise MethodError(f"{method.label} uses no prototypes; method 'lpcam' does")
        if self.stages == ():
            raise MethodError("no stages were given; leave them out for one per resolution")
