"""The files that follow from the Spacefile: front matter, requirements, bundle."""

import re
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import SpaceCard

from camviz.errors import SpaceError
from camviz.space import files, spacefile
from tests.support.spaces import ROOT


def test_front_matter_is_accepted_by_the_hubs_own_reader(space):
    card = SpaceCard((ROOT / "README.md").read_text())
    read = card.data.to_dict()
    assert read == {k: v for k, v in files.front_matter(space).items() if v is not None}
    assert card.data.title == "camviz" and card.data.sdk_version == space.card["sdk_version"]
    assert card.text.lstrip().startswith("# camviz")


@pytest.mark.parametrize("readme", ["# A\n\n---\n\nb\n", "", "---\ntitle: old\nx: 1\n---\n\n# A\n"])
def test_render_replaces_the_head_and_nothing_else(space, readme):
    once = files.render(readme, space)
    assert files.render(once, space) == once
    head, _, body = once.removeprefix("---\n").partition("\n---\n\n")
    assert yaml.safe_load(head) == files.front_matter(space)
    assert "title: old" not in once
    assert body == (readme.partition("---\n\n")[2] if "old" in readme else readme)


@pytest.mark.parametrize(
    "text",
    ["no", "1.0", "3.10", "a: b", "- x", "#c", "'q'", "ünï 🔍", "1e3", "null", "0x1f", "a\nb"],
)
def test_texts_survive_the_way_through_yaml(space, text):
    card = {**space.card, "title": text, "tags": [text]}
    read = SpaceCard(files.render("# A\n", replace(space, card=card))).data
    assert read.title == text and read.tags == [text]


def test_a_spacefile_survives_the_way_through_yaml(plain, space):
    again = spacefile.parse(yaml.safe_load(yaml.safe_dump(plain, allow_unicode=True)), ROOT)
    assert again == space


def test_profiles_change_hardware_and_requirements(space):
    assert files.front_matter(space)["suggested_hardware"] == "zero-a10g"
    assert files.front_matter(space, "cpu")["suggested_hardware"] == "cpu-basic"
    base = (ROOT / "requirements.txt").read_text()
    assert "torch>=2.10,<=2.13.0" in base
    zero = files.requirements(space).splitlines()
    assert "torch>=2.10,<=2.11.0" in zero and "spaces" in zero
    assert len([line for line in zero if re.match(r"torch\b", line)]) == 1
    cpu = [line for line in files.requirements(space, "cpu").splitlines() if line[0] != "#"]
    assert cpu[0].startswith("--extra-index-url") and "torch==2.11.0+cpu" in cpu
    assert [line.split("=")[0].split(">")[0] for line in cpu[1:]] == [
        re.split("[>=]", line)[0] for line in base.splitlines() if line and line[0] != "#"
    ]
    with pytest.raises(SpaceError, match="no profile 'gpu'; profiles: zero, cpu"):
        files.requirements(space, "gpu")


def zero(plain):
    return plain["profiles"]["zero"]
