"""The sdist and the wheel, and camviz installed from the wheel, away from the checkout.

The wheel is installed without its dependencies into an environment of its own, which borrows
those of the environment that runs the tests. That proves what the wheel holds and that it runs
from an empty folder; it does not prove that pip finds the dependencies. That they are the ones in
requirements.txt, and that the code imports no others, is tested on its own.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import camviz
from camviz.examples import example
from tests.support.server import serve

ROOT = Path(__file__).resolve().parent.parent
UNPUBLISHED = ("build", "out", "runs", "node_modules", "__pycache__", "*.egg-info", ".*")
# Modules whose package has another name; "spaces" is there on Hugging Face's GPUs only.
PACKAGES = {"PIL": "pillow", "cv2": "opencv-python-headless", "yaml": "pyyaml", "spaces": None}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout, so that building leaves nothing in it."""
    folder = tmp_path_factory.mktemp("source") / "camviz"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*UNPUBLISHED))
    return folder


@pytest.fixture(scope="module")
def distributions(source, tmp_path_factory):
    """(sdist, wheel), the wheel made from the sdist."""
    pytest.importorskip("build", reason="build is not installed")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(distributions, tmp_path_factory):
    """The folder of programs of an environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    place = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run(python, "-c", place).strip())
    borrowed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "borrowed.pth").write_text("\n".join(borrowed))
    installing = ("install", "--quiet", "--no-deps", "--no-index", distributions[1])
    run(sys.executable, "-m", "pip", "--python", python, *installing)
    return python.parent


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A picture of a ram that is nobody's example any more."""
    return shutil.copy(example("a-ram").path, tmp_path_factory.mktemp("photo") / "photo.webp")


def run(*command, cwd=None, status=0):
    """What a command prints, as on a machine without camviz's hub cache and settings."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


def clean_environment():
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CAMVIZ_", "PYTHON"))}
    return kept | {"HF_HUB_OFFLINE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


# --- what is in them ---


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_sdist_is_the_checkout(source, distributions):
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert files_below(source) <= names


def test_the_wheel_has_the_package_and_everything_that_it_reads(source, distributions):
    with zipfile.ZipFile(distributions[1]) as archive:
        names = set(archive.namelist())
    package = {f"camviz/{name}" for name in files_below(source / "camviz")}
    assets = {f"camviz/assets/{name}" for name in files_below(source / "assets")}
    expected = package | assets | {"camviz/assets/Spacefile", "camviz/assets/glossary.md"}
    assert {name for name in names if not re.match(r"camviz-[^/]+\.dist-info/", name)} == expected


def test_what_has_gone_from_the_checkout_is_not_in_the_next_wheel(source, tmp_path):
    """`pip install .` builds in the checkout, where build/ stays behind."""
    (tmp_path / "docs").mkdir()
    files = ("setup.py", "pyproject.toml", "requirements.txt", "README.md", "Spacefile")
    for name in (*files, "docs/glossary.md"):
        shutil.copy(source / name, tmp_path / name)
    for name in ("camviz/gone.py", "camviz/__init__.py", "assets/gone.css", "assets/kept.css"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    building = (sys.executable, "setup.py", "--quiet", "build_py")
    run(*building, cwd=tmp_path)
    for name in ("camviz/gone.py", "assets/gone.css"):
        (tmp_path / name).unlink()
    run(*building, cwd=tmp_path)
    assets = {f"camviz/assets/{name}" for name in ("kept.css", "Spacefile", "glossary.md")}
    kept = {"camviz/__init__.py", *assets}
    assert files_below(tmp_path / "build" / "lib") == kept


def test_the_wheel_requires_what_requirements_txt_names(distributions):
    with zipfile.ZipFile(distributions[1]) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = message_from_string(archive.read(name).decode())
    needed = {Requirement(line) for line in metadata.get_all("Requires-Dist")}
    needed = {line for line in needed if not line.marker}
    assert needed == set(requirements())
    assert metadata["Version"] == camviz.__version__


def requirements():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_every_import_is_of_a_package_that_is_required():
    named = {canonicalize_name(line.name) for line in requirements()}
    extra = {"pyarrow", "ray"}  # of the package camviz.bulk alone: the extras `bulk` and `ray`
    for path in [*(ROOT / "camviz").rglob("*.py"), ROOT / "app.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            for module in {name.partition(".")[0] for name in modules}:
                if module not in sys.stdlib_module_names | {"camviz"}:
                    package = PACKAGES.get(module, module)
                    of_bulk = extra if path.is_relative_to(ROOT / "camviz" / "bulk") else set()
                    known = named | of_bulk
                    assert package is None or canonicalize_name(package) in known, path


# --- installed ---


def test_it_is_imported_from_its_environment(environment, empty):
    answer = run(
        environment / "python",
        "-c",
        "import camviz, sys; print(camviz.__file__, camviz.__version__, 'torch' in sys.modules)",
        cwd=empty,
    )
    file, version, loaded = answer.split()
    assert Path(file).is_relative_to(environment.parent)
    assert (version, loaded) == (camviz.__version__, "False")


@pytest.mark.long
def test_it_explains_a_picture_from_an_empty_folder(environment, empty, photo):
    answer = json.loads(
        run(environment / "camviz", "explain", photo, "--out", "out", "--json", cwd=empty)
    )
    assert answer["camviz"] == camviz.__version__
    assert answer["backbone"]["name"] == "tf_efficientnet_lite0.in1k"
    assert answer["boxes"]
    assert {"manifest.json", "maps.npz", "overlay_fused.png"} <= files_below(empty / "out")
    written = json.loads((empty / "out" / "manifest.json").read_text())
    assert answer.items() <= written.items()


def test_it_serves_the_page_from_an_empty_folder(environment, photo, tmp_path):
    with serve([str(environment / "camviz"), "serve"], tmp_path, PYTHONPATH="") as url:
        client = Client(url, verbose=False, download_files=tmp_path / "downloads")
        answer, _ = client.predict(
            handle_file(photo), backbone="scenes-resnet", api_name="/explain"
        )
        client.close()
    assert answer["target"]["label"] == "ram"


def test_commands_for_a_checkout_are_refused_in_a_sentence(environment, empty):
    for command in ("check", "render", "plan", "run", ("publish", "me/camviz")):
        words = (command,) if isinstance(command, str) else command
        error = run(environment / "camviz", "space", *words, cwd=empty, status=2)
        assert error.count("\n") == 1 and "need a checkout of camviz" in error
