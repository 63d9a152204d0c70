"""What a visitor may choose: backbones by name, up to a size; examples; methods.

A browser may send anything, so every name is looked up here before it reaches the engine: no
path, no hub address, no network beyond the limit.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from camviz.engine.option import option_table
from camviz.engine.options import AUTO, Options
from camviz.engine.plan import exists
from camviz.engine.views import VIEWS
from camviz.environment import environment
from camviz.errors import BackboneError
from camviz.examples import Example, examples
from camviz.methods import METHODS, Method
from camviz.network.backbone import Backbone
from camviz.network.bundled import bundled_names
from camviz.network.catalogue import Entry, catalogue, paper_year, usual_tag
from camviz.network.class_search import everyday_names
from camviz.network.hub import hub_repository
from camviz.network.weights import default_backbone
from camviz.space.spacefile import spacefile
from camviz.ui.starters import POPULAR, STARTERS

DRAWN = "scenes"  # how the names of backbones for drawings begin
ANY = "any"
SEPARATOR = " · "  # in the entries of menus
AUTOMATIC = "Automatic · the truest for each network"
SOURCES = {
    "own": "this server's own",
    "package": "installed",
    "bundled": "bundled",
    "cached": "on this machine",
    "hub": "to download",
    "untrained": "no trained weights",
}


@dataclass(frozen=True)
class Choice:
    """A backbone that a visitor may choose: what it is called here, and what the engine loads."""

    name: str
    label: str
    load: str
    source: str
    entry: Entry | None = None

    @property
    def has_classes(self) -> bool:
        """Whether it names classes, as far as that is known without loading it."""
        return self.entry is None or self.entry.classifier

    @property
    def family(self) -> str:
        """timm's own grouping: the module that defines the architecture."""
        return self.entry.family if self.entry else "own"

    @property
    def is_here(self) -> bool:
        """Whether its weights are on this machine."""
        return self.source in ("own", "package", "bundled", "cached")

    @property
    def megabytes(self) -> str:
        """ ", 102 MB" where that is known."""
        return f", {self.entry.megabytes:.0f} MB" if self.entry and self.entry.megabytes else ""

    @property
    def year(self) -> int | None:
        """When the paper about it came out, where that is known."""
        if self.entry is None or self.source == "bundled":
            return None
        architecture = self.entry.architecture
        known = (row.year for row in STARTERS if row.architecture == architecture)
        return next(known, None) or paper_year(architecture)

    @property
    def model_card(self) -> str | None:
        """The address of its model card on the hub, if it has one."""
        repository = hub_repository(self.load) if self.entry else None
        return f"https://huggingface.co/{repository}" if repository else None


@lru_cache(maxsize=1)
def available() -> dict[str, Choice]:
    """The backbones that visitors may choose, by name: this server's own, then the catalogue.

    CAMVIZ_BACKBONE names the server's own, in any way that `load_backbone` understands; visitors
    see the last part of it, never a path. Looked up anew at every visit (`cache_clear`), because
    what is bundled or downloaded may change while the server runs.
    """
    given = environment().max_parameters
    limit = (spacefile().limits.parameters if given is None else given) * 1e6
    choices = {}
    if own := environment().backbone:
        name = Path(own.partition(":")[2] or own).resolve().name
        choices[name] = Choice(name, f"{name} · {SOURCES['own']}", own, "own")
    for entry in sorted(catalogue(), key=_place):
        small = entry.source in ("bundled", "package") or (entry.parameters or limit + 1) <= limit
        if small and _can_be_had(entry) and entry.name not in choices:
            label = _label(entry)
            choices[entry.name] = Choice(entry.name, label, entry.name, entry.source, entry)
    return choices


