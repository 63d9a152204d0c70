"""What clicks on the tab Teach it do: kinds and pictures come and go, heads are kept in files.

Everything is kept by the session and goes with it; pictures are uploads like any other. Nothing
here imports gradio.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from camviz.errors import TeachingError
from camviz.files import legible
from camviz.teaching.checks import LONGEST
from camviz.teaching.head import TaughtHead
from camviz.ui import html, strip
from camviz.ui.file_link import tensor_file_link
from camviz.ui.learn import bias_lesson
from camviz.ui.learn.teaching import (
    MOST_A_KIND,
    MOST_KINDS,
    START,
    Kind,
    gone_sentence,
    names_of,
    present,
    taught_by,
    taught_from_file,
    with_kind,
)
from camviz.ui.state import Controls, Selection, Session, Task, Update

ID = "teach"
NOTHING = (
    "there is nothing to save yet: give two kinds a photograph each, and the head stands at once"
)


def kinds_of(session: Session) -> tuple[Kind, ...]:
    """The kinds that a visitor has set."""
    return session.get(ID, "kinds", START)


def head_of(session: Session) -> TaughtHead | None:
    """The head that a visitor loaded from a file, if it is in use."""
    return session.get(ID, "head")


def ask_for_prototypes(session: Session, _: Any = None) -> None:
    """Look for prototypes of the kinds as they are now; changed ones take another click."""
    session.set(ID, "prototypes", (_present(session), session.controls.backbone))


def wants_prototypes(session: Session, controls: Controls, kinds: tuple[Kind, ...]) -> bool:
    """Whether a visitor asked for prototypes of these kinds by this network."""
    return session.get(ID, "prototypes") == (kinds, controls.backbone)


def step_of(session: Session) -> int:
    """How far the lesson was taken; 0: not begun."""
    return session.get(ID, "step", 0)


# -- Kinds and their pictures --------------------------------------------------------------------


def edit(session: Session, selection: Selection) -> None:
    """A kind was changed: "name:TEXT", "drop", "remove:DIGEST", of the one with the index;
    "add" and "clear" of all, "own" goes back from a head out of a file.
    """
    action, _, text = str(selection.value).partition(":")
    number, kinds = int(selection.index), _present(session)
    if action == "add":
        if len(kinds) >= MOST_KINDS:
            raise TeachingError(f"{MOST_KINDS} kinds are the most here; in Python there may be 50")
        key = 1 + max(kind.key for kind in kinds)
        session.set(ID, "kinds", (*kinds, Kind(key=key)))
    elif action == "clear":
        session.set(ID, "kinds", START)
    elif action == "own":
        session.set(ID, "head", None)
    elif action == "name":
        session.set(ID, "kinds", with_kind(kinds, number, name=_new_name(kinds, number, text)))
    elif action == "remove":
        left = tuple(p for p in with_kind(kinds, number)[number].pictures if _digest(p) != text)
        session.set(ID, "kinds", with_kind(kinds, number, pictures=left))
    elif action == "drop" and len(kinds) > len(START):
        session.set(ID, "kinds", (*kinds[:number], *kinds[number + 1 :]))


def _present(session: Session) -> tuple[Kind, ...]:
    """The kinds with the pictures that are still there; of others the visitor is told."""
    kinds, gone = present(kinds_of(session))
    if gone:
        session.notify(html.notice(gone_sentence(gone)))
        session.set(ID, "kinds", kinds)
    return kinds


def _new_name(kinds: Sequence[Kind], number: int, text: str) -> str:
    """A name as it is kept; "" for none. Raises `TeachingError` for that of another kind."""
    name = " ".join(legible(text).split())[:LONGEST].strip()
    others = [other for at, other in enumerate(names_of(kinds)) if at != number]
    if name in others:
        raise TeachingError(f"another kind is called '{name}' already; give this one its own name")
    return name


def _digest(path: str) -> str:
    return strip.thumbnail(path).digest


def add_pictures(session: Session, values: Sequence[Any], task: Task) -> Iterator[Update]:
    """Photographs were given, by files or by the camera: (their paths, the key of their kind)."""
    paths, key = values
    given = [paths] if isinstance(paths, str) else list(paths or ())
    opened = strip.open_pictures(given, task)
    with session.lock:
        kinds = _present(session)
        number = next((at for at, kind in enumerate(kinds) if str(kind.key) == str(key)), -1)
        held = {_digest(path): path for path in with_kind(kinds, number)[number].pictures}
        elsewhere = {_digest(p) for at, k in enumerate(kinds) if at != number for p in k.pictures}
        reasons = list(opened.skipped)
        for path in opened.pictures:
            digest, name = _digest(path), strip.thumbnail(path).name
            if digest in elsewhere:
                reasons.append(f"{name} is a picture of another kind already")
            elif digest not in held and len(held) >= MOST_A_KIND:
                reasons.append(f"{name}: {MOST_A_KIND} pictures of a kind are the most here")
            else:
                held.setdefault(digest, path)
        session.set(ID, "kinds", with_kind(kinds, number, pictures=tuple(held.values())))
        session.set(ID, "head", None)
    if reasons:
        session.notify(html.notice(f"Skipped. {html.listed(reasons, 4)}."))
    yield from ()


# -- Files ---------------------------------------------------------------------------------------


def save(session: Session, _: Any, task: Task) -> Iterator[Update]:
    """The head in use, as a link to one file that `TaughtHead.load` reads."""
    head = head_of(session)
    if head is None:
        taught = taught_by(session, session.controls, present(kinds_of(session))[0], task)
        if taught is None:
            raise TeachingError(NOTHING)
        head = taught.head
    name = f"{'-'.join(head.kinds)[:80]}-{head.backbone}"
    yield Update(tab={"file": tensor_file_link(name, head.save)}, of=ID)


def load(session: Session, path: str | None, task: Task) -> Iterator[Update]:
    """Use a head from a file, if it is one of the network that is chosen."""
    if path is None:
        raise TeachingError("no file was given; choose a .safetensors file saved here")
    head = TaughtHead.load(path)
    taught_from_file(session, session.controls, head)  # refused here, before it is kept
    with session.lock:
        session.set(ID, "head", head)
        session.notify(html.message(f"Loaded a head that tells {html.listed(head.kinds)}."))
    yield from ()


# -- The lesson ----------------------------------------------------------------------------------


def take_lesson(session: Session, selection: Selection) -> None:
    """A button of the lesson: "step:2", or "again"."""
    action, _, number = str(selection.value).partition(":")
    wanted = int(number) if action == "step" and number.isdecimal() else 0
    if wanted in (0, *bias_lesson.STEPS):
        session.set(ID, "step", wanted)
