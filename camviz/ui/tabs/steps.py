"""How it works: what was computed for this picture, told step by step, in up to four stories.

All steps are sent at once, so that walking through them asks nothing of the server. The story, the
step and the stage stand in the address, which the browser alone writes and reads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from camviz.engine.explanation import Explanation
from camviz.engine.families import default_method
from camviz.engine.head_steps import METHODS_OF_HEADS
from camviz.engine.plan import exists
from camviz.engine.truncation import TruncationChoice
from camviz.errors import CamvizError
from camviz.methods import METHODS
from camviz.prototypes.bank import shipped_bank
from camviz.ui import html, on_request, service
from camviz.ui.learn.stories import attending, common, method, noise, whole
from camviz.ui.state import Controls, Selection, Session, Task, Update
from camviz.ui.tabs.base import Events
from camviz.ui.viewer.stories import Maps, Stories, Story, StoryWalk

ID, GROUP, TITLE = "steps", "Learn", "How it works"
KEY = "h"  # the digits are taken
LABEL = "Laying it open …"
READS_COVER = False
NO_PICTURE = "Give a picture, and what the network makes of it is shown here, step by step."
NO_CLASSES = (
    "This network knows no classes, so there is no score whose gradient could be followed; choose "
    "one that does under Backbone, scenes-resnet for one."
)
ASK = "Look for prototypes"
NOT_YET = (
    "For this network they are looked for in the picture itself, mirrored and enlarged, which "
    "takes some more passes of the network."
)


@dataclass(frozen=True)
class Parts:
    """Its components."""

    heading: Any
    walk: Any


def build() -> Parts:
    return Parts(
        gr.HTML(elem_id="steps-heading", elem_classes="cv-lead"),
        StoryWalk(elem_id="steps-walk"),
    )


def wire(parts: Parts, events: Events) -> None:
    """The button that begins what takes passes of the network."""
    events.on_change(parts.walk.select, begin)


def begin(session: Session, selection: Selection) -> None:
    """Prototypes are asked for, for what is set now."""
    on_request.ask_for(session, ID)


def show(session: Session, controls: Controls, task: Task) -> Iterator[Update]:
    """All stories of the picture, or why there are none."""
    if controls.picture is None or controls.backbone.name is None:
        yield Update(tab=_without(NO_PICTURE))
        return
    x = service.explain(controls, views="one", progress=task.report)
    if not x.backbone.has_classes:
        yield Update(tab=_without(NO_CLASSES))
        return
    y = _stepwise(controls, x)
    heading = html.render(
        "steps.html",
        label=x.label,
        backbone=x.backbone.display_name,
        method=METHODS[y.request.method].label,
        untrained=not x.backbone.weights.trained,
        averaged=controls.options.views != "one",
    )
    yield Update(tab={"heading": heading, "walk": stories_shown(session, controls, x, y).to_json()})


def _without(reason: str) -> dict[str, Any]:
    return {"heading": html.render("steps.html", label="", reason=reason), "walk": None}


def _stepwise(controls: Controls, x: Explanation) -> Explanation:
    """The explanation whose steps are shown: that of the method shown, or of LayerCAM."""
    if method.has_steps(x.request.method):
        return x
    return service.explain(controls, method=method.INSTEAD, views="one", target=x.target)


def stories_shown(session: Session, controls: Controls, x: Explanation, y: Explanation) -> Stories:
    """The stories that there are for a picture and its network.

    x: by the method shown; y: the one whose steps are shown.
    """
    maps = method.maps_for(y)
    stories = [method.story(y, maps, x.request.method), _noise(controls, y, maps)]
    stories.append(_whole(session, controls, x, y, maps))
    attended = _attended(controls, x)
    if attended is not None:
        stories.append(attending.story(attended, maps))
    return common.stories_of(y, maps, stories)


def _noise(controls: Controls, y: Explanation, maps: Maps) -> Story:
    if not METHODS[y.request.method].truncates:
        y = service.explain(controls, method=method.INSTEAD, views="one", target=y.target)
    return noise.story(y, _choice(controls, y), maps)


def _choice(controls: Controls, y: Explanation) -> TruncationChoice | None:
    """Whether camviz would truncate these maps."""
    x = service.explain(
        controls,
        method=y.request.method,
        views="one",
        target=y.target,
        truncation="auto",
    )
    return x.truncation_choice


def _whole(
    session: Session, controls: Controls, x: Explanation, y: Explanation, maps: Maps
) -> Story:
    assert x.target is not None
    row, given = METHODS[x.request.method], controls.bank
    of_class = row.class_specific and not row.uses_prototypes  # else its map is no class map
    shown = x if of_class else y
    ready = (
        row.uses_prototypes
        or shipped_bank(x.backbone, x.target) is not None
        or (given is not None and given.source == "gallery" and given.target == x.target)
    )
    if on_request.must_wait(session, ID, controls, 0.0 if ready else None):
        return whole.story(shown, NOT_YET, ASK, maps)
    found: Explanation | str
    try:
        found = service.prototype_map(controls, x.target, views="one")
    except CamvizError as error:
        found = html.sentence(error)
    return whole.story(shown, found, "", maps)


def _attended(controls: Controls, x: Explanation) -> Explanation | None:
    """The explanation by the attention of the network's heads; None if it has none."""
    if x.request.method in METHODS_OF_HEADS:
        return x
    if not exists(METHODS["gae"], x.backbone):
        return None
    usual = default_method(x.backbone, controls.options)
    name = usual if usual in METHODS_OF_HEADS else "gae"
    try:
        return service.explain(controls, method=name, views="one", target=x.target, stages=None)
    except CamvizError:  # more attention than fits into memory, or a score that it does not explain
        return None
