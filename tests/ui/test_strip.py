"""Several pictures without a browser: what is held of them, and the strip of their thumbnails."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from camviz.engine.cache import LRUCache
from camviz.errors import ImageError
from camviz.examples import example
from camviz.turns import Stopped
from camviz.ui import service, strip
from camviz.ui.service import explain
from camviz.ui.state import NOBODY, TOP, BackboneChoice, Selection, Task
from camviz.ui.strip import (
    MOST,
    add,
    click,
    drop_deleted,
    hold_pictures,
    open_pictures,
    pick,
    present,
    show_strip,
    thumbnail,
)


@pytest.fixture(autouse=True)
def no_answers(monkeypatch):
    """Nothing is known of any picture."""
    monkeypatch.setattr(strip, "_answers", LRUCache(100))


@pytest.fixture
def empty(controls_of):
    return controls_of(None)


def add_pictures(controls, paths):
    """The controls with these pictures, and the notice."""
    return hold_pictures(controls, open_pictures(paths, Task()))


def digests(html, kind="show"):
    return re.findall(rf'data-label="{kind}:([0-9a-f]+)"', html)


def digest(controls, number=None):
    return thumbnail(controls.picture if number is None else controls.pictures[number]).digest


# -- Pictures that come and go -------------------------------------------------------------------


def test_the_first_new_one_is_shown(empty, write):
    paths = [write("x.png", 1), write("y.png", 2)]
    found, notice = add_pictures(replace(empty, versus="cat"), paths)
    assert found.pictures == tuple(paths) and found.picture == paths[0]
    assert (found.target, found.versus) == (TOP, NOBODY) and notice == ""


def test_the_page_reports_every_file_that_is_opened(empty, session, write, monkeypatch):
    paths = [write("x.png", 1), write("y.png", 2)]
    reports, labels = [], []

    class Noting(Task):
        def report(self, done, total, *others):
            reports.append((done, total))
            labels.append(self.label)
            super().report(done, total, *others)

    session.change(empty)
    assert list(add(session, paths, Noting())) == []
    assert session.controls.pictures == tuple(paths) and session.controls.picture == paths[0]
    assert session.notice == "" and reports == [(0, 2), (1, 2), (2, 2)]
    assert labels[:2] == ["Opening picture 1 of 2 …", "Opening picture 2 of 2 …"]


def test_what_is_set_while_files_are_opened_is_kept(empty, session, write):
    class Interrupted(Task):
        def report(self, done, total, *others):
            session.change(session.controls.with_options(fuse="mean"))

    session.change(empty)
    bad = str(Path(write("x.png")).with_name("gone.png"))
    assert list(add(session, [write("x.png"), bad], Interrupted())) == []
    assert session.controls.options.fuse == "mean" and len(session.controls.pictures) == 1
    assert "gone.png" in session.notice


def test_adding_can_be_stopped(empty, session, write):
    task = Task()
    task.cancel()
    session.change(empty)
    with pytest.raises(Stopped):
        list(add(session, [write("x.png", 1)], task))
    assert session.controls == empty


def test_an_upload_that_is_shown_already_comes_first(empty, write):
    one, two = write("x.png", 1), write("y.png", 2)
    found, _ = add_pictures(replace(empty, picture=one), [two])
    assert found.pictures == (one, two) and found.picture == two


def test_an_example_is_no_upload(empty, write):
    ram = replace(empty, picture=str(example("a-ram").path))
    found, _ = add_pictures(ram, [write("x.png")])
    assert found.pictures == (str(write("x.png")),)


def test_bad_files_are_named_and_skipped(empty, write, tmp_path):
    bad = tmp_path / "holiday <1>.png"
    bad.write_text("no picture")
    good = write("x.png")
    found, notice = add_pictures(empty, [str(bad), good, str(tmp_path / "gone.png")])
    assert found.pictures == (good,)
    text = unescape(notice)
    assert "Skipped. 'holiday <1>.png' is not a picture" in text and "gone.png" in text
    assert "<1>" not in notice


def test_nothing_is_lost_if_none_can_be_added(three, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    with pytest.raises(ImageError, match=r"none of them could be added\. 'bad\.png' is not"):
        add_pictures(three, [str(bad)])
    with pytest.raises(ImageError, match="no pictures were given"):
        add_pictures(three, [])


def test_the_same_picture_is_held_once(three, write):
    copy = write("copy.png", 2)
    found, _ = add_pictures(three, [copy])
    assert found.pictures == three.pictures and found.picture == three.pictures[1]


def test_so_many_and_no_more(empty, write):
    paths = [write(f"{seed}.png", seed) for seed in range(MOST + 2)]
    found, notice = add_pictures(empty, paths)
    assert found.pictures == tuple(paths[:MOST])
    assert f"{MOST} pictures are the most; left out: {MOST}.png, {MOST + 1}.png" in notice
    full = replace(empty, pictures=tuple(paths[:MOST]))
    assert add_pictures(full, [paths[3]])[1] == ""  # held already


def test_a_thumbnail_is_shown_in_full(three):
    chosen = replace(three, target="cat", versus="dog")
    found = pick(chosen, f"show:{digest(three, 2)}")
    assert found == replace(three, picture=three.pictures[2], target=TOP, versus=NOBODY)


def test_a_click_on_the_picture_that_is_shown_changes_nothing(three):
    chosen = replace(three, target="cat", versus="dog")
    assert pick(chosen, f"show:{digest(three)}") == chosen


def test_the_class_of_the_sheet_is_kept(three):
    label = service.load(three.backbone).labels[7]
    action = f"show:{digest(three, 1)}"
    found = pick(three, f"{action}:{label}")
    assert (found.picture, found.target) == (three.pictures[1], label)
    assert pick(replace(three, target=label), action).target == TOP
    compared = replace(three, target=label, versus="dog")
    assert pick(compared, f"{action}:{label}").versus == "dog"
    assert pick(compared, f"{action}:dog").versus == NOBODY


def test_a_class_may_hold_a_colon(three):
    assert pick(three, f"show:{digest(three, 1)}:a: b").target == "a: b"


def test_each_of_several_clicks_counts(three, session):
    session.change(three)
    for number in (2, 1):
        click(session, Selection(f"drop:{digest(three, number)}"))
    assert session.controls == replace(three, pictures=three.pictures[:1])


@pytest.mark.parametrize("action", ["show:00", "drop:00", "show:/etc/passwd", "", "other"])
def test_what_nobody_gave_is_not_opened(three, action):
    assert pick(three, action) == three


def test_one_is_removed_and_the_next_takes_its_place(three):
    found = pick(replace(three, target="cat"), f"drop:{digest(three)}")
    assert found.pictures == three.pictures[1:]
    assert (found.picture, found.target) == (three.pictures[1], TOP)
    other = pick(three, f"drop:{digest(three, 2)}")
    assert other == replace(three, pictures=three.pictures[:2])
    last = replace(three, picture=three.pictures[2])
    assert pick(last, f"drop:{digest(last)}").picture == three.pictures[1]


def test_the_last_one_leaves_an_empty_page(three):
    alone = replace(three, pictures=three.pictures[:1])
    found = pick(alone, f"drop:{digest(three)}")
    assert found.picture is None and found.pictures == ()


def test_all_are_removed_but_what_is_shown_stays(three):
    assert pick(three, "clear") == replace(three, pictures=())


def test_the_pictures_that_are_present(three):
    assert present(three) == (three.pictures, ())
    assert present(replace(three, pictures=())) == (three.pictures[:1], ())
    assert present(replace(three, pictures=(), picture=str(example("a-ram").path))) == ((), ())
    assert present(replace(three, pictures=(), picture="/nowhere.png")) == ((), ())


def test_uploads_that_were_deleted_are_named(three, merged):
    Path(three.pictures[1]).unlink()
    found, message = drop_deleted(three)
    assert "these are gone: C.png" in message
    assert found.pictures == (three.pictures[0], three.pictures[2])
    assert len(digests(merged(show_strip(found, Task())).frame["strip"])) == 2
    assert len(digests(merged(show_strip(three, Task())).frame["strip"])) == 2
    assert drop_deleted(found) == (found, "")


# -- The strip -----------------------------------------------------------------------------------


def test_the_strip_says_what_the_network_says(three, merged):
    html = merged(show_strip(three, Task())).frame["strip"]
    assert digests(html) == digests(html, "drop") == [thumbnail(p).digest for p in three.pictures]
    for path in three.pictures:
        _, label, share = explain(replace(three, picture=path)).predictions[0]
        assert f"{Path(path).name}: {label} {share:.1%}" in unescape(html)
    assert re.findall(r'show:(\w+)" aria-pressed="true"', html) == [digest(three)]
    assert f"<strong>3 pictures</strong> of at most {MOST}" in html


def test_a_class_that_was_chosen_is_not_that_of_the_strip(three, merged):
    label = service.load(three.backbone).labels[7]
    html = merged(show_strip(replace(three, target=label), Task())).frame["strip"]
    assert html == merged(show_strip(three, Task())).frame["strip"]


def test_every_picture_is_explained_once(three, monkeypatch):
    updates = list(show_strip(three, Task()))
    progress = [u.frame["progress"] for u in updates if u.frame.get("progress")]
    assert "Picture 1 of 3" in progress[0] and "Picture 3 of 3" in progress[-1]
    assert updates[-1].frame["progress"] == ""
    monkeypatch.setattr(service, "explain", None)
    (again,) = show_strip(three, Task())
    assert again.frame.keys() == {"strip"} and "…" not in unescape(again.frame["strip"])
    assert strip.strip_html(three, strip._known_answers(three)) == again.frame["strip"]


def test_the_strip_stands_before_anything_is_computed(three, monkeypatch):
    monkeypatch.setattr(service, "explain", None)
    first = next(show_strip(three, Task())).frame["strip"]
    assert len(digests(first)) == 3 and first.count("<span>…</span>") == 3
    assert strip.strip_html(three, strip._known_answers(three)) == first


def test_one_picture_needs_no_strip(three, merged):
    for pictures in ((), three.pictures[:1]):
        few = replace(three, pictures=pictures)
        assert merged(show_strip(few, Task())).frame["strip"] == ""


def test_names_and_classes_are_words(three, write, merged):
    path = write("x' onclick=alert(1).png", 9)
    html = merged(show_strip(replace(three, pictures=(path, *three.pictures)), Task()))
    html = html.frame["strip"]
    assert "x' onclick" not in html and "x&#39; onclick" in html


def test_a_strip_without_a_backbone(three, merged):
    html = merged(show_strip(replace(three, backbone=BackboneChoice()), Task())).frame["strip"]
    assert len(digests(html)) == 3


# -- With the rest of the page -------------------------------------------------------------------


def test_the_strip_is_finished_by_the_answer_after_one_that_was_given_up(three, visit):
    visit.open(three)
    visit.session.answers.pop("strip")  # the answer to the same controls stopped in the strip
    visit.frame.clear()
    visit.answer()
    assert len(digests(visit.frame["strip"])) == 3 and "…" not in visit.frame["strip"]
    visit.frame.clear()
    visit.answer()
    assert "strip" not in visit.frame


def test_a_click_on_the_strip_is_answered(three, visit):
    visit.open(three)
    visit.do(click, Selection(f"show:{digest(three, 2)}"))
    x = explain(replace(three, picture=three.pictures[2]))
    assert x.label in visit.tab["verdict"] and visit.frame["picture"] == three.pictures[2]
    pressed = re.findall(r'show:(\w+)" aria-pressed="true"', visit.frame["strip"])
    assert pressed == [x.picture.digest]
    visit.do(click, Selection("clear"))
    assert visit.frame["strip"] == "" and visit.controls.picture == three.pictures[2]


def test_the_page_names_uploads_that_were_deleted(three, visit):
    visit.open(three)
    Path(three.pictures[1]).unlink()
    visit.change(target="cat")
    assert "these are gone: C.png" in visit.frame["notice"]
    assert len(digests(visit.frame["strip"])) == 2 and len(visit.controls.pictures) == 2
    visit.change(target=TOP)
    assert "gone" not in visit.frame["notice"]
