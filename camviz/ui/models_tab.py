"""One picture, two to four backbones: what each says, where each looks, and how far they agree.

A map has no unit that two networks share, so every one is shown as shares of its own maximum, and
so are their differences. What is compared are the fused maps, on the picture itself.
"""

import itertools
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from camviz.engine.explanation import Explanation
from camviz.errors import CamvizError
from camviz.examples import example
from camviz.maps.boxes import mask_at
from camviz.maps.localization import iou
from camviz.network.backbone import Backbone
from camviz.network.hub import Stopped, download
from camviz.ui import choices, compare_tab, links, viewer
from camviz.ui.compare_tab import NOBODY, TOP, Ask, View, explain, network, progress_html
from camviz.ui.viewer import Difference, Row, Shown, Viewer, drawn

ID, TITLE = "models", "Models"
DOING = "Asking the backbones …"
PARTS = (
    "models said",
    "models table",
    "models with",
    "models class",
    "models pair",
    "models maps",
    "models chosen",
)
INPUTS = ("models chosen", "models class", "models pair")

MOST = 4  # backbones side by side
SAME, OWN = "same", "own"
CLASSES = (("the same class, where they know it", SAME), ("each its own first guess", OWN))
SOON = 0.5  # seconds between two reports of how far a download is
RASTER = 256  # pixels of the longer side, on which maps are compared
CUT = 0.2  # of the maximum, from which a place counts as looked at: CAM's own rule
BEST = 3  # classes of each backbone in the table
# From which r and which IoU on two maps are at the same place, and from which of either in part:
# words for figures that are told beside them.
SAME_PLACE, IN_PART = (0.7, 0.5), (0.4, 0.25)
DEPTHS = (
    ("fused", "All layers together", "What is compared: all layers of each, made one map."),
    ("coarse", "The coarsest layer", "What each sees last, just before it decides."),
    ("fine", "The finest layer", "What each sees early: small cells, less of the class."),
)

Found = Explanation | str


@dataclass(frozen=True)
class Agreement:
    """How far two maps of one picture agree.

    r: Pearson's, over all pixels; None where a map is the same everywhere. iou: of the places at
    or above `CUT` of each map's maximum.
    """

    r: float | None
    iou: float

    @property
    def same(self) -> bool:
        return self.r is not None and self.r >= SAME_PLACE[0] and self.iou >= SAME_PLACE[1]

    @property
    def words(self) -> str:
        if self.same:
            return "look at the same place"
        if (self.r is not None and self.r >= IN_PART[0]) or self.iou >= IN_PART[1]:
            return "look at partly the same place"
        return "look at different places"

    @property
    def figures(self) -> str:
        r = "r unknown" if self.r is None else f"r = {self.r:.2f}".replace("-", "−")
        return f"{r}, IoU {self.iou:.2f}"


# -- The page's part -----------------------------------------------------------------------------


def build() -> dict[str, Any]:
    made: dict[str, Any] = {"models said": gr.HTML(elem_id="models-said")}
    with gr.Row(elem_id="models-asked"):
        made["models with"] = gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            max_choices=MOST - 1,
            label="Compare with",
            info="up to three more; type to search",
            elem_id="models-with",
            interactive=True,
            min_width=260,
        )
        made["models class"] = gr.Radio(
            list(CLASSES),
            value=SAME,
            label="Explained is",
            info="classes are matched by their names",
            elem_id="models-class",
            min_width=260,
        )
    made["models table"] = gr.HTML(elem_id="models-table")
    made["models pair"] = gr.Radio(
        [], label="Difference of", elem_id="models-pair", visible=False, interactive=True
    )
    made["models maps"] = Viewer(elem_id="models-viewer")
    # Held apart from the menu: an event that was sent before the menu was filled has it empty.
    made["models chosen"] = gr.State(None)
    return made


