"""Backbones that were loaded by name: each is loaded once, and anew when its files changed."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camviz.engine.cache import LRUCache
from camviz.network.backbone import Backbone
from camviz.network.hub import cached_files
from camviz.network.names import LOCAL, check_name_type

# Per file its name, size, times of change and number: another content changes one of them.
FileState = tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True)
class BackboneKey:
    """What a backbone is held under, and the state of its files when the key was made.

    files: of a checkpoint, a local folder or the hub's cache; None: there are none, or none any
    more.
    """

    name: str
    weights: str
    arguments: tuple[tuple[str, str], ...]
    files: FileState | None

    @classmethod
    def of(
        cls, name: str, weights: str | Path, timm_kwargs: Mapping[str, Any] | None = None
    ) -> "BackboneKey":
        check_name_type(name)
        arguments = sorted((key, repr(value)) for key, value in (timm_kwargs or {}).items())
        return cls(name, str(weights), tuple(arguments), _file_state(name, str(weights)))

    @property
    def place(self) -> Hashable:
        return (self.name, self.weights, self.arguments)


class BackboneCache:
    """Backbones by name, weights and arguments, bounded in bytes.

    on_drop: called with every backbone that leaves.
    """

    def __init__(self, maxsize: int, on_drop: Callable[[Backbone], object]) -> None:
        self._held: LRUCache[tuple[Backbone, FileState | None]] = LRUCache(
            maxsize, lambda pair: pair[0].nbytes, lambda pair: on_drop(pair[0])
        )

    def get(self, key: BackboneKey) -> Backbone | None:
        """The backbone, unless its files are others now; files that are gone change nothing."""
        pair = self._held.get(key.place)
        if pair is None:
            return None
        if key.files is not None and key.files != pair[1]:
            self._held.remove([key.place])
            return None
        return pair[0]

    def put(self, key: BackboneKey, backbone: Backbone) -> None:
        """Hold a backbone; its key was made before it was loaded, perhaps before its download."""
        files = key.files or _file_state(key.name, key.weights)
        self._held.put(key.place, (backbone, files))

    def make_room(self, nbytes: int) -> None:
        """Drop the least recently used until a network of that size fits."""
        self._held.make_room(nbytes)

    @property
    def nbytes(self) -> int:
        """Of all that are held."""
        return self._held.size

    def unlock(self) -> None:
        """See `LRUCache.unlock`."""
        self._held.unlock()


def _file_state(name: str, weights: str) -> FileState | None:
    paths: list[Path] = []
    try:
        if name.startswith(LOCAL):
            paths += sorted(Path(name.removeprefix(LOCAL)).expanduser().iterdir())
        paths += cached_files(name, with_weights=weights == "auto")
        if weights not in ("auto", "random"):
            paths.append(Path(weights).expanduser())
        rows = []
        for path in paths:
            if path.is_file():
                found = path.stat()
                times = (found.st_mtime_ns, found.st_ctime_ns)
                rows.append((str(path.resolve()), found.st_size, *times, found.st_ino))
    except (
        OSError,
        RuntimeError,
        ValueError,
        TypeError,
    ):  # loading it says what is wrong
        return None
    return tuple(rows) or None
