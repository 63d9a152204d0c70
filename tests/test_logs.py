"""The log: one line an event, in two styles, and no path in any of them."""

import json
import logging
from pathlib import Path

import pytest

from camviz.logs import CUT, Line, configure_logs, without_paths


@pytest.fixture
def logger(monkeypatch):
    """A logger below camviz's, after which logging is as it was."""
    root, own = logging.getLogger(), logging.getLogger("camviz")
    handlers, levels = list(root.handlers), (root.level, own.level)
    root.handlers.clear()  # those of pytest
    yield logging.getLogger("camviz.test")
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


def fail(path):
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read '{path}'") from error


def test_a_line_is_one_json_object(logger, capsys):
    configure_logs("json", "info")
    logger.info("done:\n two lines", extra={"fields": {"kind": "answer", "seconds": 0.25}})
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "info",
        "logger": "camviz.test",
        "message": "done: two lines",
        "kind": "answer",
        "seconds": 0.25,
    }


def test_a_line_is_pairs_that_can_be_told_apart(logger, capsys):
    configure_logs("text", "info")
    fields = {"kind": "answer", "said": 'a "b" c=d', "none": None, "empty": ""}
    logger.info("done", extra={"fields": fields})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith('message=done kind=answer said="a \\"b\\" c=d" none=null empty=""')


@pytest.mark.parametrize("style", ["json", "text"])
def test_an_error_names_modules_and_lines_and_no_file(logger, capsys, style, tmp_path):
    configure_logs(style, "info")
    try:
        fail(str(tmp_path / "My holiday.jpg"))
    except ValueError:
        logger.exception("unexpected")
    (line,) = capsys.readouterr().err.splitlines()
    assert "holiday" not in line and str(tmp_path) not in line and ".py" not in line
    assert "ValueError" in line and "FileNotFoundError" in line
    assert f"{__name__}.fail:" in line and "traceback" in line


@pytest.mark.parametrize(
    "text, cut",
    [
        ("no file '/home/ann/a b.jpg' here", f"no file {CUT} here"),
        ('no file "C:\\Users\\ann\\a b.jpg"', f"no file {CUT}"),
        ("File not allowed: /tmp/gradio/12/a.png.", f"File not allowed: {CUT}"),
        ("C:\\Users\\ann\\a.jpg, no", f"{CUT}, no"),
        ("see https://example.org/x?y=1 now", f"see {CUT} now"),
        ("local-dir:/srv/models/secret", f"local-{CUT}"),
        ("no uploads/12/a.jpg there", f"no {CUT} there"),
        ("56 / 12 = 4.7 and either/or stay", "56 / 12 = 4.7 and either/or stay"),
        ("14 × 14, layer3", "14 × 14, layer3"),
    ],
)
def test_what_looks_like_a_path_is_cut(text, cut):
    assert without_paths(text) == cut


def test_a_message_is_not_endless():
    assert len(without_paths("word " * 10_000)) == 500


def test_off_is_silent_and_levels_count(logger, capsys):
    configure_logs("text", "warning")
    logger.info("quiet")
    logger.warning("loud")
    configure_logs("off", "debug")
    logger.error("gone")
    written = capsys.readouterr().err
    assert "quiet" not in written and "gone" not in written
    assert written.count("loud") == 1


def test_configuring_again_writes_each_line_once(logger, capsys):
    configure_logs("text", "info")
    configure_logs("json", "info")
    logger.info("once")
    assert capsys.readouterr().err.count("once") == 1
    assert sum(isinstance(each.formatter, Line) for each in logging.getLogger().handlers) == 1
