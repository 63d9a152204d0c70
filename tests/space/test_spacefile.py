"""The Spacefile: ours is in order, and the form of any is held."""

import json
import re

import pytest
import yaml

from camviz.errors import SpaceError
from camviz.examples import EXAMPLES, examples
from camviz.images import MAX_BYTES
from camviz.network.catalogue import catalogue
from camviz.space import files, rules, spacefile
from tests.support.spaces import ROOT


def test_our_own_is_in_order(space):
    assert rules.check(space) == []


def test_our_models_are_known_to_timm_with_weights_a_classifier_and_a_licence(space):
    entries = {entry.name: entry for entry in catalogue()}
    timm = pytest.importorskip("timm")
    for name in space.models:
        config = timm.get_pretrained_cfg(name)
        assert entries[name].classifier and entries[name].license
        assert config.hf_hub_id == f"timm/{name}"  # as the front matter has it
        assert config.hf_hub_filename in (None, "model.safetensors")
        assert entries[name].parameters <= space.limits.parameters * 1e6


def test_our_examples_are_all_there_are(space):
    index = json.loads((EXAMPLES / "index.json").read_text())
    assert set(space.examples) == {row["name"] for row in index}
    assert {row.name for row in examples()} <= set(space.examples)
    drawn = {f"assets/examples/{row['file']}" for row in index if "file" in row}
    assert drawn <= set(files.bundle(space))


def test_our_limits_are_within_what_the_engine_opens(space):
    assert space.limits.upload_mb * 1e6 <= MAX_BYTES


def test_everything_that_the_package_reads_is_published(space):
    """Every file of assets is in the bundle, and no other folder of ours is needed."""
    names = set(files.bundle(space))
    assets = {p.relative_to(ROOT).as_posix() for p in (ROOT / "assets").rglob("*") if p.is_file()}
    assert assets <= names
    assert {"app.py", "Spacefile", "README.md", "requirements.txt", "LICENSE"} <= names
    assert not [name for name in names if name.startswith(("tests", ".")) or ".pyc" in name]


def test_the_citation_agrees_with_the_project(space):
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert cited["authors"] and cited["message"]
    assert "version" not in cited, "it is written once, in pyproject.toml"
    assert f'license = "{cited["license"]}"' in project
    assert cited["license"].lower() == space.card["license"]
    assert all(row["authors"] and row["title"] for row in cited["references"])


def test_every_key_of_the_front_matter_is_known():
    """Those that huggingface_hub itself knows are among them."""
    for key in ("title", "sdk", "sdk_version", "python_version", "app_file", "app_port", "license"):
        assert key in spacefile.CARD


SPOILT = [
    (lambda s: s.update(v=2), "v is 2; this camviz reads version 1"),
    (lambda s: s.update(micros=[]), "has no 'micros'"),
    (lambda s: s.pop("files"), "lacks 'files'"),
    (lambda s: s["space"].pop("title"), "space lacks 'title'"),
    (lambda s: s["space"].update(colour="red"), "space has no 'colour'"),
    (lambda s: s["space"].update(suggested_storage="small"), "space has no 'suggested_storage'"),
    (lambda s: s["space"].update(sdk_version=6.31), "put it in quotes"),
    (lambda s: s["space"].update(python_version=3.1), "put it in quotes"),
    (lambda s: s["space"].update(pinned="yes"), "'yes' and should be bool"),
    (lambda s: s["space"].update(app_port=True), "True and should be int"),
    (lambda s: s["space"].update(models=["timm/x"]), "space.models follows from the rest"),
    (lambda s: s["space"].update(preload_from_hub=[]), "follows from the rest"),
    (lambda s: s.update(page=None), "page is a table with backbone, examples"),
    (lambda s: s["page"].update(backbone=None), "page.backbone is None"),
    (lambda s: s["page"]["examples"].append("a-ram"), "names a-ram twice"),
    (lambda s: s.update(models="resnet50"), "models is 'resnet50' and should be list"),
    (lambda s: s["limits"].pop("queue"), "limits lacks 'queue'"),
    (lambda s: s["limits"].update(queue=1.5), "limits.queue is 1.5 and should be int"),
    (lambda s: s["limits"].update(upload_mb=0), "limits.upload_mb is 0"),
    (lambda s: s.update(profiles={}), "at least one profile"),
    (lambda s: s["profiles"]["zero"].pop("hardware"), "profiles.zero lacks 'hardware'"),
    (lambda s: s["profiles"]["cpu"]["variables"].update(A=2), "profiles.cpu.variables.A is 2"),
    (lambda s: s["profiles"]["cpu"].update(sleep_time="1h"), "sleep_time is '1h'"),
    (lambda s: s.update(secrets={"HF_TOKEN": "x"}), "secrets is"),
]


@pytest.mark.parametrize(("spoil", "sentence"), SPOILT)
def test_form_is_held(plain, spoil, sentence):
    spoil(plain)
    with pytest.raises(SpaceError, match=re.escape(sentence)):
        spacefile.parse(plain, ROOT)


def test_everything_wrong_with_the_form_is_said_at_once(plain):
    plain["space"].pop("emoji")
    plain["v"] = 0
    with pytest.raises(SpaceError, match=r"v is 0.*lacks 'emoji'"):
        spacefile.parse(plain, ROOT)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("a: [", "is not YAML"), ("", "is a table"), ("- 1", "is a table"), ("!!python/x y", "YAML")],
)
def test_a_file_that_is_none(tmp_path, text, sentence):
    (tmp_path / "Spacefile").write_text(text)
    with pytest.raises(SpaceError, match=sentence):
        spacefile.read(tmp_path)


def test_no_file(tmp_path):
    with pytest.raises(SpaceError, match="no readable Spacefile"):
        spacefile.read(tmp_path)
