"""Variables of the environment: read, checked, and with safe defaults for a public server."""

import pytest

from camviz import environment as module
from camviz.environment import Environment, Variable, environment, variable_table
from camviz.errors import CamvizError


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for row in variable_table().values():
        monkeypatch.delenv(row.name, raising=False)
    monkeypatch.delenv("SPACE_ID", raising=False)


def test_without_variables_the_defaults_hold():
    assert environment() == Environment()


@pytest.mark.parametrize("name", variable_table())
def test_every_variable_has_a_meaning_and_defaults_that_it_can_be(name):
    row = variable_table()[name]
    assert row.name == f"CAMVIZ_{name.upper()}" and row.help
    for value in (row.default, row.public):
        assert value is None or row.read(str(value)) == value


def test_a_variable_that_is_set_counts(monkeypatch):
    monkeypatch.setenv("CAMVIZ_THREADS", "3")
    assert environment().threads == 3
    monkeypatch.setenv("CAMVIZ_THREADS", "")
    assert environment().threads == 1, "an empty one is as good as none"


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "two", "nan", "inf"])
def test_a_number_out_of_range_is_named(monkeypatch, text):
    monkeypatch.setenv("CAMVIZ_THREADS", text)
    with pytest.raises(CamvizError, match=f"CAMVIZ_THREADS is a whole number from 1, not '{text}'"):
        environment()


@pytest.mark.parametrize("text, value", [("1", True), ("YES", True), ("off", False), ("0", False)])
def test_yes_and_no(monkeypatch, text, value):
    monkeypatch.setenv("CAMVIZ_PUBLIC", text)
    assert environment().public is value
    monkeypatch.setenv("CAMVIZ_PUBLIC", "perhaps")
    with pytest.raises(CamvizError, match="CAMVIZ_PUBLIC is 1 or 0, not 'perhaps'"):
        environment()


def test_a_text_that_is_no_choice_is_refused(monkeypatch):
    monkeypatch.setenv("CAMVIZ_LOG", "json")
    assert environment().log == "json"
    monkeypatch.setenv("CAMVIZ_LOG", "xml")
    with pytest.raises(CamvizError, match="CAMVIZ_LOG is one of text, json, off, not 'xml'"):
        environment()


@pytest.mark.parametrize("text", ["0", "65536", "-1", "7860.5", "many", ""])
@pytest.mark.parametrize("name", ["GRADIO_SERVER_PORT", "GRADIO_NUM_PORTS"])
def test_a_number_of_gradios_is_named(monkeypatch, name, text):
    monkeypatch.setenv(name, "7861")
    environment()
    monkeypatch.setenv(name, text)
    with pytest.raises(
        CamvizError, match=f"{name} is a whole number from 1 to 65535, not '{text}'"
    ):
        environment()


@pytest.mark.parametrize("variable", ["CAMVIZ_PUBLIC", "SPACE_ID"])
def test_public_defaults_hold_unless_a_variable_is_set(monkeypatch, variable):
    row = Variable("CAMVIZ_THREADS", int, 4, 2, 1, "threads")
    table = variable_table()
    monkeypatch.setattr(module, "variable_table", lambda: dict(table) | {"threads": row})
    module._environment.cache_clear()
    assert environment().threads == 4
    monkeypatch.setenv(variable, "1")
    assert environment().public and environment().threads == 2
    monkeypatch.setenv("CAMVIZ_THREADS", "7")
    assert environment().threads == 7
    module._environment.cache_clear()
