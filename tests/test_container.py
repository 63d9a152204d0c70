"""The container recipe: linted, complete, without rights; built only where a builder is at hand."""

import fnmatch
import re
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from camviz.environment import variable_table
from scripts import pins
from tests.support.server import ROOT

RECIPE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LINES = re.sub(r"\\\n\s*", "", RECIPE).splitlines()
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def instructions(name):
    """The arguments of each instruction of that name."""
    return [line.partition(" ")[2] for line in LINES if line.startswith(f"{name} ")]


def copied():
    """What is copied from the checkout."""
    words = [line.split() for line in instructions("COPY") if "--from" not in line]
    return [source for line in words for source in line[:-1]]


def constraints():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if not line.startswith("#")]
    return {canonicalize_name(each.name): each for each in pinned}


def test_the_recipe_passes_the_linter():
    linter = shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed (requirements-dev.txt)")
    run = subprocess.run([linter, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_recipe_is_built():
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True).returncode:
        pytest.skip("no builder of containers is at hand")
    run = subprocess.run(
        [docker, "build", "--quiet", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_what_is_copied_is_there_and_nothing_of_it_is_ignored():
    kept = [line[1:] for line in IGNORED if line.startswith("!")]
    assert IGNORED[1] == "*"
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, each) for each in kept), source
    assert sorted(kept) == sorted(copied())


def test_what_is_copied_makes_the_wheel(tmp_path):
    for source in copied():
        target = tmp_path / "src" / source
        target.parent.mkdir(parents=True, exist_ok=True)
        here = ROOT / source
        (shutil.copytree if here.is_dir() else shutil.copyfile)(here, target)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    run = subprocess.run(
        [*command, "-w", str(tmp_path), str(tmp_path / "src")], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert len(list(tmp_path.glob("camviz-*.whl"))) == 1


def test_it_runs_without_rights_in_public_and_is_asked_for_its_health():
    assert instructions("USER")[-1] == "10001"
    assert "/health" in RECIPE.partition("HEALTHCHECK")[2]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert instructions("CMD")[-1] == '["camviz", "serve"]'
    variables = dict(re.findall(r"([A-Z_]+)=(\S+)", instructions("ENV")[-1]))
    assert variables["CAMVIZ_PUBLIC"] == "1" and variables["HF_HUB_OFFLINE"] == "1"
    own = {name for name in variables if name.startswith("CAMVIZ_")}
    assert own <= {row.name for row in variable_table().values()}


def test_images_and_packages_have_versions():
    assert all(re.search(r":\d+\.\d+\.\d+-", each) for each in instructions("FROM"))
    pinned = constraints()
    assert all(str(each.specifier).startswith("==") for each in pinned.values())
    for each in pins.needed():
        version = str(pinned[canonicalize_name(each.name)].specifier)[2:]
        assert each.specifier.contains(version), f"{each} is pinned to {version}"
