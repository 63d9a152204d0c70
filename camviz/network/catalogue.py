"""The catalogue: every classifier that can be loaded by name."""

import fnmatch
import json
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import timm

from camviz.network.bundled import bundled_folder, bundled_names
from camviz.network.hub import cached_repositories
from camviz.network.packaged import packaged_names
from camviz.resources import ASSETS

Source = Literal["bundled", "package", "cached", "hub", "untrained"]


@dataclass(frozen=True)
class Entry:
    """A row of the catalogue: a name to load and what is known without loading it."""

    name: str
    architecture: str
    family: str
    source: Source
    classes: int
    input_size: tuple[int, int, int]
    parameters: int | None
    license: str | None

    @property
    def classifier(self) -> bool:
        """Whether its outputs are classes: 0 is a feature extractor, and timm's label sets have
        1,000 names or more than 10,000; widths between are those of CLIP's embeddings."""
        return self.source == "bundled" or self.classes == 1000 or self.classes > 10_000

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
    """Every classifier that can be loaded by name, as far as its name fits the pattern.

    Bundled ones lead; then come those with trained weights, by name; then architectures without
    any. The pattern is a shell pattern; one without a wildcard matches anywhere in a name.
    Networks without a classifier close the list.
    """
    entries = [_bundled_entry(name) for name in bundled_names()]
    cached = set(cached_repositories())
    packaged = packaged_names()
    tags = timm.list_models(pretrained=True)
    for name in tags:
        config = timm.get_pretrained_cfg(name)
        source: Source = "cached" if config.hf_hub_id in cached else "hub"
        source = "package" if name in packaged else source
        entries.append(_timm_entry(name, config, source))
    tagged = {entry.architecture for entry in entries}
    entries += [
        _timm_entry(name, timm.get_pretrained_cfg(name), "untrained")
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
    known = timm.get_pretrained_cfg(architecture) if timm.is_model(architecture) else None
    return (known.tag or "") if known else ""


def _bundled_entry(name: str) -> Entry:
    config = json.loads((bundled_folder(name) / "config.json").read_text())
    details = config.get("pretrained_cfg", config)
    architecture = config["architecture"]
    return Entry(
        name,
        architecture,
        timm.models.model_entrypoint(architecture).__module__.rsplit(".", 1)[-1],
        "bundled",
        config["num_classes"],
        tuple(details["input_size"]),
        config.get("parameters", details.get("parameters")),
        details.get("license"),
    )


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
    )
