"""The catalogue: every network that can be loaded by name, classifiers first."""

import fnmatch
import json
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import timm

from camviz.errors import WeightsError, one_line
from camviz.network.bundled import bundled_folder, bundled_names, read_config
from camviz.network.hub import cached_repositories
from camviz.network.labels import is_class_count
from camviz.network.names import pretrained_config
from camviz.network.packaged import packaged_names
from camviz.resources import ASSETS

log = logging.getLogger(__name__)

Source = Literal["bundled", "package", "cached", "hub", "untrained"]


@dataclass(frozen=True)
class Entry:
    """A row of the catalogue: a name to load and what is known without loading it.

    repository: where its weights are on the hub, if they are on it.
    """

    name: str
    architecture: str
    family: str
    source: Source
    classes: int
    input_size: tuple[int, int, int]
    parameters: int | None
    license: str | None
    repository: str | None = None

    @property
    def classifier(self) -> bool:
        """Whether its outputs are classes, and not features or an embedding of them."""
        return self.source == "bundled" or is_class_count(self.classes)

    @property
    def megabytes(self) -> float | None:
        """The size of a download in 32-bit floats."""
        return None if self.parameters is None else self.parameters * 4 / 1e6


@lru_cache(maxsize=1)
def architecture_counts() -> dict[str, tuple[int, int]]:
    """Architecture -> (parameters, classes), counted once for all of timm by benchmarks/."""
    path = ASSETS / "architectures.json"
    return json.loads(path.read_text()) if path.exists() else {}


def catalogue(pattern: str = "*") -> list[Entry]:
    """Every network that can be loaded by name, as far as its name fits the pattern.

    Bundled ones lead; then come those with trained weights, by name; then architectures without
    any. The pattern is a shell pattern; one without a wildcard matches anywhere in a name.
    Networks without a classifier close the list.
    """
    entries = list(_bundled_entries())
    cached = set(cached_repositories())
    packaged = packaged_names()
    tags = timm.list_models(pretrained=True)
    for name in tags:
        config = pretrained_config(name)
        source: Source = "cached" if config.hf_hub_id in cached else "hub"
        source = "package" if name in packaged else source
        entries.append(_timm_entry(name, config, source))
    tagged = {entry.architecture for entry in entries}
    entries += [
        _timm_entry(name, pretrained_config(name), "untrained")
        for name in timm.list_models()
        if name not in tagged
    ]
    wild = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    fitting = [entry for entry in entries if fnmatch.fnmatch(entry.name, wild)]
    return sorted(fitting, key=lambda entry: (not entry.classifier, entry.architecture != pattern))


def paper_year(architecture: str) -> int | None:
    """The year of the arXiv paper of an architecture, as far as timm's documentation tells it.

    timm has no years of its own; an arXiv address holds that of its paper. None where the
    architecture names no paper, and its module several of different years.
    """
    make = timm.models.model_entrypoint(architecture)
    own = _arxiv_years(make.__doc__)
    shared = _arxiv_years(sys.modules[make.__module__].__doc__)
    return min(own) if own else shared.pop() if len(shared) == 1 else None


def _arxiv_years(text: str | None) -> set[int]:
    found = re.findall(r"arxiv\.org/(?:abs|pdf)/(\d\d)\d\d\.\d{4}", text or "")
    return {2000 + int(year) for year in found}


def usual_tag(architecture: str) -> str:
    """The tag of the weights that timm loads for an architecture's bare name; "" for none."""
    known = pretrained_config(architecture) if timm.is_model(architecture) else None
    return (known.tag or "") if known else ""


def _bundled_entries() -> Iterator[Entry]:
    """A row for each bundled network; one whose configuration is damaged is left out, and logged:
    the others are there in any case, and loading that one says what is wrong.
    """
    for name in bundled_names():
        try:
            yield _bundled_entry(name, read_config(bundled_folder(name), name))
        except (WeightsError, RuntimeError, KeyError, TypeError, ValueError) as error:
            log.warning("%s is left out of the catalogue: %s", name, one_line(error))


def _bundled_entry(name: str, config: dict[str, Any]) -> Entry:
    details = config.get("pretrained_cfg", config)
    architecture = config["architecture"]
    return Entry(
        name,
        architecture,
        timm.models.model_entrypoint(architecture).__module__.rsplit(".", 1)[-1],
        "bundled",
        int(config["num_classes"]),
        _size(details["input_size"]),
        config.get("parameters", details.get("parameters")),
        details.get("license"),
    )


def _size(given: Any) -> tuple[int, int, int]:
    channels, height, width = map(int, given)
    return channels, height, width


def _timm_entry(name: str, config: Any, source: Source) -> Entry:
    architecture = name.split(".")[0]
    parameters, classes = architecture_counts().get(architecture, (None, None))
    if source != "untrained" or classes is None:
        classes = config.num_classes if config is not None else 0
    return Entry(
        name,
        architecture,
        timm.models.model_entrypoint(architecture).__module__.rsplit(".", 1)[-1],
        source,
        classes,
        tuple(config.input_size) if config is not None else (3, 224, 224),
        parameters,
        config.license if config is not None else None,
        (config.hf_hub_id or None) if config is not None else None,
    )
