"""The engine as the page uses it: explanations of `Controls`, and what stands in their place.

Nothing here imports gradio. Functions raise a `CamvizError` for what a visitor can mend; where one
row of several cannot be had, an `Unavailable` says why.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from camviz.defaults import NEAREST
from camviz.engine.cache import LRUCache
from camviz.engine.explanation import Explanation
from camviz.engine.families import LAYER_CAM, default_method
from camviz.engine.options import AUTO, FitMode
from camviz.engine.plan import find_references
from camviz.engine.views import Progress
from camviz.environment import environment
from camviz.errors import CamvizError, ImageError, MethodError, PrototypeError, StageError
from camviz.examples import example
from camviz.images import Picture, open_picture
from camviz.methods import METHODS
from camviz.network.backbone import Backbone
from camviz.prototypes.prototype import StagePrototypes
from camviz.ui import choices, html, links
from camviz.ui.compute import engine
from camviz.ui.costs import check_layers
from camviz.ui.state import DEFAULT, NOBODY, TOP, BackboneChoice, Controls, Unavailable

# The rows of Look, by the keys that stand in links and files.
LAYERCAM, DENOISED, PROTOTYPES = ROWS = ("layercam", "denoised", "prototypes")
PATIENCE = 0.1  # seconds that the other rows wait for the prototypes
DELETED = (
    "this picture was deleted: uploads are kept here for {:g} minutes at most; please give it again"
)
NO_PROTOTYPES = (
    "Prototypes are of a class, and this network knows none. Its features in colours, and similar "
    "places, need none."
)
_HELD = 256 * 2**20  # bytes of opened pictures
AT_ONCE = 0.5  # seconds: what takes less is not worth a word
COMING = "Looking for what this picture's places have in common …"

Found = Explanation | Unavailable


_pictures: LRUCache[Picture] = LRUCache(_HELD, lambda picture: picture.nbytes)


def picture_at(path: str) -> Picture:
    """The picture of an upload, which gradio names after its content; the last ones are held.

    Raises `ImageError` for what is no picture, and for an upload that was deleted meanwhile.
    """
    held = _pictures.get(path)
    if held is not None:
        return held
    if not Path(path).is_file():
        raise ImageError(DELETED.format(environment().keep_minutes))
    return _pictures.put(path, open_picture(path))


def forget_soon(paths: Iterable[str]) -> None:
    """Hold the pictures of these uploads no longer. Never waits."""
    _pictures.remove_soon(paths)


def load(choice: BackboneChoice) -> Backbone:
    """The network of a choice, loaded. Raises `BackboneError` if it cannot be had."""
    found = choices.lookup(choice.name)
    return engine().backbone(
        found.load, "random" if choice.untrained else "auto", display_name=found.name
    )


def method_of(controls: Controls) -> str:
    """The name of the method that maps are made by: the one chosen, else the network's own."""
    name = controls.options.method
    return default_method(load(controls.backbone), controls.options) if name == AUTO else name


def stages_of(controls: Controls) -> tuple[str, ...]:
    """The names of the stages that are explained: those chosen, else the default ones."""
    return controls.options.stages or tuple(load(controls.backbone).default_stages)


def explain(controls: Controls, *, progress: Progress | None = None, **changes: Any) -> Explanation:
    """The explanation that controls ask for; changes are options and target of `Engine.explain`.

    progress: see there.
    """
    check_layers(controls.options.stages)
    backbone = load(controls.backbone)
    if controls.picture is None:
        raise MethodError("there is no picture yet; give one")
    options = vars(controls.options) | {
        "target": None if controls.target == TOP else backbone.target(controls.target),
        "versus": None if controls.versus == NOBODY else controls.versus,
        "gamma": controls.gamma,
    }
    options |= changes
    if options["versus"] is None:
        del options["gamma"]  # which weighs nothing then
    if options["method"] != AUTO and METHODS[options["method"]].uses_head:
        options["stages"] = None  # CAM exists at one stage only, and the engine knows at which
    return engine().explain(picture_at(controls.picture), backbone, progress=progress, **options)


def classify(controls: Controls, **changes: Any) -> Explanation:
    """The same by the usual method, one look of the network: for what it says of classes.

    The method that was chosen may take many passes, and what is asked here does not depend on it.
    """
    return explain(controls, method=DEFAULT.options.method, views="one", **changes)


def price(controls: Controls, method: str) -> float | None:
    """Seconds that the maps of a method would take for these controls; None: not known yet."""
    return _price(controls, method, controls.options.views)


def _price(controls: Controls, method: str, views: str) -> float | None:
    stages, tap = controls.options.stages, controls.options.tap
    try:
        return engine().price(load(controls.backbone), method, stages, views=views, tap=tap)
    except CamvizError:  # it does not exist there, which it says itself when it is chosen
        return None


