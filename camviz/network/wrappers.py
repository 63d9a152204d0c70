"""The timm network inside what was given, and why a network cannot be explained at all.

find_network(DataParallel(model))                          # (model, None)
find_network(nn.Sequential(model, nn.Softmax(dim=1)))      # (model, "softmax")
check_network(model, "resnet18")          # raises BackboneError for quantised layers, NaN ...
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from camviz.errors import BackboneError, one_line
from camviz.network.squash import end_of
from camviz.network.taps import class_scores, frozen_eval, primary_logits, probe_input

# What camviz uses of a timm network.
TIMM_METHODS = ("forward_intermediates", "forward_features", "forward_head")
# Where wrappers keep the network: data parallelism and averages, torch.compile, Lightning, PEFT.
_KNOWN_PLACES = ("module", "_orig_mod", "model", "base_model", "ema")
_DEEPEST = 4
_ADVICE = "pass the timm network itself, as timm.create_model makes it"


def find_network(model: Any, size: tuple[int, ...] | None = None) -> tuple[nn.Module, str | None]:
    """The timm network that this is, or that it wraps without changing its logits.

    With the softmax or sigmoid that the wrapper puts behind them, as `camviz.network.squash` has
    it, or None.

    size: (channels, height, width) at which a wrapper is compared with what it wraps; None: the
    network's own. Raises `BackboneError` that says what to pass.
    """
    if not isinstance(model, nn.Module):
        raise BackboneError(
            f"wrap_backbone takes a network (a torch.nn.Module), not {type(model).__name__}; "
            "load_backbone takes names"
        )
    while "_orig_mod" in model._modules:  # torch.compile, which passes every attribute on
        model = model._modules["_orig_mod"]
    if isinstance(model, torch.jit.ScriptModule):
        raise BackboneError(
            f"{_class(model)} is a scripted or traced module, whose inside cannot be recorded; "
            "pass the network that it was made from"
        )
    if is_timm(model):
        return model, None
    for place, inner in _inner_networks(model):
        if is_timm(inner):
            inner, _ = find_network(inner)
            return inner, _compare(model, inner, place, size)
    return model, None


def is_timm(model: nn.Module) -> bool:
    """Whether a network has the methods of timm's by which maps are found."""
    return all(callable(getattr(model, name, None)) for name in TIMM_METHODS[:1])


def describe_unsuitable(model: nn.Module) -> str:
    """What is missing in a network that is not timm's, and what would do."""
    if isinstance(model, torch.fx.GraphModule):
        return (
            f"{_class(model)} is a graph of torch.fx or torch.export, whose layers cannot be told "
            "apart; pass the network that it was made from"
        )
    missing = [f"{name}()" for name in TIMM_METHODS if not hasattr(model, name)]
    name, home = type(model).__name__, type(model).__module__.partition(".")[0]
    whose = f"{home}'s {name}" if home in ("torchvision", "transformers") else name
    text = f"{whose} has no {', '.join(missing)}; camviz needs a network of timm 1.0 or newer"
    inside = [(place, net) for place, net in _inner_networks(model) if is_timm(net)]
    if inside:
        return f"{text}: pass the one at '{inside[0][0]}', with its own classifier"
    twin = name.lower()
    if timm.is_model(twin):
        return f"{text}: timm.create_model('{twin}') is one"
    if home == "torchvision":
        return f"{text}: it has torchvision's weights, too, such as 'resnet18.tv_in1k'"
    return text


def check_network(model: nn.Module, backbone: str) -> None:
    """Raise `BackboneError` for a network that can have no gradients or no finite scores.

    backbone: what the error calls it.
    """
    if type(model).__name__ in ("FeatureListNet", "FeatureDictNet", "FeatureHookNet"):
        raise BackboneError(
            f"{backbone} has no classifier: it gives features, no class scores; make it without "
            "features_only"
        )
    tensors = [*model.named_parameters(), *model.named_buffers()]
    empty = [name for name, tensor in tensors if tensor.is_meta]
    if empty:
        raise BackboneError(
            f"the weights of {backbone} are on the device 'meta', where they have no values "
            f"({listed(empty)}); load them first, or make the network on the CPU"
        )
    unready = [name for name, tensor in tensors if is_lazy(tensor)]
    if unready:
        raise BackboneError(
            f"{backbone} has lazy layers that were never run ({listed(unready)}); run it once on a "
            "picture first"
        )
    quantised = [f"{name}: {_class(module)}" for name, module in _quantised(model)]
    if quantised:
        raise BackboneError(
            f"{backbone} has quantised layers ({listed(quantised)}), and gradients do not pass "
            "through whole numbers; pass the network as it was before it was quantised"
        )
    bad = not_finite(model)
    if bad:
        raise BackboneError(
            f"the weights of {backbone} hold NaN or infinite numbers ({listed(bad)}), so that its "
            "scores mean nothing; load weights from before the training failed"
        )
    check_precision()


