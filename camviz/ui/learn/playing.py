"""How far a round of a guessing game is, and what a click does to it. Nothing here imports gradio.

    press(session, Selection("begin:where:10"))
    press(session, Selection({"number": 0, "guess": "224x224.Yg..."}))

Which round is played is the setting `ROUND` of the view, which links hold; how far it is, is
another one, `PLAY`. No network is run here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from secrets import randbelow
from typing import Any

from camviz.errors import RequestError
from camviz.ui.given import read_text, read_whole
from camviz.ui.learn import guessing
from camviz.ui.links import GAMES, MOST_ROUND, MOST_SEED
from camviz.ui.state import GUESS, ROUND, Controls, Round, Selection, Session

PLAY = "play"
OWN = "own"  # the game of a single guess on the visitor's own picture; it stands in no link
SIDES = ("left", "right")


@dataclass(frozen=True)
class Play:
    """How far a round is. of: the network, and the visitor's own picture where it is guessed on;
    with another one it begins anew. answers: masks as text, or sides; position: how many pictures
    were left behind.
    """

    of: tuple[Any, ...] = ()
    answers: tuple[str, ...] = ()
    position: int = 0

    @property
    def answered(self) -> bool:
        """Whether the answer to the picture that is shown was given."""
        return len(self.answers) > self.position


def press(session: Session, selection: Selection) -> None:
    """ "begin:GAME:COUNT", "own", "again", "same", "leave", "next", "left", "right"; a guess, or
    that the next picture is wanted, come from the canvas with the picture's number.
    """
    if isinstance(selection.value, dict):
        _from_canvas(session, selection.value)
        return
    what, _, rest = read_text("what was pressed", selection.value, 100).partition(":")
    played = session.get(GUESS, ROUND)
    if what == "begin":
        game, _, count = rest.partition(":")
        _begin(session, _round_of(game, count))
    elif what == "own":
        _begin(session, Round(OWN, 0, 1))
    elif what == "again" and played is not None:
        _begin(session, replace(played, seed=randbelow(MOST_SEED + 1)))
    elif what == "same":
        _begin(session, played)
    elif what == "leave":
        _begin(session, None)
    elif what == "next":
        _go_on(session, play_of(session))
    elif what in SIDES and played is not None and played.game == "which":
        _answer(session, play_of(session), what)


def _round_of(game: str, count: str) -> Round:
    if game not in GAMES:
        raise RequestError(f"no game is called {game!r}; games: {', '.join(GAMES)}")
    return Round(
        game, randbelow(MOST_SEED + 1), read_whole("the number of pictures", count, 1, MOST_ROUND)
    )


def _from_canvas(session: Session, given: Mapping[str, Any]) -> None:
    """A guess, or a step on, for the picture of that number; those of another one are too late."""
    played, play = current(session), play_of(session)
    if played is None or played.game == "which":
        return
    if read_whole("the number of the picture", given.get("number"), 0, MOST_ROUND) != play.position:
        return
    if given.get("next") is True:
        _go_on(session, play)
        return
    text = read_text("a guess", given.get("guess"), 100_000)
    guessing.read_guess(text, guessing.SIDE, guessing.SIDE)  # or it is refused here
    _answer(session, play, text)


def _begin(session: Session, played: Round | None) -> None:
    linked = played is not None and played.game != OWN
    with session.lock:
        session.set(GUESS, ROUND, played if linked else None)
        session.set(GUESS, PLAY, Play(_of(session.controls, played)))
        session.set(GUESS, OWN, played is not None and not linked)


def _answer(session: Session, play: Play, text: str) -> None:
    if not play.answered:
        session.set(GUESS, PLAY, replace(play, answers=(*play.answers, text)))


def _go_on(session: Session, play: Play) -> None:
    if play.answered:
        session.set(GUESS, PLAY, replace(play, position=play.position + 1))


def current(session: Session) -> Round | None:
    """The round that is played; None before one was begun."""
    return Round(OWN, 0, 1) if session.get(GUESS, OWN) else session.get(GUESS, ROUND)


def _of(controls: Controls, played: Round | None) -> tuple[Any, ...]:
    """What a round depends on besides itself."""
    own = played is not None and played.game == OWN
    return (controls.uncovered,) if own else (controls.backbone,)


def play_of(session: Session, controls: Controls | None = None) -> Play:
    """How far the round is: at its beginning, if the network is another one than before."""
    of = _of(controls or session.controls, current(session))
    play: Play = session.get(GUESS, PLAY, Play(of))
    return play if play.of == of else Play(of)
