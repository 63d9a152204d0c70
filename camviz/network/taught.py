"""A classifier of one's own on top of a network's pooled features, and the network with it.

    taught = with_head(backbone, classifier)          # a Backbone like any other

The classifier is one layer behind the pooling,

    logits = W z + b,   z = (p - m) / ||p - m||,

p the pooled features and m a fixed mean. It takes the place of the network's own, so that traces,
gradients and maps are those of any network: they are of these very logits, the length in the
denominator included. CAM holds that length as it is for the picture, as it does the scale of a
norm: then the mean of the map, r w_c . A(i, j) with r = 1 / ||p - m|| > 0, and b_c - r w_c . m
together are the logit of class c exactly.
"""

import copy
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from camviz.errors import BackboneError
from camviz.network.backbone import Backbone, Weights, wrap_backbone
from camviz.network.classifier import Classifier
from camviz.network.lengths import UnitLength
from camviz.network.setup import find_stages
from camviz.network.stages import Discovery
from camviz.network.state import network_lock, tensors_of
from camviz.network.taps import frozen_eval, primary_logits, probe_input

_TOLERANCE = 1e-4  # of the largest logit: how well the classifier must give the network's answer
# Stages of networks without classes, found once there is a classifier: network -> size -> stages.
_found: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], Discovery]] = WeakKeyDictionary()


class TaughtClassifier(nn.Module):
    """Pooled features, (N, C) or (N, C, 1, 1), to logits, (N, K); see the formula above."""

    mean: Tensor

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(classifier.mean.copy()))
        self.length = UnitLength()
        self.linear = nn.Linear(*reversed(classifier.weights.shape))
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(classifier.weights.copy()))
            self.linear.bias.copy_(torch.from_numpy(classifier.offsets.copy()))

    def forward(self, pooled: Tensor) -> Tensor:
        return self.linear(self.length(pooled.flatten(1) - self.mean))


def pooled_features(backbone: Backbone, images: Tensor) -> Tensor:
    """What a network's classifier is given of prepared pictures, float32 (N, C).

    Raises `BackboneError` for a network whose classifier is given something else.
    """
    with backbone.lock, frozen_eval(backbone.model, gradients=False):
        return _pooled(backbone.model, images, backbone.display_name)


def with_head(
    backbone: Backbone, classifier: Classifier, discovery: Discovery | None = None
) -> Backbone:
    """The network with a classifier in the place of its own.

    Weights that were loaded by name are shared with the network, others copied, so that neither
    changes under the other. discovery: its stages, if they were found before. Raises
    `BackboneError` where the network has no place for a classifier.
    """
    count = len(classifier.kinds)
    with backbone.lock, torch.inference_mode(False):
        model = _twin(backbone)
        place = _classifier_place(model, backbone.display_name)
        head = TaughtClassifier(classifier)
        head.eval().requires_grad_(False).to(backbone.device)
        parent, _, name = place.rpartition(".")
        setattr(model.get_submodule(parent), name, head)
    network: Any = model
    network.num_classes = count
    _check(model, head, backbone)
    own = backbone.weights
    origin = f"{own.origin}, its classifier taught from {classifier.pictures} pictures"
    taught = wrap_backbone(
        model,
        name=backbone.name,
        display_name=f"{backbone.display_name}, taught",
        weights=Weights(own.source, origin, own.license),
        device=backbone.device,
        discovery=discovery or _discovery(backbone, model, count),
        settings=replace(backbone.settings, labels=classifier.kinds, output="softmax"),
    )
    return replace(taught, taught_on=backbone, classifier=classifier)


def _twin(backbone: Backbone) -> nn.Module:
    """The same layers in modules of their own."""
    shared = backbone.loaded_with is not None
    memo = {id(each): each for each in tensors_of(backbone.model)} if shared else {}
    twin: nn.Module = copy.deepcopy(backbone.model, memo)
    return twin.eval().requires_grad_(False)


def _classifier_place(model: nn.Module, title: str) -> str:
    """The path of the classifier: by timm's configuration, else of what `get_classifier` gives.

    A network without classes has a layer that does nothing there.
    """
    stated = (getattr(model, "pretrained_cfg", None) or {}).get("classifier")
    modules = dict(model.named_modules())
    if isinstance(stated, str) and stated in modules:
        return stated
    network: Any = model
    own = network.get_classifier() if hasattr(model, "get_classifier") else None
    place = next((name for name, module in modules.items() if name and module is own), None)
    if place is None:
        raise BackboneError(
            f"{title} has no single layer as its classifier, which another could take the place "
            "of; choose another backbone to teach"
        )
    return place


def _pooled(model: nn.Module, images: Tensor, title: str) -> Tensor:
    network: Any = model
    try:
        pooled = network.forward_head(network.forward_features(images), pre_logits=True)
    except (AttributeError, NotImplementedError, TypeError) as error:
        raise BackboneError(
            f"{title} does not say what its classifier is given (forward_head with pre_logits); "
            "choose another backbone to teach"
        ) from error
    return primary_logits(pooled).float()


def _check(model: nn.Module, head: TaughtClassifier, backbone: Backbone) -> None:
    """Raise `BackboneError` unless the network's answer is what the head gives of its pooled
    features.
    """
    image = probe_input(backbone.input_size).to(backbone.device)
    with network_lock(model), frozen_eval(model, gradients=False):
        pooled = _pooled(model, image, backbone.display_name)
        try:
            wanted, found = head(pooled), primary_logits(model(image))
        except RuntimeError:
            wanted, found = pooled, pooled[:0]
    same = wanted.shape == found.shape
    if not same or (wanted - found).abs().max() > _TOLERANCE * wanted.abs().max():
        raise BackboneError(
            f"{backbone.display_name} does more with its pooled features than one layer can take "
            "the place of; choose another backbone to teach"
        )


def _discovery(backbone: Backbone, model: nn.Module, kinds: int) -> Discovery:
    """The stages with the new classifier: those of the network, if gradients were read of it."""
    found = backbone.discovery
    if not backbone.has_classes:
        known = _found.setdefault(backbone.model, {})
        if backbone.input_size not in known:
            there = model if backbone.device.type == "cpu" else copy.deepcopy(model).cpu()
            settings = replace(
                backbone.settings, labels=None, output="softmax", input_size=backbone.input_size
            )
            with network_lock(model):
                known[backbone.input_size] = find_stages(there, settings, backbone.display_name)
        found = known[backbone.input_size]
    return replace(found, logits=kinds, squash=None, features=False)