def check_precision() -> None:
    """Raise `BackboneError` unless new tensors are of single precision."""
    if torch.get_default_dtype() != torch.float32:
        raise BackboneError(
            f"torch's default dtype is {torch.get_default_dtype()}, and maps are made in single "
            "precision; call torch.set_default_dtype(torch.float32) first"
        )


def not_finite(model: nn.Module) -> list[str]:
    """Names of parameters and running statistics that hold NaN or infinite numbers."""
    statistics = (row for row in model.named_buffers() if "running_" in row[0])
    return [
        name
        for name, tensor in (*model.named_parameters(), *statistics)
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]


def has_classifier(model: nn.Module, image: Tensor, scores: Tensor) -> bool:
    """Whether what a timm network puts out for a picture is more than its pooled features."""
    network: Any = model
    widths = {getattr(model, name, None) for name in ("num_features", "head_hidden_size")}
    if scores.shape[1] not in widths:
        return True
    try:
        features = network.forward_head(network.forward_features(image), pre_logits=True)
    except (AttributeError, NotImplementedError, TypeError):  # a head of another kind
        return True
    pooled = primary_logits(features)
    return pooled.shape != scores.shape or not torch.equal(pooled, scores)


def stem_channels(model: nn.Module) -> int | None:
    """The channels that the first convolution takes; None if there is none."""
    stem = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return None if stem is None else stem.in_channels


def listed(names: list[str], most: int = 5) -> str:
    """Names in a sentence, those beyond `most` counted only."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _class(module: nn.Module) -> str:
    return getattr(module, "original_name", None) or type(module).__name__


def _inner_networks(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(path, network) that a wrapper holds: known places first, then all its children."""
    level: list[tuple[str, nn.Module]] = [("", model)]
    for _ in range(_DEEPEST):
        following = []
        for path, module in level:
            children = dict(module.named_children())
            for name in (*_KNOWN_PLACES, "timm_model"):  # properties and closures, too
                child = getattr(module, name, None) if name not in children else children[name]
                if isinstance(child, nn.Module) and child is not module:
                    children = {name: child, **children}
            following += [(f"{path}.{name}".lstrip("."), each) for name, each in children.items()]
        yield from following
        level = [row for row in following if not is_timm(row[1])]


def _compare(
    wrapper: nn.Module, inner: nn.Module, place: str, size: tuple[int, ...] | None
) -> str | None:
    """The softmax or sigmoid that a wrapper puts behind the network in it, if any.

    Raises `BackboneError` if it computes other logits.
    """
    config = getattr(inner, "pretrained_cfg", None) or {}
    own = tuple(config.get("input_size", (3, 224, 224)))
    with frozen_eval(wrapper, gradients=False), frozen_eval(inner, gradients=False):
        for channels in dict.fromkeys((own[0], stem_channels(inner) or own[0], 1)):
            image = probe_input((channels, *(size or own)[-2:]))
            weight = next(inner.parameters(), image)
            image = image.to(weight.device, weight.dtype)
            try:
                expected = primary_logits(inner(image))
                break
            except Exception:  # the network itself does not take it: said once it is discovered
                continue
        else:
            if weight.dtype == torch.float32:
                return None
            # Some layers have no half precision on the CPU, and networks are explained in single.
            copied: dict[int, Any] = {}
            single = copy.deepcopy(wrapper, copied).float()
            return _compare(single, copied[id(inner)].float(), place, size)

        def run() -> Tensor:
            output = wrapper(image)
            if isinstance(output, Mapping):
                output = output.get("logits", output)
            return class_scores(getattr(output, "logits", output))

        try:
            found = run()
            same = _close(found, expected)
            behind, logits = (None, found) if same else end_of(run)
        except NotImplementedError:  # no forward pass of its own
            return None
        except Exception as error:
            raise BackboneError(
                f"{type(wrapper).__name__} cannot be run on a picture of {tuple(image.shape[1:])}, "
                f"though the timm network at '{place}' in it can ({one_line(error)}); {_ADVICE}"
            ) from error
    if not (same or (behind is not None and _close(logits, expected))):
        raise BackboneError(
            f"{type(wrapper).__name__} computes other class scores than the timm network at "
            f"'{place}' in it, from other pixels or with a head outside it; {_ADVICE}: a "
            "normalisation goes into mean= and std=, a head onto the network by "
            "reset_classifier(), and then its weights"
        )
    return behind


def _close(found: Tensor, expected: Tensor) -> bool:
    """Whether two tensors of scores are the same but for rounding, on their own scale."""
    found, expected = found.float(), expected.float()
    atol = 1e-3 * float(expected.nan_to_num().abs().max())
    return found.shape == expected.shape and torch.allclose(
        found, expected, rtol=0, atol=atol, equal_nan=True
    )


def _quantised(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        weight = getattr(module, "weight", None)
        packed = "quantized" in type(module).__module__ and "qat" not in type(module).__module__
        whole = isinstance(weight, Tensor) and weight.dtype in (torch.int8, torch.uint8)
        if name.endswith("_packed_params"):
            continue
        if packed or whole or any(tensor.is_quantized for tensor in own):
            yield name, module
