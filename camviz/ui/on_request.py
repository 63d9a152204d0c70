"""What takes long waits for a click of the visitor, who is told how long it will take.

A click asks for what is set at that moment. The answer to the page then does it, so that whatever
is changed meanwhile ends it, and another click is needed for what is set then. Nothing here imports
gradio.
"""

from camviz.ui.state import Controls, Session

AT_ONCE = 2.0  # seconds: what takes longer waits for a click
ASKED_FOR = "asked for"  # the controls for which a visitor asked last, a setting of the view


def ask_for(session: Session, tab: str) -> None:
    """Note that a visitor asks for what a view would show of what is set now. tab: its id."""
    session.set(tab, ASKED_FOR, session.controls.uncovered)


def must_wait(session: Session, tab: str, controls: Controls, seconds: float | None) -> bool:
    """Whether what a view would show waits for a click. seconds: its price; None: not known."""
    takes_long = seconds is None or seconds > AT_ONCE
    return takes_long and session.get(tab, ASKED_FOR) != controls
