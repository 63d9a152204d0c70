"""What a visitor has set, what is known of the visit, and what becomes new on the page.

Plain values: nothing here imports gradio. `Controls` is frozen and says everything that an answer
depends on; a `Session` holds the controls of one visitor and is shared by all events of a page.
Actions change controls, `answer` turns them into `Update`s.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from camviz.engine.options import Options
from camviz.errors import CamvizError
from camviz.prototypes.bank import PrototypeBank

TOP = ""  # Controls.target: the top prediction, whichever class that is
NOBODY = "-"  # Controls.versus: the target is compared with no class
TRUNCATION = 0.9  # of the denoised row, until it is changed


@dataclass(frozen=True)
class BackboneChoice:
    """A backbone by its name on the page; `untrained`: with random weights."""

    name: str | None = None
    untrained: bool = False


@dataclass(frozen=True)
class Controls:
    """Everything that a visitor has set, as far as an answer depends on it.

    `picture`: the path of the picture explained. `backbone`: the one requested; it may not be
    loaded yet. `target`: a label, or `TOP`. `versus`: a label, or `NOBODY`. `truncation`: that of
    the denoised row. `options`: how the maps of every row are computed; its stages are None for
    the default ones. `bank`: prototypes that the visitor built, loaded or changed. `pictures`: the
    paths of all pictures that were added, when there are several.
    """

    picture: str | None = None
    backbone: BackboneChoice = BackboneChoice()
    target: str = TOP
    versus: str = NOBODY
    truncation: float = TRUNCATION
    options: Options = field(default_factory=Options)
    bank: PrototypeBank | None = None
    pictures: tuple[str, ...] = ()

    def with_options(self, **changes: Any) -> "Controls":
        """The same controls with other options. Raises `MethodError` for what is none."""
        return replace(self, options=replace(self.options, **changes))


DEFAULT = Controls()


class Stopped(Exception):
    """Raised inside of work that nobody waits for any more."""


class Task:
    """Work that takes a while: how far it is, and whether it is to be given up.

    `report(done, total)` is called by the work; it raises `Stopped` once the task was cancelled.
    `label` says what is being done.
    """

    def __init__(self, label: str = "") -> None:
        self.label = label
        self.done = 0
        self.total = 0
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        self._cancelled.set()

    def report(self, done: int, total: int, *_: Any) -> None:
        """Note the progress. Raises `Stopped` if the task was cancelled."""
        self.done, self.total = done, total
        self.check()

    def check(self) -> None:
        """Raise `Stopped` if the task was cancelled."""
        if self.cancelled:
            raise Stopped

    @property
    def share(self) -> float | None:
        """How much is done, in [0, 1]; None if that is not known."""
        return self.done / self.total if self.total else None


class Session:
    """One visitor's page: the controls, the settings of each tab, and what is being answered.

    Every event of a page shares one session. `version` grows with each change, so that an answer
    knows whether it is still wanted; whoever changes anything cancels the answer that is under
    way. `loaded`: the backbone that the page shows. `settings`: tab id -> name of a control of
    that tab -> its value. `answered`: the version that is on the page, whole.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.controls = DEFAULT
        self.loaded = BackboneChoice()
        self.tab = "compare"
        self.settings: dict[str, dict[str, Any]] = {}
        self.notice = ""
        self.version = 0
        self.answered = -1
        self.opened = False
        self.task: Task | None = None

    def __deepcopy__(self, memo: Any) -> "Session":
        return Session()  # gradio copies the initial value of a state for every visitor

    def change(self, controls: Controls | None = None, **settings: Any) -> bool:
        """Take new controls, or other attributes; returns whether anything differs.

        What is under way is cancelled if so.
        """
        with self.lock:
            changes = dict(settings)
            if controls is not None:
                changes["controls"] = controls
            changes = {k: v for k, v in changes.items() if getattr(self, k) != v}
            for name, value in changes.items():
                setattr(self, name, value)
            if changes:
                self.touch()
            return bool(changes)

    def touch(self) -> None:
        """Count a change: whatever is on the page, or under way, is no longer the answer."""
        with self.lock:
            self.version += 1
            if self.task is not None:
                self.task.cancel()

    def set(self, tab: str, name: str, value: Any) -> None:
        """Take the value of a control of a tab."""
        with self.lock:
            held = self.settings.setdefault(tab, {})
            if name not in held or held[name] != value:
                held[name] = value
                self.touch()

    def get(self, tab: str, name: str, default: Any = None) -> Any:
        """The value of a control of a tab, or the default if it was never touched."""
        with self.lock:
            return self.settings.get(tab, {}).get(name, default)


@dataclass(frozen=True)
class Menu:
    """What a menu shows: (label, value) pairs, None where they stay; and what is chosen."""

    value: Any
    choices: list[tuple[str, str]] | None = None
    visible: bool | None = None


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

    `frame`: by the names of `FrameParts`, what stands around the tabs; `tab`: by the names of the
    parts of the tab that is open. `label`: what is done next, for whoever waits.
    """

    frame: Mapping[str, Any] = field(default_factory=dict)
    tab: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""


Report = Callable[[int, int], None]


def sentence(error: "CamvizError | str") -> str:
    """What went wrong, as the page writes it: a capital letter first, a full stop last."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
