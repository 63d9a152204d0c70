"""No version that camviz allows has a hole that is known."""

import json

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from scripts import audit


def test_no_known_hole_is_allowed():
    assert audit.wrong() == []


def test_every_hole_has_a_version_and_a_source():
    for hole in audit.holes():
        assert set(hole) == {"package", "fixed", "hole", "source"}
        assert Version(hole["fixed"]) and hole["source"].startswith("https://")


@pytest.mark.parametrize(
    "line, version",
    [("a>=1.2", "1.2"), ("a==3", "3"), ("a>=1,<2", "1"), ("a~=2.1", "2.1"), ("a<2", None)],
)
def test_the_lowest_version_is_read(line, version):
    assert audit.lowest(Requirement(line)) == (version and Version(version))


@pytest.mark.parametrize("line", ["pillow>=10.1", "Pillow", "pillow<13"])
def test_a_bound_that_is_too_low_is_named(monkeypatch, line):
    monkeypatch.setattr(audit, "allowed", lambda: [("requirements.txt", Requirement(line))])
    sentences = audit.wrong()
    assert len(sentences) == 2 and "CVE-2026-25990" in sentences[1]


def test_everything_that_names_versions_is_read():
    found = list(audit.allowed())
    names = {(file, requirement.name) for file, requirement in found}
    assert {("requirements.txt", "gradio"), ("constraints.txt", "h11")} <= names
    rest = {requirement.name for file, requirement in found if "Spacefile" in file}
    assert {"setuptools", "mcp", "torch", "spaces", "pillow-heif"} <= rest


def test_holes_are_found_by_the_database_too(monkeypatch):
    """What pip-audit writes is read: holes, and packages that it does not know."""
    packages = [
        {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]},
        {"name": "b", "skip_reason": "not found"},
    ]
    ran = type("Run", (), {"stdout": json.dumps({"dependencies": packages})})
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: ran)
    assert audit.audited() == (["a 1: CVE-1, closed in ['2']"], 1)
    ran.stdout = ""
    assert audit.audited() == ([], -1)
