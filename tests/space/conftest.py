"""Our Spacefile as plain values and read, a small Space of its own, and a stand-in hub."""

import shutil

import pytest
import yaml

from camviz.space import spacefile
from tests.support.hub import Hub
from tests.support.spaces import ROOT, read_and_render


@pytest.fixture
def plain():
    """Our Spacefile as plain values, to be spoilt."""
    return yaml.safe_load((ROOT / spacefile.NAME).read_text())


@pytest.fixture
def space():
    return spacefile.read(ROOT)


@pytest.fixture
def small(tmp_path, plain):
    """A Space of a few small files, all in order, in a folder of its own."""
    plain["files"] = ["app.py", "Spacefile", "camviz/**/*.py", "assets/**/*"]
    (tmp_path / "Spacefile").write_text(yaml.safe_dump(plain, sort_keys=False))
    (tmp_path / "app.py").write_text("import camviz\n")
    (tmp_path / "camviz").mkdir()
    code = "import spaces\n\n@spaces.GPU(duration=20)\ndef compute(job):\n    return job\n"
    (tmp_path / "camviz" / "__init__.py").write_text(code)
    (tmp_path / "requirements.txt").write_text((ROOT / "requirements.txt").read_text())
    (tmp_path / "assets" / "examples").mkdir(parents=True)
    for name in ("architectures.json", "examples/index.json"):
        shutil.copyfile(ROOT / "assets" / name, tmp_path / "assets" / name)
    return read_and_render(tmp_path)


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    server = Hub()
    yield server
    server.close()
