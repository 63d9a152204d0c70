"""What the README says is what the code does."""

import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

import camviz
import camviz.network.weights

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_methods_table_equals_the_table_in_the_code():
    rows = README.split("<!-- methods -->")[1].split("<!-- /methods -->")[0].strip().splitlines()
    shown = [tuple(cell.strip(" `") for cell in row.strip("|").split("|")) for row in rows[2:]]
    assert shown == [(name, row.label, row.paper) for name, row in camviz.METHODS.items()]


def test_fusions_named_are_the_fusions_there_are():
    named = re.findall(r"^\| `(\w+)`(?: \(default\))? \|", README.split("`fuse=`")[1], re.M)
    assert named[: len(camviz.FUSIONS)] == list(camviz.FUSIONS)


def test_the_library_example_runs(tmp_path, monkeypatch):
    """The block under "In Python", but for the network, which must need no download."""
    code = re.search(r"## In Python\n+```python\n(.*?)```", README, re.S).group(1)
    code = code.replace(
        'backbone="resnet50", target="tiger cat"',
        'backbone="resnet10t", weights="random", target="tiger cat"',
    )
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert names["x"].fused.shape == (90, 120)
    assert names["x"].label == "tiger cat"
    assert (tmp_path / "out" / "manifest.json").exists()


def test_the_commands_shown_exist():
    from camviz.cli import build_parser

    for line in re.findall(r"^python -m camviz (.+?)(?:\s+#.*)?$", README, re.M):
        words = [word.strip("'\"") for word in re.findall(r"'[^']*'|\"[^\"]*\"|\S+", line)]
        build_parser().parse_args(words)  # exits on an unknown option


def test_accuracies_shown_are_those_of_the_models_that_ship():
    for name in camviz.network.bundled.bundled_names():
        config = json.loads((camviz.network.bundled.BUNDLED / name / "config.json").read_text())
        row = next(line for line in README.splitlines() if line.startswith(f"| [`{name}`]("))
        assert f"{config['camviz']['accuracy']:.1%}" in row
