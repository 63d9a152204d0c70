"""The pictures that a visitor gave, and the strip of their thumbnails above all tabs.

Up to `MOST` pictures are held, by the paths of their uploads; thumbnails and top classes are
looked up by path and cached. A button of the strip, or of the sheet of the tab "All pictures",
carries an action: "show:DIGEST", "show:DIGEST:CLASS", "drop:DIGEST" or "clear". Nothing here
imports gradio.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from markupsafe import Markup

from camviz.engine.cache import LRUCache
from camviz.environment import environment
from camviz.errors import ImageError
from camviz.files import shown_name
from camviz.images import open_picture
from camviz.network.backbone import Backbone
from camviz.ui import html, links, service
from camviz.ui.sentences import hide_paths
from camviz.ui.state import NOBODY, TOP, Controls, Selection, Session, Task, Update

MOST = 32  # pictures that are held at once
LABEL = "Looking at the pictures …"
SIDE = 96  # pixels of a thumbnail's longer side
QUALITY = 82  # of the WebP files of thumbnails and tiles

# Label and probability of the top class; ("", None) of a network without classes.
Answer = tuple[str, float | None]

# Of all visitors: the top class of a picture, by picture, backbone and fit.
_answers: LRUCache[Answer] = LRUCache(4096)


@dataclass(frozen=True)
class Thumbnail:
    """What is known of an upload without any network: an <img> source and its size."""

    name: str
    digest: str
    src: str
    width: int
    height: int


@lru_cache(maxsize=512)
def thumbnail(path: str) -> Thumbnail:
    """A picture small enough for the strip. Raises `ImageError` for what is no picture."""
    picture = open_picture(path)
    small = html.thumbnail(picture.pixels, SIDE)
    height, width = small.shape[:2]
    return Thumbnail(picture.name, picture.digest, html.data_url(small, QUALITY), width, height)


# -- Pictures that come and go -------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """Files that were given: the pictures among them, and why each of the others is none."""

    pictures: tuple[str, ...]
    skipped: tuple[str, ...]


def add(session: Session, paths: Sequence[str] | None, task: Task) -> Iterator[Update]:
    """Hold more pictures: what the page does when files are given. See `hold_pictures`."""
    opened = open_pictures(paths or (), task)
    with session.lock:
        controls, notice = hold_pictures(session.controls, opened)
        session.change(controls)
    if notice:
        session.notify(notice)
    yield from ()


def open_pictures(paths: Sequence[str], task: Task) -> Opened:
    """Open files, reporting to the task before each and at the end.

    Raises `ImageError` if there are none, and `Stopped` if the task is cancelled.
    """
    if not paths:
        raise ImageError("no pictures were given; choose some")
    pictures, skipped = list[str](), list[str]()
    for number, path in enumerate(paths):
        task.label = f"Opening picture {number + 1} of {len(paths)} …"
        task.report(number, len(paths))
        try:
            thumbnail(path)
            pictures.append(path)
        except ImageError as error:
            skipped.append(hide_paths(str(error)))
    task.report(len(paths), len(paths))
    return Opened(tuple(pictures), tuple(skipped))


def hold_pictures(controls: Controls, opened: Opened) -> tuple[Controls, Markup | str]:
    """The controls with more pictures, the first of them shown, and a notice of what is left out.

    An upload that is shown already comes before them; a picture that is given twice is held once.
    Raises `ImageError` if not one of them can be held.
    """
    held = {thumbnail(path).digest: path for path in present(controls)[0]}
    first: str | None = None
    reasons, excess = list(opened.skipped), list[str]()
    for path in opened.pictures:
        digest = thumbnail(path).digest
        if digest not in held and len(held) >= MOST:
            excess.append(shown_name(path))
            continue
        kept = held.setdefault(digest, path)
        first = first or kept
    if excess:
        reasons.append(f"{MOST} pictures are the most; left out: {html.listed(excess)}")
    if first is None:
        raise ImageError(f"none of them could be added. {'; '.join(reasons)}")
    notice = html.notice(f"Skipped. {'; '.join(reasons)}.") if reasons else ""
    return show_picture(replace(controls, pictures=tuple(held.values())), first), notice


def click(session: Session, selection: Selection) -> None:
    """A button of the strip or the sheet was pressed. See `pick`."""
    with session.lock:
        session.change(pick(session.controls, str(selection.value)))


def pick(controls: Controls, action: str) -> Controls:
    """The controls after a click on a button of the strip or the sheet.

    A class in the action is the one that the sheet explains: the picture is shown for it. A
    picture that is held no longer changes nothing: somebody was quicker than the page.
    """
    kind, _, rest = action.partition(":")
    if kind == "clear":
        return replace(controls, pictures=())
    digest, _, target = rest.partition(":")
    held = {thumbnail(path).digest: path for path in present(controls)[0]}
    if digest not in held:
        return controls
    if kind == "show":
        return show_picture(controls, held[digest], target or None)
    return _drop(controls, held, digest) if kind == "drop" else controls


def show_picture(controls: Controls, path: str, target: str | None = None) -> Controls:
    """The controls with this picture shown, for a class, or, if it is another, its top class."""
    other = thumbnail(path).digest != digest_of(controls.picture)
    if target is not None:
        versus = NOBODY if controls.versus == target else controls.versus
        controls = replace(controls, target=target, versus=versus)
    elif other:
        controls = replace(controls, target=TOP, versus=NOBODY)
    return controls.with_picture(path) if other else controls


def _drop(controls: Controls, held: Mapping[str, str], digest: str) -> Controls:
    """The controls without a picture; if it is the one shown, the next takes its place."""
    place = list(held).index(digest)
    left = [path for key, path in held.items() if key != digest]
    shown = digest == digest_of(controls.picture)
    controls = replace(controls, pictures=tuple(left))
    if not shown:
        return controls
    if not left:
        return controls.with_picture(None)
    return show_picture(controls, left[min(place, len(left) - 1)])


def present(controls: Controls) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(pictures that are held, or the one upload that is shown; names of those deleted since)."""
    pictures = controls.pictures
    if not pictures and controls.picture is not None and _is_upload(controls.picture):
        pictures = (controls.picture,)
    found = tuple(path for path in pictures if Path(path).is_file())
    return found, tuple(shown_name(path) for path in pictures if path not in found)