def wire(parts: Mapping[str, Any], asked: Sequence[Any], ask: Callable[..., Any]) -> None:
    """Its own controls ask again; what is loaded already answers at once."""
    inputs = [parts[name] for name in INPUTS]
    ask(parts["models with"].input, chosen, [parts["models with"], *inputs[1:]], doing=DOING)
    for name in ("models class", "models pair"):
        ask(parts[name].input, show, inputs, doing=DOING)


def chosen(ask: Ask, others: list[str] | None, which: str, pair: str | None) -> Iterator[View]:
    """Backbones were picked from the menu, or taken out of it."""
    yield View(None, tab={"models chosen": list(others or ())})
    yield from show(ask, list(others or ()), which, pair)


def show(ask: Ask, others: list[str] | None, which: str, pair: str | None) -> Iterator[View]:
    """The backbones one after the other, as they are ready, and then all of them.

    others: None before anything was chosen.
    """
    if ask.picture is None or ask.backbone is None:
        said = "Give a picture, and every backbone's maps of it are shown here."
        maps = viewer.payload({"none": said})
        yield View(None, tab={"models said": "", "models table": "", "models maps": maps})
        return
    tab: dict[str, Any] = {}
    if others is None:
        others = second(ask)
        tab["models with"] = gr.update(
            choices=choices.filtered(choices.ANY, choices.ANY), value=list(others)
        )
        tab["models chosen"] = others
    first = explain(ask, versus=None)
    names = [name for name in dict.fromkeys(others) if name != ask.backbone]
    found: dict[str, Found] = {ask.backbone: first}
    for name in names[: MOST - 1]:
        answer: list[Found] = []
        yield from _waited(ask, name, first if which == SAME else None, answer)
        found[name] = answer[0]
    yield View(None, tab=tab | _told(found, pair))


def second(ask: Ask) -> list[str]:
    """A backbone to begin with: one that is here already, and may know what the picture shows."""
    drawn_things = (ask.backbone or "").startswith(choices.DRAWN)
    if ask.picture is not None:
        name = links.example_of(compare_tab.opened(ask.picture).digest)
        if name is not None:
            drawn_things = example(name).backbones == choices.DRAWN
    here = [
        choice.name
        for choice in choices.available().values()
        if choice.source in ("own", "bundled", "cached") and choice.name != ask.backbone
    ]
    return sorted(here, key=lambda n: n.startswith(choices.DRAWN) != drawn_things)[:1]


# -- Asking another backbone ---------------------------------------------------------------------


def _waited(ask: Ask, name: str, first: Explanation | None, answer: list[Found]) -> Iterator[View]:
    """What another backbone finds, put into `answer`; says how far it is until then.

    Whoever stops waiting ends a download: this is closed then, and the next report raises.
    """
    over, come = threading.Event(), [0, 0]

    def report(done: int, of: int) -> None:
        come[:] = done, of
        if over.is_set():
            raise Stopped

    work = _aside().submit(found_by, ask, name, first, report)
    try:
        while not wait([work], SOON).done:
            done, of = come
            doing = f"Asking {escape(name)} …"
            if of and done < of:
                doing = f"Downloading {escape(name)}: {done / 1e6:.0f} of {of / 1e6:.0f} MB"
            yield View(None, progress=progress_html(doing, done / of if of else None))
        answer.append(work.result())
    finally:
        over.set()


@lru_cache(maxsize=1)
def _aside() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="backbones")


def found_by(
    ask: Ask, name: str, first: Explanation | None, report: Callable[[int, int], None]
) -> Found:
    """What another backbone finds in the picture; a sentence if it cannot be had.

    first: whose class it is to explain, if it knows it; None: its own first guess.
    """
    try:
        choice = choices.lookup(name)
        if choice.source == "hub":
            download(choice.load, report)
        untrained = choice.source == "untrained"
        theirs = replace(
            ask,
            backbone=name,
            untrained=untrained,
            target=TOP,
            versus=NOBODY,
            stages=(),
            bank=None,
        )
        target = None
        if first is not None:
            target = counterpart(first.backbone, first.target, network(theirs))
        return explain(theirs, target=target, versus=None)
    except CamvizError as error:
        text = re.split(r"\. (?:Ready without|Give) ", str(error))[0]
        return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def counterpart(one: Backbone, index: int, other: Backbone) -> int | None:
    """The class of the same name in another network: by label, else by synonym; None: unknown."""
    if one.labels == other.labels:
        return index
    label = one.labels[index].casefold()
    exact = [i for i, name in enumerate(other.labels) if name.casefold() == label]
    names = {label, *(name.casefold() for name in one.synonyms[index])}
    found = exact or [
        i for i, known in enumerate(other.synonyms) if names & {name.casefold() for name in known}
    ]
    return found[0] if len(found) == 1 else None


