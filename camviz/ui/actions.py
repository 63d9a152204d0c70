"""What a click does: it changes what is set, at once. The answer follows by itself.

    choose_class(session, Selection("zebra"))

An action runs no network. It raises a `CamvizError` for what a visitor can mend, which becomes a
notice. Nothing here imports gradio.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from camviz.engine.options import AUTO, MAX_GAMMA
from camviz.errors import CamvizError, ImageError, MethodError
from camviz.examples import example
from camviz.network.hub import needs_download
from camviz.ui import choices, html, links
from camviz.ui.service import load, picture_at, stages_of
from camviz.ui.state import (
    DEFAULT,
    GUESS,
    NOBODY,
    ROUND,
    TOP,
    BackboneChoice,
    Controls,
    Selection,
    Session,
)

NO_LAYER = "No layer is ticked; tick at least one and the maps follow."
MISSING = (
    "This link was made with a picture that its owner had uploaded, and uploads never go into a "
    "link. Everything else is set as it was: give the picture, and you see what they saw. "
    "Uploads of your own that this browser kept are offered beside the examples."
)


def choose_backbone(session: Session, name: str | None) -> None:
    """Request another backbone, with its weights, which may have to be downloaded first.

    The menu sends its value when it is left, too: the name that is set already changes nothing.
    """
    if name != session.controls.backbone.name:
        _choose(session, BackboneChoice(choices.lookup(name).name))


def choose_starter(session: Session, selection: Selection) -> None:
    """One of the backbones that are good to start with was clicked."""
    choose_backbone(session, str(selection.value))


def choose_untrained(session: Session, untrained: Any) -> None:
    """Request random weights, or trained ones again."""
    _choose(session, replace(session.controls.backbone, untrained=bool(untrained)))


def _choose(session: Session, choice: BackboneChoice) -> None:
    """Request a backbone for the visitor: the page replaces it no longer."""
    with session.lock:
        session.chosen.add(choice)
        session.change(replace(session.controls, backbone=choice))


def follow_notice(session: Session, selection: Selection) -> None:
    """A button of a notice: "backbone:NAME", "raw:NAME" (untrained), or "retry:"."""
    kind, _, name = str(selection.value).partition(":")
    if kind == "retry":
        session.touch()
        return
    choice = BackboneChoice(choices.lookup(name).name, untrained=kind == "raw")
    session.mirror.clear()
    with session.lock:
        if choice == session.linked.backbone:
            session.change(_with_names(session.controls, session.linked))
        _choose(session, choice)


def _with_names(controls: Controls, linked: Controls) -> Controls:
    """The controls with the class, rival and layers of a link, as far as none is set.

    Those that another network lacks were left out while that one stood in.
    """
    if controls.target == TOP:
        controls = replace(controls, target=linked.target)
    if controls.versus == NOBODY:
        controls = replace(controls, versus=linked.versus)
    if controls.options.stages is None:
        controls = controls.with_options(stages=linked.options.stages)
    return controls


def choose_class(session: Session, label: str | None) -> None:
    """The class that is explained; `TOP` for the top prediction."""
    session.change(replace(session.controls, target=str(label or TOP)))


def choose_rival(session: Session, label: str | None) -> None:
    """What the target is compared with: a class, the nearest ones, or `NOBODY`."""
    session.change(replace(session.controls, versus=str(label or NOBODY)))


def set_gamma(session: Session, gamma: Any) -> None:
    """How much the classes that the target is compared with count."""
    gamma = _number("gamma", gamma)
    if not 0 < gamma <= MAX_GAMMA:
        raise MethodError(f"gamma is a number above 0, at most {MAX_GAMMA:g}, not {gamma:g}")
    session.change(replace(session.controls, gamma=gamma))


def click_bar(session: Session, selection: Selection) -> None:
    """A class was clicked, or the button beside it, which compares with it or no longer."""
    label = str(selection.value)
    if not selection.selected:
        choose_class(session, label)
    else:
        choose_rival(session, NOBODY if session.controls.versus == label else label)


def set_truncation(session: Session, level: Any) -> None:
    """How much noise is taken out of the denoised row."""
    level = _number("truncation", level)
    if not 0 <= level <= links.MAX_TRUNCATION:
        raise MethodError(f"truncation is a number from 0 to {links.MAX_TRUNCATION}, not {level:g}")
    session.change(replace(session.controls, truncation=level))


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise MethodError(f"{name} is a number, not '{value}'") from None


def set_automatic(session: Session, values: Sequence[Any]) -> None:
    """Whether the level of the denoised row is chosen for the picture; else the slider's stays.

    values: whether it is, and what the slider stands at.
    """
    chosen, level = values
    if chosen:
        session.change(replace(session.controls, truncation=AUTO))
    else:
        set_truncation(session, level)


def set_option(name: str) -> Any:
    """An action that sets the option of that name. Raises `MethodError` for what is no choice."""

    def set_it(session: Session, value: Any) -> None:
        session.change(session.controls.with_options(**{name: value}))

    return set_it


def choose_stages(session: Session, ticked: Sequence[str] | None) -> None:
    """Stages were ticked; the modules that were named stay."""
    _choose_layers(session, (*(ticked or ()), *_layers(session)[1]))


def choose_modules(session: Session, named: Sequence[str] | None) -> None:
    """Modules were named; the stages that were ticked stay."""
    _choose_layers(session, (*_layers(session)[0], *(named or ())))


def _layers(session: Session) -> tuple[list[str], list[str]]:
    """The stages that are ticked and the modules that are named."""
    backbone = session.loaded if session.loaded.name else session.controls.backbone
    stages = [stage.name for stage in load(backbone).stages]
    chosen = stages_of(replace(session.controls, backbone=backbone))
    return [n for n in chosen if n in stages], [n for n in chosen if n not in stages]


def _choose_layers(session: Session, names: Sequence[str]) -> None:
    if not names:
        session.mirror.pop("stages", None)
        session.notify(html.notice(NO_LAYER))
        return
    usual = session.loaded.name and set(names) == set(load(session.loaded).default_stages)
    session.change(session.controls.with_options(stages=None if usual else tuple(names)))


def choose_picture(session: Session, path: str | None, keep_class: bool = False) -> None:
    """Another picture: its top prediction is explained, unless the class is kept."""
    controls = session.controls
    if path == controls.picture or _same_picture(path, controls.picture):
        return
    if not keep_class:
        controls = replace(controls, target=TOP, versus=NOBODY)
    session.change(controls.with_picture(path))


def remove_picture(session: Session, _: Any = None) -> None:
    """The picture is taken away; the browser shows none already.

    It is not told so once more: that could come behind the next upload, and would take it away.
    """
    session.mirror["picture"] = None
    choose_picture(session, None)


def _same_picture(one: str | None, other: str | None) -> bool:
    try:
        return bool(one and other) and picture_at(str(one)).digest == picture_at(str(other)).digest
    except ImageError:
        return False


def choose_example(session: Session, selection: Selection) -> None:
    """An example was clicked."""
    choose_picture(session, str(example(str(selection.value)).path))


def open_link(session: Session, query: dict[str, str], picture: str | None) -> None:
    """Set everything as a link says. picture: the one that the page shows already.

    What cannot be used is noted in `session.problems`; a backbone that is not on this machine is
    replaced by the default one, with a button that downloads it.
    """
    link, problems = links.read(query)
    usual = choices.default_choice()
    if link.example is not None and link.example not in (links.UPLOAD, links.NO_PICTURE):
        usual = choices.suitable_backbone(example(link.example), usual)
        picture = str(example(link.example).path)
    elif link.example is not None:
        picture = None
        if link.example == links.UPLOAD:
            session.notify(html.notice(MISSING))
    controls = replace(DEFAULT, picture=picture)
    refused = link.backbone is None and "backbone" in query
    choice = BackboneChoice(link.backbone or usual, bool(link.untrained) and not refused)
    if link.backbone or choice.untrained:
        session.chosen.add(choice)
    remedies = {}
    if _is_remote(choice) and usual:
        wanted = choices.lookup(choice.name)
        problems = [*problems, f"{wanted.name} is not on this machine, so {usual} is used"]
        remedies[f"backbone:{wanted.name}"] = f"Download {wanted.name}{wanted.megabytes}"
        linked = _as_linked(controls, choice, link, problems)
        controls = replace(linked.with_options(stages=None), backbone=BackboneChoice(usual))
    else:
        controls = linked = _as_linked(controls, choice, link, problems)
    with session.lock:
        session.opened = True
        session.linked = linked
        session.problems, session.remedies = problems, remedies
        if link.round is not None:
            session.set(GUESS, ROUND, link.round)
        session.change(controls)
        session.touch()


def _as_linked(
    controls: Controls, choice: BackboneChoice, link: links.Link, problems: list[str]
) -> Controls:
    controls = replace(
        controls,
        backbone=choice,
        target=link.target or TOP,
        versus=link.versus or NOBODY,
        cover=link.cover,
        gamma=controls.gamma if link.gamma is None else link.gamma,
        truncation=controls.truncation if link.truncation is None else link.truncation,
    )
    for name, value in link.options.items():
        try:
            controls = controls.with_options(**{name: value})
        except CamvizError as error:
            problems.append(str(error))
    return controls


def _is_remote(choice: BackboneChoice) -> bool:
    """Whether the weights of a choice would have to be downloaded."""
    if choice.untrained or choice.name is None:
        return False
    found = choices.lookup(choice.name)
    return found.source == "hub" and needs_download(found.load)
