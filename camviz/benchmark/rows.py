"""The maps that are compared: every method with every set of options, at every stage.

A row is one of them on one network: LayerCAM at layer3, say, or its fused map with truncation 0.9.
Two rows of every comparison read no network: a figure means little unless it is above theirs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from camviz.defaults import FUSED, REFINED
from camviz.engine.engine import Engine
from camviz.engine.explanation import Explanation
from camviz.engine.option import option_table
from camviz.engine.options import Options
from camviz.errors import MethodError, StageError, TargetError
from camviz.images import Picture
from camviz.maps.baselines import centred_gaussian
from camviz.methods import METHODS
from camviz.network.backbone import Backbone
from camviz.network.labels import imagenet_class

# Methods of one pass, which is shared; those that take many more are named to be measured.
METHODS_BY_DEFAULT = tuple(
    name
    for name, row in METHODS.items()
    if row.scoring is None and not row.uses_prototypes and not row.uses_attention
)
NOISE, CENTRE = "7 x 7 noise", "centred Gaussian"
BASELINES = (NOISE, CENTRE)
_CELLS = 7  # of a side of the noise, as many as the last stage of most networks has


@dataclass(frozen=True)
class Setting:
    """A method and the options that it is given; `options` as they were written."""

    method: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def text(self) -> str:
        """The options as they are written in a shell."""
        table = option_table(Options)
        return " ".join(f"{name}={table[name].write(value)}" for name, value in self.options)

    def __str__(self) -> str:
        return f"{self.method} {self.text}".rstrip()


@dataclass(frozen=True)
class Row:
    """One map of many pictures: a method, its options, and a stage, "fused" or "refined"."""

    method: str
    options: str
    map: str

    def __str__(self) -> str:
        return "|".join((self.method, self.options, self.map))

    @classmethod
    def read(cls, text: str) -> "Row":
        """The row that `str` wrote."""
        return cls(*text.split("|"))


def read_settings(
    methods: Sequence[str] | None, options: Sequence[Sequence[str]] = ()
) -> tuple[Setting, ...]:
    """Every method with every set of options, from words such as "truncation=0.9".

    Raises `MethodError` for a method or option that does not exist. An option that a method has no
    use for is left to `explain` to refuse.
    """
    sets = [_read_options(words) for words in options] or [()]
    names = tuple(methods or METHODS_BY_DEFAULT)
    row = option_table(Options)["method"]
    return tuple(Setting(row.normalize(name), each) for name in names for each in sets)


def _read_options(words: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    table, found = option_table(Options), {}
    others = ", ".join(name for name in table if name != "method")
    for word in words:
        name, sign, text = word.partition("=")
        name = name.strip().replace("-", "_")
        if not sign or name not in table or name == "method":
            raise MethodError(f"'{word}' is no option; write NAME=VALUE, of {others}")
        try:
            found[name] = table[name].normalize(table[name].parse(text))
        except ValueError:
            raise MethodError(f"{name} is no number in '{word}'") from None
    return tuple(found.items())


@dataclass
class Maps:
    """Makes all maps of a picture with one network, from one trace of it.

    `refused`: why a method with its options does not exist for this network, by setting; found when
    it is first tried, and not tried again.
    """

    engine: Engine
    backbone: Backbone
    settings: Sequence[Setting]
    refused: dict[Setting, str] = field(default_factory=dict)

    def explain(self, picture: Picture, target: int) -> Iterator[tuple[Setting, Explanation]]:
        """The explanations of one class by every setting that the network can have."""
        for setting in self.settings:
            if setting in self.refused:
                continue
            try:
                options = {"method": setting.method, **dict(setting.options)}
                x = self.engine.explain(picture, self.backbone, target=target, **options)
            except (MethodError, StageError) as error:
                self.refused[setting] = str(error)
                continue
            yield setting, x


def rows_of(setting: Setting, x: Explanation) -> dict[Row, str]:
    """The rows of an explanation, and by what name `Explanation.grid` has each map.

    A fused map of a single stage is that stage's own, and no row.
    """
    names = [*x.stages, *([FUSED] if len(x.stages) > 1 else [])]
    names += [REFINED] if x.affinity is not None else []
    return {Row(setting.method, setting.text, name): name for name in names}


def baseline_maps(height: int, width: int, seed: Sequence[int]) -> dict[Row, np.ndarray]:
    """Maps that read no network, float32 (H, W) in [0, 1]: noise, and the centre.

    The first is uniform noise on 7 x 7 cells, drawn as maps are, the second
    exp(-((x - W/2)² / (W/4)² + (y - H/2)² / (H/4)²) / 2).
    """
    centre = centred_gaussian((height, width)).numpy()
    maps = {NOISE: noise_map(height, width, seed), CENTRE: centre}
    return {Row(name, "", ""): heat for name, heat in maps.items()}


def noise_map(height: int, width: int, seed: Sequence[int]) -> np.ndarray:
    """Uniform noise on 7 x 7 cells, drawn to a size as maps are, float32 (H, W), its maximum 1.

    The random map of *Faithfulness*, `camviz.maps.baselines.random_map`, is another: smooth blobs.
    """
    noise = np.random.default_rng(list(seed)).random((_CELLS, _CELLS), np.float32)
    drawn = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    return drawn / drawn.max()


def find_target(backbone: Backbone, label: str, names: Mapping[str, str]) -> int:
    """The class of a network that a data set calls by a label.

    names: the network's class, a label or an index, by the label of the data set, for those that
    are called otherwise. A WordNet id is looked up among ImageNet's classes. Raises `TargetError`.
    """
    wanted = names.get(label, label)
    known = imagenet_class(wanted)
    if known is not None:
        index, name = known
        if len(backbone.labels) > index and backbone.labels[index].startswith(name):
            return index
        raise TargetError(
            f"{backbone.display_name} does not have ImageNet's classes in their order, so that "
            f"'{wanted}' ({name}) is none of them; --classes FILE says which is meant"
        )
    try:
        return backbone.target(wanted)
    except TargetError as error:
        raise TargetError(
            f"{error}; --classes FILE says which class is meant by '{label}'"
        ) from None
