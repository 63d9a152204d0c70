"""One picture, two to four backbones: top classes and maps side by side, and how far these agree.

The backbone of the page stands first. The others are loaded here, one after the other; a download
reports to the task of the answer, and is given up with it.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from markupsafe import Markup

from camviz.engine.explanation import Explanation
from camviz.errors import CamvizError
from camviz.examples import example
from camviz.methods import METHODS
from camviz.network.hub import download
from camviz.ui import choices, html, links, service
from camviz.ui.comparison import (
    CUT,
    Agreement,
    agreement,
    class_remarks,
    class_table,
    counterpart,
    explained_names,
)
from camviz.ui.state import (
    NOBODY,
    TOP,
    BackboneChoice,
    Controls,
    Menu,
    Session,
    Task,
    Unavailable,
    Update,
)
from camviz.ui.tabs.base import Events
from camviz.ui.viewer import DifferencePanel, MapPanel, MapRow, Viewer, payload

ID, GROUP, TITLE = "models", "Compare", "Models"
LABEL = "Asking the backbones …"
READS_COVER = False

MOST = 4  # backbones side by side
SAME, OWN = "same", "own"
CLASSES = [("the same class, where they know it", SAME), ("each its own first guess", OWN)]
DEPTHS = (
    ("fused", "All layers together", "What is compared: all layers of each, made one map."),
    ("coarse", "The coarsest layer", "What each sees last, just before it decides."),
    ("fine", "The finest layer", "What each sees early: small cells, less of the class."),
)

Found = Explanation | Unavailable


@dataclass(frozen=True)
class Parts:
    """Its components; `others`, `explained` and `pair` are settings, kept under these names."""

    heading: gr.HTML
    others: gr.Dropdown
    explained: gr.Radio
    table: gr.HTML
    pair: gr.Radio
    maps: gr.HTML


# -- The page's part -----------------------------------------------------------------------------


def build() -> Parts:
    heading = gr.HTML(elem_id="models-heading", elem_classes="cv-lead")
    with gr.Row(elem_id="models-settings"):
        others = gr.Dropdown(
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
        explained = gr.Radio(
            CLASSES,
            value=SAME,
            label="Explained is",
            info="classes are matched by their names",
            elem_id="models-class",
            min_width=260,
        )
    table = gr.HTML(elem_id="models-table")
    pair = gr.Radio(
        [], label="Difference of", elem_id="models-pair", visible=False, interactive=True
    )
    return Parts(heading, others, explained, table, pair, Viewer(elem_id="models-viewer"))


def wire(parts: Parts, events: Events) -> None:
    for name in ("others", "explained", "pair"):
        events.keep(getattr(parts, name), name)


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """All backbones; those that are not loaded yet are, one after the other.

    Raises `Stopped` if the answer is cancelled during a download.
    """
    own = controls.backbone.name
    if controls.picture is None or own is None:
        reason = "Give a picture, and every backbone's maps of it are shown here."
        maps = payload({ID: Unavailable(reason)})
        yield Update(tab={"heading": "", "table": "", "maps": maps})
        return
    others = session.get(ID, "others")
    if others is None:  # none was chosen yet
        others = suggest_backbones(controls)
        yield Update(tab={"others": Menu(others, choices.filtered(choices.ANY, choices.ANY))})
    first = service.explain(controls, versus=None, progress=task.report)
    same = session.get(ID, "explained", SAME) == SAME
    names = [name for name in dict.fromkeys(map(str, others)) if name != own]
    found: dict[str, Found] = {own: first}
    yield Update()  # what stands around the tab need not wait for a download
    for name in names[: MOST - 1]:
        found[name] = explain_with(controls, name, first if same else None, task)
    yield Update(tab=present(found, session.get(ID, "pair")))


def suggest_backbones(controls: Controls) -> list[str]:
    """A backbone to begin with: one that is here already, and may know what the picture shows."""
    own = controls.backbone.name or ""
    for_drawings = own.startswith(choices.DRAWN)
    if controls.picture is not None:
        name = links.example_of(service.picture_at(controls.picture).digest)
        if name is not None:
            for_drawings = example(name).backbones == choices.DRAWN
    here = [
        choice.name
        for choice in choices.available().values()
        if choice.is_here and choice.name != own
    ]
    return sorted(here, key=lambda n: n.startswith(choices.DRAWN) != for_drawings)[:1]


# -- Other backbones -----------------------------------------------------------------------------


def explain_with(controls: Controls, name: str, first: Explanation | None, task: Task) -> Found:
    """The explanation of the picture by another backbone, or why there is none.

    first: whose class is explained, if the other backbone has it; None: its own top class. The
    task reports the download of its weights, which ends with `Stopped` if the task is cancelled.
    """
    task.start(f"Asking {name} …")

    def report(done: int, total: int) -> None:
        task.label = f"Downloading {name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
        task.report(done, total)

    try:
        choice = choices.lookup(name)
        if choice.source == "hub":
            download(choice.load, report)
            task.start(f"Asking {name} …")
        other = replace(
            controls,
            backbone=BackboneChoice(name, choice.source == "untrained"),
            target=TOP,
            versus=NOBODY,
            bank=None,
        ).with_options(stages=None)
        target = None
        if first is not None:
            target = counterpart(first.backbone, first.target, service.load(other.backbone))
        return service.explain(other, target=target, progress=task.report)
    except CamvizError as error:
        return Unavailable(html.sentence(getattr(error, "message", str(error))))


# -- Everything about them -----------------------------------------------------------------------


def present(found: Mapping[str, Found], pair: str | None) -> dict[str, Any]:
    """Everything that depends on the explanations of all backbones, by the names of parts.

    pair: "NAME|NAME", of which the difference is shown; the first one if there is no such pair.
    """
    explanations = {name: x for name, x in found.items() if isinstance(x, Explanation)}
    agreements = {
        names: agreement(*(MapPanel(explanations[name]) for name in names))
        for names in itertools.combinations(explanations, 2)
    }
    pairs = {"|".join(names): names for names in agreements}
    chosen = pair if pair in pairs else next(iter(pairs), None)
    rows = rows_of(found, None if chosen is None else pairs[chosen])
    first = next(iter(explanations.values()))
    return {
        "heading": _heading(explanations, agreements),
        "table": _table(explanations),
        "pair": Menu(
            chosen,
            [(" and ".join(names), value) for value, names in pairs.items()],
            visible=len(pairs) > 1,
        ),
        "maps": payload(rows, truth=service.truth_of(first)),
    }


def rows_of(found: Mapping[str, Found], pair: Sequence[str] | None) -> dict[str, MapRow]:
    """A row a depth, a column a backbone, and the difference of two of them beside."""
    explanations = {name: x for name, x in found.items() if isinstance(x, Explanation)}
    first = next(iter(explanations.values()))
    labels = explained_names(explanations)
    single = all(len(x.stages) == 1 for x in explanations.values())
    rows = {}
    for key, title, words in DEPTHS[:1] if single else DEPTHS:
        panels: dict[str, MapPanel | DifferencePanel | Unavailable] = {
            name: x if isinstance(x, Unavailable) else _panel(name, x, key, labels[name], first)
            for name, x in found.items()
            if name in explanations or key == DEPTHS[0][0]  # why one is missing stands there once
        }
        if pair is not None:
            one, other = (panels[name] for name in pair)
            assert isinstance(one, MapPanel) and isinstance(other, MapPanel)
            name = f"{pair[0]} − {pair[1]}"
            panels["difference"] = DifferencePanel(one, other, name, (pair[1], pair[0]))
        rows[key] = MapRow("The only layer" if single else title, first, panels, words)
    return rows


def _panel(name: str, x: Explanation, depth: str, label: str, first: Explanation) -> MapPanel:
    """label: the class explained, by its name in the table. first: whose method the row names."""
    of = {"coarse": x.stages[-1], "fine": x.stages[0]}.get(depth, depth)
    marks = {}
    if not x.backbone.weights.trained:
        marks["untrained"] = f"{name} is untrained: its maps mean nothing."
    facts = [f"“{label}”" if label else "no class"]
    facts += [of] if of in x.raw else []
    if x.request.method != first.request.method:
        facts.append(METHODS[x.request.method].label)
    return MapPanel(x, of, name, marks, shares=True, facts=tuple(facts), last=False)


def _heading(
    explanations: Mapping[str, Explanation], agreements: Mapping[tuple[str, str], Agreement]
) -> Markup:
    """The agreement of every pair, in words and figures."""
    untrained = [name for name, x in explanations.items() if not x.backbone.weights.trained]
    labels = {name: label for name, label in explained_names(explanations).items() if label}
    return html.render(
        "models.html",
        agreements=agreements,
        untrained=untrained,
        cut=CUT,
        different=labels if len(set(labels.values())) > 1 else {},
    )


def _table(explanations: Mapping[str, Explanation]) -> Markup:
    """The best classes of all backbones, a class of one name in one line, and remarks on them."""
    return html.render(
        "models-table.html",
        classes={name: len(x.backbone.labels) for name, x in explanations.items()},
        rows=class_table(explanations),
        remarks=class_remarks(explanations),
    )