def prices(controls: Controls) -> dict[str, str]:
    """By method, how long it takes, in words: those that are not arithmetic on one look."""
    found = {name: price(controls, name) for name, row in METHODS.items() if row.scoring}
    return {name: duration(seconds) for name, seconds in found.items() if duration(seconds)}


def methods_offered(controls: Controls) -> list[tuple[str, str]]:
    """(text, name) of the methods of the network that is set, with how long some take."""
    return choices.method_entries(load(controls.backbone), prices(controls))


def views_offered(controls: Controls) -> list[tuple[str, str]]:
    """(text, name) of the views of a picture, and how much longer maps of several take.

    For the network and the method that are set; how many times as long before any is measured.
    """
    method, one = controls.options.method, _price(controls, controls.options.method, "one")
    entries = []
    for text, kind in choices.views_entries():
        several = _price(controls, method, kind)
        if kind != "one" and one is not None and several is not None:
            more = several - one
            takes = f"{duration(more)} more" if duration(more) else "under a second more"
            text = f"{text.rpartition(choices.SEPARATOR)[0]}{choices.SEPARATOR}{takes}"
        entries.append((text, kind))
    return entries


def duration(seconds: float | None) -> str:
    """ "about 18 s", "about 3 min"; "" for what takes less than `AT_ONCE`, or is not known."""
    if seconds is None or seconds < AT_ONCE:
        return ""
    return f"about {max(seconds, 1):.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"


def versus_text(backbone: Backbone, references: Iterable[int]) -> str:
    """`Controls.versus` for these classes: their labels, a number for one with a comma in it."""
    labels = [backbone.labels[index] for index in references]
    if len(labels) > 1:
        labels = [str(backbone.labels.index(one)) if "," in one else one for one in labels]
    return ",".join(labels) or NOBODY


def versus_in_words(controls: Controls) -> str | None:
    """What the target is compared with, in a sentence; None for nothing."""
    if controls.versus == NOBODY:
        return None
    if controls.versus == NEAREST:
        return "the three that come nearest to it"
    backbone = load(controls.backbone)
    return html.either(
        [backbone.labels[index] for index in find_references(backbone, controls.versus)]
    )


def named_references(controls: Controls, backbone: Backbone) -> Controls:
    """The controls with the classes compared with as the network calls them.

    Raises `TargetError` for one that it does not have.
    """
    if controls.versus in (NOBODY, NEAREST):
        return controls
    found = find_references(backbone, controls.versus)
    return replace(controls, versus=versus_text(backbone, found))


def without_itself(controls: Controls, target: int) -> Controls:
    """The controls without a comparison of a class with itself."""
    if controls.versus in (NOBODY, NEAREST):
        return controls
    backbone = load(controls.backbone)
    found = find_references(backbone, controls.versus)
    if target not in found:
        return controls
    return replace(controls, versus=versus_text(backbone, [i for i in found if i != target]))


def seen_otherwise(x: Explanation) -> str | None:
    """What the network says first of the picture cut to its middle; None if it is the same.

    Of a picture that is cut already: what it says of the whole. None of a network without classes.
    """
    if not x.backbone.has_classes:
        return None
    other: FitMode = "stretch" if x.request.fit == "crop" else "crop"
    try:
        index, label, _ = engine().predict(x.picture, x.backbone, fit=other)[0]
    except CamvizError:  # too long and narrow to be cut
        return None
    return None if index == x.predictions[0][0] else label


def rows(controls: Controls, progress: Progress | None = None) -> dict[str, Found]:
    """The three rows by key; of a network without classes the first alone."""
    return {key: row(controls, key, progress) for key in rows_of(load(controls.backbone))}


def rows_of(backbone: Backbone) -> tuple[str, ...]:
    """The keys of the rows that a network has."""
    return ROWS if backbone.has_classes else (LAYERCAM,)


def row(controls: Controls, key: str, progress: Progress | None = None) -> Found:
    """One of the three rows, or why there is none."""
    if key == DENOISED:
        return denoised_row(controls)
    plain = classify(controls) if key == PROTOTYPES else explain(controls, progress=progress)
    return plain if key == LAYERCAM else prototype_row(controls, plain.target)


def denoised_row(controls: Controls) -> Found:
    """The maps of a truncated gradient, or why there are none."""
    if not load(controls.backbone).has_classes:
        return Unavailable(
            "This network knows no classes, so there is no gradient of one, and no noise in it."
        )
    name = method_of(controls)
    if controls.options.method == AUTO and not METHODS[name].truncates:
        name = LAYER_CAM
    if not METHODS[name].truncates:
        return Unavailable(
            f"{METHODS[name].label} uses no gradient of a layer, so there is no noise of it to "
            "take away."
        )
    try:
        return explain(controls, truncation=controls.truncation, method=name)
    except (MethodError, StageError) as error:
        return Unavailable(html.sentence(error))


def prototype_row(controls: Controls, target: int | None) -> Found:
    """Similarity to the prototypes of a class, or why there is none."""
    if target is None:
        return Unavailable(NO_PROTOTYPES)
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
