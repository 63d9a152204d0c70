"""The names of a network's classes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from timm.data import ImageNetInfo, infer_imagenet_subset
from torch import nn

from camviz.errors import BackboneError


def class_names(
    model: nn.Module,
    config: dict[str, Any],
    classes: int,
    given: Sequence[str] | None,
    backbone: str,
) -> tuple[tuple[str, ...], ...]:
    """For every class its names: the label first, then synonyms.

    Labels that were given come before those of the model's own configuration, and these before
    ImageNet's. backbone: what the error calls it. Raises `BackboneError` for too few or too many.
    """
    own = given or config.get("label_names")
    if own:
        if len(own) != classes:
            raise BackboneError(
                f"{backbone} has {classes} classes, but {len(own)} labels were given"
            )
        described = config.get("label_descriptions") or {}
        texts = [str(described.get(label, label)) for label in own]
        if given:
            return tuple((text,) for text in texts)
    else:
        subset = infer_imagenet_subset(model)
        if subset is None:
            return tuple((f"class {index}",) for index in range(classes))
        info = ImageNetInfo(subset)
        texts = [info.index_to_description(index) for index in range(classes)]
    return tuple(tuple(part.strip() for part in text.split(",")) for text in texts)


def unique_labels(names: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """One label a class: its first name, all its names if that is taken, at last its index."""
    first = Counter(synonyms[0] for synonyms in names)
    labels = [synonyms[0] if first[synonyms[0]] == 1 else ", ".join(synonyms) for synonyms in names]
    taken = Counter(labels)
    return tuple(
        label if taken[label] == 1 else f"{label} ({index})" for index, label in enumerate(labels)
    )
