"""The Spacefile: its form, every rule, what follows from it, and publishing to a stand-in hub."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import yaml
from huggingface_hub import SpaceCard

from camviz import cli
from camviz.errors import SpaceError
from camviz.examples import EXAMPLES, examples
from camviz.images import MAX_BYTES
from camviz.network.catalogue import catalogue
from camviz.space import files, publish, rules, spacefile
from tests.hub import TOKEN, Hub

ROOT = spacefile.ROOT
OURS = yaml.safe_load((ROOT / spacefile.NAME).read_text())


@pytest.fixture
def said():
    """Our Spacefile as plain values, to be spoilt."""
    return yaml.safe_load((ROOT / spacefile.NAME).read_text())


@pytest.fixture
def found():
    return spacefile.read(ROOT)


@pytest.fixture
def small(tmp_path, said):
    """A Space of a few small files, all in order, in a folder of its own."""
    said["files"] = ["app.py", "Spacefile", "camviz/**/*.py", "assets/**/*"]
    (tmp_path / "Spacefile").write_text(yaml.safe_dump(said, sort_keys=False))
    (tmp_path / "app.py").write_text("import camviz\n")
    (tmp_path / "camviz").mkdir()
    code = "import spaces\n\n@spaces.GPU(duration=20)\ndef compute(job):\n    return job\n"
    (tmp_path / "camviz" / "__init__.py").write_text(code)
    (tmp_path / "requirements.txt").write_text((ROOT / "requirements.txt").read_text())
    (tmp_path / "assets" / "examples").mkdir(parents=True)
    for name in ("architectures.json", "examples/index.json"):
        shutil.copyfile(ROOT / "assets" / name, tmp_path / "assets" / name)
    return rendered(tmp_path)


def rendered(folder):
    """The Space of a folder, its README written anew."""
    found = spacefile.read(folder)
    (folder / "README.md").write_text(files.render("# A Space\n", found))
    return found


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    server = Hub()
    yield server
    server.close()


def published(found, hub, *given, **named):
    named.setdefault("token", TOKEN)
    return publish.publish(found, "me/camviz", *given, endpoint=hub.endpoint, **named)


# -- Ours ----------------------------------------------------------------------------------------


def test_our_own_is_in_order(found):
    assert rules.check(found) == []


def test_our_models_are_known_to_timm_with_weights_a_classifier_and_a_licence(found):
    entries = {entry.name: entry for entry in catalogue()}
    timm = pytest.importorskip("timm")
    for name in found.models:
        config = timm.get_pretrained_cfg(name)
        assert entries[name].classifier and entries[name].license
        assert config.hf_hub_id == f"timm/{name}"  # as the front matter has it
        assert config.hf_hub_filename in (None, "model.safetensors")
        assert entries[name].parameters <= found.limits.parameters * 1e6


def test_our_examples_are_all_there_are(found):
    index = json.loads((EXAMPLES / "index.json").read_text())
    assert set(found.examples) == {row["name"] for row in index}
    assert {row.name for row in examples()} <= set(found.examples)
    drawn = {f"assets/examples/{row['file']}" for row in index if "file" in row}
    assert drawn <= set(files.bundle(found))


def test_our_limits_are_within_what_the_engine_opens(found):
    assert found.limits.upload_mb * 1e6 <= MAX_BYTES


def test_everything_that_the_package_reads_is_published(found):
    """Every file of assets is in the bundle, and no other folder of ours is needed."""
    names = set(files.bundle(found))
    assets = {p.relative_to(ROOT).as_posix() for p in (ROOT / "assets").rglob("*") if p.is_file()}
    assert assets <= names
    assert {"app.py", "Spacefile", "README.md", "requirements.txt", "LICENSE"} <= names
    assert not [name for name in names if name.startswith(("tests", ".")) or ".pyc" in name]


def test_the_citation_agrees_with_the_project(found):
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert cited["authors"] and cited["message"]
    assert f'version = "{cited["version"]}"' in project
    assert f'license = "{cited["license"]}"' in project
    assert cited["license"].lower() == found.card["license"]
    assert all(row["authors"] and row["title"] for row in cited["references"])


# -- Front matter and requirements ---------------------------------------------------------------


def test_front_matter_is_accepted_by_the_hubs_own_reader(found):
    card = SpaceCard((ROOT / "README.md").read_text())
    read = card.data.to_dict()
    assert read == {k: v for k, v in files.front_matter(found).items() if v is not None}
    assert card.data.title == "camviz" and card.data.sdk_version == found.card["sdk_version"]
    assert card.text.lstrip().startswith("# camviz")


@pytest.mark.parametrize("readme", ["# A\n\n---\n\nb\n", "", "---\ntitle: old\nx: 1\n---\n\n# A\n"])
def test_render_replaces_the_head_and_nothing_else(found, readme):
    once = files.render(readme, found)
    assert files.render(once, found) == once
    head, _, body = once.removeprefix("---\n").partition("\n---\n\n")
    assert yaml.safe_load(head) == files.front_matter(found)
    assert "title: old" not in once
    assert body == (readme.partition("---\n\n")[2] if "old" in readme else readme)


@pytest.mark.parametrize(
    "text",
    ["no", "1.0", "3.10", "a: b", "- x", "#c", "'q'", "ünï 🔍", "1e3", "null", "0x1f", "a\nb"],
)
def test_texts_survive_the_way_through_yaml(found, text):
    card = {**found.card, "title": text, "tags": [text]}
    read = SpaceCard(files.render("# A\n", replace(found, card=card))).data
    assert read.title == text and read.tags == [text]


def test_a_spacefile_survives_the_way_through_yaml(said, found):
    again = spacefile.parse(yaml.safe_load(yaml.safe_dump(said, allow_unicode=True)), ROOT)
    assert again == found


def test_profiles_change_hardware_and_requirements(found):
    assert files.front_matter(found)["suggested_hardware"] == "zero-a10g"
    assert files.front_matter(found, "cpu")["suggested_hardware"] == "cpu-basic"
    base = (ROOT / "requirements.txt").read_text()
    assert "torch>=2.8,<=2.13.0" in base
    zero = files.requirements(found).splitlines()
    assert "torch>=2.8,<=2.11.0" in zero and "spaces" in zero
    assert len([line for line in zero if re.match(r"torch\b", line)]) == 1
    cpu = [line for line in files.requirements(found, "cpu").splitlines() if line[0] != "#"]
    assert cpu[0].startswith("--extra-index-url") and "torch==2.11.0+cpu" in cpu
    assert [line.split("=")[0].split(">")[0] for line in cpu[1:]] == [
        re.split("[>=]", line)[0] for line in base.splitlines() if line and line[0] != "#"
    ]
    with pytest.raises(SpaceError, match="no profile 'gpu'; profiles: zero, cpu"):
        files.requirements(found, "gpu")


# -- Form ----------------------------------------------------------------------------------------


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
def test_form_is_held(said, spoil, sentence):
    spoil(said)
    with pytest.raises(SpaceError, match=re.escape(sentence)):
        spacefile.parse(said, ROOT)


def test_everything_wrong_with_the_form_is_said_at_once(said):
    said["space"].pop("emoji")
    said["v"] = 0
    with pytest.raises(SpaceError, match=r"v is 0.*lacks 'emoji'"):
        spacefile.parse(said, ROOT)


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


# -- Rules ---------------------------------------------------------------------------------------


def cpu(said):
    return said["profiles"]["cpu"]


def zero(said):
    return said["profiles"]["zero"]


BROKEN = [
    (lambda s: s["space"].update(colorFrom="orange"), "colorFrom 'orange' is not one of red"),
    (lambda s: s["space"].update(colorTo="Blue"), "colorTo 'Blue'"),
    (lambda s: s["space"].update(sdk="streamlit"), "sdk 'streamlit' is not one of gradio"),
    (lambda s: s["space"].update(sdk="docker"), "ZeroGPU needs the gradio SDK, not docker"),
    (lambda s: s["space"].update(app_port=7860), "app_port is for the docker SDK only"),
    (lambda s: s["space"].update(app_build_command="x"), "app_build_command is for the static"),
    (lambda s: s["space"].update(emoji=""), "emoji is one emoji"),
    (lambda s: s["space"].update(emoji="a"), "emoji is one emoji"),
    (lambda s: s["space"].update(title=" "), "title is empty"),
    (lambda s: s["space"].update(short_description="x" * 61), "61 characters; 60 are allowed"),
    (lambda s: s["space"].update(sdk_version="newest"), "'newest' is not a version"),
    (lambda s: s["space"].update(sdk_version="5.49.0"), "sdk_version 5.49.0 is not within"),
    (lambda s: s["space"].update(python_version="python3"), "is not a version such as 3.12"),
    (lambda s: s["space"].update(python_version="3.11"), "ZeroGPU knows Python 3.10.13 and"),
    (lambda s: s["space"].update(python_version="3.1"), "ZeroGPU knows Python 3.10.13 and"),
    (lambda s: s["space"].update(header="big"), "header is mini or default"),
    (lambda s: s["space"].update(startup_duration_timeout="soon"), "is not like 30m or 1h"),
    (lambda s: s["space"].update(custom_headers={"x-frame-options": "a"}), "custom_headers may"),
    (lambda s: s["space"].update(hf_oauth_scopes=["email"]), "no effect without hf_oauth"),
    (lambda s: s["space"].update(license="Apache 2.0"), "license 'Apache 2.0'"),
    (lambda s: s["space"].update(tags=["a", 1]), "tags holds 1"),
    (lambda s: s["space"]["tags"].append("mcp-server"), "nothing is launched with mcp_server"),
    (lambda s: s["space"].update(app_file="main.py"), "app_file main.py is not among the files"),
    (lambda s: s["page"].update(backbone="vit_base_patch16_224"), "is not among the models"),
    (lambda s: s["page"]["examples"].append("a-unicorn"), "no example is called 'a-unicorn'"),
    (lambda s: s["models"].append("resnet51.a1_in1k"), "no architecture 'resnet51'"),
    (lambda s: s["models"].append("resnet18"), "'resnet18' names no weights"),
    (lambda s: s["models"].append("vit_giant_patch14_dinov2.lvd142m"), "larger than"),
    (lambda s: s["models"].append("vit_small_patch14_dinov2.lvd142m"), "has no classifier"),
    (lambda s: s["secrets"].append("hf_" + "a" * 30), "secrets holds names"),
    (lambda s: cpu(s)["variables"].update(A="hf_" + "a" * 30), "A looks like a secret"),
    (lambda s: cpu(s)["variables"].update(MY_TOKEN="x"), "MY_TOKEN looks like a secret"),
    (lambda s: cpu(s)["variables"].update({"a-b": "x"}), "a-b has no valid name"),
    (lambda s: cpu(s)["variables"].update(HF_HOME="/data"), "HF_HOME hides the models"),
    (lambda s: cpu(s).update(hardware="cpu-huge"), "profile cpu: hardware 'cpu-huge' is not one"),
    (lambda s: cpu(s).update(sleep_time=60), "the sleep time of cpu-basic cannot be chosen"),
    (lambda s: cpu(s)["requirements"].pop(0), "torchvision==0.26.0+cpu are not on PyPI"),
    (lambda s: cpu(s)["requirements"].append("timm==2.0"), "timm==2.0 contradicts timm"),
    (lambda s: cpu(s)["requirements"].append("a b"), "'a b' is not a requirement"),
    (lambda s: zero(s)["requirements"].pop(0), "lets pip take a torch newer than 2.11.0"),
    (lambda s: zero(s)["requirements"].__setitem__(0, "torch==2.12.0"), "allows none of them"),
    (
        lambda s: zero(s)["requirements"].__setitem__(0, "torch>=2.10"),
        "lets pip take a torch newer",
    ),
    (lambda s: zero(s)["requirements"].__setitem__(0, "torch==2.9.0"), "allows none of them"),
    (lambda s: s["limits"].update(bundle_mb=0.001), "limits.bundle_mb is 0.001"),
    (lambda s: s.update(files=[]), "app_file app.py is not among the files"),
    (lambda s: s["files"].remove("Spacefile"), "the page reads the Spacefile"),
    (lambda s: s["files"].remove("camviz/**/*.py"), "files leave out camviz/__init__.py"),
    (lambda s: s["files"].append("no/such/*"), "'no/such/*' finds nothing"),
    (lambda s: s["files"].append("../*"), "'../*' leads out of this folder"),
    (lambda s: s["files"].append("/etc/passwd"), "leads out of this folder"),
]


@pytest.mark.parametrize(("spoil", "sentence"), BROKEN)
def test_rules_are_held(small, said, spoil, sentence):
    said["files"] = list(small.files)
    assert rules.check(small) == []
    spoil(said)
    wrong = rules.check(spacefile.parse(said, small.root))
    assert any(sentence in line for line in wrong), wrong


CODE = [
    ("def compute(job):\n    return job\n", "no function is decorated with @spaces.GPU"),
    ("import spaces\nspaces.GPU(print)\n", "no function is decorated with @spaces.GPU"),
    ("@spaces.GPU\ndef f(): torch.compile(m)\n", "camviz/__init__.py:2: torch.compile"),
    (f"x = 'hf_{'a' * 34}'\n", "camviz/__init__.py holds what looks like a token"),
]


@pytest.mark.parametrize(("code", "sentence"), CODE)
def test_code_is_looked_at(small, code, sentence):
    (small.root / "camviz" / "__init__.py").write_text(code)
    wrong = rules.check(small)
    assert any(line.startswith(sentence) or sentence in line for line in wrong), wrong
    assert TOKEN not in " ".join(wrong) and "a" * 34 not in " ".join(wrong)


def test_a_decorator_without_arguments_will_do(small):
    code = "import spaces\n\n@spaces.GPU\ndef f(): ...\n"
    (small.root / "camviz" / "__init__.py").write_text(code)
    assert rules.check(small) == []


@pytest.mark.parametrize(
    ("launch", "runs"),
    [
        ("launch(mcp_server=True)", True),
        ("launch(mcp_server=agents())", True),
        ("OPTIONS = {'mcp_server': agents()}", True),
        ("launch(mcp_server=False)", False),
        ("OPTIONS = {'mcp_server': None}", False),
        ("text = 'mcp_server=True'", False),
    ],
)
def test_the_tag_of_a_server_for_agents_needs_one(small, said, launch, runs):
    said["files"] = list(small.files)
    said["space"]["tags"].append("mcp-server")
    (small.root / "app.py").write_text(f"{launch}\n")
    wrong = rules.check(spacefile.parse(said, small.root))
    assert ("the tag mcp-server is set, but nothing is launched with mcp_server" in wrong) != runs
    assert "profile zero: the tag mcp-server is set, but gradio[mcp] is not required" in wrong
    for profile in said["profiles"].values():
        profile["requirements"].append("gradio[mcp]")
    wrong = rules.check(spacefile.parse(said, small.root))
    assert not [line for line in wrong if "gradio[mcp]" in line]


def test_a_stale_readme_is_noticed(small):
    readme = small.root / "README.md"
    readme.write_text(readme.read_text().replace("colorFrom: indigo", "colorFrom: red"))
    (wrong,) = rules.check(small)
    assert "space render" in wrong
    readme.unlink()
    assert rules.check(small) == [f"there is no README.md in {small.root}"]


def test_requirements_must_be_there_and_name_gradio(small):
    file = small.root / "requirements.txt"
    file.write_text("torch>=2.8\n")
    assert "requirements.txt does not name gradio" in rules.check(small)
    file.unlink()
    assert rules.check(small) == [f"there is no requirements.txt in {small.root}"]


def test_links_to_elsewhere_are_not_published(small, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere") / "private.txt"
    other.write_text("mine")
    (small.root / "assets" / "link.txt").symlink_to(other)
    assert any("link.txt' is a link to elsewhere" in line for line in rules.check(small))


# -- Publishing ----------------------------------------------------------------------------------


def test_publish_makes_the_space(small, hub):
    steps = []
    assert published(small, hub, say=steps.append) == f"{hub.endpoint}/spaces/me/camviz"
    made = hub.spaces["me/camviz"]
    assert made.hardware == "zero-a10g" and not made.private
    assert made.variables == {"CAMVIZ_THREADS": "1"}
    assert set(made.files) == {".gitattributes", *files.bundle(small)}
    for name, content in files.bundle(small).items():
        expected = content if isinstance(content, bytes) else content.read_bytes()
        assert made.files[name] == expected
    assert made.commits == 1
    assert hub.calls[0] == ("POST", "repos/create")
    sent = json.loads(hub.bodies[0])
    assert (sent["type"], sent["sdk"], sent["hardware"]) == ("space", "gradio", "zero-a10g")
    assert steps and TOKEN not in " ".join(steps)


def test_publish_again_sends_nothing(small, hub):
    published(small, hub)
    hub.calls.clear()
    published(small, hub)
    assert hub.spaces["me/camviz"].commits == 1
    ends = [path.rpartition("/")[2] for _, path in hub.calls]
    assert "hardware" not in ends and ("POST", "spaces/me/camviz/variables") not in hub.calls


def test_publish_brings_up_to_date(small, hub):
    published(small, hub)
    made = hub.spaces["me/camviz"]
    made.files["camviz/forgotten.py"] = b"old"
    made.variables["OWN"] = "kept"
    published(small, hub, "cpu", private=True)
    assert made.hardware == "cpu-basic" and made.private
    assert made.variables == {"CAMVIZ_THREADS": "2", "OWN": "kept"}
    assert "camviz/forgotten.py" not in made.files and ".gitattributes" in made.files
    assert b"torch==2.11.0+cpu" in made.files["requirements.txt"]
    assert b"suggested_hardware: cpu-basic" in made.files["README.md"]
    published(small, hub, "cpu")
    assert made.private, "leaving --private out opens nothing"


def test_a_private_space_is_made_private(small, hub):
    published(small, hub, private=True)
    assert hub.spaces["me/camviz"].private
    assert ("PUT", "spaces/me/camviz/settings") not in hub.calls


def test_somebody_elses_space_is_left_alone(small, hub):
    published(small, hub)
    made = hub.spaces["me/camviz"]
    made.files = {".gitattributes": b"", "README.md": b"", "main.py": b"precious"}
    with pytest.raises(SpaceError, match="was not published from a Spacefile"):
        published(small, hub)
    assert made.files["main.py"] == b"precious" and made.commits == 1


REFUSED = [
    ("POST", "repos/create", 401, "does not accept this token (401)"),
    ("POST", "repos/create", 402, "a free account may have two ZeroGPU Spaces"),
    ("POST", "repos/create", 403, "may not write to me (403)"),
    ("POST", "repos/create", 429, "asked too often (429)"),
    ("POST", "repos/create", 500, "the hub answered 500"),
    ("GET", "spaces/me/camviz", 404, "finds no me/camviz (404)"),
    ("POST", "commit/main", 401, "(401)"),
    ("POST", "commit/main", 403, "may not write to me (403)"),
    ("POST", "commit/main", 409, "being changed by somebody else at this moment (409)"),
    ("POST", "commit/main", 429, "asked too often (429)"),
]


@pytest.mark.parametrize(("verb", "path", "status", "sentence"), REFUSED)
def test_refusals_are_said_in_clear_words(small, hub, capfd, verb, path, status, sentence):
    hub.refuse[(verb, path)] = status
    with pytest.raises(SpaceError, match=re.escape(sentence)) as caught:
        published(small, hub, say=print)
    assert TOKEN not in str(caught.value) + "".join(capfd.readouterr())
    assert "\n" not in str(caught.value)
    hub.refuse.clear()
    published(small, hub)  # nothing is in the way of the second attempt
    assert set(hub.spaces["me/camviz"].files) == {".gitattributes", *files.bundle(small)}


def test_payment_is_explained_by_hardware(small, hub):
    hub.refuse[("POST", "repos/create")] = 402
    with pytest.raises(SpaceError, match="cpu-basic needs a PRO account"):
        published(small, hub, "cpu")
    cpu = replace(small.profile("cpu"), hardware="t4-small")
    paid = replace(small, profiles={**small.profiles, "cpu": cpu})
    with pytest.raises(SpaceError, match="t4-small needs a way of payment"):
        published(paid, hub, "cpu")


@pytest.mark.parametrize("status", [402, 403])
def test_who_may_not_create_may_still_update(small, hub, status):
    published(small, hub)
    hub.refuse[("POST", "repos/create")] = status
    hub.spaces["me/camviz"].files["app.py"] = b"old"
    published(small, hub)
    assert hub.spaces["me/camviz"].commits == 2


def test_how_long_to_wait_is_said(small, hub):
    hub.refuse[("GET", "spaces/me/camviz")] = 429
    hub.headers["retry-after"] = "90"
    with pytest.raises(SpaceError, match="in 90 seconds"):
        published(small, hub)


def test_a_wrong_token(small, hub, capfd):
    wrong = "hf_" + "wrong" * 6
    with pytest.raises(SpaceError, match=r"\(401\)") as caught:
        published(small, hub, token=wrong)
    assert wrong not in str(caught.value) + "".join(capfd.readouterr())


def test_no_network(small):
    with socket.socket() as taken:  # bound and not listening: refused at once
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SpaceError, match="cannot be reached"):
            publish.publish(small, "me/camviz", token=TOKEN, endpoint=nowhere)


def test_nobody_is_logged_in(small, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(SpaceError, match="nobody is logged in"):
        publish.publish(small, "me/camviz")


@pytest.mark.parametrize(
    "name", ["camviz", "a/b/c", "https://huggingface.co/a/b", "a/ b", "me/c--d"]
)
def test_names_that_are_none(small, hub, name):
    with pytest.raises(SpaceError, match=r"called OWNER/NAME|cannot be the name"):
        publish.publish(small, name, token=TOKEN, endpoint=hub.endpoint)
    assert hub.spaces == {}


def test_nothing_out_of_order_is_published(small, hub):
    (small.root / "README.md").write_text("# stale\n")
    with pytest.raises(SpaceError, match="not published: the head of README"):
        published(small, hub)
    assert hub.calls == []


# -- From a shell --------------------------------------------------------------------------------


@pytest.fixture
def at(monkeypatch, small):
    """The command line, standing in the small Space's folder."""
    monkeypatch.setattr(spacefile, "ROOT", small.root)
    monkeypatch.setattr(spacefile, "spacefile", lambda: spacefile.read(small.root))
    return small.root


