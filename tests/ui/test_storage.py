"""Disk: bounded for each visitor and for all, and emptied after a while."""

from pathlib import Path
from threading import Thread

import pytest

from camviz.errors import LimitError
from camviz.ui.hosting.storage import BLOCK, Storage

KB = 10 * BLOCK  # a unit of size in these tests


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def storage(tmp_path, clock):
    return Storage(tmp_path, of_one=4 * KB, of_all=6 * KB, keep=100, clock=clock)


@pytest.fixture
def write(storage, clock):
    """write(owner, name, size): a file as an upload leaves it, each a second after the last."""

    def get(owner, name, size=1):
        clock.now += 1
        path = storage.folder / name / "file.png"
        with storage.room(owner, size * KB):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"0" * (size * KB))
            storage.add(owner, path)
        return path

    return get


def names(storage):
    return sorted(path.parent.name for path in storage.folder.rglob("*") if path.is_file())


def test_the_oldest_of_a_visitor_go_first(storage, write):
    for name in "abcde":
        write("one", name)
    assert names(storage) == ["b", "c", "d", "e"] and storage.held("one") == 4 * KB
    assert not (storage.folder / "a").exists(), "its folder is gone too"


def test_the_oldest_of_all_go_first_and_nobody_elses_for_one_who_has_too_much(storage, write):
    write("other", "x", 2)
    for name in "abcd":
        write("one", name)
    assert names(storage) == ["a", "b", "c", "d", "x"]
    write("one", "e")
    assert names(storage) == ["b", "c", "d", "e", "x"], "what is too much for one costs that one"
    write("third", "y", 2)
    assert names(storage) == ["b", "c", "d", "e", "y"], "what is too much for all costs the oldest"


def test_a_file_that_can_never_fit_is_refused_and_nothing_is_deleted_for_it(storage, write):
    write("one", "a")
    with pytest.raises(LimitError, match=r"one visitor may hold 0 MB"), storage.room("one", 5 * KB):
        pytest.fail("there is no room")
    assert names(storage) == ["a"]


def test_room_is_held_while_files_are_written(storage):
    with storage.room("one", 3 * KB):
        with pytest.raises(LimitError, match="wait until what is"), storage.room("one", 2 * KB):
            pytest.fail("there is no room")
        full, more = storage.room("other", 3 * KB), storage.room("third", 1)
        with full, pytest.raises(LimitError, match="all visitors"), more:
            pytest.fail("there is no room")
    assert storage.held() == 0
    with pytest.raises(ValueError), storage.room("one", 3 * KB):
        raise ValueError
    assert storage.held() == 0, "also when it was given up"


def test_what_is_old_is_deleted_and_what_was_given_again_is_new(storage, write, clock):
    write("one", "a")
    write("one", "b")
    clock.now = 60
    storage.add("one", storage.folder / "a" / "file.png")
    clock.now = 101.5
    storage.expire()
    assert names(storage) == ["a", "b"]
    clock.now = 102
    storage.expire()
    assert names(storage) == ["a"]
    clock.now = 160
    storage.expire()
    assert names(storage) == [] and storage.held() == storage.held("one") == 0
    assert list(storage.folder.iterdir()) == []


def test_a_file_goes_over_to_the_session_that_uses_it(storage, write):
    path = write("10.0.0.1", "a", 2)
    storage.claim("session", path, before="10.0.0.1")
    assert [storage.held(of) for of in ("10.0.0.1", "session", None)] == [0, 2 * KB, 2 * KB]
    storage.claim("session", path, before="10.0.0.1")
    assert storage.held("session") == 2 * KB
    storage.claim("session", storage.folder / "never" / "seen.png")
    storage.release("session")
    assert names(storage) == [] and storage.held() == 0


def test_what_two_visitors_hold_stays_until_both_are_gone(storage, write):
    path = write("one", "a")
    write("two", "a")
    assert storage.held() == storage.held("one") == storage.held("two") == KB
    storage.release("one")
    assert path.is_file() and storage.held("one") == 0
    storage.release("two")
    assert not path.exists() and storage.held() == 0


def test_a_result_is_moved_to_a_place_that_nobody_can_guess(storage, tmp_path_factory):
    made = tmp_path_factory.mktemp("work") / "result.zip"
    made.write_bytes(b"0" * KB)
    kept = storage.keep_result("one", made)
    assert kept.read_bytes() == b"0" * KB and not made.exists()
    assert kept.name == "result.zip" and len(kept.parent.name) == 64
    assert kept.parent.parent == storage.folder and storage.held("one") == KB
    made.write_bytes(b"0" * 5 * KB)
    with pytest.raises(LimitError):
        storage.keep_result("one", made)
    assert list(storage.folder.rglob("*.zip")) == [kept]


def test_the_oldest_make_way_for_a_file_that_came_another_way(storage, write):
    write("one", "a", 3)
    path = storage.folder / "b" / "file.png"
    path.parent.mkdir()
    path.write_bytes(b"0" * 2 * KB)
    storage.take_in("one", path)
    assert names(storage) == ["b"] and storage.held("one") == 2 * KB


def test_a_file_that_is_gone_already_is_no_trouble(storage, write):
    write("one", "a").unlink()
    storage.add("one", storage.folder / "missing" / "file.png")
    storage.release("one")
    assert storage.held() == 0


def test_a_file_takes_a_block_at_least(storage):
    path = Path(storage.folder / "empty")
    path.touch()
    storage.add("one", path)
    assert storage.held("one") == BLOCK


def test_many_threads_leave_it_whole(storage, write):
    def use(owner):
        for number in range(30):
            path = storage.folder / f"{owner}-{number}" / "file.png"
            with storage.room(owner, BLOCK):
                path.parent.mkdir()
                path.write_bytes(b"0" * BLOCK)
                storage.add(owner, path)
            storage.claim(f"session {owner}", path, before=owner)
        storage.release(f"session {owner}")

    threads = [Thread(target=use, args=(f"{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.held() == 0 and names(storage) == [] and not storage._held