# -- What is said of them ------------------------------------------------------------------------


def _told(found: Mapping[str, Found], pair: str | None) -> dict[str, Any]:
    """Everything that depends on what the backbones found, by the names of parts."""
    there = {name: x for name, x in found.items() if isinstance(x, Explanation)}
    agreements = {
        names: agreement(*(Shown(there[name]) for name in names))
        for names in itertools.combinations(there, 2)
    }
    choices = [(" and ".join(names), "|".join(names)) for names in agreements]
    chosen = next((names for names in agreements if "|".join(names) == pair), None)
    chosen = chosen or next(iter(agreements), None)
    first = next(iter(there.values()))
    return {
        "models said": _heading(there, agreements),
        "models table": _table(there) + _unlike(there),
        "models pair": gr.update(
            choices=choices,
            value="|".join(chosen) if chosen else None,
            visible=len(agreements) > 1,
        ),
        "models maps": viewer.payload(rows_of(found, chosen), truth=compare_tab.truth_of(first)),
    }


def agreement(one: Shown, other: Shown) -> Agreement:
    """How far two maps agree, where both networks were shown the picture."""
    (a, seen_a), (b, seen_b) = drawn(one, RASTER), drawn(other, RASTER)
    both = seen_a & seen_b
    values = [heat[both].astype(np.float64) for heat in (a, b)]
    r = None
    if all(len(each) and each.std() > 1e-6 for each in values):
        r = float(np.corrcoef(*values)[0, 1])
    empty = not (a.any() and b.any())
    return Agreement(r, 0.0 if empty else iou(mask_at(a, CUT) & both, mask_at(b, CUT) & both))


def rows_of(found: Mapping[str, Found], pair: Sequence[str] | None) -> dict[str, Row | str]:
    """A row a depth, a column a backbone, and the difference of two of them beside."""
    there = {name: x for name, x in found.items() if isinstance(x, Explanation)}
    first = next(iter(there.values()))
    alone = all(len(x.stages) == 1 for x in there.values())
    rows: dict[str, Row | str] = {}
    for key, title, says in DEPTHS[:1] if alone else DEPTHS:
        panels: dict[str, Shown | Difference | str] = {
            name: x if isinstance(x, str) else _panel(name, x, key)
            for name, x in found.items()
            if name in there or key == DEPTHS[0][0]  # why one is missing is said once
        }
        if pair is not None:
            one, other = (panels[name] for name in pair)
            assert isinstance(one, Shown) and isinstance(other, Shown)
            title_of = f"{pair[0]} − {pair[1]}"
            panels["difference"] = Difference(one, other, title_of, (pair[1], pair[0]))
        rows[key] = Row("The only layer" if alone else title, first, panels, says)
    return rows


def _panel(name: str, x: Explanation, depth: str) -> Shown:
    at = {"fused": None, "coarse": x.stages[-1], "fine": x.stages[0]}[depth]
    marks = {}
    if not x.backbone.weights.trained:
        marks["untrained"] = f"{name} is untrained: its maps mean nothing."
    facts = (f"“{x.label}”",) if at is None else (f"“{x.label}”", at)
    return Shown(x, at, name, marks, shares=True, facts=facts, last=False)


