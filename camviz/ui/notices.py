"""Errors as the page shows them: the one place where an error becomes a sentence."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from camviz.errors import BackboneError, CamvizError, ImageError, WeightsError
from camviz.turns import Stopped
from camviz.ui import choices, frame, html
from camviz.ui.hosting.records import sentence_for
from camviz.ui.state import COMPARE, Session, Task, Update, merged
from camviz.ui.tabs.base import Tab, controls_for


def with_notices(
    session: Session, steps: Iterator[Update], tabs: Sequence[Tab]
) -> Iterator[Update]:
    """The updates of steps; an error becomes a notice, and what was shown before stays.

    A picture that cannot be opened empties the page. A backbone that cannot be had leaves the one
    in use. What nobody waits for any more ends without a word.
    """
    version = session.version
    try:
        yield from steps
    except Stopped:
        return
    except BackboneError as error:
        text, actions = _without_weights(error, session)
        with session.lock:
            chosen_since = session.controls.backbone != session.attempted
            if session.loaded.name is not None and not chosen_since:
                session.controls = replace(session.controls, backbone=session.loaded)
        notice = _pop_notice(session, version, html.notice(text, actions))
        yield merged(notice, frame.backbone_in_use(session))
    except ImageError as error:
        with session.lock:
            session.picture = None
            session.answers.clear()
            controls = replace(session.controls, picture=None)
        notice = _pop_notice(session, version, html.notice(html.sentence(error)))
        for tab in tabs:
            if tab.ID in (COMPARE, session.tab):
                for update in tab.show(session, controls_for(tab, controls), Task()):
                    around = merged(frame.update(session, controls, None), notice)
                    yield merged(around, replace(update, of=tab.ID))
    except CamvizError as error:
        yield _pop_notice(session, version, html.notice(html.sentence(error)))
    except Exception as error:
        text = html.sentence(sentence_for(error, "an answer"))
        yield _pop_notice(session, version, html.notice(text))


def _pop_notice(session: Session, version: int, notice: str) -> Update:
    """The notices of a session and this one, which answers that version, and no later one."""
    with session.lock:
        earlier, session.notice = session.notice, ""
        session.answered = max(session.answered, version)
    return Update({"notice": earlier + notice})


def _without_weights(error: BackboneError, session: Session) -> tuple[str, dict[str, str]]:
    """What went wrong, and what the page can do instead of what the command line could."""
    if not isinstance(error, WeightsError):
        return html.sentence(error), {}
    text = html.sentence(error.message)
    ready = [choice.name for choice in choices.available().values() if choice.is_here]
    if ready:
        text += f" Ready here without a download: {', '.join(ready[:4])}."
    wanted = session.controls.backbone
    others = [name for name in ready if name not in (wanted.name, session.loaded.name)]
    actions = {f"backbone:{name}": f"Use {name}" for name in others[:2]}
    if wanted.name and not wanted.untrained:
        actions[f"raw:{wanted.name}"] = f"Try {wanted.name} with untrained weights"
    return text, actions
