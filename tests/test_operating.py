"""What docs/operating.md says of settings is what the code has."""

import re

from camviz.environment import variable_table
from scripts import settings
from tests.support.server import ROOT

DOCUMENT = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")


def test_the_table_of_settings_is_up_to_date():
    assert settings.written(DOCUMENT) == DOCUMENT, "python -m scripts.settings writes it"


def test_every_variable_is_a_row_and_every_row_a_variable():
    rows = re.findall(r"^\| `(CAMVIZ_\w+)` \|", DOCUMENT, re.M)
    assert rows == [row.name for row in variable_table().values()]


def test_the_table_is_written_between_its_marks_only():
    stale = DOCUMENT.replace("| `CAMVIZ_THREADS` |", "| `CAMVIZ_OLD` |")
    assert stale != DOCUMENT and settings.written(stale) == DOCUMENT
    assert settings.written(DOCUMENT).count(settings.HEAD) == 1


def test_variables_that_are_named_exist():
    known = {row.name for row in variable_table().values()} | {"CAMVIZ_"}
    assert set(re.findall(r"CAMVIZ_[A-Z_]*", DOCUMENT)) <= known


def test_the_proxy_takes_what_the_page_takes():
    """The example's bound on a body is just above the largest upload."""
    from camviz.space.spacefile import spacefile

    (bound,) = re.findall(r"client_max_body_size (\d+)m;", DOCUMENT)
    assert spacefile().limits.upload_mb < int(bound) <= spacefile().limits.upload_mb + 5
