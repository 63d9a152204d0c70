"""A classifier taught on the page: the kinds with their pictures, the head, and what it sees.

    kinds = (Kind("cup", paths), Kind("plate", others))
    taught = taught_by(session, controls, kinds, task)    # None while there are too few pictures
    maps_by(taught, controls)                      # the open picture, explained for each kind

Nothing here imports gradio. Pictures are uploads of a session, and go with it.
"""

import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from camviz.defaults import FUSED
from camviz.engine.cache import LRUCache
from camviz.engine.explanation import Explanation
from camviz.engine.teaching import LeftOut, Taught
from camviz.errors import MethodError, StageError, TeachingError
from camviz.methods import METHODS
from camviz.teaching.checks import LEAST_KINDS
from camviz.teaching.head import TaughtHead
from camviz.ui import html, service
from camviz.ui.compute import engine
from camviz.ui.state import Controls, Session, Task, Unavailable
from camviz.ui.viewer import MapPanel, MapRow

MOST_KINDS, MOST_A_KIND = 8, 30  # on the page; in Python more
SHOWN = 4  # kinds whose maps stand side by side, the most probable ones
CAM = "cam"
_MOST = 512 * 2**20  # bytes of networks with a head; the weights below it are shared, yet counted


@dataclass(frozen=True)
class Kind:
    """A kind: its name as it was typed, the paths of its pictures, and a key of its own."""

    name: str = ""
    pictures: tuple[str, ...] = ()
    key: int = 0


START = (Kind(key=1), Kind(key=2))  # two, without names or pictures

# By the key of each session: what it taught last, and of what; it goes with the session.
_taught: LRUCache[tuple[Hashable, Taught]] = LRUCache(_MOST, lambda pair: pair[1].backbone.nbytes)


@dataclass(frozen=True)
class _Photographs:
    """What is held of the photographs of a session, by path and by the key of their features."""

    paths: set[str] = field(default_factory=set)
    features: set[Hashable] = field(default_factory=set)


_photographs: WeakKeyDictionary[Session, _Photographs] = WeakKeyDictionary()


def _photographs_of(session: Session) -> _Photographs:
    """To be added to; everything in it is dropped when the session ends."""
    held = _photographs.get(session)
    if held is None:
        held = _photographs[session] = _Photographs()
        weakref.finalize(session, _forget, session.key, held).atexit = False
    return held


def _forget(key: Hashable, held: _Photographs) -> None:
    _taught.remove_soon([key])
    service.forget_soon(held.paths)
    engine().features.forget_soon(held.features)


def present(kinds: Sequence[Kind]) -> tuple[tuple[Kind, ...], int]:
    """The kinds with the pictures that are still on the server, and how many are not."""
    left = tuple(
        replace(kind, pictures=tuple(path for path in kind.pictures if Path(path).is_file()))
        for kind in kinds
    )
    return left, sum(len(k.pictures) for k in kinds) - sum(len(k.pictures) for k in left)


def gone_sentence(count: int) -> str:
    """What is said of photographs that were deleted."""
    verb, them = ("is", "it") if count == 1 else ("are", "them")
    return (
        f"{html.plural(count, 'photograph')} {verb} not on this server any more: uploads are "
        f"kept for a while only. Please give {them} again."
    )


def names_of(kinds: Sequence[Kind]) -> list[str]:
    """The name of each kind, no two alike: its own, or "kind 2" for the second one without any."""
    taken = {kind.name for kind in kinds}
    names = list[str]()
    for number, kind in enumerate(kinds, 1):
        free = (f"kind {n}" for n in range(number, number + len(kinds) + 1))
        names.append(kind.name or next(name for name in free if name not in taken))
        taken.add(names[-1])
    return names


