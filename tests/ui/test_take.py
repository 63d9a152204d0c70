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


def test_what_was_set_behind_an_update_is_not_sent_back():
    session = Session()
    number = session.note_sent({"stages": ["layer4", "layer3"]})
    session.note_control("stages", ["layer3"], applied=number)
    assert not session.differs("stages", ["layer3"])
    assert session.differs("stages", ["layer4", "layer3"])


def test_what_an_update_on_its_way_may_overwrite_is_sent_again():
    session = Session()
    applied = session.note_sent({"stages": ["layer4", "layer3"]})
    session.note_sent({"stages": ["layer4"]})
    session.note_control("stages", ["layer3"], applied=applied)
    assert session.differs("stages", ["layer3"]), "it may show layer4 by now"
    session.note_sent({"fuse": "mean"})
    session.note_control("stages", ["layer3"], applied=applied + 2)
    assert not session.differs("stages", ["layer3"])
