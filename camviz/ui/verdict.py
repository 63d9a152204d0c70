"""What the page and the report say about an explanation, above everything else."""

from camviz.engine.explanation import Explanation
from camviz.examples import example
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.ui import html, links
from camviz.ui.choices import DRAWN
from camviz.ui.layers import layer_in_words


def heading(x: Explanation, otherwise: str | None = None) -> str:
    """The class explained with its probability, warnings, and how the maps were computed.

    otherwise: the top class of the picture brought to the network's size in the other way, by
    `service.seen_otherwise`, where it is another one.
    """
    method, fusion = METHODS[x.request.method], FUSIONS[x.request.fuse]
    rival = x.request.versus
    return html.render(
        "verdict.html",
        label=x.label,
        probability=next(p for index, _, p in x.predictions if index == x.target),
        rival=None if rival is None else x.backbone.labels[rival],
        output=x.backbone.output,
        top=x.target == x.predictions[0][0],
        story=_story(x),
        otherwise=otherwise,
        cut=x.request.fit == "crop",
        warnings=warnings(x),
        method=method,
        fusion=fusion,
        papers=method.label in fusion.paper,
        stages=x.stages,
        layer=layer_in_words(x.backbone, x.stages[0], x.notes[x.stages[0]].grid),
        backbone=x.backbone.display_name,
    )


def warnings(x: Explanation) -> list[str]:
    """What to know before anything else: no training, or a picture of something unknown."""
    found = []
    if not x.backbone.weights.trained:
        found.append("untrained: maps mean nothing")
    elif x.backbone.name.startswith(DRAWN) and not _is_drawn(x):
        found.append("made for drawn scenes: of any other picture it knows little")
    elif unknown := _unknown_things(x):
        found.append(f"it has no class for what is drawn here: {', '.join(unknown)}")
    elif not x.is_confident:
        found.append(f"not sure: this may be none of the {len(x.backbone.labels)} things it knows")
    if not x.fit.shows_all:
        found.append("the hatched part was not shown to the network")
    return found


def _story(x: Explanation) -> str:
    """What to look for in an example; "" for any other picture."""
    name = links.example_of(x.picture.digest)
    return "" if name is None else example(name).story


def _unknown_things(x: Explanation) -> list[str]:
    """What a drawn example shows, if the network knows nothing of it by name."""
    name = links.example_of(x.picture.digest)
    things = [thing.label for thing in example(name).truth] if name is not None else []
    known = {word.casefold() for names in x.backbone.synonyms for word in names}
    known |= {label.casefold() for label in x.backbone.labels}
    return [] if any(thing.casefold() in known for thing in things) else things


def _is_drawn(x: Explanation) -> bool:
    """Whether the picture is one of the examples that were drawn."""
    name = links.example_of(x.picture.digest)
    return name is not None and example(name).backbones == DRAWN
