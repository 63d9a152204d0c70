"""benchmarks.kept: what was measured is not measured again."""

import pytest

from benchmarks.kept import Kept


def test_figures_are_measured_once_and_read_back(tmp_path):
    file, measured = tmp_path / "kept.jsonl", []

    def measure():
        measured.append(1)
        return {"fused": [0.1, 1.0], "refined": [0.25, 0.0]}

    first = Kept(file).get(("scenes-vit", "scenes", 6001, 3), measure)
    assert Kept(file).get(("scenes-vit", "scenes", 6001, 3), lambda: pytest.fail()) == first
    assert first == measure() and len(measured) == 2
    text = file.read_text()
    file.write_text(text + text[:20])  # stopped while it wrote
    assert Kept(file).get(("scenes-vit", "scenes", 6001, 4), measure) == first
    assert len(measured) == 3
    Kept(None).get(("a",), measure)
    assert len(measured) == 4
