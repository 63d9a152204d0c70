"""How a map is computed: every option once, with its choices, default and meaning.

    Options(method="grad_cam", truncation=0.9)      # checked; a MethodError names what would do
    option_table(Options)                           # what command line, API, links and menus read

A field of `Options` is all that a new option needs to be found by `camviz explain --help`, the
schema of the HTTP endpoint, links and manifest. Importing this module loads no torch, so that
`camviz --help` answers at once; tables of methods and fusions are read when they are needed.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from camviz.defaults import NEAREST
from camviz.engine.option import option, option_table
from camviz.errors import MethodError

if TYPE_CHECKING:
    from camviz.methods.activation import Aggregate
    from camviz.methods.denoise import Calibration, Mode
    from camviz.network.stages import TapKind
    from camviz.network.target import Score
    from camviz.prototypes.bank import PrototypeBank

PlacementKind = Literal["plain", "true"]
FitMode = Literal["stretch", "pad", "crop"]
Checkerboard = Literal["auto", "smooth", "keep"]
Refine = Literal["affinity", "none"]
Rivals = Literal["predicted", "none"]
ViewsKind = Literal["one", "flip", "paper"]
Auto = Literal["auto"]
AUTO: Auto = "auto"  # of an option: chosen for the network, the method or the picture
Values = TypeVar("Values", bound="Options")
MAX_GAMMA = 4.0  # above, the classes compared with outweigh the one that is explained

MOST_CHANNELS = 65536  # more than any layer has


def _methods() -> Mapping[str, str]:
    from camviz.methods import METHODS

    return {AUTO: "the truest for the network"} | {n: row.label for n, row in METHODS.items()}


def _fusions() -> Mapping[str, str]:
    from camviz.maps.fusion import FUSIONS

    return {AUTO: "the truest for the method"} | {n: row.label for n, row in FUSIONS.items()}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How maps are computed. Options are checked here and nowhere else.

    Raises `MethodError` with the choices for a value that is none of them, and for options that
    the method has no use for. `from_mapping` checks names too.
    """

    versus: int | str | tuple[int | str, ...] | None = option(
        None,
        "explain the target against this class, or several (A,B); nearest: the three whose logits "
        "are closest to its own",
        several=True,
        metavar="CLASS",
        page=True,
    )
    method: str = option(
        AUTO, "how a layer becomes a map", choices=_methods, page=True, metavar="NAME"
    )
    stages: tuple[str, ...] | None = option(
        None,
        "names of stages or of any module; none: one per resolution",
        many=True,
        page=True,
        metavar="A,B",
    )
    truncation: float | Auto = option(
        0.0,
        "denoise shallow stages: truncate their positive gradient at this quantile of the noise, "
        "0.9 is usual, the paper names none; 0: off; auto: chosen for the picture",
        kind=float,
        word=AUTO,
        page=True,
        metavar="Q",
    )
    fuse: str = option(
        AUTO,
        "how the maps of all stages become one",
        label="fusion",
        choices=_fusions,
        page=True,
        metavar="NAME",
        papers={"max_tanh": "after LayerCAM", "refine_cam": "RefineCAM"},
    )
    tap: "TapKind" = option(
        "activation",
        "which tensor stands for a stage",
        choices={
            "activation": "after the last activation",
            "output": "as the stage puts it out",
        },
        page=True,
    )
    fit: FitMode = option(
        "stretch",
        "how a picture is brought to the network's size",
        choices={
            "stretch": "the whole picture, stretched",
            "pad": "the whole picture, with a border",
            "crop": "the model's own centre crop",
        },
        page=True,
    )
    placement: PlacementKind = option(
        "plain",
        "where the cells of a map are drawn",
        choices={"plain": "evenly spread", "true": "where they were measured to look"},
        page=True,
    )
    score: "Score" = option(
        "logit",
        "the number that is explained",
        choices={
            "logit": "the logit",
            "log_probability": "the logarithm of the probability",
            "probability": "the probability",
        },
    )
    gamma: float = option(
        1.0,
        "how much the mean logit of the classes compared with (versus) counts against the "
        "target's; 1: the margin, torch-cam takes 0.6",
        kind=float,
        page=True,
        metavar="G",
    )
    checkerboard: Checkerboard = option(
        "auto",
        "smooth the checkerboard that strided layers leave in a gradient: where there is one, "
        "always, or never",
        choices={"auto": "where there is one", "smooth": "always", "keep": "never"},
        old_name="grid",
        old_values={"raw": "keep"},
        papers={"keep": "all methods"},
    )
    truncated: tuple[str, ...] | None = option(
        None, "stages to truncate; none: all but the deepest", many=True, metavar="A,B"
    )
    truncation_mode: "Mode" = option(
        "threshold",
        "what truncation does to a gradient",
        choices={
            "threshold": "weak values become 0",
            "cap": "strong values are lowered to the level",
            "remove": "what speaks for the class is left out",
            "rectify": "what speaks against the class is left out",
        },
        page=True,
    )
    calibration: "Calibration" = option(
        "mirror",
        "how the level of truncation is found",
        choices={
            "mirror": "from the negative gradient",
            "self": "from the positive gradient",
            "relmax": "as a share of the maximum",
        },
    )
    prototypes: "PrototypeBank | str | Path | None" = option(
        None,
        "for method lpcam: a file of `camviz prototypes build`, 'shipped' or 'picture'",
        metavar="FILE",
        old_values={"self": "picture"},
    )
    aggregate: "Aggregate" = option(
        "mean",
        "how the similarities to all prototypes become one",
        choices={"mean": "the mean", "max": "the greatest"},
    )

    views: ViewsKind = option(
        "one",
        "as what the picture is shown, for maps that are averaged: as it is, and mirrored (twice "
        "the time), or at four sizes and mirrored (about fifteen times the time)",
        choices={
            "one": "as it is",
            "flip": "and mirrored",
            "paper": "at four sizes, each mirrored",
        },
        page=True,
        papers={"paper": "LPCAM"},
    )
    rivals: Rivals = option(
        "predicted",
        "whose prototypes count as context beside the class's own: those of other classes that are "
        "predicted and ship with the network, or none",
        choices={"predicted": "of other predicted classes", "none": "of no other class"},
        papers={"none": "LPCAM"},
    )
    refine: Refine = option(
        "affinity",
        "a further map: the fused one, spread over places whose features are alike",
        choices={"affinity": "spread to what looks alike", "none": "no such map"},
        page=True,
    )
    refine_power: float | None = option(
        None,
        "the power of the cosine of two places' features; none: by the family of the network",
        kind=float,
        metavar="P",
    )
    refine_steps: int | None = option(
        None,
        "how often the map is spread from place to place; none: by the family of the network",
        kind=int,
        metavar="N",
    )
    refine_keep: float | None = option(
        None,
        "the power of the fused map by which the spread one is weighted, so that it stays where "
        "the evidence is; 0: by nothing; none: by the family of the network",
        kind=float,
        metavar="K",
    )

    channels: int | None = option(
        None,
        "for method score_cam: how many channels are tried, the strongest; none: 64",
        kind=int,
        metavar="N",
        papers={MOST_CHANNELS: "Score-CAM, all channels"},
    )
    groups: int | None = option(
        None,
        "for method group_cam: into how many groups channels are put; none: 32",
        kind=int,
        metavar="N",
    )

    @classmethod
    def from_mapping(cls: type[Values], values: Mapping[str, Any]) -> Values:
        """Options by name, old names among them; `MethodError` for a name that is none."""
        table = option_table(cls)
        old = {row.old_name: name for name, row in table.items() if row.old_name}
        renamed: dict[str, Any] = {}
        for given, value in values.items():
            name = old.get(given, given)
            if name not in table:
                near = difflib.get_close_matches(given, table, n=3, cutoff=0.5)
                raise MethodError(
                    f"unknown option '{given}'; "
                    + (f"similar: {', '.join(near)}" if near else f"options: {', '.join(table)}")
                )
            if name in renamed:
                raise MethodError(
                    f"'{table[name].old_name}' and '{name}' are one option; give it once"
                )
            renamed[name] = value
        return cls(**renamed)

    def resolve(self, **resolved: Any) -> "Request":
        """The request that these options became: backbone, weights, target, what was resolved."""
        return _make_request(type(self), {**vars(self), **resolved})

    def __post_init__(self) -> None:
        for name, row in option_table(type(self)).items():
            object.__setattr__(self, name, row.normalize(getattr(self, name)))
        self._check_numbers()
        self._check_budgets()
        if self.method != AUTO:
            self._check_method()
        self._check_contrast()

    def _check_contrast(self) -> None:
        """Raise `MethodError` for a comparison with nothing, or a weight of none."""
        gamma = self.gamma
        if not (_is_number(gamma) and 0 < gamma <= MAX_GAMMA):
            raise MethodError(f"gamma is a number above 0, at most {MAX_GAMMA:g}, not {gamma!r}")
        object.__setattr__(self, "gamma", float(gamma))
        if self.versus == ():
            raise MethodError(f"versus names no class; leave it out, name one, or take '{NEAREST}'")
        if self.versus is None and gamma != 1:
            raise MethodError(
                f"gamma {gamma:g} has no effect without versus: it weighs the classes that the "
                "target is compared with; give versus, or leave gamma out"
            )

    def _check_numbers(self) -> None:
        """Raise `MethodError` for numbers out of range, whatever the method."""
        q = self.truncation
        if _is_number(q):
            object.__setattr__(self, "truncation", float(q))
        if q != AUTO and not (_is_number(q) and 0 <= q < 1):
            raise MethodError(
                f"truncation is 0 (off), a quantile below 1, such as 0.9, or 'auto'; not {q!r}"
            )
        if self.truncated and not q:
            raise MethodError("stages to truncate were named, but truncation is 0; 0.9 is usual")
        if self.stages == ():
            raise MethodError("no stages were given; leave them out for one per resolution")
        power, steps, keep = self.refine_power, self.refine_steps, self.refine_keep
        if power is not None:
            if not (_is_number(power) and 1 <= power <= 64):
                raise MethodError(f"refine power is a number from 1 to 64, not {power!r}")
            object.__setattr__(self, "refine_power", float(power))
        if steps is not None:
            if not (_is_number(steps) and steps in range(1, 17)):
                raise MethodError(f"refine steps is a whole number from 1 to 16, not {steps!r}")
            object.__setattr__(self, "refine_steps", int(steps))
        if keep is not None:
            if not (_is_number(keep) and 0 <= keep <= 4):
                raise MethodError(f"refine keep is a number from 0 to 4, not {keep!r}")
            object.__setattr__(self, "refine_keep", float(keep))

    def _check_budgets(self) -> None:
        """How many passes a method may take, where that is an option: whole numbers from 1."""
        from camviz.methods import METHODS

        for owner in METHODS.values():
            if owner.scoring is None or owner.scoring.budget is None:
                continue
            name, _ = owner.scoring.budget
            value = getattr(self, name)
            if value is None:
                continue
            method = METHODS.get(self.method)
            if method is not owner:
                label = "the default method" if method is None else method.label
                raise MethodError(
                    f"{label} takes no {name}, so {name} {value!r} has no effect; leave it out, "
                    f"or take {owner.label}"
                )
            if not (_is_number(value) and value in range(1, MOST_CHANNELS + 1)):
                raise MethodError(
                    f"{name} is a whole number from 1 to {MOST_CHANNELS}, not {value!r}"
                )
            object.__setattr__(self, name, int(value))

    def _check_method(self) -> None:
        """Raise `MethodError` for options that the method has no use for."""
        from camviz.methods import METHODS

        method = METHODS[self.method]
        if self.truncation and not method.truncates:
            mean = "the mean of a layer's gradient alone"
            reads = mean if "gradients" in method.needs else "no gradient of a layer"
            raise MethodError(
                f"{method.label} uses {reads}, so there is nothing to truncate; "
                "leave truncation at 0, or take LayerCAM or another gradient method"
            )
        if not method.explains_any_score and (self.versus is not None or self.score != "logit"):
            versus = option_table(type(self))["versus"].write(self.versus)
            given = f"score '{self.score}'" if self.versus is None else f"versus '{versus}'"
            why = (
                "does not use gradients"
                if method.scoring is None
                else f"always reads the {method.scoring.of} of the class"
            )
            raise MethodError(
                f"{method.label} {why}, so {given} has no effect; leave it out, "
                "or choose a method of gradients, such as layer_cam"
            )
        if self.prototypes is not None and not method.uses_prototypes:
            raise MethodError(f"{method.label} uses no prototypes; method 'lpcam' does")


