"""How a network is run for the first time: at which size, with how many channels and pixels."""

from typing import Any

import torch
from timm.data import resolve_model_data_config
from torch import nn

from camviz.errors import BackboneError, StageError, one_line
from camviz.network.discovery import discover
from camviz.network.outputs import states_features
from camviz.network.settings import Settings
from camviz.network.stages import Discovery
from camviz.network.wrappers import stem_channels
from camviz.turns import check_stopped

# What torch and timm raise where a picture has the wrong size or the wrong number of channels.
_REFUSALS = (RuntimeError, AssertionError, ValueError, TypeError, IndexError, ZeroDivisionError)


def find_stages(model: nn.Module, settings: Settings, backbone: str) -> Discovery:
    """The stages of a network, found at its own input size or the one that is set.

    backbone: what errors call it. Raises `StageError` if it keeps no maps, `BackboneError` if it
    does not take pictures of that size or of colour or grey.
    """
    own = own_size(model)
    features = states_features(model, settings)
    size = settings.input_size or own[1:]
    stem = stem_channels(model)
    stated = size[0] if len(size) == 3 else None
    refused: Exception | None = None
    # The channels that the configuration states are those of the weights, not of this network, and
    # those of its first layer may be of pixels put side by side.
    others = [] if stated else [stem or own[0], 1]
    for channels in dict.fromkeys((stated or own[0], *others)):
        shape = (channels, size[-2], size[-1])
        try:
            with torch.inference_mode(False):
                discovery = discover(model, shape, features)
        except StageError as error:
            raise StageError(f"{backbone}: {error}") from error
        except BackboneError as error:
            raise BackboneError(f"{backbone}: {error}") from error
        except _REFUSALS as error:
            check_stopped()
            refused = refused or error.with_traceback(None)  # whose frames hold every tensor
            continue
        return discovery
    assert refused is not None
    given = cure = ""
    if settings.input_size is not None:
        given = " that was set"
        cure = f"; its own is {_text(own)}"
        if hasattr(getattr(model, "patch_embed", None), "img_size"):
            cure += ", and timm.create_model(..., img_size=) makes it for another"
    raise BackboneError(
        f"{backbone} cannot be run on a picture of {_text((stated or own[0], *size[-2:]))}"
        f"{given}: {one_line(refused)}{cure}"
    ) from refused


def own_size(model: nn.Module) -> tuple[int, int, int]:
    """(channels, height, width) by a network's configuration, or as it was built."""
    size = resolve_model_data_config(model)["input_size"]
    built = getattr(getattr(model, "patch_embed", None), "img_size", None)
    return (size[0], *(built or size[1:]))


def data_config(
    model: nn.Module, settings: Settings, channels: int, backbone: str
) -> dict[str, Any]:
    """mean, std, interpolation, crop_pct and crop_mode: as set, else of the configuration.

    One number may stand for all channels; for a grey network those of colours are averaged. For one
    of other channels those of colours say nothing, unless they are all the same.
    """
    data = resolve_model_data_config(model)
    found = {
        "interpolation": settings.interpolation or data["interpolation"],
        "crop_pct": settings.crop_pct or data["crop_pct"],
        "crop_mode": data["crop_mode"],
    }
    for name in ("mean", "std"):
        given = getattr(settings, name)
        values = tuple(given or data[name])
        if len(values) == 1:
            values *= channels
        elif channels == 1 and given is None:
            values = (sum(values) / len(values),)
        elif given is None and len(set(values)) == 1:
            values = values[:1] * channels
        if len(values) != channels:
            raise BackboneError(
                f"{name} has {len(values)} numbers, and {backbone} takes pictures of {channels} "
                f"channel{'s' if channels > 1 else ''}; give one for each, or one for all"
            )
        found[name] = values
    return found


def _text(size: tuple[int, ...]) -> str:
    return f"{size[0]} x {size[1]} x {size[2]}"
