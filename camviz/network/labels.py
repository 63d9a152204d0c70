"""The names of a network's classes."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from timm.data import ImageNetInfo, infer_imagenet_subset
from torch import nn

from camviz.errors import BackboneError
from camviz.network.names import pretrained_config

# ImageNet's classes are WordNet's synsets, and their descriptions synonyms between commas.
_SYNSET = re.compile(r"n\d{8}")


@cache
def _imagenet(subset: str = "imagenet-1k") -> ImageNetInfo:
    """The classes of a set; timm reads its files anew for each one that is made."""
    return ImageNetInfo(subset)


def class_names(
    model: nn.Module,
    config: dict[str, Any],
    classes: int,
    given: Sequence[str] | None,
    backbone: str,
) -> tuple[tuple[str, ...], ...]:
    """For every class its names: the label first, then synonyms.

    classes: how many logits the network gives. Labels that were given come before those of the
    model's own configuration, and these before ImageNet's. Those of a configuration count only if
    there is one for each logit and the head is of timm's making; ImageNet's only if the
    configuration is one of timm's own, with as many classes. backbone: what the error calls it.
    Raises `BackboneError` for too few or too many; a single logit may have two: of its absence, and
    of its presence.
    """
    if given is not None:
        if len(given) != classes and (classes, len(given)) != (1, 2):
            raise BackboneError(
                f"{backbone} has {classes} classes, but {len(given)} labels were given"
            )
        return tuple((text.strip(),) for text in given)
    numbered = tuple((f"class {index}",) for index in range(classes))
    if not has_own_head(model, config):
        return numbered
    own = config.get("label_names") or ()
    if len(own) == classes:
        described = config.get("label_descriptions") or {}
        texts = [(str(label), str(described.get(label, label))) for label in own]
        return tuple(
            _synonyms(text) if _SYNSET.fullmatch(label) else (text,) for label, text in texts
        )
    subset = infer_imagenet_subset({**config, "num_classes": classes})
    if own or subset is None or not is_timms(config, classes):
        return numbered
    info = _imagenet(subset)
    return tuple(_synonyms(info.index_to_description(index)) for index in range(classes))


def is_class_count(count: int) -> bool:
    """Whether one of timm's sets of labels may have so many names.

    ImageNet has 1,000 and all others more than 10,000. The widths between are those of CLIP's
    embeddings; 0 stands for a network without a classifier.
    """
    return count == 1000 or count > 10_000


def is_timms(config: dict[str, Any], classes: int) -> bool:
    """Whether a configuration is one that timm has, of a network with so many classes.

    Of timm's, all that have as many classes as ImageNet are of ImageNet.
    """
    tag = str(config.get("tag") or "")
    name = str(config.get("architecture") or "") + (f".{tag}" if tag else "")
    try:
        known = pretrained_config(name)
    except RuntimeError:  # the architecture, but not the tag
        return False
    stated = known is not None and (known.tag or "") == tag
    return stated and known.num_classes == config.get("num_classes") == classes


def has_own_head(model: nn.Module, config: dict[str, Any]) -> bool:
    """Whether the classifier is where the configuration has it, and a layer as timm makes it.

    Another module in its place (a `Sequential` of several layers) is of somebody's own training.
    """
    stated = config.get("classifier")
    for place in (stated,) if isinstance(stated, str) else (stated or ())[:1]:
        try:
            head = model.get_submodule(place)
        except AttributeError:
            return False
        home = type(head).__module__.partition(".")[0]
        return isinstance(head, (nn.Linear, nn.modules.conv._ConvNd)) or home == "timm"
    return True


def _synonyms(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def unique_labels(names: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """One label a class: its first name, all its names if that is taken, at last its index."""
    first = Counter(synonyms[0] for synonyms in names)
    labels = [synonyms[0] if first[synonyms[0]] == 1 else ", ".join(synonyms) for synonyms in names]
    taken = Counter(labels)
    return tuple(
        label if taken[label] == 1 else f"{label} ({index})" for index, label in enumerate(labels)
    )


def imagenet_class(synset: str) -> tuple[int, str] | None:
    """The index among ImageNet's 1,000 classes, and the first name, of a WordNet id ("n01440764").

    None if it is none of them.
    """
    info = _imagenet()
    try:
        index = info.label_names().index(synset)
    except ValueError:
        return None
    return index, _synonyms(info.index_to_description(index))[0]
