"""The commands `camviz space ...`, and a published folder by itself."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from camviz import cli
from camviz.examples import examples
from camviz.space import files, spacefile
from tests.support.hub import TOKEN
from tests.support.spaces import ROOT, read_and_render


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
    plain = capfd.readouterr().out
    assert "runs True" in plain and str(at) not in plain and "2 7999" in plain
    assert "private.txt" not in plain and "requirements.txt" in plain


def test_the_published_folder_works_by_itself(space, tmp_path):
    """camviz imported and used from a copy that holds what the Space would hold."""
    files.write_bundle(space, None, tmp_path)
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


@pytest.mark.long
def test_publishing_from_a_shell(hub, small):
    """A process of its own: huggingface_hub reads HF_ENDPOINT when it is imported."""
    copy = small.root / "camviz"
    shutil.rmtree(copy)
    shutil.copytree(ROOT / "camviz", copy, ignore=shutil.ignore_patterns("__pycache__"))
    read_and_render(small.root)

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


@pytest.mark.sampled
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
