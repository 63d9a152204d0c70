"""Answering: from what is set to what the page shows.

`answer` settles what cannot be had, then yields the parts around the tabs, the maps of Look and the
tab that is open, each only where it is not the answer already. Nothing here imports gradio, and no
tab is named.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from camviz.engine.options import AUTO
from camviz.errors import BackboneError, CamvizError, ImageError, StageError
from camviz.examples import example
from camviz.methods import METHODS
from camviz.network.backbone import Backbone
from camviz.network.hub import download, needs_download
from camviz.turns import Stopped
from camviz.ui import choices, frame, html, links, strip
from camviz.ui.service import (
    classify,
    duration,
    explain,
    load,
    named_references,
    picture_at,
    price,
    without_itself,
)
from camviz.ui.state import (
    COMPARE,
    DEFAULT,
    NOBODY,
    TOP,
    BackboneChoice,
    Controls,
    Session,
    Task,
    Update,
    merged,
)
from camviz.ui.tabs.base import Tab, controls_for

RESTARTED = (
    "The server was started anew since this page was opened, and what was uploaded is gone. "
    "Reload the page to go on."
)


def answer(session: Session, task: Task, tabs: Sequence[Tab]) -> Iterator[Update]:
    """Everything on the page that is not the answer to what is set.

    1. settle: load the backbone, leave out what it cannot do  2. the parts around the tabs
    3. Look  4. the strip of pictures  5. the tab that is open
    """
    if not session.opened:
        yield Update({"notice": html.notice(RESTARTED, {"reload:": "Reload"})})
        return
    version = session.version
    notice, session.notice = session.notice, ""
    try:
        task.start("Looking at the picture …")
        controls, gone = strip.drop_deleted(session.controls)
        controls, complaint = settle(session, controls, task)
        with session.lock:
            if session.version != version:
                raise Stopped
            session.controls, session.loaded = controls, controls.backbone
        pending = Update({"notice": notice + gone + complaint})
        yield from _around_and_tabs(session, controls, task, tabs, pending)
    except CamvizError:
        with session.lock:
            session.notice = notice + session.notice
        raise
    with session.lock:
        if session.version == version:
            session.answered = version


def _around_and_tabs(
    session: Session,
    controls: Controls,
    task: Task,
    tabs: Sequence[Tab],
    pending: Update,
) -> Iterator[Update]:
    """The updates of `answer` behind its first step; pending goes out with the first of them."""
    task.label = _label_of(controls) or task.label
    x = None if controls.picture is None else explain(controls, progress=task.report)
    with session.lock:  # what a control was set to behind this would be taken for a difference
        task.check()
        pending = merged(pending, frame.update(session, controls, x))
    session.picture = None if x is None else x.picture.digest
    opened = [tab for tab in tabs if tab.ID in (COMPARE, session.tab)]
    for tab in sorted(opened, key=lambda tab: tab.ID != COMPARE):
        own = controls_for(tab, controls)
        key = (own, dict(session.settings.get(tab.ID, {})))
        if session.answers.get(tab.ID) != key:
            session.answers.pop(tab.ID, None)
            if tab.ID != COMPARE:
                task.start(tab.LABEL)
            for update in tab.show(session, own, task):
                task.check()
                if tab.ID == COMPARE:
                    session.shown, task.outdated = controls.picture, False
                    session.method = controls.options.method
                yield merged(pending, replace(update, of=tab.ID))
                pending = Update()
            session.answers[tab.ID] = key
        if tab.ID == COMPARE:  # an answer to the same controls may have been given up in the strip
            yield from frame.strip_updates(session, controls, task)
    if pending.frame:
        yield pending


def _label_of(controls: Controls) -> str:
    """What the method takes that was chosen; "" for no time worth a word."""
    name = controls.options.method
    if controls.picture is None or name == AUTO:
        return ""
    seconds = price(controls, name) if METHODS[name].scoring is not None else None
    return f"{METHODS[name].label} takes {duration(seconds)}" if duration(seconds) else ""


# -- What can be had -----------------------------------------------------------------------------


def settle(session: Session, controls: Controls, task: Task) -> tuple[Controls, str]:
    """The controls with a loaded backbone and without what it cannot do, and a notice about it.

    Raises `BackboneError` if the backbone cannot be had, `ImageError` if the picture cannot be
    opened.
    """
    wanted = controls.backbone
    if wanted.name is None:
        wanted = BackboneChoice(choices.default_choice())
    replaced = ""
    if wanted == session.loaded and wanted not in session.chosen:
        wanted, replaced = _suitable(session, controls, wanted)
    session.attempted = controls.backbone
    _fetch(wanted, task)
    backbone = load(wanted)
    controls = replace(controls, backbone=wanted)
    from_link = session.loaded.name is None
    complaints = list(session.problems) if from_link else []
    if wanted != session.loaded:
        controls = replace(controls, bank=None)  # prototypes are features of one network
        if not from_link:
            controls = controls.with_options(stages=None)
    controls, unknown = _known_names(controls, backbone)
    complaints += unknown if from_link else []
    if wanted != session.loaded:
        controls, missing = _answerable(controls, task)
    else:
        missing = None
    controls = _without_itself(controls)
    if not from_link:
        left_out = html.notice(f"{html.sentence(missing)} It was left out.") if missing else ""
        return controls, replaced + left_out
    if missing is not None:
        complaints.append(str(missing))
    session.problems = []
    if not complaints:
        return controls, ""
    text = f"Part of the link could not be used and was left out: {'; '.join(complaints)}."
    return controls, html.notice(text, session.remedies)


def _suitable(
    session: Session, controls: Controls, wanted: BackboneChoice
) -> tuple[BackboneChoice, str]:
    """The backbone in use, or one that may know what a new picture shows, and a notice about it.

    Only for a backbone that the page took by itself: what a visitor chose stays.
    """
    if controls.picture is None:
        return wanted, ""
    digest = picture_at(controls.picture).digest
    if digest == session.picture:
        return wanted, ""
    name = links.example_of(digest)
    if name is not None:
        suitable = choices.suitable_backbone(example(name), wanted.name)
    else:
        drawn = (wanted.name or "").startswith(choices.DRAWN)
        suitable = choices.photograph_backbone() if drawn else wanted.name
    if suitable in (None, wanted.name):
        return wanted, ""
    made = "made" if (wanted.name or "").startswith(choices.DRAWN) else "not made"
    text = f"For this picture {suitable} is used: {wanted.name} was {made} for drawn scenes."
    back = f"{'raw' if wanted.untrained else 'backbone'}:{wanted.name}"
    return BackboneChoice(suitable), html.notice(text, {back: f"Back to {wanted.name}"})


def _fetch(wanted: BackboneChoice, task: Task) -> None:
    """Download the weights of a backbone, if they are only on the hub."""
    choice = choices.lookup(wanted.name)
    if choice.source != "hub" or wanted.untrained or not needs_download(choice.load):
        return
    task.start(f"Asking the model hub for {choice.name} …")

    def report(done: int, total: int) -> None:
        task.label = f"Downloading {choice.name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
        task.report(done, total)

    download(choice.load, report)
    task.start("Looking at the picture …")


def _known_names(controls: Controls, backbone: Backbone) -> tuple[Controls, list[str]]:
    """The controls without classes and stages that the network lacks, and which those are."""
    unknown = []
    target = TOP
    try:
        if controls.target != TOP:
            target = backbone.labels[backbone.target(controls.target)]
    except CamvizError as error:
        unknown.append(str(error))
    try:
        controls = named_references(controls, backbone)
    except CamvizError as error:
        unknown.append(str(error))
        controls = replace(controls, versus=NOBODY)
    controls = replace(controls, target=target)
    if controls.options.stages is None:
        return controls, unknown
    stages = []
    for name in controls.options.stages:
        try:
            stages.append(backbone.stage(name).name)
        except StageError:
            unknown.append(f"stages={name} ({backbone.display_name} has no such layer)")
    usual = tuple(stages) in ((), tuple(backbone.default_stages))
    return controls.with_options(stages=None if usual else tuple(stages)), unknown


def _answerable(controls: Controls, task: Task) -> tuple[Controls, CamvizError | None]:
    """The controls without a rival or a method that the network cannot do, and why that went."""
    usual = DEFAULT.options.method
    if controls.picture is None or (controls.versus, controls.options.method) == (NOBODY, usual):
        return controls, None
    first = None
    alone, plain = replace(controls, versus=NOBODY), controls.with_options(method=usual)
    for tried in (controls, alone, plain, alone.with_options(method=usual)):
        try:
            explain(tried, progress=task.report)
            return tried, first
        except (ImageError, BackboneError):
            raise
        except CamvizError as error:
            first = first or error
    assert first is not None
    raise first


def _without_itself(controls: Controls) -> Controls:
    """The controls without a rival that is the explained class itself."""
    if controls.versus == NOBODY or controls.picture is None:
        return controls
    if controls.target == TOP:
        target = classify(replace(controls, versus=NOBODY)).target
        return controls if target is None else without_itself(controls, target)
    return without_itself(controls, load(controls.backbone).target(controls.target))
