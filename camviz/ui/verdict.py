"""What the page and the report say about an explanation, above everything else."""

from camviz.engine.explanation import Explanation
from camviz.examples import example
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.ui import html, links
from camviz.ui.choices import DRAWN
from camviz.ui.layers import map_in_words


def heading(x: Explanation, otherwise: str | None = None) -> str:
    """The class explained with its probability, warnings, and how the maps were computed.

    otherwise: the top class of the picture brought to the network's size in the other way, by
    `service.seen_otherwise`, where it is another one.
    """
    method, fusion = METHODS[x.request.method], FUSIONS[x.request.fuse]
    references = x.reference_labels
    return html.render(
        "verdict.html",
        label=x.label,
        probability=next((p for index, _, p in x.predictions if index == x.target), None),
        rival=html.either(references) if references else None,
        output=x.backbone.output,
        top=x.target in [index for index, *_ in x.predictions[:1]],
        story=_story(x),
        otherwise=otherwise,
        cut=x.request.fit == "crop",
        warnings=warnings(x),
        method=method,
        fusion=fusion,
        alone=x.request.fuse if x.request.fuse in ("deepest", "shallowest") else None,
        papers=method.label in fusion.paper,
        stages=x.stages,
        layer=map_in_words(x, x.stages[0]),
        backbone=x.backbone.display_name,
    )


def warnings(x: Explanation) -> list[str]:
    """What to know before anything else: no training, or a picture of something unknown."""
    found = []
    if not x.backbone.weights.trained:
        found.append("untrained: maps mean nothing")
    elif not x.backbone.has_classes:
        pass  # it says nothing that could be doubted
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
    """What to look for in an example; "" for any other picture.

    Stories are of classes: "" of a network without them, too.
    """
    name = links.example_of(x.picture.digest)
    return "" if name is None or not x.backbone.has_classes else example(name).story


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
