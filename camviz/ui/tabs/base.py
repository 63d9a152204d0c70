"""What a tab is. The page knows tabs by this protocol only, and no tab imports another."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from camviz.ui.state import Controls, Session, Task, Update

# What a click does: it changes the session, and the page is answered anew. The value is a
# `Selection` for a `select` event; else that of the one component named, or a list of several.
# Files are given as paths of uploads. A `CamvizError` that it raises becomes a notice.
Action = Callable[[Session, Any], None]
# The same for what takes a while: it reports to the task, and may yield updates on its way.
Work = Callable[[Session, Any, Task], Iterator[Update]]
# What is shown of a gesture that is under way: (session, its data) -> plain values. It changes
# nothing.
Glance = Callable[[Session, Any], Any]

# The entries of the page, in their order: what a visitor has in mind.
GROUPS = ("Look", "Compare", "Parts", "Test", "Learn")


class Events(Protocol):
    """How a tab connects its controls; implemented in `camviz.ui.events`."""

    def keep(self, component: Any, name: str) -> None:
        """Keep what a control is set to, for `session.get(ID, name)`; the tab is shown anew."""

    def on_change(self, trigger: Any, action: Action, *inputs: Any) -> None:
        """Call an action when an event comes. trigger: such as `button.click`."""

    def on_work(
        self, trigger: Any, work: Work, label: str, *inputs: Any, js: str | None = None
    ) -> None:
        """The same for work that takes a while; label: what is announced meanwhile.

        js: a function of the session and the inputs, which runs first and returns what is sent.
        """

    def on_gesture(self, trigger: Any, glance: Glance, shown: Any) -> None:
        """Show what comes of a gesture while it goes on, in a component, beside all answers.

        It is for the browser to have one such question under way at a time, and ask the newest.
        """


class Tab(Protocol):
    """A view of the page: a module of this folder, and one row of `camviz.ui.tabs.table`.

    GROUP is the entry under which it stands, one of `GROUPS`.
    """

    ID: str  # its name in links and in `Session.settings`
    GROUP: str
    TITLE: str  # what stands on it, where its entry has several
    LABEL: str  # what is announced while it takes its time
    READS_COVER: bool  # whether its content depends on what is covered

    def build(self) -> Any:
        """Make its components where they stand; returns them as a dataclass, its parts."""

    def show(self, session: Session, controls: Controls, task: Task) -> Iterator[Update]:
        """What stands in it, as `Update.tab` by the names of its parts, in plain values.

        Called when the tab is opened, and while it is open whenever anything was changed. Yields
        whenever there is something new to show. What takes a while reports to the task, which ends
        it once nobody waits for it. controls: those that it depends on (`controls_for`). Nothing
        here uses gradio.
        """

    def wire(self, parts: Any, events: Events) -> None:
        """Connect its own controls."""


def controls_for(tab: Tab, controls: Controls) -> Controls:
    """The controls as far as the content of a tab depends on them; see `Tab.READS_COVER`."""
    return controls if tab.READS_COVER else controls.uncovered
