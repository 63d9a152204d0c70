"""What a visitor has set, what is known of the visit, and what becomes new on the page.

Plain values: nothing here imports gradio. `Controls` is frozen and says everything that an answer
depends on; a `Session` holds the controls of one visitor and is shared by all events of a page.
Actions change controls, `answer` turns them into `Update`s.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from camviz.engine.options import AUTO, Auto, Options
from camviz.prototypes.bank import PrototypeBank
from camviz.turns import Stopped
from camviz.ui.order import EventOrder

TOP = ""  # Controls.target: the top prediction, whichever class that is
NOBODY = "-"  # Controls.versus: the target is compared with no class


@dataclass(frozen=True)
class BackboneChoice:
    """A backbone by its name on the page; `untrained`: with random weights."""

    name: str | None = None
    untrained: bool = False


@dataclass(frozen=True)
class Covering:
    """What of a picture is covered, and with what: painted, taken from its map, or part by part.

    kind: one of `camviz.maps.cover.COVERS`. painted: a mask as `camviz.maps.runs.write_mask` writes
    it, "" for none. hottest: per cent of the picture, the hottest of the fused map, None for none;
    others: everything but these. parts: "ram/horns", of a drawn scene.
    """

    kind: str = "blur"
    painted: str = ""
    hottest: int | None = None
    others: bool = False
    parts: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.painted and self.hottest is None and not self.parts


@dataclass(frozen=True)
class Round:
    """A round of a guessing game: which game, which pictures by a seed, and how many of them.

    The network that answers is that of the page. Whoever has these has the same round.
    """

    game: str
    seed: int
    count: int


@dataclass(frozen=True)
class Controls:
    """Everything that a visitor has set, as far as an answer depends on it.

    `picture`: the path of the picture explained. `backbone`: the one requested; it may not be
    loaded yet. `target`: a label, or `TOP`. `versus`: a label, several with commas between them,
    `NEAREST` or `NOBODY`; `gamma`: how much these count. `truncation`: that of the denoised
    row, or `AUTO`. `options`: how the maps of every row are computed; its stages are None for the
    default ones. `bank`: prototypes that the visitor built, loaded or changed. `pictures`: the
    paths of all pictures that were added, when there are several. `cover`: what of the picture is
    covered.
    """

    picture: str | None = None
    backbone: BackboneChoice = BackboneChoice()
    target: str = TOP
    versus: str = NOBODY
    gamma: float = 1.0
    truncation: float | Auto = AUTO
    options: Options = field(default_factory=Options)
    bank: PrototypeBank | None = None
    pictures: tuple[str, ...] = ()
    cover: Covering = Covering()

    def with_picture(self, picture: str | None) -> "Controls":
        """The same controls for another picture, of which nothing is covered yet.

        What a link covers of a picture that is not there stays until that picture is given.
        """
        kept = self.cover if self.picture is None else Covering(self.cover.kind)
        return replace(self, picture=picture, cover=kept)

    @property
    def uncovered(self) -> "Controls":
        """The same controls, nothing covered."""
        return replace(self, cover=Covering())

    def with_options(self, **changes: Any) -> "Controls":
        """The same controls with other options. Raises `MethodError` for what is none."""
        return replace(self, options=replace(self.options, **changes))


DEFAULT = Controls()
COMPARE = "compare"  # the id of the tab that is open at first
GUESS, ROUND = "guess", "round"  # the tab of the guessing games, and its setting that links hold


class Task:
    """Work that takes a while: what is done, how far it is, and whether it is to be given up.

    `report(done, total)` is called by the work; it raises `Stopped` once the task was cancelled.
    `reason`: why it was cancelled, if that is to be said.
    `outdated`: what the page shows meanwhile is of another picture. `begun`: the time at which it
    was made, of `time.monotonic`.
    """

    def __init__(self, label: str = "", outdated: bool = False) -> None:
        self.begun = time.monotonic()
        self.outdated = outdated
        self.reason = ""
        self.start(label)
        self._cancelled = threading.Event()

    def start(self, label: str) -> None:
        """Begin another part of the work, of which nothing is done yet."""
        self.label = label
        self.done = 0
        self.total = 0

    @property
    def share(self) -> float | None:
        """How much of this part is done, in [0, 1]; None if that is not known."""
        return self.done / self.total if self.total else None

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self, reason: str = "") -> None:
        """Give the work up; reason: a sentence for whoever still waits for it."""
        self.reason = self.reason or reason
        self._cancelled.set()

    def check(self) -> None:
        """Raise `Stopped` if the task was cancelled."""
        if self.cancelled:
            raise Stopped

    def part(self, number: int, of: int) -> Callable[..., None]:
        """A report of what is done within one of several equal parts."""
        return lambda done, total, *_: self.report(number * total + done, of * total)

    def report(self, done: int, total: int, *_: Any) -> None:
        """Note the progress. Raises `Stopped` if the task was cancelled."""
        self.done, self.total = done, total
        self.check()


class Session:
    """One visitor's page: what was set, what the page shows, and what is under way.

    Every event of a page shares one session. `version` grows with each change, and each change
    cancels the answer under way, so that the page ends with the answer to the last one. `key`
    tells it from every other session.

    controls: what was set; tab: the id of the tab that is open; settings: tab id -> name of one of
    its own controls -> value. notice: shown with the next answer. opened: whether the page was
    opened on this server; it was not if the server was started anew behind an open page. chosen:
    every backbone that the visitor chose; the page replaces none of them.

    loaded: the backbone that the page shows; attempted: the one that was loaded last, or could
    not be. picture: the digest of the picture explained last; shown: the path of the one whose
    maps stand on the page; method: the one chosen for them. answers: tab id -> what its content is
    the answer to. answered: the version whose answer is whole; begun: the one whose answer was
    begun last. mirror: what the browser's controls show, as far as that is known. problems,
    remedies: parts of the link that cannot be used, and buttons for what can be done about it;
    linked: everything that the link names, with the backbone that it names.
    """

    def __init__(self) -> None:
        self.key = uuid4().hex
        self.lock = threading.RLock()
        self._mirror_lock = threading.Lock()
        self.order = EventOrder()
        self.controls = DEFAULT
        self.tab = COMPARE
        self.settings: dict[str, dict[str, Any]] = {}
        self.notice = ""
        self.opened = False
        self.chosen: set[BackboneChoice] = set()
        self.version = 0
        self.loaded = BackboneChoice()
        self.attempted = BackboneChoice()
        self.picture: str | None = None
        self.shown: str | None = None
        self.method: str | None = None
        self.answers: dict[str, Any] = {}
        self.answered = 0
        self.begun = 0
        self.mirror: dict[str, Any] = {}
        self.updates = 0
        self.sent: dict[str, int] = {}
        self.problems: list[str] = []
        self.remedies: dict[str, str] = {}
        self.linked = DEFAULT
        self.answering: Task | None = None
        self.working: set[Task] = set()

    def __deepcopy__(self, memo: Any) -> "Session":
        return Session()  # gradio copies the initial value of a state for every visitor

    def change(self, controls: Controls) -> None:
        """Take new controls; what is under way is cancelled if anything differs."""
        with self.lock:
            if controls != self.controls:
                self.controls = controls
                self.touch()

    def notify(self, notice: str) -> None:
        """Show a notice, in HTML, with the next answer."""
        with self.lock:
            self.notice += notice
            self.touch()

    def open_tab(self, tab: str) -> None:
        with self.lock:
            if tab != self.tab:
                self.tab = tab
                self.touch()

    def set(self, tab: str, name: str, value: Any) -> None:
        """Take the value of a tab's own control."""
        with self.lock:
            values = self.settings.setdefault(tab, {})
            if name not in values or values[name] != value:
                values[name] = value
                self.touch()

    def get(self, tab: str, name: str, default: Any = None) -> Any:
        """The value of a tab's own control, or the default if it was never set."""
        with self.lock:
            return self.settings.get(tab, {}).get(name, default)

    def touch(self) -> None:
        """Count a change and cancel the answer under way."""
        with self.lock:
            self.version += 1
            if self.answering is not None:
                self.answering.cancel()

    @property
    def version_id(self) -> str:
        """A text of its own for every version of every session."""
        return f"{self.key} {self.version}"

    def begin_answer(self) -> Task | None:
        """A task for the answer to what is set now; None if the page has it, or it is under way."""
        with self.lock:
            if self.opened and (self.answered == self.version or self.is_answering):
                return None
            if self.answering is not None:
                self.answering.cancel()
            self.answering = Task(outdated=self.shown not in (None, self.controls.picture))
            self.begun = self.version
            return self.answering

    @property
    def is_answering(self) -> bool:
        """Whether the answer to what is set now is under way."""
        task = self.answering
        current = self.begun == self.version != self.answered
        return task is not None and not task.cancelled and current

    def stop(self) -> None:
        """Give up everything under way; the controls go back to the backbone and method shown."""
        with self.lock:
            for task in (*self.working, *([self.answering] if self.answering else [])):
                task.cancel()
            if self.loaded.name is not None:
                self.controls = replace(self.controls, backbone=self.loaded)
            if self.method is not None:  # or the next click would begin anew what took too long
                self.controls = self.controls.with_options(method=self.method)
            for name in ("backbone", "untrained", "method"):
                self.mirror.pop(name, None)
            self.answered = self.version

    def note_sent(self, shown: Mapping[str, Any]) -> int:
        """Note what the browser's controls will show; returns the number of that update."""
        with self._mirror_lock:
            self.updates += 1
            self.mirror |= shown
            self.sent |= dict.fromkeys(shown, self.updates)
            return self.updates

    def note_control(self, name: str, value: Any, applied: int) -> None:
        """Note what a control was set to in the browser, which had applied that many updates.

        A later update may yet overwrite it: then what it shows is not known. Else it is not sent
        again, for it would overwrite whatever is set next.
        """
        with self._mirror_lock:
            if applied < self.sent.get(name, 0):
                self.mirror.pop(name, None)
            else:
                self.mirror[name] = value

    def differs(self, name: str, value: Any) -> bool:
        """Whether the browser may show something else than this value under that name."""
        with self._mirror_lock:
            return name not in self.mirror or self.mirror[name] != value