def test_check_and_render(at, capsys):
    assert cli.main(["space", "check"]) == 0
    assert cli.main(["space", "render", "--check"]) == 0
    readme = at / "README.md"
    fresh = readme.read_text()
    readme.write_text(fresh.replace("emoji: 🔍", "emoji: 🐏"))
    stale = readme.read_text()
    capsys.readouterr()
    assert cli.main(["space", "check"]) == 2
    assert cli.main(["space", "render", "--check"]) == 2
    assert readme.read_text() == stale
    assert capsys.readouterr().err.count("space render") == 2
    assert cli.main(["space", "render"]) == 0
    assert readme.read_text() == fresh
    assert cli.main(["space", "check"]) == 0


def test_plan_and_dry_run_send_nothing(at, capsys):
    assert cli.main(["space", "plan", "--profile", "cpu"]) == 0
    plan = capsys.readouterr().out
    for name, content in files.bundle(spacefile.read(at), "cpu").items():
        assert re.search(rf"^ *{files.size(content):,}  {re.escape(name)}", plan, re.M)
    assert "hardware cpu-basic" in plan and "CAMVIZ_THREADS=2" in plan
    assert cli.main(["space", "publish", "me/camviz", "--profile", "cpu", "--dry-run"]) == 0
    assert capsys.readouterr().out == plan
    (at / "README.md").write_text("# stale\n")
    assert cli.main(["space", "publish", "me/camviz", "--dry-run"]) == 2
    assert cli.main(["space", "plan", "--profile", "gpu"]) == 2
    assert "profiles: zero, cpu" in capsys.readouterr().err