def _place(entry: Entry) -> tuple[Any, ...]:
    """Sorts what is at hand first, what is untrained last, networks with classes, what is asked for
    often, and then short names, before others; small networks before large ones.

    Of one architecture timm's usual weights come first.
    The browser shows what contains the text typed, in this order: whatever else contains the whole
    name of an architecture has a longer one, so that the architecture itself comes first.
    """
    where = list(SOURCES).index(entry.source)
    tag = entry.name.partition(".")[2]
    popular = entry.architecture in POPULAR
    return (
        where,
        not entry.classifier,
        POPULAR.index(entry.architecture) if popular else len(POPULAR),
        len(entry.architecture),
        entry.parameters or 0,
        entry.architecture,
        tag != usual_tag(entry.architecture),
        entry.name,
    )


def _can_be_had(entry: Entry) -> bool:
    """Whether its weights are anywhere; timm lists some that no hub has."""
    return entry.source != "hub" or entry.repository is not None


def _label(entry: Entry) -> str:
    where = SOURCES[entry.source]
    if entry.source == "hub":
        where = f"{where}, {entry.megabytes:.0f} MB"
    size = f" · {entry.parameters / 1e6:.1f} M" if entry.parameters else ""
    return f"{entry.name}{size} · {where}{'' if entry.classifier else ' · features only'}"


def lookup(name: str | None) -> Choice:
    """The choice of that name, or the usual one of that architecture.

    Anything else that a browser may send is refused.
    """
    choice = available().get(named(name or "") or "")
    if choice is None:
        raise BackboneError("no such backbone is offered here; choose one from the list")
    return choice


def search(text: str) -> list[str]:
    """The names of what fits a text, the best first.

    Exactly the name or the architecture; then what begins so; then what has all of its words, in
    any order, first where each begins a part of the name; case does not count. Equals stand as in
    `available`.
    """
    words = text.casefold().split()
    if not words:
        return []
    ranks = {name: _rank(name.casefold(), words) for name in available()}
    return sorted((n for n in ranks if ranks[n] is not None), key=lambda n: ranks[n] or 0)


def named(text: str) -> str | None:
    """The backbone of that name, or the usual one of that architecture; None if there is none."""
    if text in available():
        return text
    return next((name for name in available() if name.partition(".")[0] == text), None)


def starters() -> list[tuple[Choice, str]]:
    """Backbones that are good to start with, each with a sentence; those at hand come first."""
    found = [(named(row.architecture), row.sentence) for row in STARTERS]
    offered = [(available()[name], sentence) for name, sentence in found if name is not None]
    return sorted(offered, key=lambda row: not row[0].is_here)


def _rank(name: str, words: list[str]) -> int | None:
    """How well a name fits words, 0 the best; None if one of them is not in it."""
    whole = " ".join(words)
    if whole in (name, name.partition(".")[0]):
        return 0 if whole == name else 1
    if name.startswith(whole):
        return 2
    if all(_begins_part(name, word) for word in words):
        return 3
    return 4 if all(word in name for word in words) else None


def _begins_part(name: str, word: str) -> bool:
    """Whether a word stands in a name where letters, or digits, begin."""
    before = "0-9" if word[0].isdigit() else "a-z"
    return re.search(rf"(?<![{before}]){re.escape(word)}", name) is not None


def default_choice() -> str | None:
    """The backbone of a visitor who has chosen none: the Spacefile's, once its weights are here.

    Without those it is one for drawings: every drawn example is something it knows.
    """
    choices = available()
    if environment().backbone:
        return next(iter(choices), None)
    wanted = choices.get(spacefile().backbone)
    if wanted is not None and wanted.is_here:
        return wanted.name
    best = default_backbone()
    drawn = min((name for name in choices if name.startswith(DRAWN)), key=_plain, default=best)
    best = drawn if best in bundled_names() else best
    return best if best in choices else next(iter(choices), None)


def families() -> list[tuple[str, str]]:
    """(label, family) for a filter, by name, each with how many backbones it has."""
    counts = Counter(choice.family for choice in available().values())
    rows = [(f"{family} ({count})", family) for family, count in sorted(counts.items())]
    return [("any family", ANY), *rows]


def sources() -> list[tuple[str, str]]:
    """(label, source) for a filter, each with how many backbones there are."""
    counts = Counter(choice.source for choice in available().values())
    rows = [(f"{label} ({counts[s]})", s) for s, label in SOURCES.items() if counts[s]]
    return [("any source", ANY), *rows]


