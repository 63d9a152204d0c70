"""The engine as the page uses it: explanations of `Controls`, and what stands in their place.

Nothing here imports gradio. Functions raise a `CamvizError` for what a visitor can mend; where one
row of several cannot be had, an `Unavailable` says why.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from camviz.engine.explanation import Explanation
from camviz.engine.families import LAYER_CAM, default_method
from camviz.engine.options import AUTO, FitMode
from camviz.engine.views import Progress
from camviz.errors import CamvizError, MethodError, PrototypeError, StageError
from camviz.examples import example
from camviz.images import Picture, open_picture
from camviz.methods import METHODS
from camviz.network.backbone import Backbone
from camviz.prototypes.bank import StagePrototypes
from camviz.ui import choices, html, links
from camviz.ui.compute import engine
from camviz.ui.state import NOBODY, TOP, BackboneChoice, Controls, Unavailable

# The rows of Look, by the keys that stand in links and files.
LAYERCAM, DENOISED, PROTOTYPES = ROWS = ("layercam", "denoised", "prototypes")
PATIENCE = 0.1  # seconds that the other rows wait for the prototypes
COMING = "Looking for what this picture's places have in common …"

Found = Explanation | Unavailable


@lru_cache(maxsize=4)
def picture_at(path: str) -> Picture:
    """The picture of an upload; gradio names an upload after its content."""
    return open_picture(path)


def load(choice: BackboneChoice) -> Backbone:
    """The network of a choice, loaded. Raises `BackboneError` if it cannot be had."""
    found = choices.lookup(choice.name)
    return engine().backbone(
        found.load, "random" if choice.untrained else "auto", display_name=found.name
    )


def stages_of(controls: Controls) -> tuple[str, ...]:
    """The names of the stages that are explained: those chosen, else the default ones."""
    return controls.options.stages or tuple(load(controls.backbone).default_stages)


def explain(controls: Controls, *, progress: Progress | None = None, **changes: Any) -> Explanation:
    """The explanation that controls ask for; changes are options and target of `Engine.explain`.

    progress: see there.
    """
    backbone = load(controls.backbone)
    if controls.picture is None:
        raise MethodError("there is no picture yet; give one")
    options = vars(controls.options) | {
        "target": None if controls.target == TOP else backbone.target(controls.target),
        "versus": None if controls.versus == NOBODY else backbone.target(controls.versus),
    }
    options |= changes
    if options["method"] != AUTO and METHODS[options["method"]].uses_head:
        options["stages"] = None  # CAM exists at one stage only, and the engine knows at which
    return engine().explain(picture_at(controls.picture), backbone, progress=progress, **options)


def seen_otherwise(x: Explanation) -> str | None:
    """What the network says first of the picture cut to its middle; None if it is the same.

    Of a picture that is cut already: what it says of the whole.
    """
    other: FitMode = "stretch" if x.request.fit == "crop" else "crop"
    try:
        index, label, _ = engine().predict(x.picture, x.backbone, fit=other)[0]
    except CamvizError:  # too long and narrow to be cut
        return None
    return None if index == x.predictions[0][0] else label


def rows(controls: Controls) -> dict[str, Found]:
    """The three rows by key."""
    return {key: row(controls, key) for key in ROWS}


def row(controls: Controls, key: str) -> Found:
    """One of the three rows, or why there is none."""
    if key == DENOISED:
        return denoised_row(controls)
    plain = explain(controls)
    return plain if key == LAYERCAM else prototype_row(controls, plain.target)


def denoised_row(controls: Controls) -> Found:
    """The maps of a truncated gradient, or why there are none."""
    name = controls.options.method
    if name == AUTO:
        name = default_method(load(controls.backbone), controls.options)
        name = name if METHODS[name].truncates else LAYER_CAM
    if not METHODS[name].truncates:
        return Unavailable(
            f"{METHODS[name].label} uses no gradient of a layer, so there is no noise of it to "
            "take away."
        )
    try:
        return explain(controls, truncation=controls.truncation, method=name)
    except (MethodError, StageError) as error:
        return Unavailable(html.sentence(error))


def prototype_row(controls: Controls, target: int) -> Found:
    """Similarity to the prototypes of a class, or why there is none."""
    try:
        return prototype_map(controls, target)
    except (PrototypeError, MethodError, StageError) as error:
        return Unavailable(html.sentence(error))


def prototype_map(controls: Controls, target: int, **changes: Any) -> Explanation:
    """Where the picture is similar to prototypes of a class: the visitor's own, else those at hand.

    Those at hand are the engine's choice for this picture and these stages; what the visitor kept,
    dropped or named is carried over to whichever of them are the very same. Of a network's default
    stages the engine takes those that are coarse enough; of stages chosen by hand, every one.
    """
    changes = {
        "target": target,
        "versus": None,
        "method": "lpcam",
        "score": "logit",
        **changes,
    }
    given = controls.bank
    if given is not None and given.target != target:
        given = None
    if given is not None and given.source == "gallery":
        return explain(controls, **changes, prototypes=given)
    x = explain(controls, **changes)
    if given is None or x.bank is None:
        return x
    ready = x.bank.stages
    edited = {name: _as_edited(stage, given.stages.get(name)) for name, stage in ready.items()}
    if all(edited[name] is ready[name] for name in edited):
        return x
    return explain(controls, **changes, prototypes=replace(x.bank, stages=edited))


def _as_edited(stage: StagePrototypes, given: StagePrototypes | None) -> StagePrototypes:
    """A stage as the visitor left it, if the vectors are those that were edited."""
    same = given is not None and given.vectors.shape == stage.vectors.shape
    if given is None or not same or not bool((given.vectors == stage.vectors).all()):
        return stage
    return replace(stage, prototypes=given.prototypes)


@lru_cache(maxsize=1)
def background() -> ThreadPoolExecutor:
    """Threads that make prototypes while the other rows are already shown."""
    return ThreadPoolExecutor(4, thread_name_prefix="prototypes")


def truth_of(x: Explanation) -> dict[str, np.ndarray] | None:
    """label -> mask of everything in a drawn example, the explained class first."""
    name = links.example_of(x.picture.digest)
    if name is None:
        return None
    objects = sorted(example(name).truth, key=lambda thing: thing.label != x.label)
    return {thing.label: thing.mask for thing in objects} or None


def link_of(controls: Controls, x: Explanation | None = None) -> dict[str, str]:
    """The query parameters that reopen this view."""
    picture = links.NO_PICTURE
    if x is not None:
        picture = links.example_of(x.picture.digest) or links.UPLOAD
    return links.write(controls, picture)