def test_run_serves_a_copy_and_nothing_else(at, monkeypatch, capfd):
    app = (
        "import os, sys\nfrom pathlib import Path\nimport camviz\n"
        "print('runs', Path(camviz.__file__).parent.parent == Path.cwd(), os.getcwd())\n"
        "print(os.environ['CAMVIZ_THREADS'], os.environ['GRADIO_SERVER_PORT'])\n"
        "print(sorted(p.name for p in Path('.').iterdir()))\nsys.exit(3)\n"
    )
    (at / "app.py").write_text(app)
    (at / "camviz" / "__init__.py").write_text("")
    (at / "private.txt").write_text("mine")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert cli.main(["space", "run", "--profile", "cpu", "--port", "7999"]) == 3
    said = capfd.readouterr().out
    assert "runs True" in said and str(at) not in said and "2 7999" in said
    assert "private.txt" not in said and "requirements.txt" in said


def test_the_published_folder_works_by_itself(found, tmp_path):
    """camviz imported and asked from a copy that holds what the Space would hold."""
    files.write_bundle(found, None, tmp_path)
    code = (
        "from camviz.ui.choices import default_choice\nfrom camviz.examples import examples\n"
        "import pathlib\nfrom camviz.space import rules, spacefile\n"
        "assert spacefile.ROOT == pathlib.Path.cwd()\n"
        "assert rules.check(spacefile.spacefile()) == []\n"
        "print(default_choice(), len(examples()))\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[1]) == len(examples())


def test_publishing_from_a_shell(hub, small):
    """A process of its own: huggingface_hub reads HF_ENDPOINT when it is imported."""
    copy = small.root / "camviz"
    shutil.rmtree(copy)
    shutil.copytree(ROOT / "camviz", copy, ignore=shutil.ignore_patterns("__pycache__"))
    rendered(small.root)

    def shell(token):
        return subprocess.run(
            [sys.executable, "-m", "camviz", "space", "publish", "me/camviz", "--private"],
            cwd=small.root,
            env={**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": token, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            timeout=120,
        )

    run = shell(TOKEN)
    assert run.returncode == 0, run.stderr
    assert f"{hub.endpoint}/spaces/me/camviz" in run.stdout
    assert hub.spaces["me/camviz"].private
    refused = shell("hf_" + "wrong" * 6)
    assert refused.returncode == 2 and "(401)" in refused.stderr
    assert "wrong" * 6 not in refused.stderr + refused.stdout + run.stdout + run.stderr
    assert refused.stderr.startswith("camviz: ") and refused.stderr.count("\n") == 1
    written = [p for p in small.root.rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()]
    assert written == []


@pytest.mark.parametrize("arguments", [["--help"], ["check"], ["plan"], ["render", "--check"]])
def test_space_waits_for_neither_torch_nor_gradio_nor_timm(arguments):
    code = (
        "import sys\nfrom camviz.cli import main\n"
        f"try:\n    main(['space', *{arguments!r}])\nexcept SystemExit:\n    pass\n"
        "print('loaded:', *({'torch', 'gradio', 'timm', 'numpy', 'cv2'} & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(ROOT),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "loaded:"