def filtered(family: str, source: str, kept: str | None = None) -> list[tuple[str, str]]:
    """(label, name) of the backbones of a family and a source; the one in use is kept."""
    return [
        (choice.label, choice.name)
        for choice in available().values()
        if choice.name == kept
        or (family in (ANY, choice.family) and source in (ANY, choice.source))
    ]


def suitable_backbone(example: Example, backbone: str | None) -> str | None:
    """This backbone if it may know what the example shows, else one on offer that may."""
    for_drawings = (backbone or "").startswith(DRAWN)
    if for_drawings == (example.backbones == DRAWN):
        return backbone
    if example.backbones == DRAWN:
        drawn = (name for name in available() if name.startswith(DRAWN))
        return min(drawn, key=_plain, default=backbone)
    return photograph_backbone() or backbone


def photograph_backbone() -> str | None:
    """What is here for photographs: this server's own, else installed, downloaded or bundled."""
    here = [
        choice
        for choice in available().values()
        if choice.is_here and choice.has_classes and not choice.name.startswith(DRAWN)
    ]
    order = ("own", "package", "cached", "bundled")
    best = min(here, key=lambda c: (order.index(c.source), _plain(c.name)), default=None)
    return None if best is None else best.name


def photographs_known() -> bool:
    """Whether a backbone is at hand that may know ImageNet's things, as the photographs show."""
    choice = available().get(photograph_backbone() or "")
    return choice is not None and choice.source != "bundled"


def _plain(name: str) -> bool:
    """Sorts the plainest of the bundled ones first, whose maps need the least explaining."""
    return not name.endswith("-resnet")


def examples_first_known() -> list[Example]:
    """The Spacefile's examples, those that a new visitor's backbone knows before the others.

    Photographs only where a network is at hand that knows what they show.
    """
    drawn = (default_choice() or "").startswith(DRAWN)
    order, known = spacefile().examples, photographs_known()
    shown = [row for row in examples() if row.name in order and (row.backbones == DRAWN or known)]
    found = sorted(shown, key=lambda row: order.index(row.name))
    return sorted(found, key=lambda row: (row.backbones == DRAWN) != drawn)


def stage_methods(backbone: Backbone | None = None) -> dict[str, Method]:
    """The methods of layers' maps: those that ask for no prototypes.

    backbone: those that exist for this network; None: all.
    """
    return {
        name: row
        for name, row in METHODS.items()
        if not row.uses_prototypes and (backbone is None or exists(row, backbone))
    }


def method_entries(
    backbone: Backbone | None = None, prices: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """(text, name) of the methods of layers' maps, the automatic choice first.

    backbone: the methods that exist for this network; None: all. prices: how long some take, in
    words.
    """
    entries: list[tuple[str, str]] = [(AUTOMATIC, AUTO)]
    for name, row in stage_methods(backbone).items():
        words = (row.label, row.paper, (prices or {}).get(name))
        entries.append((SEPARATOR.join(filter(None, words)), name))
    return entries


def views_entries() -> list[tuple[str, str]]:
    """(text, name) of the views of a picture, and how many times as long maps of several take."""
    entries = []
    for name, text in option_table(Options)["views"].marked.items():
        times = sum(view.scale**2 for view in VIEWS[name])
        entries.append(
            (text if times == 1 else f"{text}{SEPARATOR}{times:.0f} times as long", name)
        )
    return entries


def class_entries(backbone: Backbone) -> list[tuple[str, str]]:
    """(text, label) of every class for a menu; behind the label its other names, to be searched."""
    entries = []
    for label, synonyms in zip(backbone.labels, backbone.synonyms, strict=True):
        others = [name for name in (*synonyms, *everyday_names(label)) if name not in label]
        entries.append((f"{label} · {', '.join(others)}" if others else label, label))
    return entries


def modules(backbone: Backbone) -> list[str]:
    """Every module by its name, in the network's own order, but for the network itself."""
    return [name for name, _ in backbone.model.named_modules() if name]
