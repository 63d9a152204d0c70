"""Names of files: shown as text on one line, and written so that every system takes them."""

import re
import unicodedata

import pytest

from camviz.files import MOST_SHOWN, MOST_WRITTEN, file_name, legible, shown_name
from tests.support.hostile import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_is_one_legible_line(name):
    shown = shown_name(name)
    assert len(shown) <= MOST_SHOWN and "/" not in shown and "\\" not in shown
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_a_name_everywhere(name):
    made = file_name(name)
    assert re.fullmatch(r"[\w.-]+", made) and len(made.encode()) <= MOST_WRITTEN + 1
    assert not made.startswith((".", "-")) and not made.endswith(".")
    stem = made.partition(".")[0].upper()
    assert stem not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"}
    assert file_name(made) == made, "a name that is fit stays"


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("layer1.0-bn_2", "layer1.0-bn_2"),
        ("blocks.2[1]", "blocks.2-1-"),
        ("../../etc/passwd", "etc-passwd"),
        ("a b\\c:d\n", "a-b-c-d-"),
        ("nul.png", "_nul.png"),
        ("console.png", "console.png"),
        ("e\u0301.png", "\u00e9.png"),
        ("...", "_"),
        ("", "_"),
    ],
)
def test_names_that_are_written(name, made):
    assert file_name(name) == made


def test_long_names_stay_apart():
    one, other = file_name("x" * 300 + "1"), file_name("x" * 300 + "2")
    assert one != other and len(one) == len(other) == MOST_WRITTEN


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat.png", "cat.png"),
        ("/srv/private/cat.png", "cat.png"),
        ("C:\\private\\cat.png", "cat.png"),
        ("\u202egnp.exe", "\ufffdgnp.exe"),
        ("a\nb\x1b[31m", "a\ufffdb\ufffd[31m"),
        ("3.00\u202fPM.png", "3.00 PM.png"),
        ("\U0001f469\u200d\U0001f680.png", "\U0001f469\u200d\U0001f680.png"),
        ("\udcff.png", "\ufffd.png"),
        ("folder/", "folder"),
    ],
)
def test_names_that_are_shown(name, shown):
    assert shown_name(name) == shown


def test_a_long_name_is_shortened_in_its_middle():
    shown = shown_name("begin" + "x" * 500 + "end.png")
    assert len(shown) == MOST_SHOWN and shown.startswith("begin") and shown.endswith("end.png")
    assert "…" in shown


def test_a_folder_stays_where_a_path_is_meant():
    assert legible("/a\tb/c") == "/a\ufffdb/c"
