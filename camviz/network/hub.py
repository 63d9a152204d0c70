"""Weights from the model hub: its cache on this machine first, then a download."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import (
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.utils import tqdm as hub_bar

from camviz.errors import WeightsError
from camviz.network.backbone import Source
from camviz.network.bundled import bundled_names

Report = Callable[[int, int], None]  # bytes that have come, bytes in all (0: not known)
HUB_TIMEOUT = 2.5  # seconds until the hub counts as out of reach
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def cached_repositories() -> Iterator[str]:
    """Hub ids of timm weights in the hub's cache on this machine."""
    from huggingface_hub.constants import HF_HUB_CACHE

    for folder in Path(HF_HUB_CACHE).glob("models--*"):
        repository = folder.name.removeprefix("models--").replace("--", "/", 1)
        if cached_file(repository, WEIGHT_FILES) is not None:
            yield repository


def cached_file(repository: str, names: Iterable[str]) -> Path | None:
    for name in names:
        path = try_to_load_from_cache(repository, name)
        if isinstance(path, str):
            return Path(path)
    return None


def hub_reachable(repository: str = "timm/resnet18.a1_in1k") -> bool:
    """Does the model hub answer within `HUB_TIMEOUT` seconds? One look, no retries."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    answered = threading.Event()

    def look() -> None:
        with suppress(Exception):  # no network, no such host, refused: all of them mean no
            with suppress(EntryNotFoundError):  # no such file, but the hub has answered
                get_hf_file_metadata(hf_hub_url(repository, "config.json"), timeout=HUB_TIMEOUT)
            answered.set()
        over.set()

    over = threading.Event()
    # A thread of its own, because a name server may be slower than any timeout of the request;
    # a daemon, because nobody should have to wait for it, not even to leave.
    threading.Thread(target=look, name="hub-probe", daemon=True).start()
    over.wait(HUB_TIMEOUT)
    return answered.is_set()


class Stopped(Exception):
    """What a `Report` raises to give a download up; what has come is kept for the next attempt."""


def download(name: str, report: Report) -> None:
    """Bring the weights of a catalogue name to this machine, if they are only on the hub.

    `report` is told how much has come, every few megabytes. Raises `WeightsError` if they cannot
    be had, and whatever `report` raises.
    """
    place = hub_location(name)
    if place is not None:
        hub_file(*place, name, report)


def needs_download(name: str) -> bool:
    """Whether the weights of a catalogue name are on the hub only, and not yet on this machine."""
    place = hub_location(name)
    return place is not None and cached_file(*place) is None


def hub_repository(name: str) -> str | None:
    """Where on the hub the weights of a catalogue name and their model card are, if anywhere."""
    place = hub_location(name)
    return None if place is None else place[0]


def hub_location(name: str) -> tuple[str, Sequence[str]] | None:
    """The repository of a catalogue name, and the file in it; None where the hub has no part."""
    config = timm.get_pretrained_cfg(name) if name not in bundled_names() else None
    if config is None or not config.hf_hub_id:
        return None
    names = (config.hf_hub_filename,) if config.hf_hub_filename else WEIGHT_FILES
    return config.hf_hub_id, names


def _reporting(report: Report) -> Any:
    """A progress bar, as `hf_hub_download` asks for one, that is seen by nobody but `report`."""

    class Bar(hub_bar):  # type: ignore[misc]
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **{**named, "disable": True})
            self.come = int(named.get("initial") or 0)

        def update(self, n: float | None = 1) -> None:
            self.come += int(n or 0)
            report(self.come, int(self.total or 0))

    return Bar


def hub_file(
    repository: str, names: Sequence[str], what: str, report: Report | None = None
) -> tuple[Path, Source]:
    """A file of a hub repository: from the cache, else downloaded, else `WeightsError`."""
    cached = cached_file(repository, names)
    if cached is not None:
        return cached, "cached"
    if not hub_reachable(repository):
        raise WeightsError(
            f"the weights of {what} are not on this machine and the model hub cannot be reached. "
            + _instead()
        )
    for name in names:
        try:
            forward_hooks = {} if report is None else {"tqdm_class": _reporting(report)}
            return Path(hf_hub_download(repository, name, **forward_hooks)), "hub"
        except EntryNotFoundError:
            continue
        except Stopped:
            raise
        except Exception as error:
            raise WeightsError(
                f"downloading the weights of {what} failed: {error}. " + _instead()
            ) from error
    raise WeightsError(f"{repository} holds none of {', '.join(names)}. " + _instead())


def _instead() -> str:
    ready = ", ".join(bundled_names())
    return (
        (f"Ready without a network: {ready}. Or give" if ready else "Give")
        + " a checkpoint file, a folder as local-dir:PATH, or ask for weights='random' "
        "(untrained: its maps mean nothing)."
    )