@dataclass(frozen=True, kw_only=True)
class Request(Options):
    """What was computed, in plain values: `engine.explain(picture, **asdict(request))` repeats it.

    Every option as it was resolved: stages by name, classes by index, prototypes by their origin;
    and the `Settings` that the backbone was loaded with, None where its configuration decides.
    `target` is None of a network without classes.
    """

    backbone: str
    weights: str
    target: int | None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    crop_pct: float | None = None
    input_size: tuple[int, ...] | None = None
    labels: tuple[str, ...] | None = None
    output: str | None = None
    if TYPE_CHECKING:  # what resolving narrows
        stages: tuple[str, ...]
        truncated: tuple[str, ...]
        truncation: float
        versus: int | tuple[int, ...] | None
        prototypes: str | None
        refine_power: float
        refine_steps: int
        refine_keep: float

    @property
    def references(self) -> tuple[int, ...]:
        """The classes that the target is compared with."""
        versus = self.versus
        return () if versus is None else versus if isinstance(versus, tuple) else (versus,)

    def __reduce__(self) -> tuple[Any, ...]:
        # The class is made on demand for a subclass of `Options`, and not found by its name.
        return _make_request, (_options_of(type(self)), vars(self))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _options_of(request: type[Request]) -> type[Options]:
    """The options that a class of requests was made for."""
    return Options if request is Request else request.__mro__[2]


def _make_request(options: type[Options], values: Mapping[str, Any]) -> Request:
    return _request_type(options)(**values)  # type: ignore[arg-type]


@lru_cache
def _request_type(options: type[Options]) -> type[Request]:
    """`Request` with the options of a subclass of `Options`."""
    if options is Options:
        return Request
    return dataclass(frozen=True, kw_only=True)(type("Request", (Request, options), {}))