def _heading(
    there: Mapping[str, Explanation], agreements: Mapping[tuple[str, str], Agreement]
) -> str:
    """The agreement of every pair, in words and figures."""
    if not agreements:
        return (
            "<h2>One backbone alone</h2><p>Choose another one to compare it with: it looks at "
            "the same picture, and you see whether both look at the same place.</p>"
        )
    if len(agreements) == 1:
        (found,) = agreements.values()
        who = "Both" if found.same else "The two"
        said = f"<h2>{who} {found.words}: {found.figures}.</h2>"
    else:
        lines = "".join(
            f"<li><em>{escape(one)}</em> and <em>{escape(other)}</em> {found.words}: "
            f"{found.figures}</li>"
            for (one, other), found in agreements.items()
        )
        said = f'<h2>Do they look at the same place?</h2><ul class="cv-pairs">{lines}</ul>'
    untrained = [name for name, x in there.items() if not x.backbone.weights.trained]
    badge = ""
    if untrained:
        names = " and ".join(escape(name) for name in untrained)
        badge = f'<p class="cv-badge" role="note">{names} untrained: maps mean nothing</p>'
    return (
        f"{said}{badge}<p>r: how alike two maps are, pixel by pixel (1: the same, 0: unrelated). "
        f"IoU: how far the places overlap where each has at least {CUT:.0%} of its maximum. Every "
        "map is shown as shares of its own maximum: two networks have no common unit.</p>"
    )


def _unlike(there: Mapping[str, Explanation]) -> str:
    """Where the classes explained are not of one name, and why."""
    (first_name, first), *others = there.items()
    said = []
    for name, x in others:
        if counterpart(first.backbone, first.target, x.backbone) is None:
            said.append(
                f"{escape(name)} does not know “{escape(first.label)}”; explained is what it says "
                f"first, “{escape(x.label)}”."
            )
        elif x.label.casefold() != first.label.casefold():
            said.append(
                f"Explained are “{escape(first.label)}” of {escape(first_name)} and "
                f"“{escape(x.label)}” of {escape(name)}."
            )
    said += [
        f"{escape(name)} is not sure: this may be none of the {len(x.backbone.labels)} things it "
        "knows."
        for name, x in there.items()
        if not x.is_confident
    ]
    return "".join(f'<p class="cv-fine">{sentence}</p>' for sentence in said)


def _table(there: Mapping[str, Explanation]) -> str:
    """The best classes of all backbones, a class of one name in one line."""
    heads = "".join(
        f'<th scope="col">{escape(name)}<small>{len(x.backbone.labels)} classes</small></th>'
        for name, x in there.items()
    )
    shares = {name: {index: p for index, _, p in x.predictions} for name, x in there.items()}
    lines = []
    for known in aligned(there):
        label = next(there[name].backbone.labels[index] for name, index in known.items())
        cells = "".join(
            _cell(shares[name][known[name]], known[name] == x.target)
            if name in known
            else '<td class="cv-unknown">not known</td>'
            for name, x in there.items()
        )
        lines.append(f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>')
    return (
        '<div class="cv-table"><table><thead><tr><th scope="col">It says</th>'
        f"{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(share: float, explained: bool) -> str:
    number = "< 0.1%" if share < 0.001 else f"{share:.1%}"
    mark = ' class="cv-explained" title="The class explained"' if explained else ""
    return f'<td{mark}><span style="--share:{share:.4f}">{number}</span></td>'


def aligned(there: Mapping[str, Explanation]) -> list[dict[str, int]]:
    """Classes to be told of: each the index by which every backbone that knows it has it.

    The best of each backbone and those explained, the most probable anywhere first.
    """
    rows: list[dict[str, int]] = []
    for name, x in there.items():
        best = [index for index, *_ in x.predictions[:BEST]]
        for index in dict.fromkeys([x.target, *best]):
            if any(row.get(name) == index for row in rows):
                continue
            row = {}
            for other, y in there.items():
                found = index if other == name else counterpart(x.backbone, index, y.backbone)
                if found is not None:
                    row[other] = found
            rows.append(row)
    shares = {name: {index: p for index, _, p in x.predictions} for name, x in there.items()}
    return sorted(rows, key=lambda row: -max(shares[name][index] for name, index in row.items()))