def drop_deleted(controls: Controls) -> tuple[Controls, Markup | str]:
    """The controls without pictures whose uploads were deleted, and a message that names them."""
    found, gone = present(controls)
    if not gone or not controls.pictures:
        return controls, ""
    kept = f"Uploads are kept for {environment().keep_minutes:g} minutes at most"
    text = f"{kept}; these are gone: {html.listed(gone)}. Give them again to go on."
    return replace(controls, pictures=found), html.message(text)


def digest_of(path: str | None) -> str | None:
    """The digest of a picture's pixels; None for what is no picture."""
    try:
        return None if path is None else thumbnail(path).digest
    except ImageError:
        return None


def _is_upload(path: str) -> bool:
    digest = digest_of(path)
    return digest is not None and links.example_of(digest) is None


# -- The strip -----------------------------------------------------------------------------------


def show_strip(controls: Controls, task: Task) -> Iterator[Update]:
    """The part "strip" of the frame; again after each top class that is computed.

    The task reports every picture whose top class is computed. Raises `Stopped` if the task is
    cancelled.
    """
    known = _known_answers(controls)
    yield Update({"strip": strip_html(controls, known)})
    missing = [path for path, answer in known.items() if answer is None]
    if len(known) < 2 or not missing or controls.backbone.name is None:
        return
    backbone = service.load(controls.backbone)
    for path in missing:
        done = len(known) - sum(answer is None for answer in known.values())
        yield progress(task, done, len(known))
        known[path] = _compute_answer(controls, backbone, path)
        yield Update({"strip": strip_html(controls, known)})
    yield Update({"progress": ""})


def progress(task: Task, done: int, total: int) -> Update:
    """How many of several pictures are done, for the task and, at once, for the page."""
    task.label = f"Picture {done + 1} of {total} …"
    task.report(done, total)
    return Update({"progress": html.progress(task.label, task.share)})


def strip_html(controls: Controls, answers: Mapping[str, Answer | None]) -> Markup | str:
    """The strip: a button a picture, the one shown pressed, and one beside it that removes it.

    answers: the pictures, in their order, with their top classes; fewer than two need no strip.
    """
    if len(answers) < 2:
        return ""
    return html.render(
        "strip.html",
        pictures=[(thumbnail(path), answer) for path, answer in answers.items()],
        shown=digest_of(controls.picture),
        most=MOST,
    )


def _known_answers(controls: Controls) -> dict[str, Answer | None]:
    """The top class of each picture of the strip, None where it was not computed yet."""
    found = [path for path in controls.pictures if Path(path).is_file()]
    if len(found) < 2 or controls.backbone.name is None:
        return dict.fromkeys(found)
    backbone = service.load(controls.backbone)
    return {path: _answers.get(_answer_key(controls, backbone, path)) for path in found}


def _answer_key(controls: Controls, backbone: Backbone, path: str) -> Hashable:
    return (path, backbone.fingerprint, controls.options.fit)


def _compute_answer(controls: Controls, backbone: Backbone, path: str) -> Answer:
    """The top class of a picture. The forward pass that it takes is the one for its maps."""
    x = service.classify(replace(controls, picture=path, target=TOP, versus=NOBODY))
    label, share = ("", None) if x.target is None else x.predictions[0][1:]
    return _answers.put(_answer_key(controls, backbone, path), (label, share))
