"""What README and docs say is what the code does."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camviz
import camviz.network.weights

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCS = {path.stem: path.read_text() for path in (ROOT / "docs").glob("*.md")}
PAGES = [ROOT / "README.md", *ROOT.glob("C*.md"), *(ROOT / "docs").glob("*.md")]


def test_methods_table_equals_the_table_in_the_code():
    rows = (
        DOCS["methods"]
        .split("<!-- methods -->")[1]
        .split("<!-- /methods -->")[0]
        .strip()
        .splitlines()
    )
    shown = [tuple(cell.strip(" `") for cell in row.strip("|").split("|")) for row in rows[2:]]
    rows = camviz.METHODS.items()
    assert shown == [(name, row.label, row.paper, row.cost) for name, row in rows]


def test_fusions_named_are_the_fusions_there_are():
    named = re.findall(r"^\| `(\w+)` \|", DOCS["methods"].split("`fuse=`")[1], re.M)
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

    shown = 0
    for page in PAGES:
        for code in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S):
            for line in re.findall(r"^(?:python -m )?camviz (.+?)(?:\s+#.*)?$", code, re.M):
                build_parser().parse_args(shlex.split(line))  # exits on an unknown option
                shown += 1
    assert shown > 8


def test_accuracies_shown_are_those_of_the_models_that_ship():
    for name in camviz.network.bundled.bundled_names():
        config = json.loads((camviz.network.bundled.BUNDLED / name / "config.json").read_text())
        lines = DOCS["backbones"].splitlines()
        row = next(line for line in lines if line.startswith(f"| [`{name}`]("))
        assert f"{config['camviz']['accuracy']:.1%}" in row


def test_the_readme_is_short():
    body = README.split("---\n", 2)[2]
    assert len(body.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """To files that exist, and to headings that exist in them."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        name, _, heading = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if heading:
            heads = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
            assert heading in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in heads]


def test_files_named_in_documents_exist():
    path = re.compile(r"`((?:camviz|tests|docs|scripts|assets)/[\w./-]+)`")
    for page in PAGES:
        for name in path.findall(page.read_text()):
            if name != "camviz/assets":  # in the wheel
                assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_the_glossary_names_each_term_once():
    terms = re.findall(r"^- \*\*(.+?)\*\*:", DOCS["glossary"], re.M)
    assert len(terms) == len(set(terms)) >= 20