@dataclass(frozen=True)
class Menu:
    """What a menu shows: (label, value) pairs, None where they stay; and what is chosen.

    keeps: the browser shows that value, and it is not sent: it would overwrite what a visitor
    chooses at that moment.
    """

    value: Any
    choices: list[tuple[str, str]] | None = None
    visible: bool | None = None
    keeps: bool = False


@dataclass(frozen=True)
class Enabled:
    """Whether a button can be pressed."""

    interactive: bool


@dataclass(frozen=True)
class Selection:
    """What was selected by a click: the data of the button, or a place (x, y) of a map."""

    value: Any
    index: int = 0
    selected: bool = False


@dataclass(frozen=True)
class Unavailable:
    """Why something cannot be shown, in a sentence."""

    reason: str


@dataclass(frozen=True)
class Update:
    """What has become new on the page; what is not named stays as it is.

    `frame`: by the names of the parts around the tabs (`sidebar.Parts`, `page.Parts`); `tab`: by
    the names of the parts of one tab, whose id is `of`. A tab that yields updates leaves `of` out.
    `mirror`: what the browser shows once it has this, for `Session.differs`.
    """

    frame: Mapping[str, Any] = field(default_factory=dict)
    tab: Mapping[str, Any] = field(default_factory=dict)
    of: str = ""
    mirror: Mapping[str, Any] = field(default_factory=dict)


def merged(first: Update, second: Update) -> Update:
    """Both updates as one; the second one prevails, and its tab is the only one."""
    return replace(
        second,
        frame={**first.frame, **second.frame},
        mirror={**first.mirror, **second.mirror},
    )
