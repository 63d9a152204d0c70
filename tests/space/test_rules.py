"""The rules of Hugging Face: each one broken once."""

import pytest

from camviz.space import rules, spacefile
from tests.support.hub import TOKEN


def cpu(plain):
    return plain["profiles"]["cpu"]


def zero(plain):
    return plain["profiles"]["zero"]


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
def test_rules_are_held(small, plain, spoil, sentence):
    plain["files"] = list(small.files)
    assert rules.check(small) == []
    spoil(plain)
    wrong = rules.check(spacefile.parse(plain, small.root))
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
def test_the_tag_of_a_server_for_agents_needs_one(small, plain, launch, runs):
    plain["files"] = list(small.files)
    plain["space"]["tags"].append("mcp-server")
    (small.root / "app.py").write_text(f"{launch}\n")
    wrong = rules.check(spacefile.parse(plain, small.root))
    assert ("the tag mcp-server is set, but nothing is launched with mcp_server" in wrong) != runs
    assert "profile zero: the tag mcp-server is set, but gradio[mcp] is not required" in wrong
    for profile in plain["profiles"].values():
        profile["requirements"].append("gradio[mcp]")
    wrong = rules.check(spacefile.parse(plain, small.root))
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
