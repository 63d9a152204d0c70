"""Loading a classifier by name: its architecture, its weights, and where those come from.

    backbone = load_backbone("resnet50")
    backbone.stages, backbone.labels, backbone.model

Weights are looked for offline first: bundled with camviz, then in an installed package of weights,
then in the hub's cache on this machine, then on the hub. If they cannot be had, a `WeightsError`
names what would do, within seconds; random weights are never put in their place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from torch import nn

from camviz.errors import CamvizError, WeightsError, one_line
from camviz.network.backbone import (
    GIVEN,
    Backbone,
    Weights,
    WeightsSource,
    find_device,
    wrap_backbone,
)
from camviz.network.bundled import bundled_folder, bundled_names, read_config
from camviz.network.checkpoints import Checkpoint, load_checkpoint, read_checkpoint
from camviz.network.footprint import check_pass
from camviz.network.generator import OwnGenerator
from camviz.network.giving_way import Interruptible
from camviz.network.hub import WEIGHT_FILES, fetch_file, remedies
from camviz.network.names import HUB, LOCAL, check_name, pretrained_config
from camviz.network.packaged import (
    DEFAULT_PACKAGED,
    PACKAGES,
    installed_name,
    packaged_file,
    packaged_weights,
)
from camviz.network.settings import Settings, split_settings
from camviz.network.setup import own_size
from camviz.network.stages import Discovery
from camviz.turns import check_stopped, step

# The bundled networks have few classes, and give one of them to whatever else they are shown. With
# this bound photos-resnet is not confident of 91 % of drawn scenes and 17 % of its held-out
# photographs, scenes-resnet of 28 % of photographs and 1 % of its held-out scenes.
CONFIDENCE_THRESHOLD = 0.6


def default_backbone() -> str:
    """The packaged ImageNet network, else a bundled one; downloads change nothing."""
    if packaged_file(DEFAULT_PACKAGED) is not None:
        return DEFAULT_PACKAGED
    return next(iter(bundled_names()), DEFAULT_PACKAGED)


def load_backbone(
    name: str | None = None,
    weights: str | Path = "auto",
    device: str | torch.device | None = None,
    *,
    display_name: str | None = None,
    discovery: Discovery | None = None,
    settings: Settings | None = None,
    pass_limit: int | None = None,
    **arguments: Any,
) -> Backbone:
    """A classifier by name, frozen, in eval mode, its stages found and proved.

    name: a bundled name, a timm architecture with or without a tag, "local-dir:PATH" (timm's own
    folder format) or "hf-hub:ORG/NAME"; None: the best at hand. weights: "auto" (bundled, else
    packaged, else cached, else hub), "random" (untrained, the same at every call), or a
    checkpoint: a .safetensors file or a pickled state dict, of which only tensors are ever loaded.
    display_name: what sentences and errors call it; None: its name without prefix and path. With
    one, no error shows the path of its folder. discovery: its stages, if they were found before.
    pass_limit: the bytes that one pass may hold, see `camviz.network.footprint`.

    arguments: mean, std, interpolation, crop_pct, input_size, labels and output, where they are not
    what the network's configuration says, see `Settings`; `settings` has them all in one. Others go
    to `timm.create_model`.

    Raises `BackboneError` for an unknown name, a network without a classifier or one of too large
    a pass, `WeightsError` if the weights cannot be had or do not fit.
    """
    name = name or default_backbone()
    given, timm_kwargs = split_settings(arguments)
    settings = settings or given
    title, hidden = display_name or name, display_name is not None
    if name in bundled_names():
        loader = _Loader(title, f"{LOCAL}{bundled_folder(name)}", timm_kwargs, "bundled", hidden)
    else:
        check_name(name)
        loader = _Loader(title, name, timm_kwargs, hidden=hidden)
    chosen = find_device(device)
    fits = pass_limit is not None and _check_outline(loader, settings, pass_limit)
    with torch.inference_mode(False), torch.no_grad():
        model, origin = loader.load(weights)
        # Nobody else has this network: it is made what a copy would be.
        model.eval().requires_grad_(False).float().to(chosen)
    if pass_limit is not None and not fits:
        check_pass(model, _shown_size(model, settings), pass_limit, title)
    with loader.configured():
        return wrap_backbone(
            model,
            name=name,
            display_name=display_name,
            weights=origin,
            device=device,
            confidence_threshold=CONFIDENCE_THRESHOLD if origin.source == "bundled" else None,
            loaded_with=None if timm_kwargs else str(weights),
            discovery=discovery,
            settings=settings,
        )


def _check_outline(loader: "_Loader", settings: Settings, limit: int) -> bool:
    """Whether a pass of a network fits, before its weights are loaded; False where it is not known.

    Raises `TooLargeError` if it does not.
    """
    outline = loader.outline()
    if outline is None:
        return False
    return check_pass(outline, _shown_size(outline, settings), limit, loader.title)


def _shown_size(model: nn.Module, settings: Settings) -> tuple[int, ...]:
    """(C, H, W) of the pictures that a network is shown."""
    size = settings.input_size or own_size(model)
    return (own_size(model)[0], *size[-2:])


def build_untrained(architecture: str, **timm_kwargs: Any) -> nn.Module:
    """A network with random weights, the same ones at every call."""
    return _Loader(architecture, architecture, timm_kwargs).untrained()


@dataclass(frozen=True)
class _Loader:
    """Makes a network of what timm calls it.

    title: what errors call it. location: a name of timm's, "local-dir:PATH" or "hf-hub:ORG/NAME".
    folder_source: the source of weights in a local folder. hidden: no error shows the location.
    """

    title: str
    location: str
    timm_kwargs: dict[str, Any]
    folder_source: WeightsSource = "local"
    hidden: bool = False

    def load(self, weights: str | Path) -> tuple[nn.Module, Weights]:
        """The network, and what its weights are; `weights` as in `load_backbone`."""
        if self.location.startswith(LOCAL):
            self._check_folder()
        if weights == GIVEN:
            raise WeightsError(
                f"the weights of this {self.title} were given in memory; build it again, "
                "wrap_backbone() it and pass the result"
            )
        if self.location.startswith(HUB):
            return self._from_repository(weights)
        if weights == "random":
            return self.untrained(), Weights("random", "untrained")
        if weights != "auto":
            return self._from_checkpoint(weights)
        if self.location.startswith(LOCAL):
            model = self._create(pretrained=True)
            return model, Weights(self.folder_source, self._folder.name, _license(model))
        packaged = installed_name(self.location)
        if packaged is not None:
            return self._from_package(packaged)
        return self._from_hub()

    def untrained(self) -> nn.Module:
        """The network with random weights, the same ones at every call."""
        return self._create(pretrained=False)

    @property
    def _folder(self) -> Path:
        return Path(self.location.removeprefix(LOCAL)).expanduser()

    def _check_folder(self) -> None:
        if not (self._folder / "config.json").is_file():
            folder = self.title if self.hidden else self._folder
            raise WeightsError(
                f"'{folder}' is not a timm model folder: it holds no config.json "
                "(timm.models.save_for_hf writes such folders)"
            )
        read_config(self._folder, self.title)

    @contextmanager
    def configured(self) -> Iterator[None]:
        """Whatever goes wrong inside is the fault of the configuration, if it came from a file."""
        try:
            yield
        except (CamvizError, MemoryError):
            raise
        except Exception as error:
            if not self.location.startswith((LOCAL, *HUB)):
                raise
            raise WeightsError(
                f"the configuration of {self.title} cannot be used ({type(error).__name__}); its "
                "config.json is damaged, or of another network"
            ) from error

    def _from_repository(self, weights: str | Path) -> tuple[nn.Module, Weights]:
        """A network whose architecture, too, is on the hub: in the config.json of a repository."""
        repository = self.location.partition(":")[2]
        config, _ = fetch_file(repository, ["config.json"], self.title)
        local = replace(self, location=f"{LOCAL}{config.parent}")
        if weights != "auto":
            return local.load(weights)
        _, source = fetch_file(repository, WEIGHT_FILES, self.title)
        model = local._create(pretrained=True)
        return model, Weights(source, repository, _license(model))

    def _from_package(self, name: str) -> tuple[nn.Module, Weights]:
        """A timm architecture with the weights of an installed package."""
        overlay = {"state_dict": packaged_weights(name), "custom_load": False}
        model = self._create(pretrained=True, pretrained_cfg_overlay=overlay)
        config: Any = model.pretrained_cfg
        config.pop("state_dict")  # the network has the tensors now
        package = PACKAGES[name]
        return model, Weights("package", package.name, package.license)

    def _from_hub(self) -> tuple[nn.Module, Weights]:
        """A timm architecture with the weights that timm lists for it."""
        config = pretrained_config(self.location)
        if config is None or not config.hf_hub_id:
            raise WeightsError(f"timm knows no weights for {self.title}", remedies())
        names = (config.hf_hub_filename,) if config.hf_hub_filename else WEIGHT_FILES
        file, source = fetch_file(config.hf_hub_id, names, self.title)
        overlay = {"file": str(file), "custom_load": False}
        model = self._create(pretrained=True, pretrained_cfg_overlay=overlay)
        return model, Weights(source, config.hf_hub_id, config.license)

    def _from_checkpoint(self, file: str | Path) -> tuple[nn.Module, Weights]:
        """A named architecture with the tensors of a file, its class count read off them."""
        found = read_checkpoint(file)
        kwargs = {}
        if "num_classes" not in self.timm_kwargs and (classes := self._class_count(found)):
            kwargs["num_classes"] = classes
        model = self._create(pretrained=False, **kwargs)
        found = load_checkpoint(model, found, self.title)
        return model, Weights("file", found.origin)

    def _class_count(self, found: Checkpoint) -> int | None:
        """How many rows the classifier has in a checkpoint of a timm architecture."""
        if self.location.startswith(LOCAL):
            return None
        heads = getattr(pretrained_config(self.location), "classifier", None)
        head = heads[0] if isinstance(heads, (list, tuple)) else heads
        return None if head is None else found.rows(head)

    def outline(self) -> nn.Module | None:
        """The network with shapes in place of weights, made in a moment; None where it cannot be.

        One of the hub has none: its configuration is there, too.
        """
        if self.location.startswith(HUB):
            return None
        try:
            with torch.inference_mode(False), torch.no_grad(), torch.device("meta"):
                return self._create(pretrained=False).eval().requires_grad_(False)
        except WeightsError:  # loading it says what is wrong
            return None

    def _create(self, **kwargs: Any) -> nn.Module:
        try:
            # The caller's random numbers stay as they are.
            with step(), Interruptible(), OwnGenerator(0):
                return timm.create_model(self.location, **self.timm_kwargs, **kwargs)
        except MemoryError:
            raise
        except Exception as error:  # damaged files raise nearly anything
            check_stopped()
            # timm quotes the whole path of a folder
            secret = self.hidden and self.location.startswith(LOCAL)
            detail = type(error).__name__ if secret else one_line(error)
            if isinstance(error, SafetensorError):
                raise WeightsError(
                    f"the weights of {self.title} are damaged or cut short ({detail}); put the "
                    "file in its place once more"
                ) from error
            raise WeightsError(f"{self.title} could not be made: {detail}") from error


def _license(model: nn.Module) -> str | None:
    return (getattr(model, "pretrained_cfg", None) or {}).get("license")
