"""Records of requests: how each ended, how long it took, and what was at hand."""

import logging

import pytest

from camviz.engine.lookups import counted, lookups, note_lookup
from camviz.errors import ImageError
from camviz.turns import Stopped
from camviz.ui.hosting.records import (
    REGISTRY,
    error_number,
    log_unexpected,
    recorded,
    recorded_steps,
)


@pytest.fixture
def lines(caplog):
    """The fields of the lines that were logged."""
    caplog.set_level(logging.INFO, logger="camviz")
    return lambda: [record.fields for record in caplog.records if hasattr(record, "fields")]


def requests(outcome, kind="api", name="explain"):
    labels = {"kind": kind, "name": name, "outcome": outcome}
    return REGISTRY.get_sample_value("camviz_requests_total", labels) or 0


@pytest.mark.parametrize(
    "error, outcome",
    [
        (None, "done"),
        (ImageError("no picture"), "refused"),
        (Stopped(), "stopped"),
        (GeneratorExit(), "stopped"),
        (RuntimeError("inner secret"), "failed"),
    ],
)
def test_every_end_has_a_word(lines, error, outcome):
    before = requests(outcome)
    try:
        with recorded("api", "explain"):
            if error is not None:
                raise error
    except BaseException as raised:
        assert raised is error
    (line,) = lines()
    assert (line["kind"], line["name"], line["outcome"]) == ("api", "explain", outcome)
    assert 0 <= line["seconds"] < 1 and line["cached"] is None
    assert requests(outcome) == before + 1
    assert "secret" not in str(line)
    assert ("number" in line) == (outcome == "failed")


def test_seconds_are_counted_by_kind():
    labels = {"kind": "work", "name": "counted"}
    with recorded("work", "counted"):
        pass
    assert REGISTRY.get_sample_value("camviz_request_seconds_count", labels) == 1
    assert REGISTRY.get_sample_value("camviz_request_seconds_sum", labels) < 1


@pytest.mark.parametrize("held, cached", [([True], True), ([True, False], False), ([], None)])
def test_a_request_is_cached_if_every_trace_was_held(lines, held, cached):
    with recorded("api", "explain"):
        for each in held:
            note_lookup("traces", each)
        note_lookup("backbones", False)
    assert lines()[0]["cached"] is cached


def test_steps_are_recorded_once_whichever_thread_makes_them(lines):
    from concurrent.futures import ThreadPoolExecutor

    def steps():
        note_lookup("traces", True)
        yield 1
        note_lookup("traces", False)
        yield 2

    made = recorded_steps("answer", "compare", steps())
    end = object()
    with ThreadPoolExecutor(1) as other:
        assert [next(made), other.submit(next, made).result(), next(made, end)] == [1, 2, end]
    (line,) = lines()
    assert line["outcome"] == "done" and line["cached"] is False


def test_steps_that_are_closed_were_stopped(lines):
    made = recorded_steps("answer", "compare", iter([1, 2]))
    next(made)
    made.close()
    assert [line["outcome"] for line in lines()] == ["stopped"]


def test_an_error_has_one_number_in_line_sentence_and_log(lines, caplog):
    error = RuntimeError("inner secret")
    with pytest.raises(RuntimeError), recorded("api", "explain"):
        raise error
    sentence = log_unexpected(error, "explain")
    number = error_number(error)
    assert number in sentence and "secret" not in sentence
    assert [line["number"] for line in lines()] == [number, number]
    assert error_number(RuntimeError()) != number
    assert caplog.records[-1].exc_info[1] is error


def test_counts_are_of_the_work_alone_and_in_all():
    before = lookups()["traces", True]
    note_lookup("traces", True)
    with counted() as outer:
        note_lookup("traces", True)
        with counted() as inner:
            note_lookup("traces", True)
        note_lookup("traces", True)
    assert (outer["traces", True], inner["traces", True]) == (2, 1)
    assert lookups()["traces", True] == before + 4