def taught_by(
    session: Session, controls: Controls, kinds: Sequence[Kind], task: Task
) -> Taught | None:
    """The network of the controls, taught from the kinds that have pictures; None for fewer than
    two of these.

    Names are no part of the regression, but of the head: another name costs no pass on them.
    """
    full = {
        name: [service.picture_at(path) for path in kind.pictures]
        for name, kind in zip(names_of(kinds), kinds, strict=True)
        if kind.pictures
    }
    if len(full) < LEAST_KINDS:
        return None
    backbone, fit = service.load(controls.backbone), controls.options.fit

    def report(done: int, total: int, *_: object) -> None:
        task.label = f"Looking at photograph {done + 1} of {total} …"
        task.report(done, total)

    held = _photographs_of(session)
    held.paths.update(path for kind in kinds for path in kind.pictures)
    opened = [picture for of in full.values() for picture in of]
    held.features.update(engine().features.keys(opened, backbone, fit))
    digests = tuple((name, *(picture.digest for picture in of)) for name, of in full.items())
    return _held(
        session,
        (digests, backbone.fingerprint, fit),
        lambda: engine().teach(full, backbone, fit=fit, progress=report),
    )


def taught_from_file(session: Session, controls: Controls, head: TaughtHead) -> Taught:
    """A head from a file on the network of the controls. Raises `TeachingError` for another's."""
    backbone = service.load(controls.backbone)
    key = (head, backbone.fingerprint)
    return _held(session, key, lambda: engine().use_head(head, backbone))


def _held(session: Session, key: Hashable, make: Callable[[], Taught]) -> Taught:
    """What a session taught last, if it is that; else it is made."""
    pair = _taught.get(session.key)
    if pair is not None and pair[0] == key:
        return pair[1]
    found = make()
    _photographs_of(session)
    return _taught.put(session.key, (key, found))[1]


def answers_by_kind(taught: Taught, kinds: Sequence[Kind]) -> list[list[LeftOut]]:
    """The answers of the pictures of each kind; none of one without pictures."""
    rest = iter(taught.answers)
    return [[next(rest) for _ in kind.pictures] for kind in kinds]


def explain_by(
    taught: Taught, controls: Controls, target: int, method: str, **options: Any
) -> Explanation:
    """The open picture, explained for a kind."""
    if controls.picture is None:
        raise TeachingError("there is no picture yet; give one")
    return engine().explain(
        service.picture_at(controls.picture),
        taught.backbone,
        target=target,
        method=method,
        fit=controls.options.fit,
        refine="none",
        placement="plain",
        **options,
    )


def best_kinds(taught: Taught, controls: Controls) -> list[int]:
    """The kinds whose maps are shown: the most probable of the open picture, in their order."""
    first = explain_by(taught, controls, 0, "layer_cam")
    return sorted(index for index, *_ in first.predictions[:SHOWN])


def maps_by(taught: Taught, controls: Controls) -> dict[str, MapRow | Unavailable]:
    """Two rows for the open picture, a column a kind: all layers fused, and CAM."""
    best = best_kinds(taught, controls)
    fused = {index: explain_by(taught, controls, index, "layer_cam") for index in best}
    rows: dict[str, MapRow | Unavailable] = {
        FUSED: row_of("LayerCAM, all layers together", fused, FUSED)
    }
    try:
        exact = {index: explain_by(taught, controls, index, CAM) for index in best}
        last = next(iter(exact.values())).stages[-1]
        rows[CAM] = row_of(f"{METHODS[CAM].label}, the last map", exact, last)
    except (MethodError, StageError) as error:
        rows[CAM] = Unavailable(html.sentence(error))
    return rows


def row_of(title: str, found: Mapping[int, Explanation | Unavailable], of: str) -> MapRow:
    """A row of maps of the open picture, a column a kind, at least one of which has a map."""
    panels = {
        f"kind{index}": x if isinstance(x, Unavailable) else _panel(x, of)
        for index, x in found.items()
    }
    return MapRow(title, next(x for x in found.values() if isinstance(x, Explanation)), panels)


def _panel(x: Explanation, of: str) -> MapPanel:
    return MapPanel(x, of, name=f"{x.label} {html.percent(_share(x))}", last=False)


def _share(x: Explanation) -> float:
    return next(share for index, _, share in x.predictions if index == x.target)


def with_kind(kinds: Sequence[Kind], number: int, **change: object) -> tuple[Kind, ...]:
    """The kinds with one of them changed. Raises `TeachingError` for one that is not there."""
    if not 0 <= number < len(kinds):
        raise TeachingError("this kind is not there any more; choose another")
    changed = list(kinds)
    changed[number] = replace(changed[number], **change)  # type: ignore[arg-type]
    return tuple(changed)
