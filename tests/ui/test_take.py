"""Events of one visitor come in threads, several at a time: each counts."""

from dataclasses import replace
from threading import Event, Thread

from camviz.ui.actions import set_option
from camviz.ui.events import take
from camviz.ui.state import Session


def test_an_action_under_way_does_not_undo_the_next_one():
    session, started, go_on = Session(), Event(), Event()

    def slow(session, level):
        controls = session.controls
        started.set()
        go_on.wait(10)
        session.change(replace(controls, truncation=level))

    threads = [
        Thread(target=take, args=(session, slow, [0.5])),
        Thread(target=take, args=(session, set_option("fuse"), ["mean"])),
    ]
    threads[0].start()
    assert started.wait(10)
    threads[1].start()
    threads[1].join(0.2)  # as far as it comes
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert session.controls.truncation == 0.5
    assert session.controls.options.fuse == "mean"
