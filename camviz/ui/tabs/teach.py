"""Teach it: a classifier from a few photographs of each kind; and a lesson, to make a bias oneself.

The classifier is ready as soon as two kinds have a picture: the network that is chosen runs once on
each, and the rest is a small system of equations (`camviz.teaching`). The picture that is open on
the page is explained by it like by any other network.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from camviz.engine.teaching import Taught
from camviz.errors import CamvizError
from camviz.ui import html, service, strip
from camviz.ui.hidden import hidden_value
from camviz.ui.learn import bias_lesson
from camviz.ui.learn.taught_prototypes import PROTOTYPES, prototype_row
from camviz.ui.learn.teaching import (
    MOST_A_KIND,
    MOST_KINDS,
    START,
    Kind,
    answers_by_kind,
    gone_sentence,
    maps_by,
    names_of,
    present,
    taught_by,
    taught_from_file,
)
from camviz.ui.state import Controls, Session, Task, Update
from camviz.ui.tabs import teach_actions as actions
from camviz.ui.tabs.base import Events
from camviz.ui.tiles import map_tile
from camviz.ui.viewer import Viewer, payload

ID, GROUP, TITLE = actions.ID, "Learn", "Teach it"
KEY = "t"  # the digits are taken
LABEL = "Looking at the photographs …"
READS_COVER = False
NO_PICTURE = "Give a picture on the left, and it is explained by what you taught."


@dataclass(frozen=True)
class Parts:
    """Its components. upload, kind: take the files that cards and camera give, and
    for which kind; they are not seen.
    """

    heading: Any
    camera: Any
    kinds: Any
    upload: Any
    kind: Any
    answer: Any
    maps: Any
    prototypes: Any
    save: Any
    load: Any
    file: Any
    lesson: Any


def build() -> Parts:
    made: dict[str, Any] = {
        "heading": gr.HTML(elem_id="teach-heading", elem_classes="cv-lead"),
        "camera": gr.HTML(
            None,
            html_template=html.script("teach/frame-camera.html"),
            js_on_load=html.script("teach/gradio.js"),
            elem_id="teach-camera",
        ),
        "kinds": gr.HTML(elem_id="teach-kinds", js_on_load=html.script("teach-kinds.js")),
        "upload": gr.UploadButton(
            "Add photographs", file_count="multiple", file_types=["image"],
            elem_id="teach-upload", visible="hidden",
        ),
        "kind": hidden_value(),
        "answer": gr.HTML(elem_id="teach-answer"),
        "maps": Viewer(elem_id="teach-viewer", name="Maps by what was taught"),
        "prototypes": gr.HTML(elem_id="teach-prototypes", js_on_load=html.script("click.js")),
    }  # fmt: skip
    with gr.Row(elem_id="teach-files"):
        made["save"] = gr.Button("Save what it learned", size="sm", elem_id="teach-save")
        made["load"] = gr.UploadButton(
            "Load a saved classifier", size="sm", file_types=[".safetensors"], elem_id="teach-load"
        )
    made["file"] = gr.HTML(elem_id="teach-file", js_on_load=html.script("click-link.js"))
    made["lesson"] = gr.HTML(elem_id="teach-lesson", js_on_load=html.script("click.js"))
    return Parts(**made)


def wire(parts: Parts, events: Events) -> None:
    events.on_change(parts.kinds.select, actions.edit)
    given, js = (parts.upload, parts.kind), html.script("teach-kind.js")
    events.on_work(parts.upload.upload, actions.add_pictures, LABEL, *given, js=js)
    events.on_change(parts.prototypes.select, actions.ask_for_prototypes)
    events.on_work(parts.save.click, actions.save, LABEL)
    events.on_work(parts.load.upload, actions.load, LABEL, parts.load)
    events.on_change(parts.lesson.select, actions.take_lesson)


# -- What stands in it ---------------------------------------------------------------------------


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """The kinds, what the head says of the open picture, and the lesson as far as it was taken."""
    (kinds, gone), head = present(actions.kinds_of(session)), actions.head_of(session)
    if controls.backbone.name is None:
        yield Update(tab=_without(kinds))
    else:
        for update in _taught(session, controls, kinds, head, task):
            yield update if not gone else _with_answer(update, gone)
    yield from _lesson(actions.step_of(session), task)


def _taught(
    session: Session, controls: Controls, kinds: tuple[Kind, ...], head: Any, task: Task
) -> Iterator[Update]:
    backbone = service.load(controls.backbone)
    name, trained = backbone.display_name, backbone.weights.trained
    try:
        if head is not None:
            taught: Taught | None = taught_from_file(session, controls, head)
        else:
            taught = taught_by(session, controls, kinds, task)
    except CamvizError as error:  # of this network, or of a picture that was deleted meanwhile
        reason = html.sentence(error)
        yield Update(tab=_without(kinds, name, trained, reason, from_file=head is not None))
        return
    if taught is None:
        yield Update(tab=_without(kinds, name, trained))
        return
    tab = {"heading": heading(name, trained), "kinds": cards(kinds, taught)}
    yield from _explained(session, controls, kinds, taught, tab, task)


def _with_answer(update: Update, gone: int) -> Update:
    """The update with a sentence on photographs that were deleted, where the answer stands."""
    if "answer" not in update.tab:
        return update
    gone_text = html.render("fine.html", text=gone_sentence(gone))
    return Update(tab={**update.tab, "answer": gone_text + update.tab["answer"]})


def _without(
    kinds: tuple[Kind, ...],
    name: str | None = None,
    trained: bool = True,
    reason: str = "",
    *,
    from_file: bool = False,
) -> dict[str, Any]:
    """The view while there is no classifier. reason: why there is none."""
    shown = cards(kinds, None, from_file=from_file)
    answer = html.render("fine.html", text=reason) if reason else ""
    return {
        "heading": heading(name, trained),
        "kinds": shown,
        "answer": answer,
        "maps": payload({}),
        "prototypes": "",
    }


def heading(name: str | None, trained: bool) -> str:
    """What can be done here, and on which network."""
    return html.render("teach.html", backbone=name, trained=trained)


def cards(kinds: tuple[Kind, ...], taught: Taught | None, *, from_file: bool = False) -> str:
    """A card for each kind, and how well they are told apart."""
    of_file = from_file or (taught is not None and not taught.answers)
    rows = [
        {"name": kind.name, "called": called, "pictures": pictures, "key": kind.key}
        for kind, called, pictures in zip(
            kinds, names_of(kinds), _pictures(kinds, None if of_file else taught), strict=True
        )
    ]
    return html.render(
        "teach-kinds.html",
        kinds=rows,
        head=None if taught is None else taught.head,
        from_file=of_file,
        alone=0 if taught is None else len(taught.answers) - taught.head.tried,
        most=MOST_KINDS,
        most_a_kind=MOST_A_KIND,
        droppable=len(kinds) > len(START),
    )


def _pictures(
    kinds: tuple[Kind, ...], taught: Taught | None
) -> list[list[tuple[strip.Thumbnail, str]]]:
    """Of each kind its pictures, and for what each is wrongly taken; "" where it is not."""
    if taught is None:
        return [[(strip.thumbnail(path), "") for path in kind.pictures] for kind in kinds]
    return [
        [
            (strip.thumbnail(path), taught.wrong_label(answer))
            for path, answer in zip(kind.pictures, answers, strict=True)
        ]
        for kind, answers in zip(kinds, answers_by_kind(taught, kinds), strict=True)
    ]


def _explained(
    session: Session,
    controls: Controls,
    kinds: tuple[Kind, ...],
    taught: Taught,
    tab: dict[str, Any],
    task: Task,
) -> Iterator[Update]:
    """What the head says of the open picture: a bar and two maps for each kind; a third one, by
    prototypes of the kind, where they were asked for. tab: what else is new.
    """
    if controls.picture is None:
        answer = html.render("fine.html", text=NO_PICTURE)
        yield Update(tab={**tab, "answer": answer, "maps": payload({}), "prototypes": ""})
        return
    rows = maps_by(taught, controls)
    x = next(iter(rows["fused"].panels.values())).x  # type: ignore[union-attr]
    truth = service.truth_of(x)
    full = [kind for kind in kinds if kind.pictures]
    asked, possible = actions.wants_prototypes(session, controls, kinds), bool(taught.answers)
    yield Update(
        tab={
            **tab,
            "answer": html.render("teach-answer.html", rows=x.predictions, name=x.picture.name),
            "maps": payload(rows, truth=truth),
            "prototypes": html.render("teach-prototypes.html") if possible and not asked else "",
        }
    )
    if possible and asked:
        task.start(LABEL)
        rows[PROTOTYPES] = prototype_row(taught, controls, full, task)
        yield Update(tab={"maps": payload(rows, truth=truth)})


# -- The lesson ----------------------------------------------------------------------------------


def _lesson(taken: int, task: Task) -> Iterator[Update]:
    """The lesson up to a step, each shown as soon as it is found."""
    found: list[bias_lesson.Step] = []
    for number in bias_lesson.STEPS[:taken]:
        task.start("Teaching it from drawn scenes …")
        try:
            found.append(bias_lesson.take_step(number, task))
        except CamvizError as error:
            yield Update(tab={"lesson": lesson(found, html.sentence(error))})
            return
    yield Update(tab={"lesson": lesson(found)})


def lesson(found: list[bias_lesson.Step], problem: str = "") -> str:
    """The steps that were taken, with their figures, and the button of the next one."""
    first = [(each.words, _small(each)) for each in bias_lesson.examples_of(1)]
    mended = bias_lesson.examples_of(3)[len(first) :]
    return html.render(
        "teach-lesson.html",
        backbone=bias_lesson.BACKBONE,
        steps=[{"found": step, "tile": map_tile(step.x, *step.x.grid())} for step in found],
        taught=first,
        mended=[(each.words, _small(each)) for each in mended],
        following=len(found) + 1 if len(found) < len(bias_lesson.STEPS) else 0,
        problem=problem,
        words=bias_lesson.IN_WORDS,
    )


def _small(example: bias_lesson.Example) -> str:
    """A scene as a small picture."""
    return html.data_url(html.thumbnail(example.picture.pixels, strip.SIDE), strip.QUALITY)
