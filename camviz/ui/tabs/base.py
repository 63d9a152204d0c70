"""What a tab is. The page knows tabs by this protocol only, and no tab imports another."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from camviz.ui.state import Controls, Session, Task, Update

# What an event of a tab does: it changes the session (and says what with a notice), or it yields
# what becomes new at once. `value` is what the event brings: the value of the control, or what was
# selected.
Action = Callable[[Session, Any], None]
Work = Callable[[Session, Any, Task], Iterator[Update]]


class Events(Protocol):
    """How a tab connects its controls; implemented by `camviz.ui.events`."""

    def keep(self, component: Any, name: str) -> None:
        """Keep a control's value in `session.settings[tab][name]`; the tab is shown anew."""

    def on_change(self, trigger: Any, action: Action, *inputs: Any) -> None:
        """Call action(session, values) when an event comes; then the page is answered anew.

        trigger: a bound event of a component, such as `button.click`. inputs: components whose
        values the action is given as one list; none: for `select` the `Selection`, else None.
        """

    def on_work(self, trigger: Any, work: Work, *inputs: Any) -> None:
        """The same for work that takes a while or shows more than the answer: it may be stopped."""


class Tab(Protocol):
    """A view of the page: a module of this folder, and one row in `camviz.ui.tabs.table`."""

    ID: str  # its name in links and in `Session.settings`
    TITLE: str  # what stands on it
    LABEL: str  # what is announced while it takes its time

    def build(self) -> Any:
        """Make its components where they stand; returns them as a dataclass, its parts."""

    def show(self, session: Session, controls: Controls) -> Iterator[Update]:
        """What stands in it, as `Update.tab` by the names of its parts.

        Called when the tab is opened, and while it is open whenever anything was changed. Yields
        as soon as there is something to show. Nothing here knows gradio.
        """

    def wire(self, parts: Any, events: Events) -> None:
        """Connect its own controls."""
