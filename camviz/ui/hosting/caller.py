"""Who asked for the event that runs, whether anybody waits for it, and how long it may take."""

import time
from collections.abc import Callable

from camviz.environment import environment
from camviz.ui.gradio_compat import Event, running_address, running_event
from camviz.ui.hosting.limits import present
from camviz.ui.state import Task

TOO_LONG = (
    "This took longer than the {seconds:.0f} seconds that one request may take here, and was "
    "ended. A smaller network, a quicker method or fewer pictures take less."
)


def is_attended(event: Event) -> bool:
    """Whether a stream is open to which the answer to an event can go."""
    return event.session_hash in present() or event._id in present()


def is_unclaimed(event: Event, now: float | None = None) -> bool:
    """Whether nobody opened a stream for an event within the time that there is for it."""
    waited = (time.monotonic() if now is None else now) - event.enqueue_time
    return not is_attended(event) and waited > environment().claim_seconds


class Caller:
    """The client of the running event.

    address: where it calls from. What has no event was sent past the queue, and is waited for.
    """

    def __init__(
        self,
        event: Event | None = None,
        address: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.event, self.address = event, address
        self._clock = clock
        self._since = clock()
        self.most = environment().request_seconds

    @classmethod
    def current(cls) -> "Caller":
        """That of the event in whose context this is called."""
        return cls(running_event(), running_address())

    @property
    def is_gone(self) -> bool:
        """Whether the client closed its stream, or never opened it."""
        return self.event is not None and (not self.event.alive or is_unclaimed(self.event))

    def check(self, task: Task) -> None:
        """Cancel a task that nobody waits for, or that took too long."""
        if self.is_gone:
            task.cancel()
        elif self._clock() - self._since > self.most:
            task.cancel(TOO_LONG.format(seconds=self.most))
